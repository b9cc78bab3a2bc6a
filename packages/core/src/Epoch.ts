/**
 * The time that no time in an image may be later than: `SOURCE_DATE_EPOCH`.
 *
 * Follows the specification of `SOURCE_DATE_EPOCH` by reproducible-builds.org and BuildKit's `exporter/util/epoch`.
 *
 * @since 0.1.0
 */
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * Error raised for an epoch that is not whole seconds, or that lies outside the years 0 to 9999. `source` is where it
 * came from.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidEpoch extends Schema.TaggedError<InvalidEpoch>("@effect-oci/core/InvalidEpoch")("InvalidEpoch", {
  source: Schema.String,
  text: Schema.String
}) {
  override get message(): string {
    return `invalid ${this.source}: expected whole seconds since 1970-01-01T00:00:00Z, such as 1700000000, found ${
      JSON.stringify(this.text.slice(0, 80))
    }`
  }
}

/**
 * The name of the environment variable.
 *
 * @category constants
 * @since 0.1.0
 */
export const variable = "SOURCE_DATE_EPOCH"

/**
 * Parses an epoch: an optional sign and digits. An empty text is none, explicitly.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (
  text: string,
  source: string
): Result.Result<Option.Option<Timestamp.Timestamp>, InvalidEpoch> => {
  if (text === "") return Result.succeed(Option.none())
  const time = /^[+-]?\d{1,18}$/.test(text) ? Timestamp.fromSeconds(Number(text)) : undefined
  return time === undefined ? Result.fail(new InvalidEpoch({ source, text })) : Result.succeed(Option.some(time))
}

/**
 * Finds the epoch that holds, by BuildKit's order: what was asked for explicitly, then `SOURCE_DATE_EPOCH`, then what the
 * image itself came with, then what everything came with. The first that is there decides, also when it is empty, which
 * is to have none.
 *
 * **Details**
 *
 * Effect's provider for the environment takes an empty variable for one that is not there, unless it is made with
 * `preserveEmptyStrings`.
 *
 * @category running
 * @since 0.1.0
 */
export const resolve = (candidates: {
  /** An option of the export, such as `--epoch`. */
  readonly explicit?: string | undefined
  /** What came with the image of one platform. */
  readonly platform?: string | undefined
  /** What came with the whole build. */
  readonly build?: string | undefined
}): Effect.Effect<Option.Option<Timestamp.Timestamp>, InvalidEpoch | Config.ConfigError> =>
  Effect.gen(function*() {
    if (candidates.explicit !== undefined) return yield* Effect.fromResult(parse(candidates.explicit, "epoch"))
    const environment = yield* Config.option(Config.String(variable))
    if (Option.isSome(environment)) return yield* Effect.fromResult(parse(environment.value, variable))
    const other = candidates.platform ?? candidates.build
    return other === undefined ? Option.none() : yield* Effect.fromResult(parse(other, "epoch of the image"))
  })
