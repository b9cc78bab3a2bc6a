import * as BlobStore from "@effect-oci/core/BlobStore"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { digestOf, services } from "./services.ts"

const provided = Effect.provide(services)

const content = new Uint8Array([1, 2, 3, 4, 5, 6])
const blob = { digest: digestOf(content), size: content.length }

/** What is handed on, and how it ends. */
const verified = (expected: BlobStore.Blob, ...chunks: ReadonlyArray<Uint8Array>) => {
  const seen: Array<number> = []
  return Stream.fromIterable(chunks).pipe(
    BlobStore.verify("the store", expected),
    Stream.runForEach((chunk) => Effect.sync(() => seen.push(...chunk))),
    Effect.match({ onFailure: (error) => error.message, onSuccess: () => "success" }),
    Effect.map((end) => ({ seen, end }))
  )
}

const size = (found: string) =>
  `the blob ${blob.digest} in the store has another size: expected 6 bytes, found ${found}`

describe("verify", () => {
  const cases: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, ReadonlyArray<number>, string]> = [
    ["hands on what is right, in one chunk", [content], [1, 2, 3, 4, 5, 6], "success"],
    [
      "hands on what is right, in several",
      [content.slice(0, 2), new Uint8Array(), content.slice(2)],
      [1, 2, 3, 4, 5, 6],
      "success"
    ],
    ["keeps back the last chunk of what is cut", [content.slice(0, 2), content.slice(2, 5)], [1, 2], size("5")],
    ["keeps back everything of nothing", [], [], size("0")],
    ["stops at the chunk that is too much", [content, content, content], [], size("at least 12")],
    [
      "keeps back the last chunk of another content",
      [content.slice(0, 3), new Uint8Array([4, 5, 7])],
      [1, 2, 3],
      `the content of a blob in the store is not what its digest says: expected ${blob.digest}, found ${
        digestOf(new Uint8Array([1, 2, 3, 4, 5, 7]))
      }`
    ]
  ]
  it.effect.each(cases)("%s", ([, chunks, seen, end]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* verified(blob, ...chunks), { seen, end })
    }).pipe(provided))

  it.effect("takes the empty blob for what it is", () =>
    Effect.gen(function*() {
      const empty = { digest: digestOf(new Uint8Array()), size: 0 }
      assert.deepStrictEqual(yield* verified(empty), { seen: [], end: "success" })
      assert.strictEqual((yield* verified({ ...blob, size: 0 })).end.slice(0, 22), "the content of a blob ")
    }).pipe(provided))

  it.effect("hashes with the digest's own algorithm, each time anew", () =>
    Effect.gen(function*() {
      const stream = Stream.succeed(content).pipe(
        BlobStore.verify("the store", { digest: digestOf(content, "sha512"), size: 6 })
      )
      assert.deepStrictEqual(yield* Stream.mkUint8Array(stream), content)
      assert.deepStrictEqual(yield* Stream.mkUint8Array(stream), content)
    }).pipe(provided))

  it.effect("passes on what the content fails with", () =>
    Effect.gen(function*() {
      const stream = Stream.concat(Stream.succeed(content), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(BlobStore.verify("s", blob)(stream))), "broken")
    }).pipe(provided))
})

describe("putBytes and getBytes", () => {
  it.effect("keep a document", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* BlobStore.putBytes(content), blob)
      assert.deepStrictEqual(yield* BlobStore.getBytes(blob), content)
    }).pipe(provided))

  it.effect("refuse what is too large before it is read", () =>
    Effect.gen(function*() {
      for (const size of [4 * 1024 * 1024 + 1, Number.MAX_SAFE_INTEGER]) {
        const error = yield* Effect.flip(BlobStore.getBytes({ ...blob, size }))
        assert.strictEqual(error._tag, "LimitExceeded")
      }
      assert.strictEqual((yield* Effect.flip(BlobStore.getBytes(blob, 5)))._tag, "LimitExceeded")
    }).pipe(provided))
})

describe("copy", () => {
  const refuse = () => assert.fail("nothing is asked for")
  const source: BlobStore.Store = { put: refuse, get: () => Stream.succeed(content), has: refuse }
  /** A store that tells what it is asked for. */
  const target = (has: boolean, taken?: boolean) => {
    const asked: Array<string> = []
    const told = <A>(name: string, answer: A) =>
      Effect.sync(() => {
        asked.push(name)
        return answer
      })
    const store: BlobStore.Store = {
      put: (stream, expected) => Effect.andThen(Stream.runDrain(stream), told(`put ${expected?.size}`, blob)),
      get: refuse,
      has: () => told("has", has),
      ...(taken === undefined ? {} : { take: (_, from) => told(from === source ? "take" : "another", taken) })
    }
    return { asked, store }
  }
  const cases: ReadonlyArray<readonly [string, ReturnType<typeof target>, ReadonlyArray<string>]> = [
    ["does nothing where the blob is", target(true, true), ["has"]],
    ["streams into a store that cannot take", target(false), ["has", "put 6"]],
    ["streams where the store does not know the other", target(false, false), ["has", "take", "put 6"]],
    ["is done when the store has taken it", target(false, true), ["has", "take"]]
  ]
  it.effect.each(cases)("%s", ([, { asked, store }, expected]) =>
    Effect.gen(function*() {
      yield* BlobStore.copy(blob, source, store)
      assert.deepStrictEqual(asked, expected)
    }))
})

describe("StoreIo", () => {
  it("says what the system's code means", () => {
    const error = new BlobStore.StoreIo({ operation: "write", path: "/x", code: "ENOSPC" })
    assert.strictEqual(error.message, "cannot write /x: no space is left on the device (ENOSPC)")
    assert.strictEqual(
      new BlobStore.StoreIo({ operation: "write", path: "/x", code: "EXOTIC" }).message,
      "cannot write /x: EXOTIC (EXOTIC)"
    )
  })
})
