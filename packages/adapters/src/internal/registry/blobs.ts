/**
 * The blobs of a repository, its manifests among them.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Hash from "@effect-oci/core/Hash"

import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Unverified from "../unverified.ts"
import * as Download from "./download.ts"
import { isDocument, type Manifests, mediaTypeOf, tooLarge } from "./manifests.ts"
import type { Referrers } from "./referrers.ts"
import { look, type Repository, urlOf } from "./repository.ts"
import * as Upload from "./upload.ts"

/** Which repository is behind a service. */
const repositories = new WeakMap<BlobStore.Store, Repository>()

const brace = 0x7b

/** Checks that content may be JSON: a document, and not a layer. */
const mayBeDocument = ({ chunks, size }: Upload.Piece): boolean => {
  if (size > Json.maxBytes) return false
  for (const chunk of chunks) {
    const first = chunk.find((byte) => byte > 0x20)
    if (first !== undefined) return first === brace
  }
  return false
}

export const make = (
  repository: Repository,
  hash: Hash.Hash["Service"],
  manifests: Manifests,
  referrers: Referrers
): BlobStore.Store => {
  const store = repository.name

  const missing = (digest: Digest.Digest) => new BlobStore.BlobMissing({ store, digest })

  /** How long a blob is, or as long as it should be where that is not told; `undefined` where there is none. */
  const sizeOf = Effect.fnUntraced(function*({ digest, size }: BlobStore.Blob) {
    const response = yield* look(repository, {
      operation: "look for the blob",
      subject: digest,
      url: urlOf(repository, "blobs", digest)
    })
    return response.status === 404 ? undefined : Download.lengthOf(response) ?? size
  }, Effect.scoped)

  const hasBlob = (blob: BlobStore.Blob) => Effect.map(sizeOf(blob), (size) => size === blob.size)

  /** Whether something is a document, as far as that is known. */
  const isKnown = ({ digest, mediaType }: BlobStore.Blob): boolean | undefined => {
    const wasDocument = manifests.memory.mediaType(digest) !== undefined
    if (mediaType === undefined) return wasDocument ? true : undefined
    if (isDocument(mediaType)) return true
    return wasDocument ? undefined : false
  }

  /** What was never seen may be either; but some registries fail where they are asked for a blob as a manifest. */
  const has: BlobStore.Store["has"] = Effect.fnUntraced(function*(blob) {
    const isKnownDocument = isKnown(blob)
    if (isKnownDocument === true) return yield* manifests.has(blob)
    const size = yield* sizeOf(blob)
    return size === undefined && isKnownDocument === undefined ? yield* manifests.has(blob) : size === blob.size
  })

  /** What it was sent, it is asked for all the same: only what it has sent is there for sure. */
  const document = Effect.fnUntraced(function*(blob: BlobStore.Blob) {
    const kept = manifests.memory.kept(blob.digest)
    if (kept?.isReceived === true) return kept.bytes.slice()
    const found = yield* manifests.get(blob.digest, blob)
    return found === undefined ? yield* missing(blob.digest) : found.bytes.slice()
  })

  const unverified: BlobStore.Store["get"] = (blob) =>
    Stream.suspend(() => {
      const asDocument = Stream.fromEffect(document(blob))
      const asBlob = Download.content(repository, blob, urlOf(repository, "blobs", blob.digest))
      const isKnownDocument = isKnown(blob)
      if (isKnownDocument !== undefined) return isKnownDocument ? asDocument : asBlob
      return Stream.catchTag(asBlob, "BlobMissing", () => asDocument)
    })

  const get: BlobStore.Store["get"] = (blob) =>
    unverified(blob).pipe(BlobStore.verify(store, blob), Stream.provideService(Hash.Hash, hash))

  const putDocument = Effect.fnUntraced(function*(blob: BlobStore.Blob, mediaType: string, piece: Upload.Piece) {
    if (blob.size > Json.maxBytes) return yield* tooLarge(repository, blob.digest)
    const found = { descriptor: { mediaType, ...blob }, bytes: new Uint8Array(Buffer.concat(piece.chunks)) }
    if (!(yield* manifests.put(found))) yield* referrers.add(found)
  })

  const isThere = (blob: BlobStore.Blob) => Effect.orElseSucceed(hasBlob(blob), () => false)

  const put: BlobStore.Store["put"] = Effect.fnUntraced(function*<E, R>(
    content: Stream.Stream<Uint8Array, E, R>,
    expected: BlobStore.Expected = {}
  ): Effect.fn.Return<BlobStore.Blob, BlobStore.BlobStoreError | E, R | Scope.Scope> {
    const hasher = hash.make(expected.digest === undefined ? "sha256" : Digest.algorithm(expected.digest))
    let size = 0
    const wrongSize = (digest: Digest.Digest, expected: number) =>
      new BlobStore.SizeMismatch({ store, digest, expected, found: size })

    const next = Effect.tap(yield* Upload.pieces(content), (piece) => {
      size += piece.size
      for (const chunk of piece.chunks) hasher.update(chunk)
      return expected.size === undefined || size <= expected.size
        ? Effect.void
        : Effect.fail(wrongSize(expected.digest ?? hasher.digest(), expected.size))
    })
    const check = Effect.gen(function*() {
      const digest = hasher.digest()
      if (expected.size !== undefined && size !== expected.size) {
        return yield* wrongSize(expected.digest ?? digest, expected.size)
      }
      if (expected.digest !== undefined && digest !== expected.digest) {
        return yield* new BlobStore.DigestMismatch({ store, expected: expected.digest, found: digest })
      }
      return { digest, size }
    })

    const first = yield* next
    const isExpected = expected.mediaType !== undefined && isDocument(expected.mediaType)
    if (!first.isLast) {
      const subject = expected.digest ?? "of unknown digest"
      if (isExpected) return yield* tooLarge(repository, subject)
      return yield* Upload.pieceByPiece(repository, subject, first, next, check, isThere)
    }
    const blob = yield* check
    const mediaType = isExpected
      ? expected.mediaType
      : expected.mediaType === undefined && mayBeDocument(first)
      ? mediaTypeOf(Buffer.concat(first.chunks))
      : undefined
    if (mediaType === undefined) {
      yield* Upload.readable(repository, blob, (start) => Upload.contentOf(first, start), isThere(blob))
    } else {
      yield* putDocument(blob, mediaType, first)
    }
    return blob
  }, Effect.scoped)

  const take: BlobStore.Store["take"] = Effect.fnUntraced(function*(blob, source, onRead = () => Effect.void) {
    const { digest, mediaType, size } = blob
    // What may be a document is looked at by `put`
    if (mediaType === undefined ? size <= Json.maxBytes : isDocument(mediaType)) return false
    const other = repositories.get(source)
    let upload: Upload.Upload | undefined
    if (other?.session.origin === repository.session.origin) {
      upload = yield* Upload.mount(repository, digest, other.path)
      // Only what is there was taken over
      if (upload === undefined && (yield* hasBlob(blob))) {
        yield* onRead(size)
        return true
      }
    }
    let told = 0
    /** Reads from a position on, and tells what was not read before. */
    const read = (start: number) => {
      let position = start
      return Stream.tap(Download.without(source.get(blob), start), ({ length }) => {
        position += length
        if (position <= told) return Effect.void
        const news = position - told
        told = position
        return onRead(news)
      })
    }
    yield* Upload.readable(repository, blob, read, isThere(blob), upload)
    return true
  })

  const made: BlobStore.Store = { put, get, has, take }
  repositories.set(made, repository)
  Unverified.register(made, { name: store, get: unverified })
  return made
}
