import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as Compression from "@effect-oci/core/Compression"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib"
import { inFlight } from "../src/internal/blocks.ts"
import { looksRandom } from "../src/internal/gzip.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

/** What takes long and is seldom broken runs where CI runs. */
const isThorough = process.env["CI"] === "true"

const root = temporaryDirectory()

const provided = Effect.provide(NodeCompression.layer)

const pieces = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.range(0, Math.ceil(bytes.length / size) - 1).pipe(
    Stream.map((index) => bytes.subarray(index * size, (index + 1) * size)),
    Stream.rechunk(3)
  )

const compress = (format: Compression.Format, content: Stream.Stream<Uint8Array>, level?: number) =>
  Compression.Compression.use(({ compress }) => Stream.mkUint8Array(compress(format, level)(content)))

const decompress = (format: Compression.Format, content: Stream.Stream<Uint8Array>) =>
  Compression.Compression.use(({ decompress }) => Stream.mkUint8Array(decompress(format)(content)))

const run = (command: string, args: ReadonlyArray<string>, input: Uint8Array): Buffer =>
  execFileSync(command, args, { input, maxBuffer: 1 << 28, stdio: ["pipe", "pipe", "ignore"] })

const text = new TextEncoder().encode("one line and another line\n".repeat(40_000))

/** Text, random bytes and zeros in turns, none of which ends where a block does. */
const mixture = (size: number): Buffer => {
  const parts: Array<Uint8Array> = []
  for (let length = 0; length < size;) {
    const part = [text, randomBytes(700_000), new Uint8Array(300_001)][parts.length % 3] ?? text
    parts.push(part)
    length += part.length
  }
  return Buffer.concat(parts).subarray(0, size)
}

const mebibyte = 1 << 20
const sizes = [0, 1, 32_767, 32_768, mebibyte - 1, mebibyte, mebibyte + 1, 5 * mebibyte + 7, 20 * mebibyte]
const large = mixture(20 * mebibyte)
const formats = ["gzip", "zstd"] as const

const judges = [
  ["gzip", "gzip", ["-dc"]],
  ["gzip", "pigz", ["-dc"]],
  ["gzip", "python3", ["-c", "import sys,gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))"]],
  ["zstd", "zstd", ["-dc"]]
] as const

