import { assert, beforeAll, describe, it } from "@effect/vitest"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { closeSync, existsSync, openSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { bundle } from "../build.ts"
import manifest from "../package.json" with { type: "json" }

// As users run it: bundled. That also shows that bundling keeps a command's module from being evaluated early.
const dir = join(import.meta.dirname, "../node_modules/.cache/test-app")
const main = join(dir, "main.js")
const plainEnv = { PATH: process.env["PATH"], HOME: process.env["HOME"], NODE_COMPILE_CACHE: join(dir, "compile") }

beforeAll(() => bundle(join(import.meta.dirname, "fixtures/main.ts"), dir))

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const collect = (stream: NodeJS.ReadableStream | null): () => string => {
  let text = ""
  stream?.setEncoding("utf8").on("data", (chunk) => text += chunk)
  return () => text
}

const start = (args: ReadonlyArray<string>, env: Record<string, string> = {}, stdout: "pipe" | number = "pipe") => {
  const child: ChildProcess = spawn(process.execPath, [main, ...args], {
    stdio: ["ignore", stdout, "pipe"],
    env: { ...plainEnv, ...env }
  })
  const out = collect(child.stdout)
  const err = collect(child.stderr)
  const ended = once(child, "close").then(([code]): Ended => ({ code, stdout: out(), stderr: err() }))
  return { child, ended }
}

const run = (args: ReadonlyArray<string>, env?: Record<string, string>) => start(args, env).ended

const firstOutput = (child: ChildProcess) =>
  child.stdout === null ? Promise.reject(new Error("no stdout")) : once(child.stdout, "data")

describe("bin", () => {
  it("starts from its sources, and where nothing can be cached", () => {
    const bin = join(import.meta.dirname, "../src/bin.ts")
    const env = { PATH: process.env["PATH"], HOME: "/dev/null" }
    const { status, stderr, stdout } = spawnSync(process.execPath, [bin, "--version"], { encoding: "utf8", env })
    assert.deepStrictEqual({ status, stderr, stdout }, {
      status: 0,
      stderr: "",
      stdout: `effect-oci ${manifest.version}\n`
    })
  })
})

describe.concurrent("help and usage", () => {
  it("prints the package's version", async () => {
    assert.deepStrictEqual(await run(["--version"]), {
      code: 0,
      stdout: `effect-oci ${manifest.version}\n`,
      stderr: ""
    })
  })

  it("prints help that is asked for on stdout", async () => {
    const { code, stderr, stdout } = await run(["--help"])
    assert.strictEqual(code, 0)
    assert.match(stdout, /USAGE[^]*print +Print lines\n[^]*wait +Wait for a signal/)
    assert.strictEqual(stderr, "")
    assert.match((await run(["print", "--help"])).stdout, /effect-oci print \[flags\]/)
  })

  it("lists every command in a completion script", async () => {
    const { code, stdout } = await run(["--completions", "bash"])
    assert.strictEqual(code, 0)
    for (const name of ["print", "fail", "wait", "group"]) assert.include(stdout, name)
  })

  it.each<[string, Array<string>, RegExp]>([
    ["no command", [], /^error: "effect-oci" needs a command$/m],
    ["no subcommand", ["group"], /^error: "effect-oci group" needs a command$/m],
    ["no subcommand of the table's", ["deep"], /^error: "effect-oci deep" needs a command$/m],
    ["an unknown subcommand", ["deep", "prnt"], /^error: Unknown subcommand "prnt"[^]*Did you mean this\?\n +print$/m],
    ["an unknown command", ["prnt"], /^error: Unknown subcommand "prnt"[^]*Did you mean this\?\n +print$/m],
    ["a flag before an unknown command", ["--log-level", "debug", "prnt"], /^error: Unknown subcommand "prnt"/m],
    ["an unknown flag", ["print", "--line", "3"], /^error: Unrecognized flag: --line[^]*--lines/m],
    ["a bad value", ["print", "--lines", "many"], /^error: Invalid value for flag --lines: "many"/m],
    ["a missing argument", ["fail"], /^error: Missing required argument: how$/m],
    ["too many arguments", ["print", "more"], /^error: Unexpected positional argument: "more"$/m],
    ["a rule of the command's own", ["fail", "usage"], /^error: --raw and --config exclude each other$/m],
    ["a name that every object has", ["constructor"], /^error: Unknown subcommand "constructor"/m]
  ])("tells %s on stderr and exits with 2", async (_, args, expected) => {
    const { code, stderr, stdout } = await run(args)
    assert.strictEqual(code, 2)
    assert.strictEqual(stdout, "")
    assert.match(stderr, expected)
    if (args[1] !== "usage") assert.include(stderr, "USAGE\n")
  })

  it("tells wrong usage to programs too", async () => {
    const { code, stdout } = await run(["print", "--json", "--lines", "many"])
    assert.strictEqual(code, 2)
    const { error } = JSON.parse(stdout)
    assert.strictEqual(error._tag, "UsageError")
    assert.deepStrictEqual(error.command, ["effect-oci", "print"])
    assert.match(error.message, /"many"/)
    assert.strictEqual(error.errors[0]._tag, "InvalidValue")
    assert.match(error.errors[0].message, /"many"/)
    assert.notInclude(stdout, "~effect")
    assert.strictEqual(JSON.parse((await run(["group", "--json"])).stdout).error._tag, "UsageError")
    assert.strictEqual((await run(["print", "--lines", "many", "--", "--json"])).stdout, "")
  })
})

describe.concurrent("loading", () => {
  it.each<[Array<string>, Array<string>]>([
    [["--version"], []],
    [["group", "hello"], ["group"]],
    [["print", "--help"], ["print"]],
    [["deep", "print"], ["print"]],
    [["deep", "--help"], ["print", "wait"]],
    [["deep", "nonsense"], ["print", "wait"]],
    [["--help"], ["fail", "group", "print", "wait"]],
    [["nonsense"], ["fail", "group", "print", "wait"]]
  ])("%j evaluates %j", async (args, expected) => {
    const { stderr } = await run(args, { TEST_EVALUATED: "1" })
    assert.deepStrictEqual([...stderr.matchAll(/^evaluated (\w+)$/gm)].map(([, name]) => name).toSorted(), expected)
  })
})

describe.concurrent("output", () => {
  it("writes results to stdout and the log to stderr", async () => {
    const { code, stderr, stdout } = await run(["print", "--lines", "1000"])
    assert.strictEqual(code, 0)
    assert.strictEqual(stdout.split("\n").length, 1001)
    assert.strictEqual(stderr, "warning: a warning of two parts\nprogress\n")
    assert.match((await run(["print", "--log-level", "debug"])).stderr, /^debug: about to print\n/)
    assert.strictEqual((await run(["print", "--log-level", "error"])).stderr, "")
  })

  it("writes JSON of what JSON lacks", async () => {
    assert.strictEqual((await run(["print", "--json"])).stdout, "{\"lines\":1,\"size\":\"10\",\"bytes\":\"AQID\"}\n")
  })

  it("ends quietly when nobody reads any more", async () => {
    const { child, ended } = start(["print", "--lines", "1000000000", "--log-level", "error"])
    await firstOutput(child)
    child.stdout?.destroy()
    const { code, stderr } = await ended
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
  })

  it("ends quietly when nobody reads help", async () => {
    const { child, ended } = start(["--help"])
    child.stdout?.destroy()
    const { code, stderr } = await ended
    assert.deepStrictEqual({ code, stderr }, { code: 0, stderr: "" })
  })

  it.runIf(existsSync("/dev/full"))("fails when stdout is full", async () => {
    const full = openSync("/dev/full", "w")
    const { code, stderr } = await start(["print", "--log-level", "error"], {}, full).ended
    closeSync(full)
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: failed to write the result to stdout\n  caused by: .*ENOSPC/)
  })

  // `script` gives the program a terminal
  it.runIf(spawnSync("script", ["--version"]).status === 0).each<[string, Record<string, string>, boolean]>([
    ["colours its labels on a terminal", {}, true],
    ["honours NO_COLOR", { NO_COLOR: "1" }, false],
    ["leaves a dumb terminal plain", { TERM: "dumb" }, false]
  ])("%s", async (_, env, coloured) => {
    const child = spawn("script", ["-qec", `'${process.execPath}' '${main}' print`, "/dev/null"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...plainEnv, TERM: "xterm", ...env }
    })
    const text = collect(child.stdout)
    await once(child, "close")
    assert.include(text(), coloured ? "\x1b[1;33mwarning:\x1b[0m a warning" : "warning: a warning")
  })
})

