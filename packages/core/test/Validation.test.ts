import { BlobStore, StoreIo } from "@effect-oci/core/BlobStore"
import { type Image, ImageStore, StoreMissing, StoreUnreadable } from "@effect-oci/core/ImageStore"
import type * as Issue from "@effect-oci/core/Issue"
import * as Validation from "@effect-oci/core/Validation"
import * as Json from "@effect-oci/schema/Json"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { constants, gzipSync, zstdCompressSync } from "node:zlib"
import {
  Blobs,
  configType,
  type Descriptor,
  indexType,
  layerOf,
  layerType,
  manifestType,
  parsed,
  refName
} from "./images.ts"
import { services } from "./services.ts"
import { bytesOf, digestOf } from "./values.ts"

const marker = Result.succeed(bytesOf(`{"imageLayoutVersion":"1.0.0"}`))

const checkLayout = (blobs: Blobs, index: Uint8Array, name: Option.Option<string> = Option.none()) =>
  Effect.gen(function*() {
    return yield* Effect.provideService(
      Validation.checkLayout({ marker, index: Result.succeed(index) }, name),
      BlobStore,
      yield* blobs.store
    )
  }).pipe(Effect.provide(services))

const checkDescriptor = (blobs: Blobs, descriptor: Descriptor) =>
  Effect.gen(function*() {
    return yield* Effect.provideService(Validation.check(parsed(descriptor)), BlobStore, yield* blobs.store)
  }).pipe(Effect.provide(services))

/** An issue as a line, its path by the name of the document. */
const shown = (names: Readonly<Record<string, string>>) => ({ _tag, path, pointer, severity }: Issue.Issue): string =>
  `${severity} ${_tag} ${names[path] ?? path}${pointer}`

type Made = ReturnType<Blobs["layout"]>

const dockerLayerType = "application/vnd.docker.image.rootfs.diff.tar.gzip"

const withMember = (name: string, value: unknown) => (document: object) => ({ ...document, [name]: value })

const zstdLayerOf = (text: string, hashed: string) => ({
  content: new Uint8Array(zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })),
  diffId: digestOf(hashed),
  mediaType: "application/vnd.oci.image.layer.v1.tar+zstd"
})

const second = (layers: ReadonlyArray<Descriptor>, change: object): ReadonlyArray<object> =>
  layers.map((layer, index) => index === 1 ? { ...layer, ...change } : layer)

/** A defect, how it is made, and the issues that have to be found: all of them, and no others. */
type Defect = readonly [string, (blobs: Blobs) => Made, ReadonlyArray<string>]

