/**
 * The frame around the commands: it loads the one that is asked for, runs it with Node's services, and turns how it
 * ends into what the user sees and the exit code that a script reads.
 *
 * @since 0.1.0
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliConfig from "effect/cli/CliConfig"
import * as Command from "effect/cli/Command"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"
import manifest from "../package.json" with { type: "json" }
import * as Failure from "./Failure.ts"
import * as Help from "./Help.ts"
import { Insecure } from "./Insecure.ts"
import * as Log from "./Log.ts"
import * as Output from "./Output.ts"
import * as Process from "./Process.ts"

/**
 * A command as the table holds it: it may fail with anything, and asks for nothing but what the frame provides.
 *
 * @category models
 * @since 0.1.0
 */
// A command's name is part of its type, invariantly; `any` is the one name that stands for all of them
export type AnyCommand = Command.Command<
  any,
  never,
  unknown,
  unknown,
  Command.Environment | Output.Output | Insecure
>

/**
 * The commands by name: each behind the import of its module, or a group of further ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface Commands {
  readonly [name: string]: (() => Promise<{ readonly command: AnyCommand }>) | Group
}

/**
 * Commands that share their first word.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  readonly description: string
  readonly commands: Commands
}

/**
 * Loads the modules that `args` can need: one for a command's name; none where the version is asked for; else all,
 * since help, completions and suggestions speak of every command.
 */
const load = async (commands: Commands, args: ReadonlyArray<string>): Promise<ReadonlyArray<AnyCommand>> => {
  const [first = "", ...rest] = args
  const isNamed = Object.hasOwn(commands, first)
  const names = isNamed ? [first] : Help.isVersion(args) ? [] : Object.keys(commands)
  return Promise.all(names.map(async (name) => {
    const entry = commands[name]
    if (typeof entry === "function") return (await entry()).command
    return Command.make(name).pipe(
      Command.withDescription(entry?.description ?? ""),
      Command.withSubcommands(await load(entry?.commands ?? {}, isNamed ? rest : []))
    )
  }))
}

/**
 * Runs the command that the arguments name, and tells how it failed, if it did.
 *
 * @category running
 * @since 0.1.0
 */
export const run = (
  commands: Commands,
  args: ReadonlyArray<string>,
  output: Layer.Layer<Output.Output>
): Effect.Effect<void, unknown> =>
  Effect.gen(function*() {
    const root = Command.make("effect-oci").pipe(
      Command.withDescription("Build, patch and export OCI container images without a daemon"),
      Command.withSubcommands(yield* Effect.promise(() => load(commands, args))),
      Command.withGlobalFlags([Insecure])
    )
    yield* Command.runWith(root, { version: manifest.version })(args)
  }).pipe(
    Effect.tapCause(Failure.report(Failure.options(args))),
    Effect.provide(Layer.mergeAll(
      NodeServices.layer,
      Log.layer,
      CliConfig.layer({
        builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel]
      }),
      Layer.provideMerge(Help.layer, output)
    ))
  )

/**
 * Runs the command that the process' arguments name, then ends the process: with 0; with 1 for a failure; with 2 for a
 * wrong usage; with 129, 130 or 143 after SIGHUP, SIGINT or SIGTERM; with 0 when nobody reads stdout any more.
 *
 * @category running
 * @since 0.1.0
 */
export const main = (commands: Commands): void =>
  Process.run(
    (stop) => run(commands, process.argv.slice(2), Output.layer(process.stdout, () => stop(0))),
    Failure.exitCode
  )
