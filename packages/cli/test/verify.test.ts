import { assert, describe, it } from "@effect/vitest"
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"
import { makeLayout } from "./layouts.ts"

const verify = (...args: ReadonlyArray<string>) => run(["verify", ...args])

/** A layout with an image, and a copy of it. */
const makePair = () => {
  const { directory, image, path, put, tag } = makeLayout()
  const descriptor = image()
  tag("latest", descriptor)
  const blob = path("blobs", descriptor.digest.replace(":", "/"))
  const { config: { digest: config } } = JSON.parse(readFileSync(blob, "utf8"))
  const backup = join(temporary(), "backup")
  cpSync(directory, backup, { recursive: true })
  return {
    directory,
    backup,
    put,
    manifest: descriptor.digest,
    config,
    blob,
    configPath: path("blobs", config.replace(":", "/"))
  }
}

describe("verify", () => {
  it("finds a sound store sound, and tells what nothing needs", async () => {
    const { directory, put } = makePair()
    const { code, stderr, stdout } = await verify(`oci:${directory}`)
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.match(stdout, new RegExp(`^${directory}: 4 blobs read, .*; nothing wrong\n$`))
    put("x", "garbage")
    assert.match(
      (await verify(`oci:${directory}`)).stdout,
      /: 5 blobs read, .*; nothing wrong; 1 that nothing needs, 7 B\n$/
    )
  })

  it("tells what is wrong, heals it from another store, and exits with 1 as long as anything is", async () => {
    const { backup, config, configPath, directory, manifest } = makePair()
    const size = readFileSync(configPath).length
    writeFileSync(configPath, "{}")
    const wrong = await verify(`oci:${directory}`)
    assert.deepStrictEqual([wrong.code, wrong.stderr], [1, ""])
    const line = `${config} is truncated: expected ${size} bytes, found 2 (named by ${manifest})`
    assert.match(wrong.stdout, new RegExp(`^error: ${line.replaceAll(/[()]/g, "\\$&")}\n.*; 1 wrong\n$`))

    const json = await verify(`oci:${directory}`, "--json")
    assert.strictEqual(json.code, 1)
    assert.deepStrictEqual(JSON.parse(json.stdout).findings, [
      { digest: config, from: manifest, size, found: 2, problem: "truncated", isHealed: false }
    ])

    const healed = await verify(`oci:${directory}`, "--repair", "--from", `oci:${backup}`)
    assert.strictEqual(healed.code, 0)
    assert.match(healed.stdout, /^notice: .*, and was healed\n.*; nothing wrong; 1 healed\n$/)
    assert.deepStrictEqual(readFileSync(configPath), readFileSync(configPath.replace(directory, backup)))
    assert.strictEqual((await verify(`oci:${directory}`)).code, 0)
  })

  it("tells why it cannot heal", async () => {
    const { backup, blob, directory, manifest } = makePair()
    rmSync(blob)
    rmSync(blob.replace(directory, backup))
    const { code, stdout } = await verify(`oci:${directory}`, "--repair", "--from", `oci:${backup}`)
    assert.strictEqual(code, 1)
    assert.include(stdout, `error: ${manifest} is missing (named by index.json): ${backup} has no blob ${manifest}`)
  })

  it("needs a source to repair from, and a store", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, number, RegExp]> = [
      [["--repair"], 2, /--repair needs --from STORE to copy from/],
      [["--from", "oci:a"], 2, /--from is only for --repair/],
      [["--repair", "--from", "a"], 2, /--from: "a" does not name a store/],
      [[`oci:${join(temporary(), "nowhere")}`], 1, /is not an OCI image layout/]
    ]
    for (const [args, code, expected] of cases) {
      const ended = await verify(...args)
      assert.strictEqual(ended.code, code)
      assert.match(ended.stderr, expected)
    }
  })
})
