import { assert, it } from "@effect/vitest"
import { execFile } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { extract } from "../examples.ts"

const root = join(import.meta.dirname, "../..")
const folder = join(root, ".ci/.pages")

/** The examples of the documentation's pages that print something: what they print stands below it, as comments. */
const examples = globSync("docs/*.md", { cwd: root }).toSorted().flatMap((path) =>
  extract(path, readFileSync(join(root, path), "utf8"))
    .filter(({ code, file }) => file === undefined && code.includes("console.log"))
    .map(({ code, line }) => ({ place: `${path}:${line}`, code }))
)

const printed = (code: string): string =>
  code.split("\n").filter((line) => line.startsWith("// ")).map((line) => line.slice(3)).join("\n")

const words = (text: string): string => text.replaceAll(/\s+/g, " ").trim()

rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })

it.each(examples)("$place prints what it says", { timeout: 30_000 }, async ({ code, place }) => {
  const file = join(folder, `${place.replaceAll(/[^a-z0-9]/g, "-")}.ts`)
  writeFileSync(file, code)
  const { stdout } = await promisify(execFile)(process.execPath, [file], { env: { ...process.env, NO_COLOR: "1" } })
  assert.strictEqual(words(stdout), words(printed(code)))
})

it("the pages have examples that run", () => {
  for (const page of ["dates", "presets", "attestations", "registries", "from-a-build"]) {
    assert.isTrue(examples.some(({ place }) => place.startsWith(`docs/${page}.md:`)), page)
  }
})
