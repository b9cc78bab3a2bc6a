/** Refs in a registry that many machines share: one in memory, and docker-registry. */
import * as CacheRefArtifacts from "@effect-oci/adapters/CacheRefArtifacts"
import * as Contract from "@effect-oci/adapters/Contract"
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Registry from "@effect-oci/adapters/Registry"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as RefDocument from "@effect-oci/schema/RefDocument"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { join } from "node:path"
import { keeps } from "./contract.ts"
import { judge } from "./judges.ts"
import { skopeo } from "./registry/clients.ts"
import * as DockerRegistry from "./registry/dockerRegistry.ts"
import { temporaryDirectory } from "./temporary.ts"

type Services = CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore | ImageStore.ImageStore

/** The refs in a repository, as one machine has them: nothing of it is shared with other builds of it. */
const machine = (repository: string): Layer.Layer<Services, never, HttpClient.HttpClient> =>
  Layer.fresh(Layer.provideMerge(CacheRefArtifacts.layer(repository), Layer.orDie(Registry.layer(repository)))).pipe(
    Layer.provide([NodeHash.layer, Layer.succeed(Credentials.Credentials, Credentials.none)])
  )

const inMemory = (options?: MemoryRegistry.Options) =>
  Layer.fresh(MemoryRegistry.layerClient(options)).pipe(Layer.provide(NodeHash.layer))

describe("CacheRef and RefStore in a registry", () => {
  keeps(Contract.refs, () => Layer.provide(machine("registry.test/team/refs"), inMemory({ pageSize: 2 })))
})
describe("CacheRef and RefStore in a registry that deletes nothing", () => {
  keeps(Contract.refs, () => Layer.provide(machine("registry.test/team/refs"), inMemory({ deletion: false })))
})

const add = (name: string, document: RefDocument.RefDocument, options?: { readonly replace?: boolean }) =>
  RefStore.RefStore.use((refs) => refs.add(name, document, options))
const list = Effect.flatMap(CacheRef.CacheRef, (refs) => refs.list)
const chain = (name: string) =>
  CacheRef.CacheRef.use((refs) => Effect.scoped(Effect.flatMap(refs.acquire(name), (ref) => CacheRef.chain(ref))))
const descriptions = (name: string) => Effect.map(chain(name), (refs) => refs.map(({ description }) => description))
const resolve = (name: string) => ImageStore.ImageStore.use((images) => images.resolve(Option.some(name)))

const withLayer = Effect.fnUntraced(function*(description: string, parent?: string) {
  const blob = yield* BlobStore.putBytes(new TextEncoder().encode(`layer of ${description}`), MediaType.layerGzip)
  const layer = { mediaType: MediaType.layerGzip, ...blob }
  return { ...(parent === undefined ? {} : { parent }), description, layer, diffId: layer.digest }
})

/** What two machines do to one repository, and what a third one then finds there. */
const sharing = Effect.fnUntraced(function*(repository: string) {
  const on = () => Effect.provide(machine(repository), { local: true })
  const numbers = Array.from({ length: 8 }, (_, index) => index)
  yield* Effect.flatMap(withLayer("base"), (document) => add("base", document)).pipe(on())

  // Different names, all at once
  const adding = (who: string) =>
    Effect.forEach(
      numbers,
      (number) =>
        Effect.flatMap(withLayer(`${who} ${number}`, "base"), (document) => add(`${who}.${number}`, document)),
      {
        concurrency: "unbounded",
        discard: true
      }
    ).pipe(on())
  yield* Effect.all([adding("one"), adding("two")], { concurrency: "unbounded", discard: true })
  const expected = ["base", ...["one", "two"].flatMap((who) => numbers.map((number) => `${who}.${number}`))]
  assert.deepStrictEqual(yield* on()(list), expected)
  assert.deepStrictEqual(yield* on()(descriptions("two.7")), ["base", "two 7"])

  // One name, at once: neither finds the other
  const racing = (who: string) => Effect.flatMap(withLayer(who, "base"), (document) => add("app", document)).pipe(on())
  const both = Effect.all([racing("one"), racing("two")], { concurrency: "unbounded", discard: true })
  // Who comes later may find what the earlier one has added, and is told
  yield* Effect.catchTag(both, "RefExists", () => Effect.void)
  assert.include([["base", "one"].join(), ["base", "two"].join()], (yield* on()(descriptions("app"))).join())

  // One name, one after the other: the last one has it, and each can be had by its digest
  const writing = (who: string) =>
    Effect.gen(function*() {
      yield* add("last", yield* withLayer(who, "base"), { replace: true })
      return yield* resolve("ref.last")
    }).pipe(on())
  const first = yield* writing("one")
  const last = yield* writing("two")
  assert.notStrictEqual(first.digest, last.digest)
  yield* Effect.gen(function*() {
    assert.deepStrictEqual(yield* descriptions("last"), ["base", "two"])
    for (const { digest, size } of [first, last]) {
      assert.strictEqual((yield* BlobStore.getBytes(yield* resolve(digest))).length, size)
    }
    const [, top] = yield* chain("last")
    const content = yield* Stream.mkUint8Array(top?.layer?.content ?? Stream.empty)
    assert.strictEqual(new TextDecoder().decode(content), "layer of two")
  }).pipe(on())

  // What one machine builds on is not changed by another one
  const old = yield* Effect.gen(function*() {
    yield* add("base", { description: "new base" }, { replace: true })
    return yield* descriptions("last")
  }).pipe(on())
  assert.deepStrictEqual(old, ["base", "two"])
  yield* RefStore.RefStore.use((refs) => refs.remove("last")).pipe(on())
  assert.notInclude(yield* on()(list), "last")
})

