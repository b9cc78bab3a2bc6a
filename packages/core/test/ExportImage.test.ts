import * as CacheRefMemory from "@effect-oci/adapters/CacheRefMemory"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Progress from "@effect-oci/core/Progress"
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { bytesOf, digestOf, frozen, textOf, timeOf } from "./values.ts"

const amd64 = { os: "linux", architecture: "amd64" }
const arm64 = { os: "linux", architecture: "arm64" }

const { buildkit2026, effectOci1, moby2019, standard } = Compatibility

const layerOf = (text: string, members: Partial<Descriptor.Descriptor> = {}): CacheRefMemory.PlainLayer => ({
  descriptor: { mediaType: MediaType.layerGzip, digest: digestOf(text), size: text.length, ...members },
  diffId: digestOf(`the archive in ${text}`),
  content: bytesOf(text)
})

const [day1, day2] = ["2020-01-01T00:00:00.000000001Z", "2020-01-02T00:00:00+02:00"]

/** Two refs, `base` and `app` on top of it. */
const refs = CacheRefMemory.chain([
  { name: "base", description: "FROM scratch", createdAt: timeOf(day1), layer: layerOf("base") },
  { name: "app", description: "COPY . /app", createdAt: timeOf(day2), layer: layerOf("app") }
])

/** A world in memory for an export, and what happens in it: each blob that is put, in order. It can be full early. */
const worldOf = (plain: ReadonlyArray<CacheRefMemory.Plain> = refs, capacity = Number.POSITIVE_INFINITY) => {
  const puts: Array<string> = []
  const full = new BlobStore.StoreIo({ operation: "write", path: "blobs", code: "ENOSPC" })
  const observed = Layer.effect(
    BlobStore.BlobStore,
    Effect.map(BlobStore.BlobStore, (store) => ({
      ...store,
      put: (content, expected) =>
        Effect.suspend(() =>
          puts.length >= capacity
            ? Effect.fail(full)
            : Effect.tap(store.put(content, expected), ({ digest }) => Effect.sync(() => void puts.push(digest)))
        )
    }))
  ).pipe(Layer.provideMerge(Layer.fresh(MemoryStore.layer)))
  const layer = CacheRefMemory.layer(plain).pipe(Layer.provideMerge(observed), Layer.provideMerge(NodeHash.layer))
  return { puts, provide: Effect.provide(layer) }
}

const textOfBlob = (blob: BlobStore.Blob) => Effect.map(BlobStore.getBytes(blob), textOf)

const readManifest = (blob: BlobStore.Blob) =>
  Effect.map(BlobStore.getBytes(blob), (bytes) => Result.getOrThrow(ImageManifest.parse(bytes)).value)

const readIndex = (blob: BlobStore.Blob) =>
  Effect.map(BlobStore.getBytes(blob), (bytes) => Result.getOrThrow(ImageIndex.parse(bytes)).value)

const readConfig = (blob: BlobStore.Blob | undefined) =>
  blob === undefined ? Effect.die("there is no config") : Effect.map(textOfBlob(blob), (text) => JSON.parse(text))

const books = Effect.flatMap(CacheRefMemory.Ledger, (ledger) => ledger.entries)

const once = (names: ReadonlyArray<string>) => names.map((ref) => ({ ref, acquired: 1, released: 1 }))

const run = (image: Partial<ExportImage.Image> = {}, settings: Partial<ExportImage.Settings> = {}) =>
  ExportImage.run(frozen({ ref: "app", platform: amd64, ...image }), frozen({ rules: standard, ...settings }))

const runIndex = (images: ReadonlyArray<ExportImage.Image>, settings: Partial<ExportImage.Settings> = {}) =>
  ExportImage.runIndex(frozen(images), frozen({ rules: standard, ...settings }))

describe("a caller's program", () => {
  // Nothing in it says where refs and blobs live: layers do
  const publish = Effect.fn("publish")(function*(name: string) {
    const { descriptor } = yield* ExportImage.run({ ref: "app", platform: amd64 }, { rules: Compatibility.standard })
    const images = yield* ImageStore.ImageStore
    yield* images.tag(Option.some(name), descriptor)
    return descriptor.digest
  })

  const test = Layer.mergeAll(CacheRefMemory.layer(refs), Layer.fresh(MemoryStore.layer)).pipe(
    Layer.provide(NodeHash.layer)
  )

  it.effect("runs on layers in memory alone", () =>
    Effect.gen(function*() {
      const digest = yield* publish("latest")
      const images = yield* ImageStore.ImageStore
      const found = yield* images.resolve(Option.some("latest"))
      assert.strictEqual(found.digest, digest)
    }).pipe(Effect.provide(test)))

  it.effect("handles each failure by its tag", () =>
    Effect.gen(function*() {
      const advice = yield* publish("latest").pipe(
        Effect.catchTag("ExportFailed", ({ cause, message }) =>
          Effect.succeed(cause._tag === "RefMissing" ? `build ${cause.ref} first` : message)),
        Effect.catchTag("InvalidImageName", ({ name }) =>
          Effect.succeed(`${name} is no name`))
      )
      assert.strictEqual(advice, "build app first")
    }).pipe(Effect.provide(
      Layer.mergeAll(CacheRefMemory.layer([]), Layer.fresh(MemoryStore.layer)).pipe(Layer.provide(NodeHash.layer))
    )))
})

