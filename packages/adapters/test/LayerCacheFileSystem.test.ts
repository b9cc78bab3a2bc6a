import * as LayerCacheFileSystem from "@effect-oci/adapters/LayerCacheFileSystem"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as LayerCache from "@effect-oci/core/LayerCache"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { execFile, execFileSync, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync
} from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { Files, type FileSystem } from "../src/internal/files.ts"
import * as LayerRecord from "../src/internal/layerRecord.ts"
import { hasty } from "./hasty.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

/** Whether there is time for tests that take seconds. */
const isThorough = process.env["CI"] === "true"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const digestOf = (bytes: Uint8Array | string) =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(bytes).digest("hex")))

const layoutAt = (directory: string) =>
  Effect.provide(BlobStore.BlobStore, Layer.provide(OciLayout.layer(directory), NodeHash.layer))

const cacheAt = (directory: string, options?: LayerCacheFileSystem.Options) =>
  Effect.provide(LayerCache.LayerCache, Layer.provide(LayerCacheFileSystem.layer(directory, options), NodeHash.layer))

/** The bytes of a layer, large enough for several reads. */
const bytesOf = (name: string, size = 1_600_000): Uint8Array => Buffer.alloc(size, `${name} `)

/** Old enough that a write would show in the time of the file. */
const settle = Effect.sleep("30 millis")

const store = Effect.fnUntraced(function*(store: BlobStore.Store, bytes: Uint8Array) {
  const blob = yield* store.put(Stream.succeed(bytes))
  yield* settle
  return { descriptor: { mediaType: MediaType.layer, ...blob }, diffId: blob.digest, encoder: "none" }
})

const pathOf = (directory: string, { digest }: BlobStore.Blob) =>
  join(directory, "blobs/sha256", Digest.encoded(digest))

const recordPath = (directory: string, key: Digest.Digest) =>
  join(directory, ".effect-oci/layers", `sha256-${Digest.encoded(key)}`)

const isRight = (store: BlobStore.Store, blob: BlobStore.Blob) => Effect.isSuccess(Stream.runDrain(store.get(blob)))

/** Gathers what is logged while an effect runs. */
const listening = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const messages: Array<string> = []
    const logger = Logger.make<unknown, void>(({ message }) => void messages.push(String(message)))
    return Effect.map(Effect.provide(effect, Logger.layer([logger])), (result) => ({ result, messages }))
  })

/** A file system that tells which files were opened, and how many bytes were written. */
const observed = (files: FileSystem) => {
  const opened: Array<string> = []
  let written = 0
  const system: FileSystem = {
    ...files,
    open: (path, flags) =>
      Effect.map(files.open(path, flags), (file) => {
        opened.push(path)
        return {
          ...file,
          write: (bytes: Uint8Array) => {
            written += bytes.length
            return file.write(bytes)
          }
        }
      })
  }
  return { system, opened, written: () => written }
}

const refused = (code: string) => (path: string) =>
  Effect.fail(new BlobStore.StoreIo({ operation: "change", path, code }))

/** A file system without clones and links between directories, as between two disks. */
const apart = (files: FileSystem): FileSystem => ({
  ...files,
  clone: (_, to) => refused("EXDEV")(to),
  link: (from, to) => from.includes("/blobs/") ? refused("EXDEV")(to) : files.link(from, to)
})

const key = digestOf("key")

