/** What the inputs of the golden vectors are made of, and how results are put into their form. */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Compatibility from "@effect-oci/core/Compatibility"
import * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as Digest from "@effect-oci/schema/Digest"
import * as SchemaHistory from "@effect-oci/schema/History"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"

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
    const acquire = (index: number): Effect.Effect<Option.Option<CacheRef.Ref>, never, Scope.Scope> => {
      const found = refAt(index)
      return Option.isNone(found)
        ? Effect.succeed(found)
        : Effect.acquireRelease(
          Effect.succeed(found),
          () => Effect.sync(() => void (releases[index] = (releases[index] ?? 0) + 1))
        )
    }
    const refAt = (index: number): Option.Option<CacheRef.Ref> => {
      const ref = refs?.[index]
      return ref === undefined ? Option.none() : Option.some({
        name: `ref-${index}`,
        description: ref.description,
        createdAt: ref.createdAt,
        parent: acquire(index - 1)
      })
    }
    const last = (refs ?? []).length - 1
    return {
      ref: refAt(last),
      releases: () => ({ releases: releases.reduce((sum, count) => sum + count, 0), releasesByRef: releases }),
      /** How many refs were released, once the caller has given back its own. A chain that differs is a defect. */
      allReleases: () => releases.reduce((sum, count) => sum + count, 0),
      /** The metadata of the whole chain, where the caller acquires the last ref too. `[]` is a chain without refs. */
      metadata: (layers: number, rules: Compatibility.Compatibility) =>
        refs?.length === 0
          ? Effect.succeed(RefMetadata.fromChain([], layers, rules, Timestamp.zero))
          : Effect.scoped(
            Effect.flatMap(acquire(last), (ref) => RefMetadata.collect(ref, layers, rules, Timestamp.zero))
          )
    }
  })

/** A store that only takes in, and remembers what and in which order. */
export const recordingStore = () => {
  const blobs = new Map<string, Uint8Array>()
  const order: Array<Uint8Array> = []
  const put = <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
    Effect.gen(function*() {
      const bytes = new Uint8Array(Buffer.concat(yield* Stream.runCollect(content)))
      const digest = Result.getOrThrow(
        Digest.fromHex("sha256", createHash("sha256").update(bytes).digest("hex"))
      )
      blobs.set(digest, bytes)
      order.push(bytes)
      return { digest, size: bytes.length }
    })
  return {
    layer: Layer.mock(BlobStore.BlobStore)({ put }),
    get: (digest: string) => blobs.get(digest) ?? new Uint8Array(),
    written: () => order
  }
}
