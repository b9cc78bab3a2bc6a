import type * as Credentials from "@effect-oci/adapters/Credentials"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Retrying from "../src/internal/registry/retrying.ts"
import type * as Session from "../src/internal/registry/session.ts"
import { everywhere, get, hasty, type Reply, serve, session } from "./registrySession/servers.ts"

describe("Retry-After", () => {
  const now = Date.parse("2026-01-02T03:04:05Z")
  const cases: ReadonlyArray<readonly [header: string | undefined, seconds: number | undefined]> = [
    ["0", 0],
    ["120", 120],
    [" 7 ", 7],
    ["Fri, 02 Jan 2026 03:04:35 GMT", 30],
    ["Friday, 02-Jan-26 03:04:35 GMT", 30],
    ["Fri, 02 Jan 2026 03:00:00 GMT", 0],
    ["1e3", undefined],
    ["-5", undefined],
    ["1.5", undefined],
    ["soon", undefined],
    ["2026-01-02T03:04:35Z", undefined],
    ["Fri, 99 Jan 2026 03:04:35 GMT", undefined],
    ["9999999999999", undefined],
    ["", undefined],
    [undefined, undefined]
  ]
  for (const [header, seconds] of cases) {
    it(`${header}: ${seconds}`, () => {
      assert.deepStrictEqual(
        Option.map(Retrying.retryAfter(header, now), Duration.toSeconds),
        Option.fromUndefinedOr(seconds)
      )
    })
  }
})

/** When, in seconds, a registry that always gives the same answer is asked, and what comes of it. */
const times = (
  reply: Exclude<Reply, Function>,
  options: Session.Options = {},
  more: Partial<Session.Ask> = {},
  chance = 0.5
) =>
  Effect.gen(function*() {
    const asked: Array<number> = []
    let now = 0
    const { layer } = everywhere(() => {
      asked.push(now)
      return reply
    })
    const { ask } = yield* session("reg.example", options, undefined, layer)
    const fiber = yield* Effect.forkChild(Effect.flip(ask(get("/v2/", more))))
    for (let step = 0; step < 4000 && fiber.pollUnsafe() === undefined; step++) {
      yield* TestClock.adjust("100 millis")
      now = (step + 1) / 10
    }
    return { asked, error: yield* Fiber.join(fiber) }
  }).pipe(Effect.provideService(Random.Random, { nextDoubleUnsafe: () => chance, nextIntUnsafe: () => 0 }))

describe("an answer that may be another later", () => {
  it.effect("is waited for longer each time, at most five times", () =>
    Effect.gen(function*() {
      for (const status of [408, 429, 500, 502, 503, 504, 520]) {
        const { asked, error } = yield* times({ status })
        assert.deepStrictEqual(asked.map((time) => Math.round(time * 2) / 2), [0, 0.5, 1.5, 3.5, 7.5])
        assert.deepInclude(error.reason, { _tag: "Unavailable", status, attempts: 5 })
      }
    }))

  it.effect("is not waited for by all for the same time", () =>
    Effect.gen(function*() {
      const early = yield* times({ status: 503 }, {}, {}, 0)
      const late = yield* times({ status: 503 }, {}, {}, 0.999)
      assert.isAbove((late.asked[1] ?? 0) - (early.asked[1] ?? 0), 0.1)
    }))

  it.effect("is waited for as long as the server asks for", () =>
    Effect.gen(function*() {
      const { asked } = yield* times({ status: 429, headers: { "retry-after": "20" } })
      assert.deepStrictEqual(asked.map(Math.round), [0, 20, 40, 60, 80])
    }))

  it.effect("is waited for until the time that the server names", () =>
    Effect.gen(function*() {
      // The clock of the test begins in 1970
      const { asked } = yield* times({ status: 503, headers: { "retry-after": "Thu, 01 Jan 1970 00:00:30 GMT" } })
      assert.deepStrictEqual(asked.slice(0, 2).map(Math.round), [0, 30])
    }))

  it.effect("is not waited for longer than the server may ask for, nor longer than in all", () =>
    Effect.gen(function*() {
      const { asked, error } = yield* times({ status: 429, headers: { "retry-after": "86400" } })
      assert.deepStrictEqual(asked.map(Math.round), [0, 60, 120])
      assert.deepInclude(error.reason, { _tag: "Unavailable", attempts: 3 })
      const short = yield* times({ status: 429, headers: { "retry-after": "86400" } }, {
        retry: { longestDelay: "10 seconds", total: "25 seconds" }
      })
      assert.deepStrictEqual(short.asked.map(Math.round), [0, 10, 20])
    }))

  it.effect("is waited for as usual where the server talks nonsense, or is in a hurry", () =>
    Effect.gen(function*() {
      for (const header of ["soon", "-1", "NaN", "0", "Thu, 01 Jan 1970 00:00:00 GMT"]) {
        const { asked } = yield* times({ status: 503, headers: { "retry-after": header } })
        assert.deepStrictEqual(asked.map((time) => Math.round(time * 2) / 2), [0, 0.5, 1.5, 3.5, 7.5])
      }
    }))

  it.effect("is one attempt where that is wanted", () =>
    Effect.gen(function*() {
      const { asked, error } = yield* times({ status: 503 }, { retry: { attempts: 1 } })
      assert.lengthOf(asked, 1)
      assert.strictEqual(
        error.message,
        "cannot ask at reg.example: the registry answered with status 503: try again later"
      )
    }))

  it.effect("is final for what must not happen twice, unless that is allowed", () =>
    Effect.gen(function*() {
      for (const [method, expected] of [["POST", 1], ["PUT", 1], ["PATCH", 1], ["DELETE", 5], ["HEAD", 5]] as const) {
        assert.lengthOf((yield* times({ status: 503 }, {}, { method })).asked, expected)
      }
      assert.lengthOf((yield* times({ status: 503 }, {}, { method: "PUT", isRetried: true })).asked, 5)
      assert.lengthOf((yield* times({ status: 503 }, {}, { isRetried: false })).asked, 1)
    }))

  it.effect("is not what others are", () =>
    Effect.gen(function*() {
      for (const status of [400, 404, 409, 416, 501, 505]) {
        assert.lengthOf((yield* times({ status })).asked, 1)
      }
    }))
})

