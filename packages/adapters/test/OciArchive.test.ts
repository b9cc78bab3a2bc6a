import * as Contract from "@effect-oci/adapters/Contract"
import * as DockerArchive from "@effect-oci/adapters/DockerArchive"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciArchive from "@effect-oci/adapters/OciArchive"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import { StoreIo } from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { Files, type FileSystem } from "../src/internal/files.ts"
import * as Owner from "../src/internal/owner.ts"
import { ask, putImage, putIndex, sha256, tar, toBytes } from "./archives.ts"
import { keeps } from "./contract.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const freshDirectory = () => {
  const path = join(root, `${++count}`)
  mkdirSync(path)
  return path
}
const fresh = () => join(freshDirectory(), "out.tar")

const platform = Layer.mergeAll(NodeHash.layer, NodeCompression.layer)
const at = (file: string, options?: OciArchive.Options) =>
  Effect.provide(Layer.provideMerge(OciArchive.layer(file, options), platform))
const inLayout = (directory: string) => Effect.provide(Layer.provideMerge(OciLayout.layer(directory), platform))
const forDocker = (file: string) => Effect.provide(Layer.provideMerge(DockerArchive.layer(file), platform))

const tag = (name: string | undefined, descriptor: Parameters<ImageStore.ImageStore["Service"]["tag"]>[1]) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.fromUndefinedOr(name), descriptor))
const resolve = (name?: string) => ImageStore.ImageStore.use((images) => images.resolve(Option.fromUndefinedOr(name)))
const list = ImageStore.ImageStore.use((images) => images.list)
const names = Effect.map(list, (images) => images.map(({ name }) => Option.getOrNull(name)))

/** Puts an image and names it. */
const make = (name: string | undefined, text: string, options?: Parameters<typeof putImage>[1]) =>
  Effect.tap(putImage(text, options), ({ descriptor }) => tag(name, descriptor))

/** Reads all that an image has, verified. */
const readImage = Effect.fnUntraced(function*(name?: string) {
  const descriptor = yield* resolve(name)
  const tree = yield* ImageTree.get(descriptor)
  const store = yield* BlobStore.BlobStore
  const images = tree._tag === "Index" ? tree.manifests : [tree]
  for (const image of images) {
    if (image._tag !== "Image") continue
    for (const layer of image.manifest.value.layers) yield* Stream.runDrain(store.get(layer))
  }
  return descriptor
})

/** Nothing is beside the archive. */
const assertTidy = (file: string) =>
  assert.deepStrictEqual(readdirSync(dirname(file)), existsSync(file) ? ["out.tar"] : [])

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => Layer.provide(OciArchive.layer(fresh()), NodeCompression.layer))
})
describe("ImageStore", () => {
  keeps(Contract.imageStore, () => Layer.provide(OciArchive.layer(fresh()), NodeCompression.layer))
})

