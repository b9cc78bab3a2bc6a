import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Layer from "@effect-oci/core/Layer"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { blobs, digestOf, services } from "./services.ts"

const provided = Effect.provide(services)

const archive = Stream.make(Tar.directory("d"), Tar.file("d/f", "x".repeat(100_000)), Tar.symlink("l", "d/f")).pipe(
  Stream.pipeThroughChannelOrFail(Tar.encode()),
  Stream.mkUint8Array
)

const pieces = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, index * size + size))
  ).pipe(Stream.rechunk(3))

describe("store", () => {
  it.effect("compresses an archive, and knows it by both digests", () =>
    Effect.gen(function*() {
      const tar = yield* archive
      const { descriptor, diffId } = yield* Layer.store(pieces(tar, 1000))
      const blob = yield* BlobStore.getBytes(descriptor)
      assert.deepStrictEqual(descriptor, {
        mediaType: MediaType.layerGzip,
        digest: digestOf(blob),
        size: blob.length
      })
      assert.strictEqual(diffId, digestOf(tar))
      assert.isTrue(gunzipSync(blob).equals(tar))
    }).pipe(provided))

  it.effect("tells what has compressed the archive, where it was done here", () =>
    Effect.gen(function*() {
      const tar = yield* archive
      const entries = Stream.make(Tar.file("f", "x"))
      for (
        const [options, encoder] of [
          [{}, "test-gzip"],
          [{ compression: "zstd" }, "test-zstd"],
          [{ compression: "uncompressed" }, undefined]
        ] as const
      ) {
        const stored = yield* Layer.store(Stream.succeed(tar), options)
        const all = [
          stored,
          yield* Layer.adopt(Stream.succeed(tar), options),
          yield* Layer.fromEntries(entries, options),
          yield* Layer.recompress(stored.descriptor, options),
          yield* Layer.squash([stored.descriptor], { whiteouts: "keep", ...options })
        ]
        assert.deepStrictEqual(all.map((layer) => layer.encoder), all.map(() => encoder))
      }
      const adopted = yield* Layer.adopt(Stream.succeed(gzipSync(tar)), { compression: "zstd" })
      assert.notProperty(adopted, "encoder")
    }).pipe(provided))

  const formats: ReadonlyArray<readonly [Layer.Options, string, (bytes: Uint8Array) => Uint8Array]> = [
    [{ compression: "uncompressed" }, MediaType.layer, (bytes) => bytes],
    [{ compression: "gzip", level: 0 }, MediaType.layerGzip, gunzipSync],
    [{ level: 9 }, MediaType.layerGzip, gunzipSync],
    [{ compression: "zstd" }, MediaType.layerZstd, zstdDecompressSync]
  ]
  it.effect.each(formats)("writes what %s asks for", ([options, mediaType, read]) =>
    Effect.gen(function*() {
      const tar = yield* archive
      for (const store of [Layer.store, Layer.adopt]) {
        const { descriptor, diffId } = yield* store(Stream.succeed(tar), options)
        assert.strictEqual(descriptor.mediaType, mediaType)
        assert.strictEqual(diffId, digestOf(tar))
        assert.deepStrictEqual(Buffer.from(read(yield* BlobStore.getBytes(descriptor))), Buffer.from(tar))
      }
    }).pipe(provided))

  it.effect("tells the levels apart", () =>
    Effect.gen(function*() {
      const tar = yield* archive
      const [stored, best] = yield* Effect.forEach([0, 9], (level) => Layer.store(Stream.succeed(tar), { level }))
      assert.isAbove(stored?.descriptor.size ?? 0, tar.length)
      assert.isBelow(best?.descriptor.size ?? tar.length, 2000)
    }).pipe(provided))

  it.effect("refuses a level that there is not, and stores nothing", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.store(archive.pipe(Stream.fromEffect), { compression: "zstd", level: 99 }))
      assert.strictEqual(error.message, "zstd has no level 99: expected a whole number from 1 to 22")
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))

  it.effect("stores nothing of content that fails", () =>
    Effect.gen(function*() {
      const content = Stream.concat(Stream.succeed(yield* archive), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Layer.store(content)), "broken")
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))
})