describe.each(formats)("%s", (format) => {
  it.effect("gives back contents of any size", () =>
    Effect.gen(function*() {
      for (const size of sizes) {
        const content = large.subarray(0, size)
        const bytes = yield* compress(format, Stream.succeed(content))
        assert.isTrue(content.equals(yield* decompress(format, pieces(bytes, 1000))), `${size} bytes`)
      }
    }).pipe(provided), 30_000)

  it.effect("gives the same bytes however the content comes", () =>
    Effect.gen(function*() {
      const content = large.subarray(0, 3 * mebibyte + 7)
      const whole = yield* compress(format, Stream.succeed(content))
      for (const size of [777, 4096, 65_536, 1_000_000, mebibyte]) {
        assert.isTrue(Buffer.from(whole).equals(yield* compress(format, pieces(content, size))), `pieces of ${size}`)
      }
    }).pipe(provided))

  it.runIf(isThorough)("gives the same bytes on any number of threads", () => {
    const fixture = join(import.meta.dirname, "fixtures/compress.ts")
    const file = join(root, format)
    writeFileSync(file, large)
    const digests = ["1", "4", "16"].map((threads) =>
      execFileSync(process.execPath, [fixture, format, file], {
        encoding: "utf8",
        env: { ...process.env, UV_THREADPOOL_SIZE: threads }
      })
    )
    assert.match(digests[0] ?? "", /^[0-9a-f]{64}$/)
    assert.deepStrictEqual(digests, [digests[0], digests[0], digests[0]])
  }, 30_000)

  it.effect.runIf(isThorough)("makes content smaller with each step of the level", () =>
    Effect.gen(function*() {
      const words = Buffer.from(
        Array.from(randomBytes(200_000), (byte) => ["layer", "image", "digest", "blob"][byte % 4] ?? "").join(" ")
      )
      const { least, most } = Compression.levels[format]
      const sizes: Array<number> = []
      for (const level of [least, 1 + (most >> 2), most]) {
        const bytes = yield* compress(format, Stream.succeed(words), level)
        assert.isTrue(words.equals(yield* decompress(format, Stream.succeed(bytes))))
        sizes.push(bytes.length)
      }
      assert.deepStrictEqual(sizes, sizes.toSorted((one, other) => other - one))
      assert.isBelow(sizes[2] ?? 0, sizes[0] ?? 0)
    }).pipe(provided), 30_000)

  it.effect("is at its standard level unless asked", () =>
    Effect.gen(function*() {
      const bytes = yield* compress(format, Stream.succeed(text))
      assert.deepStrictEqual(bytes, yield* compress(format, Stream.succeed(text), Compression.levels[format].standard))
    }).pipe(provided))

  it.effect("refuses other levels, and reads nothing", () =>
    Effect.gen(function*() {
      for (const level of [-1, 23, 2.5]) {
        const error = yield* Compression.Compression.use(({ compress }) =>
          Effect.flip(Stream.runDrain(compress(format, level)(Stream.die("it was read"))))
        )
        assert.strictEqual(error._tag, "InvalidLevel")
      }
    }).pipe(provided))

  it.effect("hardly adds to what cannot become smaller", () =>
    Effect.gen(function*() {
      const content = randomBytes(9 * mebibyte)
      const bytes = yield* compress(format, Stream.succeed(content))
      assert.isBelow(bytes.length, content.length * 1.0005)
    }).pipe(provided))

  it.effect("passes on what the content fails with, also its own kind of error", () =>
    Effect.gen(function*() {
      const { compress, decompress } = yield* Compression.Compression
      const failing = Stream.concat(Stream.succeed(text), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(compress(format)(failing))), "broken")
      const error = yield* Effect.flip(Stream.runDrain(compress(format)(decompress(format)(Stream.succeed(text)))))
      assert.strictEqual(error._tag, "CorruptContent")
    }).pipe(provided))

  it.live("pulls its content only as its output is pulled", () =>
    Effect.gen(function*() {
      const { compress } = yield* Compression.Compression
      const random = randomBytes(mebibyte)
      let pulled = 0
      const content = Stream.forever(Stream.sync(() => {
        pulled++
        return random
      }))
      yield* Stream.runDrain(Stream.take(compress(format)(content), 3))
      yield* Effect.sleep("50 millis")
      // What has been taken, is in flight, and waits
      const blocks = 3 + 2 * inFlight(format === "gzip" ? 32 : 3)
      assert.isAtMost(pulled, format === "gzip" ? blocks : 8 * blocks)
    }).pipe(provided))

  it.live("is interrupted at once", () =>
    Effect.gen(function*() {
      const { compress } = yield* Compression.Compression
      const endless = Stream.forever(Stream.succeed(large.subarray(0, mebibyte)))
      const fiber = yield* Effect.forkChild(Stream.runDrain(compress(format)(endless)))
      yield* Effect.sleep("50 millis")
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 100)
    }).pipe(provided))

  it.runIf(isThorough)("takes no more memory for more content", () => {
    const fixture = join(import.meta.dirname, "fixtures/compress.ts")
    const memory = (megabytes: number) =>
      Number(execFileSync(process.execPath, [fixture, format, `${megabytes}`], { encoding: "utf8" }))
    const idle = memory(0)
    assert.isBelow(memory(200) - idle, 150 * mebibyte)
  }, 60_000)

  for (const [of, command, args] of judges) {
    if (of !== format) continue
    it.effect.runIf(judge(command))(`is what ${command} reads`, () =>
      Effect.gen(function*() {
        for (const size of [0, 1, mebibyte, 20 * mebibyte]) {
          const content = large.subarray(0, size)
          const bytes = yield* compress(format, Stream.succeed(content))
          assert.isTrue(content.equals(run(command, args, bytes)), `${size} bytes`)
        }
      }).pipe(provided), 30_000)
  }
})