describe("an archive", () => {
  it.live("is a layout in a tar archive, the same for the same images", () =>
    Effect.gen(function*() {
      const [one, two] = [fresh(), fresh()]
      for (const file of [one, two]) {
        yield* Effect.gen(function*() {
          yield* make("v1", "first")
          yield* make(undefined, "second")
        }).pipe(at(file))
        assertTidy(file)
      }
      assert.isTrue(readFileSync(one).equals(readFileSync(two)))
      const lines = execFileSync("tar", ["tvf", one, "--numeric-owner", "--full-time", "--utc"], { encoding: "utf8" })
        .trim().split("\n").map((line) => line.split(/\s+/))
      const paths = lines.map((fields) => fields.at(-1) ?? "")
      assert.deepStrictEqual(paths, paths.toSorted())
      assert.deepStrictEqual(paths.filter((path) => !path.startsWith("blobs/sha256/")), [
        "blobs/",
        "index.json",
        "oci-layout"
      ])
      for (const [mode, owner, , date, time, path = ""] of lines) {
        assert.deepStrictEqual(
          [mode, owner, date, time],
          [path.endsWith("/") ? "drwxr-xr-x" : "-rw-r--r--", "0/0", "1970-01-01", "00:00:00"]
        )
      }
      assert.strictEqual(statSync(one).mode & 0o7777, 0o644)
    }))

  it.live("is not made by reading", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* Effect.gen(function*() {
        const blobs = yield* BlobStore.BlobStore
        const error = yield* Effect.flip(list)
        assert.strictEqual(
          error.message,
          `${file} is not an OCI image archive: there is no ${file}; check the path, or put an image there first`
        )
        assert.isFalse(yield* blobs.has({ digest: sha256(toBytes("x")), size: 1 }))
        yield* Effect.flip(ImageStore.ImageStore.use((images) => images.untag(Option.some("x"))))
      }).pipe(at(file))
      assert.deepStrictEqual(readdirSync(dirname(file)), [])
    }))

  it.live("is made anew with what it had, and the name", () =>
    Effect.gen(function*() {
      const file = fresh()
      const { descriptor } = yield* make("v1", "first").pipe(at(file))
      const members = execFileSync("tar", ["xOf", file, "index.json"], { encoding: "utf8" })
      // As somebody else would have it: names with "./", other members, other files, a link
      const other = join(freshDirectory(), "tree")
      mkdirSync(other)
      execFileSync("tar", ["xf", file, "-C", other])
      writeFileSync(join(other, "index.json"), members.replace("{", `{"x-pi": 3.140, `))
      writeFileSync(join(other, "notes.txt"), "kept")
      const long = `${"directory/".repeat(12)}${"n".repeat(200)}`
      mkdirSync(join(other, dirname(long)), { recursive: true })
      writeFileSync(join(other, long), "long")
      symlinkSync("notes.txt", join(other, "link"))
      execFileSync("tar", ["cf", file, "-C", other, "."])
      yield* Effect.gen(function*() {
        yield* make("v2", "second")
        yield* readImage("v1")
        yield* readImage("v2")
        assert.deepStrictEqual(yield* names, ["v1", "v2"])
      }).pipe(at(file))
      assert.include(execFileSync("tar", ["xOf", file, "index.json"], { encoding: "utf8" }), `{"x-pi": 3.140, `)
      assert.strictEqual(execFileSync("tar", ["xOf", file, "notes.txt"], { encoding: "utf8" }), "kept")
      assert.strictEqual(execFileSync("tar", ["xOf", file, long], { encoding: "utf8" }), "long")
      assert.strictEqual((yield* readImage("v1").pipe(at(file))).digest, descriptor.digest)
      assert.include(execFileSync("tar", ["tvf", file], { encoding: "utf8" }), "link -> notes.txt")
    }))

  it.live("may be compressed, and is decompressed for reading", () =>
    Effect.gen(function*() {
      const file = fresh()
      const { descriptor } = yield* make("v1", "first").pipe(at(file))
      for (const compress of [gzipSync, zstdCompressSync]) {
        const small = fresh()
        writeFileSync(small, compress(readFileSync(file)))
        assert.strictEqual((yield* readImage("v1").pipe(at(small))).digest, descriptor.digest)
        assertTidy(small)
        yield* make("v2", "second").pipe(at(small))
        assert.deepStrictEqual(yield* names.pipe(at(small)), ["v1", "v2"])
      }
    }))

  it.live("takes blobs of a layout", () =>
    Effect.gen(function*() {
      const directory = join(freshDirectory(), "layout")
      const file = fresh()
      const { descriptor } = yield* make("v1", "first").pipe(inLayout(directory))
      const source = yield* BlobStore.BlobStore.use(Effect.succeed).pipe(inLayout(directory))
      const tree = yield* ImageTree.get(descriptor).pipe(inLayout(directory))
      assert.strictEqual(tree._tag, "Image")
      if (tree._tag !== "Image") return
      const { config, layers } = tree.manifest.value
      yield* Effect.gen(function*() {
        const target = yield* BlobStore.BlobStore
        for (const blob of [...layers, config, descriptor]) yield* BlobStore.copy(blob, source, target)
        yield* tag("v1", descriptor)
      }).pipe(at(file))
      assert.strictEqual((yield* readImage("v1").pipe(at(file))).digest, descriptor.digest)
      assertTidy(file)
    }))

  it.live("is left alone by work that fails or is interrupted, which leaves nothing", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("v1", "first").pipe(at(file))
      const before = readFileSync(file)
      const reached = yield* Deferred.make<void>()
      const endless = Stream.forever(
        Stream.fromEffect(Effect.as(Deferred.succeed(reached, undefined), new Uint8Array(1 << 20)))
      )
      const fiber = yield* Effect.forkChild(BlobStore.BlobStore.use((store) => store.put(endless)).pipe(at(file)))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assertTidy(file)
      // At every operation of the disk that makes the new archive
      for (const operation of ["write", "sync", "close", "rename"] as const) {
        const faulty = (files: FileSystem): FileSystem => {
          const fails = Effect.fail(new StoreIo({ operation, path: file, code: "EIO" }))
          return {
            ...files,
            rename: (from, to) => operation === "rename" && to === file ? fails : files.rename(from, to),
            open: (path, flags) =>
              Effect.map(files.open(path, flags), (opened) =>
                !path.includes(".effect-oci/new-") ? opened : {
                  ...opened,
                  ...(operation === "write" ? { write: () => fails } : {}),
                  ...(operation === "sync" ? { sync: fails } : {}),
                  ...(operation === "close" ? { close: fails } : {})
                })
          }
        }
        const files = yield* Files
        const error = yield* Effect.flip(
          make("v2", "second").pipe(at(file), Effect.provideService(Files, faulty(files)))
        )
        assert.strictEqual(error._tag === "StoreIo" && error.code, "EIO", operation)
        assertTidy(file)
        assert.isTrue(readFileSync(file).equals(before), operation)
      }
    }))

  it.live("loses what a dead process has left, and nothing of a living one", () =>
    Effect.gen(function*() {
      const file = fresh()
      const area = join(dirname(file), ".out.tar.effect-oci")
      const own = yield* Owner.self(yield* Files)
      const living = Owner.nameFor("blobs", own)
      const dead = { ...own, startTime: "1" }
      mkdirSync(area)
      mkdirSync(join(area, living))
      mkdirSync(join(area, Owner.nameFor("blobs", dead)))
      writeFileSync(join(area, Owner.nameFor("new", dead)), "")
      yield* make("v1", "first").pipe(at(file))
      assert.deepStrictEqual(readdirSync(area), [living])
      assert.deepStrictEqual(readdirSync(dirname(file)), [".out.tar.effect-oci", "out.tar"])
    }))

  it.live("keeps who may read it, and can be interrupted while it is written", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("v1", "first").pipe(at(file))
      chmodSync(file, 0o600)
      yield* make("v2", "second").pipe(at(file))
      assert.strictEqual(statSync(file).mode & 0o7777, 0o600)
      const before = readFileSync(file)
      const files = yield* Files
      const reached = yield* Deferred.make<void>()
      const slow: FileSystem = {
        ...files,
        open: (path, flags) =>
          Effect.map(files.open(path, flags), (opened) =>
            path.includes(".effect-oci/new-")
              ? { ...opened, write: () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) }
              : opened)
      }
      // As a build does, which shows its blobs and names its image without a pause
      const publish = ImageStore.publish(Option.some("v3"), putImage("third"))
      const fiber = yield* Effect.forkChild(publish.pipe(at(file), Effect.provideService(Files, slow)))
      yield* Deferred.await(reached)
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 1000)
      assert.isTrue(readFileSync(file).equals(before))
      assertTidy(file)
    }))

  it.live("gets all names that several give at once", () =>
    Effect.gen(function*() {
      const file = fresh()
      const all = Array.from({ length: 6 }, (_, index) => `v${index}`)
      // Each with layers of its own, as processes would have
      yield* Effect.forEach(all, (name) => make(name, name).pipe(at(file)), { concurrency: "unbounded" })
      assert.deepStrictEqual((yield* names.pipe(at(file))).toSorted(), all)
      yield* Effect.forEach(all, (name) => readImage(name)).pipe(at(file))
      assertTidy(file)
    }))

  it.live("that is replaced is still read by who had begun to, and then seen", () =>
    Effect.gen(function*() {
      const file = fresh()
      const { descriptor } = yield* make("v1", "first").pipe(at(file))
      yield* Effect.gen(function*() {
        assert.strictEqual((yield* readImage("v1")).digest, descriptor.digest)
        const other = fresh()
        const next = yield* make("v1", "second").pipe(at(other))
        execFileSync("mv", [other, file])
        // Who has asked for names before goes on with the image that it found
        yield* ImageTree.get(descriptor)
        assert.strictEqual((yield* readImage("v1")).digest, next.descriptor.digest)
      }).pipe(at(file))
    }))

  it.live("leaves no file open", () =>
    Effect.gen(function*() {
      const file = fresh()
      const opened = () => readdirSync("/proc/self/fd").filter((name) => existsSync(join("/proc/self/fd", name))).length
      yield* make("v1", "first").pipe(at(file))
      const before = opened()
      for (let round = 0; round < 5; round++) {
        yield* make("v1", `${round}`).pipe(at(file))
        yield* readImage("v1").pipe(at(file))
      }
      assert.isAtMost(opened(), before)
    }).pipe(Effect.when(Effect.sync(() => existsSync("/proc/self/fd")))))
})

