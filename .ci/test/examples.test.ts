import { assert, describe, it } from "@effect/vitest"
import { all, compile, extract } from "../examples.ts"

describe("examples", () => {
  it("are found in doc comments and in pages", () => {
    const source = "/**\n * Text.\n *\n * ```ts\n * const a = 1\n *\n * const b = 2\n * ```\n */\n"
    assert.deepStrictEqual(extract("A.ts", source), [{ line: 4, code: "const a = 1\n\nconst b = 2\n" }])
    const page = "Text.\n\n```ts\nconst a = 1\n```\n\n```sh\nls\n```\n\n```ts\nconst b = 2\n```\n"
    assert.deepStrictEqual(extract("a.md", page), [
      { line: 3, code: "const a = 1\n" },
      { line: 11, code: "const b = 2\n" }
    ])
  })

  it("of the repository compile, and a wrong one is told with its place", () => {
    const wrong = {
      line: 7,
      code: "import * as Digest from \"@effect-oci/schema/Digest\"\nexport const d: string = Digest\n"
    }
    const problems = compile([...all(), ["docs/wrong.md", wrong]])
    assert.match(
      problems.find((problem) => problem.startsWith("docs/wrong.md:")) ?? "",
      /^docs\/wrong\.md:9:14: error TS2322/
    )
    assert.deepStrictEqual(problems.filter((problem) => !problem.startsWith("docs/wrong.md:")), [])
  }, 60_000)
})
