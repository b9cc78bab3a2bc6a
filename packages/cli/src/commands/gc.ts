/**
 * `effect-oci gc`
 *
 * @since 0.1.0
 */
import * as GarbageCollection from "@effect-oci/adapters/GarbageCollection"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"
import * as Store from "../Store.ts"
import * as StoreArgument from "../StoreArgument.ts"
import * as Table from "../Table.ts"

const units = { s: Duration.seconds, m: Duration.minutes, h: Duration.hours, d: Duration.days } as const

const isUnit = (text: string): text is keyof typeof units => Object.hasOwn(units, text)

const parseGrace = (text: string): Result.Result<Duration.Duration, { readonly message: string }> => {
  const [, count, unit = ""] = /^(\d{1,9})([a-z]?)$/.exec(text) ?? []
  if (count !== undefined && isUnit(unit)) return Result.succeed(units[unit](Number(count)))
  return count !== undefined && Number(count) === 0 && unit === ""
    ? Result.succeed(Duration.zero)
    : Result.fail({ message: `expected a time such as 90s, 30m, 1h, 7d or 0; found ${JSON.stringify(text)}` })
}

interface Options {
  readonly directory: Option.Option<string>
  readonly store: string
  readonly grace: Duration.Duration
  readonly dryRun: boolean
  readonly json: boolean
}

const count = (many: number): string => `${many} blob${many === 1 ? "" : "s"}`

const run = Effect.fnUntraced(function*(options: Options) {
  const { dryRun, grace } = options
  const store = Option.getOrElse(options.directory, () => options.store)
  const { bytes, kept, removed, young } = yield* GarbageCollection.collect(store, { dryRun, grace })
  if (options.json) return yield* Output.json({ store, dryRun, removed, bytes, kept, young })
  if (removed.length > 0) {
    const rows = removed.map(({ digest, size }) => [digest, Table.size(size)])
    yield* Output.line(Table.format([["BLOB", "SIZE"], ...rows], [1]))
  }
  const verb = dryRun ? "would remove" : "removed"
  const later = young === 0 ? "" : `; ${count(young)} too young, which stay for now`
  yield* Output.line(`${verb} ${count(removed.length)}, ${Table.size(bytes)}; kept ${kept}${later}`)
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "gc",
  {
    directory: StoreArgument.argument,
    store: Store.directoryFlag,
    grace: Flag.String("grace").pipe(
      Flag.withMetavar("TIME"),
      Flag.withDescription(
        "What is younger stays, such as 30m, 1h, 7d (default: 1h). 0 only where nobody else writes, or effect-oci alone"
      ),
      Flag.mapEffect(Flags.parsing("--grace", parseGrace)),
      Flag.withDefault(Duration.hours(1))
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Tell what would be removed, and remove nothing"),
      Flag.withDefault(false)
    ),
    json: Flags.json
  },
  (input) => Effect.provide(run(input), NodeHash.layer)
).pipe(
  Command.withDescription(
    "Remove the blobs of a layout, or of the refs' directory, that no image, no ref and no work in progress needs. Where a " +
      "manifest or an index is missing or damaged, nothing is removed. It may run at any time, beside anything."
  ),
  Command.withShortDescription("Remove blobs that nothing needs"),
  Command.withExamples([
    { command: "effect-oci gc oci:out --dry-run", description: "What would be removed from a layout" },
    { command: "effect-oci gc", description: "From the refs' directory" },
    { command: "effect-oci gc oci:out --json | jq .bytes", description: "The bytes that were freed, for a script" }
  ])
)
