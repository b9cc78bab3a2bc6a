/**
 * Packs the four packages as they would be published, installs them in a project outside of the repository, and checks
 * there what users will meet: types, a program, the command, and how the packages are put together.
 */
import { spawnSync } from "node:child_process"
import { cpSync, globSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import manifest from "../packages/cli/package.json" with { type: "json" }

const root = join(import.meta.dirname, "..")
const outside = mkdtempSync(join(tmpdir(), "effect-oci-pack-"))

const run = (cwd: string, command: string, ...args: ReadonlyArray<string>): string => {
  process.stderr.write(`$ ${[command, ...args].join(" ").replaceAll(outside, ".")}\n`)
  const { error, status, stderr, stdout } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (error !== undefined) throw error
  if (status === 0) return stdout
  process.stderr.write(stdout + stderr)
  throw new Error(`${command} exited with ${status}`)
}

const expect = (what: string, found: string, expected: string): void => {
  if (found !== expected) {
    throw new Error(`${what}: expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`)
  }
}

try {
  // Without what earlier sources left behind
  for (const dist of globSync("packages/*/dist", { cwd: root })) rmSync(join(root, dist), { recursive: true })
  run(root, "npx", "--yes", "pnpm@12", "--recursive", "pack", "--pack-destination", outside)
  const tarballs = globSync("*.tgz", { cwd: outside }).toSorted()
  expect("tarballs", String(tarballs.length), "4")

  writeFileSync(join(outside, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const tools = ["publint@0.3.25", "@arethetypeswrong/cli@0.18.5"]
  const peers = ["effect@4.1.0", "typescript@7.0.2", "@types/node@24.19.2"]
  run(outside, "npm", "install", "--no-audit", "--no-fund", ...tarballs.map((name) => `./${name}`), ...peers, ...tools)

  for (const tarball of tarballs) {
    run(outside, "node_modules/.bin/publint", "run", tarball, "--strict")
    if (tarball.includes("-cli-")) continue // nothing to import
    run(outside, "node_modules/.bin/attw", tarball, "--profile", "esm-only")
  }

  cpSync(join(root, ".ci/pack"), outside, { recursive: true })
  run(outside, "node_modules/.bin/tsc", "-p", ".")
  expect("the program", run(outside, "node", "program.js"), "ok\n")
  expect(
    "effect-oci --version",
    run(outside, "node_modules/.bin/effect-oci", "--version"),
    `effect-oci ${manifest.version}\n`
  )
  process.stdout.write(`${tarballs.length} packages: installed, type-checked, run\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
} finally {
  rmSync(outside, { recursive: true, force: true })
}
