/**
 * The caches of a real BuildKit beside the images of the same builds, and caches of our own making in the same format.
 */
import * as CacheRefBuildKitCache from "@effect-oci/adapters/CacheRefBuildKitCache"
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheChains from "@effect-oci/core/CacheChains"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefImport from "@effect-oci/core/RefImport"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  type Descriptor,
  digestOf,
  putBlob,
  putLayer,
  readBlob,
  readRoot,
  type Shape,
  type Step,
  stepsOfImage,
  unpackRecorded,
  writeCache,
  writeRoot
} from "./buildkitCaches.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const recorded = unpackRecorded(temporaryDirectory())
const at = (name: string) => join(recorded, name)

const root = temporaryDirectory()
let count = 0
const fresh = () => {
  const directory = join(root, `${++count}`)
  mkdirSync(directory)
  return directory
}

const cache = (directory: string, tag?: string) =>
  CacheRefBuildKitCache.layer(directory, tag === undefined ? {} : { tag }).pipe(Layer.provide(NodeHash.layer))

const imageAt = (directory: string) =>
  Layer.unwrap(
    Effect.map(
      ImageStore.ImageStore.use((images) => images.resolve(Option.none())),
      (image) => CacheRefBuildKitCache.layerImage(image)
    )
  ).pipe(Layer.provide(OciLayout.layer(directory)), Layer.provide(NodeHash.layer))

const without = (value: object, ...names: ReadonlyArray<string>): object =>
  Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)))

/** The chain that is chosen, base first. */
const chosen = (name?: string) =>
  Effect.gen(function*() {
    const top = yield* Effect.fromResult(CacheChains.choose(yield* CacheRefBuildKitCache.Chains, name))
    const refs = yield* CacheRef.CacheRef
    return yield* CacheRef.chain(yield* refs.acquire(top.name))
  })

interface Shown {
  readonly digest: string | undefined
  readonly diffId: string | undefined
  readonly created: string | undefined
}

const show = ({ createdAt, layer }: CacheRef.Ref): Shown => ({
  digest: layer?.descriptor.digest,
  diffId: layer?.diffId,
  created: createdAt === undefined ? undefined : Timestamp.format(createdAt)
})

/** What the image of a build says of its layers. */
const layersOf = (image: string): ReadonlyArray<Shown> => {
  const { root } = readRoot(image)
  const { history, rootfs } = readBlob(image, root.config)
  const items = history.filter((item: { readonly empty_layer?: boolean }) => item.empty_layer !== true)
  return root.layers.map(({ digest }: Descriptor, index: number) => ({
    digest,
    diffId: rootfs.diff_ids[index],
    created: items[index].created
  }))
}

const errorOf = (directory: string, name?: string) =>
  Effect.flip(Effect.provide(Effect.scoped(chosen(name)), cache(directory)))

