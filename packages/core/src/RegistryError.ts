/**
 * What registries answer, and what goes wrong on the way to them.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const Cause = Schema.optionalKey(Schema.Defect())

/**
 * The registry wants other credentials: none were sent, or those that were are not valid (401).
 *
 * @category models
 * @since 0.1.0
 */
export class Unauthorized extends Schema.TaggedClass<Unauthorized>("@effect-oci/core/Unauthorized")("Unauthorized", {
  /** Whether credentials were sent. */
  isLoggedIn: Schema.Boolean
}) {}

/**
 * The registry knows who asks, and does not allow it (403, `DENIED`).
 *
 * @category models
 * @since 0.1.0
 */
export class Denied extends Schema.TaggedClass<Denied>("@effect-oci/core/Denied")("Denied", {
  detail: Schema.String
}) {}

/**
 * The registry does not have it (404). `code` is the distribution-spec's: `NAME_UNKNOWN`, `MANIFEST_UNKNOWN`, `BLOB_UNKNOWN` …
 *
 * @category models
 * @since 0.1.0
 */
export class NotFound extends Schema.TaggedClass<NotFound>("@effect-oci/core/NotFound")("NotFound", {
  code: Schema.String
}) {}

/**
 * The registry refuses a request, with a code of the distribution-spec: `MANIFEST_INVALID`, `SIZE_INVALID`, `UNSUPPORTED` …
 *
 * @category models
 * @since 0.1.0
 */
export class Refused extends Schema.TaggedClass<Refused>("@effect-oci/core/Refused")("Refused", {
  status: Schema.Natural,
  errors: Schema.Array(Schema.Struct({ code: Schema.String, message: Schema.String }))
}) {}

/**
 * The registry could not answer (429, 5xx), however often it was asked. `attempts` is how often, and `retryAfter` for how many
 * milliseconds it asks to be left alone, where it says so.
 *
 * @category models
 * @since 0.1.0
 */
export class Unavailable extends Schema.TaggedClass<Unavailable>("@effect-oci/core/Unavailable")("Unavailable", {
  status: Schema.Natural,
  attempts: Schema.Natural,
  retryAfter: Schema.optionalKey(Schema.Natural)
}) {}

/**
 * There is no connection to the registry, or it was cut. `code` is the system's name for the reason, such as `ECONNREFUSED`.
 *
 * @category models
 * @since 0.1.0
 */
export class Unreachable extends Schema.TaggedClass<Unreachable>("@effect-oci/core/Unreachable")("Unreachable", {
  code: Schema.String,
  attempts: Schema.Natural,
  cause: Cause
}) {}

/**
 * The registry took too long: to be reached, to begin its answer, to go on with it, or to take more of what is sent.
 * `milliseconds` is how long was waited.
 *
 * @category models
 * @since 0.1.0
 */
export class TimedOut extends Schema.TaggedClass<TimedOut>("@effect-oci/core/TimedOut")("TimedOut", {
  phase: Schema.Literals(["connection", "answer", "content", "upload"]),
  milliseconds: Schema.Natural
}) {}

/**
 * The registry sends us where we do not follow it: to another origin with an upload, a page or credentials, from https to
 * http, or around in a circle. `to` is the origin, without path and query.
 *
 * @category models
 * @since 0.1.0
 */
export class UnsafeRedirect extends Schema.TaggedClass<UnsafeRedirect>("@effect-oci/core/UnsafeRedirect")(
  "UnsafeRedirect",
  {
    kind: Schema.Literals(["redirect", "upload location", "link", "token realm"]),
    to: Schema.String,
    why: Schema.String
  }
) {}

/**
 * The registry would be asked without encryption, which nobody has allowed.
 *
 * @category models
 * @since 0.1.0
 */
export class Insecure extends Schema.TaggedClass<Insecure>("@effect-oci/core/Insecure")("Insecure", {}) {}

/**
 * The registry answers what the distribution-spec does not allow.
 *
 * @category models
 * @since 0.1.0
 */
export class Misbehaved extends Schema.TaggedClass<Misbehaved>("@effect-oci/core/Misbehaved")("Misbehaved", {
  found: Schema.String,
  cause: Cause
}) {}

/**
 * The credentials for the registry cannot be had.
 *
 * @category models
 * @since 0.1.0
 */
export class NoCredentials
  extends Schema.TaggedClass<NoCredentials>("@effect-oci/core/NoCredentials")("NoCredentials", {
    cause: Schema.Defect()
  })
{}

/**
 * Any of the reasons why a registry does not do what it is asked.
 *
 * @category models
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  Unauthorized,
  Denied,
  NotFound,
  Refused,
  Unavailable,
  Unreachable,
  TimedOut,
  UnsafeRedirect,
  Insecure,
  Misbehaved,
  NoCredentials
])

/**
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

const phases = {
  connection: "could not be reached",
  answer: "did not answer",
  content: "sent nothing more",
  upload: "took nothing more"
} as const

const times = (attempts: number): string => attempts === 1 ? "" : ` ${attempts} times`

const tell = (registry: string, reason: Reason): string => {
  switch (reason._tag) {
    case "Unauthorized":
      return reason.isLoggedIn
        ? `it does not accept the credentials for ${registry}: log in again`
        : `it wants to know who asks: log in to ${registry}`
    case "Denied":
      return `it is not allowed${reason.detail === "" ? "" : `: ${reason.detail}`}`
    case "NotFound":
      return `there is none (${reason.code})`
    case "Refused":
      return `the registry refuses it with status ${reason.status}${
        reason.errors.map(({ code, message }) => `: ${code}${message === "" ? "" : ` (${message})`}`).join("")
      }`
    case "Unavailable":
      return `the registry answered${times(reason.attempts)} with status ${reason.status}: try again later`
    case "Unreachable":
      return reason.attempts === 0
        ? `there can be no connection (${reason.code})`
        : `the connection failed${times(reason.attempts)} (${reason.code})`
    case "TimedOut":
      return `the registry ${phases[reason.phase]} for ${reason.milliseconds / 1000} s`
    case "UnsafeRedirect":
      return `the registry's ${reason.kind} leads to ${reason.to}, which is not followed: ${reason.why}`
    case "Insecure":
      return `${registry} would be asked without encryption: allow that for this host, if it is meant`
    case "Misbehaved":
      return `the registry does not keep to the protocol: ${reason.found}`
    case "NoCredentials":
      return `the credentials for ${registry} cannot be had`
  }
}

/**
 * Error raised where a registry does not do what it is asked.
 *
 * **Details**
 *
 * `operation` is what was attempted ("push the manifest", "list the tags" …), `registry` the host and its port, and `subject`
 * the digest, the tag or the like that it was about. No part of it holds a secret.
 *
 * @category errors
 * @since 0.1.0
 */
export class RegistryError
  extends Schema.TaggedError<RegistryError>("@effect-oci/core/RegistryError")("RegistryError", {
    operation: Schema.String,
    registry: Schema.String,
    repository: Schema.optionalKey(Schema.String),
    subject: Schema.optionalKey(Schema.String),
    reason: Reason
  })
{
  override get message(): string {
    const place = this.repository === undefined ? this.registry : `${this.registry}/${this.repository}`
    const what = this.subject === undefined ? this.operation : `${this.operation} ${this.subject}`
    return `cannot ${what} at ${place}: ${tell(this.registry, this.reason)}`
  }
}
