/**
 * Leases: which blobs a process is about to refer to, so that no collection of garbage takes them from it. A file for
 * each, whose name tells the process, and that has a digest a line. A line that was not written to its end was not yet
 * relied upon.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { join } from "node:path"
import { absentAs, type FileSystem, type Temporary, temporary } from "./files.ts"
import * as Owner from "./owner.ts"
import * as Tidying from "./tidying.ts"

/** Holds blobs until the scope closes. The file is made with the first of them. */
export const make = Effect.fnUntraced(function*(
  files: FileSystem,
  area: string
): Effect.fn.Return<(digests: Iterable<Digest.Digest>) => Effect.Effect<void, StoreIo>, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const turn = yield* Semaphore.make(1)
  const held = new Set<Digest.Digest>()
  let lease: Temporary | undefined
  const open = Effect.suspend(() => Owner.self(files)).pipe(
    Effect.flatMap((owner) => temporary(files, join(area, Owner.nameFor("lease", owner)))),
    Effect.provideService(Scope.Scope, scope)
  )
  return (digests) =>
    Effect.suspend(() => {
      const added = [...digests].filter((digest) => !held.has(digest))
      if (added.length === 0) return Effect.void
      return turn.withPermit(Effect.gen(function*() {
        lease ??= yield* open
        yield* lease.write(new TextEncoder().encode(added.map((digest) => `${digest}\n`).join("")))
        for (const digest of added) held.add(digest)
      }))
    })
})

const digestsIn = (text: string): ReadonlyArray<Digest.Digest> =>
  text.split("\n").slice(0, -1).flatMap((line) =>
    Result.match(Digest.parse(line), {
      onFailure: () => [],
      onSuccess: (digest) => [digest]
    })
  )

/** The blobs that the processes hold which are alive, as far as one can tell. */
export const held = Effect.fnUntraced(function*(
  files: FileSystem,
  area: string
): Effect.fn.Return<ReadonlySet<Digest.Digest>, StoreIo> {
  const found = new Set<Digest.Digest>()
  for (const name of yield* Tidying.list(files, area)) {
    if (!name.startsWith("lease-") || (yield* Tidying.isLeft(files, area, name))) continue
    const path = join(area, name)
    const info = yield* files.info(path).pipe(absentAs(undefined))
    if (info?.kind !== "file") continue
    const read = yield* files.readWhole(path, new Uint8Array(info.size + 4096)).pipe(absentAs(undefined))
    for (const digest of digestsIn(new TextDecoder().decode(read?.bytes))) found.add(digest)
  }
  return found
})
