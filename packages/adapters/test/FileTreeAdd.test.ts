import * as FileTree from "@effect-oci/adapters/FileTree"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
import * as LayerCache from "@effect-oci/core/LayerCache"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0

const files = (contents: Readonly<Record<string, string>>) => {
  const directory = join(root, `${++count}`)
  mkdirSync(directory)
  for (const [path, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), content)
  }
  return directory
}

const provided = Effect.provide(
  Layer.mergeAll(MemoryStore.layer, NodeCompression.layer, LayerCache.memory).pipe(Layer.provideMerge(NodeHash.layer))
)

/** What GNU tar says about the entries of a layer: modes, owners, times, paths. */
const listed = Effect.fnUntraced(function*(
  additions: FileTree.Addition | ReadonlyArray<FileTree.Addition>,
  options: Parameters<typeof FileTree.add>[1] = {}
) {
  const { descriptor } = yield* FileTree.add(additions, { ...options, compression: "uncompressed" })
  const archive = yield* BlobStore.getBytes(descriptor, 1 << 20)
  return execFileSync("tar", ["-tv", "--numeric-owner", "--full-time"], {
    input: archive,
    encoding: "utf8",
    env: { ...process.env, TZ: "UTC" }
  }).trimEnd().split("\n").map((line) => line.replaceAll(/ +/g, " "))
})

const paths = (lines: ReadonlyArray<string>) => lines.map((line) => line.split(" ").slice(5).join(" "))

const instant = (seconds: number): Timestamp.Timestamp => ({ seconds, nanoseconds: 0, offset: "Z" })

const rules = (text: string) => Result.getOrThrow(IgnoreRules.parse(text, "the rules"))

/** Long enough ago that what is read cannot have changed unseen. */
const settle = Effect.sleep("60 millis")

