import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { delimiter, join } from "node:path"
import process from "node:process"
import { inspect } from "node:util"
import type * as Credentials from "../src/Credentials.ts"
import * as DockerConfig from "../src/DockerConfig.ts"
import * as PodmanAuth from "../src/PodmanAuth.ts"
import { temporaryDirectory } from "./temporary.ts"

const canary = "canary-9b2cf535f27731c9"
const base64 = (text: string) => Buffer.from(text).toString("base64")

const plain = (found: Option.Option<Credentials.Credential>): string | undefined =>
  Option.getOrUndefined(Option.map(found, (credential) =>
    credential._tag === "Basic"
      ? `${credential.username}|${Redacted.value(credential.password)}`
      : credential._tag === "IdentityToken"
      ? `identity ${credential.username ?? "-"} ${Redacted.value(credential.token)}`
      : `registry ${Redacted.value(credential.token)}`))

const basic = (username: string, password = canary) =>
  ({ _tag: "Basic", username, password: Redacted.make(password) }) as const

/** A config file with this content, in a directory of its own. */
const fileWith = (content: string | object): string => {
  const path = join(temporaryDirectory(), "config.json")
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return path
}

const find = (path: string, registry = "ghcr.io", options: DockerConfig.Options = {}) =>
  Effect.flatMap(DockerConfig.make({ ...options, path }), (provider) => provider.find(registry))

/** Everything that anybody could print of an error. */
const printed = (error: unknown): string => {
  const causes: Array<unknown> = []
  for (let at = error; at instanceof Error; at = at.cause) causes.push(at.message, at.stack)
  return [String(error), JSON.stringify(error), inspect(error, { depth: 9, showHidden: true }), ...causes].join("\n")
}

const assertSilent = (error: unknown): void => {
  for (const secret of [canary, base64(`me:${canary}`), canary.slice(0, 12)]) assert.notInclude(printed(error), secret)
}

/** Puts a helper that is a shell script on the PATH, and gives the directory where it can leave notes. */
const helper = (name: string, script: string): string => {
  const directory = temporaryDirectory()
  const path = join(directory, `docker-credential-${name}`)
  writeFileSync(path, `#!/bin/sh\ncd ${JSON.stringify(directory)}\necho "$0 $*" >> argv\n${script}\n`)
  chmodSync(path, 0o755)
  vi.stubEnv("PATH", `${directory}${delimiter}${process.env["PATH"]}`)
  return directory
}

/** A helper that keeps credentials: one file a server. */
const keychain = `
case "$1" in
  get) name=$(cat | tr '/:' '__'); [ -f "kept-$name" ] && cat "kept-$name" && exit 0
    echo "credentials not found in native keychain"; exit 1;;
  store) cat > input; name=$(sed 's/.*"ServerURL":"\\([^"]*\\)".*/\\1/' input | tr '/:' '__'); mv input "kept-$name";;
  erase) name=$(cat | tr '/:' '__'); rm "kept-$name";;
esac`

afterEach(() => void vi.unstubAllEnvs())