describe("adopt", () => {
  it.effect("keeps the bytes of a compressed archive, in pieces of any size", () =>
    Effect.gen(function*() {
      const tar = yield* archive
      const archives = [
        [gzipSync(tar, { level: 1 }), MediaType.layerGzip],
        [zstdCompressSync(tar), MediaType.layerZstd]
      ] as const
      for (const [compressed, mediaType] of archives) {
        for (const size of [1, 2, 100, compressed.length]) {
          const { descriptor, diffId } = yield* Layer.adopt(pieces(compressed, size), { compression: "uncompressed" })
          assert.deepStrictEqual(descriptor, { mediaType, digest: digestOf(compressed), size: compressed.length })
          assert.strictEqual(diffId, digestOf(tar))
        }
      }
      assert.strictEqual(blobs.size, 2)
    }).pipe(provided))

  it.effect("compresses a plain archive", () =>
    Effect.gen(function*() {
      const tar = yield* archive
      for (const size of [1, 511, tar.length]) {
        const { descriptor, diffId } = yield* Layer.adopt(pieces(tar, size))
        assert.isTrue(gunzipSync(yield* BlobStore.getBytes(descriptor)).equals(tar))
        assert.strictEqual(diffId, digestOf(tar))
      }
      assert.strictEqual((yield* Layer.adopt(Stream.succeed(new Uint8Array(1024)))).descriptor.size > 0, true)
    }).pipe(provided))

  const text = new TextEncoder().encode("no archive, but more than a block of it ".repeat(30))
  const bad: ReadonlyArray<readonly [string, (tar: Uint8Array) => Uint8Array, string]> = [
    ["nothing", () => new Uint8Array(), "InvalidLayer"],
    ["one byte", () => new Uint8Array([0x1f]), "InvalidLayer"],
    ["text", () => text, "InvalidLayer"],
    ["compressed text", () => gzipSync(text), "InvalidLayer"],
    ["compressed nothing", () => gzipSync(""), "InvalidLayer"],
    ["an archive that is cut", (tar) => tar.subarray(0, 50_000), "InvalidLayer"],
    ["a compressed archive that is cut", (tar) => gzipSync(tar).subarray(0, 100), "CorruptContent"],
    ["a Zstandard archive that is cut", (tar) => zstdCompressSync(tar).subarray(0, 100), "CorruptContent"],
    ["text in Zstandard", () => zstdCompressSync(text), "InvalidLayer"],
    ["a compressed archive that was cut before", (tar) => gzipSync(tar.subarray(0, 50_000)), "InvalidLayer"],
    ["a header with another bit", (tar) => tar.map((byte, index) => index === 3 ? byte ^ 1 : byte), "InvalidLayer"]
  ]
  it.effect.each(bad)("refuses %s, and stores nothing", ([, spoil, tag]) =>
    Effect.gen(function*() {
      const bytes = spoil(yield* archive)
      for (const size of [100, 1 << 20]) {
        const error = yield* Effect.flip(Layer.adopt(pieces(bytes, size)))
        assert.strictEqual(error._tag, tag)
      }
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))

  it.effect("says what it is that was found", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.adopt(Stream.succeed(text)))
      assert.strictEqual(
        error.message.slice(0, 105),
        "the content is not a layer: expected a tar archive, plain or compressed with gzip or Zstandard, found inv"
      )
    }).pipe(provided))

  it.effect("passes on what the content fails with", () =>
    Effect.gen(function*() {
      const content = Stream.concat(pieces(yield* archive, 100), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Layer.adopt(content)), "broken")
      assert.strictEqual(yield* Effect.flip(Layer.adopt(Stream.fail("at once" as const))), "at once")
    }).pipe(provided))

  it.live("is interrupted at once", () =>
    Effect.gen(function*() {
      const content = Stream.concat(Stream.succeed(yield* archive), Stream.fromEffect(Effect.never))
      const fiber = yield* Effect.forkChild(Layer.adopt(content))
      yield* Effect.sleep("20 millis")
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 100)
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))
})