describe.runIf(judge("tar"))("an addition", () => {
  const cases: ReadonlyArray<readonly [string, string, string, ReadonlyArray<string>]> = [
    ["a directory's content lands in the destination", "dir", "/app", ["app/", "app/a", "app/sub/", "app/sub/b"]],
    ["a slash at its end changes nothing for a directory", "dir", "app/", ["app/", "app/a", "app/sub/", "app/sub/b"]],
    ["the destination may be the root", "dir", "/", ["a", "sub/", "sub/b"]],
    ["a file becomes the destination", "dir/a", "/usr/bin/tool", ["usr/", "usr/bin/", "usr/bin/tool"]],
    ["a file lands below a destination that ends in a slash", "dir/a", "/usr/bin/", ["usr/", "usr/bin/", "usr/bin/a"]],
    ["a file lands in the root", "dir/a", "/", ["a"]],
    ["a file lands in a directory that is called by a dot", "dir/a", "/usr/.", ["usr/", "usr/a"]],
    ["a link to a file is the file", "link", "/tool", ["tool"]],
    ["an archive is a file", "dir.tar", "/", ["dir.tar"]]
  ]
  it.live.each(cases)("%s", ([, source, destination, expected]) =>
    Effect.gen(function*() {
      const directory = files({ "dir/a": "a", "dir/sub/b": "b" })
      symlinkSync("dir/a", join(directory, "link"))
      execFileSync("tar", ["-cf", "dir.tar", "dir"], { cwd: directory })
      const lines = yield* listed({ source: join(directory, source), destination })
      assert.deepStrictEqual(paths(lines), expected)
    }).pipe(provided))

  it.live("keeps modes, and makes the directories above 0755 and owned by 0:0", () =>
    Effect.gen(function*() {
      const directory = files({ "private/key": "secret" })
      chmodSync(join(directory, "private"), 0o2750)
      chmodSync(join(directory, "private/key"), 0o600)
      assert.deepStrictEqual(
        yield* listed({ source: directory, destination: "/srv/data" }, { owner: { uid: 1000, gid: 3_000_000 } }),
        [
          "drwxr-xr-x 0/0 0 1970-01-01 00:00:01 srv/",
          "drwxr-xr-x 0/0 0 1970-01-01 00:00:01 srv/data/",
          "drwxr-s--- 1000/3000000 0 1970-01-01 00:00:01 srv/data/private/",
          "-rw------- 1000/3000000 6 1970-01-01 00:00:01 srv/data/private/key"
        ]
      )
    }).pipe(provided))

  it.live("has one time, its own, or at most the epoch's", () =>
    Effect.gen(function*() {
      const directory = files({ early: "", late: "" })
      utimesSync(join(directory, "early"), 1000, 1000)
      utimesSync(join(directory, "late"), 2000.9, 2000.9)
      const times = (lines: ReadonlyArray<string>) => lines.map((line) => line.split(" ")[4])
      const addition = { source: directory, destination: "/x" }
      assert.deepStrictEqual(times(yield* listed(addition)), ["00:00:01", "00:00:01", "00:00:01"])
      assert.deepStrictEqual(times(yield* listed(addition, { keepTimes: true })), ["00:00:01", "00:16:40", "00:33:20"])
      assert.deepStrictEqual(
        times(yield* listed(addition, { epoch: instant(1500) })),
        ["00:25:00", "00:16:40", "00:25:00"]
      )
      assert.deepStrictEqual(
        times(yield* listed(addition, { epoch: instant(1500), keepTimes: true })),
        ["00:25:00", "00:16:40", "00:25:00"]
      )
    }).pipe(provided))

  it.live("leaves out what the rules ignore, and keeps a directory only for what is in it", () =>
    Effect.gen(function*() {
      const directory = files({
        "a.txt": "",
        "a/keep/me.md": "",
        "a/drop.js": "",
        "node_modules/x/index.js": "",
        "src/main.ts": "",
        "src/main.test.ts": ""
      })
      const lines = yield* listed({ source: directory, destination: "/" }, {
        ignore: rules("node_modules\na\n!a/keep/me.md\n**/*.test.ts")
      })
      assert.deepStrictEqual(paths(lines), ["a.txt", "a/", "a/keep/", "a/keep/me.md", "src/", "src/main.ts"])
    }).pipe(provided))

  it.live("may be ignored though a layer could not hold it", () =>
    Effect.gen(function*() {
      const directory = files({ ".wh.gone": "", a: "" })
      execFileSync("mkfifo", [join(directory, "pipe")])
      const addition = { source: directory, destination: "/" }
      const error = yield* Effect.flip(FileTree.add(addition))
      assert.strictEqual(error._tag, "UnsupportedFile")
      assert.deepStrictEqual(paths(yield* listed(addition, { ignore: rules(".wh.*\npipe") })), ["a"])
    }).pipe(provided))
})

describe.runIf(judge("tar"))("several additions", () => {
  it.live("make one layer, sorted, whose directories are there once", () =>
    Effect.gen(function*() {
      const directory = files({ "one/z": "", "one/sub/a": "", "two/b": "", "two/sub/c": "", config: "" })
      const lines = yield* listed([
        { source: join(directory, "two"), destination: "/app" },
        { source: join(directory, "one"), destination: "/app" },
        { source: join(directory, "config"), destination: "/app/sub/config.json" }
      ])
      assert.deepStrictEqual(paths(lines), [
        "app/",
        "app/b",
        "app/sub/",
        "app/sub/a",
        "app/sub/c",
        "app/sub/config.json",
        "app/z"
      ])
    }).pipe(provided))

  it.live("may not land at one path", () =>
    Effect.gen(function*() {
      const directory = files({ a: "", b: "" })
      const error = yield* Effect.flip(FileTree.add([
        { source: join(directory, "a"), destination: "/x" },
        { source: join(directory, "b"), destination: "/x" }
      ]))
      assert.strictEqual(
        error.message,
        "files cannot land at \"/x\": expected one file, found several that land there"
      )
    }).pipe(provided))

  it.live("keep hard links among them", () =>
    Effect.gen(function*() {
      const directory = files({ "one/a": "content", "two/x": "" })
      linkSync(join(directory, "one/a"), join(directory, "two/b"))
      const lines = yield* listed([
        { source: join(directory, "two"), destination: "/two" },
        { source: join(directory, "one"), destination: "/one" }
      ])
      assert.isTrue(lines.some((line) => line.endsWith("two/b link to one/a")), lines.join("\n"))
    }).pipe(provided))
})

