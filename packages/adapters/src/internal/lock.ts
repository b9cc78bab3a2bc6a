/**
 * A lock between processes, as a file: Node has no `flock`. It appears with its content, because it is a link to a file
 * that was written before, and that content tells who holds it.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import { StoreLocked } from "@effect-oci/core/ImageStore"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import process from "node:process"
import { absentAs, type FileSystem, readDocument, temporary } from "./files.ts"

/**
 * Who holds a lock. The process is told apart from a later one of the same number by the time that it started, the boot
 * of the machine and the namespace of its number, as far as the system tells these.
 */
const Holder = Schema.fromJsonString(Schema.Struct({
  pid: Schema.Int,
  startTime: Schema.optionalKey(Schema.String),
  bootId: Schema.optionalKey(Schema.String),
  pidNamespace: Schema.optionalKey(Schema.String),
  nonce: Schema.String,
  since: Schema.String
}))
type Holder = typeof Holder.Type

const decode = Schema.decodeUnknownOption(Holder)
const encode = Schema.encodeEffect(Holder)

/** Files of `/proc` have no size that could be checked first. */
const procFile = (files: FileSystem, path: string) =>
  Effect.scoped(Effect.gen(function*() {
    const file = yield* files.open(path, 0)
    const bytes = new Uint8Array(4096)
    return new TextDecoder().decode(bytes.subarray(0, yield* file.read(bytes)))
  }))

/** The twenty-second field; the second may hold spaces and parentheses of its own. */
const startTimeOf = (stat: string): string => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""

const whereKnown = <A, E>(name: string, effect: Effect.Effect<A, E>) =>
  Effect.match(effect, { onFailure: () => ({}), onSuccess: (value) => ({ [name]: value }) })

const self = (files: FileSystem): Effect.Effect<Holder> =>
  Effect.gen(function*() {
    return {
      pid: process.pid,
      ...yield* whereKnown("startTime", Effect.map(procFile(files, "/proc/self/stat"), startTimeOf)),
      ...yield* whereKnown(
        "bootId",
        Effect.map(procFile(files, "/proc/sys/kernel/random/boot_id"), (text) => text.trim())
      ),
      ...yield* whereKnown(
        "pidNamespace",
        Effect.map(files.readLink("/proc/self/ns/pid"), (bytes) => new TextDecoder().decode(bytes))
      ),
      nonce: randomUUID(),
      since: DateTime.formatIso(yield* DateTime.now)
    }
  })

const read = (files: FileSystem, path: string) =>
  readDocument(files, path, "lock", 4096).pipe(
    Effect.map(({ bytes }) => decode(new TextDecoder().decode(bytes))),
    Effect.catch(() => Effect.succeedNone)
  )

/** Only ever removes the holder's own lock, whatever has become of it meanwhile. */
const release = Effect.fnUntraced(function*(files: FileSystem, path: string, holder: Holder) {
  const found = yield* read(files, path)
  if (Option.isSome(found) && found.value.nonce === holder.nonce) {
    yield* absentAs(undefined)(files.remove(path))
  }
})

const describe = (holder: Option.Option<Holder>): string =>
  Option.match(holder, {
    onNone: () => "something that it does not tell",
    onSome: ({ pid, since }) => `process ${pid} since ${since}`
  })

/** How long is waited between two attempts, in milliseconds: longer each time, up to the last. */
const pauses = [1, 2, 4, 8, 16, 32] as const

const pauseAfter = (attempt: number): number => pauses[Math.min(attempt, pauses.length - 1)] ?? 1

/** How long is waited without a word, in milliseconds. */
const patience = 1000

/**
 * Runs an effect while this process holds the lock of a directory. Waits for it up to `timeout`; the wait can be
 * interrupted, and so can the effect.
 */
export const withLock = (files: FileSystem, directory: string, timeout: Duration.Duration) =>
<A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | StoreIo | StoreLocked, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const path = join(directory, "lock")
      const holder = yield* self(files)
      yield* Effect.scoped(Effect.gen(function*() {
        const file = yield* temporary(files, `${path}-${holder.nonce}`)
        yield* file.write(new TextEncoder().encode(yield* Effect.orDie(encode(holder))))
        yield* file.close
        const take = files.link(file.path, path).pipe(
          Effect.as(true),
          Effect.catchIf((error) => error.code === "EEXIST", () => Effect.succeed(false))
        )
        const start = yield* Clock.currentTimeMillis
        let isTold = false
        for (let attempt = 0; !(yield* take); attempt++) {
          const waited = (yield* Clock.currentTimeMillis) - start
          if (waited >= Duration.toMillis(timeout)) {
            return yield* new StoreLocked({ path, holder: describe(yield* read(files, path)) })
          }
          if (!isTold && waited >= patience) {
            isTold = true
            yield* Effect.logWarning(`waiting for the lock ${path}, held by ${describe(yield* read(files, path))}`)
          }
          yield* restore(Effect.sleep(Duration.millis(pauseAfter(attempt) * (0.5 + (yield* Random.next)))))
        }
      }))
      const exit = yield* Effect.exit(restore(effect))
      yield* release(files, path, holder)
      return yield* exit
    })
  )
