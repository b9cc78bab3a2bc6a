/**
 * Content on its way to a registry: in one piece where it can be read again, else in pieces that are kept until the registry
 * has them. Where it is cut off, it goes on from where the registry is. An upload that is left is cancelled.
 */
import type * as BlobStore from "@effect-oci/core/BlobStore"
import * as RegistryError from "@effect-oci/core/RegistryError"
import type * as Digest from "@effect-oci/schema/Digest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { without } from "./download.ts"
import { ask, cuts, isPassing, misbehaved, type Repository } from "./repository.ts"
import type { Answer } from "./session.ts"

const operation = "push the blob"

const octets = "application/octet-stream"

/** A session of an upload: where its next request goes, and how many bytes each but the last has to have. */
export interface Upload {
  readonly location: string
  readonly least: number
}

const pushing = ["pull", "push"] as const

/** The upload that an answer tells of: what it does not tell is as it was before. */
const uploadIn = Effect.fnUntraced(function*(
  { session }: Repository,
  asked: string,
  { error, headers }: Answer,
  before?: Upload
): Effect.fn.Return<Upload, RegistryError.RegistryError> {
  const told = headers["location"]
  const location = told === undefined
    ? before?.location
    : yield* Effect.fromResult(session.sameOrigin("upload location", told, asked))
  if (location === undefined) {
    return yield* error(new RegistryError.Misbehaved({ found: "it does not tell where the upload goes on" }))
  }
  const least = headers["oci-chunk-min-length"] ?? ""
  return { location, least: /^\d{1,15}$/.test(least) ? Number(least) : before?.least ?? 0 }
})

/** Begins an upload. */
const begin = Effect.fnUntraced(function*(
  repository: Repository,
  subject: string
): Effect.fn.Return<Upload, RegistryError.RegistryError, Scope.Scope> {
  const url = `/v2/${repository.path}/blobs/uploads/`
  const response = yield* ask(repository, {
    operation,
    subject,
    actions: pushing,
    method: "POST",
    url,
    body: { bytes: new Uint8Array(), contentType: octets },
    isRetried: true,
    accept: [202]
  })
  return yield* uploadIn(repository, url, response)
}, Effect.scoped)

/** Whether a registry does not do something, at all or this time: there is another way to have a blob there. */
const isRefusal = ({ reason: { _tag } }: RegistryError.RegistryError): boolean =>
  _tag === "Denied" || _tag === "Misbehaved" || _tag === "NotFound" || _tag === "Refused" || _tag === "Unauthorized"

/**
 * Begins an upload, unless the registry takes the blob over from another of its repositories, or does neither: then there is
 * none.
 */
export const mount = Effect.fnUntraced(
  function*(
    repository: Repository,
    digest: Digest.Digest,
    from: string
  ): Effect.fn.Return<Upload | undefined, RegistryError.RegistryError, Scope.Scope> {
    const url = `/v2/${repository.path}/blobs/uploads/?mount=${encodeURIComponent(digest)}&from=${
      encodeURIComponent(from)
    }`
    const response = yield* ask(repository, {
      operation: "mount the blob",
      subject: digest,
      actions: pushing,
      scopes: [`repository:${from}:pull`],
      method: "POST",
      url,
      body: { bytes: new Uint8Array(), contentType: octets },
      isRetried: true,
      accept: [201, 202]
    })
    return response.status === 201 ? undefined : yield* uploadIn(repository, url, response)
  },
  Effect.scoped,
  Effect.catchIf(isRefusal, () => Effect.undefined)
)

/** How long is waited until an upload is cancelled: while nobody waits for us, and while somebody does. */
const patience = { failed: "2 seconds", interrupted: "75 millis" } as const

/** Tells the registry that an upload is not wanted any more; what becomes of that is the registry's. */
const cancel = (
  repository: Repository,
  subject: string,
  { location }: Upload,
  isInterrupted: boolean
): Effect.Effect<void> =>
  ask(repository, {
    operation: "cancel the upload of",
    subject,
    actions: pushing,
    method: "DELETE",
    url: location,
    isRetried: false,
    accept: [200, 202, 204, 404]
  }).pipe(
    Effect.scoped,
    Effect.timeout(patience.failed),
    Effect.ignore,
    Effect.forkDetach({ startImmediately: true }),
    Effect.flatMap((fiber) =>
      Effect.ignore(Effect.timeout(Fiber.await(fiber), isInterrupted ? patience.interrupted : patience.failed))
    )
  )

/** Leaves an upload behind, for another one or for none. */
const abandon = Effect.fnUntraced(function*(
  repository: Repository,
  subject: string,
  current: { upload: Upload | undefined }
) {
  if (current.upload !== undefined) yield* cancel(repository, subject, current.upload, false)
  current.upload = undefined
})

