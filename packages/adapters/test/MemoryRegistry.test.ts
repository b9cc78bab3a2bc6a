/** The registry as a test of our users' calls it: through a client without sockets. */
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { createHash } from "node:crypto"

const origin = "https://registry.test"

type Options = Parameters<typeof MemoryRegistry.layerClient>[0]

const using = (options?: Options) =>
  Effect.provide(MemoryRegistry.layerClient(options).pipe(Layer.provide(NodeHash.layer)), { local: true })

const digestOf = (bytes: Uint8Array | string, algorithm: Digest.Algorithm = "sha256") =>
  Result.getOrThrow(Digest.fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex")))

interface Sent {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | Stream.Stream<Uint8Array, unknown>
}

const toBody = (body: Sent["body"]) =>
  body === undefined
    ? HttpBody.empty
    : typeof body === "string"
    ? HttpBody.uint8Array(Json.toBytes(body))
    : body instanceof Uint8Array
    ? HttpBody.uint8Array(body)
    : HttpBody.stream(body)

/** Sends a request; `path` is one below `/v2/` unless it begins with a slash. */
const send = (method: HttpMethod, path: string, { body, headers = {} }: Sent = {}) =>
  HttpClient.execute(
    HttpClientRequest.make(method)(path.startsWith("/") ? origin + path : `${origin}/v2/${path}`, {
      body: toBody(body)
    }).pipe(HttpClientRequest.setHeaders(headers))
  )

const Errors = Schema.Struct({ errors: Schema.Array(Schema.Struct({ code: Schema.String, message: Schema.String })) })

/** Sends a request that is refused, and gives the status and the codes. */
const refused = Effect.fnUntraced(function*(method: HttpMethod, path: string, sent?: Sent) {
  const response = yield* send(method, path, sent)
  const { errors } = yield* Effect.flatMap(response.json, Schema.decodeUnknownEffect(Errors))
  return { status: response.status, codes: errors.map(({ code }) => code), response }
})

const expectRefusal = Effect.fnUntraced(
  function*(status: number, code: string, method: HttpMethod, path: string, sent?: Sent) {
    const found = yield* refused(method, path, sent)
    assert.deepStrictEqual([found.status, found.codes], [status, [code]], `${method} ${path}`)
    return found.response
  }
)

const expectStatus = Effect.fnUntraced(function*(status: number, method: HttpMethod, path: string, sent?: Sent) {
  const response = yield* send(method, path, sent)
  assert.strictEqual(response.status, status, `${method} ${path}: ${yield* response.text}`)
  return response
})

const pushBlob = Effect.fnUntraced(function*(content: string | Uint8Array, repository = "a/b") {
  const digest = digestOf(content)
  yield* expectStatus(201, "POST", `${repository}/blobs/uploads/?digest=${digest}`, { body: content })
  return digest
})

const begin = Effect.fnUntraced(function*(repository = "a/b") {
  const { headers } = yield* expectStatus(202, "POST", `${repository}/blobs/uploads/`)
  return headers["location"] ?? assert.fail("no location")
})

const pushManifest = (reference: string, manifest: Json.Encodable, mediaType = MediaType.imageManifest) =>
  send("PUT", `a/b/manifests/${reference}`, {
    body: Json.stringify(manifest),
    headers: { "content-type": mediaType }
  })

const emptyDescriptor = { mediaType: MediaType.emptyJson, digest: digestOf("{}"), size: 2 }

const artifact = (members: Readonly<Record<string, Json.Encodable>> = {}) => ({
  schemaVersion: 2,
  mediaType: MediaType.imageManifest,
  config: emptyDescriptor,
  layers: [],
  ...members
})

const bytes = (length: number) => Uint8Array.from({ length }, (_, index) => index % 251)

const hooks = MemoryRegistry.MemoryRegistry

describe("blobs", () => {
  it.effect("come back as they went in, whole or in part", () =>
    Effect.gen(function*() {
      const content = bytes(1000)
      const path = `a/b/blobs/${yield* pushBlob(content)}`
      const head = yield* expectStatus(200, "HEAD", path)
      assert.strictEqual(head.headers["content-length"], "1000")
      assert.strictEqual(head.headers["docker-content-digest"], digestOf(content))
      assert.strictEqual((yield* head.arrayBuffer).byteLength, 0)
      const ranges = [
        ["bytes=100-199", 100, 200],
        ["bytes=900-", 900, 1000],
        ["bytes=-10", 990, 1000],
        ["bytes=0-", 0, 1000],
        ["bytes=990-5000", 990, 1000]
      ] as const
      for (const [range, start, end] of ranges) {
        const part = yield* expectStatus(206, "GET", path, { headers: { range } })
        assert.strictEqual(part.headers["content-range"], `bytes ${start}-${end - 1}/1000`)
        assert.deepStrictEqual(new Uint8Array(yield* part.arrayBuffer), content.slice(start, end))
      }
      for (const range of ["bytes=1000-", "bytes=5-4", "bytes=-0"]) {
        const none = yield* expectStatus(416, "GET", path, { headers: { range } })
        assert.strictEqual(none.headers["content-range"], "bytes */1000")
      }
      // What a server does not know, it leaves aside
      for (const range of ["bytes=1-2,4-5", "lines=1-2"]) {
        const whole = yield* expectStatus(200, "GET", path, { headers: { range } })
        assert.deepStrictEqual(new Uint8Array(yield* whole.arrayBuffer), content)
      }
    }).pipe(using()))

  it.effect("are streamed in pieces, none of which is the registry's own", () =>
    Effect.gen(function*() {
      const content = Buffer.from(bytes(3_000_000))
      const digest = yield* pushBlob(content)
      const response = yield* send("GET", `a/b/blobs/${digest}`)
      const pieces = yield* Stream.runCollect(response.stream)
      assert.isAtLeast(pieces.length, 3)
      for (const piece of pieces) piece.fill(0)
      content.fill(0)
      const kept = yield* (yield* hooks).blob("a/b", digest)
      assert.strictEqual(digestOf(kept ?? ""), digest)
    }).pipe(using()))

  it.effect("are of any algorithm that is known", () =>
    Effect.gen(function*() {
      const digest = digestOf("x", "sha512")
      yield* expectStatus(201, "POST", `a/b/blobs/uploads/?digest=${digest}`, { body: "x" })
      assert.strictEqual(yield* (yield* send("GET", `a/b/blobs/${digest}`)).text, "x")
      yield* expectRefusal(400, "DIGEST_INVALID", "POST", "a/b/blobs/uploads/?digest=md5:00", { body: "x" })
      yield* expectRefusal(400, "DIGEST_INVALID", "POST", "a/b/blobs/uploads/?digest-algorithm=md5")
    }).pipe(using()))

  it.effect("are not there before they are pushed, and not after they are deleted", () =>
    Effect.gen(function*() {
      yield* expectRefusal(404, "NAME_UNKNOWN", "GET", `a/b/blobs/${digestOf("x")}`)
      const digest = yield* pushBlob("x")
      yield* expectRefusal(404, "BLOB_UNKNOWN", "GET", `a/b/blobs/${digestOf("y")}`)
      yield* expectRefusal(400, "DIGEST_INVALID", "GET", "a/b/blobs/sha256:1")
      yield* expectStatus(202, "DELETE", `a/b/blobs/${digest}`)
      yield* expectRefusal(404, "BLOB_UNKNOWN", "GET", `a/b/blobs/${digest}`)
      assert.deepStrictEqual(yield* (yield* hooks).blobs("a/b"), [])
    }).pipe(using()))
})

describe("uploads", () => {
  it.effect("go on in chunks, in their order only", () =>
    Effect.gen(function*() {
      const location = yield* begin()
      const first = yield* expectStatus(202, "PATCH", location, {
        body: "hello",
        headers: { "content-range": "0-4" }
      })
      assert.strictEqual(first.headers["range"], "0-4")
      for (const range of ["0-4", "6-10"]) {
        const response = yield* expectRefusal(416, "BLOB_UPLOAD_INVALID", "PATCH", location, {
          body: "world",
          headers: { "content-range": range }
        })
        assert.strictEqual(response.headers["range"], "0-4")
        assert.strictEqual(response.headers["location"], location)
      }
      yield* expectRefusal(400, "BLOB_UPLOAD_INVALID", "PATCH", location, {
        body: "world",
        headers: { "content-range": "bytes 5-9/10" }
      })
      yield* expectRefusal(400, "SIZE_INVALID", "PATCH", location, {
        body: "much more",
        headers: { "content-range": "5-9" }
      })
      const status = yield* expectStatus(204, "GET", location)
      assert.strictEqual(status.headers["range"], "0-4")
      yield* expectStatus(202, "PATCH", location, { body: " world" })
      const digest = digestOf("hello world!")
      const path = `${location}?digest=${digest}`
      yield* expectRefusal(416, "BLOB_UPLOAD_INVALID", "PUT", path, { body: "!", headers: { "content-range": "0-0" } })
      const ended = yield* expectStatus(201, "PUT", path, { body: "!", headers: { "content-range": "11-11" } })
      assert.strictEqual(ended.headers["location"], `/v2/a/b/blobs/${digest}`)
      assert.strictEqual(yield* (yield* send("GET", `a/b/blobs/${digest}`)).text, "hello world!")
      yield* expectRefusal(404, "BLOB_UPLOAD_UNKNOWN", "GET", location)
    }).pipe(using()))

  it.effect("end with nothing where the content is another", () =>
    Effect.gen(function*() {
      const { blobs, uploads } = yield* hooks
      const location = yield* begin()
      yield* expectRefusal(400, "DIGEST_INVALID", "PUT", location)
      assert.strictEqual((yield* uploads).length, 1)
      yield* expectRefusal(400, "DIGEST_INVALID", "PUT", `${location}?digest=${digestOf("x")}`, { body: "y" })
      yield* expectRefusal(400, "DIGEST_INVALID", "POST", `a/b/blobs/uploads/?digest=${digestOf("x")}`, { body: "y" })
      assert.deepStrictEqual(yield* uploads, [])
      assert.deepStrictEqual(yield* blobs("a/b"), [])
    }).pipe(using()))

  it.effect("are cancelled, and belong to their repository", () =>
    Effect.gen(function*() {
      const location = yield* begin()
      yield* expectRefusal(404, "BLOB_UPLOAD_UNKNOWN", "DELETE", location.replace("a/b", "other"))
      yield* expectStatus(204, "DELETE", location)
      yield* expectRefusal(404, "BLOB_UPLOAD_UNKNOWN", "PATCH", location, { body: "x" })
    }).pipe(using()))

  it.effect("keep what came in of a body that fails, and the failure is the client's", () =>
    Effect.gen(function*() {
      const location = yield* begin()
      const body = Stream.make(Json.toBytes("hello")).pipe(Stream.concat(Stream.fail("the disk is gone")))
      const error = yield* Effect.flip(send("PATCH", location, { body }))
      assert.strictEqual(error.reason._tag, "TransportError")
      assert.strictEqual(error.reason.cause, "the disk is gone")
      assert.strictEqual((yield* expectStatus(204, "GET", location)).headers["range"], "0-4")
      yield* Effect.flip(send("POST", `a/b/blobs/uploads/?digest=${digestOf("hello")}`, { body }))
      assert.strictEqual((yield* (yield* hooks).uploads).length, 1)
    }).pipe(using()))

  it.live("keep what came in of a request that is interrupted", () =>
    Effect.gen(function*() {
      const { log, uploads } = yield* hooks
      const location = yield* begin()
      const isRead = yield* Deferred.make<void>()
      const body = Stream.make(Json.toBytes("hello")).pipe(
        Stream.concat(Stream.fromEffect(Effect.andThen(Deferred.succeed(isRead, undefined), Effect.never)))
      )
      const fiber = yield* Effect.forkChild(send("PATCH", location, { body }))
      yield* Deferred.await(isRead)
      assert.deepStrictEqual((yield* uploads).map(({ size }) => size), [5])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual((yield* uploads).map(({ size }) => size), [5])
      assert.deepStrictEqual((yield* log).at(-1), { method: "PATCH", url: location, status: undefined })
    }).pipe(using()))

  it.effect("take no bytes of one request in between those of another", () =>
    Effect.gen(function*() {
      const location = yield* begin()
      const client = yield* HttpClient.HttpClient
      const other = Effect.provideService(send("PATCH", location, { body: "B" }), HttpClient.HttpClient, client)
      const body = Stream.make(Json.toBytes("A")).pipe(
        Stream.concat(Stream.fromEffect(Effect.as(other, Json.toBytes("A"))))
      )
      const response = yield* expectRefusal(416, "BLOB_UPLOAD_INVALID", "PATCH", location, { body })
      assert.strictEqual(response.headers["range"], "0-1")
      yield* expectStatus(201, "PUT", `${location}?digest=${digestOf("AB")}`)
    }).pipe(using()))

  it.effect("are not needed where the blob is in another repository", () =>
    Effect.gen(function*() {
      const digest = yield* pushBlob("x", "base")
      const mounted = yield* expectStatus(201, "POST", `a/b/blobs/uploads/?mount=${digest}&from=base`)
      assert.strictEqual(mounted.headers["location"], `/v2/a/b/blobs/${digest}`)
      yield* expectStatus(200, "HEAD", `a/b/blobs/${digest}`)
      yield* expectStatus(201, "POST", `c/blobs/uploads/?mount=${digest}`)
      const begun = yield* expectStatus(202, "POST", `d/blobs/uploads/?mount=${digest}&from=elsewhere`)
      assert.match(begun.headers["location"] ?? "", /^\/v2\/d\/blobs\/uploads\//)
      assert.deepStrictEqual(yield* (yield* hooks).repositories, ["a/b", "base", "c"])
    }).pipe(using()))
})

describe("manifests", () => {
  it.effect("are kept as they are, under their tag and their digest", () =>
    Effect.gen(function*() {
      yield* pushBlob("{}")
      const text = ` ${Json.stringify(artifact({ "x-own": 1 }))}\n`
      const put = yield* expectStatus(201, "PUT", "a/b/manifests/v1", {
        body: text,
        headers: { "content-type": `${MediaType.imageManifest}; charset=utf-8` }
      })
      const digest = digestOf(text)
      assert.strictEqual(put.headers["docker-content-digest"], digest)
      assert.strictEqual(put.headers["location"], `/v2/a/b/manifests/${digest}`)
      for (const reference of ["v1", digest]) {
        const got = yield* expectStatus(200, "GET", `a/b/manifests/${reference}`)
        assert.strictEqual(got.headers["content-type"], MediaType.imageManifest)
        assert.strictEqual(got.headers["docker-content-digest"], digest)
        assert.strictEqual(yield* got.text, text)
      }
      const { manifest, manifests, tags } = yield* hooks
      assert.deepStrictEqual([...yield* tags("a/b")], [["v1", digest]])
      assert.deepStrictEqual(yield* manifests("a/b"), [digest])
      assert.deepStrictEqual(yield* manifest("a/b", digest), Json.toBytes(text))
    }).pipe(using()))

  it.effect("need what they name, but not their subject or what stays with its vendor", () =>
    Effect.gen(function*() {
      const index = { schemaVersion: 2, manifests: [{ ...emptyDescriptor, mediaType: MediaType.imageManifest }] }
      const unknown = [
        [artifact(), MediaType.imageManifest],
        [{ ...artifact(), mediaType: undefined }, MediaType.dockerManifest],
        [index, MediaType.imageIndex],
        [index, MediaType.dockerManifestList]
      ] as const
      for (const [manifest, mediaType] of unknown) {
        yield* expectRefusal(400, "MANIFEST_BLOB_UNKNOWN", "PUT", "a/b/manifests/v1", {
          body: Json.stringify(manifest),
          headers: { "content-type": mediaType }
        })
      }
      yield* pushBlob("{}")
      const missing = { ...emptyDescriptor, digest: digestOf("missing") }
      const layers = [{ ...missing, mediaType: MediaType.nondistributableLayerGzip }]
      const response = yield* pushManifest("v1", artifact({ layers, subject: missing }))
      assert.strictEqual(response.status, 201)
      assert.strictEqual(response.headers["oci-subject"], missing.digest)
    }).pipe(using()))

  it.effect("are refused where they are not what they are said to be", () =>
    Effect.gen(function*() {
      yield* pushBlob("{}")
      const put = (status: number, code: string, reference: string, body: string, type?: string) =>
        expectRefusal(status, code, "PUT", `a/b/manifests/${reference}`, {
          body,
          headers: { "content-type": type ?? MediaType.imageManifest }
        })
      const text = Json.stringify(artifact())
      yield* put(400, "DIGEST_INVALID", digestOf("other"), text)
      yield* put(400, "DIGEST_INVALID", "sha256:1", text)
      yield* put(400, "MANIFEST_INVALID", "v1", text, MediaType.dockerManifest)
      yield* put(400, "MANIFEST_INVALID", "v1", "{")
      yield* put(400, "MANIFEST_INVALID", "v1", text, "no type")
      yield* put(400, "MANIFEST_INVALID", ".v1", text)
      yield* put(413, "MANIFEST_INVALID", "v1", " ".repeat(Json.maxBytes) + text)
      assert.deepStrictEqual(yield* (yield* hooks).manifests("a/b"), [])
      const fits = text + " ".repeat(Json.maxBytes - text.length)
      yield* expectStatus(201, "PUT", "a/b/manifests/v1", {
        body: fits,
        headers: { "content-type": MediaType.imageManifest }
      })
      // Of other artifacts it knows nothing
      yield* expectStatus(201, "PUT", "a/b/manifests/v2", { body: "?", headers: { "content-type": "application/x" } })
    }).pipe(using()))

  it.effect("are deleted with their tags; a tag is deleted alone", () =>
    Effect.gen(function*() {
      yield* pushBlob("{}")
      for (const tag of ["v1", "v2", "v3"]) yield* pushManifest(tag, artifact())
      yield* pushManifest("other", artifact({ artifactType: "x/other" }))
      const { manifests, tags } = yield* hooks
      yield* expectStatus(202, "DELETE", "a/b/manifests/v1")
      assert.deepStrictEqual([...(yield* tags("a/b")).keys()], ["v2", "v3", "other"])
      yield* expectStatus(202, "DELETE", `a/b/manifests/${(yield* manifests("a/b"))[0]}`)
      assert.deepStrictEqual([...(yield* tags("a/b")).keys()], ["other"])
      yield* expectRefusal(404, "MANIFEST_UNKNOWN", "GET", "a/b/manifests/v2")
      yield* expectRefusal(404, "MANIFEST_UNKNOWN", "DELETE", "a/b/manifests/.v2")
    }).pipe(using()))
})

describe("lists", () => {
  const Tags = Schema.Struct({ name: Schema.Literal("a/b"), tags: Schema.Array(Schema.String) })
  const Index = Schema.Struct({
    manifests: Schema.Array(Schema.Struct({
      digest: Schema.String,
      artifactType: Schema.optionalKey(Schema.String),
      annotations: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
    }))
  })

  /** Follows the links, and gives what each page has. */
  const pages = Effect.fnUntraced(function*<A, I>(path: string, schema: Schema.Codec<A, I>) {
    const found: Array<A> = []
    for (let next: string | undefined = path; next !== undefined;) {
      const response: HttpClientResponse = yield* expectStatus(200, "GET", next)
      found.push(yield* Effect.flatMap(response.json, Schema.decodeUnknownEffect(schema)))
      next = /^<(.+)>; rel="next"$/.exec(response.headers["link"] ?? "")?.[1]
    }
    return found
  })

  const pushTags = Effect.fnUntraced(function*() {
    yield* pushBlob("{}")
    for (const tag of ["b", "a", "C", "d", "e"]) yield* pushManifest(tag, artifact())
  })

  const tagPages = (query: string) =>
    Effect.map(pages(`a/b/tags/list${query}`, Tags), (found) => found.map(({ tags }) => tags))

  it.effect("of tags are in order, and as long as they are asked to be", () =>
    Effect.gen(function*() {
      yield* expectRefusal(404, "NAME_UNKNOWN", "GET", "a/b/tags/list")
      yield* pushTags()
      assert.deepStrictEqual(yield* tagPages(""), [["C", "a", "b", "d", "e"]])
      assert.deepStrictEqual(yield* tagPages("?n=2"), [["C", "a"], ["b", "d"], ["e"]])
      assert.deepStrictEqual(yield* tagPages("?last=b"), [["d", "e"]])
      assert.deepStrictEqual(yield* tagPages("?n=1&last=d"), [["e"]])
      assert.deepStrictEqual(yield* tagPages("?n=0"), [[]])
      yield* expectRefusal(400, "UNSUPPORTED", "GET", "a/b/tags/list?n=x")
    }).pipe(using()))

  it.effect("of tags are never longer than the registry's pages", () =>
    Effect.gen(function*() {
      yield* pushTags()
      assert.deepStrictEqual(yield* tagPages(""), [["C", "a", "b"], ["d", "e"]])
      assert.deepStrictEqual(yield* tagPages("?n=100"), [["C", "a", "b"], ["d", "e"]])
    }).pipe(using({ pageSize: 3 })))

  it.effect("of referrers have what refers to a subject, by type where asked", () =>
    Effect.gen(function*() {
      yield* pushBlob("{}")
      const subject = { ...emptyDescriptor, digest: digestOf("subject") }
      assert.deepStrictEqual(yield* pages(`a/b/referrers/${subject.digest}`, Index), [{ manifests: [] }])
      yield* pushManifest("v1", artifact({ subject, artifactType: "x/sbom", annotations: { a: "b" } }))
      yield* pushManifest("v2", artifact({ subject }))
      yield* pushManifest("v3", { schemaVersion: 2, manifests: [], subject }, MediaType.imageIndex)
      yield* pushManifest("v4", artifact())
      const found = yield* pages(`a/b/referrers/${subject.digest}`, Index)
      assert.deepStrictEqual(found.map(({ manifests }) => manifests.length), [2, 1])
      const types = found.flatMap(({ manifests }) => manifests.map(({ artifactType }) => artifactType ?? ""))
      assert.deepStrictEqual(types.toSorted(), ["", MediaType.emptyJson, "x/sbom"])
      const response = yield* send("GET", `a/b/referrers/${subject.digest}?artifactType=x/sbom`)
      assert.strictEqual(response.headers["content-type"], MediaType.imageIndex)
      assert.strictEqual(response.headers["oci-filters-applied"], "artifactType")
      const { manifests } = yield* Effect.flatMap(response.json, Schema.decodeUnknownEffect(Index))
      assert.deepStrictEqual(manifests.map(({ annotations }) => annotations), [{ a: "b" }])
      yield* expectRefusal(400, "DIGEST_INVALID", "GET", "a/b/referrers/v1")
    }).pipe(using({ pageSize: 2 })))

  it.effect("of referrers are not there where the API is not", () =>
    Effect.gen(function*() {
      yield* pushBlob("{}")
      const response = yield* pushManifest("v1", artifact({ subject: emptyDescriptor }))
      assert.strictEqual(response.status, 201)
      assert.isUndefined(response.headers["oci-subject"])
      yield* expectRefusal(404, "UNSUPPORTED", "GET", `a/b/referrers/${emptyDescriptor.digest}`)
    }).pipe(using({ referrers: false })))
})

describe("the registry", () => {
  it.effect("says what it is, and what it does not know", () =>
    Effect.gen(function*() {
      const ping = yield* expectStatus(200, "GET", "/v2/")
      assert.strictEqual(ping.headers["docker-distribution-api-version"], "registry/2.0")
      yield* expectRefusal(400, "NAME_INVALID", "GET", "A/b/tags/list")
      yield* expectRefusal(400, "NAME_INVALID", "GET", `${"a".repeat(256)}/tags/list`)
      yield* expectRefusal(404, "UNSUPPORTED", "GET", "/v1/")
      yield* expectRefusal(404, "UNSUPPORTED", "GET", "/token")
      yield* expectRefusal(400, "UNSUPPORTED", "GET", "a/b/manifests/%zz")
      const response = yield* expectRefusal(405, "UNSUPPORTED", "PATCH", "a/b/tags/list")
      assert.strictEqual(response.headers["allow"], "GET")
      // Names may be the words that follow them
      yield* pushBlob("x", "blobs/uploads/manifests")
      yield* expectStatus(200, "GET", `blobs/uploads/manifests/blobs/${encodeURIComponent(digestOf("x"))}`)
    }).pipe(using()))

  it.effect("deletes nothing where it may not", () =>
    Effect.gen(function*() {
      const digest = yield* pushBlob("{}")
      yield* pushManifest("v1", artifact())
      yield* expectRefusal(405, "UNSUPPORTED", "DELETE", `a/b/blobs/${digest}`)
      yield* expectRefusal(405, "UNSUPPORTED", "DELETE", "a/b/manifests/v1")
      yield* expectStatus(200, "GET", "a/b/manifests/v1")
    }).pipe(using({ deletion: false })))

  it.effect("answers for its hosts only", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* HttpClient.get("http://one.test:5000/v2/")).status, 200)
      for (const url of ["http://one.test/v2/", "https://registry.test/v2/"]) {
        const error = yield* Effect.flip(HttpClient.get(url))
        assert.strictEqual(error.reason._tag, "TransportError")
        assert.match(error.message, /expected one\.test:5000 or two\.test/)
      }
    }).pipe(using({ hosts: ["one.test:5000", "two.test"] })))
})