describe("run", () => {
  it.effect("writes what BuildKit writes, byte for byte: the layers, then the config, then the manifest", () => {
    const world = worldOf()
    return Effect.gen(function*() {
      const { configs: [config], descriptor, ...rest } = yield* run()
      assert.deepStrictEqual(rest, { warnings: [], changes: [], differingRules: [] })
      const [base, app] = [digestOf("the archive in base"), digestOf("the archive in app")]
      const text = `{"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:` +
        `/sbin:/bin"],"WorkingDir":"/"},"created":"${day2}","history":[{"created":"${day1}","created_by":` +
        `"FROM scratch","comment":"buildkit.exporter.image.v0"},{"created":"${day2}","created_by":"COPY . /app",` +
        `"comment":"buildkit.exporter.image.v0"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["${base}","${app}"]}}`
      assert.strictEqual(yield* textOfBlob(config ?? descriptor), text)
      const manifest = yield* readManifest(descriptor)
      assert.deepStrictEqual(manifest, {
        schemaVersion: 2,
        mediaType: MediaType.imageManifest,
        config: { mediaType: MediaType.imageConfig, digest: digestOf(text), size: text.length },
        layers: [layerOf("base").descriptor, layerOf("app").descriptor]
      })
      assert.deepStrictEqual(descriptor, {
        mediaType: MediaType.imageManifest,
        digest: descriptor.digest,
        size: descriptor.size,
        platform: amd64
      })
      assert.deepStrictEqual(world.puts.slice(0, 2).toSorted(), [digestOf("app"), digestOf("base")].toSorted())
      assert.deepStrictEqual(world.puts.slice(2), [digestOf(text), descriptor.digest])
      assert.deepStrictEqual(yield* books, once(["app", "base"]))
    }).pipe(world.provide)
  })

  it.effect("keeps what a config says, its platform too", () =>
    Effect.gen(function*() {
      const config = bytesOf(
        `{"x-vendor":1.50,"variant":"v8","architecture":"arm64","os":"linux","created":"2019-01-01T00:00:00.10+00:00",` +
          `"history":[{"created_by":"ENV","empty_layer":true},{"created_by":"ADD"},{"created_by":"COPY"}]}`
      )
      const before = config.slice()
      const { configs, descriptor } = yield* run({ config })
      const text = yield* textOfBlob(configs[0] ?? descriptor)
      assert.match(
        text,
        /^\{"architecture":"arm64","created":"2019-01-01T00:00:00.10\+00:00","history":.*,"x-vendor":1.50\}$/
      )
      assert.deepStrictEqual(JSON.parse(text).history.map((item: { readonly created: string }) => item.created), [
        day1,
        day1,
        day2
      ])
      assert.deepStrictEqual(descriptor.platform, arm64)
      assert.deepStrictEqual(config, before)
    }).pipe(worldOf().provide))

  it.effect("takes a config of no bytes for none", () =>
    Effect.gen(function*() {
      const [none, zero] = [yield* run(), yield* run({ config: new Uint8Array() })]
      assert.deepStrictEqual(zero.configs, none.configs)
    }).pipe(worldOf().provide))

  it.effect.each([buildkit2026, effectOci1, moby2019])(
    "gives the same digest from the same input, whatever the clock says, under $name",
    (rules) =>
      Effect.gen(function*() {
        const digest = Effect.map(run({}, { rules }), ({ descriptor }) => descriptor.digest)
        const first = yield* worldOf().provide(digest)
        yield* TestClock.adjust("1 day")
        assert.strictEqual(yield* worldOf().provide(digest), first)
      })
  )

  it.effect("exports an image without layers", () => {
    const world = worldOf([])
    return Effect.gen(function*() {
      const { configs: [config], descriptor } = yield* ExportImage.run({ platform: amd64 }, { rules: standard })
      assert.include(yield* textOfBlob(config ?? descriptor), `"diff_ids":null`)
      assert.deepStrictEqual(yield* readManifest(descriptor), {
        schemaVersion: 2,
        mediaType: MediaType.imageManifest,
        config: config ?? descriptor,
        layers: []
      })
      assert.include(yield* textOfBlob(descriptor), `"layers": null`)
      assert.deepStrictEqual<unknown>(world.puts, [config?.digest, descriptor.digest])
    }).pipe(world.provide)
  })

  it.effect("writes Docker's media types, and translates those of layers either way", () => {
    const plain = CacheRefMemory.chain([
      { name: "base", layer: layerOf("base", { annotations: { a: "b" } }) },
      { name: "app", layer: layerOf("app", { mediaType: MediaType.dockerLayerGzip }) }
    ])
    return Effect.gen(function*() {
      const docker = yield* readManifest((yield* run({}, { mediaTypes: "docker" })).descriptor)
      assert.strictEqual(docker.mediaType, MediaType.dockerManifest)
      assert.strictEqual(docker.config.mediaType, MediaType.dockerConfig)
      const [base, app] = [layerOf("base").descriptor, layerOf("app").descriptor]
      assert.deepStrictEqual(
        docker.layers,
        ["base", "app"].map((text) => layerOf(text, { mediaType: MediaType.dockerLayerGzip }).descriptor)
      )
      const oci = yield* readManifest((yield* run()).descriptor)
      assert.deepStrictEqual(oci.layers, [{ ...base, annotations: { a: "b" } }, app])
    }).pipe(worldOf(plain).provide)
  })

  it.effect("logs a warning in BuildKit's words, and gives it", () => {
    const logged: Array<unknown> = []
    const logger = Logger.make(({ logLevel, message }) => void logged.push([logLevel, message]))
    const config = bytesOf(
      `{"os":"linux","architecture":"amd64","history":[{"comment":"a"},{"comment":"b"},{"comment":"c"}]}`
    )
    return Effect.gen(function*() {
      const { warnings } = yield* run({ config })
      const message = "invalid image config with unaccounted layers: 3 history items for 2 layers"
      assert.deepStrictEqual(warnings.map((warning) => warning.message), [message])
      assert.deepStrictEqual(logged, [["Warn", [message]]])
    }).pipe(worldOf().provide, Effect.provide(Logger.layer([logger])))
  })

  it.effect("repairs a history by the rules' policy unless another is asked for, and tells what it changed", () => {
    const config = bytesOf(`{"os":"linux","architecture":"amd64","history":[{"created_by":"COPY"}]}`)
    const history = (settings: Partial<ExportImage.Settings>) =>
      Effect.gen(function*() {
        const { changes, configs } = yield* run({ config }, settings)
        const { history } = yield* readConfig(configs[0])
        const items = history.map((item: { readonly created_by?: string }) => item.created_by ?? "?")
        return [items.join(), changes.map((change) => `${change._tag} ${change.index}`).join()]
      })
    return Effect.gen(function*() {
      assert.deepStrictEqual(yield* history({}), ["COPY,COPY . /app", ""])
      assert.deepStrictEqual(yield* history({ rules: effectOci1 }), ["FROM scratch,COPY", "ItemAdded 0"])
      assert.deepStrictEqual(yield* history({ repair: "pad" }), ["?,COPY", "ItemAdded 0"])
      const error = yield* Effect.flip(history({ repair: "strict" }))
      assert.strictEqual(error._tag === "ExportFailed" ? error.cause._tag : error._tag, "HistoryMismatch")
    }).pipe(worldOf().provide)
  })

  it.effect("tells how it goes on", () => {
    const events: Array<string> = []
    return run().pipe(
      Effect.provideService(Progress.Progress, {
        report: ({ completed, id }) =>
          Effect.sync(() => void events.push(`${id} ${completed === undefined ? "…" : "done"}`))
      }),
      worldOf().provide,
      Effect.map(() =>
        assert.deepStrictEqual(events, [
          "exporting layers …",
          // How many bytes
          "exporting layers …",
          "exporting layers done",
          "exporting config …",
          "exporting config done",
          "exporting manifest …",
          "exporting manifest done"
        ])
      )
    )
  })
})

