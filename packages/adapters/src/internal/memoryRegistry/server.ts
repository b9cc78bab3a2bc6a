/** HTTP over sockets, by `node:http`. */
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpMethod from "effect/http/HttpMethod"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"

type App = Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

/** The body as it comes. What is not read of it stays, so that an early answer still reaches its client. */
const bodyOf = (message: IncomingMessage) => {
  const pieces: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => message.iterator({ destroyOnReturn: false })
  }
  return HttpBody.stream(Stream.fromAsyncIterable(pieces, (cause) => cause))
}

/** A request that came in is one that a client would send: Effect makes a server's request of it. */
const toRequest = (message: IncomingMessage, method: HttpMethod.HttpMethod): HttpServerRequest.HttpServerRequest => {
  const headers = Headers.fromInput(message.headers)
  const url = `http://${headers["host"] ?? "localhost"}${message.url ?? "/"}`
  const body = HttpMethod.hasBody(method) ? bodyOf(message) : HttpBody.empty
  return HttpServerRequest.fromClientRequest(HttpClientRequest.make(method)(url, { body })).modify({ headers })
}

const write = (target: ServerResponse) => (bytes: Uint8Array) =>
  Effect.callback<void>((resume) => {
    const next = () => resume(Effect.void)
    if (target.write(bytes)) return next()
    target.once("drain", next)
    return Effect.sync(() => target.off("drain", next))
  })

const send = Effect.fnUntraced(function*(
  target: ServerResponse,
  response: HttpServerResponse.HttpServerResponse
) {
  target.statusCode = response.status
  target.setHeaders(new Map(Object.entries(response.headers)))
  yield* Stream.runForEach(HttpServerResponse.toClientResponse(response).stream, write(target))
  target.end()
})

const answer = (app: App, message: IncomingMessage, target: ServerResponse): Effect.Effect<void> => {
  const method = message.method
  if (!HttpMethod.isHttpMethod(method)) {
    return send(target, HttpServerResponse.empty({ status: 501 })).pipe(Effect.orDie)
  }
  return app.pipe(
    Effect.provideService(HttpServerRequest.HttpServerRequest, toRequest(message, method)),
    Effect.flatMap((response) => send(target, response)),
    // The client sees that it has not got everything
    Effect.catchCause(() => Effect.sync(() => void target.destroy()))
  )
}

const listen = (server: Server, port: number): Effect.Effect<number, Error> =>
  Effect.callback((resume) => {
    const fail = (cause: Error) => resume(Effect.fail(cause))
    server.once("error", fail)
    server.listen(port, "127.0.0.1", () => {
      server.off("error", fail)
      const address = server.address()
      resume(Effect.succeed(typeof address === "object" && address !== null ? address.port : port))
    })
  })

const close = (server: Server): Effect.Effect<void> =>
  Effect.callback((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })

/**
 * Serves on 127.0.0.1 until the scope ends, and gives the port: a free one for port 0. A client that leaves interrupts what
 * is done for it.
 */
export const serve = Effect.fnUntraced(function*(app: App, port: number): Effect.fn.Return<number, Error, Scope.Scope> {
  const run = yield* FiberSet.makeRuntime<never>()
  const server = createServer({ requestTimeout: 0 }, (message, target) => {
    const fiber = run(answer(app, message, target))
    target.once("finish", () => message.resume())
    target.once("close", () => fiber.interruptUnsafe())
  })
  return yield* Effect.acquireRelease(listen(server, port), () => close(server))
})