describe("authentication", () => {
  const password = "canary-of-a-password"
  const users = { jane: Redacted.make(password), colon: Redacted.make("a:b") }
  const basic = (user: string, secret: string) => ({ authorization: `Basic ${Base64.encode(`${user}:${secret}`)}` })

  it.effect("by password lets in who has one", () =>
    Effect.gen(function*() {
      const response = yield* expectRefusal(401, "UNAUTHORIZED", "GET", "/v2/")
      assert.match(response.headers["www-authenticate"] ?? "", /^Basic realm="/)
      for (const [user, secret] of [["jane", "wrong"], ["joe", password], ["toString", ""], ["jane", ""]] as const) {
        yield* expectRefusal(401, "UNAUTHORIZED", "GET", "/v2/", { headers: basic(user, secret) })
      }
      yield* expectRefusal(401, "UNAUTHORIZED", "POST", "a/b/blobs/uploads/")
      yield* expectStatus(200, "GET", "/v2/", { headers: basic("jane", password) })
      yield* expectStatus(200, "GET", "/v2/", { headers: basic("colon", "a:b") })
      yield* expectStatus(202, "POST", "a/b/blobs/uploads/", { headers: basic("jane", password) })
    }).pipe(using({ auth: { scheme: "basic", users } })))

  const Token = Schema.Struct({
    token: Schema.String,
    access_token: Schema.String,
    expires_in: Schema.Number,
    issued_at: Schema.String,
    refresh_token: Schema.optionalKey(Schema.String)
  })

  const tokenOf = Effect.fnUntraced(function*(query: string, sent?: Sent) {
    const response = yield* expectStatus(200, "GET", `/token?service=effect-oci${query}`, sent)
    return yield* Effect.flatMap(response.json, Schema.decodeUnknownEffect(Token))
  })

  const form = (fields: Readonly<Record<string, string>>): Sent => ({
    body: new URLSearchParams(fields).toString(),
    headers: { "content-type": "application/x-www-form-urlencoded" }
  })

  const withToken = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })

  it.effect("by token asks for the access that is needed", () =>
    Effect.gen(function*() {
      const challenge = Effect.fnUntraced(function*(method: HttpMethod, path: string, sent?: Sent) {
        const response = yield* expectRefusal(401, "UNAUTHORIZED", method, path, sent)
        return response.headers["www-authenticate"]
      })
      const realm = `Bearer realm="${origin}/token",service="effect-oci"`
      assert.strictEqual(yield* challenge("GET", "/v2/"), realm)
      assert.strictEqual(yield* challenge("GET", "a/b/tags/list"), `${realm},scope="repository:a/b:pull"`)
      const push = `${realm},scope="repository:a/b:pull,push"`
      assert.strictEqual(yield* challenge("POST", "a/b/blobs/uploads/"), push)
      const removal = `a/b/blobs/${digestOf("x")}`
      assert.strictEqual(yield* challenge("DELETE", removal), `${realm},scope="repository:a/b:delete"`)
      const headers = basic("jane", password)
      const pull = withToken((yield* tokenOf("&scope=repository:a/b:pull", { headers })).token)
      assert.strictEqual(
        yield* challenge("POST", "a/b/blobs/uploads/", pull),
        `${push},error="insufficient_scope"`
      )
      assert.strictEqual(yield* challenge("GET", "/v2/", withToken("x")), `${realm},error="invalid_token"`)
      yield* expectStatus(200, "GET", "/v2/", pull)
      const both = withToken(
        (yield* tokenOf("&scope=repository:a/b:pull,push&scope=repository:c:*", { headers })).token
      )
      yield* expectStatus(202, "POST", "a/b/blobs/uploads/", both)
      yield* expectStatus(202, "POST", "c/blobs/uploads/", both)
      yield* challenge("POST", "d/blobs/uploads/", both)
    }).pipe(using({ auth: { scheme: "bearer", users } })))

  it.effect("by token ends when the token does", () =>
    Effect.gen(function*() {
      const headers = basic("jane", password)
      const issued = yield* tokenOf("&scope=repository:a/b:pull,push", { headers })
      assert.strictEqual(issued.expires_in, 60)
      assert.strictEqual(issued.issued_at, "1970-01-01T00:00:00.000Z")
      assert.strictEqual(issued.access_token, issued.token)
      yield* TestClock.adjust("59 seconds")
      yield* expectStatus(202, "POST", "a/b/blobs/uploads/", withToken(issued.token))
      yield* TestClock.adjust("1 second")
      yield* expectRefusal(401, "UNAUTHORIZED", "POST", "a/b/blobs/uploads/", withToken(issued.token))
    }).pipe(using({ auth: { scheme: "bearer", users, lifetime: "1 minute" } })))

  it.effect("by token is for people with passwords and with identity tokens", () =>
    Effect.gen(function*() {
      yield* expectRefusal(401, "UNAUTHORIZED", "GET", "/token")
      yield* expectRefusal(401, "UNAUTHORIZED", "GET", "/token", { headers: basic("jane", "wrong") })
      const scope = "repository:a/b:pull repository:c:pull,push"
      const post = Effect.fnUntraced(function*(fields: Readonly<Record<string, string>>) {
        const response = yield* expectStatus(200, "POST", "/token", form({ scope, ...fields }))
        return yield* Effect.flatMap(response.json, Schema.decodeUnknownEffect(Token))
      })
      const issued = yield* post({ grant_type: "password", username: "jane", password, access_type: "offline" })
      const refreshed = yield* post({ grant_type: "refresh_token", refresh_token: issued.refresh_token ?? "" })
      assert.isUndefined(refreshed.refresh_token)
      yield* expectStatus(202, "POST", "c/blobs/uploads/", withToken(refreshed.token))
      yield* expectRefusal(401, "UNAUTHORIZED", "POST", "a/b/blobs/uploads/", withToken(refreshed.token))
      yield* expectRefusal(401, "UNAUTHORIZED", "POST", "/token", form({ grant_type: "refresh_token" }))
      const got = yield* tokenOf("&offline_token=true", { headers: basic("jane", password) })
      assert.isString(got.refresh_token)
      // What was asked for is logged, and no secret with it
      const log = JSON.stringify(yield* (yield* hooks).log)
      for (const secret of [password, issued.token, refreshed.token, issued.refresh_token ?? "", "Basic"]) {
        assert.notInclude(log, secret)
      }
      assert.include(log, "/token?service=effect-oci&offline_token=true")
    }).pipe(using({ auth: { scheme: "bearer", users } })))

  it.effect("by token lets others pull where they may", () =>
    Effect.gen(function*() {
      const headers = basic("jane", password)
      const scope = "&scope=repository:a/b:pull,push"
      const jane = withToken((yield* tokenOf(scope, { headers })).token)
      yield* expectStatus(201, "POST", `a/b/blobs/uploads/?digest=${digestOf("x")}`, { ...jane, body: "x" })
      const anyone = withToken((yield* tokenOf(scope)).token)
      yield* expectStatus(200, "GET", `a/b/blobs/${digestOf("x")}`, anyone)
      yield* expectRefusal(401, "UNAUTHORIZED", "POST", "a/b/blobs/uploads/", anyone)
      yield* expectRefusal(401, "UNAUTHORIZED", "GET", "/token", { headers: basic("jane", "wrong") })
      // No blob is mounted from where its reader may not read
      const only = withToken((yield* tokenOf("&scope=repository:c:pull,push", { headers })).token)
      yield* expectStatus(202, "POST", `c/blobs/uploads/?mount=${digestOf("x")}&from=a/b`, only)
      yield* expectStatus(202, "POST", `c/blobs/uploads/?mount=${digestOf("x")}`, only)
      const both = withToken((yield* tokenOf(`&scope=repository:c:pull,push${scope}`, { headers })).token)
      yield* expectStatus(201, "POST", `c/blobs/uploads/?mount=${digestOf("x")}&from=a/b`, both)
    }).pipe(using({ auth: { scheme: "bearer", users, anonymousPull: true } })))
})
