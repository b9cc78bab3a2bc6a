import type * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as HistoryRepair from "@effect-oci/core/HistoryRepair"
import * as ImageWriter from "@effect-oci/core/ImageWriter"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { bytesOf, digestOf, failureOf, shown, textOf, timeOf } from "./values.ts"

describe("presets", () => {
  it("are never changed once they are released", () => {
    const table = [
      ["name", "moby-2019", "moby-20.10", "buildkit-2026", "effect-oci-1"],
      ["emptyConfig", "os-and-architecture", "os-and-architecture", "whole-platform", "whole-platform"],
      ["config", "as-handed-in", "as-handed-in", "checked", "checked"],
      ["chain", "layers", "layers", "whole", "whole"],
      ["missingRefs", "clock", "clock", "nothing", "nothing"],
      ["unknownTime", "zero", "zero", "zero", "none"],
      ["repair", "buildkit", "buildkit", "buildkit", "align"],
      ["addedTimes", "own", "own", "own", "own"],
      ["missingTimes", "of-layers", "all", "all", "all"],
      ["derivedCreated", "last", "last", "last", "clamped"],
      ["times", "as-given", "as-given", "as-given", "utc"],
      ["controlEscapes", "short", "numeric", "short", "short"],
      ["internalAnnotations", "rewritten-timestamp", "rewritten-timestamp", "rewritten-timestamp", "none"],
      ["encoderAnnotation", "none", "none", "none", "written"]
    ]
    const released = [1, 2, 3, 4].map((column) => Object.fromEntries(table.map((row) => [row[0], row[column]])))
    assert.deepStrictEqual(Compatibility.presets.map((preset): unknown => preset), released)
  })

  it("are found by name", () => {
    for (const preset of Compatibility.presets) assert.strictEqual(Compatibility.find(preset.name), preset)
    for (const name of ["", "MOBY-2019", "moby-2020", "constructor"]) {
      assert.isUndefined(Compatibility.find(name))
    }
    assert.strictEqual(Compatibility.standard.name, "buildkit-2026")
  })
})

describe("differences", () => {
  const { buildkit2026, effectOci1, moby2010, moby2019 } = Compatibility

  it("names the rules in which presets differ", () => {
    assert.deepStrictEqual(Compatibility.differences(moby2019, moby2019), [])
    assert.deepStrictEqual(Compatibility.differences(moby2019, moby2010), ["missingTimes", "controlEscapes"])
    assert.deepStrictEqual(
      Compatibility.differences(buildkit2026, effectOci1),
      ["unknownTime", "repair", "derivedCreated", "times", "internalAnnotations", "encoderAnnotation"]
    )
  })

  it("knows every rule, so that taking over all that differ makes the other preset", () => {
    for (const left of Compatibility.presets) {
      for (const right of Compatibility.presets) {
        const made = Compatibility.differences(left, right).reduce(
          (rules, rule) => Compatibility.withRule(rules, rule, right),
          left
        )
        assert.deepStrictEqual(made, { ...right, name: left.name })
      }
    }
  })
})

const epoch = timeOf("2020-01-01T00:00:00Z")
const late = timeOf("2024-05-06T07:08:09+02:00")
const now = timeOf("2019-07-22T02:12:25Z")

/** A chain of refs, and how many are acquired of it. */
const counted = (length: number) => {
  let acquired = 0
  const refAt = (index: number): CacheRef.Ref => ({
    name: `ref-${index}`,
    description: "",
    parent: Effect.sync(() => {
      if (index === 0) return Option.none()
      acquired++
      return Option.some(refAt(index - 1))
    })
  })
  return { top: refAt(length - 1), acquired: () => acquired }
}

const patched = (config: string, patch: Omit<ExportConfig.Patch, "diffIds">) =>
  Result.map(ExportConfig.patch(bytesOf(config), { diffIds: [], ...patch }), textOf)

const minimal = `{"os":"linux","architecture":"amd64"}`

interface Rule<Value extends string> {
  /** What the rule does, so that its values can be told apart. */
  readonly observe: (rules: Compatibility.Compatibility) => unknown
  readonly expected: Readonly<Record<Value, unknown>>
}

