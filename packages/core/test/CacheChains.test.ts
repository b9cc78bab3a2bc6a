import * as CacheChains from "@effect-oci/core/CacheChains"
import * as CacheConfig from "@effect-oci/schema/CacheConfig"
import * as Digest from "@effect-oci/schema/Digest"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import process from "node:process"
import { services } from "./services.ts"
import { bytesOf, digestOf, failureOf, timeOf } from "./values.ts"

const blob = (name: string | number) => digestOf(`blob ${name}`)

/** A layer that there is, or, with `fault`, one that is not. */
const layer = (name: string | number, parent = -1, more: Partial<CacheChains.Facts> = {}): CacheChains.Source => ({
  blob: blob(name),
  parent,
  facts: {
    description: `${name}`,
    layer: { descriptor: { mediaType: "a/b", digest: blob(name), size: 1 }, diffId: digestOf(`${name}`) },
    ...more
  }
})

const join = (layers: ReadonlyArray<CacheChains.Source>, records: ReadonlyArray<CacheConfig.CacheRecord>) =>
  Effect.provide(CacheChains.join(layers, records, "/records"), services)

const ends = (layer: number, ...links: ReadonlyArray<number>): CacheConfig.CacheRecord => ({
  layers: [{ layer }],
  inputs: links.map((link) => [{ link }])
})

/** Each chain that the cache ends in, in words, from the base on. */
const shown = ({ layers, tops }: CacheChains.Chains): ReadonlyArray<string> =>
  tops.map((top) => {
    const words = [top.description]
    for (let at = layers.get(top.parent ?? ""); at !== undefined; at = layers.get(at.parent ?? "")) {
      words.unshift(at.description)
    }
    return words.join(" ")
  }).toSorted()

