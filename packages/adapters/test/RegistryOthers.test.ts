/** Registries that do things otherwise than Docker's, as the specification allows or as others are known to do. */
import * as Registry from "@effect-oci/adapters/Registry"
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { sha256, toBytes } from "./archives.ts"
import { services } from "./registry/clients.ts"
import * as Images from "./registry/images.ts"
import { everywhere, hasty, type Reply, type Seen } from "./registrySession/servers.ts"

type Answer = Exclude<Reply, Function>

/** A repository of a registry that answers like this, and what it was asked. */
const open = Effect.fnUntraced(function*(
  answer: (seen: Seen) => Answer,
  options: Registry.Options = hasty,
  path = "app"
) {
  const { layer, seen } = everywhere(answer)
  const repository = yield* Effect.provide(
    Registry.open(`reg.example/${path}`, options),
    Layer.merge(services("reg.example"), layer)
  )
  const asked = () =>
    seen.map(({ method, url }) => `${method} ${url.replace(/^https:\/\/reg\.example\/v2\/app\//, "")}`)
  return { ...repository, seen, asked }
})

const uploads = "/v2/app/blobs/uploads/"
const text = "x".repeat(1000)
const bytes = toBytes(text)
const blob: Descriptor.Descriptor = { mediaType: MediaType.layer, digest: sha256(bytes), size: bytes.length }

/** Where a blob comes from. */
const source: BlobStore.Store = {
  put: () => Effect.never,
  get: () => Stream.succeed(bytes),
  has: () => Effect.succeed(true)
}

