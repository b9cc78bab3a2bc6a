/** Images whose layers are noise, to be sent and compared. */
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import type * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import type * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createCipheriv } from "node:crypto"
import { toBytes } from "../archives.ts"

/** Bytes that do not compress, always the same for a seed. */
export const noise = (seed: number, size: number): Uint8Array =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16, seed >> 8)).update(Buffer.alloc(size))

/** A place in memory, which nobody else has. */
export const memory = Effect.suspend(() => Effect.provide(Copy.place, Layer.fresh(MemoryStore.layer)))

export interface Image {
  readonly descriptor: Descriptor.Descriptor
  readonly layers: readonly [Descriptor.Descriptor, ...ReadonlyArray<Descriptor.Descriptor>]
  /** All of them, its manifest last. */
  readonly blobs: ReadonlyArray<Descriptor.Descriptor>
}

/** Puts an image of layers of these sizes into a place, as `latest`. */
export const put = Effect.fnUntraced(
  function*(
    place: Copy.Place,
    seed: number,
    sizes: readonly [number, ...ReadonlyArray<number>]
  ): Effect.fn.Return<Image, BlobStore.BlobStoreError | ImageStore.ImageStoreError> {
    const store = (mediaType: string, bytes: Uint8Array) =>
      Effect.map(place.blobs.put(Stream.succeed(bytes), { mediaType }), (blob) => ({ mediaType, ...blob }))
    const layer = (size: number, index: number) => store(MediaType.layer, noise(seed * 16 + index, size))
    const [first, ...others] = sizes
    const layers = [
      yield* layer(first, 0),
      ...yield* Effect.forEach(others, (size, index) => layer(size, index + 1))
    ] as const
    const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) }
    const config = yield* store(MediaType.imageConfig, toBytes({ architecture: "amd64", os: "linux", rootfs, seed }))
    const mediaType = MediaType.imageManifest
    const descriptor = yield* store(mediaType, toBytes({ schemaVersion: 2, mediaType, config, layers }))
    yield* place.images.tag(Option.some("latest"), descriptor)
    return { descriptor, layers, blobs: [...layers, config, descriptor] }
  }
)

/** Which blobs of an image a place does not have byte for byte. */
export const damaged = Effect.fnUntraced(function*(image: Image, source: Copy.Place, target: Copy.Place) {
  const read = (place: Copy.Place, blob: BlobStore.Blob) => Stream.mkUint8Array(place.blobs.get(blob))
  const wrong = yield* Effect.filter(image.blobs, (blob) =>
    Effect.map(
      Effect.all([read(source, blob), Effect.option(read(target, blob))]),
      ([expected, found]) => Option.isNone(found) || !Buffer.from(expected).equals(found.value)
    ))
  return wrong.map(({ digest }) => digest)
})
