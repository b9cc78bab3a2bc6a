import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { failureOf } from "./values.ts"

const Table = Schema.fromJsonString(Schema.Struct({
  /** The paths of a tree, directories with a `/` after them. */
  context: Schema.Array(Schema.String),
  cases: Schema.Array(Schema.Struct({
    rules: Schema.String,
    /** What is not in the image that BuildKit 0.34.2 makes of the tree; null if the build fails. */
    ignored: Schema.NullOr(Schema.Array(Schema.String))
  }))
}))

/** Written by `dockerignore.ts` beside it. */
const { cases, context } = Schema.decodeUnknownSync(Table)(
  readFileSync(join(import.meta.dirname, "fixtures/dockerignore.json"), "utf8")
)

/** What `docker build` takes for a part of a regular expression, or finds wrong only when a file makes it look. */
const refused = new Set([
  "[*]",
  "star[*]star",
  "ques[?]tion",
  "[[:alpha:]]",
  "caret^*",
  "\\a",
  "\\d",
  "back\\slash",
  "x*\\",
  "a{2}*",
  "pi|p*",
  "*\nfoo*["
])

const parsed = (rules: string) => Result.getOrThrow(IgnoreRules.parse(rules, ".dockerignore"))

const directoryOf = (path: string): string => path.slice(0, path.slice(0, -1).lastIndexOf("/") + 1)

/** Walks the tree as a caller does: what is kept, with the directories that are needed for it. */
const walk = (
  rules: IgnoreRules.IgnoreRules,
  directory = "",
  above?: IgnoreRules.Verdict
): ReadonlyArray<string> =>
  context.filter((path) => directoryOf(path) === directory).flatMap((path) => {
    const verdict = IgnoreRules.visit(rules, path.replace(/\/$/, ""), above)
    const below = verdict.action === "skip" || !path.endsWith("/") ? [] : walk(rules, path, verdict)
    return verdict.action === "keep" || below.length > 0 ? [path].concat(below) : below
  })

const isRefused = ({ ignored, rules }: (typeof cases)[number]) => ignored === null || refused.has(rules)

describe("docker build", () => {
  it.each(cases.filter((each) => !isRefused(each)).map(({ ignored, rules }) => [rules, ignored] as const))(
    "ignores what we ignore under %j",
    (rules, ignored) => {
      const kept = new Set(walk(parsed(rules)))
      assert.deepStrictEqual(context.filter((path) => !kept.has(path)), ignored)
    }
  )

  it.each(cases.filter(isRefused).map(({ rules }) => [rules] as const))(
    "fails, or should, as we do, under %j",
    (rules) => {
      assert.isTrue(Result.isFailure(IgnoreRules.parse(rules, ".dockerignore")))
    }
  )

  it("takes all that only we refuse", () => {
    const accepted = cases.filter(({ ignored }) => ignored !== null).map(({ rules }) => rules)
    assert.deepStrictEqual(new Set(accepted.filter((rules) => refused.has(rules))), refused)
    assert.isAtLeast(cases.length, 290)
  })
})

describe("ignores", () => {
  it.each(["*\n!dir/sub/deep/a", "dir\n!dir/*/*", "*/*\n!dir/*/**", "**/*.md\n!dir/README.md"])(
    "tells of one path what a walk tells of all, under %j",
    (text) => {
      const rules = parsed(text)
      const kept = new Set(walk(rules))
      for (const path of context.filter((each) => !each.endsWith("/"))) {
        assert.strictEqual(IgnoreRules.ignores(rules, path), !kept.has(path), path)
      }
    }
  )
})

describe("parse", () => {
  it.each([
    [
      "\uFEFF# secrets\r\n\r\n  src/[a  \r\n",
      `.dockerignore, line 3: "src/[a" is not a valid pattern: ` +
      String.raw`expected a class such as [a-z], [^a-z] or [\*\?\]\-], found "[a"`
    ],
    ["*\n!", `.dockerignore, line 2: "!" is not a valid pattern: expected a pattern after "!", found "!"`],
    [
      "src\\main",
      String.raw`.dockerignore, line 1: "src\\main" is not a valid pattern: ` +
      String.raw`expected "\" only before a mark such as "*", and "/" between names, found "\\main"`
    ],
    [
      "*.js|*.ts",
      `.dockerignore, line 1: "*.js|*.ts" is not a valid pattern: ` +
      String.raw`expected "\|", since docker build takes it for a regular expression's beside "*", found "|*.ts"`
    ]
  ])("names the line in %j", (text, message) => {
    assert.strictEqual(failureOf(IgnoreRules.parse(text, ".dockerignore")).message, message)
  })

  it("takes a tab in a pattern, which BuildKit cannot send to its client", () => {
    assert.isTrue(IgnoreRules.ignores(parsed("tab\there"), "tab\there"))
  })
})

describe("cost", () => {
  const path = `${"a/".repeat(500)}${"a".repeat(1000)}`

  it.each([
    `${"*a".repeat(1000)}b`,
    `${"**/a/".repeat(1000)}b`,
    `${"**a".repeat(1000)}b`,
    `${"[a-z]*".repeat(500)}b*`,
    `*a${"?".repeat(1000)}*`,
    `${" ".repeat(100_000)}x${" ".repeat(100_000)}x`,
    `${"/".repeat(100_000)}x${"/..".repeat(50_000)}`,
    `[${"a-".repeat(100_000)}`
  ])("stays small for a hostile pattern (%#)", (text) => {
    const start = performance.now()
    const rules = IgnoreRules.parse(`${text}\n${text}*`, ".dockerignore")
    if (Result.isSuccess(rules)) IgnoreRules.visit(rules.success, path)
    assert.isBelow(performance.now() - start, 2000)
  })

  it("stays small for many files and rules", () => {
    const rules = parsed(Array.from({ length: 50 }, (_, index) => `**/*q${index}*`).join("\n"))
    const start = performance.now()
    for (let index = 0; index < 5_000; index++) IgnoreRules.visit(rules, `node_modules/package/some-file-${index}.js`)
    assert.isBelow(performance.now() - start, 5000)
  })
})