const defects: ReadonlyArray<Defect> = [
  ["nothing", (blobs) => blobs.layout(), []],
  [
    "more history than layers",
    (blobs) => blobs.layout({ config: withMember("history", [{}, {}, { empty_layer: false }]) }),
    ["error HistoryCount config/history"]
  ],
  [
    "less history than layers",
    (blobs) => blobs.layout({ config: withMember("history", [{}, { empty_layer: true }]) }),
    ["error HistoryCount config/history"]
  ],
  ["no history", (blobs) => blobs.layout({ config: withMember("history", undefined) }), []],
  ["an empty history", (blobs) => blobs.layout({ config: withMember("history", []) }), []],
  [
    "a false diff ID",
    (blobs) =>
      blobs.layout({ layers: [layerOf("first"), { ...layerOf("second"), diffId: `sha256:${"0".repeat(64)}` }] }),
    ["error DiffIdMismatch config/rootfs/diff_ids/1"]
  ],
  [
    "too few diff IDs",
    (blobs) => blobs.layout({ config: withMember("rootfs", { type: "layers", diff_ids: [digestOf("first layer")] }) }),
    ["error DiffIdCount config/rootfs/diff_ids"]
  ],
  [
    "a member of another type",
    (blobs) => blobs.layout({ config: withMember("config", { Env: "A=b" }) }),
    ["error UnexpectedJson config/config/Env"]
  ],
  [
    "no architecture, and an empty system",
    (blobs) => blobs.layout({ config: (config) => ({ ...config, architecture: undefined, os: "" }) }),
    ["error MissingPlatform config/architecture", "error MissingPlatform config/os"]
  ],
  [
    "null members, as Docker writes them",
    (blobs) =>
      blobs.layout({
        config: (config) => ({ ...config, config: { Env: null, Labels: null, OnBuild: null, "x-mine": null } })
      }),
    [
      "notice NullMember config/config/Env",
      "notice NullMember config/config/Labels",
      "notice NullMember config/config/OnBuild"
    ]
  ],
  [
    "a time that is none",
    (blobs) => blobs.layout({ config: withMember("created", "yesterday") }),
    ["error UnexpectedJson config/created"]
  ],
  [
    "no media type",
    (blobs) => blobs.layout({ manifest: withMember("mediaType", undefined) }),
    ["notice MissingMediaType manifest/mediaType"]
  ],
  [
    "a false size of a layer",
    (blobs) => blobs.layout({ manifest: (self) => ({ ...self, layers: second(self.layers, { size: 7 }) }) }),
    ["error SizeMismatch manifest/layers/1/size"]
  ],
  [
    "a false size of the config",
    (blobs) =>
      blobs.layout({ manifest: (self) => ({ ...self, config: { ...Object(self["config"]), size: 2 ** 40 } }) }),
    ["error SizeMismatch manifest/config/size"]
  ],
  [
    "sizes that are none",
    (blobs) => blobs.layout({ manifest: (self) => ({ ...self, layers: second(self.layers, { size: -1 }) }) }),
    ["error UnexpectedJson manifest/layers/1/size"]
  ],
  [
    "a layer of Docker's under a manifest of OCI's",
    (blobs) =>
      blobs.layout({ manifest: (self) => ({ ...self, layers: second(self.layers, { mediaType: dockerLayerType }) }) }),
    ["error DockerLayerInOci manifest/layers/1/mediaType"]
  ],
  [
    "an annotation that is a number",
    (blobs) => blobs.layout({ manifest: withMember("annotations", { a: 1 }) }),
    ["error UnexpectedJson manifest/annotations/a"]
  ],
  [
    "another schema version",
    (blobs) => blobs.layout({ manifest: withMember("schemaVersion", 1) }),
    ["error UnexpectedJson manifest/schemaVersion"]
  ],
  [
    "a false size of the manifest",
    (blobs) => blobs.layout({ descriptor: (descriptor) => ({ ...descriptor, size: descriptor.size + 1 }) }),
    ["error SizeMismatch index.json/manifests/0/size"]
  ],
  [
    "an index in the index",
    (blobs) =>
      blobs.layout({
        index: ({ manifests }) => ({
          schemaVersion: 2,
          manifests: [blobs.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests })]
        })
      }),
    []
  ],
  ["a damaged layer", (blobs) => {
    const made = blobs.layout()
    blobs.contents.set(made.layers[0]?.digest ?? "", bytesOf("something else"))
    return made
  }, ["error DigestMismatch manifest/layers/0/digest"]],
  ["a damaged layer of the same size", (blobs) => {
    const made = blobs.layout()
    blobs.contents.set(made.layers[0]?.digest ?? "", new Uint8Array(made.layers[0]?.size ?? 0))
    return made
  }, ["error DigestMismatch manifest/layers/0/digest"]],
  ["a missing layer, and a missing config", (blobs) => {
    const made = blobs.layout()
    blobs.contents.delete(made.layers[1]?.digest ?? "")
    blobs.contents.delete(made.config.digest)
    return made
  }, ["error BlobMissing manifest/config/digest", "error BlobMissing manifest/layers/1/digest"]],
  ["a missing manifest", (blobs) => {
    const made = blobs.layout()
    blobs.contents.delete(made.manifest.digest)
    return made
  }, ["error BlobMissing index.json/manifests/0/digest"]],
  [
    "a layer that should have been compressed",
    (blobs) => blobs.layout({ layers: [{ ...layerOf("first"), content: bytesOf("first") }, layerOf("second")] }),
    ["error CompressionMismatch manifest/layers/0/mediaType"]
  ],
  [
    "a layer that is damaged before it is hashed",
    (blobs) => {
      const content = new Uint8Array(gzipSync("first"))
      return blobs.layout({ layers: [{ ...layerOf("first"), content: content.slice(0, -3) }, layerOf("second")] })
    },
    ["error CorruptLayer manifest/layers/0/digest"]
  ],
  [
    "a Zstandard layer",
    (blobs) => blobs.layout({ layers: [layerOf("first"), zstdLayerOf("second", "second")] }),
    []
  ],
  [
    "a Zstandard layer of another diff ID",
    (blobs) => blobs.layout({ layers: [layerOf("first"), zstdLayerOf("second", "third")] }),
    ["error DiffIdMismatch config/rootfs/diff_ids/1"]
  ],
  [
    "a Zstandard layer that is damaged before it is hashed",
    (blobs) => {
      const layer = zstdLayerOf("second", "second")
      return blobs.layout({ layers: [layerOf("first"), { ...layer, content: layer.content.slice(0, -3) }] })
    },
    ["error CorruptLayer manifest/layers/1/digest"]
  ],
  [
    "a Zstandard layer that says it is gzip",
    (blobs) =>
      blobs.layout({ layers: [layerOf("first"), { ...zstdLayerOf("second", "second"), mediaType: layerType }] }),
    ["error CompressionMismatch manifest/layers/1/mediaType"]
  ],
  [
    "a layer of an unknown type, and an encrypted one",
    (blobs) =>
      blobs.layout({
        layers: [
          { ...layerOf("first"), mediaType: "application/x-layer" },
          { ...layerOf("second"), mediaType: `${layerType}+encrypted` }
        ]
      }),
    ["warning UnknownLayerType manifest/layers/0/mediaType", "notice NotChecked manifest/layers/1/mediaType"]
  ],
  ["a layer that its vendor keeps", (blobs) => {
    const mediaType = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    const made = blobs.layout({ layers: [{ ...layerOf("first"), mediaType }, layerOf("second")] })
    blobs.contents.delete(made.layers[0]?.digest ?? "")
    return made
  }, ["notice NotChecked manifest/layers/0/digest"]],
  [
    "another media type than the descriptor's",
    (blobs) =>
      blobs.layout({ manifest: withMember("mediaType", "application/vnd.docker.distribution.manifest.v2+json") }),
    [
      "error MediaTypeMismatch manifest/mediaType",
      "warning MixedMediaTypes manifest/config/mediaType",
      "warning MixedMediaTypes manifest/layers/0/mediaType",
      "warning MixedMediaTypes manifest/layers/1/mediaType"
    ]
  ],
  [
    "a manifest that could be an index",
    (blobs) => blobs.layout({ manifest: (self) => ({ ...self, manifests: [], fsLayers: null }) }),
    ["error AmbiguousDocument manifest/manifests", "error AmbiguousDocument manifest/fsLayers"]
  ],
  [
    "an index that could be a manifest",
    (blobs) => blobs.layout({ index: (self) => ({ ...self, layers: null, Config: {} }) }),
    ["error AmbiguousDocument index.json/layers", "error AmbiguousDocument index.json/Config"]
  ],
  [
    "another platform than the config's",
    (blobs) =>
      blobs.layout({
        descriptor: (descriptor) => ({ ...descriptor, platform: { os: "linux", architecture: "arm", variant: "v7" } })
      }),
    ["warning PlatformMismatch index.json/manifests/0/platform/architecture"]
  ],
  [
    "embedded content that is not it",
    (blobs) => blobs.layout({ descriptor: (descriptor) => ({ ...descriptor, data: "e30=" }) }),
    ["error DataMismatch index.json/manifests/0/data"]
  ],
  [
    "an algorithm that nobody knows",
    (blobs) =>
      blobs.layout({ manifest: (self) => ({ ...self, layers: second(self.layers, { digest: "blake3:abc" }) }) }),
    ["warning UnsupportedDigest manifest/layers/1/digest"]
  ],
  [
    "a digest that is none",
    (blobs) =>
      blobs.layout({ manifest: (self) => ({ ...self, layers: second(self.layers, { digest: "sha256:../x" }) }) }),
    ["error UnexpectedJson manifest/layers/1/digest"]
  ],
  [
    "a subject that is elsewhere",
    (blobs) =>
      blobs.layout({ manifest: withMember("subject", { mediaType: manifestType, size: 3, digest: digestOf("x") }) }),
    ["notice SubjectMissing manifest/subject/digest"]
  ],
  [
    "no layers, as BuildKit writes it",
    (blobs) =>
      blobs.layout({
        layers: [],
        config: (config) => ({ ...config, rootfs: { type: "layers", diff_ids: null }, history: null }),
        manifest: withMember("layers", null)
      }),
    ["notice NoLayers manifest/layers", "notice NullMember config/rootfs/diff_ids", "notice NullMember config/history"]
  ],
  [
    "an artifact",
    (blobs) =>
      blobs.layout({
        layers: [{ ...layerOf("first"), mediaType: "text/plain" }],
        manifest: (self) => ({
          ...self,
          artifactType: "text/plain",
          config: blobs.put("application/vnd.oci.empty.v1+json", bytesOf("{}"))
        })
      }),
    []
  ],
  [
    "an attestation",
    (blobs) =>
      blobs.layout({
        layers: [{ ...layerOf("first"), mediaType: "application/vnd.in-toto+json" }],
        config: () => ({ architecture: "unknown", os: "unknown", config: {}, rootfs: { type: "layers", diff_ids: [] } })
      }),
    []
  ],
  [
    "an unknown kind of manifest",
    (blobs) => blobs.layout({ descriptor: (descriptor) => ({ ...descriptor, mediaType: "application/x-manifest" }) }),
    ["notice UnknownMediaType index.json/manifests/0/mediaType"]
  ],
  [
    "two images of one name",
    (blobs) =>
      blobs.layout({
        index: (index) => ({ ...index, manifests: [index["manifests"], index["manifests"]].flat() })
      }),
    [`warning DuplicateName index.json/manifests/1/annotations/${refName}`]
  ],
  [
    "odd times",
    (blobs) =>
      blobs.layout({
        config: withMember("history", [
          { created: "0001-01-01T00:00:00Z" },
          { created: "1970-01-01T00:00:02Z" },
          { created: "1970-01-01T01:00:01+01:00", empty_layer: true },
          { created: "2999-01-01T00:00:00Z", empty_layer: true }
        ])
      }),
    [
      "notice UnusualTime config/history/0/created",
      "notice UnusualTime config/history/2/created",
      "notice UnusualTime config/history/3/created"
    ]
  ],
  [
    "JSON that only some read alike",
    (blobs) => {
      const made = blobs.layout()
      const config = blobs.put(configType, bytesOf(`{"os":"linux","os":"windows"}`))
      const manifest = blobs.putJson(manifestType, {
        schemaVersion: 2,
        mediaType: manifestType,
        config,
        layers: made.layers
      })
      return { ...made, config, manifest, index: bytesOf(JSON.stringify({ schemaVersion: 2, manifests: [manifest] })) }
    },
    ["error InvalidJson config/os"]
  ],
  [
    "several defects at once",
    (blobs) =>
      blobs.layout({
        config: (config) => ({ ...config, architecture: undefined, config: { Env: ["A"], Cmd: null }, history: [{}] }),
        manifest: (self) => ({ ...self, schemaVersion: 3, layers: second(self.layers, { size: 1 }) }),
        descriptor: (descriptor) => ({ ...descriptor, size: 1 })
      }),
    [
      "error UnexpectedJson manifest/schemaVersion",
      "error SizeMismatch index.json/manifests/0/size",
      "error MissingPlatform config/architecture",
      "error UnexpectedJson config/config/Env/0",
      "notice NullMember config/config/Cmd",
      "error HistoryCount config/history",
      "error SizeMismatch manifest/layers/1/size"
    ]
  ]
]

