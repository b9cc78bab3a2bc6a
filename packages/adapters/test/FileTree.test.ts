import * as FileTree from "@effect-oci/adapters/FileTree"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import {
  appendFileSync,
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0

/** A directory with files of this content. */
const files = (contents: Readonly<Record<string, string>>) => {
  const directory = join(root, `${++count}`)
  mkdirSync(directory)
  for (const [path, content] of Object.entries(contents)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), content)
  }
  return directory
}

const services = Layer.merge(NodeHash.layer, NodeCompression.layer)
const provided = Effect.provide(Layer.provideMerge(MemoryStore.layer, services))

const tar = (path: string, options?: FileTree.Options) =>
  Effect.flatMap(
    FileTree.open(path, options),
    (source) => Stream.mkUint8Array(source.kind === "archive" ? source.archive : source.tar)
  ).pipe(
    Effect.provide(NodeCompression.layer)
  )

const run = (command: string, args: ReadonlyArray<string>, input: Uint8Array) =>
  execFileSync(command, args, { input, encoding: "utf8", env: { ...process.env, TZ: "UTC", LC_ALL: "C.UTF-8" } })

/** What GNU tar reads: type and mode, owner, size, time, name. */
const listing = (bytes: Uint8Array) =>
  run("tar", ["-tv", "--numeric-owner", "--full-time", "--quoting-style=literal"], bytes).trim().split("\n").map((
    line
  ) => line.replaceAll(/ +/g, " "))

const names = (bytes: Uint8Array) => run("tar", ["-t", "--quoting-style=literal"], bytes).trim().split("\n")