describe("an upload", () => {
  /** Each PUT and PATCH gets the next answer; it is as far as `range` says, and there when it says so. */
  const uploading = (answers: ReadonlyArray<Answer>, begun: Readonly<Record<string, string>> = {}, range = "0-999") => {
    let count = 0
    return open(({ method }) => {
      if (method === "POST") return { status: 202, headers: { location: `${uploads}1?state=a%2Fb`, ...begun } }
      if (method === "PUT" || method === "PATCH") return answers[count++] ?? { status: 201 }
      if (method === "HEAD") return { status: 404 }
      return { status: 204, headers: { range } }
    })
  }

  it.live("of which the registry has all is ended without a range", () =>
    Effect.gen(function*() {
      const { asked, blobs, seen } = yield* uploading([{ status: 502 }])
      yield* BlobStore.transfer(blob, source, blobs)
      const [first, last] = seen.filter(({ method }) => method === "PUT")
      assert.strictEqual(first?.headers["content-length"], "1000")
      assert.strictEqual(last?.body, "")
      assert.notProperty(last?.headers, "content-range")
      assert.isTrue(last?.url.endsWith(`1?state=a%2Fb&digest=${encodeURIComponent(blob.digest)}`))
      assert.isFalse(asked().some((request) => request.startsWith("DELETE")))
    }))

  it.live("is begun anew where the registry does not say how far it is", () =>
    Effect.gen(function*() {
      let count = 0
      const { asked, blobs } = yield* open(({ method }) => {
        if (method === "POST") return { status: 202, headers: { location: `${uploads}1` } }
        if (method === "PUT") return { status: count++ === 0 ? 500 : 201 }
        if (method === "HEAD") return { status: 404 }
        return { status: method === "GET" ? 403 : 204 }
      })
      yield* BlobStore.transfer(blob, source, blobs)
      assert.strictEqual(asked().map((request) => request.split(" ")[0]).join(" "), "POST PUT HEAD GET DELETE POST PUT")
    }))

  it.live("goes on where it was, where the registry does not say where", () =>
    Effect.gen(function*() {
      const { blobs, seen } = yield* uploading([{ status: 202 }, { status: 202 }])
      const content = Images.noise(2, 9_000_000)
      const { digest } = yield* blobs.put(Stream.succeed(content))
      assert.strictEqual(digest, sha256(content))
      const places = seen.filter(({ method }) => method !== "POST").map(({ method, url }) => `${method} ${url}`)
      const place = `https://reg.example${uploads}1?state=a%2Fb`
      assert.deepStrictEqual(places, [
        `PATCH ${place}`,
        `PATCH ${place}`,
        `PUT ${place}&digest=${encodeURIComponent(digest)}`
      ])
    }))

  it.live("is sent in pieces that are as large as the registry wants them", () =>
    Effect.gen(function*() {
      const megabyte = 1024 * 1024
      const { blobs, seen } = yield* uploading([{ status: 202 }, { status: 202 }], {
        "oci-chunk-min-length": String(10 * megabyte)
      })
      const content = Images.noise(3, 20 * megabyte)
      yield* blobs.put(Stream.succeed(content))
      const ranges = seen.filter(({ method }) => method === "PATCH").map(({ headers }) => headers["content-range"])
      assert.deepStrictEqual(ranges, [`0-${12 * megabyte - 1}`, `${12 * megabyte}-${20 * megabyte - 1}`])
    }))

  it.live("is given up where no piece would be large enough", () =>
    Effect.gen(function*() {
      const { asked, blobs } = yield* uploading([], { "oci-chunk-min-length": "1000000000" })
      const error = yield* Effect.flip(blobs.put(Stream.succeed(Images.noise(3, 9_000_000))))
      assert.match(error.message, /protocol: it takes no piece of less than 1000000000 bytes/)
      assert.deepStrictEqual(asked().map((request) => request.split(" ")[0]), ["POST", "DELETE"])
    }))

  it.effect("is not sent again before the registry wants it", () =>
    Effect.gen(function*() {
      const { blobs, seen } = yield* uploading([{ status: 429, headers: { "retry-after": "40" } }], {}, "")
      const fiber = yield* Effect.forkChild(BlobStore.transfer(blob, source, blobs))
      const sent = () => seen.filter(({ method }) => method === "PUT").length
      yield* TestClock.adjust("39 seconds")
      assert.strictEqual(sent(), 1)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.strictEqual(sent(), 2)
    }))

  it.effect("is not tried without end", () =>
    Effect.gen(function*() {
      const answers = Array.from({ length: 20 }, () => ({ status: 503, headers: { "retry-after": "3600" } }))
      const { blobs, seen } = yield* uploading(answers, {}, "")
      const fiber = yield* Effect.forkChild(Effect.flip(BlobStore.transfer(blob, source, blobs)))
      yield* TestClock.adjust("130 seconds")
      assert.match((yield* Fiber.join(fiber)).message, /status 503: try again later/)
      // A minute after each, and two minutes in all
      assert.strictEqual(seen.filter(({ method }) => method === "PUT").length, 3)
    }))

  it.live("may be at a path of two slashes", () =>
    Effect.gen(function*() {
      const { blobs, seen } = yield* open(({ method }) => {
        if (method === "POST") return { status: 202, headers: { location: "https://reg.example//v2/app/up/1" } }
        return { status: method === "PUT" ? 201 : 404 }
      })
      yield* BlobStore.transfer(blob, source, blobs)
      assert.strictEqual(new URL(seen.at(-1)?.url ?? "").pathname, "//v2/app/up/1")
    }))
})

describe("a registry that takes no blob over", () => {
  const refusals: ReadonlyArray<Answer> = [
    { status: 401 },
    { status: 403 },
    { status: 404 },
    { status: 405 },
    { status: 202 }
  ]
  for (const refusal of refusals) {
    it.live(`and says ${refusal.status} is sent its content`, () =>
      Effect.gen(function*() {
        const other = yield* open(() => ({ body: text }), hasty, "base")
        const { asked, blobs } = yield* open(({ method, url }) => {
          if (url.includes("mount=")) return refusal
          if (method === "POST") return { status: 202, headers: { location: `${uploads}1` } }
          if (method === "PUT") return { status: 201 }
          return { status: 404 }
        })
        yield* BlobStore.transfer(blob, other.blobs, blobs)
        assert.isTrue(asked().at(-1)?.startsWith("PUT blobs/uploads/1?digest="))
      }))
  }
})

