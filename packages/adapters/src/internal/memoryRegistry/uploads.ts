/** Uploads of blobs: distribution-spec, sections Pushing blobs, Cancel a blob upload and Mounting a blob. */
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import { created } from "./blobs.ts"
import { type Call, type Endpoint, parseDigest } from "./call.ts"
import { refuse } from "./refusal.ts"
import * as State from "./state.ts"

/** Where the upload goes on, and how far it is. Clients read `0-0` as nothing, as other registries write it. */
const progress = ({ id, repository, size }: State.Upload) => ({
  location: `/v2/${repository}/blobs/uploads/${id}`,
  range: `0-${Math.max(size - 1, 0)}`
})

const open = ({ name, state }: Call): State.Upload => {
  const upload: State.Upload = { id: randomUUID(), repository: name, pieces: [], size: 0 }
  state.uploads.set(upload.id, upload)
  return upload
}

const find = ({ name, reference, state }: Call) => {
  const upload = state.uploads.get(reference)
  return upload?.repository === name
    ? Effect.succeed(upload)
    : refuse("BLOB_UPLOAD_UNKNOWN", `${name} has no upload ${reference}: begin a new one`)
}

const outOfOrder = (upload: State.Upload) =>
  refuse("BLOB_UPLOAD_INVALID", `the next byte of this upload is ${upload.size}`, {
    status: 416,
    headers: progress(upload)
  })

/** Reads a Content-Range, which is not RFC 9110's but the specification's own. */
const parseRange = (range: string): readonly [start: number, length: number] | undefined => {
  const [, start, end] = /^(\d+)-(\d+)$/.exec(range) ?? []
  return start === undefined || end === undefined || Number(end) < Number(start)
    ? undefined
    : [Number(start), Number(end) - Number(start) + 1]
}

/** Takes the body in as it comes. A chunk that is not as long as its range says is not taken at all. */
const receive = Effect.fnUntraced(function*({ request }: Call, upload: State.Upload) {
  const header = request.headers["content-range"]
  const range = header === undefined ? undefined : parseRange(header)
  if (header !== undefined && range === undefined) {
    return yield* refuse("BLOB_UPLOAD_INVALID", "expected a Content-Range of the form <first>-<last>")
  }
  const before = { pieces: upload.pieces.length, size: upload.size }
  if (range !== undefined && range[0] !== before.size) return yield* outOfOrder(upload)
  let size = before.size
  yield* Stream.runForEach(request.stream, (bytes) => {
    // Another request may write to the same upload
    if (upload.size !== size) return outOfOrder(upload)
    State.append(upload, bytes)
    size = upload.size
    return Effect.void
  })
  if (range !== undefined && size - before.size !== range[1]) {
    upload.pieces.length = before.pieces
    upload.size = before.size
    return yield* refuse("SIZE_INVALID", `expected the ${range[1]} bytes of the range, found ${size - before.size}`)
  }
})

/** Ends the upload: what came in is the blob, or nothing. */
const finish = Effect.fnUntraced(function*({ name, state }: Call, upload: State.Upload, digest: Digest.Digest) {
  state.uploads.delete(upload.id)
  const { pieces, size } = upload
  upload.pieces = []
  const found = yield* State.digest(pieces, Digest.algorithm(digest))
  if (found !== digest) return yield* refuse("DIGEST_INVALID", `the content hashes to ${found}, not to ${digest}`)
  State.repository(state, name).blobs.set(digest, { pieces, size })
  return created(name, digest)
})

/** Finds a blob to mount: in the repository that is named, or in any that may be read. */
const mountable = ({ mayPull, state }: Call, digest: Digest.Digest, from: string | null) =>
  [...state.repositories]
    .filter(([name]) => (from === null || from === name) && mayPull(name))
    .map(([, { blobs }]) => blobs.get(digest))
    .find((content) => content !== undefined)

export const begin: Endpoint = Effect.fnUntraced(function*(call) {
  const { searchParams } = call.url
  const algorithm = searchParams.get("digest-algorithm")
  if (algorithm !== null && !Digest.isAlgorithm(algorithm)) {
    return yield* refuse("DIGEST_INVALID", `expected a digest by ${Digest.Algorithm.literals.join(", ")}`)
  }
  const mount = searchParams.get("mount")
  if (mount !== null) {
    const digest = yield* parseDigest(mount)
    const content = mountable(call, digest, searchParams.get("from"))
    if (content !== undefined) {
      State.repository(call.state, call.name).blobs.set(digest, content)
      return created(call.name, digest)
    }
  }
  const text = searchParams.get("digest")
  if (text === null) return HttpServerResponse.empty({ status: 202, headers: progress(open(call)) })
  const digest = yield* parseDigest(text)
  const upload = open(call)
  return yield* receive(call, upload).pipe(
    Effect.andThen(finish(call, upload, digest)),
    // Its client knows of no upload to go on with
    Effect.ensuring(Effect.sync(() => call.state.uploads.delete(upload.id)))
  )
})

export const write: Endpoint = Effect.fnUntraced(function*(call) {
  const upload = yield* find(call)
  yield* receive(call, upload)
  return HttpServerResponse.empty({ status: 202, headers: progress(upload) })
})

export const end: Endpoint = Effect.fnUntraced(function*(call) {
  const upload = yield* find(call)
  const digest = yield* parseDigest(call.url.searchParams.get("digest") ?? "")
  yield* receive(call, upload)
  return yield* finish(call, upload, digest)
})

export const status: Endpoint = (call) =>
  Effect.map(find(call), (upload) => HttpServerResponse.empty({ status: 204, headers: progress(upload) }))

export const cancel: Endpoint = (call) =>
  Effect.map(find(call), (upload) => {
    call.state.uploads.delete(upload.id)
    return HttpServerResponse.empty({ status: 204 })
  })