describe("a directory", () => {
  it.live("becomes sorted entries of 0:0 with one time, as GNU tar reads them", () =>
    Effect.gen(function*() {
      const directory = files({ "b/file": "content", "b.txt": "", "b!": "1", "a/deep/er": "22", "ü": "3" })
      chmodSync(join(directory, "b/file"), 0o4751)
      chmodSync(join(directory, "b.txt"), 0o600)
      chmodSync(join(directory, "b!"), 0o644)
      chmodSync(join(directory, "ü"), 0o644)
      chmodSync(join(directory, "a/deep/er"), 0o644)
      for (const path of ["b", "a", "a/deep"]) chmodSync(join(directory, path), 0o755)
      chmodSync(join(directory, "a"), 0o1777)
      symlinkSync("../nowhere/ü", join(directory, "link"))
      linkSync(join(directory, "b/file"), join(directory, "z"))
      linkSync(join(directory, "b/file"), join(directory, "a/first"))
      const time = "1970-01-01 00:00:01"
      assert.deepStrictEqual(listing(yield* tar(directory)), [
        `drwxrwxrwt 0/0 0 ${time} a/`,
        `drwxr-xr-x 0/0 0 ${time} a/deep/`,
        `-rw-r--r-- 0/0 2 ${time} a/deep/er`,
        `-rwsr-x--x 0/0 7 ${time} a/first`,
        `drwxr-xr-x 0/0 0 ${time} b/`,
        `-rw-r--r-- 0/0 1 ${time} b!`,
        `-rw------- 0/0 0 ${time} b.txt`,
        `hrwsr-x--x 0/0 0 ${time} b/file link to a/first`,
        `lrwxrwxrwx 0/0 0 ${time} link -> ../nowhere/ü`,
        `hrwsr-x--x 0/0 0 ${time} z link to a/first`,
        `-rw-r--r-- 0/0 1 ${time} ü`
      ])
    }))

  it.live("gives the same bytes for the same files, whenever and wherever they were made", () =>
    Effect.gen(function*() {
      const contents = { "a/1": "x", "a/2": "y", "b": "z" }
      const one = files(contents)
      const two = files(Object.fromEntries(Object.entries(contents).toReversed()))
      utimesSync(join(two, "a/1"), 1, 1)
      symlinkSync("a", join(one, "l"))
      symlinkSync("a", join(two, "l"))
      lutimesSync(join(two, "l"), 1, 1)
      const zone = process.env["TZ"]
      const bytes = yield* tar(one)
      process.env["TZ"] = "Pacific/Kiritimati"
      const umask = process.umask(0o077)
      const others = yield* tar(two)
      process.umask(umask)
      if (zone === undefined) delete process.env["TZ"]
      else process.env["TZ"] = zone
      assert.isTrue(Buffer.from(bytes).equals(others))
    }))

  it.live("is written with names of any length and any characters", () =>
    Effect.gen(function*() {
      const paths = [
        "x".repeat(255),
        `${"d".repeat(90)}/${"e".repeat(90)}/${"f".repeat(90)}`,
        "é".repeat(100),
        "𝒳/ﬀ/\ud83d\ude00",
        "new\nline",
        "re\rturn",
        " ",
        "back\\slash",
        "-dash"
      ]
      const directory = files(Object.fromEntries(paths.map((path) => [path, path])))
      symlinkSync("t".repeat(150), join(directory, "long"))
      const target = files({})
      run("tar", ["-x", "-C", target], yield* tar(directory))
      for (const path of paths) assert.strictEqual(readFileSync(join(target, path), "utf8"), path)
      execFileSync("diff", ["-r", "--no-dereference", directory, target])
    }))

  it.live("lands where it is told to, in directories of 0755", () =>
    Effect.gen(function*() {
      const directory = files({ f: "" })
      chmodSync(directory, 0o700)
      assert.deepStrictEqual(names(yield* tar(directory)), ["f"])
      for (const at of ["/srv/app", "srv/app/", "//srv/./app"]) {
        assert.deepStrictEqual(
          listing(yield* tar(directory, { at })).map((line) => line.replace(/ .* /, " ")),
          ["drwxr-xr-x srv/", "drwxr-xr-x srv/app/", "-rw-r--r-- srv/app/f"]
        )
      }
    }))

  it.live("that is empty is an archive without entries", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* tar(files({})), new Uint8Array(1024))
      assert.deepStrictEqual(names(yield* tar(files({}), { at: "a" })), ["a/"])
    }))

  it.live("is not left through links", () =>
    Effect.gen(function*() {
      const outside = files({ secret: "" })
      const directory = files({ a: "" })
      symlinkSync(outside, join(directory, "d"))
      assert.deepStrictEqual(listing(yield* tar(directory)).length, 2)
      // The path itself may be one
      symlinkSync(directory, join(outside, "path"))
      assert.deepStrictEqual(names(yield* tar(join(outside, "path"))), ["a", "d"])
    }))

  it.live("of many files in one directory, and a path that is deep", () =>
    Effect.gen(function*() {
      const directory = files(Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`${index}`, ""])))
      mkdirSync(join(directory, "d/".repeat(300)), { recursive: true })
      const found = names(yield* tar(directory))
      assert.strictEqual(found.length, 2300)
      assert.deepStrictEqual(found.slice(0, 2000), found.slice(0, 2000).toSorted())
    }))
})

describe("a layer of files", () => {
  it.live("is compressed as the options say", () =>
    Effect.gen(function*() {
      const directory = files({ a: "content" })
      const { descriptor } = yield* FileTree.store(directory, { compression: "zstd", level: 19 })
      assert.strictEqual(descriptor.mediaType, MediaType.layerZstd)
      assert.isTrue(zstdDecompressSync(yield* BlobStore.getBytes(descriptor)).equals(yield* tar(directory)))
    }).pipe(provided))
})

