import type { Entry, Reason } from "@effect-oci/core/LayerEntry"
import * as LayerTar from "@effect-oci/core/LayerTar"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { archive, end, entry, type Fields, long, pax } from "./tar.ts"

const pieces = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.fromIterable(
    Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
      bytes.subarray(index * size, index * size + size))
  )

const entriesOf = (bytes: Uint8Array, limits: LayerTar.Limits = {}) =>
  Stream.runCollect(LayerTar.entries(limits)(pieces(bytes, 1 << 16)))

/** What an archive is refused for, by readers of pieces of several sizes. */
const refusal = (bytes: Uint8Array, limits: LayerTar.Limits = {}): Effect.Effect<Reason, void> =>
  Effect.map(
    Effect.forEach([100, 512, 1 << 20], (size) =>
      Effect.flip(Stream.runDrain(LayerTar.read(limits)(pieces(bytes, size))))),
    ([error, ...others]) => {
      assert(error !== undefined)
      for (const other of others) {
        assert.strictEqual(other.reason._tag, error.reason._tag)
      }
      assert.strictEqual(error.message, error.reason.message)
      return error.reason
    }
  )

const only = (bytes: Uint8Array): Effect.Effect<Entry> =>
  Effect.map(Effect.orDie(entriesOf(bytes)), (entries) => {
    assert.lengthOf(entries, 1)
    const [first] = entries
    return first ?? assert.fail("no entry")
  })

const secret = entry({ name: "etc/passwd", content: "root" })

