/**
 * Image indexes: several manifests under one name, one a platform.
 *
 * Follows image-spec 1.1, image-index.md. Docker's manifest list has the same shape, and so has a layout's `index.json`.
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
 * The names that an index gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(
  ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"],
  { manifests: Json.items(Descriptor.names), subject: Descriptor.names }
)

/**
 * Schema for image indexes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ImageIndex = Schema.Struct({
  schemaVersion: absent(integer),
  mediaType: absent(Schema.String),
  artifactType: absent(Schema.String),
  manifests: list(Descriptor.Descriptor),
  subject: absent(Descriptor.Descriptor),
  annotations: absent(Annotations.Annotations)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ImageIndex = typeof ImageIndex.Type

const options = { document: "image index", names }

/**
 * Reads an index. Members that it does not know stay in the document.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<ImageIndex>, Json.Problem> = reader(
  options,
  decoder(ImageIndex)
)

/**
 * Checks an index as strictly as image-spec's own schema and Go code, and gives every problem, up to a thousand.
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem> = checker(options, Strict.imageIndex)

const toEncodable = (self: ImageIndex): Json.Encodable => ({
  schemaVersion: self.schemaVersion ?? 2,
  mediaType: Encode.text(self.mediaType),
  artifactType: Encode.text(self.artifactType),
  manifests: Encode.list(self.manifests.map(Descriptor.toEncodable)) ?? null,
  subject: self.subject === undefined ? undefined : Descriptor.toEncodable(self.subject),
  annotations: Annotations.toEncodable(self.annotations)
})

/**
 * Encodes an index as BuildKit does: Go's order of members, indented by two spaces, `null` for no manifests.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (self: ImageIndex): Uint8Array<ArrayBuffer> =>
  Json.toBytes(Json.stringifyIndented(toEncodable(self)))