describe("a file", () => {
  it.live("lands with its own name", () =>
    Effect.gen(function*() {
      const directory = files({ "tool": "#!/bin/sh\n" })
      chmodSync(join(directory, "tool"), 0o755)
      assert.deepStrictEqual(
        listing(yield* tar(join(directory, "tool"), { at: "/bin" })).map((line) => line.replace(/ .* /, " ")),
        ["drwxr-xr-x bin/", "-rwxr-xr-x bin/tool"]
      )
      symlinkSync("tool", join(directory, "alias"))
      assert.deepStrictEqual(listing(yield* tar(join(directory, "alias"))).map((line) => line.replace(/ .* /, " ")), [
        "-rwxr-xr-x alias"
      ])
    }))

  const others: ReadonlyArray<readonly [string, Uint8Array]> = [
    ["that is compressed", gzipSync("no archive")],
    ["of text", Buffer.from("ustar".repeat(200))],
    ["of zeros", new Uint8Array(1 << 20)],
    ["without content", new Uint8Array()]
  ]
  it.live.each(others)("%s is no archive", ([, bytes]) =>
    Effect.gen(function*() {
      const directory = files({})
      writeFileSync(join(directory, "f"), bytes)
      const archive = yield* tar(join(directory, "f"))
      assert.deepStrictEqual(names(archive), ["f"])
    }))
})

describe("an archive", () => {
  const archives = () => {
    const directory = files({ "a/b": "content" })
    const path = (name: string) => join(root, `${count}-${name}`)
    const make = (name: string, ...args: ReadonlyArray<string>) => {
      execFileSync("tar", ["-c", ...args, "-f", path(name), "-C", directory, "."])
      return path(name)
    }
    const gnu = make("gnu.tar", "--format=gnu")
    writeFileSync(path("tar.zst"), zstdCompressSync(readFileSync(gnu)))
    return { gnu, v7: make("v7.tar", "--format=v7"), gzip: make("tar.gz", "-z"), zstd: path("tar.zst") }
  }

  it.live("is known by its content, and adopted", () =>
    Effect.gen(function*() {
      const { gnu, gzip, v7, zstd } = archives()
      for (const path of [gnu, v7]) {
        const stored = yield* FileTree.store(path)
        const blob = yield* BlobStore.getBytes(stored.descriptor)
        assert.isTrue(gunzipSync(blob).equals(readFileSync(path)))
      }
      for (const [path, mediaType] of [[gzip, MediaType.layerGzip], [zstd, MediaType.layerZstd]] as const) {
        const stored = yield* FileTree.store(path)
        assert.strictEqual(stored.descriptor.mediaType, mediaType)
        assert.isTrue(readFileSync(path).equals(yield* BlobStore.getBytes(stored.descriptor)))
      }
    }).pipe(provided))

  it.live("without entries is one", () =>
    Effect.gen(function*() {
      const path = join(root, "empty.tar")
      execFileSync("tar", ["-c", "-f", path, "-T", "/dev/null"])
      assert.strictEqual((yield* FileTree.open(path)).kind, "archive")
      const gzipped = join(root, "empty.tar.gz")
      writeFileSync(gzipped, gzipSync(readFileSync(path)))
      assert.strictEqual((yield* FileTree.open(gzipped)).kind, "archive")
    }).pipe(provided))

  it.live("that is damaged is refused, and nothing is stored", () =>
    Effect.gen(function*() {
      const { gnu, gzip } = archives()
      truncateSync(gzip, 150)
      truncateSync(gnu, 512 * 3 + 100)
      for (const [path, tag] of [[gzip, "CorruptContent"], [gnu, "InvalidLayer"]] as const) {
        const error = yield* Effect.flip(FileTree.store(path))
        assert.deepStrictEqual([error._tag, error.message], [
          "InvalidArchive",
          `cannot make a layer of the archive ${path}`
        ])
        assert.strictEqual(error._tag === "InvalidArchive" ? error.cause._tag : "", tag)
      }
    }).pipe(provided))

  it.live("that is compressed and damaged from its beginning on is refused too", () =>
    Effect.gen(function*() {
      const { gzip } = archives()
      const bytes = readFileSync(gzip)
      const damaged: ReadonlyArray<readonly [string, Uint8Array]> = [
        ["its header alone", bytes.subarray(0, 10)],
        ["its first block", bytes.map((byte, index) => index === 12 ? byte ^ 0xff : byte)],
        ["its checksum", bytes.map((byte, index) => index === bytes.length - 5 ? byte ^ 0xff : byte)],
        ["what follows it", Buffer.concat([bytes, Buffer.from("garbage")])]
      ]
      for (const [what, content] of damaged) {
        writeFileSync(gzip, content)
        const error = yield* Effect.flip(FileTree.store(gzip))
        assert.strictEqual(error._tag === "InvalidArchive" ? error.cause._tag : "", "CorruptContent", what)
      }
    }).pipe(provided))

  it.live("lands where it says itself", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(FileTree.store(archives().gnu, { at: "/app" }))
      assert.strictEqual(
        error.message,
        `files cannot land at "/app": expected "/" for a tar archive, which says itself where its files land, found another directory`
      )
    }).pipe(provided))
})

