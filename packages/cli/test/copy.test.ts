import { assert, describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { judge } from "../../adapters/test/judges.ts"
import { run, temporary } from "./harness.ts"
import { configType, type Descriptor, indexType, makeLayout, manifestType } from "./layouts.ts"

const platforms = [["linux", "amd64"], ["linux", "arm64"], ["linux", "riscv64"]] as const

/** A layout with an index of three platforms, `latest`, of which two have an attestation, and with one of the images, `one`. */
const makeIndex = () => {
  const layout = makeLayout()
  const images = platforms.map(([os, architecture]) => ({
    descriptor: layout.image({ os, architecture }),
    platform: { architecture, os }
  }))
  const attestations = images.slice(0, 2).map(({ descriptor }) => {
    const attestation = layout.put(
      manifestType,
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: layout.put(
          configType,
          JSON.stringify({ architecture: "unknown", os: "unknown", about: descriptor.digest })
        ),
        layers: [layout.put("application/vnd.in-toto+json", JSON.stringify({ subject: descriptor.digest }))]
      })
    )
    return {
      mediaType: attestation.mediaType,
      digest: attestation.digest,
      size: attestation.size,
      annotations: {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": descriptor.digest
      },
      platform: { architecture: "unknown", os: "unknown" }
    }
  })
  const listed = images.map(({ descriptor: { digest, mediaType, size }, platform }) => ({
    mediaType,
    digest,
    size,
    platform
  }))
  const index = layout.put(
    indexType,
    JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [...listed, ...attestations] })
  )
  layout.tag("latest", index)
  const one = images[0]?.descriptor ?? index
  layout.tag("one", one)
  return { ...layout, index, one, images, attestations }
}

const blobPath = (directory: string, { digest }: Pick<Descriptor, "digest">) =>
  join(directory, "blobs", digest.replace(":", "/"))

/** Copies, and gives what it says as JSON. */
const copied = async (...args: ReadonlyArray<string>) => {
  const { code, stderr, stdout } = await run(["copy", ...args, "--json"])
  assert.strictEqual(code, 0, stderr)
  return JSON.parse(stdout)
}

const blobsIn = (directory: string): ReadonlyArray<string> => readdirSync(join(directory, "blobs/sha256")).toSorted()

const isElsewhere = (folder: string): boolean => existsSync(folder) && statSync(folder).dev !== statSync(tmpdir()).dev

