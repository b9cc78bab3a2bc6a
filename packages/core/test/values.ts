/** Values that tests are made of, and what tests ask of results. */
import * as Digest from "@effect-oci/schema/Digest"
import type * as History from "@effect-oci/schema/History"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert } from "@effect/vitest"
import * as Result from "effect/Result"
import { createHash } from "node:crypto"

export const bytesOf = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text)

export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

export const timeOf = (text: string): Timestamp.Timestamp => Result.getOrThrow(Timestamp.parse(text))

export const digestOf = (content: string | Uint8Array): Digest.Digest =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(content).digest("hex")))

/** Freezes a value and all that it is made of, so that whoever changes it throws. */
export const frozen = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) frozen(member)
  }
  return value
}

/** The failure of a result that has to be one. */
export const failureOf = <A, E>(result: Result.Result<A, E>): E =>
  Result.isFailure(result) ? result.failure : assert.fail(`expected a failure, found ${JSON.stringify(result.success)}`)

/** A history for people to compare: `what|when`, with `|E` for an item without a layer. */
export const shown = (history: History.Items): ReadonlyArray<string> | null =>
  history?.map(({ created, created_by, empty_layer }) =>
    `${created_by ?? ""}|${created === undefined ? "" : Timestamp.format(created)}${empty_layer === true ? "|E" : ""}`
  ) ?? null
