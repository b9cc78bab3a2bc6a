import * as Progress from "@effect-oci/core/Progress"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"

class OutOfPaper extends Schema.TaggedError<OutOfPaper>()("OutOfPaper", {}) {
  override get message(): string {
    return "the printer is out of paper"
  }
}

/** Runs work on a clock that starts at 0, and gives its outcome with all that it reported. */
const watched = <A, E>(work: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const events: Array<Progress.Status> = []
    const exit = yield* work.pipe(
      Effect.provideService(Progress.Progress, { report: (status) => Effect.sync(() => void events.push(status)) }),
      Effect.exit
    )
    return { exit, events }
  })

describe("oneOff", () => {
  const slow = Effect.delay("3 seconds")
  const id = "exporting layers"

  it.effect("reports the start and the end, with their times", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("5 seconds")
      const fiber = yield* Effect.forkChild(watched(Progress.oneOff(id)(Effect.succeed(42).pipe(slow))))
      yield* TestClock.adjust("3 seconds")
      const { events, exit } = yield* Fiber.join(fiber)
      assert.deepStrictEqual(exit, Exit.succeed(42))
      assert.deepStrictEqual(events, [{ id, started: 5_000 }, { id, started: 5_000, completed: 8_000 }])
    }))

  it.effect("records a failure, and leaves it as it is", () =>
    Effect.gen(function*() {
      const error = new OutOfPaper()
      const { events, exit } = yield* watched(Progress.oneOff(id)(Effect.fail(error)))
      assert.deepStrictEqual(exit, Exit.fail(error))
      assert.deepStrictEqual(events, [
        { id, started: 0 },
        { id, started: 0, completed: 0, error: "the printer is out of paper" }
      ])
    }))

  it.effect("records a defect, and leaves it as it is", () =>
    Effect.gen(function*() {
      const { events, exit } = yield* watched(Progress.oneOff(id)(Effect.die(new Error("broken"))))
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual(events.map(({ error }) => error), [undefined, "broken"])
    }))

  it.effect("records an interruption, and stays interrupted", () =>
    Effect.gen(function*() {
      const events: Array<Progress.Status> = []
      const fiber = yield* Effect.forkChild(
        Progress.oneOff(id)(Effect.never).pipe(
          Effect.provideService(Progress.Progress, { report: (status) => Effect.sync(() => void events.push(status)) })
        )
      )
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assert.deepStrictEqual(events, [{ id, started: 0 }, { id, started: 0, completed: 2_000, error: "interrupted" }])
    }))

  it.effect("tells of nested work each by its own id", () =>
    Effect.gen(function*() {
      const work = Progress.oneOff("outer")(Progress.oneOff("inner")(Effect.void))
      const { events } = yield* watched(work)
      assert.deepStrictEqual(
        events.map(({ completed, id }) => `${id} ${completed === undefined ? "starts" : "ends"}`),
        [
          "outer starts",
          "inner starts",
          "inner ends",
          "outer ends"
        ]
      )
    }))

  it.effect("reports to nobody where nobody listens", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Progress.oneOff(id)(Effect.succeed(1)), 1)
    }))
})

describe("watch", () => {
  const seenBy = (seen: Array<string>) => (events: Stream.Stream<Progress.Status>) =>
    Stream.runForEach(
      events,
      ({ completed, error, id }) =>
        Effect.sync(() => void seen.push(`${id} ${completed === undefined ? "begins" : error ?? "ends"}`))
    )

  it.effect("hands on every event, the last one too, and gives what the work gives", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const work = Progress.oneOff("first")(Effect.andThen(Progress.oneOff("second")(Effect.void), Effect.succeed(1)))
      assert.strictEqual(yield* Progress.watch(work, seenBy(seen)), 1)
      assert.deepStrictEqual(seen, ["first begins", "second begins", "second ends", "first ends"])
    }))

  it.effect("also of work that fails, and of work that is interrupted", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const failing = Progress.oneOff("failing")(Effect.fail("no"))
      assert.strictEqual(yield* Effect.flip(Progress.watch(failing, seenBy(seen))), "no")
      const fiber = yield* Effect.forkChild(Progress.watch(Progress.oneOff("endless")(Effect.never), seenBy(seen)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(seen, ["failing begins", "failing no", "endless begins", "endless interrupted"])
    }))

  it.effect("goes on where the consumer fails", () =>
    Effect.gen(function*() {
      const work = Progress.oneOff("work")(Effect.as(Effect.sleep("1 second"), 1))
      const fiber = yield* Effect.forkChild(Progress.watch(work, () => Effect.fail("gone")))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    }))
})