describe("copy", () => {
  it("copies an index whole, tells so, and writes no blob's bytes again", async () => {
    const { directory, index } = makeIndex()
    const target = join(temporary(), "out")
    const { code, stderr, stdout } = await run(["copy", `oci:${directory}:latest`, `oci:${target}:copy`, "--all"])
    assert.strictEqual(code, 0)
    assert.match(stderr, /^copying layer [0-9a-f]{12} \.\.\. (\S+ \S+) of \1 done$/m)
    assert.match(stdout, new RegExp(`^image   oci:.*:copy\ndigest  ${index.digest}\ncopied  9, .* KiB\n$`))
    assert.deepStrictEqual(blobsIn(target), blobsIn(directory))
    for (const name of blobsIn(target)) {
      const [from, to] = [directory, target].map((store) => join(store, "blobs/sha256", name))
      assert.deepStrictEqual(readFileSync(to ?? ""), readFileSync(from ?? ""))
    }
    // One file has both names, or, where the file system has clones, two files have one content
    const { layers } = JSON.parse(
      readFileSync(blobPath(target, JSON.parse(readFileSync(blobPath(target, index), "utf8")).manifests[0]), "utf8")
    )
    const [from, to] = [directory, target].map((store) => statSync(blobPath(store, layers[0])))
    assert.isTrue(to?.ino === from?.ino ? to?.nlink === 2 : to?.nlink === 1)
    const again = await run(["copy", `oci:${directory}:latest`, `oci:${target}:copy`, "--all"])
    assert.match(again.stdout, /copied +nothing\nthere before +9, /)
  })

  it.runIf(isElsewhere("/dev/shm"))(
    "copies bytes into another file system, and tells whose fault it is if they are wrong",
    async () => {
      const { directory, image, index, tag } = makeIndex()
      const target = join(temporary("/dev/shm"), "out")
      const { descriptor } = await copied(`oci:${directory}:latest`, `oci:${target}:latest`, "--all")
      assert.strictEqual(descriptor.digest, index.digest)
      for (const name of blobsIn(directory)) {
        const [from, to] = [directory, target].map((store) => join(store, "blobs/sha256", name))
        assert.deepStrictEqual(readFileSync(to ?? ""), readFileSync(from ?? ""))
        assert.strictEqual(statSync(to ?? "").nlink, 1)
      }
      const layer = makeLayer(directory, "x".repeat(3_000_000))
      tag("other", image({}, { layers: [layer] }))
      for (
        const [content, expected] of [["y".repeat(3_000_000), "DigestMismatch"], [
          "x".repeat(2_999_999),
          "SizeMismatch"
        ]] as const
      ) {
        writeFileSync(blobPath(directory, layer), content)
        const { stdout } = await run(["copy", `oci:${directory}:other`, `oci:${target}:other`, "--json"])
        const { cause } = JSON.parse(stdout).error
        assert.deepStrictEqual([cause._tag, cause.store], [expected, directory])
        assert.isFalse(existsSync(blobPath(target, layer)))
      }
      writeFileSync(blobPath(directory, layer), "x".repeat(3_000_000))
      const { stderr } = await run(["copy", `oci:${directory}:other`, `oci:${target}:other`])
      assert.match(stderr, /2\.9 MiB of 2\.9 MiB.* done/)
    }
  )

  it("takes the image of this machine from an index, of another platform, or one by its digest", async () => {
    const { attestations, directory, images } = makeIndex()
    const target = join(temporary(), "out")
    const machine = process.arch === "arm64" ? 1 : 0
    const own = await copied(`oci:${directory}:latest`, `oci:${target}:own`)
    assert.strictEqual(own.descriptor.digest, images[machine]?.descriptor.digest)
    assert.strictEqual(own.copied.length, 3)
    const other = await copied(`oci:${directory}:latest`, `oci:${target}:other`, "--platform", "linux/riscv64")
    assert.strictEqual(other.descriptor.digest, images[2]?.descriptor.digest)
    assert.deepStrictEqual([other.copied.length, other.present.length], [1, 2])
    const chosen = await copied(`oci:${directory}@${images[1]?.descriptor.digest}`, `oci:${target}:chosen`)
    assert.strictEqual(chosen.descriptor.digest, images[1]?.descriptor.digest)
    const part = await copied(`oci:${directory}:latest`, `oci:${target}:part`, "--platform", "linux/arm64", "--all")
    const { manifests } = JSON.parse(readFileSync(blobPath(target, part.descriptor), "utf8"))
    assert.deepStrictEqual(manifests.map(({ digest }: Descriptor) => digest), [
      images[1]?.descriptor.digest,
      attestations[1]?.digest
    ])
  })

  it("tells people which image of an index it has taken, where they did not say", async () => {
    const { directory } = makeIndex()
    const target = join(temporary(), "out")
    const chosen = await run(["copy", `oci:${directory}:latest`, `oci:${target}`])
    assert.match(chosen.stdout, /^platform +linux\/\S+, this machine's; --all copies the whole index$/m)
    for (const args of [["latest", "--platform", "linux/amd64"], ["latest", "--all"], ["one"]]) {
      const [tag, ...flags] = args
      const { code, stdout } = await run(["copy", `oci:${directory}:${tag}`, `oci:${target}:${tag}`, ...flags])
      assert.strictEqual(code, 0)
      assert.notInclude(stdout, "platform")
    }
  })

  it.each([
    [["oci:IN:nope", "oci:OUT"], 1, "ImageMissing"],
    [["oci:IN:latest", "oci:OUT", "--platform", "linux/s390x"], 1, "PlatformMismatch"],
    [["oci:IN:one", "oci:OUT", "--platform", "windows/amd64"], 1, "PlatformMismatch"],
    [["oci:IN:latest", "oci:OUT", "--all", "--format", "docker"], 1, "ConversionRefused"],
    [["oci:IN:latest", "docker-archive:OUT", "--all"], 2, "UsageError"],
    [[`oci:IN@sha256:${"0".repeat(64)}`, "oci:OUT"], 1, "ImageMissing"],
    [["oci:NOWHERE", "oci:OUT"], 1, "StoreMissing"],
    [["oci:IN:one", "dir:OUT/:x", "--format", "v1"], 2, "UsageError"],
    [["docker:alpine", "oci:OUT"], 2, "UsageError"],
    [["oci:IN:one", `oci:OUT@sha256:${"0".repeat(64)}`], 2, "UsageError"],
    [["oci:IN:one"], 2, "UsageError"]
  ])("%j fails, and makes nothing", async (args, code, tag) => {
    const { directory } = makeIndex()
    const target = join(temporary(), "out")
    const ended = await run([
      "copy",
      ...args.map((arg) => arg.replace("IN", directory).replace("OUT", target).replace("NOWHERE", `${target}-not`)),
      "--json"
    ])
    assert.deepStrictEqual([ended.code, JSON.parse(ended.stdout).error._tag], [code, tag])
    assert.isFalse(existsSync(target))
  })

  it("converts to Docker's types and back, and says that the digest changes", async () => {
    const { directory, one } = makeIndex()
    const target = join(temporary(), "out")
    const { code, stderr, stdout } = await run([
      "copy",
      `oci:${directory}:one`,
      `oci:${target}:d`,
      "--format",
      "docker",
      "--json"
    ])
    assert.strictEqual(code, 0)
    const { descriptor } = JSON.parse(stdout)
    assert.include(
      stderr,
      `media types become Docker's, which changes the digest ${one.digest} to ${descriptor.digest}\n`
    )
    assert.strictEqual(descriptor.mediaType, "application/vnd.docker.distribution.manifest.v2+json")
    const back = await copied(`oci:${target}:d`, `oci:${target}:o`, "--format", "oci")
    assert.strictEqual(back.descriptor.digest, one.digest)
    assert.strictEqual((await run(["validate", `oci:${target}:d`])).code, 0)
  })

  it.each([["layer", 0], ["config", undefined]] as const)(
    "finds a damaged %s, and the target stays as it was",
    async (_, layer) => {
      const { directory, image, one, tag } = makeIndex()
      const target = join(temporary(), "out")
      await copied(`oci:${directory}:one`, `oci:${target}:latest`)
      const before = readFileSync(join(target, "index.json"))
      const other = image({ author: "another" }, { layers: [makeLayer(directory, "new")] })
      tag("other", other)
      const manifest = JSON.parse(readFileSync(blobPath(directory, other), "utf8"))
      const damaged = layer === undefined ? manifest.config : manifest.layers[layer]
      const bytes = readFileSync(blobPath(directory, damaged))
      bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
      writeFileSync(blobPath(directory, damaged), bytes)
      const { code, stderr, stdout } = await run(["copy", `oci:${directory}:other`, `oci:${target}:latest`, "--json"])
      const { error } = JSON.parse(stdout)
      assert.deepStrictEqual([code, error._tag, error.cause._tag], [1, "BlobFailed", "DigestMismatch"])
      assert.include(stderr, damaged.digest)
      assert.deepStrictEqual(readFileSync(join(target, "index.json")), before)
      assert.isFalse(existsSync(blobPath(target, damaged)))
      assert.isFalse(existsSync(blobPath(target, other)))
      assert.strictEqual((await copied(`oci:${target}:latest`, `oci:${target}:again`)).descriptor.digest, one.digest)
      assert.deepStrictEqual(readdirSync(join(target, ".effect-oci")).filter((name) => name.startsWith("new-")), [])
    }
  )

  it("goes through every transport, and comes back with the same digest", async () => {
    const { directory, index, one } = makeIndex()
    const folder = temporary()
    await copied(`oci:${directory}:latest`, `oci-archive:${folder}/a.tar:latest`, "--all")
    await copied(`oci-archive:${folder}/a.tar:latest`, `dir:${folder}/dir`, "--all")
    const back = await copied(`dir:${folder}/dir`, `oci:${folder}/out:latest`, "--all")
    assert.strictEqual(back.descriptor.digest, index.digest)
    await copied(`oci:${directory}:one`, `docker-archive:${folder}/d.tar:app:1`)
    const loaded = await run(["inspect", `docker-archive:${folder}/d.tar:app:1`, "--config"])
    const original = await run(["inspect", `oci:${directory}@${one.digest}`, "--config"])
    assert.deepStrictEqual(loaded.bytes, original.bytes)
  })

  it.runIf(judge("skopeo"))("writes what skopeo reads, with equal digests, and reads what skopeo writes", async () => {
    const { directory, index, one } = makeIndex()
    const folder = temporary()
    const skopeo = (...args: ReadonlyArray<string>) => execFileSync("skopeo", args, { encoding: "utf8", stdio: "pipe" })
    await copied(`oci:${directory}:latest`, `oci:${folder}/out:all`, "--all")
    await copied(`oci:${directory}:one`, `oci:${folder}/out:one`)
    const raw = (image: string) => skopeo("inspect", "--raw", image)
    assert.strictEqual(raw(`oci:${folder}/out:all`), readFileSync(blobPath(directory, index), "utf8"))
    assert.strictEqual(raw(`oci:${folder}/out:one`), readFileSync(blobPath(directory, one), "utf8"))
    mkdirSync(`${folder}/by-skopeo`)
    skopeo("copy", "-q", "--all", `oci:${folder}/out:all`, `oci:${folder}/by-skopeo:all`)
    assert.deepStrictEqual(
      blobsIn(`${folder}/by-skopeo`),
      blobsIn(`${folder}/out`).filter((name) => !name.startsWith("."))
    )
    rmSync(directory, { recursive: true })
    const back = await copied(`oci:${folder}/by-skopeo:all`, `oci:${directory}:back`, "--all")
    assert.strictEqual(back.descriptor.digest, index.digest)
    const digest = skopeo("inspect", "--format", "{{.Digest}}", `oci:${folder}/out:one`).trim()
    assert.strictEqual(digest, one.digest)
  })
})

/** Puts a layer of its own into a layout. */
const makeLayer = (directory: string, text: string): Descriptor => {
  const layout = makeLayout()
  const layer = layout.put("application/vnd.oci.image.layer.v1.tar", text)
  writeFileSync(blobPath(directory, layer), text)
  return layer
}
