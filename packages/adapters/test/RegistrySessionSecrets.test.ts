import type * as Credentials from "@effect-oci/adapters/Credentials"
import * as RegistryError from "@effect-oci/core/RegistryError"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Tracer from "effect/Tracer"
import { inspect } from "node:util"
import * as Failure from "../src/internal/registry/failure.ts"
import { get, type Reply, type Seen, serve, session, text } from "./registrySession/servers.ts"

const secrets = {
  password: "canary-password-1",
  identity: "canary-identity-2",
  registry: "canary-registry-3",
  bearer: "canary-bearer-4",
  signature: "canary-signature-5",
  // What a header cannot hold, and an error would quote
  broken: "canary-broken-6\n"
} as const

const basic: Credentials.Credential = { _tag: "Basic", username: "me", password: Redacted.make(secrets.password) }
const identity: Credentials.Credential = { _tag: "IdentityToken", token: Redacted.make(secrets.identity) }
const ready: Credentials.Credential = { _tag: "RegistryToken", token: Redacted.make(secrets.registry) }
const broken: Credentials.Credential = { _tag: "RegistryToken", token: Redacted.make(secrets.broken) }

/** As they are, and as they are sent. */
const canaries = [...Object.values(secrets).map((secret) => secret.trim()), btoa(`me:${secrets.password}`)]

/** An error that says back all that it was told. */
const echo = (status: number, { body, headers, url }: Seen): Reply => ({
  status,
  body: JSON.stringify({
    errors: [{
      code: `X ${headers["authorization"]}`,
      message: `${headers["authorization"]} ${body} at http://x.example${url}`
    }]
  })
})

type Handler = (seen: Seen) => Reply

const bearer = (host: string | undefined, query = "") => ({
  status: 401,
  headers: { "www-authenticate": `Bearer realm="http://${host}/token${query}",service="s"` }
})

const cut: Reply = (response) => void response.socket?.destroy()

const signed = `/blob?X-Amz-Signature=${secrets.signature}`

const isToken = ({ url }: Seen) => url.startsWith("/token")

const scenes: ReadonlyArray<
  readonly [name: string, credential: Credentials.Credential | undefined, handler: Handler, told?: string]
> = [
  ["a password that is refused", basic, (seen) =>
    seen.headers["authorization"] === undefined
      ? { status: 401, headers: { "www-authenticate": "Basic" } }
      : echo(403, seen), btoa(`me:${secrets.password}`)],
  ["a password that gets no token", basic, (seen) => isToken(seen) ? echo(400, seen) : bearer(seen.headers["host"])],
  ["a token server that is cut off", basic, (seen) => isToken(seen) ? cut : bearer(seen.headers["host"])],
  [
    "an identity token that is refused",
    identity,
    (seen) => isToken(seen) ? echo(400, seen) : bearer(seen.headers["host"])
  ],
  ["an identity token whose server is cut off", identity, (seen) => isToken(seen) ? cut : bearer(seen.headers["host"])],
  [
    "a token server that answers nonsense",
    identity,
    (seen) => isToken(seen) ? { body: `{"tok":"${secrets.bearer}"}` } : bearer(seen.headers["host"])
  ],
  [
    "a token that no header can hold",
    undefined,
    (seen) => isToken(seen) ? { body: JSON.stringify({ token: `${secrets.bearer}\n` }) } : bearer(seen.headers["host"])
  ],
  [
    "a registry token that is refused",
    ready,
    (seen) => seen.headers["authorization"] === undefined ? bearer(seen.headers["host"]) : echo(400, seen),
    secrets.registry
  ],
  ["a registry token that no header can hold", broken, (seen) => bearer(seen.headers["host"])],
  ["a token that is refused", undefined, (seen) =>
    isToken(seen)
      ? { body: JSON.stringify({ token: secrets.bearer }) }
      : seen.headers["authorization"] === undefined
      ? bearer(seen.headers["host"])
      : echo(400, seen), secrets.bearer],
  ["a token whose use is cut off", undefined, (seen) =>
    isToken(seen)
      ? { body: JSON.stringify({ token: secrets.bearer }) }
      : seen.headers["authorization"] === undefined
      ? bearer(seen.headers["host"])
      : cut],
  ["a realm that is refused", basic, () => bearer("sso.example", `?key=${secrets.signature}`)],
  [
    "a signed URL that is refused",
    undefined,
    (seen) => seen.url.startsWith("/blob") ? echo(400, seen) : { status: 307, headers: { location: signed } },
    secrets.signature
  ],
  [
    "a signed URL that is cut off",
    undefined,
    (seen) => seen.url.startsWith("/blob") ? cut : { status: 307, headers: { location: signed } }
  ],
  ["a signed URL that breaks off", undefined, (seen) =>
    seen.url.startsWith("/blob")
      ? (response) =>
        void response.writeHead(200, { "content-length": "9" }).write("x", () => response.socket?.destroy())
      : { status: 307, headers: { location: signed } }],
  [
    "a signed URL that nobody answers",
    undefined,
    () => ({ status: 307, headers: { location: `http://127.0.0.1:1${signed}` } })
  ],
  [
    "a signed URL that is not followed",
    undefined,
    () => ({ status: 307, headers: { location: `http://x.example${signed}` } })
  ],
  [
    "a password in a URL",
    undefined,
    () => ({ status: 307, headers: { location: `https://me:${secrets.password}@x.example${signed}` } })
  ],
  ["a URL that is none", undefined, () => ({ status: 307, headers: { location: `https://x y${signed}` } })]
]

