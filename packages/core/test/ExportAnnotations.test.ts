import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
import type * as Platform from "@effect-oci/schema/Platform"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { failureOf, frozen } from "./values.ts"

const amd64 = { os: "linux", architecture: "amd64" }
const arm64 = { os: "linux", architecture: "arm64" }

describe("parse", () => {
  it.each<readonly [string, ExportAnnotations.ExportAnnotation]>([
    ["annotation.a=b", { level: "manifest", key: "a", value: "b" }],
    ["annotation-manifest.a=b", { level: "manifest", key: "a", value: "b" }],
    ["annotation-manifest-descriptor.a=b", { level: "manifest-descriptor", key: "a", value: "b" }],
    ["annotation-index.a=b", { level: "index", key: "a", value: "b" }],
    ["annotation-index-descriptor.a=b", { level: "index-descriptor", key: "a", value: "b" }],
    ["annotation[linux/arm64].a=b", { level: "manifest", platform: arm64, key: "a", value: "b" }],
    ["annotation-index[linux/arm64].a=b", { level: "index", platform: arm64, key: "a", value: "b" }],
    ["a=b", { level: "manifest", key: "a", value: "b" }],
    ["index:a=b", { level: "index", key: "a", value: "b" }],
    ["manifest-descriptor[linux/arm/v6]:a=b", {
      level: "manifest-descriptor",
      platform: { os: "linux", architecture: "arm", variant: "v6" },
      key: "a",
      value: "b"
    }],
    ["org.opencontainers.image.title=An app", {
      level: "manifest",
      key: "org.opencontainers.image.title",
      value: "An app"
    }],
    ["annotation.org.opencontainers.image.title=x", {
      level: "manifest",
      key: "org.opencontainers.image.title",
      value: "x"
    }],
    ["a=", { level: "manifest", key: "a", value: "" }],
    ["a=b=c: d\ne", { level: "manifest", key: "a", value: "b=c: d\ne" }],
    ["annotation.https://example.com/a:b=c", { level: "manifest", key: "https://example.com/a:b", value: "c" }]
  ])("reads %j", (text, expected) => {
    assert.deepStrictEqual(Result.getOrThrow(ExportAnnotations.parse(text)), expected)
  })

  it.each([
    ["", "[LEVEL[[PLATFORM]]:]KEY=VALUE"],
    ["a", "[LEVEL[[PLATFORM]]:]KEY=VALUE"],
    ["=b", "[LEVEL[[PLATFORM]]:]KEY=VALUE"],
    ["a b=c", "[LEVEL[[PLATFORM]]:]KEY=VALUE"],
    ["annotation-layer.a=b", "one of the levels manifest, manifest-descriptor, index, index-descriptor"],
    ["layer:a=b", "one of the levels manifest, manifest-descriptor, index, index-descriptor"],
    ["https://example.com/a:b=c", "one of the levels manifest, manifest-descriptor, index, index-descriptor"],
    ["manifest[linux]:a=b", "a platform, such as linux/arm64"]
  ])("refuses %j, and says what is expected", (text, expected) => {
    const error = failureOf(ExportAnnotations.parse(text))
    assert.strictEqual(error._tag, "InvalidAnnotation")
    assert.strictEqual(error.message, `invalid annotation ${JSON.stringify(text)}: expected ${expected}`)
    assert.strictEqual(error.cause?._tag, text.includes("[linux]") ? "InvalidPlatform" : undefined)
  })
})

const parsed = (...texts: ReadonlyArray<string>) =>
  frozen(texts.map((text) => Result.getOrThrow(ExportAnnotations.parse(text))))

describe("forPlatform", () => {
  const annotations = parsed(
    "manifest[linux/arm64]:who=arm64",
    "manifest:who=all",
    "manifest:what=first",
    "manifest:what=second",
    "manifest-descriptor[linux/amd64]:d=amd64",
    "index[linux/amd64]:i=amd64",
    "index:j=all",
    "index-descriptor[linux/arm64]:k=arm64"
  )
  const index = { index: { i: "amd64", j: "all" }, indexDescriptor: { k: "arm64" } }

  it.each<readonly [string, Platform.Platform | undefined, ExportAnnotations.Levels]>([
    ["a platform's own win over those for all, the later over the earlier", arm64, {
      manifest: { who: "arm64", what: "second" },
      manifestDescriptor: {},
      ...index
    }],
    ["those of another platform are not its", amd64, {
      manifest: { who: "all", what: "second" },
      manifestDescriptor: { d: "amd64" },
      ...index
    }],
    ["platforms are compared in their normal form", { os: "Linux", architecture: "aarch64", variant: "v8" }, {
      manifest: { who: "arm64", what: "second" },
      manifestDescriptor: {},
      ...index
    }],
    ["without a platform only those for all", undefined, {
      manifest: { who: "all", what: "second" },
      manifestDescriptor: {},
      ...index
    }]
  ])("%s", (_, platform, expected) => {
    assert.deepStrictEqual(ExportAnnotations.forPlatform(annotations, platform), expected)
  })

  it("keeps a key that objects have another use for", () => {
    const { manifest } = ExportAnnotations.forPlatform(parsed("__proto__=x", "constructor=y"), undefined)
    assert.deepStrictEqual(Object.entries(manifest), [["__proto__", "x"], ["constructor", "y"]])
  })
})

describe("check", () => {
  const check = (text: string, image: Partial<Parameters<typeof ExportAnnotations.check>[1]> = {}) =>
    ExportAnnotations.check(parsed(text), { platforms: [amd64, arm64], mediaTypes: "oci", isIndex: true, ...image })

  it.each<readonly [string, Partial<Parameters<typeof ExportAnnotations.check>[1]>]>([
    ["a=b", {}],
    ["a=b", { mediaTypes: "docker", isIndex: false }],
    ["manifest[linux/arm64]:a=b", { mediaTypes: "docker" }],
    ["manifest-descriptor:a=b", { isIndex: false }],
    ["index:a=b", {}],
    ["index-descriptor[linux/arm64]:a=b", {}],
    ["manifest[linux/arm64/v8]:a=b", {}]
  ])("allows %s for %j", (text, image) => {
    assert.deepStrictEqual(check(text, image), Result.void)
  })

  it.each<readonly [string, Partial<Parameters<typeof ExportAnnotations.check>[1]>, string, string]>([
    [
      "manifest[linux/s390x]:a=b",
      {},
      "no-such-platform",
      "invalid annotation: no platform linux/s390x found in source"
    ],
    ["index[linux/s390x]:a=b", {}, "no-such-platform", "invalid annotation: no platform linux/s390x found in source"],
    [
      "index:a=b",
      { mediaTypes: "docker" },
      "docker-media-types",
      "cannot export annotations with Docker media types: index a; only a manifest can have them"
    ],
    [
      "index-descriptor:a=b",
      { mediaTypes: "docker" },
      "docker-media-types",
      "cannot export annotations with Docker media types: index-descriptor a; only a manifest can have them"
    ],
    [
      "manifest-descriptor:a=b",
      { mediaTypes: "docker" },
      "docker-media-types",
      "cannot export annotations with Docker media types: manifest-descriptor a; only a manifest can have them"
    ],
    ["index:a=b", { isIndex: false }, "no-index", "index annotations not supported for single platform export: a"],
    [
      "index-descriptor:a=b",
      { isIndex: false },
      "no-index",
      "index annotations not supported for single platform export: a"
    ]
  ])("refuses %s for %j", (text, image, reason, message) => {
    const error = failureOf(check(text, image))
    assert.deepStrictEqual([error._tag, error.reason, error.message], ["AnnotationRefused", reason, message])
  })
})
