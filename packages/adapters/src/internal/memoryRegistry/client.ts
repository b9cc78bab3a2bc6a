/** HTTP without sockets: a client whose requests are answered by a handler in the same process. */
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import { HttpClientError, TransportError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

type App = Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest>

/** Watches a request's body, so that its own failure is the client's, as it is where there are sockets. */
const watch = (request: HttpClientRequest.HttpClientRequest) => {
  let failure = Option.none<unknown>()
  const { body } = request
  if (body._tag !== "Stream") return { request, failure: () => failure }
  const stream = Stream.tapError(body.stream, (cause) =>
    Effect.sync(() => {
      failure = Option.some(cause)
    }))
  const watched = HttpBody.stream(stream, body.contentType, body.contentLength)
  return { request: HttpClientRequest.setBody(request, watched), failure: () => failure }
}

export const make = (app: App, hosts: ReadonlyArray<string>): HttpClient.HttpClient =>
  HttpClient.make(Effect.fnUntraced(function*(request, url) {
    if (!hosts.includes(url.host)) {
      return yield* new HttpClientError({
        reason: new TransportError({
          request,
          description: `no registry in memory is at ${url.host}: expected ${hosts.join(" or ")}`
        })
      })
    }
    const watched = watch(request)
    const response = yield* Effect.provideService(
      app,
      HttpServerRequest.HttpServerRequest,
      HttpServerRequest.fromClientRequest(watched.request).modify({
        headers: Headers.set(request.headers, "host", url.host)
      })
    )
    const failure = watched.failure()
    if (Option.isSome(failure)) {
      return yield* new HttpClientError({ reason: new TransportError({ request, cause: failure.value }) })
    }
    return HttpServerResponse.toClientResponse(response, { request })
  }))
