import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { inspect } from "node:util"
import * as Credentials from "../src/Credentials.ts"
import * as PodmanAuth from "../src/PodmanAuth.ts"
import * as RegistryName from "../src/RegistryName.ts"
import * as UserCredentials from "../src/UserCredentials.ts"
import { temporaryDirectory } from "./temporary.ts"

const canary = "canary-d41d8cd98f00"

const basic = (username: string, password = canary): Credentials.Credential => ({
  _tag: "Basic",
  username,
  password: Redacted.make(password)
})

/** A credential with its secret in the open, for comparisons. */
const plain = (found: Option.Option<Credentials.Credential>): string | undefined =>
  Option.getOrUndefined(Option.map(found, (credential) =>
    credential._tag === "Basic"
      ? `${credential.username}:${Redacted.value(credential.password)}`
      : credential._tag === "IdentityToken"
      ? `identity ${credential.username ?? "-"} ${Redacted.value(credential.token)}`
      : `registry ${Redacted.value(credential.token)}`))

const withEnvironment = (env: Record<string, string>) =>
  Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))

const base64 = (text: string) => Buffer.from(text).toString("base64")

const write = (path: string, value: unknown): string => {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, JSON.stringify(value))
  return path
}

describe("Credentials", () => {
  it.each([
    ["ghcr.io", "ghcr.io"],
    ["GHCR.io", "ghcr.io"],
    ["https://ghcr.io", "ghcr.io"],
    ["https://ghcr.io/", "ghcr.io"],
    ["https://ghcr.io/v2/", "ghcr.io"],
    ["localhost:5000", "localhost:5000"],
    ["[::1]:5000", "[::1]:5000"],
    ["docker.io", "docker.io"],
    ["https://index.docker.io/v1/", "docker.io"],
    ["registry-1.docker.io", "docker.io"],
    ["http://ghcr.io", undefined],
    ["ghcr.io/team", undefined],
    ["https://ghcr.io/team", undefined],
    [`me:${canary}@ghcr.io`, undefined],
    ["ghcr.io\nquay.io", undefined],
    ["-x", undefined],
    ["", undefined]
  ])("reads the name of a registry, or reads none (%#)", (text, expected) => {
    const read = RegistryName.parse(text)
    assert.strictEqual(Result.getOrUndefined(read), expected)
    assert.notInclude(String(Result.isFailure(read) ? read.failure : ""), canary)
  })

  it.effect("gives a credential to its registry, and to no other", () =>
    Effect.gen(function*() {
      const provider = Credentials.fixed({ "GHCR.io": basic("me"), "index.docker.io": basic("hub") })
      assert.strictEqual(plain(yield* provider.find("ghcr.io")), `me:${canary}`)
      assert.strictEqual(plain(yield* provider.find("docker.io", "library/alpine")), `hub:${canary}`)
      for (const other of ["ghcr.io:443", "evil.ghcr.io", "io", "", "__proto__", "constructor"]) {
        assert.isTrue(Option.isNone(yield* provider.find(other)), other)
      }
      assert.isTrue(Option.isNone(yield* Credentials.none.find("ghcr.io")))
      assert.notInclude(inspect(yield* provider.find("ghcr.io"), { depth: 9 }), canary)
    }))

  it.effect.each<[Record<string, string>, string | undefined]>([
    [{ EFFECT_OCI_USERNAME: "me", EFFECT_OCI_PASSWORD: `${canary}:x` }, `me:${canary}:x`],
    [{ EFFECT_OCI_REGISTRY_TOKEN: canary }, `registry ${canary}`],
    [{ EFFECT_OCI_IDENTITY_TOKEN: canary }, `identity - ${canary}`],
    [{ EFFECT_OCI_IDENTITY_TOKEN: canary, EFFECT_OCI_USERNAME: "me" }, `identity me ${canary}`],
    [{}, undefined],
    [{ EFFECT_OCI_USERNAME: "me" }, undefined],
    [{ EFFECT_OCI_PASSWORD: "" }, undefined]
  ])("reads the environment %#", ([env, expected]) =>
    Effect.gen(function*() {
      const provider = yield* withEnvironment({ EFFECT_OCI_REGISTRY: "https://ghcr.io", ...env })(
        Credentials.environment
      )
      assert.strictEqual(plain(yield* provider.find("ghcr.io", "team/app")), expected)
      assert.isTrue(Option.isNone(yield* provider.find("quay.io")))
    }))

  it.effect.each<[Record<string, string>, RegExp]>([
    [{ EFFECT_OCI_USERNAME: "me", EFFECT_OCI_PASSWORD: canary }, /EFFECT_OCI_REGISTRY.*found nothing/],
    [{ EFFECT_OCI_REGISTRY_TOKEN: canary, EFFECT_OCI_REGISTRY: `me:${canary}@ghcr.io` }, /found another text/],
    [{ EFFECT_OCI_PASSWORD: canary, EFFECT_OCI_REGISTRY: "ghcr.io" }, /EFFECT_OCI_USERNAME.*found nothing/],
    [
      { EFFECT_OCI_PASSWORD: canary, EFFECT_OCI_REGISTRY_TOKEN: canary, EFFECT_OCI_REGISTRY: "ghcr.io" },
      /one of EFFECT_OCI_PASSWORD and EFFECT_OCI_REGISTRY_TOKEN, found several/
    ]
  ])("refuses the environment %#", ([env, message]) =>
    Effect.gen(function*() {
      const provider = yield* withEnvironment(env)(Credentials.environment)
      const error = yield* Effect.flip(provider.find("ghcr.io"))
      assert.strictEqual(error._tag, "VariablesInvalid")
      assert.match(error.message, message)
      assert.notInclude(String(error) + JSON.stringify(error) + inspect(error, { depth: 9 }), canary)
    }))

  it.effect("takes the first that there is, and goes on after none but not after a failure", () =>
    Effect.gen(function*() {
      const broken: Credentials.Provider = {
        find: () => Effect.fail(new Credentials.VariablesInvalid({ expected: "a", found: "b" }))
      }
      const first = Credentials.fixed({ "ghcr.io": basic("first") })
      const second = Credentials.fixed({ "ghcr.io": basic("second"), "quay.io": basic("second") })
      const both = Credentials.firstOf([Credentials.none, first, second])
      assert.strictEqual(plain(yield* both.find("ghcr.io")), `first:${canary}`)
      assert.strictEqual(plain(yield* both.find("quay.io")), `second:${canary}`)
      assert.isTrue(Option.isNone(yield* both.find("docker.io")))
      assert.isTrue(Option.isNone(yield* Credentials.firstOf([]).find("docker.io")))
      assert.strictEqual(
        (yield* Effect.flip(Credentials.firstOf([broken, first]).find("ghcr.io")))._tag,
        "VariablesInvalid"
      )
      assert.strictEqual(plain(yield* Credentials.firstOf([first, broken]).find("ghcr.io")), `first:${canary}`)
    }))

  it.effect("looks into the environment, then Docker's file, then podman's files", () =>
    Effect.gen(function*() {
      const HOME = temporaryDirectory()
      const XDG_RUNTIME_DIR = join(HOME, "run")
      const auths = (...names: ReadonlyArray<string>) => (who: string) => ({
        auths: Object.fromEntries(names.map((name) => [name, { auth: base64(`${who}:x`) }]))
      })
      write(join(HOME, ".config/containers/auth.json"), auths("a.io", "b.io", "c.io", "d.io")("config"))
      write(join(XDG_RUNTIME_DIR, "containers/auth.json"), auths("a.io", "b.io", "c.io")("runtime"))
      write(join(HOME, ".docker/config.json"), auths("a.io", "b.io")("docker"))
      const env = { HOME, XDG_RUNTIME_DIR, EFFECT_OCI_REGISTRY: "a.io", EFFECT_OCI_REGISTRY_TOKEN: canary }
      const layer = UserCredentials.layer
      const find = (registry: string) =>
        Credentials.Credentials.use((credentials) => credentials.find(registry)).pipe(
          Effect.provide(layer, { local: true }),
          withEnvironment(env),
          Effect.map(plain)
        )
      assert.deepStrictEqual(
        yield* Effect.forEach(["a.io", "b.io", "c.io", "d.io", "e.io"], find),
        [`registry ${canary}`, "docker:x", "runtime:x", "config:x", undefined]
      )
    }))
})

