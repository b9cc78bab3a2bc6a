/** A layout that is mounted read-only, and one that belongs to another user. */
import * as Effect from "effect/Effect"
import { chmodSync, copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { exportImage } from "./image.ts"
import {
  command,
  fresh,
  freshDirectory,
  mount,
  needCommands,
  needRoot,
  type Outcome,
  problemsOf,
  program,
  start
} from "./support.ts"

const nobody = "65534"

/** Calls that make, change or remove something. */
const changing =
  /^\d+ +(?:(?:creat|mkdir|mkdirat|mknod|link|linkat|symlink|symlinkat|rename|renameat|renameat2|unlink|unlinkat|rmdir|chmod|fchmodat|chown|utimensat|truncate)\(|openat\(.*O_(?:CREAT|WRONLY|RDWR|TRUNC))/

/** A link is made where the copy is; of what is read-only it comes to nothing. */
const isLinkFrom = (line: string, directory: string): boolean =>
  line.includes(` link("${directory}/`) && !line.includes(`, "${directory}/`)

export const run = async (): Promise<Outcome> => {
  needRoot()
  needCommands("strace", "mount", "setpriv")
  const { add, all } = problemsOf()
  const main = await program("../../cli/src/main.ts")
  const layout = fresh("layout")
  await Effect.runPromise(exportImage(layout, { name: "latest", version: "1" }))

  const readOnly = freshDirectory("readonly")
  const unbind = mount(readOnly, "--bind", layout)
  command("mount", "-o", "remount,bind,ro", readOnly)
  const home = freshDirectory("home")
  const env = { HOME: home, XDG_CACHE_HOME: join(home, "cache") }
  const image = `oci:${readOnly}:latest`
  const readings = [
    ["list", `oci:${readOnly}`],
    ["inspect", image],
    ["validate", image],
    ["verify", `oci:${readOnly}`],
    ["explain", image],
    ["copy", image, `oci:${fresh("copy")}:latest`],
    ["build", "--from", image, "--env", "A=1", "--to", `oci:${fresh("built")}:latest`]
  ]
  let calls = 0
  for (const args of readings) {
    const log = fresh("calls")
    const running = start("strace", ["-f", "-o", log, "-e", "trace=%file", process.execPath, main, ...args], { env })
    const { code } = await running.finish()
    const at = `effect-oci ${args[0]} of a read-only layout`
    if (code !== 0) add(at, running.errors())
    const touching = readFileSync(log, "utf8").split("\n").filter((line) => line.includes(readOnly))
    calls += touching.length
    add(at, ...touching.filter((line) => changing.test(line) && !isLinkFrom(line, readOnly)))
  }
  if (calls < 20) add("strace", "it has seen nothing")
  const writings = [["tag", image, "again"], ["untag", image], ["gc", `oci:${readOnly}`, "--grace", "0"]]
  for (const args of writings) {
    const running = start(process.execPath, [main, ...args], { env })
    const { code } = await running.finish()
    if (code !== 1 || !/^error: .*\(EROFS\)/.test(running.errors())) {
      add(`effect-oci ${args[0]} of a read-only layout`, `${code}: ${running.errors()}`)
    }
  }
  unbind()

  // Where he may look, and where not even that; with a Node that he may start
  const foreign = freshDirectory("foreign")
  const node = join(foreign, "node")
  copyFileSync(process.execPath, node)
  cpSync(dirname(main), join(foreign, "program"), { recursive: true })
  writeFileSync(join(foreign, "program/package.json"), `{"type":"module"}`)
  const open = join(foreign, "open")
  const closed = join(foreign, "closed")
  for (const directory of [open, closed]) cpSync(layout, directory, { recursive: true })
  chmodSync(closed, 0o700)
  const theirs = join(foreign, "theirs")
  mkdirSync(theirs)
  const asNobody = async (...args: ReadonlyArray<string>) => {
    const running = start("setpriv", [
      "--reuid",
      nobody,
      "--regid",
      nobody,
      "--clear-groups",
      node,
      join(foreign, "program/main.js"),
      ...args
    ], {
      env: { HOME: "/nonexistent", XDG_CACHE_HOME: "/nonexistent", NODE_COMPILE_CACHE: "" }
    })
    return { ...await running.finish(), errors: running.errors() }
  }
  const read = await asNobody("validate", `oci:${open}:latest`)
  if (read.code !== 0) add("another user reads", read.errors)
  const denied = [
    ["tag", `oci:${open}:latest`, "again"],
    ["untag", `oci:${open}:latest`],
    ["copy", `oci:${open}:latest`, `oci:${theirs}/copy:latest`],
    ["list", `oci:${closed}`]
  ]
  for (const args of denied) {
    const { code, errors } = await asNobody(...args)
    if (code !== 1 || !/^error: [^]*permission denied \(EACCES\)/m.test(errors)) {
      add(`another user: ${args[0]}`, `${code}: ${errors}`)
    }
  }
  rmSync(foreign, { recursive: true })
  return {
    figure:
      `${readings.length} commands read a read-only layout, ${calls} calls on it, none of which changes anything; ` +
      `${writings.length} tell EROFS; ${denied.length} of another user tell EACCES`,
    problems: all
  }
}
