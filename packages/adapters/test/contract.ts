/** Runs the cases of a contract, each on a layer that is built for it. */
import type { Case } from "@effect-oci/adapters/Contract"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import type { Hash } from "@effect-oci/core/Hash"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

export const keeps = <R>(
  cases: ReadonlyArray<Case<R | Hash>>,
  fresh: () => Layer.Layer<R, never, Hash>
): void => {
  for (const { name, test } of cases) {
    it.live(name, () => Effect.suspend(() => Effect.provide(test, Layer.provideMerge(fresh(), NodeHash.layer))))
  }
}
