/**
 * Variables of the environment.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"

/**
 * A variable that is good for something; an empty one is as good as none.
 *
 * @category getters
 * @since 0.1.0
 */
export const variable = (
  name: string,
  isGood: (value: string) => boolean = (value) => value !== ""
): Effect.Effect<string | undefined> =>
  Config.String(name).pipe(
    Config.withDefault(""),
    // The environment always answers
    Effect.orDie,
    Effect.map((value) => isGood(value) ? value : undefined)
  )
