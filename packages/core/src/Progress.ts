/**
 * Progress of long work, as events: a terminal, a JSON-lines writer or a test consumes them.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * The state of one piece of work.
 *
 * **Details**
 *
 * Times are milliseconds since 1970-01-01T00:00:00Z. `id` is what is done, in BuildKit's words ("exporting layers"). A
 * status without `completed` says that the work goes on, and `current` of `total` bytes how far it has come; one that is
 * `cached` that what it is to give was found, and need not be made; one with `error` that it failed, and why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Status {
  readonly id: string
  readonly started: number
  readonly completed?: number
  readonly current?: number
  readonly total?: number
  readonly cached?: boolean
  readonly error?: string
}

/**
 * Takes the events of running work. Where none is provided, they are dropped.
 *
 * @category references
 * @since 0.1.0
 */
export const Progress = Context.Reference<{ readonly report: (status: Status) => Effect.Effect<void> }>(
  "@effect-oci/core/Progress",
  { defaultValue: () => ({ report: () => Effect.void }) }
)

/**
 * Watches the progress of an effect: hands each event of it to a consumer, in order, and ends when the effect has ended
 * and the last event is taken. A consumer that fails takes no further events; the effect goes on.
 *
 * **Example** (Writing progress as lines)
 *
 * ```ts
 * import * as Progress from "@effect-oci/core/Progress"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const work = Progress.oneOff("exporting layers")(Effect.sleep("1 second"))
 *
 * const watched = Progress.watch(work, (events) =>
 *   events.pipe(Stream.runForEach((status) => Console.log(JSON.stringify(status)))))
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const watch = <A, E, R, R2>(
  work: Effect.Effect<A, E, R>,
  consume: (events: Stream.Stream<Status>) => Effect.Effect<void, unknown, R2>
): Effect.Effect<A, E, R | R2> =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Status, Cause.Done>()
    const progress = { report: (status: Status) => Effect.asVoid(Queue.offer(queue, status)) }
    const consumer = yield* Effect.forkChild(Effect.ignore(consume(Stream.fromQueue(queue))))
    return yield* work.pipe(
      Effect.provideService(Progress, progress),
      Effect.onExit(() => Effect.andThen(Queue.end(queue), Fiber.join(consumer)))
    )
  })

const messageOf = (cause: Cause.Cause<unknown>): string =>
  Cause.hasInterruptsOnly(cause) ? "interrupted" : Cause.prettyErrors(cause)[0]?.message ?? "failed"

/**
 * Reports the start and the end of an effect, also of one that fails or is interrupted. The effect's own outcome is left
 * as it is.
 *
 * @category combinators
 * @since 0.1.0
 */
export const oneOff = (id: string) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function*() {
    const progress = yield* Progress
    const started = yield* Clock.currentTimeMillis
    yield* progress.report({ id, started })
    return yield* Effect.onExit(self, (exit) =>
      Effect.flatMap(Clock.currentTimeMillis, (completed) =>
        progress.report({
          id,
          started,
          completed,
          ...(Exit.isFailure(exit) ? { error: messageOf(exit.cause) } : {})
        })))
  })

/** Milliseconds between two reports of how far work has come. */
const interval = 100

/**
 * Runs work that tells of each piece of so many bytes, and reports their sum now and then, and when the work has
 * succeeded; or that its outcome was found, and not made. `id` names the work, which {@link oneOff} begins and ends.
 *
 * @category combinators
 * @since 0.1.0
 */
export const counted = Effect.fnUntraced(function*<A, E, R>(
  id: string,
  work: (onRead: (bytes: number) => Effect.Effect<void>) => Effect.Effect<A, E, R>,
  options: {
    /** How many bytes there are, where that is known. */
    readonly total?: number
    readonly isCached?: (outcome: A) => boolean
  } = {}
): Effect.fn.Return<A, E, R> {
  const progress = yield* Progress
  const started = yield* Clock.currentTimeMillis
  const known = options.total === undefined ? {} : { total: options.total }
  let current = 0
  let told = started
  const report = Effect.suspend(() => progress.report({ id, started, current, ...known }))
  const onRead = (bytes: number) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      current += bytes
      if (now - told < interval) return Effect.void
      told = now
      return report
    })
  return yield* Effect.tap(
    work(onRead),
    (outcome) => options.isCached?.(outcome) === true ? progress.report({ id, started, cached: true }) : report
  )
})
