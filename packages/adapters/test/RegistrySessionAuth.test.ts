import * as Credentials from "@effect-oci/adapters/Credentials"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as Address from "../src/internal/registry/address.ts"
import * as Challenge from "../src/internal/registry/challenge.ts"
import * as Scopes from "../src/internal/registry/scope.ts"
import * as Session from "../src/internal/registry/session.ts"
import { everywhere, get, hasty, type Reply, type Seen, serve, session } from "./registrySession/servers.ts"

const basic: Credentials.Credential = { _tag: "Basic", username: "me", password: Redacted.make("pass word") }
const basicHeader = `Basic ${btoa("me:pass word")}`
const identity: Credentials.Credential = { _tag: "IdentityToken", token: Redacted.make("refresh me") }
const ready: Credentials.Credential = { _tag: "RegistryToken", token: Redacted.make("ready") }

const bearer = (realm: string, more = "") => ({
  "www-authenticate": `Bearer realm="${realm}",service="registry"${more}`
})

const pull = { repository: "a/b", actions: ["pull"] as const }

describe("challenges", () => {
  const bearerOf = (realm: string, service?: string, ...scopes: ReadonlyArray<string>) =>
    Option.some({ _tag: "Bearer" as const, realm, service, scopes })
  const basicOnly = Option.some({ _tag: "Basic" as const })
  const cases: ReadonlyArray<readonly [header: string, expected: Option.Option<Challenge.Challenge>]> = [
    [
      `Bearer realm="https://a.example/token",service="a",scope="repository:b:pull"`,
      bearerOf("https://a.example/token", "a", "repository:b:pull")
    ],
    [`bearer Realm=https`, bearerOf("https")],
    [`BEARER realm = "r" , scope="x:y:pull  p:q:push"`, bearerOf("r", undefined, "x:y:pull", "p:q:push")],
    [`Basic realm="x", Bearer realm="r", error="invalid_token"`, bearerOf("r")],
    [`Bearer realm="a \\"quoted\\" , Basic realm=x"`, bearerOf(`a "quoted" , Basic realm=x`)],
    [`Negotiate abc==, Basic realm="y"`, basicOnly],
    [`Negotiate, Basic realm="y", charset="UTF-8"`, basicOnly],
    [`Basic`, basicOnly],
    [`,, ,Basic realm="x",,`, basicOnly],
    [`Bearer service="no realm", Basic realm="x"`, basicOnly],
    [`Bearer realm="first", realm="second"`, bearerOf("first")],
    [`Digest realm="x"`, Option.none()],
    [`realm="x"`, Option.none()],
    [`"`, Option.none()],
    [`Basic realm="${"x".repeat(9000)}"`, Option.none()],
    [``, Option.none()]
  ]
  for (const [header, expected] of cases) {
    it(`are read: ${header.slice(0, 60)}`, () => {
      assert.deepStrictEqual(Challenge.parse(header), expected)
    })
  }

  it("is read in time that grows with the header only", () => {
    for (const part of ["a,", "a=", `"`, `\\"`, "a ", "Basic a=\"", ", "]) {
      const start = performance.now()
      Challenge.parse(part.repeat(8192 / part.length))
      assert.isBelow(performance.now() - start, 200)
    }
  })
})

it("merges scopes", () => {
  assert.deepStrictEqual(
    Scopes.merge([
      "repository:b:push,pull",
      "registry:catalog:*",
      "repository:a:pull",
      "repository:b:delete",
      "repository:h:5:pull"
    ]),
    ["registry:catalog:*", "repository:a:pull", "repository:b:delete,pull,push", "repository:h:5:pull"]
  )
})