describe("layers", () => {
  it.effect("of one content are put once, and not at all where they are there", () => {
    const plain = CacheRefMemory.chain([
      { layer: layerOf("same") },
      { layer: layerOf("there") },
      { layer: layerOf("same") },
      { name: "app", layer: layerOf("same") }
    ])
    const world = worldOf(plain)
    return Effect.gen(function*() {
      yield* BlobStore.putBytes(bytesOf("there"))
      const { configs, descriptor } = yield* run()
      assert.deepStrictEqual<unknown>(world.puts, [
        digestOf("there"),
        digestOf("same"),
        configs[0]?.digest,
        descriptor.digest
      ])
      assert.lengthOf((yield* readManifest(descriptor)).layers, 4)
    }).pipe(world.provide)
  })

  it.effect.each(
    [
      ["another content", layerOf("app", { digest: digestOf("other") }), "DigestMismatch"],
      ["another size", layerOf("app", { size: 4 }), "SizeMismatch"],
      ["no content", { descriptor: layerOf("app").descriptor, diffId: digestOf("") }, "BlobMissing"]
    ] as const
  )("that have %s fail typed, and leave no document", ([, layer, tag]) => {
    const world = worldOf(CacheRefMemory.chain([{ name: "base", layer: layerOf("base") }, { name: "app", layer }]))
    return Effect.gen(function*() {
      const error = yield* Effect.flip(run())
      assert.strictEqual(error.message, `failed to export the ref "app"`)
      assert.strictEqual(error.cause.message, `failed to export the layer of the ref "app"`)
      assert.strictEqual(error.cause._tag === "LayerFailed" ? error.cause.cause._tag : error.cause._tag, tag)
      assert.deepStrictEqual(world.puts.filter((digest) => digest !== digestOf("base")), [])
      assert.deepStrictEqual(yield* books, once(["app", "base"]))
    }).pipe(world.provide)
  })

  it.effect("of a wrong size do not hide behind one of the same digest and the right size", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run())
      assert.strictEqual(error.cause._tag, "LayerFailed")
    }).pipe(
      worldOf(CacheRefMemory.chain([
        { name: "base", layer: layerOf("same") },
        { name: "app", layer: layerOf("same", { size: 5 }) }
      ])).provide
    ))
})

