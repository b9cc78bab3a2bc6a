/** A proxy before a registry that does what networks and bad servers do: it cuts off, turns away, and changes answers. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer, type IncomingMessage, request as forward, type Server, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { Transform } from "node:stream"

/** What becomes of one request. */
export type Fault =
  /** It is cut off when so many bytes of its body have come. */
  | { readonly kind: "cut the request"; readonly after: number }
  /** Its answer is cut off after so many bytes of the body. */
  | { readonly kind: "cut the answer"; readonly after: number }
  /** The same, with no sign of it but the end of the connection, as with HTTP/1.0. */
  | { readonly kind: "end the answer"; readonly after: number }
  /** It is done, and nobody is told. */
  | { readonly kind: "lose the answer" }
  | { readonly kind: "turn away"; readonly status: 429 | 503 }
  /** All is sent, though a part was asked for. */
  | { readonly kind: "ignore the range" }
  /** Another part is sent than was asked for. */
  | { readonly kind: "send another range" }
  /** The content never ends. */
  | { readonly kind: "never end" }

export interface Exchange {
  readonly method: string
  readonly url: string
  readonly range: string | undefined
  readonly fault: Fault | undefined
}

export interface Proxy {
  readonly host: string
  readonly exchanges: ReadonlyArray<Exchange>
  /** How many bytes of bodies were sent to the client. */
  readonly sent: () => number
}

/** Lets so many bytes through, and then nothing more: neither bytes nor their end. */
const upTo = (bytes: number, end: () => void): Transform => {
  let left = bytes
  return new Transform({
    transform(chunk: Uint8Array, _, done) {
      this.push(chunk.subarray(0, left))
      if (chunk.length <= left) {
        left -= chunk.length
        return done()
      }
      // What was let through is to arrive
      setTimeout(end, 5)
    }
  })
}

const handle = (
  target: string,
  fault: Fault | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  count: (bytes: number) => void
): void => {
  if (fault?.kind === "turn away") {
    request.resume()
    response.writeHead(fault.status, { "retry-after": "0" }).end()
    return
  }
  const headers = { ...request.headers }
  if (fault?.kind === "ignore the range") delete headers.range
  if (fault?.kind === "send another range" && headers.range !== undefined) headers.range = "bytes=1-"
  const [hostname, port] = target.split(":")
  const upstream = forward({ hostname, port, method: request.method, path: request.url, headers, agent: false })
  const drop = () => {
    upstream.destroy()
    request.socket.destroy()
  }
  upstream.once("error", drop)
  request.once("error", () => upstream.destroy())
  response.once("close", () => upstream.destroy())
  upstream.once("response", (answer) => {
    answer.once("error", drop)
    answer.on("data", ({ length }: Uint8Array) => count(length))
    const { statusCode = 502 } = answer
    switch (fault?.kind) {
      case "lose the answer":
        answer.resume().once("end", drop)
        return
      case "cut the answer":
        response.writeHead(statusCode, answer.headers)
        answer.pipe(upTo(fault.after, drop)).pipe(response)
        return
      case "end the answer": {
        // Node's own answers cannot be so bare
        const { socket } = request
        socket.write(`HTTP/1.0 ${statusCode} Whatever\r\n`)
        for (const name of ["content-type", "content-range", "docker-content-digest", "location"]) {
          if (answer.headers[name] !== undefined) socket.write(`${name}: ${String(answer.headers[name])}\r\n`)
        }
        socket.write("\r\n")
        answer.pipe(upTo(fault.after, () => socket.end())).pipe(socket)
        return
      }
      case "never end": {
        const { "content-length": _, ...others } = answer.headers
        response.writeHead(statusCode, others)
        const more = Buffer.alloc(65_536)
        const pour = () => {
          if (response.destroyed) return
          count(more.length)
          if (response.write(more)) setImmediate(pour)
          else response.once("drain", pour)
        }
        answer.once("end", pour).pipe(response, { end: false })
        return
      }
      default:
        response.writeHead(statusCode, answer.headers)
        answer.pipe(response)
    }
  })
  if (fault?.kind === "cut the request") request.pipe(upTo(fault.after, drop)).pipe(upstream)
  else request.pipe(upstream)
}

/** Starts a proxy before a server, which ends with the scope. */
export const make = Effect.fnUntraced(function*(
  target: string,
  faultOf: (request: { readonly method: string; readonly url: string; readonly range: string | undefined }) =>
    | Fault
    | undefined
): Effect.fn.Return<Proxy, never, Scope.Scope> {
  const exchanges: Array<Exchange> = []
  let sent = 0
  const server = createServer((request, response) => {
    const asked = { method: request.method ?? "", url: request.url ?? "", range: request.headers.range }
    const fault = faultOf(asked)
    exchanges.push({ ...asked, fault })
    handle(target, fault, request, response, (bytes) => void (sent += bytes))
  })
  yield* Effect.acquireRelease(
    Effect.promise(() => new Promise<Server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)))),
    () =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<void>((resolve) => void server.close(() => resolve()))
      })
  )
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, exchanges, sent: () => sent }
})

/** Numbers from 0 to 1, always the same for a seed. */
export const numbers = (seed: number) => {
  let state = seed >>> 0
  return (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32
  }
}
