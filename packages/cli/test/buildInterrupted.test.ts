/** The program, stopped at any moment of a build. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { filesIn } from "./harness.ts"
import { ask, bundled, execute } from "./program.ts"

const isThorough = process.env["CI"] === "true"
const moments = isThorough ? 20 : 3
const program = bundled("interrupted")

const directory = mkdtempSync(join(tmpdir(), "effect-oci-interrupted-"))
afterAll(() => rmSync(directory, { recursive: true }))
const path = (...names: ReadonlyArray<string>) => join(directory, ...names)

const mebibyte = 1024 * 1024

const settings = {
  cwd: directory,
  env: {
    HOME: directory,
    XDG_CACHE_HOME: path("cache"),
    SOURCE_DATE_EPOCH: "1700000000",
    NODE_COMPILE_CACHE: path("compiled")
  }
}

const build = (
  added: string,
  to: string,
  format: string
) => [program, "build", "--add", `${added}:/app`, "--compression", format, "--to", to]

/** Files below a directory, and what is in them. */
const contents = (directory: string): ReadonlyMap<string, string> =>
  new Map(
    filesIn(directory).map((name) => [
      name,
      createHash("sha256").update(readFileSync(join(directory, name))).digest("hex")
    ])
  )

/** The files that are not as they were before. */
const changed = (before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): ReadonlyArray<string> =>
  Array.from(new Set([...before.keys(), ...after.keys()])).filter((name) => before.get(name) !== after.get(name))

beforeAll(() => {
  mkdirSync(path("small"))
  writeFileSync(path("small/file"), "small")
  mkdirSync(path("large"))
  // A third of it is random
  for (let index = 0; index < (isThorough ? 60 : 9); index++) {
    writeFileSync(
      path("large", `${index}`),
      index % 3 === 0 ? randomBytes(mebibyte) : randomBytes(mebibyte / 2).toString("hex")
    )
  }
  for (let index = 0; index < 500; index++) writeFileSync(path("large", `small ${index}`), `${index}\n`.repeat(500))
})

describe("a build that is stopped", { timeout: 240_000 }, () => {
  it("leaves the layout as it was, at any moment, and nothing that is only begun", async () => {
    await ask(process.execPath, build("small", "oci:out:old", "gzip"), settings)
    const before = contents(path("out"))
    const index = readFileSync(path("out/index.json"))
    const start = performance.now()
    await ask(process.execPath, build("large", "oci:whole", "gzip"), settings)
    const whole = performance.now() - start
    rmSync(path("whole"), { recursive: true })
    const latencies: Array<number> = []
    let done = 0
    const codes = new Map<number | string, number>()
    for (let moment = 0; moment < moments; moment++) {
      rmSync(path("cache"), { recursive: true })
      mkdirSync(path("cache"))
      const wait = 20 + (whole - 20) * moment / (moments - 1)
      const signal = moment % 2 === 0 ? "SIGINT" : "SIGTERM"
      const format = moment % 4 < 2 ? "gzip" : "zstd"
      let stopped = 0
      const { code, stderr, stdout } = await execute(process.execPath, build("large", "oci:out:new", format), {
        ...settings,
        running: (kill) =>
          setTimeout(() => {
            stopped = performance.now()
            kill(signal)
          }, wait)
      })
      const how = `${signal} after ${Math.round(wait)} ms of ${Math.round(whole)}: ${code}\n${stderr}`
      codes.set(code, (codes.get(code) ?? 0) + 1)
      const after = contents(path("out"))
      const changes = changed(before, after)
      if (code !== 0) {
        // A signal that comes before the program listens ends Node, which a shell reports in the same way
        assert.include(signal === "SIGINT" ? [130, "SIGINT"] : [143, "SIGTERM"], code, how)
        assert.strictEqual(stdout, "", how)
        latencies.push(performance.now() - stopped)
      }
      // Once the image is shown, that is carried through
      if (code === 0 || changes.length > 0) {
        const named = await ask(process.execPath, [program, "validate", "oci:out:new"], settings)
        assert.strictEqual(named, "oci:out:new: no errors, no warnings, no notices\n", how)
        assert.lengthOf(changes, 4, how)
        assert.include(changes, "index.json", how)
        done++
      }
      const cached = contents(path("cache"))
      const kept = Array.from(cached).filter(([name, content]) =>
        !/\/(?:oci-layout|index\.json|\.effect-oci\/layers\/sha256-[0-9a-f]{64})$/.test(name) &&
        !name.endsWith(`/blobs/sha256/${content}`)
      )
      assert.deepStrictEqual(kept, [], how)
      for (const name of after.keys()) if (!before.has(name)) rmSync(path("out", name))
      writeFileSync(path("out/index.json"), index)
    }
    assert.strictEqual(
      await ask(process.execPath, [program, "validate", "oci:out:old"], settings),
      "oci:out:old: no errors, no warnings, no notices\n"
    )
    if (isThorough) {
      process.stderr.write(
        `builds stopped at ${moments} moments of ${Math.round(whole)} ms: ` +
          `${Array.from(codes, ([code, count]) => `${count} ended with ${code}`).join(", ")}, ` +
          `${done} made the image; they ended after at most ${Math.round(Math.max(...latencies))} ms\n`
      )
    }
  })
})