/** Runs work with an upload that it may replace; where the work fails, the last one is cancelled. */
const withUpload = <A, E, R>(
  repository: Repository,
  subject: string,
  first: Upload | undefined,
  work: (
    current: { upload: Upload | undefined },
    upload: Effect.Effect<Upload, RegistryError.RegistryError>
  ) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const current = { upload: first }
    const upload = Effect.suspend(() =>
      current.upload !== undefined
        ? Effect.succeed(current.upload)
        : Effect.tap(begin(repository, subject), (upload) => Effect.sync(() => void (current.upload = upload)))
    )
    return Effect.onExit(
      work(current, upload),
      (exit) =>
        Exit.isFailure(exit) && current.upload !== undefined
          ? cancel(repository, subject, current.upload, Cause.hasInterrupts(exit.cause))
          : Effect.void
    )
  })

/** Where an upload is, for the registry; `undefined` where it does not go on. */
const position = Effect.fnUntraced(
  function*(
    repository: Repository,
    subject: string,
    current: { upload: Upload | undefined }
  ) {
    if (current.upload === undefined) return undefined
    const { location: url } = current.upload
    const response = yield* ask(repository, {
      operation: "look for the upload of",
      subject,
      actions: pushing,
      method: "GET",
      url,
      accept: [202, 204]
    })
    current.upload = yield* uploadIn(repository, url, response, current.upload)
    return offsetIn(response)
  },
  Effect.scoped,
  Effect.catchIf(isRefusal, () => Effect.undefined)
)

/** How many bytes the registry says that it has; what may be one byte or none is not known. */
const offsetIn = ({ headers }: Answer): number | undefined => {
  const found = /^(?:bytes=)?0-(\d{1,16})$/.exec(headers["range"] ?? "")
  const last = Number(found?.[1] ?? 0)
  return last === 0 ? undefined : last + 1
}

/** Checks that an upload may go on after a failure, or that another may do better. */
const mayGoOn = (error: RegistryError.RegistryError): boolean => {
  const { reason } = error
  return isPassing(error) ||
    (reason._tag === "NotFound" && reason.code === "BLOB_UPLOAD_UNKNOWN") ||
    (reason._tag === "Refused" &&
      (reason.status === 416 || reason.errors.some(({ code }) => code === "BLOB_UPLOAD_INVALID")))
}

/** What has gone wrong where content comes from, and not where it goes. */
class SourceFailed<E> {
  readonly error: E
  constructor(error: E) {
    this.error = error
  }
}

const sourceOf = <E>(content: Stream.Stream<Uint8Array, E>) =>
  Stream.mapError(content, (error) => new SourceFailed(error))

const closing = (location: string, digest: Digest.Digest): string =>
  `${location}${location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(digest)}`

const rangeOf = (start: number, end: number) => ({ "content-range": `${start}-${end - 1}` })

/**
 * Uploads content that can be read again, from any position. `has` tells whether it is there, which it may be though the
 * answer has not come; `first` is an upload that has begun already.
 */
export const readable = <E>(
  repository: Repository,
  { digest, size }: BlobStore.Blob,
  read: (start: number) => Stream.Stream<Uint8Array, E>,
  has: Effect.Effect<boolean>,
  first?: Upload
): Effect.Effect<void, RegistryError.RegistryError | E> =>
  withUpload(repository, digest, first, (current, upload) =>
    Effect.gen(function*() {
      const allowed = cuts(repository)
      let start = 0
      const send = Effect.gen(function*() {
        const { location } = yield* upload
        yield* ask(repository, {
          operation,
          subject: digest,
          actions: pushing,
          method: "PUT",
          url: closing(location, digest),
          ...(start === 0 || start === size ? {} : { headers: rangeOf(start, size) }),
          body: start === size
            ? { bytes: new Uint8Array(), contentType: octets }
            : { stream: sourceOf(read(start)), contentLength: size - start, contentType: octets, isRepeatable: true },
          isRetried: false,
          accept: [201, 204]
        })
        return undefined
      }).pipe(Effect.scoped)
      for (;;) {
        const error = yield* Effect.catch(send, Effect.succeed)
        if (error === undefined) break
        if (error instanceof SourceFailed) return yield* Effect.fail(error.error)
        if (!mayGoOn(error)) return yield* error
        if (yield* has) return yield* abandon(repository, digest, current)
        const reached = yield* position(repository, digest, current)
        if (reached === undefined || reached > size) {
          yield* abandon(repository, digest, current)
          start = 0
        } else {
          start = reached
        }
        yield* allowed.next(start, error)
      }
      current.upload = undefined
    }))

/** How much of content that cannot be read again is kept until the registry has it. */
export const pieceSize = 6 * 1024 * 1024

/** No registry gets larger pieces, whatever it wants. */
const largestPiece = 64 * 1024 * 1024

/** A part of content that is in memory. */
export interface Piece {
  readonly chunks: ReadonlyArray<Uint8Array>
  readonly size: number
  readonly isLast: boolean
}

