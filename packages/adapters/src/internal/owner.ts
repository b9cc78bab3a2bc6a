/**
 * Which process a file in a private area belongs to, so that others may tidy up when that process is dead.
 *
 * A process is told apart from a later one of the same number by the time that it started, the boot of the machine and
 * the namespace of its number, as far as the system tells these.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import process from "node:process"
import type { FileSystem } from "./files.ts"

export const Owner = Schema.Struct({
  pid: Schema.Int,
  startTime: Schema.optionalKey(Schema.String),
  bootId: Schema.optionalKey(Schema.String),
  pidNamespace: Schema.optionalKey(Schema.String)
})
export type Owner = typeof Owner.Type

/** Files of `/proc` have no size that could be checked first. */
const procFile = (files: FileSystem, path: string): Effect.Effect<Option.Option<string>> =>
  files.readWhole(path, new Uint8Array(4096)).pipe(
    Effect.map(({ bytes }) => new TextDecoder().decode(bytes)),
    Effect.option
  )

const orEmpty = (text: Option.Option<string>): string => Option.getOrElse(text, () => "")

interface Life {
  readonly state: string
  readonly startTime: string
}

/** The third field and the twenty-second; the second may hold spaces and parentheses of its own. */
const lifeOf = (stat: string): Life => {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
  return { state: fields[0] ?? "", startTime: fields[19] ?? "" }
}

const life = (files: FileSystem, process: string): Effect.Effect<Option.Option<Life>> =>
  Effect.map(procFile(files, `/proc/${process}/stat`), Option.map(lifeOf))

/** It stays the same as long as this process lives. */
const known = new WeakMap<FileSystem, Required<Owner>>()

/** This process; what the system does not tell is empty. */
export const self = (files: FileSystem): Effect.Effect<Required<Owner>> =>
  Effect.gen(function*() {
    const before = known.get(files)
    if (before !== undefined) return before
    const own = yield* life(files, "self")
    const bootId = yield* procFile(files, "/proc/sys/kernel/random/boot_id")
    const namespace = yield* Effect.option(files.readLink("/proc/self/ns/pid"))
    const found = {
      pid: process.pid,
      startTime: orEmpty(Option.map(own, ({ startTime }) => startTime)),
      bootId: orEmpty(bootId).trim().replaceAll("-", ""),
      pidNamespace: orEmpty(Option.map(namespace, (bytes) => new TextDecoder().decode(bytes))).replaceAll(/\D/g, "")
    }
    known.set(files, found)
    return found
  })

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    // It may be another user's
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

/**
 * What has become of a process. Of one on another machine, or in another namespace, nothing can be told; nor where the
 * system does not tell boots and namespaces apart.
 */
export const fate = (
  files: FileSystem,
  self: Required<Owner>,
  owner: Owner
): Effect.Effect<"alive" | "dead" | "unknown"> =>
  Effect.gen(function*() {
    const isNear = self.bootId !== "" && self.pidNamespace !== "" && self.startTime !== "" &&
      owner.bootId === self.bootId && owner.pidNamespace === self.pidNamespace
    if (!isNear) return "unknown"
    if (!isRunning(owner.pid)) return "dead"
    const now = yield* life(files, String(owner.pid))
    return Option.isSome(now) && (now.value.startTime !== owner.startTime || /^[ZX]/.test(now.value.state))
      ? "dead"
      : "alive"
  })

/** Makes a name for a file of a process, which no other file has. */
export const nameFor = (kind: string, { bootId, pid, pidNamespace, startTime }: Required<Owner>): string =>
  `${kind}-${pid}.${startTime}.${bootId}.${pidNamespace}-${randomUUID()}`

/** Reads the owner from the name of a file. */
export const ofName = (name: string): Option.Option<Owner> => {
  const [, pid, startTime = "", bootId = "", pidNamespace = ""] =
    /^[a-z]+-(\d{1,10})\.(\d*)\.([0-9a-f]*)\.(\d*)-/.exec(name) ?? []
  return pid === undefined ? Option.none() : Option.some({ pid: Number(pid), startTime, bootId, pidNamespace })
}
