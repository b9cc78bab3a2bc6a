import * as History from "@effect-oci/schema/History"
import * as Json from "@effect-oci/schema/Json"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Go from "./fixtures/go.ts"

const document = (text: string) => Result.getOrThrow(Json.parse(Json.toBytes(text), { document: "image config" }))
const read = (text: string) => History.fromConfig(document(text))
const time = (text: string) => Result.getOrThrow(Timestamp.parse(text))

describe("History", () => {
  it.each(Go.histories)("reads and writes %s as Go does", (text, expected) => {
    const history = read(`{"os":1,"history":${text}}`)
    assert.strictEqual(Result.getOrNull(Result.map(history, History.stringify)), expected)
  })

  it.each(Go.histories)("its schema reads %s likewise", (text) => {
    const viaSchema = Schema.decodeUnknownResult(Schema.NullOr(History.List))(JSON.parse(text))
    const history = read(`{"history":${text}}`)
    assert.strictEqual(Result.isSuccess(viaSchema), Result.isSuccess(history))
    assert.deepStrictEqual(Result.getOrUndefined(viaSchema), Result.getOrUndefined(history))
  })

  it.each([
    ["null", null],
    ["{}", null],
    [`{"history":null}`, null],
    [`{"history":[]}`, []],
    [`{"history":[null,{}]}`, [{}, {}]],
    [`{"history":[{"created_by":"","empty_layer":false,"comment":null,"x":1}]}`, [{
      created_by: "",
      empty_layer: false
    }]]
  ])("of %s", (text, expected) => {
    assert.deepStrictEqual(Result.getOrThrow(read(text)), expected)
  })

  it.each([
    ["[]", "type", "", "1:1", "an object", "a list"],
    ["1", "type", "", "1:1", "an object", "1"],
    [`{"history":{}}`, "type", "/history", "1:12", "a list", "an object"],
    [`{"history":1.50}`, "type", "/history", "1:12", "a list", "1.50"],
    [`{"history":[{},\n  "x"]}`, "type", "/history/1", "2:3", "an object", `"x"`],
    [`{"history":[[]]}`, "type", "/history/0", "1:13", "an object", "a list"],
    [
      `{"history":[{"created":"2019-02-29T00:00:00Z"}]}`,
      "time",
      "/history/0/created",
      "1:24",
      "an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z",
      `"2019-02-29T00:00:00Z"`
    ],
    [
      `{"history":[{"created":0}]}`,
      "type",
      "/history/0/created",
      "1:24",
      "an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z",
      "0"
    ],
    [`{"history":[{"comment":{"a":1}}]}`, "type", "/history/0/comment", "1:24", "a string", "an object"],
    [`{"history":[{"empty_layer":1e3}]}`, "type", "/history/0/empty_layer", "1:28", "true or false", "1e3"]
  ])("refuses %s", (text, ...expected) => {
    const { column, expected: wanted, found, line, pointer, reason } = Result.getOrThrow(Result.flip(read(text)))
    assert.deepStrictEqual([reason, pointer, `${line}:${column}`, wanted, found], expected)
  })

  it("reads names with escapes, whatever names V8 has met before", () => {
    JSON.parse(`{"comment":"a","\\\\u0065mpty_":1}`)
    const text = `{"history":[{"comment":"b","\\u0065mpty_layer":true}]}`
    assert.deepStrictEqual(Result.getOrThrow(read(text)), [{ comment: "b", empty_layer: true }])
  })

  it("gives one answer for one document", () => {
    const config = document(`{"history":[{}]}`)
    assert.strictEqual(History.fromConfig(config), History.fromConfig(config))
  })

  const full: History.History = {
    created: time("2019-07-22T02:12:25Z"),
    created_by: "a",
    author: "b",
    comment: "c",
    empty_layer: true
  }

  it.each<readonly [string, History.History, History.History, boolean]>([
    ["an item and itself", full, { ...full }, true],
    ["two without members", {}, {}, true],
    ["an empty member and an absent one", { comment: "", empty_layer: false }, {}, true],
    ["two offsets", full, { ...full, created: time("2019-07-22T02:12:25+00:00") }, false],
    ["a time and none", full, { ...full, created: time("2019-07-22T02:12:26Z") }, false],
    ["one time that is absent", { created: time("2019-07-22T02:12:25Z") }, {}, false],
    ["two commands", full, { ...full, created_by: "x" }, false],
    ["two authors", full, { ...full, author: "" }, false],
    ["two comments", full, { ...full, comment: "x" }, false],
    ["a layer and none", full, { ...full, empty_layer: false }, false]
  ])("compares %s", (_, left, right, expected) => {
    assert.strictEqual(History.equals(left, right), expected)
    assert.strictEqual(History.equals(right, left), expected)
  })

  it("writes members in Go's order, whatever theirs", () => {
    const { author, comment, created, created_by, empty_layer } = {
      ...full,
      comment: "<",
      created: time("2019-07-22T02:12:25.10-00:00")
    }
    assert.strictEqual(
      History.stringify([{
        empty_layer: empty_layer === true,
        comment,
        author: author ?? "",
        created_by: created_by ?? "",
        created
      }]),
      `[{"created":"2019-07-22T02:12:25.1Z","created_by":"a","author":"b","comment":"\\u003c","empty_layer":true}]`
    )
    assert.strictEqual(History.stringify(null), "null")
  })
})
