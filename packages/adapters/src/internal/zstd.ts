/**
 * Zstandard made on many threads: independent frames of 4 MiB, of which every byte depends on the content and the level
 * alone.
 *
 * Not by Zstandard's own threads: asked for any (`nbWorkers`), Node's streams and callbacks end before their content
 * does.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { constants, zstdCompress } from "node:zlib"
import { type Block, blocks, inFlight } from "./blocks.ts"

const frameSize = 4 * 1024 * 1024

/** How much comes at once. What comes in several chunks is copied into one, but most of a larger one would stay unused. */
const chunkSize = 1024 * 1024

const nothing: Block = { bytes: new Uint8Array(), before: new Uint8Array(), release: () => undefined }

/** Levels from here on take tables of more than a hundred megabytes for a frame. */
const greedy = 16

const frame = (bytes: Uint8Array, level: number): Effect.Effect<Uint8Array> =>
  Effect.callback((resume) => {
    const options = {
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: 1
      },
      pledgedSrcSize: bytes.length,
      chunkSize
    }
    zstdCompress(bytes, options, (error, compressed) => {
      resume(error === null ? Effect.succeed(compressed) : Effect.die(error))
    })
  })

/** Compresses content into frames; no content at all is an empty one. */
export const compress = (level: number) => <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
  content.pipe(
    blocks(frameSize, 0),
    Stream.orElseIfEmpty(() => Stream.succeed(nothing)),
    Stream.mapEffect(({ bytes, release }) => Effect.tap(frame(bytes, level), () => Effect.sync(release)), {
      concurrency: level < greedy ? inFlight(3) : 1
    })
  )
