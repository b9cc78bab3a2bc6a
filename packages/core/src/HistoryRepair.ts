/**
 * Policies for a history that does not fit the layers of its image.
 *
 * BuildKit files what is missing at the end, where it belongs to the wrong layers; other tools drop the history or crash.
 * A repair runs on the history as it was parsed, before `LayerHistory.normalize`, and tells what it changed and why.
 *
 * @since 0.1.0
 */
import type * as History from "@effect-oci/schema/History"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Compatibility } from "./Compatibility.ts"
import * as LayerHistory from "./LayerHistory.ts"
import type { RefMetadata } from "./RefMetadata.ts"

/**
 * The policies.
 *
 * **Details**
 *
 * - `strict` refuses a history that does not fit.
 * - `buildkit` does what BuildKit does: items that are missing are added at the end, and of items that are too many the
 *   last ones lose their layer.
 * - `align` puts the missing items where the layers' metadata says that they belong: items of a layer's own time are its,
 *   others belong to the uppermost layers, as those of a new image on a base without history do.
 * - `pad` does the same with placeholders that claim nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = Compatibility["repair"]

/**
 * The policies, by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const policies = ["strict", "buildkit", "align", "pad"] as const satisfies ReadonlyArray<Policy>

/**
 * Error raised by the policy `strict`.
 *
 * @category errors
 * @since 0.1.0
 */
export class HistoryMismatch extends Schema.TaggedError<HistoryMismatch>("@effect-oci/core/HistoryMismatch")(
  "HistoryMismatch",
  { layers: Schema.Natural, items: Schema.Natural }
) {
  override get message(): string {
    return `the history does not fit the image: expected an item for each of ${this.layers} layers, found ${this.items}; ` +
      `mend the config, or choose another repair: ${policies.filter((policy) => policy !== "strict").join(", ")}`
  }
}

/**
 * One thing that a repair changed. `index` is the item's in the repaired history, `layer` the layer's, base first.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | { readonly _tag: "ItemAdded"; readonly index: number; readonly layer: number; readonly reason: string }
  | { readonly _tag: "LayerTaken"; readonly index: number; readonly reason: string }

/**
 * A history that has been repaired.
 *
 * @category models
 * @since 0.1.0
 */
export interface Repaired {
  readonly history: History.Items
  readonly changes: ReadonlyArray<Change>
}

/** The comment of a placeholder. */
const placeholder: History.History = { comment: "effect-oci: the history of this layer is not known" }

const instantOf = (time: Timestamp.Timestamp): string => Timestamp.format(Timestamp.toUtc(time))

/**
 * Gives each item of a layer its layer. Items whose time is that of a layer are its, unless that took the layer of
 * another item although there are enough; between two of those, items belong to the uppermost layers, and of too many
 * the first keep theirs.
 */
const assign = (
  items: ReadonlyArray<History.History>,
  layers: number,
  metadata: ReadonlyArray<RefMetadata>
): ReadonlyArray<number | undefined> => {
  const byTime = new Map<string, Array<number>>()
  metadata.forEach(({ createdAt }, layer) => {
    if (createdAt === undefined || layer >= layers) return
    const instant = instantOf(createdAt)
    const same = byTime.get(instant)
    if (same === undefined) byTime.set(instant, [layer])
    else same.push(layer)
  })
  const instants = items.map(({ created }) => created === undefined ? "" : instantOf(created))
  // How many more items than layers have a time: the last of them are passed over
  const surplus = new Map(Array.from(byTime, ([instant, same]) => [instant, -same.length]))
  for (const instant of instants) surplus.set(instant, (surplus.get(instant) ?? 0) + 1)
  const out: Array<number | undefined> = items.map(() => undefined)

  /** Fills what lies between two items with a layer: both ends are excluded. */
  const fill = (from: number, to: number, bottom: number, top: number): void => {
    const free = top - bottom - 1
    const count = to - from - 1
    for (let position = 0; position < Math.min(count, free); position++) {
      out[from + 1 + position] = count <= free ? top - count + position : bottom + 1 + position
    }
  }

  const isEnough = items.length <= layers
  let item = items.length
  let layer = layers
  for (let index = items.length - 1; index >= 0; index--) {
    const instant = instants[index] ?? ""
    const spare = surplus.get(instant) ?? 0
    surplus.set(instant, spare - 1)
    const same = spare > 0 ? [] : byTime.get(instant) ?? []
    const top = isEnough ? layer - (item - index) : layer - 1
    while ((same.at(-1) ?? -1) > top) same.pop()
    const own = same.at(-1)
    if (own === undefined || (isEnough && own < index)) continue
    fill(index, item, own, layer)
    out[index] = own
    item = index
    layer = own
  }
  fill(-1, item, -1, layer)
  return out
}

