import * as HistoryRepair from "@effect-oci/core/HistoryRepair"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import type * as RefMetadata from "@effect-oci/core/RefMetadata"
import type * as History from "@effect-oci/schema/History"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { failureOf, frozen, shown } from "./values.ts"

/** An item in short: `COPY@5` is of a layer and of second 5, `ENV!` is without a layer and a time. */
const item = (text: string): History.History => {
  const [, created_by = "", second, empty] = /^([^@!]*)(?:@(\d+))?(!)?$/.exec(text) ?? []
  return {
    created_by,
    ...(second === undefined ? {} : { created: { seconds: Number(second), nanoseconds: 0, offset: "Z" } }),
    ...(empty === undefined ? {} : { empty_layer: true })
  }
}

const shorten = (history: History.Items) =>
  history?.map(({ comment, created, created_by, empty_layer }) =>
    (created_by ?? (comment === undefined ? "" : "?")) + (created === undefined ? "" : `@${created.seconds}`) +
    (empty_layer === true ? "!" : "")
  ).join(" ")

const words = (text: string) => text === "" ? [] : text.split(" ")

/** The metadata of layers in short: `b1@1 b2` are two layers, the second without a time. */
const refs = (text: string): ReadonlyArray<RefMetadata.RefMetadata> =>
  words(text).map((word) => {
    const { created, created_by: description = "" } = item(word)
    return created === undefined ? { description } : { description, createdAt: created }
  })

const run = (policy: HistoryRepair.Policy, history: string, layers: string) => {
  const metadata = refs(layers)
  return HistoryRepair.run(frozen({ policy, history: words(history).map(item), layers: metadata.length, metadata }))
}

const repaired = (policy: HistoryRepair.Policy, history: string, layers: string) =>
  shorten(Result.getOrThrow(run(policy, history, layers)).history)

describe("a history that fits", () => {
  it.each(HistoryRepair.policies)("is left alone by %s, null too", (policy) => {
    const history = ["a", "ENV!", "b"].map(item)
    const fitting = HistoryRepair.run({ policy, history, layers: 2, metadata: [] })
    assert.strictEqual(Result.getOrThrow(fitting).history, history)
    assert.deepStrictEqual(Result.getOrThrow(fitting).changes, [])
    assert.deepStrictEqual(
      Result.getOrThrow(HistoryRepair.run({ policy, history: null, layers: 0, metadata: [] })),
      { history: null, changes: [] }
    )
  })
})

describe("strict", () => {
  it.each([["a", "l1 l2", 1], ["a b ENV!", "l1", 2]])("refuses %j for the layers %j", (history, layers, items) => {
    const error = failureOf(run("strict", history, layers))
    assert.deepStrictEqual([error._tag, error.items, error.layers], ["HistoryMismatch", items, words(layers).length])
    assert.strictEqual(
      error.message,
      `the history does not fit the image: expected an item for each of ${error.layers} layers, found ${items}; ` +
        "mend the config, or choose another repair: buildkit, align, pad"
    )
  })
})

describe("buildkit", () => {
  it("files what is missing at the end, and tells so", () => {
    assert.deepStrictEqual(
      Result.map(run("buildkit", "ENV! COPY LABEL!", "b1@1 b2@2 top@3"), ({ changes, history }) => ({
        changes,
        history: shown(history)
      })),
      Result.succeed({
        history: ["ENV||E", "COPY|", "LABEL||E", "b2|1970-01-01T00:00:02Z", "top|1970-01-01T00:00:03Z"],
        changes: [
          { _tag: "ItemAdded" as const, index: 3, layer: 1, reason: "BuildKit files what is missing at the end" },
          { _tag: "ItemAdded" as const, index: 4, layer: 2, reason: "BuildKit files what is missing at the end" }
        ]
      })
    )
  })

  it("takes the layers of the last items that are too many", () => {
    const { changes, history } = Result.getOrThrow(run("buildkit", "a ENV! b c", "l1"))
    assert.strictEqual(shorten(history), "a ENV! b! c!")
    assert.deepStrictEqual(
      changes,
      [2, 3].map((index) => ({
        _tag: "LayerTaken" as const,
        index,
        reason: "the image has only 1 layers"
      }))
    )
  })
})

