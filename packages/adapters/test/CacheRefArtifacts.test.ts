import * as CacheRefArtifacts from "@effect-oci/adapters/CacheRefArtifacts"
import * as Contract from "@effect-oci/adapters/Contract"
import * as GarbageCollection from "@effect-oci/adapters/GarbageCollection"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import * as RegistryError from "@effect-oci/core/RegistryError"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as RefDocument from "@effect-oci/schema/RefDocument"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as RefArtifact from "../src/internal/refArtifact.ts"
import { keeps } from "./contract.ts"
import { temporaryDirectory } from "./temporary.ts"

const store = "the shared store"

type Services = CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore | ImageStore.ImageStore

const over = (
  images: Layer.Layer<BlobStore.BlobStore | ImageStore.ImageStore, never, Hash.Hash>
): Layer.Layer<Services, never, Hash.Hash> => Layer.provideMerge(CacheRefArtifacts.layer(store), images)

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const inMemory = Layer.provideMerge(over(Layer.fresh(MemoryStore.layer)), NodeHash.layer)
const test = Effect.provide(inMemory)

describe("CacheRef and RefStore in memory", () => {
  keeps(Contract.refs, () => over(Layer.fresh(MemoryStore.layer)))
})
describe("CacheRef and RefStore in a layout", () => {
  keeps(Contract.refs, () => over(OciLayout.layer(fresh(), { durability: "process" })))
})

/** A store that can take no tag away, as many registries cannot. */
const keepingTags = Layer.unwrap(Effect.gen(function*() {
  const context = yield* Layer.build(Layer.fresh(MemoryStore.layer))
  const images = Context.get(context, ImageStore.ImageStore)
  const reason = new RegistryError.Refused({ status: 405, errors: [{ code: "UNSUPPORTED", message: "" }] })
  const untag = () =>
    Effect.fail(
      new RegistryError.RegistryError({ operation: "delete the tag", registry: "registry.example.com", reason })
    )
  return Layer.succeedContext(Context.add(context, ImageStore.ImageStore, { ...images, untag }))
}))

describe("CacheRef and RefStore where no tag can be taken away", () => {
  keeps(Contract.refs, () => over(keepingTags))
})

const add = (name: string, document: RefDocument.RefDocument, options?: { readonly replace?: boolean }) =>
  RefStore.RefStore.use((refs) => refs.add(name, document, options))
const remove = (name: string) => RefStore.RefStore.use((refs) => refs.remove(name))
const list = Effect.flatMap(CacheRef.CacheRef, (refs) => refs.list)
const acquire = (name: string) => Effect.scoped(CacheRef.CacheRef.use((refs) => refs.acquire(name)))
const chain = (name: string) =>
  CacheRef.CacheRef.use((refs) => Effect.scoped(Effect.flatMap(refs.acquire(name), (ref) => CacheRef.chain(ref))))
const descriptions = (name: string) => Effect.map(chain(name), (refs) => refs.map(({ description }) => description))

const resolve = (tag: string) => ImageStore.ImageStore.use((images) => images.resolve(Option.some(tag)))
const tag = (name: string, descriptor: Descriptor.Descriptor) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.some(name), descriptor))
const untag = (name: string) => ImageStore.ImageStore.use((images) => images.untag(Option.some(name)))

const put = (text: string, mediaType: string) =>
  Effect.map(BlobStore.putBytes(new TextEncoder().encode(text), mediaType), (blob) => ({ mediaType, ...blob }))
const textOf = (blob: BlobStore.Blob) =>
  Effect.map(BlobStore.getBytes(blob), (bytes) => new TextDecoder().decode(bytes))
const manifestOf = (descriptor: Descriptor.Descriptor) =>
  Effect.map(BlobStore.getBytes(descriptor), (bytes) => Result.getOrThrow(ImageManifest.parse(bytes)).value)

