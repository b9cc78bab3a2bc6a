/**
 * The `oci-layout` file, which marks a directory as an image layout.
 *
 * Follows image-spec 1.1, image-layout.md.
 *
 * @since 0.1.0
 */
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { checker, decoder, reader } from "./internal/decode.ts"
import * as Strict from "./internal/strict.ts"
import * as Json from "./Json.ts"

/**
 * The version of layouts that is written.
 *
 * @category constants
 * @since 0.1.0
 */
export const version = "1.0.0"

/**
 * Schema for the content of `oci-layout`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ImageLayout = Schema.Struct({ imageLayoutVersion: Schema.String })

/**
 * @category models
 * @since 0.1.0
 */
export type ImageLayout = typeof ImageLayout.Type

const options = { document: "image layout", names: Json.names(["imageLayoutVersion"]), maxBytes: 4096 }

/**
 * Reads the content of `oci-layout`, at most 4 KiB, of any version.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<ImageLayout>, Json.Problem> = reader(
  options,
  decoder(ImageLayout)
)

/**
 * Checks the content of `oci-layout` as strictly as image-spec's own schema, and gives every problem, up to a thousand.
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem> = checker(options, Strict.imageLayout)

/**
 * Encodes the content of `oci-layout` for the version that is written.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (): Uint8Array<ArrayBuffer> => Json.toBytes(Json.stringify({ imageLayoutVersion: version }))
