/**
 * Compression of streams: a service, because the encoders differ from one run time to the next.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"

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
 * Compresses and decompresses streams, chunk by chunk.
 *
 * **Details**
 *
 * `gzip` gives one gzip member whose header holds neither a time nor a name. `gunzip` takes any number of members, as
 * RFC 1952 allows, and refuses whatever else follows them.
 *
 * @category services
 * @since 0.1.0
 */
export class Compression extends Context.Service<Compression, {
  readonly gzip: <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E, R>
  readonly gunzip: <E, R>(content: Stream.Stream<Uint8Array, E, R>) => Stream.Stream<Uint8Array, E | CorruptContent, R>
}>()("@effect-oci/core/Compression") {}
