import * as Contract from "@effect-oci/adapters/Contract"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { execFile, execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { keeps } from "./contract.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const layerOf = (directory: string, options?: OciLayout.Options) =>
  Layer.provideMerge(OciLayout.layer(directory, options), NodeHash.layer)

const at = (directory: string, options?: OciLayout.Options) => Effect.provide(layerOf(directory, options))

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => OciLayout.layer(fresh()))
})
describe("ImageStore", () => {
  keeps(Contract.imageStore, () => OciLayout.layer(fresh()))
})

const text = (value: string) => new TextEncoder().encode(value)

const putText = (value: string) => BlobStore.putBytes(text(value))

const digestOf = (value: Uint8Array) =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(value).digest("hex")))

const blobPath = (directory: string, blob: BlobStore.Blob) =>
  join(directory, "blobs/sha256", Digest.encoded(blob.digest))

const getText = (blob: BlobStore.Blob) =>
  Effect.map(BlobStore.getBytes(blob), (bytes) => new TextDecoder().decode(bytes))

const tagText = (name: string | undefined, value: string) =>
  Effect.gen(function*() {
    const store = yield* ImageStore.ImageStore
    const descriptor = { mediaType: MediaType.imageManifest, ...yield* putText(value) }
    yield* store.tag(Option.fromUndefinedOr(name), descriptor)
    return descriptor
  })

const list = ImageStore.ImageStore.use((store) => store.list)

/** Nothing of an operation is left but what it made visible. */
const assertTidy = (directory: string) => assert.deepStrictEqual(readdirSync(join(directory, ".effect-oci")), [])

const within = (milliseconds: number) => <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.tap(effect, () => Effect.sync(() => assert.isBelow(performance.now() - start, milliseconds)))
  })

describe("the directory", () => {
  it.live("is a layout as image-spec has it", () =>
    Effect.gen(function*() {
      const directory = join(fresh(), "made/on/the/way")
      const descriptor = yield* tagText("v1", "manifest").pipe(at(directory))
      assert.deepStrictEqual(tree(directory), [
        ".effect-oci/",
        "blobs/",
        "blobs/sha256/",
        `blobs/sha256/${Digest.encoded(descriptor.digest)}`,
        "index.json",
        "oci-layout"
      ])
      assert.strictEqual(readFileSync(join(directory, "oci-layout"), "utf8"), `{"imageLayoutVersion":"1.0.0"}`)
      assert.strictEqual(
        readFileSync(join(directory, "index.json"), "utf8"),
        `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[` +
          `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"${descriptor.digest}","size":8,` +
          `"annotations":{"org.opencontainers.image.ref.name":"v1"}}]}`
      )
    }))

  it.live("has the same modes under any umask", () =>
    Effect.gen(function*() {
      for (const umask of [0o000, 0o077, 0o777]) {
        const directory = fresh()
        const before = process.umask(umask)
        yield* Effect.ensuring(
          tagText("v1", "manifest").pipe(at(directory)),
          Effect.sync(() => process.umask(before))
        )
        for (const path of tree(directory)) {
          const expected = path.endsWith("/") ? 0o755 : 0o644
          assert.strictEqual(lstatSync(join(directory, path)).mode & 0o7777, expected, path)
        }
        assert.strictEqual(lstatSync(directory).mode & 0o7777, 0o755)
      }
    }))

  it.live("is not made by reading", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const blob = { digest: digestOf(text("x")), size: 1 }
      yield* Effect.gen(function*() {
        const images = yield* ImageStore.ImageStore
        const blobs = yield* BlobStore.BlobStore
        assert.strictEqual((yield* Effect.flip(images.list))._tag, "StoreMissing")
        const error = yield* Effect.flip(images.resolve(Option.some("v1")))
        assert.strictEqual(
          error.message,
          `${directory} is not an OCI image layout: there is no ${directory}/oci-layout; check the path, or put an image there first`
        )
        assert.strictEqual((yield* Effect.flip(BlobStore.getBytes(blob)))._tag, "BlobMissing")
        assert.isFalse(yield* blobs.has(blob))
      }).pipe(at(directory))
      assert.isFalse(existsSync(directory))
    }))

  it.live("that holds something else is refused", () =>
    Effect.gen(function*() {
      const directory = fresh()
      mkdirSync(directory)
      writeFileSync(join(directory, "thesis.txt"), "")
      const error = yield* Effect.flip(putText("x").pipe(at(directory)))
      assert.strictEqual(error._tag === "StoreIo" ? error.code : error._tag, "ENOTEMPTY")
      assert.deepStrictEqual(tree(directory), ["thesis.txt"])
      const file = join(directory, "thesis.txt")
      assert.strictEqual((yield* Effect.flip(putText("x").pipe(at(file))))._tag, "StoreIo")
      assert.strictEqual((yield* Effect.flip(list.pipe(at(file))))._tag, "StoreMissing")
    }))

  it.live("of another version is refused", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const descriptor = yield* tagText("v1", "manifest").pipe(at(directory))
      writeFileSync(join(directory, "oci-layout"), `{"imageLayoutVersion":"2.0.0"}`)
      const error = yield* Effect.flip(list.pipe(at(directory)))
      assert.strictEqual(
        error._tag === "StoreUnreadable" && error.cause.message,
        `the image layout is not valid: /imageLayoutVersion (line 1, column 23): ` +
          `expected version 1.0.0, the only one known, found "2.0.0"`
      )
      const store = Effect.flatMap(ImageStore.ImageStore, (store) => store.tag(Option.some("v2"), descriptor))
      assert.strictEqual((yield* Effect.flip(store.pipe(at(directory))))._tag, "StoreUnreadable")
    }))
})