describe("find", () => {
  it.live("gives what was kept, in any layout, and writes no byte of it again", () =>
    Effect.gen(function*() {
      const { system, written } = observed(yield* Files)
      const [directory, a, b] = [fresh(), fresh(), fresh()]
      yield* Effect.gen(function*() {
        const cache = yield* cacheAt(directory)
        const [one, other] = [yield* layoutAt(a), yield* layoutAt(b)]
        const layer = yield* store(one, bytesOf("layer"))
        const before = written()
        yield* cache.keep(key, layer, one)
        assert.deepStrictEqual(yield* cache.find(key, one), Option.some(layer))
        assert.deepStrictEqual(yield* cache.find(key, other), Option.some(layer))
        assert.isTrue(yield* isRight(other, layer.descriptor))
        assert.isBelow(written() - before, 10_000)
        assert.isTrue(Option.isNone(yield* cache.find(digestOf("other"), one)))
        assert.deepStrictEqual(readdirSync(join(directory, ".effect-oci")), ["layers"])
        for (const layout of [a, b]) assert.deepStrictEqual(readdirSync(join(layout, ".effect-oci")), [])
      }).pipe(Effect.provideService(Files, system))
    }))

  it.live("gives a layer that no encoder has made as it was kept", () =>
    Effect.gen(function*() {
      const cache = yield* cacheAt(fresh())
      const one = yield* layoutAt(fresh())
      const { encoder: _, ...layer } = yield* store(one, bytesOf("layer"))
      yield* cache.keep(key, layer, one)
      assert.deepStrictEqual(yield* cache.find(key, one), Option.some(layer))
    }))

  it.live("finds nothing in an empty cache, and makes nothing", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const cache = yield* cacheAt(directory)
      const { messages, result } = yield* listening(Effect.flatMap(layoutAt(fresh()), (one) => cache.find(key, one)))
      assert.deepStrictEqual([result, messages], [Option.none(), []])
      assert.isFalse(existsSync(directory))
    }))

  it.live.each([true, false])(
    "does not read what has not changed since it was verified: linked %s",
    (isLinked) =>
      Effect.gen(function*() {
        const files = yield* Files
        const { opened, system } = observed(isLinked ? files : apart(files))
        const [directory, a, b] = [fresh(), fresh(), fresh()]
        yield* Effect.gen(function*() {
          const [one, other] = [yield* layoutAt(a), yield* layoutAt(b)]
          const layer = yield* store(one, bytesOf("layer"))
          const reads = (layout: string) =>
            Effect.gen(function*() {
              const before = opened.length
              // A new one each time: what it knows is on the disk
              const cache = yield* cacheAt(directory)
              assert.deepStrictEqual(yield* cache.find(key, yield* layoutAt(layout)), Option.some(layer))
              return opened.slice(before).filter((path) => path === pathOf(layout, layer.descriptor)).length
            })
          yield* Effect.flatMap(cacheAt(directory), (cache) => cache.keep(key, layer, one))
          assert.deepStrictEqual([yield* reads(a), yield* reads(a)], [0, 0])
          yield* reads(b)
          yield* settle
          yield* reads(b)
          assert.deepStrictEqual([yield* reads(b), yield* reads(a), yield* reads(b)], [0, 0, 0])
          assert.isTrue(yield* isRight(other, layer.descriptor))
          // The same content in another file is not known
          writeFileSync(pathOf(a, layer.descriptor) + ".new", readFileSync(pathOf(a, layer.descriptor)))
          execFileSync("mv", [pathOf(a, layer.descriptor) + ".new", pathOf(a, layer.descriptor)])
          yield* settle
          assert.deepStrictEqual([yield* reads(a), yield* reads(a)], [1, 0])
        }).pipe(Effect.provideService(Files, system))
      })
  )

  it.live("does not trust a blob that was damaged before it was kept", () =>
    Effect.gen(function*() {
      const [directory, a] = [fresh(), fresh()]
      const one = yield* layoutAt(a)
      const layer = yield* store(one, bytesOf("layer"))
      const path = pathOf(a, layer.descriptor)
      const times = statSync(path)
      flip(path)
      yield* settle
      const cache = yield* cacheAt(directory)
      yield* cache.keep(key, layer, one)
      const { messages, result } = yield* listening(cache.find(key, one))
      assert.deepStrictEqual([result, messages.length], [Option.none(), 1])
      assert.isAbove(statSync(path).mtimeMs, times.mtimeMs)
    }))

  it.live("streams into stores that are no layouts, and out of them", () =>
    Effect.gen(function*() {
      const memory = Effect.provide(BlobStore.BlobStore, Layer.fresh(Layer.provide(MemoryStore.layer, NodeHash.layer)))
      const [one, other] = [yield* memory, yield* memory]
      const cache = yield* cacheAt(fresh())
      const layer = yield* store(one, bytesOf("layer"))
      yield* cache.keep(key, layer, one)
      for (const target of [other, one, yield* layoutAt(fresh())]) {
        assert.deepStrictEqual(yield* cache.find(key, target), Option.some(layer))
        assert.isTrue(yield* isRight(target, layer.descriptor))
      }
    }))
})

