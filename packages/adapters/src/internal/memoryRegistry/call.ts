/** A request to an endpoint of a registry, and what every endpoint needs. */
import type * as Hash from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import { type Refusal, refusal, refuse } from "./refusal.ts"
import type { Repository, State } from "./state.ts"

export interface Settings {
  readonly deletion: boolean
  readonly referrers: boolean
  readonly pageSize: number | undefined
}

export interface Call {
  readonly request: HttpServerRequest
  readonly url: URL
  /** The repository's name. */
  readonly name: string
  /** What the path ends with: a tag, a digest, the ID of an upload. */
  readonly reference: string
  readonly state: State
  readonly settings: Settings
  /** Whether the one who asks may read what a repository holds. */
  readonly mayPull: (name: string) => boolean
}

export type Endpoint = (
  call: Call
) => Effect.Effect<HttpServerResponse, Refusal | HttpServerError, Hash.Hash>

export const parseDigest = (text: string): Effect.Effect<Digest.Digest, Refusal> =>
  Effect.fromResult(Result.mapError(Digest.parse(text), ({ message }) => refusal("DIGEST_INVALID", message)))

export const findRepository = ({ name, state }: Call): Effect.Effect<Repository, Refusal> => {
  const found = state.repositories.get(name)
  return found === undefined ? refuse("NAME_UNKNOWN", `there is no repository ${name}`) : Effect.succeed(found)
}

export const checkDeletion = ({ settings }: Call): Effect.Effect<void, Refusal> =>
  settings.deletion ? Effect.void : refuse("UNSUPPORTED", "this registry deletes nothing")
