/**
 * Layers that have been made before, so that unchanged work is not done again.
 *
 * @since 0.1.0
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as EffectLayer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as BlobStore from "./BlobStore.ts"
import * as Compression from "./Compression.ts"
import type * as Layer from "./Layer.ts"

/**
 * A cache of layers. A key is the digest of everything that decides about a layer: what is read and how it is stored.
 *
 * **Details**
 *
 * `find` gives a layer only when its blob is in the store, whole and right, if need be by putting it there. `keep`
 * remembers a layer whose blob the store holds. Neither ever fails: a cache that is damaged, full or forbidden finds and
 * keeps nothing, and logs a warning. What it has kept may be gone at any time.
 *
 * @category services
 * @since 0.1.0
 */
export class LayerCache extends Context.Service<LayerCache, {
  readonly find: (
    key: Digest.Digest,
    store: BlobStore.Store
  ) => Effect.Effect<Option.Option<Layer.Stored>>
  readonly keep: (
    key: Digest.Digest,
    layer: Layer.Stored,
    store: BlobStore.Store
  ) => Effect.Effect<void>
}>()("@effect-oci/core/LayerCache") {}

const nothing: LayerCache["Service"] = {
  find: () => Effect.succeedNone,
  keep: () => Effect.void
}

/**
 * Layer of a cache that finds nothing and keeps nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const none: EffectLayer.Layer<LayerCache> = EffectLayer.sync(LayerCache, () => nothing)

/**
 * Layer of a cache in memory: it finds a layer as long as the store itself still holds the blob. For tests, and for
 * programs that build more than once.
 *
 * @category layers
 * @since 0.1.0
 */
export const memory: EffectLayer.Layer<LayerCache> = EffectLayer.sync(LayerCache, () => {
  const layers = new Map<Digest.Digest, Layer.Stored>()
  return {
    find: (key, store) => {
      const kept = layers.get(key)
      return kept === undefined ? Effect.succeedNone : Effect.option(Effect.as(
        Stream.runDrain(store.get(kept.descriptor)),
        kept
      ))
    },
    keep: (key, layer) => Effect.sync(() => void layers.set(key, layer))
  }
})

/**
 * A layer that went through the cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface Through {
  readonly stored: Layer.Stored
  /** Whether it was found, and not made. */
  readonly fromCache: boolean
}

/**
 * A layer that has just been made, and the key of what it was made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Made extends Layer.Stored {
  /** None where something could have changed since it was read, and nobody would see it. */
  readonly key: Option.Option<Digest.Digest>
}

/**
 * Finds a layer in the cache, or makes and keeps it.
 *
 * **Details**
 *
 * It is kept under the key that it was made with, which is another one than it was looked for under where something has
 * changed in between. A layer whose encoder has another name than the one that would make it now counts as not found.
 *
 * **Example** (Storing a tar archive once)
 *
 * ```ts
 * import * as Layer from "@effect-oci/core/Layer"
 * import * as LayerCache from "@effect-oci/core/LayerCache"
 * import type * as Digest from "@effect-oci/schema/Digest"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 * import type * as Stream from "effect/Stream"
 *
 * const store = (diffId: Digest.Digest, tar: Stream.Stream<Uint8Array>) => {
 *   const key = Option.some(diffId)
 *   return LayerCache.through(Effect.succeed(key), Effect.map(Layer.store(tar), (stored) => ({ ...stored, key })))
 * }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const through = Effect.fn("LayerCache.through")(function*<E, R>(
  key: Effect.Effect<Option.Option<Digest.Digest>, E, R>,
  make: Effect.Effect<Made, E, R>
): Effect.fn.Return<Through, E, LayerCache | BlobStore.BlobStore | Compression.Compression | R> {
  const cache = yield* LayerCache
  const store = yield* BlobStore.BlobStore
  const { encoder } = yield* Compression.Compression
  /** Whether it would be made of the same bytes now: what came compressed, or is not, depends on no encoder. */
  const isCurrent = (layer: Layer.Stored) =>
    layer.encoder === undefined ||
    Option.exists(MediaType.compression(layer.descriptor.mediaType), (format) => encoder(format) === layer.encoder)
  // What nothing would be found under is not worth reading the files for
  const wanted = cache === nothing ? Option.none() : yield* key
  const found = Option.isSome(wanted) ? yield* cache.find(wanted.value, store) : Option.none()
  if (Option.isSome(found) && isCurrent(found.value)) {
    return { stored: found.value, fromCache: true }
  }
  const { key: madeOf, ...stored } = yield* make
  if (Option.isSome(madeOf)) yield* cache.keep(madeOf.value, stored, store)
  return { stored, fromCache: false }
})