describe("put", () => {
  const damages: ReadonlyArray<readonly [string, (path: string) => void]> = [
    ["is empty", (path) => writeFileSync(path, "")],
    ["is cut", (path) => writeFileSync(path, "conten")],
    ["is too long", (path) => appendFileSync(path, "!")],
    ["has another bit", (path) => writeFileSync(path, "contenu")],
    ["is a link", (path) => {
      unlinkSync(path)
      symlinkSync("/etc/hostname", path)
    }],
    ["is a FIFO", (path) => {
      unlinkSync(path)
      execFileSync("mkfifo", [path])
    }]
  ]
  it.live.each(damages)("mends a blob that %s", ([, damage]) =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const blob = yield* putText("content")
        damage(blobPath(directory, blob))
        yield* Effect.flip(getText(blob))
        yield* putText("content")
        assert.strictEqual(yield* getText(blob), "content")
        assert.isTrue(lstatSync(blobPath(directory, blob)).isFile())
      }).pipe(at(directory))
    }).pipe(within(1000)))

  it.live("leaves nothing behind when it fails or is interrupted", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const store = yield* BlobStore.BlobStore
        yield* Effect.flip(store.put(Stream.succeed(text("x")), { size: 2 }))
        yield* Effect.flip(store.put(Stream.concat(Stream.succeed(text("x")), Stream.fail("stop"))))
        const reached = yield* Deferred.make<void>()
        const endless = Stream.forever(Stream.fromEffect(
          Effect.as(Deferred.succeed(reached, undefined), new Uint8Array(1 << 20))
        ))
        const fiber = yield* Effect.forkChild(store.put(endless))
        yield* Deferred.await(reached)
        yield* Effect.sleep("30 millis")
        yield* Fiber.interrupt(fiber).pipe(within(100))
      }).pipe(at(directory))
      assertTidy(directory)
      assert.deepStrictEqual(readdirSync(join(directory, "blobs/sha256")), [])
    }))

  it.live("refuses directories that are links", () =>
    Effect.gen(function*() {
      const elsewhere = fresh()
      mkdirSync(elsewhere)
      for (const name of ["blobs", "blobs/sha256", ".effect-oci"]) {
        const directory = fresh()
        yield* putText("x").pipe(at(directory))
        rmSync(join(directory, name), { recursive: true })
        symlinkSync(elsewhere, join(directory, name))
        const error = yield* Effect.flip(putText("y").pipe(at(directory)))
        assert.strictEqual(error._tag === "UnsafeFile" && error.found, "a symbolic link")
      }
      assert.deepStrictEqual(tree(elsewhere), [])
    }))
})

