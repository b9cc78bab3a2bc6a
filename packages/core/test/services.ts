/** Services for core's tests, as simple as can be: core's packages know no adapters. */
import { BlobMissing, BlobStore, DigestMismatch } from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import { Hash } from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { constants, gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"

export const digestOf = (bytes: Uint8Array, algorithm: Digest.Algorithm = "sha256"): Digest.Digest =>
  Result.getOrThrow(Digest.fromHex(algorithm, createHash(algorithm).update(bytes).digest("hex")))

const hash = Layer.succeed(Hash, {
  make: (algorithm) => {
    const chunks: Array<Uint8Array> = []
    return {
      update: (bytes) => void chunks.push(bytes.slice()),
      digest: () => digestOf(Buffer.concat(chunks), algorithm)
    }
  }
})

const whole = (bytes: Uint8Array): Uint8Array => bytes

const compressors = {
  uncompressed: whole,
  gzip: (bytes: Uint8Array, level: number): Uint8Array => gzipSync(bytes, { level }),
  zstd: (bytes: Uint8Array, level: number): Uint8Array =>
    zstdCompressSync(bytes, { params: { [constants.ZSTD_c_compressionLevel]: level } })
}

const decompressors = { uncompressed: whole, gzip: gunzipSync, zstd: zstdDecompressSync }

const compression = Layer.succeed(Compression.Compression, {
  encoder: (format) => `test-${format}`,
  compress: (format, asked) => (content) =>
    Stream.fromEffect(
      Effect.flatMap(Effect.fromResult(Compression.level(format, asked)), (level) =>
        Effect.map(Stream.mkUint8Array(content), (bytes) => compressors[format](bytes, level)))
    ),
  decompress: (format) => (content) =>
    Stream.fromEffect(Effect.flatMap(Stream.mkUint8Array(content), (bytes) =>
      Effect.try({
        try: (): Uint8Array => decompressors[format](bytes),
        catch: (cause) => new Compression.CorruptContent({ format, cause })
      })))
})

/** A store that tells what is in it. */
export const blobs = new Map<string, Uint8Array>()

const store = Layer.sync(BlobStore, () => {
  blobs.clear()
  return {
    put: (content, expected) =>
      Effect.flatMap(Stream.mkUint8Array(content), (bytes) => {
        const digest = digestOf(bytes)
        if (expected?.digest !== undefined && expected.digest !== digest) {
          return Effect.fail(new DigestMismatch({ store: "test", expected: expected.digest, found: digest }))
        }
        blobs.set(digest, bytes)
        return Effect.succeed({ digest, size: bytes.length })
      }),
    get: ({ digest }) => {
      const bytes = blobs.get(digest)
      return bytes === undefined ? Stream.fail(new BlobMissing({ store: "test", digest })) : Stream.succeed(bytes)
    },
    has: ({ digest }) => Effect.sync(() => blobs.has(digest))
  }
})

export const services = Layer.mergeAll(hash, compression, Layer.fresh(store))