describe("checkLayout", () => {
  it.effect.each(defects)("finds %s, and nothing else", ([, make, expected]) =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const made = make(blobs)
      const issues = yield* checkLayout(blobs, made.index)
      const names = { [made.manifest.digest]: "manifest", [made.config.digest]: "config" }
      assert.deepStrictEqual(issues.map(shown(names)).toSorted(), expected.toSorted())
    }))

  it.effect("finds all of Docker's media types sound", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const type = "application/vnd.docker.distribution.manifest.v2+json"
      const made = blobs.layout({
        layers: [{ ...layerOf("first"), mediaType: dockerLayerType }, {
          ...layerOf("second"),
          mediaType: dockerLayerType
        }],
        manifest: (self) => ({
          ...self,
          mediaType: type,
          config: { ...Object(self["config"]), mediaType: "application/vnd.docker.container.image.v1+json" }
        }),
        descriptor: (descriptor) => ({ ...descriptor, mediaType: type })
      })
      assert.deepStrictEqual(yield* checkLayout(blobs, made.index), [])
    }))

  it.effect("tells which items and layers a history has too many or too few of", () =>
    Effect.gen(function*() {
      const find = Effect.fnUntraced(function*(history: ReadonlyArray<object>) {
        const blobs = new Blobs()
        const issues = yield* checkLayout(blobs, blobs.layout({ config: withMember("history", history) }).index)
        return issues.flatMap((issue) => issue._tag === "HistoryCount" ? [[issue.surplus, issue.missing]] : [])
      })
      assert.deepStrictEqual(yield* find([{}, { empty_layer: true }, {}, {}]), [[[3], []]])
      assert.deepStrictEqual(yield* find([{}, { empty_layer: true }]), [[[], [1]]])
    }))

  it.effect("follows a name to its images only", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const bad = blobs.image({ config: withMember("os", "") })
      const made = blobs.layout({
        index: (index) => ({ ...index, manifests: [bad.manifest, index["manifests"]].flat() })
      })
      assert.deepStrictEqual(yield* checkLayout(blobs, made.index, Option.some("latest")), [])
      assert.deepStrictEqual((yield* checkLayout(blobs, made.index)).map(({ _tag }) => _tag), ["MissingPlatform"])
      assert.deepStrictEqual(
        (yield* checkLayout(blobs, made.index, Option.some("other"))).map(shown({})),
        ["error ImageMissing index.json/manifests"]
      )
    }))

  it.effect("tells of files that are not there or not right", () =>
    Effect.gen(function*() {
      const check = (files: Validation.LayoutFiles) =>
        Effect.map(Validation.checkLayout(files, Option.none()), (issues) => issues.map(shown({}))).pipe(
          Effect.provide(services)
        )
      const missing: Result.Result<Uint8Array, Issue.Fact> = Result.fail({ _tag: "FileMissing" })
      assert.deepStrictEqual(yield* check({ marker: missing, index: missing }), [
        "error FileMissing oci-layout",
        "error FileMissing index.json"
      ])
      const wrong = {
        marker: Result.succeed(bytesOf(`{"imageLayoutVersion":"2"}`)),
        index: Result.succeed(bytesOf("["))
      }
      assert.deepStrictEqual(yield* check(wrong), [
        "error UnexpectedJson oci-layout/imageLayoutVersion",
        "error InvalidJson index.json/0"
      ])
    }))

  it.effect("follows eight levels, and no more", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const nest = (levels: number): Descriptor =>
        levels === 0
          ? blobs.image().manifest
          : blobs.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests: [nest(levels - 1)] })
      assert.deepStrictEqual(yield* checkDescriptor(blobs, nest(7)), [])
      assert.deepStrictEqual((yield* checkDescriptor(blobs, nest(8))).map(({ _tag }) => _tag), ["LimitExceeded"])
    }))

  it.effect(
    "reads a manifest that is listed twenty thousand times once, and stops at 100,000 descriptors",
    () =>
      Effect.gen(function*() {
        const blobs = new Blobs()
        const { manifest } = blobs.image()
        const many = (mediaType: string, descriptor: Descriptor, count: number, note: string) =>
          blobs.putJson(mediaType, {
            schemaVersion: 2,
            mediaType,
            manifests: Array.from({ length: count }, () => descriptor),
            annotations: { note }
          })
        const index = many(indexType, manifest, 20_000, "")
        assert.deepStrictEqual(yield* checkDescriptor(blobs, index), [])
        assert.strictEqual(blobs.reads.get(manifest.digest), 1)
        const manifests = Array.from({ length: 6 }, (_, number) => many(indexType, manifest, 20_000, String(number)))
        const all = blobs.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests })
        assert.deepStrictEqual(
          // The index, the six in it, and of the fifth one what is left of 100,000 after four
          (yield* checkDescriptor(blobs, all)).map(shown({ [manifests[4]?.digest ?? ""]: "fifth" })),
          ["error LimitExceeded fifth/manifests/19993"]
        )
      }),
    30_000
  )

  it.effect("finds one wrong size for each place that tells it", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const { manifest } = blobs.image()
      const manifests = [manifest, { ...manifest, size: 3 }, { ...manifest, size: 4 }]
      const index = blobs.putJson(indexType, { schemaVersion: 2, mediaType: indexType, manifests })
      assert.deepStrictEqual((yield* checkDescriptor(blobs, index)).map(shown({ [index.digest]: "index" })), [
        "error SizeMismatch index/manifests/1/size",
        "error SizeMismatch index/manifests/2/size"
      ])
    }))
})

