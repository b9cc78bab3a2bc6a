/** The registry over HTTP, judged by programs that are not ours. */
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Digest from "@effect-oci/schema/Digest"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFile } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { Agent, request } from "node:http"
import { connect } from "node:net"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { gzipSync } from "node:zlib"
import * as Server from "../src/internal/memoryRegistry/server.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const run = promisify(execFile)

const using = (options?: MemoryRegistry.Options) =>
  Effect.provide(MemoryRegistry.layer(options).pipe(Layer.provide(NodeHash.layer)), { local: true })

const hooks = MemoryRegistry.MemoryRegistry

/** Waits until a look at the registry shows what is expected. */
const eventually = (check: Effect.Effect<boolean, never, MemoryRegistry.MemoryRegistry>) =>
  Effect.flatMap(check, (is) => is ? Effect.void : Effect.fail("not yet")).pipe(
    Effect.retry({ schedule: Schedule.spaced("5 millis"), times: 1000 })
  )

/** Makes a layout with an image of two layers, the larger of which has `size` bytes. */
const makeLayout = (path: string, size: number) =>
  Effect.gen(function*() {
    const layers = [gzipSync(Buffer.alloc(10_240)), gzipSync(randomBytes(size), { level: 0 })]
    const config = yield* BlobStore.putBytes(Json.toBytes(JSON.stringify({
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: layers.map((bytes) => `sha256:${sha256(bytes)}`) }
    })))
    const stored = yield* Effect.forEach(layers, (bytes) => BlobStore.putBytes(bytes))
    const manifest = ImageManifest.encode({
      schemaVersion: 2,
      mediaType: MediaType.imageManifest,
      config: { mediaType: MediaType.imageConfig, ...config },
      layers: stored.map(({ digest, size }) => ({ mediaType: MediaType.layerGzip, digest, size }))
    })
    const blob = yield* BlobStore.putBytes(manifest)
    const images = yield* ImageStore.ImageStore
    yield* images.tag(Option.some("latest"), { mediaType: MediaType.imageManifest, ...blob })
    return blob.digest
  }).pipe(Effect.provide(OciLayout.layer(path).pipe(Layer.provideMerge(NodeHash.layer)), { local: true }))

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex")

const blobsOf = (layout: string): ReadonlyMap<string, string> => {
  const folder = join(layout, "blobs/sha256")
  return new Map(readdirSync(folder).toSorted().map((name) => [name, sha256(readFileSync(join(folder, name)))]))
}

const skopeo = (...args: ReadonlyArray<string>) =>
  Effect.promise(async () => (await run("skopeo", ["--insecure-policy", ...args], { maxBuffer: 1 << 26 })).stdout)

/** Begins an upload over a socket, and gives where it goes on. */
const begin = (host: string) =>
  Effect.promise(async () => {
    const response = await fetch(`http://${host}/v2/a/b/blobs/uploads/`, { method: "POST" })
    return response.headers.get("location") ?? assert.fail("no location")
  })

describe("skopeo", () => {
  /** Copies an image there and back, lists, inspects and deletes it. */
  const roundTrip = Effect.fnUntraced(function*(credentials: string | undefined) {
    const directory = temporaryDirectory()
    const image = join(directory, "image")
    const digest: Digest.Digest = yield* makeLayout(image, 5_000_000)
    const host = yield* MemoryRegistry.serve()
    const options = (side: string) => [
      `--${side}tls-verify=false`,
      ...(credentials === undefined ? [] : [`--${side}creds=${credentials}`])
    ]
    const name = `docker://${host}/team/app`
    yield* skopeo("copy", ...options("dest-"), `oci:${image}:latest`, `${name}:v1`)
    yield* skopeo("copy", ...options("dest-"), `oci:${image}:latest`, `docker://${host}/other/app:v1`)
    yield* skopeo("copy", ...options("src-"), `${name}:v1`, `oci:${join(directory, "back")}:latest`)
    assert.deepStrictEqual(blobsOf(join(directory, "back")), blobsOf(image))
    assert.deepStrictEqual([...yield* (yield* hooks).tags("team/app")], [["v1", digest]])
    assert.include(yield* skopeo("list-tags", ...options(""), name), `"v1"`)
    assert.include(yield* skopeo("inspect", ...options(""), `${name}:v1`), digest)
    yield* skopeo("delete", ...options(""), `${name}:v1`)
    assert.deepStrictEqual(yield* (yield* hooks).manifests("team/app"), [])
    assert.deepStrictEqual(yield* (yield* hooks).uploads, [])
  }, Effect.scoped)

  const users = { jane: Redacted.make("secret") }

  it.live.runIf(judge("skopeo"))("copies there and back, byte for byte", () => roundTrip(undefined).pipe(using()))
  it.live.runIf(judge("skopeo"))(
    "logs in with a password",
    () => roundTrip("jane:secret").pipe(using({ auth: { scheme: "basic", users } }))
  )
  it.live.runIf(judge("skopeo"))(
    "gets tokens",
    () => roundTrip("jane:secret").pipe(using({ auth: { scheme: "bearer", users } }))
  )
})

