/**
 * Content descriptors: what a blob is, how large it is, and what its content hashes to.
 *
 * Follows image-spec 1.1, descriptor.md.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Annotations from "./Annotations.ts"
import * as Digest from "./Digest.ts"
import { absent, checker, decoder, integer, reader, strings } from "./internal/decode.ts"
import * as Encode from "./internal/encode.ts"
import * as Strict from "./internal/strict.ts"
import * as Json from "./Json.ts"
import * as Platform from "./Platform.ts"

/**
 * The names that a descriptor gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(
  ["mediaType", "digest", "size", "urls", "annotations", "data", "platform", "artifactType"],
  { platform: Platform.names }
)

/**
 * Schema for descriptors: `size` in bytes, `data` the content itself in base64.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Descriptor = Schema.Struct({
  mediaType: Schema.String,
  digest: Digest.Digest,
  size: integer.check(
    Schema.makeFilter((size) => (Number.isSafeInteger(size) && size >= 0) || "a size from 0 to 2^53 - 1")
  ),
  urls: absent(strings),
  annotations: absent(Annotations.Annotations),
  data: absent(Schema.String),
  platform: absent(Platform.Platform),
  artifactType: absent(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Descriptor = typeof Descriptor.Type

const options = { document: "descriptor", names }

/**
 * Reads a descriptor. Members that it does not know stay in the document.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<Descriptor>, Json.Problem> = reader(
  options,
  decoder(Descriptor)
)

/**
 * Checks a descriptor as strictly as image-spec's own schema and Go code, and gives every problem, up to a thousand.
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem> = checker(options, Strict.descriptor)

/**
 * Puts a descriptor's members into the order in which Go writes them, empty ones left out.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toEncodable = (self: Descriptor): Json.Encodable => ({
  mediaType: self.mediaType,
  digest: self.digest,
  size: self.size,
  urls: Encode.list(self.urls),
  annotations: Annotations.toEncodable(self.annotations),
  data: Encode.text(self.data),
  platform: self.platform === undefined ? undefined : Platform.toEncodable(self.platform),
  artifactType: Encode.text(self.artifactType)
})

/**
 * Error raised where the descriptor of a layer does not say what its uncompressed content hashes to.
 *
 * @category errors
 * @since 0.1.0
 */
export class MissingDiffId extends Schema.TaggedError<MissingDiffId>("@effect-oci/schema/MissingDiffId")(
  "MissingDiffId",
  { digest: Digest.Digest }
) {
  override get message(): string {
    return `the layer ${this.digest} has no diff ID: expected a digest in its annotation ${Annotations.uncompressed}`
  }
}

/**
 * Gets the diff ID of a layer from the annotation that BuildKit and containerd keep it in.
 *
 * @category getters
 * @since 0.1.0
 */
export const diffId = (self: Descriptor): Result.Result<Digest.Digest, MissingDiffId> =>
  Result.mapError(
    Digest.parse(self.annotations?.[Annotations.uncompressed] ?? ""),
    () => new MissingDiffId({ digest: self.digest })
  )

/**
 * Gets the name of the encoder that compressed a layer from the annotation that effect-oci keeps it in; `undefined` where
 * there is none.
 *
 * @category getters
 * @since 0.1.0
 */
export const encoder = ({ annotations = {} }: Descriptor): string | undefined =>
  Object.hasOwn(annotations, Annotations.encoder) ? annotations[Annotations.encoder] : undefined
