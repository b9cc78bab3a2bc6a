/**
 * Stores of blobs: content that is found by its digest, and that is read only as what its descriptor says.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Hash from "./Hash.ts"
import * as RegistryError from "./RegistryError.ts"

/**
 * Error raised where a store does not hold a blob.
 *
 * @category errors
 * @since 0.1.0
 */
export class BlobMissing extends Schema.TaggedError<BlobMissing>("@effect-oci/core/BlobMissing")("BlobMissing", {
  store: Schema.String,
  digest: Digest.Digest
}) {
  override get message(): string {
    return `${this.store} has no blob ${this.digest}`
  }
}

/**
 * Error raised where content does not hash to the digest that was asked for. None of it is to be trusted.
 *
 * @category errors
 * @since 0.1.0
 */
export class DigestMismatch
  extends Schema.TaggedError<DigestMismatch>("@effect-oci/core/DigestMismatch")("DigestMismatch", {
    store: Schema.String,
    expected: Digest.Digest,
    found: Digest.Digest
  })
{
  override get message(): string {
    return `the content of a blob in ${this.store} is not what its digest says: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised where content is not as long as its descriptor says, in bytes. Where it is longer, `found` is how much
 * had been read when that was known.
 *
 * @category errors
 * @since 0.1.0
 */
export class SizeMismatch extends Schema.TaggedError<SizeMismatch>("@effect-oci/core/SizeMismatch")("SizeMismatch", {
  store: Schema.String,
  digest: Digest.Digest,
  expected: Schema.Number,
  found: Schema.Number
}) {
  override get message(): string {
    return `the blob ${this.digest} in ${this.store} has another size: expected ${this.expected} bytes, found ${
      this.found > this.expected ? `at least ${this.found}` : String(this.found)
    }`
  }
}

/**
 * Error raised where a path of a store holds something else than the plain file or the directory that belongs there:
 * a link, a FIFO, a device. Nothing of it is read.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsafeFile extends Schema.TaggedError<UnsafeFile>("@effect-oci/core/UnsafeFile")("UnsafeFile", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not safe to use: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised where the machine refuses an operation on a store.
 *
 * **Details**
 *
 * `operation` is what was attempted ("write", "fsync", "rename" …), `path` on what, and `code` the system's own name
 * for the reason, such as `ENOSPC`. What was stored before is still there.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreIo extends Schema.TaggedError<StoreIo>("@effect-oci/core/StoreIo")("StoreIo", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `cannot ${this.operation} ${this.path}: ${reasons[this.code] ?? this.code} (${this.code})`
  }
}

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "the disk quota is used up",
  EEXIST: "it exists already",
  EFBIG: "the file would be too large",
  EIO: "the device failed",
  EISDIR: "it is a directory",
  EMFILE: "too many open files",
  ENOENT: "no such file or directory",
  ENOSPC: "no space is left on the device",
  ENOTDIR: "a part of the path is not a directory",
  ENOTEMPTY: "the directory holds other things",
  EPERM: "operation not permitted",
  EROFS: "the file system is read-only"
}

/**
 * Any of the reasons why an operation on a store fails.
 *
 * @category errors
 * @since 0.1.0
 */
export const BlobStoreError = Schema.Union([
  BlobMissing,
  DigestMismatch,
  SizeMismatch,
  UnsafeFile,
  StoreIo,
  RegistryError.RegistryError
])

/**
 * @category errors
 * @since 0.1.0
 */
export type BlobStoreError = typeof BlobStoreError.Type

/**
 * What a stored blob is found and verified by: a descriptor, or as much of one as is known. The media type matters where
 * manifests have another place than other blobs, as in a registry.
 *
 * @category models
 * @since 0.1.0
 */
export type Blob = Pick<Descriptor.Descriptor, "digest" | "size"> & Partial<Pick<Descriptor.Descriptor, "mediaType">>

/**
 * What is known of content before it is stored.
 *
 * @category models
 * @since 0.1.0
 */
export type Expected = Partial<Blob>

/**
 * What a store of blobs does.
 *
 * **Details**
 *
 * `put` takes content in as a stream, and makes it visible only when it is whole; content that is not as `expected`
 * leaves nothing behind. Putting what is there already succeeds, and mends it where it had been damaged. `get` verifies
 * size and digest before it hands on the last byte. `has` tells whether a blob of that digest and size is there; it
 * does not read it.
 *
 * `take` is there where a store has a quicker way to a blob of some other stores than its stream, such as one by which its
 * bytes are not written again. What it has taken is as verified, as durable and as mended as what is put. It gives `false`
 * where it cannot take from that source, and has then changed nothing. `onRead` is told of each piece of so many bytes.
 *
 * `stage` is there where a store can hold back blobs until all of them are there.
 *
 * Every implementation passes the contract suite of `@effect-oci/adapters`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store {
  readonly put: <E, R>(
    content: Stream.Stream<Uint8Array, E, R>,
    expected?: Expected
  ) => Effect.Effect<Blob, BlobStoreError | E, R>
  readonly get: (blob: Blob) => Stream.Stream<Uint8Array, BlobStoreError>
  readonly has: (blob: Blob) => Effect.Effect<boolean, BlobStoreError>
  readonly take?: (
    blob: Blob,
    source: Store,
    onRead?: (bytes: number) => Effect.Effect<void>
  ) => Effect.Effect<boolean, BlobStoreError>
  readonly stage?: Effect.Effect<Stage, never, Scope.Scope>
}

/**
 * A view of a store in which blobs are put that the store does not show yet. What has not been published is gone with the
 * scope. Until then a store whose garbage is collected keeps what the view has published, and what was found in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stage {
  /** It has what the store has, too. */
  readonly store: Store
  /** Shows all blobs in the store. They are as durable as if they had been put there. */
  readonly publish: Effect.Effect<void, BlobStoreError>
}

/**
 * The store of blobs.
 *
 * @category services
 * @since 0.1.0
 */
export class BlobStore extends Context.Service<BlobStore, Store>()("@effect-oci/core/BlobStore") {}

/**
 * Brings a blob into a store, in whichever way is the fastest: taken over where the store can, streamed otherwise.
 * What is there already is replaced, and so mended. `onRead` is told of each piece of so many bytes.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transfer = (
  blob: Blob,
  source: Store,
  target: Store,
  onRead?: (bytes: number) => Effect.Effect<void>
): Effect.Effect<void, BlobStoreError> =>
  Effect.gen(function*() {
    if (target.take !== undefined && (yield* target.take(blob, source, onRead))) return
    const content = source.get(blob)
    yield* target.put(onRead === undefined ? content : Stream.tap(content, ({ length }) => onRead(length)), blob)
  })

/**
 * Copies a blob from one store to another, unless it is there.
 *
 * **Details**
 *
 * The content is verified on its way. A source that does not hold it, or not as its digest and size say, fails with
 * `BlobMissing`, `DigestMismatch` or `SizeMismatch`, and leaves nothing in the target.
 *
 * **Example** (Copying a layer)
 *
 * ```ts
 * import * as BlobStore from "@effect-oci/core/BlobStore"
 * import type * as Descriptor from "@effect-oci/schema/Descriptor"
 * import * as Effect from "effect/Effect"
 *
 * const copyTo = (target: BlobStore.Store, layer: Descriptor.Descriptor) =>
 *   BlobStore.BlobStore.use((source) => BlobStore.copy(layer, source, target))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const copy = (
  blob: Blob,
  source: Store,
  target: Store
): Effect.Effect<void, BlobStoreError> =>
  Effect.flatMap(target.has(blob), (has) => has ? Effect.void : transfer(blob, source, target))

/**
 * Runs work whose blobs appear in the store all at once, right before `commit` makes them reachable, if both succeed:
 * where the work fails or is interrupted, the store stays as it was. A store that cannot hold blobs back shows each at
 * once.
 *
 * @category combinators
 * @since 0.1.0
 */
export const staged = <A, E, R, B, E2, R2>(
  work: Effect.Effect<A, E, R>,
  commit: (result: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2 | BlobStoreError, BlobStore | R | R2> =>
  Effect.scoped(Effect.gen(function*() {
    const { stage } = yield* BlobStore
    if (stage === undefined) return yield* Effect.flatMap(work, commit)
    const { publish, store } = yield* stage
    const result = yield* Effect.provideService(work, BlobStore, store)
    return yield* Effect.uninterruptible(Effect.andThen(publish, commit(result)))
  }))

/**
 * Stores a document that is in memory. Its media type is needed where manifests have another place than other blobs.
 *
 * @category combinators
 * @since 0.1.0
 */
export const putBytes = (
  bytes: Uint8Array,
  mediaType?: string
): Effect.Effect<Blob, BlobStoreError, BlobStore> =>
  BlobStore.use((store) => store.put(Stream.succeed(bytes), mediaType === undefined ? {} : { mediaType }))

/**
 * Gets a whole blob into memory: only for documents. One whose descriptor says that it is larger than `limit` bytes, 4 MiB
 * unless given, fails with `LimitExceeded` before any of it is read.
 *
 * @category combinators
 * @since 0.1.0
 */
export const getBytes = (
  blob: Blob,
  limit: number = Json.maxBytes
): Effect.Effect<Uint8Array, BlobStoreError | Json.LimitExceeded, BlobStore> =>
  blob.size > limit
    ? Effect.fail(new Json.LimitExceeded({ document: "blob", limit, size: blob.size }))
    : BlobStore.use((store) => Stream.mkUint8Array(store.get(blob)))

/**
 * Verifies content as it passes through: its last chunk is handed on only when size and digest are right.
 *
 * **When to use**
 *
 * Use to implement the `get` of a store. `store` is the store's name, for messages.
 *
 * @category combinators
 * @since 0.1.0
 */
export const verify = (store: string, blob: Blob) =>
<E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | DigestMismatch | SizeMismatch, R | Hash.Hash> =>
  Stream.unwrap(
    Hash.Hash.useSync((hash) => {
      const hasher = hash.make(Digest.algorithm(blob.digest))
      let size = 0
      let held: Uint8Array | undefined
      const check = Effect.gen(function*() {
        if (size !== blob.size) {
          return yield* new SizeMismatch({ store, digest: blob.digest, expected: blob.size, found: size })
        }
        const found = hasher.digest()
        if (found !== blob.digest) return yield* new DigestMismatch({ store, expected: blob.digest, found })
        return held === undefined ? [] : [held]
      })
      return content.pipe(
        Stream.mapEffect((chunk) => {
          size += chunk.length
          if (size > blob.size) {
            return Effect.fail(new SizeMismatch({ store, digest: blob.digest, expected: blob.size, found: size }))
          }
          hasher.update(chunk)
          const before = held
          held = chunk
          return Effect.succeed(before === undefined ? [] : [before])
        }),
        Stream.concat(Stream.fromEffect(check)),
        Stream.flatMap(Stream.fromArray)
      )
    })
  )