describe("serve", () => {
  it.live("answers HEAD with the length alone, and other methods not at all", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      const digest = `sha256:${sha256(Buffer.from("hello"))}`
      yield* Effect.promise(async () => {
        const url = `http://${host}/v2/a/b/blobs`
        const pushed = await fetch(`${url}/uploads/?digest=${digest}`, { method: "POST", body: "hello" })
        assert.strictEqual(pushed.status, 201)
        assert.strictEqual(pushed.headers.get("content-length"), "0")
        const head = await fetch(`${url}/${digest}`, { method: "HEAD" })
        assert.strictEqual(head.headers.get("content-length"), "5")
        assert.strictEqual(await (await fetch(`${url}/${digest}`)).text(), "hello")
        assert.strictEqual((await fetch(url, { method: "PROPFIND" })).status, 501)
      })
    }).pipe(Effect.scoped, using()))

  it.live("answers where it does not want all of a body, and goes on with the connection", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const send = Effect.fnUntraced(function*(method: string, body: Uint8Array) {
        return yield* Effect.promise(async () => {
          const sent = request(`http://${host}/v2/a/b/manifests/v1`, { agent, method })
          const answered = once(sent, "response")
          sent.end(body)
          const [response] = await answered
          for await (const _ of response);
          return { status: response.statusCode, port: sent.socket?.localPort }
        })
      })
      const refused = yield* send("PUT", Buffer.alloc(16 << 20))
      const next = yield* send("DELETE", Buffer.alloc(0))
      assert.deepStrictEqual([refused.status, next.status], [413, 404])
      assert.strictEqual(next.port, refused.port)
      agent.destroy()
    }).pipe(Effect.scoped, using()))

  it.live("keeps what came in when a client is cut off, and goes on from there", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      const location = yield* begin(host)
      const sent = request(`http://${host}${location}`, { method: "PATCH" })
      sent.on("error", () => {})
      sent.write(Buffer.alloc(100_000, "x"))
      const { log, uploads } = yield* hooks
      yield* eventually(Effect.map(uploads, ([upload]) => upload?.size === 100_000))
      sent.destroy()
      yield* eventually(Effect.map(log, (entries) => entries.some(({ method }) => method === "PATCH")))
      yield* Effect.promise(async () => {
        const status = await fetch(`http://${host}${location}`)
        assert.strictEqual(status.status, 204)
        assert.strictEqual(status.headers.get("range"), "0-99999")
      })
    }).pipe(Effect.scoped, using()))

  it.live("lets no slow reader hold it up, and stops with its scope", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const host = yield* Scope.provide(MemoryRegistry.serve(), scope)
      const body = randomBytes(20_000_000)
      const digest = `sha256:${sha256(body)}`
      const location = yield* begin(host)
      const socket = yield* Effect.promise(async () => {
        await fetch(`http://${host}${location}?digest=${digest}`, { method: "PUT", body })
        const slow = connect(Number(host.split(":")[1]), "127.0.0.1").pause()
        slow.write(`GET /v2/a/b/blobs/${digest} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
        return slow
      })
      // One that never ends what it sends
      const writer = request(`http://${host}${yield* begin(host)}`, { method: "PATCH" })
      writer.on("error", () => {})
      writer.write("x")
      yield* eventually(Effect.map((yield* hooks).uploads, (uploads) => uploads.some(({ size }) => size === 1)))
      yield* Scope.close(scope, Exit.void)
      yield* Effect.promise(async () => {
        socket.on("error", () => {})
        socket.resume()
        await once(socket, "close")
        const again = await fetch(`http://${host}/v2/`).catch(() => "closed")
        assert.strictEqual(again, "closed")
      })
      // Nothing that was being done is left
      assert.deepStrictEqual((yield* (yield* hooks).log).at(-1)?.status, undefined)
    }).pipe(using()))

  it.live("reads no further than its client does, and not at all when that is gone", () =>
    Effect.gen(function*() {
      let pieces = 0
      let isEnded = false
      const body = Stream.fromEffectRepeat(Effect.sync(() => {
        pieces++
        return Buffer.alloc(1 << 20)
      })).pipe(Stream.ensuring(Effect.sync(() => {
        isEnded = true
      })))
      const port = yield* Server.serve(Effect.succeed(HttpServerResponse.stream(body)), 0)
      const socket = connect(port, "127.0.0.1").pause()
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
      let before = 0
      yield* eventually(
        Effect.delay("50 millis")(Effect.sync(() => {
          const isSame = pieces > 0 && pieces === before
          before = pieces
          return isSame
        }))
      )
      socket.destroy()
      yield* eventually(Effect.sync(() => isEnded))
    }).pipe(Effect.scoped, using()))

  it.live("says which port is taken", () =>
    Effect.gen(function*() {
      const port = Number((yield* MemoryRegistry.serve()).split(":")[1])
      const error = yield* Effect.flip(MemoryRegistry.serve(port))
      assert.strictEqual(error._tag, "RegistryNotServed")
      assert.match(error.message, new RegExp(`port ${port} `))
    }).pipe(Effect.scoped, using()))
})

