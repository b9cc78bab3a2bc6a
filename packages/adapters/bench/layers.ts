/**
 * Times how long a directory takes to become a layer of an image layout, against umoci, buildah, crane and `tar | pigz |
 * sha256sum`, as far as they are installed, in turns. Ratios are of medians, and against umoci.
 *
 * Two trees: a mixture, which it makes (154 MB in 3,606 files, a third of them random), and a directory like
 * `node_modules`, which it is told of or finds here.
 *
 * usage: bench layers [--runs N] [DIRECTORY]
 */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { bundle } from "../../cli/build.ts"

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { runs: { type: "string", default: "5" } }
})
const runs = Number(values.runs)
const root = join(import.meta.dirname, "../../..")
const work = mkdtempSync(join(tmpdir(), "effect-oci-bench-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

/** Numbers from 0 to 1 that are the same in each run, so that the mixture is too. */
const numbers = (seed: string) => {
  let bytes = Buffer.alloc(0)
  let at = 0
  let count = 0
  return (): number => {
    if (at === bytes.length) {
      bytes = createHash("sha512").update(`${seed} ${count++}`).digest()
      at = 0
    }
    at += 4
    return bytes.readUInt32LE(at - 4) / 2 ** 32
  }
}

const words = (() => {
  const next = numbers("words")
  return Array.from({ length: 5000 }, () => next().toString(36).slice(2, 4 + Math.floor(next() * 8)))
})()

const text = (size: number, next: () => number): string => {
  const parts: Array<string> = []
  for (let length = 0; length <= size;) {
    // Some words are frequent, as in any language
    const word = words[Math.floor(next() ** 3 * words.length)] ?? ""
    parts.push(word)
    length += word.length + 1
  }
  return parts.join(" ").slice(0, size)
}

const makeMixture = (): string => {
  const directory = join(work, "mixture")
  const next = numbers("mixture")
  const count = 3606
  // Most files are small, most bytes are in large ones
  const weights = Array.from({ length: count }, () => Math.exp(1.5 * (next() + next() + next() + next() - 2) * 1.7))
  const total = weights.reduce((sum, weight) => sum + weight)
  const noise = (size: number): Buffer => {
    const parts: Array<Buffer> = []
    for (let length = 0; length < size; length += 64) parts.push(createHash("sha512").update(`${next()}`).digest())
    return Buffer.concat(parts).subarray(0, size)
  }
  weights.forEach((weight, index) => {
    const folder = join(directory, `${index % 60}`)
    mkdirSync(folder, { recursive: true })
    const size = Math.round(weight / total * 154e6)
    writeFileSync(join(folder, `${index}`), index % 3 === 0 ? noise(size) : text(size, next))
  })
  return directory
}

/** What a run took: wall time in milliseconds, memory at its highest in bytes, size of the layer in bytes. */
interface Run {
  readonly time: number
  readonly memory: number | undefined
  readonly size: number
}

const shell = (command: string, args: ReadonlyArray<string>): string => {
  const { error, status, stderr, stdout } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 26 })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`)
  return stdout
}

const has = (command: string): boolean => spawnSync("which", [command]).status === 0

/** Runs a command under GNU time, where it is installed, for the memory. */
const timed = (
  command: string,
  args: ReadonlyArray<string>
): { readonly time: number; readonly memory?: number; readonly output: string } => {
  const report = join(work, "memory")
  const isMeasured = existsSync("/usr/bin/time")
  const start = performance.now()
  const output = isMeasured
    ? shell("/usr/bin/time", ["-f", "%M", "-o", report, command, ...args])
    : shell(command, args)
  const time = performance.now() - start
  return isMeasured ? { time, memory: Number(readFileSync(report, "utf8")) * 1024, output } : { time, output }
}

/** The sizes of all files below a directory. No link is followed. */
const sizesIn = (directory: string): ReadonlyArray<number> =>
  readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name)
    return entry.isDirectory() ? sizesIn(path) : entry.isFile() ? [statSync(path).size] : []
  })

const largestIn = (directory: string): number => Math.max(...sizesIn(directory))

const target = join(work, "target")
const clear = (): void => rmSync(target, { recursive: true, force: true })

// As users run it: bundled, with Node's compile cache filled by the round that does not count
await bundle(join(import.meta.dirname, "layers/store.ts"), join(work, "program"))
const program = join(work, "program/main.js")
process.env["NODE_COMPILE_CACHE"] = join(work, "compiled")

const ours = (format: string, level: number) => (directory: string): Run => {
  clear()
  const { memory, time } = timed(process.execPath, [program, format, `${level}`, directory, target])
  return { time, memory, size: largestIn(join(target, "blobs")) }
}

/** A second time, into the same layout and with the same cache: the first time, others may have touched the files. */
const oursAgain = (directory: string): Run => {
  const layout = join(work, "again")
  const args = [program, "gzip", "2", directory, layout, join(work, "cache")]
  shell(process.execPath, args)
  const { memory, output, time } = timed(process.execPath, args)
  if (!output.includes("\"fromCache\":true")) throw new Error(`it was made again: ${output}`)
  return { time, memory, size: Number(/"size":(\d+)/.exec(output)?.[1]) }
}

const umoci = (directory: string): Run => {
  clear()
  shell("umoci", ["init", "--layout", target])
  shell("umoci", ["new", "--image", `${target}:x`])
  const { memory, time } = timed("umoci", ["insert", "--rootless", "--image", `${target}:x`, directory, "/app"])
  return { time, memory, size: largestIn(join(target, "blobs")) }
}

const buildah = (directory: string): Run => {
  clear()
  const store = ["--root", join(work, "store"), "--runroot", join(work, "run"), "--storage-driver", "vfs"]
  const container = shell("buildah", [...store, "from", "scratch"]).trim()
  const start = performance.now()
  const added = timed("buildah", [...store, "add", "-q", container, directory, "/app"])
  const committed = timed("buildah", [
    ...store,
    "commit",
    "-q",
    "--disable-compression=false",
    container,
    `oci:${target}`
  ])
  const time = performance.now() - start
  shell("buildah", [...store, "rm", container])
  const memory = Math.max(added.memory ?? 0, committed.memory ?? 0)
  return { time, memory, size: largestIn(join(target, "blobs")) }
}

const pipe = (directory: string): Run => {
  clear()
  mkdirSync(target)
  const script = `tar -c --sort=name -C "$1" . | pigz | tee "$2/blob" | sha256sum`
  const { time } = timed("bash", ["-o", "pipefail", "-c", script, "bash", directory, target])
  return { time, memory: undefined, size: largestIn(target) }
}

const crane = (directory: string): Run => {
  clear()
  mkdirSync(target)
  const script =
    `tar -c --sort=name -C "$1" -f "$2/layer.tar" . && crane append -f "$2/layer.tar" -t x:y -o "$2/image" &&
    rm "$2/layer.tar"`
  const { memory, time } = timed("bash", ["-c", script, "bash", directory, target])
  return { time, memory, size: largestIn(target) }
}

type Contestant = readonly [string, (directory: string) => Run]

const contestants: ReadonlyArray<Contestant> = [
  ...(has("umoci") ? [["umoci", umoci] as const] : []),
  ["ours, gzip", ours("gzip", 2)],
  ["ours, zstd", ours("zstd", 3)],
  ["ours, uncompressed", ours("uncompressed", 0)],
  ["ours, unchanged", oursAgain],
  ...(has("buildah") ? [["buildah", buildah] as const] : []),
  ...(has("crane") ? [["crane", crane] as const] : []),
  ...(has("pigz") ? [["tar | pigz | sha256sum", pipe] as const] : [])
]

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1)

const compare = (name: string, directory: string): void => {
  const sizes = sizesIn(directory)
  const total = sizes.reduce((sum, size) => sum + size, 0)
  process.stdout.write(`${name}: ${megabytes(total)} MB in ${sizes.length} files, ${runs} runs\n`)
  // The first round fills the caches, and does not count
  const usable = contestants.filter(([contestant, run]) => {
    try {
      run(directory)
      return true
    } catch (cause) {
      process.stdout.write(`  ${contestant} does not run here: ${String(cause).split("\n")[0]}\n`)
      return false
    }
  })
  const results = new Map<string, Array<Run>>(usable.map(([contestant]) => [contestant, []]))
  for (let round = 0; round < runs; round++) {
    for (const [contestant, run] of usable) results.get(contestant)?.push(run(directory))
  }
  const base = results.get("umoci") ?? []
  const baseTime = median(base.map(({ time }) => time))
  for (const [contestant, found] of results) {
    const time = median(found.map((run) => run.time))
    const size = found[0]?.size ?? 0
    const memory = Math.max(...found.map((run) => run.memory ?? Number.NaN))
    process.stdout.write(
      `  ${contestant.padEnd(24)} ${time.toFixed(0).padStart(6)} ms  ratio ${(time / baseTime).toFixed(2)}  ${
        megabytes(size).padStart(6)
      } MB  ratio ${(size / (base[0]?.size ?? Number.NaN)).toFixed(3)}  memory ${
        Number.isNaN(memory) ? "unknown" : `${(memory / 2 ** 20).toFixed(0)} MiB`
      }\n`
    )
  }
}

timed(process.execPath, [program])
const idle = timed(process.execPath, [program])
process.stdout.write(`idle: ${idle.time.toFixed(0)} ms, ${((idle.memory ?? 0) / 2 ** 20).toFixed(0)} MiB\n`)
compare("a mixture", makeMixture())
compare("node_modules", resolve(positionals[0] ?? join(root, "node_modules")))
