/**
 * Content that comes from a registry: where it is cut off, it is asked for from there on.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import { chunkSize } from "../files.ts"
import { lend } from "../lending.ts"
import { ask, cuts, isPassing, type Repository } from "./repository.ts"
import type { Answer, Ask } from "./session.ts"

/** The end of content that has not come to its end. */
class Cut extends Data.TaggedError("Cut")<{ readonly error: RegistryError.RegistryError }> {}

const cut = (error: RegistryError.RegistryError) => isPassing(error) ? new Cut({ error }) : error

const isEncoded = ({ headers }: Answer): boolean => (headers["content-encoding"] ?? "identity") !== "identity"

/** What ends too early without a sign that it does. What is compressed is shorter, however often it is asked for. */
const endedEarly = (answer: Answer, attempts: number) =>
  isEncoded(answer)
    ? answer.error(new RegistryError.Misbehaved({ found: "it sends content compressed that was asked for as it is" }))
    : new Cut({ error: answer.error(new RegistryError.Unreachable({ code: "EOF", attempts })) })

/** Checks that an answer holds what was asked for: content from `start` on, up to its end at most. */
const isRange = (header: string | undefined, start: number, size: number): boolean => {
  const found = /^bytes (\d{1,16})-(\d{1,16})\/(\d{1,16}|\*)$/.exec(header ?? "")
  if (found === null) return false
  const [, first, last, total] = found
  return Number(first) === start && Number(last) >= start && Number(last) < size &&
    (total === "*" || Number(total) === size)
}

/** The length that an answer says its content has, where that is the content's own. */
export const lengthOf = (answer: Answer): number | undefined => {
  const text = answer.headers["content-length"]
  return text !== undefined && /^\d{1,16}$/.test(text) && !isEncoded(answer) ? Number(text) : undefined
}

/** Leaves out the first bytes of a content. */
export const without = <E, R>(
  content: Stream.Stream<Uint8Array, E, R>,
  bytes: number
): Stream.Stream<Uint8Array, E, R> =>
  bytes === 0 ? content : Stream.suspend(() => {
    let left = bytes
    return Stream.filter(
      Stream.map(content, (chunk) => {
        const dropped = Math.min(left, chunk.length)
        left -= dropped
        return chunk.subarray(dropped)
      }),
      ({ length }) => length > 0
    )
  })

/**
 * Gives content in larger pieces than the network does, of which each one costs whoever hashes and writes it. What did not fill
 * a piece when the content failed is dropped.
 */
const inBlocks = <E>(content: Stream.Stream<Uint8Array, E>, size: number): Stream.Stream<Uint8Array, E> =>
  Stream.transformPull(content, (pull) =>
    Effect.sync(() => {
      let left = size
      let block = lend(Math.min(chunkSize, left))
      let used = 0
      let waiting: ReadonlyArray<Uint8Array> = []
      const feed = Pull.catchDone(
        Effect.map(pull, (chunks) => {
          waiting = chunks
          return true
        }),
        () => Effect.succeed(false)
      )
      /** Fills the block, and gives it when it is full. */
      const fill = (blocks: Array<Uint8Array>) => {
        for (const chunk of waiting) {
          for (let offset = 0; offset < chunk.length;) {
            const part = chunk.subarray(offset, offset + block.length - used)
            block.set(part, used)
            used += part.length
            offset += part.length
            if (used < block.length) continue
            blocks.push(block)
            left -= used
            // One byte more than is expected makes it too long
            block = lend(Math.max(1, Math.min(chunkSize, left)))
            used = 0
          }
        }
        waiting = []
      }
      return Effect.gen(function*() {
        const blocks: Array<Uint8Array> = []
        let goesOn = true
        while (goesOn && blocks.length === 0) {
          goesOn = yield* feed
          fill(blocks)
        }
        if (!goesOn && used > 0) {
          blocks.push(block.subarray(0, used))
          used = 0
        }
        return Arr.isReadonlyArrayNonEmpty(blocks) ? blocks : yield* Cause.done()
      })
    }))

