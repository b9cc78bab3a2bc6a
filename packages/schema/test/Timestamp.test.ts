import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Go from "./fixtures/go.ts"

const parse = (text: string) => Result.getOrThrow(Timestamp.parse(text))
const within = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const minSeconds = -62_167_219_200
const maxSeconds = 253_402_300_799

/** Any timestamp that can be written: the offset stays away from the ends of the calendar. */
const arbitrary = Arbitrary.map(
  Arbitrary.schema(Schema.Struct({
    seconds: within(minSeconds + 86_400, maxSeconds - 86_400),
    nanoseconds: within(0, 999_999_999),
    minutes: Schema.NullOr(within(-1439, 1439))
  })),
  ({ minutes, nanoseconds, seconds }): Timestamp.Timestamp => ({ seconds, nanoseconds, offset: minutes ?? "Z" })
)

describe("Timestamp", () => {
  it.each(Go.times)("reads and writes %j as Go does", (text, expected) => {
    const time = Timestamp.parse(text)
    assert.strictEqual(Result.getOrNull(Result.map(time, Timestamp.format)), expected)
    assert.deepStrictEqual(
      Result.getOrNull(Schema.decodeUnknownResult(Timestamp.FromString)(text)),
      Result.getOrNull(time)
    )
  })

  // Go reads these, against RFC 3339.
  it.each([
    "2019-07-22T2:12:25Z",
    "2019-07-22T02:12:25,5Z",
    "2019-07-22T02:12:25+24:00",
    "2019-07-22T02:12:25-12:60"
  ])("refuses %j", (text) => {
    assert.isTrue(Result.isFailure(Timestamp.parse(text)))
  })

  it.each(
    [
      ["1970-01-01T00:00:00Z", 0, 0, "Z"],
      ["1970-01-01T00:00:00+00:00", 0, 0, 0],
      ["1970-01-01T00:00:00-00:00", 0, 0, 0],
      ["1969-12-31T23:59:59.5Z", -1, 500_000_000, "Z"],
      ["2019-07-22T02:12:25.123456789+02:00", 1_563_754_345, 123_456_789, 120],
      ["2019-07-21T12:42:25.000000001-11:30", 1_563_754_345, 1, -690],
      ["0000-01-01T00:00:00Z", minSeconds, 0, "Z"],
      ["0000-01-01T00:00:00+23:59", minSeconds - 86_340, 0, 1439],
      ["9999-12-31T23:59:59.999999999-23:59", maxSeconds + 86_340, 999_999_999, -1439],
      ["2000-02-29T00:00:00Z", 951_782_400, 0, "Z"],
      ["2016-12-31T23:59:59.9999999999Z", 1_483_228_799, 999_999_999, "Z"]
    ] as const
  )("reads %j", (text, seconds, nanoseconds, offset) => {
    assert.deepStrictEqual(parse(text), { seconds, nanoseconds, offset })
    assert.isFalse(Object.is(parse(text).offset, -0))
  })

  it("says what is wrong", () => {
    const { message } = Result.getOrThrow(Result.flip(Timestamp.parse("yesterday\u202e")))
    assert.strictEqual(
      message,
      "expected an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z, found \"yesterday\\u202e\""
    )
  })

  it.prop("is read back as it was written", [arbitrary], ([time]) => {
    const text = Timestamp.format(time)
    const offset = time.offset === 0 ? "Z" : time.offset
    assert.deepStrictEqual(parse(text), { ...time, offset })
    assert.strictEqual(Timestamp.format(parse(text)), text)
    assert.notMatch(text, /\.\d*0(?:Z|[+-])/)
  })

  it.prop("agrees with Date on milliseconds", [within(minSeconds, maxSeconds), within(0, 999)], ([seconds, rest]) => {
    const date = new Date(seconds * 1000 + rest)
    assert.deepStrictEqual(parse(date.toISOString()), { seconds, nanoseconds: rest * 1_000_000, offset: "Z" })
    const { nanoseconds } = Timestamp.fromNanoseconds(BigInt(date.getTime()) * 1_000_000n)
    assert.strictEqual(nanoseconds, rest * 1_000_000)
  }, { arbitrary: { runs: 1000 } })

  it.prop("is ordered by its instant alone", [arbitrary, arbitrary], ([left, right]) => {
    const instant = (time: Timestamp.Timestamp) => BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanoseconds)
    const order = instant(left) < instant(right) ? -1 : instant(left) > instant(right) ? 1 : 0
    assert.strictEqual(Timestamp.byInstant(left, right), order)
    assert.strictEqual(Timestamp.byInstant(left, { ...left, offset: right.offset }), 0)
  })

  it("is ordered by nanoseconds within a second", () => {
    const [early, late] = [parse("2019-07-22T02:00:00.1Z"), parse("2019-07-22T02:00:00.100000001Z")]
    assert.deepStrictEqual([Timestamp.byInstant(early, late), Timestamp.byInstant(late, early)], [-1, 1])
  })

  it("is equal only with an equal offset", () => {
    const same = ["2019-07-22T02:00:00Z", "2019-07-22T02:00:00+00:00", "2019-07-22T04:00:00+02:00"].map(parse)
    for (const [left, a] of same.entries()) {
      for (const [right, b] of same.entries()) {
        assert.strictEqual(Timestamp.byInstant(a, b), 0)
        assert.strictEqual(Timestamp.equals(a, b), left === right)
        assert.isTrue(Timestamp.equals(Timestamp.toUtc(a), Timestamp.toUtc(b)))
      }
    }
    assert.isTrue(Timestamp.equals(parse("2019-07-22T02:00:00.10Z"), parse("2019-07-22T02:00:00.1Z")))
    assert.isFalse(Timestamp.equals(parse("2019-07-22T02:00:00.1Z"), parse("2019-07-22T02:00:00.01Z")))
  })

  it.each([
    ["2019-07-22T02:12:25.5+02:00", "2019-07-22T00:12:25.5Z"],
    ["0000-01-01T01:00:00+01:00", "0000-01-01T00:00:00Z"],
    ["0000-01-01T00:59:59+01:00", "0000-01-01T00:59:59+01:00"],
    ["9999-12-31T23:00:00-01:00", "9999-12-31T23:00:00-01:00"]
  ])("of %j gives %j in UTC, as far as it can be written", (text, expected) => {
    assert.strictEqual(Timestamp.format(Timestamp.toUtc(parse(text))), expected)
  })

  it.each([
    [0, "1970-01-01T00:00:00Z"],
    [-1, "1969-12-31T23:59:59Z"],
    [minSeconds, "0000-01-01T00:00:00Z"],
    [maxSeconds, "9999-12-31T23:59:59Z"],
    [minSeconds - 1, undefined],
    [maxSeconds + 1, undefined],
    [0.5, undefined],
    [NaN, undefined],
    [Infinity, undefined]
  ])("from %d seconds", (seconds, expected) => {
    const time = Timestamp.fromSeconds(seconds)
    assert.strictEqual(time === undefined ? undefined : Timestamp.format(time), expected)
  })

  it.each([
    [0n, "1970-01-01T00:00:00Z"],
    [1n, "1970-01-01T00:00:00.000000001Z"],
    [-1n, "1969-12-31T23:59:59.999999999Z"],
    [-1_000_000_000n, "1969-12-31T23:59:59Z"],
    [-1_000_000_001n, "1969-12-31T23:59:58.999999999Z"],
    [1_563_754_345_123_456_789n, "2019-07-22T00:12:25.123456789Z"]
  ])("from %d nanoseconds", (nanoseconds, expected) => {
    assert.strictEqual(Timestamp.format(Timestamp.fromNanoseconds(nanoseconds)), expected)
  })

  it("has Go's zero time", () => {
    assert.strictEqual(Timestamp.format(Timestamp.zero), "0001-01-01T00:00:00Z")
  })

  it.each([
    [{ seconds: 0, nanoseconds: 0, offset: "Z" }, true],
    [{ seconds: 0, nanoseconds: 999_999_999, offset: -1439 }, true],
    [{ seconds: minSeconds - 3600, nanoseconds: 0, offset: 60 }, true],
    [{ seconds: minSeconds - 3600, nanoseconds: 0, offset: "Z" }, false],
    [{ seconds: maxSeconds, nanoseconds: 0, offset: 1 }, false],
    [{ seconds: 0.5, nanoseconds: 0, offset: "Z" }, false],
    [{ seconds: 0, nanoseconds: -1, offset: "Z" }, false],
    [{ seconds: 0, nanoseconds: 1_000_000_000, offset: "Z" }, false],
    [{ seconds: 0, nanoseconds: 0, offset: 1440 }, false],
    [{ seconds: 0, nanoseconds: 0, offset: "z" }, false],
    [{ seconds: 0, nanoseconds: 0 }, false],
    [null, false],
    ["1970-01-01T00:00:00Z", false]
  ])("%j is a timestamp: %j", (value, expected) => {
    assert.strictEqual(Schema.is(Timestamp.Timestamp)(value), expected)
  })

  it("is encoded by its schema", () => {
    const time = parse("2019-07-22T02:12:25.50+02:00")
    assert.strictEqual(Schema.encodeSync(Timestamp.FromString)(time), "2019-07-22T02:12:25.5+02:00")
  })
})