describe("failures", () => {
  const cases: ReadonlyArray<
    readonly [string, Partial<ExportImage.Image>, Partial<ExportImage.Settings>, tag: string, message: string]
  > = [
    ["a ref that is not there", { ref: "gone" }, {}, "RefMissing", `the memory store has no ref "gone"`],
    [
      "a parent that is not there",
      { ref: "orphan" },
      {},
      "RefParentMissing",
      `names a parent that is not there: "gone"`
    ],
    ["a cycle", { ref: "egg" }, {}, "RefCycle", "egg -> hen -> egg"],
    [
      "a ref without a layer",
      { ref: "idea" },
      {},
      "LayerUnknown",
      `the ref "idea" has no layer: expected a descriptor`
    ],
    ["a config that is not JSON", { config: bytesOf("{") }, {}, "ParseHistoryFailed", "failed to unmarshal history"],
    ["a config that is null", { config: bytesOf("null") }, {}, "PatchFailed", "failed to parse image config for patch"],
    ["a config without a platform", { config: bytesOf("{}") }, {}, "PatchFailed", "failed to parse image config"],
    ["a base config that is not JSON", { baseConfig: bytesOf("{") }, {}, "BaseConfigFailed", "base image config"],
    [
      "a base config, told before everything in the config",
      { baseConfig: bytesOf("{"), config: bytesOf("[") },
      {},
      "BaseConfigFailed",
      "base image config"
    ],
    [
      "a repair that refuses",
      {},
      { repair: "strict" },
      "HistoryMismatch",
      "expected an item for each of 2 layers, found 0"
    ]
  ]

  const odd = [
    ...refs,
    { name: "orphan", parent: "gone" },
    { name: "egg", parent: "hen" },
    { name: "hen", parent: "egg" },
    { name: "idea", parent: "base" }
  ]

  it.effect.each(cases)("%s", ([, image, settings, tag, message]) => {
    const world = worldOf(odd)
    return Effect.gen(function*() {
      const error = yield* Effect.flip(run(image, settings))
      assert.deepStrictEqual([error._tag, error.ref], ["ExportFailed", image.ref ?? "app"])
      assert.strictEqual(error.cause._tag, tag)
      assert.include(error.cause.message, message)
      assert.deepStrictEqual(world.puts, [])
      for (const { acquired, ref, released } of yield* books) assert.deepStrictEqual([ref, released], [ref, acquired])
    }).pipe(world.provide)
  })

  it.effect("a store that is full, at any time, has no document that names another that is not there", () =>
    Effect.gen(function*() {
      const attestations = [{ predicateType: "p", predicate: bytesOf("{}") }]
      const exporting = runIndex([{ ref: "app", platform: amd64, attestations }])
      /** What each document names, by its digest. */
      const documents = new Map<string, ReadonlyArray<string>>()
      const whole = worldOf()
      yield* whole.provide(Effect.gen(function*() {
        const { configs, descriptor } = yield* exporting
        const index = yield* readIndex(descriptor)
        documents.set(descriptor.digest, index.manifests.map((manifest) => manifest.digest))
        for (const blob of index.manifests) {
          const { config, layers } = yield* readManifest(blob)
          documents.set(blob.digest, [config, ...layers].map((named) => named.digest))
        }
        assert.lengthOf(configs, 1)
      }))
      assert.lengthOf(whole.puts, 8)
      for (let capacity = 0; capacity < whole.puts.length; capacity++) {
        const world = worldOf(refs, capacity)
        const error = yield* Effect.flip(exporting).pipe(world.provide)
        assert.strictEqual(error._tag, "ExportFailed")
        assert.lengthOf(world.puts, capacity)
        for (const digest of world.puts) assert.includeMembers(world.puts, [...documents.get(digest) ?? []])
      }
    }))
})

