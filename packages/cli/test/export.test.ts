import { assert, beforeEach, describe, it } from "@effect/vitest"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { filesIn, run, temporary } from "./harness.ts"

let directory: string
let env: Record<string, string>

const path = (name: string) => join(directory, name)

beforeEach(async () => {
  directory = temporary()
  env = { EFFECT_OCI_STORE: path("store"), SOURCE_DATE_EPOCH: "1700000000" }
  mkdirSync(path("files"))
  writeFileSync(path("files/hello.txt"), "hello\n")
  await run(["ref", "add", "base", path("files"), "--description", "ADD files /"], env)
  await run(["ref", "add", "app", path("files"), "--parent", "base", "--at", "/app"], env)
})

const exportTo = (to: string, ...args: ReadonlyArray<string>) => run(["export", "app", "--to", to, ...args], env)

const readJson = (file: string) => JSON.parse(readFileSync(file, "utf8"))
const entries = (layout: string): ReadonlyArray<Record<string, unknown>> =>
  readJson(join(layout, "index.json")).manifests
const blob = (layout: string, digest: string) => join(layout, "blobs/sha256", digest.slice("sha256:".length))

describe("export", () => {
  it("writes an image, and tells its digest", async () => {
    const { code, stderr, stdout } = await exportTo(`oci:${path("out")}:latest`, "--platform", "linux/arm64")
    assert.strictEqual(code, 0)
    assert.strictEqual(
      stderr,
      "exporting layers ... 269 B of 269 B done\nexporting config ... done\nexporting manifest ... done\n"
    )
    const [entry] = entries(path("out"))
    assert.include(stdout, `image     oci:${path("out")}:latest\n`)
    assert.include(stdout, `digest    ${String(entry?.["digest"])}\n`)
    assert.include(stdout, "platform  linux/arm64\n")
    assert.deepStrictEqual(entry?.["annotations"], { "org.opencontainers.image.ref.name": "latest" })
  })

  it("tells programs the descriptors", async () => {
    const { stdout } = await exportTo(`oci:${path("out")}`, "--platform", "linux/arm/v7", "--json")
    const { config, descriptor, image } = JSON.parse(stdout)
    assert.strictEqual(image, `oci:${path("out")}`)
    assert.deepStrictEqual(descriptor.platform, { architecture: "arm", os: "linux", variant: "v7" })
    const manifest = readJson(blob(path("out"), descriptor.digest))
    assert.deepStrictEqual(manifest.config, config)
    assert.strictEqual(manifest.layers.length, 2)
    const document = readJson(blob(path("out"), config.digest))
    assert.deepStrictEqual(
      document.history.map((item: { created_by: string; created: string }) => [item.created_by, item.created]),
      [["ADD files /", "2023-11-14T22:13:20Z"], ["created by buildkit", "2023-11-14T22:13:20Z"]]
    )
    assert.strictEqual(document.rootfs.diff_ids.length, 2)
  })

  it("names what compressed the layers, only under effect-oci-1", async () => {
    const annotationsUnder = async (compatibility: string) => {
      const { stderr, stdout } = await exportTo(`oci:${path("out")}`, "--compatibility", compatibility, "--json")
      // What is so with every layer is not worth a line each time
      assert.notInclude(stderr, "would write something else")
      const { descriptor, differingRules } = JSON.parse(stdout)
      const { layers } = readJson(blob(path("out"), descriptor.digest))
      return { differingRules, annotations: layers.map((layer: { annotations?: object }) => layer.annotations) }
    }
    const ours = await annotationsUnder("effect-oci-1")
    const { encoder } = readJson(path("store/refs/app.json"))
    assert.match(encoder, /^effect-oci-gzip-/)
    const expected = { "dev.effect-oci.encoder": encoder }
    assert.deepStrictEqual(ours, { differingRules: [], annotations: [expected, expected] })
    const theirs = await annotationsUnder("buildkit-2026")
    assert.deepStrictEqual(theirs, { differingRules: ["encoderAnnotation"], annotations: [undefined, undefined] })
  })

  it("adds tags to a layout, and replaces its unnamed image", async () => {
    await exportTo(`oci:${path("out")}:a`)
    await exportTo(`oci:${path("out")}:b`)
    await exportTo(`oci:${path("out")}`)
    const before = entries(path("out"))
    assert.strictEqual(before.length, 3)
    await exportTo(`oci:${path("out")}`, "--platform", "linux/s390x")
    const after = entries(path("out"))
    assert.strictEqual(after.length, 3)
    const unnamed = (list: typeof before) => list.filter((entry) => entry["annotations"] === undefined)
    assert.strictEqual(unnamed(after).length, 1)
    assert.notDeepEqual(unnamed(after), unnamed(before))
  })

  it("keeps what it does not know of a config, and adds the history that is missing", async () => {
    writeFileSync(
      path("config.json"),
      `{"os":"linux","architecture":"amd64","x-vendor":{"pi":3.140},"history":[{"created":"2019-07-22T02:12:25.1234567Z",` +
        `"created_by":"ADD base"},{"created":"2019-07-22T02:12:26Z","created_by":"ENV A=1","empty_layer":true}]}`
    )
    const { stdout } = await exportTo(`oci:${path("out")}`, "--config", path("config.json"), "--json")
    const text = readFileSync(blob(path("out"), JSON.parse(stdout).config.digest), "utf8")
    assert.include(text, "\"x-vendor\":{\"pi\":3.140}")
    assert.include(text, "2019-07-22T02:12:25.1234567Z")
    assert.deepStrictEqual(
      JSON.parse(text).history.map((item: { created_by: string }) => item.created_by),
      ["ADD base", "ENV A=1", "created by buildkit"]
    )
  })

  it("does not write an image for another platform than its config's", async () => {
    writeFileSync(path("config.json"), `{"os":"linux","architecture":"arm64"}`)
    const { code, stderr } = await exportTo(
      `oci:${path("out")}`,
      "--config",
      path("config.json"),
      "--platform",
      "linux/amd64"
    )
    assert.strictEqual(code, 2)
    assert.match(stderr, /^error: --platform says linux\/amd64 and the config linux\/arm64: .*/)
    assert.throws(() => filesIn(path("out")))
  })

  it("makes nothing of a ref that is not there", async () => {
    const { code, stderr, stdout } = await run(["export", "none", "--to", `oci:${path("out")}`, "--json"], env)
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: failed to export the ref "none"\n  caused by: .* has no ref "none"\n  help: /)
    const { error } = JSON.parse(stdout)
    assert.deepStrictEqual([error._tag, error.cause._tag], ["ExportFailed", "RefMissing"])
    assert.throws(() => filesIn(path("out")))
  })

  it("leaves a directory alone that is no layout", async () => {
    const before = filesIn(path("files"))
    const { code, stderr } = await exportTo(`oci:${path("files")}`)
    assert.strictEqual(code, 1)
    assert.match(stderr, /exporting layers \.\.\. failed\n/)
    assert.deepStrictEqual(filesIn(path("files")), before)
  })

  it.each<[string, RegExp]>([
    [`{"os":"linux"}`, /missing architecture\n  help: a config has to say "os" and "architecture"/],
    [`{"os":"linux","os":"linux","architecture":"amd64"}`, /the image config is not I-JSON/],
    [`{"history":1}`, /failed to unmarshal history from config\n.*\/history/],
    ["null", /invalid null image config for export/]
  ])("refuses the config %s", async (config, expected) => {
    writeFileSync(path("config.json"), config)
    const { code, stderr } = await exportTo(`oci:${path("out")}`, "--config", path("config.json"))
    assert.strictEqual(code, 1)
    assert.match(stderr, expected)
    assert.throws(() => filesIn(path("out")))
  })

  it.each<[Array<string>, RegExp]>([
    [["export", "app"], /Missing required flag: --to/],
    [["export", "app", "--to", "docker:app"], /found no two slashes; write docker:/],
    [["export", "app", "--to", "oci:x", "--platform", "amd64"], /--platform: invalid platform "amd64"/],
    [["export", "App", "--to", "oci:x"], /Invalid value for argument <REF>: "App"/]
  ])("calls %j wrong usage", async (args, expected) => {
    const { code, stderr, stdout } = await run(args, env)
    assert.deepStrictEqual([code, stdout], [2, ""])
    assert.match(stderr, expected)
  })
})
