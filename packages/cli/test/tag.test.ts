import { assert, describe, it } from "@effect/vitest"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"
import { makeLayout } from "./layouts.ts"

const names = async (directory: string) =>
  JSON.parse((await run(["list", `oci:${directory}`, "--json"])).stdout).map(({ name }: { name?: string }) => name)

describe("tag", () => {
  it("gives an image further names, and says which", async () => {
    const { directory, image, tag } = makeLayout()
    const { digest } = image()
    tag("latest", image())
    const { code, stdout } = await run(["tag", `oci:${directory}:latest`, "1", "team/app:1.2"])
    assert.strictEqual(code, 0)
    assert.strictEqual(stdout, `oci:${directory}:1 is ${digest}\noci:${directory}:team/app:1.2 is ${digest}\n`)
    assert.deepStrictEqual(await names(directory), ["latest", "1", "team/app:1.2"])
  })

  it("takes a name from the image that has it, also for one that is chosen by its digest", async () => {
    const { directory, image, tag } = makeLayout()
    const [one, two] = [image(), image({ author: "two" })]
    tag("one", one)
    tag("two", two)
    const { stdout } = await run(["tag", `oci:${directory}@${one.digest}`, "two", "--json"])
    assert.deepStrictEqual(JSON.parse(stdout), {
      image: `oci:${directory}@${one.digest}`,
      digest: one.digest,
      tagged: [`oci:${directory}:two`]
    })
    const listed = JSON.parse((await run(["list", `oci:${directory}`, "--json"])).stdout)
    assert.deepStrictEqual(listed.map(({ digest }: { digest: string }) => digest), [one.digest, one.digest])
  })

  it.each([
    [["oci:DIR:nope", "x"], 1, /has no image "nope"; it has "latest"/],
    [["oci:DIR:latest"], 2, /NAME/],
    [["oci:DIR:latest", "oci:DIR:x"], 2, /the name alone, such as 1\.0.*found "oci:DIR:x"/],
    [["oci:DIR:latest", "a b"], 2, /letters and digits.*found "a b"/],
    [["dir:DIR", "x"], 1, /DIR/],
    [["oci:NOWHERE", "x"], 1, /is not an OCI image layout/]
  ])("tag %j fails", async (args, expected, message) => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image())
    const index = readFileSync(join(directory, "index.json"))
    const { code, stderr } = await run([
      "tag",
      ...args.map((arg) => arg.replace("DIR", directory).replace("NOWHERE", join(temporary(), "x")))
    ])
    assert.strictEqual(code, expected)
    assert.match(stderr.replaceAll(directory, "DIR"), message)
    assert.deepStrictEqual(readFileSync(join(directory, "index.json")), index)
  })
})

describe("untag", () => {
  it("takes a name away, and leaves every other byte of the list and all blobs", async () => {
    const { directory, image, tag } = makeLayout()
    tag("a", image())
    tag("b", image())
    const path = join(directory, "index.json")
    const odd = (text: string) =>
      text.replace("{", "{ \"x-kept\" : 1.0,").replaceAll("\"annotations\":", "\"x\":[1e2],\"annotations\" :")
    writeFileSync(path, odd(readFileSync(path, "utf8")))
    const written = readFileSync(path, "utf8")
    const { code, stdout } = await run(["untag", `oci:${directory}:a`])
    assert.deepStrictEqual([code, stdout], [0, `untagged oci:${directory}:a\n`])
    const [before = "", rest = ""] = written.split("\"manifests\":[")
    const [, second = ""] = rest.split(/(?<=\}),(?=\{)/)
    assert.strictEqual(readFileSync(path, "utf8"), `${before}"manifests":[${second}`)
    assert.strictEqual((await run(["inspect", `oci:${directory}:b`])).code, 0)
  })

  it("takes the unnamed image away only where there is one, and no digest", async () => {
    const { directory, image, tag } = makeLayout()
    tag("a", image())
    const { code, stdout } = await run(["untag", `oci:${directory}`, "--json"])
    assert.deepStrictEqual([code, JSON.parse(stdout).error._tag], [1, "ImageMissing"])
    assert.include(JSON.parse(stdout).error.message, "has no image without a name; it has \"a\"")
    await run(["copy", `oci:${directory}:a`, `oci:${directory}`])
    assert.deepStrictEqual(await names(directory), ["a", undefined])
    assert.strictEqual((await run(["untag", `oci:${directory}`])).code, 0)
    assert.deepStrictEqual(await names(directory), ["a"])
    assert.strictEqual((await run(["untag", `oci:${directory}:b`])).code, 1)
    assert.strictEqual((await run(["untag", `oci:${directory}@${image().digest}`])).code, 2)
  })
})