describe("gzip", () => {
  it.effect("writes one member with neither time nor name nor system", () =>
    Effect.gen(function*() {
      const bytes = yield* compress("gzip", Stream.succeed(text))
      assert.deepStrictEqual([...bytes.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])
      assert.deepStrictEqual(gunzipSync(bytes), Buffer.from(text))
    }).pipe(provided))

  it.effect("is about as small as one piece of zlib's", () =>
    Effect.gen(function*() {
      const content = Buffer.concat([
        text,
        ...Array.from({ length: 8 }, () => Buffer.from(randomBytes(300_000).toString("hex")))
      ])
      const bytes = yield* compress("gzip", Stream.succeed(content), 6)
      assert.isBelow(bytes.length, gzipSync(content, { level: 6 }).length * 1.01)
    }).pipe(provided))

  it.effect.runIf(judge("pigz"))("passes pigz's test", () =>
    Effect.gen(function*() {
      for (const level of [0, 1, 9]) run("pigz", ["-t"], yield* compress("gzip", Stream.succeed(large), level))
    }).pipe(provided), 30_000)

  it("knows what looks random", () => {
    const size = 32_768
    for (let round = 0; round < 200; round++) assert.isTrue(looksRandom(randomBytes(size)))
    const compressed = gzipSync(randomBytes(100_000).toString("base64")).subarray(100, 100 + size)
    assert.isTrue(looksRandom(compressed))
    assert.isFalse(looksRandom(randomBytes(size - 1)), "shorter than a piece")
    assert.isFalse(looksRandom(new Uint8Array(size)))
    assert.isFalse(looksRandom(Buffer.from(randomBytes(size).toString("base64")).subarray(0, size)))
    assert.isFalse(looksRandom(text.subarray(0, size)))
  })
})

describe("zstd", () => {
  it.effect.runIf(judge("zstd"))(
    "writes frames of 4 MiB, each with its size and checksum",
    () =>
      Effect.gen(function*() {
        const bytes = yield* compress("zstd", Stream.succeed(large))
        const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])
        const starts: Array<number> = []
        for (let at = 0; at >= 0; at = Buffer.from(bytes).indexOf(magic, at + 1)) starts.push(at)
        const frames = starts.map((start, index) => run("zstd", ["-dc"], bytes.subarray(start, starts[index + 1])))
        assert.deepStrictEqual(frames.map((frame) => frame.length), Array.from({ length: 5 }, () => 4 * mebibyte))
        assert.isTrue(Buffer.concat(frames).equals(large))
        // Frame header descriptor, RFC 8878, section 3.1.1.1.1: a checksum and the content size are there
        for (const start of starts) assert.strictEqual((bytes[start + 4] ?? 0) & 0b1100_0100, 0b1000_0100)
      }).pipe(provided)
  )

  it.effect.runIf(judge("zstd"))("has levels that its command reads", () =>
    Effect.gen(function*() {
      const content = large.subarray(0, mebibyte)
      for (const level of [1, 2, 9, 15, 19, 22]) {
        const bytes = yield* compress("zstd", Stream.succeed(content), level)
        assert.isTrue(content.equals(run("zstd", ["-dc", "--ultra", "--long=27"], bytes)), `level ${level}`)
      }
    }).pipe(provided), 60_000)
})

describe("uncompressed", () => {
  it.effect("is passed on", () =>
    Effect.gen(function*() {
      assert.isTrue(large.equals(yield* compress("uncompressed", pieces(large, 100_000))))
      assert.isTrue(large.equals(yield* decompress("uncompressed", pieces(large, 100_000))))
      const { compress: compressor } = yield* Compression.Compression
      const error = yield* Effect.flip(Stream.runDrain(compressor("uncompressed", 1)(Stream.empty)))
      assert.strictEqual(error._tag, "InvalidLevel")
    }).pipe(provided))
})

describe("an encoder", () => {
  it.effect("has a name with the version of what makes the bytes", () =>
    Effect.gen(function*() {
      const { encoder } = yield* Compression.Compression
      assert.strictEqual(encoder("gzip"), `effect-oci-gzip-2/zlib-${process.versions["zlib"]}`)
      assert.strictEqual(encoder("zstd"), `effect-oci-zstd-2/zstd-${process.versions["zstd"]}`)
      assert.strictEqual(encoder("uncompressed"), "uncompressed")
    }).pipe(provided))
})

