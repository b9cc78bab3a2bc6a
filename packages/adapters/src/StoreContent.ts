/**
 * What a store on disk has, and what it has it for.
 *
 * @since 0.1.0
 */
import type * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Reference from "@effect-oci/core/Reference"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { join } from "node:path"
import * as CacheRefFileSystem from "./CacheRefFileSystem.ts"
import { absentAs, Files } from "./internal/files.ts"
import * as OciLayout from "./OciLayout.ts"

/**
 * Lists the blobs in a directory, with the sizes of their files. What has the name of a blob and is no plain file has the
 * size 0; what has another name is none.
 *
 * @category reading
 * @since 0.1.0
 */
export const blobs: (
  directory: string
) => Effect.Effect<ReadonlyArray<BlobStore.Blob>, BlobStore.StoreIo> = Effect.fnUntraced(function*(directory) {
  const files = yield* Files
  const found: Array<BlobStore.Blob> = []
  for (const algorithm of Digest.Algorithm.literals) {
    const path = join(directory, "blobs", algorithm)
    const infos = yield* files.infos(path).pipe(absentAs(new Map<string, never>()))
    for (const name of yield* files.list(path).pipe(absentAs<ReadonlyArray<Uint8Array>>([]))) {
      const encoded = new TextDecoder().decode(name)
      const digest = Digest.fromHex(algorithm, encoded)
      if (Result.isFailure(digest)) continue
      found.push({ digest: digest.success, size: infos.get(encoded)?.size ?? 0 })
    }
  }
  return found
})

/**
 * Gives what the images in a directory name, and the layers of its refs. The first list or ref that cannot be read fails
 * it: with a part of them, what nothing names would not be known.
 *
 * @category reading
 * @since 0.1.0
 */
export const roots = (
  directory: string
): Effect.Effect<
  ReadonlyArray<Reference.Reference>,
  ImageStore.ImageStoreError | CacheRef.CacheRefError,
  Hash.Hash
> =>
  Effect.gen(function*() {
    const images = yield* ImageStore.ImageStore.use((store) => store.list)
    const refs = yield* CacheRef.CacheRef
    const layers: Array<Reference.Reference> = []
    for (const name of yield* refs.list) {
      const ref = yield* Effect.result(Effect.scoped(refs.acquire(name)))
      // Removed since the refs were listed
      if (Result.isFailure(ref) && ref.failure._tag === "RefMissing") continue
      const { layer } = yield* Effect.fromResult(ref)
      if (layer !== undefined) layers.push(Reference.make(layer.descriptor, `refs/${name}.json`))
    }
    return [...images.map(({ descriptor }) => Reference.make(descriptor, "index.json")), ...layers]
  }).pipe(Effect.provide(Layer.merge(OciLayout.layer(directory), CacheRefFileSystem.layer(directory))))
