/**
 * What the history of an image takes from its refs: one description and one time a layer.
 *
 * Follows `getRefMetadata` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as CacheRef from "./CacheRef.ts"
import type { Compatibility } from "./Compatibility.ts"

/**
 * Error raised where the refs below a ref cannot be had.
 *
 * @category errors
 * @since 0.1.0
 */
export class CollectFailed extends Schema.TaggedError<CollectFailed>("@effect-oci/core/CollectFailed")(
  "CollectFailed",
  { ref: Schema.String, cause: CacheRef.CacheRefError }
) {
  override get message(): string {
    return `failed to get the metadata of the ref ${JSON.stringify(this.ref)}`
  }
}

/**
 * The metadata of one layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface RefMetadata {
  readonly description: string
  readonly createdAt?: Timestamp.Timestamp
}

/**
 * What a layer is said to be made by where its ref says nothing.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultDescription = "created by buildkit"

const ofRef = (rules: Pick<Compatibility, "unknownTime">) => (ref: RefMetadata): RefMetadata => {
  const description = ref.description === "" ? defaultDescription : ref.description
  const createdAt = ref.createdAt ?? (rules.unknownTime === "zero" ? Timestamp.zero : undefined)
  return createdAt === undefined ? { description } : { description, createdAt }
}

/**
 * Gives the metadata of an image's layers, base first.
 *
 * **Details**
 *
 * `chain` is the refs that were found, base first, and `null` where the image has no ref at all. Of a longer chain the
 * last refs count. A chain that is too short gives too few under the rule that nothing stands in for missing refs;
 * `LayerHistory.normalize` then tells whether that matters.
 *
 * @category converting
 * @since 0.1.0
 */
export const fromChain = (
  chain: ReadonlyArray<RefMetadata> | null,
  layers: number,
  rules: Pick<Compatibility, "missingRefs" | "unknownTime">,
  now: Timestamp.Timestamp
): ReadonlyArray<RefMetadata> => {
  const wanted = Math.max(0, layers)
  const found = (chain ?? []).slice(Math.max(0, (chain ?? []).length - wanted)).map(ofRef(rules))
  const missing = wanted - found.length
  if (rules.missingRefs === "clock") {
    const standIn = { description: defaultDescription, createdAt: now }
    return [...Array.from({ length: missing }, () => standIn), ...found]
  }
  return chain === null ? Array.from({ length: wanted }, () => ({ description: "" })) : found
}

/**
 * Collects the metadata of a ref and the refs below it, base first: one for each of an image's layers.
 *
 * **Details**
 *
 * Every ref that is acquired on the way is released before this ends, however it ends. `ref` itself stays its caller's.
 * `now` stands in for the time of a missing one; an export reads the clock once.
 *
 * @category combinators
 * @since 0.1.0
 */
export const collect = Effect.fnUntraced(function*(
  ref: Option.Option<CacheRef.Ref>,
  layers: number,
  rules: Pick<Compatibility, "missingRefs" | "unknownTime" | "chain">,
  now: Timestamp.Timestamp
): Effect.fn.Return<ReadonlyArray<RefMetadata>, CollectFailed> {
  if (Option.isNone(ref)) return fromChain(null, layers, rules, now)
  if (rules.chain === "layers" && layers <= 0) return []
  const chain = yield* CacheRef.chain(ref.value, rules.chain === "layers" ? layers : undefined).pipe(
    Effect.scoped,
    Effect.mapError((cause) => new CollectFailed({ ref: ref.value.name, cause }))
  )
  return fromChain(chain, layers, rules, now)
})
