/**
 * Compression of streams: a service, because the encoders differ from one run time to the next.
 *
 * @since 0.1.0
 */
import type * as MediaType from "@effect-oci/schema/MediaType"
import * as Context from "effect/Context"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

/**
 * The format that bytes are compressed in.
 *
 * @category models
 * @since 0.1.0
 */
export type Format = MediaType.Compression

/**
 * Error raised where compressed content cannot be read: it is damaged, cut short, or followed by something else.
 *
 * @category errors
 * @since 0.1.0
 */
export class CorruptContent extends Schema.TaggedError<CorruptContent>("@effect-oci/core/CorruptContent")(
  "CorruptContent",
  { format: Schema.String, cause: Schema.Defect() }
) {
  override get message(): string {
    return `the content is not valid ${this.format}`
  }
}

/**
 * Error raised where a format has no such level.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLevel extends Schema.TaggedError<InvalidLevel>("@effect-oci/core/InvalidLevel")("InvalidLevel", {
  format: Schema.String,
  expected: Schema.String,
  found: Schema.Number
}) {
  override get message(): string {
    return `${this.format} has no level ${this.found}: expected ${this.expected}`
  }
}

/**
 * The levels of the formats that have any: from the fastest to the smallest, and the one that is taken unless another is
 * asked for.
 *
 * **Details**
 *
 * Level 0 of gzip only wraps. Levels of Zstandard above 19 are those that its command calls ultra.
 *
 * @category constants
 * @since 0.1.0
 */
export const levels = {
  gzip: { least: 0, most: 9, standard: 2 },
  zstd: { least: 1, most: 22, standard: 3 }
} as const

/**
 * Gives the level to compress with: the one that is asked for, if the format has it, or else its standard. What is not
 * compressed has level 0.
 *
 * **Example** (Asking for a level)
 *
 * ```ts
 * import * as Compression from "@effect-oci/core/Compression"
 * import * as Result from "effect/Result"
 *
 * console.log(Result.getOrThrow(Compression.level("gzip"))) // 2
 * const wrong = Compression.level("gzip", 10)
 * if (Result.isFailure(wrong)) {
 *   console.log(wrong.failure.message) // gzip has no level 10: expected a whole number from 0 to 9
 * }
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const level = (format: Format, asked?: number): Result.Result<number, InvalidLevel> => {
  if (format === "uncompressed") {
    return asked === undefined
      ? Result.succeed(0)
      : Result.fail(new InvalidLevel({ format: "content that is not compressed", expected: "none", found: asked }))
  }
  const { least, most, standard } = levels[format]
  return asked === undefined
    ? Result.succeed(standard)
    : Number.isInteger(asked) && asked >= least && asked <= most
    ? Result.succeed(asked)
    : Result.fail(new InvalidLevel({ format, expected: `a whole number from ${least} to ${most}`, found: asked }))
}

/**
 * How many bytes `sniff` needs.
 *
 * @category constants
 * @since 0.1.0
 */
export const sniffLength = 4

/**
 * Tells from the first bytes of content how it is compressed; what is neither gzip nor Zstandard counts as uncompressed.
 *
 * **Details**
 *
 * Follows RFC 1952, section 2.3.1, and RFC 8878, sections 3.1.1 and 3.1.2: a skippable frame begins Zstandard, too.
 *
 * @category getters
 * @since 0.1.0
 */
export const sniff = (head: ArrayLike<number>): Format => {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip"
  const isFrame = head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd
  const isSkippable = head[0] !== undefined && head[0] >> 4 === 5 && head[1] === 0x2a && head[2] === 0x4d &&
    head[3] === 0x18
  return isFrame || isSkippable ? "zstd" : "uncompressed"
}

/**
 * Compresses and decompresses streams, chunk by chunk.
 *
 * **Details**
 *
 * `compress` gives for `gzip` one member whose header holds neither a time nor a name, for `zstd` frames that each
 * carry their size and checksum, and passes on what is to stay `uncompressed`. `encoder` names what makes the bytes:
 * where the name, the format and the level are the same, so are the bytes, however the content comes and on whatever
 * machine.
 *
 * `decompress` takes any number of members or frames, as RFC 1952 and RFC 8878 allow, and refuses whatever else follows
 * them.
 *
 * @category services
 * @since 0.1.0
 */
export class Compression extends Context.Service<Compression, {
  readonly encoder: (format: Format) => string
  readonly compress: (
    format: Format,
    level?: number
  ) => <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E | InvalidLevel, R>
  readonly decompress: (
    format: Format
  ) => <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E | CorruptContent, R>
}>()("@effect-oci/core/Compression") {}
