import { BlobStore } from "@effect-oci/core/BlobStore"
import * as Difference from "@effect-oci/core/Difference"
import * as ImageTree from "@effect-oci/core/ImageTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { gzipSync } from "node:zlib"
import { Blobs, configType, type Descriptor, indexType, layerOf, manifestType, parsed } from "./images.ts"
import { services } from "./services.ts"
import { bytesOf, digestOf } from "./values.ts"

type Edits = NonNullable<Parameters<Blobs["image"]>[0]>

const load = (blobs: Blobs, descriptor: Descriptor) =>
  Effect.gen(function*() {
    return yield* Effect.provideService(ImageTree.get(parsed(descriptor)), BlobStore, yield* blobs.store)
  }).pipe(Effect.provide(services))

const compare = (left: (blobs: Blobs) => Descriptor, right: (blobs: Blobs) => Descriptor) =>
  Effect.gen(function*() {
    const blobs = new Blobs()
    return Difference.between(yield* load(blobs, left(blobs)), yield* load(blobs, right(blobs)))
  })

const sound = (blobs: Blobs): Descriptor => blobs.image().manifest

const edited = (edits: Edits) => (blobs: Blobs): Descriptor => blobs.image(edits).manifest

const shown = ({ _tag, formatting, image, left, pointer, right, rule, where }: Difference.Difference): string =>
  [
    _tag,
    image === "" ? where : `${image} ${where}`,
    pointer,
    left ?? "",
    right ?? "",
    ...(rule === undefined ? [] : [rule]),
    ...(formatting ?? [])
  ].join("|")

const withMember = (name: string, value: unknown) => (document: object) => ({ ...document, [name]: value })

/** An image whose config is a text, and its manifest written by `write`. */
const written = (config: string, write: (manifest: object) => string = JSON.stringify) => (blobs: Blobs): Descriptor =>
  blobs.put(
    manifestType,
    bytesOf(
      write({ schemaVersion: 2, mediaType: manifestType, config: blobs.put(configType, bytesOf(config)), layers: [] })
    )
  )

const history = (...created: ReadonlyArray<string>) =>
  created.map((time, index) => ({ created: time, created_by: `step ${index}` }))

const second = (text: string, level?: number) => {
  const layer = layerOf(text)
  return level === undefined ? layer : { ...layer, content: new Uint8Array(gzipSync(text, { level })) }
}

const text = (value: unknown): string => JSON.stringify(value)

/** Two images, what they differ in, and the sentence that says it. */
type Case = readonly [
  string,
  readonly [left: (blobs: Blobs) => Descriptor, right: (blobs: Blobs) => Descriptor],
  ReadonlyArray<string>,
  string
]

