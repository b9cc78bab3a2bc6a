/**
 * A registry in memory: for tests of what pushes and pulls images.
 *
 * It follows distribution-spec 1.1, with all of its endpoints. A test calls it through an `HttpClient` that needs no
 * sockets, or serves it over HTTP for programs such as skopeo.
 *
 * @since 0.1.0
 */
import * as Hash from "@effect-oci/core/Hash"
import type * as Digest from "@effect-oci/schema/Digest"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as App from "./internal/memoryRegistry/app.ts"
import * as Auth from "./internal/memoryRegistry/auth.ts"
import * as Client from "./internal/memoryRegistry/client.ts"
import * as Server from "./internal/memoryRegistry/server.ts"
import * as State from "./internal/memoryRegistry/state.ts"

/**
 * Error raised where the registry cannot listen on its port.
 *
 * @category errors
 * @since 0.1.0
 */
export class RegistryNotServed
  extends Schema.TaggedError<RegistryNotServed>("@effect-oci/adapters/RegistryNotServed")("RegistryNotServed", {
    port: Schema.Number,
    cause: Schema.Defect()
  })
{
  override get message(): string {
    return `cannot serve a registry on port ${this.port} of 127.0.0.1: choose another one, or 0 for one that is free`
  }
}

/**
 * Passwords of users by their names.
 *
 * @category options
 * @since 0.1.0
 */
export type Users = Readonly<Record<string, Redacted.Redacted>>

/**
 * What can be chosen about a registry.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** Who is let in: everybody unless given. */
  readonly auth?:
    /** Users log in with their password at each request. */
    | { readonly scheme: "basic"; readonly users: Users }
    /** Clients get tokens at the registry's own token endpoint, by GET or by an OAuth2 form. */
    | {
      readonly scheme: "bearer"
      readonly users?: Users
      /** Whether those without a password may pull. */
      readonly anonymousPull?: boolean
      /** How long a token is good for: five minutes unless given. */
      readonly lifetime?: Duration.Input
      /** The name of the service that tokens are asked for. */
      readonly service?: string
    }
  /** Whether blobs, manifests and tags can be deleted: yes unless given. */
  readonly deletion?: boolean
  /** Whether there is the referrers API; without it, clients keep a tag for each subject. Yes unless given. */
  readonly referrers?: boolean
  /** How many tags or referrers there are in an answer at most: all unless given. */
  readonly pageSize?: number
}

/**
 * An upload that has begun and not ended: what came in of it, in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upload {
  readonly id: string
  readonly repository: string
  readonly size: number
}

/**
 * A request that was made: the path with the query, and the status that it was answered with, which is `undefined` where
 * the client had left before. Headers and bodies, in which secrets can be, are not kept.
 *
 * @category models
 * @since 0.1.0
 */
export type LogEntry = State.LogEntry

/**
 * A registry in memory, and what a test can look at in it.
 *
 * **Details**
 *
 * `app` answers HTTP requests; any `HttpServer` can serve it. `manifest` and `blob` give bytes as they were pushed, and
 * `undefined` where there are none. `log` has the requests in the order in which they were answered.
 *
 * @category services
 * @since 0.1.0
 */
export class MemoryRegistry extends Context.Service<MemoryRegistry, {
  readonly app: Effect.Effect<HttpServerResponse, never, HttpServerRequest>
  readonly repositories: Effect.Effect<ReadonlyArray<string>>
  readonly tags: (repository: string) => Effect.Effect<ReadonlyMap<string, Digest.Digest>>
  readonly manifests: (repository: string) => Effect.Effect<ReadonlyArray<Digest.Digest>>
  readonly manifest: (repository: string, digest: Digest.Digest) => Effect.Effect<Uint8Array | undefined>
  readonly blobs: (repository: string) => Effect.Effect<ReadonlyArray<Digest.Digest>>
  readonly blob: (repository: string, digest: Digest.Digest) => Effect.Effect<Uint8Array | undefined>
  readonly uploads: Effect.Effect<ReadonlyArray<Upload>>
  readonly log: Effect.Effect<ReadonlyArray<LogEntry>>
}>()("@effect-oci/adapters/MemoryRegistry") {}

