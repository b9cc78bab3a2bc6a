import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { once } from "node:events"
import { rmSync, statSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import { filesIn, run, temporary } from "./harness.ts"
import { indexType, makeLayout } from "./layouts.ts"

/** Passes requests for blobs on to a registry, a while later, and counts how many waited at once. */
const slowly = (host: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const counted = { now: 0, most: 0 }
      const server = createServer(async ({ headers: { accept = "*/*" }, method = "", url = "" }, response) => {
        const isBlob = url.includes("/blobs/")
        if (isBlob) counted.most = Math.max(counted.most, ++counted.now)
        if (isBlob) await new Promise((resolve) => setTimeout(resolve, 100))
        const answer = await fetch(`http://${host}${url}`, { method, headers: { accept } })
        response.writeHead(answer.status, Object.fromEntries(answer.headers))
        response.end(Buffer.from(await answer.arrayBuffer()))
        if (isBlob) counted.now--
      }).listen(0, "127.0.0.1")
      await once(server, "listening")
      const address = server.address()
      return { server, counted, port: typeof address === "object" ? address?.port : undefined }
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  )

describe("list", () => {
  it.live("reads the images of a registry side by side, and lists them in order", () =>
    Effect.gen(function*() {
      const host = yield* MemoryRegistry.serve()
      const { directory, image, tag } = makeLayout()
      const names = Array.from({ length: 6 }, (_, index) => `v${index}`)
      for (const name of names) {
        tag(name, image({ author: name }))
        yield* Effect.promise(() => run(["copy", `oci:${directory}:${name}`, `docker://${host}/app:${name}`]))
      }
      const { counted, port } = yield* slowly(host)
      const { code, stderr, stdout } = yield* Effect.promise(() =>
        run(["list", `docker://127.0.0.1:${port}/app`, "--json"])
      )
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.deepStrictEqual(JSON.parse(stdout).map(({ name }: { readonly name: string }) => name), names)
      assert.isAbove(counted.most, 1)
    }).pipe(Effect.provide(Layer.provide(MemoryRegistry.layer(), NodeHash.layer))))

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