describe("with docker", () => {
  const dockerManifest = (file: string): unknown =>
    JSON.parse(execFileSync("tar", ["xOf", file, "manifest.json"], { encoding: "utf8" }))

  it.live("an archive is one for Docker, too", () =>
    Effect.gen(function*() {
      const file = fresh()
      const name = "registry.example.com/team/app:1"
      const image = yield* Effect.gen(function*() {
        const image = yield* putImage("first")
        yield* tag("app:1", image.descriptor)
        yield* tag(name, {
          ...image.descriptor,
          annotations: { "io.containerd.image.name": "docker.io/library/old:1" }
        })
        yield* make("v2", "second")
        const { descriptor } = yield* putIndex("several", ["amd64", "arm64"])
        yield* tag("many:1", descriptor)
        return image
      }).pipe(at(file, { docker: true }))
      const index: { manifests: ReadonlyArray<{ annotations?: unknown }> } = JSON.parse(
        execFileSync("tar", ["xOf", file, "index.json"], { encoding: "utf8" })
      )
      assert.deepStrictEqual(index.manifests.map(({ annotations }) => annotations), [
        { "io.containerd.image.name": "docker.io/library/app:1", "org.opencontainers.image.ref.name": "app:1" },
        { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name },
        { "org.opencontainers.image.ref.name": "v2" },
        { "io.containerd.image.name": "docker.io/library/many:1", "org.opencontainers.image.ref.name": "many:1" }
      ])
      const manifest = dockerManifest(file)
      assert.isTrue(Array.isArray(manifest) && manifest.length === 2)
      const [first, second] = Array.isArray(manifest) ? manifest : []
      assert.deepStrictEqual(first.RepoTags, ["app:1", name])
      assert.strictEqual(first.Config, `blobs/sha256/${Digest.encoded(sha256(image.config))}`)
      assert.isNull(second.RepoTags)
      // It is read as an archive of Docker's: layers plain, the config as it was
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* names, ["app:1", name, null])
        const tree = yield* ImageTree.get(yield* readImage("app:1"))
        assert.deepStrictEqual(
          tree._tag === "Image" && tree.manifest.value.layers.map(({ digest }) => digest),
          image.diffIds
        )
        assert.deepStrictEqual(tree._tag === "Image" && tree.manifest.value.config.digest, sha256(image.config))
      }).pipe(forDocker(file))
    }))

  it.live("what is such an archive stays one", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("app:1", "first").pipe(at(file, { docker: true }))
      yield* make("app:1", "second").pipe(at(file))
      assert.strictEqual((yield* readImage("app:1").pipe(forDocker(file))).mediaType, MediaType.dockerManifest)
      const manifest = dockerManifest(file)
      assert.isTrue(Array.isArray(manifest) && manifest.length === 1)
    }))
})

