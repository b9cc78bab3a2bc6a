/** The program as users install it: the bundle, in processes of its own. */
import { assert, beforeAll, beforeEach, describe, it } from "@effect/vitest"
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { judge } from "../../adapters/test/judges.ts"
import { bundle } from "../build.ts"
import { filesIn, run, temporary } from "./harness.ts"

const bundled = join(import.meta.dirname, "../node_modules/.cache/test-main")
const program = `'${process.execPath}' '${join(bundled, "main.js")}'`

let directory: string

const path = (name: string) => join(directory, name)

/** Runs a script in which `effect-oci` is the program. */
const shell = (script: string, env: Readonly<Record<string, string>> = {}) =>
  spawnSync("bash", ["-c", `set -o pipefail; effect-oci() { ${program} "$@"; }; ${script}`], {
    cwd: directory,
    encoding: "utf8",
    env: {
      PATH: process.env["PATH"],
      HOME: directory,
      NODE_COMPILE_CACHE: join(bundled, "compile"),
      EFFECT_OCI_STORE: path("store"),
      SOURCE_DATE_EPOCH: "1700000000",
      ...env
    }
  })

const makeFiles = () => {
  mkdirSync(path("files/bin"), { recursive: true })
  writeFileSync(path("files/hello.txt"), "hello\n")
  writeFileSync(path("files/bin/ä.sh"), "#!/bin/sh\n")
  chmodSync(path("files"), 0o755)
  chmodSync(path("files/bin"), 0o755)
  chmodSync(path("files/hello.txt"), 0o644)
  chmodSync(path("files/bin/ä.sh"), 0o755)
}

beforeAll(() => bundle(join(import.meta.dirname, "../src/main.ts"), bundled))

beforeEach(() => {
  directory = temporary()
  makeFiles()
})

