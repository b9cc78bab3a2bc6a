import * as Whiteout from "@effect-oci/core/Whiteout"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { failureOf } from "./values.ts"

describe("parse", () => {
  const rows: ReadonlyArray<readonly [string, Whiteout.Meaning]> = [
    [".", { kind: "file" }],
    ["a", { kind: "file" }],
    ["a/b.wh.c", { kind: "file" }],
    ["a.wh./b", { kind: "file" }],
    [".wh", { kind: "file" }],
    [".wha", { kind: "file" }],
    [".WH.a", { kind: "file" }],
    [".wh.a", { kind: "whiteout", hides: "a" }],
    ["d/.wh.a", { kind: "whiteout", hides: "d/a" }],
    ["d/e/.wh..hidden", { kind: "whiteout", hides: "d/e/.hidden" }],
    [".wh....", { kind: "whiteout", hides: "..." }],
    [".wh. ", { kind: "whiteout", hides: " " }],
    [".wh.wh.", { kind: "whiteout", hides: "wh." }],
    [".wh..whx", { kind: "whiteout", hides: ".whx" }],
    [".wh..wh", { kind: "whiteout", hides: ".wh" }],
    [".wh..wh..opq", { kind: "opaque", hides: "." }],
    ["d/.wh..wh..opq", { kind: "opaque", hides: "d" }],
    ["d/e/.wh..wh..opq", { kind: "opaque", hides: "d/e" }],
    [".wh..wh.plnk", { kind: "aufs" }],
    [".wh..wh.plnk/12.34", { kind: "aufs" }],
    [".wh..wh.aufs", { kind: "aufs" }],
    [".wh..wh.orph", { kind: "aufs" }],
    [".wh..wh.", { kind: "aufs" }],
    [".wh..wh.opq", { kind: "aufs" }],
    ["d/.wh..wh..opqx", { kind: "aufs" }]
  ]
  it.each(rows)("tells what %s means", (path, meaning) => {
    assert.deepStrictEqual(Result.getOrThrow(Whiteout.parse(path)), meaning)
  })

  it.each([
    ".wh.",
    ".wh..",
    ".wh...",
    "d/.wh.",
    "d/.wh..",
    "d/.wh...",
    ".wh.a/b",
    "d/.wh.a/b/c",
    ".wh..wh..opq/a",
    ".wh..wh.plnk/.wh.a/b",
    ".wh.a/.wh..wh..opq"
  ])("refuses %s", (path) => {
    const error = failureOf(Whiteout.parse(path))
    assert.strictEqual(
      error.message,
      `${
        JSON.stringify(path)
      } is not a valid whiteout: expected .wh. with the name of a file after it, and nothing below`
    )
  })
})

describe("of and opaque", () => {
  it.each(["a", "d/a", "d/.hidden", "d/e/..."])("make what is read as %s", (path) => {
    assert.deepStrictEqual(Result.getOrThrow(Whiteout.parse(Whiteout.of(path))), { kind: "whiteout", hides: path })
    assert.deepStrictEqual(Result.getOrThrow(Whiteout.parse(Whiteout.opaque(path))), { kind: "opaque", hides: path })
  })

  it("mark the root", () => {
    assert.strictEqual(Whiteout.opaque("."), ".wh..wh..opq")
  })
})
