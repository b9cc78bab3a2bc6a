/**
 * Times how long an image of 1 GB in ten layers takes from one layout to another, against `skopeo copy`, in turns: within a
 * file system, where layers can be shared, and into memory (`/dev/shm`), where every byte is read and written. Ratios are of
 * medians. The memory is that at its highest, above that of a run that does nothing.
 *
 * usage: bench copy [--runs N] [--directory DIR]
 */
import { spawnSync } from "node:child_process"
import { createCipheriv, createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { gzipSync } from "node:zlib"
import { bundle } from "../../cli/build.ts"

const { values } = parseArgs({
  options: { runs: { type: "string", default: "5" }, directory: { type: "string", default: tmpdir() } }
})
const runs = Number(values.runs)
const layers = 10
const layerSize = 100 * 1024 * 1024
const work = mkdtempSync(join(values.directory, "effect-oci-bench-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

const mediaType = (name: string): string => `application/vnd.oci.image.${name}`

/** Bytes that do not compress, the same in each run. */
const noise = (seed: number): Buffer =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(layerSize))

/** Makes the image in a layout, and gives the digest of its manifest. */
const makeImage = (directory: string): string => {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true })
  const put = (type: string, content: Uint8Array | string) => {
    const hash = createHash("sha256").update(content).digest("hex")
    writeFileSync(join(directory, "blobs/sha256", hash), content, { mode: 0o644 })
    return { mediaType: mediaType(type), digest: `sha256:${hash}`, size: Buffer.byteLength(content) }
  }
  const contents = Array.from({ length: layers }, (_, index) => {
    const tar = noise(index)
    const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`
    return { diffId, layer: put("layer.v1.tar+gzip", gzipSync(tar, { level: 0 })) }
  })
  const config = put(
    "config.v1+json",
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: contents.map(({ diffId }) => diffId) }
    })
  )
  const manifest = put(
    "manifest.v1+json",
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaType("manifest.v1+json"),
      config,
      layers: contents.map(({ layer }) => layer)
    })
  )
  writeFileSync(join(directory, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
  const annotations = { "org.opencontainers.image.ref.name": "latest" }
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size, annotations }]
    })
  )
  return manifest.digest
}

/** What a run took: wall time in milliseconds, memory at its highest in bytes. */
interface Run {
  readonly time: number
  readonly memory: number
}

/** Runs a command under GNU time, where it is installed, for the memory. */
const timed = (command: string, args: ReadonlyArray<string>): Run => {
  const report = join(work, "memory")
  const isMeasured = existsSync("/usr/bin/time")
  const [program, ...rest] = isMeasured
    ? ["/usr/bin/time", "-f", "%M", "-o", report, command, ...args]
    : [command, ...args]
  const start = performance.now()
  const { error, status, stderr } = spawnSync(program ?? command, rest, { encoding: "utf8" })
  const time = performance.now() - start
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`)
  return { time, memory: isMeasured ? Number(readFileSync(report, "utf8")) * 1024 : Number.NaN }
}

// As users run it: bundled, with Node's compile cache filled by the round that does not count
await bundle(join(import.meta.dirname, "../../cli/src/bin.ts"), join(work, "program"))
const program = join(work, "program/main.js")
process.env["NODE_COMPILE_CACHE"] = join(work, "compiled")

const source = join(work, "source")
const digest = makeImage(source)

const contestants: ReadonlyArray<readonly [string, (target: string) => Run]> = [
  ["skopeo", (target) => timed("skopeo", ["copy", "-q", `oci:${source}:latest`, `oci:${target}:latest`])],
  ["ours", (target) => timed(process.execPath, [program, "copy", `oci:${source}:latest`, `oci:${target}:latest`])]
]

const usable = contestants.filter(([name]) => name !== "skopeo" || spawnSync("which", [name]).status === 0)

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN

timed(process.execPath, [program, "copy", "--help"])
const idle = timed(process.execPath, [program, "copy", "--help"])

const megabytes = (bytes: number): string => Number.isNaN(bytes) ? "unknown" : `${(bytes / 2 ** 20).toFixed(0)} MiB`

const compare = (name: string, folder: string): void => {
  const target = mkdtempSync(join(folder, "effect-oci-bench-"))
  const results = new Map<string, Array<Run>>(usable.map(([contestant]) => [contestant, []]))
  try {
    // The first round fills the caches, and does not count
    for (let round = 0; round <= runs; round++) {
      for (const [contestant, run] of usable) {
        rmSync(join(target, "out"), { recursive: true, force: true })
        const result = run(join(target, "out"))
        if (!readFileSync(join(target, "out/index.json"), "utf8").includes(digest)) {
          throw new Error(`${contestant} has made something else`)
        }
        if (round > 0) results.get(contestant)?.push(result)
      }
    }
  } finally {
    rmSync(target, { recursive: true, force: true })
  }
  const base = median((results.get("skopeo") ?? []).map(({ time }) => time))
  process.stdout.write(`${name}, ${runs} runs\n`)
  for (const [contestant, found] of results) {
    const time = median(found.map((run) => run.time))
    const memory = Math.max(...found.map((run) => run.memory))
    process.stdout.write(
      `  ${contestant.padEnd(8)} ${time.toFixed(0).padStart(6)} ms  ratio ${(time / base).toFixed(2)}  memory ${
        megabytes(memory)
      }${contestant === "ours" ? `, ${megabytes(memory - idle.memory)} above idle` : ""}\n`
    )
  }
}

compare("within a file system", work)
const shared = "/dev/shm"
const hasRoom = (directory: string): boolean => {
  const { bavail, bsize } = statfsSync(directory)
  return bavail * bsize > 1.5 * layers * layerSize
}
if (existsSync(shared) && statSync(shared).dev !== statSync(work).dev && hasRoom(shared)) compare("into memory", shared)
