import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Layer from "@effect-oci/core/Layer"
import type * as LayerTar from "@effect-oci/core/LayerTar"
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib"
import { blobs, digestOf, services } from "./services.ts"
import { archive, end, entry, long, pax } from "./tar.ts"
import { timeOf } from "./values.ts"

const provided = Effect.provide(services)

const stored = (tar: Uint8Array, options: Layer.Options = { compression: "uncompressed" }) =>
  Layer.store(Stream.succeed(tar), options)

const simple = archive(entry({ name: "a", content: "hello" }))

describe("fromEntries", () => {
  it.effect("stores entries as a layer", () =>
    Effect.gen(function*() {
      const entries = Stream.make(
        Tar.directory("d"),
        Tar.fileStream("d/f", 5, Stream.make(new Uint8Array(2), new Uint8Array(3))),
        Tar.symlink("d/.wh.x", "y")
      )
      const { descriptor, diffId } = yield* Layer.fromEntries(entries, { compression: "uncompressed" })
      assert.strictEqual(descriptor.digest, diffId)
      assert.deepStrictEqual((yield* Stream.runCollect(Layer.list(descriptor))).map(({ kind, path }) => [kind, path]), [
        ["directory", "d"],
        ["file", "d/f"],
        ["whiteout", "d/.wh.x"]
      ])
    }).pipe(provided))

  const bad: ReadonlyArray<readonly [string, Tar.Entry, string]> = [
    ["content of another size", Tar.fileStream("a", 5, Stream.make(new Uint8Array(4))), "InvalidEntry"],
    ["no name", Tar.file("", "x"), "InvalidEntry"],
    ["a file that ends like a directory", Tar.file("a/", "x"), "InvalidEntry"],
    ["a name that leads out", Tar.file("../a", "x"), "InvalidLayer"],
    ["an invalid whiteout", Tar.file(".wh.", ""), "InvalidLayer"]
  ]
  it.effect.each(bad)("refuses %s, and stores nothing", ([, entry, tag]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.fromEntries(Stream.make(Tar.file("good", "x"), entry)))
      assert.strictEqual(error._tag, tag)
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))
})

describe("adopt", () => {
  const rows: ReadonlyArray<readonly [string, Uint8Array, LayerTar.Limits, string]> = [
    ["a name that leads out", archive(entry({ name: "../a" })), {}, "UnsafeEntry"],
    ["a sparse file", archive(entry({ name: "a", type: "S" })), {}, "UnsupportedEntry"],
    ["two sizes", archive(pax([["size", "1"]]), entry({ name: "a", size: 2 })), {}, "AmbiguousEntry"],
    ["what is too large", simple, { maxBytes: 1024 }, "LimitExceeded"],
    ["too many entries", simple, { maxEntries: 0 }, "LimitExceeded"]
  ]
  it.effect.each(rows)("refuses %s, and stores nothing", ([, tar, limits, tag]) =>
    Effect.gen(function*() {
      for (const bytes of [tar, gzipSync(tar)]) {
        const error = yield* Effect.flip(Layer.adopt(Stream.succeed(bytes), limits))
        assert(error._tag === "InvalidLayer")
        assert.strictEqual(error.reason._tag, tag)
      }
      assert.strictEqual(blobs.size, 0)
    }).pipe(provided))
})

describe("list", () => {
  it.effect("reads every format, whatever its media type", () =>
    Effect.gen(function*() {
      for (const compression of ["uncompressed", "gzip", "zstd"] as const) {
        const { descriptor, diffId } = yield* stored(simple, { compression })
        const annotations = { [Annotations.uncompressed]: diffId }
        const entries = yield* Stream.runCollect(
          Layer.list({ ...descriptor, mediaType: "application/octet-stream", annotations })
        )
        assert.deepStrictEqual(entries.map(({ path, size }) => [path, size]), [["a", 5]])
      }
    }).pipe(provided))

  it.effect("fails where the diff ID is another one", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* stored(simple, {})
      const annotations = { [Annotations.uncompressed]: digestOf(new Uint8Array()) }
      for (
        const read of [
          Stream.runDrain(Layer.list({ ...descriptor, annotations })),
          Layer.recompress({ ...descriptor, annotations }),
          Layer.rewriteTimestamps({ ...descriptor, annotations }, timeOf("2020-01-01T00:00:00Z")),
          Layer.squash([{ ...descriptor, annotations }], { whiteouts: "drop" })
        ]
      ) {
        const error = yield* Effect.flip(read)
        assert.strictEqual(error._tag, "WrongDiffId")
      }
      assert.strictEqual(blobs.size, 1)
    }).pipe(provided))

  it.effect("fails where there is no such blob, or none that is a layer", () =>
    Effect.gen(function*() {
      const missing = yield* Effect.flip(Stream.runDrain(Layer.list({ digest: digestOf(simple), size: 1 })))
      assert.strictEqual(missing._tag, "BlobMissing")
      const text = yield* BlobStore.putBytes(new TextEncoder().encode("no layer"))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(Layer.list(text))))._tag, "InvalidLayer")
    }).pipe(provided))
})