describe("join", () => {
  it.effect("follows parents, in whichever order the layers stand", () =>
    Effect.gen(function*() {
      const chains = yield* join([layer("c", 2), layer("a"), layer("b", 1)], [ends(0)])
      assert.deepStrictEqual(shown(chains), ["a b c"])
      assert.deepStrictEqual([...chains.layers.values()].map(({ height }) => height), [1, 2, 3])
    }))

  it.effect("names a layer by those below it, as chain IDs are made", () =>
    Effect.gen(function*() {
      const { layers } = yield* join([layer("a"), layer("b", 0), layer("b"), layer("c", 1)], [])
      const second = digestOf(`${blob("a")} ${blob("b")}`)
      assert.deepStrictEqual(
        [...layers.keys()].toSorted(),
        [
          blob("a"),
          second,
          blob("b"),
          digestOf(`${second} ${blob("c")}`)
        ].toSorted()
      )
    }))

  it.effect("takes a step's result for an end if no step that builds on it has one", () =>
    Effect.gen(function*() {
      const layers = [layer("a"), layer("b", 0), layer("c", 1), layer("d", 0)]
      // A step that builds on another by way of one without a result; inputs that are known in two ways
      const built = yield* join(layers, [ends(0), { inputs: [[{ link: 0 }]] }, { inputs: [[]] }, ends(1, 1, 2)])
      assert.deepStrictEqual(shown(built), ["a b"])
      // A last step without a result, and two ends
      const two = yield* join(layers, [ends(0), ends(2, 0), ends(3, 0), { inputs: [[{ link: 1 }]] }])
      assert.deepStrictEqual(shown(two), ["a b c", "a d"])
      // Two steps with one result are one end
      assert.deepStrictEqual(shown(yield* join(layers, [ends(2), ends(2)])), ["a b c"])
    }))

  it.effect("puts the layers of a merge on top of each other", () =>
    Effect.gen(function*() {
      const layers = [layer("a"), layer("b", 0), layer("c")]
      const chains = yield* join(layers, [{ chains: [{ layers: [2, 1] }, { layers: [] }, {}] }])
      assert.deepStrictEqual(shown(chains), ["c b"])
      // A list that is a chain already is that chain
      const same = yield* join(layers, [{ chains: [{ layers: [0, 1] }], layers: [{ layer: 1 }] }])
      assert.deepStrictEqual([shown(same), same.layers.size], [["a b"], 3])
    }))

  it.effect("takes zeros that are left out for zeros", () =>
    Effect.gen(function*() {
      const chains = yield* join([layer("a"), layer("b", 0)], [{ layers: [{}] }, {
        layers: [{ layer: 1 }],
        inputs: [[{}]]
      }])
      assert.deepStrictEqual(shown(chains), ["a b"])
    }))

  it.effect("takes the earliest step's time where a layer has none, and none from Go's zero time", () =>
    Effect.gen(function*() {
      const own = timeOf("2024-01-01T00:00:00Z")
      const at = (text: string, layer: number) => ({ layers: [{ layer, createdAt: timeOf(text) }] })
      const { layers } = yield* join(
        [
          layer("a"),
          layer("b", 0, { createdAt: own }),
          layer("c", 1, { createdAt: timeOf("0001-01-01T00:00:00Z") }),
          layer("d", 2)
        ],
        [
          at("2024-01-03T00:00:00Z", 0),
          at("2024-01-02T00:00:00.000000001+01:00", 0),
          at("2023-01-01T00:00:00Z", 1),
          at("2024-01-04T00:00:00Z", 2),
          at("0001-01-01T00:00:00Z", 3)
        ]
      )
      const times = new Map<string, Timestamp.Timestamp | undefined>(
        [...layers.values()].map(({ createdAt, description }) => [description, createdAt])
      )
      assert.deepStrictEqual(times.get("a"), timeOf("2024-01-02T00:00:00.000000001+01:00"))
      assert.deepStrictEqual(times.get("b"), own)
      assert.deepStrictEqual(times.get("c"), timeOf("2024-01-04T00:00:00Z"))
      assert.isUndefined(times.get("d"))
    }))

  it.effect.each<[string, ReadonlyArray<CacheChains.Source>, ReadonlyArray<CacheConfig.CacheRecord>, string]>([
    [
      "a layer on itself",
      [layer("a", 0)],
      [],
      "/layers/0/parent: expected a parent that does not stand on the layer itself, found the layer itself: an absent parent is 0"
    ],
    [
      "layers on each other",
      [layer("a"), layer("b", 2), layer("c", 1)],
      [],
      "/layers/1/parent: expected a parent that does not stand on the layer itself, found a cycle"
    ],
    [
      "a parent beyond the end",
      [layer("a", 1)],
      [],
      "/layers/0/parent: expected the index of one of 1 layers, or -1, found 1"
    ],
    [
      "a parent below -1",
      [layer("a", -2)],
      [],
      "/layers/0/parent: expected the index of one of 1 layers, or -1, found -2"
    ],
    [
      "a parent of more than 64 bits",
      [layer("a", Infinity)],
      [],
      "/layers/0/parent: expected the index of one of 1 layers, or -1, found a number that is no integer of 64 bits"
    ],
    [
      "a result beyond the end",
      [layer("a")],
      [{}, ends(1)],
      "/records/1/layers/0/layer: expected the index of one of 1 layers, found 1"
    ],
    [
      "a negative result",
      [layer("a")],
      [ends(-1)],
      "/records/0/layers/0/layer: expected the index of one of 1 layers, found -1"
    ],
    [
      "a merge of what is not there",
      [layer("a")],
      [{ chains: [{ layers: [0, 7] }] }],
      "/records/0/chains/0/layers/1: expected the index of one of 1 layers, found 7"
    ],
    [
      "a link beyond the end",
      [],
      [{ inputs: [[{ link: 1 }]] }],
      "/records/0/inputs/0/0/link: expected the index of one of 1 records, found 1"
    ],
    [
      "a negative link",
      [],
      [{ inputs: [[], [{ link: 0 }, { link: -1 }]] }],
      "/records/0/inputs/1/1/link: expected the index of one of 1 records, found -1"
    ],
    [
      "a record on itself",
      [],
      [{}, { inputs: [[{ link: 1 }]] }],
      "/records/1: expected records whose inputs do not lead back to themselves, found a cycle"
    ],
    [
      "records on each other",
      [],
      [{ inputs: [[{ link: 1 }]] }, { inputs: [[{ link: 0 }]] }],
      "/records/0: expected records whose inputs do not lead back to themselves, found a cycle"
    ]
  ])("refuses %s", ([, layers, records, expected]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(join(layers, records))
      assert.strictEqual(error.message, `the build cache contradicts itself: ${expected}`)
    }))
})

