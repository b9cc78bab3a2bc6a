/**
 * The history of an image made to fit its layers.
 *
 * Follows `normalizeLayersAndHistory` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import type * as History from "@effect-oci/schema/History"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Compatibility } from "./Compatibility.ts"
import type { RefMetadata } from "./RefMetadata.ts"

/**
 * Error raised where an image has more layers than refs, and a layer is left without a history item or a time. BuildKit
 * itself panics here.
 *
 * @category errors
 * @since 0.1.0
 */
export class ShortChain extends Schema.TaggedError<ShortChain>("@effect-oci/core/ShortChain")("ShortChain", {
  layers: Schema.Natural,
  refs: Schema.Natural,
  layer: Schema.Natural,
  missing: Schema.Literals(["item", "time"])
}) {
  override get message(): string {
    const what = this.missing === "item" ? "history item" : "time"
    return `the image has ${this.layers} layers and a chain of ${this.refs} refs, and nothing gives layer ${this.layer} ` +
      `its ${what}: give every layer a ref, or the config a history with times`
  }
}

/**
 * Warning given where a history has more items of layers than the image has layers. The surplus ones, counted from the
 * base, have become items without a layer.
 *
 * @category warnings
 * @since 0.1.0
 */
export class UnaccountedLayers
  extends Schema.TaggedClass<UnaccountedLayers>("@effect-oci/core/UnaccountedLayers")("UnaccountedLayers", {
    layers: Schema.Natural,
    items: Schema.Natural
  })
{
  /** What happened, in BuildKit's words. */
  get message(): string {
    return `invalid image config with unaccounted layers: ${this.items} history items for ${this.layers} layers`
  }
}

/**
 * A history that fits its layers, and what had to be done for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Normalized {
  readonly history: History.Items
  readonly warnings: ReadonlyArray<UnaccountedLayers>
}

/**
 * The comment of history items that the exporter adds.
 *
 * @category constants
 * @since 0.1.0
 */
export const exporterComment = "buildkit.exporter.image.v0"

/**
 * Checks that an item belongs to a layer.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfLayer = (item: History.History): boolean => item.empty_layer !== true

const countLayers = (history: ReadonlyArray<History.History>): number => history.filter(isOfLayer).length

/** Makes the items of layers that are not there items without a layer, beginning with the first that is too many. */
const withoutSurplus = (history: ReadonlyArray<History.History>, layers: number): ReadonlyArray<History.History> => {
  let seen = 0
  return history.map((item) => isOfLayer(item) && seen++ >= layers ? { ...item, empty_layer: true } : item)
}

/**
 * Makes the item of a layer from its ref's metadata, as the exporter adds it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofMetadata = (metadata: RefMetadata): History.History => ({
  ...(metadata.createdAt === undefined ? {} : { created: metadata.createdAt }),
  created_by: metadata.description,
  comment: exporterComment
})

/** The items that are added for layers without one; under a shared variable all have the time of the last. */
const added = (
  metadata: ReadonlyArray<RefMetadata>,
  rules: Pick<Compatibility, "addedTimes">
): ReadonlyArray<History.History> => {
  const shared = rules.addedTimes === "shared" ? metadata.at(-1)?.createdAt : undefined
  return metadata.map((one) =>
    ofMetadata(shared === undefined ? one : { description: one.description, createdAt: shared })
  )
}

const withTime = (item: History.History, time: Timestamp.Timestamp | undefined): History.History =>
  item.created !== undefined || time === undefined ? item : { ...item, created: time }

const withLayerTimes = (
  history: ReadonlyArray<History.History>,
  metadata: ReadonlyArray<RefMetadata>
): ReadonlyArray<History.History> => {
  let layer = 0
  return history.map((item) => isOfLayer(item) ? withTime(item, metadata[layer++]?.createdAt) : item)
}

/**
 * Fills in every time that is missing: with the first time that follows the first gap, so that a step before a new layer
 * does not look as old as the base image, and otherwise with the last time before it.
 */
const withAllTimes = (history: ReadonlyArray<History.History>): ReadonlyArray<History.History> => {
  const gap = history.findIndex((item) => item.created === undefined)
  if (gap < 0) return history
  const before = history.slice(0, gap).findLast((item) => item.created !== undefined)?.created
  let running = history.slice(gap).find((item) => item.created !== undefined)?.created ?? before
  return history.map((item, index) => {
    if (item.created === undefined) return withTime(item, running)
    if (index > gap) running = item.created
    return item
  })
}

/** The first layer that has no item, or an item without a time. */
const findUndescribed = (
  history: ReadonlyArray<History.History>,
  layers: number
): { readonly layer: number; readonly missing: "item" | "time" } | undefined => {
  const items = history.filter(isOfLayer)
  for (let layer = 0; layer < layers; layer++) {
    const item = items[layer]
    if (item?.created === undefined) return { layer, missing: item === undefined ? "item" : "time" }
  }
  return undefined
}

/**
 * Makes a history fit the layers of its image.
 *
 * **Details**
 *
 * Items of layers that are too many lose their layer, with a warning; missing ones are added at the end, from the refs'
 * metadata. Items without a time are then given one as the rules say. The input is never changed. `metadata` is base
 * first, one for each layer; fewer are an error where a layer needs one.
 *
 * **Example** (Adding the item of a new layer)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as LayerHistory from "@effect-oci/core/LayerHistory"
 * import * as Result from "effect/Result"
 *
 * const { history } = Result.getOrThrow(LayerHistory.normalize({
 *   history: [{ created_by: "ENV A=1", empty_layer: true }],
 *   layers: 1,
 *   metadata: [{ description: "COPY app /app", createdAt: { seconds: 0, nanoseconds: 0, offset: "Z" } }],
 *   rules: Compatibility.moby2019
 * }))
 * console.log(history?.map((item) => item.created_by)) // [ 'ENV A=1', 'COPY app /app' ]
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const normalize = (input: {
  readonly history: History.Items
  readonly layers: number
  readonly metadata: ReadonlyArray<RefMetadata>
  readonly rules: Pick<Compatibility, "missingTimes" | "addedTimes">
}): Result.Result<Normalized, ShortChain> => {
  const { layers, metadata, rules } = input
  const given = input.history ?? []
  const items = countLayers(given)
  if (metadata.length < layers) {
    const undescribed = findUndescribed(given, layers)
    if (undescribed !== undefined) {
      return Result.fail(new ShortChain({ layers, refs: metadata.length, ...undescribed }))
    }
  }
  const fitting = items > layers ? withoutSurplus(given, layers) : given
  const whole = items < layers ? [...fitting, ...added(metadata.slice(items), rules)] : fitting
  const timed = withLayerTimes(whole, metadata)
  const history = rules.missingTimes === "all" ? withAllTimes(timed) : timed
  return Result.succeed({
    history: input.history === null && history.length === 0 ? null : history,
    warnings: items > layers ? [new UnaccountedLayers({ layers, items })] : []
  })
}