const socketAt = (path: string) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer().listen(path, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

describe("get", () => {
  const files: ReadonlyArray<readonly [string, (path: string) => Effect.Effect<unknown, never, Scope.Scope>]> = [
    ["a symbolic link", (path) => Effect.sync(() => symlinkSync("/etc/hostname", path))],
    ["a FIFO", (path) => Effect.sync(() => execFileSync("mkfifo", [path]))],
    ["a directory", (path) => Effect.sync(() => mkdirSync(path))],
    ["a socket", (path) => socketAt(path)]
  ]
  it.live.each(files)("refuses %s in the place of a blob, at once", ([kind, plant]) =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const store = yield* BlobStore.BlobStore
        const blob = yield* putText("content")
        const path = blobPath(directory, blob)
        unlinkSync(path)
        // A socket's path is short by law; it may move
        const short = join(root, "s")
        yield* plant(short)
        renameSync(short, path)
        for (const operation of [Effect.asVoid(getText(blob)), Effect.asVoid(store.has(blob))]) {
          const error = yield* Effect.flip(operation)
          assert.deepStrictEqual(error, new BlobStore.UnsafeFile({ path, expected: "a file", found: kind }))
        }
        rmSync(path, { recursive: true })
      }).pipe(at(directory))
    }).pipe(within(1000)))

  it.live("does not hang on more FIFOs than there are threads", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const blobs = yield* Effect.forEach(Array.from({ length: 12 }, (_, index) => `${index}`), putText)
        for (const blob of blobs) {
          unlinkSync(blobPath(directory, blob))
          execFileSync("mkfifo", [blobPath(directory, blob)])
        }
        const errors = yield* Effect.forEach(blobs, (blob) => Effect.flip(getText(blob)), { concurrency: "unbounded" })
        assert.deepStrictEqual(new Set(errors.map((error) => error._tag)), new Set(["UnsafeFile"]))
      }).pipe(at(directory))
    }).pipe(within(1000)))

  it.live("refuses directories that are links", () =>
    Effect.gen(function*() {
      for (const name of ["blobs", "blobs/sha256"]) {
        const directory = fresh()
        const blob = yield* putText("content").pipe(at(directory))
        const moved = join(directory, "moved")
        renameSync(join(directory, name), moved)
        symlinkSync(moved, join(directory, name))
        const error = yield* Effect.flip(getText(blob).pipe(at(directory)))
        assert.deepStrictEqual(
          error,
          new BlobStore.UnsafeFile({ path: join(directory, name), expected: "a directory", found: "a symbolic link" })
        )
      }
    }))

  it.live("tells a wrong size before it reads, and a wrong digest before it ends", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const blob = yield* putText("content").pipe(at(directory))
      writeFileSync(blobPath(directory, blob), "contenu")
      const wrong = yield* Effect.flip(getText(blob).pipe(at(directory)))
      assert.deepStrictEqual(
        wrong,
        new BlobStore.DigestMismatch({ store: directory, expected: blob.digest, found: digestOf(text("contenu")) })
      )
      appendFileSync(blobPath(directory, blob), "!")
      const long = yield* Effect.flip(getText(blob).pipe(at(directory)))
      assert.deepStrictEqual(
        long,
        new BlobStore.SizeMismatch({ store: directory, digest: blob.digest, expected: 7, found: 8 })
      )
    }))

  it.live("is interrupted at once, and leaves no file open", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const opened = () => readdirSync("/proc/self/fd").length
      yield* Effect.gen(function*() {
        const store = yield* BlobStore.BlobStore
        const bytes = new Uint8Array(32 << 20)
        const blob = yield* BlobStore.putBytes(bytes)
        const before = opened()
        for (let delay = 0; delay < 20; delay += 2) {
          const fiber = yield* Effect.forkChild(Stream.runDrain(store.get(blob)))
          yield* Effect.sleep(delay)
          yield* Fiber.interrupt(fiber).pipe(within(100))
        }
        assert.isAtMost(opened(), before)
      }).pipe(at(directory))
    }))
})

