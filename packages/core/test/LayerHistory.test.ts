import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as HistoryRepair from "@effect-oci/core/HistoryRepair"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import type * as RefMetadata from "@effect-oci/core/RefMetadata"
import type * as History from "@effect-oci/schema/History"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { bytesOf, digestOf, failureOf, frozen, shown, textOf, timeOf } from "./values.ts"

const { buildkit2026, moby2010, moby2019 } = Compatibility

interface Input {
  readonly history: History.Items
  readonly metadata: ReadonlyArray<RefMetadata.RefMetadata>
  readonly layers?: number
  readonly rules?: Compatibility.Compatibility
}

const normalize = ({ history, layers, metadata, rules = buildkit2026 }: Input) =>
  LayerHistory.normalize(frozen({ history, layers: layers ?? metadata.length, metadata, rules }))

const normalized = (input: Input) => shown(Result.getOrThrow(normalize(input)).history)

const empty = (created_by: string, created?: string): History.History => ({
  created_by,
  empty_layer: true,
  ...(created === undefined ? {} : { created: timeOf(created) })
})

const layer = (created_by: string, created?: string): History.History => ({
  created_by,
  ...(created === undefined ? {} : { created: timeOf(created) })
})

const ref = (description: string, createdAt: string): RefMetadata.RefMetadata => ({
  description,
  createdAt: timeOf(createdAt)
})

/** An item as the exporter adds it, which has its comment. */
const isAdded = (item: History.History): boolean => item.comment === "buildkit.exporter.image.v0"

describe("what the Docker engine 20.10 wrote", () => {
  const day = (time: string) => `2026-11-24T${time}Z`

  it("no layer at all: nothing gives a time", () => {
    const config = `{"architecture":"amd64","os":"linux","history":[{"created_by":"ENV a=b",` +
      `"comment":"buildkit.dockerfile.v0","empty_layer":true}]}`
    const history = Result.getOrThrow(ExportConfig.parseHistory(bytesOf(config)))
    const fitting = Result.getOrThrow(normalize({ history, metadata: [], rules: moby2010 })).history
    const patched = ExportConfig.patch(bytesOf(config), { diffIds: [], history: fitting, rules: moby2010 })
    assert.strictEqual(
      textOf(Result.getOrThrow(patched)),
      `{"architecture":"amd64","created":null,"history":[{"created_by":"ENV a=b","comment":"buildkit.dockerfile.v0",` +
        `"empty_layer":true}],"os":"linux","rootfs":{"type":"layers","diff_ids":null}}`
    )
  })

  describe("a base of three layers without history", () => {
    const history = [empty("ENV A=1"), layer("COPY q.txt /q.txt"), empty("LABEL z=1")]
    const metadata = [
      ref("from local ", day("13:25:28.139130703")),
      ref("from local ", day("13:25:28.142612302")),
      ref("from local ", day("13:25:28.146654544")),
      ref("fileop target", day("13:25:28.153136588"))
    ]
    const given = [
      `ENV A=1|${day("13:25:28.139130703")}|E`,
      `COPY q.txt /q.txt|${day("13:25:28.139130703")}`,
      `LABEL z=1|${day("13:25:28.139130703")}|E`
    ]

    it("its own times: the variable that its loop shares is the last one's", () => {
      const rules = { ...moby2010, addedTimes: "shared" as const }
      const { history: items } = Result.getOrThrow(normalize({ history, metadata, rules }))
      assert.deepStrictEqual(shown(items), [
        ...given,
        `from local |${day("13:25:28.153136588")}`,
        `from local |${day("13:25:28.153136588")}`,
        `fileop target|${day("13:25:28.153136588")}`
      ])
      assert.deepStrictEqual(items?.map(isAdded), [false, false, false, true, true, true])
      const config = `{"os":"linux","architecture":"amd64"}`
      const diffIds = metadata.map((_, index) => digestOf(String(index)))
      const patched = Result.getOrThrow(ExportConfig.patch(bytesOf(config), { diffIds, history: items, rules }))
      assert.include(textOf(patched), `"created":"${day("13:25:28.153136588")}"`)
    })

    it("the times that were meant", () => {
      assert.deepStrictEqual(normalized({ history, metadata, rules: moby2010 }), [
        ...given,
        `from local |${day("13:25:28.142612302")}`,
        `from local |${day("13:25:28.146654544")}`,
        `fileop target|${day("13:25:28.153136588")}`
      ])
    })

    it("the order that is true, after a repair that aligns", () => {
      const repaired = Result.getOrThrow(HistoryRepair.run({ policy: "align", history, layers: 4, metadata })).history
      assert.deepStrictEqual(normalized({ history: repaired, metadata }), [
        `from local |${day("13:25:28.139130703")}`,
        `from local |${day("13:25:28.142612302")}`,
        `from local |${day("13:25:28.146654544")}`,
        `ENV A=1|${day("13:25:28.153136588")}|E`,
        `COPY q.txt /q.txt|${day("13:25:28.153136588")}`,
        `LABEL z=1|${day("13:25:28.153136588")}|E`
      ])
    })
  })

  describe("a base with gaps in its times", () => {
    const base = [
      empty("m0"),
      layer("one", "2020-01-01T00:00:00Z"),
      empty("m1"),
      empty("m2", "2021-01-01T00:00:00Z"),
      empty("m3")
    ]
    const filled = [
      "m0|2020-01-01T00:00:00Z|E",
      "one|2020-01-01T00:00:00Z",
      "m1|2020-01-01T00:00:00Z|E",
      "m2|2021-01-01T00:00:00Z|E",
      "m3|2021-01-01T00:00:00Z|E",
      "ENV A=1|2021-01-01T00:00:00Z|E"
    ]
    const one = ref("one", "2020-01-01T00:00:00Z")

    it("and a step that makes no layer", () => {
      assert.deepStrictEqual(
        normalized({ history: [...base, empty("ENV A=1")], metadata: [one], rules: moby2010 }),
        filled
      )
    })

    it("and a new layer", () => {
      const time = "2026-11-24T13:27:22.180236905Z"
      const history = [...base, empty("ENV A=1"), layer("COPY")]
      assert.deepStrictEqual(
        normalized({ history, metadata: [one, ref("fileop target", time)], rules: moby2010 }),
        [...filled, `COPY|${time}`]
      )
    })
  })

  it("a time with an offset, and an item without a time before a new layer", () => {
    const time = "2026-11-24T13:27:23Z"
    const config = `{"history":[{"created":"2020-01-01T02:00:00.100+02:00","created_by":"base","unknown_hist":1},` +
      `{"created_by":"meta","empty_layer":true},{"created_by":"ENV","empty_layer":true},{"created_by":"COPY"}]}`
    const history = Result.getOrThrow(ExportConfig.parseHistory(bytesOf(config)))
    assert.deepStrictEqual(
      normalized({ history, metadata: [ref("", "2020-01-01T00:00:00Z"), ref("", time)], rules: moby2010 }),
      ["base|2020-01-01T02:00:00.1+02:00", `meta|${time}|E`, `ENV|${time}|E`, `COPY|${time}`]
    )
  })

  it("a build of several steps: first the first layer's time, then the last time before", () => {
    const [run, copy] = [day("13:27:49.704454488"), day("13:27:49.811111111")]
    assert.deepStrictEqual(
      normalized({
        history: [empty("SHELL"), empty("ENV"), layer("RUN"), empty("LABEL"), layer("COPY"), empty("CMD")],
        metadata: [ref("mount / from exec", run), ref("fileop target", copy)],
        rules: moby2010
      }),
      [`SHELL|${run}|E`, `ENV|${run}|E`, `RUN|${run}`, `LABEL|${run}|E`, `COPY|${copy}`, `CMD|${copy}|E`]
    )
  })
})

