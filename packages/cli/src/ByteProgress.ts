/**
 * How far work on bytes has come, as progress.
 *
 * @since 0.1.0
 */
import * as Progress from "@effect-oci/core/Progress"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** Milliseconds between two reports. */
const interval = 100

/**
 * Runs work that tells of each piece of so many bytes, and reports their sum now and then, and when the work has
 * succeeded; or that its outcome came from a cache. `id` names the work, which `Progress.oneOff` begins and ends.
 *
 * @category combinators
 * @since 0.1.0
 */
export const counted = Effect.fnUntraced(function*<A, E, R>(
  id: string,
  work: (onRead: (bytes: number) => Effect.Effect<void>) => Effect.Effect<A, E, R>,
  isCached: (outcome: A) => boolean = () => false
): Effect.fn.Return<A, E, R> {
  const progress = yield* Progress.Progress
  const started = yield* Clock.currentTimeMillis
  let current = 0
  let told = started
  const report = Effect.suspend(() => progress.report({ id, started, current }))
  const onRead = (bytes: number) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      current += bytes
      if (now - told < interval) return Effect.void
      told = now
      return report
    })
  return yield* Effect.tap(
    work(onRead),
    (outcome) => isCached(outcome) ? progress.report({ id, started, cached: true }) : report
  )
})
