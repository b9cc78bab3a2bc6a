/**
 * Checks the direction of imports: cli -> adapters -> core -> schema -> effect, and that schema and core need no Node.
 */
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"

const root = join(import.meta.dirname, "..")

/** What the sources of each package may import, besides modules of their own. */
const allowed: ReadonlyArray<readonly [name: string, modules: RegExp]> = [
  ["schema", /^effect\//],
  ["core", /^(?:effect|@effect-oci\/schema)\//],
  ["adapters", /^(?:effect|@effect-oci\/(?:schema|core)|@effect\/platform-node(?:-shared)?)\/|^node:|^packageurl-js$/],
  ["cli", /^(?:effect|@effect-oci\/(?:schema|core|adapters)|@effect\/platform-node(?:-shared)?)\/|^node:/]
]

/** A module that is named by an import, an export or an import() outside of comments, on one line or many. */
const importing =
  /^(?:import|export)\b[^"'`;]*?\bfrom "([^"]+)"|^import "([^"]+)"|^(?!\s*(?:\*|\/\/)).*?\bimport\("([^"]+)"\)/gm

/**
 * The imports of a source text that its package may not make, as `line: what is wrong`. `path` is the file's, within
 * the package's `src`.
 */
export const violations = (name: string, path: string, source: string): ReadonlyArray<string> => {
  const modules = allowed.find(([known]) => known === name)?.[1]
  const depth = path.split("/").length - 1
  return Array.from(source.matchAll(importing)).flatMap((match) => {
    const imported = match[1] ?? match[2] ?? match[3] ?? ""
    const climbs = imported.split("/").filter((part) => part === "..").length
    const fine = imported.startsWith(".")
      ? climbs <= depth || (name === "cli" && imported === "../package.json")
      : modules?.test(imported) === true && !imported.includes("/internal/")
    const line = source.slice(0, match.index).split("\n").length
    return fine ? [] : [`${line}: ${name} may not import "${imported}"`]
  })
}

/** All such imports in the packages, as `file:line: what is wrong`. */
export const check = (): ReadonlyArray<string> =>
  allowed.flatMap(([name]) => {
    const src = `packages/${name}/src`
    return globSync("**/*.ts", { cwd: join(root, src) }).toSorted().flatMap((path) =>
      violations(name, path, readFileSync(join(root, src, path), "utf8")).map((problem) => `${src}/${path}:${problem}`)
    )
  })

if (process.argv[1] === import.meta.filename) {
  const problems = check()
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.exitCode = problems.length === 0 ? 0 : 1
}
