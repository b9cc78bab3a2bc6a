/**
 * What an export has to say besides its result: lines of the log.
 *
 * @since 0.1.0
 */
import * as Compatibility from "@effect-oci/core/Compatibility"
import type * as ExportImage from "@effect-oci/core/ExportImage"
import * as Effect from "effect/Effect"

/**
 * Tells what was changed in the history, and by which rules `effect-oci-1` would have written something else. Nothing is told
 * where it would only name the encoders: that is so with every layer of ours.
 *
 * @category writing
 * @since 0.1.0
 */
export const tell = Effect.fnUntraced(function*(exported: ExportImage.Exported) {
  for (const change of exported.changes) {
    const item = `history item ${change.index}`
    yield* Effect.log(
      change._tag === "ItemAdded"
        ? `${item} added for layer ${change.layer}`
        : `${item} lost its layer: ${change.reason}`
    )
  }
  if (exported.differingRules.some((rule) => rule !== "encoderAnnotation")) {
    yield* Effect.log(
      `--compatibility ${Compatibility.effectOci1.name} would write something else, by its rules: ${
        exported.differingRules.map((rule) => `${rule} (${Compatibility.effectOci1[rule]})`).join(", ")
      }`
    )
  }
})