describe("what is there", () => {
  it.live("is asked for with GET where the registry knows no HEAD", () =>
    Effect.gen(function*() {
      const document = JSON.stringify({ schemaVersion: 2, manifests: [] })
      const { asked, blobs, images } = yield* open(({ method, url }) => {
        if (method === "HEAD") return { status: 405 }
        if (url.endsWith(blob.digest)) return { headers: { "content-length": "1000" } }
        if (url.endsWith("/tags/list?n=1000")) return { body: `{"tags":["1"]}` }
        if (url.endsWith("/manifests/1")) return { headers: { "content-type": MediaType.imageIndex }, body: document }
        return { status: 404 }
      })
      assert.isTrue(yield* blobs.has(blob))
      assert.isFalse(yield* blobs.has({ ...blob, digest: sha256(toBytes("other")) }))
      assert.deepStrictEqual(asked().slice(0, 2), [`HEAD blobs/${blob.digest}`, `GET blobs/${blob.digest}`])
      const listed = yield* images.list
      assert.deepStrictEqual(listed.map(({ descriptor }) => descriptor.digest), [sha256(toBytes(document))])
    }))
})

describe("what is sent compressed, though nobody asked for that,", () => {
  it.live("is refused at once", () =>
    Effect.gen(function*() {
      const { asked, blobs } = yield* open(() => ({ headers: { "content-encoding": "gzip" }, body: "shorter" }))
      const error = yield* Effect.flip(Stream.runDrain(blobs.get(blob)))
      assert.match(error.message, /protocol: it sends content compressed that was asked for as it is/)
      assert.lengthOf(asked(), 1)
    }))
})

describe("referrers", () => {
  const subject = sha256(toBytes("subject"))
  const referrer = { mediaType: MediaType.imageManifest, digest: sha256(toBytes("a")), size: 3 }
  const tag = `/manifests/${subject.replace(":", "-")}`
  const index = JSON.stringify({ schemaVersion: 2, mediaType: MediaType.imageIndex, manifests: [referrer] })
  const headers = { "content-type": MediaType.imageIndex }
  const absent: ReadonlyArray<Answer> = [
    // Where ghcr.io sends everybody
    { status: 303, headers: { location: "https://people.example/app" } },
    { status: 400 },
    { status: 404 },
    { status: 405 },
    { status: 406 }
  ]
  for (const answer of absent) {
    it.live(`are those under the tag where the registry answers ${answer.status}`, () =>
      Effect.gen(function*() {
        const { referrers, seen } = yield* open(({ url }) => url.endsWith(tag) ? { headers, body: index } : answer)
        assert.deepStrictEqual(yield* Stream.runCollect(referrers(subject)), [referrer])
        assert.isFalse(seen.some(({ url }) => url.includes("people.example")))
      }))
  }

  it.live("are none where a registry takes the tag for the digest", () =>
    Effect.gen(function*() {
      const own = sha256(toBytes(index))
      const { referrers } = yield* open(({ url }) =>
        url.includes("/manifests/") ? { headers, body: index } : { status: 404 }
      )
      assert.deepStrictEqual(yield* Stream.runCollect(referrers(own)), [])
    }))
})

describe("an error", () => {
  it.live("does not tell what was sent and comes back", () =>
    Effect.gen(function*() {
      let proof = ""
      const { blobs, images } = yield* open(({ headers, url }) => {
        proof = headers["authorization"] ?? ""
        if (proof === "") return { status: 401, headers: { "www-authenticate": "Basic" } }
        if (url.endsWith("/manifests/1")) return { headers: { "content-type": proof } }
        if (headers["range"] !== undefined) return { status: 206, headers: { "content-range": proof } }
        return { body: "x" }
      })
      const found = yield* Effect.flip(images.resolve(Option.some("1")))
      assert.match(found.message, /it sends "Basic <redacted>"/)
      const read = yield* Effect.flip(Stream.runDrain(blobs.get(blob)))
      assert.match(read.message, /it sends "Basic <redacted>"/)
      assert.match(proof, /^Basic .{8}/)
    }))
})
