/** What is pulled through a network that does not work: whole or not at all. */
import * as Registry from "@effect-oci/adapters/Registry"
import * as Copy from "@effect-oci/core/Copy"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import process from "node:process"
import { afterAll, beforeAll } from "vitest"
import { judge } from "./judges.ts"
import { services } from "./registry/clients.ts"
import * as CuttingProxy from "./registry/cuttingProxy.ts"
import * as DockerRegistry from "./registry/dockerRegistry.ts"
import * as Images from "./registry/images.ts"

const isThorough = process.env["CI"] === "true"

const patient: Registry.Options = { retry: { delay: "2 millis", attempts: 12 } }

describe.skipIf(!judge("docker-registry"))("pull", () => {
  const scope = Scope.makeUnsafe()
  let registry: DockerRegistry.Registry
  beforeAll(async () => {
    registry = await Effect.runPromise(Scope.provide(DockerRegistry.make(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /** An image in the registry, and in memory to compare it with. */
  const image = Effect.fnUntraced(function*(repository: string, sizes: readonly [number, ...ReadonlyArray<number>]) {
    const source = yield* Images.memory
    const made = yield* Images.put(source, repository.length, sizes)
    const target = yield* Registry.open(`${registry.host}/${repository}`)
    yield* Copy.image("latest", { source, target, as: Option.some("latest") })
    return { ...made, source }
  })

  const isLayer = (url: string) => url.includes("/blobs/")

  it.live("goes on where it was cut off, and is exact", () =>
    Effect.gen(function*() {
      const made = yield* image("pull/cuts", [3_000_000, 700_000, 70])
      const random = CuttingProxy.numbers(1)
      let faults = 0
      const proxy = yield* CuttingProxy.make(registry.host, ({ method }) => {
        if (method !== "GET" || random() < 0.3) return undefined
        faults++
        const after = Math.floor(random() ** 2 * 2_000_000)
        const kinds: ReadonlyArray<CuttingProxy.Fault> = [
          { kind: "cut the answer", after },
          { kind: "end the answer", after },
          { kind: "turn away", status: random() < 0.5 ? 429 : 503 },
          { kind: "ignore the range" },
          { kind: "lose the answer" }
        ]
        return kinds[Math.floor(random() * kinds.length)]
      })
      for (let round = 0; round < (isThorough ? 100 : 10); round++) {
        const target = yield* Images.memory
        const repository = yield* Registry.open(`${proxy.host}/pull/cuts`, patient)
        yield* Copy.image("latest", { source: repository, target, as: Option.some("latest") })
        assert.deepStrictEqual(yield* Images.damaged(made, made.source, target), [])
      }
      assert.isAbove(faults, 10)
      const resumed = proxy.exchanges.filter(({ range, url }) => isLayer(url) && range !== undefined)
      assert.isAbove(resumed.length, 5)
    }).pipe(Effect.provide(services()), Effect.scoped), isThorough ? 300_000 : 20_000)

  /** Reads the largest layer through a proxy. */
  const read = Effect.fnUntraced(function*(
    repository: string,
    faultOf: (request: { readonly range: string | undefined }, count: number) => CuttingProxy.Fault | undefined
  ) {
    const made = yield* image(repository, [3_000_000])
    let count = 0
    const proxy = yield* CuttingProxy.make(
      registry.host,
      (request) => request.method === "GET" ? faultOf(request, count++) : undefined
    )
    const { blobs } = yield* Registry.open(`${proxy.host}/${repository}`, patient)
    const [layer] = made.layers
    const found = yield* Effect.result(Stream.mkUint8Array(blobs.get(layer)))
    const expected = yield* Stream.mkUint8Array(made.source.blobs.get(layer))
    const error = Result.isFailure(found) ? found.failure : undefined
    const isExact = Result.isSuccess(found) && Buffer.from(expected).equals(found.success)
    return { error, isExact, proxy, layer }
  })

  it.live("asks for what is missing, and for no more", () =>
    Effect.gen(function*() {
      const { isExact, proxy } = yield* read(
        "pull/range",
        (_, count) => count === 0 ? { kind: "cut the answer", after: 2_000_000 } : undefined
      )
      assert.isTrue(isExact)
      assert.deepStrictEqual(proxy.exchanges.map(({ range }) => range), [undefined, "bytes=2000000-"])
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("drops what it had where all is sent again", () =>
    Effect.gen(function*() {
      const { isExact } = yield* read(
        "pull/all",
        (_, count) => count === 0 ? { kind: "cut the answer", after: 2_000_000 } : { kind: "ignore the range" }
      )
      assert.isTrue(isExact)
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("takes no part for another", () =>
    Effect.gen(function*() {
      const { error } = yield* read(
        "pull/another",
        (_, count) => count === 0 ? { kind: "cut the answer", after: 2_000_000 } : { kind: "send another range" }
      )
      assert.strictEqual(error?._tag, "RegistryError")
      assert.match(
        error?.message ?? "",
        /asked for the bytes from 2000000 to 2999999, it sends "bytes 1-2999999\/3000000"/
      )
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("ends where content does not", () =>
    Effect.gen(function*() {
      const { error, layer, proxy } = yield* read("pull/endless", () => ({ kind: "never end" }))
      assert.strictEqual(error?._tag, "SizeMismatch")
      assert.isAbove(proxy.sent(), layer.size)
      assert.isBelow(proxy.sent(), 40_000_000)
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("never takes an early end for the end", () =>
    Effect.gen(function*() {
      const { isExact } = yield* read("pull/early", (_, count) =>
        count < 4 ? { kind: "end the answer", after: 500_000 } : undefined)
      assert.isTrue(isExact)
    }).pipe(Effect.provide(services()), Effect.scoped))
})
