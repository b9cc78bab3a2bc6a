import * as Annotations from "@effect-oci/schema/Annotations"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const decode = Schema.decodeUnknownResult(Annotations.Annotations)

describe("Annotations", () => {
  it.each([
    [{}, {}],
    [{ "containerd.io/uncompressed": "x", "buildkit/createdat": "y" }, {}],
    [{ "containerd.io/uncompressed": "x", "": "empty", a: "" }, { "": "empty", a: "" }],
    [{ "containerd.io/distribution.source.docker.io": "library/alpine" }, {}],
    [
      {
        "containerd.io/distribution.source.": "x",
        "containerd.io/distribution.source": "kept",
        "Containerd.io/distribution.source.x": "kept",
        "containerd.io/uncompressed.x": "kept",
        "buildkit/rewritten-timestamp": "1700000000"
      },
      {
        "containerd.io/distribution.source": "kept",
        "Containerd.io/distribution.source.x": "kept",
        "containerd.io/uncompressed.x": "kept",
        "buildkit/rewritten-timestamp": "1700000000"
      }
    ]
  ])("leaves the internal keys out of %j", (input, expected) => {
    const before = structuredClone(input)
    assert.deepStrictEqual(Annotations.withoutInternal(input), expected)
    assert.deepStrictEqual(input, before)
  })

  it("keeps a key __proto__ as a key", () => {
    const read: unknown = JSON.parse("{\"__proto__\":\"x\",\"constructor\":\"y\",\"buildkit/createdat\":\"z\"}")
    const annotations = Annotations.withoutInternal(Result.getOrThrow(decode(read)))
    assert.deepStrictEqual(Object.entries(annotations), [["__proto__", "x"], ["constructor", "y"]])
    assert.deepStrictEqual(
      Annotations.toEncodable(annotations),
      new Map([["__proto__", "x"], ["constructor", "y"]])
    )
  })

  it("reads null as empty, and refuses what is not text", () => {
    assert.deepStrictEqual(decode({ a: null }), Result.succeed({ a: "" }))
    assert.isTrue(Result.isFailure(decode({ a: 1 })))
    assert.isTrue(Result.isFailure(decode(["a"])))
  })

  it("encodes none as nothing", () => {
    assert.isUndefined(Annotations.toEncodable({}))
    assert.isUndefined(Annotations.toEncodable(undefined))
  })

  it.prop("leaves the same out the second time", [Annotations.Annotations], ([annotations]) => {
    const once = Annotations.withoutInternal({ ...annotations, [Annotations.uncompressed]: "x" })
    assert.isFalse(Object.hasOwn(once, Annotations.uncompressed))
    assert.deepStrictEqual(Annotations.withoutInternal(once), once)
  })
})