describe("what BuildKit's own tests ask for", () => {
  const time = (second: number) => `2026-01-01T00:00:0${second}Z`

  it("a Dockerfile on a base of two items: eight items, four layers, the base's untouched", () => {
    const base = [layer("ADD rootfs", "2020-01-01T00:00:00.5+01:00"), empty("CMD sh", "2020-01-01T00:00:00.5+01:00")]
    const steps = [empty("LABEL"), layer("COPY"), empty("WORKDIR"), layer("RUN 1"), layer("RUN 2"), empty("EXPOSE")]
    const metadata = [ref("pulled", "2025-01-01T00:00:00Z"), ref("", time(1)), ref("", time(2)), ref("", time(3))]
    const { history, warnings } = Result.getOrThrow(normalize({ history: [...base, ...steps], metadata }))
    assert.lengthOf(history ?? [], 8)
    assert.deepStrictEqual(history?.slice(0, 2), base)
    assert.deepStrictEqual(history?.slice(2).map((item) => !LayerHistory.isOfLayer(item)), [
      true,
      false,
      true,
      false,
      false,
      true
    ])
    assert.isTrue(history?.every((item) => item.created !== undefined))
    assert.deepStrictEqual(warnings, [])
  })

  it("no config and three steps: an item each, in their order, with the exporter's comment", () => {
    const metadata = [ref("mkfile /a", time(1)), ref("exec sh", time(2)), ref("copy /a /b", time(3))]
    const { history } = Result.getOrThrow(normalize({ history: null, metadata }))
    assert.deepStrictEqual(
      history,
      [["mkfile /a", 1] as const, ["exec sh", 2] as const, ["copy /a /b", 3] as const].map(([created_by, second]) => ({
        created: timeOf(time(second)),
        created_by,
        comment: "buildkit.exporter.image.v0"
      }))
    )
  })

  it("more items of layers than layers: from the first that is too many on they lose it, with a warning", () => {
    const history = [layer("a"), empty("m"), layer("b"), layer("c"), empty("n"), layer("d")]
    const { history: items, warnings } = Result.getOrThrow(
      normalize({ history, metadata: [ref("", time(1)), ref("", time(2))] })
    )
    assert.deepStrictEqual(shown(items), [
      `a|${time(1)}`,
      `m|${time(2)}|E`,
      `b|${time(2)}`,
      `c|${time(2)}|E`,
      `n|${time(2)}|E`,
      `d|${time(2)}|E`
    ])
    assert.deepStrictEqual(warnings.map(({ _tag, items, layers, message }) => ({ _tag, items, layers, message })), [{
      _tag: "UnaccountedLayers",
      items: 4,
      layers: 2,
      message: "invalid image config with unaccounted layers: 4 history items for 2 layers"
    }])
  })
})

