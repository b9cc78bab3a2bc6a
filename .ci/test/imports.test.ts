import { assert, describe, it } from "@effect/vitest"
import { check, violations } from "../imports.ts"

describe("imports", () => {
  it("of the packages run one way", () => {
    assert.deepStrictEqual(check(), [])
  })

  it.each<[name: string, path: string, imported: string]>([
    ["schema", "Digest.ts", "node:fs"],
    ["schema", "Digest.ts", "effect"],
    ["schema", "Digest.ts", "@effect-oci/core/CacheRef"],
    ["schema", "Digest.ts", "../test/help.ts"],
    ["schema", "Digest.ts", "../../core/src/CacheRef.ts"],
    ["core", "CacheRef.ts", "@effect/platform-node/NodeServices"],
    ["core", "CacheRef.ts", "@effect-oci/adapters/CacheRefMemory"],
    ["core", "CacheRef.ts", "@effect-oci/schema/internal/json"],
    ["adapters", "CacheRefMemory.ts", "@effect-oci/cli/App"],
    ["cli", "commands/ref.ts", "../../../core/src/CacheRef.ts"]
  ])("of %s/src/%s may not name %s", (name, path, imported) => {
    const line = [`1: ${name} may not import "${imported}"`]
    assert.deepStrictEqual(violations(name, path, `import * as X from "${imported}"`), line)
    assert.deepStrictEqual(violations(name, path, `import type {\n  X\n} from "${imported}"`), line)
    assert.deepStrictEqual(violations(name, path, `export * from "${imported}"`), line)
    assert.deepStrictEqual(violations(name, path, `import "${imported}"`), line)
    assert.deepStrictEqual(violations(name, path, `const load = () => import("${imported}")`), line)
    assert.deepStrictEqual(violations(name, path, ` * import * as X from "${imported}"`), [])
  })

  it.each<[name: string, path: string, imported: string]>([
    ["schema", "Digest.ts", "effect/Schema"],
    ["schema", "Digest.ts", "./internal/json.ts"],
    ["core", "CacheRef.ts", "@effect-oci/schema/Digest"],
    ["core", "internal/walk.ts", "../CacheRef.ts"],
    ["adapters", "CacheRefFileSystem.ts", "node:fs"],
    ["cli", "main.ts", "@effect-oci/adapters/CacheRefMemory"]
  ])("of %s/src/%s may name %s", (name, path, imported) => {
    assert.deepStrictEqual(violations(name, path, `import * as X from "${imported}"`), [])
  })
})
