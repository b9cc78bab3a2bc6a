import * as Digest from "@effect-oci/schema/Digest"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { message, value } from "./fixtures/suites.ts"

const digest = Result.getOrThrow(Digest.parse(`sha256:${"9f".repeat(32)}`))

describe("RefDocument", () => {
  it.each([
    ["a", true],
    ["0", true],
    ["base-12.4_x", true],
    ["a".repeat(128), true],
    ["a..b", true],
    ["a".repeat(129), false],
    ["", false],
    [".a", false],
    ["-a", false],
    ["_a", false],
    ["A", false],
    ["aB", false],
    ["a/b", false],
    ["../a", false],
    ["a b", false],
    ["a\n", false],
    ["é", false]
  ])("%j is a name: %j", (text, expected) => {
    assert.strictEqual(RefDocument.isName(text), expected)
  })

  const full: RefDocument.RefDocument = {
    parent: "base",
    description: "COPY . /app <here>",
    created: Result.getOrThrow(Timestamp.parse("2019-07-22T02:12:25.123456789+02:00")),
    layer: { mediaType: "a/b", digest, size: 4 },
    diffId: digest,
    encoder: "gzip-1/zlib-1.3 <patched>",
    origin: "oci:out:latest"
  }

  it("is written for people to read, and read back", () => {
    const bytes = RefDocument.encode(full)
    assert.strictEqual(
      new TextDecoder().decode(bytes),
      `{\n  "version": 1,\n  "parent": "base",\n  "description": "COPY . /app \\u003chere\\u003e",\n` +
        `  "created": "2019-07-22T02:12:25.123456789+02:00",\n  "layer": {\n    "mediaType": "a/b",\n` +
        `    "digest": "${digest}",\n    "size": 4\n  },\n  "diffId": "${digest}",\n` +
        `  "encoder": "gzip-1/zlib-1.3 \\u003cpatched\\u003e",\n  "origin": "oci:out:latest"\n}\n`
    )
    assert.deepStrictEqual(Result.getOrThrow(RefDocument.parse(bytes)).value, full)
    assert.strictEqual(new TextDecoder().decode(RefDocument.encode({})), "{\n  \"version\": 1\n}\n")
  })

  it("takes over what is known of a layer", () => {
    const layer = { mediaType: "a/b", digest, size: 4 }
    const ofLayer = { descriptor: layer, diffId: digest }
    assert.deepStrictEqual(RefDocument.ofLayer(ofLayer), { layer, diffId: digest })
    assert.deepStrictEqual(RefDocument.ofLayer({ ...ofLayer, encoder: "x" }), { layer, diffId: digest, encoder: "x" })
  })

  it.each([
    [`{"version":1}`, {}],
    [
      `{"version":1,"parent":null,"description":null,"created":null,"layer":null,"diffId":null,"encoder":null,"origin":null,"x":[1.5]}`,
      {}
    ],
    [`{"description":"","version":1}`, { description: "" }],
    [`{"version":1,"diffId":"${digest}"}`, { diffId: digest }]
  ])("reads %s", (text, expected) => {
    assert.deepStrictEqual(value(RefDocument.parse, text), expected)
  })

  it.each([
    ["{}", "is not valid: /version (line 1, column 1): expected this member, found nothing"],
    [
      `{"version":2,"parent":1}`,
      "is not valid: /version (line 1, column 12): expected version 1, the only one known, found 2"
    ],
    [
      `{"version":1.0}`,
      "is not valid: /version (line 1, column 12): expected an integer of 64 bits without fraction or exponent, found 1.0"
    ],
    [
      `{"version":0}`,
      "is not valid: /version (line 1, column 12): expected version 1, the only one known, found 0"
    ],
    [`{"version":"1"}`, "is not valid: /version (line 1, column 12): expected a number, found \"1\""],
    [`{"version":1,"parent":[]}`, "is not valid: /parent (line 1, column 23): expected a string, found a list"],
    [
      `{"version":1,"created":"now"}`,
      "is not valid: /created (line 1, column 24): expected an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z, found \"now\""
    ],
    [
      `{"version":1,"diffId":"sha256:../x"}`,
      "is not valid: /diffId (line 1, column 23): expected 64 lower-case hexadecimal digits after \"sha256:\", found \"sha256:../x\""
    ],
    [
      `{"version":1,"layer":{"mediaType":"a/b"}}`,
      "is not valid: /layer/digest (line 1, column 22): expected this member, found nothing"
    ],
    [`{"version":1,"origin":1}`, "is not valid: /origin (line 1, column 23): expected a string, found 1"],
    [`{"version":1,"encoder":1}`, "is not valid: /encoder (line 1, column 24): expected a string, found 1"],
    [
      `{"version":1,"Encoder":"x"}`,
      "is not I-JSON (RFC 7493): line 1, column 14 in /Encoder: expected \"encoder\", found \"Encoder\""
    ],
    [
      `{"version":1,"Parent":"x"}`,
      "is not I-JSON (RFC 7493): line 1, column 14 in /Parent: expected \"parent\", found \"Parent\""
    ],
    ["", "is not JSON: line 1, column 1: expected a value, found the end of the text"]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(RefDocument.parse, text), `the ref document ${expected}`)
  })
})
