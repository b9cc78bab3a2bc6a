import type * as Credentials from "@effect-oci/adapters/Credentials"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Address from "../src/internal/registry/address.ts"
import type * as Session from "../src/internal/registry/session.ts"
import { everywhere, get, hasty, serve, session, text } from "./registrySession/servers.ts"

const basic: Credentials.Credential = { _tag: "Basic", username: "me", password: Redacted.make("word") }
const codes = [301, 302, 303, 307, 308] as const
const challenge = { "www-authenticate": `Basic realm="x"` }
const headers = { Accept: "application/x", range: "bytes=5-", "x-registry-auth": "secret", cookie: "secret" }

const lookup = Effect.provideService(
  Address.Lookup,
  (name: string) => Effect.succeed(name === "inside.example" ? ["10.0.0.9"] : ["8.8.8.8"])
)

describe("of a blob", () => {
  type Expected = "with credentials" | "without" | "refused"
  const plain: Session.Options = { insecure: true }
  const targets: ReadonlyArray<
    readonly [registry: string, to: string, expected: Expected, options?: Session.Options]
  > = [
    ["reg.example", "https://reg.example/elsewhere?sig=1%2F2&x=a+b", "with credentials"],
    ["reg.example", "/elsewhere", "with credentials"],
    ["reg.example", "//reg.example:443/elsewhere", "with credentials"],
    ["reg.example", "https://reg.example:8443/elsewhere", "without"],
    ["reg.example", "https://cdn.reg.example/elsewhere?sig=1%2F2&x=a+b", "without"],
    ["reg.example", "https://cdn.example/elsewhere", "without"],
    ["reg.example", "https://8.8.8.8/elsewhere", "without"],
    ["reg.example", "http://reg.example/elsewhere", "refused"],
    ["reg.example", "http://reg.example:443/elsewhere", "refused"],
    ["reg.example", "http://cdn.example/elsewhere", "refused"],
    ["reg.example", "http://127.0.0.1/elsewhere", "refused"],
    ["reg.example", "https://127.0.0.1/elsewhere", "refused"],
    ["reg.example", "https://169.254.169.254/latest", "refused"],
    ["reg.example", "https://[::ffff:10.0.0.1]/elsewhere", "refused"],
    ["reg.example", "https://me:secret@cdn.example/elsewhere", "refused"],
    ["reg.example", "//me:secret@cdn.example/elsewhere", "refused"],
    ["reg.example", "ftp://cdn.example/elsewhere", "refused"],
    ["inside.example", "https://10.0.0.10/elsewhere", "without"],
    ["127.0.0.1:5000", "http://127.0.0.1:5000/elsewhere", "with credentials"],
    ["127.0.0.1:5000", "http://127.0.0.1:5001/elsewhere", "without"],
    ["127.0.0.1:5000", "http://localhost:5000/elsewhere", "without"],
    ["127.0.0.1:5000", "https://127.0.0.1:5000/elsewhere", "without"],
    ["127.0.0.1:5000", "https://cdn.example/elsewhere", "without"],
    ["127.0.0.1:5000", "http://cdn.example/elsewhere", "refused"],
    ["reg.example:5000", "http://cdn.example/elsewhere", "without", plain],
    ["reg.example:5000", "http://reg.example:5001/elsewhere", "without", plain]
  ]
  for (const [registry, to, expected, options = {}] of targets) {
    it.effect(`${registry} ${to}: ${expected}`, () =>
      Effect.gen(function*() {
        for (const method of ["GET", "HEAD"] as const) {
          for (const status of codes) {
            const { layer, seen } = everywhere(({ headers, url }) =>
              url.includes("/start")
                ? headers["authorization"] === undefined
                  ? { status: 401, headers: challenge }
                  : { status, headers: { location: to } }
                : {}
            )
            const { ask } = yield* session(registry, options, basic, layer)
            const asked = get("/start", { method, headers, isRedirectable: true })
            const result = yield* Effect.result(ask(asked))
            const there = seen.filter(({ url }) => !url.includes("/start"))
            if (expected === "refused") {
              assert(Result.isFailure(result))
              assert.deepInclude(result.failure.reason, { _tag: "UnsafeRedirect", kind: "redirect" })
              assert.lengthOf(there, 0)
              assert.notInclude(String(result.failure), "secret")
            } else {
              assert(Result.isSuccess(result))
              const [reached] = there
              assert(reached !== undefined && there.length === 1)
              assert.strictEqual(reached.method, method)
              // The URL as it was sent: a signature is over its very letters
              assert.strictEqual(reached.url, new URL(to, "https://reg.example").href)
              const { authorization, accept, cookie, range, "x-registry-auth": own } = reached.headers
              assert.deepStrictEqual([accept, range], ["application/x", "bytes=5-"])
              assert.deepStrictEqual(
                [authorization, cookie, own],
                expected === "without"
                  ? [undefined, undefined, undefined]
                  : [`Basic ${btoa("me:word")}`, "secret", "secret"]
              )
            }
          }
        }
      }).pipe(lookup))
  }

  it.effect("away and back is without credentials", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ headers, url }) =>
        url.includes("/start")
          ? headers["authorization"] === undefined
            ? { status: 401, headers: challenge }
            : { status: 307, headers: { location: "https://cdn.example/there" } }
          : url.includes("cdn")
          ? { status: 307, headers: { location: "https://reg.example/back" } }
          : {}
      )
      const { ask } = yield* session("reg.example", {}, basic, layer)
      yield* ask(get("/start", { isRedirectable: true }))
      assert.deepStrictEqual(seen.at(-1)?.url, "https://reg.example/back")
      assert.isUndefined(seen.at(-1)?.headers["authorization"])
    }))

  it.effect("is not followed back from https to http, not even on this machine", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ url }) =>
        url.startsWith("https:")
          ? { status: 307, headers: { location: "http://127.0.0.1:5000/there" } }
          : { status: 307, headers: { location: "https://cdn.example/there" } }
      )
      const { ask } = yield* session("127.0.0.1:5000", {}, undefined, layer)
      const { reason } = yield* Effect.flip(ask(get("/start", { isRedirectable: true })))
      assert.deepInclude(reason, { _tag: "UnsafeRedirect", why: "it leads from https to http" })
      assert.lengthOf(seen, 2)
    }))

  it.effect("to a place that wants to know who asks is not told", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ headers, url }) =>
        url.includes("reg.example") && headers["authorization"] !== undefined
          ? { status: 307, headers: { location: "https://cdn.example/there" } }
          : { status: 401, headers: challenge }
      )
      const { ask } = yield* session("reg.example", {}, basic, layer)
      const { reason } = yield* Effect.flip(ask(get("/start", { isRedirectable: true })))
      assert.strictEqual(reason._tag, "Unauthorized")
      assert.isUndefined(seen.find(({ headers, url }) => url.includes("cdn") && headers["authorization"] !== undefined))
    }))

  it.effect("is followed five times", () =>
    Effect.gen(function*() {
      for (const hops of [5, 6]) {
        const { layer, seen } = everywhere(({ url }) => {
          const step = Number(new URL(url).pathname.slice(1))
          return step === hops ? { body: "here" } : { status: 302, headers: { location: `/${step + 1}` } }
        })
        const { ask } = yield* session("reg.example", {}, undefined, layer)
        const result = yield* Effect.result(ask(get("/0", { isRedirectable: true })))
        assert.strictEqual(Result.isSuccess(result), hops === 5)
        assert.lengthOf(seen, 6)
      }
    }))

  it.effect("without a place, or with one that is no URL, is a fault", () =>
    Effect.gen(function*() {
      for (const headers of [{}, { location: "https://" }, { location: "https://a b" }, { location: "\\\\evil" }]) {
        const { layer } = everywhere(() => ({ status: 307, headers }))
        const { ask } = yield* session("reg.example", {}, undefined, layer)
        const { reason } = yield* Effect.flip(ask(get("/0", { isRedirectable: true })))
        assert.strictEqual(reason._tag, "Misbehaved")
      }
    }))
})

