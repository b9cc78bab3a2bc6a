import * as Contract from "@effect-oci/adapters/Contract"
import * as DirTransport from "@effect-oci/adapters/DirTransport"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Files } from "../src/internal/files.ts"
import * as Owner from "../src/internal/owner.ts"
import { ask, putImage, putIndex, sha256, toBytes } from "./archives.ts"
import { keeps } from "./contract.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const at = (directory: string) => Effect.provide(Layer.provideMerge(DirTransport.layer(directory), NodeHash.layer))

const tag = (descriptor: Descriptor.Descriptor, name?: string) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.fromUndefinedOr(name), descriptor))
const resolve = ImageStore.ImageStore.use((images) => images.resolve(Option.none()))
const list = ImageStore.ImageStore.use((images) => images.list)

const make = (text: string) => Effect.tap(putImage(text), ({ descriptor }) => tag(descriptor))

const readAll = Effect.gen(function*() {
  const descriptor = yield* resolve
  const tree = yield* ImageTree.get(descriptor)
  const store = yield* BlobStore.BlobStore
  for (const image of tree._tag === "Index" ? tree.manifests : [tree]) {
    if (image._tag !== "Image") continue
    for (const layer of image.manifest.value.layers) yield* Stream.runDrain(store.get(layer))
  }
  return descriptor
})

const hex = ({ digest }: { readonly digest: Digest.Digest }) => Digest.encoded(digest)

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => DirTransport.layer(fresh()))
})

// The format has no names: `Contract.imageStore` asks for them
describe("a directory", () => {
  it.live("has one image, without a name", () =>
    Effect.gen(function*() {
      const directory = join(fresh(), "made/on/the/way")
      yield* Effect.gen(function*() {
        const image = yield* make("first")
        const tree = yield* ImageTree.get(yield* resolve)
        if (tree._tag !== "Image") return yield* Effect.die("no image")
        const { config, layers } = tree.manifest.value
        assert.deepStrictEqual(
          readdirSync(directory).toSorted(),
          [...[config, ...layers].map(hex), "manifest.json", "version"].toSorted()
        )
        assert.strictEqual(readFileSync(join(directory, "version"), "utf8"), "Directory Transport Version: 1.1\n")
        assert.deepStrictEqual(yield* list, [{ name: Option.none(), descriptor: image.descriptor }])
        assert.strictEqual((yield* readAll).digest, image.descriptor.digest)
        const named = yield* Effect.flip(tag(image.descriptor, "v1"))
        assert.include(named.message, "such a directory holds one image, which has none")
        const missing = yield* Effect.flip(ImageStore.ImageStore.use((images) => images.resolve(Option.some("v1"))))
        assert.strictEqual(missing._tag, "ImageMissing")
        const next = yield* make("second")
        assert.strictEqual((yield* readAll).digest, next.descriptor.digest)
        yield* ImageStore.ImageStore.use((images) => images.untag(Option.none()))
        assert.deepStrictEqual(yield* list, [])
        assert.isTrue(yield* BlobStore.BlobStore.use((store) => store.has(next.descriptor)))
        assert.strictEqual((yield* Effect.flip(resolve))._tag, "ImageMissing")
        yield* tag(next.descriptor)
        assert.strictEqual((yield* readAll).digest, next.descriptor.digest)
      }).pipe(at(directory))
    }))

  it.live("may have an index, whose manifests have names of their own", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const { descriptor, images } = yield* putIndex("x", ["amd64", "arm64"])
        yield* tag(descriptor)
        for (const image of images) {
          assert.isTrue(existsSync(join(directory, `${hex(image.descriptor)}.manifest.json`)))
          assert.isFalse(existsSync(join(directory, hex(image.descriptor))))
        }
        assert.deepStrictEqual(yield* readAll, descriptor)
        // One of them may become the image
        const [first] = images
        if (first === undefined) return
        yield* tag(first.descriptor)
        assert.deepStrictEqual(yield* readAll, first.descriptor)
      }).pipe(at(directory))
    }))

  it.live("is not made by reading", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* Effect.flip(list))._tag, "StoreMissing")
        const blob = { digest: sha256(toBytes("x")), size: 1 }
        assert.isFalse(yield* BlobStore.BlobStore.use((store) => store.has(blob)))
        assert.strictEqual((yield* Effect.flip(BlobStore.getBytes(blob)))._tag, "BlobMissing")
      }).pipe(at(directory))
      assert.isFalse(existsSync(directory))
    }))

  it.live("that holds something else is refused", () =>
    Effect.gen(function*() {
      const directory = fresh()
      mkdirSync(directory)
      writeFileSync(join(directory, "thesis.txt"), "")
      const error = yield* Effect.flip(make("x").pipe(at(directory)))
      assert.strictEqual(error._tag === "StoreIo" && error.code, "ENOTEMPTY")
      writeFileSync(join(directory, "version"), "Directory Transport Version: 2.0\n")
      const other = yield* Effect.flip(make("x").pipe(at(directory)))
      assert.include(other.message, `expected "Directory Transport Version: 1.1\\n"`)
      assert.deepStrictEqual(readdirSync(directory), ["thesis.txt", "version"])
    }))

  it.live.each(
    [
      ["no JSON", "manifest"],
      ["an unknown document", "{}"],
      ["a document with two values of a name", `{"config":1,"config":2}`],
      ["a document that is too large", " ".repeat(4 * 2 ** 20 + 1)]
    ] as const
  )("%s in the place of the manifest is told", ([, text]) =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* make("x").pipe(at(directory))
      writeFileSync(join(directory, "manifest.json"), text)
      const error = yield* Effect.flip(list.pipe(at(directory)))
      assert.strictEqual(error.message, `${directory} cannot be read: ${directory}/manifest.json is not valid`)
    }))

  it.live("with links and FIFOs in the place of files is refused at once", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const { config } = yield* make("x")
        const blob = { digest: sha256(config), size: config.length }
        const path = join(directory, hex(blob))
        for (
          const [kind, plant] of [
            ["a symbolic link", (path: string) => symlinkSync("/etc/hostname", path)],
            ["a FIFO", (path: string) => execFileSync("mkfifo", [path])]
          ] as const
        ) {
          unlinkSync(path)
          plant(path)
          const expected = new BlobStore.UnsafeFile({ path, expected: "a file", found: kind })
          assert.deepStrictEqual(yield* Effect.flip(BlobStore.getBytes(blob)), expected)
          assert.deepStrictEqual(
            yield* Effect.flip(BlobStore.BlobStore.use((store) => store.has(blob))),
            expected
          )
        }
        // And mended by what is put
        yield* BlobStore.putBytes(config)
        yield* readAll
        unlinkSync(join(directory, "manifest.json"))
        symlinkSync("/etc/hostname", join(directory, "manifest.json"))
        assert.strictEqual((yield* Effect.flip(list))._tag, "UnsafeFile")
      }).pipe(at(directory))
    }))

  it.live("is left as it was by work that fails or is interrupted", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const before = yield* make("first").pipe(at(directory))
      const entries = readdirSync(directory)
      const reached = yield* Deferred.make<void>()
      const endless = Stream.forever(
        Stream.fromEffect(Effect.as(Deferred.succeed(reached, undefined), new Uint8Array(1 << 20)))
      )
      const fiber = yield* Effect.forkChild(BlobStore.BlobStore.use((store) => store.put(endless)).pipe(at(directory)))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(readdirSync(directory), entries)
      const files = yield* Files
      const order: Array<string> = []
      const watched = {
        ...files,
        rename: (from: string, to: string) => {
          order.push(to)
          return to.endsWith("manifest.json")
            ? Effect.fail(new BlobStore.StoreIo({ operation: "rename", path: to, code: "EIO" }))
            : files.rename(from, to)
        }
      }
      yield* Effect.flip(make("second").pipe(at(directory), Effect.provideService(Files, watched)))
      assert.strictEqual(order.at(-1), join(directory, "manifest.json"))
      assert.strictEqual((yield* readAll.pipe(at(directory))).digest, before.descriptor.digest)
      assert.deepStrictEqual(readdirSync(directory).filter((name) => name.startsWith("new-")), [])
    }))

  it.live("loses what a dead process has left, and nothing of a living one", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* make("first").pipe(at(directory))
      const own = yield* Owner.self(yield* Files)
      const dead = Owner.nameFor("new", { ...own, startTime: "1" })
      const living = Owner.nameFor("new", own)
      for (const name of [dead, living, "new-thesis"]) writeFileSync(join(directory, name), "")
      yield* make("second").pipe(at(directory))
      assert.deepStrictEqual(
        readdirSync(directory).filter((name) => name.startsWith("new-")).toSorted(),
        [living, "new-thesis"].toSorted()
      )
    }))
})

