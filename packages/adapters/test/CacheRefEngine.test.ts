/** Build caches and images of daemons that do what a test wants. `CacheRefEngineReal.test.ts` has those of a real engine. */
import * as CacheRefEngine from "@effect-oci/adapters/CacheRefEngine"
import type * as DaemonError from "@effect-oci/adapters/DaemonError"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BuildRecord from "@effect-oci/core/BuildRecord"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, beforeEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { chmodSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import type { RequestListener } from "node:http"
import { join } from "node:path"
import process from "node:process"
import { type Duplex, Readable } from "node:stream"
import * as Daemon from "./daemon.ts"
import * as Archive from "./engine/archive.ts"
import { temporaryDirectory } from "./temporary.ts"

/** What BuildKit 0.34 told, and the config of the image that it exported. */
const recorded = Schema.decodeUnknownSync(
  Schema.fromJsonString(Schema.Struct({ diskUsage: Schema.String, config: Schema.Unknown }))
)(readFileSync(join(import.meta.dirname, "fixtures/daemon/buildkit-0.34.json"), "utf8"))

const services = Layer.mergeAll(NodeHash.layer, NodeCompression.layer)
const quick = { connectTimeout: 250, idleTimeout: 250 }

/** Waits until nothing is open any more: neither here nor at the daemon. */
const closed = (daemon: Pick<Daemon.Fake, "open"> | undefined, before: number) =>
  Effect.suspend(() => {
    const left = { sockets: Daemon.sockets() - before, connections: daemon?.open() ?? 0 }
    return left.sockets <= 0 && left.connections === 0 ? Effect.void : Effect.fail(left)
  }).pipe(
    Effect.retry(Schedule.spaced("10 millis")),
    Effect.timeout("10 seconds"),
    Effect.orDie
  )

type Ask = (options: CacheRefEngine.Options) => Effect.Effect<BuildRecord.Records, DaemonError.DaemonError>

const docker: Ask = CacheRefEngine.dockerRecords
const buildkitd: Ask = CacheRefEngine.buildkitdRecords

/** Asks a daemon that fails, and makes sure that it does so in time, and that nothing stays open. */
const failure = (ask: Ask, start: Effect.Effect<Daemon.Fake, never, Scope.Scope>) =>
  Effect.scoped(Effect.gen(function*() {
    const daemon = yield* start
    const before = Daemon.sockets()
    const begun = performance.now()
    const error = yield* Effect.flip(ask({ ...quick, socket: daemon.socket }))
    // Sooner than without the short time-outs
    assert.isBelow(performance.now() - begun, 10_000)
    yield* closed(daemon, before)
    assert.strictEqual(error.socket, daemon.socket)
    return { error, message: error.message.replaceAll(daemon.socket, "SOCKET") }
  }))

const records = (ask: Ask, start: Effect.Effect<Daemon.Fake, never, Scope.Scope>) =>
  Effect.scoped(Effect.gen(function*() {
    const daemon = yield* start
    const before = Daemon.sockets()
    const found = yield* ask({ socket: daemon.socket })
    yield* closed(daemon, before)
    assert.strictEqual(found.source, `the build cache at ${daemon.socket}`)
    return [...found.byId.values()].map(({ createdAt, description, id, parents }) => ({
      id,
      parents,
      description,
      created: createdAt === undefined ? "" : Timestamp.format(createdAt)
    }))
  }))

const created = Daemon.timestamp(1_796_011_637n, 603_298_380n)
const baseRecord = Daemon.usage({ id: "base", description: "[1/2] COPY a /a", created })
const written = "2026-11-30T04:07:17.60329838Z"

/** The answer of Docker's own API. */
const json = (body: unknown): RequestListener => (_, response) =>
  response.setHeader("content-type", "application/json").end(JSON.stringify(body))

describe("the records of a build cache", () => {
  const message = Daemon.message(
    baseRecord,
    Daemon.usage({ id: "old", description: "fileop target", created, parent: "base" }),
    Daemon.usage({ id: "new", description: "ä", created, parents: ["base"] }),
    Daemon.usage({ id: "both", description: "", created, parent: "base", parents: ["base"] }),
    Daemon.usage({ id: "none", description: "", created, parent: "" }),
    Daemon.usage({
      id: "merge",
      description: "",
      created: Daemon.timestamp(-62_135_596_800n, 0n),
      parents: ["old", "new"]
    })
  )
  const expected = [
    { id: "base", parents: [], description: "[1/2] COPY a /a", created: written },
    { id: "old", parents: ["base"], description: "fileop target", created: written },
    { id: "new", parents: ["base"], description: "ä", created: written },
    { id: "both", parents: ["base"], description: "", created: written },
    { id: "none", parents: [], description: "", created: written },
    { id: "merge", parents: ["old", "new"], description: "", created: "0001-01-01T00:00:00Z" }
  ]

  it.live("are read from buildkitd, whichever field has the parents", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* records(buildkitd, Daemon.grpc(Daemon.answer(message))), expected)
    }))

  it.live("are asked for as gRPC wants it", () =>
    Effect.gen(function*() {
      let asked: unknown
      let body = Buffer.alloc(0)
      const call: Daemon.Call = (stream, headers) => {
        asked = headers
        stream.on("data", (bytes: Buffer) => {
          body = Buffer.concat([body, bytes])
        })
        Daemon.answer(message)(stream, headers)
      }
      yield* records(buildkitd, Daemon.grpc(call))
      assert.deepInclude(asked, {
        ":method": "POST",
        ":path": "/moby.buildkit.v1.Control/DiskUsage",
        ":scheme": "http",
        ":authority": "localhost",
        "content-type": "application/grpc",
        te: "trailers"
      })
      assert.deepStrictEqual([...body], [0, 0, 0, 0, 0])
    }))

  it.live("are read through the Docker engine", () =>
    Effect.gen(function*() {
      const daemon = Daemon.engine({ upgrade: Daemon.speak(Daemon.answer(message)) })
      assert.deepStrictEqual(yield* records(docker, daemon), expected)
    }))

  it.live("are read where the engine sends its first frames with the head of its answer", () =>
    Effect.gen(function*() {
      const daemon = Effect.flatMap(Daemon.engine({ upgrade: Daemon.speak(Daemon.answer(message)) }), Daemon.through)
      assert.deepStrictEqual(yield* records(docker, daemon), expected)
    }))

  it.live("are none where the answer is the empty message", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* records(buildkitd, Daemon.grpc(Daemon.answer(Daemon.message()))), [])
    }))

  it.live("come in any pieces, and may take longer as a whole than the daemon may be silent", () =>
    Effect.gen(function*() {
      const slow: Daemon.Call = (stream) => {
        stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }))
        stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true })
        const pieces = [[0, 3], [3, 5], [5, 40], [40, 100], [100]].map(([from, to]) => message.subarray(from, to))
        const timer = setInterval(() => {
          const piece = pieces.shift()
          if (piece !== undefined) stream.write(piece)
          else {
            clearInterval(timer)
            stream.end()
          }
        }, 400)
      }
      const ask: Ask = (options) => buildkitd({ ...options, idleTimeout: 1500 })
      assert.deepStrictEqual(yield* records(ask, Daemon.grpc(slow)), expected)
    }))

  const jsonRecord = { ID: "base", Type: "regular", Description: "COPY", InUse: false, Size: 3, LastUsedAt: null }
  const base = { ...jsonRecord, CreatedAt: "2026-11-30T09:52:17.60329838+05:45" }
  const inJson = (id: string, parents: ReadonlyArray<string>) => ({
    id,
    parents,
    description: "COPY",
    created: "2026-11-30T09:52:17.60329838+05:45"
  })

  it.live.each<[string, unknown]>([
    ["before API 1.42", {
      LayersSize: 1,
      BuildCache: [{ ...base, Parent: "" }, { ...base, ID: "top", Parent: "base" }]
    }],
    ["from API 1.42 on", { BuildCache: [base, { ...base, ID: "top", " Parents": ["base"] }] }],
    ["from API 1.52 on", {
      ImageUsage: {},
      BuildCacheUsage: { TotalCount: 2, Items: [base, { ...base, ID: "top", " Parents": ["base"] }] }
    }],
    ["with the name of the parents mended", {
      BuildCacheUsage: { Items: [base, { ...base, ID: "top", Parents: ["base"] }] }
    }]
  ])(
    "are read from the engine's own API where it does not pass on BuildKit's: %s",
    ([, body]) =>
      Effect.gen(function*() {
        const paths: Array<string | undefined> = []
        const answer: RequestListener = (request, response) => {
          paths.push(`${request.method} ${request.url}`)
          if (request.method === "POST") response.writeHead(404).end(JSON.stringify({ message: "page not found" }))
          else json(body)(request, response)
        }
        const found = yield* records(docker, Daemon.engine({ answer }))
        assert.deepStrictEqual(found, [inJson("base", []), inJson("top", ["base"])])
        assert.deepStrictEqual(paths, ["POST /grpc", "GET /system/df?type=build-cache&verbose=1"])
      })
  )

  it.live("are read from the engine's own API where its BuildKit does not know the call", () =>
    Effect.gen(function*() {
      const upgrade = Daemon.speak(Daemon.refuse("12", "unknown service"))
      const answer = json({ BuildCache: null })
      assert.deepStrictEqual(yield* records(docker, Daemon.engine({ upgrade, answer })), [])
    }))

  it.live("of BuildKit 0.34 are joined with the image that it exported, those of COPY --link, too", () =>
    Effect.scoped(Effect.gen(function*() {
      const usage = Daemon.framed(Buffer.from(recorded.diskUsage, "base64"))
      const { socket } = yield* Daemon.grpc(Daemon.answer(usage))
      const found = yield* buildkitd({ socket })
      const { value } = Result.getOrThrow(ImageConfig.parse(Buffer.from(JSON.stringify(recorded.config))))
      const layers = Result.getOrThrow(BuildRecord.join(found, value))
      assert.deepStrictEqual(
        layers.map(({ item, record }) => [record?.description, item?.created_by]),
        [
          ["[1/6] COPY busybox /bin/busybox", "COPY busybox /bin/busybox # buildkit"],
          ["[2/6] COPY a /a", "COPY a /a # buildkit"],
          ["mount / from exec /bin/busybox touch /ran", "RUN /bin/busybox touch /ran # buildkit"],
          ["[4/6] COPY --link b /b", "COPY b /b # buildkit"],
          ["[5/6] COPY a /c", "COPY a /c # buildkit"],
          ["[6/6] COPY --link a /d", "COPY a /d # buildkit"]
        ]
      )
      assert.deepStrictEqual(layers.map(({ record }) => record?.createdAt), layers.map(({ item }) => item?.created))

      const refs = CacheRefEngine.layerRecords(buildkitd({ socket }))
      const { chain, list, missing } = yield* Effect.scoped(Effect.gen(function*() {
        const source = yield* CacheRef.CacheRef
        return {
          chain: yield* CacheRef.chain(yield* source.acquire("s99wj86mvdnbnbjbzh2scnxbt")),
          list: yield* source.list,
          missing: yield* Effect.flip(source.acquire("x"))
        }
      })).pipe(Effect.provide(refs))
      assert.deepStrictEqual(
        chain.map(({ createdAt, description }) => [createdAt, description]),
        layers.map(({ record }) => [record?.createdAt, record?.description])
      )
      assert.strictEqual(chain.at(-1)?.name, "s99wj86mvdnbnbjbzh2scnxbt")
      assert.lengthOf(list, 11)
      assert.strictEqual(missing.message, `the build cache at ${socket} has no ref "x"`)
    })))
})