describe("PodmanAuth", () => {
  const path = join(temporaryDirectory(), "auth.json")
  write(path, {
    auths: {
      "quay.io": { auth: base64("all:x") },
      "quay.io/team": { auth: base64("team:x") },
      "quay.io/team/app": { auth: base64("app:x") },
      "quay.io/empty": {},
      "docker.io": { auth: base64("hub:x") },
      "docker.io/library/alpine": { auth: base64("alpine:x") },
      "https://ghcr.io/v1/": { auth: base64("url:x") },
      "only.io/team": { auth: base64("part:x") }
    }
  })

  it.effect.each<[string, string | undefined, string | undefined]>([
    ["quay.io", undefined, "all"],
    ["quay.io", "other/app", "all"],
    ["quay.io", "teams/app", "all"],
    ["quay.io", "empty/app", "all"],
    ["quay.io", "team/other", "team"],
    ["quay.io", "team", "team"],
    ["quay.io", "team/app", "app"],
    ["quay.io", "team/app/deep", "app"],
    ["quay.io", "team/application", "team"],
    ["docker.io", "library/debian", "hub"],
    ["docker.io", "library/alpine", "alpine"],
    ["ghcr.io", "team/app", "url"],
    ["only.io", "team/app", "part"],
    ["only.io", "other", undefined],
    ["only.io", undefined, undefined]
  ])("finds for %j", ([registry, repository, expected]) =>
    Effect.gen(function*() {
      const provider = yield* PodmanAuth.make({ path })
      const found = plain(yield* provider.find(registry, repository))
      assert.strictEqual(found, expected === undefined ? undefined : `${expected}:x`)
    }))

  it.effect("reads only the file that REGISTRY_AUTH_FILE names, also where it is missing", () =>
    Effect.gen(function*() {
      const XDG_RUNTIME_DIR = temporaryDirectory()
      write(join(XDG_RUNTIME_DIR, "containers/auth.json"), { auths: { "a.io": { auth: base64("runtime:x") } } })
      const find = (env: Record<string, string>) =>
        Effect.flatMap(
          withEnvironment({ HOME: XDG_RUNTIME_DIR, XDG_RUNTIME_DIR, ...env })(PodmanAuth.make()),
          (found) => Effect.map(found.find("a.io"), plain)
        )
      assert.strictEqual(yield* find({}), "runtime:x")
      assert.strictEqual(yield* find({ REGISTRY_AUTH_FILE: join(XDG_RUNTIME_DIR, "none") }), undefined)
      const other = write(join(XDG_RUNTIME_DIR, "other.json"), { auths: { "a.io": { auth: base64("other:x") } } })
      assert.strictEqual(yield* find({ REGISTRY_AUTH_FILE: other }), "other:x")
    }))
})