const cases: ReadonlyArray<Case> = [
  ["nothing", [sound, sound], [], "The digests are the same."],
  [
    "the content of a layer",
    [sound, edited({ layers: [layerOf("first layer"), layerOf("another layer")] })],
    [`LayerContent|manifest|/layers/1|${text(digestOf("second layer"))}|${text(digestOf("another layer"))}`],
    "The digest changed because layer 1 has other content."
  ],
  [
    "a layer between two",
    [
      edited({ layers: [layerOf("a"), layerOf("c")], config: withMember("history", null) }),
      edited({ layers: [layerOf("a"), layerOf("b"), layerOf("c")], config: withMember("history", null) })
    ],
    [`LayerAdded|manifest|/layers/1||${text(digestOf("b"))}`],
    "The digest changed because layer 1 was added."
  ],
  [
    "a layer less",
    [
      edited({ layers: [layerOf("a"), layerOf("b")], config: withMember("history", null) }),
      edited({ layers: [layerOf("a")], config: withMember("history", null) })
    ],
    [`LayerRemoved|manifest|/layers/1|${text(digestOf("b"))}|`],
    "The digest changed because layer 1 was removed."
  ],
  [
    "the encoder of a layer",
    [
      edited({ layers: [layerOf("first layer"), second("second".repeat(99), 1)] }),
      edited({ layers: [layerOf("first layer"), second("second".repeat(99), 9)] })
    ],
    ["LayerEncoder|manifest|/layers/1|…|…|encoder"],
    "The digest changed because layer 1 was compressed by another encoder; the same version of the same encoder would " +
    "make the images equal."
  ],
  [
    "the compression of a layer",
    [
      sound,
      edited({
        layers: [
          layerOf("first layer"),
          {
            content: bytesOf("second layer"),
            diffId: digestOf("second layer"),
            mediaType: "application/vnd.oci.image.layer.v1.tar"
          }
        ]
      })
    ],
    [
      "LayerCompression|manifest|/layers/1|\"application/vnd.oci.image.layer.v1.tar+gzip\"|" +
      "\"application/vnd.oci.image.layer.v1.tar\"|compression"
    ],
    "The digest changed because layer 1 is compressed in another format; the same compression would make the images equal."
  ],
  [
    "a setting",
    [sound, edited({ config: withMember("config", { Env: ["A=c"], Cmd: ["/app"] }) })],
    ["Member|config|/config/Env/0|\"A=b\"|\"A=c\""],
    "The digest changed because the config differs at /config/Env/0."
  ],
  [
    "a setting that is null",
    [
      edited({ config: withMember("config", { Cmd: null }) }),
      edited({ config: withMember("config", {}) })
    ],
    ["Member|config|/config/Cmd|null|"],
    "The digest changed because the config differs at /config/Cmd."
  ],
  [
    "an item of the history",
    [
      edited({ config: withMember("history", [{ created_by: "a" }, { created_by: "c" }]) }),
      edited({
        config: withMember("history", [{ created_by: "a" }, { created_by: "b", empty_layer: true }, {
          created_by: "c"
        }])
      })
    ],
    [`History|config|/history/1||{"created_by":"b","empty_layer":true}`],
    "The digest changed because item 1 of the history differs."
  ],
  [
    "times",
    [
      edited({
        config: (config) => ({
          ...config,
          created: "2024-01-01T00:00:00Z",
          history: history("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z")
        })
      }),
      edited({
        config: (config) => ({
          ...config,
          created: "2025-01-01T00:00:00Z",
          history: history("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z")
        })
      })
    ],
    [
      "Time|config|/created|\"2024-01-01T00:00:00Z\"|\"2025-01-01T00:00:00Z\"|epoch",
      "Time|config|/history/1/created|\"2024-01-01T00:00:00Z\"|\"2025-01-01T00:00:00Z\"|epoch"
    ],
    "The digest changed because 2 times differ, first /created; an epoch would make the images equal."
  ],
  [
    "the offset of a time, and a setting",
    [
      edited({ config: (config) => ({ ...config, author: "a", created: "2024-01-01T00:00:00Z" }) }),
      edited({ config: (config) => ({ ...config, author: "b", created: "2024-01-01T02:00:00+02:00" }) })
    ],
    [
      "Member|config|/author|\"a\"|\"b\"",
      "Time|config|/created|\"2024-01-01T00:00:00Z\"|\"2024-01-01T02:00:00+02:00\"|utc"
    ],
    "The digest changed because the config differs at /author and the time /created differs; the preset effect-oci-1, " +
    "which writes times in UTC, would make the times equal."
  ],
  [
    "an annotation",
    [sound, edited({ manifest: withMember("annotations", { "a/b~c": "x" }) })],
    [`Member|manifest|/annotations||{"a/b~c":"x"}`],
    "The digest changed because the manifest differs at /annotations."
  ],
  [
    "the media type of the config",
    [
      sound,
      edited({
        manifest: (self) => ({
          ...self,
          config: { ...Object(self["config"]), mediaType: "application/vnd.docker.container.image.v1+json" }
        })
      })
    ],
    [
      `Member|manifest|/config/mediaType|${
        text(configType)
      }|"application/vnd.docker.container.image.v1+json"|media-types`
    ],
    "The digest changed because the manifest differs at /config/mediaType; the same media types would make the images equal."
  ],
  [
    "white space in the config",
    [written(`{"os":"linux","x":[1,2]}`), written(`{"os": "linux", "x": [1, 2]}`)],
    ["Formatting|config||||white space"],
    "The digest changed because the config is written in another way (white space)."
  ],
  [
    "white space inside of a list",
    [written(`{"os":"linux","x":[1,2]}`), written(`{"os":"linux","x":[1, 2]}`)],
    ["Formatting|config||||white space"],
    "The digest changed because the config is written in another way (white space)."
  ],
  [
    "white space in the manifest",
    [written("{}"), written("{}", (manifest) => JSON.stringify(manifest, null, 2))],
    ["Formatting|manifest||||white space"],
    "The digest changed because the manifest is written in another way (white space)."
  ],
  [
    "order, escapes and numbers",
    [
      written(`{"a":"<","b":[{"n":1},{"m":100}],"é":1}`),
      written(`{"b":[{"n":1.0},{"m":1e2}],"a":"\\u003c","\\u00e9":1}`)
    ],
    ["Formatting|config||||member order|escapes|number spelling"],
    "The digest changed because the config is written in another way (member order, escapes, number spelling)."
  ],
  [
    "numbers that JavaScript takes for one",
    [written(`{"a":9007199254740993}`), written(`{"a":9007199254740992}`)],
    ["Member|config|/a|9007199254740993|9007199254740992"],
    "The digest changed because the config differs at /a."
  ],
  [
    "a name that every object has",
    [written(`{"__proto__":1}`), written(`{"constructor":1}`)],
    ["Member|config|/__proto__|1|", "Member|config|/constructor||1"],
    "The digest changed because the config differs at 2 places, first /__proto__."
  ]
]