describe("runIndex", () => {
  const two: ReadonlyArray<ExportImage.Image> = [{ ref: "app", platform: arm64 }, { ref: "base", platform: amd64 }]

  it.effect("writes an index of the images, in the order in which they are given, last of all", () => {
    const world = worldOf()
    return Effect.gen(function*() {
      const { configs, descriptor } = yield* runIndex(two)
      const { manifests, ...rest } = yield* readIndex(descriptor)
      assert.deepStrictEqual(rest, { schemaVersion: 2, mediaType: MediaType.imageIndex })
      assert.deepStrictEqual(manifests.map(({ platform }) => platform), [arm64, amd64])
      const layers = yield* Effect.forEach(
        manifests,
        (manifest) => Effect.map(readManifest(manifest), ({ layers }) => layers)
      )
      assert.deepStrictEqual(layers.map((one) => one.length), [2, 1])
      assert.deepStrictEqual(descriptor, {
        mediaType: MediaType.imageIndex,
        digest: descriptor.digest,
        size: descriptor.size
      })
      assert.deepStrictEqual<unknown>(world.puts.slice(2), [
        configs[0]?.digest,
        manifests[0]?.digest,
        configs[1]?.digest,
        manifests[1]?.digest,
        descriptor.digest
      ])
      const other = yield* runIndex(two.toReversed())
      assert.deepStrictEqual((yield* readIndex(other.descriptor)).manifests, manifests.toReversed())
    }).pipe(world.provide)
  })

  it.effect("makes an index of one image too, where run makes a manifest", () =>
    Effect.gen(function*() {
      const index = yield* runIndex([{ ref: "app", platform: amd64 }])
      const single = yield* run()
      assert.strictEqual(single.descriptor.mediaType, MediaType.imageManifest)
      assert.deepStrictEqual((yield* readIndex(index.descriptor)).manifests, [single.descriptor])
    }).pipe(worldOf().provide))

  it.effect("knows images without layers, and platforms by their normal form, whatever their configs say", () =>
    Effect.gen(function*() {
      const { configs, descriptor } = yield* runIndex([
        { platform: { os: "linux", architecture: "aarch64", variant: "v8" } },
        { platform: { os: "linux", architecture: "arm" }, config: bytesOf(`{"os":"linux","architecture":"amd64"}`) }
      ])
      const { manifests } = yield* readIndex(descriptor)
      assert.deepStrictEqual(manifests.map(({ platform }) => platform), [
        arm64,
        { os: "linux", architecture: "arm", variant: "v7" }
      ])
      assert.deepStrictEqual(
        (yield* Effect.forEach(configs, readConfig)).map(({ architecture, rootfs }) => [architecture, rootfs.diff_ids]),
        [["arm64", null], ["amd64", null]]
      )
    }).pipe(worldOf().provide))

  it.effect("writes Docker's manifest list", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* runIndex(two, { mediaTypes: "docker" })
      assert.strictEqual(descriptor.mediaType, MediaType.dockerManifestList)
      const { manifests, mediaType } = yield* readIndex(descriptor)
      assert.deepStrictEqual([mediaType, ...manifests.map((one) => one.mediaType)], [
        MediaType.dockerManifestList,
        MediaType.dockerManifest,
        MediaType.dockerManifest
      ])
    }).pipe(worldOf().provide))

  it.effect("refuses to export nothing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(runIndex([]))
      assert.notProperty(error, "ref")
      assert.strictEqual(error.message, "failed to export the image")
      assert.strictEqual(
        error.cause.message,
        "invalid empty platforms index for exporter: give at least one platform"
      )
    }).pipe(worldOf().provide))

  it.effect("names the ref of the image that fails, and writes no index", () => {
    const world = worldOf()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(
        runIndex([...two, { ref: "gone", platform: { os: "linux", architecture: "386" } }])
      )
      assert.strictEqual(error.message, `failed to export the ref "gone"`)
      assert.lengthOf(world.puts, 6)
    }).pipe(world.provide)
  })
})

describe("annotations", () => {
  const parsed = (...texts: ReadonlyArray<string>) =>
    texts.map((text) => Result.getOrThrow(ExportAnnotations.parse(text)))

  it.effect("stand at four levels, for all platforms or one", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* runIndex(
        [{ ref: "app", platform: amd64 }, { ref: "base", platform: arm64 }],
        {
          annotations: parsed(
            "manifest:a=all",
            "manifest[linux/arm64]:a=arm64",
            "manifest-descriptor:b=all",
            "manifest-descriptor[linux/amd64]:c=amd64",
            "index[linux/arm64]:d=index",
            "index-descriptor:e=index descriptor"
          )
        }
      )
      assert.deepStrictEqual(descriptor.annotations, { e: "index descriptor" })
      const { annotations, manifests } = yield* readIndex(descriptor)
      assert.deepStrictEqual(annotations, { d: "index" })
      assert.deepStrictEqual(manifests.map((one) => one.annotations), [{ b: "all", c: "amd64" }, { b: "all" }])
      const inside = yield* Effect.forEach(manifests, readManifest)
      assert.deepStrictEqual(inside.map((one) => one.annotations), [{ a: "all" }, { a: "arm64" }])
    }).pipe(worldOf().provide))

  it.effect("stand on a manifest and its descriptor where there is no index", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* run({}, { annotations: parsed("a=b", "manifest-descriptor:c=d") })
      assert.deepStrictEqual(descriptor.annotations, { c: "d" })
      assert.deepStrictEqual((yield* readManifest(descriptor)).annotations, { a: "b" })
    }).pipe(worldOf().provide))

  it.effect.each<readonly [string, Partial<ExportImage.Settings>, string]>([
    ["index:a=b", {}, "no-index"],
    ["index-descriptor:a=b", {}, "no-index"],
    ["manifest-descriptor:a=b", { mediaTypes: "docker" }, "docker-media-types"],
    ["manifest[linux/s390x]:a=b", {}, "no-such-platform"]
  ])("are refused where there is no place for them, before anything is written: %s %j", ([text, settings, reason]) => {
    const world = worldOf()
    return Effect.gen(function*() {
      const annotations = parsed(text)
      const error = yield* Effect.flip(run({}, { ...settings, annotations }))
      assert.strictEqual(error.cause._tag === "AnnotationRefused" ? error.cause.reason : error.cause._tag, reason)
      assert.deepStrictEqual([world.puts, yield* books], [[], []])
    }).pipe(world.provide)
  })

  it.effect("are refused by an index too", () =>
    Effect.gen(function*() {
      const annotations = parsed("manifest[linux/s390x]:a=b")
      const error = yield* Effect.flip(runIndex([{ platform: amd64 }], { annotations }))
      assert.strictEqual(error.cause.message, "invalid annotation: no platform linux/s390x found in source")
    }).pipe(worldOf().provide))
})

