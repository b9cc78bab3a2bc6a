/**
 * Annotations: free text by key on descriptors, manifests and indexes, and the keys that have a meaning.
 *
 * Follows image-spec's annotations.md; the internal keys are those of containerd and BuildKit.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { element } from "./internal/decode.ts"
import type * as Json from "./Json.ts"

/**
 * Schema for annotations.
 *
 * **Details**
 *
 * A value that is `null` reads as empty, as in Go. A key may be any text, `__proto__` or `constructor` too: ask
 * `Object.hasOwn` before reading one.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Annotations = Schema.Record(Schema.String, element(Schema.String, ""))

/**
 * Annotations by key.
 *
 * @category models
 * @since 0.1.0
 */
export type Annotations = typeof Annotations.Type

/**
 * Key for the time at which the image was built, RFC 3339.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const created = "org.opencontainers.image.created"

/**
 * Key for who is responsible for the image, and how to reach them.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const authors = "org.opencontainers.image.authors"

/**
 * Key for a URL with more information on the image.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const url = "org.opencontainers.image.url"

/**
 * Key for a URL with the image's documentation.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const documentation = "org.opencontainers.image.documentation"

/**
 * Key for a URL with the source code that the image is built from.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const source = "org.opencontainers.image.source"

/**
 * Key for the version of the packaged software.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const version = "org.opencontainers.image.version"

/**
 * Key for the source control revision of the packaged software.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const revision = "org.opencontainers.image.revision"

/**
 * Key for the name of the organization or person that distributes the image.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const vendor = "org.opencontainers.image.vendor"

/**
 * Key for the licenses of the contained software, an SPDX license expression.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const licenses = "org.opencontainers.image.licenses"

/**
 * Key for the name of a reference: the tag, on a descriptor in an image layout's `index.json`.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const refName = "org.opencontainers.image.ref.name"

/**
 * Key for a title for people.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const title = "org.opencontainers.image.title"

/**
 * Key for a description for people.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const description = "org.opencontainers.image.description"

/**
 * Key for the digest of the image that this one is based on.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const baseDigest = "org.opencontainers.image.base.digest"

/**
 * Key for the full reference of the image that this one is based on.
 *
 * @category image-spec keys
 * @since 0.1.0
 */
export const baseName = "org.opencontainers.image.base.name"

/**
 * Key for a layer's diff ID: the digest of its bytes before compression. Internal to the exporter.
 *
 * @category internal keys
 * @since 0.1.0
 */
export const uncompressed = "containerd.io/uncompressed"

/**
 * Key for the time at which BuildKit made a layer, RFC 3339. Internal to the exporter.
 *
 * @category internal keys
 * @since 0.1.0
 */
export const createdAt = "buildkit/createdat"

/**
 * Prefix of the keys that name, by registry host, the repositories a blob came from. Internal to the exporter.
 *
 * @category internal keys
 * @since 0.1.0
 */
export const distributionSourcePrefix = "containerd.io/distribution.source."

/**
 * Key for the epoch, in seconds, that a layer's times were clamped to. BuildKit keeps it in the manifest.
 *
 * @category BuildKit and containerd keys
 * @since 0.1.0
 */
export const rewrittenTimestamp = "buildkit/rewritten-timestamp"

/**
 * Key for the full image reference, on a descriptor in an image layout's `index.json`.
 *
 * @category BuildKit and containerd keys
 * @since 0.1.0
 */
export const imageName = "io.containerd.image.name"

/**
 * Key for what a manifest in an index is to another one: `attestation-manifest`.
 *
 * @category BuildKit and containerd keys
 * @since 0.1.0
 */
export const referenceType = "vnd.docker.reference.type"

/**
 * Key for the digest of the manifest that an attestation manifest is about.
 *
 * @category BuildKit and containerd keys
 * @since 0.1.0
 */
export const referenceDigest = "vnd.docker.reference.digest"

/**
 * Key for the type of the predicate in an in-toto statement.
 *
 * @category BuildKit and containerd keys
 * @since 0.1.0
 */
export const predicateType = "in-toto.io/predicate-type"

/**
 * Key for the encoder that compressed a layer, by the name and the version that effect-oci gives it.
 *
 * @category effect-oci keys
 * @since 0.1.0
 */
export const encoder = "dev.effect-oci.encoder"

const isInternal = (key: string) =>
  key === uncompressed || key === createdAt || key.startsWith(distributionSourcePrefix)

/**
 * Leaves out the keys that concern the exporter only: {@link uncompressed}, {@link createdAt}, and those that begin
 * with {@link distributionSourcePrefix}.
 *
 * **Details**
 *
 * The input is not changed. This is what BuildKit's `RemoveInternalLayerAnnotations` does for OCI media types. For
 * Docker's it drops all annotations of layers, which needs no function.
 *
 * **Example** (Preparing a layer's annotations for a manifest)
 *
 * ```ts
 * import * as Annotations from "@effect-oci/schema/Annotations"
 *
 * const annotations = { [Annotations.createdAt]: "2024-01-01T00:00:00Z", "com.example.team": "base" }
 * console.log(Annotations.withoutInternal(annotations)) // { "com.example.team": "base" }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withoutInternal = (annotations: Annotations): Annotations =>
  // `fromEntries` defines properties, so a key `__proto__` stays a key.
  Object.fromEntries(Object.entries(annotations).filter(([key]) => !isInternal(key)))

/**
 * Puts annotations in the order in which Go writes them, and nothing where there are none.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toEncodable = (annotations: Annotations | undefined): Json.Encodable => {
  const entries = Object.entries(annotations ?? {})
  return entries.length === 0 ? undefined : new Map(entries)
}
