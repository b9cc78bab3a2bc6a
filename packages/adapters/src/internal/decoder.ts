/**
 * Decompression through the streams of `node:zlib`: pulled, not pushed. An engine gets its next input only when it wants
 * it and somebody wants its output, so that neither piles up.
 */
import { CorruptContent } from "@effect-oci/core/Compression"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createGunzip, createZstdDecompress, type Gunzip, type ZstdDecompress } from "node:zlib"

const options = { chunkSize: 64 * 1024 }

/** An engine with what has been written to it, and what has become of it. */
interface Running {
  readonly engine: Gunzip | ZstdDecompress
  /** The last chunks, as far as the engine may have left any of them. */
  chunks: ReadonlyArray<Uint8Array>
  taken: number
  busy: boolean
  ended: boolean
  failure: { readonly cause: unknown } | undefined
}

/** The bytes at the end of what an engine was given that it has not read. */
const leftover = ({ chunks, engine, taken }: Running): Uint8Array => {
  const rest = taken - engine.bytesWritten
  return rest === 0 ? new Uint8Array() : Buffer.concat(chunks).subarray(-rest)
}

/**
 * Runs a stream through engines. One that ends before its input does is followed by another one, if `isSerial`; if not,
 * the rest of the input is not of its format.
 */
const through = (format: string, make: () => Gunzip | ZstdDecompress, isSerial: boolean) =>
<E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | CorruptContent, R> =>
  Stream.transformPull(content, (upstream, scope) =>
    Effect.gen(function*() {
      let inputEnded = false
      let hasNews = false
      let wake: (() => void) | undefined
      const notify = (): void => {
        hasNews = true
        wake?.()
      }
      const start = (): Running => {
        const engine = make()
        const running: Running = { engine, chunks: [], taken: 0, busy: false, ended: false, failure: undefined }
        engine.on("readable", notify)
        engine.on("end", () => {
          running.ended = true
          notify()
        })
        engine.on("error", (cause) => {
          running.failure = { cause }
          notify()
        })
        return running
      }
      let running = start()
      yield* Scope.addFinalizer(scope, Effect.sync(() => running.engine.destroy()))

      const write = (chunks: ReadonlyArray<Uint8Array>): void => {
        const { engine } = running
        const current = running
        current.busy = true
        current.chunks = chunks
        for (const chunk of chunks) {
          current.taken += chunk.length
          engine.write(chunk, () => {
            if (engine.writableLength === 0) current.busy = false
            notify()
          })
        }
      }
      const feed = Pull.catchDone(Effect.map(upstream, write), () =>
        Effect.sync(() => {
          inputEnded = true
          running.engine.end()
        }))
      const next = (rest: Uint8Array): void => {
        running.engine.destroy()
        running = start()
        write([rest])
        if (inputEnded) running.engine.end()
      }
      const news = Effect.callback<void>((resume) => {
        if (hasNews) resume(Effect.void)
        else wake = () => resume(Effect.void)
      })
      const corrupt = (cause: unknown) => new CorruptContent({ format, cause })

      return Effect.gen(function*() {
        while (true) {
          hasNews = false
          if (running.failure !== undefined) return yield* corrupt(running.failure.cause)
          const chunk: Uint8Array | null = running.engine.read()
          if (chunk !== null) return Arr.of(chunk)
          if (running.ended) {
            const rest = leftover(running)
            if (rest.length === 0 && inputEnded) return yield* Cause.done()
            if (!isSerial) return yield* corrupt(new Error(`something that is not ${format} follows the end of it`))
            next(rest)
            continue
          }
          yield* running.busy || inputEnded ? news : feed
        }
      })
    }))

/** Reads the members of gzip, all with one engine, which stops at a zero where a member could begin. */
export const gunzip = through("gzip", () => createGunzip(options), false)

/** Reads the frames of Zstandard: an engine stops behind a frame that is not the last of its input. */
export const unzstd = through("Zstandard", () => createZstdDecompress(options), true)
