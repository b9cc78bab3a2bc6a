/**
 * Compression by Node's own implementation, which is zlib's.
 *
 * @since 0.1.0
 */
import * as Compression from "@effect-oci/core/Compression"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createGunzip, createGzip, type Gunzip, type Gzip } from "node:zlib"

type Bytes = Arr.NonEmptyReadonlyArray<Uint8Array>

const options = { chunkSize: 64 * 1024 }

/**
 * Runs a stream through an engine of zlib: pulled, not pushed. The engine gets its next input only when it wants it and
 * somebody wants its output, so that neither piles up.
 */
const through =
  <F>(make: () => Gzip | Gunzip, onFailure: (cause: unknown) => Effect.Effect<never, F>) =>
  <E, R>(content: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Uint8Array, E | F, R> =>
    Stream.pipeThroughChannel(
      content,
      Channel.fromTransform((upstream: Pull.Pull<Bytes, E, unknown>, scope) =>
        Effect.gen(function*() {
          const engine = make()
          yield* Scope.addFinalizer(scope, Effect.sync(() => engine.destroy()))
          let taken = 0
          let busy = false
          let inputEnded = false
          let ended = false
          let failure: { readonly cause: unknown } | undefined
          let hasNews = false
          let wake: (() => void) | undefined
          const notify = (): void => {
            hasNews = true
            wake?.()
          }
          engine.on("readable", notify)
          engine.on("end", () => {
            ended = true
            notify()
          })
          engine.on("error", (cause) => {
            failure = { cause }
            notify()
          })
          const news = Effect.callback<void>((resume) => {
            if (hasNews) resume(Effect.void)
            else wake = () => resume(Effect.void)
          })
          const feed = Pull.catchDone(
            Effect.map(upstream, (chunks) => {
              busy = true
              for (const chunk of chunks) {
                taken += chunk.length
                engine.write(chunk, () => {
                  if (engine.writableLength === 0) busy = false
                  notify()
                })
              }
            }),
            () =>
              Effect.sync(() => {
                inputEnded = true
                engine.end()
              })
          )
          return Effect.gen(function*() {
            while (true) {
              hasNews = false
              if (failure !== undefined) return yield* onFailure(failure.cause)
              const chunk: Uint8Array | null = engine.read()
              if (chunk !== null) return Arr.of(chunk)
              if (ended) {
                // zlib stops at a zero where a member could begin, and leaves the rest alone
                return engine.bytesWritten === taken && inputEnded
                  ? yield* Cause.done()
                  : yield* onFailure(new Error("something that is not a gzip member follows the last one"))
              }
              yield* busy || inputEnded ? news : feed
            }
          })
        })
      )
    )

/** The tenth byte of the header names the operating system; 255 is "unknown", the same on every one, as Go writes it. */
const withoutSystem = (): (chunk: Uint8Array) => Uint8Array => {
  let isFirst = true
  return (chunk) => {
    if (isFirst) chunk[9] = 255
    isFirst = false
    return chunk
  }
}

/**
 * Layer that compresses with `node:zlib`, at zlib's default level.
 *
 * **Details**
 *
 * The bytes depend on the content and on Node's version of zlib, and on nothing else: not on how the content comes in
 * chunks, and not on the operating system.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Compression.Compression> = Layer.succeed(Compression.Compression, {
  gzip: (content) =>
    Stream.suspend(() => {
      const first = withoutSystem()
      return content.pipe(
        through(() => createGzip(options), Effect.die),
        Stream.map(first)
      )
    }),
  gunzip: through(
    () => createGunzip(options),
    (cause) => Effect.fail(new Compression.CorruptContent({ format: "gzip", cause }))
  )
})
