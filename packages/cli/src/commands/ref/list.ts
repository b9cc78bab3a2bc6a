/**
 * `effect-oci ref list`
 *
 * @since 0.1.0
 */
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../../Flags.ts"
import * as Output from "../../Output.ts"
import * as RefSummary from "../../RefSummary.ts"
import * as Store from "../../Store.ts"

const run = Effect.fnUntraced(function*({ json, store }: { readonly json: boolean; readonly store: string }) {
  const found = yield* RefSummary.all
  if (json) return yield* Output.json(found)
  if (found.length === 0) {
    return yield* Effect.logInfo(`no refs in ${store}; add one with: effect-oci ref add NAME PATH`)
  }
  yield* Output.line(RefSummary.table(found))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "list",
  { store: Store.flag, json: Flags.json },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription(
    "List the refs, by name, and where imported ones are from. One that cannot be read is listed with a warning."
  ),
  Command.withShortDescription("List the refs"),
  Command.withExamples([
    { command: "effect-oci ref list", description: "Everything in the default store" },
    { command: "effect-oci ref list --json | jq -r '.[].name'", description: "The names, for a script" }
  ])
)