const layerOf = Effect.fnUntraced(function*(text: string) {
  const layer = yield* put(text, MediaType.layerGzip)
  return { layer, diffId: layer.digest }
})

const digestOf = (text: string) =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(text).digest("hex")))

/** A ref that somebody else wrote. */
const written = Effect.fnUntraced(function*(name: string, text: string, more: object = {}) {
  const config = yield* put(text, RefArtifact.documentType)
  const manifest = { schemaVersion: 2, artifactType: RefArtifact.artifactType, config, layers: [], ...more }
  const descriptor = yield* put(JSON.stringify(manifest), MediaType.imageManifest)
  yield* tag(RefArtifact.toTag(name), descriptor)
  return descriptor
})

describe("a tag", () => {
  const names = [
    "app",
    "node.0",
    "0",
    "0._-",
    "a--b",
    "a__b",
    "x-",
    "000",
    "0-",
    "00-",
    "x".repeat(124),
    "x".repeat(125),
    "-".padStart(128, "z"),
    "0".repeat(128)
  ]

  it("is valid everywhere, and gives the name back", () => {
    assert.strictEqual(new Set(names.map(RefArtifact.toTag)).size, names.length)
    for (const name of names) {
      const tag = RefArtifact.toTag(name)
      // distribution-spec's grammar, and that of image-spec's annotation
      assert.match(tag, /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/)
      assert.isTrue(ImageStore.isName(tag), tag)
      assert.strictEqual(RefArtifact.fromTag(tag), name)
    }
    assert.strictEqual(RefArtifact.toTag("node.0"), "ref.node.0")
  })

  it.each(["app", "ref.", "ref.A", "ref-app", "REF.", "REF.!", "REF.app", `REF.${"z".repeat(200)}`, "ref.a__b"])(
    "%s is not a ref's",
    (tag) => assert.isUndefined(RefArtifact.fromTag(tag))
  )
})

describe("an artifact", () => {
  it.effect("says what it is, names the layer, and pins the parent", () =>
    Effect.gen(function*() {
      const content = yield* layerOf("layer")
      yield* add("base", {})
      yield* add("app", { parent: "base", description: "COPY . /app", ...content })
      const base = yield* resolve("ref.base")
      const app = yield* resolve("ref.app")
      assert.strictEqual(app.artifactType, "application/vnd.effect-oci.ref.v1")
      const { config, ...manifest } = yield* manifestOf(app)
      assert.deepStrictEqual(manifest, {
        schemaVersion: 2,
        mediaType: MediaType.imageManifest,
        artifactType: "application/vnd.effect-oci.ref.v1",
        layers: [content.layer]
      })
      assert.strictEqual(config.mediaType, "application/vnd.effect-oci.ref.v1+json")
      const text = yield* textOf(config)
      assert.strictEqual(Buffer.from(config.data ?? "", "base64").toString(), text)
      const { mediaType, digest, size } = base
      assert.deepStrictEqual(JSON.parse(text), {
        name: "app",
        parentArtifact: { mediaType, digest, size },
        version: 1,
        parent: "base",
        description: "COPY . /app",
        ...content
      })
      // What has no layer has the empty blob in its place, as image-spec asks
      const [layer] = (yield* manifestOf(base)).layers
      assert.strictEqual(layer?.mediaType, MediaType.emptyJson)
      assert.strictEqual(yield* textOf(layer ?? base), "{}")
    }).pipe(test))

  it.effect("of a long document leaves it in its blob", () =>
    Effect.gen(function*() {
      const description = "x".repeat(20_000)
      yield* add("long", { description })
      assert.isUndefined((yield* manifestOf(yield* resolve("ref.long"))).config.data)
      assert.deepStrictEqual(yield* descriptions("long"), [description])
    }).pipe(test))

  it.effect("is another for each name, so that none is removed with another", () =>
    Effect.gen(function*() {
      yield* add("a", {})
      yield* add("b", {})
      assert.notStrictEqual((yield* resolve("ref.a")).digest, (yield* resolve("ref.b")).digest)
    }).pipe(test))

  it.effect("that others wrote is read, and stays as it is where nothing changes", () =>
    Effect.gen(function*() {
      const document = `{"x":1.0,"version":1,"description":"by hand"}`
      const descriptor = yield* written("app", document, { annotations: { note: "kept" }, unknown: [1e2] })
      assert.deepStrictEqual(yield* descriptions("app"), ["by hand"])
      yield* add("app", { description: "by hand" })
      assert.strictEqual((yield* resolve("ref.app")).digest, descriptor.digest)
      yield* add("other", { parent: "app" })
      assert.strictEqual((yield* resolve("ref.app")).digest, descriptor.digest)
    }).pipe(test))

  it.effect("names its layer when that has come", () =>
    Effect.gen(function*() {
      const layer = { mediaType: MediaType.layerGzip, digest: digestOf("late"), size: 4 }
      const document = { layer, diffId: layer.digest }
      yield* add("app", document)
      const hollow = yield* resolve("ref.app")
      assert.deepStrictEqual((yield* manifestOf(hollow)).layers.map(({ mediaType }) => mediaType), [
        MediaType.emptyJson
      ])
      yield* add("app", document)
      assert.strictEqual((yield* resolve("ref.app")).digest, hollow.digest)
      yield* layerOf("late")
      yield* add("app", document)
      assert.deepStrictEqual((yield* manifestOf(yield* resolve("ref.app"))).layers, [layer])
    }).pipe(test))
})