/**
 * Gives the content of a blob that is at `url`, not verified: never less of it than its size, and no more than the piece with
 * which it is too long. What is not there fails with `BlobMissing`.
 */
export const content = (
  repository: Repository,
  blob: BlobStore.Blob,
  url: string
): Stream.Stream<Uint8Array, BlobStore.BlobStoreError> =>
  Stream.suspend(() => {
    const operation = "pull the blob"
    const { digest, size } = blob
    const store = repository.name
    const allowed = cuts(repository)
    let position = 0
    let attempts = 0

    const wrongSize = (found: number) => new BlobStore.SizeMismatch({ store, digest, expected: size, found })

    const received = (response: Answer, dropped: number) =>
      without(response.stream, dropped).pipe(
        Stream.mapError(cut),
        Stream.mapArray((chunks) => {
          for (const { length } of chunks) position += length
          return chunks
        }),
        Stream.concat(
          Stream.suspend(() => position < size ? Stream.fail(endedEarly(response, attempts)) : Stream.empty)
        )
      )

    /** Asks for what is missing, and gives it. */
    const part = Stream.unwrap(Effect.gen(function*() {
      const start = position
      attempts++
      const response = yield* ask(repository, {
        operation,
        subject: digest,
        method: "GET",
        url,
        headers: { "accept-encoding": "identity", ...(start === 0 ? {} : { range: `bytes=${start}-` }) },
        isRedirectable: true,
        accept: start === 0 ? [200, 404] : [200, 206, 404, 416]
      })
      if (response.status === 404) return yield* new BlobStore.BlobMissing({ store, digest })
      // There is no more of it
      if (response.status === 416) return yield* wrongSize(start)
      if (response.status === 206) {
        const range = response.headers["content-range"]
        if (isRange(range, start, size)) return received(response, 0)
        const found = range === undefined ? "others" : JSON.stringify(response.shown(range))
        return yield* response.error(
          new RegistryError.Misbehaved({ found: `asked for the bytes from ${start} to ${size - 1}, it sends ${found}` })
        )
      }
      const length = lengthOf(response)
      if (length !== undefined && length !== size) return yield* wrongSize(length)
      // It sends all of it: what came before is left out
      return received(response, start)
    }))

    const rest: Stream.Stream<Uint8Array, BlobStore.BlobStoreError> = Stream.suspend(() =>
      Stream.catchTag(part, "Cut", ({ error }) => Stream.unwrap(Effect.as(allowed.next(position, error), rest)))
    )
    return inBlocks(rest, size)
  })

/** An answer that is in memory. */
export interface Whole extends Answer {
  readonly bytes: Uint8Array
}

const nothing = new Uint8Array()

/**
 * Asks, and reads the answer to its end; both anew where it is cut off. `limit` is how many bytes it may have. Where
 * the registry does not say how many it has, `isWhole` tells.
 */
export const whole = Effect.fnUntraced(function*(
  repository: Repository,
  request: Ask,
  limit: number,
  isWhole: (answer: Whole) => boolean = () => true
): Effect.fn.Return<Whole, RegistryError.RegistryError> {
  const allowed = cuts(repository)
  for (let attempts = 1;; attempts++) {
    const found = yield* ask(repository, request).pipe(
      Effect.flatMap((answer) => {
        if (answer.status !== 200) return Effect.succeed({ ...answer, bytes: nothing })
        return repository.session.limitedBody(answer, limit).pipe(
          Effect.mapError(cut),
          Effect.flatMap((bytes) => {
            const length = lengthOf(answer)
            const found = { ...answer, bytes }
            const isAll = length === undefined ? isWhole(found) : bytes.length >= length
            return isAll ? Effect.succeed(found) : Effect.fail(endedEarly(answer, attempts))
          })
        )
      }),
      Effect.scoped,
      Effect.catchTag("Cut", ({ error }) => Effect.as(allowed.next(0, error), undefined))
    )
    if (found !== undefined) return found
  }
})