describe("take", () => {
  const open = (directory: string) => Effect.provide(BlobStore.BlobStore, layerOf(directory))

  /** A file system that tells what becomes of new files, in order. */
  const observed = (files: FileSystem) => {
    const events: Array<string> = []
    const told = (event: string) => Effect.sync(() => void events.push(event))
    const system: FileSystem = {
      ...files,
      open: (path, flags) =>
        Effect.map(files.open(path, flags), (file) => ({
          ...file,
          write: (bytes: Uint8Array) => Effect.andThen(told("write"), file.write(bytes)),
          sync: Effect.andThen(told("fsync"), file.sync)
        })),
      rename: (from, to) => Effect.andThen(told("rename"), files.rename(from, to))
    }
    return { events, system }
  }

  it.live("brings a blob of another layout without writing it, verified and durable before it has its name", () =>
    Effect.gen(function*() {
      const { events, system } = observed(yield* Files)
      const [from, to] = [fresh(), fresh()]
      yield* Effect.gen(function*() {
        const [source, target] = [yield* open(from), yield* open(to)]
        const bytes = new Uint8Array(3_000_001)
        const blob = yield* source.put(Stream.succeed(bytes))
        yield* target.put(Stream.succeed(text("other")))
        for (const _ of [1, 2]) {
          events.length = 0
          assert.isTrue(yield* target.take?.(blob, source) ?? Effect.succeed(false))
          assert.deepStrictEqual(events, ["fsync", "rename"])
          assert.strictEqual(lstatSync(blobPath(to, blob)).mode & 0o7777, 0o644)
          assert.deepStrictEqual(readFileSync(blobPath(to, blob)), Buffer.from(bytes))
          assertTidy(to)
        }
        // Each can do without the other
        unlinkSync(blobPath(from, blob))
        assert.strictEqual((yield* Stream.mkUint8Array(target.get(blob))).length, bytes.length)
      }).pipe(Effect.provideService(Files, system))
    }))

  it.live("makes the directory a layout, unless there is nothing to take", () =>
    Effect.gen(function*() {
      const [from, to] = [fresh(), fresh()]
      const [source, target] = [yield* open(from), yield* open(to)]
      const missing = { digest: digestOf(text("missing")), size: 7 }
      const error = yield* Effect.flip(BlobStore.copy(missing, source, target))
      assert.deepStrictEqual(error, new BlobStore.BlobMissing({ store: from, digest: missing.digest }))
      assert.isFalse(existsSync(to))
      yield* BlobStore.copy(yield* source.put(Stream.succeed(text("content"))), source, target)
      assert.include(tree(to), "oci-layout")
    }))

  const damages: ReadonlyArray<readonly [string, string, (path: string) => void]> = [
    ["is empty", "SizeMismatch", (path) => writeFileSync(path, "")],
    ["is cut", "SizeMismatch", (path) => writeFileSync(path, "conten")],
    ["is too long", "SizeMismatch", (path) => appendFileSync(path, "!")],
    ["has another bit", "DigestMismatch", (path) => writeFileSync(path, "contenu")],
    ["is a link", "UnsafeFile", (path) => {
      renameSync(path, `${path}-`)
      symlinkSync(`${path}-`, path)
    }],
    ["is a FIFO", "UnsafeFile", (path) => {
      unlinkSync(path)
      execFileSync("mkfifo", [path])
    }]
  ]
  it.live.each(damages)("refuses a blob that %s", ([, tag, damage]) =>
    Effect.gen(function*() {
      const [from, to] = [fresh(), fresh()]
      const [source, target] = [yield* open(from), yield* open(to)]
      yield* target.put(Stream.succeed(text("other")))
      const blob = yield* source.put(Stream.succeed(text("content")))
      const before = tree(to)
      damage(blobPath(from, blob))
      const error = yield* Effect.flip(BlobStore.copy(blob, source, target))
      assert.strictEqual(error._tag, tag)
      assert.include(error.message, from)
      assert.deepStrictEqual(tree(to), before)
    }).pipe(within(1000)))

  it.live("mends what is damaged in the target", () =>
    Effect.gen(function*() {
      const [from, to] = [fresh(), fresh()]
      const [source, target] = [yield* open(from), yield* open(to)]
      const blob = yield* source.put(Stream.succeed(text("content")))
      yield* target.put(Stream.succeed(text("content")))
      writeFileSync(blobPath(to, blob), "contenu")
      yield* BlobStore.transfer(blob, source, target)
      assert.strictEqual(readFileSync(blobPath(to, blob), "utf8"), "content")
    }))

  it.live("leaves a file alone that is not as ours, which is then written again", () =>
    Effect.gen(function*() {
      const [from, to] = [fresh(), fresh()]
      const [source, target] = [yield* open(from), yield* open(to)]
      const blob = yield* source.put(Stream.succeed(text("content")))
      chmodSync(blobPath(from, blob), 0o600)
      yield* BlobStore.copy(blob, source, target)
      assert.notStrictEqual(lstatSync(blobPath(from, blob)).ino, lstatSync(blobPath(to, blob)).ino)
      assert.strictEqual(lstatSync(blobPath(from, blob)).mode & 0o7777, 0o600)
      assert.strictEqual(lstatSync(blobPath(to, blob)).mode & 0o7777, 0o644)
      assertTidy(to)
    }))

  it.live.each(["EXDEV", "EPERM", "EMLINK", "EOPNOTSUPP"])(
    "copies the bytes at %s",
    (code) =>
      Effect.gen(function*() {
        const files = yield* Files
        const [from, to] = [fresh(), fresh()]
        const fail = (path: string) => Effect.fail(new BlobStore.StoreIo({ operation: "link", path, code }))
        const apart: FileSystem = {
          ...files,
          clone: (_, path) => fail(path),
          link: (path, name) => path.includes("/blobs/") ? fail(name) : files.link(path, name)
        }
        yield* Effect.gen(function*() {
          const [source, target] = [yield* open(from), yield* open(to)]
          const blob = yield* source.put(Stream.succeed(text("content")))
          let told = 0
          const onRead = (bytes: number) => Effect.sync(() => void (told += bytes))
          assert.isTrue(yield* target.take?.(blob, source, onRead) ?? Effect.succeed(false))
          assert.strictEqual(told, blob.size)
          assert.strictEqual(readFileSync(blobPath(to, blob), "utf8"), "content")
          assert.strictEqual(lstatSync(blobPath(to, blob)).nlink, 1)
          for (const [wrong, tag] of [["tnetnoc", "DigestMismatch"], ["content!", "SizeMismatch"]] as const) {
            const other = yield* source.put(Stream.succeed(text(`${tag} later`)))
            writeFileSync(blobPath(from, other), wrong.padEnd(tag === "DigestMismatch" ? other.size : 1))
            const error = yield* Effect.flip(target.take?.(other, source) ?? Effect.die("it takes"))
            assert.deepStrictEqual([error._tag, "store" in error ? error.store : ""], [tag, from])
            assert.isFalse(yield* target.has(other))
          }
          assertTidy(to)
        }).pipe(Effect.provideService(Files, apart))
      })
  )

  it.live("is interrupted at once, and leaves nothing", () =>
    Effect.gen(function*() {
      const [from, to] = [fresh(), fresh()]
      const [source, target] = [yield* open(from), yield* open(to)]
      yield* target.put(Stream.succeed(text("other")))
      const blob = yield* source.put(Stream.succeed(new Uint8Array(256 << 20)))
      const fiber = yield* Effect.forkChild(BlobStore.copy(blob, source, target))
      yield* Effect.sleep("30 millis")
      yield* Fiber.interrupt(fiber).pipe(within(100))
      assertTidy(to)
      assert.isFalse(yield* target.has(blob))
    }), 20_000)
})