describe("a ref that is removed", () => {
  it.effect("leaves what stands for nothing where no tag can be taken away", () =>
    Effect.gen(function*() {
      yield* add("app", { description: "app" })
      const app = yield* resolve("ref.app")
      yield* remove("app")
      const descriptor = yield* resolve("ref.app")
      const { artifactType, config, layers } = yield* manifestOf(descriptor)
      assert.strictEqual(artifactType, "application/vnd.effect-oci.ref.removed.v1")
      assert.deepStrictEqual(layers, [config])
      assert.strictEqual(yield* textOf(config), "{}")
      assert.isDefined(yield* manifestOf(app))
      // A registry does not tell the type of an artifact
      yield* tag("ref.app", { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.size })
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual((yield* Effect.flip(acquire("app")))._tag, "RefMissing")
      assert.strictEqual((yield* Effect.flip(remove("app")))._tag, "RefMissing")
      yield* add("app", { description: "again" })
      assert.deepStrictEqual(yield* descriptions("app"), ["again"])
    }).pipe(Effect.provide(Layer.provideMerge(over(keepingTags), NodeHash.layer))))
})

describe("what is no ref", () => {
  it.effect("is not listed, where that is known, nor overwritten", () =>
    Effect.gen(function*() {
      const image = yield* put(`{"schemaVersion":2,"config":{},"layers":[]}`, MediaType.imageManifest)
      yield* tag("app", image)
      yield* tag("ref.other", { ...image, artifactType: "text/plain" })
      yield* add("app", {})
      assert.deepStrictEqual(yield* list, ["app"])
      assert.strictEqual((yield* resolve("app")).digest, image.digest)
    }).pipe(test))

  const config = { mediaType: RefArtifact.documentType, size: 2, digest: `sha256:${"0".repeat(64)}` }
  const bad: ReadonlyArray<readonly [string, string, object, string, string]> = [
    ["an image", "{}", { artifactType: undefined }, "UnexpectedJson", "/artifactType"],
    ["another artifact", "{}", { artifactType: "text/plain" }, "UnexpectedJson", "/artifactType"],
    ["a document of a version that is not known", `{"version":2}`, {}, "UnexpectedJson", "/version"],
    ["a document that is no JSON", "{", {}, "InvalidJson", ""],
    [
      "a parent that is no descriptor",
      `{"version":1,"parent":"a","parentArtifact":{"mediaType":"a","size":1,"digest":"b"}}`,
      {},
      "UnexpectedJson",
      "/digest"
    ],
    ["a document that is too large", "{}", { config: { ...config, size: 5e6 } }, "LimitExceeded", ""]
  ]
  it.effect.each(bad)(
    "%s is told when it is acquired, and can be replaced",
    ([, text, more, cause, pointer]) =>
      Effect.gen(function*() {
        const { digest } = yield* written("base", text, more)
        yield* written("app", `{"version":1,"parent":"base"}`)
        for (const operation of [acquire("base"), chain("app"), add("base", {})]) {
          const error = yield* Effect.flip<unknown, CacheRef.CacheRefError | RefStore.RefStoreError, Services>(
            operation
          )
          assert.strictEqual(error.message, `the ref "base" cannot be read from ${store}@${digest}`)
          const problem = error._tag === "RefUnreadable" ? error.cause : undefined
          assert.strictEqual(problem?._tag, cause)
          assert.strictEqual(problem !== undefined && "pointer" in problem ? problem.pointer : "", pointer)
        }
        yield* add("base", {}, { replace: true })
        assert.strictEqual((yield* chain("app")).length, 2)
      }).pipe(test)
  )

  it.effect("is a document that is not as its descriptor says, or not there", () =>
    Effect.gen(function*() {
      const right = yield* put(`{"version":1}`, RefArtifact.documentType)
      const data = Buffer.from(`{"version":2}`).toString("base64")
      yield* written("carried", "{}", { config: { ...right, data } })
      yield* written("absent", "{}", { config })
      const codes = yield* Effect.forEach(["carried", "absent"], (name) => Effect.flip(acquire(name)))
      assert.deepStrictEqual(codes.map((error) => error._tag === "StoreIo" && error.code), [
        "DigestMismatch",
        "BlobMissing"
      ])
    }).pipe(test))
})

