import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageLayout from "@effect-oci/schema/ImageLayout"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Go from "./fixtures/go.ts"
import { texts } from "./fixtures/random.ts"

const parse = (text: string, options?: Json.ParseOptions) => Json.parse(Json.toBytes(text), options)
const read = (text: string, options?: Json.ParseOptions) => Result.getOrThrow(parse(text, options))
const fault = (text: string, options?: Json.ParseOptions) => Result.getOrThrow(Result.flip(parse(text, options)))

/** What is wrong with a text: reason, pointer, line:column, expected, found. */
const told = (result: Result.Result<Json.Document, Json.InvalidJson | Json.LimitExceeded>) =>
  Result.match(result, {
    onSuccess: () => ["accepted"],
    onFailure: (error) =>
      error._tag === "InvalidJson"
        ? [error.reason, error.pointer, `${error.line}:${error.column}`, error.expected, error.found]
        : [error._tag]
  })

const jsonParses = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe("Json.parse", () => {
  it.each([
    ["null", "null"],
    ["true", "boolean"],
    ["false", "boolean"],
    [" \t\r\n0 \t\r\n", "number"],
    ["-0", "number"],
    ["-1.5e-7", "number"],
    ["1E+400", "number"],
    ["0.10", "number"],
    ["\"\"", "string"],
    [String.raw`"\"\\\/\b\f\n\r\t\u0000\uD83D\uDE00"`, "string"],
    ["\"\u007f\u0085\u2028\ufeff\uffff😀\"", "string"],
    ["[]", "array"],
    ["[ [ ] , { } ]", "array"],
    ["{}", "object"],
    [`{"":{"":""}," ":[]}`, "object"]
  ])("reads %j", (text, kind) => {
    assert.strictEqual(read(text).kind, kind)
    assert.isTrue(jsonParses(text))
  })

  it.each([
    ["", "", "1:1", "a value", "the end of the text"],
    [" \n ", "", "2:2", "a value", "the end of the text"],
    ["nul", "", "1:1", "a value", "\"nul\""],
    ["True", "", "1:1", "a value", "\"True\""],
    ["NaN", "", "1:1", "a value", "\"NaN\""],
    ["'a'", "", "1:1", "a value", "\"'\""],
    ["/* */1", "", "1:1", "a value", "\"/\""],
    ["\u00a01", "", "1:1", "a value", "\" \""],
    ["😀", "", "1:1", "a value", "\"😀\""],
    ["truefalse", "", "1:5", "the end of the text", "\"false\""],
    ["{} {}", "", "1:4", "the end of the text", "\"{\""],
    ["1\n2", "", "2:1", "the end of the text", "\"2\""],
    ["01", "", "1:2", "the end of the text", "\"1\""],
    ["+1", "", "1:1", "a value", "\"+1\""],
    [".5", "", "1:1", "a value", "\".5\""],
    ["-", "", "1:2", "a digit", "the end of the text"],
    ["-a", "", "1:2", "a digit", "\"a\""],
    ["1.", "", "1:3", "a digit", "the end of the text"],
    ["1.e1", "", "1:3", "a digit", "\"e1\""],
    ["1e", "", "1:3", "a digit", "the end of the text"],
    ["[1e+]", "/0", "1:5", "a digit", "\"]\""],
    ["[0x1]", "", "1:3", "a comma or a closing bracket", "\"x1\""],
    ["[", "/0", "1:2", "a value", "the end of the text"],
    ["[1", "", "1:3", "a comma or a closing bracket", "the end of the text"],
    ["[1,", "/1", "1:4", "a value", "the end of the text"],
    ["[1,]", "/1", "1:4", "a value", "\"]\""],
    ["[,1]", "/0", "1:2", "a value", "\",\""],
    ["[1 2]", "", "1:4", "a comma or a closing bracket", "\"2\""],
    ["[1}", "", "1:3", "a comma or a closing bracket", "\"}\""],
    ["[[],[0,[x]]]", "/1/1/0", "1:9", "a value", "\"x\""],
    ["{", "", "1:2", "a member name in double quotes", "the end of the text"],
    ["{a:1}", "", "1:2", "a member name in double quotes", "\"a\""],
    ["{1:1}", "", "1:2", "a member name in double quotes", "\"1\""],
    ["{\"a\"}", "/a", "1:5", "a colon", "\"}\""],
    ["{\"a\" 1}", "/a", "1:6", "a colon", "\"1\""],
    ["{\"a\":}", "/a", "1:6", "a value", "\"}\""],
    ["{\"a\":1", "", "1:7", "a comma or a closing brace", "the end of the text"],
    ["{\"a\":1,}", "", "1:8", "a member name in double quotes", "\"}\""],
    ["{\"a\":1 \"b\":2}", "", "1:8", "a comma or a closing brace", "\"\\\"\""],
    ["{\"a\":1]", "", "1:7", "a comma or a closing brace", "\"]\""],
    ["{\"a\":{\"b\":1},\"c\":{x", "/c", "1:19", "a member name in double quotes", "\"x\""],
    ["{\"a\":{\"b\":1},\"c\":{\"d\":[0,{\"e\":?}]}}", "/c/d/1/e", "1:31", "a value", "\"?\""],
    ["{\"a/b\":{\"c~d\":{\"\":-}}}", "/a~1b/c~0d/", "1:20", "a digit", "\"}\""],
    ["\"", "", "1:2", "a closing quote", "the end of the text"],
    ["{\"a\":\"b}", "/a", "1:9", "a closing quote", "the end of the text"],
    ["{\"a\":1,\"b", "", "1:10", "a closing quote", "the end of the text"],
    ["\"a\nb\"", "", "1:3", "a closing quote, or an escape for this control character", "\"\\n\""],
    ["\"\u0000\"", "", "1:2", "a closing quote, or an escape for this control character", "\"\\u0000\""],
    ["\"\\x\"", "", "1:3", "one of \" \\ / b f n r t u after a backslash", "\"x\""],
    ["\"\\", "", "1:3", "one of \" \\ / b f n r t u after a backslash", "the end of the text"],
    ["[\"\\u12G4\"]", "/0", "1:3", "four hexadecimal digits after \\u", "\\u12G4"],
    ["\"\\u12", "", "1:2", "four hexadecimal digits after \\u", "\\u12"],
    ["\"\\ud83d\\u12\"", "", "1:8", "four hexadecimal digits after \\u", "\\u12\""],
    ["{\n  \"a\": 1,\r\n\t\"é😀\": ,\n}", "/é😀", "3:9", "a value", "\",\""]
  ])("refuses the syntax of %j", (text, ...expected) => {
    assert.deepStrictEqual(told(parse(text)), ["syntax", ...expected])
    assert.isFalse(jsonParses(text))
  })

  const names = Json.names(["size", "kind", "inner", "list"], {
    inner: Json.names(["mask"]),
    list: Json.items(Json.names(["task"]))
  })

  it.each([
    ["{\"a\":\"\\ud800\"}", "lone-surrogate", "/a", "1:7", "a surrogate pair", "\\ud800"],
    ["\"\\uDC00\"", "lone-surrogate", "", "1:2", "a surrogate pair", "\\uDC00"],
    ["[\"\\ud800\\ud800\\udc00\"]", "lone-surrogate", "/0", "1:3", "a surrogate pair", "\\ud800"],
    ["\"\\ud800\\n\"", "lone-surrogate", "", "1:2", "a surrogate pair", "\\ud800"],
    ["{\"a\":1,\"\\udfff\":2}", "lone-surrogate", "", "1:9", "a surrogate pair", "\\udfff"],
    ["{\"a\":1,\"a\":1}", "duplicate-name", "/a", "1:8", "each name once in an object", "\"a\" again"],
    ["{\"a\":1,\"\\u0061\":1}", "duplicate-name", "/a", "1:8", "each name once in an object", "\"a\" again"],
    ["{\"\":1,\n\"\":1}", "duplicate-name", "/", "2:1", "each name once in an object", "\"\" again"],
    [
      "{\"__proto__\":1,\"__proto__\":2}",
      "duplicate-name",
      "/__proto__",
      "1:16",
      "each name once in an object",
      "\"__proto__\" again"
    ],
    [
      "[{\"x\":{\"a\":{},\"b\":0,\"a\":0}}]",
      "duplicate-name",
      "/0/x/a",
      "1:21",
      "each name once in an object",
      "\"a\" again"
    ],
    ["{\"Size\":1}", "case-collision", "/Size", "1:2", "\"size\"", "\"Size\""],
    ["{\"size\":1,\"SIZE\":2}", "case-collision", "/SIZE", "1:11", "\"size\"", "\"SIZE\""],
    ["{\"\u017fize\":1}", "case-collision", "/\u017fize", "1:2", "\"size\"", "\"\u017fize\""],
    ["{\"\\u017fize\":1}", "case-collision", "/\u017fize", "1:2", "\"size\"", "\"\u017fize\""],
    ["{\"\u212aind\":1}", "case-collision", "/\u212aind", "1:2", "\"kind\"", "\"\u212aind\""],
    [
      "{\"inner\":{\"MA\u017f\u212a\":1}}",
      "case-collision",
      "/inner/MA\u017f\u212a",
      "1:11",
      "\"mask\"",
      "\"MA\u017f\u212a\""
    ],
    ["{\"list\":[{},{\"tasK\":1}]}", "case-collision", "/list/1/tasK", "1:14", "\"task\"", "\"tasK\""]
  ])("refuses %j, which is not I-JSON", (text, ...expected) => {
    assert.deepStrictEqual(told(parse(text, { names })), expected)
  })

  it.each([
    ["{\"a\":1,\"A\":1}"],
    ["{\"a\":{\"x\":1},\"b\":{\"x\":1}}"],
    ["[{\"x\":1},{\"x\":1}]"],
    ["{\"size\":1,\"x\":{\"Size\":1}}"],
    ["{\"kind\":{\"Size\":1}}"],
    ["{\"inner\":{\"Size\":1,\"mask\":{\"MASK\":1}}}"],
    ["{\"inner\":[{\"MASK\":1}]}"],
    ["{\"list\":{\"TASK\":1}}"],
    ["{\"list\":[[{\"TASK\":1}]]}"],
    ["[{\"Size\":1}]"],
    ["{\"s\u0131ze\":1,\"s\u0130ze\":2,\"ﬅ\":3}"],
    ["\"\\ud83d\\ude00\ufeff\""]
  ])("reads %j", (text) => {
    assert.deepStrictEqual(told(parse(text, { names })), ["accepted"])
  })

  it("refuses bytes that are not UTF-8, and tells the first of them", () => {
    const refuse = (...bytes: ReadonlyArray<number>) => told(Json.parse(Uint8Array.from(bytes)))
    const at = (place: string, byte: string) => ["invalid-utf8", "", place, "UTF-8", `the byte ${byte}`]
    assert.deepStrictEqual(refuse(0x22, 0xff, 0x22), at("1:2", "0xff"))
    assert.deepStrictEqual(refuse(0x22, 0xc3, 0xa9, 0x0a, 0xf0, 0x9f, 0x98, 0x22), at("2:1", "0xf0"))
    assert.deepStrictEqual(refuse(0x22, 0xe2, 0x80), at("1:2", "0xe2"))
    assert.deepStrictEqual(refuse(0x22, 0x80, 0x22), at("1:2", "0x80"))
    assert.deepStrictEqual(refuse(0x22, 0xc0, 0x80, 0x22), at("1:2", "0xc0"))
    assert.deepStrictEqual(refuse(0x22, 0xed, 0xa0, 0x80, 0x22), at("1:2", "0xed"))
    assert.deepStrictEqual(refuse(0x22, 0xf4, 0x90, 0x80, 0x80, 0x22), at("1:2", "0xf4"))
    assert.deepStrictEqual(refuse(0xff, 0xfe, 0x7b, 0x00), at("1:1", "0xff"))
  })

  it("refuses a byte-order mark at the start", () => {
    assert.deepStrictEqual(told(parse("\ufeff{}")), ["byte-order-mark", "", "1:1", "a value", "a byte-order mark"])
    assert.deepStrictEqual(told(parse(" \ufeff{}")), ["syntax", "", "1:2", "a value", "\"\ufeff\""])
  })

  it.each([
    ["{\"a\":1,\"a\":1", "syntax"],
    ["{\"a\":\"\\ud800\",}", "syntax"],
    ["{\"Size\":1} x", "syntax"],
    ["{\"a\":1,\"a\":" + "[".repeat(Json.maxDepth), "depth"],
    ["{\"a\":\"\\ud800\",\"b\":1,\"b\":1}", "lone-surrogate"],
    ["{\"b\":1,\"b\":1,\"a\":\"\\ud800\"}", "duplicate-name"]
  ])("tells of %j the syntax first, then the first fault of I-JSON", (text, reason) => {
    assert.strictEqual(told(parse(text, { names }))[0], reason)
  })

  it("reads documents of 4 MiB and no byte more, unless it is told another limit", () => {
    const fits = "\"" + "a".repeat(Json.maxBytes - 2) + "\""
    assert.deepStrictEqual(told(parse(fits)), ["accepted"])
    assert.deepStrictEqual(told(parse(fits + " ")), ["LimitExceeded"])
    assert.strictEqual(
      fault(fits + " ", { document: "index" }).message,
      "the index has 4194305 bytes; at most 4194304 are read"
    )
    assert.deepStrictEqual(told(parse("[1]", { maxBytes: 2 })), ["LimitExceeded"])
    assert.deepStrictEqual(told(parse("\"é\"", { maxBytes: 3 })), ["LimitExceeded"])
  })

  it("finds the outermost members as they were written", () => {
    const document = read(`{ "n" : 1.50e+3 ,"\\u0061":{"b" : "\\u00e9\\/" } , "__proto__":[ ] ,"constructor":null}`)
    assert.deepStrictEqual(document.members.map(({ name }) => name), ["n", "a", "__proto__", "constructor"])
    assert.strictEqual(Json.member(document, "n"), "1.50e+3")
    assert.strictEqual(Json.member(document, "a"), `{"b" : "\\u00e9\\/" }`)
    assert.strictEqual(Json.member(document, "__proto__"), "[ ]")
    assert.strictEqual(Json.member(document, "constructor"), "null")
    assert.isUndefined(Json.member(document, "b"))
    assert.isUndefined(Json.member(read("{}"), "toString"))
    assert.deepStrictEqual(read(`[{"a":1}]`).members, [])
  })

  it("keeps foreign text in messages short and printable", () => {
    const { message } = fault(`{"${"\\u202e\\u001b".repeat(100)}": x}`)
    assert.isBelow(message.length, 1000)
    assert.notMatch(message, /\p{C}/u)
    assert.include(message, "\\u202e\\u001b\\u202e")
  })

  it("agrees with JSON.parse on random texts", () => {
    const next = texts(20260824)
    const reasons = new Map<string, number>()
    for (let count = 0; count < 5000; count++) {
      const text = next()
      const result = parse(text)
      const reason = told(result)[0] ?? ""
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
      assert.strictEqual(reason !== "syntax", jsonParses(text), text)
      if (Result.isFailure(result)) continue
      const document = result.success
      assert.strictEqual(JSON.stringify(JSON.parse(Json.compact(document))), JSON.stringify(JSON.parse(text)), text)
      if (document.kind !== "object") continue
      const members = document.members.map((member) => [member.name, Json.compactMember(document, member)] as const)
      const encoded = Json.stringifyMembers(new Map(members))
      assert.strictEqual(Json.compact(read(encoded)), encoded, text)
      for (const [name, compact] of members) {
        assert.strictEqual(
          JSON.stringify(JSON.parse(compact)),
          JSON.stringify(JSON.parse(Json.member(document, name) ?? "")),
          text
        )
      }
    }
    for (const reason of ["accepted", "syntax", "duplicate-name"]) assert.isAbove(reasons.get(reason) ?? 0, 100, reason)
  })
})