describe("what leads out of a layer, or would", () => {
  type Row = readonly [what: string, fields: Fields, found: { readonly path: string } | { readonly problem: string }]
  const file = (name: string, path: string): Row => [`a file "${name}"`, { name, content: "x" }, { path }]
  const inside: ReadonlyArray<Row> = [
    file("/etc/passwd", "etc/passwd"),
    file("//etc/passwd", "etc/passwd"),
    file("./etc/passwd", "etc/passwd"),
    file("././/./etc/./passwd", "etc/passwd"),
    file("/./etc/passwd", "etc/passwd"),
    file("...", "..."),
    file("..a", "..a"),
    file("a..", "a.."),
    file(".. /a", ".. /a"),
    file("..\\a", "..\\a"),
    file("C:\\Windows", "C:\\Windows"),
    ["an absolute symbolic link", { name: "l", type: "2", target: "/etc/passwd" }, { path: "l" }],
    ["a symbolic link out", { name: "l", type: "2", target: "../../../etc/passwd" }, { path: "l" }],
    ["a symbolic link to its own directory", { name: "d/l", type: "2", target: "." }, { path: "d/l" }],
    ["a symbolic link to itself", { name: "l", type: "2", target: "l" }, { path: "l" }],
    ["an absolute hard link", { name: "l", type: "1", target: "/etc/passwd" }, { path: "l" }],
    ["a hard link with dots", { name: "l", type: "1", target: "./etc/./passwd" }, { path: "l" }],
    ["the root", { name: "./", type: "5" }, { path: "." }],
    ["the root as /", { name: "/", type: "5" }, { path: "." }],
    ["the root as .", { name: ".", type: "5" }, { path: "." }],
    ["the root in the oldest format", { name: "./", type: "\0", format: "v7" }, { path: "." }]
  ]
  const problem = (what: string, problem: string, fields: Fields): Row => [what, fields, { problem }]
  const out: ReadonlyArray<Row> = [
    problem("a file beside the root", "parent", { name: "../evil" }),
    problem("a file far above", "parent", { name: "../../../../../etc/passwd" }),
    problem("an absolute name with a way up", "parent", { name: "/../etc/passwd" }),
    problem("a way down and up", "parent", { name: "a/../../etc/passwd" }),
    problem("a way up that stays inside", "parent", { name: "a/../b" }),
    problem("a way up at the end", "parent", { name: "a/..", type: "5" }),
    problem("a way up through a dot", "parent", { name: "./../a" }),
    problem("a prefix that leads up", "parent", { name: "passwd", prefix: "../etc" }),
    problem("a directory above", "parent", { name: "..", type: "5" }),
    problem("a directory above, with a slash", "parent", { name: "../", type: "5" }),
    problem("a symbolic link above", "parent", { name: "../l", type: "2", target: "x" }),
    problem("a FIFO above", "parent", { name: "../f", type: "6" }),
    problem("a device above", "parent", { name: "../dev", type: "3" }),
    problem("a hard link out", "parent", { name: "l", type: "1", target: "../etc/passwd" }),
    problem("a hard link down, up and out", "parent", { name: "l", type: "1", target: "a/../../etc/passwd" }),
    problem("a hard link out from the root", "parent", { name: "l", type: "1", target: "/../etc/passwd" }),
    problem("a hard link to the root", "link", { name: "l", type: "1", target: "/" }),
    problem("a hard link to the root as a dot", "link", { name: "l", type: "1", target: "./." }),
    problem("a file as the root", "root", { name: ".", content: "x" }),
    problem("a file as the root, absolute", "root", { name: "/.", content: "x" }),
    problem("a symbolic link as the root", "root", { name: "/.", type: "2", target: "/etc" }),
    problem("a hard link as the root", "root", { name: ".", type: "1", target: "a" }),
    problem("a device as the root", "root", { name: "./.", type: "4" }),
    problem("no name", "name", { name: "" }),
    problem("a symbolic link to nothing", "name", { name: "l", type: "2" }),
    problem("a hard link to nothing", "name", { name: "l", type: "1" }),
    problem("a whiteout of nothing", "whiteout", { name: ".wh." }),
    problem("a whiteout of the directory", "whiteout", { name: "d/.wh.." }),
    problem("a whiteout of the directory above", "whiteout", { name: "d/.wh..." }),
    problem("a file below a whiteout", "whiteout", { name: ".wh.d/f" }),
    problem("a name that is not UTF-8", "encoding", { name: new Uint8Array([0x61, 0xff]) }),
    problem("half of a character", "encoding", { name: new Uint8Array([0xc3]) }),
    problem("half of a surrogate pair", "encoding", { name: new Uint8Array([0xed, 0xa0, 0x80]) }),
    problem("a slash in too many bytes", "encoding", { name: new Uint8Array([0x2e, 0x2e, 0xc0, 0xaf, 0x61]) }),
    problem("a target that is not UTF-8", "encoding", { name: "l", type: "2", target: new Uint8Array([0xff]) })
  ]
  it.effect.each([...inside, ...out])("is judged: %s", ([, fields, expected]) =>
    Effect.gen(function*() {
      const bytes = archive(secret, entry(fields))
      if ("path" in expected) {
        assert.deepStrictEqual((yield* entriesOf(bytes)).map(({ path }) => path), ["etc/passwd", expected.path])
        return
      }
      const reason = yield* refusal(bytes)
      assert(reason._tag === "UnsafeEntry")
      assert.strictEqual(reason.problem, expected.problem)
    }))

  it.effect("in PAX records and long names, too", () =>
    Effect.gen(function*() {
      const rows: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>]> = [
        ["parent", [pax([["path", "../evil"]]), entry({ name: "good" })]],
        ["parent", [long("L", "../evil"), entry({ name: "good", format: "gnu" })]],
        ["parent", [pax([["linkpath", "../evil"]]), entry({ name: "l", type: "1", target: "good" })]],
        ["parent", [long("K", "../evil"), entry({ name: "l", type: "1", target: "good", format: "gnu" })]],
        ["zero byte", [pax([["path", "a\0b"]]), entry({ name: "good" })]],
        ["zero byte", [pax([["linkpath", "a\0b"]]), entry({ name: "l", type: "2", target: "good" })]],
        ["zero byte", [pax([["uname", "a\0b"]]), entry({ name: "good" })]],
        ["encoding", [pax([["path", new Uint8Array([0xff])]]), entry({ name: "good" })]],
        ["encoding", [long("L", new Uint8Array([0xff])), entry({ name: "good", format: "gnu" })]],
        ["root", [pax([["path", "."]]), entry({ name: "good" })]],
        ["length", [pax([["path", "a/".repeat(2048)]]), entry({ name: "good" })]],
        ["length", [long("K", "a".repeat(4096)), entry({ name: "l", type: "2", target: "good", format: "gnu" })]]
      ]
      for (const [problem, parts] of rows) {
        const reason = yield* refusal(archive(...parts))
        assert(reason._tag === "UnsafeEntry")
        assert.strictEqual(reason.problem, problem)
      }
    }))

  it.effect("says which entry and why", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* refusal(archive(entry({ name: "a/../../b" })))).message,
        "the layer's entry \"a/../../b\" is not safe: expected a name without \"..\", which tools follow in different " +
          "ways, found one with it"
      )
      assert.strictEqual(
        (yield* refusal(archive(entry({ name: new Uint8Array([0x61, 0xff]) })))).message,
        "the layer's entry \"a\\\\xff\" is not safe: expected a text in UTF-8, found \"a\\xff\""
      )
    }))
})