describe("a chain", () => {
  it.effect("stays what it was built on when another has the parent's name", () =>
    Effect.gen(function*() {
      yield* add("base", { description: "old" })
      yield* add("app", { parent: "base", description: "app" })
      const old = yield* resolve("ref.base")
      yield* add("base", { description: "new" }, { replace: true })
      assert.deepStrictEqual(yield* descriptions("app"), ["old", "app"])
      assert.deepStrictEqual(yield* descriptions("base"), ["new"])
      assert.isDefined(yield* manifestOf(old))
      // On top of the new one it is another ref
      const app = { parent: "base", description: "app" }
      assert.strictEqual((yield* Effect.flip(add("app", app)))._tag, "RefExists")
      yield* add("app", app, { replace: true })
      assert.deepStrictEqual(yield* descriptions("app"), ["new", "app"])
      yield* add("app", app)
    }).pipe(test))

  it.effect("stays readable when the parent's tag is taken away", () =>
    Effect.gen(function*() {
      yield* add("base", { description: "base" })
      yield* add("app", { parent: "base", description: "app" })
      yield* untag("ref.base")
      assert.deepStrictEqual(yield* descriptions("app"), ["base", "app"])
      assert.deepStrictEqual(yield* list, ["app"])
    }).pipe(test))

  it.live("stays readable when garbage is collected in a layout", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        yield* add("base", { description: "old", ...(yield* layerOf("old layer")) })
        yield* add("app", { parent: "base", description: "app" })
        yield* add("base", { description: "new" }, { replace: true })
        yield* add("gone", { description: "gone" })
        yield* remove("gone")
        const { removed } = yield* GarbageCollection.collect(directory, { grace: Duration.zero })
        // The manifest and the document of the one that is gone
        assert.strictEqual(removed.length, 2)
        const [base] = yield* chain("app")
        assert.strictEqual(base?.description, "old")
        const content = yield* Stream.mkUint8Array(base?.layer?.content ?? Stream.empty)
        assert.strictEqual(new TextDecoder().decode(content), "old layer")
      }).pipe(
        Effect.provide(
          Layer.provideMerge(over(OciLayout.layer(directory, { durability: "process" })), NodeHash.layer)
        )
      )
    }))

  it.effect("whose parent's artifact is not there any more names both", () =>
    Effect.gen(function*() {
      yield* add("base", {})
      const parent = { ...yield* resolve("ref.base"), digest: digestOf("absent") }
      yield* written("app", JSON.stringify({ version: 1, parent: "base", parentArtifact: parent }))
      assert.deepStrictEqual(
        yield* Effect.flip(chain("app")),
        new CacheRef.RefParentMissing({ store, ref: "app", parent: "base" })
      )
    }).pipe(test))

  it.effect("goes by names where others have pinned nothing, and tells a circle", () =>
    Effect.gen(function*() {
      yield* written("a", `{"version":1,"parent":"b"}`)
      assert.deepStrictEqual(
        yield* Effect.flip(chain("a")),
        new CacheRef.RefParentMissing({ store, ref: "a", parent: "b" })
      )
      yield* written("b", `{"version":1,"parent":"a"}`)
      const circle = new CacheRef.RefCycle({ ref: "a", path: ["a", "b", "a"] })
      assert.deepStrictEqual(yield* Effect.flip(chain("a")), circle)
      yield* add("app", {})
      yield* written("lead", `{"version":1,"parent":"a"}`)
      assert.deepStrictEqual(yield* Effect.flip(add("app", { parent: "lead" }, { replace: true })), circle)
    }).pipe(test))
})

