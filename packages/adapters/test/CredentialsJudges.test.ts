/** Whether skopeo and Docker read what we write, and we what they do, with a registry that asks for a password. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import type * as Credentials from "../src/Credentials.ts"
import * as DockerConfig from "../src/DockerConfig.ts"
import * as PodmanAuth from "../src/PodmanAuth.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const username = "me"
const password = "canary:s3cret"
const htpasswd = `${username}:$2y$05$abcdefghijklmnopqrstuun6SsyfwdU5UzD1wlSHpZHfUDwcF0T7e\n`

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  server.close()
  await once(server, "close")
  return typeof address === "object" && address !== null ? address.port : 0
}

const isUp = (url: string): Promise<boolean> => fetch(url).then(({ status }) => status === 401, () => false)

const run = (command: string, args: ReadonlyArray<string>, env: Record<string, string> = {}) =>
  Effect.promise(() => promisify(execFile)(command, args, { env: { PATH: process.env["PATH"], ...env } })).pipe(
    Effect.map(({ stdout }) => stdout)
  )

/** Runs a program that reads the password from stdin. */
const login = (command: string, args: ReadonlyArray<string>, env: Record<string, string>) =>
  Effect.promise(async () => {
    const child = spawn(command, args, {
      env: { PATH: process.env["PATH"], ...env },
      stdio: ["pipe", "ignore", "ignore"]
    })
    child.stdin.end(password)
    const [code] = await once(child, "close")
    assert.strictEqual(code, 0, command)
  })

const plain = Option.map((found: Credentials.Credential) =>
  found._tag === "Basic" ? `${found.username} ${Redacted.value(found.password)}` : found._tag
)

const hasRegistry = judge("docker-registry")

describe.runIf(hasRegistry)("credentials and others' programs", () => {
  let registry = ""
  let server: ChildProcess | undefined

  beforeAll(async () => {
    const directory = temporaryDirectory()
    registry = `127.0.0.1:${await freePort()}`
    writeFileSync(join(directory, "htpasswd"), htpasswd)
    writeFileSync(
      join(directory, "config.yml"),
      `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage: { filesystem: { rootdirectory: ${JSON.stringify(join(directory, "data"))} } }
http: { addr: ${JSON.stringify(registry)} }
auth: { htpasswd: { realm: test, path: ${JSON.stringify(join(directory, "htpasswd"))} } }
`
    )
    server = spawn("docker-registry", ["serve", join(directory, "config.yml")], { stdio: "ignore" })
    for (let tries = 0; !(await isUp(`http://${registry}/v2/`)); tries++) {
      if (tries === 200) throw new Error("docker-registry does not start")
      await new Promise((done) => setTimeout(done, 25))
    }
  })

  afterAll(() => void server?.kill("SIGKILL"))

  const store = (path: string) =>
    DockerConfig.store(registry, { _tag: "Basic", username, password: Redacted.make(password) }, { path })

  /** An image of one empty layer, as a directory that skopeo reads. */
  const image = (): string => {
    const directory = temporaryDirectory()
    const config = JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: [] }
    })
    const digest = createHash("sha256").update(config).digest("hex")
    writeFileSync(join(directory, digest), config)
    writeFileSync(
      join(directory, "manifest.json"),
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: {
          mediaType: "application/vnd.oci.image.config.v1+json",
          digest: `sha256:${digest}`,
          size: config.length
        },
        layers: []
      })
    )
    writeFileSync(join(directory, "version"), "Directory Transport Version: 1.1\n")
    return directory
  }

  it.live.runIf(judge("skopeo"))(
    "skopeo logs in with what we have written, as podman's file and as Docker's",
    () =>
      Effect.gen(function*() {
        const DOCKER_CONFIG = temporaryDirectory()
        const path = join(DOCKER_CONFIG, "config.json")
        const args = ["copy", "-q", "--dest-tls-verify=false", `dir:${image()}`, `docker://${registry}/app:1`]
        const HOME = temporaryDirectory()
        const env = { HOME, XDG_RUNTIME_DIR: HOME }
        yield* store(path)
        yield* run("skopeo", args, { ...env, REGISTRY_AUTH_FILE: path })
        yield* run("skopeo", args, { ...env, DOCKER_CONFIG })
        assert.strictEqual(yield* DockerConfig.erase(registry, { path }), true)
        const refused = yield* Effect.exit(run("skopeo", args, { ...env, REGISTRY_AUTH_FILE: path }))
        assert.strictEqual(refused._tag, "Failure")
      })
  )

  it.live.runIf(judge("skopeo"))("we read what skopeo has logged in to", () =>
    Effect.gen(function*() {
      const path = join(temporaryDirectory(), "auth.json")
      const HOME = temporaryDirectory()
      yield* login(
        "skopeo",
        ["login", "--tls-verify=false", "--authfile", path, "-u", username, "--password-stdin", registry],
        { HOME, XDG_RUNTIME_DIR: HOME }
      )
      for (const provider of [yield* PodmanAuth.make({ path }), yield* DockerConfig.make({ path })]) {
        assert.deepStrictEqual(
          plain(yield* provider.find(registry, "team/app")),
          Option.some(`${username} ${password}`)
        )
      }
    }))

  it.live.runIf(judge("docker"))(
    "Docker writes the same bytes, and forgets what we have written",
    () =>
      Effect.gen(function*() {
        const [ours, theirs] = [temporaryDirectory(), temporaryDirectory()]
        const env = { HOME: theirs, DOCKER_CONFIG: theirs, DOCKER_HOST: "unix:///nonexistent" }
        yield* store(join(ours, "config.json"))
        yield* login("docker", ["login", "-u", username, "--password-stdin", registry], env)
        assert.strictEqual(
          readFileSync(join(theirs, "config.json"), "utf8"),
          readFileSync(join(ours, "config.json"), "utf8")
        )
        const provider = yield* DockerConfig.make({ path: join(theirs, "config.json") })
        assert.deepStrictEqual(plain(yield* provider.find(registry)), Option.some(`${username} ${password}`))
        yield* run("docker", ["logout", registry], { ...env, DOCKER_CONFIG: ours })
        assert.strictEqual(yield* DockerConfig.erase(registry, { path: join(ours, "config.json") }), false)
      })
  )
})
