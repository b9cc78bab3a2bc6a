import * as BuildRecord from "@effect-oci/core/BuildRecord"
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as History from "@effect-oci/schema/History"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { timeOf } from "./values.ts"

/** A time of its own for each number, which differs in the nanoseconds only. */
const at = (nanoseconds: number, offset: Timestamp.Timestamp["offset"] = "Z"): Timestamp.Timestamp => ({
  ...timeOf("2026-11-30T04:07:17Z"),
  nanoseconds,
  offset
})

const record = (id: string, parents: ReadonlyArray<string>, nanoseconds: number): BuildRecord.BuildRecord => ({
  id,
  parents,
  description: `made ${id}`,
  createdAt: at(nanoseconds)
})

const make = (...records: ReadonlyArray<BuildRecord.BuildRecord>) => BuildRecord.make("the cache", records)

const item = (nanoseconds: number, offset?: Timestamp.Timestamp["offset"]): History.History => ({
  created: at(nanoseconds, offset),
  created_by: `step ${nanoseconds}`
})

const setting: History.History = { created_by: "ENV a=b", empty_layer: true }

const diffIds = (layers: number) =>
  Array.from({ length: layers }, (_, index) => `sha256:${index.toString(16).padStart(64, "0")}`)

const join = (
  records: BuildRecord.Records,
  history: ReadonlyArray<History.History>,
  layers = history.filter(({ empty_layer }) => empty_layer !== true).length
) => Result.getOrThrow(BuildRecord.join(records, { rootfs: { diff_ids: diffIds(layers) }, history }))

const ids = (layers: ReadonlyArray<BuildRecord.JoinedLayer>) => layers.map(({ record }) => record?.id)

const chainOf = (records: BuildRecord.Records, id: string) =>
  Result.map(BuildRecord.chain(records, id), (chain) => chain.map(({ id }) => id))

const built = make(record("c", ["b"], 3), record("a", [], 1), record("b", ["a"], 2), record("other", ["a"], 9))

