import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Copy from "@effect-oci/core/Copy"
import * as ImageTree from "@effect-oci/core/ImageTree"
import * as Progress from "@effect-oci/core/Progress"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import process from "node:process"
import {
  configType,
  type Descriptor,
  indexType,
  layerOf,
  layerType,
  manifestType,
  type Members,
  parsed
} from "./images.ts"
import { Memory } from "./places.ts"
import { digestOf, textOf } from "./values.ts"

const amd64 = { architecture: "amd64", os: "linux" }
const arm64 = { architecture: "arm64", os: "linux" }
const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

type Given = Omit<Copy.Options, "source" | "target" | "as">

/** Copies an image under the name `copy`. */
const copy = (source: Memory, image: Descriptor | string, target: Memory, options: Given = {}) =>
  Effect.gen(function*() {
    return yield* Copy.image(typeof image === "string" ? image : parsed(image), {
      source: yield* source.place,
      target: yield* target.place,
      as: Option.some("copy"),
      ...options
    })
  }).pipe(Effect.provide(NodeHash.layer))

const failed = (source: Memory, image: Descriptor, target: Memory, options?: Given) =>
  Effect.flip(copy(source, image, target, options))

const causeOf = (error: Copy.CopyError) =>
  error._tag === "BlobFailed" || error._tag === "DocumentUnreadable" ? error.cause._tag : undefined

const digests = (blobs: ReadonlyArray<{ readonly digest: string }>) => blobs.map(({ digest }) => digest)

const text = (memory: Memory, digest: string | undefined) =>
  textOf(memory.contents.get(digest ?? "") ?? new Uint8Array())

const documentOf = (memory: Memory, digest: string | undefined) => JSON.parse(text(memory, digest))

/** An index of two platforms, each with its attestation, written in a way of its own. */
const multiPlatform = (source: Memory) => {
  const images = [amd64, arm64].map((platform) => {
    const image = source.image({ config: (config) => ({ ...config, ...platform }) })
    const attestation = source.putJson(manifestType, {
      schemaVersion: 2,
      mediaType: manifestType,
      config: source.putJson(configType, { ...platform, os: "unknown" }),
      layers: [{ ...source.putJson("application/vnd.in-toto+json", { about: image.manifest.digest }), extra: 1 }]
    })
    return { manifest: image.manifest, platform, attestation }
  })
  const index = source.putJson(indexType, {
    "org.example": { kept: 1 },
    schemaVersion: 2,
    mediaType: indexType,
    manifests: [
      ...images.map(({ manifest, platform }) => ({ platform, ...manifest })),
      ...images.map(({ attestation, manifest }) => ({
        ...attestation,
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": manifest.digest
        },
        platform: { architecture: "unknown", os: "unknown" }
      }))
    ]
  })
  return { index, images }
}

