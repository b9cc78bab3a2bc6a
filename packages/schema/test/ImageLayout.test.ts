import * as ImageLayout from "@effect-oci/schema/ImageLayout"
import { assert, describe, it } from "@effect/vitest"
import { layouts } from "./fixtures/checks.ts"
import { checks, message, value } from "./fixtures/suites.ts"

describe("ImageLayout", () => {
  checks(ImageLayout.check, layouts, "imageLayout", "vnd.oci.layout.header")

  it("reads any version", () => {
    assert.deepStrictEqual(value(ImageLayout.parse, ` {"x":1,"imageLayoutVersion":"2.0.0-x"}\n`), {
      imageLayoutVersion: "2.0.0-x"
    })
  })

  it.each([
    ["{}", "is not valid: /imageLayoutVersion (line 1, column 1): expected this member, found nothing"],
    [`{"imageLayoutVersion":1}`, "is not valid: /imageLayoutVersion (line 1, column 23): expected a string, found 1"],
    [
      `{"imagelayoutversion":"1.0.0"}`,
      "is not I-JSON (RFC 7493): line 1, column 2 in /imagelayoutversion: " +
      "expected \"imageLayoutVersion\", found \"imagelayoutversion\""
    ],
    [`{"imageLayoutVersion":"1.0.0"}${" ".repeat(4096)}`, "has 4126 bytes; at most 4096 are read"]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(ImageLayout.parse, text), `the image layout ${expected}`)
  })

  it("writes the version that it knows", () => {
    const bytes = ImageLayout.encode()
    assert.strictEqual(new TextDecoder().decode(bytes), `{"imageLayoutVersion":"1.0.0"}`)
    assert.deepStrictEqual(ImageLayout.check(bytes), [])
  })
})