describe("a text of others", () => {
  const cases: ReadonlyArray<readonly [text: string, shown: string]> = [
    ["it is not allowed", "it is not allowed"],
    ["is it? yes", "is it? yes"],
    ["my canary-bearer-4, canary-bearer-4", "my <redacted>, <redacted>"],
    ["see https://a.example/b?c now", "see https://a.example/b?… now"],
    ["see https://a.example/b#c now", "see https://a.example/b?… now"],
    ["see /b?c=d&e now", "see /b?… now"],
    ["a\r\n\u001b[31mb\u202ec\u0000", "a [31mb c "],
    ["x".repeat(501), `${"x".repeat(500)}…`]
  ]
  for (const [text, shown] of cases) {
    it(`is shown as ${JSON.stringify(shown.slice(0, 40))}`, () => {
      assert.strictEqual(Failure.shown(text, [Redacted.make(secrets.bearer), Redacted.make("")]), shown)
    })
  }

  it("is shown in time that grows with it only", () => {
    for (const part of ["?", "https://", "?a", "#", "canary-bearer-"]) {
      const start = performance.now()
      Failure.shown(part.repeat(65_536 / part.length), [Redacted.make(secrets.bearer)])
      assert.isBelow(performance.now() - start, 200)
    }
  })
})

describe("no secret is told by", () => {
  for (const [name, credential, handler, told] of scenes) {
    it.live(name, () =>
      Effect.gen(function*() {
        const logged: Array<unknown> = []
        const spans: Array<Tracer.Span> = []
        const sent: Array<string> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const server = yield* serve((seen) => {
          sent.push(JSON.stringify(seen))
          return handler(seen)
        })
        const exit = yield* session(server.host, { retry: { attempts: 2, delay: 1 } }, credential).pipe(
          Effect.flatMap(({ ask }) =>
            ask(get("/v2/", { repository: "a", actions: ["pull"], isRedirectable: true, headers: { accept: "x" } }))
          ),
          Effect.flatMap((answer) => text(answer)),
          Effect.withSpan("parent"),
          Effect.tapCause((cause) => Effect.logError("failed", cause)),
          Effect.exit,
          Effect.provide(Logger.layer([Logger.make((options) => {
            logged.push(
              Logger.formatLogFmt.log(options),
              Logger.formatJson.log(options),
              inspect(options.message, false, 20)
            )
          })])),
          Effect.provideService(References.MinimumLogLevel, "All"),
          Effect.provideService(Tracer.Tracer, tracer)
        )
        assert(Exit.isFailure(exit))
        const error = Cause.squash(exit.cause)
        assert.instanceOf(error, RegistryError.RegistryError)
        assert.deepStrictEqual(spans.map(({ name }) => name), ["parent"])
        assert.isNotEmpty(logged)
        const outputs = [
          String(error),
          error.stack ?? "",
          JSON.stringify(error),
          JSON.stringify(Schema.encodeUnknownSync(RegistryError.RegistryError)(error)),
          inspect(error, { depth: Infinity, showHidden: true }),
          inspect(exit, { depth: Infinity }),
          Cause.pretty(exit.cause),
          ...spans.map((span) => inspect(span, { depth: 20 })),
          ...logged.map(String)
        ]
        for (const canary of canaries) {
          for (const output of outputs) assert.notInclude(output, canary)
        }
        // The test would see it: it was sent
        if (told !== undefined) assert.include(sent.join("\n"), told)
      }))
  }
})