describe("of anything else", () => {
  for (const method of ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"] as const) {
    it.effect(`is refused: ${method}`, () =>
      Effect.gen(function*() {
        for (const status of codes) {
          for (const location of ["https://evil.example/x?secret", "https://reg.example/y", "http://reg.example/y"]) {
            const { layer, seen } = everywhere(() => ({ status, headers: { location } }))
            const { ask } = yield* session("reg.example", {}, basic, layer)
            const isRedirectable = method !== "GET" && method !== "HEAD"
            const { message, reason } = yield* Effect.flip(ask(get("/x", { method, isRedirectable })))
            assert.deepInclude(reason, { _tag: "UnsafeRedirect", kind: "redirect", to: new URL(location).origin })
            assert.notInclude(message, "secret")
            assert.lengthOf(seen, 1)
          }
        }
      }))
  }
})

describe("with fetch", () => {
  it.live("goes to another port without credentials, and a body goes nowhere", () =>
    Effect.gen(function*() {
      const other = yield* serve(() => ({ body: "content" }))
      for (const status of codes) {
        const server = yield* serve(({ headers }) =>
          headers["authorization"] === undefined
            ? { status: 401, headers: challenge }
            : { status, headers: { location: `${other.url}/there` } }
        )
        const { ask } = yield* session(server.host, {}, basic)
        for (const method of ["GET", "HEAD"] as const) {
          const answer = yield* ask(get("/v2/x", { method, headers, isRedirectable: true }))
          assert.strictEqual(yield* text(answer), method === "GET" ? "content" : "")
        }
        for (const method of ["PUT", "POST", "PATCH", "DELETE"] as const) {
          const stream = Stream.make(new Uint8Array(10))
          const body = { stream, contentType: "application/octet-stream", isRepeatable: true }
          const { reason } = yield* Effect.flip(ask({ ...get("/v2/x", { method }), body }))
          assert.strictEqual(reason._tag, "UnsafeRedirect")
        }
        // Also where it does not listen
        const { reason } = yield* Effect.flip(ask(get("/v2/x", { isRedirectable: false })))
        assert.strictEqual(reason._tag, "UnsafeRedirect")
      }
      assert.lengthOf(other.seen, 10)
      for (const { headers } of other.seen) {
        assert.notInclude(JSON.stringify(headers), "secret")
        assert.isUndefined(headers["authorization"])
        assert.isUndefined(headers["traceparent"])
      }
    }))

  it.live("is not followed by the client itself, whatever it was told", () =>
    Effect.gen(function*() {
      const other = yield* serve(() => ({ body: "content" }))
      const server = yield* serve(() => ({ status: 307, headers: { location: `${other.url}/there` } }))
      const eager = Layer.effect(
        HttpClient.HttpClient,
        Effect.map(
          HttpClient.HttpClient,
          HttpClient.transformResponse(
            Effect.provideService(FetchHttpClient.RequestInit, { redirect: "follow" })
          )
        )
      ).pipe(Layer.provide(FetchHttpClient.layer))
      const { ask } = yield* session(server.host, hasty, undefined, eager)
      const { reason } = yield* Effect.flip(ask(get("/v2/x", { isRedirectable: true })))
      assert.deepInclude(reason, { _tag: "Misbehaved", found: "redirects that the HTTP client follows by itself" })
    }))

  it.live("is told what it was told before", () =>
    Effect.gen(function*() {
      const server = yield* serve(() => ({}))
      const { ask } = yield* Effect.provideService(session(server.host), FetchHttpClient.RequestInit, {
        headers: { "x-own": "1" }
      })
      yield* ask(get("/v2/"))
      assert.strictEqual(server.seen[0]?.headers["x-own"], "1")
    }))
})

