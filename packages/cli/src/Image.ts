/**
 * An image as it is read from a store, and which item of its history belongs to which of its layers.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import type * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * Error raised where a document of an image cannot be had from its store, or is not valid.
 *
 * @category errors
 * @since 0.1.0
 */
export class DocumentUnreadable extends Schema.TaggedError<DocumentUnreadable>("@effect-oci/cli/DocumentUnreadable")(
  "DocumentUnreadable",
  {
    digest: Digest.Digest,
    mediaType: Schema.String,
    cause: Schema.Union([BlobStore.BlobStoreError, Json.InvalidJson, Json.LimitExceeded, Json.UnexpectedJson])
  }
) {
  override get message() {
    return `cannot read the document ${this.digest} (${this.mediaType || "no media type"})`
  }
}

/**
 * Error raised where a name leads to what is neither a manifest nor an index.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoImage extends Schema.TaggedError<NoImage>("@effect-oci/cli/NoImage")("NoImage", {
  digest: Digest.Digest,
  mediaType: Schema.String
}) {
  override get message() {
    return `${this.digest} is not an image: expected the media type of a manifest or an index, ` +
      `found ${JSON.stringify(this.mediaType)}`
  }
}

/**
 * Error raised where an image has no config that could be shown.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoConfig extends Schema.TaggedError<NoConfig>("@effect-oci/cli/NoConfig")("NoConfig", {
  digest: Digest.Digest
}) {
  override get message() {
    return `${this.digest} is an index, which has no config: name the image of one platform by its digest, ` +
      "as inspect shows it, with @sha256:… in the place of the tag"
  }
}

/**
 * The bytes of a document, verified.
 *
 * @category reading
 * @since 0.1.0
 */
export const getBytes = (
  descriptor: Descriptor.Descriptor
): Effect.Effect<Uint8Array, DocumentUnreadable, BlobStore.BlobStore> =>
  BlobStore.getBytes(descriptor).pipe(Effect.mapError(unreadable(descriptor)))

const unreadable = ({ digest, mediaType }: Descriptor.Descriptor) => (cause: DocumentUnreadable["cause"]) =>
  new DocumentUnreadable({ digest, mediaType, cause })

const get = <A>(
  descriptor: Descriptor.Descriptor,
  parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<A>, Json.Problem>
) =>
  Effect.flatMap(
    getBytes(descriptor),
    (bytes) => Effect.fromResult(Result.mapError(parse(bytes), unreadable(descriptor)))
  )

/**
 * A layer, and what the config says of it: its diff ID, and the item of the history that is its.
 *
 * @category models
 * @since 0.1.0
 */
export interface Layer {
  readonly descriptor: Descriptor.Descriptor
  readonly diffId?: string
  /** The item's index, from 0. */
  readonly history?: number
}

/**
 * An item of a history, and the layer that it made, if it made one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Item {
  readonly item: History.History
  /** The layer's index, from 0. */
  readonly layer?: number
}

/**
 * An image of one platform. Without a config that is an image's, as an artifact has none, there is no history.
 *
 * @category models
 * @since 0.1.0
 */
export interface Image {
  readonly _tag: "Image"
  readonly descriptor: Descriptor.Descriptor
  readonly manifest: Json.Parsed<ImageManifest.ImageManifest>
  readonly config?: Json.Parsed<ImageConfig.ImageConfig>
  readonly layers: ReadonlyArray<Layer>
  readonly history: ReadonlyArray<Item>
  /** Why the history does not fit the layers, where it does not: then no item is said to belong to a layer. */
  readonly misfit?: string
}

/**
 * The images of several platforms.
 *
 * @category models
 * @since 0.1.0
 */
export interface Index {
  readonly _tag: "Index"
  readonly descriptor: Descriptor.Descriptor
  readonly index: Json.Parsed<ImageIndex.ImageIndex>
}

const count = (many: number, one: string): string => `${many} ${one}${many === 1 ? "" : "s"}`

/** Gives each item of a history that made a layer the layer that it made. */
const join = (
  descriptors: ReadonlyArray<Descriptor.Descriptor>,
  config: ImageConfig.ImageConfig
): Pick<Image, "layers" | "history" | "misfit"> => {
  const diffIds = config.rootfs?.diff_ids ?? []
  const history = config.history ?? []
  const ofLayers = history.flatMap((item, index) => item.empty_layer === true ? [] : [index])
  const misfit = diffIds.length !== descriptors.length
    ? `the config has ${count(diffIds.length, "diff ID")} and the manifest ${count(descriptors.length, "layer")}`
    : ofLayers.length !== descriptors.length
    ? `the history has ${count(ofLayers.length, "item")} of layers and the manifest ${
      count(descriptors.length, "layer")
    }`
    : undefined
  const layerOf = new Map(misfit === undefined ? ofLayers.map((index, layer) => [index, layer]) : [])
  return {
    layers: descriptors.map((descriptor, layer) => {
      const diffId = diffIds[layer]
      const index = misfit === undefined ? ofLayers[layer] : undefined
      return {
        descriptor,
        ...(diffId === undefined ? {} : { diffId }),
        ...(index === undefined ? {} : { history: index })
      }
    }),
    history: history.map((item, index) => {
      const layer = layerOf.get(index)
      return layer === undefined ? { item } : { item, layer }
    }),
    ...(misfit === undefined ? {} : { misfit })
  }
}

/**
 * Reads a manifest, and no config.
 *
 * @category reading
 * @since 0.1.0
 */
export const readManifest = (descriptor: Descriptor.Descriptor) => get(descriptor, ImageManifest.parse)

/**
 * Reads what a descriptor leads to: an image, or an index of images.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(
  descriptor: Descriptor.Descriptor
): Effect.fn.Return<Image | Index, DocumentUnreadable | NoImage, BlobStore.BlobStore> {
  if (MediaType.isIndex(descriptor.mediaType)) {
    return { _tag: "Index", descriptor, index: yield* get(descriptor, ImageIndex.parse) }
  }
  if (!MediaType.isManifest(descriptor.mediaType)) return yield* new NoImage(descriptor)
  const manifest = yield* readManifest(descriptor)
  const { config: configDescriptor, layers } = manifest.value
  if (!MediaType.isConfig(configDescriptor.mediaType)) {
    return { _tag: "Image", descriptor, manifest, layers: layers.map((descriptor) => ({ descriptor })), history: [] }
  }
  const config = yield* get(configDescriptor, ImageConfig.parse)
  return { _tag: "Image", descriptor, manifest, config, ...join(layers, config.value) }
})
