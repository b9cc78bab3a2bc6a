import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"

const root = join(import.meta.dirname, "../..")
const folder = join(root, ".ci/.guide")

/** The files of the guide, as a reader would save them. */
const files = Array.from(
  readFileSync(join(root, "docs/guide.md"), "utf8").matchAll(/^```ts file=(\S+)\n([^]*?)^```$/gm),
  ([, name = "", code = ""]) => ({ name, code })
)

it("the guide's program and test run as they are printed", { timeout: 60_000 }, () => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, "base/etc"), { recursive: true })
  mkdirSync(join(folder, "dist"))
  writeFileSync(join(folder, "base/etc/motd"), "hello\n")
  writeFileSync(join(folder, "dist/server.js"), "console.log(1)\n")
  for (const { code, name } of files) writeFileSync(join(folder, name), code)
  assert.deepStrictEqual(files.map(({ name }) => name), ["release.ts", "main.ts", "release.test.ts"])

  const program = spawnSync(process.execPath, ["main.ts"], { cwd: folder, encoding: "utf8" })
  assert.strictEqual(program.stderr, "")
  assert.match(program.stdout, /^sha256:[0-9a-f]{64}\n$/)

  const vitest = join(root, "node_modules/vitest/vitest.mjs")
  const tests = spawnSync(process.execPath, [vitest, "run"], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, NO_COLOR: "1" }
  })
  assert.strictEqual(tests.status, 0, tests.stdout + tests.stderr)
  assert.match(tests.stdout, /Tests\s+2 passed/)
})