describe("a digest", () => {
  it("cannot lead out of the layout", () => {
    for (
      const text of [
        "sha256:../../x",
        `sha256:${"../".repeat(21)}x`,
        "sha256:..",
        "../x:00",
        "sha256:" + "A".repeat(64)
      ]
    ) {
      assert.isTrue(Result.isFailure(Digest.parse(text)), text)
    }
  })
})

const withIndex = (index: string) =>
  Effect.gen(function*() {
    const directory = fresh()
    yield* putText("x").pipe(at(directory))
    writeFileSync(join(directory, "index.json"), index)
    return directory
  })

const kept = (name: string, extra = "") =>
  `{ "mediaType": "application/vnd.oci.image.manifest.v1+json",\n "digest": "${digestOf(text("x"))}", "size": 1,` +
  ` "annotations": {"org.opencontainers.image.ref.name":"${name}", "s": "a]b,{\\"\\\\"}${extra} }`

describe("index.json", () => {
  it.live("keeps the bytes of what is not changed", () =>
    Effect.gen(function*() {
      const before = `{\n  "x-vendor": [1.50, {"b":1,"a":2}],\n  "manifests": [\n    ${
        kept("a", `, "x-more": [ [ ] , {} ]`)
      },\n    ${kept("b")}\n  ],\n  "schemaVersion": 2, "annotations" : { "z": "\\u00e9" }\n}\n`
      const directory = yield* withIndex(before)
      const added = yield* tagText("c", "new").pipe(at(directory))
      const replaced = yield* tagText("a", "newer").pipe(at(directory))
      const written = (name: string, descriptor: typeof added) =>
        `{"mediaType":"${descriptor.mediaType}","digest":"${descriptor.digest}","size":${descriptor.size},` +
        `"annotations":{"org.opencontainers.image.ref.name":"${name}"}}`
      assert.strictEqual(
        readFileSync(join(directory, "index.json"), "utf8"),
        `{\n  "x-vendor": [1.50, {"b":1,"a":2}],\n  "manifests": [${written("a", replaced)},${kept("b")},${
          written("c", added)
        }],\n  "schemaVersion": 2, "annotations" : { "z": "\\u00e9" }\n}\n`
      )
      assertTidy(directory)
    }))

  const minimal: ReadonlyArray<readonly [string, string]> = [
    [`{"manifests":null,"schemaVersion":2}`, `{"manifests":[X],"schemaVersion":2}`],
    [`{"manifests": [ ] }`, `{"manifests": [X] }`]
  ]
  it.live.each(minimal)("is completed: %s", ([before, after]) =>
    Effect.gen(function*() {
      const directory = yield* withIndex(before)
      const { digest } = yield* tagText(undefined, "x").pipe(at(directory))
      assert.strictEqual(
        readFileSync(join(directory, "index.json"), "utf8"),
        after.replace("X", `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"${digest}","size":1}`)
      )
    }))

  it.live("is read with names of any form, and none is chosen of two of one name", () =>
    Effect.gen(function*() {
      const directory = yield* withIndex(
        `{"schemaVersion":2,"manifests":[${kept("a b/../c")},${kept("d")},${kept("d")}]}`
      )
      yield* Effect.gen(function*() {
        const store = yield* ImageStore.ImageStore
        assert.strictEqual((yield* store.resolve(Option.some("a b/../c"))).size, 1)
        const error = yield* Effect.flip(store.resolve(Option.some("d")))
        assert.deepStrictEqual(
          error,
          new ImageStore.ImageAmbiguous({ store: directory, names: ["a b/../c", "d"], count: 2 })
        )
      }).pipe(at(directory))
    }))

  const bad: ReadonlyArray<readonly [string, string]> = [
    ["", "InvalidJson"],
    ["{\"schemaVersion\":2,\"manifests\":[", "InvalidJson"],
    ["{\"manifests\":[],\"manifests\":[]}", "InvalidJson"],
    ["{}", "UnexpectedJson"],
    ["[]", "UnexpectedJson"],
    ["{\"manifests\":[{\"digest\":\"sha256:../../x\"}]}", "UnexpectedJson"],
    [" ".repeat(4 * 1024 * 1024 + 1), "LimitExceeded"]
  ]
  it.live.each(bad)("that is not valid is told, and left alone: %#", ([index, cause]) =>
    Effect.gen(function*() {
      const directory = yield* withIndex(index)
      for (const operation of [Effect.asVoid(list), Effect.asVoid(tagText("v1", "x"))]) {
        const error = yield* Effect.flip(operation.pipe(at(directory)))
        assert.strictEqual(error._tag === "StoreUnreadable" ? error.cause._tag : error._tag, cause)
      }
      assert.strictEqual(readFileSync(join(directory, "index.json"), "utf8"), index)
      assertTidy(directory)
    }))

  it.live("that is a link or a FIFO is refused at once", () =>
    Effect.gen(function*() {
      for (const name of ["index.json", "oci-layout"]) {
        for (const kind of ["a symbolic link", "a FIFO"]) {
          const directory = yield* withIndex("{}")
          const path = join(directory, name)
          unlinkSync(path)
          if (kind === "a FIFO") execFileSync("mkfifo", [path])
          else symlinkSync("/etc/hostname", path)
          for (const operation of [Effect.asVoid(list), Effect.asVoid(tagText("v1", "x"))]) {
            const error = yield* Effect.flip(operation.pipe(at(directory)))
            assert.deepStrictEqual(error, new BlobStore.UnsafeFile({ path, expected: "a file", found: kind }))
          }
        }
      }
    }).pipe(within(1000)))

  it.live("that another program changes in between is read again", () =>
    Effect.gen(function*() {
      const directory = yield* withIndex(`{"schemaVersion":2,"manifests":[${kept("a")}]}`)
      const path = join(directory, "index.json")
      const files = yield* Files
      let foreign = 3
      // A foreign writer that comes between reading and renaming, three times
      const disturbed: FileSystem = {
        ...files,
        info: (asked) =>
          Effect.suspend(() => {
            if (asked === path && foreign-- > 0) {
              const text = readFileSync(path, "utf8")
              writeFileSync(path, text.replace("]}", `,${kept(`foreign${foreign}`)}]}`))
            }
            return files.info(asked)
          })
      }
      yield* tagText("b", "x").pipe(at(directory), Effect.provideService(Files, disturbed))
      const names = (yield* list.pipe(at(directory))).map((image) => Option.getOrNull(image.name))
      assert.deepStrictEqual(names, ["a", "foreign2", "foreign1", "foreign0", "b"])
    }))
})

