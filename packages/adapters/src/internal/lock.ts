/**
 * A lock between processes, as a file: Node has no `flock`. It appears with its content, because it is a link to a file
 * that was written before, and that content tells who holds it.
 *
 * The lock of a dead process is broken. Who breaks it has first to claim that, by a link whose name has the nonce of the
 * lock and a number: `break-NONCE-0`, or the next one where the process behind a claim is dead too. With the claim it
 * looks again, and removes the lock only if it is still the same. So each lock is removed by one process, and never the
 * one that comes after it.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import { StoreLocked } from "@effect-oci/core/ImageStore"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { join } from "node:path"
import { absentAs, type FileSystem, type Info, readDocument, type Temporary, temporary } from "./files.ts"
import * as Owner from "./owner.ts"

/** Who holds a lock. The nonce tells one hold from another. */
const Holder = Schema.fromJsonString(Schema.Struct({
  ...Owner.Owner.fields,
  nonce: Schema.String,
  since: Schema.String
}))
type Holder = typeof Holder.Type

const decode = Schema.decodeUnknownOption(Holder)
const encode = Schema.encodeEffect(Holder)

/** A lock, or a claim, as it was found. */
interface Found {
  readonly holder: Option.Option<Holder>
  readonly info: Info
}

const read = (files: FileSystem, path: string): Effect.Effect<Option.Option<Found>> =>
  readDocument(files, path, "lock", 4096).pipe(
    Effect.map(({ bytes, info }) => ({ holder: decode(new TextDecoder().decode(bytes)), info })),
    Effect.option
  )

/** What tells a lock from all others, and can be part of a file's name. A power cut may leave one without content. */
const keyOf = ({ holder, info }: Found): string =>
  Option.match(holder, {
    onNone: () => `${info.identity.replace(":", ".")}.${info.mtime}`,
    onSome: ({ nonce }) => nonce.replaceAll(/[^\w.-]/g, "_").slice(0, 100)
  })

/**
 * Only ever removes the holder's own lock, whatever has become of it meanwhile. It is not opened: where no more files can
 * be open, it would stay for as long as this process lives.
 */
const release = Effect.fnUntraced(function*(files: FileSystem, path: string, own: Info) {
  const found = yield* absentAs(undefined)(files.info(path))
  if (found?.identity === own.identity && found.mtime === own.mtime) yield* absentAs(undefined)(files.remove(path))
})

const describe = (found: Option.Option<Found>): string =>
  Option.match(Option.flatMap(found, ({ holder }) => holder), {
    onNone: () => "something that it does not tell",
    onSome: ({ pid, since }) => `process ${pid} since ${since}`
  })

/** How long is waited between two attempts, in milliseconds: longer each time, up to the last. */
const pauses = [2, 4, 8, 16, 32, 64] as const

const pauseAfter = (attempt: number): number => pauses[Math.min(attempt, pauses.length - 1)] ?? 1

/** One in so many attempts looks who holds the lock, which costs many times what the attempt itself does. */
const lookEvery = 4

/** How long is waited without a word, in milliseconds. */
const patience = 1000

/** Nanoseconds that a lock of which nobody can tell whether its holder lives is respected since it was last touched. */
const respect = 60_000_000_000n

/** How often the holder touches its lock, for those who cannot tell that it lives. */
const beat = Duration.seconds(15)

const touch = (files: FileSystem, path: string) => files.setMode(path, 0o644)

/** Whether a lock or a claim has lost its holder. What time it is, is asked of the file system itself. */
const isAbandoned = Effect.fnUntraced(function*(files: FileSystem, own: Temporary, { holder, info }: Found) {
  const self = yield* Owner.self(files)
  const fate = Option.isSome(holder) ? yield* Owner.fate(files, self, holder.value) : "unknown"
  if (fate !== "unknown") return fate === "dead"
  yield* touch(files, own.path)
  return (yield* own.info).ctime - info.ctime > respect
})

/** Removes the lock of a dead process, unless another one does. */
const breakAbandoned = Effect.fnUntraced(function*(files: FileSystem, directory: string, own: Temporary) {
  const path = join(directory, "lock")
  const lock = yield* read(files, path)
  if (Option.isNone(lock) || !(yield* isAbandoned(files, own, lock.value))) return
  const key = keyOf(lock.value)
  const dead: Array<string> = []
  for (;;) {
    const claim = join(directory, `break-${key}-${dead.length}`)
    const isClaimed = yield* files.link(own.path, claim).pipe(
      Effect.as(true),
      Effect.catchIf((error) => error.code === "EEXIST", () => Effect.succeed(false))
    )
    if (isClaimed) {
      const now = yield* read(files, path)
      const isSame = Option.isSome(now) && keyOf(now.value) === key
      return yield* Effect.gen(function*() {
        if (!isSame) return
        yield* absentAs(undefined)(files.remove(path))
        // Not before: a claim that is free again must not be had while the lock is there
        yield* Effect.forEach(dead, (path) => Effect.ignore(files.remove(path)))
      }).pipe(Effect.ensuring(Effect.ignore(files.remove(claim))))
    }
    const other = yield* read(files, claim)
    if (Option.isNone(other) || !(yield* isAbandoned(files, own, other.value))) return
    dead.push(claim)
  }
})

/** Of the claims among the names in a directory, those that are good for nothing since their lock is gone. */
export const settled = Effect.fnUntraced(function*(
  files: FileSystem,
  directory: string,
  names: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<string>, StoreIo> {
  const claims = names.filter((name) => name.startsWith("break-"))
  if (claims.length === 0) return []
  const path = join(directory, "lock")
  const lock = yield* read(files, path)
  if (Option.isSome(lock)) return claims.filter((name) => !name.startsWith(`break-${keyOf(lock.value)}-`))
  return yield* files.info(path).pipe(Effect.as([]), absentAs<ReadonlyArray<string>>(claims))
})

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
      const owner = yield* Owner.self(files)
      const holder: Holder = { ...owner, nonce: randomUUID(), since: DateTime.formatIso(yield* DateTime.now) }
      const own = yield* Effect.scoped(Effect.gen(function*() {
        const file = yield* temporary(files, join(directory, Owner.nameFor("lock", owner)))
        yield* file.write(new TextEncoder().encode(yield* Effect.orDie(encode(holder))))
        const own = yield* file.info
        const take = files.link(file.path, path).pipe(
          Effect.as(true),
          Effect.catchIf((error) => error.code === "EEXIST", () => Effect.succeed(false))
        )
        const start = yield* Clock.currentTimeMillis
        let isTold = false
        for (let attempt = 0; !(yield* take); attempt++) {
          if (attempt % lookEvery === 0) yield* breakAbandoned(files, directory, file)
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
        return own
      }))
      const beating = yield* Effect.forkChild(
        Effect.interruptible(Effect.forever(Effect.andThen(Effect.sleep(beat), Effect.ignore(touch(files, path)))))
      )
      const exit = yield* Effect.exit(restore(effect))
      yield* Fiber.interrupt(beating)
      yield* release(files, path, own)
      return yield* exit
    })
  )
