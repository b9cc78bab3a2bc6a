import * as RegistryError from "@effect-oci/core/RegistryError"
import { assert, describe, it } from "@effect/vitest"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Advice from "../src/Advice.ts"
import { run, temporary } from "./harness.ts"

describe("Advice", () => {
  const registry = "registry.lan:5000"

  it.each<[RegistryError.Reason, string | undefined]>([
    [new RegistryError.Unauthorized({ isLoggedIn: false }), `effect-oci login ${registry}`],
    [new RegistryError.Insecure(), `--insecure ${registry}`],
    [
      new RegistryError.Misbehaved({ found: "another digest" }),
      `try again, or tell whoever runs ${registry}: nothing that it sent was kept`
    ],
    [new RegistryError.NotFound({ code: "NAME_UNKNOWN" }), undefined]
  ])("on what a registry answers: %j", (reason, expected) => {
    assert.strictEqual(Advice.on(new RegistryError.RegistryError({ operation: "ask", registry, reason })), expected)
  })

  it("tells which transports are for files, and which for directories", async () => {
    const file = join(temporary(), "app.tar")
    writeFileSync(file, "")
    const { code, stderr } = await run(["inspect", `oci:${file}`])
    assert.strictEqual(code, 1)
    assert.match(
      stderr,
      /is not an OCI image layout: .*\n {2}help: .*; a file is oci-archive:FILE or docker-archive:FILE\n$/
    )
  })
})
