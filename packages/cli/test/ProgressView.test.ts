import * as Progress from "@effect-oci/core/Progress"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import process from "node:process"
import * as ProgressView from "../src/ProgressView.ts"

const capture = () => {
  const written: Array<string> = []
  vi.spyOn(process.stderr, "write").mockImplementation((data) => written.push(String(data)) > 0)
  return () => written.join("")
}

/** Reports a MiB at once, and ends after a time. */
const work = (seconds: number) =>
  Effect.gen(function*() {
    const progress = yield* Progress.Progress
    const started = yield* Clock.currentTimeMillis
    yield* progress.report({ id: "adding x", started, current: 1024 * 1024, total: 2 * 1024 * 1024 })
    yield* Effect.sleep(`${seconds} seconds`)
  }).pipe(Progress.oneOff("adding x"))

/** Lets time pass in steps, in each of which everybody gets a turn. */
const pass = (seconds: number) =>
  Effect.forEach(Array.from({ length: seconds }), () => TestClock.adjust("1 second"), { discard: true })

describe("ProgressView", () => {
  afterEach(() => {
    vi.restoreAllMocks()
    vi.unstubAllEnvs()
  })

  it.effect("writes a line when the work is done, and now and then before that", () =>
    Effect.gen(function*() {
      const written = capture()
      const fiber = yield* Effect.forkChild(ProgressView.show(work(25)))
      yield* pass(26)
      yield* Fiber.join(fiber)
      assert.strictEqual(
        written(),
        "adding x ... 1 MiB of 2 MiB 102.4 KiB/s\nadding x ... 1 MiB of 2 MiB 51.2 KiB/s\n" +
          "adding x ... 1 MiB of 2 MiB 41 KiB/s done\n"
      )
    }))

  it.effect("keeps to the time that has passed on a terminal, also when work reports", () =>
    Effect.gen(function*() {
      const written = capture()
      const { hasColors, isTTY } = process.stderr
      Object.assign(process.stderr, { isTTY: true, hasColors: () => false })
      vi.stubEnv("TERM", "xterm")
      yield* Effect.addFinalizer(() => Effect.sync(() => Object.assign(process.stderr, { isTTY, hasColors })))
      const reporting = Effect.gen(function*() {
        const progress = yield* Progress.Progress
        const started = yield* Clock.currentTimeMillis
        yield* Effect.sleep("5050 millis")
        yield* progress.report({ id: "adding x", started, current: 1024 })
      }).pipe(Progress.oneOff("adding x"))
      const fiber = yield* Effect.forkChild(ProgressView.show(reporting))
      yield* pass(6)
      yield* Fiber.join(fiber)
      assert.include(written(), "adding x ... 1 KiB 5.0 s")
      assert.notInclude(written(), "adding x ... 1 KiB 0.0 s")
    }))

  it.effect.each([
    [36, "copying a layer ... 0.0 s, 2 more"],
    [35, "copying a layer ... 0.0 s"],
    [20, "copying a layer ."]
  ])("tells on %i columns what there is room for, besides ^C", ([columns, expected]) =>
    Effect.gen(function*() {
      const written = capture()
      const { columns: before, hasColors, isTTY } = process.stderr
      Object.assign(process.stderr, { isTTY: true, hasColors: () => false, columns })
      vi.stubEnv("TERM", "xterm")
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => Object.assign(process.stderr, { isTTY, hasColors, columns: before }))
      )
      const waiting = (id: string) => Effect.sleep("1 second").pipe(Progress.oneOff(id))
      const three = Effect.all([waiting("a"), waiting("b"), waiting("copying a layer")], { concurrency: 3 })
      const fiber = yield* Effect.forkChild(ProgressView.show(three))
      yield* pass(2)
      yield* Fiber.join(fiber)
      const lines = written().replaceAll("\n", "\r\x1b[K").split("\r\x1b[K")
      assert.include(lines, expected)
    }))

  it.effect("tells what came from the cache", () =>
    Effect.gen(function*() {
      const written = capture()
      const found = Effect.flatMap(
        Progress.Progress,
        ({ report }) => report({ id: "ADD x /", started: 0, cached: true })
      )
      yield* ProgressView.show(found.pipe(Progress.oneOff("ADD x /")))
      assert.strictEqual(written(), "ADD x / ... from the cache\n")
    }))

  it.effect("tells a failure and an interruption, and leaves both as they are", () =>
    Effect.gen(function*() {
      const written = capture()
      const failing = Effect.fail("no").pipe(Progress.oneOff("exporting \x1b[2Jlayers"))
      assert.strictEqual(yield* Effect.flip(ProgressView.show(failing)), "no")
      const fiber = yield* Effect.forkChild(ProgressView.show(work(1000)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(written(), "exporting \\x1b[2Jlayers ... failed\nadding x ... interrupted\n")
    }))
})
