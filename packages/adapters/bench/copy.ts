/**
 * Times how long an image of 1 GB in ten layers takes from one layout to another, against `skopeo copy`, in turns: within a
 * file system, where layers can be shared, and into memory (`/dev/shm`), where every byte is read and written. Ratios are of
 * medians. The memory is that at its highest, above that of a run that does nothing.
 *
 * usage: bench copy [--runs N] [--directory DIR]
 */
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { bundle } from "../../cli/build.ts"
import { layers, layerSize, makeImage } from "./copies/image.ts"
import { report, type Run, timed } from "./copies/runs.ts"

const { values } = parseArgs({
  options: { runs: { type: "string", default: "5" }, directory: { type: "string", default: tmpdir() } }
})
const runs = Number(values.runs)
const work = mkdtempSync(join(values.directory, "effect-oci-bench-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

const run = timed(work)

// As users run it: bundled, with Node's compile cache filled by the round that does not count
await bundle(join(import.meta.dirname, "../../cli/src/bin.ts"), join(work, "program"))
const program = join(work, "program/main.js")
process.env["NODE_COMPILE_CACHE"] = join(work, "compiled")

const source = join(work, "source")
const digest = makeImage(source)

const contestants: ReadonlyArray<readonly [string, (target: string) => Run]> = [
  ["skopeo", (target) => run("skopeo", ["copy", "-q", `oci:${source}:latest`, `oci:${target}:latest`])],
  ["ours", (target) => run(process.execPath, [program, "copy", `oci:${source}:latest`, `oci:${target}:latest`])]
]

const usable = contestants.filter(([name]) => name !== "skopeo" || spawnSync("which", [name]).status === 0)

run(process.execPath, [program, "copy", "--help"])
const idle = run(process.execPath, [program, "copy", "--help"])

const compare = (name: string, folder: string): void => {
  const target = mkdtempSync(join(folder, "effect-oci-bench-"))
  const results = new Map<string, Array<Run>>(usable.map(([contestant]) => [contestant, []]))
  try {
    // The first round fills the caches, and does not count
    for (let round = 0; round <= runs; round++) {
      for (const [contestant, copy] of usable) {
        rmSync(join(target, "out"), { recursive: true, force: true })
        const result = copy(join(target, "out"))
        if (!readFileSync(join(target, "out/index.json"), "utf8").includes(digest)) {
          throw new Error(`${contestant} has made something else`)
        }
        if (round > 0) results.get(contestant)?.push(result)
      }
    }
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
  report(name, results, idle)
}

compare("within a file system", work)
const shared = "/dev/shm"
const hasRoom = (directory: string): boolean => {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize > 1.5 * layers * layerSize
}
if (existsSync(shared) && statSync(shared).dev !== statSync(work).dev && hasRoom(shared)) compare("into memory", shared)
