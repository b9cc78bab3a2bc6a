/**
 * Daemons for tests: what listens on a Unix socket and answers as a test wants it to, a Docker engine or `buildkitd` among
 * others; with the messages that they send.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { linkSync, mkdtempSync, rmSync } from "node:fs"
import { createServer as createHttpServer, type RequestListener } from "node:http"
import {
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Stream
} from "node:http2"
import { createConnection, createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import type { Duplex } from "node:stream"

export interface Fake {
  readonly socket: string
  /** Connections that are open on the daemon's side. */
  readonly open: () => number
  /** Connections that there have been. */
  readonly connections: () => number
}

/** Starts a daemon, which is stopped with the scope, whatever still hangs on it. */
const serve = (server: Server): Effect.Effect<Fake, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<Fake & { readonly stop: () => void }>((resume) => {
      const directory = mkdtempSync(join(tmpdir(), "effect-oci-daemon-"))
      const socket = join(directory, "socket")
      const open = new Set<Socket>()
      let connections = 0
      server.on("connection", (connection: Socket) => {
        connections++
        open.add(connection)
        connection.on("error", () => undefined).on("close", () => open.delete(connection))
        // Whoever hangs up is gone, also for a server that leaves its side open
        connection.on("end", () => connection.destroy())
      })
      const stop = () => {
        for (const connection of open) connection.destroy()
        server.close()
        rmSync(directory, { recursive: true })
      }
      server.listen(socket, () =>
        resume(Effect.succeed({ socket, stop, open: () => open.size, connections: () => connections })))
    }),
    ({ stop }) =>
      Effect.sync(stop)
  )

export type Call = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

/** A daemon that speaks for itself on each connection. */
export const raw = (talk: (connection: Socket) => void) =>
  serve(createServer((connection) => {
    connection.resume()
    talk(connection)
  }))

/** A daemon of gRPC, as `buildkitd` is. */
export const grpc = (call: Call) => serve(createHttp2Server().on("stream", call))

/** An engine: `upgrade` gets the connection of a request to `/grpc`, `answer` any other request. */
export const engine = (options: {
  readonly upgrade?: (connection: Duplex) => unknown
  readonly answer?: RequestListener
}) => {
  const server = createHttpServer(options.answer ?? ((_, response) => response.writeHead(404).end("{}")))
  const { upgrade } = options
  // Without a listener, the request is answered as any other
  if (upgrade !== undefined) {
    server.on("upgrade", (_, connection) => upgrade(connection))
  }
  return serve(server)
}

const switched = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"

/** Switches protocols, and then says something, but listens to nothing. */
export const say = (text: string) => (connection: Duplex) => connection.resume().write(switched + text)

/** Speaks gRPC on a connection from now on, as the Docker engine does. */
export const speak = (call: Call) => (connection: Duplex): void => {
  connection.write(switched)
  performServerHandshake(connection).on("error", () => undefined).on("stream", call)
}

/** Passes on what is said to another daemon, and holds back what that answers for a moment: it comes in one piece. */
export const through = ({ socket }: Fake) =>
  raw((connection) => {
    const held: Array<Uint8Array> = []
    const upstream = createConnection(socket).on("error", () => undefined)
    upstream.on("data", (bytes) => held.push(bytes))
    connection.on("close", () => upstream.destroy()).pipe(upstream)
    setTimeout(() => {
      upstream.removeAllListeners("data").pipe(connection)
      connection.write(Buffer.concat(held))
    }, 100)
  })

/** Makes a path where nothing listens any more: the name of a socket that has outlived its daemon. */
export const abandon = (path: string): Effect.Effect<void> =>
  Effect.scoped(Effect.map(raw(() => undefined), ({ socket }) => linkSync(socket, path)))

const head = { ":status": 200, "content-type": "application/grpc" }

/** Answers with bytes and a status of gRPC. */
export const answer =
  (body: Uint8Array, trailers: Readonly<Record<string, string>> = { "grpc-status": "0" }): Call => (stream) => {
    stream.on("error", () => undefined).on("wantTrailers", () => stream.sendTrailers(trailers))
    stream.respond(head, { waitForTrailers: true })
    stream.end(body)
  }

/** Refuses, as gRPC does it: all in the head. */
export const refuse = (status: string, message: string): Call => (stream) =>
  stream.respond({ ...head, "grpc-status": status, "grpc-message": message }, { endStream: true })

/** Answers and stays silent after some bytes. */
export const begin = (body: Uint8Array): Call => (stream) => {
  stream.on("error", () => undefined).respond(head)
  stream.write(body)
}

const varint = (value: bigint): Uint8Array => {
  const bytes: Array<number> = []
  let rest = BigInt.asUintN(64, value)
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Uint8Array.from([...bytes, Number(rest)])
}

/** A field of protobuf: an integer, or a text or a message. */
export const field = (number: number, value: bigint | string | Uint8Array): Uint8Array => {
  if (typeof value === "bigint") return Buffer.concat([varint(BigInt(number * 8)), varint(value)])
  const bytes = Buffer.from(value)
  return Buffer.concat([varint(BigInt(number * 8 + 2)), varint(BigInt(bytes.length)), bytes])
}

export const timestamp = (seconds: bigint, nanoseconds: bigint) =>
  Buffer.concat([field(1, seconds), field(2, nanoseconds)])

/** A record as BuildKit sends it, with all its fields; old ones know `parent`, new ones `parents`. */
export const usage = (
  { parent, parents = [], ...record }: {
    readonly id: string
    readonly description: string
    readonly created: Uint8Array
    readonly parent?: string
    readonly parents?: ReadonlyArray<string>
  }
): Uint8Array =>
  Buffer.concat([
    field(1, record.id),
    field(2, 1n),
    field(4, 12_345_678_901n),
    ...(parent === undefined ? [] : [field(5, parent)]),
    field(6, record.created),
    field(7, timestamp(1n, 2n)),
    field(8, -1n),
    field(9, record.description),
    field(10, "regular"),
    ...parents.map((parent) => field(12, parent)),
    // Of a version that does not exist yet
    Buffer.from([13 * 8 + 5, 1, 2, 3, 4, ...varint(14n * 8n + 1n), 1, 2, 3, 4, 5, 6, 7, 8])
  ])

/** A message as gRPC frames it. */
export const framed = (message: Uint8Array): Uint8Array => {
  const prefix = Buffer.alloc(5)
  prefix.writeUInt32BE(message.length, 1)
  return Buffer.concat([prefix, message])
}

export const message = (...records: ReadonlyArray<Uint8Array>) =>
  framed(Buffer.concat(records.map((record) => field(1, record))))

/** The sockets that this process has open. */
export const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "PipeWrap").length
