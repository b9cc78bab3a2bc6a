/**
 * Connections to a daemon on a Unix socket. Each is closed with its scope, whatever it was used for; whoever waits for the
 * other side waits no longer than the time-outs say, and can be interrupted.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createConnection, type Socket } from "node:net"
import type { Readable } from "node:stream"
import { type DaemonError, DaemonGone, DaemonSilent, DaemonUnexpected, DaemonUnreachable } from "../../DaemonError.ts"

export interface Daemon {
  readonly socket: string
  readonly connectTimeout: Duration.Duration
  readonly idleTimeout: Duration.Duration
}

/** A daemon that is asked to do something, which errors tell. */
export interface Asked extends Daemon {
  readonly attempted: string
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

/** Listens to failures that are asked for elsewhere, or that come when nobody waits any more. */
export const ignore = (): void => undefined

/** Fails where nothing happens for a while. */
export const within = ({ attempted, socket }: Asked, limit: Duration.Duration) =>
<A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | DaemonSilent, R> =>
  Effect.timeoutOrElse(effect, {
    duration: limit,
    orElse: () => Effect.fail(new DaemonSilent({ socket, attempted, milliseconds: Duration.toMillis(limit) }))
  })

/** Opens a connection that is closed with its scope. */
export const connect = (
  asked: Asked
): Effect.Effect<Socket, DaemonUnreachable | DaemonSilent, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => createConnection({ path: asked.socket }).on("error", ignore)),
    (socket) => Effect.sync(() => socket.destroy())
  ).pipe(
    Effect.tap((socket) =>
      Effect.callback<void, DaemonUnreachable>((resume) => {
        socket.once("connect", () => resume(Effect.void))
        socket.once(
          "error",
          (cause) => resume(Effect.fail(new DaemonUnreachable({ socket: asked.socket, code: codeOf(cause), cause })))
        )
      })
    ),
    within(asked, asked.connectTimeout)
  )

/** What the failure of a connection that stood before means. */
export const lost = ({ attempted, socket }: Asked, cause?: unknown): DaemonGone | DaemonUnexpected => {
  const code = codeOf(cause)
  return code.startsWith("HPE_") || code === "ERR_HTTP2_ERROR"
    ? new DaemonUnexpected({
      socket,
      attempted,
      expected: code.startsWith("HPE_") ? "HTTP" : "gRPC over HTTP/2",
      found: "something else",
      cause
    })
    : new DaemonGone({ socket, attempted, ...(cause === undefined ? {} : { cause }) })
}

/** What comes, piece by piece: the next is asked for when somebody wants it. */
export const content = (asked: Asked, readable: Readable): Stream.Stream<Uint8Array, DaemonError> => {
  const next = Effect.callback<void>((resume) => {
    const events = ["readable", "end", "error", "close"]
    const forget = () => {
      for (const event of events) readable.off(event, wake)
    }
    const wake = () => {
      forget()
      resume(Effect.void)
    }
    for (const event of events) readable.on(event, wake)
    return Effect.sync(forget)
  })
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, DaemonError> = Effect.suspend(() => {
    const chunk: unknown = readable.read()
    if (chunk instanceof Uint8Array) return Effect.succeed(Arr.of(chunk))
    if (readable.readableEnded) return Cause.done()
    if (readable.destroyed) return Effect.fail(lost(asked, readable.errored ?? undefined))
    return Effect.andThen(within(asked, asked.idleTimeout)(next), pull)
  })
  return Stream.fromPull(Effect.succeed(pull))
}
