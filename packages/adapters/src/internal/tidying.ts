/**
 * What dead processes have left in the private area of a store. What belongs to a process that lives is never touched.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { join } from "node:path"
import { absentAs, type FileSystem, temporary } from "./files.ts"
import * as Lock from "./lock.ts"
import * as Owner from "./owner.ts"

/** The names in a private area; none where there is none. */
export const list = (files: FileSystem, area: string): Effect.Effect<ReadonlyArray<string>, StoreIo> =>
  files.list(area).pipe(
    Effect.map((names) => names.map((name) => new TextDecoder().decode(name))),
    absentAs<ReadonlyArray<string>>([])
  )

/** What time it is for the file system, in nanoseconds since 1970: a file that is made now tells. */
export const now = Effect.fnUntraced(function*(files: FileSystem, area: string): Effect.fn.Return<bigint, StoreIo> {
  const path = join(area, Owner.nameFor("new", yield* Owner.self(files)))
  return yield* Effect.scoped(
    Effect.flatMap(temporary(files, path), (file) => Effect.map(file.info, ({ ctime }) => ctime))
  )
})

/** Nanoseconds for which a file is respected of whose process one cannot tell whether it lives: a day. */
const respect = 24n * 60n * 60n * 1_000_000_000n

/** Whether a file of the area is of a process that is dead. */
export const isLeft = Effect.fnUntraced(function*(
  files: FileSystem,
  area: string,
  name: string
): Effect.fn.Return<boolean, StoreIo> {
  const owner = Owner.ofName(name)
  const fate = Option.isSome(owner) ? yield* Owner.fate(files, yield* Owner.self(files), owner.value) : "unknown"
  if (fate !== "unknown") return fate === "dead"
  const info = yield* absentAs(undefined)(files.info(join(area, name)))
  return info !== undefined && (yield* now(files, area)) - info.ctime > respect
})

/** Removes what dead processes have left, as far as it can. */
export const sweep = (files: FileSystem, area: string): Effect.Effect<void> =>
  Effect.ignore(Effect.gen(function*() {
    const names = yield* list(files, area)
    const remove = (name: string) => Effect.ignore(files.remove(join(area, name)))
    // The names come first: a claim that was there before its lock was missed is good for nothing
    for (const name of yield* Lock.settled(files, area, names)) yield* remove(name)
    for (const name of names) {
      if (/^(?:new|lock|lease)-/.test(name) && (yield* isLeft(files, area, name))) yield* remove(name)
    }
  }))
