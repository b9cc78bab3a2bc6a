import type * as Credentials from "@effect-oci/adapters/Credentials"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { ServerResponse } from "node:http"
import { connect, createServer, type Socket } from "node:net"
import type * as Session from "../src/internal/registry/session.ts"
import { everywhere, get, hasty, type Seen, serve, type Server, session, text } from "./registrySession/servers.ts"

const once: Session.Options = { retry: { attempts: 1 } }
const quick = (more: Session.Options["timeouts"]): Session.Options => ({ ...once, timeouts: more ?? {} })
const bytes = (size: number) => new Uint8Array(size).fill(7)

describe("where a registry is asked", () => {
  const cases: ReadonlyArray<readonly [registry: string, url: string, insecure?: boolean]> = [
    ["ghcr.io", "https://ghcr.io/v2/"],
    ["docker.io", "https://registry-1.docker.io/v2/"],
    ["index.docker.io", "https://registry-1.docker.io/v2/"],
    ["reg.example:5000", "https://reg.example:5000/v2/"],
    ["reg.example:80", "https://reg.example:80/v2/"],
    ["10.0.0.1:5000", "https://10.0.0.1:5000/v2/"],
    ["localhost.example", "https://localhost.example/v2/"],
    ["localhost:5000", "http://localhost:5000/v2/"],
    ["127.0.0.1:5000", "http://127.0.0.1:5000/v2/"],
    ["127.3.2.1", "http://127.3.2.1/v2/"],
    ["[::1]:5000", "http://[::1]:5000/v2/"],
    ["[::ffff:127.0.0.1]", "http://[::ffff:7f00:1]/v2/"],
    ["127.0.0.1:5000", "https://127.0.0.1:5000/v2/", false],
    ["reg.example:5000", "http://reg.example:5000/v2/", true],
    ["reg.example:5000", "https://reg.example:5000/v2/", false]
  ]
  for (const [registry, url, insecure] of cases) {
    it.effect(`${registry} ${insecure ?? ""}: ${url}`, () =>
      Effect.gen(function*() {
        const { layer, seen } = everywhere(() => ({}))
        const { ask, origin } = yield* session(registry, insecure === undefined ? {} : { insecure }, undefined, layer)
        yield* ask(get("/v2/"))
        assert.deepStrictEqual(seen.map(({ url }) => url), [url])
        assert.strictEqual(`${new URL(url).protocol}//${origin}/v2/`, url)
      }))
  }

  it.live("one that does not know encryption gets nothing, and the error tells", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({}))
      const { ask } = yield* session(server.host, { ...hasty, insecure: false })
      const { message, reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.strictEqual(reason._tag, "Insecure")
      assert.include(message, "would be asked without encryption: allow that for this host, if it is meant")
      assert.lengthOf(server.seen, 0)
    }))
})

