import { assert, beforeEach, describe, it } from "@effect/vitest"
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"
import { digestOf, indexType, makeLayout, time } from "./layouts.ts"

let directory: string
let env: Record<string, string>

beforeEach(() => {
  directory = temporary()
  env = { EFFECT_OCI_STORE: join(directory, "store"), SOURCE_DATE_EPOCH: "1700000000" }
})

describe("ref import", () => {
  it("makes a chain of an image, described and dated by its history", async () => {
    const layout = makeLayout()
    layout.tag("latest", layout.image())
    const { code, stdout } = await run(["ref", "import", `oci:${layout.directory}:latest`, "base"], env)
    assert.strictEqual(code, 0)
    assert.match(
      stdout,
      /^NAME +PARENT +CREATED +SIZE +DESCRIPTION\nbase\.0 +- +2024[^ ]+ +[0-9.]+ B +ADD one\nbase +base\.0 +2024/
    )
    const { chain } = JSON.parse((await run(["ref", "show", "base", "--json"], env)).stdout)
    assert.deepStrictEqual(
      chain.map((
        { created, description, diffId, name, parent }: Record<string, string>
      ) => [name, parent, description, created, diffId]),
      [["base.0", undefined, "ADD one", time, digestOf("one")], ["base", "base.0", "ADD two", time, digestOf("two")]]
    )
    // Once more is no change
    const again = await run(["ref", "import", `oci:${layout.directory}:latest`, "base", "--json"], env)
    assert.strictEqual(again.code, 0)
    assert.deepStrictEqual(JSON.parse(again.stdout).map(({ name }: { name: string }) => name), ["base.0", "base"])
  })

  it("is what an image is exported from, with the layers of the base and one of its own", async () => {
    const layout = makeLayout()
    const image = layout.image()
    layout.tag("latest", image)
    await run(["ref", "import", `oci:${layout.directory}:latest`, "base"], env)
    const out = join(directory, "out")
    mkdirSync(join(directory, "files"))
    writeFileSync(join(directory, "files/hello"), "hello")
    await run(["ref", "add", "app", join(directory, "files"), "--parent", "base"], env)
    const exported = await run(["export", "app", "--to", `oci:${out}:app`, "--platform", "linux/amd64"], env)
    assert.strictEqual(exported.code, 0, exported.stderr)
    const { manifest } = JSON.parse((await run(["inspect", `oci:${out}:app`, "--json"])).stdout)
    const own = JSON.parse((await run(["inspect", `oci:${layout.directory}:latest`, "--json"])).stdout)
    assert.deepStrictEqual(
      manifest.layers.slice(0, 2).map(({ digest }: { digest: string }) => digest),
      own.manifest.layers.map(({ digest }: { digest: string }) => digest)
    )
    assert.strictEqual(manifest.layers.length, 3)
  })

  it("takes any transport, and the platform of an index", async () => {
    const layout = makeLayout()
    const manifests = ["amd64", "arm64"].map((architecture) => {
      const { digest, mediaType, size } = layout.image({ architecture })
      return { mediaType, digest, size, platform: { architecture, os: "linux" } }
    })
    layout.tag("all", layout.put(indexType, JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests })))
    const archive = `oci-archive:${directory}/all.tar:all`
    assert.strictEqual((await run(["copy", `oci:${layout.directory}:all`, archive, "--all"])).code, 0)
    const arm = await run(["ref", "import", archive, "arm", "--platform", "linux/arm64"], env)
    assert.strictEqual(arm.code, 0, arm.stderr)
    const other = await run(["ref", "import", archive, "other", "--platform", "linux/s390x", "--json"], env)
    assert.strictEqual(JSON.parse(other.stdout).error._tag, "PlatformMismatch")
  })

  it("warns of a history that does not fit the layers", async () => {
    const layout = makeLayout()
    layout.tag("latest", layout.image({ history: [{ created_by: "only one" }] }))
    const { code, stderr, stdout } = await run(["ref", "import", `oci:${layout.directory}`, "base"], env)
    assert.strictEqual(code, 0)
    assert.match(stderr, /^warning: the history of sha256:[0-9a-f]+ does not fit its 2 layers/m)
    assert.notInclude(stdout, "only one")
  })

  it("does not replace refs of other content unless it is told to", async () => {
    const layout = makeLayout()
    layout.tag("one", layout.image())
    layout.tag("two", layout.image({ history: [{ created_by: "X" }, { created_by: "Y" }] }))
    await run(["ref", "import", `oci:${layout.directory}:one`, "base"], env)
    const taken = await run(["ref", "import", `oci:${layout.directory}:two`, "base"], env)
    assert.strictEqual(taken.code, 1)
    assert.match(taken.stderr, /has a ref "base\.0" with other content[^]*help: --replace replaces it/)
    assert.strictEqual((await run(["ref", "import", `oci:${layout.directory}:two`, "base", "--replace"], env)).code, 0)
    assert.include((await run(["ref", "show", "base"], env)).stdout, "Y")
  })

  it.each([
    [
      "an image without layers",
      { rootfs: { type: "layers", diff_ids: [] }, history: [] },
      { layers: [] },
      "base",
      "NoLayers"
    ],
    ["a config that does not fit", { rootfs: { type: "layers", diff_ids: [] } }, {}, "base", "LayersMismatch"],
    ["a name that is too long for those below", {}, {}, "b".repeat(127), "InvalidRefName"]
  ])("refuses %s, and makes nothing", async (_, config, manifest, name, tag) => {
    const layout = makeLayout()
    layout.tag("latest", layout.image(config, manifest))
    const { code, stdout } = await run(["ref", "import", `oci:${layout.directory}`, name, "--json"], env)
    assert.deepStrictEqual([code, JSON.parse(stdout).error._tag], [1, tag])
    assert.isFalse(existsSync(join(directory, "store")))
  })

  it("adds no ref where a layer is not there", async () => {
    const layout = makeLayout()
    const image = layout.image()
    layout.tag("latest", image)
    const own = JSON.parse((await run(["inspect", `oci:${layout.directory}`, "--json"])).stdout)
    rmSync(layout.path("blobs", own.manifest.layers[1].digest.replace(":", "/")))
    const { code, stdout } = await run(["ref", "import", `oci:${layout.directory}`, "base", "--json"], env)
    const { error } = JSON.parse(stdout)
    assert.deepStrictEqual([code, error._tag, error.cause._tag], [1, "BlobFailed", "BlobMissing"])
    assert.strictEqual((await run(["ref", "list", "--json"], env)).stdout, "[]\n")
  })
  it("asks no other engine than DOCKER_HOST names, and reads a socket as it is written there", async () => {
    const args = ["ref", "import", "docker-engine:", "base", "--image", "app"]
    const remote = await run(args, { ...env, DOCKER_HOST: "tcp://127.0.0.1:2375" })
    assert.strictEqual(remote.code, 2)
    assert.match(remote.stderr, /^error: DOCKER_HOST .* expected unix:\/\/SOCKET/)
    const socket = join(directory, "none")
    const [, , , ...rest] = args
    const written = await run(["ref", "import", `docker-engine:unix://${socket}`, ...rest], env)
    assert.strictEqual(written.code, 1)
    assert.include(written.stderr, `cannot connect to ${socket}: there is no such socket`)
  })
})