/** Counts what is asked of a store. */
const counted = Effect.gen(function*() {
  const blobs = yield* BlobStore.BlobStore
  const images = yield* ImageStore.ImageStore
  const asked = { get: 0, has: 0, list: 0, put: 0, resolve: 0, tag: 0, untag: 0 }
  const count = (name: keyof typeof asked) => Effect.sync(() => void asked[name]++)
  let atOnce = 0
  let mostAtOnce = 0
  return {
    asked,
    most: () => mostAtOnce,
    layer: Layer.mergeAll(
      Layer.succeed(BlobStore.BlobStore, {
        put: (content, expected) => Effect.andThen(count("put"), blobs.put(content, expected)),
        has: (blob) => Effect.andThen(count("has"), blobs.has(blob)),
        get: (blob) =>
          Stream.unwrap(Effect.gen(function*() {
            yield* count("get")
            mostAtOnce = Math.max(mostAtOnce, ++atOnce)
            yield* Effect.yieldNow
            return Stream.ensuring(blobs.get(blob), Effect.sync(() => atOnce--))
          }))
      }),
      Layer.succeed(ImageStore.ImageStore, {
        tag: (name, image) => Effect.andThen(count("tag"), images.tag(name, image)),
        untag: (name) => Effect.andThen(count("untag"), images.untag(name)),
        resolve: (name) => Effect.andThen(count("resolve"), images.resolve(name)),
        list: Effect.andThen(count("list"), images.list)
      })
    )
  }
})

describe("others that change the store", () => {
  it.effect("may remove a ref first", () =>
    Effect.gen(function*() {
      const images = yield* ImageStore.ImageStore
      yield* add("app", {})
      const racing = Layer.succeed(ImageStore.ImageStore, {
        ...images,
        list: Effect.tap(images.list, () => images.untag(Option.some("ref.app")))
      })
      const error = yield* Effect.flip(remove("app")).pipe(
        Effect.provide(Layer.provide(CacheRefArtifacts.layer(store), racing))
      )
      assert.deepStrictEqual(error, new CacheRef.RefMissing({ store, ref: "app" }))
    }).pipe(test))

  it.live("are told of where they hold its lock", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const services = over(OciLayout.layer(directory, { durability: "process", lockTimeout: "50 millis" }))
      yield* Effect.gen(function*() {
        yield* add("base", {})
        writeFileSync(join(directory, ".effect-oci/lock"), `{"pid":1,"nonce":"n","since":"then"}`)
        for (const operation of [add("app", {}), remove("base")]) {
          assert.strictEqual((yield* Effect.flip(operation))._tag, "StoreLocked")
        }
      }).pipe(Effect.provide(Layer.provideMerge(services, NodeHash.layer)))
    }))
})