describe("choose", () => {
  const two = join([layer("a"), layer("b", 0), layer("c", 0, { createdAt: timeOf("2024-01-02T03:04:05Z") })], [
    ends(1),
    ends(2)
  ])

  it.effect("takes the only end there is, or any layer by its name", () =>
    Effect.gen(function*() {
      const chains = yield* join([layer("a"), layer("b", 0)], [ends(1)])
      assert.strictEqual(Result.getOrThrow(CacheChains.choose(chains)).description, "b")
      assert.strictEqual(Result.getOrThrow(CacheChains.choose(chains, blob("a"))).description, "a")
      const ambiguous = yield* two
      for (const top of ambiguous.tops) {
        assert.strictEqual(Result.getOrThrow(CacheChains.choose(ambiguous, top.name)), top)
      }
    }))

  it.effect("lists the ends where there are several, or none of the name", () =>
    Effect.gen(function*() {
      const [b, c] = ["b", "c"].map((name) => digestOf(`${blob("a")} ${blob(name)}`))
      const list = [`${b} (2 layers)`, `${c} (2 layers, 2024-01-02T03:04:05Z)`].toSorted().join(", ")
      const ambiguous = failureOf(CacheChains.choose(yield* two))
      assert.strictEqual(
        ambiguous.message,
        `the build cache ends in 2 chains of layers: name the one that is meant: ${list}`
      )
      const missing = failureOf(CacheChains.choose(yield* two, "x"))
      assert.strictEqual(missing.message, `the build cache has no chain "x"; it ends in ${list}`)
    }))

  it.effect("lists no more than 20", () =>
    Effect.gen(function*() {
      const many = yield* join(
        Array.from({ length: 25 }, (_, index) => layer(index)),
        Array.from({ length: 25 }, (_, index) => ends(index))
      )
      const error = failureOf(CacheChains.choose(many))
      assert.match(error.message, /\(1 layer\) and 5 more$/)
    }))

  it.effect("gives no chain with a layer that is of no use, wherever it is", () =>
    Effect.gen(function*() {
      const lost = { description: "", fault: { digest: blob("b"), reason: "unlisted" } } as const
      const chains = yield* join(
        [layer("a"), { blob: blob("b"), parent: 0, facts: lost }, layer("c", 1)],
        [ends(2)]
      )
      const error = failureOf(CacheChains.choose(chains))
      assert.strictEqual(error._tag, "ChainIncomplete")
      assert.match(error.message, new RegExp(`^the chain sha256:\\S+ cannot be used: its layer ${blob("b")} is not in`))
      assert.isTrue(Result.isSuccess(CacheChains.choose(chains, blob("a"))))
    }))
})

describe("a large cache", () => {
  /** Without content that would have to be hashed. */
  const numbered = (index: number, parent: number): CacheChains.Source => ({
    blob: Result.getOrThrow(Digest.fromHex("sha256", index.toString(16).padStart(64, "0"))),
    parent,
    facts: { description: "" }
  })

  /** Every kind of link, and as deep as it can be. */
  const large = (length: number) => ({
    layers: Array.from({ length }, (_, index) => numbered(index, index === length - 1 ? -1 : index + 1)),
    records: Array.from({ length }, (_, index): CacheConfig.CacheRecord => ({
      layers: [{ layer: length - 1 - index }],
      inputs: index === 0 ? [] : [[{ link: index - 1 }], [{ link: Math.floor(index / 2) }, { link: 0 }]]
    }))
  })

  /** The time of this process, which other ones do not lengthen. */
  const seconds = (length: number) =>
    Effect.gen(function*() {
      const { layers, records } = large(length)
      const before = process.cpuUsage()
      const { tops } = yield* join(layers, records)
      const { system, user } = process.cpuUsage(before)
      assert.deepStrictEqual(tops.map(({ height }) => height), [length])
      return (system + user) / 1e6
    })

  it.effect("of 10,000 records is joined in less than a second", () =>
    Effect.gen(function*() {
      yield* seconds(1000)
      assert.isBelow(Math.min(yield* seconds(10_000), yield* seconds(10_000), yield* seconds(10_000)), 1)
    }))

  it.effect("that is sixteen times as large takes about sixteen times as long", () =>
    Effect.gen(function*() {
      yield* seconds(1000)
      const small = Math.min(yield* seconds(5000), yield* seconds(5000), yield* seconds(5000))
      // What grows with the square takes 256 times as long
      assert.isBelow(yield* seconds(80_000), Math.max(small, 0.01) * 80)
    }))

  it.effect("is read in less than a second too", () =>
    Effect.gen(function*() {
      const { layers, records } = large(10_000)
      const config = {
        layers: layers.map(({ blob, parent }) => ({ blob, parent })),
        records: records.map(({ inputs, layers }, index) => ({
          layers: [{ layer: layers?.[0]?.layer, createdAt: `2024-01-02T03:04:05.${index}Z` }],
          digest: `sha256:${"ab".repeat(32)}`,
          inputs
        }))
      }
      const bytes = bytesOf(JSON.stringify(config))
      const seconds = [1, 2, 3].map(() => {
        const before = process.cpuUsage()
        assert.strictEqual(Result.getOrThrow(CacheConfig.parse(bytes)).value.records?.length, 10_000)
        const { system, user } = process.cpuUsage(before)
        return (system + user) / 1e6
      })
      assert.isBelow(Math.min(...seconds), 1)
    }))

  it.effect("that is a cycle of 100,000 is refused", () =>
    Effect.gen(function*() {
      const length = 100_000
      const next = (index: number) => (index + 1) % length
      const ofLayers = yield* Effect.flip(join(Array.from({ length }, (_, index) => numbered(0, next(index))), []))
      const ofRecords = yield* Effect.flip(
        join([], Array.from({ length }, (_, index) => ({ inputs: [[{ link: next(index) }]] })))
      )
      assert.deepStrictEqual([ofLayers.pointer, ofRecords.pointer], ["/layers/0/parent", "/records/0"])
    }))
})
