import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as BuildFlags from "../src/BuildFlags.ts"

const outcome = (result: Result.Result<unknown, { readonly message: string }>): unknown =>
  Result.isSuccess(result) ? result.success : result.failure.message

type Cases = ReadonlyArray<readonly [text: string, expected: unknown]>

const suites: ReadonlyArray<
  readonly [string, (text: string) => Result.Result<unknown, { readonly message: string }>, Cases]
> = [
  ["addition", BuildFlags.addition, [
    ["dist:/app", { source: "dist", destination: "/app" }],
    ["C:\\a b:c:/x/", { source: "C:\\a b:c", destination: "/x/" }],
    ["dist", "expected SRC:DEST, such as dist:/app, found \"dist\""],
    ["", "expected SRC:DEST, such as dist:/app, found nothing"],
    [":/x", "expected a file or a directory before the colon, found \":/x\""],
    ["a:", "expected a path in the image behind the colon, such as /app, found \"a:\""],
    ["a:b", "expected a path in the image behind the colon, such as /app, found \"a:b\""],
    ["a:/b/../c", "expected a path in the image without \"..\", found \"/b/../c\""],
    ["a:/..b", { source: "a", destination: "/..b" }]
  ]],
  ["pair", BuildFlags.pair, [
    ["A=b=c", ["A", "b=c"]],
    ["A=", ["A", ""]],
    ["A", "expected NAME=VALUE, found \"A\""],
    ["=b", "expected NAME=VALUE, found \"=b\""]
  ]],
  ["words", BuildFlags.words, [
    ["/app", ["/app"]],
    ["[]", []],
    [" [\"a b\", \"c\"]", ["a b", "c"]],
    ["[\"a\"", "expected a JSON array of strings, such as [\"node\",\"server.js\"], found \"[\\\"a\\\"\""],
    ["[1]", "expected a JSON array of strings, such as [\"node\",\"server.js\"], found \"[1]\""],
    ["node a.js", "expected one word or a JSON array, such as [\"node\",\"a.js\"], found \"node a.js\""],
    ["a ", "expected one word or a JSON array, such as [\"a\"], found \"a \""],
    ["", "expected one word or a JSON array, such as [\"/app\"], found nothing"]
  ]],
  ["healthCommand", BuildFlags.healthCommand, [
    ["curl -f localhost || exit 1", "curl -f localhost || exit 1"],
    ["[\"/app\",\"-h\"]", ["/app", "-h"]],
    ["[]", "expected a program, found \"[]\""],
    ["[ -f /ready ]", "expected a JSON array of strings, such as [\"node\",\"server.js\"], found \"[ -f /ready ]\""],
    [" ", "expected a command, found \" \""]
  ]],
  ["duration", BuildFlags.duration, [
    ["30s", 30_000_000_000n],
    ["1m30s", 90_000_000_000n],
    ["1.5h", 5_400_000_000_000n],
    ["1h0m0.5s", 3_600_500_000_000n],
    ["1ms", 1_000_000n],
    ["1000µs", 1_000_000n],
    ...["", "5", "s", "1m 30s", "-1s", "999us", "3000000h", "1d"].map((text) =>
      [
        text,
        `expected a duration of at least 1ms, such as 30s or 1m30s, found ${text === "" ? "nothing" : `"${text}"`}`
      ] as const
    )
  ]],
  ["compression", BuildFlags.compression, [
    ["gzip", { compression: "gzip" }],
    ["gzip:0", { compression: "gzip", level: 0 }],
    ["zstd:22", { compression: "zstd", level: 22 }],
    ["uncompressed", { compression: "uncompressed" }],
    ["gzip:10", "gzip has no level 10: expected a whole number from 0 to 9"],
    ["zstd:0", "zstd has no level 0: expected a whole number from 1 to 22"],
    ["gzip:", "expected a number as the level, as in gzip:9, found \"gzip:\""],
    ["gzip:1.5", "expected a number as the level, as in gzip:9, found \"gzip:1.5\""],
    ["toString", "expected uncompressed, gzip[:0-9] or zstd[:1-22], found \"toString\""]
  ]],
  ["owner", BuildFlags.owner, [
    ["1000", { uid: 1000, gid: 1000 }],
    ["0:4294967294", { uid: 0, gid: 4_294_967_294 }],
    ...["bob", "", "1:", "-1", "4294967295", "1:2:3"].map((text) =>
      [
        text,
        `expected UID or UID:GID, as numbers, such as 1000:1000, found ${text === "" ? "nothing" : `"${text}"`}`
      ] as const
    )
  ]]
]

describe.each(suites)("%s", (_, parse, cases) => {
  it.each(cases)("reads %j", (text, expected) => assert.deepStrictEqual(outcome(parse(text)), expected))
})
