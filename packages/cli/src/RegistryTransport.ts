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
// What is exported by name is not found where the bundle loads it apart
import Undici from "@effect/platform-node/Undici"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Environment from "./Environment.ts"
import { Insecure } from "./Insecure.ts"

const optionsFor = Effect.fnUntraced(function*(host: string) {
  return (yield* Insecure).includes(host) ? { insecure: true } : {}
})

/** What is on this machine is never behind a proxy. */
const near = "localhost,127.0.0.1,[::1]"

/** Connections that go through the proxy of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), if there is one. */
const makeAgent = Effect.gen(function*() {
  const lower = yield* Environment.variable("no_proxy")
  const own = lower ?? (yield* Environment.variable("NO_PROXY"))
  return new Undici.EnvHttpProxyAgent({ noProxy: own === undefined ? near : own === "*" ? own : `${own},${near}` })
})

const agent = Layer.effect(
  NodeHttpClient.Dispatcher,
  Effect.acquireRelease(makeAgent, (agent) => Effect.promise(() => agent.destroy()))
)

const services = Layer.mergeAll(Layer.provide(NodeHttpClient.layerUndiciNoDispatcher, agent), NodeHash.layer)

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