describe("tokens", () => {
  const tokenUrl = "https://reg.example/token"

  /** A registry that takes one token, the first unless another is said; each that is asked for is a new one: t1, t2 … */
  const fickle = (more = "") => {
    let good = "t1"
    let count = 0
    const { layer, seen } = everywhere(({ headers, url }) =>
      url.startsWith(tokenUrl)
        ? { body: `{"token":"t${++count}"}` }
        : headers["authorization"] === `Bearer ${good}`
        ? {}
        : { status: 401, headers: bearer(tokenUrl, more) }
    )
    return { layer, seen, only: (token: string) => void (good = token) }
  }

  /** A registry that gives and takes tokens: the newest one only. */
  const registry = (token: (count: number, seen: Seen) => Reply = (count) => ({ body: `{"token":"t${count}"}` })) => {
    let count = 0
    return everywhere((seen) => {
      if (seen.url.startsWith(tokenUrl)) {
        const reply = token(++count, seen)
        return typeof reply === "function" ? {} : reply
      }
      return seen.headers["authorization"] === `Bearer t${count}` ? { body: "ok" } : {
        status: 401,
        headers: bearer(tokenUrl, `,scope="repository:a/b:pull"`)
      }
    })
  }
  const tokensOf = (seen: ReadonlyArray<Seen>) => seen.filter(({ url }) => url.startsWith(tokenUrl))

  it.effect("are fetched when they are asked for, for what is done", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry()
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/a/b/tags/list", { ...pull, scopes: ["repository:z:pull"] }))
      assert.deepStrictEqual(seen.map(({ headers, url }) => [url, headers["authorization"]]), [
        ["https://reg.example/v2/a/b/tags/list", undefined],
        [`${tokenUrl}?service=registry&scope=repository%3Aa%2Fb%3Apull&scope=repository%3Az%3Apull`, undefined],
        ["https://reg.example/v2/a/b/tags/list", "Bearer t1"]
      ])
    }))

  it.effect("are fetched for what the registry wants where the request says nothing", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry()
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/"))
      assert.strictEqual(tokensOf(seen)[0]?.url, `${tokenUrl}?service=registry&scope=repository%3Aa%2Fb%3Apull`)
    }))

  it.effect("are asked for with a name and a password", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry()
      const { ask } = yield* session("reg.example", {}, basic, layer)
      yield* ask(get("/v2/", pull))
      assert.deepStrictEqual(seen.map(({ headers }) => headers["authorization"]), [undefined, basicHeader, "Bearer t1"])
    }))

  it.effect("are found under either name, and not where they are empty", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry(() => ({ body: `{"token":"","access_token":"t1"}` }))
      const { ask } = yield* session("reg.example", {}, basic, layer)
      yield* ask(get("/v2/", pull))
      assert.strictEqual(seen.at(-1)?.headers["authorization"], "Bearer t1")
    }))

  it.effect("are asked for with an identity token, in the body", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry((count) => ({ body: `{"access_token":"t${count}","expires_in":300}` }))
      const { ask } = yield* session("reg.example", {}, identity, layer)
      yield* ask(get("/v2/", { ...pull, scopes: ["repository:z:pull"] }))
      const [token] = tokensOf(seen)
      assert.deepStrictEqual([token?.method, token?.url, token?.headers["authorization"]], [
        "POST",
        tokenUrl,
        undefined
      ])
      assert.strictEqual(
        token?.body,
        "grant_type=refresh_token&client_id=effect-oci&refresh_token=refresh+me&service=registry" +
          "&scope=repository%3Aa%2Fb%3Apull+repository%3Az%3Apull"
      )
    }))

  it.effect("that are ready are sent as they are", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ headers }) =>
        headers["authorization"] === "Bearer ready" ? {} : { status: 401, headers: bearer(tokenUrl) }
      )
      const { ask } = yield* session("reg.example", {}, ready, layer)
      yield* ask(get("/v2/", pull))
      assert.lengthOf(seen, 2)
    }))

  it.effect("are kept until they expire, and then fetched before they are refused", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry((count) => ({ body: `{"token":"t${count}","expires_in":100}` }))
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/", pull))
      yield* TestClock.adjust("89 seconds")
      yield* ask(get("/v2/", pull))
      assert.lengthOf(tokensOf(seen), 1)
      yield* TestClock.adjust("2 seconds")
      yield* ask(get("/v2/", pull))
      assert.lengthOf(tokensOf(seen), 2)
      // No request was refused but the first
      assert.lengthOf(seen, 6)
    }))

  it.effect("live for a minute where nothing else is said", () =>
    Effect.gen(function*() {
      for (const body of [`{"token":"t1"}`, `{"token":"t1","expires_in":"x"}`, `{"token":"t1","expires_in":-1}`]) {
        const { layer, seen } = everywhere(({ headers, url }) =>
          url.startsWith(tokenUrl)
            ? { body }
            : headers["authorization"] === undefined
            ? { status: 401, headers: bearer(tokenUrl) }
            : {}
        )
        const { ask } = yield* session("reg.example", {}, undefined, layer)
        for (const [wait, expected] of [["0 seconds", 1], ["50 seconds", 1], ["10 seconds", 2]] as const) {
          yield* TestClock.adjust(wait)
          yield* ask(get("/v2/", pull))
          assert.lengthOf(tokensOf(seen), expected)
        }
      }
    }))

  it.effect("are fetched once anew when they are refused before they expire", () =>
    Effect.gen(function*() {
      const { layer, only, seen } = fickle()
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/", pull))
      yield* TestClock.adjust("1 second")
      only("t2")
      yield* ask(get("/v2/", pull))
      assert.lengthOf(tokensOf(seen), 2)
      yield* TestClock.adjust("1 second")
      only("none")
      const error = yield* Effect.flip(ask(get("/v2/", pull)))
      assert.strictEqual(error.reason._tag, "Unauthorized")
      assert.lengthOf(tokensOf(seen), 3)
    }))

  it.effect("that the registry has refused are not kept, even if it names another scope", () =>
    Effect.gen(function*() {
      const { layer, only, seen } = fickle(`,scope="repository:a/b:pull,push"`)
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/", pull))
      yield* TestClock.adjust("1 second")
      only("t2")
      yield* ask(get("/v2/", pull))
      yield* TestClock.adjust("1 second")
      only("t3")
      const before = seen.length
      yield* ask(get("/v2/", pull))
      // A new token at once, and not the old one first
      assert.deepStrictEqual(seen.slice(before).map(({ headers }) => headers["authorization"]), [
        undefined,
        "Bearer t3"
      ])
    }))

  it.effect("are fetched for more where the registry wants that", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ headers, url }) => {
        if (url.startsWith(tokenUrl)) return { body: `{"token":"${url.includes("special") ? "more" : "less"}"}` }
        if (headers["authorization"] === "Bearer more") return {}
        return { status: 401, headers: bearer(tokenUrl, `,scope="special:x:go",error="insufficient_scope"`) }
      })
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* ask(get("/v2/", pull))
      assert.deepStrictEqual(tokensOf(seen).map(({ url }) => new URL(url).searchParams.getAll("scope")), [
        ["repository:a/b:pull"],
        ["repository:a/b:pull", "special:x:go"]
      ])
    }))

  it.effect("are not mixed up between scopes, nor by what the registry wants of others", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(({ headers, url }) => {
        const { pathname, searchParams } = new URL(url)
        if (url.startsWith(tokenUrl)) return { body: `{"token":"${searchParams.getAll("scope").join("+")}"}` }
        const [, , repository = ""] = pathname.split("/")
        return headers["authorization"]?.includes(repository) === true
          ? {}
          : { status: 401, headers: bearer(tokenUrl, `,scope="x:${pathname}:pull"`) }
      })
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      for (const repository of ["one", "two"]) {
        yield* ask(get(`/v2/${repository}/x`, { repository, actions: ["pull"] }))
      }
      yield* ask(get("/v2/"))
      assert.lengthOf(tokensOf(seen), 3)
      for (const repository of ["one", "two"]) {
        yield* ask(get(`/v2/${repository}/x`, { repository, actions: ["pull"] }))
      }
      assert.lengthOf(tokensOf(seen), 3)
      assert.lengthOf(seen, 10)
    }))

  it.live("are fetched once for all who wait", () =>
    Effect.gen(function*() {
      const server = yield* serve(({ headers, url }) => {
        if (url.startsWith("/token")) {
          return (response) => void setTimeout(() => response.end(`{"token":"t"}`), 100)
        }
        return headers["authorization"] === "Bearer t" ? {} : {
          status: 401,
          headers: bearer(`http://${headers["host"]}/token`)
        }
      })
      const { ask } = yield* session(server.host)
      const asks = Array.from({ length: 20 }, () => Effect.scoped(ask(get("/v2/", pull))))
      const first = yield* Effect.forkChild(asks[0] ?? Effect.die("none"))
      const others = yield* Effect.forkChild(Effect.all(asks.slice(1), { concurrency: "unbounded" }))
      yield* Effect.sleep("50 millis")
      // The one that began the fetch does not end it for the others
      yield* Fiber.interrupt(first)
      yield* Fiber.join(others)
      assert.lengthOf(server.seen.filter(({ url }) => url.startsWith("/token")), 1)
    }))

  const answers: ReadonlyArray<readonly [name: string, reply: Exclude<Reply, Function>, reason: string]> = [
    ["no JSON", { body: "<html>" }, "Misbehaved"],
    ["no token", { body: `{"expires_in":5}` }, "Misbehaved"],
    ["an empty token", { body: `{"token":""}` }, "Misbehaved"],
    ["a token that no header can hold", { body: `{"token":"a\\r\\nx: y"}` }, "Misbehaved"],
    ["too much", { body: `{"token":"t","x":"${"x".repeat(1024 * 1024)}"}` }, "Misbehaved"],
    ["a refusal", { status: 401 }, "Unauthorized"],
    ["a denial", { status: 403 }, "Unauthorized"],
    ["another error", { status: 400 }, "Refused"],
    ["trouble", { status: 503 }, "Unavailable"],
    ["a redirect away", { status: 302, headers: { location: "https://evil.example/t" } }, "UnsafeRedirect"],
    ["a redirect nowhere", { status: 302 }, "Misbehaved"]
  ]
  for (const [name, reply, reason] of answers) {
    it.live(`fails for ${name}`, () =>
      Effect.gen(function*() {
        const { layer, seen } = registry(() => reply)
        const { ask } = yield* session("reg.example", hasty, basic, layer)
        const error = yield* Effect.flip(ask(get("/v2/", pull)))
        assert.strictEqual(error.reason._tag, reason)
        assert.isFalse(seen.some(({ url }) => url.includes("evil")))
        // Retried here, and not a second time by who asked
        assert.lengthOf(tokensOf(seen), reason === "Unavailable" ? 5 : 1)
      }))
  }

  it.effect("may be elsewhere on the same origin", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry((_, { url }) =>
        url.startsWith(`${tokenUrl}2`) ? { body: `{"token":"t2"}` } : { status: 307, headers: { location: "/token2" } }
      )
      const { ask } = yield* session("reg.example", {}, basic, layer)
      yield* ask(get("/v2/", pull))
      assert.deepStrictEqual(tokensOf(seen).map(({ headers }) => headers["authorization"]), [basicHeader, basicHeader])
    }))

  it.effect("are not asked for elsewhere with an identity token", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry(() => ({ status: 307, headers: { location: "/token2" } }))
      const { ask } = yield* session("reg.example", {}, identity, layer)
      assert.strictEqual((yield* Effect.flip(ask(get("/v2/", pull)))).reason._tag, "UnsafeRedirect")
      assert.lengthOf(tokensOf(seen), 1)
    }))

  it.effect("of a server that goes on and on are not waited for", () =>
    Effect.gen(function*() {
      const { layer, seen } = registry(() => ({ status: 307, headers: { location: "/token" } }))
      const { ask } = yield* session("reg.example", {}, basic, layer)
      assert.strictEqual((yield* Effect.flip(ask(get("/v2/", pull)))).reason._tag, "UnsafeRedirect")
      assert.lengthOf(tokensOf(seen), 6)
    }))
})

