/** The program, stopped by signals at random moments, and with nobody who reads what it prints. */
import { randomBytes } from "node:crypto"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { inspect } from "./inspect.ts"
import {
  areaOf,
  either,
  fresh,
  freshDirectory,
  type Outcome,
  pause,
  problemsOf,
  program,
  type Scale,
  startNode,
  twoByTwo
} from "./support.ts"

const signals = [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const

const setUp = async () => {
  const main = await program("../../cli/src/main.ts")
  const home = freshDirectory("home")
  const source = freshDirectory("source")
  for (let index = 0; index < 8; index++) writeFileSync(join(source, String(index)), randomBytes(150_000))
  const store = join(home, "store")
  const env = {
    HOME: home,
    XDG_CACHE_HOME: join(home, "cache"),
    SOURCE_DATE_EPOCH: "1700000000",
    EFFECT_OCI_STORE: store
  }
  const cli = (...args: ReadonlyArray<string>) => startNode(main, args, { env })
  const ask = async (...args: ReadonlyArray<string>) => {
    const running = cli(...args)
    const { code } = await running.finish()
    if (code !== 0) throw new Error(`effect-oci ${args.join(" ")}: ${running.errors()}`)
  }
  const old = fresh("old")
  await ask("build", "--add", `${join(source, "1")}:/old`, "--to", `oci:${old}:latest`)
  await ask("ref", "add", "app", source, "--at", "/app", "--created", "2024-01-02T03:04:05Z")
  const commands = [
    (layout: string) => ["build", "--no-cache", "--add", `${source}:/app`, "--to", `oci:${layout}:latest`],
    (layout: string) => ["export", "app", "--to", `oci:${layout}:latest`]
  ]
  return { cli, ask, commands, old, store }
}

export const run = async (scale: Scale): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const { ask, cli, commands, old, store } = await setUp()
  const oldIndex = readFileSync(join(old, "index.json"), "utf8")
  const spans: Array<number> = []
  const news: Array<string> = []
  for (const args of commands) {
    const layout = fresh("whole")
    cpSync(old, layout, { recursive: true })
    const start = performance.now()
    await ask(...args(layout))
    spans.push(performance.now() - start)
    news.push(readFileSync(join(layout, "index.json"), "utf8"))
    rmSync(layout, { recursive: true })
  }
  const outcomes = { stopped: 0, early: 0, done: 0 }
  const check = async (at: string, layout: string, which: number) => {
    const index = readFileSync(join(layout, "index.json"), "utf8")
    if (index !== oldIndex && index !== news[which]) add(at, "the list of images is neither old nor new")
    add(at, ...(await inspect(layout)).problems)
    add(at, ...areaOf(layout).map((name) => `left behind: ${name}`))
    rmSync(layout, { recursive: true })
  }
  const times = either(scale, 10, 50)
  await twoByTwo(times * signals.length, async (time) => {
    const which = time % commands.length
    const [signal, expected] = signals[time % signals.length] ?? signals[0]
    const layout = fresh("stopped")
    cpSync(old, layout, { recursive: true })
    const running = cli(...commands[which]?.(layout) ?? [])
    await pause((0.4 + Math.random() * 0.7) * (spans[which] ?? 0))
    const { code, signal: by } = await running.kill(signal)
    const at = `${signal} to ${which === 0 ? "build" : "export"}`
    if (code === 0) outcomes.done++
    else if (code === expected) outcomes.stopped++
    // Before the program listens it ends Node, which a shell tells as the same code
    else if (by === signal) outcomes.early++
    else add(at, `it ended with ${code ?? by}: ${running.errors()}`)
    await check(at, layout, which)
  })
  const closings = either(scale, 6, 50)
  let unread = 0
  await twoByTwo(closings, async (time) => {
    const which = time % commands.length
    const layout = fresh("unread")
    cpSync(old, layout, { recursive: true })
    const running = cli(...commands[which]?.(layout) ?? [], "--json")
    running.child.stdout?.destroy()
    const { code } = await running.finish()
    if (code === 0) unread++
    else add("stdout closed", `it ended with ${code}: ${running.errors()}`)
    await check("stdout closed", layout, which)
  })
  add(
    "the store of refs",
    ...areaOf(store).filter((name) => !/^(?:layers)$/.test(name)).map((name) => `left behind: ${name}`)
  )
  return {
    figure:
      `${times} of each of ${
        signals.map(([signal, code]) => `${signal} (${code})`).join(", ")
      }: ${outcomes.stopped} stopped, ` +
      `${outcomes.early} before the program listened, ${outcomes.done} done before; stdout closed ${closings} times, exit code 0 ${unread} times`,
    problems: all
  }
}