describe("a body", () => {
  const basic: Credentials.Credential = { _tag: "Basic", username: "me", password: Redacted.make("x") }

  const ask = (isRepeatable: boolean) => {
    let begun = 0
    const stream = Stream.suspend(() => {
      begun++
      return Stream.make(new TextEncoder().encode("content"))
    })
    const body = { stream, contentType: "x", isRepeatable }
    return { asked: { ...get("/v2/", { method: "PUT", isRetried: true }), body }, begun: () => begun }
  }

  it.live("that can be sent again is", () =>
    Effect.gen(function*() {
      let count = 0
      const server = yield* serve(() => ({ status: ++count < 3 ? 503 : 200 }))
      const { ask: send } = yield* session(server.host, hasty)
      yield* send(ask(true).asked)
      assert.deepStrictEqual(server.seen.map(({ body }) => body), ["content", "content", "content"])
    }))

  it.live("that cannot is not, also not with credentials", () =>
    Effect.gen(function*() {
      for (const status of [503, 401]) {
        const server = yield* serve(() => ({ status, headers: { "www-authenticate": `Basic realm="x"` } }))
        const { ask: send } = yield* session(server.host, hasty, basic)
        const { asked, begun } = ask(false)
        const { reason } = yield* Effect.flip(send(asked))
        assert.strictEqual(reason._tag, status === 503 ? "Unavailable" : "Unauthorized")
        assert.strictEqual(begun(), 1)
        assert.lengthOf(server.seen, 1)
      }
    }))
})

describe("a connection", () => {
  it.live("that is cut is tried again", () =>
    Effect.gen(function*() {
      let count = 0
      const server = yield* serve(() => ++count < 3 ? (response) => void response.socket?.destroy() : { body: "ok" })
      const { ask } = yield* session(server.host, hasty)
      yield* ask(get("/v2/"))
      assert.strictEqual(count, 3)
    }))

  it.live("that nobody takes fails with the system's reason and the number of attempts", () =>
    Effect.gen(function*() {
      const server = yield* Effect.scoped(serve(() => ({})))
      const { ask } = yield* session(server.host, { retry: { delay: 1 } })
      const { message, reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.deepInclude(reason, { _tag: "Unreachable", code: "ECONNREFUSED", attempts: 3 })
      assert.strictEqual(message, `cannot ask at ${server.host}: the connection failed 3 times (ECONNREFUSED)`)
    }))

  it.live("to a host that no URL can have is not tried", () =>
    Effect.gen(function*() {
      const { ask } = yield* session("999.1.1.1", hasty)
      const { reason } = yield* Effect.flip(ask(get("/v2/")))
      assert.deepInclude(reason, { _tag: "Unreachable", code: "ERR_INVALID_URL", attempts: 0 })
    }))
})
