/** What the checks share: places for files, programs that are started and stopped, and what a check tells. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { createInterface } from "node:readline"
import { bundle } from "../../cli/build.ts"

export interface Outcome {
  /** What was measured, in a line. */
  readonly figure: string
  /** What should not have been found. */
  readonly problems: ReadonlyArray<string>
}

export interface Scale {
  /** Whether it only has to be seen that something is wrong. */
  readonly brief?: boolean
  /** Whether all of what was promised is run, which takes long. */
  readonly full: boolean
}

/** Chooses a count. */
export const either = ({ brief, full }: Scale, few: number, all: number): number =>
  full ? all : brief === true ? Math.ceil(few / 3) : few

/** Why a check cannot run on this machine. */
export class Impossible extends Error {}

export const needRoot = (): void => {
  if (process.getuid?.() !== 0) throw new Impossible("it needs root")
}

export const needCommands = (...commands: ReadonlyArray<string>): void => {
  const missing = commands.filter((command) => spawnSync("sh", ["-c", `command -v ${command}`]).status !== 0)
  if (missing.length > 0) throw new Impossible(`it needs ${missing.join(", ")}`)
}

const undoing: Array<() => void> = []

/** Does something at the end of this process, however that comes; what was done last is undone first. */
export const atExit = (undo: () => void): void => void undoing.push(undo)

process.on("exit", () => {
  for (const undo of undoing.toReversed()) {
    try {
      undo()
    } catch (error) {
      process.stderr.write(`${String(error)}\n`)
    }
  }
})
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1))

const removed = (directory: string): string => {
  atExit(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** In memory, where that can be had: what a check is about is seldom the disk. */
const root = removed(mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "effect-oci-faults-")))
// Another user may pass through
chmodSync(root, 0o711)
let count = 0

/** A path where nothing is yet. */
export const fresh = (name: string): string => join(root, `${name}-${++count}`)

export const freshDirectory = (name: string): string => {
  const directory = fresh(name)
  mkdirSync(directory)
  return directory
}

const compiled = join(root, "compiled")
// Else each start of a program would first find out that it is a module
writeFileSync(join(root, "package.json"), `{"type":"module"}`)

const bundles = new Map<string, Promise<string>>()

const bundleAt = async (input: string): Promise<string> => {
  const directory = fresh("program")
  await bundle(join(import.meta.dirname, input), directory)
  return join(directory, "main.js")
}

/** A program as one module, which starts in a fraction of the time. The path is relative to this file. */
export const program = (input: string): Promise<string> => {
  const found = bundles.get(input) ?? bundleAt(input)
  bundles.set(input, found)
  return found
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface Running {
  readonly pid: number
  readonly child: ChildProcess
  /** All lines of stdout up to now. */
  readonly lines: ReadonlyArray<string>
  /** The first line of stdout that is not taken yet, or nothing at the end. */
  readonly next: () => Promise<string | undefined>
  readonly errors: () => string
  readonly send: (...lines: ReadonlyArray<string>) => void
  /** Ends stdin, and waits for the end. */
  readonly finish: () => Promise<Ended>
  readonly kill: (signal?: NodeJS.Signals) => Promise<Ended>
  readonly ended: Promise<Ended>
}

/** Starts a command, which is killed with this process. */
export const start = (command: string, args: ReadonlyArray<string>, options: {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
} = {}): Running => {
  const child = spawn(command, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: { ...process.env, NODE_COMPILE_CACHE: compiled, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd })
  })
  const kill = (signal: NodeJS.Signals) => child.exitCode === null && child.signalCode === null && child.kill(signal)
  atExit(() => kill("SIGKILL"))
  const lines: Array<string> = []
  const waiting: Array<(line: string | undefined) => void> = []
  let taken = 0
  let isClosed = false
  let errors = ""
  const reader = createInterface(child.stdout)
  reader.on("line", (line) => {
    lines.push(line)
    const wake = waiting.shift()
    if (wake !== undefined) wake(lines[taken++])
  })
  const drained = new Promise<void>((done) => {
    const close = () => {
      isClosed = true
      for (const wake of waiting.splice(0)) wake(undefined)
      done()
    }
    reader.once("close", close)
    child.stdout.once("close", close)
  })
  child.stderr.on("data", (data) => errors += String(data))
  // Whoever was killed reads nothing any more
  child.stdin.on("error", () => {})
  const ended = new Promise<Ended>((done, fail) => {
    child.once("error", fail)
    child.once("close", (code, signal) => void drained.then(() => done({ code, signal })))
  })
  return {
    pid: child.pid ?? 0,
    child,
    lines,
    next: () =>
      taken < lines.length
        ? Promise.resolve(lines[taken++])
        : isClosed
        ? Promise.resolve(undefined)
        : new Promise((done) => waiting.push(done)),
    errors: () => errors,
    send: (...lines) => void child.stdin.write(lines.map((line) => `${line}\n`).join("")),
    finish: () => {
      child.stdin.end()
      return ended
    },
    kill: (signal = "SIGKILL") => {
      kill(signal)
      return ended
    },
    ended
  }
}

/** Starts a program of ours. */
export const startNode = (file: string, args: ReadonlyArray<string> = [], options: Parameters<typeof start>[2] = {}) =>
  start(process.execPath, [file, ...args], options)

/** Starts the exporter, and waits until it listens. */
export const startExporter = async (...args: ReadonlyArray<string>): Promise<Running> => {
  // With one thread for files, what it asks of the system comes in the same order each time
  const running = startNode(await program("programs/exporter.ts"), args, { env: { UV_THREADPOOL_SIZE: "1" } })
  const line = await running.next()
  if (line !== "ready") throw new Error(`the exporter does not start: ${running.errors()}`)
  return running
}

export const pause = (milliseconds: number): Promise<void> => new Promise((done) => setTimeout(done, milliseconds))

/** Runs a command to its end, and fails if that does. */
export const command = (name: string, ...args: ReadonlyArray<string>): string =>
  execFileSync(name, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })

/** Mounts a file system until this process ends, or before. */
export const mount = (directory: string, ...args: ReadonlyArray<string>): () => void => {
  let isMounted = true
  command("mount", ...args, directory)
  const unmount = () => {
    if (isMounted) command("umount", directory)
    isMounted = false
  }
  atExit(unmount)
  return unmount
}

/** What is in the private area of a layout. */
export const areaOf = (layout: string): ReadonlyArray<string> => {
  const area = join(layout, ".effect-oci")
  return existsSync(area) ? readdirSync(area) : []
}

/** Runs something for each index, two at a time. */
export const twoByTwo = async (count: number, run: (index: number) => Promise<void>): Promise<void> => {
  let next = 0
  const work = async () => {
    for (let index = next++; index < count; index = next++) await run(index)
  }
  await Promise.all([work(), work()])
}

/** Collects problems, and tells where they were found. */
export const problemsOf = (): {
  readonly all: Array<string>
  readonly add: (at: string, ...found: ReadonlyArray<string>) => void
} => {
  const all: Array<string> = []
  return { all, add: (at, ...found) => void all.push(...found.map((problem) => `${at}: ${problem}`)) }
}
