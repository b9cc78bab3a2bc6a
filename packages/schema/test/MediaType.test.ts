import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"

const oci = "application/vnd.oci.image"
const docker = "application/vnd.docker"

// The rows are written out, so that a misspelt constant shows.
const pairs: ReadonlyArray<readonly [kind: string, oci: string, docker: string | undefined]> = [
  ["manifest", `${oci}.manifest.v1+json`, `${docker}.distribution.manifest.v2+json`],
  ["index", `${oci}.index.v1+json`, `${docker}.distribution.manifest.list.v2+json`],
  ["config", `${oci}.config.v1+json`, `${docker}.container.image.v1+json`],
  ["layer", `${oci}.layer.v1.tar`, `${docker}.image.rootfs.diff.tar`],
  ["layer", `${oci}.layer.v1.tar+gzip`, `${docker}.image.rootfs.diff.tar.gzip`],
  ["layer", `${oci}.layer.v1.tar+zstd`, `${docker}.image.rootfs.diff.tar.zstd`],
  ["layer", `${oci}.layer.nondistributable.v1.tar`, `${docker}.image.rootfs.foreign.diff.tar`],
  ["layer", `${oci}.layer.nondistributable.v1.tar+gzip`, `${docker}.image.rootfs.foreign.diff.tar.gzip`],
  ["layer", `${oci}.layer.nondistributable.v1.tar+zstd`, undefined]
]

const unknown = [
  "",
  "__proto__",
  "constructor",
  "application/octet-stream",
  MediaType.emptyJson,
  MediaType.layoutHeader,
  "application/vnd.erofs.layer.v1",
  `${docker}.image.rootfs.foreign.diff.tar.zstd`,
  `${oci}.layer.v1.tar+gzip+encrypted`,
  `${oci}.layer.v1.tar;a=b`,
  `APPLICATION/vnd.oci.image.layer.v1.tar`
]

describe("MediaType", () => {
  it.each(pairs)("%s: %s and %s", (kind, oci, docker) => {
    for (const name of docker === undefined ? [oci] : [oci, docker]) {
      assert.strictEqual(Option.getOrThrow(MediaType.find(name)).kind, kind)
      assert.strictEqual(MediaType.toOci(name), oci)
      assert.strictEqual(MediaType.toDocker(name), docker ?? name)
      assert.strictEqual(MediaType.isManifest(name), kind === "manifest")
      assert.strictEqual(MediaType.isIndex(name), kind === "index")
      assert.strictEqual(MediaType.isConfig(name), kind === "config")
      assert.strictEqual(MediaType.isLayer(name), kind === "layer")
      assert.strictEqual(MediaType.isDocker(name), name === docker)
      assert.isTrue(MediaType.isValid(name))
    }
  })

  it.each(unknown)("%j stays as it is", (name) => {
    assert.strictEqual(MediaType.toOci(name), name)
    assert.strictEqual(MediaType.toDocker(name), name)
    assert.isTrue(Option.isNone(MediaType.find(name)))
    assert.isTrue(Option.isNone(MediaType.compression(name)))
    assert.isFalse(MediaType.isDocker(name))
  })

  it.each([
    [MediaType.layer, "uncompressed"],
    [MediaType.dockerLayerGzip, "gzip"],
    [MediaType.layerZstd, "zstd"],
    [MediaType.dockerForeignLayer, "uncompressed"],
    [MediaType.nondistributableLayerZstd, "zstd"]
  ])("%s is compressed with %s", (name, compression) => {
    assert.deepStrictEqual(MediaType.compression(name), Option.some(compression))
  })

  it("compresses layers only", () => {
    assert.isTrue(Option.isNone(MediaType.compression(MediaType.imageManifest)))
  })

  it("tells which layers stay with their vendor", () => {
    const isDistributable = (name: string) =>
      Option.exists(MediaType.find(name), (entry) => entry.kind === "layer" && entry.distributable)
    assert.isTrue(isDistributable(MediaType.dockerLayer))
    assert.isFalse(isDistributable(MediaType.dockerForeignLayer))
    assert.isFalse(isDistributable(MediaType.nondistributableLayerGzip))
  })

  it.each([
    ["application/vnd.oci.empty.v1+json", true],
    ["a/b", true],
    ["x-A.9!#$&^_.+-/9", true],
    [`${"a".repeat(127)}/${"b".repeat(127)}`, true],
    [`${"a".repeat(128)}/b`, false],
    [`a/${"b".repeat(128)}`, false],
    ["", false],
    ["text", false],
    ["text/", false],
    ["/plain", false],
    ["text/plain/x", false],
    ["text/plain; charset=utf-8", false],
    [" text/plain", false],
    ["text/plain\n", false],
    [".text/plain", false],
    ["text/+json", false],
    ["text/pläin", false],
    ["*/*", false]
  ])("%j is valid: %s", (name, expected) => {
    assert.strictEqual(MediaType.isValid(name), expected)
  })
})
