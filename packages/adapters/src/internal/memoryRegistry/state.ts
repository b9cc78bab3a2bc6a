/** What a registry in memory holds. */
import * as Hash from "@effect-oci/core/Hash"
import type * as Annotations from "@effect-oci/schema/Annotations"
import type * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

/** The bytes of a blob, in pieces of at most `pieceBytes`. */
export interface Content {
  readonly pieces: ReadonlyArray<Uint8Array>
  readonly size: number
}

export interface Manifest {
  readonly digest: Digest.Digest
  readonly mediaType: string
  readonly bytes: Uint8Array
  readonly subject: Digest.Digest | undefined
  readonly artifactType: string | undefined
  readonly annotations: Annotations.Annotations | undefined
}

export interface Repository {
  readonly blobs: Map<Digest.Digest, Content>
  readonly manifests: Map<Digest.Digest, Manifest>
  readonly tags: Map<string, Digest.Digest>
}

/** An upload that has begun. What came in stays when a request is cut, so that the client can go on from there. */
export interface Upload {
  readonly id: string
  readonly repository: string
  pieces: Array<Uint8Array>
  size: number
}

/** What was asked, and with what status it was answered: none where the client was gone before. */
export interface LogEntry {
  readonly method: string
  readonly url: string
  readonly status: number | undefined
}

export interface State {
  readonly repositories: Map<string, Repository>
  readonly uploads: Map<string, Upload>
  readonly log: Array<LogEntry>
}

export const make = (): State => ({ repositories: new Map(), uploads: new Map(), log: [] })

/** The repository of that name, which begins with the first thing that is put into it. */
export const repository = ({ repositories }: State, name: string): Repository => {
  const found = repositories.get(name) ?? { blobs: new Map(), manifests: new Map(), tags: new Map() }
  repositories.set(name, found)
  return found
}

const pieceBytes = 1 << 20

/** Takes a copy of the bytes, since the sender may use them again, which the `slice` of a `Buffer` would not be. */
export const append = (upload: Upload, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    upload.pieces.push(new Uint8Array(bytes.subarray(at, at + pieceBytes)))
  }
  upload.size += bytes.length
}

/** Reads the bytes from `start` to before `end`, as copies. */
export const read = ({ pieces, size }: Content, start = 0, end = size): Stream.Stream<Uint8Array> =>
  Stream.suspend(() => Stream.fromIterable(range(pieces, start, end), { chunkSize: 1 }))

function* range(pieces: ReadonlyArray<Uint8Array>, start: number, end: number) {
  let offset = 0
  for (const piece of pieces) {
    const bytes = piece.slice(Math.max(start - offset, 0), Math.max(end - offset, 0))
    if (bytes.length > 0) yield bytes
    offset += piece.length
  }
}

/** Hashes piece by piece, so that a large blob stops nobody for long. */
export const digest = Effect.fnUntraced(function*(pieces: ReadonlyArray<Uint8Array>, algorithm: Digest.Algorithm) {
  const hasher = (yield* Hash.Hash).make(algorithm)
  yield* Effect.forEach(pieces, (piece) => Effect.sync(() => hasher.update(piece)), { discard: true })
  return hasher.digest()
})
