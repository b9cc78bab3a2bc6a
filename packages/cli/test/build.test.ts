import { assert, beforeEach, describe, it } from "@effect/vitest"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { judge } from "../../adapters/test/judges.ts"
import { filesIn, run, temporary } from "./harness.ts"

const time = "2023-11-14T22:13:20Z"
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

let directory: string
let env: Record<string, string>

const at = (name: string) => join(directory, name)

/** Arguments, in groups that stand on a line. */
type Groups = ReadonlyArray<ReadonlyArray<string>>

const build = (...args: Groups) => run(["build", ...args.flat()], env)

/** Builds, and gives what is told to programs. */
const built = async (...args: Groups) => {
  const { code, stderr, stdout } = await build(...args, ["--json"])
  assert.strictEqual(code, 0, stderr)
  return JSON.parse(stdout)
}

const blob = (layout: string, digest: string) => at(join(layout, "blobs/sha256", digest.slice("sha256:".length)))
const readJson = (file: string) => JSON.parse(readFileSync(file, "utf8"))

const valid = async (image: string) => {
  const { code, stdout } = await run(["validate", image])
  assert.deepStrictEqual([code, stdout], [0, `${image}: no errors, no warnings, no notices\n`])
}

beforeEach(() => {
  directory = temporary()
  env = { SOURCE_DATE_EPOCH: "1700000000", XDG_CACHE_HOME: at("cache") }
  mkdirSync(at("dist/bin"), { recursive: true })
  writeFileSync(at("dist/hello.txt"), "hello\n")
  writeFileSync(at("dist/bin/app"), "#!/bin/sh\n")
  mkdirSync(at("more"))
  writeFileSync(at("more/b.txt"), "b\n")
  for (const name of ["dist", "dist/bin", "dist/bin/app", "more"]) chmodSync(at(name), 0o755)
  for (const name of ["dist/hello.txt", "more/b.txt"]) chmodSync(at(name), 0o644)
})

const base = () =>
  built(
    ["--add", `${at("dist")}:/`, "--to", `oci:${at("base")}:1`, "--platform", "linux/amd64"],
    ["--env", "A=1", "--label", "a=1", "--cmd", "old", "--workdir", "/srv", "--port", "80", "--volume", "/data"]
  )