describe("deep nesting", () => {
  const arrays = (levels: number) => "[".repeat(levels) + "]".repeat(levels)
  const objects = (levels: number) => "{\"a\":".repeat(levels - 1) + "{}" + "}".repeat(levels - 1)
  const mixed = (levels: number) => "[{\"a\":".repeat(levels / 2) + "0" + "}]".repeat(levels / 2) + ""

  it.each([["arrays", arrays], ["objects", objects]])("%s: 10,000 levels are read, one more is not", (_, nest) => {
    assert.deepStrictEqual(told(parse(nest(10_000))), ["accepted"])
    const [reason, pointer = "", , expected] = told(parse(nest(10_001)))
    assert.deepStrictEqual([reason, expected], ["depth", "at most 10000 levels"])
    assert.strictEqual(pointer.split("/").length, 10_001)
    assert.deepStrictEqual(told(parse("[".repeat(1_000_000)))[0], "depth")
  })

  it("both in turn", () => {
    assert.deepStrictEqual(told(parse(mixed(10_000))), ["accepted"])
    assert.strictEqual(told(parse("[" + mixed(10_000) + "]"))[0], "depth")
  })

  it.each([
    ["descriptor", Descriptor.parse, Descriptor.check],
    ["manifest", ImageManifest.parse, ImageManifest.check],
    ["index", ImageIndex.parse, ImageIndex.check],
    ["layout", ImageLayout.parse, ImageLayout.check],
    ["config", ImageConfig.parse, ImageConfig.check],
    ["ref", RefDocument.parse, RefDocument.parse]
  ])("exhausts the stack of no decoder: %s", (_, parse, check) => {
    for (const name of ["x", "config", "layers", "manifests", "annotations", "platform", "history", "layer"]) {
      for (const nested of [arrays(9_999), objects(9_999)]) {
        const bytes = Json.toBytes(`{"${name}":${nested},"z":[ ],"os":1}`)
        assert.doesNotThrow(() => parse(bytes))
        assert.doesNotThrow(() => check(bytes))
      }
    }
  })

  it("exhausts the stack of no encoder", () => {
    const document = read(`{"a": ${"[ ".repeat(9_999)}${"]".repeat(9_999)}}`)
    assert.strictEqual(Json.compact(document), `{"a":${arrays(9_999)}}`)
    assert.deepStrictEqual(document.members.map((member) => Json.compactMember(document, member)), [arrays(9_999)])
    assert.isTrue(Result.isFailure(History.fromConfig(read(`{"history":[{"created":${objects(9_997)}}]}`))))
  })
})

