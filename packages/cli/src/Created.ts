/**
 * The time that a new layer is said to be made at.
 *
 * @since 0.1.0
 */
import * as Epoch from "@effect-oci/core/Epoch"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { parsing } from "./Flags.ts"

/**
 * `--created TIME`.
 *
 * @category flags
 * @since 0.1.0
 */
export const flag: Flag.Flag<Option.Option<Timestamp.Timestamp>> = Flag.String("created").pipe(
  Flag.withMetavar("TIME"),
  Flag.withDescription(
    "When the layer was made, as in 2006-01-02T15:04:05.999999999Z (default: $SOURCE_DATE_EPOCH, in seconds, else now)"
  ),
  Flag.mapEffect(parsing("--created", Timestamp.parse)),
  Flag.optional
)

/**
 * The time that is given, else that of `SOURCE_DATE_EPOCH`.
 *
 * @category getters
 * @since 0.1.0
 */
export const given = (
  created: Option.Option<Timestamp.Timestamp>
): Effect.Effect<Option.Option<Timestamp.Timestamp>, Epoch.InvalidEpoch> =>
  // The environment always answers
  Option.isSome(created) ? Effect.succeed(created) : Effect.catchTag(Epoch.resolve({}), "ConfigError", Effect.die)

/**
 * The clock's time, with a warning, because nobody gets the same digest again.
 *
 * @category getters
 * @since 0.1.0
 */
export const now: Effect.Effect<Timestamp.Timestamp> = Effect.gen(function*() {
  yield* Effect.logWarning(
    "the clock gives the time of creation, so the digest of an image with this layer depends on it:\n" +
      "pass --created, or set SOURCE_DATE_EPOCH, for a digest that can be had again"
  )
  return Timestamp.fromNanoseconds(yield* Clock.currentTimeNanos)
})