describe("names and passwords", () => {
  const protectedBy = (header: string) =>
    everywhere(({ headers }) =>
      headers["authorization"] === basicHeader ? {} : { status: 401, headers: { "www-authenticate": header } }
    )

  it.effect("are sent when they are asked for, and from then on at once", () =>
    Effect.gen(function*() {
      const { layer, seen } = protectedBy(`Basic realm="x"`)
      const { ask } = yield* session("reg.example", {}, basic, layer)
      yield* ask(get("/v2/"))
      yield* ask(get("/v2/", pull))
      yield* ask(get("/v2/", pull))
      assert.deepStrictEqual(seen.map(({ headers }) => headers["authorization"]), [
        undefined,
        basicHeader,
        basicHeader,
        basicHeader
      ])
    }))

  it.effect("that are wrong are sent once", () =>
    Effect.gen(function*() {
      const { layer, seen } = everywhere(() => ({ status: 401, headers: { "www-authenticate": `Basic realm="x"` } }))
      const { ask } = yield* session("reg.example", {}, basic, layer)
      const { reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.deepInclude(reason, { _tag: "Unauthorized", isLoggedIn: true })
      assert.lengthOf(seen, 2)
    }))

  it.effect("are asked for where there are none", () =>
    Effect.gen(function*() {
      for (const header of [`Basic realm="x"`, "Digest x=y", ""]) {
        const { layer, seen } = protectedBy(header)
        const { ask } = yield* session("reg.example", {}, undefined, layer)
        const { message, reason } = yield* Effect.flip(ask(get("/v2/")))
        assert.deepInclude(reason, { _tag: "Unauthorized", isLoggedIn: false })
        assert.strictEqual(message, "cannot ask at reg.example: it wants to know who asks: log in to reg.example")
        assert.lengthOf(seen, 1)
      }
    }))

  it.effect("are not needed for what everybody may see", () =>
    Effect.gen(function*() {
      const { layer } = everywhere(({ url }) =>
        url.includes("private") ? { status: 401, headers: { "www-authenticate": `Basic realm="x"` } } : {}
      )
      const { ask } = yield* session("reg.example", {}, undefined, layer)
      yield* Effect.flip(ask(get("/v2/private", pull)))
      yield* ask(get("/v2/public", pull))
    }))

  it.effect("that cannot be had are an error, but only when they are needed", () =>
    Effect.gen(function*() {
      const cause = new Credentials.VariablesInvalid({ expected: "x", found: "y" })
      let status = 200
      const { layer } = everywhere(() => ({ status, headers: { "www-authenticate": `Basic realm="x"` } }))
      const { ask } = yield* Session.make("reg.example", {}).pipe(
        Effect.provideService(Credentials.Credentials, { find: () => Effect.fail(cause) }),
        Effect.provide(layer)
      )
      yield* ask(get("/v2/"))
      status = 401
      const { message, reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.deepInclude(reason, { _tag: "NoCredentials", cause })
      assert.strictEqual(message, "cannot ask at reg.example: the credentials for reg.example cannot be had")
    }))
})

describe("realms", () => {
  type Expected = "all" | "anonymous" | "none" | "no URL"
  const trusted: Session.Options = { trustedRealms: ["sso.other.example"] }
  const plain: Session.Options = { insecure: true }
  const cases: ReadonlyArray<
    readonly [registry: string, realm: string, expected: Expected, options?: Session.Options]
  > = [
    ["reg.example.com", "https://reg.example.com/token", "all"],
    ["reg.example.com", "https://REG.example.com:443/token", "all"],
    ["reg.example.com:5000", "https://reg.example.com:5000/token", "all"],
    ["reg.example.com:5000", "https://reg.example.com/token", "all"],
    ["docker.io", "https://auth.docker.io/token", "all"],
    ["registry.gitlab.com", "https://gitlab.com/jwt/auth", "all"],
    ["reg.example.co.uk", "https://auth.example.co.uk/token", "all"],
    ["reg.example.co.uk", "https://evil.co.uk/token", "anonymous"],
    ["me.azurecr.io", "https://evil.azurecr.io/token", "anonymous"],
    ["reg.example.com", "https://evil.example.net/token", "anonymous"],
    ["reg.example.com", "https://reg.example.com.evil.net/token", "anonymous"],
    ["reg.example.com", "https://notexample.com/token", "anonymous"],
    ["reg.example.com", "https://sso.other.example/token", "all", trusted],
    ["reg.example.com", "https://evil.other.example/token", "anonymous", trusted],
    ["reg.example.com", "http://reg.example.com/token", "none"],
    ["reg.example.com", "http://sso.other.example/token", "none", trusted],
    ["reg.example.com", "https://127.0.0.1/token", "none"],
    ["reg.example.com", "https://127.1/token", "none"],
    ["reg.example.com", "https://2130706433/token", "none"],
    ["reg.example.com", "https://0x7f.0.0.1/token", "none"],
    ["reg.example.com", "https://0177.0.0.1/token", "none"],
    ["reg.example.com", "https://[::1]/token", "none"],
    ["reg.example.com", "https://[::]/token", "none"],
    ["reg.example.com", "https://[::ffff:10.0.0.1]/token", "none"],
    ["reg.example.com", "https://[::ffff:a9fe:a9fe]/latest/meta-data", "none"],
    ["reg.example.com", "https://[64:ff9b::a00:1]/token", "none"],
    ["reg.example.com", "https://[fe80::1]/token", "none"],
    ["reg.example.com", "https://[fd00::1]/token", "none"],
    ["reg.example.com", "https://0.0.0.0/token", "none"],
    ["reg.example.com", "https://10.1.2.3/token", "none"],
    ["reg.example.com", "https://172.31.0.1/token", "none"],
    ["reg.example.com", "https://192.168.0.1/token", "none"],
    ["reg.example.com", "https://169.254.169.254/latest/meta-data", "none"],
    ["reg.example.com", "https://100.64.0.1/token", "none"],
    ["reg.example.com", "https://localhost/token", "none"],
    ["reg.example.com", "https://a.localhost./token", "none"],
    ["reg.example.com", "https://inside.example.com/token", "none"],
    ["reg.example.com", "https://8.8.8.8/token", "anonymous"],
    ["reg.example.com", "https://172.32.0.1/token", "anonymous"],
    ["reg.example.com", "https://user@reg.example.com/token", "none"],
    ["reg.example.com", "https://@reg.example.com/token", "none"],
    ["reg.example.com", "https://reg.example.com:x@evil.net/token", "none"],
    ["reg.example.com", "https://reg.example.com\\\\@evil.net/token", "no URL"],
    ["reg.example.com", "https://reg.example.com\\\\.evil.net/token", "no URL"],
    ["reg.example.com", "https://evil.net\t/token", "no URL"],
    ["reg.example.com", "/token", "no URL"],
    ["reg.example.com", "", "no URL"],
    ["reg.example.com", "file:///etc/passwd", "none"],
    ["reg.example.com", "javascript:alert(1)", "none"],
    ["reg.inside.example", "https://inside.example.com/token", "anonymous"],
    ["reg.inside.example", "https://sso.inside.example/token", "all"],
    ["10.0.0.1:5000", "https://10.0.0.2/token", "anonymous"],
    ["127.0.0.1:5000", "http://127.0.0.1:5001/token", "all"],
    ["127.0.0.1:5000", "http://[::1]:5001/token", "anonymous"],
    ["127.0.0.1:5000", "http://sso.example.com/token", "none"],
    ["reg.example.com", "http://reg.example.com:81/token", "all", plain],
    ["reg.example.com", "http://auth.example.com/token", "all", plain]
  ]
  const inside = new Set(["inside.example.com", "reg.inside.example", "sso.inside.example"])
  const lookup = Effect.provideService(
    Address.Lookup,
    (name: string) => Effect.succeed(inside.has(name) ? ["8.8.4.4", "10.9.8.7"] : ["8.8.8.8", "2001:4860:4860::8888"])
  )
  for (const [registry, realm, expected, options = {}] of cases) {
    const label = `${registry} ${JSON.stringify(realm)}${options.insecure === true ? " plain" : ""}: ${expected}`
    const asked = (credential: Credentials.Credential | undefined) =>
      Effect.gen(function*() {
        const challenge = bearer(realm)
        const { layer, seen } = everywhere(({ headers, url }) =>
          url.includes("/v2/")
            ? headers["authorization"] === "Bearer t" ? {} : { status: 401, headers: challenge }
            : { body: `{"token":"t"}` }
        )
        const { ask } = yield* session(registry, options, credential, layer)
        const result = yield* Effect.result(ask(get("/v2/", pull)))
        return { result, tokens: seen.filter(({ url }) => !url.includes("/v2/")) }
      }).pipe(lookup)
    it.effect(label, () =>
      Effect.gen(function*() {
        for (const credential of [undefined, basic, identity]) {
          const { result, tokens } = yield* asked(credential)
          const isFine = expected === "all" || (expected === "anonymous" && credential === undefined)
          assert.strictEqual(result._tag, isFine ? "Success" : "Failure")
          assert.lengthOf(tokens, isFine ? 1 : 0)
          if (result._tag === "Failure") {
            assert.deepInclude(
              result.failure.reason,
              expected === "no URL" ? { _tag: "Misbehaved" } : { _tag: "UnsafeRedirect", kind: "token realm" }
            )
          }
        }
      }))
  }
})
