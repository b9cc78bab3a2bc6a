/**
 * Image manifests: the config and the layers of one image.
 *
 * Follows image-spec 1.1, manifest.md. Docker's manifest of schema 2 has the same shape.
 *
 * @since 0.1.0
 */
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Annotations from "./Annotations.ts"
import * as Descriptor from "./Descriptor.ts"
import { absent, checker, decoder, integer, list, reader } from "./internal/decode.ts"
import * as Encode from "./internal/encode.ts"
import * as Strict from "./internal/strict.ts"
import * as Json from "./Json.ts"

/**
 * The names that a manifest gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(
  ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"],
  { config: Descriptor.names, layers: Json.items(Descriptor.names), subject: Descriptor.names }
)

/**
 * Schema for image manifests. The layers stand base first.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ImageManifest = Schema.Struct({
  schemaVersion: absent(integer),
  mediaType: absent(Schema.String),
  artifactType: absent(Schema.String),
  config: Descriptor.Descriptor,
  layers: list(Descriptor.Descriptor),
  subject: absent(Descriptor.Descriptor),
  annotations: absent(Annotations.Annotations)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ImageManifest = typeof ImageManifest.Type

const options = { document: "image manifest", names }

/**
 * Reads a manifest. Members that it does not know stay in the document.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<ImageManifest>, Json.Problem> = reader(
  options,
  decoder(ImageManifest)
)

/**
 * Checks a manifest as strictly as image-spec's own schema and Go code, and gives every problem, up to a thousand.
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem> = checker(options, Strict.imageManifest)

/**
 * Encodes a manifest as BuildKit does: Go's order of members, indented by two spaces, `null` for no layers.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (self: ImageManifest): Uint8Array<ArrayBuffer> =>
  Json.toBytes(Json.stringifyIndented({
    schemaVersion: self.schemaVersion ?? 2,
    mediaType: Encode.text(self.mediaType),
    artifactType: Encode.text(self.artifactType),
    config: Descriptor.toEncodable(self.config),
    layers: Encode.list(self.layers.map(Descriptor.toEncodable)) ?? null,
    subject: self.subject === undefined ? undefined : Descriptor.toEncodable(self.subject),
    annotations: Annotations.toEncodable(self.annotations)
  }))