describe("check", () => {
  it.effect("locates what is wrong with the descriptor itself", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const { manifest } = blobs.image()
      const issues = yield* checkDescriptor(blobs, { ...manifest, size: 1 })
      assert.deepStrictEqual(issues.map(shown({})), ["error SizeMismatch descriptor/size"])
      assert.match(issues[0]?.message ?? "", /expected 1 bytes, found \d+/)
    }))

  it.effect("makes an issue of a store that fails", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const { manifest } = blobs.image()
      const failing = BlobStore.of({
        get: () => Stream.fail(new StoreIo({ operation: "read", path: "blobs/x", code: "EIO" })),
        has: () => Effect.succeed(true),
        put: () => Effect.die("a check writes nothing")
      })
      const issues = yield* Effect.provideService(Validation.check(parsed(manifest)), BlobStore, failing)
      assert.deepStrictEqual(issues.map(shown({})), ["error Unreadable descriptor/digest"])
      assert.include(issues[0]?.message ?? "", "cannot read blobs/x: the device failed (EIO)")
    }).pipe(Effect.provide(services)))

  it.effect("reads nothing of a document that is too large", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const large = blobs.put(manifestType, new Uint8Array(Json.maxBytes + 1))
      assert.deepStrictEqual((yield* checkDescriptor(blobs, large)).map(shown({})), [
        "error LimitExceeded descriptor/size"
      ])
    }))

  it.effect("never fails for bytes that are anything", () =>
    Effect.gen(function*() {
      const values = [
        "",
        "null",
        "[]",
        "{",
        "{}",
        "\"x\"",
        "\u0000",
        `{"layers":{}}`,
        `{"config":[],"layers":[1,null,[]]}`
      ]
      for (const mediaType of [manifestType, indexType, ""]) {
        for (const value of values) {
          const blobs = new Blobs()
          const issues = yield* checkDescriptor(blobs, blobs.put(mediaType, bytesOf(value)))
          assert.strictEqual(
            issues.some(({ severity }) => severity === "error"),
            mediaType !== "",
            `${mediaType} ${value}`
          )
        }
      }
    }))
})

