import { BlobStore } from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import * as Layer from "@effect-oci/core/Layer"
import * as LayerCache from "@effect-oci/core/LayerCache"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as EffectLayer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { gzipSync } from "node:zlib"
import { blobs, digestOf, services } from "./services.ts"

const key = digestOf(new Uint8Array([1]))
const other = Option.some(digestOf(new Uint8Array([2])))
const tar = new Uint8Array(1024)

/** Stores a layer through the cache, and tells whether it was made. */
const build = (options?: Layer.Options, of = Option.some(key), keptAs = of) =>
  Effect.gen(function*() {
    let made = 0
    const make = Effect.suspend(() => {
      made++
      return Effect.map(Layer.store(Stream.succeed(tar), options), (stored) => ({ ...stored, key: keptAs }))
    })
    const through = yield* LayerCache.through(Effect.succeed(of), make)
    return { ...through, made }
  })

const at = (cache: EffectLayer.Layer<LayerCache.LayerCache>) =>
  Effect.provide(EffectLayer.mergeAll(services, EffectLayer.fresh(cache)))

describe("through", () => {
  it.effect("makes a layer once", () =>
    Effect.gen(function*() {
      const first = yield* build()
      assert.deepStrictEqual([first.made, first.fromCache], [1, false])
      assert.strictEqual(first.stored.encoder, "test-gzip")
      assert.strictEqual(first.stored.diffId, digestOf(tar))
      assert.deepStrictEqual(yield* build(), { ...first, made: 0, fromCache: true })
      assert.strictEqual((yield* build({}, other)).made, 1)
    }).pipe(at(LayerCache.memory)))

  it.effect("makes it again when the store has lost it", () =>
    Effect.gen(function*() {
      const { stored } = yield* build()
      blobs.clear()
      assert.strictEqual((yield* build()).made, 1)
      assert.isTrue(yield* BlobStore.use((store) => store.has(stored.descriptor)))
    }).pipe(at(LayerCache.memory)))

  it.effect("makes it again for an encoder of another name", () =>
    Effect.gen(function*() {
      yield* build()
      const compression = yield* Compression.Compression
      const renamed = { ...compression, encoder: () => "newer" }
      const again = yield* Effect.provideService(build(), Compression.Compression, renamed)
      assert.deepStrictEqual([again.made, again.stored.encoder], [1, "newer"])
      assert.strictEqual((yield* Effect.provideService(build(), Compression.Compression, renamed)).made, 0)
    }).pipe(at(LayerCache.memory)))

  it.effect.each(["uncompressed", "adopted"])(
    "keeps what no encoder has made, whatever its name: %s",
    ([kind]) =>
      Effect.gen(function*() {
        const make = kind === "adopted"
          ? Layer.adopt(Stream.succeed(gzipSync(tar)))
          : Layer.store(Stream.succeed(tar), { compression: "uncompressed" })
        const through = LayerCache.through(
          Effect.succeed(Option.some(key)),
          Effect.map(make, (stored) => ({ ...stored, key: Option.some(key) }))
        )
        const first = yield* through
        assert.isUndefined(first.stored.encoder)
        const renamed = { ...yield* Compression.Compression, encoder: () => "newer" }
        const again = yield* Effect.provideService(through, Compression.Compression, renamed)
        assert.deepStrictEqual(again, { stored: first.stored, fromCache: true })
      }).pipe(at(LayerCache.memory))
  )

  it.effect("keeps nothing that failed", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        yield* Effect.flip(LayerCache.through(Effect.succeedSome(key), Effect.fail("broken"))),
        "broken"
      )
      assert.strictEqual((yield* build()).made, 1)
    }).pipe(at(LayerCache.memory)))

  it.effect("keeps a layer under the key that it was made with, or not at all", () =>
    Effect.gen(function*() {
      yield* build({}, Option.some(key), other)
      assert.strictEqual((yield* build({}, other)).made, 0)
      assert.strictEqual((yield* build({}, Option.some(key), Option.none())).made, 1)
      assert.strictEqual((yield* build({}, Option.none(), Option.none())).made, 1)
      assert.strictEqual((yield* build()).made, 1)
    }).pipe(at(LayerCache.memory)))

  it.effect("makes everything without a cache", () =>
    Effect.gen(function*() {
      for (const format of ["uncompressed", "gzip", "zstd"] as const) {
        for (let round = 0; round < 2; round++) {
          const { fromCache, made, stored } = yield* build({ compression: format })
          const encoder = format === "uncompressed" ? undefined : `test-${format}`
          assert.deepStrictEqual([made, fromCache, stored.encoder], [1, false, encoder])
        }
      }
      const cache = yield* LayerCache.LayerCache
      assert.isTrue(Option.isNone(yield* cache.find(key, yield* BlobStore)))
    }).pipe(at(LayerCache.none)))
})
