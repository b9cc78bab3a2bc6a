import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import { join } from "node:path"
import process from "node:process"
import { judge } from "../../adapters/test/judges.ts"
import * as DockerRegistry from "../../adapters/test/registry/dockerRegistry.ts"
import { temporary } from "./harness.ts"
import { configType, digestOf, indexType, makeLayout, manifestType } from "./layouts.ts"
import { bundled, execute } from "./program.ts"

const main = bundled("registry")
const { name, password } = DockerRegistry.user

describe.runIf(judge("docker-registry"))("docker://", () => {
  /** Runs the program for a user who has a home, and an authority to trust. */
  const user = ({ authority = "" }: { readonly authority?: string } = {}) => {
    const home = temporary()
    const trusted = join(home, "authority.pem")
    writeFileSync(trusted, authority)
    const env = { HOME: home, XDG_CACHE_HOME: home, ...(authority === "" ? {} : { NODE_EXTRA_CA_CERTS: trusted }) }
    const cli = (...args: ReadonlyArray<string>) =>
      Effect.promise(() => execute(process.execPath, [main, ...args], { env }))
    const shell = (script: string) =>
      Effect.promise(() => execute("sh", ["-c", script, process.execPath, main], { env }))
    const json = (...args: ReadonlyArray<string>) =>
      Effect.map(cli(...args, "--json"), ({ code, stderr, stdout }) => {
        assert.strictEqual(code, 0, stderr)
        return JSON.parse(stdout)
      })
    return { home, cli, shell, json }
  }

  it.live("is where an image is built upon, and where it goes, encrypted and after a login", () =>
    Effect.gen(function*() {
      const { authority, directory, host } = yield* DockerRegistry.make({ auth: "htpasswd", isEncrypted: true })
      const { cli, home, json, shell } = user({ authority })
      const base = `docker://${host}/team/base`
      const app = `docker://${host}/team/app:1.0`
      mkdirSync(join(home, "dist"))
      writeFileSync(join(home, "dist/app"), "app")
      const add = ["--add", `${home}/dist:/app`, "--epoch", "0"]

      const refused = yield* cli("build", ...add, "--to", base)
      assert.strictEqual(refused.code, 1)
      assert.match(refused.stderr, new RegExp(`log in to ${host}\n  help: effect-oci login ${host}\n$`))

      const wrong = yield* shell(`echo wrong | "$0" "$1" login ${host} --username ${name} --password-stdin`)
      assert.strictEqual(wrong.code, 1)
      assert.match(wrong.stderr, new RegExp(`^error: ${host} does not accept the credentials, and nothing was kept`))
      const unnamed = yield* shell(`EFFECT_OCI_USERNAME=me EFFECT_OCI_PASSWORD=x "$0" "$1" inspect ${app}`)
      assert.match(unnamed.stderr, /cannot be had\n  caused by: the environment .* in EFFECT_OCI_REGISTRY, /)
      const login = yield* shell(`echo ${password} | "$0" "$1" login ${host} --username ${name} --password-stdin`)
      assert.strictEqual(login.code, 0, login.stderr)

      yield* json("build", ...add, "--to", base)
      const upon = ["build", "--from", base, ...add, "--cmd", "/app/app", "--to"]
      const built = yield* json(...upon, app)
      // The base's layer is taken over in the registry: who would read it, would find other content
      const [layer] = built.layers
      assert.strictEqual(layer.base, true)
      const hex = layer.descriptor.digest.slice("sha256:".length)
      const data = join(directory, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data")
      const content = readFileSync(data)
      writeFileSync(data, Buffer.alloc(layer.descriptor.size))
      const mounted = yield* json(...upon, `docker://${host}/team/mounted`)
      assert.strictEqual(mounted.descriptor.digest, built.descriptor.digest)
      writeFileSync(data, content)
      const listed = yield* json("list", `docker://${host}/team/app`)
      assert.deepStrictEqual(
        listed.map((image: { readonly name: string; readonly digest: string }) => [image.name, image.digest]),
        [["1.0", built.descriptor.digest]]
      )
      const byDigest = yield* json("inspect", `docker://${host}/team/app@${built.descriptor.digest}`)
      assert.strictEqual(byDigest.digest ?? byDigest.descriptor.digest, built.descriptor.digest)
      const again = yield* json("copy", app, `oci:${home}/out:1.0`)
      assert.strictEqual(again.descriptor.digest, built.descriptor.digest)
      assert.strictEqual((yield* cli("validate", `oci:${home}/out:1.0`)).code, 0)
      // All of it is there already
      const back = yield* json("copy", `oci:${home}/out:1.0`, app)
      assert.deepStrictEqual(back.copied, [])

      assert.strictEqual((yield* cli("logout", host)).code, 0)
      assert.strictEqual((yield* cli("inspect", app)).code, 1)
      assert.notInclude(readFileSync(join(home, ".docker/config.json"), "utf8"), host)
    }))

  it.live.runIf(judge("skopeo"))(
    "has an index with all that is in it, which skopeo finds there",
    () =>
      Effect.gen(function*() {
        const { host } = yield* DockerRegistry.make()
        const { cli, home, json } = user()
        const layout = makeLayout()
        const images = ["amd64", "arm64"].map((architecture) => {
          const platform = { architecture, os: "linux" }
          return Object.assign(layout.image(platform), { platform })
        })
        const attestation = layout.put(
          manifestType,
          JSON.stringify({
            schemaVersion: 2,
            mediaType: manifestType,
            config: layout.put(configType, JSON.stringify({ architecture: "unknown", os: "unknown" })),
            layers: [layout.put("application/vnd.in-toto+json", "{}")]
          })
        )
        const text = JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests: [...images, attestation] })
        layout.tag("latest", layout.put(indexType, text))

        yield* json("copy", `oci:${layout.directory}:latest`, `docker://${host}/a:latest`, "--all")
        // From one repository to another, where the registry has the blobs already
        yield* json("copy", `docker://${host}/a`, `docker://${host}/b:copy`, "--all")
        // No layout would take this tag
        yield* json("copy", `docker://${host}/a`, `docker://${host}/b:_odd..tag-`, "--all")
        const raw = yield* Effect.promise(() =>
          execute("skopeo", ["inspect", "--raw", "--tls-verify=false", `docker://${host}/b:copy`])
        )
        assert.strictEqual(raw.stdout, text)
        const copy = ["copy", "--insecure-policy", "--all", "-q", "--src-tls-verify=false", `docker://${host}/b:copy`]
        const pulled = yield* Effect.promise(() => execute("skopeo", [...copy, `dir:${home}/skopeo`]))
        assert.strictEqual(pulled.code, 0, pulled.stderr)
        yield* json("copy", `docker://${host}/b:copy`, `oci:${home}/out:latest`, "--all")
        assert.strictEqual((yield* json("list", `oci:${home}/out`))[0].digest, digestOf(text))

        const missing = yield* cli("inspect", `docker://${host}/nothing`)
        assert.strictEqual(missing.code, 1)
        assert.match(missing.stderr, /has no image "latest"/)
        // Debian's version of the registry cannot take a tag away
        const untagged = yield* cli("untag", `docker://${host}/b:copy`)
        assert.match(untagged.stderr, /UNSUPPORTED/)
        rmSync(join(home, "out"), { recursive: true })
      })
  )

  it.live("is asked through the proxy of the environment, but not on this machine", () =>
    Effect.gen(function*() {
      const asked: Array<string | undefined> = []
      const proxy = createServer()
      proxy.on("connect", ({ url }, socket) => {
        asked.push(url)
        socket.end("HTTP/1.1 403 Forbidden\r\n\r\n")
      })
      yield* Effect.promise(() => once(proxy.listen(0, "127.0.0.1"), "listening"))
      yield* Effect.addFinalizer(() => Effect.sync(() => proxy.close()))
      const address = proxy.address()
      const HTTPS_PROXY = typeof address === "object" ? `http://127.0.0.1:${address?.port}` : ""
      const { host } = yield* DockerRegistry.make({ isEncrypted: true })
      const inspect = (name: string, env: Readonly<Record<string, string>>) =>
        Effect.promise(() => execute(process.execPath, [main, "inspect", name], { env: { HTTPS_PROXY, ...env } }))
      const { code, stderr } = yield* inspect("docker://registry.invalid/a", {})
      assert.strictEqual(code, 1, stderr)
      assert.deepStrictEqual([...new Set(asked)], ["registry.invalid:443"])
      const near = yield* inspect(`docker://${host}/a`, {})
      assert.match(near.stderr, /SIGNED_CERT|UNABLE_TO/)
      assert.match(
        (yield* inspect("docker://registry.invalid/a", { NO_PROXY: "x,.invalid" })).stderr,
        /ENOTFOUND|EAI_AGAIN/
      )
      assert.deepStrictEqual([...new Set(asked)], ["registry.invalid:443"])
    }))

  it.live("is not asked without encryption where it is elsewhere", () =>
    Effect.gen(function*() {
      const { cli } = user()
      // Nobody is there, which takes time to find out
      const { code, stderr } = yield* cli("copy", "docker://registry.invalid/a", "oci:out")
      assert.strictEqual(code, 1)
      assert.match(stderr, /ENOTFOUND|EAI_AGAIN/)
      const down = yield* cli("list", "docker://localhost:1/a")
      assert.match(down.stderr, /^(warning: .* it is asked again\n){2}error: .* failed 3 times \(ECONNREFUSED\)/)
      const usage = yield* cli("inspect", "docker://a/b", "--insecure", "http://x/y z")
      assert.strictEqual(usage.code, 2)
      assert.match(usage.stderr, /--insecure: expected a registry's host/)
    }))
})
