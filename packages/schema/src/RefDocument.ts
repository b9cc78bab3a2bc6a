/**
 * The document that a store keeps of a ref: effect-oci's own, versioned format.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Descriptor from "./Descriptor.ts"
import * as Digest from "./Digest.ts"
import { absent, decoder, integer, problem } from "./internal/decode.ts"
import * as Encode from "./internal/encode.ts"
import * as Json from "./Json.ts"
import * as Timestamp from "./Timestamp.ts"

/**
 * The version that is written, and the only one that is read.
 *
 * @category constants
 * @since 0.1.0
 */
export const version = 1

/**
 * What the name of a ref looks like, in words.
 *
 * @category constants
 * @since 0.1.0
 */
export const nameRule =
  "a lower-case letter or a digit, then up to 127 lower-case letters, digits, dots, underscores and dashes"

/**
 * Checks that a text can be the name of a ref.
 *
 * @category guards
 * @since 0.1.0
 */
export const isName = (text: string): boolean => /^[a-z0-9][a-z0-9._-]{0,127}$/.test(text)

/**
 * Schema for the document of a ref.
 *
 * **Details**
 *
 * `parent` is the name of the ref below. `description` is what the layer was made by, `created` when. `layer` describes
 * the layer's blob and `diffId` the uncompressed tar archive in it. `encoder` names what compressed the one into the other,
 * where that is known. `origin` tells where the ref was imported from, in the words of whoever imported it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RefDocument = Schema.Struct({
  parent: absent(Schema.String),
  description: absent(Schema.String),
  created: absent(Timestamp.FromString),
  layer: absent(Descriptor.Descriptor),
  diffId: absent(Digest.Digest),
  encoder: absent(Schema.String),
  origin: absent(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type RefDocument = typeof RefDocument.Type

const names = Json.names(["version", "parent", "description", "created", "layer", "diffId", "encoder", "origin"], {
  layer: Descriptor.names
})

/**
 * Makes the members of a document that are about its layer.
 *
 * **Example** (Describing a layer)
 *
 * ```ts
 * import * as Digest from "@effect-oci/schema/Digest"
 * import * as MediaType from "@effect-oci/schema/MediaType"
 * import * as RefDocument from "@effect-oci/schema/RefDocument"
 * import * as Result from "effect/Result"
 *
 * const digest = Result.getOrThrow(Digest.fromHex("sha256", "ab".repeat(32)))
 * const document: RefDocument.RefDocument = {
 *   description: "COPY dist /app",
 *   ...RefDocument.ofLayer({ descriptor: { mediaType: MediaType.layer, digest, size: 1024 }, diffId: digest })
 * }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofLayer = (
  layer: { readonly descriptor: Descriptor.Descriptor; readonly diffId: Digest.Digest; readonly encoder?: string }
): Required<Pick<RefDocument, "layer" | "diffId">> & Pick<RefDocument, "encoder"> => ({
  layer: layer.descriptor,
  diffId: layer.diffId,
  ...(layer.encoder === undefined ? {} : { encoder: layer.encoder })
})

const decodeVersion = decoder(Schema.Struct({ version: integer }))
const decode = decoder(RefDocument)

/**
 * Reads the document of a ref. A version that is not known is a problem of its own, told before any other.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (bytes: Uint8Array): Result.Result<Json.Parsed<RefDocument>, Json.Problem> =>
  Result.gen(function*() {
    const document = yield* Json.parse(bytes, { document: "ref document", names })
    const found = yield* decodeVersion(document)
    if (found.version !== version) {
      const expected = `version ${version}, the only one known`
      return yield* Result.fail(problem(document, { path: ["version"], reason: "value", expected }))
    }
    return { document, value: yield* decode(document) }
  })

/**
 * Encodes the document of a ref: indented, for people to read, with a newline at the end.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (self: RefDocument): Uint8Array<ArrayBuffer> =>
  Json.toBytes(
    Json.stringifyIndented({
      version,
      parent: self.parent,
      description: Encode.text(self.description),
      created: self.created === undefined ? undefined : Timestamp.format(self.created),
      layer: self.layer === undefined ? undefined : Descriptor.toEncodable(self.layer),
      diffId: self.diffId,
      encoder: Encode.text(self.encoder),
      origin: Encode.text(self.origin)
    }) + "\n"
  )
