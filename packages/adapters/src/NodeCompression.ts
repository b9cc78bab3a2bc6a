/**
 * Compression by Node's own implementations: zlib, as Chromium has it, and Zstandard's library.
 *
 * @since 0.1.0
 */
import * as Compression from "@effect-oci/core/Compression"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import process from "node:process"
import { blocks } from "./internal/blocks.ts"
import * as Decoder from "./internal/decoder.ts"
import * as Gzip from "./internal/gzip.ts"
import * as Zstd from "./internal/zstd.ts"

/** How much is written at once that is not compressed, in bytes. */
const pieceSize = 1024 * 1024

const encoders: Readonly<Record<Compression.Format, string>> = {
  uncompressed: "uncompressed",
  gzip: `effect-oci-gzip-2/zlib-${process.versions["zlib"] ?? "unknown"}`,
  zstd: `effect-oci-zstd-2/zstd-${process.versions["zstd"] ?? "unknown"}`
}

/**
 * Layer that compresses with `node:zlib`, on all cores.
 *
 * **Details**
 *
 * The bytes depend on the content, the format, the level, and the library in Node whose version `encoder` names, and on
 * nothing else: not on how the content comes in chunks, nor on the number of cores or threads.
 *
 * The work is done by Node's thread pool, which has four threads unless `UV_THREADPOOL_SIZE` asks for more. Content that
 * does not compress is stored, as far as it looks random. At most some 32 MiB of the content are held in memory.
 *
 * **Example** (Compressing with Zstandard)
 *
 * ```ts
 * import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
 * import * as Compression from "@effect-oci/core/Compression"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Compression.Compression.use(({ compress }) =>
 *   Stream.mkUint8Array(compress("zstd", 19)(Stream.succeed(new TextEncoder().encode("content"))))
 * ).pipe(Effect.provide(NodeCompression.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Compression.Compression> = Layer.succeed(Compression.Compression, {
  encoder: (format) => encoders[format],
  compress: (format, asked) => {
    const level = Compression.level(format, asked)
    return (content) => {
      if (Result.isFailure(level)) return Stream.fail(level.failure)
      switch (format) {
        case "uncompressed":
          // A tar comes in a piece for each header and file, each of which would be written by itself
          return Stream.map(blocks(pieceSize, 0)(content), ({ bytes }) => bytes)
        case "gzip":
          return Gzip.compress(level.success)(content)
        case "zstd":
          return Zstd.compress(level.success)(content)
      }
    }
  },
  decompress: (format) => {
    switch (format) {
      case "uncompressed":
        return identity
      case "gzip":
        return Decoder.gunzip
      case "zstd":
        return Decoder.unzstd
    }
  }
})
