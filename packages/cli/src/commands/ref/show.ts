/**
 * `effect-oci ref show REF`
 *
 * @since 0.1.0
 */
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../../Flags.ts"
import * as Output from "../../Output.ts"
import * as RefSummary from "../../RefSummary.ts"
import * as Store from "../../Store.ts"
import * as Table from "../../Table.ts"

const chainOf = (name: string) =>
  Effect.scoped(Effect.gen(function*() {
    const refs = yield* CacheRef.CacheRef
    const ref = yield* refs.acquire(name)
    const chain = yield* CacheRef.chain(ref)
    return { chain: RefSummary.fromChain(chain), ref: RefSummary.fromRef(ref, chain.at(-2)?.name) }
  }))

const run = Effect.fnUntraced(function*({ json, ref: name }: { readonly json: boolean; readonly ref: string }) {
  const { chain, ref } = yield* chainOf(name)
  if (json) return yield* Output.json({ ...ref, chain })
  yield* Output.line(RefSummary.describe(ref))
  yield* Output.line("\nThe chain, base first:\n")
  yield* Output.line(
    Table.format([
      ["LAYER", "REF", "CREATED", "SIZE", "DIGEST", "DESCRIPTION"],
      ...chain.map((ref, index) => [
        String(index),
        ref.name,
        ref.created ?? "",
        ref.layer === undefined ? "" : Table.size(ref.layer.size),
        ref.layer?.digest ?? "",
        ref.description ?? ""
      ])
    ], [0, 3])
  )
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "show",
  { ref: Flags.refArgument("REF", "The ref's name"), store: Store.flag, json: Flags.json },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription("Show all that is known of a ref, and the chain of refs below it down to the base."),
  Command.withShortDescription("Show a ref and the chain below it"),
  Command.withExamples([
    { command: "effect-oci ref show app" },
    {
      command: "effect-oci ref show app --json | jq -r '.chain[].diffId'",
      description: "The diff IDs of its layers, base first"
    }
  ])
)
