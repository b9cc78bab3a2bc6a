/**
 * Blobs and images in memory: for tests, and for images that no disk needs to see.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as ImageList from "./internal/imageList.ts"

const store = "the memory store"

/** Puts blobs into `contents`, and finds them there or `below`. */
const blobsIn = (
  hash: Hash.Hash["Service"],
  contents: Map<Digest.Digest, Uint8Array>,
  below?: ReadonlyMap<Digest.Digest, Uint8Array>
): Omit<BlobStore.Store, "has"> & { readonly has: (blob: BlobStore.Blob) => Effect.Effect<boolean> } => {
  const find = (digest: Digest.Digest) => contents.get(digest) ?? below?.get(digest)

  const sizeMismatch = (digest: Digest.Digest, expected: number, found: number) =>
    new BlobStore.SizeMismatch({ store, digest, expected, found })

  const put: BlobStore.Store["put"] = Effect.fnUntraced(function*(content, expected = {}) {
    const bytes = yield* Stream.mkUint8Array(content)
    const hasher = hash.make(expected.digest === undefined ? "sha256" : Digest.algorithm(expected.digest))
    hasher.update(bytes)
    const digest = hasher.digest()
    const size = bytes.length
    if (expected.size !== undefined && size !== expected.size) {
      return yield* sizeMismatch(expected.digest ?? digest, expected.size, size)
    }
    if (expected.digest !== undefined && digest !== expected.digest) {
      return yield* new BlobStore.DigestMismatch({ store, expected: expected.digest, found: digest })
    }
    contents.set(digest, bytes)
    return { digest, size }
  })

  const get: BlobStore.Store["get"] = (blob) =>
    Stream.suspend((): Stream.Stream<Uint8Array, BlobStore.BlobStoreError> => {
      const bytes = find(blob.digest)
      if (bytes === undefined) return Stream.fail(new BlobStore.BlobMissing({ store, digest: blob.digest }))
      return bytes.length === blob.size
        // A copy: what a reader does to it is its own affair
        ? Stream.succeed(bytes.slice())
        : Stream.fail(sizeMismatch(blob.digest, blob.size, bytes.length))
    })

  const has = (blob: BlobStore.Blob) => Effect.sync(() => find(blob.digest)?.length === blob.size)

  return {
    put,
    get,
    has,
    stage: Effect.sync(() => {
      const staged = new Map<Digest.Digest, Uint8Array>()
      return {
        store: blobsIn(hash, staged, contents),
        publish: Effect.sync(() => {
          for (const [digest, bytes] of staged) contents.set(digest, bytes)
        })
      }
    })
  }
}

const make = Effect.gen(function*() {
  const blobs = blobsIn(yield* Hash.Hash, new Map())
  let images: ReadonlyArray<ImageStore.Image> = []

  const tag = Effect.fnUntraced(function*(name: Option.Option<string>, descriptor: Descriptor.Descriptor) {
    if (Option.isSome(name) && !ImageStore.isName(name.value)) {
      return yield* new ImageStore.InvalidImageName({ name: name.value, expected: ImageStore.nameRule })
    }
    if (!(yield* blobs.has(descriptor))) return yield* new BlobStore.BlobMissing({ store, digest: descriptor.digest })
    const image = { name, descriptor: ImageList.named(name, descriptor) }
    const isNamed = (other: ImageStore.Image) => ImageStore.isNamed(other, name)
    images = images.some(isNamed) ? images.map((other) => isNamed(other) ? image : other) : [...images, image]
  })

  const untag = Effect.fnUntraced(function*(name: Option.Option<string>) {
    yield* Effect.fromResult(ImageStore.checkNamed(store, images, name))
    images = images.filter((image) => !ImageStore.isNamed(image, name))
  })

  return Context.make(BlobStore.BlobStore, blobs).pipe(
    Context.add(ImageStore.ImageStore, {
      tag,
      untag,
      list: Effect.sync(() => images),
      resolve: (name) => Effect.suspend(() => Effect.fromResult(ImageStore.find(store, images, name)))
    })
  )
})

/**
 * Layer that keeps blobs and images in memory, each build of it in its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<BlobStore.BlobStore | ImageStore.ImageStore, never, Hash.Hash> = Layer.effectContext(
  make
)
