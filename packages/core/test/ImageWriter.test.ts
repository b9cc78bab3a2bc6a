import { BlobStore, StoreIo } from "@effect-oci/core/BlobStore"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ImageWriter from "@effect-oci/core/ImageWriter"
import * as Progress from "@effect-oci/core/Progress"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { recordingStore } from "./conformance/inputs.ts"
import { bytesOf, digestOf, frozen, textOf } from "./values.ts"

const rules = Compatibility.buildkit2026
const config = bytesOf(`{"os":"linux"}`)
const layer = frozen({ mediaType: MediaType.layerGzip, digest: digestOf("layer"), size: 5 })

const descriptorOf = (mediaType: string, bytes: Uint8Array): Descriptor.Descriptor => ({
  mediaType,
  digest: digestOf(bytes),
  size: bytes.length
})

const full = new StoreIo({ operation: "write", path: "blobs", code: "ENOSPC" })

/** A store that is full from the put of that number on. */
const fullAfter = (puts: number) => {
  const stored: Array<string> = []
  const store = recordingStore()
  const layer = Layer.effect(
    BlobStore,
    Effect.map(BlobStore, ({ put }) => ({
      put: (content, expected) =>
        Effect.suspend(() =>
          stored.length >= puts
            ? Effect.fail(full)
            : Effect.tap(put(content, expected), ({ digest }) => Effect.sync(() => stored.push(digest)))
        ),
      get: () => assert.fail("nothing is read"),
      has: () => assert.fail("nothing is asked for")
    }))
  ).pipe(Layer.provide(store.layer))
  return { layer, stored }
}

