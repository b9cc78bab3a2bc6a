import { assert, beforeEach, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"

const manifestType = "application/vnd.oci.image.manifest.v1+json"
const configType = "application/vnd.oci.image.config.v1+json"
const indexType = "application/vnd.oci.image.index.v1+json"
const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

let layout: string

const blobPath = (digest: string) => join(layout, "blobs/sha256", digest.slice("sha256:".length))

const put = (mediaType: string, content: string) => {
  const digest = `sha256:${createHash("sha256").update(content).digest("hex")}`
  writeFileSync(blobPath(digest), content)
  return { mediaType, digest, size: Buffer.byteLength(content) }
}

const writeIndex = (manifests: ReadonlyArray<object>) =>
  writeFileSync(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))

const named = (descriptor: object, name: string) => ({
  ...descriptor,
  annotations: { "org.opencontainers.image.ref.name": name }
})

/** An image of as many layers, diff IDs and items of a history; the encoders are those of its lowest layers. */
const image = (
  layers: number,
  diffIds: number,
  history: ReadonlyArray<object>,
  encoders: ReadonlyArray<string> = []
) => {
  const config =
    `{ "os":"linux","architecture":"arm64", "variant":"v8", "created":"2026-01-01T00:00:00.5Z","pi":3.140,` +
    `"rootfs":{"type":"layers","diff_ids":${
      JSON.stringify(Array.from({ length: diffIds }, (_, index) => `sha256:${String(index).repeat(64)}`))
    }},"history":${JSON.stringify(history)}}\n`
  return put(
    manifestType,
    JSON.stringify(
      {
        schemaVersion: 2,
        mediaType: manifestType,
        config: put(configType, config),
        layers: Array.from({ length: layers }, (_, index) => ({
          ...put(layerType, `layer ${index}`),
          ...(encoders[index] === undefined ? {} : { annotations: { "dev.effect-oci.encoder": encoders[index] } })
        }))
      },
      null,
      1
    )
  )
}

const sound = () =>
  image(2, 2, [{ created_by: "ADD a" }, { created_by: "ENV A=1", empty_layer: true }, { comment: "b" }])

const inspect = (name: string, ...args: ReadonlyArray<string>) => run(["inspect", `oci:${layout}${name}`, ...args])

