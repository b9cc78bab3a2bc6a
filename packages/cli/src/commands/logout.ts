/**
 * `effect-oci logout REGISTRY`
 *
 * @since 0.1.0
 */
import * as DockerConfig from "@effect-oci/adapters/DockerConfig"
import * as RegistryName from "@effect-oci/adapters/RegistryName"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../Flags.ts"
import * as Output from "../Output.ts"

interface Options {
  readonly registry: string
  readonly json: boolean
}

const run = Effect.fnUntraced(function*({ json, registry }: Options) {
  const removed = yield* DockerConfig.erase(registry)
  yield* json
    ? Output.json({ registry, removed })
    : Output.line(removed ? `logged out of ${registry}` : `there was no login to ${registry}`)
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "logout",
  {
    registry: Argument.String("REGISTRY").pipe(
      Argument.withDescription("The registry's host, as for login"),
      Argument.mapEffect(Flags.parsing("REGISTRY", RegistryName.parse))
    ),
    json: Flags.json
  },
  run
).pipe(
  Command.withDescription(
    "Log out of a registry: Docker's config, or the credential helper that it names, forgets what login has kept. " +
      "What is in the environment, or in podman's auth.json, stays."
  ),
  Command.withShortDescription("Log out of a registry"),
  Command.withExamples([{ command: "effect-oci logout ghcr.io" }])
)