describe("a daemon that does not answer as it should", () => {
  const silent = () => undefined
  const dockerIs = (upgrade: (connection: Duplex) => unknown) => Daemon.engine({ upgrade })
  const asked = "when asked to tell its build cache"
  const silentFor = `the daemon at SOCKET has said nothing for 0.25 s ${asked}: ` +
    "give it more time if it is busy, or restart it if it hangs"
  const gone = `the daemon at SOCKET went away ${asked}: its log tells why; try again when it runs`
  const expected = (expected: string, found: string) =>
    `what listens on SOCKET answers something else ${asked}: expected ${expected}, found ${found}; check that it is ` +
    "the right socket, and a daemon that is new enough"
  const message = Daemon.message(baseRecord)
  const usageOf = (bytes: Uint8Array) => Daemon.framed(Daemon.field(1, bytes))

  it.live.each<[string, Ask, Effect.Effect<Daemon.Fake, never, Scope.Scope>, string]>([
    ["never answers", docker, Daemon.raw(silent), silentFor],
    ["never answers: buildkitd", buildkitd, Daemon.raw(silent), silentFor],
    ["is silent after the upgrade", docker, dockerIs(Daemon.say("")), silentFor],
    ["is silent after the call", docker, dockerIs(Daemon.speak(silent)), silentFor],
    ["is silent after the call: buildkitd", buildkitd, Daemon.grpc(silent), silentFor],
    ["is silent in the middle of its answer", buildkitd, Daemon.grpc(Daemon.begin(message.subarray(0, 20))), silentFor],
    [
      "is silent in the middle of an answer in JSON",
      docker,
      Daemon.engine({
        answer: (request, response) =>
          request.method === "POST" ? response.writeHead(404).end() : response.write("{\"BuildCache\":")
      }),
      silentFor
    ],

    ["closes the connection", docker, Daemon.raw((connection) => connection.destroy()), gone],
    ["closes the connection: buildkitd", buildkitd, Daemon.raw((connection) => connection.destroy()), gone],
    ["ends the connection", docker, Daemon.raw((connection) => connection.end()), gone],
    ["ends the connection: buildkitd", buildkitd, Daemon.raw((connection) => connection.end()), gone],
    [
      "closes the connection after the upgrade",
      docker,
      dockerIs((connection) => {
        Daemon.say("")(connection)
        connection.end()
      }),
      gone
    ],
    [
      "closes the connection after the call",
      docker,
      dockerIs((connection) => Daemon.speak(() => connection.destroy())(connection)),
      gone
    ],
    ["closes the session", buildkitd, Daemon.grpc((stream) => stream.session?.destroy()), gone],
    ["closes the call", buildkitd, Daemon.grpc((stream) => stream.close(8)), gone],
    [
      "closes the connection in the middle of its answer",
      buildkitd,
      Daemon.grpc((stream, headers) => {
        Daemon.begin(message.subarray(0, 20))(stream, headers)
        setTimeout(() => stream.session?.destroy(), 50)
      }),
      gone
    ],
    [
      "ends without a status",
      buildkitd,
      Daemon.grpc((stream) => {
        stream.respond({ ":status": 200, "content-type": "application/grpc" })
        stream.end(message)
      }),
      gone
    ],
    [
      "closes the connection in the middle of JSON",
      docker,
      Daemon.engine({
        answer: (request, response) => {
          if (request.method === "POST") response.writeHead(404).end()
          else response.write("{\"BuildCache\":", () => response.destroy())
        }
      }),
      gone
    ],

    [
      "does not speak HTTP",
      docker,
      Daemon.raw((connection) => connection.write("220 mail.example.org ESMTP\r\n")),
      expected("HTTP", "something else")
    ],
    [
      "speaks HTTP/2 where the Docker engine should be",
      docker,
      Daemon.grpc(silent),
      expected("HTTP", "something else")
    ],
    [
      "does not speak HTTP/2",
      buildkitd,
      Daemon.raw((connection) => connection.write("220 mail.example.org ESMTP\r\n")),
      expected("gRPC over HTTP/2", "something else")
    ],
    [
      "speaks HTTP/1.1 where buildkitd should be",
      buildkitd,
      Daemon.engine({}),
      expected("gRPC over HTTP/2", "something else")
    ],
    [
      "does not speak HTTP/2 after the upgrade",
      docker,
      dockerIs(Daemon.say("I am a teapot, short and stout")),
      expected("gRPC over HTTP/2", "something else")
    ],
    [
      "is a web site",
      buildkitd,
      Daemon.grpc((stream) => {
        stream.respond({ ":status": 404, "content-type": "text/html" })
        stream.end("<html>")
      }),
      expected("gRPC", "HTTP 404 with text/html")
    ],
    [
      "has no message",
      buildkitd,
      Daemon.grpc(Daemon.answer(Buffer.alloc(0))),
      expected("one message that is not compressed", "0 bytes that are none")
    ],
    [
      "has half a message",
      buildkitd,
      Daemon.grpc(Daemon.answer(message.subarray(0, 20))),
      expected("one message that is not compressed", "20 bytes that are none")
    ],
    [
      "has two messages",
      buildkitd,
      Daemon.grpc(Daemon.answer(Buffer.concat([message, message]))),
      expected("one message that is not compressed", `${2 * message.length} bytes that are none`)
    ],
    [
      "has a compressed message",
      buildkitd,
      Daemon.grpc(Daemon.answer(Buffer.concat([Uint8Array.of(1), message.subarray(1)]))),
      expected("one message that is not compressed", `${message.length} bytes that are none`)
    ],
    ...([
      ["no field", Daemon.framed(Uint8Array.of(0xff)), "1 bytes with no field at byte 0"],
      ["a field without a number", Daemon.framed(Uint8Array.of(0, 0)), "2 bytes with no field at byte 0"],
      ["a field of an unknown type", Daemon.framed(Uint8Array.of(8 + 3, 0)), "2 bytes with no field at byte 0"],
      ["a field that is cut off", Daemon.framed(Uint8Array.of(8 + 2, 5, 1)), "3 bytes with no field at byte 0"],
      [
        "a field of a negative length",
        Daemon.framed(Uint8Array.of(8 + 2, ...Array.from({ length: 9 }, () => 0xff), 1)),
        "11 bytes with no field at byte 0"
      ],
      [
        "an integer without an end",
        Daemon.framed(Uint8Array.of(8, ...Array.from({ length: 11 }, () => 0xff))),
        "12 bytes with no field at byte 0"
      ],
      ["a record that is a number", Daemon.framed(Daemon.field(1, 1n)), "a number where a text or a message belongs"],
      ["a record without an ID", usageOf(Daemon.field(9, "COPY")), "a record without an ID"],
      ["an ID that is a number", usageOf(Daemon.field(1, 7n)), "a number where a text or a message belongs"],
      [
        "a time that is none",
        usageOf(Daemon.usage({ id: "a", description: "", created: Daemon.timestamp(1n, 1_000_000_000n) })),
        "a time that is none"
      ],
      [
        "a time out of all years",
        usageOf(Daemon.usage({ id: "a", description: "", created: Daemon.timestamp(1n << 60n, 0n) })),
        "a time that is none"
      ],
      [
        "a time that is a text",
        usageOf(Buffer.concat([Daemon.field(1, "a"), Daemon.field(6, Daemon.field(1, "1"))])),
        "a time that is none"
      ]
    ] as const).map(([what, bytes, found]): [string, Ask, Effect.Effect<Daemon.Fake, never, Scope.Scope>, string] => [
      `has ${what}`,
      buildkitd,
      Daemon.grpc(Daemon.answer(bytes)),
      expected("the records of BuildKit's cache", found)
    ]),
    [
      "has no build cache",
      docker,
      Daemon.engine({
        answer: (request, response) =>
          request.method === "POST" ? response.writeHead(404).end() : json({ LayersSize: 1 })(request, response)
      }),
      expected("the records of BuildKit's cache", "no build cache")
    ],
    [
      "is of another version",
      buildkitd,
      Daemon.grpc(Daemon.refuse("12", "unknown service moby.buildkit.v1.Control")),
      expected("the API moby.buildkit.v1", "one without it (unknown service moby.buildkit.v1.Control)")
    ],

    [
      "refuses",
      buildkitd,
      Daemon.grpc(Daemon.refuse("7", "not%20for you: 100%25 %C3%A4 50%")),
      "the daemon at SOCKET refuses to tell its build cache (gRPC 7): not for you: 100% ä 50%"
    ],
    [
      "refuses in the trailers",
      buildkitd,
      Daemon.grpc(Daemon.answer(Buffer.alloc(0), { "grpc-status": "13" })),
      "the daemon at SOCKET refuses to tell its build cache (gRPC 13)"
    ],
    [
      "refuses everything",
      docker,
      Daemon.engine({
        answer: (_, response) => response.writeHead(403).end(`{"message":"access denied by the proxy"}`)
      }),
      "the daemon at SOCKET refuses to tell its build cache (HTTP 403): access denied by the proxy"
    ],
    [
      "refuses in other words",
      docker,
      Daemon.engine({ answer: (_, response) => response.writeHead(503).end("<html>") }),
      "the daemon at SOCKET refuses to tell its build cache (HTTP 503): Service Unavailable"
    ]
  ])("%s", ([, ask, daemon, message]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* failure(ask, daemon)).message, message)
    }))

  it.live("answers with JSON of something else", () =>
    Effect.gen(function*() {
      const daemon = Daemon.engine({
        answer: (request, response) =>
          request.method === "POST"
            ? response.writeHead(404).end()
            : json({ BuildCache: [{ Name: 1 }] })(request, response)
      })
      const { error, message } = yield* failure(docker, daemon)
      assert.strictEqual(error._tag, "DaemonUnexpected")
      assert.include(message, "expected the disk usage of a Docker engine from 18.09 on, found ")
      assert.include(message, `["BuildCache"]`)
    }))

  it.live("never ends its answer: no more than 64 MiB of it are read", () =>
    Effect.gen(function*() {
      const endless: Daemon.Call = (stream) => {
        const bytes = Buffer.alloc(1 << 20)
        const more = () => {
          while (!stream.destroyed && stream.write(bytes));
        }
        stream.on("error", () => undefined).on("drain", more)
        stream.respond({ ":status": 200, "content-type": "application/grpc" })
        more()
      }
      const patient: Ask = (options) => buildkitd({ ...options, idleTimeout: "10 seconds" })
      const { message } = yield* failure(patient, Daemon.grpc(endless))
      assert.strictEqual(message, expected("at most 67108864 bytes", "more"))
    }))

  const directory = temporaryDirectory()
  const unreachable = (socket: string) => Effect.flip(docker({ ...quick, socket }))

  it.live("is not there", () =>
    Effect.gen(function*() {
      const before = Daemon.sockets()
      const none = join(directory, "none")
      assert.strictEqual(
        (yield* unreachable(none)).message,
        `cannot connect to ${none}: there is no such socket: start the daemon, or name the socket that it listens on (ENOENT)`
      )
      const abandoned = join(directory, "abandoned")
      yield* Daemon.abandon(abandoned)
      assert.strictEqual(
        (yield* unreachable(abandoned)).message,
        `cannot connect to ${abandoned}: nothing listens there: start the daemon (ECONNREFUSED)`
      )
      const file = join(directory, "file")
      writeFileSync(file, "")
      assert.strictEqual((yield* unreachable(file))._tag, "DaemonUnreachable")
      assert.strictEqual((yield* unreachable(join(file, "socket")))._tag, "DaemonUnreachable")
      yield* closed(undefined, before)
    }))

  it.live("needs permission", () =>
    Effect.scoped(Effect.gen(function*() {
      const { socket } = yield* Daemon.raw(silent)
      chmodSync(socket, 0o600)
      const before = Daemon.sockets()
      // Root may do everything
      const isRoot = process.geteuid?.() === 0
      if (isRoot) process.seteuid?.("nobody")
      else chmodSync(socket, 0)
      const error = yield* Effect.ensuring(
        unreachable(socket),
        Effect.sync(() => {
          if (isRoot) process.seteuid?.(0)
        })
      )
      assert.strictEqual(
        error.message,
        `cannot connect to ${socket}: permission denied: run this as a user who may use it, such as one of the group ` +
          "docker, or as root (EACCES)"
      )
      yield* closed(undefined, before)
    })))

  it.live.each<[string, Ask, Effect.Effect<Daemon.Fake, never, Scope.Scope>]>([
    ["that never answers", docker, Daemon.raw(silent)],
    ["that is silent after the upgrade", docker, dockerIs(Daemon.say(""))],
    ["that is silent after the call", docker, dockerIs(Daemon.speak(silent))],
    ["that is silent in the middle of its answer", buildkitd, Daemon.grpc(Daemon.begin(message.subarray(0, 9)))],
    [
      "that is silent in the middle of JSON",
      docker,
      Daemon.engine({
        answer: (request, response) => request.method === "POST" ? response.writeHead(404).end() : response.write("{")
      })
    ]
  ])("is left within 100 ms: one %s", ([, ask, start]) =>
    Effect.scoped(Effect.gen(function*() {
      const daemon = yield* start
      const before = Daemon.sockets()
      const fiber = yield* Effect.forkChild(ask({ socket: daemon.socket }))
      yield* Effect.sleep("150 millis").pipe(Effect.repeat({ until: () => daemon.open() > 0 }))
      const begun = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - begun, 100)
      yield* closed(daemon, before)
    })), { retry: 3 })
})