describe("align", () => {
  it.each([
    ["a base without history", "ENV! COPY LABEL!", "b1@1 b2@2 b3@3 top@4", "b1@1 b2@2 b3@3 ENV! COPY LABEL!"],
    ["nothing but layers", "", "b1@1 b2", "b1@1 b2"],
    ["only items without layers", "ENV! CMD!", "b1 b2", "b1 b2 ENV! CMD!"],
    ["times that tell where", "base@1 COPY@4", "l1@1 l2@2 l3@3 l4@4", "base@1 l2@2 l3@3 COPY@4"],
    ["a time at the base, others at the top", "base@1 RUN COPY", "l1@1 l2@2 l3@3 l4@4", "base@1 l2@2 RUN COPY"],
    ["items below a time that is known", "RUN COPY@3 top", "l1@1 l2@2 l3@3 l4@4", "l1@1 RUN COPY@3 top"],
    [
      "steps older than a missing layer stay below it",
      "base@1 CMD@1! COPY",
      "l1@1 l2@2 l3@3",
      "base@1 CMD@1! l2@2 COPY"
    ],
    ["steps as old as a missing layer are above it", "ENV@2! COPY@3", "l1@2 l2@3", "l1@2 ENV@2! COPY@3"],
    ["all of one time, too few", "ENV@0! COPY@0 LABEL@0!", "b1@0 b2@0 top@0", "b1@0 b2@0 ENV@0! COPY@0 LABEL@0!"],
    ["all of one time, too many", "a@0 b@0 ENV@0! c@0", "l1@0 l2@0", "a@0 b@0 ENV@0! c@0!"],
    ["too many without times", "a b ENV! c d", "l1 l2", "a b ENV! c! d!"],
    ["too many, one of them known", "a@9 b@2 c@9", "l1@1 l2@2", "a@9 b@2 c@9!"],
    ["too many of one time, and another's layer without an item", "a@1 b@1 c@1", "l1@1 l2@2", "a@1 b@1 c@1!"],
    ["more than fit between times, and a layer without an item", "a@1 x y b@2", "l1@1 l2@2 l3@3", "a@1 x! y! b@2 l3@3"],
    ["times that contradict the order", "a@2 b@1", "l1@1 l2@2 l3@3", "l1@1 a@2 b@1"],
    ["a time that leaves no layer below", "x y c@2", "l1@1 l2@2 l3@3 l4@4", "l1@1 x y c@2"],
    ["a time that leaves no layer between", "a@3 x c@4", "l1@1 l2@2 l3@3 l4@4", "l1@1 a@3 x c@4"],
    ["an offset does not matter, the instant does", "base@1 COPY", "l1@1 l2@2 l3@3", "base@1 l2@2 COPY"]
  ])("%s", (_, history, layers, expected) => {
    assert.strictEqual(repaired("align", history, layers), expected)
  })

  it("knows a layer by its instant, whatever the offset", () => {
    const created = { seconds: 1, nanoseconds: 5, offset: "Z" } as const
    const { history } = Result.getOrThrow(HistoryRepair.run({
      policy: "align",
      history: [{ created_by: "base", created: { ...created, offset: 120 } }],
      layers: 2,
      metadata: [{ description: "l1", createdAt: created }, { description: "l2" }]
    }))
    assert.strictEqual(shorten(history), "base@1 l2")
  })

  it("tells what it changed, by the places in the new history", () => {
    assert.deepStrictEqual(
      Result.getOrThrow(run("align", "ENV! COPY", "b1 b2 top")).changes,
      [0, 1].map((layer) => ({
        _tag: "ItemAdded" as const,
        index: layer,
        layer,
        reason: `layer ${layer} had no history item`
      }))
    )
    assert.deepStrictEqual(Result.getOrThrow(run("align", "a@1 x y b@2", "l1@1 l2@2 l3@3")).changes, [
      ...[1, 2].map((index) => ({
        _tag: "LayerTaken" as const,
        index,
        reason: "the image has only 3 layers, and none is this item's"
      })),
      { _tag: "ItemAdded", index: 4, layer: 2, reason: "layer 2 had no history item" }
    ])
  })

  it("adds items as the exporter makes them", () => {
    const { history } = Result.getOrThrow(run("align", "", "COPY@7"))
    assert.deepStrictEqual(history, [LayerHistory.ofMetadata(refs("COPY@7")[0] ?? { description: "" })])
  })
})

describe("pad", () => {
  it("puts placeholders that claim nothing where align puts items", () => {
    const { changes, history } = Result.getOrThrow(run("pad", "base@1 ENV! COPY", "l1@1 l2@2 l3@3"))
    assert.strictEqual(shorten(history), "base@1 ? ENV! COPY")
    assert.deepStrictEqual(history?.[1], { comment: "effect-oci: the history of this layer is not known" })
    assert.deepStrictEqual(changes, [
      { _tag: "ItemAdded", index: 1, layer: 1, reason: "layer 1 had no history item" }
    ])
  })
})

