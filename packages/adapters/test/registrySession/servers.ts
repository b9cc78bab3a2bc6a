/** Registries for tests: real servers on this machine, and one that answers for any host without a network. */
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { once } from "node:events"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import * as Session from "../../src/internal/registry/session.ts"

export interface Seen {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Server {
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly url: string
  readonly seen: Array<Seen>
  readonly sockets: Set<Socket>
}

/** How a test answers: at once, or as it likes. */
export type Reply = {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
} | ((response: ServerResponse, request: IncomingMessage) => void)

export type Handler = (seen: Seen) => Reply

const headersOf = (request: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))

/** A server that reads each request to its end, unless its answer is a function: that one gets the body too. */
export const serve = (handler: Handler, options?: { readonly isEager?: boolean }) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const seen: Array<Seen> = []
      const sockets = new Set<Socket>()
      const server = createServer((request, response) => {
        const { method = "", url = "" } = request
        const answer = (body: string) => {
          const entry = { method, url, headers: headersOf(request), body }
          seen.push(entry)
          const reply = handler(entry)
          if (typeof reply === "function") return reply(response, request)
          response.writeHead(reply.status ?? 200, reply.headers ?? {})
          return response.end(reply.body)
        }
        response.on("error", () => {})
        if (options?.isEager === true) return answer("")
        const chunks: Array<Buffer> = []
        request.on("data", (chunk: Buffer) => void chunks.push(chunk))
        request.on("error", () => {})
        return request.on("end", () => answer(Buffer.concat(chunks).toString()))
      })
      server.on("connection", (socket) => {
        sockets.add(socket)
        socket.on("close", () => sockets.delete(socket))
        socket.on("error", () => {})
      })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      // eslint-disable-next-line typescript/no-unsafe-type-assertion -- a server that listens on TCP has such an address
      const { port } = server.address() as AddressInfo
      const result: Server = { host: `127.0.0.1:${port}`, url: `http://127.0.0.1:${port}`, seen, sockets }
      return { server, result }
    }),
    ({ server }) =>
      Effect.promise(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, "close")
      })
  ).pipe(Effect.map(({ result }) => result))

export const client = FetchHttpClient.layer

/** A client that answers for all hosts; `seen` has the whole URL. */
export const everywhere = (handler: (seen: Seen) => Exclude<Reply, Function>) => {
  const seen: Array<Seen> = []
  const layer = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make((request, url) =>
      Effect.gen(function*() {
        const { body } = request
        const bytes = body._tag === "Uint8Array"
          ? body.body
          : body._tag === "Stream"
          ? yield* Stream.mkUint8Array(Stream.orDie(body.stream))
          : new Uint8Array()
        const entry = {
          method: request.method,
          url: url.href,
          headers: { ...request.headers },
          body: new TextDecoder().decode(bytes)
        }
        seen.push(entry)
        const { body: text, headers, status = 200 } = handler(entry)
        const isEmpty = status === 204 || status === 304 || request.method === "HEAD"
        return HttpClientResponse.fromWeb(
          request,
          new Response(isEmpty ? null : text ?? "", { status, ...(headers === undefined ? {} : { headers }) })
        )
      })
    )
  )
  return { seen, layer }
}

export const session = (
  registry: string,
  options: Session.Options = {},
  credential?: Credentials.Credential,
  layer: Layer.Layer<HttpClient.HttpClient> = client
) =>
  Session.make(registry, options).pipe(
    Effect.provideService(
      Credentials.Credentials,
      credential === undefined ? Credentials.none : Credentials.fixed({ [registry]: credential })
    ),
    Effect.provide(layer)
  )

export const get = (url: string, more: Partial<Session.Ask> = {}): Session.Ask => ({
  operation: "ask",
  method: "GET",
  url,
  accept: [200],
  ...more
})

/** Retries at once, where that is not what is tested. */
export const hasty: Session.Options = { retry: { delay: 1 } }

export const text = (answer: Session.Answer) => Stream.mkString(Stream.decodeText(answer.stream))