describe("a cache that BuildKit has recorded", () => {
  it.effect.each<[string, string]>([
    ["stages-min", "stages-image"],
    ["stages-max", "stages-image"],
    ["stages-index", "stages-image"],
    ["stages-docker", "stages-image"],
    ["merge", "merge-image"],
    ["zero", "zero-image"]
  ])("%s has the layers, diff IDs and times of the image of the same build", ([name, image]) =>
    Effect.gen(function*() {
      const before = tree(at(name))
      const refs = yield* chosen()
      assert.deepStrictEqual(refs.map(show), layersOf(at(image)))
      assert.deepStrictEqual(refs.map(({ description }) => description), refs.map(() => ""))
      for (const { layer } of refs) {
        // What the ref says is not said again in the descriptor
        assert.notProperty(layer?.descriptor, "annotations")
        yield* Stream.runDrain(layer?.content ?? Stream.die("no layer"))
      }
      assert.deepStrictEqual(tree(at(name)), before)
    }).pipe(Effect.provide(cache(at(name)))))

  it("leaves out a parent that is the first layer", () => {
    const { layers } = readBlob(at("zero"), readRoot(at("zero")).root.config)
    assert.deepStrictEqual(layers.map(({ parent }: { readonly parent?: number }) => parent), [-1, undefined])
  })

  it.effect("keeps the media types of either kind", () =>
    Effect.gen(function*() {
      const types = (name: string) =>
        Effect.map(chosen(), (refs) => refs.map(({ layer }) => layer?.descriptor.mediaType)).pipe(
          Effect.provide(cache(at(name))),
          Effect.map((types) => [...new Set(types)])
        )
      assert.deepStrictEqual(yield* types("stages-index"), ["application/vnd.oci.image.layer.v1.tar+gzip"])
      assert.deepStrictEqual(yield* types("stages-docker"), ["application/vnd.docker.image.rootfs.diff.tar.gzip"])
      assert.deepStrictEqual(yield* types("stages-zstd"), ["application/vnd.oci.image.layer.v1.tar+zstd"])
    }))

  it.effect("takes the times of the steps where layers that were compressed anew have none", () =>
    Effect.gen(function*() {
      const refs = yield* chosen()
      const found = refs.map(show)
      const { root } = readRoot(at("stages-zstd"))
      const { layers, records } = readBlob(at("stages-zstd"), root.config)
      for (const { created, digest, diffId } of found) {
        const index = layers.findIndex(({ blob }: { readonly blob: string }) => blob === digest)
        const step = records.find((record: { readonly layers?: ReadonlyArray<{ readonly layer: number }> }) =>
          record.layers?.[0]?.layer === index
        )
        assert.strictEqual(created, step.layers[0].createdAt)
        assert.include(layersOf(at("stages-image")).map(({ diffId }) => diffId), diffId)
      }
      assert.strictEqual(found.length, 3)
    }).pipe(Effect.provide(cache(at("stages-zstd"), "zstd"))))

  it.effect("of two platforms ends in two chains, which are listed and chosen by name", () =>
    Effect.gen(function*() {
      const { tops } = yield* CacheRefBuildKitCache.Chains
      const error = yield* Effect.flip(chosen())
      assert.strictEqual(error._tag, "ChainAmbiguous")
      for (const { name, createdAt } of tops) {
        assert.include(
          error.message,
          `${name} (2 layers, ${createdAt === undefined ? "" : Timestamp.format(createdAt)}`
        )
      }
      const texts = yield* Effect.forEach(tops, ({ name }) =>
        Effect.flatMap(chosen(name), (refs) =>
          Effect.map(
            Stream.mkUint8Array(refs[1]?.layer?.content ?? Stream.empty),
            (bytes) => [refs.length, bytes.length > 0]
          )))
      assert.deepStrictEqual(texts, [[2, true], [2, true]])
      const unknown = yield* Effect.flip(chosen("sha256:none"))
      assert.match(unknown.message, /^the build cache has no chain "sha256:none"; it ends in sha256:[0-9a-f]{64} /)
      // The layer that they have in common is a ref too
      const refs = yield* CacheRef.CacheRef
      assert.strictEqual((yield* refs.list).length, 3)
    }).pipe(Effect.provide(cache(at("platforms")))))

  it.effect("gives the config and the manifest that BuildKit wrote for the same build, byte for byte", () =>
    Effect.gen(function*() {
      const { descriptor, root } = readRoot(at("stages-image"))
      const config = readBlob(at("stages-image"), root.config)
      const history = config.history.map((item: object) => without(item, "created"))
      const refs = yield* chosen()
      const exported = yield* ExportImage.run({
        ref: refs.at(-1)?.name ?? "",
        config: new TextEncoder().encode(JSON.stringify({ ...without(config, "created", "rootfs"), history })),
        platform: { os: "linux", architecture: "amd64" }
      }, { rules: Compatibility.buildkit2026 })
      assert.strictEqual(exported.descriptor.digest, descriptor.digest)
    }).pipe(
      Effect.provide(Layer.provideMerge(MemoryStore.layer, Layer.merge(cache(at("stages-max")), NodeHash.layer)))
    ))
})

