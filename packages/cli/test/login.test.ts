import type * as Credentials from "@effect-oci/adapters/Credentials"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it, vi } from "@effect/vitest"
import * as Command from "effect/cli/Command"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import * as Login from "../src/commands/login.ts"
import * as Logout from "../src/commands/logout.ts"
import * as Failure from "../src/Failure.ts"
import * as Help from "../src/Help.ts"
import * as Log from "../src/Log.ts"
import * as Output from "../src/Output.ts"
import { temporary } from "./harness.ts"

const canary = "canary-0cc175b9c0f1"

class Refused extends Schema.TaggedError<Refused>("test/Refused")("Refused", { registry: Schema.String }) {
  override get message() {
    return `${this.registry} refuses the credential`
  }
}

interface Settings {
  readonly stdin?: string | Uint8Array | Stream.Stream<Uint8Array>
  readonly isRefused?: boolean
}

const toStream = (stdin: Settings["stdin"] = ""): Stream.Stream<Uint8Array> =>
  Stream.isStream(stdin) ? stdin : Stream.make(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin)

/** Runs `login` or `logout` in the parts of the frame that they use. */
const run = async (directory: string, args: ReadonlyArray<string>, { isRefused = false, stdin }: Settings = {}) => {
  const verified: Array<readonly [string, Credentials.Credential]> = []
  const login = Login.make((registry, credential) =>
    Effect.suspend(() => {
      verified.push([registry, credential])
      return isRefused ? Effect.fail(new Refused({ registry })) : Effect.void
    })
  )
  let stdout = ""
  let stderr = ""
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((data, ...rest: ReadonlyArray<unknown>) => {
    stderr += String(data)
    const done = rest.at(-1)
    if (typeof done === "function") done()
    return true
  })
  const root = Command.make("effect-oci").pipe(Command.withSubcommands([login, Logout.command]))
  const exit = await Command.runWith(root, { version: "0" })(args).pipe(
    Effect.tapCause(Failure.report(Failure.options(args))),
    Effect.provide(Layer.mergeAll(
      Layer.provideMerge(Stdio.layerTest({ stdin: toStream(stdin) }), NodeServices.layer),
      Layer.provideMerge(
        Help.layer,
        Layer.succeed(Output.Output, { write: (data) => Effect.sync(() => void (stdout += String(data))) })
      ),
      Log.layer,
      ConfigProvider.layer(ConfigProvider.fromEnvRecord({ DOCKER_CONFIG: directory, HOME: directory }))
    )),
    Effect.runPromiseExit
  )
  spy.mockRestore()
  return { code: Exit.isSuccess(exit) ? 0 : Failure.exitCode(exit.cause), stdout, stderr, verified }
}

const args = ["login", "ghcr.io", "--username", "me", "--password-stdin"]

