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
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"

/**
 * The state of one piece of work.
 *
 * **Details**
 *
 * Times are milliseconds since 1970-01-01T00:00:00Z. `id` is what is done, in BuildKit's words ("exporting layers"). A
 * status without `completed` says that the work goes on, and `current` of `total` bytes how far it has come; one with
 * `error` that it failed, and why.
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
 * Makes a consumer's end of progress: a service to provide to the work, and the events that it gives. They end with the
 * scope.
 *
 * **Example** (Watching an effect)
 *
 * ```ts
 * import * as Progress from "@effect-oci/core/Progress"
 * import * as Effect from "effect/Effect"
 * import * as Stream from "effect/Stream"
 *
 * const program = Effect.gen(function*() {
 *   const { events, progress } = yield* Progress.make
 *   yield* Effect.forkScoped(Stream.runForEach(events, (status) => Effect.log(status.id)))
 *   return yield* Progress.oneOff("exporting layers")(Effect.succeed(1)).pipe(
 *     Effect.provideService(Progress.Progress, progress)
 *   )
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.gen(function*() {
  const queue = yield* Effect.acquireRelease(Queue.unbounded<Status, Cause.Done>(), Queue.end)
  return {
    progress: { report: (status: Status) => Effect.asVoid(Queue.offer(queue, status)) },
    events: Stream.fromQueue(queue)
  }
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