describe("what a layer cannot hold", () => {
  it.live("is refused by name", () =>
    Effect.gen(function*() {
      const plants: ReadonlyArray<readonly [string, (directory: string) => void, string]> = [
        ["pipe", (directory) => execFileSync("mkfifo", [join(directory, "pipe")]), "a FIFO"],
        ["s", (directory) =>
          execFileSync("python3", [
            "-c",
            "import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])",
            join(directory, "s")
          ]), "a socket"],
        [".wh.x", (directory) => writeFileSync(join(directory, ".wh.x"), ""), `".wh.x"`],
        [".wh..wh..opq", (directory) => writeFileSync(join(directory, ".wh..wh..opq"), ""), `".wh..wh..opq"`]
      ]
      for (const [name, plant, found] of plants) {
        const directory = files({ a: "", "b/c": "" })
        plant(join(directory, "b"))
        const error = yield* Effect.flip(tar(directory))
        assert.strictEqual(error._tag === "UnsupportedFile" && error.path, join(directory, "b", name))
        assert.strictEqual(error._tag === "UnsupportedFile" && error.found, found)
      }
    }))

  it.live("such as names that are not UTF-8", () =>
    Effect.gen(function*() {
      const directory = files({ a: "" })
      writeFileSync(Buffer.concat([Buffer.from(`${directory}/x`), Buffer.from([0xff, 0x61])]), "")
      const error = yield* Effect.flip(tar(directory))
      assert.strictEqual(
        error.message,
        `${directory} cannot be put into a layer: expected names in UTF-8, found "x\\xffa"`
      )
      const links = files({})
      symlinkSync(Buffer.from([0xfe]), join(links, "l"))
      assert.strictEqual((yield* Effect.flip(tar(links)))._tag, "UnsupportedFile")
    }))

  it.live.runIf(process.getuid?.() === 0 && judge("mknod"))("such as devices", () =>
    Effect.gen(function*() {
      const directory = files({})
      execFileSync("mknod", [join(directory, "null"), "c", "1", "3"])
      const error = yield* Effect.flip(tar(directory))
      assert.strictEqual(error._tag === "UnsupportedFile" && error.found, "a device")
    }))

  it.live("such as a path that leads through a file, or in a circle", () =>
    Effect.gen(function*() {
      const directory = files({ a: "" })
      symlinkSync("loop", join(directory, "loop"))
      for (
        const [name, reason] of [["a/b", /: a part of the path is not a directory/], ["loop", /: .* circle/]] as const
      ) {
        assert.match((yield* Effect.flip(tar(join(directory, name)))).message, reason)
      }
    }))

  it.live("such as a path that is not there", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(tar(join(root, "absent")))
      assert.strictEqual(error.message, `${join(root, "absent")} cannot be read: there is no such file`)
    }))

  it.live("such as a destination that leads out of the root, or that deletes", () =>
    Effect.gen(function*() {
      const directory = files({ a: "" })
      for (const at of ["..", "/a/../../b", "a\0b", "/.wh.x", "/x/.wh..wh..opq"]) {
        assert.strictEqual((yield* Effect.flip(tar(directory, { at })))._tag, "InvalidDestination")
      }
    }))
})