describe("what is no archive", () => {
  const plants: ReadonlyArray<readonly [string, string, (file: string) => unknown]> = [
    ["a symbolic link", "found a symbolic link", (file) => symlinkSync("/etc/hostname", file)],
    ["a FIFO", "found a FIFO", (file) => execFileSync("mkfifo", [file])],
    ["a directory", "found a directory", (file) => mkdirSync(file)],
    ["an empty file", "found no bytes at all", (file) => writeFileSync(file, "")],
    ["a text", "found invalid checksum of the header", (file) => writeFileSync(file, "text".repeat(1000))],
    [
      "damaged gzip",
      "expected valid gzip",
      (file) => writeFileSync(file, gzipSync(Buffer.alloc(5000, "x")).subarray(0, 30))
    ]
  ]
  it.live.each(plants)("%s is refused, and stays as it is", ([, message, plant]) =>
    Effect.gen(function*() {
      const file = fresh()
      plant(file)
      for (const operation of [Effect.asVoid(list), Effect.asVoid(make("v1", "first"))]) {
        const error = yield* Effect.flip(operation.pipe(at(file)))
        assert.strictEqual(error._tag, "UnsafeFile")
        assert.include(error.message, message)
      }
      assertTidy(file)
    }))

  const layoutEntries = [
    Tar.file("index.json", `{"schemaVersion":2,"manifests":[]}`),
    Tar.file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)
  ]
  const hostile: ReadonlyArray<readonly [string, ReadonlyArray<Tar.Entry>, string]> = [
    [
      "two entries of a name",
      [...layoutEntries, ...layoutEntries],
      "index.json is not safe to use: expected one entry of that name"
    ],
    [
      "two spellings of a name",
      [...layoutEntries, Tar.file("./index.json", "{}")],
      "index.json is not safe to use: expected one"
    ],
    ["a file for a directory", [...layoutEntries, Tar.directory("a"), Tar.file("a", "")], "a is not safe to use"],
    ["a name that leads out", [...layoutEntries, Tar.file("../x", "")], `expected a name without ".."`],
    ["a circle of links", [Tar.symlink("oci-layout", "a"), Tar.symlink("a", "oci-layout")], "at most 8 links"],
    ["a link out of it", [Tar.symlink("oci-layout", "../../etc/hostname")], "expected a link inside the archive"],
    [
      "a link to a path of the machine",
      [Tar.symlink("oci-layout", "/etc/hostname")],
      "expected a link inside the archive"
    ],
    ["a link to nothing", [Tar.symlink("oci-layout", "x")], "which is not there"],
    ["a directory for a file", [Tar.directory("oci-layout")], "expected a file, found a directory"],
    ["a marker that is too large", [Tar.file("oci-layout", " ".repeat(4097))], "oci-layout is not valid"],
    ["an index that is too large", [
      Tar.file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`),
      Tar.file("index.json", " ".repeat(4 * 2 ** 20 + 1))
    ], "index.json is not valid"],
    ["another version", [Tar.file("oci-layout", `{"imageLayoutVersion":"2.0.0"}`)], "oci-layout is not valid"],
    [
      "a header that is too large",
      [Tar.file("x", "", { pax: { comment: "x".repeat(2 ** 20) } }), ...layoutEntries],
      "at most 1048576 bytes of an extended header"
    ],
    ["no marker", [Tar.file("x", "")], "is not an OCI image archive: there is no"],
    ["no index", [Tar.file("oci-layout", `{"imageLayoutVersion":"1.0.0"}`)], "is not an OCI image archive: there is no"]
  ]
  it.live.each(hostile)("%s is refused", ([, entries, message]) =>
    Effect.gen(function*() {
      const file = fresh()
      writeFileSync(file, yield* Effect.promise(() => tar(entries)))
      const error = yield* Effect.flip(list.pipe(at(file)))
      assert.include(error.message, message)
    }))

  it.live("an archive that is cut off is refused, at any place", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("v1", "first").pipe(at(file))
      const whole = readFileSync(file)
      for (const length of [511, 513, 5000, whole.length >> 1, whole.length - 2049]) {
        writeFileSync(file, whole.subarray(0, length))
        const error = yield* Effect.flip(list.pipe(at(file)))
        // Between two entries an archive may end, but then it lacks one
        assert.include(["UnsafeFile", "StoreMissing"], error._tag, String(length))
      }
    }))

  it.live("a blob with a flipped bit is told, and mended by putting it again", () =>
    Effect.gen(function*() {
      const file = fresh()
      const image = yield* make("v1", "first").pipe(at(file))
      const bytes = readFileSync(file)
      const place = bytes.indexOf(Buffer.from(image.config))
      bytes[place + 40] = (bytes[place + 40] ?? 0) ^ 1
      writeFileSync(file, bytes)
      assert.strictEqual((yield* Effect.flip(readImage("v1").pipe(at(file))))._tag, "DocumentUnreadable")
      yield* make("v2", "first").pipe(at(file))
      yield* readImage("v1").pipe(at(file))
    }))
})

describe("other tools", () => {
  it.live.runIf(judge("skopeo"))(
    "skopeo reads ours, and we read its, with equal digests",
    () =>
      Effect.gen(function*() {
        const file = fresh()
        const several = yield* Effect.gen(function*() {
          yield* make("single", "first")
          const several = yield* putIndex("several", ["amd64", "arm64"])
          yield* tag("several", several.descriptor)
          return several
        }).pipe(at(file))
        const single = yield* resolve("single").pipe(at(file))
        const raw = yield* ask("skopeo", "inspect", "--raw", `oci-archive:${file}:single`)
        assert.strictEqual(sha256(toBytes(raw)), single.digest)
        const theirs = fresh()
        yield* ask(
          "skopeo",
          "copy",
          "--all",
          "-q",
          "--insecure-policy",
          `oci-archive:${file}:several`,
          `oci-archive:${theirs}:x`
        )
        assert.strictEqual((yield* readImage("x").pipe(at(theirs))).digest, several.descriptor.digest)
        yield* make("ours", "first").pipe(at(theirs))
        yield* ask("skopeo", "inspect", `oci-archive:${theirs}:x`, "--override-arch", "arm64")
        yield* ask(
          "skopeo",
          "copy",
          "-q",
          "--insecure-policy",
          `oci-archive:${theirs}:ours`,
          `dir:${join(root, "skopeo")}`
        )
      }),
    30_000
  )

  it.live.runIf(judge("umoci"))("umoci unpacks what is in it", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("v1", "first").pipe(at(file))
      const directory = freshDirectory()
      mkdirSync(join(directory, "layout"))
      yield* ask("tar", "xf", file, "-C", join(directory, "layout"))
      yield* ask(
        "umoci",
        "unpack",
        "--rootless",
        "--image",
        `${join(directory, "layout")}:v1`,
        join(directory, "bundle")
      )
      assert.strictEqual(readFileSync(join(directory, "bundle/rootfs/etc/motd"), "utf8"), "first")
    }), 30_000)
})

describe("memory", () => {
  it.live.runIf(process.env["CI"] === "true")(
    "does not grow with a blob of 1 GiB, read or written",
    () =>
      Effect.gen(function*() {
        const size = 2 ** 30
        const file = fresh()
        const before = process.memoryUsage().rss
        let most = 0
        const watched = setInterval(() => most = Math.max(most, process.memoryUsage().rss), 20)
        yield* Effect.gen(function*() {
          const store = yield* BlobStore.BlobStore
          const zeros = Stream.repeat(Stream.succeed(new Uint8Array(1 << 20)), Schedule.recurs(1023))
          const blob = yield* store.put(zeros)
          yield* tag("big", { mediaType: MediaType.imageManifest, ...blob })
          yield* Stream.runDrain(store.get(blob))
        }).pipe(at(file), Effect.ensuring(Effect.sync(() => clearInterval(watched))))
        assert.isBelow(most - before, 150 * 2 ** 20)
        assert.isAbove(statSync(file).size, size)
      }),
    120_000
  )
})
