import * as Annotations from "@effect-oci/schema/Annotations"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { descriptors } from "./fixtures/checks.ts"
import { checks, message, value } from "./fixtures/suites.ts"

const hex = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
const digest = Result.getOrThrow(Digest.parse(`sha256:${hex}`))

const text = (members = "", size = "4", own = `sha256:${hex}`) =>
  `{"mediaType":"a/b","digest":"${own}","size":${size}${members}}`

describe("Descriptor", () => {
  checks(Descriptor.check, descriptors, "descriptor", "vnd.oci.descriptor")

  describe("parse", () => {
    it.each([
      ["", {}],
      [`,"urls":null,"annotations":null,"data":null,"platform":null,"artifactType":null`, {}],
      [`,"urls":[null,"x"],"annotations":{"a":null}`, { urls: ["", "x"], annotations: { a: "" } }],
      [`,"data":"?","artifactType":"?","urls":["?"]`, { data: "?", artifactType: "?", urls: ["?"] }],
      [
        `,"platform":{"architecture":"arm","os":"linux","variant":"v7","os.features":[null],"x":1}`,
        { platform: { architecture: "arm", os: "linux", variant: "v7", "os.features": [""] } }
      ]
    ])("is lenient with %s", (members, expected) => {
      assert.deepStrictEqual(value(Descriptor.parse, text(members)), { mediaType: "a/b", digest, size: 4, ...expected })
    })

    it("keeps the document as it was written", () => {
      const { document } = Result.getOrThrow(Descriptor.parse(Json.toBytes(text(`,"x-mine": {"b": 1.50, "a": null}`))))
      assert.strictEqual(Json.member(document, "x-mine"), `{"b": 1.50, "a": null}`)
      assert.deepStrictEqual(document.bytes, Json.toBytes(text(`,"x-mine": {"b": 1.50, "a": null}`)))
    })

    it("reads annotations of any name", () => {
      const { annotations } = value(Descriptor.parse, text(`,"annotations":{"__proto__":"x","constructor":"y"}`))
      assert.deepStrictEqual(Object.entries(annotations ?? {}), [["__proto__", "x"], ["constructor", "y"]])
    })

    const integer = "an integer of 64 bits without fraction or exponent"

    it.each([
      [text("", "1.0"), `/size (line 1, column 110): expected ${integer}, found 1.0`],
      [text("", "1e3"), `/size (line 1, column 110): expected ${integer}, found 1e3`],
      [text("", "9223372036854775808"), `/size (line 1, column 110): expected ${integer}, found 9223372036854775808`],
      [text("", "9".repeat(400)), `/size (line 1, column 110): expected ${integer}, found ${"9".repeat(120)}…`],
      [
        text("", "9007199254740992"),
        "/size (line 1, column 110): expected a size from 0 to 2^53 - 1, found 9007199254740992"
      ],
      [text("", "-1"), "/size (line 1, column 110): expected a size from 0 to 2^53 - 1, found -1"],
      [text("", "\"4\""), "/size (line 1, column 110): expected a number, found \"4\""],
      [text("", "null"), "/size (line 1, column 110): expected a number, found null"],
      [
        text("", "1", "sha256:../../x"),
        "/digest (line 1, column 29): expected 64 lower-case hexadecimal digits after \"sha256:\", found \"sha256:../../x\""
      ],
      ["{\n  \"digest\": \"\"\n}", "/mediaType (line 1, column 1): expected this member, found nothing"],
      [
        text(`,"platform":{"os":"linux"}`),
        "/platform/architecture (line 1, column 123): expected this member, found nothing"
      ],
      [
        text(`,\n"annotations":{"a/b~\u202e":[1]}`),
        "/annotations/a~1b~0\\u202e (line 2, column 24): expected a string, found a list"
      ],
      [text(`,"urls":{}`), "/urls (line 1, column 119): expected a list, found an object"],
      ["[]", "the document (line 1, column 1): expected an object, found a list"],
      ["null", "the document (line 1, column 1): expected an object, found null"]
    ])("says of %s what is wrong", (text, expected) => {
      assert.strictEqual(message(Descriptor.parse, text), `the descriptor is not valid: ${expected}`)
    })

    it("refuses names that Go would read", () => {
      assert.strictEqual(
        message(Descriptor.parse, text(`,"dige\u017ft":"x"`)),
        "the descriptor is not I-JSON (RFC 7493): line 1, column 112 in /dige\u017ft: expected \"digest\", found \"dige\u017ft\""
      )
      assert.include(message(Descriptor.parse, text(`,"platform":{"OS":"x"}`)), "in /platform/OS: expected \"os\"")
      assert.notInclude(message(Descriptor.parse, text(`,"annotations":{"OS":"x","Size":""}`)), "expected")
    })
  })

  it("is written in Go's order, without empty members", () => {
    const encoded = (self: Descriptor.Descriptor) => Json.stringify(Descriptor.toEncodable(self))
    const small = `{"mediaType":"a/b","digest":"${digest}","size":0`
    assert.strictEqual(encoded({ size: 0, digest, mediaType: "a/b" }), `${small}}`)
    assert.strictEqual(
      encoded({
        artifactType: "",
        data: "",
        urls: [],
        annotations: {},
        size: 0,
        digest,
        mediaType: "a/b",
        platform: { os: "", architecture: "", variant: "", "os.version": "", "os.features": [] }
      }),
      `${small},"platform":{"architecture":"","os":""}}`
    )
    assert.strictEqual(
      encoded({
        artifactType: "c/d",
        platform: { "os.features": ["f"], "os.version": "1", variant: "v8", os: "linux", architecture: "arm64" },
        data: "QQ==",
        annotations: { b: "<", a: "", "10": "", "9": "" },
        urls: ["u"],
        size: 0,
        digest,
        mediaType: "a/b"
      }),
      `${small},"urls":["u"],"annotations":{"10":"","9":"","a":"","b":"\\u003c"},"data":"QQ==","platform":` +
        `{"architecture":"arm64","os":"linux","os.version":"1","os.features":["f"],"variant":"v8"},"artifactType":"c/d"}`
    )
  })

  it("is read back as it was written", () => {
    const self: Descriptor.Descriptor = {
      mediaType: "a/b",
      digest,
      size: Number.MAX_SAFE_INTEGER,
      annotations: Object.fromEntries([["__proto__", "<\u2028>"]]),
      platform: { architecture: "arm64", os: "linux" }
    }
    assert.deepStrictEqual(value(Descriptor.parse, Json.stringify(Descriptor.toEncodable(self))), self)
  })

  describe("encoder", () => {
    it.each([
      [{ [Annotations.encoder]: "gzip-1" }, "gzip-1"],
      [{}, undefined],
      [undefined, undefined]
    ])("of %j is %j", (annotations, expected) => {
      const descriptor = { mediaType: "a/b", digest, size: 0 }
      assert.strictEqual(
        Descriptor.encoder(annotations === undefined ? descriptor : { ...descriptor, annotations }),
        expected
      )
    })
  })

  describe("diffId", () => {
    const of = (annotations: Annotations.Annotations) =>
      Descriptor.diffId({ mediaType: "a/b", digest, size: 0, annotations })

    it("is the annotation of containerd", () => {
      assert.strictEqual(Result.getOrThrow(of({ [Annotations.uncompressed]: digest })), digest)
    })

    it.each([[{}], [{ [Annotations.uncompressed]: "" }], [{ [Annotations.uncompressed]: "sha256:x" }]])(
      "is missing from %j",
      (annotations) => {
        const { _tag, message } = Result.getOrThrow(Result.flip(of(annotations)))
        assert.strictEqual(_tag, "MissingDiffId")
        assert.include(message, `the layer ${digest} has no diff ID`)
      }
    )
  })
})