/**
 * Distribution-spec's own conformance suite, which is not part of this repository: the program that `go build` makes of its
 * folder `conformance`, or that `go test -c` makes of the one of 1.1.1, by the path in EFFECT_OCI_CONFORMANCE.
 */
const suite = process.env["EFFECT_OCI_CONFORMANCE"]

// Where a skipped test has failed, there is none
if (suite !== undefined) {
  it.live("distribution-spec's conformance suite passes", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      const directory = temporaryDirectory()
      const { stdout } = yield* Effect.promise(() =>
        run(suite, [], {
          cwd: directory,
          maxBuffer: 1 << 26,
          env: {
            ...process.env,
            OCI_REGISTRY: host,
            OCI_TLS: "disabled",
            OCI_REPO1: "conformance/one",
            OCI_REPO2: "conformance/two",
            OCI_VERSION: "1.1",
            OCI_RESULTS_DIR: directory,
            OCI_API_BLOBS_UPLOAD_CANCEL: "true",
            OCI_API_BLOBS_DIGEST_HEADER: "true",
            OCI_API_MANIFESTS_DIGEST_HEADER: "true",
            OCI_API_MANIFESTS_TAG_PARAM: "true",
            // By the names of 1.1.1
            OCI_ROOT_URL: `http://${host}`,
            OCI_NAMESPACE: "conformance/one",
            OCI_CROSSMOUNT_NAMESPACE: "conformance/two",
            OCI_AUTOMATIC_CROSSMOUNT: "1",
            OCI_TEST_PULL: "1",
            OCI_TEST_PUSH: "1",
            OCI_TEST_CONTENT_DISCOVERY: "1",
            OCI_TEST_CONTENT_MANAGEMENT: "1",
            OCI_REPORT_DIR: "none"
          }
        })
      )
      assert.match(stdout, /Result: Pass|SUCCESS!/)
    }).pipe(Effect.scoped, using()), 120_000)
}
