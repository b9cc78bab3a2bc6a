import * as Digest from "@effect-oci/schema/Digest"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { manifests } from "./fixtures/checks.ts"
import { checks, message, value } from "./fixtures/suites.ts"

const digest = Result.getOrThrow(Digest.parse(`sha256:${"9f".repeat(32)}`))
const descriptor = { mediaType: "a/b", digest, size: 4 }
const text = JSON.stringify(descriptor)

describe("ImageManifest", () => {
  checks(ImageManifest.check, manifests, "manifest", "vnd.oci.image.manifest")

  it.each([
    [`{"config":${text},"layers":[]}`, { config: descriptor, layers: [] }],
    [`{"config":${text},"layers":null}`, { config: descriptor, layers: [] }],
    [
      `{"x":1,"schemaVersion":1,"mediaType":null,"config":${text},"layers":[${text}],"subject":null,"annotations":null}`,
      { schemaVersion: 1, config: descriptor, layers: [descriptor] }
    ],
    [
      `{"mediaType":"?","artifactType":"","config":${text},"layers":[],"subject":${text},"annotations":{"a":null}}`,
      { mediaType: "?", artifactType: "", config: descriptor, layers: [], subject: descriptor, annotations: { a: "" } }
    ]
  ])("reads %s", (text, expected) => {
    assert.deepStrictEqual(value(ImageManifest.parse, text), expected)
  })

  it.each([
    [`{"layers":[]}`, "is not valid: /config (line 1, column 1): expected this member, found nothing"],
    [`{"config":null,"layers":[]}`, "is not valid: /config (line 1, column 11): expected an object, found null"],
    [`{"config":${text}}`, "is not valid: /layers (line 1, column 1): expected this member, found nothing"],
    [`{"config":${text},"layers":{}}`, "is not valid: /layers (line 1, column 132): expected a list, found an object"],
    [
      `{"config":${text},"layers":[\n null]}`,
      "is not valid: /layers/0 (line 2, column 2): expected an object, found null"
    ],
    [
      `{"schemaVersion":2.0,"config":${text},"layers":[]}`,
      "is not valid: /schemaVersion (line 1, column 18): expected an integer of 64 bits without fraction or exponent, found 2.0"
    ],
    [
      `{"config":${text},"layers":[],"Layers":[]}`,
      "is not I-JSON (RFC 7493): line 1, column 135 in /Layers: expected \"layers\", found \"Layers\""
    ],
    [
      `{"config":${text},"layers":[`,
      "is not JSON: line 1, column 133 in /layers/0: expected a value, found the end of the text"
    ]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(ImageManifest.parse, text), `the image manifest ${expected}`)
  })

  it.each(["config", "layers", "subject", "mediaType", "artifactType", "annotations", "schemaVersion"])(
    "refuses every other case of %s",
    (name) => {
      const folded = name.replace("s", "\u017f")
      const others = [name.toUpperCase(), name.charAt(0).toUpperCase() + name.slice(1), folded].filter((it) =>
        it !== name
      )
      for (const other of others) assert.include(message(ImageManifest.parse, `{"${other}":1}`), `expected "${name}"`)
    }
  )

  it("refuses every other case of a layer's members", () => {
    for (const place of [`"config":`, `"subject":`, `"layers":[{},`]) {
      const close = place.endsWith(",") ? "]" : ""
      assert.include(message(ImageManifest.parse, `{${place}{"Size":1}${close}}`), "expected \"size\"", place)
    }
  })

  it("writes what BuildKit writes", () => {
    const written = new TextDecoder().decode(ImageManifest.encode({ config: descriptor, layers: [] }))
    assert.strictEqual(
      written,
      `{\n  "schemaVersion": 2,\n  "config": {\n    "mediaType": "a/b",\n    "digest": "${digest}",\n    "size": 4\n  },\n` +
        `  "layers": null\n}`
    )
    const all = {
      annotations: { b: "&", a: "" },
      subject: descriptor,
      layers: [descriptor],
      config: descriptor,
      artifactType: "c/d",
      mediaType: "e/f",
      schemaVersion: 2
    }
    const bytes = ImageManifest.encode(all)
    const { document, value } = Result.getOrThrow(ImageManifest.parse(bytes))
    assert.deepStrictEqual(value, all)
    assert.deepStrictEqual(
      document.members.map(({ name }) => name),
      ["schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"]
    )
    assert.strictEqual(Json.member(document, "annotations"), "{\n    \"a\": \"\",\n    \"b\": \"\\u0026\"\n  }")
    assert.deepStrictEqual(ImageManifest.encode(value), bytes)
    assert.deepStrictEqual(ImageManifest.check(bytes), [])
  })
})
