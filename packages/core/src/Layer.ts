/**
 * Layers of images: the change that a tar archive describes, compressed and stored.
 *
 * Follows image-spec 1.1, layer.md.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BlobStore, type BlobStoreError } from "./BlobStore.ts"
import * as Compression from "./Compression.ts"
import { Hash } from "./Hash.ts"

/**
 * Error raised where content that should be a layer is not a tar archive.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLayer extends Schema.TaggedError<InvalidLayer>("@effect-oci/core/InvalidLayer")("InvalidLayer", {
  found: Schema.String
}) {
  override get message(): string {
    return `the content is not a layer: expected a tar archive, plain or compressed with gzip or Zstandard, found ${this.found}`
  }
}

/**
 * A layer that has been stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  /** Describes the blob. */
  readonly descriptor: Descriptor.Descriptor
  /** Digest of the uncompressed tar archive in it. */
  readonly diffId: Digest.Digest
}

type Bytes<E, R> = Stream.Stream<Uint8Array, E, R>

const hashed = <E, R>(content: Bytes<E, R>) =>
  Hash.useSync((hash) => {
    const hasher = hash.make("sha256")
    return {
      content: Stream.map(content, (chunk) => {
        hasher.update(chunk)
        return chunk
      }),
      digest: Effect.sync(hasher.digest)
    }
  })

const mediaTypes: Readonly<Record<Compression.Format, string>> = {
  uncompressed: MediaType.layer,
  gzip: MediaType.layerGzip,
  zstd: MediaType.layerZstd
}

const put = Effect.fnUntraced(function*<E, R>(
  content: Bytes<E, R>,
  format: Compression.Format
): Effect.fn.Return<Descriptor.Descriptor, E | BlobStoreError, BlobStore | R> {
  const store = yield* BlobStore
  return { mediaType: mediaTypes[format], ...yield* store.put(content) }
})

/**
 * What can be chosen about the blob of a layer.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The format of the blob: gzip unless given. */
  readonly compression?: Compression.Format
  /** One of `Compression.levels`: the format's standard unless given. */
  readonly level?: number
}

/**
 * Compresses a tar archive and stores it, in one pass.
 *
 * **Details**
 *
 * The descriptor's media type is OCI's for the format. A level that the format does not have fails before anything is
 * read.
 *
 * **Example** (Storing a layer as Zstandard)
 *
 * ```ts
 * import * as Layer from "@effect-oci/core/Layer"
 * import type * as Stream from "effect/Stream"
 *
 * const store = (tar: Stream.Stream<Uint8Array>) => Layer.store(tar, { compression: "zstd", level: 9 })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const store = Effect.fn("Layer.store")(function*<E, R>(
  tar: Bytes<E, R>,
  options: Options = {}
): Effect.fn.Return<
  Stored,
  E | BlobStoreError | Compression.InvalidLevel,
  BlobStore | Hash | Compression.Compression | R
> {
  const format = options.compression ?? "gzip"
  const { compress } = yield* Compression.Compression
  const { content, digest } = yield* hashed(tar)
  const descriptor = yield* put(compress(format, options.level)(content), format)
  return { descriptor, diffId: yield* digest }
})

/**
 * Lets a consumer see content as it passes through. The content ends only when the consumer has succeeded, and fails
 * when it does.
 */
const observed = Effect.fnUntraced(function*<A, E, E2, R, R2>(
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

/** Reads a tar archive to its end, and gives its digest. Where it has no entry at all, it is not even empty. */
const readTar = Effect.fnUntraced(function*<E>(
  tar: Bytes<E, never>
): Effect.fn.Return<Digest.Digest, E | InvalidLayer, Hash> {
  const { content, digest } = yield* hashed(tar)
  let size = 0
  yield* content.pipe(
    Stream.map((chunk) => {
      size += chunk.length
      return chunk
    }),
    Stream.pipeThroughChannelOrFail(Tar.decode()),
    Stream.runDrain,
    Effect.catchIf(
      Tar.isTarError,
      (error): Effect.Effect<never, E | InvalidLayer> => Effect.fail(new InvalidLayer({ found: error.message }))
    )
  )
  if (size === 0) return yield* new InvalidLayer({ found: "no bytes at all" })
  return yield* digest
})

/** Takes the first bytes of content to look at, at least `length` where there are as many, and puts them back. */
const peeked = Effect.fnUntraced(function*<E, R>(
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

/**
 * Stores a layer that exists as a tar archive, plain or compressed with gzip or Zstandard.
 *
 * **Details**
 *
 * An archive that is compressed is stored byte for byte, so that its digest stays, and the options do not touch it; a
 * plain one is compressed as they say. Content that is not a tar archive, or that is damaged, leaves nothing in the store.
 *
 * @category combinators
 * @since 0.1.0
 */
export const adopt = Effect.fn("Layer.adopt")(
  function*<E, R>(
    archive: Bytes<E, R>,
    options: Options = {}
  ): Effect.fn.Return<
    Stored,
    E | BlobStoreError | Compression.CorruptContent | Compression.InvalidLevel | InvalidLayer,
    BlobStore | Hash | Compression.Compression | Scope.Scope | R
  > {
    const { compress, decompress } = yield* Compression.Compression
    const { content, head } = yield* peeked(archive, Compression.sniffLength)
    const found = Compression.sniff(head)
    const isPlain = found === "uncompressed"
    const layer = yield* observed(content, (seen) => readTar(decompress(found)(seen)))
    const format = isPlain ? options.compression ?? "gzip" : found
    const descriptor = yield* put(isPlain ? compress(format, options.level)(layer.content) : layer.content, format)
    return { descriptor, diffId: yield* layer.result }
  },
  Effect.scoped
)
