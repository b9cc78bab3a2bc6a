/**
 * Daemons that build images, the Docker engine and `buildkitd`, and why they do not answer.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const advice: Readonly<Record<string, string>> = {
  EACCES: "permission denied: run this as a user who may use it, such as one of the group docker, or as root",
  EAGAIN: "too many wait for it already: it is very busy or hangs",
  ECONNREFUSED: "nothing listens there: start the daemon",
  ENOENT: "there is no such socket: start the daemon, or name the socket that it listens on",
  ENOTDIR: "a part of the path is not a directory: name the socket that the daemon listens on",
  ENOTSOCK: "it is not a socket: name the one that the daemon listens on",
  EPERM: "operation not permitted: run this as a user who may use it"
}

/**
 * Error raised where no connection to a daemon can be made. `code` is the system's own name for the reason, such as
 * `EACCES`.
 *
 * @category errors
 * @since 0.1.0
 */
export class DaemonUnreachable
  extends Schema.TaggedError<DaemonUnreachable>("@effect-oci/adapters/DaemonUnreachable")("DaemonUnreachable", {
    socket: Schema.String,
    code: Schema.String,
    cause: Schema.Defect()
  })
{
  override get message(): string {
    return `cannot connect to ${this.socket}: ${advice[this.code] ?? this.code} (${this.code})`
  }
}

/**
 * Error raised where a daemon says nothing for too long. `attempted` is what it was asked to do, `milliseconds` how long was
 * waited.
 *
 * @category errors
 * @since 0.1.0
 */
export class DaemonSilent
  extends Schema.TaggedError<DaemonSilent>("@effect-oci/adapters/DaemonSilent")("DaemonSilent", {
    socket: Schema.String,
    attempted: Schema.String,
    milliseconds: Schema.Number
  })
{
  override get message(): string {
    return `the daemon at ${this.socket} has said nothing for ${this.milliseconds / 1000} s when asked to ` +
      `${this.attempted}: give it more time if it is busy, or restart it if it hangs`
  }
}

/**
 * Error raised where a daemon closes the connection before its answer is whole.
 *
 * @category errors
 * @since 0.1.0
 */
export class DaemonGone extends Schema.TaggedError<DaemonGone>("@effect-oci/adapters/DaemonGone")("DaemonGone", {
  socket: Schema.String,
  attempted: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the daemon at ${this.socket} went away when asked to ${this.attempted}: its log tells why; try again when it runs`
  }
}

/**
 * Error raised where a daemon does not do what it was asked. `status` is its answer's, of HTTP or gRPC, and `reason` what
 * it says itself.
 *
 * @category errors
 * @since 0.1.0
 */
export class DaemonRefused
  extends Schema.TaggedError<DaemonRefused>("@effect-oci/adapters/DaemonRefused")("DaemonRefused", {
    socket: Schema.String,
    attempted: Schema.String,
    status: Schema.String,
    reason: Schema.String
  })
{
  override get message(): string {
    return `the daemon at ${this.socket} refuses to ${this.attempted} (${this.status})${
      this.reason === "" ? "" : `: ${this.reason}`
    }`
  }
}

/**
 * Error raised where a daemon's answer is not one to be understood: what listens on the socket is something else, or of
 * another version.
 *
 * @category errors
 * @since 0.1.0
 */
export class DaemonUnexpected
  extends Schema.TaggedError<DaemonUnexpected>("@effect-oci/adapters/DaemonUnexpected")("DaemonUnexpected", {
    socket: Schema.String,
    attempted: Schema.String,
    expected: Schema.String,
    found: Schema.String,
    cause: Schema.optionalKey(Schema.Defect())
  })
{
  override get message(): string {
    return `what listens on ${this.socket} answers something else when asked to ${this.attempted}: expected ` +
      `${this.expected}, found ${this.found}; check that it is the right socket, and a daemon that is new enough`
  }
}

/**
 * Any of the reasons why a daemon does not answer as it should.
 *
 * @category errors
 * @since 0.1.0
 */
export const DaemonError = Schema.Union([DaemonUnreachable, DaemonSilent, DaemonGone, DaemonRefused, DaemonUnexpected])

/**
 * @category errors
 * @since 0.1.0
 */
export type DaemonError = typeof DaemonError.Type