describe("login and logout", () => {
  it.each([["", canary], ["\n", `${canary}\n`], ["\r\n", `${canary}\r\n`]])(
    "keeps what the registry takes, which ends with %j",
    async (_, stdin) => {
      const directory = temporary()
      const path = join(directory, "config.json")
      const { code, stderr, stdout, verified } = await run(directory, args, { stdin })
      assert.strictEqual(code, 0, stderr)
      assert.strictEqual(stdout, `logged in to ghcr.io as me; see ${path}\n`)
      assert.match(stderr, /^warning: the password is in .*config\.json as plain text; name a credential helper/)
      assert.notInclude(stdout + stderr, canary)
      const [[registry, credential] = []] = verified
      assert.strictEqual(registry, "ghcr.io")
      assert.strictEqual(credential?._tag === "Basic" && Redacted.value(credential.password), canary)
      const auth = Buffer.from(`me:${canary}`).toString("base64")
      assert.deepStrictEqual(JSON.parse(readFileSync(path, "utf8")), { auths: { "ghcr.io": { auth } } })
    }
  )

  it("prints JSON, without the secret, and brings the registry to its one name", async () => {
    const directory = temporary()
    const path = join(directory, "config.json")
    const { stdout, verified } = await run(
      directory,
      ["login", "https://index.docker.io/v1/", "-u", "me", "--password-stdin", "--json"],
      { stdin: canary }
    )
    assert.deepStrictEqual(JSON.parse(stdout), {
      registry: "docker.io",
      username: "me",
      place: { _tag: "PlainText", path }
    })
    assert.strictEqual(verified[0]?.[0], "docker.io")
    assert.deepStrictEqual(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths), ["https://index.docker.io/v1/"])
  })

  it("keeps nothing that the registry refuses", async () => {
    const directory = temporary()
    const { code, stderr, stdout } = await run(directory, [...args, "--json"], { stdin: canary, isRefused: true })
    assert.strictEqual(code, 1)
    assert.include(stderr, "error: ghcr.io refuses the credential")
    assert.notInclude(stdout + stderr, canary)
    assert.isFalse(existsSync(join(directory, "config.json")))
  })

  it.each<[ReadonlyArray<string>, Settings["stdin"], number, RegExp]>([
    [args, "", 1, /expected one line of text, found nothing/],
    [args, "\n", 1, /found nothing/],
    [args, `${canary}\nmore\n`, 1, /found several lines/],
    [args, new Uint8Array([0xff, 0xfe]), 1, /bytes that are no text/],
    [args, Stream.forever(Stream.sync(() => new Uint8Array(4096).fill(97))), 1, /at most 65536 are read/],
    [["login", "ghcr.io", "--password-stdin"], canary, 2, /--username NAME/],
    [["login", "ghcr.io", "-u", "a:b", "--password-stdin"], canary, 2, /a name without a colon/],
    [["login", "ghcr.io/team", "-u", "me", "--password-stdin"], canary, 2, /REGISTRY: expected a registry's host/],
    [["login", "-u", "me", "--password-stdin"], canary, 2, /REGISTRY/],
    [["login", "ghcr.io", "-u", "me"], canary, 2, /no terminal to ask for the password/],
    [["login", "ghcr.io"], canary, 2, /no terminal to ask for the name/]
  ])("fails for %j and keeps nothing (%#)", async (args, stdin, code, message) => {
    const isTTY = process.stdin.isTTY
    process.stdin.isTTY = false
    const directory = temporary()
    const ended = await run(directory, args, stdin === undefined ? {} : { stdin })
    process.stdin.isTTY = isTTY
    assert.strictEqual(ended.code, code)
    assert.match(ended.stderr, message)
    assert.notInclude(ended.stdout + ended.stderr, canary)
    assert.strictEqual(ended.verified.length, 0)
    assert.isFalse(existsSync(join(directory, "config.json")))
  })

  // `script` gives the program a terminal
  it.runIf(spawnSync("script", ["--version"]).status === 0)("ends the line of a question that is left", async () => {
    const bin = join(import.meta.dirname, "../src/bin.ts")
    const child = spawn("script", ["-qec", `'${process.execPath}' '${bin}' login ghcr.io -u me`, "/dev/null"], {
      stdio: ["pipe", "pipe", "inherit"],
      env: { PATH: process.env["PATH"], HOME: temporary(), TERM: "xterm" }
    })
    let shown = ""
    child.stdout.on("data", (data) => {
      shown += String(data)
      if (String(data).includes("Password of me")) child.stdin.write("\x03")
    })
    const [code] = await once(child, "close")
    assert.strictEqual(code, 130)
    // oxlint-disable-next-line no-control-regex
    assert.match(shown, /Password of me.*\r\n(?:\x1b\[[?0-9]+[a-z])*$/)
  })

  it("takes the login away, once, and leaves the others", async () => {
    const directory = temporary()
    const path = join(directory, "config.json")
    await run(directory, args, { stdin: canary })
    await run(directory, args.with(1, "quay.io"), { stdin: canary })
    const first = await run(directory, ["logout", "ghcr.io"])
    assert.deepStrictEqual([first.code, first.stdout], [0, "logged out of ghcr.io\n"])
    assert.deepStrictEqual(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths), ["quay.io"])
    const second = await run(directory, ["logout", "ghcr.io"])
    assert.deepStrictEqual([second.code, second.stdout], [0, "there was no login to ghcr.io\n"])
    const third = await run(directory, ["logout", "quay.io", "--json"])
    assert.deepStrictEqual(JSON.parse(third.stdout), { registry: "quay.io", removed: true })
  })

  it("changes no file that is broken, and tells where it is", async () => {
    const directory = temporary()
    const path = join(directory, "config.json")
    const text = `{"auths": {"ghcr.io": {"auth": ${canary}}}}`
    writeFileSync(path, text)
    for (const command of [args, ["logout", "ghcr.io"]]) {
      const { code, stderr } = await run(directory, command, { stdin: canary })
      assert.strictEqual(code, 1)
      assert.match(stderr, /config\.json are not valid: line 1, column 32/)
      assert.notInclude(stderr, canary)
      assert.strictEqual(readFileSync(path, "utf8"), text)
    }
  })
})
