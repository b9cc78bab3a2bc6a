/**
 * Content cut at places that depend on nothing but its length, so that what is made of the pieces, on any number of
 * threads, does not depend on how it came in chunks.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { availableParallelism } from "node:os"
import process from "node:process"
import { giveBack } from "./lending.ts"

export interface Block {
  readonly bytes: Uint8Array
  /** What comes before them: as many bytes as were asked for, fewer where there are no more. */
  readonly before: Uint8Array
  /** Gives the memory back, for a later block. What has been released is not read any more. */
  readonly release: () => void
}

/** Cuts content into blocks of `size` bytes, the last of which may be shorter, but not empty. */
export const blocks = (size: number, lookBack: number) =>
<E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Block, E, R> =>
  Stream.transformPull(content, (upstream) =>
    Effect.sync(() => {
      const free: Array<Uint8Array> = []
      let chunks: ReadonlyArray<Uint8Array> = []
      let index = 0
      let offset = 0
      let ended = false
      // The end of the block before: a copy, since the block may be released
      const tail = Buffer.allocUnsafeSlow(lookBack)
      let tailLength = 0
      const feed = Pull.catchDone(
        Effect.map(upstream, (next) => {
          chunks = next
          index = 0
          return true
        }),
        () => Effect.succeed(false)
      )
      return Effect.gen(function*() {
        const memory = free.pop() ?? Buffer.allocUnsafeSlow(lookBack + size)
        memory.set(tail.subarray(0, tailLength), lookBack - tailLength)
        const before = memory.subarray(lookBack - tailLength, lookBack)
        let end = lookBack
        while (end < memory.length) {
          const chunk = chunks[index]
          if (chunk === undefined) {
            ended ||= !(yield* feed)
            if (ended) break
            continue
          }
          const part = chunk.subarray(offset, offset + memory.length - end)
          memory.set(part, end)
          end += part.length
          offset += part.length
          if (offset === chunk.length) {
            giveBack(chunk)
            index++
            offset = 0
          }
        }
        if (end === lookBack) return yield* Cause.done()
        const bytes = memory.subarray(lookBack, end)
        const last = bytes.subarray(Math.max(0, bytes.length - lookBack))
        tail.set(last)
        tailLength = last.length
        return Arr.of<Block>({ bytes, before, release: () => free.push(memory) })
      })
    }))

/** What libuv takes where `UV_THREADPOOL_SIZE` says nothing. */
const standardThreads = 4

/**
 * How many blocks are worked on at once: as many as there are threads that can run, and one more, which waits for the
 * next thread; at most `limit`.
 */
export const inFlight = (limit: number): number => {
  const threads = Number.parseInt(process.env["UV_THREADPOOL_SIZE"] ?? "", 10) || standardThreads
  return Math.max(2, Math.min(limit, availableParallelism() + 1, threads + 1))
}
