/** What `build` makes, unpacked by programs that are not ours. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { chmodSync, mkdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import process from "node:process"
import { type Containerd, containerd } from "../../adapters/test/containerd.ts"
import { judge } from "../../adapters/test/judges.ts"
import * as Trees from "../../adapters/test/trees.ts"
import { ask, bundled } from "./program.ts"

const isThorough = process.env["CI"] === "true"
const program = bundled("judges")
// Without capitals, which buildah does not take in the path of an image
const directory = join(tmpdir(), `effect-oci-judged-${randomUUID()}`)
mkdirSync(directory)
afterAll(() => rmSync(directory, { recursive: true }))
const path = (...names: ReadonlyArray<string>) => join(directory, ...names)

const run = (...args: ReadonlyArray<string>) =>
  ask(process.execPath, [program, ...args], {
    cwd: directory,
    env: { HOME: directory, EFFECT_OCI_STORE: path("store"), SOURCE_DATE_EPOCH: String(Trees.epoch) }
  })

const file = (name: string, content: string, mode = 0o644) => {
  mkdirSync(dirname(path(name)), { recursive: true })
  writeFileSync(path(name), content)
  chmodSync(path(name), mode)
}

/** A layer that takes files away, adds some, and puts some in the place of others, as GNU tar writes it. */
const makeChanges = () => {
  file("changes/a/.wh.gone", "")
  file("changes/opaque/.wh..wh..opq", "")
  file("changes/opaque/new", "new")
  file("changes/was file/now directory", "d")
  file("changes/was directory", "f", 0o600)
  file("changes/.wh.whole", "")
  symlinkSync("a/stays", path("changes/was gone"))
  execFileSync("tar", [
    "--create",
    "--sort=name",
    "--format=pax",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--mtime=@1000",
    "--pax-option=delete=atime,delete=ctime",
    "--mode=go=u-w",
    "--file",
    path("changes.tar"),
    "--directory",
    path("changes"),
    "a",
    "opaque",
    "was file",
    "was directory",
    ".wh.whole",
    "was gone"
  ])
}

const makeOriginal = () => {
  for (
    const name of [
      "a/gone",
      "a/stays",
      "opaque/old",
      "opaque/deep/old",
      "was file",
      "was directory/x",
      "whole/deep/er",
      "was gone"
    ]
  ) {
    file(`original/${name}`, name)
  }
}

const changedPaths = [
  "a",
  "a/stays",
  "opaque",
  "opaque/new",
  "was directory",
  "was file",
  "was file/now directory",
  "was gone"
]

interface Expected {
  readonly tag: string
  readonly flags: ReadonlyArray<string>
  readonly owner?: string
  readonly time: (own: number) => number
}

const later = (own: number) => Math.min(own, Trees.epoch)

const images: ReadonlyArray<Expected> = [
  { tag: "gzip", flags: [], time: later },
  { tag: "zstd", flags: ["--compression", "zstd"], time: later },
  { tag: "plain", flags: ["--compression", "uncompressed"], time: later },
  { tag: "one-time", flags: ["--epoch", "", "--compression", "gzip:9"], time: () => 1 },
  { tag: "own-times", flags: ["--epoch", "", "--keep-times", "--compression", "zstd:1"], time: (own) => own },
  { tag: "owner", flags: ["--owner", "1234:3000000"], owner: "1234:3000000", time: later },
  { tag: "docker", flags: ["--format", "docker"], time: later }
]

/** In each way that decides what is written, or, where time is short, in some. */

/** What the tree looks like in an image. */
const expected = ({ owner = "0:0", time }: Expected) => Trees.as(Trees.look(path("tree")), owner, time)

const withZstd = (tag: string) => images.find((image) => image.tag === tag)?.flags.join(" ").includes("zstd") ?? false

beforeAll(async () => {
  Trees.make(path("tree"), 7)
  makeOriginal()
  makeChanges()
  for (const { flags, tag } of images) {
    await run(
      "build",
      "--add",
      "tree:/",
      ...flags,
      "--platform",
      "linux/amd64",
      "--to",
      `oci:out:${tag}`
    )
  }
  file("more/tree/text", "another")
  file("more/hello", "#!/bin/sh\n", 0o755)
  await run("build", "--add", "tree:/tree", "--to", "oci:base:1", "--platform", "linux/amd64")
  await run(
    "build",
    "--from",
    "oci:base:1",
    "--add",
    "more:/",
    "--add",
    "more/hello:/usr/local/bin/",
    "--compression",
    "zstd",
    "--to",
    "oci:out:upon"
  )
  await run("ref", "add", "original", "original")
  await run("ref", "add", "changes", "changes.tar", "--parent", "original")
  await run("export", "changes", "--to", "oci:out:changes", "--platform", "linux/amd64")
}, 60_000)