describe("an image", () => {
  it.effect.each(["stages-image", "merge-image"])(
    "%s is a chain, described by its history",
    (name) =>
      Effect.gen(function*() {
        const refs = yield* chosen()
        assert.deepStrictEqual(refs.map(show), layersOf(at(name)))
        const { root } = readRoot(at(name))
        const items = readBlob(at(name), root.config).history
          .filter((item: { readonly empty_layer?: boolean }) => item.empty_layer !== true)
        assert.deepStrictEqual(
          refs.map(({ description }) => description),
          items.map((item: { readonly created_by: string }) => item.created_by)
        )
        for (const { layer } of refs) yield* Stream.runDrain(layer?.content ?? Stream.die("no layer"))
      }).pipe(Effect.provide(imageAt(at(name))))
  )

  it.effect("has the chains of merges in its inline cache, beside its own", () =>
    Effect.gen(function*() {
      const { layers, tops } = yield* CacheRefBuildKitCache.Chains
      const { root } = readRoot(at("merge-image"))
      const [, , a, b] = root.layers
      assert.strictEqual(tops.length, 1)
      for (const { digest } of [a, b]) {
        assert.deepStrictEqual((yield* chosen(digest)).map(show).map(({ digest }) => digest), [digest])
      }
      assert.strictEqual(layers.size, 6)
    }).pipe(Effect.provide(imageAt(at("merge-image")))))

  /** The recorded image with another config. */
  const withConfig = (change: (config: Record<string, unknown>) => object): string => {
    const directory = fresh()
    const { root } = readRoot(at("stages-image"))
    const changed = putBlob(
      directory,
      root.config.mediaType,
      JSON.stringify(change(readBlob(at("stages-image"), root.config)))
    )
    const manifest = putBlob(directory, root.mediaType, JSON.stringify({ ...root, config: changed }))
    writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [manifest] }))
    writeFileSync(join(directory, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
    return directory
  }

  it.effect("takes the times of its inline cache where its history has none", () =>
    Effect.gen(function*() {
      const directory = withConfig((config) => without(config, "history"))
      const refs = yield* Effect.provide(chosen(), imageAt(directory))
      const { root } = readRoot(directory)
      const records = JSON.parse(
        Buffer.from(readBlob(directory, root.config)["moby.buildkit.cache.v0"], "base64").toString()
      )
      const times = refs.map((_, index) =>
        records.find((record: { readonly layers?: ReadonlyArray<{ readonly layer: number }> }) =>
          record.layers?.[0]?.layer === index
        )?.layers[0].createdAt
      )
      assert.deepStrictEqual(refs.map(show).map(({ created }) => created), times)
      assert.match(times[0], /^20\d\d-/)
      assert.deepStrictEqual(refs.map(({ description }) => description), ["", "", ""])
    }))

  it.effect.each<[string, string | number, RegExp]>([
    ["no base64", "?", /expected a string of base64/],
    ["no string", 1, /expected a string of base64/],
    ["no JSON", "e30x", /the inline build cache is not JSON/],
    ["no list", "e30=", /the inline build cache is not valid/],
    [
      "a layer that it does not have",
      Buffer.from(`[{"layers":[{"layer":3}]}]`).toString("base64"),
      /\/0\/layers\/0\/layer: expected the index of one of 3 layers, found 3$/
    ]
  ])("is told where its inline cache holds %s", ([, member, message]) =>
    Effect.gen(function*() {
      const directory = withConfig((config) => ({ ...config, "moby.buildkit.cache.v0": member }))
      const error = yield* Effect.flip(Effect.provide(chosen(), imageAt(directory)))
      assert.strictEqual(error._tag, "CacheUnreadable")
      assert.match(error._tag === "CacheUnreadable" ? error.cause.message : "", message)
    }))

  it.effect("needs no inline cache", () =>
    Effect.gen(function*() {
      const directory = withConfig((config) => without(config, "moby.buildkit.cache.v0"))
      const refs = yield* Effect.provide(chosen(), imageAt(directory))
      assert.deepStrictEqual(refs.map(show), layersOf(at("stages-image")))
    }))
})

interface Recorded {
  readonly digest: string
  readonly inputs?: NonNullable<Step["inputs"]>
  readonly layers?: ReadonlyArray<{ readonly layer: number; readonly createdAt: string }>
}