describe("linear time", () => {
  const repeat = (before: string, unit: (index: number) => string, after: string) => (size: number): Uint8Array => {
    const parts = [before]
    for (let index = 0, length = before.length + after.length; length < size - 64; index++) {
      const part = unit(index)
      parts.push(part)
      length += part.length
    }
    return Json.toBytes(parts.join("") + after)
  }
  const complete = "\"os\":\"a\",\"architecture\":\"b\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}"

  it.each([
    ["escapes in one string", repeat("{\"a\":\"", () => "\\u0041", "\"}")],
    ["HTML in one string", repeat("{\"a\":\"", () => "<", "\"}")],
    ["tiny names in one object", repeat("{\"a\":{", (index) => `"${index.toString(36)}":0,`, "\"\":0}}")],
    ["deep nesting again and again", repeat("[", () => "[".repeat(9_998) + "]".repeat(9_998) + ",", "0]")],
    ["lines before a bad item", repeat("{\"history\":[", () => "\n", "1]}")],
    ["one long number", repeat("{\"a\":1", () => "23456789", "}")],
    ["bad variables", repeat(`{${complete},"config":{"Env":[`, () => "1,", "1]}}")],
    ["diff IDs of unknown algorithms", repeat("{\"rootfs\":{\"diff_ids\":[", () => "\"a:b\",", "\"\"]}}")]
  ])("%s", (_, make) => {
    const use = (size: number): number => {
      const bytes = make(size)
      const start = performance.now()
      Result.map(ImageConfig.document(bytes), (document) => [Json.compact(document), ImageConfig.decode(document)])
      ImageConfig.check(bytes)
      return performance.now() - start
    }
    // Linear is 4, quadratic 16; the second and third look are for a machine that was busy.
    const ratio = (): number => use(4 * 1024 * 1024) / Math.max(use(1024 * 1024), 5)
    assert.isTrue(ratio() < 10 || ratio() < 10 || ratio() < 10)
  }, 30_000)
})

