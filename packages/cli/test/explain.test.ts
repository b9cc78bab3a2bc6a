import { assert, describe, it } from "@effect/vitest"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { run, temporary } from "./harness.ts"
import { indexType, layerType, makeLayout, manifestType, time } from "./layouts.ts"

describe("explain", () => {
  it("shows items beside layers, and where times come from", async () => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image())
    const { code, stderr, stdout } = await run(["explain", `oci:${directory}:latest`])
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.match(stdout, /^linux\/amd64 sha256:[0-9a-f]{64}\ncreated 2024-01-02T03:04:05\.000000006Z\n\nITEM {2}LAYER/)
    assert.match(stdout, /^ {3}0 +0 +\d+ B {2}2024-01-02T03:04:05\.000000006Z {2}its own +ADD one$/m)
    assert.match(stdout, /^ {3}1 +- +- {2}2024-01-02T03:04:05\.000000006Z {2}filled in +ENV A=1$/m)
    assert.match(stdout, /^ {3}2 +1 +\d+ B .* ADD two$/m)
    assert.include(stdout, "\nThe image's time of creation is that of item 2, the last one with a time.\n")
    assert.include(stdout, "\nItem 1: It has the very time of item 2")
    assert.notInclude(stdout, "--repair")
  })

  it("tells what compressed a layer, where the image says so", async () => {
    const { directory, image, put, tag } = makeLayout()
    const annotations = { "dev.effect-oci.encoder": "gzip-1" }
    const layers = [{ ...put(layerType, gzipSync("one")), annotations }, put(layerType, gzipSync("two"))]
    tag("latest", image({}, { layers }))
    const { stdout } = await run(["explain", `oci:${directory}`])
    assert.include(stdout, "\nLayer 0 was compressed by gzip-1.\nThe same encoder at the same level makes one digest")
    const { images: [shown] } = JSON.parse((await run(["explain", `oci:${directory}`, "--json"])).stdout)
    assert.deepStrictEqual([shown.entries[0].layer.encoder, shown.entries[2].layer.encoder], ["gzip-1", undefined])
  })

  it("tells which refs its layers are, where it is told whose", async () => {
    const directory = temporary()
    const store = join(directory, "refs")
    mkdirSync(join(directory, "dist"))
    writeFileSync(join(directory, "dist/x"), "x")
    const at = ["--store", store, "--json"]
    await run(["ref", "add", "base", join(directory, "dist"), "--description", "COPY dist /", ...at])
    const image = `oci:${join(directory, "out")}:latest`
    await run(["export", "base", "--to", image, ...at])
    await run(["ref", "import", image, "copy", ...at, "--replace"])
    const { code, stderr, stdout } = await run(["explain", image, "--refs", store])
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.include(
      stdout,
      `\nLayer 0 is the ref base: COPY dist /\nLayer 0 is the ref copy, from ${image}: COPY dist /\n`
    )
    const { images: [shown] } = JSON.parse((await run(["explain", image, "--refs", store, "--json"])).stdout)
    assert.deepStrictEqual(shown.entries[0].layer.refs, [
      { name: "base", description: "COPY dist /" },
      { name: "copy", description: "COPY dist /", origin: image }
    ])
    assert.notInclude((await run(["explain", image])).stdout, "the ref base")
  })

  it("shows no table where there is nothing to put into it", async () => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image({ history: [], rootfs: { type: "layers", diff_ids: [] } }, { layers: [] }))
    const { code, stdout } = await run(["explain", `oci:${directory}`])
    assert.strictEqual(code, 0)
    assert.notInclude(stdout, "ITEM")
    assert.match(stdout, /\ncreated .+\n\nThe .*\nThe image has no history, which is allowed\.\n$/)
  })

  it("tells what each repair would do", async () => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image({ history: [{ created_by: "a" }] }))
    const { stdout } = await run(["explain", `oci:${directory}`])
    assert.match(stdout, /^ {3}- +1 +\d+ B .*\(no item\)$/m)
    assert.include(stdout, "The history does not fit: 1 of its items are of a layer, and the image has 2 layers.")
    assert.include(
      stdout,
      "What export --repair would do:\n  strict: refuses the image\n  buildkit: adds an item for layer 1 as item 1\n"
    )
  })

  it("tells programs all of it, for each image of an index", async () => {
    const { directory, image, put, tag } = makeLayout()
    const arm = image({ architecture: "arm64", history: [{ created: "0001-01-01T00:00:00Z" }, {}] })
    const attestation = {
      ...image({ architecture: "unknown", os: "unknown" }),
      annotations: { "vnd.docker.reference.type": "attestation-manifest" }
    }
    tag(
      "latest",
      put(indexType, JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [image(), arm, attestation] }))
    )
    const { code, stdout } = await run(["explain", `oci:${directory}:latest`, "--json"])
    assert.strictEqual(code, 0)
    const { images } = JSON.parse(stdout)
    assert.deepStrictEqual(images.map(({ platform }: { platform: string }) => platform), ["linux/amd64", "linux/arm64"])
    assert.deepStrictEqual(images[0].createdItems, [0, 1, 2])
    assert.deepStrictEqual([images[0].entries[1].origin, images[0].entries[1].empty_layer], ["filled-in", true])
    assert.strictEqual(images[0].entries[2].layer.index, 1)
    assert.strictEqual(images[0].created, time)
    assert.deepStrictEqual(images[1].entries.map(({ origin }: { origin: string }) => origin), ["zero", "none"])
  })

  it("tells the base image's part from the image's own", async () => {
    const { directory, image, put, tag } = makeLayout()
    const base = image()
    tag("base", base)
    tag("app", image({}, { annotations: { "org.opencontainers.image.base.digest": base.digest } }))
    const known = (await run(["explain", `oci:${directory}:app`])).stdout
    assert.match(known, /FROM +OF +MADE BY$/m)
    assert.include(known, `Based on ${base.digest}: its 2 layers are the lowest ones.`)
    tag("other", image({}, { annotations: { "org.opencontainers.image.base.name": "alpine" } }))
    assert.include(
      (await run(["explain", `oci:${directory}:other`])).stdout,
      "Based on alpine: which layers are its cannot be told, since it is not in the layout."
    )
    const config = put("application/vnd.oci.empty.v1+json", "{}")
    tag(
      "artifact",
      put(manifestType, JSON.stringify({ schemaVersion: 2, mediaType: manifestType, config, layers: [] }))
    )
    assert.match((await run(["explain", `oci:${directory}:artifact`])).stdout, /holds no image with a history/)
  })
})