describe("recompress", () => {
  const rows = [
    [MediaType.layerGzip, "zstd", MediaType.layerZstd],
    [MediaType.layerGzip, "uncompressed", MediaType.layer],
    [MediaType.layerZstd, "gzip", MediaType.layerGzip],
    [MediaType.dockerLayerGzip, "uncompressed", MediaType.dockerLayer],
    [MediaType.dockerLayer, "gzip", MediaType.dockerLayerGzip],
    [MediaType.dockerLayerGzip, "zstd", MediaType.dockerLayerZstd],
    [MediaType.nondistributableLayerGzip, "zstd", MediaType.nondistributableLayerZstd],
    [MediaType.dockerForeignLayerGzip, "uncompressed", MediaType.dockerForeignLayer],
    [MediaType.dockerForeignLayerGzip, "zstd", MediaType.nondistributableLayerZstd],
    ["application/x-unknown", "gzip", MediaType.layerGzip]
  ] as const
  const read = { uncompressed: (bytes: Uint8Array) => bytes, gzip: gunzipSync, zstd: zstdDecompressSync }
  it.effect.each(rows)("makes of %s in %s %s", ([before, compression, after]) =>
    Effect.gen(function*() {
      const { descriptor, diffId } = yield* stored(simple, { compression: "gzip", level: 1 })
      const result = yield* Layer.recompress({ ...descriptor, mediaType: before }, { compression })
      assert.strictEqual(result.diffId, diffId)
      assert.strictEqual(result.descriptor.mediaType, after)
      const bytes = yield* BlobStore.getBytes(result.descriptor)
      assert.strictEqual(result.descriptor.digest, digestOf(bytes))
      assert.deepStrictEqual(Buffer.from(read[compression](bytes)), Buffer.from(simple))
    }).pipe(provided))

  it.effect("keeps of the descriptor what is still true", () =>
    Effect.gen(function*() {
      const { descriptor, diffId } = yield* stored(simple)
      const annotated: Descriptor.Descriptor = {
        ...descriptor,
        urls: ["https://example.com/layer"],
        data: "aGVsbG8=",
        annotations: {
          [Annotations.uncompressed]: diffId,
          [Annotations.createdAt]: "2024-01-01T00:00:00Z",
          [`${Annotations.distributionSourcePrefix}example.com`]: "library/a",
          [Annotations.encoder]: "another",
          "containerd.io/snapshot/stargz/toc.digest": diffId,
          "io.github.containers.zstd-chunked.manifest-checksum": diffId,
          "com.example.team": "base"
        }
      }
      const result = yield* Layer.recompress(annotated, { compression: "gzip" })
      assert.deepStrictEqual(Object.keys(result.descriptor).toSorted(), ["annotations", "digest", "mediaType", "size"])
      assert.deepStrictEqual(result.descriptor.annotations, {
        [Annotations.uncompressed]: diffId,
        [Annotations.createdAt]: "2024-01-01T00:00:00Z",
        "com.example.team": "base"
      })
    }).pipe(provided))

  it.effect("holds to the limit and to the levels", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* stored(simple)
      const large = yield* Effect.flip(Layer.recompress(descriptor, { maxBytes: simple.length - 1 }))
      assert.strictEqual(large._tag === "InvalidLayer" ? large.reason._tag : large._tag, "LimitExceeded")
      assert.strictEqual((yield* Effect.flip(Layer.recompress(descriptor, { level: 10 })))._tag, "InvalidLevel")
      assert.strictEqual((yield* Layer.recompress(descriptor, { maxBytes: simple.length })).diffId, descriptor.digest)
    }).pipe(provided))
})

const capability = new Uint8Array([1, 0, 0, 2, 0, 4, 0xff, 0x0a, 0xc3, 0])
const epoch = timeOf("2020-01-01T00:00:00Z")
const { seconds: at } = epoch

/** An archive with a time in every place where one can be. */
const timed = (time: number, text: string): Uint8Array =>
  archive(
    pax([["comment", "c"]], { type: "g", mtime: time }),
    pax([
      ["SCHILY.xattr.security.capability", capability],
      ["mtime", text],
      ["atime", text],
      ["ctime", text],
      ["LIBARCHIVE.creationtime", text],
      ["path", "päth"]
    ], { mtime: time }),
    entry({ name: "path", mtime: time, content: "hello" }),
    long("L", "n".repeat(200)),
    entry({ name: "n", mtime: time, atime: time, ctime: time, format: "gnu" }),
    entry({ name: "star", mtime: time, atime: time, ctime: time, format: "star", type: "5" }),
    entry({ name: "old", mtime: time, format: "v7", type: "2", target: "a" })
  )

const rewritten = (tar: Uint8Array, epoch: Timestamp.Timestamp) =>
  Effect.gen(function*() {
    const before = yield* stored(tar)
    const after = yield* Layer.rewriteTimestamps(before.descriptor, epoch)
    return { before, after, bytes: yield* BlobStore.getBytes(after.descriptor) }
  })