/** Takes content apart: each run gives the next piece. Only the last one may be shorter, or empty. */
export const pieces = <E, R>(
  content: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<Effect.Effect<Piece, E, R>, never, R | Scope.Scope> =>
  Effect.map(Stream.toPull(content), (pull) => {
    let waiting: ReadonlyArray<Uint8Array> = []
    let index = 0
    let offset = 0
    const feed = Effect.map(pull, (chunks) => {
      waiting = chunks
      index = 0
      return true
    }).pipe(Pull.catchDone(() => Effect.succeed(false)))
    return Effect.gen(function*() {
      const chunks: Array<Uint8Array> = []
      let size = 0
      for (;;) {
        const chunk = waiting[index]
        if (chunk === undefined) {
          if (yield* feed) continue
          return { chunks, size, isLast: true }
        }
        if (size === pieceSize) return { chunks, size, isLast: false }
        const part = chunk.subarray(offset, offset + pieceSize - size)
        if (part.length > 0) chunks.push(part)
        size += part.length
        offset += part.length
        if (offset < chunk.length) continue
        index++
        offset = 0
      }
    })
  })

/** Gives the content of a piece, from a position in it. */
export const contentOf = ({ chunks }: Piece, start: number): Stream.Stream<Uint8Array> =>
  without(Stream.fromIterable(chunks), start)

/**
 * Uploads content whose first piece is in memory and is not its last; `next` gives the others. When the last one is there,
 * `check` says what the blob is, and `has` whether it is there.
 */
export const pieceByPiece = <E, R, E2>(
  repository: Repository,
  subject: string,
  piece: Piece,
  next: Effect.Effect<Piece, E, R>,
  check: Effect.Effect<BlobStore.Blob, E2>,
  has: (blob: BlobStore.Blob) => Effect.Effect<boolean>
): Effect.Effect<BlobStore.Blob, RegistryError.RegistryError | E | E2, R> =>
  withUpload(repository, subject, undefined, (current, upload) => {
    /** Sends what the registry does not have of a piece, however often it is cut off. */
    const send = Effect.fnUntraced(function*(piece: Piece, first: number) {
      const allowed = cuts(repository)
      const end = first + piece.size
      let start = first
      const patch = Effect.gen(function*() {
        const before = yield* upload
        const response = yield* ask(repository, {
          operation,
          subject,
          actions: pushing,
          method: "PATCH",
          url: before.location,
          headers: rangeOf(start, end),
          body: {
            stream: contentOf(piece, start - first),
            contentLength: end - start,
            contentType: octets,
            isRepeatable: true
          },
          isRetried: false,
          accept: [202, 204]
        })
        current.upload = yield* uploadIn(repository, before.location, response, before)
        return offsetIn(response) ?? end
      }).pipe(Effect.scoped)
      while (start < end) {
        const sent = yield* Effect.result(patch)
        if (Result.isFailure(sent) && !mayGoOn(sent.failure)) return yield* sent.failure
        let reached = Result.isSuccess(sent) ? sent.success : yield* position(repository, subject, current)
        const error = Result.isFailure(sent)
          ? sent.failure
          : misbehaved(repository, operation, subject, `of ${end} bytes, it says that it has ${reached}`)
        if (reached === undefined && first === 0) {
          // All of it is still here, for another upload
          yield* abandon(repository, subject, current)
          reached = 0
        }
        if (reached === undefined || reached < first || reached > end) return yield* error
        start = reached
        if (start < end) yield* allowed.next(start, error)
      }
    })

    const close = Effect.fnUntraced(function*(blob: BlobStore.Blob) {
      const allowed = cuts(repository)
      const put = Effect.gen(function*() {
        const { location } = yield* upload
        yield* ask(repository, {
          operation,
          subject,
          actions: pushing,
          method: "PUT",
          url: closing(location, blob.digest),
          body: { bytes: new Uint8Array(), contentType: octets },
          isRetried: false,
          accept: [201, 204]
        })
        return undefined
      }).pipe(Effect.scoped)
      for (;;) {
        const error = yield* Effect.catch(put, Effect.succeed)
        if (error === undefined) return
        if (!mayGoOn(error)) return yield* error
        if (yield* has(blob)) return yield* abandon(repository, subject, current)
        if ((yield* position(repository, subject, current)) !== blob.size) return yield* error
        yield* allowed.next(0, error)
      }
    })

    /** Takes more content to a piece that is smaller than the registry wants it. */
    const enlarged = Effect.fnUntraced(function*(piece: Piece) {
      let now = piece
      while (!now.isLast) {
        const { least } = yield* upload
        if (now.size >= least) break
        if (least > largestPiece) {
          return yield* misbehaved(repository, operation, subject, `it takes no piece of less than ${least} bytes`)
        }
        const { chunks, isLast, size } = yield* next
        now = { chunks: [...now.chunks, ...chunks], size: now.size + size, isLast }
      }
      return now
    })

    return Effect.gen(function*() {
      let size = 0
      for (let now = yield* enlarged(piece);; now = yield* enlarged(yield* next)) {
        // Of the last piece, nothing is sent before it is known to be right
        const blob = now.isLast ? yield* check : undefined
        yield* send(now, size)
        size += now.size
        if (blob === undefined) continue
        yield* close(blob)
        current.upload = undefined
        return blob
      }
    })
  })
