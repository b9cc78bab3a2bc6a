import { assert, beforeEach, describe, it } from "@effect/vitest"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { run, temporary } from "./harness.ts"

const one = `sha256:${"1".repeat(64)}`
const two = `sha256:${"2".repeat(64)}`

let directory: string

const write = (name: string, text: string) => {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

const patch = (config: string, ...args: ReadonlyArray<string>) =>
  run(["config", "patch", "--config", write("config.json", config), ...args])

beforeEach(() => {
  directory = temporary()
})

describe("config patch", () => {
  it("writes the patched bytes, and not one more", async () => {
    const config = `{ "os": "linux", "architecture": "amd64", "x": { "n": 1.50 },
      "rootfs": {"type":"layers","diff_ids":["${one}"]},
      "history": [{"created":"2019-07-22T02:12:25.123456789Z"}] }`
    const { code, stderr, stdout } = await patch(config)
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.strictEqual(
      stdout,
      `{"architecture":"amd64","created":"2019-07-22T02:12:25.123456789Z","history":[{"created":` +
        `"2019-07-22T02:12:25.123456789Z"}],"os":"linux","rootfs":{"type":"layers","diff_ids":["${one}"]},"x":{"n":1.50}}`
    )
  })

  it("takes diff IDs and a history", async () => {
    const history = write(
      "history.json",
      `[{"created_by":"ADD a"},{"empty_layer":true},{"created":"2020-01-01T00:00:00Z"}]`
    )
    const { stdout } = await patch(
      `{"os":"linux","architecture":"amd64","history":[{"created_by":"old"}]}`,
      "--diff-id",
      one,
      "--diff-id",
      two,
      "--history",
      history
    )
    const { created, history: items, rootfs } = JSON.parse(stdout)
    assert.deepStrictEqual(rootfs, { type: "layers", diff_ids: [one, two] })
    assert.deepStrictEqual(items, [{ created_by: "ADD a" }, { empty_layer: true }, { created: "2020-01-01T00:00:00Z" }])
    assert.strictEqual(created, "2020-01-01T00:00:00Z")
  })

  it.each<[string, string, RegExp]>([
    ["a config that is no JSON", "{", /the image config is not JSON: line 1, column 2/],
    ["a config without a platform", "{}", /missing os\n  help: a config has to say "os" and "architecture"/],
    [
      "a diff ID of the config's own that is none",
      `{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["${one}",""]}}`,
      /\/rootfs\/diff_ids\/1 is not a digest: mend it, or pass .* --diff-id/
    ]
  ])("refuses %s", async (_, config, expected) => {
    const { code, stderr, stdout } = await patch(config)
    assert.deepStrictEqual([code, stdout], [1, ""])
    assert.match(stderr, expected)
  })

  it.each<[string, RegExp]>([
    ["[{\"created\":\n\"now\"}]", /the history is not valid: \/0\/created \(line 2, column 1\): .* found "now"/],
    ["[{},]", /the history is not JSON: line 1, column 5/],
    ["{}", /the history is not valid: the document \(line 1, column 1\): expected a list/],
    ["[{\"Created\":null}]", /the history is not I-JSON/]
  ])("refuses the history %s, and says where", async (history, expected) => {
    const { code, stderr } = await patch(
      `{"os":"linux","architecture":"amd64"}`,
      "--history",
      write("history.json", history)
    )
    assert.strictEqual(code, 1)
    assert.match(stderr, expected)
  })

  it.each<[Array<string>, RegExp]>([
    [["--config", "-", "--history", "-"], /--config and --history cannot both be read from stdin/],
    [["--config", "x", "--diff-id", "sha256:../../x"], /--diff-id: malformed digest "sha256:\.\.\/\.\.\/x"/],
    [[], /Missing required flag: --config/]
  ])("calls %j wrong usage", async (args, expected) => {
    const { code, stderr } = await run(["config", "patch", ...args])
    assert.strictEqual(code, 2)
    assert.match(stderr, expected)
  })
})