const decompressed = [
  ["gzip", gzipSync, gzipSync("")],
  ["zstd", zstdCompressSync, Buffer.from([0x51, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9])]
] as const

describe.each(decompressed)("decompressing %s", (format, make, skippable) => {
  const member = make("hello")

  const good: ReadonlyArray<readonly [string, Uint8Array, string]> = [
    ["one", member, "hello"],
    ["two", Buffer.concat([member, member]), "hellohello"],
    ["an empty one among others", Buffer.concat([member, make(""), member]), "hellohello"],
    ["what may be skipped around two", Buffer.concat([skippable, member, skippable, member, skippable]), "hellohello"]
  ]
  it.effect.each(good)("reads %s, in pieces of any size", ([, bytes, expected]) =>
    Effect.gen(function*() {
      for (let size = 1; size <= bytes.length; size++) {
        assert.strictEqual(new TextDecoder().decode(yield* decompress(format, pieces(bytes, size))), expected)
      }
    }).pipe(provided))

  const flipped = (bytes: Uint8Array, at: number): Uint8Array =>
    bytes.map((byte, index) => index === at ? byte ^ 0x40 : byte)
  const bad: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["nothing", new Uint8Array()],
    ["something else", text.subarray(0, 100)],
    ["one that is damaged", flipped(member, format === "gzip" ? 12 : 5)],
    ["one that is cut", member.subarray(0, -3)],
    ["half a header behind one", Buffer.concat([member, member.subarray(0, 3)])],
    ["garbage behind one", Buffer.concat([member, Buffer.from("garbage")])],
    ["zeros behind one", Buffer.concat([member, new Uint8Array(3)])],
    ["one behind zeros", Buffer.concat([member, new Uint8Array(3), member])]
  ]
  it.effect.each(bad)("refuses %s, in pieces of any size", ([, bytes]) =>
    Effect.gen(function*() {
      for (let size = 1; size <= Math.max(1, bytes.length); size++) {
        const content = bytes.length === 0 ? Stream.empty : pieces(bytes, size)
        const error = yield* Effect.flip(decompress(format, content))
        assert.strictEqual(error._tag, "CorruptContent", `pieces of ${size}`)
      }
    }).pipe(provided))

  it.effect("refuses a wrong checksum", () =>
    Effect.gen(function*() {
      const bytes = yield* compress(format, Stream.succeed(text))
      const at = format === "gzip" ? bytes.length - 8 : bytes.length - 1
      const error = yield* Effect.flip(decompress(format, Stream.succeed(flipped(bytes, at))))
      assert.strictEqual(error.message, `the content is not valid ${format === "gzip" ? "gzip" : "Zstandard"}`)
    }).pipe(provided))

  it.live("holds back a content that explodes", () =>
    Effect.gen(function*() {
      const { decompress } = yield* Compression.Compression
      const bomb = make(new Uint8Array(256 << 20))
      const before = process.memoryUsage().rss
      let largest = 0
      const size = yield* Stream.runFold(decompress(format)(Stream.succeed(bomb)), () => 0, (size, chunk) => {
        largest = Math.max(largest, chunk.length)
        return size + chunk.length
      })
      assert.strictEqual(size, 256 << 20)
      assert.isAtMost(largest, 1 << 20)
      assert.isBelow(process.memoryUsage().rss - before, 150 << 20)
    }).pipe(provided), 20_000)
})

describe("the bytes", () => {
  it.effect("of the encoders of this version are known", () =>
    Effect.gen(function*() {
      const { encoder } = yield* Compression.Compression
      // Where Node brings another zlib, its name differs, and the bytes may
      if (encoder("gzip") !== "effect-oci-gzip-2/zlib-1.3.2.1-motley-8002e91") return
      const content = Buffer.concat([text, text, text, text])
      const digest = createHash("sha256").update(yield* compress("gzip", Stream.succeed(content))).digest("hex")
      assert.strictEqual(digest, "028bbfa8b028867d2017b596ffbd8728ddbed0a4c007d333dd89b218d403bf35")
    }).pipe(provided))
})