describe("join", () => {
  it("gives each layer the record that was made at its time, on as many layers", () => {
    const layers = join(built, [setting, item(1), setting, item(2), item(3), setting])
    assert.deepStrictEqual(layers.map(({ diffId }) => diffId), diffIds(3))
    assert.deepStrictEqual(layers.map(({ record }) => record), [
      record("a", [], 1),
      record("b", ["a"], 2),
      record("c", ["b"], 3)
    ])
    assert.deepStrictEqual(layers.map(({ item }) => item), [item(1), item(2), item(3)])
  })

  it("takes the records below the uppermost for what they are, whatever the times of their layers", () => {
    assert.deepStrictEqual(ids(join(built, [item(7), item(7), item(3)])), ["a", "b", "c"])
    assert.deepStrictEqual(ids(join(built, [{ created_by: "no time" }, item(3), item(3)])), ["a", "b", "c"])
  })

  it("joins as far up as it can", () => {
    assert.deepStrictEqual(ids(join(built, [item(1), item(2), item(8)])), ["a", "b", undefined])
    assert.deepStrictEqual(ids(join(built, [item(1), item(2), item(3), item(8)])), ["a", "b", "c", undefined])
  })

  it("joins nothing with a time at another place, or by nearly the same time", () => {
    assert.deepStrictEqual(ids(join(built, [item(3)])), [undefined])
    assert.deepStrictEqual(ids(join(built, [item(8), item(3)])), [undefined, undefined])
    assert.deepStrictEqual(ids(join(built, [item(8), item(8), item(4)])), [undefined, undefined, undefined])
  })

  it("joins nothing where the history does not fit the layers", () => {
    assert.deepStrictEqual(ids(join(built, [item(2), item(3)], 3)), [undefined, undefined, undefined])
    assert.deepStrictEqual(ids(join(built, [item(1)], 0)), [])
  })

  it("gives times the offset of the history", () => {
    const layers = join(built, [item(7, 120), item(7, 120), item(3, 345)])
    assert.deepStrictEqual(layers.map(({ record }) => record?.createdAt), [at(1, 345), at(2, 345), at(3, 345)])
  })

  it("knows records without a time by those above them", () => {
    const untimed = { id: "a", parents: [], description: "" }
    const records = make(untimed, record("b", ["a"], 2))
    assert.deepStrictEqual(join(records, [item(1), item(2)])[0]?.record, untimed)
    assert.deepStrictEqual(ids(join(make(untimed), [{ created_by: "no time" }])), [undefined])
  })

  it("puts the layers of several parents on top of each other, base first, and no layer of their own", () => {
    const records = make(
      record("merge", ["b", "linked"], 5),
      record("linked", [], 1),
      record("top", ["merge"], 6),
      record("a", [], 2),
      record("b", ["a"], 3),
      record("again", ["top", "merge"], 7)
    )
    assert.deepStrictEqual(ids(join(records, [item(2), item(3), item(1)])), ["a", "b", "linked"])
    assert.deepStrictEqual(ids(join(records, [item(2), item(3), item(1), item(6)])), ["a", "b", "linked", "top"])
    assert.deepStrictEqual(chainOf(records, "again"), Result.succeed(["a", "b", "linked", "top", "a", "b", "linked"]))
  })

  it("tells records of one time apart by what they stand on", () => {
    const merges = make(
      record("one", [], 1),
      record("two", [], 2),
      record("linked", [], 3),
      record("on one", ["one", "linked"], 4),
      record("on two", ["two", "linked"], 5)
    )
    assert.deepStrictEqual(ids(join(merges, [item(2), item(3)])), ["two", "linked"])
    assert.deepStrictEqual(ids(join(merges, [item(1), item(3)])), ["one", "linked"])
    assert.deepStrictEqual(ids(join(merges, [item(9), item(3)])), [undefined, undefined])
  })

  it("takes what is below all of several that fit equally well", () => {
    const twins = make(record("a", [], 1), record("b", ["a"], 2), record("twin", ["a"], 2))
    assert.deepStrictEqual(ids(join(twins, [item(1), item(2)])), ["a", undefined])
  })

  it("gives up on hundreds that fit equally well", () => {
    const many = Array.from({ length: 200 }, (_, index) => record(`${index}`, ["a"], 2))
    assert.deepStrictEqual(ids(join(make(record("a", [], 1), ...many), [item(1), item(2)])), [undefined, undefined])
  })

  it("refuses diff IDs that are no digests", () => {
    const result = BuildRecord.join(built, { rootfs: { diff_ids: ["x"] }, history: [] })
    assert.strictEqual(Result.getOrThrow(Result.flip(result))._tag, "MalformedDigest")
  })

  /** Some of a cache's records made the layers of an image with `layers` layers; the others are chains of all lengths. */
  const timeFor = (records: number, layers: number) => {
    const all = Array.from(
      { length: records },
      (_, index) => record(`r${index}`, index % layers === 0 ? [] : [`r${index - 1}`], index)
    )
    const history = Array.from({ length: layers }, (_, index) => item(records - layers + index))
    const start = performance.now()
    const joined = join(BuildRecord.make("the cache", all.toReversed()), history)
    const time = performance.now() - start
    assert.strictEqual(joined.at(-1)?.record?.id, `r${records - 1}`)
    assert.strictEqual(joined[0]?.record?.id, `r${records - layers}`)
    return time
  }

  it.effect.each([100, 10_000])(
    "joins 10,000 records in under a second, and in linear time: %d layers",
    (layers) =>
      Effect.sync(() => {
        timeFor(10_000, layers)
        const few = Math.min(...Array.from({ length: 3 }, () => timeFor(10_000, layers)))
        const many = Math.min(...Array.from({ length: 3 }, () => timeFor(80_000, layers)))
        assert.isBelow(few, 1000)
        // Eight times as many: quadratic were 64 times as long
        assert.isBelow(many, few * 30)
      })
  )

  it("is as quick where all records are of one time, or merges of merges", () => {
    const start = performance.now()
    const same = Array.from({ length: 10_000 }, (_, index) => record(`r${index}`, index === 0 ? [] : ["r0"], 1))
    join(make(...same), [item(1), item(1)])
    const doubled = Array.from(
      { length: 10_000 },
      (_, index) => record(`r${index}`, index === 0 ? [] : [`r${index - 1}`, `r${index - 1}`], 1)
    )
    assert.deepStrictEqual(ids(join(make(...doubled), [item(1), item(1)])), ["r0", "r0"])
    assert.isBelow(performance.now() - start, 1000)
  })
})

describe("chain", () => {
  const fail = (records: BuildRecord.Records, id: string): CacheRef.CacheRefError =>
    Result.getOrThrow(Result.flip(BuildRecord.chain(records, id)))

  it("gives the records below, base first", () => {
    assert.deepStrictEqual(chainOf(built, "c"), Result.succeed(["a", "b", "c"]))
    assert.deepStrictEqual(chainOf(built, "a"), Result.succeed(["a"]))
  })

  it("is not long enough to overflow the stack", () => {
    const long = Array.from(
      { length: 100_000 },
      (_, index) => record(`r${index}`, index === 0 ? [] : [`r${index - 1}`], 1)
    )
    assert.strictEqual(Result.getOrThrow(chainOf(make(...long.toReversed()), "r99999")).length, 100_000)
  })

  it("tells which record is missing", () => {
    assert.strictEqual(fail(built, "x").message, `the cache has no ref "x"`)
    const broken = make(record("c", ["b"], 3), record("b", ["a"], 2), record("d", ["c", "c"], 3))
    for (const id of ["b", "c", "d"]) {
      assert.strictEqual(
        fail(broken, id).message,
        `the ref "b" in the cache names a parent that is not there: "a"`
      )
    }
    assert.deepStrictEqual(ids(join(broken, [item(1), item(2), item(3)])), [undefined, undefined, undefined])
  })

  it("tells which record is its own ancestor", () => {
    const circle = make(record("a", ["c"], 1), record("b", ["a"], 2), record("c", ["b"], 3), record("d", ["c"], 4))
    assert.strictEqual(fail(circle, "d").message, `the ref "c" is its own ancestor: c -> b -> a -> c`)
    assert.strictEqual(fail(make(record("a", ["a"], 1)), "a").message, `the ref "a" is its own ancestor: a -> a`)
    assert.deepStrictEqual(ids(join(circle, [item(1)])), [undefined])
  })
})