describe("times", () => {
  it.each<readonly [string, ReadonlyArray<string | undefined>, ReadonlyArray<string | undefined>]>([
    ["the first that follows the first gap", ["1", undefined, "3", "2"], ["1", "3", "3", "2"]],
    ["the last one where none follows", ["1", "2", undefined, undefined], ["1", "2", "2", "2"]],
    ["a later gap takes the time before it", [undefined, "2", undefined, "4"], ["2", "2", "2", "4"]],
    ["nothing where there is none", [undefined, undefined], [undefined, undefined]]
  ])("%s", (_, given, expected) => {
    const items = (seconds: ReadonlyArray<string | undefined>) =>
      seconds.map((second, index) =>
        empty(`${index}`, second === undefined ? undefined : `2020-01-01T00:00:0${second}Z`)
      )
    assert.deepStrictEqual(normalized({ history: items(given), metadata: [] }), shown(items(expected)))
  })

  it("a layer's own time is its ref's; one that it has stays", () => {
    const metadata = [ref("", "2020-01-01T00:00:01Z"), ref("", "2020-01-01T00:00:02Z")]
    assert.deepStrictEqual(
      normalized({ history: [layer("a", "2000-01-01T00:00:00Z"), layer("b")], metadata, rules: moby2019 }),
      ["a|2000-01-01T00:00:00Z", "b|2020-01-01T00:00:02Z"]
    )
  })

  it("a ref without a time gives its item none of its own", () => {
    assert.deepStrictEqual(
      normalized({ history: [layer("a")], metadata: [{ description: "x" }, { description: "y" }], rules: moby2019 }),
      ["a|", "y|"]
    )
  })
})

describe("null and []", () => {
  it.each<readonly [History.Items, ReadonlyArray<string> | null]>([[null, null], [[], []]])(
    "%j stays what it is without layers",
    (history, expected) => {
      for (const rules of Compatibility.presets) {
        assert.deepStrictEqual(normalized({ history, metadata: [], rules }), expected)
      }
    }
  )
})

describe("a chain that is too short", () => {
  const one = [ref("one", "2020-01-01T00:00:00Z")]

  it.each<readonly [string, Input, { layer: number; missing: "item" | "time" }]>([
    ["an item", { history: null, layers: 2, metadata: one }, { layer: 0, missing: "item" }],
    [
      "the second item",
      { history: [layer("a", "2020-01-01T00:00:00Z")], layers: 2, metadata: one },
      { layer: 1, missing: "item" }
    ],
    ["a time", { history: [layer("a"), layer("b")], layers: 2, metadata: one }, { layer: 0, missing: "time" }]
  ])("fails where a layer lacks %s", (_, input, { layer, missing }) => {
    const error = failureOf(normalize(input))
    assert.strictEqual(error._tag, "ShortChain")
    assert.deepStrictEqual({ ...error }, { ...error, layers: 2, refs: 1, layer, missing })
    assert.strictEqual(
      error.message,
      `the image has 2 layers and a chain of 1 refs, and nothing gives layer ${layer} its ${
        missing === "item" ? "history item" : "time"
      }: give every layer a ref, or the config a history with times`
    )
  })

  it("matters not where the config has everything", () => {
    const history = [layer("a", "2020-01-01T00:00:00Z"), empty("m"), layer("b", "2020-01-01T00:00:01Z")]
    assert.deepStrictEqual(normalized({ history, layers: 2, metadata: [] }), [
      "a|2020-01-01T00:00:00Z",
      "m|2020-01-01T00:00:01Z|E",
      "b|2020-01-01T00:00:01Z"
    ])
  })
})

describe("size", () => {
  it("takes no time that grows with the square of the layers", () => {
    const layers = 100_000
    const history = Array.from({ length: layers }, (_, index) => index % 2 === 0 ? empty("ENV") : layer("RUN"))
    const metadata = Array.from({ length: layers }, () => ref("step", "2020-01-01T00:00:00Z"))
    const start = performance.now()
    const items = Result.getOrThrow(LayerHistory.normalize({ history, layers, metadata, rules: buildkit2026 })).history
    assert.isBelow(performance.now() - start, 4_000, "a loop in a loop over them takes far longer")
    assert.lengthOf(items ?? [], 150_000)
  })
})