describe("metadata that is missing too", () => {
  it.each(["buildkit", "align", "pad"] as const)("leaves its layers without an item under %s", (policy) => {
    const { history } = Result.getOrThrow(
      HistoryRepair.run({ policy, history: [], layers: 3, metadata: refs("l1 l2") })
    )
    assert.lengthOf(history ?? [], 2)
  })
})

describe("every repair", () => {
  const time = Schema.optionalKey(Schema.Literals([0, 1, 2, 3]))
  const arbitrary = {
    items: Schema.Array(Schema.Struct({ time, empty: Schema.Boolean })),
    layers: Schema.Array(Schema.Struct({ time }))
  }
  const created = (seconds: number) => ({ seconds, nanoseconds: 0, offset: "Z" as const })

  it.prop("gives each layer an item, and leaves the order and all else alone", arbitrary, ({ items, layers }) => {
    const history = frozen(items.map(({ empty, time }, index): History.History => ({
      created_by: `item ${index}`,
      ...(time === undefined ? {} : { created: created(time) }),
      ...(empty ? { empty_layer: true } : {})
    })))
    const metadata = frozen(layers.map(({ time }, index): RefMetadata.RefMetadata => ({
      description: `layer ${index}`,
      ...(time === undefined ? {} : { createdAt: created(time) })
    })))
    for (const policy of ["buildkit", "align", "pad"] as const) {
      const input = { policy, layers: layers.length, metadata }
      const { changes, history: out } = Result.getOrThrow(HistoryRepair.run({ ...input, history }))
      assert.lengthOf(out?.filter(LayerHistory.isOfLayer) ?? [], layers.length)

      const added = changes.filter((change) => change._tag === "ItemAdded")
      const taken = new Set(changes.filter((change) => change._tag === "LayerTaken").map(({ index }) => index))
      const places = new Set(added.map(({ index }) => index))
      const kept = out?.flatMap((item, index) => places.has(index) ? [] : [{ item, index }]) ?? []
      assert.deepStrictEqual(
        kept.map(({ item }) => item),
        history.map((item, index) => taken.has(kept[index]?.index ?? -1) ? { ...item, empty_layer: true } : item)
      )

      const given = history.filter(LayerHistory.isOfLayer).length
      if (given <= layers.length) assert.strictEqual(taken.size, 0)
      if (policy !== "buildkit") {
        const order = out?.flatMap((item, index) => LayerHistory.isOfLayer(item) ? [index] : []) ?? []
        for (const { index, layer } of added) assert.strictEqual(order[layer], index)
      }
      const again = Result.getOrThrow(HistoryRepair.run({ ...input, history: out }))
      assert.deepStrictEqual(again, { history: out, changes: [] })
    }
  }, { arbitrary: { runs: 400, seed: "repair" } })

  it.prop("as BuildKit does is what normalize does anyway", arbitrary, ({ items, layers }) => {
    const history = items.map(({ empty, time }): History.History => ({
      ...(time === undefined ? {} : { created: created(time) }),
      ...(empty ? { empty_layer: true } : {})
    }))
    const metadata = layers.map(({ time }): RefMetadata.RefMetadata => ({
      description: "step",
      ...(time === undefined ? {} : { createdAt: created(time) })
    }))
    const rules = { missingTimes: "all", addedTimes: "own" } as const
    const normalize = (history: History.Items) =>
      Result.getOrThrow(LayerHistory.normalize({ history, layers: layers.length, metadata, rules })).history
    const run = HistoryRepair.run({ policy: "buildkit", history, layers: layers.length, metadata })
    assert.deepStrictEqual(normalize(Result.getOrThrow(run).history), normalize(history))
  }, { arbitrary: { runs: 200, seed: "buildkit" } })

  it.each(["align", "pad", "buildkit"] as const)(
    "%s takes no time that grows with the square of the layers",
    (policy) => {
      const layers = 100_000
      for (const second of [() => 0, (layer: number) => layer]) {
        const at = (layer: number) => ({ seconds: second(layer), nanoseconds: 0, offset: "Z" as const })
        const metadata = Array.from({ length: layers }, (_, layer) => ({ description: "step", createdAt: at(layer) }))
        const history = Array.from({ length: layers / 2 }, (_, layer) => ({ created: at(layer) }))
        const start = performance.now()
        const { changes } = Result.getOrThrow(HistoryRepair.run({ policy, history, layers, metadata }))
        assert.isBelow(performance.now() - start, 4_000, "a loop in a loop over them takes far longer")
        assert.lengthOf(changes, layers / 2)
      }
    }
  )
})
