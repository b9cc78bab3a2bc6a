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

/** Asks whether something is there: without its content, unless the registry tells it only so. */
export const look = (
  repository: Repository,
  request: Omit<Ask, "accept" | "method">
): Effect.Effect<Answer, RegistryError.RegistryError, Scope.Scope> => {
  const asked = { ...request, headers: { ...request.headers, "accept-encoding": "identity" }, isRedirectable: true }
  return Effect.flatMap(
    ask(repository, { ...asked, method: "HEAD", accept: [200, 404, 405] }),
    (answer) =>
      answer.status === 405
        ? ask(repository, { ...asked, method: "GET", accept: [200, 404] })
        : Effect.succeed(answer)
  )
}

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

/** How many milliseconds are waited, all in all, without getting on. */
const mostPatience = 120_000

/** How many bytes are enough to have got on. */
const enough = 1024 * 1024

/**
 * Counts how often something is cut off. `next` waits before it goes on, as long as the registry asks for at least, and fails
 * where it does not get on any more.
 */
export interface Cuts {
  readonly next: (
    position: number,
    error: RegistryError.RegistryError
  ) => Effect.Effect<void, RegistryError.RegistryError>
}

export const cuts = ({ session }: Repository): Cuts => {
  let count = 0
  let waited = 0
  let mark = 0
  return {
    next: (position, error) => {
      if (position - mark >= enough) {
        mark = position
        count = 0
        waited = 0
      }
      count++
      const { reason } = error
      const asked = reason._tag === "Unavailable" ? reason.retryAfter ?? 0 : 0
      const delay = Math.max(Math.min(25 * 2 ** count, 2000), Math.min(asked, session.longestDelay))
      waited += delay
      return count > mostCuts || waited > mostPatience ? Effect.fail(error) : Effect.sleep(delay)
    }
  }
}
