import * as Contract from "@effect-oci/adapters/Contract"
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Registry from "@effect-oci/adapters/Registry"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { sha256, toBytes } from "./archives.ts"
import { keeps } from "./contract.ts"
import * as Images from "./registry/images.ts"

const anonymous = Credentials.layer(Effect.succeed(Credentials.none))

const name = "registry.test/team/app"

/** A repository of a registry in memory. */
const fresh = (options: MemoryRegistry.Options = {}) =>
  Registry.layer(name).pipe(
    Layer.provideMerge(Layer.merge(Layer.fresh(MemoryRegistry.layerClient(options)), anonymous)),
    Layer.orDie
  )

const within = (options: MemoryRegistry.Options = {}) =>
  Effect.provide(Layer.provideMerge(fresh(options), NodeHash.layer))

/** What was asked of the registry since the last time, as `METHOD kind status`. */
const asked = Effect.gen(function*() {
  const { log } = yield* MemoryRegistry.MemoryRegistry
  return (yield* log).map(({ method, status, url }) => {
    const [, kind] = /^\/v2\/[a-z/]+\/(blobs\/uploads|blobs|manifests|tags|referrers)\//.exec(url) ?? []
    return `${method} ${kind ?? url}${url.includes("mount=") ? " mount" : ""} ${status}`
  })
})

const decode = (bytes: Uint8Array | undefined) => new TextDecoder().decode(bytes)

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => fresh())
})
describe("ImageStore", () => {
  keeps(Contract.imageTags, () => fresh())
})

