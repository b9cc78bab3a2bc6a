/**
 * Blobs that are about to be removed: files of a layout's private area whose names tell the digests. Only who holds the
 * lock puts any there; so who comes by the lock and finds some knows that a collection of garbage was cut off.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { join } from "node:path"
import { absentAs, type FileSystem } from "./files.ts"
import * as Tidying from "./tidying.ts"

const prefix = "trash-"

/** Where a blob is that is about to be removed. */
export const pathOf = (area: string, digest: Digest.Digest): string =>
  join(area, `${prefix}${Digest.algorithm(digest)}-${Digest.encoded(digest)}`)

/** The blobs in the trash. */
export const list = (files: FileSystem, area: string): Effect.Effect<ReadonlyArray<Digest.Digest>, StoreIo> =>
  Effect.map(Tidying.list(files, area), (names) =>
    names.flatMap((name) =>
      name.startsWith(prefix)
        ? Result.match(Digest.parse(name.slice(prefix.length).replace("-", ":")), {
          onFailure: () => [],
          onSuccess: (digest) => [digest]
        })
        : []
    ))

/** Puts a blob back. One that has been put anew meanwhile is the better one. */
export const putBack = Effect.fnUntraced(function*(
  files: FileSystem,
  root: string,
  area: string,
  digest: Digest.Digest
): Effect.fn.Return<void, StoreIo> {
  const path = join(root, "blobs", Digest.algorithm(digest), Digest.encoded(digest))
  const from = pathOf(area, digest)
  yield* files.link(from, path).pipe(Effect.catchIf((error) => error.code === "EEXIST", () => Effect.void))
  yield* absentAs(undefined)(files.remove(from))
})

/** Puts everything back. */
export const restore = Effect.fnUntraced(function*(
  files: FileSystem,
  root: string,
  area: string
): Effect.fn.Return<void, StoreIo> {
  for (const digest of yield* list(files, area)) yield* putBack(files, root, area, digest)
})