const platform = (architecture: string) => ({ platform: { os: "linux", architecture } })

/** An index of images by architecture. */
const index = (blobs: Blobs, images: Readonly<Record<string, Descriptor>>, more: ReadonlyArray<object> = []) =>
  blobs.putJson(indexType, {
    schemaVersion: 2,
    mediaType: indexType,
    manifests: [
      ...Object.entries(images).map(([architecture, image]) => Object.assign(platform(architecture), image)),
      ...more
    ]
  })

const other = edited({ config: withMember("author", "me") })

const attestation = (blobs: Blobs, image: Descriptor, note = "") => ({
  ...blobs.image({
    layers: [{ ...layerOf(`about ${image.digest} ${note}`), mediaType: "application/vnd.in-toto+json" }]
  }).manifest,
  platform: { os: "unknown", architecture: "unknown" },
  annotations: { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image.digest }
})

const indexes: ReadonlyArray<Case> = [
  [
    "one image of two",
    [
      (blobs) => index(blobs, { amd64: sound(blobs), arm64: sound(blobs) }),
      (blobs) => index(blobs, { amd64: sound(blobs), arm64: other(blobs) })
    ],
    ["Member|linux/arm64 config|/author||\"me\""],
    "The digest changed because the config differs at /author of linux/arm64."
  ],
  [
    "the list of platforms",
    [
      (blobs) => index(blobs, { amd64: sound(blobs), arm64: sound(blobs) }),
      (blobs) => index(blobs, { arm64: sound(blobs), riscv64: sound(blobs) })
    ],
    ["ImageAdded|linux/riscv64 index|/manifests/1||…", "ImageRemoved|linux/amd64 index|/manifests/0|…|"],
    "The digest changed because the index also lists linux/riscv64 and the index does not list linux/amd64 any more."
  ],
  [
    "the order of platforms",
    [
      (blobs) => index(blobs, { amd64: sound(blobs), arm64: other(blobs) }),
      (blobs) => index(blobs, { arm64: other(blobs), amd64: sound(blobs) })
    ],
    ["Formatting|index||||order of images"],
    "The digest changed because the index is written in another way (order of images)."
  ],
  [
    "an image, and what is attested of it",
    [
      (blobs) => index(blobs, { amd64: sound(blobs) }, [attestation(blobs, sound(blobs))]),
      (blobs) => index(blobs, { amd64: other(blobs) }, [attestation(blobs, other(blobs))])
    ],
    ["Member|linux/amd64 config|/author||\"me\""],
    "The digest changed because the config differs at /author of linux/amd64."
  ],
  [
    "only what is attested",
    [
      (blobs) => index(blobs, { amd64: sound(blobs) }, [attestation(blobs, sound(blobs))]),
      (blobs) => index(blobs, { amd64: sound(blobs) }, [attestation(blobs, sound(blobs), "otherwise")])
    ],
    ["LayerContent|attestation-manifest of linux/amd64 manifest|/layers/0|…|…"],
    "The digest changed because layer 0 of attestation-manifest of linux/amd64 has other content."
  ],
  [
    "an annotation of a descriptor",
    [
      (blobs) => index(blobs, { amd64: sound(blobs) }),
      (blobs) => index(blobs, { amd64: Object.assign({ annotations: { a: "b" } }, sound(blobs)) })
    ],
    [`Member|linux/amd64 index|/manifests/0/annotations||{"a":"b"}`],
    "The digest changed because the index differs at /manifests/0/annotations of linux/amd64."
  ],
  [
    "an index, and an image that differs from its only one",
    [(blobs) => index(blobs, { amd64: sound(blobs) }), other],
    [`Kind|index||${text(indexType)}|${text(manifestType)}`, "Member|config|/author||\"me\""],
    "The digest changed because one is an index and the other is not and the config differs at /author."
  ]
]

