/**
 * Images that we write go through programs that are not ours, and come back to us: each program reads what we wrote, and we
 * read what it wrote. The table tells what comes back with equal digests, and what an old judge refuses, and why.
 */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { type Containerd, containerd } from "../../adapters/test/containerd.ts"
import { type Running, start } from "../../adapters/test/engine/engine.ts"
import { judge } from "../../adapters/test/judges.ts"
import { run } from "./harness.ts"
import { ask } from "./program.ts"

// Without capitals, which buildah does not take in the path of an image
const directory = join(tmpdir(), `effect-oci-interop-${randomUUID()}`)
const path = (...names: ReadonlyArray<string>) => join(directory, ...names)
let count = 0
const fresh = () => path(`${++count}`)

const scope = Scope.makeUnsafe()
const started = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.runPromise(Scope.provide(effect, scope))

/** Runs our program, which succeeds. */
const ours = async (...args: ReadonlyArray<string>): Promise<void> => {
  const { code, stderr } = await run(args, { EFFECT_OCI_STORE: path("store"), SOURCE_DATE_EPOCH: "1700000000" })
  if (code !== 0) throw new Error(`effect-oci ${args.join(" ")} ended with ${code}:\n${stderr}`)
}

/** The images: of one platform and of several, with OCI's types and with Docker's. */
const kinds = ["gzip", "zstd", "docker", "several", "list"] as const
type Kind = typeof kinds[number]

const isIndex = (kind: Kind): boolean => kind === "several" || kind === "list"

const flags: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  gzip: [],
  zstd: ["--compression", "zstd"],
  docker: ["--format", "docker"],
  several: [],
  list: ["--format", "docker"]
}

/** Makes an image of two layers, or one for each of two platforms. None has a layer of another's, which a judge might know. */
const make = async (kind: Kind): Promise<void> => {
  const tree = path(`tree-${kind}`)
  mkdirSync(join(tree, "etc"), { recursive: true })
  writeFileSync(join(tree, "etc/kind"), kind)
  writeFileSync(path(`app-${kind}`), `${kind}\n`.repeat(20_000), { mode: 0o755 })
  const to = ["--to", `oci:${path("out")}:${kind}`]
  if (!isIndex(kind)) {
    const add = ["--add", `${tree}:/`, "--add", `${path(`app-${kind}`)}:/usr/bin/app`]
    return await ours("build", ...add, ...flags[kind], "--platform", "linux/amd64", ...to)
  }
  await ours("ref", "add", `base-${kind}`, tree)
  await ours("ref", "add", kind, path(`app-${kind}`), "--parent", `base-${kind}`, "--at", "/usr/bin/app")
  const platforms = [`linux/amd64=${kind}`, `linux/arm64=base-${kind}`].flatMap((each) => ["--platform", each])
  await ours("export", ...platforms, ...flags[kind], ...to)
}

interface Image {
  readonly digest: string
  readonly config: string
  readonly layers: ReadonlyArray<string>
}

/** What an image is, as the documents in a layout tell: its own digest, and the digests in each image of it. */
interface Whole {
  readonly digest: string
  readonly images: ReadonlyArray<Image>
}

interface Descriptor {
  readonly digest: string
  readonly annotations?: Readonly<Record<string, string>>
}

const documentOf = (layout: string, { digest }: Descriptor) =>
  JSON.parse(readFileSync(join(layout, "blobs", digest.replace(":", "/")), "utf8"))

/** Reads what is in a layout, without a program. */
const look = (layout: string, tag: string): Whole => {
  const { manifests }: { manifests: ReadonlyArray<Descriptor> } = JSON.parse(
    readFileSync(join(layout, "index.json"), "utf8")
  )
  const root = manifests.find(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === tag)
  if (root === undefined) throw new Error(`there is no ${tag} in ${layout}`)
  const document: { manifests?: ReadonlyArray<Descriptor> } = documentOf(layout, root)
  return {
    digest: root.digest,
    images: (document.manifests ?? [root]).map((each) => {
      const { config, layers }: { config: Descriptor; layers: ReadonlyArray<Descriptor> } = documentOf(layout, each)
      return { digest: each.digest, config: config.digest, layers: layers.map(({ digest }) => digest) }
    })
  }
}