describe("a push", () => {
  it.live("of what is there sends no blob", () =>
    Effect.gen(function*() {
      const source = yield* Images.memory
      yield* Images.put(source, 1, [1000, 2000])
      const target = yield* Registry.Repository
      const push = Copy.image("latest", { source, target, as: Option.some("1") })
      assert.strictEqual((yield* push).copied.length, 3)
      const before = (yield* asked).length
      assert.strictEqual((yield* push).present.length, 3)
      const requests = (yield* asked).slice(before).toSorted()
      assert.deepStrictEqual(requests, [
        "HEAD blobs 200",
        "HEAD blobs 200",
        "HEAD blobs 200",
        "PUT manifests 201",
        "PUT manifests 201"
      ])
    }).pipe(within()))

  it.live("takes blobs over from another repository of the registry", () =>
    Effect.gen(function*() {
      const memory = yield* Images.memory
      const image = yield* Images.put(memory, 2, [9_000_000, 2000])
      const source = yield* Registry.open("registry.test/base")
      yield* Copy.image("latest", { source: memory, target: source, as: Option.some("1") })
      const before = (yield* asked).length
      const target = yield* Registry.Repository
      yield* Copy.image("1", { source, target, as: Option.some("1") })
      const requests = (yield* asked).slice(before)
      assert.strictEqual(requests.filter((request) => request === "POST blobs/uploads mount 201").length, 3)
      assert.deepStrictEqual(requests.filter((request) => /PUT blobs|PATCH|GET blobs/.test(request)), [])
      assert.deepStrictEqual(yield* Images.damaged(image, memory, target), [])
    }).pipe(within()))

  /** A repository in which something else is done where a blob is to be taken over. */
  const mounting = Effect.fnUntraced(function*(
    mount: (client: HttpClient.HttpClient, request: HttpClientRequest) => Effect.Effect<
      { readonly status: number; readonly headers: Readonly<Record<string, string>> },
      HttpClientError
    >
  ) {
    const client = yield* HttpClient.HttpClient
    const changed = HttpClient.make((request) =>
      request.url.includes("mount=")
        ? Effect.map(mount(client, request), ({ headers, status }) =>
          HttpClientResponse.fromWeb(request, new Response(null, { status, headers })))
        : client.execute(request)
    )
    return yield* Effect.provideService(Registry.open("registry.test/other"), HttpClient.HttpClient, changed)
  })

  it.live("sends a blob in the upload that a registry begins instead of taking it over", () =>
    Effect.gen(function*() {
      const source = yield* Registry.open("registry.test/base")
      const { blobs } = yield* Registry.Repository
      const bytes = Images.noise(3, 100_000)
      const blob = { ...yield* source.blobs.put(Stream.succeed(bytes)), mediaType: MediaType.layer }
      // It forgets what it is to take over, and from where
      const other = yield* mounting((client, { url }) => client.post(url.replace(/\?mount=.*$/, "")))
      const before = (yield* asked).length
      yield* BlobStore.transfer(blob, source.blobs, other.blobs)
      assert.deepStrictEqual((yield* asked).slice(before), [
        "POST blobs/uploads 202",
        "GET blobs 200",
        "PUT blobs/uploads 201"
      ])
      assert.isFalse(yield* blobs.has(blob))
      assert.isTrue(yield* other.blobs.has(blob))
    }).pipe(within()))

  it.live("does not believe that a blob was taken over", () =>
    Effect.gen(function*() {
      const source = yield* Registry.open("registry.test/base")
      const blob = { ...yield* source.blobs.put(Stream.succeed(Images.noise(3, 1000))), mediaType: MediaType.layer }
      const other = yield* mounting(() => Effect.succeed({ status: 201, headers: {} }))
      yield* BlobStore.transfer(blob, source.blobs, other.blobs)
      const { blob: read } = yield* MemoryRegistry.MemoryRegistry
      assert.strictEqual((yield* read("other", blob.digest))?.length, 1000)
    }).pipe(within()))

  it.live("tells manifests from other blobs by what they say of themselves", () =>
    Effect.gen(function*() {
      const { blobs } = yield* Registry.Repository
      const { manifests } = yield* MemoryRegistry.MemoryRegistry
      const config = { mediaType: MediaType.imageConfig, ...yield* blobs.put(Stream.succeed(toBytes({ os: "linux" }))) }
      assert.deepStrictEqual(yield* manifests("team/app"), [])
      const put = (document: object) => blobs.put(Stream.succeed(toBytes(document)))
      const manifest = yield* put({ schemaVersion: 2, config, layers: [] })
      const child = { mediaType: MediaType.imageManifest, ...manifest }
      const index = yield* put({ schemaVersion: 2, manifests: [child] })
      assert.deepStrictEqual(yield* manifests("team/app"), [manifest.digest, index.digest])
      // Neither is one
      yield* put({ schemaVersion: 2, config, layers: [], manifests: [child] })
      yield* put({ mediaType: "application/vnd.in-toto+json", config, layers: [] })
      assert.strictEqual((yield* manifests("team/app")).length, 2)
      // Who knows nothing of them finds them
      const other = yield* Registry.open(name)
      assert.isTrue(yield* other.blobs.has(index))
      assert.strictEqual((yield* Stream.mkUint8Array(other.blobs.get(index))).length, index.size)
      assert.isTrue(yield* other.blobs.has(config))
    }).pipe(within()))

  it.live("refuses a manifest that is too large", () =>
    Effect.gen(function*() {
      const { blobs } = yield* Registry.Repository
      for (const size of [5, 9]) {
        const content = Stream.succeed(new Uint8Array(size * 1024 * 1024))
        const error = yield* Effect.flip(blobs.put(content, { mediaType: MediaType.imageManifest }))
        assert.match(error.message, /status 413: SIZE_INVALID \(a manifest has 4194304 bytes at most\)/)
      }
      const { uploads } = yield* MemoryRegistry.MemoryRegistry
      assert.deepStrictEqual(yield* uploads, [])
    }).pipe(within()))

  it.live("tells what the registry misses", () =>
    Effect.gen(function*() {
      const { blobs } = yield* Registry.Repository
      const config = { mediaType: MediaType.imageConfig, digest: sha256(toBytes("absent")), size: 6 }
      const document = toBytes({ schemaVersion: 2, mediaType: MediaType.imageManifest, config, layers: [] })
      const error = yield* Effect.flip(blobs.put(Stream.succeed(document), { mediaType: MediaType.imageManifest }))
      assert.match(
        error.message,
        /cannot push the manifest sha256:.* refuses it with status 4\d\d: MANIFEST_BLOB_UNKNOWN/
      )
    }).pipe(within()))
})

