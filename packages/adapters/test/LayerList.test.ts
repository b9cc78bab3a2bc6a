import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageLayer from "@effect-oci/core/Layer"
import type { Entry } from "@effect-oci/core/LayerEntry"
import type * as LayerTar from "@effect-oci/core/LayerTar"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

/** Whether there is time for tests that take seconds. */
const isThorough = process.env["CI"] === "true"

const provided = Effect.provide(
  Layer.provideMerge(MemoryStore.layer, Layer.merge(NodeHash.layer, NodeCompression.layer)),
  { local: true }
)

const mebibyte = 1 << 20

/** What archives of ours are made of, the same in each run. */
const generator = (seed: number) => {
  let state = seed * 2 + 1
  return (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below
}

const letters = ["a", "b", "Z", "0", ".", "-", " ", "'", "\"", "\\", "\n", "ä", "日", "🚀"]

const randomName = (random: (below: number) => number): string =>
  ["", "", "./", "/"][random(4)] + Array.from(
    { length: 1 + random(4) },
    () =>
      `x${
        Array.from(
          { length: [1, 3, 20, 90, 100, 150][random(6)] ?? 1 },
          () => letters[random(random(4) === 0 ? letters.length : 4)]
        ).join("")
      }x`
  ).join("/")

const randomEntry = (random: (below: number) => number): Tar.Entry => {
  const options = {
    mode: [0o644, 0o755, 0o4755, 0o1777, random(0o10000)][random(5)],
    uid: [0, 1000, 2_097_151, 2_097_152, 4_294_967_294][random(5)],
    gid: random(70_000),
    uname: ["", "root", "jürgen"][random(3)],
    mtime: new Date([0, 1000, 1_700_000_000_000, -1000, 8_589_934_592_000][random(5)] ?? 0),
    pax: random(4) === 0 ? { "SCHILY.xattr.user.a": "ä", "comment": "c".repeat(random(600)) } : {}
  }
  const path = randomName(random)
  switch (random(4)) {
    case 0:
      return Tar.directory(path, options)
    case 1:
      return Tar.symlink(path, ["../../x", "/", randomName(random)][random(3)] ?? "", options)
    case 2:
      return Tar.hardlink(path, randomName(random), options)
    default:
      return Tar.file(path, new Uint8Array([0, 1, 511, 512, 513, 3000][random(6)] ?? 0), options)
  }
}

/** The type of each kind in an archive, and how GNU tar shows it. */
const kinds: Readonly<Record<string, readonly [type: string, letter: string]>> = {
  "file": ["0", "-"],
  "hard link": ["1", "h"],
  "symbolic link": ["2", "l"],
  "character device": ["3", "c"],
  "block device": ["4", "b"],
  "directory": ["5", "d"],
  "fifo": ["6", "p"]
}

const secondsOf = ({ nanoseconds, seconds }: Entry["mtime"]): number => seconds + nanoseconds / 1e9

/** The target of a link as it is written, whose path alone is known of a hard link. */
const normal = (name: string): string => name.split("/").filter((part) => part !== "" && part !== ".").join("/")

/** A line of `tar --list --verbose`. */
const lineOf = (entry: Entry): string => {
  const { device, gid, kind, mode, mtime, name, size, target, uid } = entry
  const letter = (shift: number, special: number, set: string): string => {
    const bits = (mode >> shift) & 7
    const execute = (mode & special) === 0 ? "-x" : set.toUpperCase() + set
    return `${"-r"[bits >> 2]}${"-w"[(bits >> 1) & 1]}${execute[bits & 1]}`
  }
  const permissions = letter(6, 0o4000, "s") + letter(3, 0o2000, "s") + letter(0, 0o1000, "t")
  const time = new Date(Math.floor(mtime.seconds) * 1000).toISOString().slice(0, 19).replace("T", " ")
  const fraction = mtime.nanoseconds === 0 ? "" : `.${String(mtime.nanoseconds).padStart(9, "0").replace(/0+$/, "")}`
  const suffix = kind === "symbolic link" ? ` -> ${target}` : kind === "hard link" ? ` link to ${target}` : ""
  const length = device === undefined ? size : `${device.major},${device.minor}`
  return `${kinds[kind]?.[1]}${permissions} ${uid}/${gid} ${length} ${time}${fraction} ${name}${suffix}`
}

const archives = 1002

describe("a list", () => {
  const directory = temporaryDirectory()
  const listed = Effect.gen(function*() {
    for (let index = 0; index < archives / 3; index++) {
      const random = generator(index)
      const entries = Array.from({ length: 1 + random(6) }, () => randomEntry(random))
      const bytes = yield* Stream.fromArray(entries).pipe(
        Stream.pipeThroughChannelOrFail(Tar.encode()),
        Stream.mkUint8Array
      )
      writeFileSync(join(directory, `ours-${index}.tar`), bytes)
    }
    const script = join(import.meta.dirname, "fixtures/archives.py")
    const options = {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      env: { ...process.env, PYTHONIOENCODING: "utf-8" }
    } as const
    const python: Record<string, ReadonlyArray<ReadonlyArray<string | number>>> = JSON.parse(
      execFileSync("python3", [script, directory, String((archives * 2) / 3)], options)
    )
    const files = readdirSync(directory).toSorted()
    const ours = new Map<string, ReadonlyArray<Entry>>()
    for (const file of files) {
      const blob = yield* BlobStore.putBytes(readFileSync(join(directory, file)))
      ours.set(file, yield* Stream.runCollect(ImageLayer.list(blob)))
    }
    return { files, ours, python }
  })

  it.effect.runIf(isThorough && judge("python3") && judge("tar"))(
    "of 1,002 archives, ours and Python's, is that of Python's tarfile and that of GNU tar",
    () =>
      Effect.gen(function*() {
        const { files, ours, python } = yield* listed
        assert.lengthOf(files, archives)
        const loop = "for f in *.tar; do printf '== %s\\n' \"$f\"; tar --list --verbose --numeric-owner --full-time " +
          "--utc --quoting-style=literal --absolute-names -f \"$f\" 2>&1; done"
        const gnu = new Map(
          execFileSync("sh", ["-c", loop], {
            cwd: directory,
            encoding: "utf8",
            maxBuffer: 1 << 28,
            env: { ...process.env, LC_ALL: "C.UTF-8" }
          }).split(/^== (?=\S+\.tar$)/m).slice(1).map((text) => {
            const [file = "", ...lines] = text.split("\n")
            return [file, lines.join("\n").replaceAll(/^(\S{10} \S+) +(\S+ \S+ \S+) +/gm, "$1 $2 ").trimEnd()] as const
          })
        )
        let entries = 0
        for (const file of files) {
          const found = ours.get(file) ?? []
          entries += found.length
          assert.deepStrictEqual(
            found.map((entry) => [
              entry.name.replace(/\/+$/, ""),
              kinds[entry.kind]?.[0],
              entry.size,
              entry.mode,
              entry.uid,
              entry.gid,
              entry.user,
              entry.group,
              secondsOf(entry.mtime),
              entry.target ?? "",
              ...(entry.device === undefined ? [] : [entry.device.major, entry.device.minor])
            ]),
            (python[file] ?? []).map((row) =>
              row.map((value, column) =>
                column === 1 && value === "\0" ? "0" : column === 9 && row[1] === "1" ? normal(String(value)) : value
              )
            ),
            `${file}, Python`
          )
          const links = new Map((python[file] ?? []).map((row, index) => [index, String(row[9])]))
          assert.strictEqual(
            found.map((entry, index) =>
              lineOf(entry.kind === "hard link" ? { ...entry, target: links.get(index) ?? "" } : entry)
            ).join("\n").trimEnd(),
            gnu.get(file),
            `${file}, GNU tar`
          )
        }
        assert.isAbove(entries, 3000)
      }).pipe(provided),
    120_000
  )
})

const taken = (error: { readonly _tag: string; readonly reason?: { readonly _tag: string } }): string =>
  error.reason?._tag ?? error._tag

describe("a bomb", () => {
  const zeros = new Uint8Array(mebibyte)
  /** An archive of one file of zeros. */
  const bomb = (size: number) =>
    Stream.make(
      Tar.fileStream("bomb", size, Stream.fromArray(Array.from({ length: size / mebibyte }, () => zeros)))
    ).pipe(Stream.pipeThroughChannelOrFail(Tar.encode()), Stream.mkUint8Array, Effect.orDie)
  const limits: LayerTar.Limits = { maxBytes: 64 * mebibyte }

  it.live.each(
    [
      ["Zstandard", 256 * mebibyte, zstdCompressSync],
      ["gzip", 80 * mebibyte, gzipSync]
    ] as const
  )(
    "of %s is refused at once, in little memory",
    ([, size, compress]) =>
      Effect.gen(function*() {
        const bytes = compress(yield* bomb(size))
        assert.isBelow(bytes.length, mebibyte)
        const blob = yield* BlobStore.putBytes(bytes)
        const attempts = [
          Stream.runDrain(ImageLayer.list(blob, limits)),
          ImageLayer.adopt(Stream.succeed(bytes), limits),
          ImageLayer.recompress(blob, { ...limits, compression: "uncompressed" }),
          ImageLayer.rewriteTimestamps(
            { ...blob, mediaType: "x/y" },
            { seconds: -1, nanoseconds: 0, offset: "Z" },
            limits
          ),
          ImageLayer.squash([blob], { ...limits, whiteouts: "drop" })
        ]
        for (const attempt of attempts) {
          const before = process.memoryUsage().rss
          const start = process.cpuUsage()
          const error = yield* Effect.flip(attempt)
          assert.strictEqual(taken(error), "LimitExceeded")
          // Of this process alone, whatever else the machine does
          const { system, user } = process.cpuUsage(start)
          assert.isBelow(user + system, 1_000_000)
          assert.isBelow(process.memoryUsage().rss - before, 150 * mebibyte)
        }
      }).pipe(provided),
    30_000
  )

  it.live.runIf(isThorough)("that the limit allows passes through in little memory", () =>
    Effect.gen(function*() {
      const { descriptor, diffId } = yield* ImageLayer.adopt(
        Stream.succeed(zstdCompressSync(yield* bomb(256 * mebibyte)))
      )
      const before = process.memoryUsage().rss
      const squashed = yield* ImageLayer.squash([descriptor], { whiteouts: "drop", compression: "zstd" })
      assert.strictEqual(squashed.diffId, diffId)
      const early = { seconds: -1, nanoseconds: 0, offset: "Z" } as const
      assert.notStrictEqual((yield* ImageLayer.rewriteTimestamps(descriptor, early)).diffId, diffId)
      assert.strictEqual((yield* ImageLayer.recompress(descriptor, { compression: "zstd", level: 1 })).diffId, diffId)
      assert.isBelow(process.memoryUsage().rss - before, 150 * mebibyte)
    }).pipe(provided), 60_000)

  it.live("of entries is refused, too", () =>
    Effect.gen(function*() {
      const block = yield* Stream.make(Tar.file("a", "")).pipe(
        Stream.pipeThroughChannelOrFail(Tar.encode()),
        Stream.mkUint8Array,
        Effect.map((bytes) => Buffer.concat(Array.from({ length: 2000 }, () => bytes.subarray(0, 512))))
      )
      const bytes = zstdCompressSync(Buffer.concat(Array.from({ length: 20 }, () => block)))
      const error = yield* Effect.flip(ImageLayer.adopt(Stream.succeed(bytes), { maxEntries: 1000 }))
      assert.strictEqual(error.message, "the layer is too large: expected at most 1000 entries, found at least 1001")
    }).pipe(provided), 30_000)
})

describe("the end of a gzip layer", () => {
  const half = 3 * 512
  const tar = Effect.orDie(
    Stream.make(Tar.file("a", "x".repeat(2000))).pipe(
      Stream.pipeThroughChannelOrFail(Tar.encode()),
      Stream.mkUint8Array
    )
  )
  const rows = [
    ["one member", (tar: Uint8Array) => [gzipSync(tar)], undefined],
    ["two members", (tar: Uint8Array) => [gzipSync(tar.subarray(0, half)), gzipSync(tar.subarray(half))], undefined],
    ["zeros behind it", (tar: Uint8Array) => [gzipSync(tar), new Uint8Array(512)], "CorruptContent"],
    ["text behind it", (tar: Uint8Array) => [gzipSync(tar), new TextEncoder().encode("text")], "CorruptContent"],
    [
      "a member that is cut behind it",
      (tar: Uint8Array) => [gzipSync(tar), gzipSync("x").subarray(0, 9)],
      "CorruptContent"
    ],
    ["no checksum", (tar: Uint8Array) => [gzipSync(tar).subarray(0, -8)], "CorruptContent"]
  ] as const
  it.live.each(rows)("is judged as Go's: %s", ([, make, expected]) =>
    Effect.gen(function*() {
      const bytes = Buffer.concat(make(yield* tar))
      const blob = yield* BlobStore.putBytes(bytes)
      for (const attempt of [Stream.runDrain(ImageLayer.list(blob)), ImageLayer.adopt(Stream.succeed(bytes))]) {
        const error = yield* Effect.match(attempt, { onSuccess: () => undefined, onFailure: taken })
        assert.strictEqual(error, expected)
      }
    }).pipe(provided))
})
