/**
 * The variables that say where the files of credentials are.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import { homedir } from "node:os"
import { VariablesInvalid } from "../../Credentials.ts"

/** The value of a variable, or `undefined` where it is missing or empty. */
export const variable = (name: string): Effect.Effect<string | undefined, VariablesInvalid> =>
  Config.String(name).pipe(
    Config.withDefault(""),
    Effect.mapBoth({
      onFailure: () => new VariablesInvalid({ expected: `a text in ${name}`, found: "a source that fails" }),
      onSuccess: (value) => value === "" ? undefined : value
    })
  )

/** The directory of the user. */
export const home: Effect.Effect<string, VariablesInvalid> = Effect.map(
  variable("HOME"),
  (directory) => directory ?? homedir()
)
