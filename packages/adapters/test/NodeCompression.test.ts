import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as Compression from "@effect-oci/core/Compression"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import { gunzipSync, gzipSync } from "node:zlib"

const provided = Effect.provide(NodeCompression.layer)

const pieces = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.range(0, Math.ceil(bytes.length / size) - 1).pipe(
    Stream.map((index) => bytes.subarray(index * size, (index + 1) * size)),
    Stream.rechunk(3)
  )

const gzip = (content: Stream.Stream<Uint8Array>) =>
  Compression.Compression.use(({ gzip }) => Stream.mkUint8Array(gzip(content)))

const gunzip = (content: Stream.Stream<Uint8Array>) =>
  Compression.Compression.use(({ gunzip }) => Stream.mkUint8Array(gunzip(content)))

const text = new TextEncoder().encode("one line and another line\n".repeat(40_000))
const mixed = Buffer.concat([text, randomBytes(200_000), new Uint8Array(300_000)])

describe("gzip", () => {
  it.effect("writes one member with neither time nor name nor system", () =>
    Effect.gen(function*() {
      const bytes = yield* gzip(Stream.succeed(text))
      assert.deepStrictEqual([...bytes.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
      assert.deepStrictEqual(gunzipSync(bytes), Buffer.from(text))
    }).pipe(provided))

  it.effect("gives the same bytes however the content comes", () =>
    Effect.gen(function*() {
      const whole = yield* gzip(Stream.succeed(mixed))
      for (const size of [777, 4096, 65_536, 1_000_000]) {
        assert.isTrue(Buffer.from(whole).equals(yield* gzip(pieces(mixed, size))), `pieces of ${size}`)
      }
      assert.isTrue(gunzipSync(whole).equals(mixed))
    }).pipe(provided))

  it.effect("writes a member for no content at all", () =>
    Effect.gen(function*() {
      const bytes = yield* gzip(Stream.empty)
      assert.strictEqual(gunzipSync(bytes).length, 0)
      assert.strictEqual((yield* gunzip(Stream.succeed(bytes))).length, 0)
    }).pipe(provided))

  it.effect("passes on what the content fails with, also its own kind of error", () =>
    Effect.gen(function*() {
      const { gunzip, gzip } = yield* Compression.Compression
      const failing = Stream.concat(Stream.succeed(text), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(gzip(failing))), "broken")
      const error = yield* Effect.flip(Stream.runDrain(gzip(gunzip(Stream.succeed(text)))))
      assert.strictEqual(error._tag, "CorruptContent")
    }).pipe(provided))

  it.live("pulls its content only as its output is pulled", () =>
    Effect.gen(function*() {
      const { gzip } = yield* Compression.Compression
      let pulled = 0
      const content = Stream.range(1, 1000).pipe(
        Stream.rechunk(1),
        Stream.map(() => {
          pulled++
          return randomBytes(65_536)
        })
      )
      yield* Stream.runDrain(Stream.take(gzip(content), 3))
      assert.isBelow(pulled, 12)
    }).pipe(provided))

  it.live("is interrupted at once", () =>
    Effect.gen(function*() {
      const { gzip } = yield* Compression.Compression
      const endless = Stream.forever(Stream.succeed(randomBytes(1 << 20)))
      const fiber = yield* Effect.forkChild(Stream.runDrain(gzip(endless)))
      yield* Effect.sleep("50 millis")
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 100)
    }).pipe(provided))
})

const member = gzipSync("hello")

describe("gunzip", () => {
  const good: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["one member", member, "hello"],
    ["two members", Buffer.concat([member, member]), "hellohello"],
    ["an empty member among others", Buffer.concat([member, gzipSync(""), member]), "hellohello"]
  ]
  it.effect.each(good)("reads %s, in pieces of any size", ([, bytes, expected]) =>
    Effect.gen(function*() {
      for (let size = 1; size <= bytes.length; size++) {
        assert.strictEqual(new TextDecoder().decode(yield* gunzip(pieces(bytes, size))), expected)
      }
    }).pipe(provided))

  const corrupt = Buffer.from(member)
  corrupt.writeUInt8(corrupt.readUInt8(12) ^ 0x40, 12)
  const wrongCrc = Buffer.from(member)
  wrongCrc.writeUInt8(wrongCrc.readUInt8(member.length - 8) ^ 1, member.length - 8)
  const bad: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["nothing", new Uint8Array()],
    ["something else", text.subarray(0, 100)],
    ["a damaged member", corrupt],
    ["a wrong checksum", wrongCrc],
    ["a member that is cut", member.subarray(0, -3)],
    ["half a header behind a member", Buffer.concat([member, member.subarray(0, 5)])],
    ["garbage behind a member", Buffer.concat([member, Buffer.from("garbage")])],
    ["zeros behind a member", Buffer.concat([member, new Uint8Array(3)])],
    ["a member behind zeros", Buffer.concat([member, new Uint8Array(3), member])]
  ]
  it.effect.each(bad)("refuses %s, in pieces of any size", ([, bytes]) =>
    Effect.gen(function*() {
      for (let size = 1; size <= Math.max(1, bytes.length); size++) {
        const content = bytes.length === 0 ? Stream.empty : pieces(bytes, size)
        const error = yield* Effect.flip(gunzip(content))
        assert.strictEqual(error._tag, "CorruptContent", `pieces of ${size}`)
      }
    }).pipe(provided))

  it.live("holds back a content that explodes", () =>
    Effect.gen(function*() {
      const { gunzip } = yield* Compression.Compression
      const bomb = gzipSync(new Uint8Array(256 << 20))
      const before = process.memoryUsage().rss
      let largest = 0
      const size = yield* Stream.runFold(gunzip(Stream.succeed(bomb)), () => 0, (size, chunk) => {
        largest = Math.max(largest, chunk.length)
        return size + chunk.length
      })
      assert.strictEqual(size, 256 << 20)
      assert.isAtMost(largest, 1 << 20)
      assert.isBelow(process.memoryUsage().rss - before, 150 << 20)
    }).pipe(provided), 20_000)
})
