/**
 * Runs a benchmark: `bench NAME [ARGUMENTS]` runs `packages/PACKAGE/bench/NAME.ts`; without a name it lists them.
 */
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"
import { basename, join } from "node:path"
import process from "node:process"

const root = join(import.meta.dirname, "..")
const [name, ...args] = process.argv.slice(2)
const files = globSync("packages/*/bench/*.ts", { cwd: root })
const file = files.find((path) => basename(path, ".ts") === name)
if (file === undefined) {
  const names = files.map((path) => basename(path, ".ts")).toSorted()
  process.stderr.write(`${name === undefined ? "" : `no benchmark "${name}"\n`}usage: bench ${names.join("|")}\n`)
  process.exitCode = 2
} else {
  // From where the user stands, so that relative paths among the arguments hold
  const cwd = process.env["INIT_CWD"] ?? process.cwd()
  process.exitCode = spawnSync(process.execPath, [join(root, file), ...args], { cwd, stdio: "inherit" }).status ?? 1
}