describe("machines that share a repository", () => {
  it.live("find what all of them have added", () =>
    sharing("registry.test/team/refs").pipe(Effect.provide(inMemory({ pageSize: 3 }))))
})

describe.runIf(judge("docker-registry"))("docker-registry", () => {
  const root = temporaryDirectory()
  const scope = Scope.makeUnsafe()
  let host = ""
  beforeAll(async () => {
    const registry = await Effect.runPromise(Scope.provide(DockerRegistry.make(), scope))
    host = registry.host
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  const http = Effect.provide(FetchHttpClient.layer)

  let count = 0
  const fresh = Effect.sync(() => `${host}/team/refs-${++count}`)

  keeps(Contract.refs, () => Layer.unwrap(Effect.map(fresh, machine)).pipe(Layer.provide(FetchHttpClient.layer)))

  it.live("has what all machines have added", () => Effect.flatMap(fresh, sharing).pipe(http))

  it.live.runIf(judge("skopeo"))("gives refs to skopeo, and takes them", () =>
    Effect.gen(function*() {
      const repository = yield* fresh
      const copied = join(root, "copied")
      const on = Effect.provide(machine(repository), { local: true })
      const digest = yield* Effect.gen(function*() {
        yield* add("base", yield* withLayer("base"))
        yield* add("app", yield* withLayer("app", "base"))
        return (yield* resolve("ref.app")).digest
      }).pipe(on)
      const image = `docker://${repository}`
      for (const tag of ["ref.base", "ref.app"]) {
        yield* skopeo(`${image}:${tag}`, `oci:${copied}:${tag}`)
        yield* skopeo(`oci:${copied}:${tag}`, `${image}-back:${tag}`)
      }
      const check = Effect.gen(function*() {
        assert.strictEqual((yield* resolve("ref.app")).digest, digest)
        assert.deepStrictEqual(yield* list, ["app", "base"])
        assert.deepStrictEqual(yield* descriptions("app"), ["base", "app"])
      })
      yield* check.pipe(Effect.provide(machine(`${repository}-back`), { local: true }))
      yield* check.pipe(
        Effect.provide(
          Layer.provideMerge(CacheRefArtifacts.layer(copied), OciLayout.layer(copied)).pipe(
            Layer.provide(NodeHash.layer)
          ),
          { local: true }
        )
      )
    }).pipe(http))
})

describe("requests", () => {
  const logged = Effect.map(
    MemoryRegistry.MemoryRegistry.use(({ log }) => log),
    (log) => log.map(({ method, status, url }) => `${method} ${url.replace("/v2/team/refs", "")} ${status}`)
  )

  it.live("put the layer and the document before the manifest, and the tag last", () =>
    Effect.gen(function*() {
      const digest = yield* Effect.gen(function*() {
        yield* add("app", yield* withLayer("app"))
        return (yield* resolve("ref.app")).digest
      }).pipe(Effect.provide(machine("registry.test/team/refs"), { local: true }))
      const written = (yield* logged).filter((line) => /^(PUT|POST)/.test(line)).map((line) =>
        line.replace(/\/blobs\/uploads.*(?= )/, " blob").replace("/manifests/", " ")
      )
      const blob = ["POST  blob 202", "PUT  blob 201"]
      assert.deepStrictEqual(written, [...blob, ...blob, `PUT  ${digest} 201`, "PUT  ref.app 201"])
    }).pipe(Effect.provide(inMemory())))

  it.live("are one a ref of a chain", () =>
    Effect.gen(function*() {
      const length = 30
      yield* Effect.gen(function*() {
        for (let index = 0; index < length; index++) {
          yield* add(`r${index}`, index === 0 ? {} : { parent: `r${index - 1}` })
        }
      }).pipe(Effect.provide(machine("registry.test/team/refs"), { local: true }))
      const before = (yield* logged).length
      const refs = yield* chain(`r${length - 1}`).pipe(
        Effect.provide(machine("registry.test/team/refs"), { local: true })
      )
      assert.strictEqual(refs.length, length)
      const requests = (yield* logged).slice(before)
      assert.strictEqual(requests.length, length)
      assert.isTrue(requests.every((line) => /^GET \/manifests\/.* 200$/.test(line)), requests.join("\n"))
    }).pipe(Effect.provide(inMemory())))
})
