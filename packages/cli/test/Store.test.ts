import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { homedir } from "node:os"
import { join } from "node:path"
import * as Store from "../src/Store.ts"

describe("Store", () => {
  const ofHome = join(homedir(), ".local/share/effect-oci")

  it.effect.each<[string, Record<string, string>]>([
    ["/own", { EFFECT_OCI_STORE: "/own", XDG_DATA_HOME: "/data" }],
    ["relative/own", { EFFECT_OCI_STORE: "relative/own" }],
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
