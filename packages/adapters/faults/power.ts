/**
 * Power cuts, by the ioctl with which ext4 stops at once: nothing is written any more, not even its journal. What was not
 * flushed is lost. Half of the cuts happen to a file system that does not flush a file on its own when it is renamed over another.
 */
import { closeSync, ftruncateSync, openSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "./inspect.ts"
import { acknowledged } from "./kills.ts"
import {
  atExit,
  command,
  either,
  fresh,
  freshDirectory,
  Impossible,
  mount,
  needCommands,
  needRoot,
  type Outcome,
  pause,
  problemsOf,
  type Running,
  type Scale,
  start,
  startExporter
} from "./support.ts"

const size = 32 * 1024 * 1024

const makeDisk = (): string => {
  const image = fresh("image")
  const file = openSync(image, "w")
  ftruncateSync(file, size)
  closeSync(file)
  command("mkfs.ext4", "-q", "-F", image)
  try {
    const device = command("losetup", "--find", "--show", image).trim()
    atExit(() => command("losetup", "--detach", device))
    return device
  } catch (error) {
    throw new Impossible(`no loop device can be had: ${String(error)}`)
  }
}

interface Cuts {
  readonly cuts: number
  readonly acks: number
  readonly corrupt: number
  readonly lost: number
  readonly problems: ReadonlyArray<string>
}

const cut = async (cuts: number, python: Running, args: ReadonlyArray<string>): Promise<Cuts> => {
  const { add, all } = problemsOf()
  const device = makeDisk()
  const directory = freshDirectory("power")
  let acks = 0
  let corrupt = 0
  let lost = 0
  let known = new Map<string, string>()
  let layout = ""
  let next = startExporter(...args)
  for (let round = 0; round < cuts; round++) {
    const options = `commit=600,${round % 2 === 0 ? "auto_da_alloc" : "noauto_da_alloc"}`
    const unmount = mount(directory, "-t", "ext4", "-o", options, device)
    if (round % 10 === 0) {
      layout = join(directory, `layout-${round}`)
      known = new Map()
    }
    const exporter = await next
    next = startExporter(...args)
    const versions = Array.from({ length: 100 }, (_, index) => `${round}.${index}`)
    exporter.send(
      ...versions.map((version, index) =>
        `${layout} ${index % 2 === 0 ? "latest" : `v${version}`} ${version} ${1 + Math.floor(Math.random() * 20_000)}`
      )
    )
    await exporter.next()
    await pause(Math.random() * 200)
    python.send(directory)
    if ((await python.next()) !== "off") throw new Impossible(`ext4 cannot be stopped: ${python.errors()}`)
    await exporter.kill()
    const ok = acknowledged(exporter.lines)
    for (const [name, version] of ok) known.set(name, version)
    const count = exporter.lines.filter((line) => line.startsWith("ok")).length
    acks += count
    unmount()
    const after = mount(directory, "-t", "ext4", "-o", options, device)
    const { images, problems } = await inspect(layout)
    const at = `cut ${round}`
    add(at, ...problems)
    if (problems.length > 0) {
      corrupt++
      // The next one starts anew
      layout = `${layout}-again`
      known = new Map()
    } else {
      for (const [name, version] of known) {
        const found = images.get(name)
        if (found === version || (name === "latest" && found === versions[count])) continue
        lost++
        add(at, `${name} was acknowledged as ${version}, and is ${found ?? "missing"}`)
      }
      known = new Map(images)
    }
    after()
  }
  await (await next).kill()
  return { cuts, acks, corrupt, lost, problems: all }
}

export const run = async (scale: Scale): Promise<Outcome> => {
  needRoot()
  needCommands("mkfs.ext4", "losetup", "mount", "python3")
  const python = start("python3", ["-u", join(import.meta.dirname, "shutdown.py")])
  const { acks, corrupt, cuts, lost, problems } = await cut(either(scale, 15, 200), python, [])
  const batch = await cut(either(scale, 4, 40), python, ["--durability", "batch"])
  const hasty = await cut(either(scale, 4, 20), python, ["--hasty-blobs"])
  await python.finish()
  return {
    figure: `${cuts} power cuts: ${acks} acknowledged exports, ${lost} lost, ${corrupt} layouts corrupt; ` +
      `in batches ${batch.cuts}: ${batch.acks}, ${batch.lost}, ${batch.corrupt}; ` +
      `without a flush of blobs ${hasty.corrupt} of ${hasty.cuts} layouts corrupt`,
    problems: [
      ...problems,
      ...batch.problems.map((problem) => `in batches: ${problem}`),
      ...(hasty.corrupt === 0 ? ["without a flush of blobs nothing is corrupt: the check would not see it"] : [])
    ]
  }
}