describe("between", () => {
  it.effect.each([...cases, ...indexes])("tells %s", ([, [left, right], expected, sentence]) =>
    Effect.gen(function*() {
      const report = yield* compare(left, right)
      // Digests of blobs are not known beforehand
      const found = report.differences.map(shown).map((line, at) =>
        (expected[at] ?? "").includes("…") ? line.replaceAll(/"sha256:[0-9a-f]{64}"/g, "…") : line
      )
      assert.deepStrictEqual(found, expected)
      assert.strictEqual(report.sentence, sentence)
      assert.strictEqual(report.isEqual, expected.length === 0)
    }))

  it.effect("tells the same the other way round", () =>
    Effect.gen(function*() {
      for (const [, [left, right]] of [...cases, ...indexes]) {
        const there = yield* compare(left, right)
        const back = yield* compare(right, left)
        assert.strictEqual(there.isEqual, back.isEqual)
        assert.strictEqual(there.differences.length, back.differences.length)
      }
    }))

  it.effect("ends in time for lists that are nested as deep as JSON may be", () =>
    Effect.gen(function*() {
      const nest = (text: string) => `{"x":${"[0,".repeat(2000)}${text}${"]".repeat(2000)}}`
      const { differences } = yield* compare(written(nest("1")), written(nest("2")))
      assert.deepStrictEqual(differences.map(({ _tag }) => _tag), ["Member"])
    }))
})

describe("ImageTree", () => {
  it.effect("refuses documents that are not valid, not there, too many or too deep", () =>
    Effect.gen(function*() {
      const blobs = new Blobs()
      const fail = (descriptor: Descriptor) => Effect.flip(load(blobs, descriptor))
      const notThere = { mediaType: manifestType, digest: digestOf("x"), size: 1 }
      assert.match((yield* fail(notThere)).message, /^cannot read sha256:/)
      const invalid = yield* fail(blobs.put(manifestType, bytesOf("{}")))
      assert.strictEqual(invalid._tag === "DocumentUnreadable" ? invalid.cause._tag : "", "UnexpectedJson")
      const nest = (levels: number): Descriptor =>
        levels === 0 ? sound(blobs) : index(blobs, { amd64: nest(levels - 1) })
      assert.strictEqual((yield* load(blobs, nest(ImageTree.maxLevels - 1)))._tag, "Index")
      assert.strictEqual((yield* fail(nest(ImageTree.maxLevels)))._tag, "ImageTooLarge")
      const large = { ...notThere, size: 2 ** 40 }
      const tooLarge = yield* fail(large)
      assert.strictEqual(tooLarge._tag === "DocumentUnreadable" ? tooLarge.cause._tag : "", "LimitExceeded")
      const padded = blobs.put(configType, bytesOf(`{}${" ".repeat(4_000_000)}`))
      const manifest = blobs.putJson(manifestType, {
        schemaVersion: 2,
        mediaType: manifestType,
        config: padded,
        layers: []
      })
      const many = blobs.putJson(indexType, { schemaVersion: 2, manifests: Array.from({ length: 20 }, () => manifest) })
      assert.strictEqual((yield* fail(many))._tag, "ImageTooLarge")
    }))
})