describe("requests", () => {
  const none = { get: 0, has: 0, list: 0, put: 0, resolve: 0, tag: 0, untag: 0 }

  it.effect("are one a ref of a chain, and one for its name", () =>
    Effect.gen(function*() {
      for (let index = 0; index < 1000; index++) {
        yield* add(`r${index}`, index === 0 ? {} : { parent: `r${index - 1}` })
      }
      const { asked, layer, most } = yield* counted
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* chain("r999")).length, 1000)
        assert.deepStrictEqual({ ...asked }, { ...none, resolve: 1, get: 1000 })
        Object.assign(asked, none)
        assert.strictEqual((yield* list).length, 1000)
        assert.deepStrictEqual({ ...asked }, { ...none, list: 1 })
        Object.assign(asked, none)
        yield* remove("r999")
        assert.deepStrictEqual({ ...asked }, { ...none, list: 1, get: 999, untag: 1 })
        assert.strictEqual(most(), 16)
        Object.assign(asked, none)
        yield* add("r999", { parent: "r998" })
        // The name that is free, the parent; the document and the manifest, the blob of no layer, and the tag
        assert.deepStrictEqual({ ...asked }, { ...none, resolve: 2, get: 1, put: 3, tag: 1 })
      }).pipe(Effect.provide(Layer.provide(CacheRefArtifacts.layer(store), layer)))
    }).pipe(test))
})

describe("a store that does not answer", () => {
  const unreachable = new RegistryError.RegistryError({
    operation: "list the tags",
    registry: "registry.example.com",
    reason: new RegistryError.Unreachable({ code: "ECONNREFUSED", attempts: 5 })
  })
  const absent = new RegistryError.RegistryError({
    operation: "list the tags",
    registry: "registry.example.com",
    reason: new RegistryError.NotFound({ code: "NAME_UNKNOWN" })
  })
  const failing = (error: RegistryError.RegistryError) =>
    Effect.provide(
      Layer.provide(CacheRefArtifacts.layer(store), [
        NodeHash.layer,
        Layer.succeed(BlobStore.BlobStore, {
          put: () => Effect.fail(error),
          has: () => Effect.fail(error),
          get: () => Stream.fail(error)
        }),
        Layer.succeed(ImageStore.ImageStore, {
          tag: () => Effect.fail(error),
          untag: () => Effect.fail(error),
          resolve: () => Effect.fail(error),
          list: Effect.fail(error)
        })
      ])
    )

  it.effect("is told, with what it says", () =>
    Effect.gen(function*() {
      const operations = [acquire("app"), list, add("app", {}), remove("app")]
      for (const operation of operations) {
        const error = yield* Effect.flip<
          unknown,
          CacheRef.CacheRefError | RefStore.RefStoreError,
          CacheRef.CacheRef | RefStore.RefStore
        >(operation)
        assert.strictEqual<unknown>(error, unreachable)
      }
    }).pipe(failing(unreachable)))

  it.effect("since nothing was put there is empty", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual((yield* Effect.flip(acquire("app")))._tag, "RefMissing")
      assert.strictEqual((yield* Effect.flip(remove("app")))._tag, "RefMissing")
      assert.strictEqual((yield* Effect.flip(add("app", { parent: "base" })))._tag, "RefParentMissing")
    }).pipe(failing(absent)))

  it.live("since there is no layout is empty, and stays so", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* list, [])
      assert.strictEqual((yield* Effect.flip(acquire("app")))._tag, "RefMissing")
    }).pipe(Effect.provide(Layer.provideMerge(over(OciLayout.layer(fresh())), NodeHash.layer))))
})
