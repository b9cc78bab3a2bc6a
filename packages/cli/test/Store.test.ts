import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdirSync, writeFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import * as Store from "../src/Store.ts"
import { filesIn, run, temporary } from "./harness.ts"

describe("Store", () => {
  const ofHome = join(homedir(), ".local/share/effect-oci")

  it.effect.each<[string, Record<string, string>]>([
    ["/own", { EFFECT_OCI_STORE: "/own", XDG_DATA_HOME: "/data" }],
    ["relative/own", { EFFECT_OCI_STORE: "relative/own" }],
    ["docker://localhost:5000/refs", { EFFECT_OCI_STORE: "docker://localhost:5000/refs" }],
    ["/data/effect-oci", { XDG_DATA_HOME: "/data" }],
    ["/data/effect-oci", { EFFECT_OCI_STORE: "", XDG_DATA_HOME: "/data" }],
    [ofHome, { XDG_DATA_HOME: "" }],
    // The XDG specification has a relative path ignored
    [ofHome, { XDG_DATA_HOME: "data" }],
    [ofHome, {}]
  ])("is %s under %j", ([expected, env]) =>
    Effect.gen(function*() {
      assert.strictEqual(yield* Store.directory, expected)
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))))
})

describe("--store", () => {
  it.each([
    ["docker:", "no two slashes"],
    ["docker://", ""],
    ["docker://localhost:5000/Refs", ""],
    ["docker://localhost:5000/refs:tag", "leave the tag out"],
    [`docker://localhost:5000/refs@sha256:${"a".repeat(64)}`, "leave the digest out"],
    ["oci:out", "expected a directory, found \"oci:out\"; write out, or ./oci:out"],
    ["", "a directory"]
  ])("%j is wrong usage", async (store, found) => {
    const { code, stderr } = await run(["ref", "list", "--store", store])
    assert.strictEqual(code, 2)
    assert.include(stderr, "--store")
    assert.include(stderr, found)
  })

  it("of the environment is checked as well", async () => {
    const { code, stderr } = await run(["ref", "list"], { EFFECT_OCI_STORE: "docker:refs" })
    assert.strictEqual(code, 2)
    assert.include(stderr, "--store")
  })

  it.live("docker://NAME is a repository that others share", () =>
    Effect.scoped(Effect.gen(function*() {
      const store = `docker://${yield* MemoryRegistry.serve()}/team/refs`
      const directory = temporary()
      const empty = temporary()
      mkdirSync(join(directory, "dist"))
      writeFileSync(join(directory, "dist/app"), "app")
      const cli = (...args: ReadonlyArray<string>) =>
        Effect.promise(() => run([...args, "--store", store], { XDG_DATA_HOME: empty, HOME: empty }))
      const json = Effect.fnUntraced(function*(...args: ReadonlyArray<string>) {
        const { code, stderr, stdout } = yield* cli(...args, "--json")
        assert.strictEqual(code, 0, stderr)
        const result: unknown = JSON.parse(stdout)
        return result
      })

      assert.deepStrictEqual(yield* json("ref", "list"), [])
      const dist = join(directory, "dist")
      yield* json("ref", "add", "base", dist, "--description", "base", "--created", "2026-01-02T03:04:05Z")
      const added = yield* json("ref", "add", "app", dist, "--parent", "base", "--at", "/app")
      assert.include(added, { name: "app", parent: "base" })
      const shown = yield* json("ref", "show", "app")
      assert.include(shown, { name: "app", parent: "base" })

      const image = `oci:${join(directory, "out")}:latest`
      yield* json("export", "app", "--to", image)
      assert.strictEqual((yield* Effect.promise(() => run(["validate", image]))).code, 0)
      yield* json("ref", "import", image, "again")
      const listed = yield* cli("ref", "list")
      assert.deepStrictEqual(listed.stdout.split("\n").map((line) => line.split(" ")[0]), [
        "NAME",
        "again",
        "again.0",
        "app",
        "base",
        ""
      ])

      const inUse = yield* cli("ref", "remove", "base")
      assert.strictEqual(inUse.code, 1)
      assert.include(inUse.stderr, `the ref "base" is the parent of "app"`)
      assert.deepStrictEqual(yield* json("ref", "remove", "app"), { removed: "app" })
      const missing = yield* cli("ref", "show", "app")
      assert.strictEqual(missing.code, 1)
      assert.include(missing.stderr, `${store.replace("docker://", "")} has no ref "app"`)
      assert.deepStrictEqual(filesIn(empty), [])
    })).pipe(Effect.provide(Layer.provide(MemoryRegistry.layer(), NodeHash.layer))))
})
