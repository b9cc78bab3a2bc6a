import * as Contract from "@effect-oci/adapters/Contract"
import * as DockerArchive from "@effect-oci/adapters/DockerArchive"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciArchive from "@effect-oci/adapters/OciArchive"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { ask, putImage, putIndex, sha256, tar, toBytes } from "./archives.ts"
import { containerd } from "./containerd.ts"
import { keeps } from "./contract.ts"
import { start } from "./engine/engine.ts"
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
const at = (file: string) => Effect.provide(Layer.provideMerge(DockerArchive.layer(file), platform))
const forBoth = (file: string) => Effect.provide(Layer.provideMerge(OciArchive.layer(file, { docker: true }), platform))

const tag = (name: string | undefined, descriptor: Descriptor.Descriptor) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.fromUndefinedOr(name), descriptor))
const untag = (name: string | undefined) =>
  ImageStore.ImageStore.use((images) => images.untag(Option.fromUndefinedOr(name)))
const resolve = (name?: string) => ImageStore.ImageStore.use((images) => images.resolve(Option.fromUndefinedOr(name)))
const list = ImageStore.ImageStore.use((images) => images.list)
const names = Effect.map(list, (images) => images.map(({ name }) => Option.getOrNull(name)))

const make = (name: string | undefined, text: string, options?: Parameters<typeof putImage>[1]) =>
  Effect.tap(putImage(text, options), ({ descriptor }) => tag(name, descriptor))

/** Reads an image, verified: the digests of its config and of its layers. */
const readImage = Effect.fnUntraced(function*(name?: string) {
  const tree = yield* ImageTree.get(yield* resolve(name))
  if (tree._tag !== "Image") return yield* Effect.die("no image")
  const { config, layers } = tree.manifest.value
  const store = yield* BlobStore.BlobStore
  for (const layer of layers) yield* Stream.runDrain(store.get(layer))
  return { config: config.digest, layers: layers.map(({ digest }) => digest) }
})

const manifestOf = (
  file: string
): ReadonlyArray<{ Config: string; RepoTags: unknown; Layers: ReadonlyArray<string> }> =>
  JSON.parse(execFileSync("tar", ["xOf", file, "manifest.json"], { encoding: "utf8" }))

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => Layer.provide(DockerArchive.layer(fresh()), NodeCompression.layer))
})

