import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { frozen, timeOf } from "./values.ts"

const { buildkit2026, effectOci1, moby2019 } = Compatibility

const now = timeOf("2019-07-22T02:12:25Z")

/**
 * A chain of refs that counts: the base is `ref-0`, and `parentOf` says what instead becomes of the parent of a ref, which
 * is `undefined` for the usual.
 */
const chainOf = (
  length: number,
  parentOf: (index: number) => Effect.Effect<Option.Option<CacheRef.Ref>, CacheRef.CacheRefError> | undefined = () =>
    undefined
) => {
  const acquired: Array<number> = []
  const released: Array<number> = []
  const refAt = (index: number): CacheRef.Ref => ({
    name: `ref-${index}`,
    description: `step ${index}`,
    createdAt: { seconds: index, nanoseconds: 0, offset: "Z" },
    parent: parentOf(index) ??
      (index === 0
        ? Effect.succeedNone
        : Effect.acquireRelease(
          Effect.sync(() => {
            acquired.push(index - 1)
            return Option.some(refAt(index - 1))
          }),
          () => Effect.sync(() => void released.push(index - 1))
        ))
  })
  return {
    top: refAt(length - 1),
    acquired: () => acquired.toSorted((a, b) => a - b),
    /** Each as often as it was released. */
    released: () => released.toSorted((a, b) => a - b)
  }
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

const collect = (top: CacheRef.Ref, layers: number, rules: Compatibility.Compatibility = buildkit2026) =>
  RefMetadata.collect(Option.some(top), layers, rules, now)

describe("collect", () => {
  it.effect("takes the last refs of a chain that is longer, base first", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* collect(chainOf(5).top, 2),
        [3, 4].map((index) => ({
          description: `step ${index}`,
          createdAt: { seconds: index, nanoseconds: 0, offset: "Z" }
        }))
      )
    }))

  it.effect("acquires no more of a chain than the rules say", () =>
    Effect.gen(function*() {
      const [some, all, none] = [chainOf(9), chainOf(9), chainOf(9)]
      yield* collect(some.top, 3, moby2019)
      yield* collect(all.top, 3)
      yield* collect(none.top, 0, moby2019)
      assert.deepStrictEqual(some.released(), range(5, 8))
      assert.deepStrictEqual(all.released(), range(0, 8))
      assert.deepStrictEqual(none.acquired(), [])
    }))

  it.effect("collects 100,000 refs in a time that grows linearly", () =>
    Effect.gen(function*() {
      const time = (length: number) =>
        Effect.gen(function*() {
          const chain = chainOf(length)
          const start = performance.now()
          const metadata = yield* collect(chain.top, length)
          const milliseconds = performance.now() - start
          assert.lengthOf(metadata, length)
          assert.strictEqual(metadata[0]?.description, "step 0")
          const released = chain.released()
          assert.lengthOf(released, length - 1)
          assert.isTrue(released.every((ref, index) => ref === index))
          return milliseconds
        })
      const small = yield* Effect.forEach([1, 2, 3], () => time(10_000))
      const large = yield* time(100_000)
      // A square is a hundred times as long
      assert.isBelow(large / Math.min(...small), 40, "ten times the refs take about ten times as long")
    }), 20_000)
})

describe("every ref that is acquired is released once", () => {
  const gone = new CacheRef.RefMissing({ store: "the store", ref: "gone" })

  it.effect.each([1, 2, 7])("where the parent of a ref fails, %s below the top", (depth) =>
    Effect.gen(function*() {
      const chain = chainOf(9, (index) => index === 9 - depth ? Effect.fail(gone) : undefined)
      const error = yield* Effect.flip(collect(chain.top, 9))
      assert.deepStrictEqual([error._tag, error.ref, error.cause], ["CollectFailed", "ref-8", gone])
      assert.strictEqual(error.message, `failed to get the metadata of the ref "ref-8"`)
      assert.deepStrictEqual(chain.released(), range(9 - depth, 8))
      assert.deepStrictEqual(chain.acquired(), chain.released())
    }))

  it.effect("where a parent is a defect", () =>
    Effect.gen(function*() {
      const chain = chainOf(4, (index) => index === 1 ? Effect.die("broken") : undefined)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(collect(chain.top, 4))))
      assert.deepStrictEqual(chain.released(), [1, 2])
    }))

  it.effect("where it is interrupted while a parent hangs", () =>
    Effect.gen(function*() {
      const hangs = yield* Deferred.make<void>()
      const chain = chainOf(
        6,
        (index) => index === 2 ? Effect.andThen(Deferred.succeed(hangs, undefined), Effect.never) : undefined
      )
      const fiber = yield* Effect.forkChild(collect(chain.top, 6))
      yield* Deferred.await(hangs)
      assert.deepStrictEqual([chain.acquired(), chain.released()], [[2, 3, 4], []])
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(chain.released(), [2, 3, 4])
    }))
})

describe("fromChain", () => {
  const refs = frozen([
    { description: "", createdAt: timeOf("2020-01-01T02:00:00.100+02:00") },
    { description: "COPY" }
  ])

  it("says by what a layer was made where its ref does not, and keeps a time as it is", () => {
    assert.deepStrictEqual(RefMetadata.fromChain(refs, 2, buildkit2026, now), [
      { description: "created by buildkit", createdAt: timeOf("2020-01-01T02:00:00.100+02:00") },
      { description: "COPY", createdAt: Timestamp.zero }
    ])
    assert.deepStrictEqual(RefMetadata.fromChain(refs, 1, effectOci1, now), [{ description: "COPY" }])
  })

  it("lets the clock stand in for refs that are missing, at the base, where the rules say so", () => {
    const standIn = { description: "created by buildkit", createdAt: now }
    const known = { description: "COPY", createdAt: Timestamp.zero }
    const chain = [{ description: "COPY" }]
    assert.deepStrictEqual(RefMetadata.fromChain(chain, 3, moby2019, now), [standIn, standIn, known])
    assert.deepStrictEqual(RefMetadata.fromChain(null, 2, moby2019, now), [standIn, standIn])
    assert.deepStrictEqual(RefMetadata.fromChain(chain, 3, buildkit2026, now), [known])
    assert.deepStrictEqual(RefMetadata.fromChain([], 3, buildkit2026, now), [])
  })

  it("says nothing where there is no ref at all", () => {
    assert.deepStrictEqual(RefMetadata.fromChain(null, 2, buildkit2026, now), [{ description: "" }, {
      description: ""
    }])
  })

  it.each([0, -1])("has nothing for %s layers", (layers) => {
    for (const rules of Compatibility.presets) {
      assert.deepStrictEqual(RefMetadata.fromChain(refs, layers, rules, now), [])
      assert.deepStrictEqual(RefMetadata.fromChain(null, layers, rules, now), [])
    }
  })

  it.effect("is what collect gives without a ref", () =>
    Effect.gen(function*() {
      const metadata = yield* RefMetadata.collect(Option.none(), 1, moby2019, now)
      assert.deepStrictEqual(metadata, RefMetadata.fromChain(null, 1, moby2019, now))
    }))
})