const flip = (path: string) => {
  const file = openSync(path, "r+")
  writeSync(file, Uint8Array.of(0), 0, 1, 1_500_000)
  closeSync(file)
}

const damages: ReadonlyArray<readonly [string, (path: string) => void]> = [
  ["flipped", flip],
  ["flipped and given its time again", (path) => {
    const { atime, mtime } = statSync(path)
    flip(path)
    utimesSync(path, atime, mtime)
  }],
  ["cut", (path) => truncateSync(path, 1_000_000)],
  ["longer", (path) => appendFileSync(path, "!")],
  ["empty", (path) => truncateSync(path)],
  ["a link", (path) => {
    unlinkSync(path)
    symlinkSync("/etc/hostname", path)
  }],
  ["a FIFO", (path) => {
    unlinkSync(path)
    execFileSync("mkfifo", [path])
  }],
  ["gone", (path) => unlinkSync(path)]
]

describe("a blob", () => {
  /** Keeps a layer as a file of its own, does harm, and tells what is found. */
  const after = (harm: (store: string, cache: string) => void, isApart = true) =>
    Effect.gen(function*() {
      const [directory, a] = [fresh(), fresh()]
      const files = yield* Files
      return yield* Effect.gen(function*() {
        const one = yield* layoutAt(a)
        const cache = yield* cacheAt(directory)
        const layer = yield* store(one, bytesOf("layer"))
        yield* cache.keep(key, layer, one)
        harm(pathOf(a, layer.descriptor), pathOf(directory, layer.descriptor))
        const { messages, result } = yield* listening(cache.find(key, one))
        const isForgotten = tree(directory).every((path) => !/sha256[-/]./.test(path))
        if (Option.isSome(result)) assert.isTrue(yield* isRight(one, layer.descriptor))
        // Whatever it was, the next build is well again
        const again = yield* store(one, bytesOf("layer"))
        yield* cache.keep(key, again, one)
        assert.deepStrictEqual(yield* cache.find(key, one), Option.some(layer))
        assert.deepStrictEqual(yield* cache.find(key, yield* layoutAt(fresh())), Option.some(layer))
        return { isFound: Option.isSome(result), warnings: messages.length, isForgotten }
      }).pipe(Effect.provideService(Files, hasty(isApart ? apart(files) : files)))
    })

  it.live.each(damages)("that is %s in the store is mended", ([, harm]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* after((path) => harm(path)), { isFound: true, warnings: 0, isForgotten: false })
    }))

  it.live.each(damages)("that is %s in the cache is forgotten when it is needed", ([, harm]) =>
    Effect.gen(function*() {
      const lost = { isFound: false, warnings: 1, isForgotten: true }
      assert.deepStrictEqual(yield* after((path, cached) => [unlinkSync(path), harm(cached)]), lost)
      assert.deepStrictEqual(yield* after((path, cached) => [harm(path), harm(cached)]), lost)
      const kept = { isFound: true, warnings: 0, isForgotten: false }
      assert.deepStrictEqual(yield* after((_, cached) => harm(cached)), kept)
    }))

  it.live("that is damaged in the file of both is forgotten", () =>
    Effect.gen(function*() {
      const harm = (path: string, cached: string) => {
        unlinkSync(cached)
        linkSync(path, cached)
        flip(path)
      }
      assert.deepStrictEqual(yield* after(harm, false), { isFound: false, warnings: 1, isForgotten: true })
    }))
})