describe("the lock", () => {
  it.live("is told who holds it when it is not released in time", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* putText("x").pipe(at(directory))
      const path = join(directory, ".effect-oci/lock")
      writeFileSync(path, `{"pid":4711,"nonce":"n","since":"2026-01-02T03:04:05.000Z"}`)
      const options = { lockTimeout: "100 millis" } as const
      const error = yield* Effect.flip(tagText("v1", "x").pipe(at(directory, options)))
      assert.deepStrictEqual(
        error,
        new ImageStore.StoreLocked({ path, holder: "process 4711 since 2026-01-02T03:04:05.000Z" })
      )
      assert.deepStrictEqual(readdirSync(join(directory, ".effect-oci")), ["lock"])
      unlinkSync(path)
      execFileSync("mkfifo", [path])
      const other = yield* Effect.flip(tagText("v1", "x").pipe(at(directory, options)))
      assert.strictEqual(other._tag === "StoreLocked" && other.holder, "something that it does not tell")
      unlinkSync(path)
      yield* tagText("v1", "x").pipe(at(directory, options))
      assertTidy(directory)
    }))

  it.live("is waited for, and the wait can be interrupted", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* putText("x").pipe(at(directory))
      const path = join(directory, ".effect-oci/lock")
      writeFileSync(path, "{}")
      const interrupted = yield* Effect.forkChild(tagText("v1", "x").pipe(at(directory)))
      const waiting = yield* Effect.forkChild(tagText("v2", "x").pipe(at(directory)))
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(interrupted).pipe(within(100))
      unlinkSync(path)
      yield* Fiber.join(waiting)
      assert.deepStrictEqual((yield* list.pipe(at(directory))).map((image) => Option.getOrNull(image.name)), ["v2"])
      assertTidy(directory)
    }))

  it.live("lets eight processes name images at once, and loses none", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const script = join(import.meta.dirname, "fixtures/tag.ts")
      const namesOf = (index: number) => Array.from({ length: 4 }, (_, name) => `p${index}.${name}`)
      const outputs = yield* Effect.forEach(Array.from({ length: 8 }, (_, index) => index), (index) =>
        Effect.tryPromise(() => promisify(execFile)(process.execPath, [script, directory, ...namesOf(index)])), {
        concurrency: "unbounded"
      })
      const acknowledged = outputs.flatMap(({ stdout }) =>
        stdout.trim().split("\n")
      ).toSorted()
      assert.strictEqual(acknowledged.length, 32)
      const names = (yield* list.pipe(at(directory))).map((image) => Option.getOrElse(image.name, () => ""))
      assert.deepStrictEqual(names.toSorted(), acknowledged)
      assertTidy(directory)
    }), 20_000)
})