describe("an image of the Docker engine", () => {
  /** Spooled images are found here, if any is left. */
  const spool = temporaryDirectory()
  const spooled = () => readdirSync(spool).filter((name) => /^effect-oci-[-0-9a-f]{36}$/.test(name))
  beforeEach(() => {
    const before = process.env["TMPDIR"]
    process.env["TMPDIR"] = spool
    return () => {
      if (before === undefined) delete process.env["TMPDIR"]
      else process.env["TMPDIR"] = before
    }
  })

  const history = `"history":[{"created":"${written}","created_by":"COPY a /a # buildkit"},` +
    `{"created_by":"ENV a=b","empty_layer":true},` +
    `{"created":"2026-11-30T09:52:18.000000001+05:45","created_by":"COPY b /b # buildkit"}]`
  const top = Daemon.timestamp(1_796_011_638n, 1n)
  const image = Archive.image([[Tar.file("a", "a")], [Tar.file("b", "b")]], history)
  const message = Daemon.message(
    baseRecord,
    Daemon.usage({
      id: "top",
      description: "[2/2] COPY b /b",
      created: top,
      parents: ["base"]
    })
  )

  interface Parts {
    readonly inspect?: RequestListener
    readonly export?: RequestListener
    readonly call?: Daemon.Call
  }

  const id = `sha256:${"ab".repeat(32)}`
  const inspected = json({ Id: id, RootFS: { Type: "layers", Layers: ["sha256:…", "sha256:…"] } })

  /** An engine with an image, and the paths that it was asked for. */
  const engineWith = (parts: Parts = {}) =>
    Effect.gen(function*() {
      const paths: Array<string | undefined> = []
      const { archive } = yield* Effect.orDie(image)
      const daemon = yield* Daemon.engine({
        upgrade: Daemon.speak(parts.call ?? Daemon.answer(message)),
        answer: (request, response) => {
          paths.push(request.url)
          if (request.url?.endsWith("/json") === true) (parts.inspect ?? inspected)(request, response)
          else (parts.export ?? ((_, response) => response.end(archive)))(request, response)
        }
      })
      return { ...daemon, paths }
    })

  const open = (options: CacheRefEngine.Options, name = "app:1") =>
    Effect.provide(CacheRefEngine.open(name, options), services)

  it.live("is read, and its layers are joined with the records", () =>
    Effect.scoped(Effect.gen(function*() {
      const daemon = yield* engineWith()
      const before = Daemon.sockets()
      yield* Effect.scoped(Effect.gen(function*() {
        const { blobs, config, joined, refs } = yield* open({ socket: daemon.socket }, "example.org:5000/team/app:1")
        assert.deepStrictEqual(config.document.bytes, new Uint8Array((yield* image).config))
        assert.deepStrictEqual(
          refs.map(({ createdAt, description, name }) => [name, description, createdAt && Timestamp.format(createdAt)]),
          [
            // The last one's offset: the engine's own
            ["base", "[1/2] COPY a /a", "2026-11-30T09:52:17.60329838+05:45"],
            ["top", "[2/2] COPY b /b", "2026-11-30T09:52:18.000000001+05:45"]
          ]
        )
        assert.deepStrictEqual(joined.map(({ item }) => item?.created_by), [
          "COPY a /a # buildkit",
          "COPY b /b # buildkit"
        ])
        const chain = yield* CacheRef.chain(refs[1] ?? assert.fail("two refs"))
        assert.deepStrictEqual(chain, refs)
        for (const { layer } of refs) {
          const bytes = yield* Stream.mkUint8Array(layer?.content ?? Stream.empty)
          const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`
          assert.deepStrictEqual([layer?.diffId, layer?.descriptor.digest], [digest, digest])
          assert.isTrue(layer !== undefined && (yield* blobs.has(layer.descriptor)))
        }
        assert.lengthOf(spooled(), 1)
      }))
      assert.deepStrictEqual(spooled(), [])
      assert.deepStrictEqual(daemon.paths, ["/images/example.org%3A5000/team/app%3A1/json", `/images/${id}/get`])
      yield* closed(daemon, before)
    })))

  it.live("is a source of refs, found by the IDs of records and by its name", () =>
    Effect.scoped(Effect.gen(function*() {
      const { socket } = yield* engineWith()
      yield* Effect.gen(function*() {
        const refs = yield* CacheRef.CacheRef
        assert.deepStrictEqual(yield* refs.list, ["base", "top"])
        const names = Effect.fnUntraced(function*(name: string) {
          return (yield* CacheRef.chain(yield* refs.acquire(name))).map(({ name }) => name)
        }, Effect.scoped)
        assert.deepStrictEqual(yield* names("app:1"), ["base", "top"])
        assert.deepStrictEqual(yield* names("base"), ["base"])
        const missing = yield* Effect.flip(Effect.scoped(refs.acquire("x")))
        assert.strictEqual(missing.message, `the Docker engine at ${socket} has no ref "x"`)
      }).pipe(Effect.provide(CacheRefEngine.layer("app:1", { socket }).pipe(Layer.provide(services))))
    })))

  it.live("that no record has made is described by its history, and that is told", () =>
    Effect.scoped(Effect.gen(function*() {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ message }) => void warnings.push(...(Array.isArray(message) ? message : [message])))
      const { socket } = yield* engineWith({ call: Daemon.answer(Daemon.message(baseRecord)) })
      const { refs } = yield* Effect.provide(open({ socket }), Logger.layer([logger]))
      assert.deepStrictEqual(refs.map(({ description }) => description), ["[1/2] COPY a /a", "COPY b /b # buildkit"])
      assert.match(refs[1]?.name ?? "", /^[0-9a-f]{64}$/)
      assert.deepStrictEqual(warnings, [
        `1 of the 2 layers of app:1 were not made by any record of the build cache at ${socket}: they are described by the ` +
        "image's history"
      ])
    })))

  it.live.runIf(process.env["CI"] === "true")(
    "takes no more memory, however large it is",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const chunk = new Uint8Array(1 << 20)
        const chunks = 512
        const hash = createHash("sha256")
        for (let index = 0; index < chunks; index++) hash.update(chunk)
        const config = `{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":["sha256:${hash.digest("hex")}"]}}`
        const archive = Stream.make(
          Tar.file("manifest.json", JSON.stringify([{ Config: "config.json", Layers: ["layer.tar"] }])),
          Tar.file("config.json", config),
          Tar.fileStream("layer.tar", chunks << 20, Stream.range(1, chunks).pipe(Stream.map(() => chunk)))
        ).pipe(Stream.pipeThroughChannelOrFail(Tar.encode()))
        const exporting: RequestListener = (_, response) => {
          Readable.from(Stream.toAsyncIterable(archive)).pipe(response)
        }
        const { socket } = yield* engineWith({ export: exporting })
        const before = process.memoryUsage().rss
        let most = 0
        const watched = setInterval(() => most = Math.max(most, process.memoryUsage().rss), 20)
        const { refs } = yield* open({ socket })
        const [layer] = refs.map(({ layer }) => layer)
        yield* Stream.runDrain(layer?.content ?? Stream.die("no layer"))
        clearInterval(watched)
        assert.strictEqual(layer?.descriptor.size, chunks << 20)
        assert.isBelow(most - before, 150 << 20)
      })),
    60_000
  )

  const failing = (parts: Parts, name = "app:1") =>
    Effect.scoped(Effect.gen(function*() {
      const daemon = yield* engineWith(parts)
      const before = Daemon.sockets()
      const begun = performance.now()
      const error = yield* Effect.flip(Effect.scoped(open({ ...quick, socket: daemon.socket }, name)))
      assert.isBelow(performance.now() - begun, 10_000)
      assert.deepStrictEqual(spooled(), [])
      yield* closed(daemon, before)
      return error.message.replaceAll(daemon.socket, "SOCKET")
    }))

  const exporting = `when asked to export the image ${id}`

  const notAnArchive = (expected: string, found: string) =>
    `what listens on SOCKET answers something else ${exporting}: expected ${expected}, found ${found}; check that it is the ` +
    "right socket, and a daemon that is new enough"
  const nonsense = Effect.runSync(
    Stream.make(Tar.file("manifest.json", "?")).pipe(Stream.pipeThroughChannel(Tar.encode()), Stream.mkUint8Array)
  )

  it.live.each<[string, Parts, string]>([
    [
      "is not there",
      { inspect: (_, response) => response.writeHead(404).end(`{"message":"No such image: app:1"}`) },
      `the Docker engine at SOCKET has no image "app:1"`
    ],
    [
      "has no layers",
      { inspect: json({ Id: id, RootFS: { Type: "layers" } }) },
      `the image ${id} has no layers: expected at least one to make refs of`
    ],
    [
      "is not told",
      { inspect: (_, response) => response.writeHead(500).end(`{"message":"out of order"}`) },
      `the daemon at SOCKET refuses to tell about the image "app:1" (HTTP 500): out of order`
    ],
    [
      "is not exported",
      { export: (_, response) => response.writeHead(500).end(`{"message":"no space left on device"}`) },
      `the daemon at SOCKET refuses to export the image ${id} (HTTP 500): no space left on device`
    ],
    [
      "is exported by an engine that goes away",
      { export: (_, response) => response.write(Buffer.alloc(100_000), () => response.destroy()) },
      `the daemon at SOCKET went away ${exporting}: its log tells why; try again when it runs`
    ],
    [
      "is exported by an engine that hangs",
      { export: (_, response) => response.write(Buffer.alloc(100_000)) },
      `the daemon at SOCKET has said nothing for 0.25 s ${exporting}: give it more time if it is busy, or restart it if it hangs`
    ],
    [
      "is exported as something else",
      { export: (_, response) => response.end("<html>") },
      notAnArchive("a tar archive, plain or compressed with gzip or Zstandard", "an archive that is cut off at byte 6")
    ],
    [
      "is exported as an empty archive",
      { export: (_, response) => response.end(Buffer.alloc(1024)) },
      notAnArchive("an archive of the Docker engine", "one without manifest.json")
    ],
    [
      "is exported with another manifest.json",
      { export: (_, response) => response.end(nonsense) },
      notAnArchive(
        "an archive with a valid manifest.json and configs",
        `the Docker archive's manifest.json is not JSON: line 1, column 1: expected a value, found "?"`
      )
    ]
  ])("%s", ([, parts, message]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* failing(parts), message)
    }))

  it.live(
    "is left within 100 ms while it is exported, and nothing of it stays",
    () =>
      Effect.scoped(Effect.gen(function*() {
        const daemon = yield* engineWith({ export: (_, response) => response.write(Buffer.alloc(100_000)) })
        const before = Daemon.sockets()
        const fiber = yield* Effect.forkChild(Effect.scoped(open({ socket: daemon.socket })))
        yield* Effect.sleep("100 millis").pipe(Effect.repeat({ until: () => spooled().length === 1 }))
        const begun = performance.now()
        yield* Fiber.interrupt(fiber)
        assert.isBelow(performance.now() - begun, 100)
        assert.deepStrictEqual(spooled(), [])
        yield* closed(daemon, before)
      })),
    { retry: 3 }
  )
})
