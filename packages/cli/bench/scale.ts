/**
 * How the cost of a build grows with the number of files, of bytes and of layers: `effect-oci build` as users install it,
 * whole processes, once each. It prints the table of `docs/performance.md`.
 *
 * usage: bench scale [--small]
 *
 * It writes 24 GB to a temporary directory; with `--small`, a tenth of everything, and 3 GB.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"

const scale = process.argv.includes("--small") ? 10 : 1
const work = mkdtempSync(join(tmpdir(), "effect-oci-bench-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

const cli = join(import.meta.dirname, "..")
execFileSync(process.execPath, [join(cli, "build.ts")], { stdio: "inherit" })
process.env["NODE_COMPILE_CACHE"] = join(work, "compiled")

interface Run {
  readonly seconds: number
  /** Bytes, at the highest. */
  readonly memory: number
}

const time = (args: ReadonlyArray<string>): Run => {
  const report = join(work, "memory")
  const start = performance.now()
  const { status, stderr } = spawnSync(
    "/usr/bin/time",
    ["-f", "%M", "-o", report, process.execPath, join(cli, "dist/bin.js"), ...args],
    { encoding: "utf8" }
  )
  if (status !== 0) throw new Error(stderr)
  return { seconds: (performance.now() - start) / 1000, memory: Number(readFileSync(report, "utf8")) * 1024 }
}

const build = (additions: ReadonlyArray<string>): Run => {
  const layout = join(work, "layout")
  const run = time([
    "build",
    ...additions.flatMap((directory) => ["--add", `${directory}:/app`]),
    "--to",
    `oci:${layout}:x`,
    "--epoch",
    "0",
    "--no-cache"
  ])
  rmSync(layout, { recursive: true })
  return run
}

const words = Buffer.from(
  Array.from(
    { length: 40_000 },
    (_, index) => createHash("sha256").update(`${index % 5000}`).digest("base64").slice(0, 1 + index % 11)
  ).join(" ")
)

/** Text, a third of which is noise. */
const contentOf = (size: number, seed: number): Buffer => {
  const parts: Array<Buffer> = []
  let length = 0
  for (let index = seed; length < size; index++) {
    const start = index * 7919 % (words.length - 4096)
    const part = index % 3 === 0
      ? Buffer.concat(Array.from({ length: 64 }, (_, n) => createHash("sha512").update(`${index} ${n}`).digest()))
      : words.subarray(start, start + 4096)
    parts.push(part)
    length += part.length
  }
  return Buffer.concat(parts).subarray(0, size)
}

const makeFiles = (directory: string, count: number): void => {
  for (let index = 0; index < count; index++) {
    const folder = join(directory, `${index % 100}`)
    if (index < 100) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `${index}`), contentOf(2048, index))
  }
}

const makeLarge = (directory: string, size: number): void => {
  mkdirSync(directory)
  const piece = contentOf(64 << 20, 1)
  const file = openSync(join(directory, "large"), "w")
  for (let length = 0; length < size; length += piece.length) {
    // So that no two pieces are equal
    piece.writeUInt32LE(length / piece.length, 0)
    writeSync(file, piece)
  }
  closeSync(file)
  if (statSync(join(directory, "large")).size < size) throw new Error("the large file is too small")
}

time(["--version"])
const idle = time(["--version"]).memory
process.stdout.write("| what | time | for each | memory above idle |\n| --- | ---: | ---: | ---: |\n")
const tell = (what: string, count: number, unit: string, { memory, seconds }: Run): void => {
  const each = seconds / count
  const shown = each < 0.001
    ? `${(each * 1e6).toFixed(0)} µs`
    : each < 1
    ? `${(each * 1e3).toFixed(1)} ms`
    : `${each.toFixed(1)} s`
  process.stdout.write(
    `| ${what} | ${seconds.toFixed(1)} s | ${shown} a ${unit} | ${((memory - idle) / 2 ** 20).toFixed(0)} MiB |\n`
  )
}

for (const thousands of [1, 10, 100]) {
  const count = thousands * 1000 / scale
  const directory = join(work, "files")
  makeFiles(directory, count)
  tell(`${count} files of 2 kB`, count, "file", build([directory]))
  rmSync(directory, { recursive: true })
}
for (const gigabytes of [1, 10]) {
  const directory = join(work, "large")
  makeLarge(directory, gigabytes * 1e9 / scale)
  tell(`a file of ${gigabytes / scale} GB`, gigabytes / scale, "GB", build([directory]))
  rmSync(directory, { recursive: true })
}
for (const count of [1, 127]) {
  const directories = Array.from({ length: count }, (_, index) => join(work, `layer${count}.${index}`))
  for (const [index, directory] of directories.entries()) {
    mkdirSync(directory)
    writeFileSync(join(directory, `${index}`), contentOf(1 << 20, index))
  }
  tell(`${count} ${count === 1 ? "layer" : "layers"} of 1 MiB`, count, "layer", build(directories))
}