// The format has no manifests and only Docker's names: `Contract.imageStore` asks for more
describe("an archive", () => {
  it.live.each(["uncompressed", "gzip", "zstd"] as const)(
    "has the config as it is, and plain layers: %s",
    (compression) =>
      Effect.gen(function*() {
        const [one, two] = [fresh(), fresh()]
        const image = yield* make("app:1", "first", { compression }).pipe(at(one))
        yield* make("docker.io/library/app:1", "first", { compression }).pipe(at(two))
        assert.isTrue(readFileSync(one).equals(readFileSync(two)))
        assert.deepStrictEqual(readdirSync(dirname(one)), ["out.tar"])
        const hex = (digest: Digest.Digest) => Digest.encoded(digest)
        assert.deepStrictEqual(manifestOf(one), [{
          Config: `${hex(sha256(image.config))}.json`,
          RepoTags: ["app:1"],
          Layers: image.diffIds.map((diffId) => `${hex(diffId)}.tar`)
        }])
        assert.deepStrictEqual(yield* readImage("app:1").pipe(at(one)), {
          config: sha256(image.config),
          layers: image.diffIds
        })
        const { mediaType } = yield* resolve("app:1").pipe(at(one))
        assert.strictEqual(mediaType, MediaType.dockerManifest)
      })
  )

  it.live("knows names as Docker does", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* Effect.gen(function*() {
        const one = yield* make("app", "one")
        yield* tag("registry.example.com/team/app:1", one.descriptor)
        yield* make("sub/app:2", "two")
        const config = (text: string) => Effect.map(readImage(text), ({ config }) => config)
        assert.strictEqual(yield* config("docker.io/library/app:latest"), sha256(one.config))
        assert.strictEqual(yield* config("registry.example.com/team/app:1"), sha256(one.config))
        assert.deepStrictEqual(yield* names, ["app:latest", "registry.example.com/team/app:1", "sub/app:2"])
        const missing = yield* Effect.flip(resolve("app:2"))
        assert.strictEqual(
          missing.message,
          `${file} has no image "app:2"; it has "app:latest", "registry.example.com/team/app:1", "sub/app:2"`
        )
        for (const name of ["App", "a b", "", `app@${sha256(toBytes("x"))}`, "app:"]) {
          assert.strictEqual((yield* Effect.flip(tag(name, one.descriptor)))._tag, "InvalidImageName", name)
        }
      }).pipe(at(file))
    }))

  it.live("moves names, and drops an image that has lost its last one", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* Effect.gen(function*() {
        const one = yield* make("a:1", "one")
        yield* tag("b:1", one.descriptor)
        yield* make("c:1", "three")
        const two = yield* make("a:1", "two")
        assert.deepStrictEqual(yield* names, ["b:1", "c:1", "a:1"])
        yield* tag("b:1", two.descriptor)
        assert.deepStrictEqual(yield* names, ["c:1", "a:1", "b:1"])
        assert.strictEqual(manifestOf(file).length, 2)
        yield* make(undefined, "four")
        const five = yield* make(undefined, "five")
        assert.deepStrictEqual(yield* names, ["c:1", "a:1", "b:1", null])
        assert.strictEqual((yield* Effect.flip(resolve()))._tag, "ImageAmbiguous")
        yield* untag("docker.io/library/a:1")
        yield* untag("c")
          .pipe(Effect.flip, Effect.map(({ _tag }) => assert.strictEqual(_tag, "ImageMissing")))
        yield* untag("c:1")
        yield* untag("b:1")
        assert.deepStrictEqual(yield* names, [null])
        assert.strictEqual((yield* readImage()).config, sha256(five.config))
        yield* untag(undefined)
        assert.deepStrictEqual(yield* names, [])
      }).pipe(at(file))
    }))

  it.live("is not made by reading", () =>
    Effect.gen(function*() {
      const file = fresh()
      const error = yield* Effect.flip(list.pipe(at(file)))
      assert.strictEqual(
        error.message,
        `${file} is not an archive of the Docker engine: there is no ${file}; check the path, or put an image there first`
      )
      assert.deepStrictEqual(readdirSync(dirname(file)), [])
    }))

  it.live("takes no index, and no image that is not whole", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* Effect.gen(function*() {
        const index = yield* putIndex("x", ["amd64", "arm64"])
        assert.include((yield* Effect.flip(tag("a:1", index.descriptor))).message, "choose one, found an index")
        const { config, descriptor, diffIds } = yield* putImage("x")
        const put = (mediaType: string, value: unknown) =>
          Effect.map(BlobStore.putBytes(toBytes(value)), (blob) => ({ mediaType, ...blob }))
        const tree = yield* ImageTree.get(descriptor)
        if (tree._tag !== "Image") return
        const { layers } = tree.manifest.value
        const withConfig = (ids: ReadonlyArray<string>) =>
          Effect.gen(function*() {
            const text = new TextDecoder().decode(config).replace(JSON.stringify(diffIds), JSON.stringify(ids))
            return yield* put(MediaType.imageManifest, {
              ...tree.manifest.value,
              config: yield* put(MediaType.imageConfig, text)
            })
          })
        const messages = [
          [yield* withConfig(diffIds.slice(1)), "expected a config with 2 diff IDs, found 1"],
          [yield* withConfig(diffIds.toReversed()), "expected a layer whose content is"],
          [yield* withConfig(["x", "y"]), "expected a config with digests for its diff IDs"],
          [yield* put(MediaType.imageManifest, "not JSON"), "expected the manifest of an image"]
        ] as const
        for (const [wrong, message] of messages) {
          const error = yield* Effect.flip(tag("a:1", wrong))
          assert.include(error.message, message)
          assert.strictEqual(error._tag, "UnsafeFile")
        }
        const gone = yield* put(MediaType.imageManifest, {
          ...tree.manifest.value,
          layers: layers.map(({ mediaType, size }) => ({ mediaType, size, digest: sha256(toBytes("gone")) }))
        })
        assert.strictEqual((yield* Effect.flip(tag("a:1", gone)))._tag, "BlobMissing")
      }).pipe(at(file))
      assert.deepStrictEqual(readdirSync(dirname(file)), [])
    }))

  it.live("of another tool keeps what we do not know", () =>
    Effect.gen(function*() {
      const file = fresh()
      yield* make("app:1", "first").pipe(at(file))
      const directory = freshDirectory()
      execFileSync("tar", ["xf", file, "-C", directory])
      const items = manifestOf(file).map((item) => Object.assign(item, { LayerSources: { x: 1 } }))
      writeFileSync(join(directory, "manifest.json"), JSON.stringify(items))
      writeFileSync(join(directory, "notes.txt"), "kept")
      execFileSync("tar", ["czf", file, "-C", directory, "."])
      yield* make("app:2", "second").pipe(at(file))
      yield* Effect.forEach(["app:1", "app:2"], readImage).pipe(at(file))
      assert.deepStrictEqual(manifestOf(file)[0], items[0])
      assert.strictEqual(execFileSync("tar", ["xOf", file, "notes.txt"], { encoding: "utf8" }), "kept")
    }))
})

