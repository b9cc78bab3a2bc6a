import { BlobStore } from "@effect-oci/core/BlobStore"
import * as Explanation from "@effect-oci/core/Explanation"
import * as ImageTree from "@effect-oci/core/ImageTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Blobs, type Descriptor, layerOf, parsed } from "./images.ts"
import { services } from "./services.ts"

const load = (blobs: Blobs, descriptor: Descriptor) =>
  Effect.gen(function*() {
    const tree = yield* Effect.provideService(ImageTree.get(parsed(descriptor)), BlobStore, yield* blobs.store)
    return tree._tag === "Image" ? tree : assert.fail("expected an image")
  }).pipe(Effect.provide(services))

/** Explains an image of two layers with a history and a time of creation. */
const explain = (history: ReadonlyArray<object>, created?: string) => {
  const blobs = new Blobs()
  const { manifest } = blobs.image({ config: (config) => ({ ...config, created, history }) })
  return Effect.map(load(blobs, manifest), (image) => Explanation.of(image))
}

const first = "2024-01-01T00:00:00.123456789Z"
const last = "2024-01-02T00:00:00Z"

const origins = ({ entries }: Explanation.Explanation) => entries.map(({ origin }) => origin)

describe("of", () => {
  it.effect("puts items beside their layers", () =>
    Effect.gen(function*() {
      const { entries, repairs, unexplained } = yield* explain([{}, { empty_layer: true }, {}])
      assert.deepStrictEqual(entries.map(({ layer }) => layer?.index), [0, undefined, 1])
      assert.match(entries[2]?.layer?.diffId ?? "", /^sha256:/)
      assert.deepStrictEqual([repairs, unexplained], [[], []])
    }))

  it.effect.each<readonly [string, ReadonlyArray<object>, ReadonlyArray<Explanation.Origin>, ReadonlyArray<RegExp>]>([
    ["its own", [{ created: first }, { created: last }], ["own", "own"], []],
    ["none", [{}, {}], ["none", "none"], []],
    ["the builder's zero", [{ created: "0001-01-01T00:00:00Z" }, { created: first }], ["zero", "own"], [
      /builder had no time/
    ]],
    [
      "an exporter",
      [{ created: first }, { created: last, comment: "buildkit.exporter.image.v0" }],
      ["own", "exporter"],
      [/the time is the layer's/]
    ],
    [
      "an epoch",
      [{ created: first }, { created: last, empty_layer: true }, { created: "2024-01-02T01:00:00+01:00" }],
      ["own", "epoch", "epoch"],
      [/^One other item has this time.*SOURCE_DATE_EPOCH/]
    ],
    ["1970", [{ created: "1970-01-01T00:00:00Z" }, { created: first }], ["epoch", "own"], [/is the epoch 0/]],
    ["files", [{ created: "1970-01-01T00:00:01Z" }, { created: first }], ["epoch", "own"], [
      /effect-oci gives to files/
    ]],
    [
      "the layer after a step",
      [{ created: last }, { created: first, empty_layer: true }, { created: first }],
      ["own", "filled-in", "own"],
      [/the very time of item 2/]
    ],
    [
      "the item before a step",
      [{ created: last }, { created: first }, { created: first, empty_layer: true }],
      ["own", "own", "filled-in"],
      [/the very time of item 1/]
    ]
  ])("tells times from %s", ([, history, expected, notes]) =>
    Effect.gen(function*() {
      const explanation = yield* explain(history)
      assert.deepStrictEqual(origins(explanation), expected)
      const found = [...new Set(explanation.entries.flatMap((entry) => entry.notes))]
      assert.strictEqual(found.length, notes.length)
      notes.forEach((note, index) => assert.match(found[index] ?? "", note))
    }))

  it.effect.each<readonly [string, string | undefined, ReadonlyArray<number>, RegExp]>([
    ["the last item's", last, [1], /that of item 1, the last one/],
    ["another item's", first, [0], /that of item 0, which is not the last one/],
    ["its own", "2026-01-01T00:00:00Z", [], /its own/],
    ["none", undefined, [], /no time of creation/]
  ])("tells a time of creation that is %s", ([, created, items, note]) =>
    Effect.gen(function*() {
      const explanation = yield* explain([{ created: first }, { created: last }], created)
      assert.deepStrictEqual(explanation.createdItems, items)
      assert.match(explanation.notes.join("\n"), note)
    }))

  it.effect("tells what does not fit, and what each repair would do", () =>
    Effect.gen(function*() {
      const more = yield* explain([{}, {}, {}])
      assert.deepStrictEqual(more.entries.map(({ layer }) => layer?.index), [0, 1, undefined])
      assert.include(more.entries[2]?.notes ?? [], "There is no layer left for this item.")
      assert.match(more.notes.join("\n"), /does not fit: 3 of its items are of a layer, and the image has 2 layers/)
      assert.deepStrictEqual(more.repairs.map(({ effect, policy }) => `${policy}: ${effect}`), [
        "strict: refuses the image",
        "buildkit: takes the layer from item 2",
        "align: takes the layer from item 2",
        "pad: takes the layer from item 2"
      ])
      const fewer = yield* explain([{}])
      assert.deepStrictEqual(fewer.unexplained.map(({ index }) => index), [1])
      assert.deepStrictEqual(fewer.repairs.map(({ effect, policy }) => `${policy}: ${effect}`), [
        "strict: refuses the image",
        "buildkit: adds an item for layer 1 as item 1",
        "align: adds an item for layer 0 as item 0",
        "pad: adds an item for layer 0 as item 0"
      ])
      const none = yield* explain([])
      assert.deepStrictEqual([none.repairs.length, none.unexplained.length], [0, 2])
      assert.match(none.notes.join("\n"), /has no history, which is allowed/)
    }))

  it.effect.each<readonly [ReadonlyArray<string | null>, ReadonlyArray<string>]>([
    [[null, null], []],
    [[null, "gzip-1"], ["Layer 1 was compressed by gzip-1."]],
    [["gzip-1", "gzip-1"], ["Layers 0, 1 were compressed by gzip-1."]],
    [["gzip-2", "gzip-1"], ["Layer 0 was compressed by gzip-2.", "Layer 1 was compressed by gzip-1."]]
  ])("tells the encoders of layers, and what they mean: %j", ([encoders, notes]) =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const { manifest } = blobs.image({
        manifest: (manifest) => ({
          ...manifest,
          layers: manifest.layers.map((layer, index) => {
            const encoder = encoders[index] ?? null
            return encoder === null ? layer : { ...layer, annotations: { "dev.effect-oci.encoder": encoder } }
          })
        })
      })
      const explanation = Explanation.of(yield* load(blobs, manifest))
      const layers = explanation.entries.flatMap(({ layer }) => layer === undefined ? [] : [layer.encoder ?? null])
      assert.deepStrictEqual(layers, encoders)
      const found = explanation.notes.filter((note) => note.includes("compressed by") || note.includes("same encoder"))
      assert.deepStrictEqual(found.slice(0, -1), notes)
      if (notes.length > 0) assert.match(found.at(-1) ?? "", /^The same encoder at the same level makes one digest/)
    }))

  it.effect("tells the base image's layers from the image's own, where the base is there", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const base = yield* load(blobs, blobs.image({ layers: [layerOf("base")] }).manifest)
      const annotations = {
        "org.opencontainers.image.base.name": "docker.io/library/alpine:3",
        "org.opencontainers.image.base.digest": base.descriptor.digest
      }
      const image = yield* load(
        blobs,
        blobs.image({
          layers: [layerOf("base"), layerOf("app")],
          config: (config) => ({
            ...config,
            history: [{ empty_layer: true }, {}, { empty_layer: true }, {}]
          }),
          manifest: (manifest) => ({ ...manifest, annotations })
        }).manifest
      )
      const known = Explanation.of(image, base)
      assert.deepStrictEqual(known.base, {
        name: "docker.io/library/alpine:3",
        digest: base.descriptor.digest,
        layers: 1
      })
      assert.deepStrictEqual(known.entries.map(({ isBase }) => isBase), [true, true, false, false])
      const unknown = Explanation.of(image)
      assert.strictEqual(unknown.base?.layers, undefined)
      assert.deepStrictEqual(unknown.entries.map(({ isBase }) => isBase), Array.from({ length: 4 }, () => undefined))
      const unrelated = yield* load(blobs, blobs.image({ layers: [layerOf("elsewhere")] }).manifest)
      assert.strictEqual(Explanation.of(image, unrelated).base?.layers, undefined)
      assert.strictEqual(Explanation.of(base).base, undefined)
    }))
})
