/** Runs of whole programs, and what is told of them. */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"

/** What a run took: wall time in milliseconds, memory at its highest in bytes. */
export interface Run {
  readonly time: number
  readonly memory: number
}

/** Runs a command under GNU time, where it is installed, for the memory, which is told in a file of the directory. */
export const timed = (directory: string) => (command: string, args: ReadonlyArray<string>): Run => {
  const report = join(directory, "memory")
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

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((one, other) => one - other)[values.length >> 1] ?? Number.NaN

const megabytes = (bytes: number): string => Number.isNaN(bytes) ? "unknown" : `${(bytes / 2 ** 20).toFixed(0)} MiB`

/**
 * Prints what the runs of each contestant took, and gives the medians of their times. Ratios are against skopeo; memory of ours
 * also above `idle`.
 */
export const report = (
  name: string,
  results: ReadonlyMap<string, ReadonlyArray<Run>>,
  idle: Run
): ReadonlyMap<string, number> => {
  const times = new Map([...results].map(([contestant, found]) => [contestant, median(found.map(({ time }) => time))]))
  const base = times.get("skopeo") ?? Number.NaN
  const [some = []] = results.values()
  process.stdout.write(`${name}, ${some.length} runs\n`)
  for (const [contestant, found] of results) {
    const time = times.get(contestant) ?? Number.NaN
    const memory = Math.max(...found.map((run) => run.memory))
    process.stdout.write(
      `  ${contestant.padEnd(8)} ${time.toFixed(0).padStart(6)} ms  ratio ${(time / base).toFixed(2)}  memory ${
        megabytes(memory)
      }${contestant === "ours" ? `, ${megabytes(memory - idle.memory)} above idle` : ""}\n`
    )
  }
  return times
}