/** The steps of a recorded cache, in another order. */
const stepsOf = (name: string): ReadonlyArray<Step> => {
  const { root } = readRoot(at(name))
  const descriptors: ReadonlyArray<Descriptor> = root.layers ?? root.manifests
  const config = readBlob(at(name), root.config ?? descriptors.at(-1))
  const records: ReadonlyArray<Recorded> = config.records
  const chainOf = (index: number): ReadonlyArray<Descriptor> => {
    const { blob, parent = 0 } = config.layers[index]
    const below = parent === -1 ? [] : chainOf(parent)
    return [...below, ...descriptors.filter(({ digest }) => digest === blob).slice(0, 1)]
  }
  const toStep = ({ digest, inputs, layers }: Recorded): Step => {
    const links = inputs?.map((sources) =>
      sources.map(({ link, selector }) => ({
        link: records.length - 1 - link,
        ...(selector === undefined ? {} : { selector })
      })).toReversed()
    )
    const [result] = layers ?? []
    const layered = result && { result: { layers: chainOf(result.layer), createdAt: result.createdAt } }
    return { digest, ...layered, ...(links === undefined ? {} : { inputs: links }) }
  }
  return records.map(toStep).toReversed()
}

describe("the maker of caches", () => {
  it.each<[string, Shape]>([
    ["stages-max", "manifest"],
    ["stages-index", "index"],
    ["stages-docker", "docker"],
    ["merge", "manifest"],
    ["zero", "manifest"]
  ])(
    "writes what BuildKit writes: %s",
    (name, shape) => {
      assert.strictEqual(writeCache(fresh(), stepsOf(name), { shape }), readRoot(at(name)).descriptor.digest)
    }
  )
})

