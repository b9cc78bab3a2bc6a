/**
 * The history of an image explained: which item made which layer, and where each time comes from.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as History from "@effect-oci/schema/History"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as HistoryRepair from "./HistoryRepair.ts"
import type { Image, ImageTree } from "./ImageTree.ts"
import * as LayerHistory from "./LayerHistory.ts"

/**
 * Where the time of a history item comes from, as far as the image tells.
 *
 * **Details**
 *
 * - `own`: nothing speaks against the time that the step was run.
 * - `exporter`: an exporter added the item, with the time of the layer that it was given.
 * - `epoch`: the image does not depend on when it was built: the time is that of 1970, or the latest one of the image, in
 *   whole seconds and of several items, which later ones were clamped to.
 * - `filled-in`: a step without a layer has the very time of another item, to the nanosecond.
 * - `zero`: Go's zero time, which stands for none.
 * - `none`: there is no time.
 *
 * @category models
 * @since 0.1.0
 */
export type Origin = "own" | "exporter" | "epoch" | "filled-in" | "zero" | "none"

/**
 * A layer as its image has it. `index` counts from 0, base first. `encoder` is what compressed it, where an annotation
 * tells.
 *
 * @category models
 * @since 0.1.0
 */
export interface Layer {
  readonly index: number
  readonly descriptor: Descriptor.Descriptor
  readonly diffId?: string
  readonly encoder?: string
}

/**
 * A history item beside its layer, if it has one. `notes` are whole sentences.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly index: number
  readonly item: History.History
  readonly layer?: Layer
  readonly origin: Origin
  /** Whether it is of the base image, where that is known. */
  readonly isBase?: boolean
  readonly notes: ReadonlyArray<string>
}

/**
 * A repair of a history that does not fit, in words.
 *
 * @category models
 * @since 0.1.0
 */
export interface Repair {
  readonly policy: HistoryRepair.Policy
  readonly effect: string
}

/**
 * The image that another one is based on. `layers` is how many of the layers are its, where it could be looked at.
 *
 * @category models
 * @since 0.1.0
 */
export interface Base {
  readonly name?: string
  readonly digest?: string
  readonly layers?: number
}

/**
 * An image explained.
 *
 * @category models
 * @since 0.1.0
 */
export interface Explanation {
  readonly entries: ReadonlyArray<Entry>
  /** Layers that no item is left for. */
  readonly unexplained: ReadonlyArray<Layer>
  readonly created?: Timestamp.Timestamp
  /** The items that have the image's time of creation. */
  readonly createdItems: ReadonlyArray<number>
  readonly base?: Base
  /** What each policy would do; empty where the history fits. */
  readonly repairs: ReadonlyArray<Repair>
  /** Whole sentences. */
  readonly notes: ReadonlyArray<string>
}

const epochTimes: ReadonlyMap<number, string> = new Map([
  [0, "1970-01-01T00:00:00Z is the epoch 0: the time was left out so that the image does not depend on it."],
  [1, "1970-01-01T00:00:01Z is the time that effect-oci gives to files, so that layers do not depend on theirs."]
])

const zeroNote = "0001-01-01T00:00:00Z is Go's zero time: the builder had no time."

/** Well-known times, explained. */
const notesOf = (time: Timestamp.Timestamp | undefined): ReadonlyArray<string> => {
  if (time === undefined) return []
  if (Timestamp.byInstant(time, Timestamp.zero) === 0) return [zeroNote]
  const note = time.nanoseconds === 0 ? epochTimes.get(time.seconds) : undefined
  return note === undefined ? [] : [note]
}

const isAt = (time: Timestamp.Timestamp) => (item: History.History | undefined): boolean =>
  item?.created !== undefined && Timestamp.byInstant(item.created, time) === 0

/** What the times of a history are measured against. */
interface Context {
  readonly history: ReadonlyArray<History.History>
  /** The epoch that the image was clamped to, where it looks so, and of how many items it is the time. */
  readonly epoch: { readonly time: Timestamp.Timestamp; readonly items: number } | undefined
  /** For each item the next one of a layer; -1 where there is none. */
  readonly nextLayers: ReadonlyArray<number>
}

const isLater = (time: Timestamp.Timestamp, than: Timestamp.Timestamp | undefined): boolean =>
  than === undefined || Timestamp.byInstant(time, than) > 0

const epochOf = (history: ReadonlyArray<History.History>): Context["epoch"] => {
  let time: Timestamp.Timestamp | undefined
  for (const { created } of history) if (created !== undefined && isLater(created, time)) time = created
  if (time === undefined || time.nanoseconds !== 0 || !isLater(time, Timestamp.zero)) return undefined
  const items = history.filter(isAt(time)).length
  return items > 1 ? { time, items } : undefined
}