describe("attestations", () => {
  const sbom = { predicateType: "https://spdx.dev/Document", predicate: bytesOf(`{"spdxVersion":"SPDX-2.3"}`) }
  const provenance = { predicateType: "https://slsa.dev/provenance/v1", predicate: bytesOf(`{"n":1.0}`) }
  const subjectNames = ({ architecture }: { readonly architecture: string }) => [
    `pkg:docker/app@1?platform=linux%2F${architecture}`,
    `pkg:docker/app@2?platform=linux%2F${architecture}`
  ]

  it.effect.each(["oci-artifact", "docker"] as const)(
    "stand behind all images, each about the manifest of its platform: %s",
    (attestationForm) =>
      Effect.gen(function*() {
        const { configs, descriptor } = yield* runIndex(
          [
            { ref: "app", platform: amd64, attestations: [sbom, provenance] },
            { ref: "base", platform: { os: "linux", architecture: "386" } },
            { ref: "base", platform: arm64, attestations: [provenance] }
          ],
          { attestationForm, subjectNames }
        )
        const { manifests } = yield* readIndex(descriptor)
        const unknown = { os: "unknown", architecture: "unknown" }
        assert.deepStrictEqual(
          manifests.map(({ platform }) => platform),
          [amd64, { os: "linux", architecture: "386" }, arm64, unknown, unknown]
        )
        assert.lengthOf(configs, 3)
        for (const [attestation, image, types] of [[3, 0, [sbom, provenance]], [4, 2, [provenance]]] as const) {
          const [about, own] = [manifests[image] ?? descriptor, manifests[attestation] ?? descriptor]
          assert.deepStrictEqual(own.annotations, {
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": about.digest
          })
          const { artifactType, layers, subject } = yield* readManifest(own)
          assert.deepStrictEqual(
            [artifactType, subject],
            attestationForm === "docker"
              ? [undefined, undefined]
              : [
                "application/vnd.docker.attestation.manifest.v1+json",
                { mediaType: about.mediaType, digest: about.digest, size: about.size }
              ]
          )
          assert.deepStrictEqual(
            layers.map((layer) => layer.annotations?.["in-toto.io/predicate-type"]),
            types.map((one) => one.predicateType)
          )
          const statement = JSON.parse(yield* textOfBlob(layers[0] ?? descriptor))
          const digest = { sha256: about.digest.slice("sha256:".length) }
          assert.deepStrictEqual(
            statement.subject,
            subjectNames(about.platform ?? unknown).map((name) => ({ name, digest }))
          )
        }
      }).pipe(worldOf().provide)
  )

  it.effect("make an index of a single image", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* run({ attestations: [sbom] })
      assert.strictEqual(descriptor.mediaType, MediaType.imageIndex)
      const { manifests } = yield* readIndex(descriptor)
      const { layers } = yield* readManifest(manifests[1] ?? descriptor)
      // Without names there is nothing that the image could be called
      assert.strictEqual(
        yield* textOfBlob(layers[0] ?? descriptor),
        `{"_type":"https://in-toto.io/Statement/v1","predicateType":"${sbom.predicateType}","subject":[],` +
          `"predicate":{"spdxVersion":"SPDX-2.3"}}`
      )
      const none = yield* run({ attestations: [] })
      assert.strictEqual(none.descriptor.mediaType, MediaType.imageManifest)
    }).pipe(worldOf().provide))

  it.effect("are refused with Docker's media types, before anything is written", () => {
    const world = worldOf()
    return Effect.gen(function*() {
      const error = yield* Effect.flip(run({ attestations: [sbom] }, { mediaTypes: "docker" }))
      assert.strictEqual(
        error.cause.message,
        "cannot export attestations with Docker media types: use OCI's, or leave the attestations out"
      )
      assert.deepStrictEqual(world.puts, [])
    }).pipe(world.provide)
  })

  it.effect.each(
    [
      [{ ...sbom, predicate: bytesOf("{") }, "InvalidPredicate"],
      [{ ...sbom, subjects: [{ kind: "raw" as const, digests: ["aa"] }] }, "InvalidSubjectDigest"]
    ] as const
  )("that are not valid fail typed, with the image's ref: %j", ([attestation, tag]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run({ attestations: [attestation] }))
      assert.deepStrictEqual([error.ref, error.cause._tag], ["app", tag])
    }).pipe(worldOf().provide))
})

describe("an epoch", () => {
  const [early, earlier] = [timeOf("2019-06-01T00:00:00Z"), timeOf("2018-01-01T00:00:00Z")]

  const createdOf = (configs: ReadonlyArray<BlobStore.Blob>) =>
    Effect.map(
      Effect.forEach(configs, readConfig),
      (all) =>
        all.map(({ created, history }) => [
          created,
          ...history.map((item: { readonly created: string }) => item.created)
        ])
    )

  it.effect("clamps every time, an image's own before that of all", () =>
    Effect.gen(function*() {
      const { configs } = yield* runIndex(
        [{ ref: "app", platform: amd64, epoch: earlier }, { ref: "base", platform: arm64 }],
        { epoch: early }
      )
      assert.deepStrictEqual(yield* createdOf(configs), [
        ["2018-01-01T00:00:00Z", "2018-01-01T00:00:00Z", "2018-01-01T00:00:00Z"],
        ["2019-06-01T00:00:00Z", "2019-06-01T00:00:00Z"]
      ])
    }).pipe(worldOf().provide))

  it.effect("leaves the base image's history alone", () =>
    Effect.gen(function*() {
      const history = `{"created":"${day1}","created_by":"ADD rootfs"}`
      const { configs } = yield* run({
        config: bytesOf(`{"os":"linux","architecture":"amd64","history":[${history},{"created_by":"COPY"}]}`),
        baseConfig: bytesOf(`{"history":[${history}]}`),
        epoch: early
      })
      assert.deepStrictEqual(yield* createdOf(configs), [["2019-06-01T00:00:00Z", day1, "2019-06-01T00:00:00Z"]])
    }).pipe(worldOf().provide))
})

