/**
 * The export of an image: from the name of a ref to the descriptor of a manifest.
 *
 * Follows `Commit` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as BlobStore from "./BlobStore.ts"
import * as CacheRef from "./CacheRef.ts"
import type { Compatibility } from "./Compatibility.ts"
import * as ExportConfig from "./ExportConfig.ts"
import * as ImageWriter from "./ImageWriter.ts"
import * as LayerHistory from "./LayerHistory.ts"
import * as Progress from "./Progress.ts"
import * as RefMetadata from "./RefMetadata.ts"

/**
 * Error raised where a ref is exported whose source knows no layer of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayerUnknown extends Schema.TaggedError<LayerUnknown>("@effect-oci/core/LayerUnknown")("LayerUnknown", {
  ref: Schema.String
}) {
  override get message(): string {
    return `the ref ${JSON.stringify(this.ref)} has no layer: expected a descriptor and a diff ID from its source`
  }
}

/**
 * Error raised where a layer cannot be brought into the store that is exported to.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayerFailed extends Schema.TaggedError<LayerFailed>("@effect-oci/core/LayerFailed")("LayerFailed", {
  ref: Schema.String,
  cause: BlobStore.BlobStoreError
}) {
  override get message(): string {
    return `failed to export the layer of the ref ${JSON.stringify(this.ref)}`
  }
}

/**
 * Error raised where an export fails. Nothing names what had been written by then.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExportFailed extends Schema.TaggedError<ExportFailed>("@effect-oci/core/ExportFailed")("ExportFailed", {
  ref: Schema.String,
  cause: Schema.Union([
    CacheRef.CacheRefError,
    LayerUnknown,
    LayerFailed,
    ExportConfig.ParseHistoryFailed,
    ExportConfig.PatchFailed,
    LayerHistory.ShortChain,
    ImageWriter.WriteFailed
  ])
}) {
  override get message(): string {
    return `failed to export the ref ${JSON.stringify(this.ref)}`
  }
}

/**
 * What is exported, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name of the ref of the uppermost layer. */
  readonly ref: string
  /** The bytes of the image's config; without them it is the empty one of the platform. */
  readonly config?: Uint8Array
  /** The platform of an image without a config. */
  readonly platform: Platform.Platform
  readonly rules: Compatibility
}

/**
 * An image that has been exported.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exported {
  /** The descriptor of the manifest, with the image's platform. */
  readonly descriptor: Descriptor.Descriptor
  /** The descriptor of the config. */
  readonly config: Descriptor.Descriptor
  readonly warnings: ReadonlyArray<LayerHistory.UnaccountedLayers>
}

/** How many layers are copied at once. */
const concurrency = 4

const layersOf = (chain: ReadonlyArray<CacheRef.Ref>) =>
  Effect.forEach(chain, (ref) =>
    ref.layer === undefined
      ? Effect.fail(new LayerUnknown({ ref: ref.name }))
      : Effect.succeed({ ref: ref.name, ...ref.layer }))

const copyLayer = (layer: Effect.Success<ReturnType<typeof layersOf>>[number]) =>
  Effect.gen(function*() {
    const store = yield* BlobStore.BlobStore
    if (yield* store.has(layer.descriptor)) return
    yield* store.put(layer.content, layer.descriptor)
  }).pipe(Effect.mapError((cause) => new LayerFailed({ ref: layer.ref, cause })))

const platformOf = (config: Uint8Array): Platform.Platform | undefined =>
  ImageConfig.document(config).pipe(
    Result.flatMap(ImageConfig.decodeOci),
    Result.match({
      onFailure: () => undefined,
      onSuccess: ({ architecture, os, ...value }) =>
        architecture === undefined || os === undefined ? undefined : {
          architecture,
          os,
          ...(value["os.version"] === undefined ? {} : { "os.version": value["os.version"] }),
          ...(value["os.features"] === undefined ? {} : { "os.features": value["os.features"] }),
          ...(value.variant === undefined ? {} : { variant: value.variant })
        }
    })
  )

/**
 * Exports an image to the store that is provided.
 *
 * **Details**
 *
 * All refs of the chain are held until the image is written, and released once, however it ends. The order is the
 * layers, then the config, then the manifest: whatever stops an export, no document in the store names another that is
 * not there.
 *
 * **Example** (Exporting from any refs into any store)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as ExportImage from "@effect-oci/core/ExportImage"
 * import * as Effect from "effect/Effect"
 *
 * const program = ExportImage.run({
 *   ref: "app",
 *   platform: { os: "linux", architecture: "amd64" },
 *   rules: Compatibility.moby2019
 * }).pipe(
 *   Effect.map((image) => image.descriptor.digest),
 *   Effect.catchTag("ExportFailed", (error) => Effect.fail(`${error.message}: ${error.cause.message}`))
 * )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fn("ExportImage.run")(
  function*(options: Options): Effect.fn.Return<
    Exported,
    ExportFailed["cause"],
    CacheRef.CacheRef | BlobStore.BlobStore
  > {
    return yield* Effect.scoped(Effect.gen(function*() {
      const source = yield* CacheRef.CacheRef
      const ref = yield* source.acquire(options.ref)
      const chain = yield* CacheRef.chain(ref)
      const layers = yield* layersOf(chain)
      const config = yield* Effect.fromResult(
        ExportConfig.read(options.config ?? ExportConfig.empty(options.platform, options.rules))
      )

      const history = yield* Effect.fromResult(ExportConfig.parseHistory(config))
      const now = Timestamp.fromNanoseconds(yield* Clock.currentTimeNanos)
      const metadata = RefMetadata.fromChain(chain, layers.length, options.rules, now)
      const normalized = yield* Effect.fromResult(
        LayerHistory.normalize({ history, layers: layers.length, metadata, rules: options.rules })
      )
      yield* Effect.forEach(normalized.warnings, (warning) => Effect.logWarning(warning.message), { discard: true })
      const patched = yield* Effect.fromResult(ExportConfig.patch(config, {
        diffIds: layers.map((layer) => layer.diffId),
        history: normalized.history,
        rules: options.rules
      }))

      yield* Effect.forEach(layers, copyLayer, { concurrency, discard: true }).pipe(Progress.oneOff("exporting layers"))
      const written = yield* ImageWriter.write({
        config: patched,
        layers: layers.map((layer) => ImageWriter.translateLayer(layer.descriptor, "oci")),
        mediaTypes: "oci",
        rules: options.rules
      })
      const platform = platformOf(patched)
      return {
        descriptor: platform === undefined ? written.manifest : { ...written.manifest, platform },
        config: written.config,
        warnings: normalized.warnings
      }
    }))
  },
  (effect, options) => Effect.mapError(effect, (cause) => new ExportFailed({ ref: options.ref, cause }))
)
