/** Many processes that tag images in one layout at once, some of which are killed, and a reader beside them. */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import {
  areaOf,
  command,
  either,
  fresh,
  type Outcome,
  pause,
  problemsOf,
  program,
  type Running,
  type Scale,
  startNode
} from "./support.ts"

const processes = 16
const tags = 8
const killed = 6

/** Tags in a second, at least: where each process makes one tag, and where it makes all of its tags. */
const leastRate = { one: 15, all: 50 } as const

/**
 * The same as a part of how many programs that do nothing start and end in a second, which tells how fast the machine is
 * just now. One that runs 90 of them is to make the promised number of tags.
 */
const leastPart = { one: leastRate.one / 90, all: leastRate.all / 90 } as const

const namesIn = (layout: string): ReadonlySet<string> => {
  const { manifests } = JSON.parse(readFileSync(join(layout, "index.json"), "utf8"))
  return new Set(
    manifests.map((manifest: { annotations: Record<string, string> }) =>
      manifest.annotations["org.opencontainers.image.ref.name"]
    )
  )
}

/** The fixture prints each name that it has given. */
const tagger = "../test/fixtures/tag.ts"

/** Runs all processes, and gives the tags that were acknowledged, in how many seconds. */
const round = async (layout: string, perProcess: "one" | "all") => {
  const file = await program(tagger)
  const acked: Array<string> = []
  const errors: Array<string> = []
  const start = performance.now()
  await Promise.all(Array.from({ length: processes }, async (_, index) => {
    const names = Array.from({ length: tags }, (_, tag) => `${index}-${tag}`)
    const runs = perProcess === "one" ? names.map((name) => [name]) : [names]
    // After so many tags, and a little while: not all at the same moment of their lives
    const dies = index < killed ? Math.floor(Math.random() * tags) : Infinity
    let count = 0
    for (const args of runs) {
      const running: Running = startNode(file, [layout, ...args])
      if (count + args.length > dies) {
        while (count + running.lines.length < dies && (await running.next()) !== undefined);
        await pause(perProcess === "one" ? 50 + Math.random() * 200 : Math.random() * 30)
        await running.kill()
        acked.push(...running.lines)
        return
      }
      const { code } = await running.finish()
      if (code !== 0) errors.push(running.errors())
      acked.push(...running.lines)
      count += running.lines.length
    }
  }))
  return { acked, errors, seconds: (performance.now() - start) / 1000 }
}

/** How many programs that do nothing this machine starts and ends in a second, as many at once as there are taggers. */
const starts = async (): Promise<number> => {
  const start = performance.now()
  await Promise.all(Array.from({ length: processes }, async () => {
    for (let tag = 0; tag < tags; tag++) await startNode("-e", ["0"]).finish()
  }))
  return processes * tags / ((performance.now() - start) / 1000)
}

export const run = async (scale: Scale): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const layout = fresh("taggers")
  const file = await program(tagger)
  let acked = 0
  const tagged = async (layout: string, perProcess: "one" | "all"): Promise<number> => {
    const found = await round(layout, perProcess)
    const names = namesIn(layout)
    const missing = found.acked.filter((name) => !names.has(name))
    add(
      `a process for ${perProcess}`,
      ...found.errors,
      ...missing.map((name) => `${name} was acknowledged, and is missing`)
    )
    acked += found.acked.length
    return found.acked.length / found.seconds
  }
  const rates = { one: 0, all: 0 }
  const best = either(scale, 2, 5)
  let empty = 0
  for (const perProcess of ["one", "all"] as const) {
    for (let time = 0; time < best; time++) {
      empty = Math.max(empty, await starts())
      rates[perProcess] = Math.max(rates[perProcess], await tagged(fresh("tags"), perProcess))
    }
  }
  const parts = { one: rates.one / empty, all: rates.all / empty }
  for (const perProcess of ["one", "all"] as const) {
    const [rate, part] = [rates[perProcess], parts[perProcess]]
    // Whatever else the machine does takes from the rate, so that is asked for where all of what was promised is run
    if (scale.full && rate < leastRate[perProcess]) {
      add(`a process for ${perProcess} tags`, `${rate.toFixed(0)} tags/s, expected ${leastRate[perProcess]}`)
    }
    // A rate does not tell what is lost
    if (scale.brief !== true && part < leastPart[perProcess]) {
      add(
        `a process for ${perProcess} tags`,
        `${part.toFixed(2)} of the rate of empty programs, expected ${leastPart[perProcess].toFixed(2)}`
      )
    }
  }
  const reads = either(scale, 3000, 15_000)
  await tagged(layout, "all")
  const reader = startNode(await program("programs/reader.ts"), [layout, String(reads)])
  const reading = { is: true }
  const ended = reader.finish().then((ended) => {
    reading.is = false
    return ended
  })
  let rounds = 1
  while (reading.is) {
    await tagged(layout, "all")
    rounds++
  }
  const { code } = await ended
  const torn = reader.lines.filter((line) => line !== `read ${reads}`)
  add("the reader", ...torn, ...code === 0 ? [] : [reader.errors()])
  command(process.execPath, file, layout, "last")
  add("the next run", ...areaOf(layout).map((name) => `left behind: ${name}`))
  rmSync(layout, { recursive: true })
  return {
    figure:
      `${processes} processes, ${killed} of them killed, ${best + best + rounds} times: ${acked} acknowledged tags; ` +
      `${rates.one.toFixed(0)} tags/s with a process a tag, ${
        rates.all.toFixed(0)
      } with a process for ${tags}, where ` +
      `${empty.toFixed(0)} empty programs/s run: ${parts.one.toFixed(2)} and ${parts.all.toFixed(2)} of them; ` +
      `${reads} reads meanwhile, ${torn.length} torn`,
    problems: all
  }
}