describe.concurrent("failures", () => {
  it("prints the message and its causes, without a stack", async () => {
    const { code, stderr, stdout } = await run(["fail", "typed"])
    assert.strictEqual(code, 1)
    assert.strictEqual(stdout, "")
    assert.strictEqual(
      stderr,
      [
        "error: failed to export app\\x1b[31m",
        "  caused by: the blob is short",
        "  expected 10 bytes",
        "  caused by: read failed",
        "  caused by: EIO",
        ""
      ].join("\n")
    )
  })

  it("prints the error as JSON, without secrets", async () => {
    const { code, stderr, stdout } = await run(["fail", "typed", "--json"])
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: failed to export/)
    assert.deepStrictEqual(JSON.parse(stdout), {
      error: {
        _tag: "Outer",
        message: "failed to export app\x1b[31m",
        ref: "app\x1b[31m",
        cause: {
          _tag: "Inner",
          message: "the blob is short\nexpected 10 bytes",
          size: "10",
          bytes: "AQID",
          token: "<redacted>",
          cause: { _tag: "Error", message: "read failed", cause: "EIO" }
        }
      }
    })
    assert.notInclude(stdout + stderr, "hunter2")
  })

  it("calls a defect a bug, and shows its stack where asked", async () => {
    const plain = await run(["fail", "defect"])
    assert.strictEqual(plain.code, 1)
    assert.match(
      plain.stderr,
      /^error: .*a bug in effect-oci.*: undefined is not a manifest\n  set EFFECT_OCI_DEBUG=1.*\n$/
    )
    assert.match((await run(["fail", "defect"], { EFFECT_OCI_DEBUG: "1" })).stderr, /\n +at .*\.js:\d+/)
    assert.match((await run(["fail", "defect", "--log-level", "debug"])).stderr, /\n +at .*\.js:\d+/)
    assert.strictEqual(JSON.parse((await run(["fail", "defect", "--json"])).stdout).error._tag, "Defect")
  })
})

describe.concurrent("signals", () => {
  it.each([["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const)(
    "runs finalizers on %s and exits with %d",
    async (signal, expected) => {
      const { child, ended } = start(["wait"])
      await firstOutput(child)
      child.kill(signal)
      const { code, stderr } = await ended
      assert.deepStrictEqual({ code, stderr }, { code: expected, stderr: "releasing\nreleased\n" })
    }
  )

  it("exits at once on the second signal", async () => {
    const { child, ended } = start(["wait", "--stubborn"])
    await firstOutput(child)
    child.kill("SIGINT")
    if (child.stderr !== null) await once(child.stderr, "data")
    child.kill("SIGTERM")
    const { code, stderr } = await ended
    assert.deepStrictEqual({ code, stderr }, { code: 143, stderr: "releasing\n" })
  })
})
