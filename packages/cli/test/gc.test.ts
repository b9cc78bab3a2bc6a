import { assert, describe, it } from "@effect/vitest"
import { existsSync, readdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"
import { layerType, makeLayout } from "./layouts.ts"

const collect = (...args: ReadonlyArray<string>) => run(["gc", ...args])

describe("gc", () => {
  it("removes what nothing needs, tells it, unless it is young", async () => {
    const { directory, image, path, put, tag } = makeLayout()
    tag("latest", image())
    const garbage = put(layerType, "x".repeat(2048))
    const before = readdirSync(path("blobs/sha256"))

    const young = await collect(`oci:${directory}`)
    assert.deepStrictEqual(
      [young.code, young.stdout, young.stderr],
      [0, "removed 0 blobs, 0 B; kept 4; 1 blob too young, which stay for now\n", ""]
    )

    const told = await collect(`oci:${directory}`, "--grace", "0", "--dry-run")
    assert.strictEqual(
      told.stdout,
      `BLOB${" ".repeat(69)} SIZE\n${garbage.digest}  2 KiB\nwould remove 1 blob, 2 KiB; kept 4\n`
    )
    assert.deepStrictEqual(readdirSync(path("blobs/sha256")), before)

    const done = await collect(`oci:${directory}`, "--grace", "0", "--json")
    assert.deepStrictEqual(JSON.parse(done.stdout), {
      store: directory,
      dryRun: false,
      removed: [{ digest: garbage.digest, size: 2048 }],
      bytes: 2048,
      kept: 4,
      young: 0
    })
    assert.strictEqual(readdirSync(path("blobs/sha256")).length, before.length - 1)
  })

  it("removes nothing where a manifest is damaged, and tells what to do", async () => {
    const { directory, image, path, put, tag } = makeLayout()
    const { digest } = image()
    tag("latest", { ...image() })
    put(layerType, "garbage")
    rmSync(path("blobs", digest.replace(":", "/")))
    const { code, stderr, stdout } = await collect(`oci:${directory}`, "--grace", "0")
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(
      stderr,
      new RegExp(
        `^error: nothing is removed from ${directory}, because .* ${digest} names, .*index.json[^]*has no blob`
      )
    )
    assert.strictEqual(readdirSync(path("blobs/sha256")).length, 4)
  })

  it("works on the directory of refs", async () => {
    const store = join(temporary(), "store")
    const source = join(import.meta.dirname, "harness.ts")
    for (const name of ["kept", "dropped"]) {
      await run(["ref", "add", name, source, "--at", `/${name}`, "--created", "2024-01-02T03:04:05Z", "--store", store])
    }
    await run(["ref", "remove", "dropped", "--store", store])
    const { stdout } = await run(["gc", "--grace", "0", "--json"], { EFFECT_OCI_STORE: store })
    assert.strictEqual(JSON.parse(stdout).removed.length, 1)
    assert.strictEqual((await run(["verify", "--store", store])).code, 0)
  })

  it("makes no store where there is none", async () => {
    const nowhere = join(temporary(), "nowhere")
    const { code, stderr } = await collect(`oci:${nowhere}`)
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: .*nowhere is not an OCI image layout/)
    assert.isFalse(existsSync(nowhere))
  })

  it("refuses what is no store and no time", async () => {
    const cases: ReadonlyArray<readonly [ReadonlyArray<string>, RegExp]> = [
      [["oci:out:latest"], /STORE: "oci:out:latest" does not name a store: expected oci:DIR/],
      [["out"], /STORE: "out" does not name a store/],
      [["--grace", "1 week"], /--grace: expected a time such as 90s, 30m, 1h, 7d or 0; found "1 week"/],
      [["--grace", "10"], /--grace: expected a time/],
      [["--grace", "-1s"], /--grace/]
    ]
    for (const [args, expected] of cases) {
      const { code, stderr } = await collect(...args)
      assert.strictEqual(code, 2, args.join(" "))
      assert.match(stderr, expected)
    }
  })
})