describe("a record", () => {
  const kept = Effect.fnUntraced(function*() {
    const [directory, a] = [fresh(), fresh()]
    const one = yield* layoutAt(a)
    const cache = yield* cacheAt(directory)
    const layer = yield* store(one, bytesOf("layer", 100))
    yield* cache.keep(key, layer, one)
    return { cache, one, layer, path: recordPath(directory, key), directory }
  })

  it.live("that is damaged in any byte is removed", () =>
    Effect.gen(function*() {
      const { cache, one, path } = yield* kept()
      const sound = readFileSync(path)
      for (let index = 0; index < sound.length; index++) {
        const bytes = Buffer.from(sound)
        bytes[index] = (bytes[index] ?? 0) ^ 1
        writeFileSync(path, bytes)
        const { messages, result } = yield* listening(cache.find(key, one))
        assert.deepStrictEqual([result, messages.length, existsSync(path)], [Option.none(), 1, false], `byte ${index}`)
      }
    }))

  const harms: ReadonlyArray<readonly [string, (path: string) => void]> = [
    ["empty", (path) => writeFileSync(path, "")],
    ["cut", (path) => truncateSync(path, 200)],
    ["large", (path) => writeFileSync(path, new Uint8Array(70_000))],
    ["zeros", (path) => writeFileSync(path, new Uint8Array(statSync(path).size))],
    ["of a later version", (path) => {
      const json = readFileSync(path, "utf8").split("\n")[1]?.replace(`"version":1`, `"version":2`) ?? ""
      writeFileSync(path, `${digestOf(json)}\n${json}`)
    }],
    ["a link", (path) => {
      unlinkSync(path)
      symlinkSync("/etc/hostname", path)
    }],
    ["a FIFO", (path) => {
      unlinkSync(path)
      execFileSync("mkfifo", [path])
    }]
  ]
  it.live.each(harms)("that is %s is removed", ([, harm]) =>
    Effect.gen(function*() {
      const { cache, layer, one, path } = yield* kept()
      harm(path)
      const { messages, result } = yield* listening(cache.find(key, one))
      assert.deepStrictEqual([result, messages.length, existsSync(path)], [Option.none(), 1, false])
      yield* cache.keep(key, layer, one)
      assert.deepStrictEqual(yield* cache.find(key, one), Option.some(layer))
    }))

  it.live("of another key is removed", () =>
    Effect.gen(function*() {
      const { cache, directory, one, path } = yield* kept()
      const other = digestOf("other")
      writeFileSync(recordPath(directory, other), readFileSync(path))
      assert.isTrue(Option.isNone((yield* listening(cache.find(other, one))).result))
      assert.isFalse(existsSync(recordPath(directory, other)))
    }))
})

describe("what is remembered of a file", () => {
  const info = { kind: "file", size: 1, mode: 0o644, links: 1, isOwn: true } as const
  const fileOf = (inode: number, mtime: bigint) => ({ ...info, identity: `1:${inode}`, mtime, ctime: mtime })

  it("is forgotten where a write could still leave its time as it is", () => {
    const file = fileOf(1, 1_000_000_000n)
    const before = LayerRecord.remember([], file, 2000)
    assert.deepStrictEqual(before, [LayerRecord.stamp(file)])
    for (const now of [0, 1000, 1019.9]) assert.deepStrictEqual(LayerRecord.remember(before, file, now), [])
    assert.deepStrictEqual(LayerRecord.remember([], file, 1020), before)
  })

  it("is what it was last, of the last eight files", () => {
    const seen = Array.from({ length: 10 }, (_, inode) => fileOf(inode, 0n))
      .reduce<ReadonlyArray<string>>((seen, file) => LayerRecord.remember(seen, file, 1000), [])
    assert.deepStrictEqual(seen.map((stamp) => stamp.split(":")[1]), ["2", "3", "4", "5", "6", "7", "8", "9"])
    const again = LayerRecord.remember(seen, fileOf(5, 1n), 1000)
    assert.deepStrictEqual(again.map((stamp) => stamp.split(":")[1]), ["2", "3", "4", "6", "7", "8", "9", "5"])
    assert.strictEqual(again.at(-1), "1:5:1:1:1")
  })
})

