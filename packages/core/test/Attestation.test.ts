import * as Attestation from "@effect-oci/core/Attestation"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { recordingStore } from "./conformance/inputs.ts"
import { bytesOf, digestOf, failureOf, frozen, textOf } from "./values.ts"

const self = frozen([
  { name: "pkg:docker/app@1?platform=linux%2Famd64", digest: { sha256: "aa" } },
  { name: "pkg:docker/app@latest?platform=linux%2Famd64", digest: { sha256: "aa" } }
])

const spdx = "https://spdx.dev/Document"
const slsa = "https://slsa.dev/provenance/v1"

describe("statement", () => {
  const subjectsOf = (subjects: ReadonlyArray<Attestation.Subject> | undefined) =>
    Result.map(
      Attestation.statement(
        {
          predicateType: spdx,
          predicate: bytesOf("{}"),
          ...(subjects === undefined ? {} : { subjects: frozen(subjects) })
        },
        self
      ),
      (statement) => statement.subjects
    )
  const own = [...self]
  const named = self.flatMap((one) => [one, { ...one, name: "mine" }])

  it.each<readonly [string, ReadonlyArray<Attestation.Subject> | undefined, ReadonlyArray<object>]>([
    ["the image itself where nothing is named", undefined, own],
    ["the image itself where the list is empty", [], own],
    ["the image itself", [{ kind: "self" }], own],
    ["no further name for an empty one", [{ kind: "self", name: "" }], own],
    ["nor for _, which stands for none", [{ kind: "self", name: "_" }], own],
    ["the image itself under a further name too", [{ kind: "self", name: "mine" }], named],
    ["something else", [{ kind: "raw", name: "file", digests: ["sha256:bb", "sha512:cc"] }], [
      { name: "file", digest: { sha256: "bb", sha512: "cc" } }
    ]],
    ["something without a name or digests", [{ kind: "raw" }], [{ name: "_", digest: {} }]],
    ["the last of two digests of an algorithm", [{ kind: "raw", digests: ["sha256:bb", "sha256:c:d"] }], [
      { name: "_", digest: { sha256: "c:d" } }
    ]],
    ["all in their order", [{ kind: "raw", name: "a" }, { kind: "self" }, { kind: "raw", name: "b" }], [
      { name: "a", digest: {} },
      ...own,
      { name: "b", digest: {} }
    ]]
  ])("is about %s", (_, subjects, expected) => {
    assert.deepStrictEqual<unknown>(Result.getOrThrow(subjectsOf(subjects)), expected)
  })

  it("refuses a digest without an algorithm, and names its subject", () => {
    const error = failureOf(subjectsOf([{ kind: "raw", name: "file", digests: ["sha256:bb", "cc"] }]))
    assert.deepStrictEqual([error._tag, error.subject, error.digest], ["InvalidSubjectDigest", "file", "cc"])
    assert.strictEqual(
      error.message,
      `the subject "file" has a digest without an algorithm: expected <algorithm>:<value>, found "cc"`
    )
  })
})

const target = frozen({
  mediaType: MediaType.imageManifest,
  digest: digestOf("target"),
  size: 6,
  annotations: { a: "b" },
  platform: { os: "linux", architecture: "amd64" }
})

const statements = frozen([
  { predicateType: spdx, predicate: bytesOf(`{ "pi": 3.140, "a<b": null }`), subjects: self },
  { predicateType: slsa, predicate: new Uint8Array(), subjects: [] }
])

const write = (options: Partial<Parameters<typeof Attestation.write>[0]> = {}) => {
  const store = recordingStore()
  return Attestation.write({ target, statements, form: "oci-artifact", mediaTypes: "oci", ...options }).pipe(
    Effect.provide(store.layer),
    Effect.map((descriptor) => ({ descriptor, blobs: store.written().map(textOf) }))
  )
}

const texts = [
  `{"_type":"https://in-toto.io/Statement/v1","predicateType":"${spdx}","subject":[` +
  self.map(({ name }) => `{"name":"${name}","digest":{"sha256":"aa"}}`).join() +
  String.raw`],"predicate":{"pi":3.140,"a\u003cb":null}}`,
  `{"_type":"https://in-toto.io/Statement/v1","predicateType":"${slsa}","subject":[],"predicate":null}`
]

const layers = texts.map((text, index) => ({
  mediaType: "application/vnd.in-toto+json",
  digest: digestOf(text),
  size: bytesOf(text).length,
  annotations: { "in-toto.io/predicate-type": [spdx, slsa][index] }
}))

const annotations = {
  "vnd.docker.reference.type": "attestation-manifest",
  "vnd.docker.reference.digest": target.digest
}

describe("write", () => {
  it.effect("makes OCI's artifact, which names its subject and nothing more of it", () =>
    Effect.gen(function*() {
      const { blobs: [first, second, config, manifest = ""], descriptor } = yield* write()
      assert.deepStrictEqual([first, second, config], [...texts, "{}"])
      assert.deepStrictEqual(JSON.parse(manifest), {
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        artifactType: "application/vnd.docker.attestation.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2, data: "e30=" },
        layers,
        subject: { mediaType: target.mediaType, digest: target.digest, size: 6 }
      })
      assert.deepStrictEqual(descriptor, {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: digestOf(manifest),
        size: bytesOf(manifest).length,
        annotations,
        platform: { os: "unknown", architecture: "unknown" }
      })
    }))

  it.effect("makes Docker's form, which looks like an image of an unknown platform", () =>
    Effect.gen(function*() {
      const { blobs: [, , config = "", manifest = ""], descriptor } = yield* write({ form: "docker" })
      assert.strictEqual(
        config,
        `{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":["${
          layers.map(({ digest }) => digest).join(`","`)
        }"]}}`
      )
      assert.deepStrictEqual(JSON.parse(manifest), {
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: digestOf(config),
          size: bytesOf(config).length
        },
        layers
      })
      assert.deepStrictEqual(descriptor.annotations, annotations)
    }))

  it.effect("refuses a predicate that is not I-JSON, and stores no manifest", () =>
    Effect.gen(function*() {
      const store = recordingStore()
      const bad = { predicateType: slsa, predicate: bytesOf(`{"a":1,"a":2}`), subjects: [] }
      const error = yield* Effect.flip(
        Attestation.write({ target, statements: [...statements, bad], form: "docker", mediaTypes: "oci" }).pipe(
          Effect.provide(store.layer)
        )
      )
      assert.strictEqual(error.message, `failed to marshal the attestation "${slsa}"`)
      assert.strictEqual(error.cause._tag, "InvalidJson")
      assert.deepStrictEqual(store.written().map(textOf), texts)
    }))
})
