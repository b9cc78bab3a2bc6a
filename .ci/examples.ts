/**
 * Compiles the examples: each ```ts fence in the doc comments of the packages' sources and in the pages of the
 * documentation, all of them in one run of the compiler.
 */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"

const root = join(import.meta.dirname, "..")
const folder = "node_modules/.cache/examples"

interface Example {
  /** The line of its fence, from 1. */
  readonly line: number
  /** The file that the reader is to save it as, beside the others of its page. */
  readonly file?: string
  readonly code: string
}

/** The examples of a text: of its doc comments, where it is a TypeScript source. */
export const extract = (path: string, text: string): ReadonlyArray<Example> => {
  const margin = path.endsWith(".ts") ? " *\\* ?" : ""
  const fence = new RegExp(`^${margin}\`\`\`ts(?: file=(\\S+))?\\n([^]*?)^${margin}\`\`\`$`, "gm")
  return Array.from(text.matchAll(fence), (match) => ({
    line: text.slice(0, match.index).split("\n").length,
    ...(match[1] === undefined ? {} : { file: match[1] }),
    code: (match[2] ?? "").replaceAll(new RegExp(`^${margin}`, "gm"), "")
  }))
}

/** Compiles `examples`, by the file that each stands in; gives the compiler's complaints as `file:line:column: text`. */
export const compile = (examples: ReadonlyArray<readonly [path: string, example: Example]>): ReadonlyArray<string> => {
  rmSync(join(root, folder), { recursive: true, force: true })
  mkdirSync(join(root, folder), { recursive: true })
  const project = {
    extends: "../../../tsconfig.tests.json",
    include: ["*.ts"],
    references: ["schema", "core", "adapters", "cli"].map((name) => ({ path: `../../../packages/${name}` })),
    compilerOptions: { noUnusedLocals: false, tsBuildInfoFile: ".tsbuildinfo" }
  }
  writeFileSync(join(root, folder, "tsconfig.json"), JSON.stringify(project))
  const origins = new Map<string, string>()
  for (const [index, [path, { code, file = `${index}.ts`, line }]] of examples.entries()) {
    origins.set(`${folder}/${file}`, path)
    // As many lines above it as in its origin, so that the compiler's line numbers are the reader's
    writeFileSync(join(root, folder, file), "\n".repeat(line) + code)
  }
  const { error, stdout } = spawnSync(join(root, "node_modules/.bin/tsc"), [
    "-b",
    `${folder}/tsconfig.json`,
    "--pretty",
    "false"
  ], {
    cwd: root,
    encoding: "utf8"
  })
  if (error) throw error
  return stdout.split("\n").flatMap((text) => {
    const [, file = "", at, message] = /^(.+?)\((\d+,\d+)\): (.*)$/.exec(text) ?? []
    const origin = origins.get(file)
    return origin === undefined ? [] : [`${origin}:${at?.replace(",", ":")}: ${message}`]
  })
}

/** Every example of the repository, with the file that it stands in. */
export const all = (): ReadonlyArray<readonly [path: string, example: Example]> =>
  globSync(["packages/*/src/**/*.ts", "docs/**/*.md", "*.md", "packages/*/README.md"], { cwd: root }).toSorted()
    .flatMap(
      (path) => extract(path, readFileSync(join(root, path), "utf8")).map((example) => [path, example] as const)
    )

if (process.argv[1] === import.meta.filename) {
  const examples = all()
  const problems = compile(examples)
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.stdout.write(`${examples.length} examples, ${problems.length} problems\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
