import { assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import {
  digestOf,
  putLayer,
  readRoot,
  unpackRecorded,
  writeCache,
  writeRoot
} from "../../adapters/test/buildkitCaches.ts"
import { run, temporary } from "./harness.ts"

let recorded: string
let directory: string
let env: Record<string, string>

beforeAll(() => {
  recorded = unpackRecorded(mkdtempSync(join(tmpdir(), "effect-oci-test-")))
  return () => rmSync(recorded, { recursive: true, force: true })
})

beforeEach(() => {
  directory = temporary()
  env = { EFFECT_OCI_STORE: join(directory, "store") }
})

const at = (name: string) => join(recorded, name)

const list = async () => JSON.parse((await run(["ref", "list", "--json"], env)).stdout)

const errorOf = async (...args: ReadonlyArray<string>) => {
  const { code, stdout } = await run(["ref", "import", ...args, "--json"], env)
  assert.strictEqual(code, 1)
  return JSON.parse(stdout).error
}

describe("ref import buildkit-cache:DIR", () => {
  it("makes refs of what a build has left", async () => {
    const source = `buildkit-cache:${at("stages-max")}`
    const { code, stderr, stdout } = await run(["ref", "import", source, "app"], env)
    assert.strictEqual(code, 0, stderr)
    assert.match(
      stdout,
      /^NAME +PARENT +CREATED +SIZE +DESCRIPTION\napp\.0 +- +2026-\S+Z +[0-9.]+ B +-\napp\.1 +app\.0 .*\napp +app\.1 .*\n$/
    )
    const refs = await list()
    const { root } = readRoot(at("stages-image"))
    assert.deepStrictEqual(
      ["app.0", "app.1", "app"].map((name) => refs.find((ref: { readonly name: string }) => ref.name === name).layer),
      root.layers
    )
    // Once more is no change, also from the other shape of the same cache
    assert.strictEqual((await run(["ref", "import", source, "app"], env)).code, 0)
    assert.strictEqual((await run(["ref", "import", `buildkit-cache:${at("stages-index")}`, "app"], env)).code, 0)
  })

  it("tells in the list, and of each ref, where it came from", async () => {
    const source = `buildkit-cache:${at("stages-zstd")}:zstd`
    await run(["ref", "import", source, "app"], env)
    mkdirSync(join(directory, "files"))
    await run(["ref", "add", "top", join(directory, "files"), "--parent", "app"], env)
    const { stdout } = await run(["ref", "list"], env)
    const rows = stdout.split("\n")
    assert.match(rows[0] ?? "", /^NAME +PARENT +CREATED +SIZE +FROM +DESCRIPTION$/)
    assert.match(rows[1] ?? "", new RegExp(`^app +app\\.1 .* B +${source} +-$`))
    assert.match(rows[4] ?? "", /^top +app .* B +- +-$/)
    const refs = await list()
    assert.deepStrictEqual(refs.map(({ origin }: { readonly origin?: string }) => origin), [
      source,
      source,
      source,
      undefined
    ])
    assert.match((await run(["ref", "show", "app"], env)).stdout, new RegExp(`^from +${source}$`, "m"))
    assert.notMatch((await run(["ref", "show", "top"], env)).stdout, /^from/m)
    const image = `oci:${at("merge-image")}`
    await run(["ref", "import", image, "merged"], env)
    assert.strictEqual((await list()).find(({ name }: { readonly name: string }) => name === "merged").origin, image)
  })

  it("is what an image is exported from, with the build's settings, and explained", async () => {
    await run(["ref", "import", `buildkit-cache:${at("stages-min")}`, "app"], env)
    const config = join(directory, "config.json")
    writeFileSync(config, (await run(["inspect", `oci:${at("stages-image")}`, "--config"])).stdout)
    const out = `oci:${join(directory, "out")}:app`
    const exported = await run(["export", "app", "--config", config, "--to", out], env)
    assert.strictEqual(exported.code, 0, exported.stderr)
    // BuildKit's own manifest, byte for byte
    const { descriptor } = readRoot(join(directory, "out"))
    assert.strictEqual(descriptor.digest, readRoot(at("stages-image")).descriptor.digest)
    assert.match((await run(["explain", out])).stdout, / COPY \/out\.txt \/out\.txt # buildkit$/m)
  })

  it("leaves descriptions to the image of the build, which explain then shows", async () => {
    const out = (name: string) => `oci:${join(directory, "out")}:${name}`
    const explained = async (source: string, name: string) => {
      await run(["ref", "import", source, name], env)
      await run(["export", name, "--to", out(name), "--platform", "linux/amd64"], env)
      const { images: [image] } = JSON.parse((await run(["explain", out(name), "--json"])).stdout)
      return image.entries.map((entry: { readonly created_by: string; readonly origin: string }) => [
        entry.created_by,
        entry.origin
      ])
    }
    assert.deepStrictEqual(await explained(`oci:${at("stages-image")}`, "image"), [
      ["COPY program /program # buildkit", "exporter"],
      ["COPY b.txt /b.txt # buildkit", "exporter"],
      ["COPY /out.txt /out.txt # buildkit", "exporter"]
    ])
    assert.deepStrictEqual(
      await explained(`buildkit-cache:${at("stages-min")}`, "cache"),
      ["", "", ""].map(() => ["created by buildkit", "exporter"])
    )
  })

  it("asks which chain is meant, and takes it", async () => {
    const source = `buildkit-cache:${at("platforms")}`
    const { code, stderr } = await run(["ref", "import", source, "app"], env)
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: the build cache ends in 2 chains of layers: name the one that is meant: sha256:/)
    assert.match(stderr, /^ {2}help: --chain chooses one, by its digest$/m)
    const { chains, count } = await errorOf(source, "app")
    assert.deepStrictEqual([count, chains.length], [2, 2])
    for (const [index, { chain, created, layers }] of chains.entries()) {
      assert.strictEqual(layers, 2)
      assert.strictEqual((await run(["ref", "import", source, `app${index}`, "--chain", chain], env)).code, 0)
      const ref = (await list()).find(({ name }: { readonly name: string }) => name === `app${index}`)
      assert.strictEqual(ref.created, created)
    }
    assert.strictEqual((await errorOf(source, "app", "--chain", "sha256:x"))._tag, "ChainMissing")
  })

  it.each<[string, Array<string>, RegExp]>([
    ["no directory", ["buildkit-cache:", "app"], /expected a directory after buildkit-cache:, found nothing/],
    ["no tag", ["buildkit-cache:x:", "app"], /expected a tag after the directory, found nothing/],
    [
      "a platform",
      ["buildkit-cache:x", "app", "--platform", "linux/amd64"],
      /a build cache does not say what its layers/
    ],
    ["a chain of an image", ["oci:x", "app", "--chain", "y"], /--chain chooses a chain of a build cache/],
    ["another transport", ["cache:x", "app"], /expected one of the transports that are known/]
  ])("takes %s for wrong usage", async (_, args, message) => {
    const { code, stderr } = await run(["ref", "import", ...args], env)
    assert.strictEqual(code, 2)
    assert.match(stderr, message)
  })

  it("refuses what is no cache, and makes nothing", async () => {
    const { stderr } = await run(["ref", "import", `buildkit-cache:${at("stages-image")}`, "app"], env)
    assert.match(stderr, /is not a build cache: [^]*help: an image is written as oci:DIR\[:TAG\]$/m)
    assert.strictEqual((await errorOf(`buildkit-cache:${directory}/none`, "app"))._tag, "StoreMissing")
    assert.strictEqual((await errorOf(`buildkit-cache:${at("stages-zstd")}:latest`, "app"))._tag, "ImageMissing")
    const cycle = join(directory, "cycle")
    writeRoot(cycle, { layers: [{ blob: digestOf("a") }] }, [])
    const error = await errorOf(`buildkit-cache:${cycle}`, "app")
    assert.deepStrictEqual([error._tag, error.cause._tag, error.cause.pointer], [
      "CacheUnreadable",
      "CacheInvalid",
      "/layers/0/parent"
    ])
    assert.isFalse(existsSync(join(directory, "store")))
  })

  it("adds no ref where a layer is not there, or not what it says", async () => {
    const cache = join(directory, "cache")
    const time = "2024-01-02T03:04:05Z"
    const layers = [putLayer(cache, "a", time), putLayer(cache, "b", time)]
    writeCache(cache, [{ digest: digestOf("step"), result: { layers, createdAt: time } }])
    const [, b] = layers
    const path = join(cache, "blobs/sha256", b?.digest.slice("sha256:".length) ?? "")
    writeFileSync(path, Buffer.alloc(b?.size ?? 0))
    const damaged = await errorOf(`buildkit-cache:${cache}`, "app")
    assert.deepStrictEqual([damaged._tag, damaged.cause._tag], ["BlobFailed", "DigestMismatch"])
    rmSync(path)
    const lost = await errorOf(`buildkit-cache:${cache}`, "app")
    assert.deepStrictEqual([lost._tag, lost.cause._tag], ["BlobFailed", "BlobMissing"])
    assert.deepStrictEqual(await list(), [])
  })
})
