import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as ImageArgument from "../src/ImageArgument.ts"

describe("ImageArgument", () => {
  it.each<[string, string, string | undefined]>([
    ["oci:out", "out", undefined],
    ["oci:out:latest", "out", "latest"],
    ["oci:/srv/images/a b:1.0", "/srv/images/a b", "1.0"],
    ["oci:.", ".", undefined],
    // As skopeo reads it: a whole reference is a tag
    ["oci:out:docker.io/library/alpine:3", "out", "docker.io/library/alpine:3"]
  ])("reads %s, and writes it back", (text, directory, tag) => {
    const parsed = Result.getOrThrow(ImageArgument.parse(text))
    assert.deepStrictEqual(parsed, { directory, tag: Option.fromUndefinedOr(tag) })
    assert.strictEqual(ImageArgument.format(parsed), text)
  })

  it.each<[string, RegExp]>([
    ["", /found no transport; write oci:DIR/],
    ["out", /found no transport; write oci:out/],
    ["./out:latest", /found no transport; write oci:\.\/out:latest/],
    ["docker://alpine", /transports that are known: oci, found "docker"/],
    ["oci-archive:out.tar", /transports that are known: oci, found "oci-archive"/],
    ["oci:", /expected a directory after oci:, found nothing/],
    ["oci::latest", /expected a directory after oci:, found nothing/],
    ["oci:out:", /a tag .*, found nothing/],
    ["oci:out:a b", /a tag .*, found "a b"/],
    ["oci:C:\\out:latest", /a tag .*a directory's path cannot hold a colon/]
  ])("refuses %j", (text, expected) => {
    const parsed = ImageArgument.parse(text)
    assert.match(Result.isFailure(parsed) ? parsed.failure.message : "it was read", expected)
  })
})
