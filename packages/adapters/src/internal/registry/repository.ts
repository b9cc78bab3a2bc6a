/**
 * One repository of a registry, as the requests to it name it, and how often they begin anew where they are cut off.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Answer, Ask, Session } from "./session.ts"

export interface Repository {
  readonly session: Session
  /** The registry's host, with its port. */
  readonly registry: string
  /** The path of the repository. */
  readonly path: string
  /** What messages call it. */
  readonly name: string
}

/** Makes the URL of something in a repository. What could be taken for another path is encoded. */
export const urlOf = (
  { path }: Repository,
  kind: "blobs" | "manifests" | "referrers" | "tags",
  what: string
): string => `/v2/${path}/${kind}/${encodeURIComponent(what).replaceAll("%3A", ":")}`

/** Asks for something in a repository; reading needs `pull`, which is what is assumed. */
export const ask = <E = never>(
  repository: Repository,
  request: Ask<E>
): Effect.Effect<Answer, RegistryError.RegistryError | E, Scope.Scope> =>
  repository.session.ask({ repository: repository.path, actions: ["pull"], ...request })

export const failure = (
  { path, registry }: Repository,
  operation: string,
  subject: string,
  reason: RegistryError.Reason
): RegistryError.RegistryError =>
  new RegistryError.RegistryError({ operation, registry, repository: path, subject, reason })

export const misbehaved = (
  repository: Repository,
  operation: string,
  subject: string,
  found: string
): RegistryError.RegistryError => failure(repository, operation, subject, new RegistryError.Misbehaved({ found }))

/** Checks that a failure may be gone when one tries again. */
export const isPassing = (error: unknown): error is RegistryError.RegistryError =>
  error instanceof RegistryError.RegistryError &&
  (error.reason._tag === "Unreachable" || error.reason._tag === "Unavailable" || error.reason._tag === "TimedOut")

/** How often something may be cut off without getting on. */
const mostCuts = 10

/** How many bytes are enough to have got on. */
const enough = 1024 * 1024

/** Counts how often something is cut off. `next` waits before it goes on, and fails where it does not get on any more. */
export interface Cuts {
  readonly next: <E>(position: number, error: E) => Effect.Effect<void, E>
}

export const cuts = (): Cuts => {
  let count = 0
  let mark = 0
  return {
    next: (position, error) => {
      if (position - mark >= enough) {
        mark = position
        count = 0
      }
      count++
      return count > mostCuts ? Effect.fail(error) : Effect.sleep(Math.min(25 * 2 ** count, 2000))
    }
  }
}
