/** What the inputs of the golden vectors are made of, and how results are put into their form. */
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as SchemaHistory from "@effect-oci/schema/History"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"))

export const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64")

export const History = Schema.optionalKey(Schema.NullOr(SchemaHistory.List))

export const Refs = Schema.optionalKey(
  Schema.NullOr(Schema.Array(Schema.Struct({ description: Schema.String, createdAt: Timestamp.FromString })))
)

/** A history in the two forms of an outcome. */
export const outcomeOf = (history: SchemaHistory.Items) => ({
  history: history === null ? null : JSON.parse(SchemaHistory.stringify(history)),
  historyJsonBase64: toBase64(new TextEncoder().encode(SchemaHistory.stringify(history)))
})

/** Metadata in the form of an outcome. */
export const release = (metadata: RefMetadata.RefMetadata) => ({
  description: metadata.description,
  createdAt: metadata.createdAt === undefined ? undefined : Timestamp.format(metadata.createdAt)
})

/** Makes a chain of refs, base first, of which the last is held by the caller, and counts how often each is released. */
export const chainOf = (refs: typeof Refs.Type | undefined) =>
  Effect.sync(() => {
    const releases = (refs ?? []).map(() => 0)
    const refAt = (index: number): Option.Option<CacheRef.Ref> => {
      const ref = refs?.[index]
      if (ref === undefined) return Option.none()
      return Option.some({
        name: `ref-${index}`,
        description: ref.description,
        createdAt: ref.createdAt,
        parent: Effect.acquireRelease(
          Effect.sync(() => refAt(index - 1)),
          (parent) =>
            Effect.sync(() => {
              if (Option.isSome(parent)) releases[index - 1] = (releases[index - 1] ?? 0) + 1
            })
        )
      })
    }
    return {
      ref: refAt((refs ?? []).length - 1),
      releases: () => ({ releases: releases.reduce((sum, count) => sum + count, 0), releasesByRef: releases })
    }
  })
