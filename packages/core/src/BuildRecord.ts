/**
 * Records of a build's cache: what a daemon that builds images tells of the steps that it ran, and which of them made the
 * layers of an image.
 *
 * Follows `UsageRecord` of BuildKit's `api/services/control`, and `LayerChain` of its `cache/refs.go`.
 *
 * @since 0.1.0
 */
import * as Digest from "@effect-oci/schema/Digest"
import type * as History from "@effect-oci/schema/History"
import type * as ImageConfig from "@effect-oci/schema/ImageConfig"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Arr from "effect/Array"
import * as Result from "effect/Result"
import * as CacheRef from "./CacheRef.ts"
import * as HistoryItems from "./internal/historyItems.ts"

/**
 * A record of a build's cache.
 *
 * **Details**
 *
 * `description` is what the step did, `createdAt` when, to the nanosecond. `parents` are the IDs of the records below, base
 * first: none for a base, one for a step. A record with several stands for their layers, put on top of each other
 * (`COPY --link`), and has none of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface BuildRecord {
  readonly id: string
  readonly parents: ReadonlyArray<string>
  readonly description: string
  readonly createdAt?: Timestamp.Timestamp
}

/** How many layers a record stands for, its parents' among them, and the record of the uppermost. */
interface Height {
  readonly layers: number
  readonly top: BuildRecord
}

/**
 * All records of a cache. `source` is where they were read, for messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface Records {
  readonly source: string
  readonly byId: ReadonlyMap<string, BuildRecord>
  /** None for a record some of whose ancestors are missing, or its own. */
  readonly heights: ReadonlyMap<string, Height | undefined>
}

/**
 * A layer of an image, with the record and the item of the history that made it, as far as they are known.
 *
 * @category models
 * @since 0.1.0
 */
export interface JoinedLayer {
  readonly diffId: Digest.Digest
  readonly record?: BuildRecord
  readonly item?: History.History
}

/** More layers than this come only of records that say nonsense. */
const maxLayers = 1_000_000

const heightOf = (
  record: BuildRecord,
  below: ReadonlyArray<Height | undefined>
): Height | undefined => {
  const known = below.filter((height) => height !== undefined)
  const last = known.at(-1)
  const isLayer = record.parents.length <= 1
  const layers = known.reduce((sum, height) => sum + height.layers, isLayer ? 1 : 0)
  return known.length < below.length || layers > maxLayers
    ? undefined
    : { layers, top: isLayer || last === undefined ? record : last.top }
}

/** A loop, not a recursion: each record's parents come before it. One that comes while it is waited for is its own ancestor. */
const heightsOf = (byId: ReadonlyMap<string, BuildRecord>): Records["heights"] => {
  const heights = new Map<string, Height | undefined>()
  for (const start of byId.values()) {
    const path = [start]
    for (let record = path.at(-1); record !== undefined; record = path.at(-1)) {
      const isNew = !heights.has(record.id)
      if (isNew) heights.set(record.id, undefined)
      const length = path.length
      for (const id of isNew ? record.parents : []) {
        const parent = byId.get(id)
        if (parent !== undefined && !heights.has(id)) path.push(parent)
      }
      if (path.length > length) continue
      path.pop()
      heights.set(record.id, heightOf(record, record.parents.map((id) => heights.get(id))))
    }
  }
  return heights
}

/**
 * Makes the records of a cache ready to be searched, in time that grows with their number. `source` is where they were
 * read, for messages.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (source: string, records: Iterable<BuildRecord>): Records => {
  const byId = new Map(Array.from(records, (record) => [record.id, record]))
  return { source, byId, heights: heightsOf(byId) }
}

/** Why a record has no height: the way to what is missing, or round the circle, leads through records that have none. */
const broken = (self: Records, start: BuildRecord): CacheRef.RefParentMissing | CacheRef.RefCycle => {
  const path = new Set<string>()
  for (let record = start;;) {
    path.add(record.id)
    const parent = record.parents.find((id) => self.heights.get(id) === undefined) ?? record.id
    const next = self.byId.get(parent)
    if (next === undefined) return new CacheRef.RefParentMissing({ store: self.source, ref: record.id, parent })
    if (path.has(parent)) {
      const names = [...path]
      return new CacheRef.RefCycle({
        ref: parent,
        path: CacheRef.shorten([...names.slice(names.indexOf(parent)), parent])
      })
    }
    record = next
  }
}

/**
 * Gives the records of the layers that a record stands for, base first.
 *
 * @category combinators
 * @since 0.1.0
 */
export const chain = (
  self: Records,
  id: string
): Result.Result<
  ReadonlyArray<BuildRecord>,
  CacheRef.RefMissing | CacheRef.RefParentMissing | CacheRef.RefCycle