const binary = (value: bigint, length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  for (let index = length - 1, rest = value; index >= 0; index--, rest >>= 8n) bytes[index] = Number(rest & 0xffn)
  bytes[0] = (bytes[0] ?? 0) | 0x80
  return bytes
}

describe("what tools read in different ways, or not at all", () => {
  const next = entry({ name: "next", content: "x" })
  const rows: ReadonlyArray<readonly [string, Reason["_tag"], ReadonlyArray<Uint8Array>]> = [
    ["two sizes", "AmbiguousEntry", [pax([["size", "1024"]]), entry({ name: "a", content: "x".repeat(512) }), next]],
    ["a size that is said twice", "AmbiguousEntry", [pax([["size", "1"], ["size", "2"]]), next]],
    ["a path that is said twice", "AmbiguousEntry", [pax([["path", "a"], ["path", "b"]]), next]],
    ["a target that is said twice", "AmbiguousEntry", [pax([["linkpath", "a"], ["linkpath", "b"]]), next]],
    ["a PAX header of a PAX header", "AmbiguousEntry", [pax([["size", "1"]]), pax([["path", "a"]]), next]],
    ["a PAX header of a long name", "AmbiguousEntry", [pax([["size", "4096"]]), long("L", "a"), next]],
    ["a PAX header after a long name", "AmbiguousEntry", [long("L", "a"), pax([["path", "b"]]), next]],
    ["two long names", "AmbiguousEntry", [long("L", "a"), long("L", "b"), next]],
    ["a directory with content", "AmbiguousEntry", [entry({ name: "d", type: "5", content: "x" })]],
    ["a symbolic link with content", "AmbiguousEntry", [entry({ name: "l", type: "2", target: "a", content: "x" })]],
    ["a FIFO with content", "AmbiguousEntry", [entry({ name: "f", type: "6", content: "x" })]],
    ["a file with a slash at its end", "AmbiguousEntry", [entry({ name: "a/", content: "x" })]],
    ["a size for all entries", "AmbiguousEntry", [pax([["size", "1"]], { type: "g" }), next]],
    ["an owner for all entries", "AmbiguousEntry", [pax([["uid", "1"]], { type: "g" }), next]],
    ["an attribute for all entries", "AmbiguousEntry", [pax([["SCHILY.xattr.user.a", "1"]], { type: "g" }), next]],
    ["a sparse file of GNU", "UnsupportedEntry", [entry({ name: "a", type: "S", format: "gnu" })]],
    ["a sparse file of PAX", "UnsupportedEntry", [pax([["GNU.sparse.major", "1"], ["GNU.sparse.name", "a"]]), next]],
    ["a label", "UnsupportedEntry", [entry({ name: "label", type: "V" })]],
    ["a part of a file", "UnsupportedEntry", [entry({ name: "a", type: "M" })]],
    ["a dumped directory", "UnsupportedEntry", [entry({ name: "d", type: "D" })]],
    ["a header of Solaris", "UnsupportedEntry", [entry({ name: "a", type: "X" })]],
    ["an unknown type", "UnsupportedEntry", [entry({ name: "a", type: "z" })]],
    ["a negative size", "DamagedArchive", [entry({ name: "a", size: binary(-512n, 12) })]],
    ["a negative size of a PAX header", "DamagedArchive", [entry({ name: "a", type: "x", size: binary(-1n, 12) })]],
    ["a negative size in a PAX header", "DamagedArchive", [pax([["size", "-1"]]), next]],
    ["a size that is no number", "DamagedArchive", [pax([["size", "0x10"]]), next]],
    ["a size beyond all numbers", "DamagedArchive", [entry({ name: "a", size: binary(1n << 70n, 12) })]],
    ["a size that is not octal", "DamagedArchive", [
      entry({ name: "a", size: new TextEncoder().encode("00000000009\0") })
    ]],
    ["a time that is none", "DamagedArchive", [pax([["mtime", "yesterday"]]), next]],
    ["a time after all years", "DamagedArchive", [pax([["mtime", "99999999999999"]]), next]],
    ["a wrong checksum", "DamagedArchive", [entry({ name: "a", checksum: 1 })]],
    ["a record without a length", "DamagedArchive", [entry({ name: "x", type: "x", content: "path=a\n" }), next]],
    ["a record that is too long", "DamagedArchive", [entry({ name: "x", type: "x", content: "99 path=a\n" }), next]],
    ["a record without an end", "DamagedArchive", [entry({ name: "x", type: "x", content: "9 path=a " }), next]],
    ["a record without a key", "DamagedArchive", [entry({ name: "x", type: "x", content: "5 =a\n" }), next]],
    ["a record of no length", "DamagedArchive", [entry({ name: "x", type: "x", content: "0 path=a\n" }), next]],
    ["a zero in a key", "DamagedArchive", [pax([["pa\0th", "a"]]), next]],
    ["a PAX header at the end", "DamagedArchive", [pax([["path", "a"]])]],
    ["a header for all within one for an entry", "DamagedArchive", [
      pax([["path", "a"]]),
      pax([["comment", "c"]], { type: "g" }),
      next
    ]],
    ["more behind one block of zeros", "DamagedArchive", [next, new Uint8Array(512), next]]
  ]
  it.effect.each(rows)("refuses %s", ([, tag, parts]) =>
    Effect.gen(function*() {
      assert.strictEqual((yield* refusal(archive(...parts)))._tag, tag)
    }))

  it.effect("names a sparse file", () =>
    Effect.gen(function*() {
      assert.strictEqual(
        (yield* refusal(archive(entry({ name: "disk.img", type: "S", format: "gnu" })))).message,
        "the layer's entry \"disk.img\" is not supported: expected a file, a directory, a link, a device or a FIFO, " +
          "found a GNU sparse file"
      )
    }))

  it.effect("refuses an archive that is cut, wherever", () =>
    Effect.gen(function*() {
      const whole = Buffer.concat([pax([["path", "a"]]), entry({ name: "b", content: "x".repeat(700) })])
      const boundaries = new Set([whole.length])
      for (let length = 1; length <= whole.length; length++) {
        const result = yield* Effect.result(entriesOf(whole.subarray(0, length)))
        assert.strictEqual(Result.isSuccess(result), boundaries.has(length), `${length} bytes`)
      }
    }))

  it.effect("never fails in any other way, whatever the bytes", () =>
    Effect.gen(function*() {
      let seed = 1
      const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below
      const good = archive(
        pax([["path", "a"], ["mtime", "1.5"]]),
        entry({ name: "b", content: "x" }),
        long("L", "c"),
        secret
      )
      let refused = 0
      for (let round = 0; round < 2000; round++) {
        const bytes = good.slice()
        for (let change = 0; change <= random(3); change++) bytes[random(bytes.length - 1024)] = random(256)
        // Half of them with the checksums mended, so that the change is looked at
        if (round % 2 === 0) {
          for (let at = 0; at < bytes.length - 1024; at += 512) {
            if (bytes[at + 257] !== 0x75) continue
            bytes.fill(32, at + 148, at + 156)
            const sum = bytes.subarray(at, at + 512).reduce((sum, byte) => sum + byte, 0)
            bytes.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148)
          }
        }
        const result = yield* Effect.result(entriesOf(bytes))
        if (Result.isFailure(result)) refused++
      }
      assert.isAbove(refused, 500)
      assert.isBelow(refused, 2000)
    }))
})

