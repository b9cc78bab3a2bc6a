import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { indexes } from "./fixtures/checks.ts"
import { checks, message, value } from "./fixtures/suites.ts"

const digest = Result.getOrThrow(Digest.parse(`sha256:${"9f".repeat(32)}`))
const descriptor = { mediaType: "a/b", digest, size: 4 }
const text = JSON.stringify(descriptor)

describe("ImageIndex", () => {
  checks(ImageIndex.check, indexes, "imageIndex", "vnd.oci.image.index")

  it.each([
    [`{"manifests":[]}`, { manifests: [] }],
    [`{"manifests":null,"mediaType":null,"subject":null,"annotations":null,"x":{}}`, { manifests: [] }],
    [
      `{"schemaVersion":2,"mediaType":"e/f","artifactType":"c/d","manifests":[${text}],"subject":${text},"annotations":{}}`,
      {
        schemaVersion: 2,
        mediaType: "e/f",
        artifactType: "c/d",
        manifests: [descriptor],
        subject: descriptor,
        annotations: {}
      }
    ]
  ])("reads %s", (text, expected) => {
    assert.deepStrictEqual(value(ImageIndex.parse, text), expected)
  })

  it.each([
    ["{}", "is not valid: /manifests (line 1, column 1): expected this member, found nothing"],
    [`{"manifests":"x"}`, "is not valid: /manifests (line 1, column 14): expected a list, found \"x\""],
    [
      `{"manifests":[${text},{}]}`,
      "is not valid: /manifests/1/mediaType (line 1, column 127): expected this member, found nothing"
    ],
    [
      `{"manifests":[],"manifests":[]}`,
      "is not I-JSON (RFC 7493): line 1, column 17 in /manifests: expected each name once in an object, found \"manifests\" again"
    ],
    [
      `{"manifests":[{"Platform":{}}]}`,
      "is not I-JSON (RFC 7493): line 1, column 16 in /manifests/0/Platform: expected \"platform\", found \"Platform\""
    ]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(ImageIndex.parse, text), `the image index ${expected}`)
  })

  it("writes what BuildKit writes", () => {
    assert.strictEqual(
      new TextDecoder().decode(ImageIndex.encode({ manifests: [] })),
      "{\n  \"schemaVersion\": 2,\n  \"manifests\": null\n}"
    )
    const all = {
      annotations: { a: "b" },
      subject: descriptor,
      manifests: [{ ...descriptor, platform: { os: "linux", architecture: "arm", variant: "v7" } }],
      artifactType: "c/d",
      mediaType: "e/f",
      schemaVersion: 2
    }
    const bytes = ImageIndex.encode(all)
    const { document, value } = Result.getOrThrow(ImageIndex.parse(bytes))
    assert.deepStrictEqual(value, all)
    assert.deepStrictEqual(
      document.members.map(({ name }) => name),
      ["schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"]
    )
    assert.deepStrictEqual(ImageIndex.encode(value), bytes)
    assert.deepStrictEqual(ImageIndex.check(bytes), [])
  })
})