beforeEach(() => {
  layout = temporary()
  mkdirSync(join(layout, "blobs/sha256"), { recursive: true })
  writeFileSync(join(layout, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
})

describe("inspect", () => {
  it("shows the layers, and which item of the history belongs to which", async () => {
    const descriptor = sound()
    writeIndex([named(descriptor, "latest")])
    const { code, stderr, stdout } = await inspect(":latest")
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.include(stdout, `digest      ${descriptor.digest}\n`)
    assert.include(stdout, "platform    linux/arm64/v8\n")
    assert.include(stdout, "created     2026-01-01T00:00:00.5Z\n")
    assert.include(stdout, "layers      2, 14 B\n")
    assert.match(stdout, /^ {4}0 +7 B  sha256:[0-9a-f]{64}  application\/vnd\.oci\.image\.layer\.v1\.tar\+gzip$/m)
    assert.match(stdout, /^ {4}0  - +ADD a\n {4}-  - +ENV A=1\n {4}1  - +b$/m)
  })

  it("tells programs all of it, with documents as they were written", async () => {
    const descriptor = sound()
    writeIndex([descriptor])
    const { stdout } = await inspect("", "--json")
    const shown = JSON.parse(stdout)
    assert.strictEqual(shown.descriptor.digest, descriptor.digest)
    assert.deepStrictEqual(shown.manifest, JSON.parse(readFileSync(blobPath(descriptor.digest), "utf8")))
    assert.include(stdout, "\"pi\":3.140")
    assert.deepStrictEqual(shown.layers.map((layer: { history: number }) => layer.history), [0, 2])
    assert.strictEqual(shown.layers[1].diffId, `sha256:${"1".repeat(64)}`)
    assert.deepStrictEqual(shown.history, [
      { item: { created_by: "ADD a" }, layer: 0 },
      { item: { created_by: "ENV A=1", empty_layer: true } },
      { item: { comment: "b" }, layer: 1 }
    ])
    assert.strictEqual(stdout.split("\n").length, 2)
  })

  it("shows what compressed a layer, where the image tells", async () => {
    writeIndex([named(image(2, 2, [], ["gzip-1\x1b[2J"]), "told"), named(sound(), "untold")])
    const { stdout } = await inspect(":told")
    assert.match(stdout, /^LAYER .* MEDIA TYPE +ENCODER$/m)
    assert.match(stdout, /^ {4}0 .*\+gzip {2}gzip-1\\x1b\[2J\n {4}1 .*\+gzip {2}-$/m)
    const { layers } = JSON.parse((await inspect(":told", "--json")).stdout)
    assert.deepStrictEqual(layers.map((layer: { encoder?: string }) => layer.encoder), ["gzip-1\x1b[2J", undefined])
    assert.notInclude((await inspect(":untold")).stdout, "ENCODER")
  })

  it("gives the exact bytes of the documents", async () => {
    const descriptor = sound()
    writeIndex([descriptor])
    const raw = await inspect("", "--raw")
    assert.deepStrictEqual(Buffer.from(raw.bytes), readFileSync(blobPath(descriptor.digest)))
    const { config } = JSON.parse(raw.stdout)
    assert.deepStrictEqual(Buffer.from((await inspect("", "--config")).bytes), readFileSync(blobPath(config.digest)))
  })

  it.each<[string, number, number, number, RegExp]>([
    ["too many items", 1, 1, 2, /the history has 2 items of layers and the manifest 1 layer/],
    ["too few items", 2, 2, 1, /the history has 1 item of layers and the manifest 2 layers/],
    ["too few diff IDs", 2, 1, 2, /the config has 1 diff ID and the manifest 2 layers/]
  ])("shows a history that does not fit as it is: %s", async (_, layers, diffIds, items, expected) => {
    writeIndex([image(layers, diffIds, Array.from({ length: items }, (_, index) => ({ created_by: `step ${index}` })))])
    const { code, stderr, stdout } = await inspect("")
    assert.strictEqual(code, 0)
    assert.match(stderr, /^warning: /)
    assert.match(stderr, expected)
    assert.match(stdout, /^ {4}-  - +step 0$/m)
    const shown = JSON.parse((await inspect("", "--json")).stdout)
    assert.match(shown.misfit, expected)
    assert.isTrue(shown.history.every((item: object) => !("layer" in item)))
  })

  it("shows an index as the list of its manifests", async () => {
    const arm = { ...sound(), platform: { os: "linux", architecture: "arm64" } }
    const index = put(indexType, JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [arm] }))
    writeIndex([index])
    assert.match((await inspect("")).stdout, /^linux\/arm64  \d+ B  sha256:[0-9a-f]{64}  application\/.*manifest/m)
    assert.strictEqual(JSON.parse((await inspect("", "--json")).stdout).index.manifests[0].digest, arm.digest)
    assert.strictEqual(JSON.parse((await inspect("", "--raw")).stdout).manifests.length, 1)
    const none = await inspect("", "--config")
    assert.strictEqual(none.code, 1)
    assert.match(none.stderr, /is an index, which has no config: name the image of one platform by its digest/)
  })

  it("shows an artifact without a config of an image", async () => {
    const layers = [put("text/plain", "hello")]
    const config = put("application/vnd.oci.empty.v1+json", "{}")
    writeIndex([put(manifestType, JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers }))])
    const { code, stdout } = await inspect("")
    assert.strictEqual(code, 0)
    assert.match(stdout, /^platform    -$/m)
    assert.match(stdout, /text\/plain$/m)
  })

  it("needs a tag where there are several images", async () => {
    writeIndex([named(sound(), "a"), named(sound(), "b")])
    const several = await inspect("")
    assert.strictEqual(several.code, 1)
    assert.match(several.stderr, /"a", "b"\n  help: write its name behind the path/)
    const none = await inspect(":c", "--json")
    const { error } = JSON.parse(none.stdout)
    assert.deepStrictEqual([none.code, error._tag, error.names], [1, "ImageMissing", ["a", "b"]])
  })

  it.each<[string, (path: string) => void, string]>([
    [
      "changed",
      (path) => writeFileSync(path, readFileSync(path, "utf8").replace("schema", "Schema")),
      "DigestMismatch"
    ],
    ["longer", (path) => writeFileSync(path, " ", { flag: "a" }), "SizeMismatch"],
    ["not there", (path) => rmSync(path), "BlobMissing"],
    ["a link", (path) => {
      writeFileSync(`${path}.elsewhere`, readFileSync(path))
      rmSync(path)
      symlinkSync(`${path}.elsewhere`, path)
    }, "UnsafeFile"]
  ])("shows nothing of a manifest that is %s", async (_, damage, tag) => {
    const descriptor = sound()
    writeIndex([descriptor])
    damage(blobPath(descriptor.digest))
    for (const flag of ["--json", "--raw"]) {
      const { code, stderr, stdout } = await inspect("", flag)
      assert.strictEqual(code, 1)
      assert.match(stderr, /^error: cannot read the document sha256:/)
      if (flag === "--raw") assert.strictEqual(stdout, "")
      else assert.strictEqual(JSON.parse(stdout).error.cause._tag, tag)
    }
  })

  it("reads no document of more than 4 MiB, whatever its descriptor says", async () => {
    writeIndex([{ ...sound(), size: 2 ** 50 }])
    const { code, stdout } = await inspect("", "--json")
    assert.deepStrictEqual([code, JSON.parse(stdout).error.cause._tag], [1, "LimitExceeded"])
  })

  it("refuses what is no layout, no image, or two answers at once", async () => {
    const elsewhere = await run(["inspect", `oci:${temporary()}`])
    assert.strictEqual(elsewhere.code, 1)
    assert.match(elsewhere.stderr, /is not an OCI image layout/)
    writeIndex([put(layerType, "layer")])
    assert.match((await inspect("")).stderr, /is not an image: expected the media type of a manifest or an index/)
    const both = await inspect("", "--raw", "--config")
    assert.strictEqual(both.code, 2)
    assert.match(both.stderr, /--raw and --config exclude each other/)
  })
})
