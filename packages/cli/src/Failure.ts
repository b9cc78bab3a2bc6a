/**
 * How a failed run is told, to people and to programs, and its exit code.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import process from "node:process"
import * as Advice from "./Advice.ts"
import * as Help from "./Help.ts"
import * as Output from "./Output.ts"
import * as Terminal from "./Terminal.ts"
import { Verdict } from "./Verdict.ts"

/**
 * `json`: the failure is also a result, on stdout. `debug`: a fault of ours shows its stack.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly json: boolean
  readonly debug: boolean
}

/**
 * Reads the options from the arguments themselves, since wrong usage must be told before they are parsed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const options = (args: ReadonlyArray<string>): Options => {
  const end = args.indexOf("--")
  const flags = end === -1 ? args : args.slice(0, end)
  return {
    json: flags.includes("--json"),
    debug: Boolean(process.env["EFFECT_OCI_DEBUG"]) || flags.includes("--log-level=debug") ||
      flags.some((flag, index) => flag === "--log-level" && flags[index + 1] === "debug")
  }
}

const bug = "unexpected error: this is a bug in effect-oci, please report it"

/** What is beneath an error, or beneath its reason. */
const causeOf = (error: unknown): unknown =>
  Predicate.hasProperty(error, "cause")
    ? error.cause
    : Predicate.hasProperty(error, "reason") && Predicate.hasProperty(error.reason, "cause")
    ? error.reason.cause
    : undefined

/** An error, then each cause beneath it. */
const chain = (error: unknown): ReadonlyArray<unknown> => {
  const found = new Set<unknown>()
  for (let at = error; at !== undefined && at !== null && !found.has(at);) {
    found.add(at)
    at = causeOf(at)
  }
  return [...found]
}

/** An error's message, then that of each cause beneath it, save one that says the same again. */
const messages = (error: unknown): ReadonlyArray<string> =>
  chain(error)
    .map((error) => error instanceof Error ? error.message || error.name : String(error))
    .filter((message, index, all) => index === 0 || !all[index - 1]?.includes(message))

const tell = (error: unknown): Effect.Effect<void> => {
  const [message = "", ...causes] = messages(error)
  const advice = chain(error).map(Advice.on).find((advice) => advice !== undefined)
  return Terminal.writeError([
    Terminal.labelled("error", message),
    ...causes.map((cause) => `  caused by: ${Terminal.indented(cause)}`),
    ...(advice === undefined ? [] : [`  help: ${advice}`])
  ])
}

const tellDefect = (defect: unknown, debug: boolean): Effect.Effect<void> => {
  const [message = ""] = messages(defect)
  const stack = defect instanceof Error ? defect.stack : undefined
  return Terminal.writeError([
    Terminal.labelled("error", `${bug}: ${message}`),
    debug && stack !== undefined ? Terminal.indented(stack) : "  set EFFECT_OCI_DEBUG=1 to see where it happened"
  ])
}

/** Wrong usage, as JSON shows it. */
const usageError = (error: CliError.CliError): unknown =>
  error._tag !== "ShowHelp"
    ? { _tag: "UsageError", message: error.message, errors: [error] }
    : {
      _tag: "UsageError",
      message: error.errors.length === 0
        ? Help.missingCommand(error.commandPath)
        : error.errors.map(({ message }) => message).join("\n"),
      command: error.commandPath,
      errors: error.errors
    }

/**
 * Tells a failure: on stderr as `error: message`, a line for each cause beneath it, and what to do; with `json` on stdout too, as one
 * line `{"error":{"_tag":…,"message":…}}`. Tells nothing of an interruption.
 *
 * @category reporting
 * @since 0.1.0
 */
export const report = (options: Options) => <E>(cause: Cause.Cause<E>): Effect.Effect<void, never, Output.Output> =>
  Effect.gen(function*() {
    if (Cause.hasInterruptsOnly(cause)) return
    const failure = Cause.findErrorOption(cause)
    const print = (error: unknown) => options.json ? Effect.ignore(Output.json({ error })) : Effect.void
    if (Option.isNone(failure)) {
      const defect = Cause.squash(cause)
      yield* tellDefect(defect, options.debug)
      yield* print({ _tag: "Defect", message: `${bug}: ${messages(defect)[0]}` })
    } else if (failure.value instanceof Verdict) {
      // Its command has told it
    } else if (CliError.isCliError(failure.value)) {
      // Whoever shows the help has told its errors already
      if (failure.value._tag !== "ShowHelp") yield* tell(failure.value)
      yield* print(usageError(failure.value))
    } else {
      yield* tell(failure.value)
      yield* print(failure.value)
    }
  })

/**
 * The exit code of a failure: 2 for wrong usage, else 1.
 *
 * @category getters
 * @since 0.1.0
 */
export const exitCode = <E>(cause: Cause.Cause<E>): number => {
  const failure = Cause.findErrorOption(cause)
  return Option.isSome(failure) && CliError.isCliError(failure.value) ? 2 : 1
}