/**
 * Makes a registry that is empty.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<MemoryRegistry["Service"], never, Hash.Hash> =>
  Hash.Hash.useSync((hash) => {
    const state = State.make()
    const { deletion = true, pageSize, referrers = true } = options
    const inRepository = <A>(none: A, read: (repository: State.Repository) => A) => (name: string) =>
      Effect.sync(() => {
        const found = state.repositories.get(name)
        return found === undefined ? none : read(found)
      })
    return {
      app: App.make(state, { deletion, pageSize, referrers }, Auth.make(options.auth), hash),
      repositories: Effect.sync(() => [...state.repositories.keys()].toSorted()),
      tags: inRepository(new Map(), ({ tags }) => new Map(tags)),
      manifests: inRepository([], ({ manifests }) => [...manifests.keys()]),
      manifest: (name, digest) =>
        inRepository(undefined, ({ manifests }) => manifests.get(digest)?.bytes.slice())(name),
      blobs: inRepository([], ({ blobs }) => [...blobs.keys()]),
      blob: (name, digest) =>
        Effect.flatMap(
          inRepository(undefined, ({ blobs }) => blobs.get(digest))(name),
          (content) => content === undefined ? Effect.undefined : Stream.mkUint8Array(State.read(content))
        ),
      uploads: Effect.sync(() =>
        [...state.uploads.values()].map(({ id, repository, size }) => ({ id, repository, size }))
      ),
      log: Effect.sync(() => [...state.log])
    }
  })

/**
 * Layer that makes a registry, each build of it an empty one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<MemoryRegistry, never, Hash.Hash> =>
  Layer.effect(MemoryRegistry, make(options))

/**
 * Makes a client whose requests to `hosts` a registry answers in memory. Requests to other hosts fail with a
 * `TransportError`, so no test reaches the network by mistake.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeClient = (
  hosts: ReadonlyArray<string> = ["registry.test"]
): Effect.Effect<HttpClient.HttpClient, never, MemoryRegistry> =>
  MemoryRegistry.useSync(({ app }) => Client.make(app, hosts))

/**
 * Layer of a registry and of the client that it answers in memory, as {@link makeClient} makes it. Bodies are streamed both
 * ways, and a body that fails fails the request.
 *
 * **Example** (Testing what talks to a registry)
 *
 * ```ts
 * import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Effect from "effect/Effect"
 * import * as HttpClient from "effect/http/HttpClient"
 * import * as Layer from "effect/Layer"
 *
 * const test = Effect.gen(function*() {
 *   const begun = yield* HttpClient.post("https://registry.test/v2/team/app/blobs/uploads/")
 *   console.log(begun.status) // 202
 *   const { log, uploads } = yield* MemoryRegistry.MemoryRegistry
 *   console.log((yield* uploads).map((upload) => upload.repository)) // [ 'team/app' ]
 *   console.log(yield* log) // [ { method: 'POST', url: '/v2/team/app/blobs/uploads/', status: 202 } ]
 * }).pipe(
 *   Effect.provide(MemoryRegistry.layerClient().pipe(Layer.provide(NodeHash.layer)))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (
  options: Options & {
    /** The hosts, with their ports, that the registry answers for: `registry.test` unless given. */
    readonly hosts?: ReadonlyArray<string>
  } = {}
): Layer.Layer<HttpClient.HttpClient | MemoryRegistry, never, Hash.Hash> =>
  Layer.effect(HttpClient.HttpClient, makeClient(options.hosts)).pipe(Layer.provideMerge(layer(options)))

/**
 * Serves the registry over HTTP on 127.0.0.1 until the scope ends, and gives where: `127.0.0.1:PORT`, on a free port unless
 * one is given.
 *
 * **Example** (Letting other programs push to it)
 *
 * ```ts
 * import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = Effect.gen(function*() {
 *   const host = yield* MemoryRegistry.serve()
 *   console.log(`skopeo copy --dest-tls-verify=false oci:image docker://${host}/team/app:1`)
 *   yield* Effect.never
 * }).pipe(
 *   Effect.scoped,
 *   Effect.provide(MemoryRegistry.layer().pipe(Layer.provide(NodeHash.layer)))
 * )
 * ```
 *
 * @category serving
 * @since 0.1.0
 */
export const serve = (
  port = 0
): Effect.Effect<string, RegistryNotServed, MemoryRegistry | Scope.Scope> =>
  Effect.flatMap(MemoryRegistry, ({ app }) => Server.serve(app, port)).pipe(
    Effect.map((bound) => `127.0.0.1:${bound}`),
    Effect.mapError((cause) => new RegistryNotServed({ port, cause }))
  )
