import * as Compression from "@effect-oci/core/Compression"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { gzipSync, zstdCompressSync } from "node:zlib"

describe("level", () => {
  const good: ReadonlyArray<readonly [Compression.Format, number | undefined, number]> = [
    ["uncompressed", undefined, 0],
    ["gzip", undefined, 2],
    ["gzip", 0, 0],
    ["gzip", 9, 9],
    ["zstd", undefined, 3],
    ["zstd", 1, 1],
    ["zstd", 22, 22]
  ]
  it.each(good)("of %s, asked for %s, is %s", (format, asked, expected) => {
    assert.deepStrictEqual(Compression.level(format, asked), Result.succeed(expected))
  })

  const bad: ReadonlyArray<readonly [Compression.Format, number, string]> = [
    ["uncompressed", 0, "content that is not compressed has no level 0: expected none"],
    ["gzip", -1, "gzip has no level -1: expected a whole number from 0 to 9"],
    ["gzip", 10, "gzip has no level 10: expected a whole number from 0 to 9"],
    ["gzip", 1.5, "gzip has no level 1.5: expected a whole number from 0 to 9"],
    ["zstd", 0, "zstd has no level 0: expected a whole number from 1 to 22"],
    ["zstd", 23, "zstd has no level 23: expected a whole number from 1 to 22"],
    ["zstd", Number.NaN, "zstd has no level NaN: expected a whole number from 1 to 22"]
  ]
  it.each(bad)("of %s is not %s", (format, asked, message) => {
    assert.strictEqual(Result.getOrThrow(Result.flip(Compression.level(format, asked))).message, message)
  })
})

describe("sniff", () => {
  const cases: ReadonlyArray<readonly [string, Uint8Array, Compression.Format]> = [
    ["gzip", gzipSync(""), "gzip"],
    ["Zstandard", zstdCompressSync(""), "zstd"],
    ["a skippable frame", new Uint8Array([0x5e, 0x2a, 0x4d, 0x18]), "zstd"],
    ["half of gzip's mark", new Uint8Array([0x1f]), "uncompressed"],
    ["most of Zstandard's mark", new Uint8Array([0x28, 0xb5, 0x2f]), "uncompressed"],
    ["nothing", new Uint8Array(), "uncompressed"],
    ["text", new TextEncoder().encode("P*M"), "uncompressed"]
  ]
  it.each(cases)("knows %s", (_, bytes, expected) => {
    assert.strictEqual(Compression.sniff(bytes.subarray(0, Compression.sniffLength)), expected)
  })
})