describe("an inline cache", () => {
  it.effect.each([[null, null], [bytesOf("[]"), "W10="]] as const)(
    "of %j is written",
    ([inlineCache, expected]) =>
      Effect.gen(function*() {
        const { configs } = yield* run({ inlineCache })
        assert.strictEqual((yield* readConfig(configs[0]))["moby.buildkit.cache.v0"], expected)
      }).pipe(worldOf().provide)
  )
})

describe("the encoder of a layer", () => {
  const known = CacheRefMemory.chain([
    { name: "base", layer: layerOf("base", { annotations: { team: "a" } }) },
    { name: "app", layer: { ...layerOf("app", { annotations: { team: "b" } }), encoder: "gzip-1/zlib-1.3" } }
  ])
  const teams = [{ team: "a" }, { team: "b" }]

  it.effect.each<readonly [Partial<ExportImage.Settings>, ReadonlyArray<object | undefined>]>([
    [{ rules: effectOci1 }, [{ team: "a" }, { "dev.effect-oci.encoder": "gzip-1/zlib-1.3", team: "b" }]],
    [{ rules: effectOci1, mediaTypes: "docker" }, [undefined, undefined]],
    [{ rules: buildkit2026 }, teams],
    [{ rules: moby2019 }, teams]
  ])("is an annotation only where the rules say so: %j", ([settings, expected]) =>
    Effect.gen(function*() {
      const { descriptor } = yield* run({}, settings)
      const { layers } = yield* readManifest(descriptor)
      assert.deepStrictEqual(layers.map((layer) => layer.annotations), expected)
    }).pipe(worldOf(known).provide))
})

describe("compareWith", () => {
  const plainConfig = (history: string, members = "") =>
    bytesOf(`{"os":"linux","architecture":"amd64",${members}"history":[${history}]}`)

  /** All that could be otherwise is. */
  const otherwise: Compatibility.Rules = {
    emptyConfig: "os-and-architecture",
    config: "as-handed-in",
    chain: "layers",
    missingRefs: "clock",
    unknownTime: "none",
    repair: "align",
    addedTimes: "shared",
    missingTimes: "of-layers",
    derivedCreated: "clamped",
    times: "utc",
    controlEscapes: "numeric",
    internalAnnotations: "none",
    encoderAnnotation: "written"
  }

  const time = (second: number) => `2020-01-01T00:00:0${second}Z`
  const oneRef = [{ name: "app", description: "COPY", createdAt: timeOf(time(1)), layer: layerOf("app") }]
  const twoRefs = CacheRefMemory.chain([
    { name: "base", createdAt: timeOf(time(1)), layer: layerOf("base") },
    { name: "app", createdAt: timeOf(time(2)), layer: layerOf("app") }
  ])
  const rewritten = { annotations: { "buildkit/rewritten-timestamp": "1" } }
  const layer = `{"created":"${time(1)}","created_by":"COPY"}`

  interface Case {
    readonly refs?: ReadonlyArray<CacheRefMemory.Plain>
    readonly image?: Partial<ExportImage.Image>
    readonly settings?: Partial<ExportImage.Settings>
  }

  it.effect.each<readonly [string, ReadonlyArray<keyof Compatibility.Rules>, Case]>([
    ["an image that is all there", [], { image: { config: plainConfig(layer) } }],
    ["no config", ["emptyConfig"], { image: { platform: { os: "linux", architecture: "arm", variant: "v6" } } }],
    ["a config without a platform", ["config"], {
      image: { config: bytesOf(`{"history":[${layer}]}`) },
      settings: { rules: { ...buildkit2026, config: "as-handed-in" }, compareWith: { ...otherwise, config: "checked" } }
    }],
    ["a ref without a time", ["unknownTime"], {
      refs: [{ name: "app", layer: layerOf("app") }],
      image: { config: plainConfig(`{"created_by":"COPY"}`) }
    }],
    ["a base without history", ["repair"], {
      refs: twoRefs,
      image: { config: plainConfig(`{"created":"${time(2)}","created_by":"COPY"}`) }
    }],
    ["a base without history, under a repair that was asked for", [], {
      refs: twoRefs,
      image: { config: plainConfig(`{"created":"${time(2)}","created_by":"COPY"}`) },
      settings: { repair: "align" }
    }],
    ["layers without history", ["addedTimes"], { refs: twoRefs, image: { config: plainConfig("") } }],
    ["a step without a time", ["missingTimes"], {
      image: { config: plainConfig(`{"created_by":"ENV","empty_layer":true},${layer}`) }
    }],
    ["a base later than the epoch", ["derivedCreated"], {
      image: {
        config: plainConfig(layer),
        baseConfig: bytesOf(`{"history":[${layer}]}`),
        epoch: timeOf("2019-01-01T00:00:00Z")
      }
    }],
    ["a time with an offset", ["times"], {
      image: { config: plainConfig(`{"created":"2020-01-01T00:00:00+01:00"}`, `"created":null,`) }
    }],
    ["a layer whose times were rewritten", ["internalAnnotations"], {
      refs: [{ name: "app", layer: layerOf("app", rewritten) }],
      image: { config: plainConfig(layer) }
    }],
    ["that layer with Docker's media types, which have no annotations", [], {
      refs: [{ name: "app", layer: layerOf("app", rewritten) }],
      image: { config: plainConfig(layer) },
      settings: { mediaTypes: "docker" }
    }],
    ["a layer whose encoder is known", ["encoderAnnotation"], {
      refs: [{ name: "app", layer: { ...layerOf("app"), encoder: "gzip-1" } }],
      image: { config: plainConfig(layer) }
    }],
    ["a layer that names another encoder", ["encoderAnnotation"], {
      refs: [{
        name: "app",
        layer: { ...layerOf("app", { annotations: { [Annotations.encoder]: "gzip-0" } }), encoder: "gzip-1" }
      }],
      image: { config: plainConfig(layer) }
    }],
    ["a layer that names its encoder already", [], {
      refs: [{
        name: "app",
        layer: { ...layerOf("app", { annotations: { [Annotations.encoder]: "gzip-1" } }), encoder: "gzip-1" }
      }],
      image: { config: plainConfig(layer) }
    }],
    ["several", ["unknownTime", "missingTimes", "times"], {
      refs: [{ name: "app", layer: layerOf("app") }],
      image: {
        config: plainConfig(
          `{"created":"2020-01-01T00:00:00+01:00","empty_layer":true},{"empty_layer":true},{}`,
          `"created":null,`
        )
      }
    }]
  ])(
    "names the rules that matter to %s",
    ([, expected, { image, refs = oneRef, settings }]) =>
      Effect.gen(function*() {
        const { differingRules } = yield* run(image, { compareWith: otherwise, ...settings })
        assert.deepStrictEqual(differingRules, expected)
      }).pipe(worldOf(refs).provide)
  )

  it.effect("names each rule once for an index, and none where nothing is compared with", () =>
    Effect.gen(function*() {
      const image = { ref: "app", platform: amd64, config: plainConfig(`{"created":"2020-01-01T00:00:00+01:00"}`) }
      const images = [image, { ...image, platform: arm64 }]
      const compared = yield* runIndex(images, { compareWith: effectOci1 })
      assert.deepStrictEqual(compared.differingRules, ["times"])
      assert.deepStrictEqual((yield* runIndex(images)).differingRules, [])
      assert.deepStrictEqual((yield* runIndex(images, { compareWith: standard })).differingRules, [])
    }).pipe(worldOf(oneRef).provide))
})

