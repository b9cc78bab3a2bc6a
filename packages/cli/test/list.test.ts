import { assert, describe, it } from "@effect/vitest"
import { rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { filesIn, run, temporary } from "./harness.ts"
import { indexType, makeLayout } from "./layouts.ts"

describe("list", () => {
  it("lists names, digests, sizes, platforms and media types", async () => {
    const { directory, image, put, tag } = makeLayout()
    const one = image()
    const manifests = [one, image({ architecture: "arm", variant: "v7" })]
    const index = put(indexType, JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }))
    tag("all", index)
    tag("one", one)
    const { code, stdout } = await run(["list", `oci:${directory}`])
    assert.strictEqual(code, 0)
    const [head, all, single] = stdout.split("\n")
    assert.match(head ?? "", /^NAME +DIGEST +SIZE +PLATFORMS +MEDIA TYPE$/)
    assert.match(
      all ?? "",
      new RegExp(`^all +${index.digest} +[0-9.]+ KiB +linux/amd64, linux/arm/v7 +${indexType.replaceAll("+", "\\+")}$`)
    )
    assert.match(single ?? "", new RegExp(`^one +${one.digest} +[0-9.]+ .+ +linux/amd64 `))
    const listed = JSON.parse((await run(["list", `oci:${directory}`, "--json"])).stdout)
    // All blobs of the layout belong to the index
    const total = filesIn(join(directory, "blobs/sha256"))
      .reduce((sum, name) => sum + statSync(join(directory, "blobs/sha256", name)).size, 0)
    assert.deepStrictEqual(listed[0], {
      name: "all",
      digest: index.digest,
      mediaType: indexType,
      platforms: ["linux/amd64", "linux/arm/v7"],
      size: total
    })
  })

  it("lists one that cannot be read with a warning", async () => {
    const { directory, image, path, tag } = makeLayout()
    const broken = image({ author: "broken" })
    tag("broken", broken)
    tag("sound", image())
    rmSync(path("blobs", broken.digest.replace(":", "/")))
    const { code, stderr, stdout } = await run(["list", `oci:${directory}`])
    assert.strictEqual(code, 0)
    assert.match(stderr, /^warning: broken: cannot read sha256:/)
    assert.match(stdout, /^broken +sha256:[0-9a-f]+ +- +- +application/m)
    assert.match(stdout, /^sound +sha256:[0-9a-f]+ +[0-9]/m)
  })

  it("tells an empty store from none, and wants a whole one", async () => {
    const { directory, image, tag } = makeLayout()
    tag("a", image())
    await run(["untag", `oci:${directory}:a`])
    const empty = await run(["list", `oci:${directory}`])
    assert.deepStrictEqual([empty.code, empty.stdout, empty.stderr], [0, "", `no images in oci:${directory}\n`])
    assert.strictEqual((await run(["list", `oci:${directory}`, "--json"])).stdout, "[]\n")
    const none = await run(["list", `oci:${join(temporary(), "none")}`, "--json"])
    assert.deepStrictEqual([none.code, JSON.parse(none.stdout).error._tag], [1, "StoreMissing"])
    const one = await run(["list", `oci:${directory}:a`])
    assert.strictEqual(one.code, 2)
    assert.match(one.stderr, /a store with all its images, found one image; leave the tag out/)
  })
})
