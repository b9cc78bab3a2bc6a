/** Blobs of a repository: distribution-spec, sections Pulling blobs, Checking if content exists and Deleting Blobs. */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { type Call, checkDeletion, type Endpoint, findRepository, parseDigest } from "./call.ts"
import { refuse } from "./refusal.ts"
import * as State from "./state.ts"

const find = Effect.fnUntraced(function*(call: Call) {
  const digest = yield* parseDigest(call.reference)
  const { blobs } = yield* findRepository(call)
  const content = blobs.get(digest)
  if (content === undefined) return yield* refuse("BLOB_UNKNOWN", `${call.name} has no blob ${digest}`)
  return { blobs, content, digest }
})

/**
 * What a Range header asks for (RFC 9110, section 14): from where to before where. It is `undefined` where the whole is
 * asked for, or in a way that is not known here.
 */
const parseRange = (header: string | undefined, size: number): readonly [start: number, end: number] | undefined => {
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header ?? "") ?? []
  if (first === undefined || last === undefined || first + last === "") return undefined
  return first === ""
    ? [Math.max(size - Number(last), 0), size]
    : [Number(first), last === "" ? size : Math.min(Number(last) + 1, size)]
}

export const get: Endpoint = Effect.fnUntraced(function*(call) {
  const { content, digest } = yield* find(call)
  const { size } = content
  const range = parseRange(call.request.headers["range"], size)
  const [start, end] = range ?? [0, size]
  if (range !== undefined && start >= end) {
    return HttpServerResponse.empty({ status: 416, headers: { "content-range": `bytes */${size}` } })
  }
  return HttpServerResponse.stream(State.read(content, start, end), {
    status: range === undefined ? 200 : 206,
    contentType: "application/octet-stream",
    contentLength: end - start,
    headers: {
      "accept-ranges": "bytes",
      "docker-content-digest": digest,
      ...(range === undefined ? {} : { "content-range": `bytes ${start}-${end - 1}/${size}` })
    }
  })
})

export const remove: Endpoint = Effect.fnUntraced(function*(call) {
  yield* checkDeletion(call)
  const { blobs, digest } = yield* find(call)
  blobs.delete(digest)
  return HttpServerResponse.empty({ status: 202 })
})

/** The answer to what has put a blob into a repository. */
export const created = (name: string, digest: Digest.Digest): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.empty({
    status: 201,
    headers: { location: `/v2/${name}/blobs/${digest}`, "docker-content-digest": digest }
  })
