/**
 * A call of gRPC whose request is the empty message and whose answer is one message: over Node's own HTTP/2, on a connection
 * that is open. (grpc.io, "gRPC over HTTP2")
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader
} from "node:http2"
import type { Socket } from "node:net"
import { type DaemonError, DaemonRefused, DaemonUnexpected } from "../../DaemonError.ts"
import { type Asked, content, lost, within } from "./connection.ts"
import { collect } from "./http.ts"

/** What stands before a message: whether it is compressed, and its length. */
const prefix = 5

/** The empty message: not compressed, no bytes. */
const request = new Uint8Array(prefix)

/** A call that a daemon does not know, or a service. */
export const unimplemented = "gRPC 12"

/** The most bytes of an answer: that of 300,000 records. */
const maxMessage = 64 * 1024 * 1024

interface Call {
  readonly session: ClientHttp2Session
  readonly stream: ClientHttp2Stream
  /** Why the session has ended, and what came at the end of the answer, as far as they are there. */
  failure: unknown
  trailers: IncomingHttpHeaders | undefined
}

const open = (connection: Socket, method: string): Effect.Effect<Call, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const session = connect("http://localhost", { createConnection: () => connection })
      const stream = session.request({
        ":method": "POST",
        ":path": method,
        ":authority": "localhost",
        "content-type": "application/grpc",
        te: "trailers"
      })
      const call: Call = { session, stream, failure: undefined, trailers: undefined }
      const failed = (cause: unknown) => {
        call.failure ??= cause
      }
      session.on("error", failed)
      stream.on("error", failed).on("trailers", (trailers) => {
        call.trailers = trailers
      }).end(request)
      return call
    }),
    ({ session }) => Effect.sync(() => session.destroy())
  )

const headersOf = (
  asked: Asked,
  call: Call
): Effect.Effect<IncomingHttpHeaders & IncomingHttpStatusHeader, DaemonError> =>
  Effect.callback((resume) => {
    const { session, stream } = call
    const fail = () => resume(Effect.fail(lost(asked, call.failure)))
    stream.once("response", (headers) => resume(Effect.succeed(headers))).once("close", fail)
    session.once("close", fail)
  })

const textOf = (headers: IncomingHttpHeaders, name: string): string | undefined => {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** A message is percent-encoded; one that is not so is taken as it is. */
const decoded = (text: string): string => {
  const bytes = text.replaceAll(/%[0-9a-f]{2}/gi, (byte) => String.fromCharCode(Number.parseInt(byte.slice(1), 16)))
  return Buffer.from(bytes, "latin1").toString()
}

/** Calls a method, such as `/moby.buildkit.v1.Control/DiskUsage`, and gives the message that it answers with. */
export const call = Effect.fnUntraced(function*(
  asked: Asked,
  connection: Socket,
  method: string
): Effect.fn.Return<Uint8Array, DaemonError, Scope.Scope> {
  const { attempted, socket } = asked
  const unexpected = (expected: string, found: string) => new DaemonUnexpected({ socket, attempted, expected, found })
  const opened = yield* open(connection, method)
  const headers = yield* within(asked, asked.idleTimeout)(headersOf(asked, opened))
  const type = textOf(headers, "content-type") ?? "no content type"
  if (headers[":status"] !== 200 || !type.startsWith("application/grpc")) {
    return yield* unexpected("gRPC", `HTTP ${headers[":status"]} with ${type}`)
  }
  const bytes = yield* content(asked, opened.stream).pipe(
    collect(asked, maxMessage),
    Effect.catchTag("DaemonGone", () => Effect.fail(lost(asked, opened.failure)))
  )
  const end = opened.trailers ?? headers
  const status = textOf(end, "grpc-status")
  if (status === undefined) return yield* lost(asked, opened.failure)
  if (status !== "0") {
    const reason = decoded(textOf(end, "grpc-message") ?? "")
    return yield* new DaemonRefused({ socket, attempted, status: `gRPC ${status}`, reason })
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length < prefix || view.getUint8(0) !== 0 || view.getUint32(1) !== bytes.length - prefix) {
    return yield* unexpected("one message that is not compressed", `${bytes.length} bytes that are none`)
  }
  return bytes.subarray(prefix)
})
