/** Services for core's tests, as simple as can be: core's packages know no adapters. */
import { BlobMissing, BlobStore, DigestMismatch } from "@effect-oci/core/BlobStore"
import { Compression, CorruptContent } from "@effect-oci/core/Compression"
import { Hash } from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { gunzipSync, gzipSync } from "node:zlib"

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

const compression = Layer.succeed(Compression, {
  gzip: (content) => Stream.fromEffect(Effect.map(Stream.mkUint8Array(content), (bytes) => gzipSync(bytes))),
  gunzip: (content) =>
    Stream.fromEffect(Effect.flatMap(Stream.mkUint8Array(content), (bytes) =>
      Effect.try({
        try: () => gunzipSync(bytes),
        catch: (cause) => new CorruptContent({ format: "gzip", cause })
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
