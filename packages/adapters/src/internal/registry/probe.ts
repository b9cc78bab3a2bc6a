/**
 * Finds out whether a registry on this machine is asked with encryption or without: both are usual there, and no name tells.
 */
import * as Effect from "effect/Effect"
import { connect } from "node:tls"

/** Milliseconds within which whoever speaks TLS on this machine says so. */
const patience = 1000

/** Whether TLS is spoken at a host and port. Nothing is sent but the offer to do so; whose certificate it is, is seen later. */
export const speaksTls = (host: string, port: number): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const socket = connect({ host, port, rejectUnauthorized: false, timeout: patience })
    const tell = (answer: boolean) => () => {
      socket.destroy()
      resume(Effect.succeed(answer))
    }
    socket.once("secureConnect", tell(true))
    for (const event of ["error", "close", "timeout"]) socket.once(event, tell(false))
    // What is torn down may still complain
    socket.on("error", () => undefined)
    return Effect.sync(() => socket.destroy())
  })
