/**
 * Hashing of streams: a service, because `effect/crypto` hashes only what is in memory, and what hashes incrementally
 * differs from one run time to the next.
 *
 * @since 0.1.0
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Context from "effect/Context"

/**
 * A hash in progress.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hasher {
  /** Takes the next bytes in. The caller may reuse them afterwards. */
  readonly update: (bytes: Uint8Array) => void
  /** Gives the digest of all bytes so far. Only to be called once, as the last call. */
  readonly digest: () => Digest.Digest
}

/**
 * Makes hashers, one for each content.
 *
 * @category services
 * @since 0.1.0
 */
export class Hash extends Context.Service<Hash, {
  readonly make: (algorithm: Digest.Algorithm) => Hasher
}>()("@effect-oci/core/Hash") {}
