/** Questions to a daemon in HTTP/1.1, each over a connection of its own. */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { type IncomingMessage, request, type RequestOptions } from "node:http"
import type { Socket } from "node:net"
import { type DaemonError, DaemonRefused, DaemonUnexpected } from "../../DaemonError.ts"
import { type Asked, connect, content, ignore, lost, within } from "./connection.ts"

/** Sends a request that has no body, and waits for the head of the answer. What follows an upgrade is left on the connection. */
const send = (
  connection: Socket,
  asked: Asked,
  options: RequestOptions
): Effect.Effect<IncomingMessage, DaemonError> =>
  Effect.callback((resume) => {
    request({ ...options, createConnection: () => connection })
      .on("response", (response) => resume(Effect.succeed(response.on("error", ignore))))
      .on("upgrade", (response, _, head) => {
        connection.unshift(head)
        resume(Effect.succeed(response))
      })
      .on("error", (cause) => resume(Effect.fail(lost(asked, cause))))
      .end()
  })

/** Reads what has to fit into memory; of more, nothing is handed on. */
export const collect = (
  { attempted, socket }: Asked,
  limit: number
) =>
(body: Stream.Stream<Uint8Array, DaemonError>): Effect.Effect<Uint8Array, DaemonError> =>
  body.pipe(
    Stream.limitBytes(ByteSize.bytes(limit), (): Stream.Stream<never, DaemonError> =>
      Stream.fail(new DaemonUnexpected({ socket, attempted, expected: `at most ${limit} bytes`, found: "more" }))),
    Stream.mkUint8Array
  )

/** A daemon says in JSON why it refuses; others that answer in its place may say it in any way. */
const Refusal = Schema.fromJsonString(Schema.Struct({ message: Schema.String }))

const maxReason = 64 * 1024

const refused = Effect.fnUntraced(function*(asked: Asked, response: IncomingMessage) {
  const { attempted, socket } = asked
  const reason = yield* collect(asked, maxReason)(content(asked, response)).pipe(
    Effect.flatMap((bytes) => Schema.decodeUnknownEffect(Refusal)(new TextDecoder().decode(bytes))),
    Effect.match({ onSuccess: ({ message }) => message, onFailure: () => response.statusMessage ?? "" })
  )
  return yield* new DaemonRefused({ socket, attempted, status: `HTTP ${response.statusCode}`, reason })
})

/** Gets the body of a resource. */
export const get = (
  asked: Asked,
  path: string
): Effect.Effect<Stream.Stream<Uint8Array, DaemonError>, DaemonError, Scope.Scope> =>
  Effect.gen(function*() {
    const connection = yield* connect(asked)
    const response = yield* within(asked, asked.idleTimeout)(send(connection, asked, { path }))
    return response.statusCode === 200 ? content(asked, response) : yield* refused(asked, response)
  })

/** The most that an answer in JSON may have: that of 300,000 records. */
const maxJson = 128 * 1024 * 1024

/** Gets a resource in JSON. `expected` is what it should be, in words. */
export const getJson = <A>(
  asked: Asked,
  path: string,
  { expected, schema }: { readonly expected: string; readonly schema: Schema.ConstraintDecoder<A> }
): Effect.Effect<A, DaemonError> =>
  Effect.scoped(Effect.gen(function*() {
    const bytes = yield* Effect.flatMap(get(asked, path), collect(asked, maxJson))
    const { attempted, socket } = asked
    return yield* Effect.mapError(
      Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(new TextDecoder().decode(bytes)),
      (error) =>
        new DaemonUnexpected({
          socket,
          attempted,
          expected,
          found: error.message.replaceAll(/\s+/g, " ").slice(0, 500)
        })
    )
  }))

/** Opens a connection that speaks another protocol from then on. */
export const upgrade = Effect.fnUntraced(function*(
  asked: Asked,
  path: string,
  protocol: string
): Effect.fn.Return<Socket, DaemonError, Scope.Scope> {
  const connection = yield* connect(asked)
  const headers = { Connection: "Upgrade", Upgrade: protocol }
  const response = yield* within(asked, asked.connectTimeout)(
    send(connection, asked, { method: "POST", path, headers })
  )
  if (response.statusCode === 101) return connection
  return yield* refused(asked, response)
})