describe("tags", () => {
  const tagged = Effect.fnUntraced(function*(count: number) {
    const source = yield* Images.memory
    const { descriptor } = yield* Images.put(source, 4, [10])
    const target = yield* Registry.Repository
    const names = Array.from({ length: count }, (_, index) => `v${String(index).padStart(3, "0")}`)
    yield* Copy.image(descriptor, { source, target, as: Option.some("v000") })
    yield* Effect.forEach(names, (name) => target.images.tag(Option.some(name), descriptor), { concurrency: 4 })
    return { descriptor, names }
  })

  it.live("come page by page", () =>
    Effect.gen(function*() {
      const { names } = yield* tagged(25)
      assert.deepStrictEqual(yield* Stream.runCollect(Registry.tags), names)
      assert.strictEqual((yield* asked).filter((request) => request === "GET tags 200").length, 3)
      const listed = yield* ImageStore.ImageStore.use((images) => images.list)
      assert.deepStrictEqual(listed.map(({ name }) => Option.getOrNull(name)), names)
    }).pipe(within({ pageSize: 10 })))

  it.live("are deleted alone, and manifests with all of theirs", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* tagged(3)
      yield* Registry.remove("v000")
      assert.deepStrictEqual(yield* Stream.runCollect(Registry.tags), ["v001", "v002"])
      const again = yield* Effect.flip(Registry.remove("v000"))
      assert.strictEqual(again.reason._tag, "NotFound")
      yield* Registry.remove(descriptor.digest)
      assert.deepStrictEqual(yield* Stream.runCollect(Registry.tags), [])
      assert.isFalse(yield* BlobStore.BlobStore.use((blobs) => blobs.has(descriptor)))
    }).pipe(within()))

  it.live("are kept where the registry deletes nothing", () =>
    Effect.gen(function*() {
      yield* tagged(1)
      const error = yield* Effect.flip(Registry.remove("v000"))
      assert.match(error.message, /cannot delete the tag v000 .* UNSUPPORTED \(it cannot delete a tag alone/)
      assert.deepStrictEqual(yield* Stream.runCollect(Registry.tags), ["v000"])
    }).pipe(within({ deletion: false })))

  it.live("and digests find images", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* tagged(2)
      const { images } = yield* Registry.open(name)
      assert.deepStrictEqual(yield* images.resolve(Option.some(descriptor.digest)), descriptor)
      yield* images.tag(Option.some(descriptor.digest), descriptor)
      yield* images.tag(Option.none(), descriptor)
      const other = { ...descriptor, digest: sha256(toBytes("other")) }
      assert.strictEqual((yield* Effect.flip(images.tag(Option.none(), other)))._tag, "BlobMissing")
      const named = yield* Effect.flip(images.tag(Option.some(other.digest), descriptor))
      assert.strictEqual(named._tag, "InvalidImageName")
    }).pipe(within()))
})