describe("what the registry names", () => {
  const cases: ReadonlyArray<readonly [url: string, from: string | undefined, expected: string | undefined]> = [
    ["/v2/a/blobs/uploads/1?_state=a%2Fb==", undefined, "/v2/a/blobs/uploads/1?_state=a%2Fb=="],
    ["https://reg.example:5000/v2/x?y", undefined, "/v2/x?y"],
    ["?last=b", "/v2/_catalog?last=a", "/v2/_catalog?last=b"],
    ["2", "/v2/uploads/1", "/v2/uploads/2"],
    ["https://reg.example/v2/x", undefined, undefined],
    ["https://reg.example:5001/v2/x", undefined, undefined],
    ["http://reg.example:5000/v2/x", undefined, undefined],
    ["https://evil.example:5000/v2/x", undefined, undefined],
    ["https://reg.example:5000@evil.example/v2/x", undefined, undefined],
    ["https://me@reg.example:5000/v2/x", undefined, undefined],
    ["//me@reg.example:5000/v2/x", undefined, undefined],
    ["//evil.example/v2/x", undefined, undefined],
    ["\\\\evil.example/v2/x", undefined, undefined],
    ["https://reg.example:5000\\@evil.example/v2/x", undefined, undefined],
    ["file:///etc/passwd", undefined, undefined]
  ]
  for (const [url, from, expected] of cases) {
    it.effect(`${url}: ${expected ?? "refused"}`, () =>
      Effect.gen(function*() {
        const { layer, seen } = everywhere(() => ({}))
        const { ask, sameOrigin } = yield* session("reg.example:5000", {}, basic, layer)
        for (const kind of ["upload location", "link"] as const) {
          const result = sameOrigin(kind, url, from)
          assert.strictEqual(Result.getOrUndefined(result), expected)
          if (Result.isFailure(result)) {
            assert.include(result.failure.message, `cannot follow the ${kind} at reg.example:5000: `)
            // Asked nevertheless, it is not followed either, with a body or without
            const body = { bytes: new Uint8Array(1), contentType: "x" }
            yield* Effect.flip(ask({ ...get(url, { method: "PUT" }), body }))
            assert.lengthOf(seen, 0)
          }
        }
      }))
  }
})