const sizeOf = (directory: string) =>
  readdirSync(join(directory, "blobs/sha256")).reduce(
    (sum, name) => sum + statSync(join(directory, "blobs/sha256", name)).size,
    0
  )

describe("the bound", () => {
  it.live("is kept by removing what was not used for the longest time", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const cache = yield* cacheAt(directory, { maxBytes: 350 })
      const one = yield* layoutAt(fresh())
      const keep = Effect.fnUntraced(function*(name: string, content = name) {
        yield* cache.keep(digestOf(name), yield* store(one, bytesOf(content, 100)), one)
      })
      const found = Effect.fnUntraced(function*(name: string) {
        yield* settle
        return Option.isSome(yield* cache.find(digestOf(name), yield* layoutAt(fresh())))
      })
      for (const name of ["a", "b", "c"]) yield* keep(name)
      assert.isTrue(yield* found("a"))
      yield* keep("d")
      assert.strictEqual(sizeOf(directory), 300)
      assert.deepStrictEqual(
        [yield* found("b"), yield* found("c"), yield* found("d"), yield* found("a")],
        [false, true, true, true]
      )
      // A glance is a use as well
      yield* settle
      yield* cache.find(digestOf("c"), one)
      // Two records may share a blob, which stays as long as one of them does
      yield* keep("d2", "d")
      yield* keep("e")
      assert.deepStrictEqual(
        [yield* found("a"), yield* found("c"), yield* found("d"), yield* found("d2"), yield* found("e")],
        [false, true, false, true, true]
      )
      assert.strictEqual(sizeOf(directory), 300)
    }))

  it.live("is not exceeded by one blob", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const cache = yield* cacheAt(directory, { maxBytes: 99 })
      const one = yield* layoutAt(fresh())
      yield* cache.keep(key, yield* store(one, bytesOf("a", 100)), one)
      assert.isTrue(Option.isNone(yield* cache.find(key, one)))
      assert.isFalse(existsSync(directory))
    }))

  it.live("counts blobs without a record, which go when it is their turn, and records that are damaged go first", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const cache = yield* cacheAt(directory, { maxBytes: 250 })
      const one = yield* layoutAt(fresh())
      const keep = Effect.fnUntraced(function*(name: string) {
        yield* cache.keep(digestOf(name), yield* store(one, bytesOf(name, 100)), one)
      })
      yield* keep("orphan")
      unlinkSync(recordPath(directory, digestOf("orphan")))
      yield* keep("a")
      writeFileSync(recordPath(directory, digestOf("damaged")), "")
      yield* keep("b")
      assert.strictEqual(sizeOf(directory), 200)
      assert.isFalse(existsSync(recordPath(directory, digestOf("damaged"))))
      for (const name of ["a", "b"]) {
        assert.isTrue(Option.isSome(yield* cache.find(digestOf(name), yield* layoutAt(fresh()))))
      }
    }))

  it.effect("includes what a killed process has left", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const one = yield* layoutAt(fresh())
      const blob = yield* one.put(Stream.succeed(bytesOf("a", 100)))
      const layer = { descriptor: { mediaType: MediaType.layer, ...blob }, diffId: blob.digest, encoder: "none" }
      // A new one each time: it looks when it keeps for the first time
      const keep = Effect.flatMap(cacheAt(directory), (cache) => cache.keep(key, layer, one))
      const left = join(directory, ".effect-oci/new-left")
      yield* TestClock.setTime(statSync(root).ctimeMs)
      yield* keep
      writeFileSync(left, "")
      yield* keep
      assert.isTrue(existsSync(left))
      yield* TestClock.adjust("61 minutes")
      yield* keep
      assert.isFalse(existsSync(left))
    }))
})

const fixture = join(import.meta.dirname, "fixtures/layerCache.ts")
const run = (...args: ReadonlyArray<string>) =>
  Effect.tryPromise(() => promisify(execFile)(process.execPath, [fixture, ...args]))