describe("referrers", () => {
  for (const referrers of [true, false]) {
    it.live(
      referrers ? "are listed by the registry" : "are kept under a tag where the registry does not list them",
      () =>
        Effect.gen(function*() {
          const { blobs } = yield* Registry.Repository
          const source = yield* Images.memory
          const { descriptor: subject } = yield* Images.put(source, 5, [10])
          yield* Copy.image(subject, { source, target: yield* Registry.Repository, as: Option.some("1") })
          const mediaType = MediaType.imageManifest
          const config = { mediaType: MediaType.emptyJson, ...yield* blobs.put(Stream.succeed(toBytes({}))) }
          const attach = (artifactType: string, text: string) => {
            const annotations = { text }
            const document = { schemaVersion: 2, mediaType, artifactType, config, layers: [], subject, annotations }
            return blobs.put(Stream.succeed(toBytes(document)), { mediaType })
          }
          const made = yield* Effect.all([attach("a/sbom", "1"), attach("a/sbom", "2"), attach("a/signature", "3")], {
            concurrency: "unbounded"
          })
          yield* attach("a/sbom", "1")
          const digests = (artifactType?: string) =>
            Effect.map(
              Stream.runCollect(Registry.referrers(subject.digest, artifactType)),
              (found) => found.map(({ digest }) => digest).toSorted()
            )
          assert.deepStrictEqual(yield* digests(), made.map(({ digest }) => digest).toSorted())
          assert.deepStrictEqual(yield* digests("a/signature"), [made[2].digest])
          const [first] = yield* Stream.runCollect(Registry.referrers(subject.digest, "a/signature"))
          assert.deepStrictEqual(first, {
            mediaType,
            ...made[2],
            artifactType: "a/signature",
            annotations: { text: "3" }
          })
          assert.deepStrictEqual(yield* Stream.runCollect(Registry.referrers(sha256(toBytes("none")))), [])
          const tags = yield* Stream.runCollect(Registry.tags)
          assert.deepStrictEqual(tags.filter((tag) => tag.startsWith("sha256-")).length, referrers ? 0 : 1)
        }).pipe(within({ referrers, pageSize: 2 }))
    )
  }
})

describe("a registry that misbehaves", () => {
  /** A repository of a registry that answers like this. */
  const lying = (answer: (request: { readonly method: string; readonly url: string }) => Response) =>
    Registry.open(name, { retry: { attempts: 1 } }).pipe(
      Effect.provideService(
        HttpClient.HttpClient,
        HttpClient.make((request, url) =>
          Effect.sync(() => HttpClientResponse.fromWeb(request, answer({ method: request.method, url: url.href })))
        )
      ),
      Effect.provide([NodeHash.layer, anonymous])
    )

  const next = (url: string) => ({ headers: { link: `<${url}>; rel="next"` } })

  it.live("is not followed around in a circle, nor elsewhere, nor without end", () =>
    Effect.gen(function*() {
      const page = JSON.stringify({ tags: ["a"] })
      const circle = yield* lying(() => new Response(page, next("/v2/team/app/tags/list?n=1000")))
      assert.match((yield* Effect.flip(Stream.runDrain(circle.tags))).message, /lead around in a circle/)
      const elsewhere = yield* lying(() => new Response(page, next("https://169.254.169.254/secrets")))
      const error = yield* Effect.flip(Stream.runDrain(elsewhere.tags))
      assert.strictEqual(error.reason._tag, "UnsafeRedirect")
      let count = 0
      const endless = yield* lying(() => new Response(page, next(`/v2/team/app/tags/list?last=${count++}`)))
      assert.match((yield* Effect.flip(Stream.runDrain(endless.tags))).message, /more than 1000 pages/)
      assert.strictEqual(count, 1000)
      for (const body of ["{", "{\"tags\":[\"../x\"]}", "{\"tags\":3}"]) {
        const { tags } = yield* lying(() => new Response(body))
        assert.match((yield* Effect.flip(Stream.runDrain(tags))).message, /a list of tags that is none/)
      }
    }))

  it.live("is sent nothing where its uploads lead elsewhere", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const { blobs } = yield* lying(({ method, url }) => {
        seen.push(`${method} ${new URL(url).host}`)
        return new Response(null, { status: 202, headers: { location: "https://evil.test/upload" } })
      })
      const error = yield* Effect.flip(blobs.put(Stream.succeed(toBytes("secret"))))
      assert.match(error.message, /upload location leads to https:\/\/evil.test, which is not followed/)
      assert.deepStrictEqual(seen, ["POST registry.test"])
    }))

  it.live("is not believed what it says of a manifest", () =>
    Effect.gen(function*() {
      const document = JSON.stringify({ schemaVersion: 2, manifests: [] })
      const other = sha256(toBytes("other"))
      const headers = { "content-type": MediaType.imageIndex, "content-length": String(document.length) }
      const wrong = yield* lying(() =>
        new Response(document, { headers: { ...headers, "docker-content-digest": other } })
      )
      const error = yield* Effect.flip(wrong.images.resolve(Option.some("latest")))
      assert.match(error.message, /does not keep to the protocol: the content .* expected sha256:/)
      const blob = { mediaType: MediaType.imageIndex, digest: other, size: document.length }
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(wrong.blobs.get(blob))))._tag, "DigestMismatch")
      // By itself it says that it is a manifest
      const config = { mediaType: MediaType.imageConfig, digest: other, size: 1 }
      const manifest = { schemaVersion: 2, mediaType: MediaType.imageManifest, config, layers: [] }
      const mixed = yield* lying(() =>
        new Response(JSON.stringify(manifest), { headers: { "content-type": MediaType.imageIndex } })
      )
      const found = yield* mixed.images.resolve(Option.some("latest"))
      assert.deepStrictEqual(found.mediaType, MediaType.imageManifest)
      const none = yield* lying(() => new Response("<html>", { headers: { "content-type": "text/html" } }))
      const page = yield* Effect.flip(none.images.resolve(Option.some("latest")))
      assert.match(page.message, /it sends "text\/html" as the media type of neither a manifest nor an index/)
    }))

  it.effect("is given up when it cuts off again and again", () =>
    Effect.gen(function*() {
      let requests = 0
      const { blobs } = yield* lying(() => {
        requests++
        return new Response(new Uint8Array())
      })
      const blob = { mediaType: MediaType.layer, digest: sha256(toBytes("x")), size: 10_000 }
      const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(blobs.get(blob))))
      yield* TestClock.adjust("1 minute")
      const error = yield* Fiber.join(fiber)
      assert.match(error.message, /cannot pull the blob sha256:.* the connection failed 11 times \(EOF\)/)
      assert.strictEqual(requests, 11)
    }))
})

