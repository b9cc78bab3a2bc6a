/** Streams of bytes that are looked at as they pass through. */
import type * as Digest from "@effect-oci/schema/Digest"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Hash } from "../Hash.ts"
import { LimitExceeded } from "../LayerEntry.ts"
import { InvalidLayer } from "../LayerTar.ts"

type Bytes<E, R> = Stream.Stream<Uint8Array, E, R>

/** Content that is hashed as it passes through, and the digest of what has, to be asked for once. */
export const hashed = <E, R>(content: Bytes<E, R>, algorithm: Digest.Algorithm = "sha256") =>
  Hash.useSync((hash) => {
    const hasher = hash.make(algorithm)
    return {
      content: Stream.map(content, (chunk) => {
        hasher.update(chunk)
        return chunk
      }),
      digest: Effect.sync(hasher.digest)
    }
  })

/**
 * Lets a consumer see content as it passes through. The content ends only when the consumer has succeeded, and fails
 * when it does.
 */
export const observed = Effect.fnUntraced(function*<A, E, E2, R, R2>(
  content: Bytes<E, R>,
  consume: (content: Bytes<never, never>) => Effect.Effect<A, E2, R2>
): Effect.fn.Return<
  { readonly content: Bytes<E | E2, R>; readonly result: Effect.Effect<A, E2> },
  never,
  R2 | Scope.Scope
> {
  const queue = yield* Queue.bounded<Uint8Array, Cause.Done>(1)
  const fiber = yield* Effect.forkScoped(
    Effect.ensuring(consume(Stream.fromQueue(queue)), Queue.shutdown(queue))
  )
  const result = Fiber.join(fiber)
  return {
    content: content.pipe(
      Stream.tap((chunk) => Effect.flatMap(Queue.offer(queue, chunk), (isTaken) => isTaken ? Effect.void : result)),
      Stream.concat(Stream.fromEffectDrain(Effect.andThen(Queue.end(queue), result)))
    ),
    result
  }
})

/** Takes the first bytes of content to look at, at least `length` where there are as many, and puts them back. */
export const peeked = Effect.fnUntraced(function*<E, R>(
  content: Bytes<E, R>,
  length: number
): Effect.fn.Return<
  { readonly head: ReadonlyArray<number>; readonly content: Bytes<E, R> },
  E,
  R | Scope.Scope
> {
  const pull = yield* Stream.toPull(content)
  const chunks: Array<Uint8Array> = []
  const head: Array<number> = []
  let ended = false
  while (head.length < length && !ended) {
    const next = yield* Pull.catchDone(pull, () => Effect.undefined)
    ended = next === undefined
    for (const chunk of next ?? []) {
      chunks.push(chunk)
      head.push(...chunk.subarray(0, Math.max(0, length - head.length)))
    }
  }
  const rest = ended ? Stream.empty : Stream.fromPull(Effect.succeed(pull))
  return { head, content: Stream.concat(Stream.fromArray(chunks), rest) }
})

/** Ends content that is larger than a layer may be. */
export const capped = (maxBytes: number) => <E, R>(content: Bytes<E, R>): Bytes<E | InvalidLayer, R> =>
  Stream.suspend(() => {
    let found = 0
    return Stream.tap(content, (chunk) => {
      found += chunk.length
      return found <= maxBytes
        ? Effect.void
        : Effect.fail(
          new InvalidLayer({
            reason: new LimitExceeded({ what: "uncompressed bytes", limit: maxBytes, found })
          })
        )
    })
  })