describe("processes", () => {
  it.live.runIf(isThorough)("use one cache at once, and it never lies", () =>
    Effect.gen(function*() {
      const directory = fresh()
      // Half of the layers have room
      const names = Array.from({ length: 30 }, (_, index) => `n${index}`)
      const outputs = yield* Effect.forEach(Array.from({ length: 8 }, (_, index) => index), (index) =>
        run(directory, fresh(), "150000", "10000", ...names.slice(index), ...names.slice(0, index), ...names), {
        concurrency: "unbounded"
      })
      for (const { stderr, stdout } of outputs) {
        assert.strictEqual(stderr, "")
        assert.notInclude(stdout, "damaged")
        assert.strictEqual(stdout.match(/^n\d+ (?:true|false)$/gm)?.length, 60)
      }
      assert.isTrue(outputs.some(({ stdout }) =>
        stdout.includes("true")
      ))
      assert.isAtMost(sizeOf(directory), 150_000)
      assert.deepStrictEqual(readdirSync(join(directory, ".effect-oci")), ["layers"])
    }), 30_000)

  it.live.runIf(isThorough)("that are killed at any moment leave a cache that is of use", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const names = Array.from({ length: 400 }, (_, index) => `n${index}`)
      const one = yield* layoutAt(fresh())
      for (let round = 0; round < 6; round++) {
        yield* Effect.callback<void>((resume) => {
          const child = spawn(process.execPath, [fixture, directory, fresh(), "1500000", "10000", ...names])
          let lines = 0
          child.stdout.on("data", () => {
            // At another moment each time
            if (lines++ === round) setTimeout(() => child.kill("SIGKILL"), round * 1.7)
          })
          child.on("close", (_, signal) => {
            assert.strictEqual(signal, "SIGKILL")
            resume(Effect.void)
          })
        })
        const { messages, result } = yield* listening(Effect.gen(function*() {
          const cache = yield* cacheAt(directory)
          const found = yield* Effect.filter(
            names,
            (name) => Effect.map(cache.find(digestOf(name), one), Option.isSome)
          )
          const layer = yield* store(one, bytesOf("layer", 1000))
          yield* cache.keep(key, layer, one)
          assert.deepStrictEqual(yield* cache.find(key, yield* layoutAt(fresh())), Option.some(layer))
          return found
        }))
        assert.deepStrictEqual(messages, [])
        assert.isAtLeast(result.length, round)
      }
    }), 30_000)
})

