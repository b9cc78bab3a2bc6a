/**
 * A store as a whole, as the command line names it: `oci:DIR`, or the directory of refs.
 *
 * @since 0.1.0
 */
import * as Argument from "effect/cli/Argument"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Flags from "./Flags.ts"

/**
 * Error raised for a text that does not name a store.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidStoreArgument
  extends Schema.TaggedError<InvalidStoreArgument>("@effect-oci/cli/InvalidStoreArgument")("InvalidStoreArgument", {
    store: Schema.String
  })
{
  override get message() {
    return `${JSON.stringify(this.store)} does not name a store: expected oci:DIR, the whole layout, without a tag`
  }
}

/**
 * Reads `oci:DIR`, and gives the directory.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (store: string): Result.Result<string, InvalidStoreArgument> => {
  const directory = /^oci:([^:]+)$/.exec(store)?.[1]
  return directory === undefined ? Result.fail(new InvalidStoreArgument({ store })) : Result.succeed(directory)
}

/**
 * `[STORE]`: the directory of a layout.
 *
 * @category arguments
 * @since 0.1.0
 */
export const argument: Argument.Argument<Option.Option<string>> = Argument.String("STORE").pipe(
  Argument.withDescription("oci:DIR, a whole layout (default: the refs' directory, see --store)"),
  Argument.mapEffect(Flags.parsing("STORE", parse)),
  Argument.optional
)
