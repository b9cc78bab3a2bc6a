/** Errors of the system at each call that changes files, and disks that are full. */
import { cpSync, rmSync, statfsSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "./inspect.ts"
import { type Call, callsOf, injected, sample } from "./strace.ts"
import {
  areaOf,
  command,
  either,
  fresh,
  freshDirectory,
  mount,
  needCommands,
  needRoot,
  type Outcome,
  problemsOf,
  type Running,
  type Scale,
  startExporter,
  twoByTwo
} from "./support.ts"

const codes = ["ENOSPC", "EIO", "EACCES", "EROFS", "EMFILE"] as const

const isTyped = (answer: string | undefined, code: string): boolean =>
  answer !== undefined && new RegExp(`^failed latest \\w+ ${code} .*\\(${code}\\)`).test(answer)

/** What has to be true of a layout that had the image `old`, after the export of `new` has ended so. */
const check = async (layout: string, base: string | undefined, answer: string | undefined) => {
  const { images, problems } = await inspect(layout)
  const found = images.get("latest")
  const allowed = answer?.startsWith("ok") === true ? ["new"] : ["new", base === undefined ? undefined : "old"]
  return allowed.includes(found) ? problems : [...problems, `the image is ${found ?? "missing"}`]
}

const sweep = async (scale: Scale) => {
  const { add, all } = problemsOf()
  const old = fresh("old")
  const first = await startExporter()
  first.send(`${old} latest old`)
  await first.next()
  const layouts: ReadonlyArray<string | undefined> = [old, undefined]
  const points: Array<{ readonly base: string | undefined; readonly call: Call }> = []
  for (const base of layouts) {
    const layout = fresh("counted")
    if (base !== undefined) cpSync(base, layout, { recursive: true })
    const calls = await callsOf(first, `${layout} latest new`)
    points.push(...calls.map((call) => ({ base, call })))
  }
  await first.finish()
  const wanted = codes.flatMap((code) => points.map((point) => ({ point, code })))
  const chosen = sample(wanted, either(scale, 80, Infinity))
  let injections = 0
  let failed = 0
  let tolerated = 0
  const exporters: Array<Running> = []
  const later: Array<{ readonly at: string; readonly layout: string }> = []
  await twoByTwo(chosen.length, async (index) => {
    const wanted = chosen[index]
    if (wanted === undefined) return
    const { code, point: { base, call } } = wanted
    const at = `${code} at the ${call.system} ${call.count} of the ${call.thread} thread${
      base === undefined ? ", new layout" : ""
    }`
    const exporter = exporters.pop() ?? (await startExporter())
    const layout = fresh("errno")
    if (base !== undefined) cpSync(base, layout, { recursive: true })
    const before = exporter.lines.length
    const hit = await injected(exporter, call, `error=${code}`, `${layout} latest new`)
    const answer = exporter.lines[before]
    if (hit === undefined) {
      // It hit what wakes a thread, which no program survives, or nothing
      await exporter.kill()
      return rmSync(layout, { recursive: true, force: true })
    }
    exporters.push(exporter)
    injections++
    if (answer?.startsWith("ok") === true) tolerated++
    else failed++
    if (answer?.startsWith("ok") !== true && !isTyped(answer, code)) {
      add(at, `the error is not typed: ${answer ?? exporter.errors()}`)
    }
    add(at, ...await check(layout, base, answer))
    // What could not be removed stays until the process is dead
    if (call.system === "unlink") later.push({ at, layout })
    else add(at, ...areaOf(layout).map((name) => `left behind: ${name}`))
    if (call.system !== "unlink") rmSync(layout, { recursive: true, force: true })
  })
  for (const exporter of exporters) await exporter.finish()
  const last = await startExporter()
  for (const { at, layout } of later) {
    last.send(`${layout} latest newer`)
    const answer = await last.next()
    if (answer !== "ok latest newer") add(at, `the next run: ${answer}`)
    add(at, ...areaOf(layout).map((name) => `left behind by the next run: ${name}`))
    rmSync(layout, { recursive: true, force: true })
  }
  await last.finish()
  return {
    figure: `${injections} errors at calls (${failed} ended the export, typed; ${tolerated} did not matter)`,
    problems: all
  }
}

/** Exports into disks that have room for more and more, in bytes or in files. */
const fullDisks = async (scale: Scale) => {
  const { add, all } = problemsOf()
  const directory = freshDirectory("disk")
  const unmount = mount(directory, "-t", "tmpfs", "-o", "size=64m,nr_inodes=10000", "tmpfs")
  const exporter = await startExporter()
  const old = fresh("old")
  exporter.send(`${old} latest old 20000`)
  await exporter.next()
  const counts = { bytes: 0, files: 0 }
  const outcomes = { full: 0, fits: 0 }
  for (const limited of ["bytes", "files"] as const) {
    const steps = either(scale, limited === "bytes" ? 12 : 8, limited === "bytes" ? 60 : 24)
    for (let step = 0; step < steps; step++) {
      const layout = join(directory, `${limited}-${step}`)
      cpSync(old, layout, { recursive: true })
      const { bfree, blocks, bsize, ffree, files } = statfsSync(directory)
      const room = limited === "bytes"
        ? `size=${(blocks - bfree + Math.floor(step * 48 / steps)) * bsize}`
        : `nr_inodes=${files - ffree + Math.floor(step * 12 / steps)}`
      command("mount", "-o", `remount,${room}`, directory)
      exporter.send(`${layout} latest new 150000`)
      const answer = await exporter.next()
      const at = `a disk with ${room}`
      counts[limited]++
      if (answer === "ok latest new") outcomes.fits++
      else outcomes.full++
      if (answer !== "ok latest new" && !isTyped(answer, "ENOSPC")) add(at, `the error is not typed: ${answer}`)
      add(at, ...await check(layout, old, answer), ...areaOf(layout).map((name) => `left behind: ${name}`))
      rmSync(layout, { recursive: true })
      command("mount", "-o", "remount,size=64m,nr_inodes=10000", directory)
    }
  }
  await exporter.finish()
  unmount()
  if (outcomes.full === 0 || outcomes.fits === 0) add("full disks", "the sizes do not show both outcomes")
  return {
    figure:
      `${counts.bytes} sizes and ${counts.files} inode counts of a disk (${outcomes.full} full, ${outcomes.fits} not)`,
    problems: all
  }
}

export const run = async (scale: Scale): Promise<Outcome> => {
  needRoot()
  needCommands("strace", "mount")
  const swept = await sweep(scale)
  const full = await fullDisks(scale)
  return { figure: `${swept.figure}; ${full.figure}`, problems: [...swept.problems, ...full.problems] }
}