/** What there is to say about an image upon another one, and what it should be: of both, the upper one where they meet. */
const upon = (root: string) => ({
  below: Trees.look(join(root, "tree")).filter(({ path }) => path !== "text"),
  met: readFileSync(join(root, "tree/text"), "utf8"),
  above: Trees.look(root).filter(({ path }) => !path.startsWith("tree/"))
    .map(({ mode, owner, path }) => `${path} ${mode} ${owner}`)
})

const expectedUpon = () => ({
  below: Trees.as(Trees.look(path("tree")), "0:0", later).filter(({ path }) => path !== "text"),
  met: "another",
  above: [
    "hello 100755 0:0",
    "tree 40755 0:0",
    "usr 40755 0:0",
    "usr/local 40755 0:0",
    "usr/local/bin 40755 0:0",
    "usr/local/bin/hello 100755 0:0"
  ]
})

/** What whiteouts and what comes in the place of something else leave: paths, and contents of files and links. */
const changes = (root: string) => ({
  paths: Trees.look(root).map(({ path }) => path),
  replaced: readFileSync(join(root, "was directory"), "utf8"),
  kept: readFileSync(join(root, "a/stays"), "utf8"),
  link: readlinkSync(join(root, "was gone"))
})

const expectedChanges = { paths: changedPaths, replaced: "f", kept: "a/stays", link: "a/stays" }

describe.runIf(isThorough && process.getuid?.() === 0)("a tree that is built", { timeout: 60_000 }, () => {
  describe.runIf(judge("umoci"))("comes out of umoci as it went in", () => {
    // It is older than Zstandard in layers
    it.each(images.filter(({ tag }) => !withZstd(tag) && tag !== "docker"))("$tag", async (image) => {
      const root = path(`umoci ${image.tag}`)
      await ask("umoci", ["unpack", "--image", `${path("out")}:${image.tag}`, root])
      assert.deepStrictEqual(Trees.look(join(root, "rootfs")), expected(image))
    })

    it("with whiteouts applied", async () => {
      await ask("umoci", ["unpack", "--image", `${path("out")}:changes`, path("umoci changes")])
      assert.deepStrictEqual(changes(path("umoci changes/rootfs")), expectedChanges)
    })
  })

  describe.runIf(judge("containerd") && judge("ctr"))("comes out of containerd as it went in", () => {
    let service: Containerd
    const scope = Scope.makeUnsafe()
    beforeAll(async () => {
      service = await Effect.runPromise(Scope.provide(containerd(path("containerd")), scope))
      await service.load(path("out"), "ours")
    }, 60_000)
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

    it.each(images)("$tag", async (image) => {
      assert.deepStrictEqual(await service.look(`ours:${image.tag}`, Trees.look), expected(image))
    })

    it("upon another image", async () => {
      assert.deepStrictEqual(await service.look("ours:upon", upon), expectedUpon())
    })

    it("with whiteouts applied", async () => {
      assert.deepStrictEqual(await service.look("ours:changes", changes), expectedChanges)
    })
  })

  describe.runIf(judge("buildah"))("comes out of buildah as it went in", () => {
    const buildah = (...args: ReadonlyArray<string>) =>
      ask("buildah", ["--root", path("r"), "--runroot", path("s"), "--storage-driver", "vfs", ...args])

    const look = async <A>(tag: string, use: (root: string) => A) => {
      const container = (await buildah("from", "--pull-never", `oci:${path("out")}:${tag}`)).trim()
      const root = (await buildah("mount", container)).trim()
      try {
        return use(root)
      } finally {
        await buildah("umount", container)
        await buildah("rm", container)
      }
    }

    it.each(images.filter(({ tag }) => withZstd(tag) || tag === "owner"))("$tag", async (image) => {
      assert.deepStrictEqual(await look(image.tag, Trees.look), expected(image))
    })

    it("upon another image", async () => {
      assert.deepStrictEqual(await look("upon", upon), expectedUpon())
    })

    it("with whiteouts applied", async () => {
      assert.deepStrictEqual(await look("changes", changes), expectedChanges)
    })
  })

  // It takes Docker's media types in a layout for something else
  it.runIf(judge("skopeo")).each(images.filter(({ tag }) => tag !== "docker"))(
    "is copied by skopeo: $tag",
    async ({ tag }) => {
      const source = `oci:${path("out")}:${tag}`
      const copy = (to: string) => ask("skopeo", ["copy", "-q", "--insecure-policy", source, to])
      await copy(`dir:${path(`dir ${tag}`)}`)
      const { layers: [layer] } = JSON.parse(readFileSync(path(`dir ${tag}`, "manifest.json"), "utf8"))
      assert.match(layer.digest, /^sha256:/)
      // It reads Zstandard only to pass it on
      if (!withZstd(tag)) await copy(`docker-archive:${path(`${tag}.tar`)}:example.org/x:1`)
    }
  )
})