describe("build", () => {
  it("makes an image from nothing, and tells its layers", async () => {
    const { code, stderr, stdout } = await build(
      ["--add", `${at("dist")}:/app`, "--add", `${at("more")}:/more`, "--to", `oci:${at("out")}:latest`],
      ["--entrypoint", "/app/bin/app", "--platform", "linux/arm64", "--compression", "zstd:9"]
    )
    assert.strictEqual(code, 0)
    assert.match(
      stderr,
      /^ADD .*\/dist \/app \.\.\. \d.* done\nADD .*\/more \/more \.\.\. \d.* done\nexporting layers \.\.\. done\n/
    )
    const lines = stdout.trimEnd().split("\n")
    assert.strictEqual(lines.map((line) => line.split(/\s+/)[0]).join(" "), "image digest platform config layer layer")
    assert.strictEqual(lines[0], `image     oci:${at("out")}:latest`)
    assert.strictEqual(lines[2], "platform  linux/arm64")
    assert.match(lines[4] ?? "", /^layer     sha256:[0-9a-f]{64}  \d+ B  zstd  made  ADD .*\/dist \/app$/)
    await valid(`oci:${at("out")}:latest`)
  })

  it("writes every setting, and a line of history for it", async () => {
    const { config, descriptor, image, layers } = await built(
      ["--add", `${at("dist")}:/app`, "--to", `oci:${at("out")}`, "--platform", "linux/arm/v7"],
      ["--env", "A=1", "--env", "B=x=y", "--env", "A=2", "--label", "b=<1>", "--label", "a="],
      ["--workdir", "app/x", "--user", "1000:1000", "--port", "80", "--port", "53/udp", "--volume", "/data"],
      [
        "--entrypoint",
        `["/app/bin/app","-x"]`,
        "--cmd",
        "serve",
        "--health-cmd",
        "curl -f x",
        "--stop-signal",
        "SIGINT"
      ],
      [
        "--health-interval",
        "1m30s",
        "--health-timeout",
        "500ms",
        "--health-start-period",
        "2m",
        "--health-retries",
        "4"
      ],
      ["--annotation", "org.example=1"]
    )
    assert.strictEqual(image, `oci:${at("out")}`)
    assert.deepStrictEqual(descriptor.platform, { architecture: "arm", os: "linux", variant: "v7" })
    const manifest = readJson(blob("out", descriptor.digest))
    assert.deepStrictEqual(manifest.layers, [layers[0].descriptor])
    assert.deepStrictEqual(manifest.annotations, { "org.example": "1" })
    assert.deepStrictEqual(Object.keys(layers[0]), ["descriptor", "diffId", "description", "base", "fromCache"])
    const text = readFileSync(blob("out", config.digest), "utf8")
    assert.include(
      text,
      `"config":{"User":"1000:1000","ExposedPorts":{"53/udp":{},"80/tcp":{}},"Env":["${path}","A=2","B=x=y"],` +
        `"Entrypoint":["/app/bin/app","-x"],"Cmd":["serve"],"Volumes":{"/data":{}},"WorkingDir":"/app/x",` +
        `"Labels":{"a":"","b":"\\u003c1\\u003e"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD-SHELL","curl -f x"],` +
        `"Interval":90000000000,"Timeout":500000000,"StartPeriod":120000000000,"Retries":4}}`
    )
    const { created, history } = JSON.parse(text)
    assert.strictEqual(created, time)
    assert.deepStrictEqual(
      history.map((item: { created_by: string; created: string; empty_layer?: boolean }) => [
        item.created_by,
        item.created,
        item.empty_layer ?? false
      ]),
      [
        [`ADD ${at("dist")} /app`, time, false],
        ["ENV A=2 B=x=y", time, true],
        ["LABEL b=<1> a=\"\"", time, true],
        ["WORKDIR /app/x", time, true],
        ["USER 1000:1000", time, true],
        ["EXPOSE 80/tcp 53/udp", time, true],
        ["VOLUME [\"/data\"]", time, true],
        ["ENTRYPOINT [\"/app/bin/app\",\"-x\"]", time, true],
        ["CMD [\"serve\"]", time, true],
        [
          "HEALTHCHECK --interval=1m30s --timeout=0.5s --start-period=2m --retries=4 CMD curl -f x",
          time,
          true
        ],
        ["STOPSIGNAL SIGINT", time, true]
      ]
    )
    await valid(`oci:${at("out")}`)
  })

  it("builds upon an image in another layout, and leaves that alone", async () => {
    const first = await base()
    const before = filesIn(at("base"))
    const { config, descriptor, layers } = await built(
      ["--from", `oci:${at("base")}:1`, "--add", `${at("more")}:/more`, "--to", `oci:${at("out")}:1`],
      ["--env", "A=2", "--label", "b=2", "--entrypoint", "/bin/app", "--workdir", "app", "--port", "81"],
      ["--no-healthcheck", "--epoch", "1600000000"]
    )
    assert.deepStrictEqual(filesIn(at("base")), before)
    assert.deepStrictEqual(descriptor.platform, { architecture: "amd64", os: "linux" })
    assert.deepStrictEqual(layers[0], { ...first.layers[0], base: true })
    assert.deepStrictEqual([layers.length, layers[1].base], [2, false])
    const document = readJson(blob("out", config.digest))
    assert.deepStrictEqual(document.config, {
      ExposedPorts: { "80/tcp": {}, "81/tcp": {} },
      Env: [path, "A=2"],
      // The base's command was for another program
      Entrypoint: ["/bin/app"],
      Volumes: { "/data": {} },
      WorkingDir: "/srv/app",
      Labels: { a: "1", b: "2" },
      Healthcheck: { Test: ["NONE"] }
    })
    const old = readJson(blob("base", first.config.digest)).history
    assert.strictEqual(old[0].created, time)
    assert.deepStrictEqual(document.history.slice(0, old.length), old)
    assert.strictEqual(document.history[old.length].created, "2020-09-13T12:26:40Z")
    // Only that what is new is older than the base
    assert.match((await run(["validate", `oci:${at("out")}:1`])).stdout, /no errors, no warnings, 1 notice\n$/)
  })

  it("builds upon an image of the same layout, moves the tag, and writes Docker's types", async () => {
    await base()
    const args = ["--from", `oci:${at("base")}:1`, "--user", "1", "--to", `oci:${at("base")}:1`, "--format", "docker"]
    const { descriptor } = await built(args)
    const { manifests } = readJson(at("base/index.json"))
    assert.deepStrictEqual(manifests.map(({ digest }: { digest: string }) => digest), [descriptor.digest])
    assert.strictEqual(descriptor.mediaType, "application/vnd.docker.distribution.manifest.v2+json")
    await valid(`oci:${at("base")}:1`)
  })

  it("takes the image of a platform from an index", async () => {
    const store = { ...env, EFFECT_OCI_STORE: at("store") }
    await run(["ref", "add", "app", at("dist")], store)
    await run(
      [
        ["export", "--platform", "linux/amd64=app", "--platform", "linux/s390x=app"],
        ["--to", `oci:${at("index")}:1`]
      ].flat(),
      store
    )
    const args = ["--from", `oci:${at("index")}:1`, "--user", "1", "--to", `oci:${at("out")}`]
    const { descriptor } = await built(args, ["--platform", "linux/s390x"])
    assert.deepStrictEqual(descriptor.platform, { architecture: "s390x", os: "linux" })
    const { code, stderr } = await build(args, ["--platform", "linux/arm64"])
    assert.strictEqual(code, 1)
    assert.match(stderr, /is not for linux\/arm64: it is for linux\/amd64, linux\/s390x\n/)
  })

  it("puts files where the flag says, owned as it says, and leaves out what is ignored", async () => {
    const entries = async (...args: Groups) => {
      const { layers } = await built(...args, ["--to", `oci:${at("out")}`, "--compression", "uncompressed"])
      return layers.map(({ descriptor }: { descriptor: { digest: string } }) =>
        execFileSync("tar", ["--numeric-owner", "--utc", "--full-time", "-tvf", blob("out", descriptor.digest)], {
          encoding: "utf8"
        }).trimEnd().split("\n").map((line) => line.replace(/ +\d+ (?=\d{4}-)/, " "))
      )
    }
    utimesSync(at("dist/hello.txt"), 1_600_000_000, 1_600_000_000)
    writeFileSync(at("ignored"), "**/*\n!hello.txt\n")
    const was = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")
    assert.deepStrictEqual(
      await entries(
        ["--add", `${at("dist/hello.txt")}:/a/b`, "--add", `${at("dist/hello.txt")}:/c/`],
        ["--epoch", ""]
      ),
      [
        [`drwxr-xr-x 0/0 ${was(1)} a/`, `-rw-r--r-- 0/0 ${was(1)} a/b`],
        [`drwxr-xr-x 0/0 ${was(1)} c/`, `-rw-r--r-- 0/0 ${was(1)} c/hello.txt`]
      ]
    )
    const [[, file]] = await entries(
      ["--add", `${at("dist")}:/d`, "--owner", "7:8", "--ignore-file", at("ignored"), "--keep-times"],
      ["--epoch", ""]
    )
    assert.strictEqual(file, `-rw-r--r-- 7/8 ${was(1_600_000_000)} d/hello.txt`)
  })

  it("finds layers that it has made before, unless it is not to", async () => {
    // Younger files could have been changed unseen
    await new Promise((resolve) => setTimeout(resolve, 50))
    const args = ["--add", `${at("dist")}:/app`, "--platform", "linux/amd64"]
    const first = await build(args, ["--to", `oci:${at("one")}`])
    assert.match(first.stdout, /  made  ADD/)
    assert.deepStrictEqual(readdirSync(at("cache/effect-oci")), ["layers"])
    const second = await build(args, ["--to", `oci:${at("two")}`])
    assert.match(second.stderr, /^ADD .* \/app \.\.\. from the cache\n/)
    assert.match(second.stdout, /  from the cache  ADD/)
    assert.strictEqual(second.stdout.split("\n")[1], first.stdout.split("\n")[1])
    await valid(`oci:${at("two")}`)
    assert.match((await build(args, ["--to", `oci:${at("three")}`, "--no-cache"])).stdout, /  made  ADD/)
    writeFileSync(at("dist/hello.txt"), "other\n")
    assert.match((await build(args, ["--to", `oci:${at("four")}`])).stdout, /  made  ADD/)
  })

  it("gives one digest under an epoch, and warns where there is none", async () => {
    const args = ["--add", `${at("dist")}:/app`, "--env", "A=1", "--platform", "linux/amd64"]
    const one = await built(args, ["--to", `oci:${at("one")}`])
    const two = await built(args, ["--to", `oci:${at("two")}:x`])
    assert.deepStrictEqual(one.descriptor, two.descriptor)
    const { stderr } = await run(["build", ...args, "--to", `oci:${at("three")}`], { XDG_CACHE_HOME: at("cache") })
    assert.match(stderr, /^warning: the clock gives the time of creation/m)
    const none = await build(args, ["--to", `oci:${at("four")}`, "--epoch", ""])
    assert.match(none.stderr, /^warning: the clock gives the time of creation/m)
  })

  it.each<[message: string, code: number, args: ReadonlyArray<string>]>([
    ["there is no DIR/nope to add at /app: expected a file or a directory", 1, ["--add", "DIR/nope:/app"]],
    ["--add: expected SRC:DEST, such as dist:/app, found \"dist\"", 2, ["--add", "dist"]],
    ["--add: expected a path in the image behind the colon, such as /app, found \"dist:\"", 2, ["--add", "dist:"]],
    [
      "--entrypoint: expected a JSON array of strings, such as [\"node\",\"server.js\"], found \"[\\\"a\\\"\"",
      2,
      ["--entrypoint", "[\"a\""]
    ],
    ["--platform: invalid platform \"amd64\"", 2, ["--add", "DIR/dist:/", "--platform", "amd64"]],
    ["DIR/base has no image \"2\"; it has \"1\"", 1, ["--from", "oci:DIR/base:2"]],
    ["DIR/more is not an OCI image layout", 1, ["--from", "oci:DIR/more"]],
    ["is not for linux/arm64: it is for linux/amd64", 1, ["--from", "oci:DIR/base:1", "--platform", "linux/arm64"]],
    ["nothing to build: give --add SRC:DEST, or --from IMAGE", 2, []],
    ["--env: expected NAME=VALUE, found \"A\"", 2, ["--env", "A"]],
    ["--label: expected NAME=VALUE, found \"=1\"", 2, ["--label", "=1"]],
    ["--port: expected a number from 1 to 65535, perhaps with /tcp, /udp or /sctp behind it", 2, ["--port", "0"]],
    ["--volume: expected an absolute path, such as /data, found \"data\"", 2, ["--volume", "data"]],
    ["--stop-signal: expected a signal of Linux, such as SIGTERM or 15, found \"TREM\"", 2, ["--stop-signal", "TREM"]],
    ["--health-cmd is missing: the other --health- flags are about it", 2, ["--health-retries", "1"]],
    [
      "--no-healthcheck turns the health check off: leave the --health- flags out",
      2,
      ["--no-healthcheck", "--health-cmd", "x"]
    ],
    ["--compression: gzip has no level 10: expected a whole number from 0 to 9", 2, ["--compression", "gzip:10"]],
    ["cannot read the ignore file from DIR/no", 1, ["--add", "DIR/dist:/", "--ignore-file", "DIR/no"]],
    [
      "DIR/ignored, line 2: \"src/[a\" is not a valid pattern",
      1,
      ["--add", "DIR/dist:/", "--ignore-file", "DIR/ignored"]
    ],
    ["invalid epoch: expected whole seconds", 1, ["--add", "DIR/dist:/", "--epoch", "x"]],
    ["index annotations not supported", 1, ["--add", "DIR/dist:/", "--annotation", "index:a=b"]]
  ])("says: %s", async (message, code, args) => {
    await base()
    writeFileSync(at("ignored"), "ok\nsrc/[a\n")
    const inPlace = (text: string) => text.replaceAll("DIR", directory)
    const ended = await build(args.map(inPlace), ["--to", `oci:${at("out")}`])
    assert.deepStrictEqual([ended.code, ended.stdout], [code, ""])
    assert.include(ended.stderr, inPlace(message))
    assert.throws(() => filesIn(at("out")))
  })

  it("names nothing where a layer cannot be made", async () => {
    execFileSync("mkfifo", [at("more/fifo")])
    const { code, stderr } = await build(
      ["--add", `${at("dist")}:/`, "--add", `${at("more")}:/more`, "--to", `oci:${at("out")}:1`]
    )
    assert.strictEqual(code, 1)
    assert.match(stderr, /more\/fifo cannot be put into a layer/)
    assert.strictEqual((await run(["inspect", `oci:${at("out")}:1`])).code, 1)
  })

  it("leaves nothing behind when it is interrupted", { timeout: 30_000 }, async () => {
    writeFileSync(at("dist/big"), "")
    truncateSync(at("dist/big"), 2 ** 32)
    const program = join(import.meta.dirname, "../src/main.ts")
    const child = spawn(
      process.execPath,
      [program, "build", "--add", `${at("dist")}:/`, "--to", `oci:${at("cut")}:1`],
      {
        stdio: ["ignore", "ignore", "pipe"],
        env: { PATH: process.env["PATH"], HOME: directory, ...env }
      }
    )
    let told = ""
    child.stderr.setEncoding("utf8").on("data", (text) => told += text)
    const ended = once(child, "close")
    const isBegun = () => {
      try {
        return filesIn(at("cut")).some((file) => statSync(join(at("cut"), file)).size > 0)
      } catch {
        return false
      }
    }
    while (!isBegun() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill("SIGINT")
    assert.deepStrictEqual(await ended, [130, null])
    assert.strictEqual(told, `ADD ${at("dist")} / ... interrupted\n`)
    assert.deepStrictEqual(filesIn(at("cut")).filter((file) => !/^(?:index\.json|oci-layout)$/.test(file)), [])
    assert.strictEqual((await run(["inspect", `oci:${at("cut")}:1`])).code, 1)
  })
})

describe("a built image, to others", () => {
  const image = () =>
    built(
      ["--add", `${at("dist")}:/app`, "--add", `${at("more")}:/more`, "--to", `oci:${at("out")}:1`],
      ["--platform", "linux/amd64", "--entrypoint", "/app/bin/app", "--env", "A=1", "--label", "a=1"]
    )

  it.runIf(judge("skopeo"))("is one that skopeo reads", async () => {
    const { descriptor, layers } = await image()
    const inspected = JSON.parse(execFileSync("skopeo", ["inspect", `oci:${at("out")}:1`], { encoding: "utf8" }))
    assert.strictEqual(inspected.Digest, descriptor.digest)
    assert.deepStrictEqual(
      inspected.Layers,
      layers.map((layer: { descriptor: { digest: string } }) => layer.descriptor.digest)
    )
    assert.deepStrictEqual(inspected.Labels, { a: "1" })
    assert.deepStrictEqual(inspected.Env, [path, "A=1"])
  })

  it.runIf(judge("umoci"))("is one that umoci unpacks", async () => {
    await image()
    execFileSync("umoci", ["unpack", "--rootless", "--image", `${at("out")}:1`, at("bundle")], { stdio: "pipe" })
    assert.strictEqual(readFileSync(at("bundle/rootfs/app/hello.txt"), "utf8"), "hello\n")
    assert.strictEqual(readFileSync(at("bundle/rootfs/more/b.txt"), "utf8"), "b\n")
    assert.strictEqual(statSync(at("bundle/rootfs/app/bin/app")).mode & 0o777, 0o755)
    assert.deepStrictEqual(readJson(at("bundle/config.json")).process.args, ["/app/bin/app"])
  })
})
