import * as Reference from "@effect-oci/core/Reference"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { bytesOf, digestOf, failureOf } from "./values.ts"

const descriptor = (mediaType: string, name: string, more: object = {}): Descriptor.Descriptor => ({
  mediaType,
  digest: digestOf(name),
  size: name.length,
  ...more
})

const config = descriptor(MediaType.imageConfig, "config")
const layer = descriptor(MediaType.layer, "layer")
const foreign = descriptor(MediaType.dockerForeignLayer, "foreign", { urls: ["https://example.org/layer"] })
const subject = descriptor(MediaType.imageManifest, "subject")
const manifest = descriptor(MediaType.imageManifest, "manifest")
const index = descriptor(MediaType.imageIndex, "index")

describe("inDocument", () => {
  it("gives what a document names, in its order, and what need not be there", () => {
    const cases: ReadonlyArray<readonly [Descriptor.Descriptor, object, ReadonlyArray<readonly [string, boolean]>]> = [
      [manifest, { config, layers: [layer, foreign], subject }, [
        ["config", false],
        ["layer", false],
        ["foreign", true],
        ["subject", true]
      ]],
      [descriptor(MediaType.dockerManifest, "docker"), { config, layers: [] }, [["config", false]]],
      [index, { manifests: [manifest, index], subject }, [["manifest", false], ["index", false], ["subject", true]]],
      [descriptor(MediaType.dockerManifestList, "list"), { manifests: [manifest] }, [["manifest", false]]],
      [config, { config, layers: [layer], manifests: [manifest] }, []]
    ]
    for (const [document, members, expected] of cases) {
      const found = Result.getOrThrow(
        Reference.inDocument(document, bytesOf(JSON.stringify({ schemaVersion: 2, ...members })))
      )
      assert.deepStrictEqual(
        found.map((reference) => [reference.descriptor.digest, reference.isOptional]),
        expected.map(([name, isOptional]) => [digestOf(name), isOptional])
      )
      assert.isTrue(found.every(({ from }) => from === document.digest))
    }
    assert.strictEqual(failureOf(Reference.inDocument(index, bytesOf("{")))._tag, "InvalidJson")
  })
})

describe("walk", () => {
  it.effect("visits each blob once, the nearest first, however they name each other", () =>
    Effect.gen(function*() {
      const names: Readonly<Record<string, ReadonlyArray<string>>> = {
        a: ["b", "c"],
        b: ["d", "a"],
        c: ["d", "b"],
        d: ["a"]
      }
      const reference = (name: string) => Reference.make(descriptor("x", name), "test")
      const nameOf = new Map(Object.keys(names).map((name) => [String(digestOf(name)), name]))
      const visited: Array<string | undefined> = []
      yield* Reference.walk([reference("a"), reference("a")], ({ descriptor: { digest } }) =>
        Effect.sync(() => {
          const name = nameOf.get(digest)
          visited.push(name)
          return (names[name ?? ""] ?? []).map(reference)
        }), 1)
      assert.deepStrictEqual(visited, ["a", "b", "c", "d"])
    }))

  it.effect("visits one digest again that is described in another way, and a chain of any length", () =>
    Effect.gen(function*() {
      let visits = 0
      const visit = () => Effect.sync(() => (visits++, []))
      const described = [layer, { ...layer, size: 1 }, { ...layer, mediaType: MediaType.layerGzip }, {
        ...layer,
        annotations: {}
      }]
      yield* Reference.walk(described.map((one) => Reference.make(one, "test")), visit, 4)
      assert.strictEqual(visits, 3)
      let length = 0
      const next = () => Reference.make({ ...layer, size: ++length }, "test")
      yield* Reference.walk([next()], () => Effect.sync(() => length < 20_000 ? [next()] : []), 1)
      assert.strictEqual(length, 20_000)
    }))
})
