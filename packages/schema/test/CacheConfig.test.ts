import * as CacheConfig from "@effect-oci/schema/CacheConfig"
import * as Digest from "@effect-oci/schema/Digest"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { message, value } from "./fixtures/suites.ts"

const digest = Result.getOrThrow(Digest.parse(`sha256:${"9f".repeat(32)}`))
const time = "2026-11-30T03:58:40.044615461Z"

describe("CacheConfig", () => {
  it.each([
    ["{}", {}],
    [`{"layers":null,"records":null,"x":[1.5]}`, {}],
    [
      `{"layers":[{"blob":"${digest}","parent":-1},{"blob":"${digest}","annotations":{"size":1}}]}`,
      { layers: [{ blob: digest, parent: -1 }, { blob: digest }] }
    ],
    [
      `{"records":[{"layers":[{"layer":1,"createdAt":"${time}"},{}],"chains":[{"layers":[2,0]}],"digest":"x",` +
      `"inputs":[[{"selector":"y","link":3}],null,[{}]]},{"layers":null,"chains":null,"inputs":null}]}`,
      {
        records: [
          {
            layers: [{ layer: 1, createdAt: Result.getOrThrow(Timestamp.parse(time)) }, {}],
            chains: [{ layers: [2, 0] }],
            inputs: [[{ link: 3 }], [], [{}]]
          },
          {}
        ]
      }
    ]
  ])("reads %s", (text, expected) => {
    assert.deepStrictEqual(value(CacheConfig.parse, text), expected)
  })

  it.each([
    ["[]", "is not valid: the document (line 1, column 1): expected an object, found a list"],
    [
      `{"layers":[{"parent":0}]}`,
      "is not valid: /layers/0/blob (line 1, column 12): expected this member, found nothing"
    ],
    [
      `{"layers":[{"blob":"${digest}","parent":1.0}]}`,
      "is not valid: /layers/0/parent (line 1, column 103): expected an integer of 64 bits without fraction or exponent, found 1.0"
    ],
    [
      `{"records":[{"inputs":[[{"link":"0"}]]}]}`,
      "is not valid: /records/0/inputs/0/0/link (line 1, column 33): expected a number, found \"0\""
    ],
    [
      `{"records":[{"Layers":[]}]}`,
      "is not I-JSON (RFC 7493): line 1, column 14 in /records/0/Layers: expected \"layers\", found \"Layers\""
    ]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(CacheConfig.parse, text), `the build cache ${expected}`)
  })

  it("reads the records of an inline cache", () => {
    assert.deepStrictEqual(value(CacheConfig.parseRecords, `[{"digest":"x"},{"layers":[{"layer":2}]}]`), [
      {},
      { layers: [{ layer: 2 }] }
    ])
    assert.deepStrictEqual(value(CacheConfig.parseRecords, "null"), [])
    assert.strictEqual(
      message(CacheConfig.parseRecords, "{}"),
      "the inline build cache is not valid: the document (line 1, column 1): expected a list, found an object"
    )
  })
})