/** What UTF-8 makes of a text: a lone surrogate becomes U+FFFD. */
const wellFormed = (text: string): string => Buffer.from(text).toString()

describe("encoding", () => {
  const map = (value: unknown): Json.Encodable =>
    Array.isArray(value)
      ? value.map(map)
      : typeof value === "object" && value !== null
      ? new Map(Object.entries(value).map(([name, member]) => [name, map(member)]))
      : Schema.decodeUnknownSync(Schema.NullOr(Schema.Union([Schema.String, Schema.Number, Schema.Boolean])))(value)

  it.each(Go.strings)("encodes %j as Go does", (text, expected) => {
    assert.strictEqual(Json.stringify(text), expected)
    assert.strictEqual(Json.stringifyPlain(text), expected)
    assert.strictEqual(Json.stringify({ [text]: [text] }), `{${expected}:[${expected}]}`)
    assert.strictEqual(Json.stringifyPlain({ [text]: [text] }), `{${expected}:[${expected}]}`)
    assert.strictEqual(Json.stringifyMembers(new Map([[text, "1"]])), `{${expected}:1}`)
  })

  it.each(Go.documents)("compacts %j as Go does", (text, expected) => {
    assert.strictEqual(Json.compact(read(text)), expected)
  })

  it.each(Go.members)("encodes the members of %j as Go does", (text, expected) => {
    const document = read(text)
    assert.strictEqual(
      Json.stringifyMembers(
        new Map(document.members.map((member) => [member.name, Json.compactMember(document, member)]))
      ),
      expected
    )
  })

  it.each(Go.indented)("indents %j as Go does", (text, expected) => {
    assert.strictEqual(Json.stringifyIndented(map(JSON.parse(text))), expected)
  })

  it("writes objects in their own order without absent members, and maps by their names", () => {
    const value = { b: 1, a: undefined, c: { z: [], y: {} }, d: new Map([["é", 1], ["z", 2], ["", null]]) }
    assert.strictEqual(Json.stringify(value), "{\"b\":1,\"c\":{\"z\":[],\"y\":{}},\"d\":{\"\":null,\"z\":2,\"é\":1}}")
    assert.strictEqual(Json.stringifyPlain({ b: 1, a: undefined, c: null }), "{\"b\":1,\"c\":null}")
    assert.strictEqual(Json.stringify(undefined), "null")
    assert.strictEqual(Json.stringifyPlain(undefined), "null")
    assert.strictEqual(Json.stringifyIndented({ a: undefined }), "{}")
  })

  it("orders names by their bytes in UTF-8", () => {
    const names = ["", "\u0000", "10", "9", "A", "a", "aa", "\u007f", "\u0080", "é", "\u07ff", "\u0800", "\ud7ff"]
    const more = [...names, "\ue000", "\uffff", "\u{10000}", "\u{10000}a", "\u{1f600}", "\u{10ffff}"]
    for (const [left, a] of more.entries()) {
      for (const [right, b] of more.entries()) {
        assert.strictEqual(Math.sign(Json.compareUtf8(a, b)), Math.sign(left - right), `${a} ${b}`)
      }
    }
  })

  it.prop("orders as the bytes do", [Schema.String, Schema.String], ([left, right]) => {
    assert.strictEqual(
      Math.sign(Json.compareUtf8(wellFormed(left), wellFormed(right))),
      Buffer.compare(Buffer.from(left), Buffer.from(right))
    )
  })

  it.prop("is read back", [Schema.String], ([text]) => {
    assert.strictEqual(JSON.parse(Json.stringify(text)), wellFormed(text))
    assert.strictEqual(Json.stringifyPlain(text), Json.stringify(text))
    assert.deepStrictEqual(read(Json.stringify({ [text]: 1 })).members.map(({ name }) => name), [wellFormed(text)])
  })
})

describe("Json.position", () => {
  it.each([
    ["", 0, 1, 1],
    ["a\nb", 1, 1, 2],
    ["a\nb", 2, 2, 1],
    ["a\r\n\nb", 4, 3, 1],
    ["😀é", 2, 1, 3]
  ])("of %j at %d is %d:%d", (text, offset, line, column) => {
    assert.deepStrictEqual(Json.position(text, offset), { line, column })
  })
})
