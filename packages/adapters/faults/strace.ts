/** Faults at a call of the system, by strace. It is attached to one thread of a process that waits, so that its counts are ours. */
import { readdirSync, readFileSync } from "node:fs"
import { fresh, type Running, start } from "./support.ts"

/** The calls that change files, as libuv makes them. */
export const systems = ["mkdir", "openat", "write", "link", "rename", "unlink", "fsync"] as const

/** The K-th call of its name that a thread makes. */
export interface Call {
  readonly system: typeof systems[number]
  readonly thread: "main" | "file"
  readonly count: number
}

const threadsOf = (pid: number): Readonly<Record<Call["thread"], number>> => {
  const file = readdirSync(`/proc/${pid}/task`).find((id) =>
    readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8").trim() === "libuv-worker"
  )
  return { main: pid, file: Number(file) }
}

const attach = async (ids: ReadonlyArray<number>, args: ReadonlyArray<string>) => {
  const strace = start("strace", [...args, ...ids.flatMap((id) => ["-p", String(id)])])
  // It tells of each thread that it is attached to
  while (strace.errors().split(" attached").length <= ids.length) {
    if (strace.child.exitCode !== null) throw new Error(`strace: ${strace.errors()}`)
    await new Promise((done) => setTimeout(done, 2))
  }
  return strace
}

/** Libuv's threads wake each other by a write that is none to a file: strace shows `4<anon_inode:[eventfd]>`. */
const isOfFiles = (line: string): boolean => !/^\S*\s*write\(\d+<(?:anon_inode|pipe|socket)/.test(line)

/** Gives the line that asks for it to an exporter, and finds the calls that it makes. */
export const callsOf = async (exporter: Running, line: string): Promise<ReadonlyArray<Call>> => {
  const threads = threadsOf(exporter.pid)
  const out = fresh("calls")
  const strace = await attach(Object.values(threads), ["-y", "-o", out, "-e", `trace=${systems.join(",")}`])
  exporter.send(line)
  const answer = await exporter.next()
  if (answer?.startsWith("ok") !== true) throw new Error(`the exporter failed: ${answer}`)
  await strace.kill("SIGINT")
  const counts = new Map<string, number>()
  const calls: Array<Call> = []
  for (const text of readFileSync(out, "utf8").split("\n")) {
    const [, id = "", name = ""] = /^(\d+)\s+(\w+)\(/.exec(text) ?? []
    const system = systems.find((system) => system === name)
    if (system === undefined) continue
    const thread = Number(id) === threads.main ? "main" : "file"
    const count = (counts.get(`${thread} ${system}`) ?? 0) + 1
    counts.set(`${thread} ${system}`, count)
    if (isOfFiles(text.slice(id.length).trimStart())) calls.push({ system, thread, count })
  }
  return calls
}

/** Gives the line to an exporter, and a fault at a call. Gives that call as strace shows it, if it came to it. */
export const injected = async (
  exporter: Running,
  { count, system, thread }: Call,
  fault: string,
  line: string
): Promise<string | undefined> => {
  const out = fresh("injected")
  const strace = await attach([threadsOf(exporter.pid)[thread]], [
    "-y",
    "-o",
    out,
    "-e",
    `trace=${system}`,
    "-e",
    `inject=${system}:${fault}:when=${count}`
  ])
  exporter.send(line)
  await exporter.next()
  await strace.kill("SIGINT")
  const calls = readFileSync(out, "utf8").split("\n").filter((text) => text.startsWith(`${system}(`))
  const hit = calls[count - 1]
  return hit !== undefined && isOfFiles(hit) ? hit : undefined
}

/** Takes so many of a list, spread over it. */
export const sample = <A>(all: ReadonlyArray<A>, count: number): ReadonlyArray<A> => {
  if (count >= all.length) return all
  const start = Math.random()
  return Array.from({ length: count }, (_, index) => all[Math.floor((index + start) * all.length / count)])
    .filter((item) => item !== undefined)
}
