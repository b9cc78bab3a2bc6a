/** Processes for tests: who is dead, who lives, and what the files are called that they leave. */
import { onTestFinished } from "@effect/vitest"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync, readlinkSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import type { Owner } from "../src/internal/owner.ts"

const startTimeOf = (pid: number | "self"): string =>
  readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\)/s, "").trim().split(" ")[19] ?? ""

const machine = {
  bootId: readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().replaceAll("-", ""),
  pidNamespace: readlinkSync("/proc/self/ns/pid").replaceAll(/\D/g, "")
}

const kill = (child: ChildProcess) => child.kill("SIGKILL")

/** Starts a program that is killed with the test. */
export const start = (command: string, ...args: ReadonlyArray<string>): ChildProcess => {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] })
  onTestFinished(() => void kill(child))
  return child
}

/** Starts a script of the fixtures. */
export const script = (name: string, ...args: ReadonlyArray<string>): ChildProcess =>
  start(process.execPath, join(import.meta.dirname, "fixtures", name), ...args)

/** Waits until a process has printed something, and gives it; or until it has ended. */
export const printed = (child: ChildProcess): Promise<string> =>
  new Promise((done) => {
    child.stdout?.once("data", (data) => done(String(data)))
    child.once("exit", () => done(""))
  })

/** Kills a process as no process can prevent, and waits until it is gone. */
export const killed = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  kill(child)
  await gone
}

export const own: Required<Owner> = { pid: process.pid, startTime: startTimeOf("self"), ...machine }

/** A process that has ended. */
export const dead = (): Required<Owner> => ({ pid: spawnSync("true").pid, startTime: "1", ...machine })

/** A process that lives until the test ends. */
export const living = (): Required<Owner> => {
  const pid = start("sleep", "60").pid ?? 0
  return { pid, startTime: startTimeOf(pid), ...machine }
}

/** A process that has ended, and that its parent has not asked for. */
export const zombie = async (): Promise<Required<Owner>> => {
  const pid = Number(await printed(start("sh", "-c", "sleep 0.05 & echo $!; exec sleep 60")))
  const startTime = startTimeOf(pid)
  while (!/\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"))) await new Promise((done) => setTimeout(done, 5))
  return { pid, startTime, ...machine }
}

/** This process's number, of a process that has started at another time. */
export const reused: Required<Owner> = { ...own, startTime: "1" }

export const elsewhere: Required<Owner> = { ...own, pidNamespace: "1" }

export const otherBoot: Required<Owner> = { ...own, bootId: "0".repeat(32) }