describe("a cache of our own making", () => {
  it.effect.each<[string, Shape]>([
    ["stages-image", "manifest"],
    ["stages-image", "index"],
    ["stages-image", "docker"],
    ["merge-image", "manifest"],
    ["merge-image", "index"]
  ])("of %s, as a %s, has the image's layers", ([image, shape]) =>
    Effect.gen(function*() {
      const directory = fresh()
      writeCache(directory, stepsOfImage(at(image), directory), { shape })
      const refs = yield* Effect.provide(chosen(), cache(directory))
      assert.deepStrictEqual(refs.map(show), layersOf(at(image)))
    }))

  const time = (second: number) => `2024-01-02T03:04:0${second}.000000001+02:00`

  it.effect("has merged chains, whose layers stand on one another in the order of the step", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const [a, b] = [putLayer(directory, "a", time(1)), putLayer(directory, "b", time(2))]
      const steps: ReadonlyArray<Step> = [
        { digest: digestOf("a"), result: { layers: [a], createdAt: time(3) } },
        { digest: digestOf("b"), result: { layers: [b], createdAt: time(4) } },
        {
          digest: digestOf("merge"),
          chain: { layers: [b, a, b], createdAt: "0001-01-01T00:00:00Z" },
          inputs: [[{ link: 0 }], [{ link: 1 }]]
        }
      ]
      writeCache(directory, steps)
      const found = yield* Effect.provide(chosen(), cache(directory))
      assert.deepStrictEqual(
        found.map(show).map(({ created, digest }) => [digest, created]),
        [[b.digest, time(2)], [a.digest, time(1)], [b.digest, time(2)]]
      )
      assert.strictEqual(new Set(found.map(({ name }) => name)).size, 3)
    }))

  it.effect("is not taken for a shorter one where a layer of its end is missing", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const [a, b] = [putLayer(directory, "a", time(1)), putLayer(directory, "b", time(2))]
      const steps: ReadonlyArray<Step> = [
        { digest: digestOf("a"), result: { layers: [a], createdAt: time(1) } },
        { digest: digestOf("b"), result: { layers: [a, b], createdAt: time(2) }, inputs: [[{ link: 0 }]] }
      ]
      writeCache(directory, steps, { without: [b.digest] })
      const error = yield* errorOf(directory)
      assert.strictEqual(error._tag, "ChainIncomplete")
      assert.include(error.message, `its layer ${b.digest} is not in the cache`)
      // What is there can be asked for by name
      const refs = yield* Effect.provide(chosen(a.digest), cache(directory))
      assert.deepStrictEqual(refs.map(({ name }) => name), [a.digest])
    }))

  it.effect("has no chain where no step has a result", () =>
    Effect.gen(function*() {
      const directory = fresh()
      writeCache(directory, [{ digest: digestOf("a") }])
      const error = yield* errorOf(directory)
      assert.strictEqual(error.message, "the build cache has no layers: no step that it remembers has a result")
    }))

  it.effect("is told of a layer whose file is gone or damaged when it is read", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const [a, b] = [putLayer(directory, "a", time(1)), putLayer(directory, "b", time(2))]
      writeCache(directory, [{ digest: digestOf("b"), result: { layers: [a, b], createdAt: time(2) } }])
      const pathOf = ({ digest }: Descriptor) => join(directory, "blobs/sha256", digest.slice(7))
      rmSync(pathOf(a))
      writeFileSync(pathOf(b), Buffer.alloc(b.size))
      const refs = yield* Effect.provide(chosen(), cache(directory))
      const tags = yield* Effect.forEach(refs, ({ layer }) =>
        Effect.flip(Stream.runDrain(layer?.content ?? Stream.empty)).pipe(Effect.map(({ _tag }) => _tag)))
      assert.deepStrictEqual(tags, ["BlobMissing", "DigestMismatch"])
    }))

  /** A cache of one layer, with these annotations. */
  const annotated = (mediaType: string, annotations: Readonly<Record<string, string>>) => {
    const directory = fresh()
    const layer = { ...putBlob(directory, mediaType, "a tar archive"), annotations }
    writeCache(directory, [{ digest: digestOf("step"), result: { layers: [layer], createdAt: time(1) } }])
    return { directory, layer }
  }

  it.effect("takes descriptions from annotations, and keeps those that mean nothing to it", () =>
    Effect.gen(function*() {
      const { directory } = annotated("application/vnd.oci.image.layer.v1.tar+gzip", {
        "buildkit/createdat": "not a time",
        "buildkit/description": "COPY a /",
        "containerd.io/distribution.source.example.com": "a",
        "containerd.io/uncompressed": digestOf("x"),
        "dev.effect-oci.encoder": "gzip-1",
        "org.example": "kept"
      })
      const [ref] = yield* Effect.provide(chosen(), cache(directory))
      assert.deepStrictEqual([ref?.description, ref?.layer?.encoder], ["COPY a /", "gzip-1"])
      assert.deepStrictEqual(ref?.layer?.descriptor.annotations, {
        "dev.effect-oci.encoder": "gzip-1",
        "org.example": "kept"
      })
      assert.deepStrictEqual(ref?.createdAt, Result.getOrThrow(Timestamp.parse(time(1))))
    }))

  it.effect("needs a diff ID of a layer, unless it is not compressed", () =>
    Effect.gen(function*() {
      const plain = annotated("application/vnd.oci.image.layer.v1.tar", {})
      const [ref] = yield* Effect.provide(chosen(), cache(plain.directory))
      assert.strictEqual(ref?.layer?.diffId, plain.layer.digest)
      const unknown = annotated("application/vnd.oci.image.layer.v1.tar+gzip", { "containerd.io/uncompressed": "x" })
      const error = yield* errorOf(unknown.directory)
      assert.match(error.message, /has no diff ID: expected a digest in its annotation containerd\.io\/uncompressed$/)
    }))

  it.effect("is known by its shape, whatever its media type says", () =>
    Effect.gen(function*() {
      for (const shape of ["manifest", "index"] as const) {
        const directory = fresh()
        writeCache(directory, stepsOfImage(at("zero-image"), directory), { shape })
        const { descriptor } = readRoot(directory)
        const manifests = [{ ...descriptor, mediaType: "application/octet-stream" }]
        writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
        assert.strictEqual((yield* Effect.provide(chosen(), cache(directory))).length, 2)
      }
    }))

  it.effect("is chosen by its tag where there are several", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const layers = [putLayer(directory, "a", time(1)), putLayer(directory, "b", time(2))]
      const entries = layers.map((layer, index) => {
        writeCache(directory, [{ digest: digestOf("x"), result: { layers: [layer], createdAt: time(1) } }], {
          tag: `t${index}`
        })
        return readRoot(directory).descriptor
      })
      writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: entries }))
      const refs = yield* Effect.provide(chosen(), cache(directory, "t1"))
      assert.deepStrictEqual(refs.map(({ name }) => name), [layers[1]?.digest])
      assert.match((yield* errorOf(directory)).message, /has 2 such images: name the one that is meant: "t0", "t1"$/)
    }))
})

