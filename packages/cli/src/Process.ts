/**
 * The life of the process: signals, a reader that goes away, and the exit code.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import process from "node:process"

/** 128 + the signal's number, as shells report it. */
const signals = [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const

/**
 * Runs a program as the process' only job and exits: with 0 when it succeeds, else with the code that `exitCode` gives
 * its failure. A signal interrupts the program, and the process exits once the finalizers have run, with 129, 130 or
 * 143; a second signal exits at once. The program is made with a function that interrupts it in the same way, with an
 * exit code of its own.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <E>(
  make: (stop: (code: number) => void) => Effect.Effect<unknown, E>,
  exitCode: (cause: Cause.Cause<E>) => number
): void => {
  let stopped: number | undefined
  const stop = (code: number): void => {
    if (stopped !== undefined) return
    stopped = code
    fiber.interruptUnsafe()
  }
  let signalled = false
  for (const [signal, code] of signals) {
    process.on(signal, () => {
      if (signalled) process.exit(code)
      signalled = true
      stop(code)
    })
  }
  // Nothing else keeps Node alive while a fiber waits for something that has no handle
  setInterval(() => {}, 2 ** 31 - 1)
  const fiber = Effect.runFork(make(stop))
  fiber.addObserver((exit) => {
    if (Exit.isSuccess(exit)) process.exit(0)
    // Without a `stop` it was the user who left a prompt
    process.exit(stopped ?? (Cause.hasInterruptsOnly(exit.cause) ? 130 : exitCode(exit.cause)))
  })
}