/** The type of this table asks for every rule, and for each of its values. */
const rules: { readonly [Name in keyof Compatibility.Rules]: Rule<Compatibility.Rules[Name]> } = {
  emptyConfig: {
    observe: (rules) =>
      textOf(ExportConfig.empty({ architecture: "x86_64", os: "windows", "os.version": "10" }, rules)),
    expected: {
      "os-and-architecture": `{"architecture":"x86_64","os":"windows","config":{"Env":["PATH=/usr/local/sbin:` +
        `/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":null}}`,
      "whole-platform": `{"architecture":"amd64","os":"windows","os.version":"10","config":{"WorkingDir":"/"},` +
        `"rootfs":{"type":"layers","diff_ids":null}}`
    }
  },
  config: {
    observe: (rules) =>
      [`{"author":1}`, `{}`].map((config) =>
        Result.match(patched(config, { history: [], rules }), {
          onSuccess: () => "patched",
          onFailure: ({ cause }) => cause._tag
        })
      ),
    expected: { "as-handed-in": ["patched", "patched"], checked: ["UnexpectedJson", "MissingPlatform"] }
  },
  chain: {
    observe: (rules) => {
      const chain = counted(9)
      Effect.runSync(RefMetadata.collect(Option.some(chain.top), 3, rules, now))
      return chain.acquired()
    },
    expected: { layers: 3, whole: 8 }
  },
  missingRefs: {
    observe: (rules) => RefMetadata.fromChain(null, 1, rules, now),
    expected: {
      clock: [{ description: "created by buildkit", createdAt: now }],
      nothing: [{ description: "" }]
    }
  },
  unknownTime: {
    observe: (rules) => RefMetadata.fromChain([{ description: "COPY" }], 1, rules, now),
    expected: { zero: [{ description: "COPY", createdAt: Timestamp.zero }], none: [{ description: "COPY" }] }
  },
  repair: {
    observe: (rules) =>
      Result.match(
        HistoryRepair.run({
          policy: rules.repair,
          history: [{ created_by: "COPY" }],
          layers: 2,
          metadata: [{ description: "base" }, { description: "top" }]
        }),
        { onSuccess: ({ history }) => shown(history), onFailure: (error) => error._tag }
      ),
    expected: {
      strict: "HistoryMismatch",
      buildkit: ["COPY|", "top|"],
      align: ["base|", "COPY|"],
      pad: ["|", "COPY|"]
    }
  },
  addedTimes: {
    observe: (rules) =>
      Result.map(
        LayerHistory.normalize({
          history: [],
          layers: 2,
          metadata: [{ description: "a", createdAt: epoch }, { description: "b", createdAt: now }],
          rules
        }),
        ({ history }) => shown(history)
      ),
    expected: {
      own: Result.succeed(["a|2020-01-01T00:00:00Z", "b|2019-07-22T02:12:25Z"]),
      shared: Result.succeed(["a|2019-07-22T02:12:25Z", "b|2019-07-22T02:12:25Z"])
    }
  },
  missingTimes: {
    observe: (rules) =>
      Result.map(
        LayerHistory.normalize({
          history: [{ created_by: "ENV", empty_layer: true }, { created_by: "COPY" }],
          layers: 1,
          metadata: [{ description: "", createdAt: epoch }],
          rules
        }),
        ({ history }) => shown(history)
      ),
    expected: {
      "of-layers": Result.succeed(["ENV||E", "COPY|2020-01-01T00:00:00Z"]),
      all: Result.succeed(["ENV|2020-01-01T00:00:00Z|E", "COPY|2020-01-01T00:00:00Z"])
    }
  },
  derivedCreated: {
    // An item of the base image keeps its time under an epoch
    observe: (rules) =>
      /"created":"(.*?)"/.exec(
        Result.getOrThrow(patched(minimal, { history: [{ created: late }], base: [{ created: late }], epoch, rules }))
      )?.[1],
    expected: {
      last: "2024-05-06T07:08:09+02:00",
      clamped: "2020-01-01T00:00:00Z"
    }
  },
  times: {
    observe: (rules) =>
      /"history":\[\{"created":"(.*?)"/.exec(
        Result.getOrThrow(patched(minimal, { history: [{ created: late }], rules }))
      )?.[1],
    expected: { "as-given": "2024-05-06T07:08:09+02:00", utc: "2024-05-06T05:08:09Z" }
  },
  controlEscapes: {
    observe: (rules) => {
      const history = [{ created_by: "a\bb\fc\\b\\\\f" }]
      return /"created_by":"(.*?)"/.exec(Result.getOrThrow(patched(minimal, { history, rules })))?.[1]
    },
    expected: {
      short: String.raw`a\bb\fc\\b\\\\f`,
      numeric: String.raw`a\u0008b\u000cc\\b\\\\f`
    }
  },
  internalAnnotations: {
    observe: (rules) =>
      ImageWriter.layerOf("oci", rules)({
        mediaType: MediaType.layer,
        digest: digestOf(""),
        size: 0,
        annotations: { "buildkit/rewritten-timestamp": "1", "buildkit/createdat": "x", kept: "y" }
      }).annotations,
    expected: {
      "rewritten-timestamp": { "buildkit/rewritten-timestamp": "1", kept: "y" },
      none: { kept: "y" }
    }
  },
  encoderAnnotation: {
    observe: (rules) =>
      [{ encoder: "gzip-1" }, {}].map((told) =>
        ImageWriter.withEncoder(rules)({
          descriptor: { mediaType: MediaType.layer, digest: digestOf(""), size: 0, annotations: { kept: "y" } },
          ...told
        }).annotations
      ),
    expected: {
      none: [{ kept: "y" }, { kept: "y" }],
      written: [{ kept: "y", "dev.effect-oci.encoder": "gzip-1" }, { kept: "y" }]
    }
  }
}

describe("rules", () => {
  const cases = Object.entries(rules).flatMap(([name, rule]) =>
    Object.entries<unknown>(rule.expected).map(([value, expected]) => ({
      name,
      value,
      expected,
      observe: rule.observe
    }))
  )

  it.each(cases)("$name: $value", ({ expected, name, observe, value }) => {
    // A rule is looked at alone: all others are those of a preset
    const preset = { ...Compatibility.buildkit2026, times: "as-given", [name]: value }
    assert.deepStrictEqual(observe(preset as Compatibility.Compatibility), expected)
  })

  it("have a message that names what is wrong where they refuse", () => {
    const error = failureOf(patched(`{"os":"linux"}`, { history: [], rules: Compatibility.buildkit2026 }))
    assert.strictEqual(error.cause.message, "invalid image config for export: missing architecture")
  })
})