describe("effect-oci", () => {
  it("has a command for each purpose, and help with examples for each command", async () => {
    const { status, stdout } = shell("effect-oci --help")
    assert.strictEqual(status, 0)
    for (const name of ["ref", "export", "config", "inspect", "build"]) {
      assert.match(stdout, new RegExp(`^  ${name} `, "m"))
    }
    for (
      const name of ["ref add", "ref list", "ref show", "ref remove", "build", "export", "config patch", "inspect"]
    ) {
      const help = await run([...name.split(" "), "--help"])
      assert.strictEqual(help.code, 0, name)
      assert.include(help.stdout, `USAGE\n  effect-oci ${name}`)
      assert.include(help.stdout, "EXAMPLES\n")
    }
  })

  it("gives one digest in any time zone, locale and umask", () => {
    const script = "umask $UMASK; effect-oci ref add app files --at /app --store $STORE --json >/dev/null &&" +
      "effect-oci export app --store $STORE --to oci:$STORE.out --platform linux/amd64 --json | tee $STORE.json"
    const here = shell(script, { TZ: "Asia/Kathmandu", LC_ALL: "C", UMASK: "077", STORE: "one" })
    const there = shell(script, { TZ: "America/St_Johns", LC_ALL: "C.utf8", UMASK: "000", STORE: "two" })
    assert.deepStrictEqual([here.status, there.status], [0, 0], here.stderr + there.stderr)
    const { config, descriptor } = JSON.parse(here.stdout)
    assert.deepStrictEqual(JSON.parse(there.stdout).descriptor, descriptor)
    assert.deepStrictEqual(JSON.parse(there.stdout).config, config)
  })

  it("reads a config from stdin, and not all of one that never ends", () => {
    const config = `{"os":"linux","architecture":"amd64"}`
    const patched = shell(`echo '${config}' | effect-oci config patch --config -`)
    assert.strictEqual(JSON.parse(patched.stdout).os, "linux")
    const exported = shell(
      `effect-oci ref add app files && echo '${config}' | effect-oci export app --to oci:out --config - --json`
    )
    assert.strictEqual(exported.status, 0, exported.stderr)
    const endless = shell("yes | { effect-oci config patch --config -; echo $? >&2; }")
    assert.match(endless.stderr, /the image config has 4194305 bytes; at most 4194304 are read\n1\n$/)
  })

  it("keeps a config's digest through inspect", () => {
    const { status, stdout } = shell(
      "effect-oci ref add app files >&2 && effect-oci export app --to oci:out --json | jq -r .config.digest &&" +
        "effect-oci inspect oci:out --config | sha256sum"
    )
    assert.strictEqual(status, 0)
    const [digest, sum] = stdout.split("\n")
    assert.strictEqual(digest, `sha256:${sum?.slice(0, 64)}`)
  })

  it("ends quietly when nobody reads on", () => {
    mkdirSync(path("store/refs"), { recursive: true })
    writeFileSync(path("store/oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
    for (let index = 0; index < 200; index++) {
      writeFileSync(path(`store/refs/r${index}.json`), JSON.stringify({ version: 1, description: "x".repeat(4000) }))
    }
    const { status, stderr, stdout } = shell("effect-oci ref list | head -1")
    assert.deepStrictEqual([status, stderr], [0, ""])
    assert.match(stdout, /^NAME /)
  })

  it("leaves nothing behind when it is interrupted", async () => {
    assert.strictEqual(shell("effect-oci ref add base files").status, 0)
    const before = filesIn(path("store"))
    writeFileSync(path("big"), "")
    truncateSync(path("big"), 2 ** 31)
    const child = spawn(process.execPath, [
      join(bundled, "main.js"),
      "ref",
      "add",
      "big",
      path("big"),
      "--parent",
      "base"
    ], {
      stdio: ["ignore", "ignore", "pipe"],
      env: { PATH: process.env["PATH"], EFFECT_OCI_STORE: path("store"), SOURCE_DATE_EPOCH: "0" }
    })
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text) => stderr += text)
    const ended = once(child, "close")
    // Until some of it is on disk
    while (filesIn(path("store")).length === before.length && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    child.kill("SIGINT")
    assert.deepStrictEqual(await ended, [130, null])
    assert.strictEqual(stderr, `adding ${path("big")} ... interrupted\n`)
    assert.deepStrictEqual(filesIn(path("store")), before)
  })

  // `script` gives the program a terminal
  it.runIf(spawnSync("script", ["--version"]).status === 0)("shows progress on a terminal", () => {
    const onTerminal = (env: Record<string, string>) =>
      shell(`script -qec "${program} ref add app files" /dev/null`, { TERM: "xterm", ...env }).stdout
    assert.include(onTerminal({}), "s \x1b[32mdone\x1b[0m\r\n")
    const plain = onTerminal({ NO_COLOR: "1" })
    assert.include(plain, "\r\x1b[Kadding files ... 0.")
    assert.include(plain, "s done\r\n")
    assert.match(onTerminal({ TERM: "dumb" }), /^adding files \.\.\. [0-9.]+ KiB done\r\n/)
  })
})

describe("an exported image, to others", () => {
  const image = async () => {
    const env = { EFFECT_OCI_STORE: path("store"), SOURCE_DATE_EPOCH: "1700000000" }
    await run(["ref", "add", "base", path("files")], env)
    await run(["ref", "add", "app", path("files"), "--parent", "base", "--at", "/app"], env)
    const { code } = await run(["export", "app", "--to", `oci:${path("out")}:v1`, "--platform", "linux/amd64"], env)
    assert.strictEqual(code, 0)
  }

  it.runIf(judge("skopeo"))("is one that skopeo reads, and copies without a change", async () => {
    await image()
    const inspected = JSON.parse(
      execFileSync("skopeo", ["inspect", "oci:out:v1"], { cwd: directory, encoding: "utf8" })
    )
    const raw = shell("effect-oci inspect oci:out:v1 --raw | sha256sum").stdout
    assert.strictEqual(inspected.Digest, `sha256:${raw.slice(0, 64)}`)
    assert.strictEqual(inspected.Layers.length, 2)
    execFileSync("skopeo", ["copy", "--quiet", "--insecure-policy", "oci:out:v1", "oci:copy:v1"], { cwd: directory })
    assert.deepStrictEqual(readdirSync(path("copy/blobs/sha256")), readdirSync(path("out/blobs/sha256")))
  })

  it.runIf(judge("umoci"))("is one that umoci unpacks", async () => {
    await image()
    execFileSync("umoci", ["unpack", "--rootless", "--image", "out:v1", "bundle"], { cwd: directory, stdio: "pipe" })
    assert.strictEqual(readFileSync(path("bundle/rootfs/app/hello.txt"), "utf8"), "hello\n")
    assert.strictEqual(statSync(path("bundle/rootfs/bin/ä.sh")).mode & 0o777, 0o755)
  })

  it.runIf(judge("oci-image-tool"))("is one that oci-image-tool validates", async () => {
    await image()
    const { status, stderr } = shell("oci-image-tool validate --type image --ref name=v1 out")
    assert.strictEqual(status, 0, stderr)
  })
})