describe("the cache", () => {
  const add = (source: string, options: Parameters<typeof FileTree.add>[1] = {}) =>
    FileTree.add({ source, destination: "/app" }, options)

  it.live("finds a layer of which nothing has changed, and is not asked about its content", () =>
    Effect.gen(function*() {
      const directory = files({ a: "one", "sub/b": "two" })
      yield* settle
      const first = yield* add(directory)
      assert.isFalse(first.fromCache)
      let read = 0
      const second = yield* add(directory, {
        onRead: (bytes) =>
          Effect.sync(() => {
            read += bytes
          })
      })
      assert.deepStrictEqual(second, { ...first, fromCache: true })
      assert.strictEqual(read, 0)
    }).pipe(provided))

  const changes: ReadonlyArray<readonly [string, (directory: string) => void]> = [
    ["content of the same size", (directory) => writeFileSync(join(directory, "a"), "new")],
    ["content of the same size, and the time set back", (directory) => {
      const { atimeMs, mtimeMs } = statSync(join(directory, "a"))
      writeFileSync(join(directory, "a"), "new")
      utimesSync(join(directory, "a"), atimeMs / 1000, mtimeMs / 1000)
    }],
    ["a mode", (directory) => chmodSync(join(directory, "a"), 0o600)],
    ["the mode of a directory", (directory) => chmodSync(join(directory, "sub"), 0o700)],
    ["a name", (directory) => renameSync(join(directory, "a"), join(directory, "c"))],
    ["another file", (directory) => writeFileSync(join(directory, "sub/c"), "")],
    ["an equal file in its place", (directory) => {
      writeFileSync(join(directory, "new"), "one")
      renameSync(join(directory, "new"), join(directory, "a"))
    }],
    ["an empty directory", (directory) => mkdirSync(join(directory, "empty"))]
  ]
  it.live.each(changes)("sees %s", ([, change]) =>
    Effect.gen(function*() {
      const directory = files({ a: "one", "sub/b": "two" })
      yield* settle
      yield* add(directory)
      change(directory)
      yield* settle
      assert.isFalse((yield* add(directory)).fromCache)
      assert.isTrue((yield* add(directory)).fromCache)
    }).pipe(provided))

  const options: ReadonlyArray<NonNullable<Parameters<typeof FileTree.add>[1]>> = [
    { owner: { uid: 1, gid: 0 } },
    { keepTimes: true },
    { epoch: instant(5) },
    { compression: "zstd" },
    { level: 9 },
    { ignore: rules("a") }
  ]
  it.live.each(options)("tells apart %j", (option) =>
    Effect.gen(function*() {
      const directory = files({ a: "one", "sub/b": "two" })
      yield* settle
      yield* add(directory)
      assert.isFalse((yield* add(directory, option)).fromCache)
      assert.isTrue((yield* add(directory, option)).fromCache)
      assert.isFalse((yield* FileTree.add({ source: directory, destination: "/other" })).fromCache)
    }).pipe(provided))

  // Where the machine is busy, the moment may be over before the file is read
  it.live(
    "does not keep what was written a moment ago, and could be written again unseen",
    () =>
      Effect.gen(function*() {
        const directory = files({ a: "one" })
        yield* add(directory)
        yield* settle
        assert.isFalse((yield* add(directory)).fromCache)
      }).pipe(provided),
    { retry: 3 }
  )

  it.live("is told of the level by its number or not at all, which is the same", () =>
    Effect.gen(function*() {
      const directory = files({ a: "one" })
      yield* settle
      const stored = yield* add(directory, { level: 2 })
      assert.deepStrictEqual(yield* add(directory), { ...stored, fromCache: true })
    }).pipe(provided))

  it.live("makes the same layer as an empty cache does", () =>
    Effect.gen(function*() {
      const directory = files({ a: readFileSync(import.meta.filename, "utf8"), b: "" })
      const made = yield* add(directory).pipe(Effect.provide(LayerCache.none))
      yield* settle
      yield* add(directory)
      assert.deepStrictEqual(yield* add(directory), { ...made, fromCache: true })
    }).pipe(provided))
})
