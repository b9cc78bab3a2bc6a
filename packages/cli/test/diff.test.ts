import { assert, describe, it } from "@effect/vitest"
import { run } from "./harness.ts"
import { makeLayout } from "./layouts.ts"

describe("diff", () => {
  it("says that equal images are equal, and exits with 0", async () => {
    const { directory, image, tag } = makeLayout()
    const descriptor = image()
    tag("a", descriptor)
    tag("b", descriptor)
    const { code, stderr, stdout } = await run(["diff", `oci:${directory}:a`, `oci:${directory}:b`])
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.strictEqual(
      stdout,
      `- oci:${directory}:a ${descriptor.digest}\n+ oci:${directory}:b ${descriptor.digest}\n\nThe digests are the same.\n`
    )
  })

  it("says why digests differ, and exits with 1", async () => {
    const left = makeLayout()
    const right = makeLayout()
    left.tag("v1", left.image())
    right.tag("v1", right.image({ author: "me\u001b[31m", created: "2026-01-01T00:00:00Z" }))
    const images = [`oci:${left.directory}`, `oci:${right.directory}:v1`]
    const { code, stderr, stdout } = await run(["diff", ...images])
    assert.deepStrictEqual([code, stderr], [1, ""])
    assert.include(
      stdout,
      "\n\nThe digest changed because the config differs at /author and the time /created differs; an epoch would make " +
        "the times equal.\n\nconfig /author\n  + \"me\\u001b[31m\"\n\nconfig /created: another time\n" +
        "  - \"2024-01-02T03:04:05.000000006Z\"\n  + \"2026-01-01T00:00:00Z\"\n  (an epoch"
    )
    const json = await run(["diff", ...images, "--json"])
    assert.strictEqual(json.code, 1)
    const report = JSON.parse(json.stdout)
    assert.deepStrictEqual(Object.keys(report), ["equal", "left", "right", "differences", "sentence"])
    assert.deepStrictEqual([report.equal, report.left.image, report.right.image], [false, ...images])
    assert.deepStrictEqual(report.differences[1], {
      _tag: "Time",
      where: "config",
      image: "",
      pointer: "/created",
      left: "\"2024-01-02T03:04:05.000000006Z\"",
      right: "\"2026-01-01T00:00:00Z\"",
      rule: "epoch"
    })
  })

  it("fails, and tells why, where an image cannot be read", async () => {
    const { directory, image, tag } = makeLayout()
    tag("a", image())
    const { code, stderr } = await run(["diff", `oci:${directory}:a`, `oci:${directory}:b`])
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: .* has no image "b"; it has "a"/)
    assert.strictEqual((await run(["diff", `oci:${directory}:a`])).code, 2)
  })
})