/** What formats without manifests keep of an image: its config, and its layers uncompressed. */
const content = (layout: string, { config }: Image) => ({
  config,
  layers: documentOf(layout, { digest: config }).rootfs.diff_ids
})

/** Copies what a judge has written into a layout of ours, which verifies each blob, and looks at it. */
const back = async (image: string, kind: Kind): Promise<Whole> => {
  const layout = fresh()
  await ours("copy", image, `oci:${layout}:back`, ...isIndex(kind) ? ["--all"] : [])
  return look(layout, "back")
}

/**
 * What comes back: all of it; all images of an index, with another index; the config and the layers, uncompressed, of one
 * image; or nothing, and then what the judge says.
 */
type Verdict = "all" | "images" | "content" | { readonly refused: string }

type Form = "oci" | "oci-archive" | "dir" | "docker-archive"

interface Row {
  readonly name: string
  /** What we write for the judge. */
  readonly form: Form
  /** Reads the image that we have written, writes it to a path, and gives what is there. */
  readonly pass: (image: string, kind: Kind, to: string) => Promise<string>
  readonly verdicts: Readonly<Record<Kind, Verdict>>
}

const nameIn = (form: Form, at: string, kind: Kind): string => {
  switch (form) {
    case "dir":
      return `dir:${at}`
    case "docker-archive":
      return `docker-archive:${at}:example.org/${kind}:1`
    default:
      return `${form}:${at}:${kind}`
  }
}

const assertRows = (rows: ReadonlyArray<Row>) =>
  describe.each(rows)("$name", ({ form, pass, verdicts }) => {
    it.each(kinds)("%s", async (kind) => {
      const given = nameIn(form, fresh(), kind)
      const isOne = form === "docker-archive"
      await ours("copy", `oci:${path("out")}:${kind}`, given, ...isOne ? ["--platform", "linux/amd64"] : ["--all"])
      const verdict = verdicts[kind]
      if (typeof verdict === "object") {
        const error = await pass(given, kind, fresh()).then(() => undefined, (error: Error) => error)
        return assert.include(`${error?.message} ${String(error?.cause)}`, verdict.refused)
      }
      const original = look(path("out"), kind)
      const found = await back(await pass(given, kind, fresh()), kind)
      switch (verdict) {
        case "all":
          return assert.deepStrictEqual(found, original)
        case "images":
          return assert.deepStrictEqual(found.images, original.images)
        case "content":
          return assert.deepStrictEqual(
            found.images.map(({ config, layers }) => ({ config, layers })),
            original.images.slice(0, 1).map((image) => content(path("out"), image))
          )
      }
    })
  })

// In a layout it does not see images of Docker's types: it reads them from directories
const notSeen = { refused: "no descriptor found for reference" }

const throughSkopeo = (form: Form, verdicts: Row["verdicts"]): Row => ({
  name: `skopeo, ${form}`,
  form,
  pass: async (image, kind, to) => {
    const target = nameIn(form, to, kind)
    const all = form === "docker-archive" ? [] : ["--all"]
    await ask("skopeo", ["copy", "-q", "--insecure-policy", ...all, image, target])
    return target
  },
  verdicts
})

const isRoot = process.getuid?.() === 0
const isThorough = process.env["CI"] === "true"
const engineDirectory = process.env["EFFECT_OCI_ENGINE"]