> => {
  const top = self.byId.get(id)
  if (top === undefined) return Result.fail(new CacheRef.RefMissing({ store: self.source, ref: id }))
  if (self.heights.get(id) === undefined) return Result.fail(broken(self, top))
  const layers: Array<BuildRecord> = []
  const waiting = [top]
  for (let record = waiting.pop(); record !== undefined; record = waiting.pop()) {
    if (record.parents.length <= 1) layers.push(record)
    // The last one's layers are the uppermost: they are taken first
    for (const id of record.parents) {
      const parent = self.byId.get(id)
      if (parent !== undefined) waiting.push(parent)
    }
  }
  return Result.succeed(layers.toReversed())
}

const isSameInstant = (left: Timestamp.Timestamp | undefined, right: Timestamp.Timestamp | undefined): boolean =>
  left !== undefined && left.seconds === right?.seconds && left.nanoseconds === right.nanoseconds

/** More records than this that could each be the one tell nothing. */
const maxCandidates = 100

/** What the chains with the most layers of the very times that the history tells have in common, from the base on. */
const agreed = (
  chains: ReadonlyArray<ReadonlyArray<BuildRecord>>,
  items: ReadonlyArray<History.History>
): ReadonlyArray<BuildRecord> => {
  const scores = chains.map((chain) =>
    chain.filter(({ createdAt }, index) => isSameInstant(createdAt, items[index]?.created)).length
  )
  const most = Math.max(...scores)
  const [first = [], ...others] = chains.filter((_, index) => scores[index] === most)
  const end = first.findIndex((record, index) => others.some((chain) => chain[index] !== record))
  return end < 0 ? first : first.slice(0, end)
}

/** The records that made the layers, from the base as far up as they are known. */
const made = (self: Records, items: ReadonlyArray<History.History>): ReadonlyArray<BuildRecord> => {
  let layers = 0
  let candidates: Array<string> = []
  for (const [id, height] of self.heights) {
    if (height === undefined || height.layers < layers) continue
    if (!isSameInstant(height.top.createdAt, items[height.layers - 1]?.created)) continue
    if (height.layers > layers) candidates = []
    layers = height.layers
    candidates.push(id)
  }
  return candidates.length > maxCandidates
    ? []
    : agreed(Arr.getSuccesses(candidates.map((id) => chain(self, id))), items)
}

const withOffset = (record: BuildRecord, offset: Timestamp.Timestamp["offset"]): BuildRecord =>
  record.createdAt === undefined ? record : { ...record, createdAt: { ...record.createdAt, offset } }

/**
 * Finds the records that made the layers of an image, in time that grows with the number of records.
 *
 * **Details**
 *
 * No daemon tells the diff ID of a record. What joins them is that the history of an image has the very nanosecond at which
 * the record of a layer was made, and that the record stands on as many layers as there are below. The uppermost
 * layer that is found so has the records of the layers below it. Where several fit equally well, what is below all of them is
 * taken. An image whose times were changed, as under `SOURCE_DATE_EPOCH`, and one that was built elsewhere, is joined with
 * nothing.
 *
 * Times of records have the offset that the history of the image is written with: daemons tell the instant only.
 *
 * **Example** (Telling what made the layers)
 *
 * ```ts
 * import * as BuildRecord from "@effect-oci/core/BuildRecord"
 * import type * as ImageConfig from "@effect-oci/schema/ImageConfig"
 * import * as Result from "effect/Result"
 *
 * const tell = (records: BuildRecord.Records, config: ImageConfig.ImageConfig) =>
 *   Result.map(BuildRecord.join(records, config), (layers) =>
 *     layers.map(({ diffId, record }) => `${diffId}: ${record?.description ?? "unknown"}`))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const join = (
  self: Records,
  config: Pick<ImageConfig.ImageConfig, "rootfs" | "history">
): Result.Result<ReadonlyArray<JoinedLayer>, Digest.MalformedDigest | Digest.UnsupportedDigestAlgorithm> =>
  Result.map(Result.all((config.rootfs?.diff_ids ?? []).map(Digest.parse)), (diffIds) => {
    const items = HistoryItems.ofLayers(config.history, diffIds.length) ?? []
    const records = made(self, items)
    const offset = items[records.length - 1]?.created?.offset ?? "Z"
    return diffIds.map((diffId, index) => {
      const item = items[index]
      const record = records[index]
      return {
        diffId,
        ...(record === undefined ? {} : { record: withOffset(record, offset) }),
        ...(item === undefined ? {} : { item })
      }
    })
  })
