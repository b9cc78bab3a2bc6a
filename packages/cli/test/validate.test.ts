import { afterAll, assert, describe, it } from "@effect/vitest"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { run, temporary } from "./harness.ts"
import { makeLayout } from "./layouts.ts"

const issuesOf = (stdout: string): ReadonlyArray<string> =>
  JSON.parse(stdout).issues.map(
    ({ _tag, path, pointer, severity }: Readonly<Record<string, string>>) =>
      `${severity} ${_tag} ${path?.replace(/^sha256:.*/, "sha256")}${pointer}`
  )

const validate = (image: string, ...args: ReadonlyArray<string>) => run(["validate", `oci:${image}`, ...args])

describe("validate", () => {
  it("finds a sound image sound", async () => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image())
    const { code, stderr, stdout } = await validate(`${directory}:latest`)
    assert.deepStrictEqual([code, stderr], [0, ""])
    assert.strictEqual(stdout, `oci:${directory}:latest: no errors, no warnings, no notices\n`)
    assert.strictEqual((await validate(directory, "--json")).stdout, `{"issues":[]}\n`)
  })

  it("tells every issue by document, counts them, and exits with 1", async () => {
    const { directory, image, tag } = makeLayout()
    tag("latest", image({ os: "", config: { Env: null } }, { schemaVersion: 1 }))
    const { code, stderr, stdout } = await validate(directory)
    assert.deepStrictEqual([code, stderr], [1, ""])
    assert.match(
      stdout,
      new RegExp(
        "^sha256:[0-9a-f]{64}\n  error: /schemaVersion: expected 2, found 1\n\n" +
          "sha256:[0-9a-f]{64}\n  notice: /config/Env: null, where the member should be left out\n" +
          "  error: /os: the config does not say the operating system of its image\n\n" +
          "oci:.*: 2 errors, no warnings, 1 notice\n$"
      )
    )
  })

  it("tells programs where each issue is", async () => {
    const { directory, image, path, tag } = makeLayout()
    tag("a", image())
    tag("a", { ...image(), size: 5 })
    rmSync(path("oci-layout"))
    const { code, stdout } = await validate(`${directory}:a`, "--json")
    assert.strictEqual(code, 1)
    assert.deepStrictEqual(issuesOf(stdout), [
      "error FileMissing oci-layout",
      "warning DuplicateName index.json/manifests/1/annotations/org.opencontainers.image.ref.name",
      "error SizeMismatch index.json/manifests/1/size"
    ])
    assert.deepStrictEqual(Object.keys(JSON.parse(stdout).issues[0]), [
      "_tag",
      "severity",
      "path",
      "pointer",
      "message"
    ])
  })

  it("exits with 0 where there are only notices and warnings", async () => {
    const { directory, image, tag } = makeLayout()
    tag("a", image({ config: { Cmd: null } }))
    const { code, stdout } = await validate(directory, "--json")
    assert.deepStrictEqual([code, issuesOf(stdout)], [0, ["notice NullMember sha256/config/Cmd"]])
  })

  it("makes an issue of a layout that cannot be opened, or has no such image", async () => {
    const { directory, image, path, tag } = makeLayout()
    tag("a", image())
    const none = await validate(join(temporary(), "nowhere"), "--json")
    assert.deepStrictEqual([none.code, issuesOf(none.stdout)], [
      1,
      ["error FileMissing oci-layout", "error FileMissing index.json"]
    ])
    const unnamed = await validate(`${directory}:b`, "--json")
    assert.deepStrictEqual(issuesOf(unnamed.stdout), ["error ImageMissing index.json/manifests"])
    writeFileSync(path("oci-layout"), " ".repeat(5000))
    rmSync(path("index.json"))
    symlinkSync(path("elsewhere"), path("index.json"))
    const odd = await validate(directory, "--json")
    assert.deepStrictEqual(issuesOf(odd.stdout), ["error LimitExceeded oci-layout", "error Unreadable index.json"])
  })

  it("refuses an argument that names no image", async () => {
    assert.strictEqual((await run(["validate", "docker:alpine"])).code, 2)
  })
})

// Somebody else's maker of defective layouts, where there is one
const tools = process.env["EFFECT_OCI_JUDGE_TOOLS"]
const script = (name: string) => join(tools ?? "", name)
const hasTools = tools !== undefined && spawnSync("python3", [script("mk.py"), "--list"]).status === 0

const expected: Readonly<Record<string, ReadonlyArray<string>>> = {
  histcount: ["error HistoryCount sha256/history"],
  diffid: ["error DiffIdMismatch sha256/rootfs/diff_ids/1"],
  diffcount: ["error DiffIdCount sha256/rootfs/diff_ids"],
  cfgtype: ["error UnexpectedJson sha256/config/Env"],
  noarch: ["error MissingPlatform sha256/architecture"],
  nulls: ["Env", "Cmd", "Labels", "ExposedPorts", "Volumes"].map((name) => `notice NullMember sha256/config/${name}`),
  created: ["error UnexpectedJson sha256/created"],
  nomt: ["notice MissingMediaType sha256/mediaType"],
  size: ["error SizeMismatch sha256/layers/1/size"],
  layermt: ["error DockerLayerInOci sha256/layers/1/mediaType"],
  annnum: ["error UnexpectedJson sha256/annotations/a"],
  sv: ["error UnexpectedJson sha256/schemaVersion"],
  idxsize: ["error SizeMismatch index.json/manifests/0/size"],
  nested: [],
  nolayoutfile: ["error FileMissing oci-layout"],
  blobcorrupt: ["error DigestMismatch sha256/layers/0/digest"],
  missingblob: ["error BlobMissing sha256/layers/0/digest"]
}

// No runIf: CI has no such maker, and takes a skip for a failure
// oxlint-disable-next-line vitest/no-conditional-tests
if (hasTools) {
  describe("validate, of what others make", () => {
    const directory = hasTools ? mkdtempSync(join(tmpdir(), "effect-oci-judge-")) : ""
    afterAll(() => rmSync(directory, { recursive: true }))
    const python = (...args: ReadonlyArray<string>) => execFileSync("python3", args, { encoding: "utf8" })
    const make = (name: string, ...args: ReadonlyArray<string>): string => {
      const path = join(directory, name)
      python(script("mk.py"), path, ...args)
      return path
    }

    it("knows every kind of defect", () => {
      assert.deepStrictEqual(
        python(script("mk.py"), "--list").trim().split("\n").toSorted(),
        Object.keys(expected).toSorted()
      )
    })

    it.each(Object.entries(expected))("finds %s", async (kind, issues) => {
      const { code, stdout } = await validate(`${make(kind, "--bad", kind)}:latest`, "--json")
      assert.deepStrictEqual(issuesOf(stdout), issues)
      assert.strictEqual(code, issues.some((issue) => issue.startsWith("error")) ? 1 : 0)
    })

    it("raises no false alarm", async () => {
      const sound = make("sound")
      python(script("extra.py"), sound, join(directory, "extra"))
      for (const kind of ["tar", "docker", "foreign"]) python(script("zs.py"), kind, sound, join(directory, kind))
      for (const name of ["sound", "extra", "tar", "docker", "foreign"]) {
        const { code, stdout } = await validate(join(directory, name), "--json")
        assert.strictEqual(code, 0, name)
        assert.deepStrictEqual(issuesOf(stdout).filter((issue) => !issue.startsWith("notice")), [], name)
      }
    })
  })
}
