/**
 * `effect-oci verify`
 *
 * @since 0.1.0
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Verification from "@effect-oci/core/Verification"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import process from "node:process"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"
import * as Store from "../Store.ts"
import * as StoreArgument from "../StoreArgument.ts"
import * as Table from "../Table.ts"
import * as Terminal from "../Terminal.ts"
import { Verdict } from "../Verdict.ts"

interface Options {
  readonly directory: Option.Option<string>
  readonly store: string
  readonly repair: boolean
  readonly from: Option.Option<string>
  readonly json: boolean
}

const sizes = ({ found, problem, size }: Verification.Finding): string =>
  problem === "missing" || size === undefined || found === undefined || size === found
    ? ""
    : `: expected ${size} bytes, found ${found}`

const describe = (finding: Verification.Finding): string => {
  const { digest, failure, from, isHealed, problem } = finding
  const why = failure === undefined ? "" : `: ${failure}`
  const named = from === undefined ? "nothing names it" : `named by ${from}`
  const text = Terminal.printable(
    `${digest} is ${problem}${sizes(finding)} (${named})${isHealed ? ", and was healed" : why}`
  )
  return Terminal.labelled(isHealed ? "notice" : "error", text, process.stdout)
}

const sum = (blobs: ReadonlyArray<BlobStore.Blob>): number => blobs.reduce((sum, { size }) => sum + size, 0)

const count = (many: number, one: string): string => `${many} ${one}${many === 1 ? "" : "s"}`

const summary = (store: string, { blobs, bytes, findings, unreferenced }: Verification.Report): string => {
  const healed = findings.filter(({ isHealed }) => isHealed).length
  return [
    `${Terminal.printable(store)}: ${count(blobs, "blob")} read, ${Table.size(bytes)}`,
    findings.length - healed === 0 ? "nothing wrong" : `${findings.length - healed} wrong`,
    ...(healed === 0 ? [] : [`${healed} healed`]),
    ...(unreferenced.length === 0
      ? []
      : [`${unreferenced.length} that nothing needs, ${Table.size(sum(unreferenced))}`])
  ].join("; ")
}

const run = Effect.fnUntraced(function*(options: Options) {
  const store = Option.getOrElse(options.directory, () => options.store)
  const roots = yield* StoreContent.roots(store)
  const source = Option.isSome(options.from)
    ? yield* Effect.provide(BlobStore.BlobStore, OciLayout.layer(options.from.value))
    : undefined
  const report = yield* Verification.check({
    roots,
    blobs: yield* StoreContent.blobs(store),
    ...(source === undefined ? {} : { source })
  }).pipe(Effect.provide(OciLayout.layer(store)))
  const isRight = report.findings.every(({ isHealed }) => isHealed)
  if (options.json) yield* Output.json({ store, isRight, ...report })
  else yield* Output.line([...report.findings.map(describe), summary(store, report)].join("\n"))
  if (!isRight) return yield* new Verdict()
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "verify",
  {
    directory: StoreArgument.argument,
    store: Store.directoryFlag,
    repair: Flag.Boolean("repair").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Replace what is missing or not right by a verified copy of --from"),
      Flag.withDefault(false)
    ),
    from: Flag.String("from").pipe(
      Flag.withMetavar("STORE"),
      Flag.withDescription("The store to repair from: oci:DIR, which may be a directory of refs"),
      Flag.mapEffect(Flags.parsing("--from", StoreArgument.parse)),
      Flag.optional
    ),
    json: Flags.json
  },
  (input) => Effect.provide(run(input), NodeHash.layer)
).pipe(
  Command.validate((input) =>
    input.repair === Option.isSome(input.from) ? Effect.void : Effect.fail(
      new CliError.ValidationError({
        message: input.repair ? "--repair needs --from STORE to copy from" : "--from is only for --repair"
      })
    )
  ),
  Command.withDescription(
    "Read every blob of a layout, or of the refs' directory, and check it against its digest, and whether everything that " +
      "images and refs name is there with its size. Nothing is changed without --repair, and what is right never is. " +
      "The exit code is 1 where something is wrong, and stays so."
  ),
  Command.withShortDescription("Check that a store has what was stored, and repair it"),
  Command.withExamples([
    { command: "effect-oci verify oci:out" },
    { command: "effect-oci verify", description: "The refs' directory" },
    {
      command: "effect-oci verify oci:out --repair --from oci:backup",
      description: "With whatever is missing or damaged copied from a backup"
    }
  ])
)