describe("an answer", () => {
  const body = (code: string, message: string) => JSON.stringify({ errors: [{ code, message }, { code: "OTHER" }] })
  const long = "x".repeat(70 * 1024)
  const cases: ReadonlyArray<readonly [status: number, body: string, reason: object]> = [
    [401, body("UNAUTHORIZED", "no"), { _tag: "Unauthorized", isLoggedIn: false }],
    [403, body("DENIED", "not you"), { _tag: "Denied", detail: "not you" }],
    [403, "<html>", { _tag: "Denied", detail: "" }],
    [404, body("MANIFEST_UNKNOWN", "?"), { _tag: "NotFound", code: "MANIFEST_UNKNOWN" }],
    [404, "", { _tag: "NotFound", code: "NOT_FOUND" }],
    [400, body("SIZE_INVALID", "a\u001b[31m\nb"), {
      _tag: "Refused",
      status: 400,
      errors: [{ code: "SIZE_INVALID", message: "a [31m b" }, { code: "OTHER", message: "" }]
    }],
    [400, `{"errors":{}}`, { _tag: "Refused", status: 400, errors: [] }],
    [400, body("X", long), { _tag: "Refused", errors: [] }],
    [413, body("X", "m".repeat(900)), { _tag: "Refused" }],
    [202, "", { _tag: "Misbehaved", found: "status 202" }]
  ]
  for (const [status, text, expected] of cases) {
    it.live(`${status} ${text.slice(0, 30)}: ${JSON.stringify(expected)}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(() => ({ status, body: text }))
        const { ask } = yield* session(server.host, once)
        const error = yield* Effect.flip(ask(get("/v2/", { operation: "list", repository: "a/b", subject: "tag" })))
        assert.deepInclude(JSON.parse(JSON.stringify(error.reason)), expected)
        assert.deepInclude(error, { operation: "list", registry: server.host, repository: "a/b", subject: "tag" })
        assert.isBelow(error.message.length, 800)
      }))
  }

  it.live("that is accepted is one, whatever its status", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ url }) => ({ status: Number(url.slice(1)), body: "content" }))
      const { ask } = yield* session(server.host, once)
      for (const status of [200, 307, 401, 404, 416, 503]) {
        const answer = yield* ask(get(`/${status}`, { accept: [200, status] }))
        assert.strictEqual(answer.status, status)
        assert.strictEqual(yield* text(answer), "content")
      }
    }))

  it.live("has no body where there is none", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ url }) => ({ status: Number(url.slice(1)) }))
      const { ask } = yield* session(server.host, once)
      for (const [method, status] of [["HEAD", 200], ["GET", 204], ["GET", 200]] as const) {
        assert.strictEqual(yield* text(yield* ask(get(`/${status}`, { method, accept: [status] }))), "")
      }
    }))

  it.live("is asked for as it is, uncompressed and untraced", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({}))
      const { ask } = yield* session(server.host, once)
      yield* Effect.withSpan(ask(get("/v2/", { headers: { accept: "a/b" } })), "parent")
      const { accept, "accept-encoding": encoding, b3, traceparent } = server.seen[0]?.headers ?? {}
      assert.deepStrictEqual([accept, encoding, b3, traceparent], ["a/b", "identity", undefined, undefined])
    }))

  it.live("is read up to a limit", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ url }) => (response) => {
        if (url === "/declared") response.setHeader("content-length", "11")
        response.write("12345")
        response.end("67890" + (url === "/fits" ? "" : "1"))
      })
      const { ask, limitedBody } = yield* session(server.host, once)
      assert.lengthOf(yield* limitedBody(yield* ask(get("/fits")), 10), 10)
      for (const url of ["/declared", "/streamed"]) {
        const error = yield* Effect.flip(limitedBody(yield* ask(get(url, { subject: "tag" })), 10))
        assert.deepInclude(error.reason, { _tag: "Misbehaved", found: "a body of more than 10 bytes" })
        assert.strictEqual(error.subject, "tag")
      }
    }))

  it.live("with endless headers is a fault, and not asked for again", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => (response) => {
        const write = () => {
          while (response.socket?.write(`x-${"y".repeat(1000)}: ${"z".repeat(1000)}\r\n`) === true);
        }
        response.socket?.write("HTTP/1.1 200 OK\r\n")
        response.socket?.on("drain", write)
        write()
      })
      const { ask } = yield* session(server.host, hasty)
      const { reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.deepInclude(reason, { _tag: "Misbehaved", found: "headers that are too long" })
      assert.lengthOf(server.seen, 1)
    }))

  it.live("that is cut fails with the stream", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => (response) => {
        response.writeHead(200, { "content-length": "100" })
        response.write("some", () => response.socket?.destroy())
      })
      const { ask } = yield* session(server.host, hasty)
      const answer = yield* ask(get("/v2/", { repository: "a" }))
      const error = yield* Effect.flip(text(answer))
      assert.deepInclude(error.reason, { _tag: "Unreachable", attempts: 1 })
      assert.strictEqual(error.repository, "a")
      assert.lengthOf(server.seen, 1)
    }))
})

describe("a stream that is sent", () => {
  const put = <E>(stream: Stream.Stream<Uint8Array, E>, isRepeatable = true): Session.Ask<E> => ({
    ...get("/v2/", { isRetried: true }),
    method: "PUT",
    body: { stream, contentType: "application/octet-stream", isRepeatable }
  })

  it.live("arrives", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({}))
      const { ask } = yield* session(server.host, once)
      yield* ask(put(Stream.fromIterable(Array.from({ length: 100 }, () => bytes(10_000)))))
      assert.strictEqual(server.seen[0]?.body.length, 1_000_000)
      assert.strictEqual(server.seen[0]?.headers["content-type"], "application/octet-stream")
    }))

  it.live("that fails, fails as itself, and is not sent again", () =>
    Effect.gen(function*() {
      class Own extends Error {
        readonly _tag = "Own"
      }
      const server = yield* serve(() => ({}))
      const { ask } = yield* session(server.host, hasty)
      for (const before of [0, 1, 50]) {
        const own = new Own("mine")
        const parts = Stream.fromIterable(Array.from({ length: before }, () => bytes(100_000)))
        let begun = 0
        const stream = Stream.suspend(() => {
          begun++
          return Stream.concat(parts, Stream.fail(own))
        })
        const error = yield* Effect.flip(ask(put(stream)))
        assert.strictEqual(error, own)
        assert.strictEqual(begun, 1)
      }
      assert.lengthOf(server.seen, 0)
    }))

  it.live("that fails does so also where the client does not notice", () =>
    Effect.gen(function*() {
      const deaf = HttpClient.make(({ body }) =>
        body._tag === "Stream"
          ? Effect.andThen(Effect.ignore(Stream.runDrain(body.stream)), Effect.never)
          : Effect.never
      )
      const { ask } = yield* session("reg.example", once, undefined, Layer.succeed(HttpClient.HttpClient, deaf))
      assert.strictEqual(yield* Effect.flip(ask(put(Stream.fail("mine")))), "mine")
    }))

  it.live("is waited for as long as it takes", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({}))
      const { ask } = yield* session(server.host, quick({ idle: "400 millis" }))
      yield* ask(put(
        Stream.fromIterable([1, 2, 3]).pipe(
          Stream.mapEffect((size) => Effect.as(Effect.sleep("600 millis"), bytes(size)))
        )
      ))
      assert.strictEqual(server.seen[0]?.body.length, 6)
    }))

  it.live("that the registry does not take is given up", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => () => {}, { isEager: true })
      const { ask } = yield* session(server.host, quick({ idle: "300 millis" }))
      let sent = 0
      const endless = Stream.fromEffectRepeat(Effect.sync(() => {
        sent += 100_000
        return bytes(100_000)
      }))
      const start = yield* Clock.currentTimeMillis
      const { message, reason } = yield* Effect.flip(ask(put(endless)))
      assert.deepInclude(reason, { _tag: "TimedOut", phase: "upload", milliseconds: 300 })
      assert.include(message, "the registry took nothing more for 0.3 s")
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 3000)
      // What the kernel keeps
      assert.isBelow(sent, 50_000_000)
    }))
})

describe("a registry that hangs", () => {
  it.live("is not waited for without end", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ url }) => (response) => {
        if (url !== "/content") return
        response.write("some")
      })
      const { ask } = yield* session(
        server.host,
        quick({ answer: "200 millis", commit: "300 millis", idle: "200 millis" })
      )
      const body = { bytes: bytes(10), contentType: "x" }
      for (const [method, milliseconds] of [["GET", 200], ["HEAD", 200], ["POST", 200], ["PUT", 300]] as const) {
        const asked = get("/answer", { method })
        const { message, reason } = yield* Effect.flip(
          ask(method === "GET" || method === "HEAD" ? asked : { ...asked, body })
        )
        assert.deepInclude(reason, { _tag: "TimedOut", phase: "answer", milliseconds })
        assert.include(message, `the registry did not answer for ${milliseconds / 1000} s`)
      }
      const answer = yield* ask(get("/content"))
      const { message, reason } = yield* Effect.flip(text(answer))
      assert.deepInclude(reason, { _tag: "TimedOut", phase: "content", milliseconds: 200 })
      assert.include(message, "the registry sent nothing more for 0.2 s")
    }))

  it.live("is asked again, when that may help", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => () => {})
      const { ask } = yield* session(server.host, {
        retry: { attempts: 3, delay: 1 },
        timeouts: { answer: "100 millis" }
      })
      const { reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.strictEqual(reason._tag, "TimedOut")
      // Somebody waits
      assert.lengthOf(server.seen, 2)
    }))

  it.live("and drips is not waited for either, where little is expected", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => (response) => {
        const drip = setInterval(() => response.write("x"), 50)
        response.on("close", () => clearInterval(drip))
      })
      const { ask, limitedBody } = yield* session(server.host, quick({ idle: "400 millis" }))
      const { reason } = yield* Effect.flip(limitedBody(yield* ask(get("/v2/")), 1000))
      assert.deepInclude(reason, { _tag: "TimedOut", phase: "content", milliseconds: 1600 })
    }))

  it.live("while its content is worked on is not at fault", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({ body: "x".repeat(1_000_000) }))
      const { ask } = yield* session(server.host, quick({ idle: "500 millis" }))
      const answer = yield* ask(get("/v2/"))
      let size = 0
      yield* Stream.runForEachArray(answer.stream, (chunks) => {
        const isFirst = size === 0
        for (const chunk of chunks) size += chunk.length
        return isFirst ? Effect.sleep("800 millis") : Effect.void
      })
      assert.strictEqual(size, 1_000_000)
    }))
})

describe("an interruption", () => {
  const basic: Credentials.Credential = { _tag: "Basic", username: "me", password: Redacted.make("x") }

  const gone = (server: Server) =>
    Effect.sync(() => server.sockets.size).pipe(
      Effect.repeat({ schedule: Schedule.spaced("5 millis"), until: (open) => open === 0 }),
      Effect.timeout("1 second")
    )

  // What is kept for the next request is no trace of this one
  const last = { connection: "close" }
  const challenge = ({ host }: Seen["headers"]) => ({
    "www-authenticate": `Bearer realm="http://${host}/token"`,
    ...last
  })

  const phases: ReadonlyArray<
    readonly [name: string, handler: (seen: Seen, response: ServerResponse) => void]
  > = [
    ["the answer", () => {}],
    ["the content", (_, response) => void response.write("some")],
    ["the refusal", (_, response) => void response.writeHead(403).write("{")],
    ["the challenge", (_, response) => void response.writeHead(401, { "www-authenticate": "Basic" }).write("{")],
    ["the redirect", ({ url }, response) => {
      if (url !== "/there") response.writeHead(307, { location: "/there", ...last }).end()
    }],
    ["the wait for another attempt", (_, response) => void response.writeHead(503, last).end()],
    ["the token", ({ headers, url }, response) => {
      if (url.startsWith("/v2")) response.writeHead(401, challenge(headers)).end()
    }],
    ["the token's content", ({ headers, url }, response) => {
      if (url.startsWith("/v2")) response.writeHead(401, challenge(headers)).end()
      else response.write("{")
    }]
  ]
  for (const [name, handler] of phases) {
    it.live(`during ${name} ends within 100 ms and leaves no socket`, () =>
      Effect.gen(function*() {
        const server = yield* serve((seen) => (response) => handler(seen, response))
        const { ask } = yield* session(server.host, { retry: { delay: "1 minute" } }, basic)
        const reading = Effect.scoped(
          Effect.flatMap(ask(get("/v2/", { isRedirectable: true })), (answer) => text(answer))
        )
        const fiber = yield* Effect.forkChild(reading)
        yield* Effect.sleep("250 millis")
        assert.isUndefined(fiber.pollUnsafe())
        const start = yield* Clock.currentTimeMillis
        yield* Fiber.interrupt(fiber)
        assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
        yield* gone(server)
      }), { retry: 3 })
  }

  it.live("during an upload ends within 100 ms, with the source, and leaves no socket", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => () => {})
      const { ask } = yield* session(server.host)
      const ended = yield* Deferred.make<void>()
      const stream = Stream.make(bytes(100_000)).pipe(
        Stream.concat(Stream.never),
        Stream.ensuring(Deferred.succeed(ended, undefined))
      )
      const body = { stream, contentType: "x", isRepeatable: false }
      const fiber = yield* Effect.forkChild(Effect.scoped(ask({ ...get("/v2/"), method: "PATCH", body })))
      yield* Effect.sleep("250 millis")
      const start = yield* Clock.currentTimeMillis
      yield* Fiber.interrupt(fiber)
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
      yield* Effect.timeout(Deferred.await(ended), "1 second")
      yield* gone(server)
    }), { retry: 3 })

  it.live("while nobody takes the connection ends within 100 ms", () =>
    Effect.gen(function*() {
      const { fill, port } = yield* crowded
      const { ask } = yield* session(`127.0.0.1:${port}`)
      const fiber = yield* Effect.forkChild(Effect.scoped(ask(get("/v2/"))))
      yield* Effect.sleep("100 millis")
      const start = yield* Clock.currentTimeMillis
      yield* Fiber.interrupt(fiber)
      assert.isBelow((yield* Clock.currentTimeMillis) - start, 100)
      assert.isAbove(fill, 0)
    }), { retry: 3 })

  for (const status of [404, 503]) {
    it.live(`is not needed to end what has failed: ${status}`, () =>
      Effect.gen(function*() {
        const server = yield* serve(() => (response) => {
          response.writeHead(status)
          response.write("x".repeat(100_000))
        })
        const { ask } = yield* session(server.host, once)
        yield* Effect.flip(ask(get("/v2/")))
        yield* gone(server)
      }))
  }

  it.live("of who does not read the answer leaves no socket", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => (response) => void response.write("some"))
      const { ask } = yield* session(server.host)
      yield* Effect.scoped(ask(get("/v2/")))
      yield* gone(server)
    }))
})

/** A port whose queue of connections is full, so that one more is neither taken nor refused. */
const crowded = Effect.acquireRelease(
  Effect.promise(() =>
    new Promise<{ readonly port: number; readonly fill: number; readonly close: () => void }>((done) => {
      const server = createServer()
      server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        const sockets: Array<Socket> = []
        for (let count = 0; count < 8; count++) sockets.push(connect(port, "127.0.0.1").on("error", () => {}))
        const close = () => {
          for (const socket of sockets) socket.destroy()
          server.close()
        }
        setTimeout(() => done({ port, fill: sockets.length, close }), 50)
      })
    })
  ),
  ({ close }) => Effect.sync(close)
)
