import * as BlobStore from "@effect-oci/core/BlobStore"
import * as BuildKitCache from "@effect-oci/core/BuildKitCache"
import type * as CacheChains from "@effect-oci/core/CacheChains"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as CacheConfig from "@effect-oci/schema/CacheConfig"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { services } from "./services.ts"
import { bytesOf, digestOf } from "./values.ts"

/** Layers on top of each other, named by their numbers. */
const numbered = (length: number): CacheChains.Chains => ({
  layers: new Map(
    Array.from({ length }, (_, index): [string, CacheChains.CachedLayer] => [
      `${index}`,
      { name: `${index}`, description: "", height: index + 1, ...(index === 0 ? {} : { parent: `${index - 1}` }) }
    ])
  ),
  tops: []
})

const content = { get: () => Stream.empty }

describe("toCacheRef", () => {
  it.effect("gives a chain of any length", () =>
    Effect.scoped(Effect.gen(function*() {
      const refs = BuildKitCache.toCacheRef(numbered(100_000), content, "the cache")
      assert.strictEqual((yield* CacheRef.chain(yield* refs.acquire("99999"))).length, 100_000)
    })))

  it.effect("lists the names, sorted, and knows no others", () =>
    Effect.gen(function*() {
      const refs = BuildKitCache.toCacheRef(numbered(11), content, "the cache")
      assert.deepStrictEqual((yield* refs.list).slice(0, 4), ["0", "1", "10", "2"])
      const error = yield* Effect.flip(Effect.scoped(refs.acquire("11")))
      assert.strictEqual(error.message, "the cache has no ref \"11\"")
    }))
})

const put = (mediaType: string, text: string) =>
  Effect.map(BlobStore.putBytes(bytesOf(text)), (blob) => ({ mediaType, ...blob }))

const errorOf = (text: string) =>
  Effect.flatMap(put(MediaType.imageIndex, text), (root) => Effect.flip(BuildKitCache.read(root))).pipe(
    Effect.map((error) => error._tag === "CacheUnreadable" ? error.cause : error),
    Effect.provide(services)
  )

describe("read", () => {
  it.effect.each<[string, string, string]>([
    ["no JSON", "{", "InvalidJson"],
    ["a list", "[]", "UnexpectedJson"],
    ["entries that are none", `{"manifests":[1]}`, "UnexpectedJson"],
    ["no config", `{"manifests":[]}`, "NotACache"],
    ["another config", `{"config":{"mediaType":"a/b","digest":"${digestOf("x")}","size":1},"layers":[]}`, "NotACache"],
    [
      "a config that is not there",
      `{"manifests":[{"mediaType":"${CacheConfig.mediaType}","digest":"${digestOf("x")}","size":1}]}`,
      "BlobMissing"
    ],
    [
      "a config that is too large",
      `{"manifests":[{"mediaType":"${CacheConfig.mediaType}","digest":"${digestOf("x")}","size":${
        Json.maxBytes + 1
      }}]}`,
      "LimitExceeded"
    ]
  ])("tells of a root with %s", ([, text, tag]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* errorOf(text))._tag, tag)
    }))

  it.effect("takes the last config of an index, as BuildKit does", () =>
    Effect.gen(function*() {
      const layer = { mediaType: MediaType.layer, digest: digestOf("layer"), size: 1 }
      const wrong = yield* put(CacheConfig.mediaType, "{}")
      const config = yield* put(
        CacheConfig.mediaType,
        JSON.stringify({ layers: [{ blob: layer.digest, parent: -1 }], records: [{ layers: [{ layer: 0 }] }] })
      )
      const root = yield* put(MediaType.imageIndex, JSON.stringify({ manifests: [wrong, layer, config] }))
      const { tops } = yield* BuildKitCache.read(root)
      assert.deepStrictEqual(tops.map(({ layer }) => layer?.diffId), [layer.digest])
    }).pipe(Effect.provide(services)))
})
