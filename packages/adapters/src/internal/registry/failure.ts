/**
 * What goes wrong with one request, before it is known how often it was tried.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"

/** A request that did not succeed. `reason` gets the number of attempts. */
export class Failure extends Data.TaggedError("Failure")<{
  readonly reason: (attempts: number) => RegistryError.Reason
  /** Whether the same request may succeed later. */
  readonly isTransient: boolean
  /** How often it is tried at most, where that is less often than usual: somebody waits. */
  readonly mostAttempts?: number
  /** How long the server asks to be left alone. */
  readonly retryAfter?: Duration.Duration
}> {}

export const isFailure = (error: unknown): error is Failure => error instanceof Failure

/** A failure that does not go away. */
export const lasting = (reason: RegistryError.Reason): Failure =>
  new Failure({ reason: () => reason, isTransient: false })

export const misbehaved = (found: string): Failure => lasting(new RegistryError.Misbehaved({ found }))

export const unsafe = (kind: RegistryError.UnsafeRedirect["kind"], to: string, why: string): Failure =>
  lasting(new RegistryError.UnsafeRedirect({ kind, to, why }))

/** More of a text that a server has sent is not shown. */
const maxText = 500

/**
 * A text that others have written, as it can be shown: without what we have sent to prove who asks, without the queries of
 * URLs, which may be signed, and without control characters.
 */
export const shown = (text: string, secrets: ReadonlyArray<Redacted.Redacted>): string => {
  let clean = text
  for (const secret of secrets) {
    const value = Redacted.value(secret)
    if (value !== "") clean = clean.replaceAll(value, "<redacted>")
  }
  clean = clean.slice(0, 4 * maxText)
    .replace(/(\bhttps?:\/\/[^\s?#"'<>]*)[?#][^\s"'<>]*/gi, "$1?…")
    .replace(/\?[^\s"'<>]*=[^\s"'<>]*/g, "?…")
    .replace(/[\p{Cc}\p{Cf}]+/gu, " ")
  return clean.length > maxText ? `${clean.slice(0, maxText)}…` : clean
}

/** The innermost error, and the first code on the way there: `fetch` and others wrap the system's. */
const innermost = (error: unknown): { readonly code: string | undefined; readonly error: unknown } => {
  let code: string | undefined
  let current = error
  for (let depth = 0; depth < 8; depth++) {
    if (code === undefined && Predicate.hasProperty(current, "code") && typeof current.code === "string") {
      code = current.code
    }
    if (!Predicate.hasProperty(current, "cause") || current.cause === undefined) break
    current = current.cause
  }
  return { code, error: current }
}

const timeouts: ReadonlySet<string> = new Set(["ETIMEDOUT", "UND_ERR_CONNECT_TIMEOUT"])
const overflows: ReadonlySet<string> = new Set(["HPE_HEADER_OVERFLOW", "UND_ERR_HEADERS_OVERFLOW"])
const plain: ReadonlySet<string> = new Set([
  "EPROTO",
  "ERR_SSL_PACKET_LENGTH_TOO_LONG",
  "ERR_SSL_WRONG_VERSION_NUMBER"
])
const isLasting = (code: string): boolean =>
  code === "ENOTFOUND" || code === "CERT_HAS_EXPIRED" ||
  /^ERR_TLS|^ERR_INVALID|SIGNED_CERT|^UNABLE_TO_|^CERT_/.test(code)

/** Nobody is there, and perhaps about to come back; or a proxy does not let us through. */
const impatient: Readonly<Record<string, number>> = { ECONNREFUSED: 3, UND_ERR_ABORTED: 2 }

/** What a transport's error means. Only its code and its words are kept: the error itself holds the request. */
export const fromTransport = (
  error: HttpClientError.HttpClientError,
  milliseconds: number,
  secrets: ReadonlyArray<Redacted.Redacted>
): Failure => {
  const { code = "UNKNOWN", error: inner } = innermost(error.reason)
  if (timeouts.has(code)) {
    return new Failure({
      reason: () => new RegistryError.TimedOut({ phase: "connection", milliseconds }),
      isTransient: true,
      mostAttempts: 2
    })
  }
  if (overflows.has(code)) return misbehaved("headers that are too long")
  if (plain.has(code)) return lasting(new RegistryError.Insecure())
  const cause = new Error(shown(inner instanceof Error ? inner.message : String(inner), secrets))
  return new Failure({
    reason: (attempts) => new RegistryError.Unreachable({ code, attempts, cause }),
    isTransient: !isLasting(code) && error.reason._tag !== "InvalidUrlError" && error.reason._tag !== "EncodeError",
    ...(impatient[code] === undefined ? {} : { mostAttempts: impatient[code] })
  })
}
