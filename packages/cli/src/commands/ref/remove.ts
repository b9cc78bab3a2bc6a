/**
 * `effect-oci ref remove REF`
 *
 * @since 0.1.0
 */
import * as RefStore from "@effect-oci/core/RefStore"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../../Flags.ts"
import * as Output from "../../Output.ts"
import * as Store from "../../Store.ts"

const run = Effect.fnUntraced(function*({ json, ref }: { readonly json: boolean; readonly ref: string }) {
  yield* RefStore.RefStore.use((refs) => refs.remove(ref))
  yield* json ? Output.json({ removed: ref }) : Output.line(`removed ${ref}`)
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "remove",
  { ref: Flags.refArgument("REF", "The ref's name"), store: Store.flag, json: Flags.json },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription(
    "Remove a ref. Fails for the parent of others, and names them. The blob of its layer stays in the store."
  ),
  Command.withShortDescription("Remove a ref"),
  Command.withExamples([{ command: "effect-oci ref remove app" }])
)
