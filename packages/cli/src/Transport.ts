/**
 * The stores that arguments name.
 *
 * @since 0.1.0
 */
import * as DirTransport from "@effect-oci/adapters/DirTransport"
import * as DockerArchive from "@effect-oci/adapters/DockerArchive"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciArchive from "@effect-oci/adapters/OciArchive"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Compression from "@effect-oci/core/Compression"
import * as Copy from "@effect-oci/core/Copy"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as ImageArgument from "./ImageArgument.ts"
import type { Insecure } from "./Insecure.ts"

/** What speaks HTTP is loaded where it is needed: it takes longer to start than all the rest. */
const registryAt = (name: string) =>
  Layer.unwrap(Effect.map(Effect.promise(() => import("./RegistryTransport.ts")), ({ layer }) => layer(name)))

const storeAt = (
  { path, transport }: ImageArgument.ImageArgument
): Layer.Layer<
  BlobStore.BlobStore | ImageStore.ImageStore,
  never,
  Compression.Compression | Hash.Hash | Insecure
> => {
  switch (transport) {
    case "oci":
      return OciLayout.layer(path)
    case "oci-archive":
      return OciArchive.layer(path)
    case "docker-archive":
      return DockerArchive.layer(path)
    case "dir":
      return DirTransport.layer(path)
    case "docker":
      return registryAt(path)
  }
}

/**
 * The store that an image is in, or is to be in.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  image: ImageArgument.ImageArgument
): Layer.Layer<
  BlobStore.BlobStore | ImageStore.ImageStore,
  never,
  Insecure
> => Layer.provide(storeAt(image), [NodeHash.layer, NodeCompression.layer])

/**
 * The store that an image is in, beside others: it is open until the scope closes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = (image: ImageArgument.ImageArgument): Effect.Effect<
  Copy.Place,
  never,
  Scope.Scope | Insecure
> => Effect.flatMap(Layer.build(layer(image)), (context) => Effect.provide(Copy.place, context))

/**
 * Finds an image in the store that is provided: by its tag, or by the digest of its manifest or index, which may be listed in
 * an index of the store; without either it has to be the only one.
 *
 * @category getters
 * @since 0.1.0
 */
export const resolve = Effect.fnUntraced(function*({ digest, path, tag, transport }: ImageArgument.ImageArgument) {
  const images = yield* ImageStore.ImageStore
  if (Option.isNone(digest)) return yield* images.resolve(tag)
  // A registry finds it itself, without a list of all that it has
  if (transport === "docker") return yield* images.resolve(digest)
  const roots = (yield* images.list).map(({ descriptor }) => descriptor)
  const found = yield* ImageTree.find(roots, digest.value)
  if (Option.isSome(found)) return found.value
  return yield* new ImageStore.ImageMissing({ store: path, name: digest.value, names: [] })
})

/**
 * Finds an image in a store that is open, as {@link resolve} does.
 *
 * @category getters
 * @since 0.1.0
 */
export const resolveIn = ({ blobs, images }: Copy.Place, image: ImageArgument.ImageArgument) =>
  resolve(image).pipe(
    Effect.provideService(BlobStore.BlobStore, blobs),
    Effect.provideService(ImageStore.ImageStore, images)
  )