describe("other tools", () => {
  it.live.runIf(judge("skopeo"))(
    "skopeo reads ours, and we read its, with equal digests",
    () =>
      Effect.gen(function*() {
        const [ours, theirs, single] = [fresh(), fresh(), fresh()]
        const copy = (...args: ReadonlyArray<string>) => ask("skopeo", "copy", "-q", "--insecure-policy", ...args)
        const index = yield* Effect.tap(putIndex("x", ["amd64", "arm64"]), ({ descriptor }) => tag(descriptor)).pipe(
          at(ours)
        )
        assert.strictEqual(
          sha256(toBytes(yield* ask("skopeo", "inspect", "--raw", `dir:${ours}`))),
          index.descriptor.digest
        )
        yield* copy("--all", `dir:${ours}`, `dir:${theirs}`)
        assert.deepStrictEqual(
          readdirSync(theirs).toSorted(),
          readdirSync(ours).toSorted()
        )
        assert.deepStrictEqual(yield* readAll.pipe(at(theirs)), index.descriptor)
        const image = yield* make("first").pipe(at(single))
        const layout = fresh()
        yield* copy(`dir:${single}`, `oci:${layout}:x`)
        assert.strictEqual(
          sha256(toBytes(yield* ask("skopeo", "inspect", "--raw", `oci:${layout}:x`))),
          image.descriptor.digest
        )
        yield* copy("--format", "v2s2", `oci:${layout}:x`, `dir:${fresh()}`)
        const docker = join(root, String(count))
        assert.strictEqual((yield* readAll.pipe(at(docker))).mediaType, MediaType.dockerManifest)
        // What it has written we write on
        yield* make("second").pipe(at(docker))
        yield* copy(`dir:${docker}`, `oci:${layout}:y`)
      }),
    30_000
  )
})
