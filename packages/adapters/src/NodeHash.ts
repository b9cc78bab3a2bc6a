/**
 * Hashing by Node's own implementation, which is OpenSSL's.
 *
 * @since 0.1.0
 */
import * as Hash from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"

/**
 * Layer that hashes with `node:crypto`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Hash.Hash> = Layer.succeed(Hash.Hash, {
  make: (algorithm) => {
    const hash = createHash(algorithm)
    return {
      update: (bytes) => {
        hash.update(bytes)
      },
      digest: () => Result.getOrThrow(Digest.fromHex(algorithm, hash.digest("hex")))
    }
  }
})
