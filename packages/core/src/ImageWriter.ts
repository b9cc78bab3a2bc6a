/**
 * The documents of an image, written to a store.
 *
 * Follows `commitDistributionManifest` and the end of `Commit` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as BlobStore from "./BlobStore.ts"
import type { Compatibility } from "./Compatibility.ts"
import * as Progress from "./Progress.ts"

/**
 * Error raised where a document of an image cannot be stored.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteFailed extends Schema.TaggedError<WriteFailed>("@effect-oci/core/WriteFailed")("WriteFailed", {
  document: Schema.String,
  cause: BlobStore.BlobStoreError
}) {
  override get message(): string {
    return `error writing ${this.document} blob`
  }
}

/**
 * Whose media types an image is written with.
 *
 * @category models
 * @since 0.1.0
 */
export type MediaTypes = "oci" | "docker"

/**
 * The descriptors of an image that has been written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Written {
  readonly manifest: Descriptor.Descriptor
  readonly config: Descriptor.Descriptor
}

/**
 * Stores a document, and tells the progress of it in BuildKit's words.
 *
 * @category combinators
 * @since 0.1.0
 */
export const store = (
  document: string,
  mediaType: string,
  bytes: Uint8Array
): Effect.Effect<Descriptor.Descriptor, WriteFailed, BlobStore.BlobStore> =>
  BlobStore.putBytes(bytes, mediaType).pipe(
    Effect.mapError((cause) => new WriteFailed({ document, cause })),
    Progress.oneOff(`exporting ${document}`),
    Effect.map(({ digest, size }) => ({ mediaType, digest, size }))
  )

const annotated = (
  descriptor: Descriptor.Descriptor,
  annotations: Annotations.Annotations | undefined
): Descriptor.Descriptor => {
  const { annotations: _, ...rest } = descriptor
  return annotations === undefined || Object.keys(annotations).length === 0 ? rest : { ...rest, annotations }
}

const withoutInternal = (
  annotations: Annotations.Annotations,
  rules: Pick<Compatibility, "internalAnnotations">
): Annotations.Annotations => {
  const kept = Annotations.withoutInternal(annotations)
  if (rules.internalAnnotations === "rewritten-timestamp") return kept
  const { [Annotations.rewrittenTimestamp]: _, ...rest } = kept
  return rest
}

/**
 * Makes a layer what a manifest names: Docker's knows no annotations, and OCI's none of BuildKit's internal ones.
 *
 * @category converting
 * @since 0.1.0
 */
export const layerOf =
  (mediaTypes: MediaTypes, rules: Pick<Compatibility, "internalAnnotations">) =>
  (layer: Descriptor.Descriptor): Descriptor.Descriptor =>
    annotated(
      layer,
      mediaTypes === "docker" || layer.annotations === undefined
        ? undefined
        : withoutInternal(layer.annotations, rules)
    )

/**
 * Gives a layer the annotation that names its encoder, where that is known and the rules ask for it.
 *
 * @category converting
 * @since 0.1.0
 */
export const withEncoder = (rules: Pick<Compatibility, "encoderAnnotation">) =>
({ descriptor, encoder }: {
  readonly descriptor: Descriptor.Descriptor
  readonly encoder?: string
}): Descriptor.Descriptor =>
  rules.encoderAnnotation === "none" || encoder === undefined
    ? descriptor
    : { ...descriptor, annotations: { ...descriptor.annotations, [Annotations.encoder]: encoder } }

/**
 * Translates the media type of a layer; one that is not known is left as it is.
 *
 * @category converting
 * @since 0.1.0
 */
export const translateLayer = (layer: Descriptor.Descriptor, mediaTypes: MediaTypes): Descriptor.Descriptor =>
  MediaType.isLayer(layer.mediaType)
    ? {
      ...layer,
      mediaType: mediaTypes === "docker" ? MediaType.toDocker(layer.mediaType) : MediaType.toOci(layer.mediaType)
    }
    : layer

/**
 * Writes the config and the manifest of an image whose layers are in the store: the config first, so that no manifest
 * ever names a config that is not there.
 *
 * @category combinators
 * @since 0.1.0
 */
export const write = Effect.fnUntraced(function*(image: {
  readonly config: Uint8Array
  readonly layers: ReadonlyArray<Descriptor.Descriptor>
  readonly mediaTypes: MediaTypes
  readonly rules: Pick<Compatibility, "internalAnnotations">
  /** Annotations of the manifest. */
  readonly manifest?: Annotations.Annotations | undefined
  /** Annotations of the manifest's descriptor. */
  readonly manifestDescriptor?: Annotations.Annotations | undefined
}): Effect.fn.Return<Written, WriteFailed, BlobStore.BlobStore> {
  const isDocker = image.mediaTypes === "docker"
  const mediaType = isDocker ? MediaType.dockerManifest : MediaType.imageManifest
  const config = yield* store("config", isDocker ? MediaType.dockerConfig : MediaType.imageConfig, image.config)
  const manifest = yield* store(
    "manifest",
    mediaType,
    ImageManifest.encode({
      schemaVersion: 2,
      mediaType,
      config,
      layers: image.layers.map(layerOf(image.mediaTypes, image.rules)),
      ...(image.manifest === undefined ? {} : { annotations: image.manifest })
    })
  )
  return { config, manifest: annotated(manifest, image.manifestDescriptor) }
})

/**
 * Writes the index of images that have been written, in the order in which they are given.
 *
 * @category combinators
 * @since 0.1.0
 */
export const writeIndex = Effect.fnUntraced(function*(image: {
  readonly manifests: ReadonlyArray<Descriptor.Descriptor>
  readonly mediaTypes: MediaTypes
  /** Annotations of the index. */
  readonly index?: Annotations.Annotations | undefined
  /** Annotations of the index's descriptor. */
  readonly indexDescriptor?: Annotations.Annotations | undefined
}): Effect.fn.Return<Descriptor.Descriptor, WriteFailed, BlobStore.BlobStore> {
  const mediaType = image.mediaTypes === "docker" ? MediaType.dockerManifestList : MediaType.imageIndex
  const index = yield* store(
    "manifest list",
    mediaType,
    ImageIndex.encode({
      schemaVersion: 2,
      mediaType,
      manifests: image.manifests,
      ...(image.index === undefined ? {} : { annotations: image.index })
    })
  )
  return annotated(index, image.indexDescriptor)
})