/** Runs a program on a file system whose `n`-th operation of a kind fails. */
const faulty = (files: FileSystem, operation: string, n: number): FileSystem => {
  let seen = 0
  const fault = (path: string) =>
    Effect.suspend(() =>
      ++seen === n ? Effect.fail(new BlobStore.StoreIo({ operation, path, code: "EIO" })) : Effect.void
    )
  const before = (name: string, path: string) => name === operation ? fault(path) : Effect.void
  return {
    ...files,
    open: (path, flags) =>
      Effect.andThen(
        before("open", path),
        Effect.map(files.open(path, flags), (file) => ({
          ...file,
          write: (bytes: Uint8Array) => Effect.andThen(before("write", path), file.write(bytes)),
          setMode: (mode: number) => Effect.andThen(before("chmod", path), file.setMode(mode)),
          sync: Effect.andThen(before("fsync", path), file.sync),
          close: Effect.andThen(before("close", path), file.close)
        }))
      ),
    readSmall: (path, limit) => Effect.andThen(before("open", path), files.readSmall(path, limit)),
    makeDirectory: (path) => Effect.andThen(before("mkdir", path), files.makeDirectory(path)),
    setMode: (path, mode) => Effect.andThen(before("chmod", path), files.setMode(path, mode)),
    rename: (from, to) => Effect.andThen(before("rename", to), files.rename(from, to)),
    link: (from, to) => Effect.andThen(before("link", to), files.link(from, to)),
    remove: (path) => Effect.andThen(before("remove", path), files.remove(path))
  }
}