describe("write", () => {
  const write = (image: Partial<Parameters<typeof ImageWriter.write>[0]> = {}) => {
    const store = recordingStore()
    return ImageWriter.write(frozen({ config, layers: [layer], mediaTypes: "oci", rules, ...image })).pipe(
      Effect.provide(store.layer),
      Effect.map((written) => ({ ...written, blobs: store.written() }))
    )
  }

  it.effect("stores the config, then the manifest that names it", () =>
    Effect.gen(function*() {
      const { blobs, config: described, manifest } = yield* write()
      const text = `{
  "schemaVersion": 2,
  "mediaType": "application/vnd.oci.image.manifest.v1+json",
  "config": {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": "${digestOf(config)}",
    "size": 14
  },
  "layers": [
    {
      "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
      "digest": "${digestOf("layer")}",
      "size": 5
    }
  ]
}`
      assert.deepStrictEqual(blobs.map(textOf), [textOf(config), text])
      assert.deepStrictEqual(described, descriptorOf(MediaType.imageConfig, config))
      assert.deepStrictEqual(manifest, descriptorOf(MediaType.imageManifest, bytesOf(text)))
    }))

  it.effect("writes Docker's media types, which have no annotations of layers", () =>
    Effect.gen(function*() {
      const annotated = { ...layer, mediaType: MediaType.dockerLayerGzip, annotations: { a: "b" } }
      const { blobs, config: described, manifest } = yield* write({ mediaTypes: "docker", layers: [annotated] })
      assert.deepStrictEqual(JSON.parse(textOf(blobs[1] ?? config)), {
        schemaVersion: 2,
        mediaType: "application/vnd.docker.distribution.manifest.v2+json",
        config: { ...described, mediaType: "application/vnd.docker.container.image.v1+json" },
        layers: [{ ...layer, mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip" }]
      })
      assert.strictEqual(manifest.mediaType, "application/vnd.docker.distribution.manifest.v2+json")
    }))

  it.effect("writes null for no layers, and annotations where there are any", () =>
    Effect.gen(function*() {
      const { blobs, manifest } = yield* write({
        layers: [],
        manifest: { b: "<", a: "1" },
        manifestDescriptor: { c: "2" }
      })
      assert.match(
        textOf(blobs[1] ?? config),
        /"layers": null,\n {2}"annotations": \{\n {4}"a": "1",\n {4}"b": "\\u003c"/
      )
      assert.deepStrictEqual(manifest.annotations, { c: "2" })
      const none = yield* write({ manifest: {}, manifestDescriptor: {} })
      assert.notInclude(textOf(none.blobs[1] ?? config), "annotations")
      assert.notProperty(none.manifest, "annotations")
    }))

  it.effect.each<readonly [puts: number, message: string, left: ReadonlyArray<string>]>([
    [0, "error writing config blob", []],
    [1, "error writing manifest blob", [digestOf(config)]]
  ])("fails in BuildKit's words where the store is full after %s blobs, and leaves no manifest", ([
    puts,
    message,
    left
  ]) =>
    Effect.gen(function*() {
      const { layer: store, stored } = fullAfter(puts)
      const error = yield* Effect.flip(
        ImageWriter.write({ config, layers: [layer], mediaTypes: "oci", rules }).pipe(Effect.provide(store))
      )
      assert.deepStrictEqual([error._tag, error.message, error.cause], ["WriteFailed", message, full])
      assert.deepStrictEqual(stored, left)
    }))

  it.effect("reports what it writes, and a failure", () =>
    Effect.gen(function*() {
      const events: Array<string> = []
      yield* ImageWriter.write({ config, layers: [], mediaTypes: "oci", rules }).pipe(
        Effect.provideService(Progress.Progress, {
          report: ({ completed, error, id }) =>
            Effect.sync(() =>
              void (completed === undefined || events.push(`${id}${error === undefined ? "" : `: ${error}`}`))
            )
        }),
        Effect.provide(fullAfter(1).layer),
        Effect.ignore
      )
      assert.deepStrictEqual(events, [
        "exporting config",
        `exporting manifest: error writing manifest blob`
      ])
    }))
})

describe("writeIndex", () => {
  it.effect("keeps the order of the manifests, and writes null for none", () =>
    Effect.gen(function*() {
      const store = recordingStore()
      const one = {
        ...descriptorOf(MediaType.imageManifest, bytesOf("1")),
        platform: { os: "linux", architecture: "b" }
      }
      const two = {
        ...descriptorOf(MediaType.imageManifest, bytesOf("2")),
        platform: { os: "linux", architecture: "a" }
      }
      const index = yield* ImageWriter.writeIndex({
        manifests: [one, two],
        mediaTypes: "oci",
        index: { a: "1" },
        indexDescriptor: { b: "2" }
      }).pipe(Effect.provide(store.layer))
      const text = textOf(store.get(index.digest))
      assert.deepStrictEqual(JSON.parse(text), {
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [one, two],
        annotations: { a: "1" }
      })
      assert.include(text, `{\n  "schemaVersion": 2,\n`)
      assert.deepStrictEqual(index, { ...descriptorOf(MediaType.imageIndex, bytesOf(text)), annotations: { b: "2" } })

      const none = yield* ImageWriter.writeIndex({ manifests: [], mediaTypes: "docker" }).pipe(
        Effect.provide(store.layer)
      )
      assert.deepStrictEqual(JSON.parse(textOf(store.get(none.digest))), {
        schemaVersion: 2,
        mediaType: "application/vnd.docker.distribution.manifest.list.v2+json",
        manifests: null
      })
    }))

  it.effect("fails in BuildKit's words", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(
        ImageWriter.writeIndex({ manifests: [], mediaTypes: "oci" }).pipe(Effect.provide(fullAfter(0).layer))
      )
      assert.strictEqual(error.message, "error writing manifest list blob")
    }))
})

describe("layerOf", () => {
  const annotations = {
    "containerd.io/uncompressed": digestOf("diff"),
    "buildkit/createdat": "2020-01-01T00:00:00Z",
    "containerd.io/distribution.source.docker.io": "library/busybox",
    "buildkit/rewritten-timestamp": "1445412480",
    "containerd.io/snapshot/stargz/toc.digest": "kept"
  }
  const kept = { "containerd.io/snapshot/stargz/toc.digest": "kept" }

  it.each<readonly [ImageWriter.MediaTypes, Compatibility.Compatibility, object | undefined]>([
    ["oci", Compatibility.buildkit2026, { "buildkit/rewritten-timestamp": "1445412480", ...kept }],
    ["oci", Compatibility.effectOci1, kept],
    ["docker", Compatibility.buildkit2026, undefined]
  ])("%s leaves of the annotations what may be seen", (mediaTypes, rules, expected) => {
    const made = ImageWriter.layerOf(mediaTypes, rules)(frozen({ ...layer, annotations }))
    assert.deepStrictEqual(made, expected === undefined ? layer : { ...layer, annotations: expected })
  })

  it("leaves no empty annotations", () => {
    const made = ImageWriter.layerOf("oci", rules)({ ...layer, annotations: { "buildkit/createdat": "x" } })
    assert.deepStrictEqual(made, layer)
  })
})

describe("translateLayer", () => {
  it.each(
    [
      ["docker", MediaType.layerGzip, MediaType.dockerLayerGzip],
      ["oci", MediaType.dockerLayerGzip, MediaType.layerGzip],
      ["oci", MediaType.layerGzip, MediaType.layerGzip],
      ["docker", "application/x-else", "application/x-else"],
      // No layers, though there is a translation
      ["docker", MediaType.imageConfig, MediaType.imageConfig]
    ] as const
  )("to %s: %s is %s", (mediaTypes, from, to) => {
    assert.deepStrictEqual(
      ImageWriter.translateLayer(frozen({ ...layer, mediaType: from }), mediaTypes),
      { ...layer, mediaType: to }
    )
  })
})
