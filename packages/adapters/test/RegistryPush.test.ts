/** What is pushed through a network that does not work: whole or not at all, and nothing is left half-done. */
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as Registry from "@effect-oci/adapters/Registry"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { afterAll, beforeAll } from "vitest"
import { sha256 } from "./archives.ts"
import { judge } from "./judges.ts"
import { services, skopeo } from "./registry/clients.ts"
import * as CuttingProxy from "./registry/cuttingProxy.ts"
import * as DockerRegistry from "./registry/dockerRegistry.ts"
import * as Images from "./registry/images.ts"
import { temporaryDirectory } from "./temporary.ts"

const isThorough = process.env["CI"] === "true"

const patient: Registry.Options = { retry: { delay: "2 millis", attempts: 12 } }

const isUpload = (url: string) => url.includes("/blobs/uploads/")

describe.skipIf(!judge("docker-registry") || !judge("skopeo"))("push to docker-registry", () => {
  const scope = Scope.makeUnsafe()
  const directory = temporaryDirectory()
  let registry: DockerRegistry.Registry
  beforeAll(async () => {
    registry = await Effect.runPromise(Scope.provide(DockerRegistry.make(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  /**
   * How many uploads were begun, and how many cancelled. From this registry's own files nothing can be learned: it keeps what
   * it has of an upload that was cut off, even when it is deleted.
   */
  const uploads = ({ exchanges }: CuttingProxy.Proxy) => {
    const count = (asked: string) => exchanges.filter(({ method, url }) => method === asked && isUpload(url)).length
    return { begun: count("POST"), cancelled: count("DELETE") }
  }

  it.live("begins anew where it was cut off, and is exact", () =>
    Effect.gen(function*() {
      const random = CuttingProxy.numbers(2)
      let faults = 0
      const proxy = yield* CuttingProxy.make(registry.host, ({ method }) => {
        if (random() < 0.7) return undefined
        faults++
        const after = Math.floor(random() ** 2 * 1_500_000)
        const kinds: ReadonlyArray<CuttingProxy.Fault> = method === "PUT" || method === "PATCH"
          ? [{ kind: "cut the request", after }, { kind: "lose the answer" }, { kind: "turn away", status: 503 }]
          : [{ kind: "lose the answer" }, { kind: "turn away", status: random() < 0.5 ? 429 : 503 }]
        return kinds[Math.floor(random() * kinds.length)]
      })
      let pushed = 0
      const rounds = isThorough ? 50 : 6
      for (let round = 0; round < rounds; round++) {
        const source = yield* Images.memory
        const image = yield* Images.put(source, round, [1_500_000, 300_000, 30])
        const path = `push/cuts${round}`
        const target = yield* Registry.open(`${proxy.host}/${path}`, patient)
        const copied = yield* Effect.result(Copy.image("latest", { source, target, as: Option.some("latest") }))
        if (copied._tag === "Failure") {
          // A tag is never pushed twice where it may have been pushed: that it could not be seen is told
          const error = copied.failure
          const reason = error._tag === "BlobFailed" ? error.cause.message : error.message
          assert.match(reason, /push the manifest latest .* the connection failed/)
          continue
        }
        pushed++
        const direct = yield* Registry.open(`${registry.host}/${path}`)
        assert.deepStrictEqual(yield* Images.damaged(image, source, direct), [])
        if (!isThorough && round > 1) continue
        const judged = join(directory, `round${round}`)
        yield* skopeo(`docker://${registry.host}/${path}:latest`, `oci:${judged}:latest`)
        assert.strictEqual(readdirSync(join(judged, "blobs/sha256")).length, image.blobs.length)
      }
      assert.isAbove(faults, rounds)
      assert.isAtLeast(pushed, rounds * 0.7)
    }).pipe(Effect.provide(services()), Effect.scoped), isThorough ? 300_000 : 20_000)

  it.live("sends again what it still has where content cannot be read again", () =>
    Effect.gen(function*() {
      let count = 0
      const proxy = yield* CuttingProxy.make(
        registry.host,
        ({ method }) => method === "PATCH" && count++ === 0 ? { kind: "cut the request", after: 100_000 } : undefined
      )
      const { blobs } = yield* Registry.open(`${proxy.host}/push/once`, patient)
      const bytes = Images.noise(1, 20_000_000)
      const blob = yield* blobs.put(Stream.fromIterable([bytes.subarray(0, 9_000_000), bytes.subarray(9_000_000)]))
      assert.strictEqual(blob.digest, sha256(bytes))
      assert.isTrue(Buffer.from(bytes).equals(yield* Stream.mkUint8Array(blobs.get(blob))))
      assert.deepStrictEqual(uploads(proxy), { begun: 2, cancelled: 1 })
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("finds out what was done where the answer is lost", () =>
    Effect.gen(function*() {
      const proxy = yield* CuttingProxy.make(
        registry.host,
        ({ method, url }) =>
          method === "PUT" && (isUpload(url) || url.endsWith("/latest")) ? { kind: "lose the answer" } : undefined
      )
      const target = yield* Registry.open(`${proxy.host}/push/silent`, patient)
      const bytes = Images.noise(6, 9_000_000)
      const blob = yield* target.blobs.put(Stream.succeed(bytes))
      assert.isTrue(Buffer.from(bytes).equals(yield* Stream.mkUint8Array(target.blobs.get(blob))))
      const source = yield* Images.memory
      yield* Images.put(source, 1, [1000])
      yield* Copy.image("latest", { source, target, as: Option.some("latest") })
      const puts = proxy.exchanges.filter(({ method, url }) => method === "PUT" && isUpload(url))
      assert.strictEqual(puts.length, 3)
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("says so where it cannot go on, and leaves nothing", () =>
    Effect.gen(function*() {
      let count = 0
      const proxy = yield* CuttingProxy.make(
        registry.host,
        ({ method }) => method === "PATCH" && count++ === 1 ? { kind: "cut the request", after: 100_000 } : undefined
      )
      const { blobs } = yield* Registry.open(`${proxy.host}/push/lost`, patient)
      const bytes = Images.noise(2, 20_000_000)
      const error = yield* Effect.flip(blobs.put(Stream.succeed(bytes)))
      assert.strictEqual(error._tag, "RegistryError")
      assert.match(error.message, /cannot push the blob .*push\/lost: the connection failed/)
      assert.isFalse(yield* blobs.has({ digest: sha256(bytes), size: bytes.length }))
      assert.deepStrictEqual(uploads(proxy), { begun: 1, cancelled: 1 })
    }).pipe(Effect.provide(services()), Effect.scoped))

  it.live("is interrupted at once, and leaves no upload", () =>
    Effect.gen(function*() {
      const proxy = yield* CuttingProxy.make(registry.host, () => undefined)
      const { blobs } = yield* Registry.open(`${proxy.host}/push/stopped`)
      const bytes = Images.noise(3, 12_000_000)
      for (const [round, isReadAgain] of [false, true].entries()) {
        const reached = yield* Deferred.make<void>()
        const content = Stream.concat(
          Stream.succeed(bytes),
          Stream.fromEffect(Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
        )
        const blob = { digest: sha256(Buffer.concat([bytes, bytes])), size: 2 * bytes.length }
        const source = { put: () => Effect.never, get: () => content, has: () => Effect.succeed(true) }
        const fiber = yield* Effect.forkChild(
          isReadAgain ? BlobStore.transfer(blob, source, blobs) : blobs.put(content, blob)
        )
        yield* Deferred.await(reached)
        yield* Effect.sleep("50 millis")
        assert.deepStrictEqual(uploads(proxy), { begun: round + 1, cancelled: round })
        const start = performance.now()
        yield* Fiber.interrupt(fiber)
        assert.isBelow(performance.now() - start, isThorough ? 100 : 1000)
        yield* Effect.sleep("50 millis")
        assert.deepStrictEqual(uploads(proxy), { begun: round + 1, cancelled: round + 1 })
      }
    }).pipe(Effect.provide(services()), Effect.scoped))
})

describe("push to a registry that keeps what was cut off", () => {
  const local = MemoryRegistry.layer().pipe(Layer.provideMerge(services()))

  it.live("goes on from where the registry is", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      let cuts = 0
      const proxy = yield* CuttingProxy.make(
        host,
        ({ method, url }) =>
          (method === "PATCH" || method === "PUT") && isUpload(url) && cuts++ % 2 === 0
            ? { kind: "cut the request", after: 3_000_000 }
            : undefined
      )
      const { blobs } = yield* Registry.open(`${proxy.host}/push/on`, patient)
      const bytes = Images.noise(4, 20_000_000)
      const blob = { digest: sha256(bytes), size: bytes.length }
      yield* blobs.put(Stream.succeed(bytes))
      const other = Images.noise(5, 9_000_000)
      const source = yield* Images.memory
      const known = yield* source.blobs.put(Stream.succeed(other))
      let told = 0
      yield* BlobStore.transfer(known, source.blobs, blobs, (length) => Effect.sync(() => void (told += length)))
      assert.strictEqual(told, known.size)
      const { blob: read, uploads } = yield* MemoryRegistry.MemoryRegistry
      assert.isTrue(Buffer.from(bytes).equals((yield* read("push/on", blob.digest)) ?? new Uint8Array()))
      assert.isTrue(Buffer.from(other).equals((yield* read("push/on", known.digest)) ?? new Uint8Array()))
      assert.deepStrictEqual(yield* uploads, [])
      // One session for each blob, however often it was cut off
      assert.strictEqual(proxy.exchanges.filter(({ method }) => method === "POST").length, 2)
      assert.isAbove(proxy.exchanges.filter(({ method, url }) => method === "GET" && isUpload(url)).length, 1)
    }).pipe(Effect.provide(local), Effect.scoped))
})