/** The parts of an archive of one image of two layers, each to be replaced. */
const layers = await Promise.all([tar([Tar.file("a", "a")]), tar([Tar.file("b", "b")])])
const [layerA = new Uint8Array(), layerB = new Uint8Array()] = layers
const configOf = (diffIds: ReadonlyArray<unknown>) =>
  JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIds } })
const config = configOf(layers.map(sha256))

interface Parts {
  readonly manifest?: unknown
  readonly config?: string
  /** Entries instead of `a.tar` and `b.tar`. */
  readonly layers?: ReadonlyArray<Tar.Entry>
  readonly more?: ReadonlyArray<Tar.Entry>
}

const item = { Config: "config.json", RepoTags: ["app:1"], Layers: ["a.tar", "b.tar"] }
const plainLayers = [Tar.file("a.tar", layerA), Tar.file("b.tar", layerB)]

const crafted = (parts: Parts): Promise<Uint8Array> =>
  tar([
    Tar.file(
      "manifest.json",
      typeof parts.manifest === "string" ? parts.manifest : JSON.stringify(parts.manifest ?? [item])
    ),
    Tar.file("config.json", parts.config ?? config),
    ...parts.layers ?? plainLayers,
    ...parts.more ?? []
  ])

const chain = (length: number): ReadonlyArray<Tar.Entry> => [
  Tar.file("0", layerA),
  ...Array.from({ length }, (_, index) => Tar.symlink(`${index + 1}`, String(index))),
  Tar.symlink("a.tar", String(length)),
  Tar.file("b.tar", layerB)
]

