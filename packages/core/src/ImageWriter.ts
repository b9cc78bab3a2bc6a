/**
 * The documents of an image, written to a store.
 *
 * Follows `commitDistributionManifest` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as BlobStore from "./BlobStore.ts"
import * as Progress from "./Progress.ts"

/**
 * Error raised where a document of an image cannot be stored.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteFailed extends Schema.TaggedError<WriteFailed>("@effect-oci/core/WriteFailed")("WriteFailed", {
  document: Schema.Literals(["config", "manifest", "index"]),
  cause: BlobStore.BlobStoreError
}) {
  override get message(): string {
    return `error writing ${this.document} blob`
  }
}

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

const store = (document: WriteFailed["document"], mediaType: string, bytes: Uint8Array) =>
  BlobStore.putBytes(bytes).pipe(
    Effect.mapError((cause) => new WriteFailed({ document, cause })),
    Progress.oneOff(`exporting ${document}`),
    Effect.map((blob): Descriptor.Descriptor => ({ mediaType, digest: blob.digest, size: blob.size }))
  )

const layerOf = ({ annotations, ...layer }: Descriptor.Descriptor): Descriptor.Descriptor => {
  const kept = annotations === undefined ? {} : Annotations.withoutInternal(annotations)
  return {
    ...layer,
    mediaType: MediaType.toOci(layer.mediaType),
    ...(Object.keys(kept).length === 0 ? {} : { annotations: kept })
  }
}

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
}): Effect.fn.Return<Written, WriteFailed, BlobStore.BlobStore> {
  const config = yield* store("config", MediaType.imageConfig, image.config)
  const manifest = yield* store(
    "manifest",
    MediaType.imageManifest,
    ImageManifest.encode({
      schemaVersion: 2,
      mediaType: MediaType.imageManifest,
      config,
      layers: image.layers.map(layerOf)
    })
  )
  return { config, manifest }
})
