/**
 * Registries, as commands ask them: with the user's credentials, and encrypted unless the user says otherwise.
 *
 * @since 0.1.0
 */
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Registry from "@effect-oci/adapters/Registry"
import * as UserCredentials from "@effect-oci/adapters/UserCredentials"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Insecure } from "./Insecure.ts"

const optionsFor = Effect.fnUntraced(function*(host: string) {
  return (yield* Insecure).includes(host) ? { insecure: true } : {}
})

const services = Layer.mergeAll(NodeHttpClient.layerUndici, NodeHash.layer)

/**
 * A repository, by its full name: the registry's host and the path in it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (name: string) =>
  Layer.unwrap(Effect.map(optionsFor(name.slice(0, name.indexOf("/"))), (options) => Registry.layer(name, options)))
    .pipe(
      Layer.provide([services, UserCredentials.layer]),
      Layer.orDie
    )

/**
 * Asks a registry whether it takes a credential, and fails where it does not.
 *
 * @category running
 * @since 0.1.0
 */
export const verify = (registry: string, credential: Credentials.Credential) =>
  Effect.gen(function*() {
    // Asking whether the registry lets one in is about no repository
    const { ping } = yield* Registry.open(`${registry}/any`, yield* optionsFor(registry))
    yield* ping
  }).pipe(
    Effect.provide([
      services,
      Layer.succeed(Credentials.Credentials, Credentials.fixed({ [registry]: credential }))
    ])
  )