describe("checkImages", () => {
  const checkImages = (list: ImageStore["Service"]["list"], name: Option.Option<string>, blobs = new Blobs()) =>
    Effect.gen(function*() {
      const images = ImageStore.of({
        list,
        tag: () => Effect.void,
        untag: () => Effect.void,
        resolve: () => Effect.die("not asked for")
      })
      return yield* Validation.checkImages(name).pipe(
        Effect.provideService(ImageStore, images),
        Effect.provideService(BlobStore, yield* blobs.store),
        Effect.map((issues) => issues.map(shown({})))
      )
    }).pipe(Effect.provide(services))

  it.effect("checks the images of a store by name", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const image = (name: string): Image => ({
        name: Option.some(name),
        descriptor: { ...parsed(blobs.image().manifest), size: 1 }
      })
      const list = Effect.succeed([image("a"), image("b"), image("a")])
      assert.deepStrictEqual(yield* checkImages(list, Option.some("b"), blobs), [
        `warning DuplicateName images/2/annotations/${refName}`,
        "error SizeMismatch images/1/size"
      ])
      assert.strictEqual((yield* checkImages(list, Option.none(), blobs)).length, 4)
      assert.include(yield* checkImages(list, Option.some("c"), blobs), "error ImageMissing images")
    }))

  it.effect("makes an issue of a store that cannot be opened", () =>
    Effect.gen(function*() {
      const store = "out"
      const missing = new StoreMissing({ store, path: "out/oci-layout", expected: "an OCI image layout" })
      assert.deepStrictEqual(yield* checkImages(Effect.fail(missing), Option.none()), [
        "error FileMissing out/oci-layout"
      ])
      const cause = new Json.LimitExceeded({ document: "image index", limit: 1, size: 2 })
      const unreadable = new StoreUnreadable({ store, path: "index.json", cause })
      assert.deepStrictEqual(yield* checkImages(Effect.fail(unreadable), Option.none()), [
        "error LimitExceeded index.json"
      ])
      const io = new StoreIo({ operation: "open", path: "out", code: "EACCES" })
      assert.deepStrictEqual(yield* checkImages(Effect.fail(io), Option.none()), ["error Unreadable out"])
    }))
})