describe("what others make", () => {
  const good: ReadonlyArray<readonly [string, Parts]> = [
    ["layers that are files", {}],
    ["layers that are links, as skopeo makes them", {
      manifest: [{ ...item, Layers: ["x/layer.tar", "b.tar"] }],
      layers: [Tar.symlink("x/layer.tar", "../a.tar"), ...plainLayers]
    }],
    ["hard links", {
      manifest: [{ ...item, Layers: ["x.tar", "b.tar"] }],
      layers: [...plainLayers, Tar.hardlink("x.tar", "a.tar")]
    }],
    ["a chain of 8 links", { layers: chain(7) }],
    ["compressed layers", {
      layers: [Tar.file("a.tar", gzipSync(layerA)), Tar.file("b.tar", zstdCompressSync(layerB))]
    }],
    ["names with dots", { manifest: [{ ...item, Layers: ["./a.tar", "x/../b.tar"] }] }],
    ["members that we do not know", {
      manifest: [{ ...item, Parent: "x", LayerSources: { "sha256:1": { size: 3 } } }]
    }],
    ["no names", { manifest: [{ ...item, RepoTags: null }] }],
    ["two images of the same parts", { manifest: [item, { ...item, RepoTags: ["other:1"] }] }]
  ]
  it.live.each(good)("is read: %s", ([, parts]) =>
    Effect.gen(function*() {
      const file = fresh()
      writeFileSync(file, yield* Effect.promise(() => crafted(parts)))
      const [first] = yield* list.pipe(at(file))
      const name = Option.getOrUndefined(first?.name ?? Option.none())
      const read = yield* readImage(name).pipe(at(file))
      assert.deepStrictEqual(read, { config: sha256(toBytes(config)), layers: layers.map(sha256) })
      // And written again with the same config
      yield* Effect.flatMap(resolve(name), (image) => tag("new:1", image)).pipe(at(file))
      assert.deepStrictEqual(yield* readImage("new:1").pipe(at(file)), read)
    }))

  const hostile: ReadonlyArray<readonly [string, Parts, string]> = [
    [
      "a link to itself",
      { layers: [Tar.symlink("a.tar", "a.tar"), Tar.file("b.tar", layerB)] },
      "a.tar is not safe to use: expected a file behind at most 8 links, found more of them, or a circle"
    ],
    ["a circle of links", { layers: [Tar.symlink("a.tar", "b.tar"), Tar.symlink("b.tar", "a.tar")] }, "or a circle"],
    [
      "a circle of hard links",
      { layers: [Tar.hardlink("a.tar", "b.tar"), Tar.hardlink("b.tar", "a.tar")] },
      "or a circle"
    ],
    ["a chain of 9 links", { layers: chain(8) }, "a.tar is not safe to use: expected a file behind at most 8 links"],
    [
      "a link out of the archive",
      { layers: [Tar.symlink("a.tar", "../../etc/passwd"), Tar.file("b.tar", "")] },
      "a.tar is not safe to use: expected a link inside the archive"
    ],
    [
      "an absolute link",
      { layers: [Tar.symlink("a.tar", "/etc/passwd"), Tar.file("b.tar", "")] },
      "expected a link inside the archive, found one to \"/etc/passwd\""
    ],
    [
      "a link to nothing",
      { layers: [Tar.symlink("a.tar", "x"), Tar.file("b.tar", "")] },
      "found one to x, which is not there"
    ],
    [
      "a layer that is not there",
      { layers: [Tar.file("b.tar", layerB)] },
      "a.tar is not safe to use: expected the file that manifest.json names, found nothing"
    ],
    [
      "a layer that is a directory",
      { layers: [Tar.directory("a.tar"), Tar.file("b.tar", layerB)] },
      "a.tar is not safe to use: expected a file, found a directory"
    ],
    [
      "a layer outside of the archive",
      { manifest: [{ ...item, Layers: ["../a.tar", "b.tar"] }] },
      "../a.tar is not safe to use: expected a path inside the archive"
    ],
    [
      "an absolute layer",
      { manifest: [{ ...item, Layers: ["/etc/passwd", "b.tar"] }] },
      "/etc/passwd is not safe to use: expected a path inside the archive"
    ],
    [
      "a config outside of the archive",
      { manifest: [{ ...item, Config: "../../etc/passwd" }] },
      "expected a path inside the archive"
    ],
    [
      "a config that is not there",
      { manifest: [{ ...item, Config: "x" }] },
      "x is not safe to use: expected the file that manifest.json names"
    ],
    [
      "fewer diff IDs than layers",
      { config: configOf([sha256(layerA)]) },
      "config.json is not safe to use: expected 2 diff IDs, as many as manifest.json has layers, found 1"
    ],
    [
      "no diff IDs",
      { config: `{"architecture":"amd64","os":"linux"}` },
      "expected 2 diff IDs, as many as manifest.json has layers, found 0"
    ],
    ["fewer layers than diff IDs", { manifest: [{ ...item, Layers: ["a.tar"] }] }, "expected 1 diff IDs"],
    ["no layers", { manifest: [{ ...item, Layers: null }] }, "expected 0 diff IDs"],
    ["a diff ID that is no digest", { config: configOf(["sha256:1", "x"]) }, "expected a digest for the diff ID 0"],
    [
      "two files of a name",
      { more: [Tar.file("a.tar", layerB)] },
      "a.tar is not safe to use: expected one entry of that name"
    ],
    [
      "two lists of images",
      { more: [Tar.file("./manifest.json", "[]")] },
      "manifest.json is not safe to use: expected one entry of that name"
    ],
    ["a list that is too large", { manifest: " ".repeat(4 * 2 ** 20 + 1) }, "manifest.json is not valid"],
    ["a config that is too large", { config: config + " ".repeat(4 * 2 ** 20) }, "config.json is not valid"],
    ["a list that is no list", { manifest: {} }, "manifest.json is not valid"],
    ["a list that is no JSON", { manifest: "[{]" }, "manifest.json is not valid"],
    [
      "a list with two values of a name",
      { manifest: `[{"Config":"config.json","Config":"x","Layers":[]}]` },
      "manifest.json is not valid"
    ],
    [
      "names that differ by case",
      { manifest: `[{"Config":"config.json","config":"x","Layers":[]}]` },
      "manifest.json is not valid"
    ],
    ["a list of deep lists", { manifest: "[".repeat(100_000) }, "manifest.json is not valid"],
    ["a damaged compressed layer", {
      layers: [Tar.file("a.tar", gzipSync(layerA).subarray(0, 40)), Tar.file("b.tar", layerB)]
    }, "a.tar is not safe to use: expected valid gzip"],
    ["a device", {
      more: [{
        ...Tar.file("dev", ""),
        header: { ...Tar.file("dev", "").header, type: "CharDevice", typeflag: "3", devMajor: 1, devMinor: 3 }
      }]
    }, "dev is not safe to use: expected a file, a directory or a link"]
  ]
  it.live.each(hostile)("is refused: %s", ([, parts, message]) =>
    Effect.gen(function*() {
      const file = fresh()
      const bytes = yield* Effect.promise(() => crafted(parts))
      writeFileSync(file, bytes)
      yield* Effect.gen(function*() {
        const error = yield* Effect.flip(list)
        assert.include(error.message, message)
        assert.include(error.message, file)
        assert.include(["UnsafeFile", "StoreUnreadable"], error._tag)
        const blob = { digest: sha256(layerA), size: layerA.length }
        const expected = BlobStore.UnsafeFile.name
        assert.strictEqual((yield* Effect.flip(BlobStore.getBytes(blob)))._tag, expected)
        assert.strictEqual((yield* Effect.flip(tag("new:1", { mediaType: MediaType.layer, ...blob })))._tag, expected)
      }).pipe(at(file))
      assert.isTrue(readFileSync(file).equals(bytes))
    }))

  it.live("is not taken for what it is not", () =>
    Effect.gen(function*() {
      const file = fresh()
      writeFileSync(file, yield* Effect.promise(() => tar([Tar.file("thesis.txt", "x")])))
      assert.strictEqual((yield* Effect.flip(list.pipe(at(file))))._tag, "StoreMissing")
      assert.strictEqual((yield* Effect.flip(make("a:1", "x").pipe(at(file))))._tag, "StoreMissing")
    }))

  it.live.each(
    [
      ["plain", (bytes: Uint8Array) => bytes],
      ["compressed", (bytes: Uint8Array) => new Uint8Array(gzipSync(bytes))]
    ] as const
  )("a %s layer that is not what its diff ID says is told when it is read", ([, encode]) =>
    Effect.gen(function*() {
      const file = fresh()
      const wrong = [Tar.file("a.tar", encode(layerB)), Tar.file("b.tar", layerB)]
      writeFileSync(file, yield* Effect.promise(() => crafted({ layers: wrong })))
      const error = yield* Effect.flip(readImage("app:1").pipe(at(file)))
      assert.deepStrictEqual(
        error,
        new BlobStore.DigestMismatch({ store: file, expected: sha256(layerA), found: sha256(layerB) })
      )
    }))
})