describe("refs", () => {
  /** A source of `base`, and of `app`, whose layer reads as what is given: nothing verifies it. */
  const sourceOf = (app: Stream.Stream<Uint8Array>) => {
    const acquired: Array<string> = []
    const released: Array<string> = []
    const acquire = (name: string): ReturnType<CacheRef.CacheRef["Service"]["acquire"]> =>
      Effect.acquireRelease(
        Effect.sync((): CacheRef.Ref => {
          acquired.push(name)
          const { descriptor, diffId } = layerOf(name)
          const content = name === "app" ? app : Stream.succeed(bytesOf(name))
          return {
            name,
            description: "",
            layer: { descriptor, diffId, content },
            parent: name === "app" ? Effect.asSome(acquire("base")) : Effect.succeedNone
          }
        }),
        () => Effect.sync(() => void released.push(name))
      )
    return { source: { acquire, list: Effect.succeed(["app", "base"]) }, acquired, released }
  }

  it.effect.each([["xyz", "DigestMismatch"], ["appendix", "SizeMismatch"]] as const)(
    "whose content %s is not what it should be are found out by the store",
    ([content, tag]) => {
      const { acquired, released, source } = sourceOf(Stream.succeed(bytesOf(content)))
      return Effect.gen(function*() {
        const { cause } = yield* Effect.flip(run().pipe(Effect.provideService(CacheRef.CacheRef, source)))
        assert.strictEqual(cause._tag === "LayerFailed" ? cause.cause._tag : cause._tag, tag)
        assert.deepStrictEqual([acquired, released.toSorted()], [["app", "base"], ["app", "base"]])
      }).pipe(worldOf().provide)
    }
  )

  it.effect("are released once where an export is interrupted amid a layer, and no document is there", () => {
    const world = worldOf()
    return Effect.gen(function*() {
      const started = yield* Deferred.make<void>()
      const { acquired, released, source } = sourceOf(Stream.concat(
        Stream.succeed(bytesOf("a")),
        Stream.fromEffectDrain(Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
      ))
      const fiber = yield* Effect.forkChild(run().pipe(Effect.provideService(CacheRef.CacheRef, source)))
      yield* Deferred.await(started)
      assert.deepStrictEqual([acquired, released], [["app", "base"], []])
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(released.toSorted(), ["app", "base"])
      assert.deepStrictEqual(world.puts.filter((digest) => digest !== digestOf("base")), [])
      const store = yield* BlobStore.BlobStore
      assert.isFalse(yield* store.has(layerOf("app").descriptor))
    }).pipe(world.provide)
  })

  it.effect("are held once for each image of an index", () =>
    Effect.gen(function*() {
      yield* runIndex([{ ref: "app", platform: amd64 }, { ref: "app", platform: arm64 }])
      assert.deepStrictEqual(yield* books, ["app", "base"].map((ref) => ({ ref, acquired: 2, released: 2 })))
    }).pipe(worldOf().provide))
})