const changes: ReadonlyArray<readonly [string, (path: string) => void]> = [
  ["is cut", (path) => truncateSync(path, 10)],
  ["grows", (path) => appendFileSync(path, "more")],
  ["is written to", (path) => {
    const bytes = readFileSync(path)
    bytes[0] = 1
    writeFileSync(path, bytes)
  }],
  ["is replaced", (path) => {
    writeFileSync(`${path}.new`, readFileSync(path))
    renameSync(`${path}.new`, path)
  }],
  ["is removed", (path) => unlinkSync(path)],
  ["becomes a link", (path) => {
    unlinkSync(path)
    symlinkSync("/etc/hostname", path)
  }],
  ["becomes a FIFO", (path) => {
    unlinkSync(path)
    execFileSync("mkfifo", [path])
  }]
]

describe("a file that changes while it is read", () => {
  const cases = changes.flatMap(([name, change]) =>
    (["before it is opened", "before its first byte", "before its last bytes"] as const).map((when) =>
      [name, when, change] as const
    )
  ).filter(([name, when]) => when === "before it is opened" || !/replaced|removed|becomes/.test(name))

  it.live.each(cases)("%s %s is told, and nothing is stored", ([, when, change]) =>
    Effect.gen(function*() {
      const directory = files({ a: "", big: "x".repeat(3 << 20) })
      const path = join(directory, "big")
      const real = yield* Files
      let reads = 0
      const changing: FileSystem = {
        ...real,
        open: (asked, flags) => {
          if (asked === path && when === "before it is opened") change(path)
          return Effect.map(real.open(asked, flags), (file) => ({
            ...file,
            read: (bytes: Uint8Array) =>
              Effect.suspend(() => {
                if (asked === path && ++reads === (when === "before its first byte" ? 1 : 3)) change(path)
                return file.read(bytes)
              })
          }))
        }
      }
      const error = yield* Effect.flip(FileTree.store(directory).pipe(Effect.provideService(Files, changing)))
      assert.strictEqual(error._tag === "FileChanged" && error.path, path)
    }).pipe(provided))
})

describe("a small file that changes", () => {
  const others: ReadonlyArray<readonly [string, (path: string) => void]> = [
    ...changes,
    ["becomes a directory", (path) => {
      unlinkSync(path)
      mkdirSync(path)
    }]
  ]
  it.live.each(others)("%s is told, and nothing is stored", ([, change]) =>
    Effect.gen(function*() {
      const directory = files({ a: "", small: "x".repeat(100) })
      const path = join(directory, "small")
      const real = yield* Files
      const changing: FileSystem = {
        ...real,
        readWhole: (asked, size) => {
          if (asked === path) change(path)
          return real.readWhole(asked, size)
        }
      }
      const error = yield* Effect.flip(FileTree.store(directory).pipe(Effect.provideService(Files, changing)))
      assert.strictEqual(error._tag === "FileChanged" && error.path, path)
    }).pipe(provided))
})

describe("a large file", () => {
  it.live("is read in pieces of a megabyte, and interrupted at once", () =>
    Effect.gen(function*() {
      const directory = files({ big: "" })
      truncateSync(join(directory, "big"), 300 << 20)
      const source = yield* FileTree.open(directory)
      if (source.kind === "archive") return assert.fail("it is a directory")
      const before = process.memoryUsage().rss
      let largest = 0
      const size = yield* Stream.runFold(source.tar, () => 0, (size, chunk) => {
        largest = Math.max(largest, chunk.length)
        return size + chunk.length
      })
      assert.strictEqual(size, (300 << 20) + 512 + 1024)
      assert.strictEqual(largest, 1 << 20)
      assert.isBelow(process.memoryUsage().rss - before, 150 << 20)
      const fiber = yield* Effect.forkChild(Stream.runDrain(source.tar))
      yield* Effect.sleep("20 millis")
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 100)
    }).pipe(provided))
})
