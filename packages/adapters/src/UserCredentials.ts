/**
 * The credentials that a user of this machine has, as command lines look for them.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Credentials from "./Credentials.ts"
import * as DockerConfig from "./DockerConfig.ts"
import * as PodmanAuth from "./PodmanAuth.ts"

/**
 * Makes a provider of what is in the environment, else what Docker is logged in to, else what podman is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<Credentials.Provider> = Effect.map(
  Effect.all([Credentials.environment, DockerConfig.make(), PodmanAuth.make()]),
  Credentials.firstOf
)

/**
 * Layer of what is in the environment, else what Docker is logged in to, else what podman is.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Credentials.Credentials> = Credentials.layer(make)
