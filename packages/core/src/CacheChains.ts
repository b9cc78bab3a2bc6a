/**
 * The chains of layers in a BuildKit build cache: its records joined with its layers.
 *
 * Follows `cache/remotecache/v1` of BuildKit 0.34.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as CacheConfig from "@effect-oci/schema/CacheConfig"
import * as Digest from "@effect-oci/schema/Digest"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as CacheRef from "./CacheRef.ts"
import * as Hash from "./Hash.ts"

/**
 * Error raised where the config of a cache contradicts itself. `pointer` is a JSON pointer to the place.
 *
 * @category errors
 * @since 0.1.0
 */
export class CacheInvalid extends Schema.TaggedError<CacheInvalid>("@effect-oci/core/CacheInvalid")("CacheInvalid", {
  pointer: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `the build cache contradicts itself: ${this.pointer}: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * A chain of layers in a few words: the name of its uppermost ref, how many layers it has, and when the uppermost was made.
 *
 * @category models
 * @since 0.1.0
 */
export const Summary = Schema.Struct({
  chain: Schema.String,
  layers: Schema.Natural,
  created: Schema.optionalKey(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Summary = typeof Summary.Type

/** As many are told. */
const shown = 20

const listed = (chains: ReadonlyArray<Summary>, count: number): string =>
  chains.map(({ chain, created, layers }) =>
    `${chain} (${layers} layer${layers === 1 ? "" : "s"}${created === undefined ? "" : `, ${created}`})`
  ).join(", ") + (count > chains.length ? ` and ${count - chains.length} more` : "")

/**
 * Error raised where a cache has several chains that nothing stands on, and none of them was named. `count` is how many there
 * are, `chains` the first of them.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChainAmbiguous
  extends Schema.TaggedError<ChainAmbiguous>("@effect-oci/core/ChainAmbiguous")("ChainAmbiguous", {
    count: Schema.Natural,
    chains: Schema.Array(Summary)
  })
{
  override get message(): string {
    return `the build cache ends in ${this.count} chains of layers: name the one that is meant: ${
      listed(this.chains, this.count)
    }`
  }
}

/**
 * Error raised where a cache has no chain of a name; without `chain`, where it has none at all.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChainMissing extends Schema.TaggedError<ChainMissing>("@effect-oci/core/ChainMissing")("ChainMissing", {
  chain: Schema.optionalKey(Schema.String),
  count: Schema.Natural,
  chains: Schema.Array(Summary)
}) {
  override get message(): string {
    return this.chain === undefined
      ? "the build cache has no layers: no step that it remembers has a result"
      : `the build cache has no chain ${JSON.stringify(this.chain)}; it ends in ${listed(this.chains, this.count)}`
  }
}

/**
 * Error raised where a layer of a chain is of no use: `unlisted`, where the cache's manifest does not describe its blob, or
 * `no-diff-id`, where it does not say what its uncompressed content hashes to.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChainIncomplete
  extends Schema.TaggedError<ChainIncomplete>("@effect-oci/core/ChainIncomplete")("ChainIncomplete", {
    chain: Schema.String,
    digest: Digest.Digest,
    reason: Schema.Literals(["unlisted", "no-diff-id"])
  })
{
  override get message(): string {
    return `the chain ${this.chain} cannot be used: its layer ${this.digest} ` +
      (this.reason === "unlisted"
        ? "is not in the cache; build again with a new cache"
        : `has no diff ID: expected a digest in its annotation ${Annotations.uncompressed}`)
  }
}

/**
 * What is known of a layer: what it was made by, empty where that is not known, and when; the layer itself, or why it is of no
 * use.
 *
 * @category models
 * @since 0.1.0
 */
export interface Facts {
  readonly description: string
  readonly createdAt?: Timestamp.Timestamp
  readonly layer?: Omit<CacheRef.Layer, "content">
  readonly fault?: Pick<ChainIncomplete, "digest" | "reason">
}

/**
 * A layer that is to be put in its place: the digest of its blob, and the index of the layer below it, or -1.
 *
 * @category models
 * @since 0.1.0
 */
export interface Source {
  readonly blob: Digest.Digest
  readonly parent: number
  readonly facts: Facts
}

/**
 * A layer of a cache at its place in a chain.
 *
 * **Details**
 *
 * `name` is the digest of its blob for the base, and else that of the text `PARENT BLOB`, the way in which chain IDs are made
 * of diff IDs. `height` is how many layers the chain has up to this one. `fault` is why the chain up to here cannot be used, if
 * it cannot.
 *
 * @category models
 * @since 0.1.0
 */
export interface CachedLayer extends Facts {
  readonly name: string
  readonly parent?: string
  readonly height: number
}

/**
 * The chains of a cache: their layers by name, and the uppermost ones of the chains that it ends in, sorted by name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chains {
  readonly layers: ReadonlyMap<string, CachedLayer>
  readonly tops: ReadonlyArray<CachedLayer>
}

const isIndex = (index: number, length: number): boolean => Number.isInteger(index) && index >= 0 && index < length

const outside = (pointer: string, index: number, length: number, what: string): CacheInvalid =>
  new CacheInvalid({
    pointer,
    expected: `the index of one of ${length} ${what}`,
    found: Number.isFinite(index) ? String(index) : "a number that is no integer of 64 bits"
  })

/** Gives each layer's index after that of the one below it. */
const parentsFirst = (
  layers: ReadonlyArray<Source>
): Result.Result<ReadonlyArray<number>, CacheInvalid> => {
  const order: Array<number> = []
  const states: Array<"open" | "done" | undefined> = Array.from({ length: layers.length }, () => undefined)
  for (let start = 0; start < layers.length; start++) {
    const path: Array<number> = []
    for (let at = start; at !== -1 && states[at] !== "done";) {
      if (states[at] === "open") {
        const expected = "a parent that does not stand on the layer itself"
        const found = at === 0 && path.length === 1 ? "the layer itself: an absent parent is 0" : "a cycle"
        return Result.fail(new CacheInvalid({ pointer: `/layers/${at}/parent`, expected, found }))
      }
      states[at] = "open"
      path.push(at)
      const parent = layers[at]?.parent ?? -1
      if (parent !== -1 && !isIndex(parent, layers.length)) {
        return Result.fail(outside(`/layers/${at}/parent`, parent, layers.length, "layers, or -1"))
      }
      at = parent
    }
    for (const index of path.toReversed()) {
      states[index] = "done"
      order.push(index)
    }
  }
  return Result.succeed(order)
}

/** The records that each takes its input from, which never lead back to itself. */
const inputsOf = (
  records: ReadonlyArray<CacheConfig.CacheRecord>,
  root: string
): Result.Result<ReadonlyArray<ReadonlyArray<number>>, CacheInvalid> => {
  const inputs: Array<ReadonlyArray<number>> = []
  const users = Array.from({ length: records.length }, () => 0)
  for (const [index, record] of records.entries()) {
    const links: Array<number> = []
    for (const [input, sources] of (record.inputs ?? []).entries()) {
      for (const [source, { link = 0 }] of sources.entries()) {
        if (!isIndex(link, records.length)) {
          const pointer = `${root}/${index}/inputs/${input}/${source}/link`
          return Result.fail(outside(pointer, link, records.length, "records"))
        }
        links.push(link)
        users[link] = (users[link] ?? 0) + 1
      }
    }
    inputs.push(links)
  }
  const free = users.flatMap((count, index) => count === 0 ? [index] : [])
  for (let at = 0; at < free.length; at++) {
    for (const link of inputs[free[at] ?? 0] ?? []) {
      users[link] = (users[link] ?? 0) - 1
      if (users[link] === 0) free.push(link)
    }
  }
  const left = users.findIndex((count) => count > 0)
  return left === -1
    ? Result.succeed(inputs)
    : Result.fail(
      new CacheInvalid({
        pointer: `${root}/${left}`,
        expected: "records whose inputs do not lead back to themselves",
        found: "a cycle"
      })
    )
}

/** The records that one with a result stands on. */
const coveredBy = (
  withResults: ReadonlyArray<number>,
  inputs: ReadonlyArray<ReadonlyArray<number>>
): ReadonlySet<number> => {
  const covered = new Set<number>()
  const left = [...withResults]
  for (let record = left.pop(); record !== undefined; record = left.pop()) {
    for (const link of inputs[record] ?? []) {
      if (covered.has(link)) continue
      covered.add(link)
      left.push(link)
    }
  }
  return covered
}

interface Made extends Omit<CachedLayer, "createdAt"> {
  createdAt?: Timestamp.Timestamp
}

type Put = (parent: Made | undefined, source: Source) => Made

/** Puts layers on top of each other; the same one in the same place is there once. */
const makeLayers = (hash: Hash.Hash["Service"]) => {
  const layers = new Map<string, Made>()
  const nameOf = (parent: Made | undefined, blob: Digest.Digest): string => {
    if (parent === undefined) return blob
    const hasher = hash.make("sha256")
    hasher.update(new TextEncoder().encode(`${parent.name} ${blob}`))
    return hasher.digest()
  }
  const put: Put = (parent, { blob, facts }) => {
    const name = nameOf(parent, blob)
    const existing = layers.get(name)
    if (existing !== undefined) return existing
    const made: Made = {
      name,
      ...(parent === undefined ? {} : { parent: parent.name }),
      height: (parent?.height ?? 0) + 1,
      ...facts,
      ...(parent?.fault === undefined ? {} : { fault: parent.fault })
    }
    layers.set(name, made)
    return made
  }
  return { layers, put }
}

/** A chain that a step ended with, and when the step was run. */
interface Ended {
  readonly top: Made
  readonly createdAt: Timestamp.Timestamp | undefined
}

const byName = (left: CachedLayer, right: CachedLayer): number =>
  left.name < right.name ? -1 : left.name > right.name ? 1 : 0

/** The chains that each record has as results. */
const resultsOf = (
  records: ReadonlyArray<CacheConfig.CacheRecord>,
  layers: ReadonlyArray<Source>,
  placed: ReadonlyArray<Made>,
  put: Put,
  root: string
): Result.Result<ReadonlyArray<ReadonlyArray<Ended>>, CacheInvalid> => {
  const results: Array<ReadonlyArray<Ended>> = []
  for (const [index, record] of records.entries()) {
    const ended: Array<Ended> = []
    for (const [at, { createdAt, layer = 0 }] of (record.layers ?? []).entries()) {
      const top = placed[layer]
      if (top === undefined) {
        return Result.fail(outside(`${root}/${index}/layers/${at}/layer`, layer, layers.length, "layers"))
      }
      ended.push({ top, createdAt })
    }
    for (const [at, { createdAt, layers: chain = [] }] of (record.chains ?? []).entries()) {
      let top: Made | undefined
      for (const [step, layer] of chain.entries()) {
        const found = layers[layer]
        if (found === undefined) {
          return Result.fail(outside(`${root}/${index}/chains/${at}/layers/${step}`, layer, layers.length, "layers"))
        }
        top = put(top, found)
      }
      if (top !== undefined) ended.push({ top, createdAt })
    }
    results.push(ended)
  }
  return Result.succeed(results)
}

/** Whether it is a time, and not Go's zero time, which stands for none. */
const isKnown = (time: Timestamp.Timestamp | undefined): time is Timestamp.Timestamp =>
  time !== undefined && Timestamp.byInstant(time, Timestamp.zero) !== 0

const isEarlier = (time: Timestamp.Timestamp, than: Timestamp.Timestamp | undefined): boolean =>
  than === undefined || Timestamp.byInstant(time, than) < 0

/** Gives layers without a time that of the first step that ended with them. */
const setTimes = (results: ReadonlyArray<Ended>): void => {
  const times = new Map<Made, Timestamp.Timestamp>()
  for (const { createdAt, top } of results) {
    if (isKnown(createdAt) && !isKnown(top.createdAt) && isEarlier(createdAt, times.get(top))) {
      times.set(top, createdAt)
    }
  }
  for (const [top, time] of times) top.createdAt = time
}

/**
 * Joins the records of a cache with its layers.
 *
 * **Details**
 *
 * Where nothing tells the time of a layer, that of the first step that ended with it stands in. A chain counts as an end of the
 * cache if its step has a result, and no step that builds on it has one. `root` is where the records are in their document, a
 * JSON pointer. The time is linear in the records, their links and their layers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const join = (
  layers: ReadonlyArray<Source>,
  records: ReadonlyArray<CacheConfig.CacheRecord>,
  root: string
): Effect.Effect<Chains, CacheInvalid, Hash.Hash> =>
  Effect.flatMap(Hash.Hash, (hash) =>
    Effect.fromResult(Result.gen(function*() {
      const order = yield* parentsFirst(layers)
      const inputs = yield* inputsOf(records, root)
      const made = makeLayers(hash)
      const placed: Array<Made> = []
      for (const index of order) {
        const source = layers[index]
        if (source !== undefined) placed[index] = made.put(placed[source.parent], source)
      }
      const results = yield* resultsOf(records, layers, placed, made.put, root)
      setTimes(results.flat())
      const covered = coveredBy(results.flatMap((ended, index) => ended.length === 0 ? [] : [index]), inputs)
      const tops = new Set(results.flatMap((ended, index) => covered.has(index) ? [] : ended.map(({ top }) => top)))
      return { layers: made.layers, tops: [...tops].toSorted(byName) }
    })))

const summarize = ({ createdAt, height, name }: CachedLayer): Summary => ({
  chain: name,
  layers: height,
  ...(createdAt === undefined ? {} : { created: Timestamp.format(createdAt) })
})

const summaries = (tops: ReadonlyArray<CachedLayer>) => ({
  count: tops.length,
  chains: tops.slice(0, shown).map(summarize)
})

/**
 * Chooses a chain of a cache by the name of its uppermost layer, which may be any. Without a name it has to be the only one
 * that the cache ends in. All its layers have to be of use.
 *
 * @category getters
 * @since 0.1.0
 */
export const choose = (
  { layers, tops }: Chains,
  chain?: string
): Result.Result<CachedLayer, ChainAmbiguous | ChainIncomplete | ChainMissing> => {
  const top = chain === undefined ? tops[0] : layers.get(chain)
  if (top === undefined) {
    return Result.fail(new ChainMissing({ ...(chain === undefined ? {} : { chain }), ...summaries(tops) }))
  }
  if (chain === undefined && tops.length > 1) return Result.fail(new ChainAmbiguous(summaries(tops)))
  return top.fault === undefined
    ? Result.succeed(top)
    : Result.fail(new ChainIncomplete({ chain: top.name, ...top.fault }))
}
