/**
 * Points in time as OCI documents write them: RFC 3339 with nanoseconds and an offset.
 *
 * JavaScript's `Date` and Effect's `DateTime` hold milliseconds; most real image configs change when their times go
 * through them. A `Timestamp` keeps what Go's `time.Time` keeps when it reads and writes JSON.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Order from "effect/Order"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { quote } from "./internal/quote.ts"
import { timeText } from "./internal/rule.ts"

/**
 * Error raised for a text that is not an RFC 3339 date-time.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidTimestamp extends Schema.TaggedError<InvalidTimestamp>("@effect-oci/schema/InvalidTimestamp")(
  "InvalidTimestamp",
  { text: Schema.String }
) {
  override get message(): string {
    return `expected ${timeText}, found ${quote(this.text)}`
  }
}

/**
 * A point in time with the offset that it was written with.
 *
 * **Details**
 *
 * `seconds` counts from 1970-01-01T00:00:00Z without leap seconds and may be negative; `nanoseconds` is 0 to
 * 999,999,999. `offset` is `"Z"` or the minutes east of UTC: like Go, two timestamps of one instant are equal only when
 * their offsets are, and `Z` differs from `+00:00`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timestamp {
  readonly seconds: number
  readonly nanoseconds: number
  readonly offset: "Z" | number
}

const secondsInDay = 86_400

/** Days from 1970-01-01 of a date in the proleptic Gregorian calendar. */
const daysOf = (year: number, month: number, day: number): number => {
  const shifted = month <= 2 ? year - 1 : year
  const era = Math.floor(shifted / 400)
  const yearOfEra = shifted - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}

const dateOf = (days: number): readonly [year: number, month: number, day: number] => {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const shiftedMonth = Math.floor((5 * dayOfYear + 2) / 153)
  const month = shiftedMonth + (shiftedMonth < 10 ? 3 : -9)
  return [
    yearOfEra + era * 400 + (month <= 2 ? 1 : 0),
    month,
    dayOfYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1
  ]
}

const isLeapYear = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)

const daysInMonth = (year: number, month: number): number =>
  month === 2 ? (isLeapYear(year) ? 29 : 28) : month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31

/** Reads digits at a place; -1 where one of them is none. */
const digits = (text: string, start: number, length: number): number => {
  let value = 0
  for (let index = start; index < start + length; index++) {
    const digit = text.charCodeAt(index) - 48
    if (!(digit >= 0 && digit <= 9)) return -1
    value = value * 10 + digit
  }
  return value
}

/** The end of the digits from a place on. */
const endOfDigits = (text: string, start: number): number => {
  let index = start
  while (text.charCodeAt(index) >= 48 && text.charCodeAt(index) <= 57) index++
  return index
}

const isWithin = (value: number, from: number, to: number): boolean => value >= from && value <= to

/**
 * Parses an RFC 3339 date-time.
 *
 * **Details**
 *
 * An upper-case `T` and `Z`, hours of two digits, a dot before the fraction, no second 60, offsets up to 23:59. (Go also
 * reads hours of one digit, a comma, and offsets such as +24:00 and +00:60.) Digits of the fraction past the ninth are
 * cut, as in Go.
 *
 * **Example** (Keeping nanoseconds and the offset)
 *
 * ```ts
 * import * as Timestamp from "@effect-oci/schema/Timestamp"
 * import * as Result from "effect/Result"
 *
 * const time = Result.getOrThrow(Timestamp.parse("2019-07-22T02:12:25.123456700+02:00"))
 * console.log(Timestamp.format(time)) // 2019-07-22T02:12:25.1234567+02:00
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Timestamp, InvalidTimestamp> => {
  const invalid = () => Result.fail(new InvalidTimestamp({ text }))
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  const second = digits(text, 17, 2)
  if (
    text[4] !== "-" || text[7] !== "-" || text[10] !== "T" || text[13] !== ":" || text[16] !== ":" || year < 0 ||
    !isWithin(month, 1, 12) || !isWithin(day, 1, daysInMonth(year, month)) || !isWithin(hour, 0, 23) ||
    !isWithin(minute, 0, 59) || !isWithin(second, 0, 59)
  ) {
    return invalid()
  }
  let end = 19
  let nanoseconds = 0
  if (text[end] === ".") {
    const start = end + 1
    end = endOfDigits(text, start)
    if (end === start) return invalid()
    const length = Math.min(9, end - start)
    nanoseconds = digits(text, start, length) * 10 ** (9 - length)
  }
  const utc = daysOf(year, month, day) * secondsInDay + hour * 3600 + minute * 60 + second
  const sign = text[end]
  if (sign === "Z" && text.length === end + 1) return Result.succeed({ seconds: utc, nanoseconds, offset: "Z" })
  const hours = digits(text, end + 1, 2)
  const minutes = digits(text, end + 4, 2)
  if (
    (sign !== "+" && sign !== "-") || text[end + 3] !== ":" || text.length !== end + 6 || !isWithin(hours, 0, 23) ||
    !isWithin(minutes, 0, 59)
  ) {
    return invalid()
  }
  // `0 -` keeps an offset of zero from becoming -0.
  const offset = sign === "-" ? 0 - (hours * 60 + minutes) : hours * 60 + minutes
  return Result.succeed({ seconds: utc - offset * 60, nanoseconds, offset })
}

const pad = (value: number, length: number): string => String(value).padStart(length, "0")

/**
 * Formats a timestamp as Go's `time.Time` marshals itself: RFC 3339 without zeros at the end of the fraction, `Z` for an
 * offset of zero.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: Timestamp): string => {
  const offset = self.offset === "Z" ? 0 : self.offset
  const local = self.seconds + offset * 60
  const days = Math.floor(local / secondsInDay)
  const inDay = local - days * secondsInDay
  const [year, month, day] = dateOf(days)
  const fraction = self.nanoseconds === 0 ? "" : "." + pad(self.nanoseconds, 9).replace(/0+$/, "")
  const ahead = Math.abs(offset)
  const zone = offset === 0 ? "Z" : (offset < 0 ? "-" : "+") + pad(Math.floor(ahead / 60), 2) + ":" + pad(ahead % 60, 2)
  return `${pad(year, 4)}-${pad(month, 2)}-${pad(day, 2)}T${pad(Math.floor(inDay / 3600), 2)}:${
    pad(Math.floor(inDay / 60) % 60, 2)
  }:${pad(inDay % 60, 2)}${fraction}${zone}`
}

const minSeconds = daysOf(0, 1, 1) * secondsInDay
const maxSeconds = daysOf(10_000, 1, 1) * secondsInDay - 1

/** Whether RFC 3339 can write it: its year has four digits. */
const isWritable = ({ offset, seconds }: Timestamp): boolean =>
  isWithin(seconds + (offset === "Z" ? 0 : offset * 60), minSeconds, maxSeconds)