describe("what is read", () => {
  it.effect("is all bytes, in pieces of any size", () =>
    Effect.gen(function*() {
      const bytes = Buffer.concat([
        pax([["comment", "0123456789abcdef"]], { type: "g" }),
        pax([["SCHILY.xattr.security.capability", new Uint8Array([1, 0, 0, 2, 0xff, 0x0a])]]),
        entry({ name: "a", content: "x".repeat(1000) }),
        long("L", "n".repeat(300)),
        long("K", "t".repeat(300)),
        entry({ name: "short", type: "2", target: "short", format: "gnu" }),
        entry({ name: "b", content: "" }),
        end,
        new TextEncoder().encode("what follows the end")
      ])
      for (const size of [1, 7, 511, 512, 513, 4096, bytes.length]) {
        const parts = yield* Stream.runCollect(LayerTar.read()(pieces(bytes, size)))
        assert.isTrue(bytes.equals(Buffer.concat(parts.map(LayerTar.bytes))), `pieces of ${size}`)
        assert.deepStrictEqual(
          parts.flatMap((part) => part._tag === "Header" ? [part.entry.path] : []),
          ["a", "n".repeat(300), "b"]
        )
      }
    }))

  it.effect("is what each header says", () =>
    Effect.gen(function*() {
      const { header, ...file } = yield* only(archive(
        pax([
          ["mtime", "1700000000.123456789"],
          ["uid", "3000000"],
          ["uname", "jürgen"],
          ["SCHILY.xattr.user.a", new Uint8Array([0xff])],
          ["LIBARCHIVE.xattr.user.a", "/w"],
          ["SCHILY.xattr.security.capability", new Uint8Array([0])]
        ]),
        entry({ name: "./d/f", mode: 0o104755, uid: 5, mtime: 7, content: "hello" })
      ))
      assert.lengthOf(header, 1536)
      assert.deepStrictEqual(file, {
        name: "./d/f",
        path: "d/f",
        kind: "file",
        size: 5,
        mode: 0o4755,
        uid: 3_000_000,
        gid: 0,
        user: "jürgen",
        group: "",
        mtime: { seconds: 1_700_000_000, nanoseconds: 123_456_789, offset: "Z" },
        xattrs: ["user.a", "security.capability"]
      })
    }))

  const kinds: ReadonlyArray<readonly [Fields, Partial<Entry>]> = [
    [{ name: "d/", type: "\0", format: "v7" }, { kind: "directory", path: "d" }],
    [{ name: "f", type: "\0", format: "v7", content: "x" }, { kind: "file", size: 1 }],
    [{ name: "f", type: "7", content: "x" }, { kind: "file", size: 1 }],
    [{ name: "l", type: "1", target: "./a//b", size: 9 }, { kind: "hard link", target: "a/b", size: 0 }],
    [{ name: "l", type: "2", target: "/a//b" }, { kind: "symbolic link", target: "/a//b" }],
    [{ name: "d", type: "3" }, { kind: "character device", device: { major: 0, minor: 0 } }],
    [{ name: "d", type: "4" }, { kind: "block device", device: { major: 0, minor: 0 } }],
    [{ name: "p", type: "6" }, { kind: "fifo" }],
    [{ name: "d/.wh.a" }, { kind: "whiteout", path: "d/.wh.a" }],
    [{ name: "./d/.wh..wh..opq" }, { kind: "opaque", path: "d/.wh..wh..opq" }],
    [{ name: ".wh..wh.plnk", type: "5" }, { kind: "aufs" }],
    [{ name: "f", prefix: "a/b" }, { name: "a/b/f" }],
    [{ name: "f", prefix: "a/b", format: "star", atime: 1 }, { name: "a/b/f" }],
    [{ name: "f", format: "gnu", atime: 1 }, { name: "f" }],
    [{ name: "f", size: binary(0n, 12) }, { size: 0 }]
  ]
  it.effect.each(kinds)("is %j", ([fields, expected]) =>
    Effect.gen(function*() {
      const found = yield* only(archive(entry(fields)))
      assert.deepStrictEqual({ ...found, ...expected }, found)
    }))

  const times: ReadonlyArray<readonly [string, number, number]> = [
    ["1", 1, 0],
    ["1.", 1, 0],
    ["1.5", 1, 500_000_000],
    ["1.1234567899", 1, 123_456_789],
    ["-1", -1, 0],
    ["-0.25", -1, 750_000_000],
    ["-1.5", -2, 500_000_000],
    ["0.000000001", 0, 1]
  ]
  it.effect.each(times)("is the time %s", ([text, seconds, nanoseconds]) =>
    Effect.gen(function*() {
      const { mtime } = yield* only(archive(pax([["mtime", text]]), entry({ name: "a" })))
      assert.deepStrictEqual(mtime, { seconds, nanoseconds, offset: "Z" })
    }))

  it.effect("is what Effect's encoder wrote", () =>
    Effect.gen(function*() {
      const bytes = yield* Stream.make(
        Tar.directory("d", { mode: 0o750 }),
        Tar.file(`d/${"ä".repeat(120)}`, "hello", { uid: 7, mtime: new Date(5000) }),
        Tar.hardlink("h", `d/${"ä".repeat(120)}`)
      ).pipe(Stream.pipeThroughChannelOrFail(Tar.encode()), Stream.mkUint8Array)
      const entries = yield* entriesOf(bytes)
      assert.deepStrictEqual(entries.map(({ kind, mode, path, size, uid }) => ({ kind, mode, path, size, uid })), [
        { kind: "directory", mode: 0o750, path: "d", size: 0, uid: 0 },
        { kind: "file", mode: 0o644, path: `d/${"ä".repeat(120)}`, size: 5, uid: 7 },
        { kind: "hard link", mode: 0o644, path: "h", size: 0, uid: 0 }
      ])
      assert.strictEqual(entries[2]?.target, entries[1]?.path)
    }))

  it.effect("passes on what the archive fails with", () =>
    Effect.gen(function*() {
      const failing = Stream.concat(Stream.succeed(secret), Stream.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(LayerTar.read()(failing))), "broken")
    }))
})

