import * as Epoch from "@effect-oci/core/Epoch"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { failureOf } from "./values.ts"

const shown = (epoch: Option.Option<Timestamp.Timestamp>) =>
  Option.match(epoch, { onNone: () => "none", onSome: Timestamp.format })

describe("parse", () => {
  it.each([
    ["", "none"],
    ["0", "1970-01-01T00:00:00Z"],
    ["1445412480", "2015-10-21T07:28:00Z"],
    ["+1", "1970-01-01T00:00:01Z"],
    ["-1", "1969-12-31T23:59:59Z"],
    ["0001", "1970-01-01T00:00:01Z"],
    ["253402300799", "9999-12-31T23:59:59Z"],
    ["-62167219200", "0000-01-01T00:00:00Z"]
  ])("reads %j as %s", (text, expected) => {
    assert.strictEqual(shown(Result.getOrThrow(Epoch.parse(text, "epoch"))), expected)
  })

  it.each([
    "context",
    " 1",
    "1 ",
    "1.5",
    "1e3",
    "0x10",
    "1_000",
    "--1",
    "+",
    "２",
    "253402300800",
    "-62167219201",
    "9".repeat(30)
  ])("refuses %j", (text) => {
    const error = failureOf(Epoch.parse(text, "SOURCE_DATE_EPOCH"))
    assert.strictEqual(error._tag, "InvalidEpoch")
    assert.strictEqual(
      error.message,
      "invalid SOURCE_DATE_EPOCH: expected whole seconds since 1970-01-01T00:00:00Z, such as 1700000000, found " +
        JSON.stringify(text)
    )
  })
})

describe("resolve", () => {
  const resolve = (
    candidates: Parameters<typeof Epoch.resolve>[0],
    environment: Record<string, string>,
    preserveEmptyStrings = true
  ) =>
    Epoch.resolve(candidates).pipe(
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment, { preserveEmptyStrings })))
    )

  const all = { explicit: "1", platform: "3", build: "4" }
  const environment = { SOURCE_DATE_EPOCH: "2" }

  it.effect.each<readonly [string, Parameters<typeof Epoch.resolve>[0], Record<string, string>, string]>([
    ["what was asked for", all, environment, "1970-01-01T00:00:01Z"],
    ["then the environment", { ...all, explicit: undefined }, environment, "1970-01-01T00:00:02Z"],
    ["then the platform's", { platform: "3", build: "4" }, {}, "1970-01-01T00:00:03Z"],
    ["then the build's", { build: "4" }, {}, "1970-01-01T00:00:04Z"],
    ["then none", {}, {}, "none"],
    ["an empty one that was asked for is none", { ...all, explicit: "" }, environment, "none"],
    ["an empty environment is none", { platform: "3", build: "4" }, { SOURCE_DATE_EPOCH: "" }, "none"],
    ["an empty platform's is none", { platform: "", build: "4" }, {}, "none"]
  ])("%s", ([, candidates, environment, expected]) =>
    Effect.gen(function*() {
      assert.strictEqual(shown(yield* resolve(candidates, environment)), expected)
    }))

  it.effect("leaves it to the provider whether an empty variable is there", () =>
    Effect.gen(function*() {
      const epoch = yield* resolve({ platform: "3" }, { SOURCE_DATE_EPOCH: "" }, false)
      assert.strictEqual(shown(epoch), "1970-01-01T00:00:03Z")
    }))

  it.effect.each<readonly [Parameters<typeof Epoch.resolve>[0], Record<string, string>, string]>([
    [{ explicit: "x" }, environment, "invalid epoch"],
    [{ platform: "3" }, { SOURCE_DATE_EPOCH: "x" }, "invalid SOURCE_DATE_EPOCH"],
    [{ platform: "x" }, {}, "invalid epoch of the image"]
  ])(
    "says where one that is not valid came from: %j %j",
    ([candidates, environment, expected]) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(resolve(candidates, environment))
        assert.strictEqual(error._tag, "InvalidEpoch")
        assert.include(error.message, expected)
      })
  )
})