const isOlder = (item: History.History, time: Timestamp.Timestamp | undefined): boolean =>
  item.created !== undefined && time !== undefined && Timestamp.byInstant(item.created, time) < 0

/** Puts missing items where their layers are: among items without a layer, before the first that is not older. */
const place = (
  history: ReadonlyArray<History.History>,
  layers: number,
  metadata: ReadonlyArray<RefMetadata>,
  itemOf: (metadata: RefMetadata) => History.History
): Repaired => {
  const assigned = assign(history.filter(LayerHistory.isOfLayer), layers, metadata)
  const out: Array<History.History> = []
  const changes: Array<Change> = []
  let next = 0
  let seen = 0

  const add = (layer: number): void => {
    const known = metadata[layer]
    if (known === undefined) return
    changes.push({
      _tag: "ItemAdded",
      index: out.length,
      layer,
      reason: `layer ${layer} had no history item`
    })
    out.push(itemOf(known))
  }

  /** Layers that are missing below a layer, or below the top, while the item is not older than they are. */
  const addBefore = (layer: number, item: History.History | undefined): void => {
    const isBefore = (time: Timestamp.Timestamp | undefined) => item === undefined || !isOlder(item, time)
    while (next < layer && isBefore(metadata[next]?.createdAt)) add(next++)
  }

  // The layer of the next item that has one, for each item: what is missing below it belongs before it.
  const upcoming: Array<number> = []
  let above = layers
  let left = assigned.length
  for (let index = history.length - 1; index >= 0; index--) {
    const item = history[index]
    if (item !== undefined && LayerHistory.isOfLayer(item)) above = assigned[--left] ?? above
    upcoming[index] = above
  }

  history.forEach((item, index) => {
    const below = upcoming[index] ?? layers
    const layer = LayerHistory.isOfLayer(item) ? assigned[seen++] : undefined
    if (layer !== undefined) {
      addBefore(layer, undefined)
      next = layer + 1
      out.push(item)
      return
    }
    addBefore(below, item)
    if (LayerHistory.isOfLayer(item)) {
      changes.push({
        _tag: "LayerTaken",
        index: out.length,
        reason: `the image has only ${layers} layers, and none is this item's`
      })
      out.push({ ...item, empty_layer: true })
    } else {
      out.push(item)
    }
  })
  addBefore(layers, undefined)
  return { history: out, changes }
}

/** What `LayerHistory.normalize` does to a history that does not fit. */
const asBuildkit = (
  history: ReadonlyArray<History.History>,
  layers: number,
  metadata: ReadonlyArray<RefMetadata>
): Repaired => {
  const changes: Array<Change> = []
  let seen = 0
  const out = history.map((item, index) => {
    if (!LayerHistory.isOfLayer(item) || seen++ < layers) return item
    changes.push({ _tag: "LayerTaken", index, reason: `the image has only ${layers} layers` })
    return { ...item, empty_layer: true }
  })
  for (const [offset, known] of metadata.slice(seen).entries()) {
    changes.push({
      _tag: "ItemAdded",
      index: out.length,
      layer: seen + offset,
      reason: "BuildKit files what is missing at the end"
    })
    out.push(LayerHistory.ofMetadata(known))
  }
  return { history: out, changes }
}

/**
 * Repairs a history that does not fit its layers. One that fits is left as it is by every policy.
 *
 * **Details**
 *
 * `metadata` is base first, one for each layer. A layer whose metadata is missing too is left without an item, which
 * `LayerHistory.normalize` then refuses.
 *
 * **Example** (Putting the history of a base image where it belongs)
 *
 * ```ts
 * import * as HistoryRepair from "@effect-oci/core/HistoryRepair"
 * import * as Result from "effect/Result"
 *
 * const { history } = Result.getOrThrow(HistoryRepair.run({
 *   policy: "align",
 *   history: [{ created_by: "COPY app /app" }],
 *   layers: 2,
 *   metadata: [{ description: "base" }, { description: "app" }]
 * }))
 * console.log(history?.map((item) => item.created_by)) // [ 'base', 'COPY app /app' ]
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = (input: {
  readonly policy: Policy
  readonly history: History.Items
  readonly layers: number
  readonly metadata: ReadonlyArray<RefMetadata>
}): Result.Result<Repaired, HistoryMismatch> => {
  const { layers, metadata, policy } = input
  const history = input.history ?? []
  const items = history.filter(LayerHistory.isOfLayer).length
  if (items === layers) return Result.succeed({ history: input.history, changes: [] })
  switch (policy) {
    case "strict":
      return Result.fail(new HistoryMismatch({ layers, items }))
    case "buildkit":
      return Result.succeed(asBuildkit(history, layers, metadata))
    case "align":
      return Result.succeed(place(history, layers, metadata, LayerHistory.ofMetadata))
    case "pad":
      return Result.succeed(place(history, layers, metadata, () => placeholder))
  }
}