const nextLayersOf = (history: ReadonlyArray<History.History>): ReadonlyArray<number> => {
  let next = -1
  return history.map((_, index) => index).toReversed().map((index) => {
    const found = next
    if (LayerHistory.isOfLayer(history[index] ?? {})) next = index
    return found
  }).toReversed()
}

const contextOf = (history: ReadonlyArray<History.History>): Context => ({
  history,
  epoch: epochOf(history),
  nextLayers: nextLayersOf(history)
})

/** The item whose very time a step without a layer has. */
const sourceOf = ({ history, nextLayers }: Context, item: History.History, index: number): number | undefined =>
  item.created === undefined || item.created.nanoseconds === 0 || LayerHistory.isOfLayer(item)
    ? undefined
    : [nextLayers[index] ?? -1, index - 1].find((at) => item.created !== undefined && isAt(item.created)(history[at]))

const explainTime = (context: Context, item: History.History, index: number): Pick<Entry, "origin" | "notes"> => {
  const { created } = item
  if (created === undefined) return { origin: "none", notes: [] }
  const notes = notesOf(created)
  if (Timestamp.byInstant(created, Timestamp.zero) === 0) return { origin: "zero", notes }
  if (notes.length > 0) return { origin: "epoch", notes }
  const { epoch } = context
  if (epoch !== undefined && isAt(epoch.time)(item)) {
    const others = epoch.items - 1
    const note = `${others === 1 ? "One other item has" : `${others} other items have`} this time, the latest of the ` +
      "image: it is an epoch, such as SOURCE_DATE_EPOCH, that later times were clamped to."
    return { origin: "epoch", notes: [note] }
  }
  if (item.comment === LayerHistory.exporterComment) {
    const note = "An exporter added this item, because the config had none for the layer; the time is the layer's."
    return { origin: "exporter", notes: [note] }
  }
  const source = sourceOf(context, item, index)
  if (source !== undefined) {
    const note = `It has the very time of item ${source}: an exporter filled it in, because the step had none.`
    return { origin: "filled-in", notes: [note] }
  }
  return { origin: "own", notes: [] }
}

const changeWords = (change: HistoryRepair.Change): string =>
  change._tag === "ItemAdded"
    ? `adds an item for layer ${change.layer} as item ${change.index}`
    : `takes the layer from item ${change.index}`

const several = (texts: ReadonlyArray<string>): string =>
  texts.length > 4 ? [...texts.slice(0, 3), `${texts.length - 3} changes more`].join(", ") : texts.join(", ")

/** What each policy would do to a history that does not fit, were the layers' own times not known. */
const repairsOf = (history: ReadonlyArray<History.History>, layers: number): ReadonlyArray<Repair> => {
  if (history.length === 0 || history.filter(LayerHistory.isOfLayer).length === layers) return []
  const metadata = Array.from({ length: layers }, () => ({ description: "" }))
  return HistoryRepair.policies.map((policy) => ({
    policy,
    effect: Result.match(HistoryRepair.run({ policy, history, layers, metadata }), {
      onFailure: () => "refuses the image",
      onSuccess: ({ changes }) => several(changes.map(changeWords))
    })
  }))
}

const annotationsOf = (image: Image): Annotations.Annotations => ({
  ...image.config?.value.config?.Labels,
  ...image.manifest.value.annotations
})

/** The image of a platform among those that a base holds. */
const imageOf = (tree: ImageTree | undefined, platform: Platform.Platform): Image | undefined => {
  if (tree === undefined || tree._tag === "Other") return undefined
  if (tree._tag === "Image") return tree
  const found = Platform.choose(platform, tree.manifests, ({ descriptor }) => descriptor.platform)
  return imageOf(Option.getOrUndefined(found), platform)
}

const platformOf = (image: Image): Platform.Platform => ({
  os: image.config?.value.os ?? "",
  architecture: image.config?.value.architecture ?? "",
  ...(image.config?.value.variant === undefined ? {} : { variant: image.config.value.variant })
})

const diffIdsOf = (image: Image | undefined): ReadonlyArray<string> => image?.config?.value.rootfs?.diff_ids ?? []

const baseOf = (image: Image, base: ImageTree | undefined): Base | undefined => {
  const annotations = annotationsOf(image)
  const text = (key: string): string | undefined => Object.hasOwn(annotations, key) ? annotations[key] : undefined
  const name = text(Annotations.baseName)
  const digest = text(Annotations.baseDigest)
  if (name === undefined && digest === undefined) return undefined
  const below = diffIdsOf(imageOf(base, platformOf(image)))
  const own = diffIdsOf(image)
  const isBelow = below.length > 0 && below.every((diffId, index) => diffId === own[index])
  return {
    ...(name === undefined ? {} : { name }),
    ...(digest === undefined ? {} : { digest }),
    ...(isBelow ? { layers: below.length } : {})
  }
}