describe("rewriteTimestamps", () => {
  it.effect("changes every later time and nothing else", () =>
    Effect.gen(function*() {
      const { after, bytes } = yield* rewritten(timed(at + 1, `${at}.000000001`), epoch)
      assert.deepStrictEqual(Buffer.from(bytes), Buffer.from(timed(at, `${at}`)))
      assert.strictEqual(after.diffId, digestOf(bytes))
      assert.deepStrictEqual(after.descriptor.annotations, { [Annotations.rewrittenTimestamp]: `${at}` })
    }).pipe(provided))

  it.effect("makes room where the epoch is longer to write", () =>
    Effect.gen(function*() {
      const { bytes } = yield* rewritten(timed(10, "10"), { seconds: 9, nanoseconds: 120_000_000, offset: "Z" })
      assert.deepStrictEqual(Buffer.from(bytes), Buffer.from(timed(9, "9.12")))
    }).pipe(provided))

  it.effect("takes a record of another length over a block's border", () =>
    Effect.gen(function*() {
      const tar = (time: string, length: number) =>
        archive(pax([["comment", "x".repeat(length)], ["mtime", time]]), entry({ name: "a" }))
      const { bytes } = yield* rewritten(tar("1600000000.123456789", 475), epoch)
      assert.deepStrictEqual(Buffer.from(bytes), Buffer.from(tar(`${at}`, 475)))
      assert.isBelow(bytes.length, tar("1600000000.123456789", 475).length)
    }).pipe(provided))

  it.effect("writes an epoch before 1970", () =>
    Effect.gen(function*() {
      const early = { seconds: -2, nanoseconds: 500_000_000, offset: "Z" } as const
      const { after } = yield* rewritten(
        archive(entry({ name: "a", mtime: 5 }), pax([["mtime", "3"]]), entry({ name: "b" })),
        early
      )
      const entries = yield* Stream.runCollect(Layer.list(after.descriptor))
      assert.deepStrictEqual(entries.map(({ mtime }) => mtime), [{ ...early, nanoseconds: 0 }, early])
    }).pipe(provided))

  it.effect("clamps what is later than all years", () =>
    Effect.gen(function*() {
      const tar = (time: string) => archive(pax([["atime", time]]), entry({ name: "a" }))
      const { bytes } = yield* rewritten(tar("99999999999999999999"), epoch)
      assert.deepStrictEqual(Buffer.from(bytes), Buffer.from(tar(`${at}`)))
    }).pipe(provided))

  it.effect("leaves a layer without later times as it is", () =>
    Effect.gen(function*() {
      const before = yield* stored(timed(at, `${at}`), { compression: "gzip" })
      const descriptor = { ...before.descriptor, annotations: { [Annotations.encoder]: "another" } }
      const after = yield* Layer.rewriteTimestamps(descriptor, epoch, { compression: "zstd" })
      assert.strictEqual(after.descriptor, descriptor)
      assert.notProperty(after, "encoder")
      assert.strictEqual(after.diffId, before.diffId)
      assert.strictEqual(blobs.size, 1)
    }).pipe(provided))

  it.effect("does nothing the second time", () =>
    Effect.gen(function*() {
      const { after } = yield* rewritten(timed(at + 9, `${at + 9}.5`), epoch)
      assert.deepStrictEqual(yield* Layer.rewriteTimestamps(after.descriptor, epoch), after)
    }).pipe(provided))

  it.effect("keeps the format, the family, and the diff ID's annotation", () =>
    Effect.gen(function*() {
      const before = yield* stored(timed(at + 1, "1"), { compression: "zstd" })
      const after = yield* Layer.rewriteTimestamps({
        ...before.descriptor,
        mediaType: MediaType.dockerLayerZstd,
        annotations: { [Annotations.uncompressed]: before.diffId }
      }, epoch)
      assert.strictEqual(after.descriptor.mediaType, MediaType.dockerLayerZstd)
      assert.strictEqual(after.descriptor.annotations?.[Annotations.uncompressed], after.diffId)
      const bytes = zstdDecompressSync(yield* BlobStore.getBytes(after.descriptor))
      assert.deepStrictEqual(bytes, Buffer.from(timed(at, "1")))
      assert.strictEqual(after.encoder, "test-zstd")
    }).pipe(provided))

  it.effect("tells the diff ID by the algorithm that it was told by", () =>
    Effect.gen(function*() {
      const tar = timed(at + 1, "1")
      const { descriptor } = yield* stored(tar)
      const annotations = { [Annotations.uncompressed]: digestOf(tar, "sha512") }
      const after = yield* Layer.rewriteTimestamps({ ...descriptor, annotations }, epoch)
      assert.strictEqual(after.diffId, digestOf(timed(at, "1"), "sha512"))
      assert.strictEqual(after.descriptor.annotations?.[Annotations.uncompressed], after.diffId)
    }).pipe(provided))

  it.effect("passes on what follows the end", () =>
    Effect.gen(function*() {
      const rest = Buffer.concat([end, new TextEncoder().encode("rest")])
      const { bytes } = yield* rewritten(Buffer.concat([entry({ name: "a", mtime: at + 5 }), end, rest]), epoch)
      assert.deepStrictEqual(Buffer.from(bytes), Buffer.concat([entry({ name: "a", mtime: at }), end, rest]))
    }).pipe(provided))
})