const isTimestamp = (u: unknown): u is Timestamp => {
  if (typeof u !== "object" || u === null || !("seconds" in u && "nanoseconds" in u && "offset" in u)) return false
  const { nanoseconds, offset, seconds } = u
  return typeof seconds === "number" && Number.isSafeInteger(seconds) &&
    typeof nanoseconds === "number" && Number.isSafeInteger(nanoseconds) && isWithin(nanoseconds, 0, 999_999_999) &&
    (offset === "Z" || (typeof offset === "number" && Number.isSafeInteger(offset) && isWithin(offset, -1439, 1439))) &&
    isWritable({ nanoseconds, offset, seconds })
}

/**
 * Schema for timestamps in memory.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Timestamp: Schema.declare<Timestamp> = Schema.declare(isTimestamp, { identifier: "Timestamp" })

/**
 * Schema that decodes a timestamp from its RFC 3339 text and encodes it as `format` does.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromString = Schema.String.pipe(
  Schema.decodeTo(
    Timestamp,
    SchemaTransformation.transformEffect({
      decode: (text: string) =>
        Effect.fromResult(
          Result.mapError(
            parse(text),
            () => new SchemaIssue.InvalidValue({ message: timeText })
          )
        ),
      encode: (time: Timestamp) => Effect.succeed(format(time))
    })
  )
)

/**
 * Makes a timestamp in UTC from whole seconds since 1970-01-01T00:00:00Z, the unit of `SOURCE_DATE_EPOCH`. Nothing
 * outside the years 0 to 9999 can be written, so it gives `undefined` there.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSeconds = (seconds: number): Timestamp | undefined =>
  Number.isSafeInteger(seconds) && seconds >= minSeconds && seconds <= maxSeconds
    ? { seconds, nanoseconds: 0, offset: "Z" }
    : undefined

/**
 * Makes a timestamp in UTC from nanoseconds since 1970-01-01T00:00:00Z, the unit of Effect's `Clock`. Only those of the
 * years 0 to 9999 can be written.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromNanoseconds = (nanoseconds: bigint): Timestamp => {
  const fraction = ((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return { seconds: Number((nanoseconds - fraction) / 1_000_000_000n), nanoseconds: Number(fraction), offset: "Z" }
}

/**
 * Go's zero time, 0001-01-01T00:00:00Z.
 *
 * @category constants
 * @since 0.1.0
 */
export const zero: Timestamp = { seconds: daysOf(1, 1, 1) * secondsInDay, nanoseconds: 0, offset: "Z" }

/**
 * Orders timestamps by instant, whatever their offsets.
 *
 * @category instances
 * @since 0.1.0
 */
export const byInstant: Order.Order<Timestamp> = Order.make((left, right) => {
  const difference = left.seconds - right.seconds || left.nanoseconds - right.nanoseconds
  return difference < 0 ? -1 : difference > 0 ? 1 : 0
})

/**
 * Checks that two timestamps are of one instant and were written with one offset.
 *
 * @category instances
 * @since 0.1.0
 */
export const equals = (left: Timestamp, right: Timestamp): boolean =>
  left.seconds === right.seconds && left.nanoseconds === right.nanoseconds && left.offset === right.offset

/**
 * Gets the same instant in UTC, or the timestamp as it is in the few hours at the ends of the years 0 and 9999 whose
 * year in UTC cannot be written.
 *
 * @category converting
 * @since 0.1.0
 */
export const toUtc = (self: Timestamp): Timestamp => {
  const utc: Timestamp = { ...self, offset: "Z" }
  return isWritable(utc) ? utc : self
}
