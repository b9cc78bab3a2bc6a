/**
 * Refs from a build that BuildKit has run: from a cache that it has exported to a directory, or from an image.
 *
 * @since 0.1.0
 */
import type * as BaseImage from "@effect-oci/core/BaseImage"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as BuildKitCache from "@effect-oci/core/BuildKitCache"
import type * as CacheChains from "@effect-oci/core/CacheChains"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as OciLayout from "./OciLayout.ts"

/**
 * The chains of the cache that the refs are from.
 *
 * @category services
 * @since 0.1.0
 */
export class Chains extends Context.Service<Chains, CacheChains.Chains>()(
  "@effect-oci/adapters/CacheRefBuildKitCache/Chains"
) {}

const toContext = (chains: CacheChains.Chains, blobs: BlobStore.Store, store: string) =>
  Context.make(CacheRef.CacheRef, BuildKitCache.toCacheRef(chains, blobs, store)).pipe(
    Context.add(BlobStore.BlobStore, blobs),
    Context.add(Chains, chains)
  )

/**
 * Layer that serves what BuildKit has exported with `type=local` as refs.
 *
 * **Details**
 *
 * `tag` is the cache's, where the directory holds several: BuildKit's is `latest` unless it is told. The cache is read when the layer is
 * built, and its blobs when they are asked for, verified. Nothing in the directory is changed.
 *
 * A ref is a layer at its place in a chain; `Chains` tells where chains end. What a layer was made by is not in such a cache.
 *
 * **Example** (Reading the chain of a cache)
 *
 * ```ts
 * import * as CacheRefBuildKitCache from "@effect-oci/adapters/CacheRefBuildKitCache"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as CacheChains from "@effect-oci/core/CacheChains"
 * import * as CacheRef from "@effect-oci/core/CacheRef"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function*() {
 *   const refs = yield* CacheRef.CacheRef
 *   const top = yield* Effect.fromResult(CacheChains.choose(yield* CacheRefBuildKitCache.Chains))
 *   return yield* CacheRef.chain(yield* refs.acquire(top.name))
 * }).pipe(Effect.scoped, Effect.provide(CacheRefBuildKitCache.layer("cache").pipe(Layer.provide(NodeHash.layer))))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string,
  options: { readonly tag?: string } = {}
): Layer.Layer<
  CacheRef.CacheRef | BlobStore.BlobStore | Chains,
  BuildKitCache.CacheUnreadable | BuildKitCache.NotACache | ImageStore.ImageStoreError,
  Hash.Hash
> =>
  Layer.effectContext(Effect.gen(function*() {
    const images = yield* ImageStore.ImageStore
    const root = yield* images.resolve(Option.fromUndefinedOr(options.tag))
    return toContext(yield* BuildKitCache.read(root), yield* BlobStore.BlobStore, directory)
  })).pipe(Layer.provide(OciLayout.layer(directory)))

/**
 * Layer that serves the layers of an image as refs, described by its history. The image is read from the store that is
 * provided, when the layer is built.
 *
 * **Details**
 *
 * The chain is that of all layers. An inline cache in the config gives times where the history has none, and the further
 * chains of merges. Without `platform`, an index has to be of one platform.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerImage = (
  image: Descriptor.Descriptor,
  platform?: Platform.Platform
): Layer.Layer<
  CacheRef.CacheRef | BlobStore.BlobStore | Chains,
  BuildKitCache.CacheUnreadable | BaseImage.BaseImageError,
  BlobStore.BlobStore | Hash.Hash
> =>
  Layer.effectContext(
    Effect.gen(function*() {
      return toContext(
        yield* BuildKitCache.ofImage(image, platform),
        yield* BlobStore.BlobStore,
        `the image ${image.digest}`
      )
    })
  )
