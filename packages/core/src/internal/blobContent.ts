/**
 * Reads what blobs hold, and tells what is wrong with those that are not as their descriptors say.
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { BlobStore, type BlobStoreError } from "../BlobStore.ts"
import * as Compression from "../Compression.ts"
import { Hash } from "../Hash.ts"
import type { Fact } from "../Issue.ts"

type Content = Stream.Stream<Uint8Array, BlobStoreError>

/** A blob whose content is what its digest says. `size` is its true size, whatever its descriptor says. */
export interface Verified<A> {
  readonly size: number
  readonly value: A
}

const toFact = (error: BlobStoreError, size: number): Fact => {
  switch (error._tag) {
    case "BlobMissing":
      return { _tag: "BlobMissing", digest: error.digest }
    case "DigestMismatch":
      return { _tag: "DigestMismatch", digest: error.expected, found: error.found }
    case "SizeMismatch":
      return { _tag: "SizeMismatch", digest: error.digest, expected: size, found: error.found }
    case "UnsafeFile":
    case "StoreIo":
    case "RegistryError":
      return { _tag: "Unreadable", reason: error.message }
  }
}

/** A size that turns out wrong is found out by the first read; where a store tells it only in part, by none. */
const attempts = 3

/**
 * Reads a blob. One of another size than is expected is read again with its true size, which tells a descriptor that is
 * wrong from a blob that is damaged.
 */
const read = Effect.fnUntraced(function*<A, R>(
  digest: Digest.Digest,
  size: number,
  use: (content: Content, size: number) => Effect.Effect<A, BlobStoreError, R>
): Effect.fn.Return<Result.Result<Verified<A>, Fact>, never, BlobStore | R> {
  const store = yield* BlobStore
  let known = size
  for (let attempt = 1;; attempt++) {
    const result = yield* Effect.result(use(store.get({ digest, size: known }), known))
    if (Result.isSuccess(result)) return Result.succeed({ size: known, value: result.success })
    const error = result.failure
    if (error._tag !== "SizeMismatch" || error.found === known || attempt === attempts) {
      return Result.fail(toFact(error, size))
    }
    known = error.found
  }
})

/** Reads a document, if it is not too large. */
export const document = (
  digest: Digest.Digest,
  size: number
): Effect.Effect<Result.Result<Verified<Uint8Array>, Fact>, never, BlobStore> =>
  Effect.map(
    read(digest, size, (content, size) =>
      // Its first bytes: a store tells a wrong size with them, and one that is too large is not read
      size > Json.maxBytes ? Effect.as(Stream.runHead(content), undefined) : Stream.mkUint8Array(content)),
    Result.flatMap(({ size, value }): Result.Result<Verified<Uint8Array>, Fact> =>
      value === undefined
        ? Result.fail({ _tag: "LimitExceeded", what: "bytes", limit: Json.maxBytes, found: size })
        : Result.succeed({ size, value })
    )
  )

/** Reads a blob to its end. */
export const opaque = (
  digest: Digest.Digest,
  size: number
): Effect.Effect<Result.Result<Verified<void>, Fact>, never, BlobStore> => read(digest, size, Stream.runDrain)

/** What a layer turned out to be: its diff ID, or why that is not known. */
export type LayerContent =
  | { readonly diffId: Digest.Digest }
  | { readonly fact: Fact }

const described: Readonly<Record<Compression.Format, string>> = {
  uncompressed: "content that is not compressed",
  gzip: "gzip",
  zstd: "Zstandard"
}

/** Reads a layer to its end, decompressed. Memory does not grow with its size. */
export const layer = Effect.fnUntraced(function*(
  digest: Digest.Digest,
  size: number,
  compression: Compression.Format,
  algorithm: Digest.Algorithm
): Effect.fn.Return<Result.Result<Verified<LayerContent>, Fact>, never, BlobStore | Hash | Compression.Compression> {
  const { decompress } = yield* Compression.Compression
  const hash = yield* Hash
  let head: Array<number> = []
  const sniffed = (content: Content): Content =>
    Stream.map(content, (chunk) => {
      if (head.length < Compression.sniffLength) head.push(...chunk.subarray(0, Compression.sniffLength - head.length))
      return chunk
    })
  const diffIdOf = (content: Content) =>
    Effect.suspend(() => {
      head = []
      const hasher = hash.make(algorithm)
      return Effect.as(
        Stream.runForEach(
          decompress(compression)(sniffed(content)),
          (chunk) => Effect.sync(() => hasher.update(chunk))
        ),
        hasher
      )
    }).pipe(
      Effect.map((hasher) => hasher.digest()),
      Effect.catchTag("CorruptContent", () => Effect.undefined)
    )
  const found = yield* read(digest, size, diffIdOf)
  if (Result.isFailure(found)) return Result.fail(found.failure)
  const diffId = found.success.value
  // What cannot be decompressed has not been read to its end, and may be damaged, which is the better answer
  const verified: Result.Result<Verified<unknown>, Fact> = diffId === undefined ? yield* opaque(digest, size) : found
  return Result.map(verified, ({ size }) => {
    const actual = Compression.sniff(head)
    if (head.length > 0 && actual !== compression) {
      const fact = { _tag: "CompressionMismatch", expected: described[compression], found: described[actual] } as const
      return { size, value: { fact } }
    }
    if (diffId === undefined) {
      return { size, value: { fact: { _tag: "CorruptLayer", digest, format: described[compression] } as const } }
    }
    return { size, value: { diffId } }
  })
})