describe("a fault of the machine", () => {
  it.live.each(["open", "write", "fsync", "close", "mkdir", "chmod", "rename", "link"])(
    "at any %s is told, and leaves the layout as it was or as it should be",
    (operation) =>
      Effect.gen(function*() {
        const files = yield* Files
        let failed = 0
        for (let n = 1; n < 60; n++) {
          const directory = fresh()
          yield* tagText("old", "old").pipe(at(directory))
          const exit = yield* tagText("new", "new").pipe(
            at(directory),
            Effect.provideService(Files, faulty(files, operation, n)),
            Effect.result
          )
          const names = (yield* list.pipe(at(directory))).map((image) => Option.getOrNull(image.name))
          if (Result.isSuccess(exit)) {
            assert.deepStrictEqual(names, ["old", "new"])
            break
          }
          failed++
          assert.strictEqual(exit.failure._tag === "StoreIo" && exit.failure.code, "EIO")
          assert.include([`["old"]`, `["old","new"]`], JSON.stringify(names))
          assertTidy(directory)
          yield* tagText("new", "new").pipe(at(directory))
        }
        assert.isAbove(failed, 0)
      }),
    20_000
  )

  it.live("at any fsync of a new layout leaves one that can be used", () =>
    Effect.gen(function*() {
      const files = yield* Files
      for (let n = 1;; n++) {
        const directory = fresh()
        const exit = yield* tagText("new", "new").pipe(
          at(directory),
          Effect.provideService(Files, faulty(files, "fsync", n)),
          Effect.result
        )
        if (Result.isSuccess(exit)) {
          assert.isAbove(n, 10)
          break
        }
        yield* tagText("new", "new").pipe(at(directory))
        assertTidy(directory)
      }
    }), 20_000)

  const isRoot = process.getuid?.() === 0
  it.live.runIf(isRoot && judge("mount"))(
    "such as a full disk leaves every name and no temporary file",
    () =>
      Effect.gen(function*() {
        for (const size of [64, 128, 256, 512]) {
          const mount = fresh()
          mkdirSync(mount)
          execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}k`, "tmpfs", mount])
          yield* Effect.gen(function*() {
            const directory = join(mount, "layout")
            yield* tagText("old", "old").pipe(at(directory))
            const big = "x".repeat(size * 1024)
            const error = yield* Effect.flip(tagText("new", big).pipe(at(directory)))
            assert.strictEqual(error._tag === "StoreIo" && error.code, "ENOSPC")
            assert.include(error.message, "no space is left on the device (ENOSPC)")
            assert.strictEqual((yield* list.pipe(at(directory))).length, 1)
            assertTidy(directory)
            yield* tagText("new", "small").pipe(at(directory))
          }).pipe(Effect.ensuring(Effect.sync(() => execFileSync("umount", [mount]))))
        }
      })
  )

  it.live.runIf(isRoot && judge("mount"))(
    "such as a file system that is read-only is told, and can be read",
    () =>
      Effect.gen(function*() {
        const mount = fresh()
        mkdirSync(mount)
        execFileSync("mount", ["-t", "tmpfs", "tmpfs", mount])
        yield* Effect.gen(function*() {
          const directory = join(mount, "layout")
          const descriptor = yield* tagText("v1", "content").pipe(at(directory))
          execFileSync("mount", ["-o", "remount,ro", mount])
          assert.strictEqual(yield* getText(descriptor).pipe(at(directory)), "content")
          assert.strictEqual((yield* list.pipe(at(directory))).length, 1)
          const error = yield* Effect.flip(tagText("v2", "content").pipe(at(directory)))
          assert.strictEqual(error._tag === "StoreIo" && error.code, "EROFS")
        }).pipe(Effect.ensuring(Effect.sync(() => execFileSync("umount", [mount]))))
      })
  )
})

describe("other tools", () => {
  const image = Effect.gen(function*() {
    const store = yield* ImageStore.ImageStore
    const config = yield* putText(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`)
    const manifest = yield* putText(
      `{"schemaVersion":2,"mediaType":"${MediaType.imageManifest}",` +
        `"config":{"mediaType":"${MediaType.imageConfig}","digest":"${config.digest}","size":${config.size}},"layers":[]}`
    )
    yield* store.tag(Option.some("v1"), { mediaType: MediaType.imageManifest, ...manifest })
    return manifest
  })

  it.live.runIf(judge("skopeo"))("skopeo reads a layout, and we keep what it adds", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const manifest = yield* image.pipe(at(directory))
      const raw = execFileSync("skopeo", ["inspect", "--raw", `oci:${directory}:v1`])
      assert.strictEqual(digestOf(raw), manifest.digest)
      execFileSync("skopeo", ["copy", `oci:${directory}:v1`, `oci:${directory}:v2`])
      yield* tagText("v3", "x").pipe(at(directory))
      const names = (yield* list.pipe(at(directory))).map((image) => Option.getOrNull(image.name))
      assert.deepStrictEqual(names, ["v1", "v2", "v3"])
    }), 20_000)

  it.live.runIf(judge("umoci"))("umoci finds the names", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* image.pipe(at(directory))
      assert.strictEqual(execFileSync("umoci", ["ls", "--layout", directory], { encoding: "utf8" }), "v1\n")
    }), 20_000)
})