/** The item after the last one of the base: steps without a layer that follow its layers count as the image's own. */
const endOfBase = (entries: ReadonlyArray<Entry>, layers: number): number =>
  entries.findLastIndex((entry) => entry.layer !== undefined && entry.layer.index < layers) + 1

const createdNote = (
  created: Timestamp.Timestamp | undefined,
  items: ReadonlyArray<number>,
  history: ReadonlyArray<History.History>
): ReadonlyArray<string> => {
  if (created === undefined) return ["The config has no time of creation."]
  const last = history.findLastIndex((item) => item.created !== undefined)
  return [
    ...(items.length === 0 ? notesOf(created) : []),
    items.includes(last)
      ? `The image's time of creation is that of item ${last}, the last one with a time.`
      : items.length > 0
      ? `The image's time of creation is that of item ${items.at(-1)}, which is not the last one.`
      : "The image's time of creation is its own: no item of the history has it."
  ]
}

const layerOf = (index: number, descriptor: Descriptor.Descriptor, diffId: string | undefined): Layer => {
  const encoder = Descriptor.encoder(descriptor)
  return {
    index,
    descriptor,
    ...(diffId === undefined ? {} : { diffId }),
    ...(encoder === undefined ? {} : { encoder })
  }
}

const encoderNote =
  "The same encoder at the same level makes one digest of one diff ID; another version of Node may have " +
  "another zlib, and so make another digest of it."

/** What compressed which layers, and what that means for their digests. */
const encoderNotes = (layers: ReadonlyArray<Layer>): ReadonlyArray<string> => {
  const indexes = new Map<string, Array<number>>()
  for (const { encoder, index } of layers) {
    if (encoder !== undefined) indexes.set(encoder, [...indexes.get(encoder) ?? [], index])
  }
  const notes = [...indexes].map(([encoder, of]) =>
    `Layer${of.length === 1 ? "" : "s"} ${of.join(", ")} ${of.length === 1 ? "was" : "were"} compressed by ${encoder}.`
  )
  return notes.length === 0 ? [] : [...notes, encoderNote]
}

/**
 * Explains an image. `base` is what `org.opencontainers.image.base.digest` names, if it could be read: it tells which
 * layers are the base image's.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (image: Image, base?: ImageTree): Explanation => {
  const descriptors = image.manifest.value.layers
  const diffIds = diffIdsOf(image)
  const layers = descriptors.map((descriptor, index) => layerOf(index, descriptor, diffIds[index]))
  const history = image.config?.value.history ?? []
  const context = contextOf(history)
  let next = 0
  const entries = history.map((item, index): Entry => {
    const layer = LayerHistory.isOfLayer(item) ? layers[next++] : undefined
    const time = explainTime(context, item, index)
    return layer === undefined
      ? {
        index,
        item,
        origin: time.origin,
        notes: LayerHistory.isOfLayer(item) ? [...time.notes, "There is no layer left for this item."] : time.notes
      }
      : { index, item, layer, origin: time.origin, notes: time.notes }
  })
  const created = image.config?.value.created
  const createdItems = created === undefined ? [] : history.flatMap((item, index) => isAt(created)(item) ? [index] : [])
  const repairs = repairsOf(history, layers.length)
  const found = baseOf(image, base)
  const baseLayers = found?.layers
  const end = baseLayers === undefined ? 0 : endOfBase(entries, baseLayers)
  const isMisfit = repairs.length > 0
  return {
    entries: baseLayers === undefined || isMisfit
      ? entries
      : entries.map((entry, index) => Object.assign({ isBase: index < end }, entry)),
    unexplained: history.length === 0 ? layers : layers.slice(next),
    ...(created === undefined ? {} : { created }),
    createdItems,
    ...(found === undefined ? {} : { base: found }),
    repairs,
    notes: [
      ...(image.config === undefined
        ? ["The manifest is not that of an image: its config is of another kind."]
        : createdNote(created, createdItems, history)),
      ...(image.config !== undefined && history.length === 0 ? ["The image has no history, which is allowed."] : []),
      ...(isMisfit
        ? [
          `The history does not fit: ${next} of its items are of a layer, and the image has ${layers.length} layers. ` +
          "Items and layers stand side by side as they are counted, which may be wrong."
        ]
        : []),
      ...encoderNotes(layers)
    ]
  }
}
