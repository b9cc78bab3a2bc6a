/**
 * When a request is tried again.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Response } from "./exchange.ts"
import { Failure } from "./failure.ts"

/** How much is tried for one request. */
export interface Options {
  /** How often it is sent at most: 5 times unless given. */
  readonly attempts?: number
  /** How long is waited after the first attempt, and twice as long after each further one: 500 ms unless given. */
  readonly delay?: Duration.Input
  /** How long is waited at most because the server asks for it: 60 seconds unless given. */
  readonly longestDelay?: Duration.Input
  /** How long after the first failure no other attempt is begun: 2 minutes unless given. */
  readonly total?: Duration.Input
}

/** Statuses that may be others later. */
export const isTransient = (status: number): boolean =>
  status === 408 || status === 429 || (status >= 500 && status !== 501 && status !== 505)

/** What `Retry-After` says: seconds, or a date of HTTP (RFC 9110, section 10.2.3). Anything else says nothing. */
export const retryAfter = (header: string | undefined, now: number): Option.Option<Duration.Duration> => {
  if (header === undefined) return Option.none()
  const text = header.trim()
  if (/^\d{1,12}$/.test(text)) return Option.some(Duration.seconds(Number(text)))
  if (!/^[A-Za-z0-9,: -]{20,40} GMT$/.test(text)) return Option.none()
  return Option.map(DateTime.make(text), (date) => Duration.millis(Math.max(0, DateTime.toEpochMillis(date) - now)))
}

/** What a status means that may be another later. */
export const unavailable = ({ headers, status }: Response, now: number): Failure => {
  const after = Option.getOrUndefined(retryAfter(headers["retry-after"], now))
  return new Failure({
    reason: (attempts) =>
      new RegistryError.Unavailable({
        status,
        attempts,
        ...(after === undefined ? {} : { retryAfter: Duration.toMillis(after) })
      }),
    isTransient: true,
    ...(after === undefined ? {} : { retryAfter: after })
  })
}

/** How many milliseconds are waited at most because the server asks for it. */
export const longestDelay = (options: Options): number =>
  Duration.toMillis(Duration.fromInputUnsafe(options.longestDelay ?? "60 seconds"))

/**
 * Waits for what is transient: longer each time, never less than the server asks for, and not at all where it would be too
 * long. `tell` is told why, each time.
 */
export const schedule = (
  options: Options,
  tell: (failure: Failure) => Effect.Effect<void>,
  mayRepeat: () => boolean = () => true
) => {
  const attempts = options.attempts ?? 5
  const longest = Duration.millis(longestDelay(options))
  const total = Duration.toMillis(Duration.fromInputUnsafe(options.total ?? "2 minutes"))
  return Schedule.exponential(options.delay ?? "500 millis").pipe(
    Schedule.jittered,
    Schedule.modifyDelay(({ duration, input }: Schedule.Metadata<Duration.Duration, Failure>) =>
      Effect.succeed(
        input.retryAfter === undefined ? duration : Duration.max(duration, Duration.min(longest, input.retryAfter))
      )
    ),
    Schedule.while(({ attempt, duration, elapsed, input }) =>
      input.isTransient && mayRepeat() &&
      attempt < Math.min(attempts, input.mostAttempts ?? attempts) && elapsed + Duration.toMillis(duration) <= total
    ),
    Schedule.tap(({ input }) => tell(input))
  )
}