describe("other tools", () => {
  it.live.runIf(judge("skopeo"))(
    "skopeo reads ours, and we read its, with equal digests",
    () =>
      Effect.gen(function*() {
        const file = fresh()
        const image = yield* make("app:1", "first").pipe(at(file))
        yield* make("app:2", "second", { compression: "zstd" }).pipe(at(file))
        const found = yield* ask("skopeo", "inspect", "--config", "--raw", `docker-archive:${file}:app:1`)
        assert.strictEqual(sha256(toBytes(found)), sha256(image.config))
        const theirs = fresh()
        yield* ask(
          "skopeo",
          "copy",
          "-q",
          "--insecure-policy",
          `docker-archive:${file}:app:1`,
          `docker-archive:${theirs}:x:1`
        )
        assert.deepStrictEqual(yield* readImage("x:1").pipe(at(theirs)), {
          config: sha256(image.config),
          layers: image.diffIds
        })
        // Its names, its links and its legacy files stay, and it reads what we have added
        yield* make("app:3", "third").pipe(at(theirs))
        yield* ask("skopeo", "inspect", "--raw", `docker-archive:${theirs}:app:3`)
        yield* ask("skopeo", "inspect", "--raw", `docker-archive:${theirs}:docker.io/library/x:1`)
        const both = fresh()
        yield* make("app:1", "first").pipe(forBoth(both))
        assert.strictEqual(yield* ask("skopeo", "inspect", "--config", "--raw", `docker-archive:${both}:app:1`), found)
        assert.strictEqual(yield* ask("skopeo", "inspect", "--config", "--raw", `oci-archive:${both}:app:1`), found)
      }),
    30_000
  )

  it.live.runIf(process.env["CI"] === "true" && judge("containerd") && judge("ctr"))(
    "containerd imports archives of both kinds",
    () =>
      Effect.gen(function*() {
        const { ctr } = yield* containerd(freshDirectory())
        const [docker, both] = [fresh(), fresh()]
        yield* make("ours/docker:1", "first").pipe(at(docker))
        yield* make("ours/both:1", "second").pipe(forBoth(both))
        for (const file of [docker, both]) {
          yield* Effect.promise(() => ctr("images", "import", "--snapshotter", "native", file))
        }
        const listed = (yield* Effect.promise(() => ctr("images", "list", "-q"))).trim().split("\n")
        assert.deepStrictEqual(listed.toSorted(), ["docker.io/ours/both:1", "docker.io/ours/docker:1"])
        const exported = fresh()
        yield* Effect.promise(() => ctr("images", "export", exported, "docker.io/ours/both:1"))
        const { digest } = yield* resolve("ours/both:1").pipe(forBoth(both))
        const found = yield* ImageStore.ImageStore.use((images) => images.list).pipe(forBoth(exported))
        assert.deepStrictEqual(found.map(({ descriptor }) => descriptor.digest), [digest])
        yield* readImage("ours/both:1").pipe(at(exported))
      }).pipe(Effect.scoped),
    90_000
  )

  const engine = process.env["EFFECT_OCI_ENGINE"]
  it.live.runIf(engine !== undefined)(
    "the Docker engine loads ours, and we read what it saves",
    (context) =>
      Effect.gen(function*() {
        const started = yield* Effect.result(start(engine ?? ""))
        if (Result.isFailure(started)) {
          return process.env["EFFECT_OCI_JUDGES"] === "require"
            ? yield* started.failure
            : context.skip(started.failure.message)
        }
        const running = started.success
        const [docker, both] = [fresh(), fresh()]
        const one = yield* make("ours/docker:1", "first").pipe(at(docker))
        const two = yield* make("ours/both:1", "second").pipe(forBoth(both))
        for (const file of [docker, both]) yield* running.docker("load", "--quiet", "--input", file)
        const images = [["ours/docker:1", one], ["ours/both:1", two]] as const
        for (const [name, image] of images) {
          const id = yield* running.docker("image", "inspect", "--format", "{{.Id}}", name)
          assert.strictEqual(id, sha256(image.config))
        }
        const saved = fresh()
        yield* running.docker("save", "--output", saved, "ours/docker:1", "ours/both:1")
        for (const [name, image] of images) {
          assert.deepStrictEqual(yield* readImage(name).pipe(at(saved)), {
            config: sha256(image.config),
            layers: image.diffIds
          })
        }
        const again = fresh()
        copyFileSync(saved, again)
        const three = yield* make("ours/third:1", "third").pipe(at(again))
        yield* running.docker("load", "--quiet", "--input", again)
        const id = yield* running.docker("image", "inspect", "--format", "{{.Id}}", "ours/third:1")
        assert.strictEqual(id, sha256(three.config))
      }).pipe(Effect.scoped),
    60_000
  )
})
