/**
 * Help, version and wrong usage as the user sees them.
 *
 * Help that was asked for is a result and goes to stdout. Help for a wrong usage goes to stderr, and so does that for a
 * missing command: a script whose `$COMMAND` turned out empty should neither succeed nor read help as its result.
 *
 * @since 0.1.0
 */
import * as CliOutput from "effect/cli/CliOutput"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"
import * as Output from "./Output.ts"
import * as Terminal from "./Terminal.ts"

/**
 * Tells whether the version is all that is asked for.
 *
 * @category guards
 * @since 0.1.0
 */
export const isVersion = (args: ReadonlyArray<string>): boolean => args[0] === "--version" || args[0] === "-v"

/**
 * What a command that lacks its subcommand is told.
 *
 * @category constants
 * @since 0.1.0
 */
export const missingCommand = (path: ReadonlyArray<string>): string => `"${path.join(" ")}" needs a command`

/**
 * Presents help and version on stdout, wrong usage on stderr.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Output.Output> = Layer.effect(
  CliOutput.Presenter,
  Effect.gen(function*() {
    const output = yield* Output.Output
    const formatter = (stream: NodeJS.WriteStream) => CliOutput.defaultFormatter({ colors: Terminal.hasColors(stream) })
    const usage = (help: string, problems: ReadonlyArray<string>) =>
      Terminal.writeError([help.trimEnd(), "", ...problems.map((problem) => Terminal.labelled("error", problem))])
    return {
      present: (event) => {
        switch (event._tag) {
          case "Version":
            return Effect.orDie(output.write(`${event.name} ${event.version}\n`))
          case "Help":
            return event.reason === "Requested"
              ? Effect.orDie(output.write(`${formatter(process.stdout).formatHelpDoc(event.helpDoc).trimEnd()}\n`))
              : usage(formatter(process.stderr).formatHelpDoc(event.helpDoc), [missingCommand(event.commandPath)])
          case "InvalidInvocation":
            return usage(
              formatter(process.stderr).formatHelpDoc(event.helpDoc),
              event.errors.map((error) => error.message)
            )
        }
      }
    }
  })
)