describe("Copy", () => {
  it.effect("copies an image: blobs, then what names them, and the name last", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { config, layers, manifest } = source.image()
      const copied = yield* copy(source, manifest, target)
      assert.deepStrictEqual(copied, {
        descriptor: parsed(manifest),
        copied: [config, ...layers].map(parsed),
        present: [],
        skipped: []
      })
      assert.strictEqual(target.puts.at(-1), manifest.digest)
      assert.deepStrictEqual(new Map(target.contents), new Map(source.contents))
      assert.strictEqual(target.named("copy"), manifest.digest)
      assert.deepStrictEqual([...source.reads.values()], [1, 1, 1, 1])
    }))

  it.effect("finds an image by its name, and leaves the names that it had behind", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const descriptor = {
        ...parsed(source.image().manifest),
        platform: amd64,
        annotations: { "org.opencontainers.image.ref.name": "old", "io.containerd.image.name": "docker.io/old", a: "1" }
      }
      source.images = [{ name: Option.some("old"), descriptor }]
      yield* copy(source, "old", target)
      assert.deepStrictEqual(target.images, [
        { name: Option.some("copy"), descriptor: { ...descriptor, annotations: { a: "1" } } }
      ])
      const missing = yield* Effect.flip(copy(source, "new", target))
      assert.strictEqual(missing._tag, "ImageMissing")
    }))

  it.effect("copies an index whole, attestations and indexes inside of it too, with its digest", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { index } = multiPlatform(source)
      const outer = source.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests: [index, index] })
      // What nothing names is not part of the image, not even where it names a part of the image
      const referrer = source.putJson(manifestType, {
        schemaVersion: 2,
        config: source.putJson("application/vnd.oci.empty.v1+json", {}),
        layers: [],
        subject: index
      })
      const { descriptor } = yield* copy(source, outer, target, { all: true })
      assert.strictEqual(descriptor.digest, outer.digest)
      assert.strictEqual(target.contents.size, source.contents.size - 2)
      assert.isFalse(target.contents.has(referrer.digest))
      assert.deepStrictEqual(target.puts.slice(-2), [index.digest, outer.digest])
      assert.isTrue([...source.reads.values()].every((count) => count === 1))
    }))

  it.effect("takes the image of a platform from an index", () =>
    Effect.gen(function*() {
      const source = new Memory()
      const { images: [first, second], index } = multiPlatform(source)
      for (const [platform, image] of [[amd64, first], [{ ...arm64, variant: "v8" }, second]] as const) {
        const target = new Memory()
        const { descriptor } = yield* copy(source, index, target, { platform })
        assert.strictEqual(descriptor.digest, image?.manifest.digest)
        assert.deepStrictEqual(descriptor.platform?.architecture, platform.architecture)
        assert.strictEqual(target.contents.size, 4)
      }
      const target = new Memory()
      const none = yield* failed(source, index, target, { platform: { os: "linux", architecture: "riscv64" } })
      assert.strictEqual(
        none.message,
        `the image ${index.digest} is not for linux/riscv64: it is for linux/amd64, linux/arm64`
      )
      const several = yield* failed(source, index, target)
      assert.strictEqual(several._tag, "PlatformMismatch")
      const other = yield* failed(source, first?.manifest ?? index, target, { platform: arm64 })
      assert.strictEqual(other._tag, "PlatformMismatch")
      assert.strictEqual(target.contents.size, 0)
    }))

  it.effect("takes the image of a platform with what refers to it, as an index", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { images: [, image], index } = multiPlatform(source)
      const { descriptor } = yield* copy(source, index, target, { platform: arm64, all: true })
      const document = documentOf(target, descriptor.digest)
      assert.deepStrictEqual(digests(document.manifests), [image?.manifest.digest, image?.attestation.digest])
      assert.deepStrictEqual(document["org.example"], { kept: 1 })
      assert.strictEqual(digestOf(text(target, descriptor.digest)), descriptor.digest)
      // And of that, everything is that
      const again = yield* copy(target, parsed(descriptor), new Memory(), { platform: arm64, all: true })
      assert.strictEqual(again.descriptor.digest, descriptor.digest)
    }))

  it.effect("converts media types, tells so, and comes back to the same bytes", () =>
    Effect.gen(function*() {
      const [source, docker, back] = [new Memory(), new Memory(), new Memory()]
      const manifests = [amd64, arm64].map((platform) => {
        const { manifest } = source.image({
          layers: [layerOf("one"), { ...layerOf("two"), mediaType: layerType.replace("+gzip", "") }],
          config: (config) => ({ ...config, ...platform }),
          manifest: (manifest) => ({ "x-kept": [1.5e0], ...manifest, annotations: { a: "<b>" } })
        })
        return { mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size, platform }
      })
      const index = source.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests })
      const { descriptor } = yield* copy(source, index, docker, { all: true, format: "docker" })
      assert.strictEqual(descriptor.mediaType, dockerList)
      const list = documentOf(docker, descriptor.digest)
      assert.strictEqual(list.mediaType, dockerList)
      assert.deepStrictEqual(list.manifests.map(({ mediaType }: Descriptor) => mediaType), [
        dockerManifest,
        dockerManifest
      ])
      assert.deepStrictEqual(list.manifests.map(({ platform }: Members) => platform), [amd64, arm64])
      const manifest = documentOf(docker, list.manifests[0].digest)
      assert.strictEqual(list.manifests[0].size, docker.contents.get(list.manifests[0].digest)?.length)
      assert.deepStrictEqual([
        manifest.mediaType,
        manifest.config.mediaType,
        ...manifest.layers.map((layer: Descriptor) => layer.mediaType)
      ], [
        dockerManifest,
        "application/vnd.docker.container.image.v1+json",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.diff.tar"
      ])
      assert.deepStrictEqual(manifest.annotations, { a: "<b>" })
      const restored = yield* copy(docker, parsed(descriptor), back, { all: true, format: "oci" })
      assert.strictEqual(restored.descriptor.digest, index.digest)
      const same = yield* copy(docker, parsed(descriptor), new Memory(), { all: true, format: "docker" })
      assert.strictEqual(same.descriptor.digest, descriptor.digest)
    }))

  it.effect("gives a converted manifest the media type that it did not name", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { manifest } = source.image({ manifest: ({ config, layers }) => ({ schemaVersion: 2, config, layers }) })
      const { descriptor } = yield* copy(source, manifest, target, { format: "docker" })
      assert.strictEqual(Object.keys(documentOf(target, descriptor.digest))[0], "mediaType")
    }))

  it.effect.each<[name: string, make: (source: Memory) => Descriptor, reason: string, found: string]>([
    [
      "a layer that Docker has no type for",
      (source) =>
        source.image({
          layers: [{ ...layerOf("a"), mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd" }]
        }).manifest,
      "media-type",
      "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
    ],
    [
      "an encrypted layer",
      (source) => source.image({ layers: [{ ...layerOf("a"), mediaType: `${layerType}+encrypted` }] }).manifest,
      "media-type",
      `${layerType}+encrypted`
    ],
    [
      "an artifact",
      (source) => source.image({ manifest: (it) => ({ ...it, artifactType: "a/b" }) }).manifest,
      "artifact",
      "a/b"
    ],
    [
      "a referrer",
      (source) => source.image({ manifest: (it) => ({ ...it, subject: source.image().manifest }) }).manifest,
      "artifact",
      "subject"
    ],
    ["attestations", (source) => multiPlatform(source).index, "media-type", "application/vnd.in-toto+json"],
    [
      "a manifest that is held in the index too",
      (source) => {
        const { manifest } = source.image()
        return source.putJson(indexType, { schemaVersion: 2, manifests: [{ ...manifest, data: "e30=" }] })
      },
      "embedded",
      ""
    ]
  ])("refuses to make Docker's of %s", ([, make, reason, found]) =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const error = yield* failed(source, make(source), target, { all: true, format: "docker" })
      if (error._tag !== "ConversionRefused") return assert.fail(error.message)
      assert.strictEqual(error.reason, reason)
      assert.include(error.found, found)
      assert.strictEqual(target.contents.size, 0)
    }))

  it.effect("refuses to make attestations untrue", () =>
    Effect.gen(function*() {
      const [source, docker, target] = [new Memory(), new Memory(), new Memory()]
      const { manifest } = source.image()
      const { descriptor } = yield* copy(source, manifest, docker, { format: "docker" })
      const attestation =
        docker.image({ layers: [{ ...layerOf("a"), mediaType: "application/vnd.in-toto+json" }] }).manifest
      const index = docker.putJson(indexType, {
        schemaVersion: 2,
        manifests: [
          descriptor,
          { ...attestation, annotations: { "vnd.docker.reference.digest": descriptor.digest } }
        ]
      })
      const error = yield* failed(docker, index, target, { all: true, format: "oci" })
      assert.strictEqual(error._tag === "ConversionRefused" ? error.reason : error.message, "attestation")
      assert.strictEqual((yield* copy(docker, index, target, { all: true })).descriptor.digest, index.digest)
    }))

  it.effect("leaves out layers that are to be fetched elsewhere, unless they are there", () =>
    Effect.gen(function*() {
      const source = new Memory()
      const { manifest, layers: [first] } = source.image({
        manifest: (manifest) => ({
          ...manifest,
          layers: manifest.layers.map((layer, index) =>
            index === 0 ? { ...layer, urls: ["https://example.org"] } : layer
          )
        })
      })
      const whole = yield* copy(source, manifest, new Memory())
      assert.deepStrictEqual([whole.copied.length, whole.skipped], [3, []])
      source.contents.delete(first?.digest ?? "")
      const part = yield* copy(source, manifest, new Memory())
      assert.deepStrictEqual([part.copied.length, digests(part.skipped)], [2, [first?.digest]])
    }))

  it.effect("goes on where it was interrupted, and shows nothing before the end", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const old = source.image({ config: (config) => ({ ...config, author: "old" }) })
      yield* copy(source, old.manifest, target)
      const { layers, manifest } = source.image({ layers: ["a", "b", "c"].map(layerOf) })
      const from = yield* source.place
      const to = yield* target.place
      const reached = yield* Deferred.make<void>()
      const waiting = {
        ...from,
        blobs: {
          ...from.blobs,
          get: (blob: Parameters<typeof from.blobs.get>[0]) =>
            blob.digest === layers[2]?.digest
              ? Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
              : from.blobs.get(blob)
        }
      }
      const options = { target: to, as: Option.some("copy"), concurrency: 1 }
      const fiber = yield* Effect.forkChild(Copy.image(parsed(manifest), { ...options, source: waiting }))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(target.named("copy"), old.manifest.digest)
      assert.isFalse(target.contents.has(manifest.digest))
      source.reads.clear()
      const { copied, present } = yield* Copy.image(parsed(manifest), { ...options, source: from })
      assert.deepStrictEqual(digests(copied), [layers[2]?.digest])
      assert.strictEqual(present.length, 3)
      assert.strictEqual(target.named("copy"), manifest.digest)
      assert.isUndefined(source.reads.get(layers[0]?.digest ?? ""))
    }).pipe(Effect.provide(NodeHash.layer)))

  it.effect("finds every damaged blob, and leaves the target's image alone", () =>
    Effect.gen(function*() {
      for (const kind of ["layer", "config", "manifest"] as const) {
        const [source, target] = [new Memory(), new Memory()]
        const old = source.image({ config: (config) => ({ ...config, author: "old" }) })
        yield* copy(source, old.manifest, target)
        const { config, layers, manifest } = source.image({ layers: [layerOf("new")] })
        const damaged = { layer: layers[0], config, manifest }[kind]
        const bytes = source.contents.get(damaged?.digest ?? "")
        source.contents.set(
          damaged?.digest ?? "",
          new Uint8Array(bytes?.map((byte, index) => index === 5 ? byte ^ 1 : byte) ?? [])
        )
        const error = yield* failed(source, manifest, target)
        assert.strictEqual(error._tag, kind === "manifest" ? "DocumentUnreadable" : "BlobFailed")
        assert.include(error.message, damaged?.digest ?? "none")
        assert.strictEqual(causeOf(error), "DigestMismatch")
        assert.strictEqual(target.named("copy"), old.manifest.digest)
        assert.isFalse(target.contents.has(damaged?.digest ?? ""))
        assert.isFalse(target.contents.has(manifest.digest))
        source.contents.delete(damaged?.digest ?? "")
        const missing = yield* failed(source, manifest, target)
        assert.strictEqual(
          causeOf(missing),
          "BlobMissing"
        )
      }
    }))

  it.effect("copies no more blobs at once than it is told, and tells how far each is", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { layers, manifest } = source.image({
        layers: Array.from({ length: 20 }, (_, index) => layerOf(`${index}`))
      })
      const place = yield* source.place
      let now = 0
      let most = 0
      const counting = {
        ...place,
        blobs: {
          ...place.blobs,
          get: (blob: Parameters<typeof place.blobs.get>[0]) =>
            Stream.unwrap(Effect.as(
              Effect.andThen(Effect.sync(() => most = Math.max(most, ++now)), Effect.yieldNow),
              place.blobs.get(blob)
            )).pipe(Stream.onEnd(Effect.sync(() => now--)))
        }
      }
      const events: Array<Progress.Status> = []
      const options = { source: counting, target: yield* target.place, as: Option.none(), concurrency: 3 }
      yield* Progress.watch(
        Copy.image(parsed(manifest), options),
        (all) => Stream.runForEach(all, (event) => Effect.sync(() => events.push(event)))
      )
      assert.strictEqual(most, 3)
      const id = `copying layer ${layers[7]?.digest.slice(7, 19)}`
      const own = events.filter((event) => event.id === id)
      const size = layers[7]?.size
      assert.deepStrictEqual(own.map(({ current, total }) => [current, total]).slice(0, 2), [[undefined, undefined], [
        size,
        size
      ]])
      assert.isDefined(own.at(-1)?.completed)
    }).pipe(Effect.provide(NodeHash.layer)))

  it.effect("refuses what cannot be a name before anything is read", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { manifest } = source.image()
      const options = { source: yield* source.place, target: yield* target.place, as: Option.some("a b") }
      const error = yield* Effect.flip(Copy.image(parsed(manifest), options))
      assert.strictEqual(error._tag, "InvalidImageName")
      assert.strictEqual(source.reads.size, 0)
    }).pipe(Effect.provide(NodeHash.layer)))

  it.effect("reads what is named 100,000 times once, in less than two seconds", () =>
    Effect.gen(function*() {
      const [source, target] = [new Memory(), new Memory()]
      const { manifest } = source.image()
      // As many as fit into 4 MiB
      const manifests = Array.from({ length: 19_999 }, () => manifest)
      const indexes = Array.from(
        { length: 6 },
        (_, index) => source.putJson(indexType, { schemaVersion: 2, index, manifests })
      )
      const root = source.putJson(indexType, { schemaVersion: 2, manifests: indexes.slice(0, 4) })
      const start = process.cpuUsage().user
      yield* copy(source, root, target, { all: true })
      assert.isBelow((process.cpuUsage().user - start) / 1000, 2000)
      assert.strictEqual(source.reads.get(manifest.digest), 1)
      const bomb = source.putJson(indexType, { schemaVersion: 2, manifests: indexes })
      const error = yield* failed(source, bomb, new Memory(), { all: true })
      assert.strictEqual(error._tag === "ImageTooLarge" ? error.limit : error.message, "descriptors")
    }), 60_000)

  it.effect("follows no more indexes inside each other than an image may have", () =>
    Effect.gen(function*() {
      const source = new Memory()
      const nested = (levels: number) => {
        let inner = source.image().manifest
        for (let level = 1; level < levels; level++) {
          inner = source.putJson(indexType, { schemaVersion: 2, manifests: [{ ...inner, platform: amd64 }] })
        }
        return inner
      }
      const deepest = nested(ImageTree.maxLevels)
      assert.strictEqual((yield* copy(source, deepest, new Memory(), { all: true })).descriptor.digest, deepest.digest)
      yield* copy(source, deepest, new Memory(), { platform: amd64 })
      const error = yield* failed(source, nested(ImageTree.maxLevels + 1), new Memory(), { all: true })
      assert.strictEqual(error._tag === "ImageTooLarge" ? error.limit : error.message, "levels")
      const chosen = yield* failed(source, nested(ImageTree.maxLevels + 2), new Memory(), { platform: amd64 })
      assert.strictEqual(chosen._tag === "ImageTooLarge" ? chosen.limit : chosen.message, "levels")
    }))
})