describe("what is no cache", () => {
  it.effect("is an image", () =>
    Effect.gen(function*() {
      const error = yield* errorOf(at("stages-image"))
      assert.strictEqual(error._tag, "NotACache")
    }))

  it.effect("is an empty directory, or none", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* errorOf(fresh()))._tag, "StoreMissing")
      assert.strictEqual((yield* errorOf(join(root, "none")))._tag, "StoreMissing")
      assert.deepStrictEqual(tree(root).filter((path) => path.startsWith("none")), [])
    }))

  it.effect.each<[string, object, string | RegExp]>([
    ["a parent beyond the end", { layers: [{ blob: digestOf("a"), parent: 1 }] }, /^.*\/layers\/0\/parent: .*found 1$/],
    ["a parent below -1", { layers: [{ blob: digestOf("a"), parent: -2 }] }, /^.*\/layers\/0\/parent: .*found -2$/],
    ["a parent that is absent in the first layer", { layers: [{ blob: digestOf("a") }] }, /an absent parent is 0$/],
    ["a blob that is no digest", { layers: [{ blob: "../../x", parent: -1 }] }, /\/layers\/0\/blob/],
    ["a time that is none", { records: [{ layers: [{ layer: 0, createdAt: "now" }] }] }, /\/records\/0\/layers\/0\/cr/]
  ])("is one with %s", ([, config, message]) =>
    Effect.gen(function*() {
      const directory = fresh()
      writeRoot(directory, config, [])
      const error = yield* errorOf(directory)
      assert.strictEqual(error._tag, "CacheUnreadable")
      assert.match(error._tag === "CacheUnreadable" ? error.cause.message : "", new RegExp(message))
    }))
})

describe("an import", () => {
  it.effect("brings the chain into a store of refs, under new names", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const refs = yield* chosen()
      const source = yield* BlobStore.BlobStore
      const target = Layer.provide(CacheRefFileSystem.layer(directory, { durability: "process" }), NodeHash.layer)
      const imported = yield* RefImport.chain(refs, { name: "app", source, origin: "buildkit-cache:out" }).pipe(
        Effect.provide(target)
      )
      assert.deepStrictEqual(imported.map(({ name }) => name), ["app.0", "app.1", "app"])
      const chain = yield* Effect.provide(
        Effect.flatMap(CacheRef.CacheRef, (refs) => Effect.flatMap(refs.acquire("app"), (ref) => CacheRef.chain(ref))),
        target
      )
      assert.deepStrictEqual(chain.map(show), refs.map(show))
      assert.deepStrictEqual(chain.map(({ origin }) => origin), chain.map(() => "buildkit-cache:out"))
      const [base] = chain
      const bytes = yield* Stream.mkUint8Array(base?.layer?.content ?? Stream.empty)
      assert.strictEqual(digestOf(bytes), base?.layer?.descriptor.digest)
    }).pipe(Effect.scoped, Effect.provide(cache(at("stages-index")))))

  it.effect("refuses a name that is too long for those below", () =>
    Effect.gen(function*() {
      const source = yield* BlobStore.BlobStore
      const target = Layer.provide(CacheRefFileSystem.layer(fresh()), NodeHash.layer)
      const error = yield* Effect.flip(
        RefImport.chain(yield* chosen(), { name: "b".repeat(127), source }).pipe(Effect.provide(target))
      )
      assert.strictEqual(error._tag, "InvalidRefName")
    }).pipe(Effect.scoped, Effect.provide(cache(at("stages-max")))))
})