describe("a name", () => {
  it.effect("is that of a repository", () =>
    Effect.gen(function*() {
      const open = (name: string) =>
        Registry.open(name).pipe(
          Effect.map(({ name }) => name),
          Effect.catchTag("InvalidImageReference", ({ reason }) => Effect.succeed(reason))
        )
      assert.strictEqual(yield* open("alpine"), "docker.io/library/alpine")
      assert.strictEqual(yield* open("localhost:5000/a/b"), "localhost:5000/a/b")
      assert.strictEqual(yield* open("localhost:5000/a:1"), "tag")
      assert.strictEqual(yield* open(`localhost:5000/a@${sha256(toBytes("a"))}`), "digest")
      assert.strictEqual(yield* open("localhost:5000/A"), "upper-case")
    }).pipe(within()))

  it.live("leads to a registry that is there, or not", () =>
    Effect.gen(function*() {
      yield* Registry.ping
      const other = yield* Registry.open("elsewhere.test/a", { retry: { attempts: 1 } })
      assert.strictEqual((yield* Effect.flip(other.ping)).reason._tag, "Unreachable")
    }).pipe(within()))
})

it.live("a document is read as it is, though what was read before is changed", () =>
  Effect.gen(function*() {
    const { blobs, images } = yield* Registry.Repository
    const source = yield* Images.memory
    const { descriptor } = yield* Images.put(source, 6, [10])
    yield* Copy.image(descriptor, { source, target: { blobs, images }, as: Option.some("1") })
    const { blobs: others, images: named } = yield* Registry.open(name)
    const found = yield* named.resolve(Option.some("1"))
    yield* Stream.runForEach(others.get(found), (bytes) => Effect.sync(() => bytes.fill(0)))
    assert.include(decode(yield* Stream.mkUint8Array(others.get(found))), "schemaVersion")
  }).pipe(within()))
