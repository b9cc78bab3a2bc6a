import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Hash from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"

describe("make", () => {
  // FIPS 180-4, the message "abc"
  it.effect("hashes bytes in pieces, which may be reused", () =>
    Effect.gen(function*() {
      const hash = yield* Hash.Hash
      const found = Digest.Algorithm.literals.map((algorithm) => {
        const hasher = hash.make(algorithm)
        const bytes = new Uint8Array(1)
        for (const code of [97, 98, 99]) {
          bytes[0] = code
          hasher.update(bytes)
        }
        return hasher.digest()
      })
      assert.deepStrictEqual<ReadonlyArray<string>>(found, [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
      ])
    }).pipe(Effect.provide(NodeHash.layer)))
})
