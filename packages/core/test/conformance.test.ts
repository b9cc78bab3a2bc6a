import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { read, run } from "./conformance.ts"
import * as Vector from "./conformance/Vector.ts"

const fixture = (suite: string): string => join(import.meta.dirname, "fixtures", `${suite}.jsonl.gz`)

describe("the golden vectors", () => {
  it.effect.each([
    { suite: "seed2019", matching: 1882, refused: 1075 },
    { suite: "buildkit2026", matching: 2211, refused: 1691 }
  ])("$suite passes entirely", ({ matching, refused, suite }) =>
    Effect.gen(function*() {
      const vectors = read(fixture(suite))
      const refusals = vectors.filter((vector) => "refuse" in vector.want)
      assert.deepStrictEqual([vectors.length - refusals.length, refusals.length], [matching, refused])
      assert.strictEqual(new Set(vectors.map((vector) => vector.id)).size, vectors.length)
      const failed = yield* Effect.filter(vectors, (vector) => Effect.map(run(vector), (found) => found.length > 0))
      assert.deepStrictEqual(failed.map((vector) => vector.id), [])
    }), 60_000)
})

const missingOs = { _tag: "PatchFailed", cause: { _tag: "MissingPlatform", member: "os" } }

const operations: Readonly<Record<string, Vector.Operation>> = {
  give: (input) => Effect.succeed(input),
  refuse: () => Effect.fail(missingOs),
  refuseOddly: () => Effect.fail({ _tag: "OutOfPaper" }),
  die: () => Effect.die(new Error("broken")),
  throw: () =>
    Effect.sync(() => {
      throw new TypeError("broken too")
    }),
  decode: Vector.operation(Schema.Struct({ count: Schema.Number }), ({ count }) => Effect.succeed({ count }))
}

const differences = (op: string, input: Vector.Vector["input"], want: Vector.Vector["want"]) =>
  Vector.run({ id: "id", suite: "seed2019", op, input, want }, operations)

describe("the runner", () => {
  it.effect.each<readonly [op: string, input: Vector.Vector["input"], want: Vector.Vector["want"]]>([
    ["give", { a: 1, extra: true }, { a: 1 }],
    ["give", { a: { b: [null, "x"], c: {} } }, { a: { c: {}, b: [null, "x"] } }],
    ["refuse", {}, { refuse: ["syntax", "missing-os"] }],
    ["decode", { count: 3 }, { count: 3 }]
  ])("passes %s %j for %j", ([op, input, want]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* differences(op, input, want), [])
    }))

  it.effect.each<readonly [op: string, input: Vector.Vector["input"], want: Vector.Vector["want"], difference: RegExp]>(
    [
      ["give", { a: 1 }, { a: 2 }, /^a\n +expected 2\n +found +1$/],
      ["give", {}, { a: null }, /^a\n +expected null\n +found +nothing$/],
      ["give", { a: null }, { a: [] }, /^a\n/],
      ["give", { a: [] }, { a: {} }, /^a\n/],
      ["give", { a: {} }, { a: [] }, /^a\n/],
      ["give", { a: [1, 2] }, { a: [1] }, /^a\n/],
      ["give", { a: { b: 1, c: 2 } }, { a: { b: 1 } }, /^a\n/],
      ["give", { a: { b: 1 } }, { a: { c: 1 } }, /^a\n/],
      ["give", { a: "1" }, { a: 1 }, /^a\n/],
      ["give", { aBase64: "eA==" }, { aBase64: "eQ==" }, /expected y\n +found +x/],
      ["give", { a: 1 }, { refuse: ["syntax"] }, /^expected a refusal \(\["syntax"\]\), found \{"a":1\}$/],
      ["refuse", {}, { a: 1 }, /^expected a result, found .*PatchFailed/],
      ["refuse", {}, { refuse: ["syntax"] }, /^expected a refusal as one of \["syntax"\], found \["missing-os"\]/],
      ["refuseOddly", {}, { refuse: ["syntax"] }, /found \[\]: .*OutOfPaper/],
      ["die", {}, { refuse: ["syntax"] }, /^a defect: Error: broken/],
      ["throw", {}, { refuse: ["syntax"] }, /^a defect: TypeError: broken too/],
      ["decode", { count: "3" }, { refuse: ["type"] }, /^a defect/],
      ["unheardOf", {}, {}, /^the operation "unheardOf" is not known$/]
    ]
  )("fails %s %j for %j", ([op, input, want, difference]) =>
    Effect.gen(function*() {
      const found = yield* differences(op, input, want)
      assert.lengthOf(found, 1)
      assert.match(found[0] ?? "", difference)
    }))

  it("counts, names what failed, and tells the difference when it is asked to", () => {
    const directory = mkdtempSync(join(tmpdir(), "effect-oci-test-"))
    try {
      const vector = read(fixture("seed2019")).find((one) => one.op === "emptyImageConfig")
      const lines = [vector, { ...vector, id: "bad", note: "tampered", want: { outputBase64: "eA==" } }]
      const text = lines.map((line) => JSON.stringify(line)).join("\n") + "\n"
      const [plain, zipped] = [join(directory, "plain.jsonl"), join(directory, "zipped.jsonl.gz")]
      writeFileSync(plain, text)
      writeFileSync(zipped, gzipSync(text))
      const conformance = (...args: ReadonlyArray<string>) =>
        spawnSync(process.execPath, [join(import.meta.dirname, "conformance.ts"), ...args], { encoding: "utf8" })
      const brief = conformance(plain, zipped)
      const failed = "FAILED bad emptyImageConfig (tampered)\n"
      assert.deepStrictEqual([brief.stdout, brief.status], [`${failed}${failed}2 passed, 2 failed\n`, 1])
      const verbose = conformance("--verbose", plain)
      assert.match(verbose.stdout, /outputBase64\n +expected x\n +found +\{"architecture".*\n1 passed, 1 failed\n$/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