describe("limits", () => {
  it.effect("leave room for the longest path", () =>
    Effect.gen(function*() {
      const path = `${"a/".repeat(2047)}a`
      assert.strictEqual((yield* only(archive(pax([["path", path]]), entry({ name: "short" })))).path, path)
    }))

  it.effect("are exact", () =>
    Effect.gen(function*() {
      const bytes = archive(secret, entry({ name: "b" }), pax([["comment", "x".repeat(100)]]), entry({ name: "c" }))
      const exact = { maxBytes: bytes.length, maxEntries: 3, maxHeaderBytes: 113 }
      assert.lengthOf(yield* entriesOf(bytes, exact), 3)
      const rows = [
        [{ ...exact, maxBytes: bytes.length - 1 }, "uncompressed bytes", bytes.length - 1],
        [{ ...exact, maxEntries: 2 }, "entries", 2],
        [{ ...exact, maxHeaderBytes: 112 }, "bytes of an extended header", 112]
      ] as const
      for (const [limits, what, limit] of rows) {
        const reason = yield* refusal(bytes, limits)
        assert(reason._tag === "LimitExceeded")
        assert.deepStrictEqual([reason.what, reason.limit], [what, limit])
        assert.isAbove(reason.found, limit)
      }
    }))

  it.effect("hold for a long name, too, before any of it is kept", () =>
    Effect.gen(function*() {
      const huge = entry({ name: "././@LongLink", type: "L", format: "gnu", size: 2 ** 30 })
      assert.strictEqual(
        (yield* refusal(huge)).message,
        "the layer is too large: expected at most 1048576 bytes of an extended header, found at least 1073741824"
      )
    }))

  it.effect("end what has no end", () =>
    Effect.gen(function*() {
      const endless = Stream.forever(Stream.succeed(new Uint8Array(1 << 20)))
      const error = yield* Effect.flip(Stream.runDrain(LayerTar.read({ maxBytes: 1 << 26 })(endless)))
      assert.strictEqual(error.reason._tag, "LimitExceeded")
    }))
})
