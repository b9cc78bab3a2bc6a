/**
 * The registries that are asked without encryption.
 *
 * @since 0.1.0
 */
import * as RegistryName from "@effect-oci/adapters/RegistryName"
import * as Flag from "effect/cli/Flag"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Flags from "./Flags.ts"

/**
 * `--insecure HOST`, any number of times, of all commands: the hosts, in lower case.
 *
 * @category flags
 * @since 0.1.0
 */
export const Insecure = GlobalFlag.Setting("insecure")({
  flag: Flag.String("insecure").pipe(
    Flag.withMetavar("HOST"),
    Flag.withDescription(
      "Ask this registry without encryption; one on this machine is asked so anyway. Can be repeated"
    ),
    Flag.mapEffect(Flags.parsing("--insecure", RegistryName.parse)),
    Flag.atLeast(0)
  )
})

/**
 * The service that says which.
 *
 * @category models
 * @since 0.1.0
 */
export type Insecure = GlobalFlag.Setting.Identifier<"insecure">
