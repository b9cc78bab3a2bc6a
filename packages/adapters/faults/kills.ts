/** `kill -9` at random moments of exports, and at each call that changes files. */
import { cpSync, rmSync } from "node:fs"
import { inspect, judge } from "./inspect.ts"
import { type Call, callsOf, injected, sample, systems } from "./strace.ts"
import {
  areaOf,
  either,
  fresh,
  needCommands,
  type Outcome,
  pause,
  problemsOf,
  type Scale,
  startExporter,
  twoByTwo
} from "./support.ts"

/** So many kills happen to one layout, one after the other. */
const perLayout = 10
const exportsPerProcess = 60

/** What the lines of an exporter acknowledge: the last version of each name. */
export const acknowledged = (lines: ReadonlyArray<string>): ReadonlyMap<string, string> =>
  new Map(
    lines.filter((line) => line.startsWith("ok ")).map((line) => {
      const [, name = "", version = ""] = line.split(" ")
      return [name, version]
    })
  )

/** Compares what is there with what was acknowledged. `latest` may be the next one already. */
const lost = (
  images: ReadonlyMap<string, string>,
  acked: ReadonlyMap<string, string>,
  later: (name: string, version: string) => boolean
): ReadonlyArray<string> =>
  [...acked].flatMap(([name, version]) => {
    const found = images.get(name)
    return found === version || (found !== undefined && later(name, found))
      ? []
      : [`${name} was acknowledged as ${version}, and is ${found ?? "missing"}`]
  })

const randomKills = async (scale: Scale) => {
  const kills = either(scale, 150, 1000)
  const { add, all } = problemsOf()
  let acks = 0
  let judged = 0
  let done = 0
  let cutShort = 0
  await twoByTwo(Math.ceil(kills / perLayout), async (round) => {
    const layout = fresh("kills")
    const known = new Map<string, string>()
    let next = startExporter()
    for (let kill = 0; kill < perLayout; kill++) {
      const exporter = await next
      next = startExporter()
      const at = `kill ${round * perLayout + kill}`
      const versions = Array.from({ length: exportsPerProcess }, (_, index) => `${kill}.${index}`)
      exporter.send(
        ...versions.map((version, index) =>
          `${layout} ${index % 3 === 2 ? `v${version}` : "latest"} ${version} ${1 + Math.floor(Math.random() * 30_000)}`
        )
      )
      // The first export of a process takes the longest
      if (kill % 3 > 0) await exporter.next()
      await pause(Math.random() * 100)
      await exporter.kill()
      const failed = exporter.lines.filter((line) => line.startsWith("failed"))
      add(at, ...failed)
      const acked = acknowledged(exporter.lines)
      for (const [name, version] of acked) known.set(name, version)
      const count = exporter.lines.length - 1
      acks += count
      if (areaOf(layout).length > 0) cutShort++
      const { images, problems } = await inspect(layout)
      add(at, ...problems)
      if (problems.length > 0) continue
      add(at, ...lost(images, known, (name, version) => name === "latest" && version === versions[count]))
      // What was not acknowledged is there only if it was under way
      for (const [name, version] of images) {
        if (known.get(name) !== version && version !== versions[count]) {
          add(at, `${name} is ${version}: nobody made that`)
        }
        known.set(name, version)
      }
      if (done++ % 25 === 0) {
        judged++
        for (const name of [...images.keys()].slice(-2)) add(at, ...judge(layout, name))
      }
    }
    const last = await next
    last.send(`${layout} last last`)
    add(
      `after kill ${round * perLayout}`,
      ...(await last.next())?.startsWith("ok") === true ? [] : [`stuck: ${last.lines[1]}`]
    )
    await last.finish()
    add(`after kill ${round * perLayout}`, ...areaOf(layout).map((name) => `left behind: ${name}`))
    rmSync(layout, { recursive: true, force: true })
  })
  return {
    figure: `${done} kills at random moments (${cutShort} within a write), ${acks} acknowledged exports, ` +
      `${judged} layouts judged by skopeo and umoci`,
    problems: all
  }
}

/** Kills an exporter at one call. */
const killAt = async (base: string | undefined, call: Call, problems: ReturnType<typeof problemsOf>) => {
  const layout = fresh("killed")
  if (base !== undefined) cpSync(base, layout, { recursive: true })
  const exporter = await startExporter()
  const hit = await injected(exporter, call, "signal=SIGKILL", `${layout} latest new`)
  const isKilled = (await exporter.finish()).signal === "SIGKILL"
  const at = `killed at the ${call.system} ${call.count} of the ${call.thread} thread`
  const { images, problems: found } = await inspect(layout)
  problems.add(at, ...found)
  const version = images.get("latest")
  const isAcked = exporter.lines.some((line) => line.startsWith("ok"))
  if (version !== "new" && (isAcked || version !== (base === undefined ? undefined : "old"))) {
    problems.add(at, `the image is ${version ?? "missing"}`)
  }
  const next = await startExporter()
  next.send(`${layout} latest newer`)
  const answer = await next.next()
  if (answer !== "ok latest newer") problems.add(at, `the next run: ${answer ?? next.errors()}`)
  await next.finish()
  problems.add(at, ...areaOf(layout).map((name) => `left behind: ${name}`))
  rmSync(layout, { recursive: true, force: true })
  return isKilled && hit !== undefined
}

const sweptKills = async (scale: Scale) => {
  const problems = problemsOf()
  let kills = 0
  let points = 0
  const old = fresh("old")
  const first = await startExporter()
  first.send(`${old} latest old`)
  await first.next()
  await first.finish()
  for (const base of [old, undefined]) {
    const exporter = await startExporter()
    const layout = fresh("counted")
    if (base !== undefined) cpSync(base, layout, { recursive: true })
    const calls = await callsOf(exporter, `${layout} latest new`)
    await exporter.finish()
    const chosen = sample(calls, either(scale, base === undefined ? 15 : 25, Infinity))
    points += calls.length
    await twoByTwo(chosen.length, async (index) => {
      const call = chosen[index]
      if (call !== undefined && (await killAt(base, call, problems))) kills++
    })
  }
  return { figure: `${kills} kills at calls (of ${points}: ${systems.join(", ")})`, problems: problems.all }
}

export const run = async (scale: Scale): Promise<Outcome> => {
  needCommands("skopeo", "umoci", "strace")
  const random = await randomKills(scale)
  const swept = await sweptKills(scale)
  return { figure: `${random.figure}; ${swept.figure}`, problems: [...random.problems, ...swept.problems] }
}