describe("what we write goes through others, and comes back", { timeout: 30_000 }, () => {
  beforeAll(async () => {
    mkdirSync(directory)
    for (const kind of kinds) await make(kind)
  }, 60_000)
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true })
  }, 60_000)

  describe.runIf(judge("skopeo"))("skopeo", () => {
    const inLayout: Row["verdicts"] = { gzip: "all", zstd: "all", docker: notSeen, several: "all", list: notSeen }
    assertRows([
      throughSkopeo("oci", inLayout),
      throughSkopeo("oci-archive", inLayout),
      throughSkopeo("dir", { gzip: "all", zstd: "all", docker: "all", several: "all", list: "all" }),
      // For Docker's archives we uncompress, Zstandard too, and choose one platform
      throughSkopeo("docker-archive", {
        gzip: "content",
        zstd: "content",
        docker: "content",
        several: "content",
        list: "content"
      })
    ])

    it("makes an image of Docker's types", async () => {
      const target = fresh()
      const told = fresh()
      const convert = ["copy", "-q", "--insecure-policy", "--format", "v2s2", "--digestfile", told]
      await ask("skopeo", [...convert, `oci:${path("out")}:gzip`, `dir:${target}`])
      assert.strictEqual((await back(`dir:${target}`, "docker")).digest, readFileSync(told, "utf8"))
    })
  })

  describe.runIf(judge("umoci"))("umoci", () => {
    const notImplemented = { refused: "not implemented: application/vnd.docker.distribution.manifest" }
    const umoci = (...args: ReadonlyArray<string>) => ask("umoci", args)

    assertRows([{
      name: "umoci, oci",
      form: "oci",
      pass: async (image, kind, to) => {
        const source = image.slice("oci:".length)
        await umoci("unpack", "--rootless", "--image", source, to)
        await umoci("tag", "--image", source, "again")
        return image.replace(new RegExp(`${kind}$`), "again")
      },
      // It is older than Zstandard in layers, knows OCI's types only, and cannot choose a platform
      verdicts: {
        gzip: "all",
        zstd: { refused: "blob is not correct mediatype" },
        docker: notImplemented,
        several: { refused: "tag is ambiguous" },
        list: notImplemented
      }
    }])

    it("makes an image upon ours", async () => {
      const layout = fresh()
      await ours("copy", `oci:${path("out")}:gzip`, `oci:${layout}:gzip`)
      await umoci("config", "--image", `${layout}:gzip`, "--tag", "made", "--config.env", "A=b")
      const made = look(layout, "made")
      assert.deepStrictEqual(await back(`oci:${layout}:made`, "gzip"), made)
      assert.deepStrictEqual(made.images[0]?.layers, look(path("out"), "gzip").images[0]?.layers)
    })
  })

  describe.runIf(isThorough && isRoot && judge("buildah"))("buildah", () => {
    const buildah = async (...args: ReadonlyArray<string>) =>
      (await ask("buildah", ["--root", path("r"), "--runroot", path("s"), "--storage-driver", "vfs", ...args])).trim()

    /** It compresses again what it has unpacked, unless it is told not to. */
    const passImage = async (image: string, kind: Kind, to: string) => {
      const id = await buildah("pull", "-q", image)
      const format = kind === "docker" ? "v2s2" : "oci"
      await buildah("push", "-q", "--disable-compression", "--format", format, id, `dir:${to}`)
      return `dir:${to}`
    }
    /** Of an index it keeps where it is, and makes its own. */
    const passIndex = async (image: string, to: string) => {
      const name = `list-${++count}`
      await buildah("manifest", "create", name)
      await buildah("manifest", "add", "--all", name, image)
      await buildah("manifest", "push", "-q", "--all", name, `dir:${to}`)
      return `dir:${to}`
    }
    const pass: Row["pass"] = (image, kind, to) => isIndex(kind) ? passIndex(image, to) : passImage(image, kind, to)

    assertRows([
      {
        name: "buildah, oci",
        form: "oci",
        pass,
        verdicts: { gzip: "content", zstd: "content", docker: notSeen, several: "images", list: notSeen }
      },
      {
        name: "buildah, dir",
        form: "dir",
        pass,
        verdicts: { gzip: "content", zstd: "content", docker: "content", several: "images", list: "images" }
      }
    ])

    it("makes an image of its own", async () => {
      const container = await buildah("from", "scratch")
      await buildah("add", container, path("tree-gzip"), "/srv")
      const layout = fresh()
      const told = fresh()
      const id = await buildah("commit", "-q", container)
      await buildah("push", "-q", "--digestfile", told, id, `oci:${layout}:made`)
      assert.strictEqual((await back(`oci:${layout}:made`, "gzip")).digest, readFileSync(told, "utf8"))
    })
  })

  describe.runIf(isThorough && isRoot && judge("containerd") && judge("ctr"))("containerd", () => {
    let service: Containerd
    beforeAll(async () => {
      service = await started(containerd(path("containerd")))
    }, 60_000)

    // Importing unpacks, which checks diff IDs; it exports archives that are OCI's and Docker's at once
    const passAs =
      (nameOf: (kind: Kind) => string, writtenAt: (to: string, kind: Kind) => string): Row["pass"] =>
      async (image, kind, to) => {
        const [, archive = ""] = image.split(":")
        const name = nameOf(kind)
        await service.ctr(
          "images",
          "import",
          "--all-platforms",
          "--snapshotter",
          "native",
          "--base-name",
          "ours",
          archive
        )
        const [, listed = ""] = (await service.ctr("images", "list", `name==${name}`)).trim().split("\n")
        await service.ctr("images", "export", "--all-platforms", to, name)
        assert.include(listed, (await back(`oci-archive:${to}`, kind)).digest)
        return writtenAt(to, kind)
      }

    assertRows([
      {
        name: "containerd, oci-archive",
        form: "oci-archive",
        pass: passAs((kind) => `ours:${kind}`, (to) => `oci-archive:${to}`),
        verdicts: { gzip: "all", zstd: "all", docker: "all", several: "all", list: "all" }
      },
      {
        name: "containerd, docker-archive",
        form: "docker-archive",
        pass: passAs((kind) => `example.org/${kind}:1`, (to, kind) => nameIn("docker-archive", to, kind)),
        verdicts: { gzip: "content", zstd: "content", docker: "content", several: "content", list: "content" }
      }
    ])
  })

  describe.runIf(isThorough && isRoot && engineDirectory !== undefined)("docker load and docker save", () => {
    let engine: Running
    beforeAll(async () => {
      engine = await started(start(engineDirectory ?? ""))
    }, 60_000)

    const docker = (...args: ReadonlyArray<string>) => Effect.runPromise(engine.docker(...args))
    const pass: Row["pass"] = async (image, kind, to) => {
      const [, archive = ""] = image.split(":")
      const name = `example.org/${kind}:1`
      await docker("load", "--quiet", "--input", archive)
      const id = await docker("image", "inspect", "--format", "{{.Id}}", name)
      assert.strictEqual(id, look(path("out"), kind).images[0]?.config)
      await docker("save", "--output", to, name)
      return `docker-archive:${to}`
    }
    // It takes the directories of a layout for images of its first form. What we write for it has no Zstandard, and one platform
    const notLoaded = { refused: "/blobs/json: no such file or directory" }

    assertRows([
      {
        name: "docker, docker-archive",
        form: "docker-archive",
        pass,
        verdicts: { gzip: "content", zstd: "content", docker: "content", several: "content", list: "content" }
      },
      {
        name: "docker, oci-archive",
        form: "oci-archive",
        pass,
        verdicts: { gzip: notLoaded, zstd: notLoaded, docker: notLoaded, several: notLoaded, list: notLoaded }
      }
    ])

    it("builds an image of its own", async () => {
      const id = await Effect.runPromise(
        engine.build({ dockerfile: "FROM scratch\nCOPY a /a\nENV A=b\n", files: { a: "a" }, args: ["--tag", "made:1"] })
      )
      const saved = fresh()
      await docker("save", "--output", saved, "made:1")
      assert.strictEqual((await back(`docker-archive:${saved}:made:1`, "docker")).images[0]?.config, id)
    })
  })
})