describe("DockerConfig", () => {
  const entry = { auth: base64("me:pw") }
  const hub = "https://index.docker.io/v1/"

  it.effect.each<[string | object, string, string | undefined]>([
    [{ auths: { "ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "GHCR.IO": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "https://ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "https://ghcr.io/v1/": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "http://ghcr.io/v2": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "https://ghcr.io": { auth: base64("old:x") }, "ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "ghcr.io": {}, "https://ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ auths: { "ghcr.io": entry } }, "ghcr.io:443", undefined],
    [{ auths: { "ghcr.io": entry } }, "evil.ghcr.io", undefined],
    [{ auths: { "ghcr.io.evil": entry } }, "ghcr.io", undefined],
    [{ auths: { "localhost:5000": entry } }, "localhost:5000", "me|pw"],
    [{ auths: { [hub]: entry } }, "docker.io", "me|pw"],
    [{ auths: { "docker.io": entry } }, "docker.io", "me|pw"],
    [{ auths: { "index.docker.io": entry } }, "docker.io", "me|pw"],
    [{ auths: { "registry-1.docker.io": entry } }, "docker.io", "me|pw"],
    [{ auths: { "docker.io": { auth: base64("old:x") }, [hub]: entry } }, "docker.io", "me|pw"],
    [{ auths: { "ghcr.io": { auth: base64("me:a:b::c:") } } }, "ghcr.io", "me|a:b::c:"],
    [{ auths: { "ghcr.io": { auth: base64("me:pä\u{1f511}") } } }, "ghcr.io", "me|pä\u{1f511}"],
    [{ auths: { "ghcr.io": { auth: base64("me:pw\0\0") } } }, "ghcr.io", "me|pw"],
    [{ auths: { "ghcr.io": { auth: base64("me:") } } }, "ghcr.io", "me|"],
    [{ auths: { "ghcr.io": { username: "me", password: "a:b" } } }, "ghcr.io", "me|a:b"],
    [{ auths: { "ghcr.io": { username: "no", password: "no", ...entry } } }, "ghcr.io", "me|pw"],
    [{ auths: { "ghcr.io": { username: "me" } } }, "ghcr.io", undefined],
    [{ auths: { "ghcr.io": { auth: base64("me:"), identitytoken: "it" } } }, "ghcr.io", "identity me it"],
    [{ auths: { "ghcr.io": { identitytoken: "it" } } }, "ghcr.io", "identity - it"],
    [{ auths: { "ghcr.io": { ...entry, identitytoken: "it", registrytoken: "rt" } } }, "ghcr.io", "registry rt"],
    [{ auths: { "ghcr.io": { ...entry, identitytoken: null, email: 1 } } }, "ghcr.io", "me|pw"],
    [{ auths: { "ghcr.io": null } }, "ghcr.io", undefined],
    [{ auths: { "broken.io": { auth: "!" }, "ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ auths: null, credHelpers: null, credsStore: null }, "ghcr.io", undefined],
    [{ HttpHeaders: { a: "b" }, auths: { __proto__: null, constructor: {} } }, "ghcr.io", undefined],
    [{ credsStore: "", auths: { "ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{ credsStore: "nope", credHelpers: { "ghcr.io": "" }, auths: { "ghcr.io": entry } }, "ghcr.io", "me|pw"],
    [{}, "ghcr.io", undefined],
    ["", "ghcr.io", undefined],
    ["null", "ghcr.io", undefined],
    [{ auths: { "ghcr.io": entry } }, "not a registry", undefined]
  ])("reads %j for %s", ([content, registry, expected]) =>
    Effect.gen(function*() {
      assert.strictEqual(plain(yield* find(fileWith(content), registry)), expected)
    }))

  it.effect.each<[string | object, RegExp, "mended"?]>([
    [`{"auths":{"ghcr.io":{"auth" "${canary}"}}}`, /line 1, column 29: expected/],
    [`{"auths":\n {"ghcr.io":{"auth":${canary}}}}`, /line 2, column 21/],
    [`{"auths":{"ghcr.io":{"auth":"${canary}\\q"}}}`, /line 1/],
    [`{"auths":{"ghcr.io":{"${canary}":1,"${canary}":2}}}`, /line 1, column/],
    [`{"auths":{},\n"Auths":{"${canary}":1}}`, /line 2, column 1/],
    [{ auths: { "ghcr.io": { Auth: canary } } }, /any other case/, "mended"],
    [`${canary}`, /line 1, column 1/],
    [{ auths: canary }, /expected an object with the credentials/],
    [{ auths: { "ghcr.io": canary } }, /expected an object/, "mended"],
    [{ auths: { "ghcr.io": { auth: canary } } }, /line 1, column 29: expected NAME:PASSWORD as base64/, "mended"],
    [{ auths: { "ghcr.io": { auth: base64(canary) } } }, /expected NAME:PASSWORD as base64/, "mended"],
    [{ auths: { "ghcr.io": { auth: base64(`:${canary}`) } } }, /expected a name/, "mended"],
    [
      { auths: { "ghcr.io": { auth: Buffer.from(`me:${canary}\xff`, "latin1").toString("base64") } } },
      /NAME:PASSWORD/,
      "mended"
    ],
    [{ auths: { "ghcr.io": { auth: [canary] } } }, /expected a string/, "mended"],
    [{ credsStore: [canary] }, /expected a string/],
    [{ credHelpers: { "ghcr.io": [canary] } }, /expected a string/]
  ])("refuses %#, and does not tell what it holds", ([content, message, mended]) =>
    Effect.gen(function*() {
      const path = fileWith(content)
      const error = yield* Effect.flip(find(path))
      assert.strictEqual(error._tag, "CredentialsInvalid")
      assert.include(error.message, path)
      assert.match(error.message, message)
      assertSilent(error)
      // A login mends the entry, or leaves the file alone
      const before = readFileSync(path)
      const isMended = yield* Effect.isSuccess(DockerConfig.store("ghcr.io", basic("me"), { path }))
      if (isMended) assert.strictEqual(plain(yield* find(path)), `me|${canary}`)
      else assert.deepStrictEqual(readFileSync(path), before)
      assert.strictEqual(isMended, mended === "mended")
    }))

  it.effect("reads at most 1 MiB, through links, and no FIFO", () =>
    Effect.gen(function*() {
      const json = JSON.stringify({ auths: { "ghcr.io": entry } })
      const path = fileWith(json.padEnd(1024 * 1024))
      assert.strictEqual(plain(yield* find(path)), "me|pw")
      const link = join(temporaryDirectory(), "config.json")
      symlinkSync(path, link)
      assert.strictEqual(plain(yield* find(link)), "me|pw")
      writeFileSync(path, json.padEnd(1024 * 1024 + 1))
      const error = yield* Effect.flip(find(path))
      assert.strictEqual(error._tag === "CredentialsUnreadable" && error.cause._tag, "LimitExceeded")
      const directory = temporaryDirectory()
      const kind = yield* Effect.flip(find(directory))
      assert.strictEqual(kind._tag === "CredentialsUnreadable" && kind.cause._tag, "UnsafeFile")
      assert.isTrue(Option.isNone(yield* find(join(directory, "none", "config.json"))))
    }))

  it.effect("finds the file by DOCKER_CONFIG, else in the home of the user", () =>
    Effect.gen(function*() {
      const HOME = temporaryDirectory()
      const DOCKER_CONFIG = temporaryDirectory()
      mkdirSync(join(HOME, ".docker"))
      writeFileSync(join(HOME, ".docker/config.json"), JSON.stringify({ auths: { "ghcr.io": entry } }))
      writeFileSync(
        join(DOCKER_CONFIG, "config.json"),
        JSON.stringify({ auths: { "ghcr.io": { identitytoken: "x" } } })
      )
      const inEnvironment = (env: Record<string, string>) =>
        DockerConfig.make().pipe(
          Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))),
          Effect.flatMap((provider) => provider.find("ghcr.io")),
          Effect.map(plain)
        )
      assert.strictEqual(yield* inEnvironment({ HOME }), "me|pw")
      assert.strictEqual(yield* inEnvironment({ HOME, DOCKER_CONFIG }), "identity - x")
    }))
})

describe("credential helpers", () => {
  it.live("gives the helper of the registry, or else the common one, the server on stdin", () =>
    Effect.gen(function*() {
      const common = helper(
        "common",
        `cat > stdin; readlink /proc/$$/fd/2 > stderr; printf '{"ServerURL":"x","Username":"common","Secret":"${canary}"}'`
      )
      const own = helper("own", `cat > stdin; echo '{"Username":"<token>","Secret":"${canary}"}'`)
      const path = fileWith({ credsStore: "common", credHelpers: { "https://GHCR.io": "own" } })
      assert.strictEqual(plain(yield* find(path)), `identity - ${canary}`)
      assert.strictEqual(readFileSync(join(own, "stdin"), "utf8"), "ghcr.io")
      assert.strictEqual(plain(yield* find(path, "docker.io")), `common|${canary}`)
      assert.strictEqual(readFileSync(join(common, "stdin"), "utf8"), "https://index.docker.io/v1/")
      assert.match(readFileSync(join(common, "argv"), "utf8"), /^\S+ get\n$/)
      assert.strictEqual(readFileSync(join(common, "stderr"), "utf8"), "/dev/null\n")
      const podman = yield* PodmanAuth.make({ path })
      assert.isTrue(Option.isNone(yield* podman.find("quay.io")), "podman knows no common helper")
    }))

  it.live("looks into the file where the helper has none", () =>
    Effect.gen(function*() {
      helper("none", "echo '  credentials not found in native keychain'; exit 1")
      helper("empty", "echo '{}'")
      for (const credsStore of ["none", "empty"]) {
        assert.isTrue(Option.isNone(yield* find(fileWith({ credsStore }))))
        const auths = { "ghcr.io": { auth: base64("me:pw") } }
        assert.strictEqual(plain(yield* find(fileWith({ credsStore, auths }))), "me|pw")
      }
    }))

  it.live.each<[string, Credentials.CredentialHelperFailed["reason"], RegExp]>([
    [`echo ${canary}; echo ${canary} >&2; exit 3`, "exit", /ended with the exit code 3/],
    [`echo ${canary}; kill -9 $$`, "exit", /was killed/],
    [`echo '{"Username":"me","Secret":"${canary}"'`, "output", /something else/],
    [`echo '["${canary}"]'`, "output", /something else/],
    [`echo '{"Username":["${canary}"],"Secret":"x"}'`, "output", /something else/],
    [`echo ${canary}; exec head -c 2000000 /dev/zero`, "size", /more than 1048576 bytes/],
    [`echo ${canary}; exec sleep 60`, "time", /not ended after 300ms/],
    [`exec 0<&-; exit 1`, "exit", /exit code 1/]
  ])("tells how a helper fails, and nothing that it prints: %#", ([script, reason, found]) =>
    Effect.gen(function*() {
      helper("bad", script)
      const logs: Array<unknown> = []
      const logger = Logger.make(({ cause, message }) => void logs.push(message, cause))
      const path = fileWith({ credsStore: "bad" })
      const timeout = reason === "time" ? "300 millis" : "20 seconds"
      const error = yield* find(path, "ghcr.io", { helperTimeout: timeout }).pipe(
        Effect.tapCause((cause) => Effect.logError("failed", cause)),
        Effect.provide(Logger.layer([logger])),
        Effect.flip
      )
      assert.strictEqual(error._tag === "CredentialHelperFailed" && error.reason, reason)
      assert.match(error.message, found)
      assert.include(error.message, "ghcr.io")
      assertSilent(error)
      assert.isAbove(logs.length, 0)
      assertSilent(logs)
    }))

  it.effect.each(["../evil", "a/b", " ", "a b", "-x", "a\0b", "a;b", ".."])(
    "runs no helper of the name %j",
    (name) =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(find(fileWith({ credHelpers: { "ghcr.io": name } })))
        assert.strictEqual(error._tag === "CredentialHelperFailed" && error.reason, "name")
      })
  )

  it.live("tells that a helper is not installed", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(find(fileWith({ credsStore: "effect-oci-none" })))
      assert.strictEqual(error._tag === "CredentialHelperFailed" && error.reason, "missing")
      assert.include(error.message, "no such program on the PATH")
    }))

  it.live("ends a helper with the fiber that waits for it", () =>
    Effect.gen(function*() {
      const notes = helper("slow", "echo $$ > pid; exec sleep 60")
      const fiber = yield* Effect.forkChild(find(fileWith({ credsStore: "slow" })))
      while (!existsSync(join(notes, "pid")) || readFileSync(join(notes, "pid"), "utf8") === "") {
        yield* Effect.sleep("10 millis")
      }
      const start = performance.now()
      yield* Fiber.interrupt(fiber)
      assert.isBelow(performance.now() - start, 100)
      const pid = Number(readFileSync(join(notes, "pid"), "utf8"))
      yield* Effect.sleep("200 millis")
      assert.throws(() => process.kill(pid, 0), /ESRCH/)
    }))

  it.live("keeps a credential with the helper, and none in the file; takes it away again", () =>
    Effect.gen(function*() {
      const notes = helper("chain", keychain)
      const old = { auth: base64("old:secret"), email: "me@x" }
      const path = fileWith({ auths: { "ghcr.io": old }, credsStore: "chain" })
      const password = `${canary}"\\\n<&`
      const place = yield* DockerConfig.store("ghcr.io", basic("me", password), { path })
      assert.deepStrictEqual(place, { _tag: "Helper", helper: "chain", path })
      assert.deepStrictEqual(JSON.parse(readFileSync(path, "utf8")), {
        auths: { "ghcr.io": { email: "me@x" } },
        credsStore: "chain"
      })
      assert.strictEqual(plain(yield* find(path)), `me|${password}`)
      yield* DockerConfig.store("docker.io", { _tag: "IdentityToken", token: Redacted.make(canary) }, { path })
      assert.strictEqual(plain(yield* find(path, "docker.io")), `identity - ${canary}`)
      assert.notInclude(readFileSync(join(notes, "argv"), "utf8"), canary)
      assert.strictEqual(yield* DockerConfig.erase("docker.io", { path }), true)
      assert.strictEqual(yield* DockerConfig.erase("docker.io", { path }), false)
      assert.isTrue(Option.isNone(yield* find(path, "docker.io")))
      assert.strictEqual(plain(yield* find(path)), `me|${password}`)
      assert.strictEqual(yield* DockerConfig.erase("ghcr.io", { path }), true)
      assert.deepStrictEqual(readdirSync(notes).filter((name) => name.startsWith("kept")), [])
      assert.deepStrictEqual(JSON.parse(readFileSync(path, "utf8")), { auths: {}, credsStore: "chain" })
    }))

  it.live("changes nothing where the helper fails", () =>
    Effect.gen(function*() {
      helper("bad", `cat; cat >&2; exit 1`)
      const path = fileWith({ credsStore: "bad" })
      const before = readFileSync(path)
      const error = yield* Effect.flip(DockerConfig.store("ghcr.io", basic("me"), { path }))
      assert.strictEqual(error._tag, "CredentialHelperFailed")
      assertSilent(error)
      assert.deepStrictEqual(readFileSync(path), before)
    }))
})

describe("DockerConfig.store and erase", () => {
  const auth = base64(`me:${canary}`)

  it.effect("makes the file as Docker writes it, for its owner only", () =>
    Effect.gen(function*() {
      const path = join(temporaryDirectory(), "a/b/config.json")
      assert.strictEqual(yield* DockerConfig.erase("ghcr.io", { path }), false)
      assert.isFalse(existsSync(path))
      assert.deepStrictEqual(yield* DockerConfig.store("GHCR.io", basic("me"), { path }), { _tag: "PlainText", path })
      assert.strictEqual(
        readFileSync(path, "utf8"),
        `{\n\t"auths": {\n\t\t"ghcr.io": {\n\t\t\t"auth": "${auth}"\n\t\t}\n\t}\n}`
      )
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      for (const made of ["..", "../..", "../.effect-oci"]) {
        assert.strictEqual(statSync(join(path, "..", made.slice(3))).mode & 0o777, 0o700)
      }
      assert.deepStrictEqual(readdirSync(join(path, "../.effect-oci")), [])
      assert.strictEqual(plain(yield* find(path)), `me|${canary}`)
    }))

  it.effect.each<[string, string, string]>([
    [`{}`, "docker.io", `{\n\t"auths": {\n\t\t"https://index.docker.io/v1/": {\n\t\t\t"auth": "AUTH"\n\t\t}\n\t}\n}`],
    ["", "ghcr.io", `{\n\t"auths": {\n\t\t"ghcr.io": {\n\t\t\t"auth": "AUTH"\n\t\t}\n\t}\n}`],
    [`{"x":1.0}`, "ghcr.io", `{"x":1.0,"auths":{"ghcr.io":{"auth":"AUTH"}}}`],
    [
      `{ "auths" : {"a.io":{"auth":"YTpi"} } ,"x" : [ 1e2 ,"\\u0041"] }\n`,
      "ghcr.io",
      `{ "auths" : {"a.io":{"auth":"YTpi"},"ghcr.io":{"auth":"AUTH"} } ,"x" : [ 1e2 ,"\\u0041"] }\n`
    ],
    [
      `{\n  "auths": {\n    "a.io": {}\n  },\n  "HttpHeaders": {"n": 12345678901234567890}\n}\n`,
      "ghcr.io",
      `{\n  "auths": {\n    "a.io": {},\n    "ghcr.io": {\n      "auth": "AUTH"\n    }\n  },\n` +
      `  "HttpHeaders": {"n": 12345678901234567890}\n}\n`
    ],
    [
      `{"auths":{"ghcr.io":{"username":"u","email":"e","auth":"old","password":"p","identitytoken":"t"},"z":{}}}`,
      "ghcr.io",
      `{"auths":{"ghcr.io":{"email":"e","auth":"AUTH"},"z":{}}}`
    ],
    [`{"auths":null,"x":{"a":"}\\"{"}}`, "ghcr.io", `{"auths":{"ghcr.io":{"auth":"AUTH"}},"x":{"a":"}\\"{"}}`],
    [`{"auths":{"ghcr.io":null}}`, "ghcr.io", `{"auths":{"ghcr.io":{"auth":"AUTH"}}}`]
  ])("leaves every other byte of %j", ([before, registry, after]) =>
    Effect.gen(function*() {
      const path = fileWith(before)
      chmodSync(path, 0o644)
      yield* DockerConfig.store(registry, basic("me"), { path })
      assert.strictEqual(readFileSync(path, "utf8"), after.replace("AUTH", auth))
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      assert.strictEqual(plain(yield* find(path, registry)), `me|${canary}`)
    }))

  it.effect.each<[string, boolean, string]>([
    [`{"auths":{"ghcr.io":{}},"x":1.0}`, true, `{"auths":{},"x":1.0}`],
    [`{"auths":{ "ghcr.io":{"auth":"YTpi"} ,\n "b":{} } }`, true, `{"auths":{ "b":{} } }`],
    [`{"auths":{"a":{},"ghcr.io":{"auth":"YTpi"} , "b":{}}}`, true, `{"auths":{"a":{} , "b":{}}}`],
    [`{"auths":{"a":{} , "ghcr.io":{"auth":"YTpi"} }}`, true, `{"auths":{"a":{} }}`],
    [`{"auths":{"https://ghcr.io/v1/":{},"a":{},"ghcr.io":{},"http://GHCR.io":{}}}`, true, `{"auths":{"a":{}}}`],
    [`{"auths":{"ghcr.io:443":{},"x.ghcr.io":{}}} `, false, `{"auths":{"ghcr.io:443":{},"x.ghcr.io":{}}} `],
    [`{"x": 1}`, false, `{"x": 1}`]
  ])("forgets a registry in %j", ([before, removed, after]) =>
    Effect.gen(function*() {
      const path = fileWith(before)
      assert.strictEqual(yield* DockerConfig.erase("ghcr.io", { path }), removed)
      assert.strictEqual(readFileSync(path, "utf8"), after)
    }))

  it.effect("writes identity tokens, reads them, and puts a password in their place", () =>
    Effect.gen(function*() {
      const path = fileWith({})
      const token = Redacted.make(canary)
      yield* DockerConfig.store("ghcr.io", { _tag: "IdentityToken", username: "me", token }, { path })
      assert.strictEqual(plain(yield* find(path)), `identity me ${canary}`)
      yield* DockerConfig.store("ghcr.io", basic("you"), { path })
      assert.strictEqual(plain(yield* find(path)), `you|${canary}`)
      assert.notInclude(readFileSync(path, "utf8"), "identitytoken")
    }))

  it.effect("writes through a link, and what a killed process has left does no harm", () =>
    Effect.gen(function*() {
      const path = fileWith({})
      const directory = temporaryDirectory()
      const link = join(directory, "config.json")
      symlinkSync(path, link)
      mkdirSync(join(path, "../.effect-oci"))
      writeFileSync(join(path, "../.effect-oci/credentials"), "left")
      yield* DockerConfig.store("ghcr.io", basic("me"), { path: link })
      assert.isTrue(lstatSync(link).isSymbolicLink())
      assert.include(readFileSync(path, "utf8"), auth)
      assert.deepStrictEqual(readdirSync(join(path, "../.effect-oci")), [])
    }))

  it.live("loses no login of many at once", () =>
    Effect.gen(function*() {
      const path = fileWith({ x: 1 })
      const registries = Array.from({ length: 20 }, (_, index) => `r${index}.io`)
      yield* Effect.forEach(registries, (name) => DockerConfig.store(name, basic("me"), { path }), {
        concurrency: "unbounded"
      })
      assert.sameMembers(Object.keys(JSON.parse(readFileSync(path, "utf8")).auths), registries)
    }))

  it.effect("refuses what is no registry, and tells what it cannot write", () =>
    Effect.gen(function*() {
      const path = fileWith({})
      for (const name of ["ghcr.io/team", "a\nb", ""]) {
        assert.strictEqual(
          (yield* Effect.flip(DockerConfig.store(name, basic("me"), { path })))._tag,
          "InvalidRegistryName"
        )
        assert.strictEqual((yield* Effect.flip(DockerConfig.erase(name, { path })))._tag, "InvalidRegistryName")
      }
      const below = join(path, "config.json")
      const error = yield* Effect.flip(DockerConfig.store("ghcr.io", basic("me"), { path: below }))
      assert.strictEqual(error._tag, "CredentialsUnwritable")
      assert.include(error.message, below)
      assertSilent(error)
    }))
})