describe("a cache that", () => {
  const isRoot = process.getuid?.() === 0

  it.live.runIf(isRoot && judge("mount"))(
    "is read-only gives what it has, and one that is full keeps nothing",
    () =>
      Effect.gen(function*() {
        const mount = fresh()
        mkdirSync(mount)
        execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", mount])
        yield* Effect.gen(function*() {
          const directory = join(mount, "cache")
          const a = fresh()
          const one = yield* layoutAt(a)
          const cache = yield* cacheAt(directory)
          const layer = yield* store(one, bytesOf("a", 1000))
          yield* cache.keep(key, layer, one)
          const large = yield* store(one, bytesOf("b"))
          const full = yield* listening(cache.keep(digestOf("b"), large, one))
          assert.strictEqual(full.messages.length, 1)
          assert.include(full.messages[0], "the layer cache cannot keep a layer: cannot write ")
          assert.include(full.messages[0], "no space is left on the device (ENOSPC)")
          assert.deepStrictEqual(readdirSync(join(directory, ".effect-oci")), ["layers"])
          execFileSync("mount", ["-o", "remount,ro", mount])
          const { messages, result } = yield* listening(Effect.gen(function*() {
            for (const target of [one, yield* layoutAt(fresh())]) {
              assert.deepStrictEqual(yield* cache.find(key, target), Option.some(layer))
              assert.isTrue(yield* isRight(target, layer.descriptor))
            }
            yield* cache.keep(digestOf("c"), layer, one)
            return yield* cache.find(digestOf("c"), one)
          }))
          assert.isTrue(Option.isNone(result))
          assert.strictEqual(messages.length, 1)
          assert.include(messages[0], "the file system is read-only (EROFS)")
        }).pipe(Effect.ensuring(Effect.sync(() => execFileSync("umount", [mount]))))
      })
  )

  const wrong: ReadonlyArray<readonly [string, (path: string) => void]> = [
    ["is a file", (path) => writeFileSync(path, "")],
    ["is someone's home", (path) => {
      mkdirSync(path)
      writeFileSync(join(path, "thesis.txt"), "")
    }],
    ["is a link to nowhere", (path) => symlinkSync("/nowhere", path)]
  ]
  it.live.each(wrong)("%s is left alone, with a warning", ([, make]) =>
    Effect.gen(function*() {
      const directory = fresh()
      make(directory)
      const cache = yield* cacheAt(directory)
      const one = yield* layoutAt(fresh())
      const layer = yield* store(one, bytesOf("a", 1000))
      assert.deepStrictEqual((yield* listening(cache.find(key, one))).result, Option.none())
      const { messages } = yield* listening(cache.keep(key, layer, one))
      assert.strictEqual(messages.length, 1)
      assert.include(messages[0], "the layer cache cannot keep a layer: ")
      assert.isFalse(existsSync(join(directory, "blobs")))
      assert.isTrue(yield* isRight(one, layer.descriptor))
    }))

  it.live.each(["open", "write", "clone", "link", "rename", "makeDirectory", "setMode", "touch", "remove"])(
    "fails at any %s never fails a build, and never lies",
    (operation) =>
      Effect.gen(function*() {
        const files = hasty(yield* Files)
        const a = fresh()
        const one = yield* layoutAt(a)
        const layer = yield* store(one, bytesOf("layer", 1000))
        const second = yield* store(one, bytesOf("second", 1000))
        for (let n = 1; n < 100; n++) {
          const [directory, b] = [fresh(), fresh()]
          let seen = 0
          const before = (name: string, path: string) =>
            Effect.suspend(() => name === operation && ++seen === n ? refused("EIO")(path) : Effect.void)
          const faulty: FileSystem = {
            ...files,
            open: (path, flags) =>
              Effect.andThen(
                before("open", path),
                Effect.map(files.open(path, flags), (file) => ({
                  ...file,
                  write: (bytes: Uint8Array) => Effect.andThen(before("write", path), file.write(bytes))
                }))
              ),
            clone: (from, to) => Effect.andThen(before("clone", to), files.clone(from, to)),
            link: (from, to) => Effect.andThen(before("link", to), files.link(from, to)),
            rename: (from, to) => Effect.andThen(before("rename", to), files.rename(from, to)),
            makeDirectory: (path) => Effect.andThen(before("makeDirectory", path), files.makeDirectory(path)),
            setMode: (path, mode) => Effect.andThen(before("setMode", path), files.setMode(path, mode)),
            touch: (path, time) => Effect.andThen(before("touch", path), files.touch(path, time)),
            remove: (path) => Effect.andThen(before("remove", path), files.remove(path))
          }
          yield* listening(
            Effect.gen(function*() {
              const cache = yield* cacheAt(directory, { maxBytes: 1500 })
              const other = yield* layoutAt(b)
              yield* cache.keep(key, layer, one)
              yield* cache.keep(digestOf("second"), second, one)
              yield* cache.keep(key, layer, one)
              for (const target of [one, other, other]) {
                if (Option.isNone(yield* cache.find(key, target))) continue
                const path = pathOf(target === one ? a : b, layer.descriptor)
                assert.strictEqual(digestOf(readFileSync(path)), layer.descriptor.digest)
              }
            }).pipe(Effect.provideService(Files, faulty))
          )
          yield* Effect.gen(function*() {
            const cache = yield* cacheAt(directory)
            yield* cache.keep(key, layer, one)
            assert.deepStrictEqual(yield* cache.find(key, yield* layoutAt(b)), Option.some(layer))
          }).pipe(Effect.provideService(Files, files))
          if (seen < n) return assert.isAbove(n, 1)
        }
        assert.fail("there was no end to it")
      }),
    20_000
  )
})
