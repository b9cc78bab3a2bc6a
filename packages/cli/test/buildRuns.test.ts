/** Containers that run what `build` made. */
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { type Containerd, containerd } from "../../adapters/test/containerd.ts"
import { type Running, start } from "../../adapters/test/engine/engine.ts"
import { judge } from "../../adapters/test/judges.ts"
import { ask, bundled } from "./program.ts"

/** It has a static busybox, too. */
const engineDirectory = process.env["EFFECT_OCI_ENGINE"]
const program = bundled("runs")
let directory: string
const path = (...names: ReadonlyArray<string>) => join(directory, ...names)

const run = (...args: ReadonlyArray<string>) =>
  ask(process.execPath, [program, ...args], {
    cwd: directory,
    env: { HOME: directory, SOURCE_DATE_EPOCH: "1700000000" }
  })

/** Tells all that an image says about the process. Times of directories are not those of the image where containerd copies it. */
const script = `#!/bin/busybox sh
echo "args $*"
echo "A=$A B=$B"
echo "in $(/bin/busybox pwd)"
echo "as $(/bin/busybox id -u):$(/bin/busybox id -g)"
/bin/busybox stat -c '%n %a %u:%g' /srv/data
/bin/busybox stat -c '%n %a %u:%g %Y' /srv/data/file
/bin/busybox cat /srv/data/file
`

const told = `args one two
A=1 B=x=y
in /srv/data
as 1000:1001
/srv/data 755 0:0
/srv/data/file 640 1000:1001 1
from a file
`

const settings = [
  ["--env", "A=1", "--env", "B=x=y", "--workdir", "/srv/data", "--user", "1000:1001"],
  ["--entrypoint", `["/tell"]`, "--cmd", `["one","two"]`]
].flat()

describe.runIf(engineDirectory !== undefined && judge("skopeo"))("an image that is built", { timeout: 60_000 }, () => {
  const busybox = join(engineDirectory ?? "", "bin/busybox")
  const scope = Scope.makeUnsafe()
  const started = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) => Effect.runPromise(Scope.provide(effect, scope))
  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    rmSync(directory, { recursive: true })
  }, 60_000)

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "effect-oci-runs-"))
    mkdirSync(path("data"), { mode: 0o755 })
    writeFileSync(path("data/file"), "from a file\n", { mode: 0o640 })
    writeFileSync(path("tell"), script, { mode: 0o755 })
    const build = (to: string, ...args: ReadonlyArray<ReadonlyArray<string>>) =>
      run("build", "--to", `oci:out:${to}`, ...args.flat())
    const program = ["--add", `${busybox}:/bin/busybox`, "--entrypoint", `["/bin/busybox","echo","hello from nothing"]`]
    await build("hello", program)
    const upon = (tag: string) => ["--from", `oci:out:${tag}`]
    await build("base", upon("hello"), ["--add", "tell:/tell"])
    const data = ["--add", "data:/srv/data", "--owner", "1000:1001", "--epoch", ""]
    await build("tell", upon("base"), data, settings)
    await build("zstd", upon("base"), data, settings, ["--compression", "zstd"])
  }, 60_000)

  describe("runs in the Docker engine", () => {
    let engine: Running
    beforeAll(async () => {
      engine = await started(start(engineDirectory ?? ""))
      for (const tag of ["hello", "tell"]) {
        const archive = path(`${tag}.tar`)
        const copy = ["copy", "-q", "--insecure-policy", `oci:${path("out")}:${tag}`]
        await ask("skopeo", [...copy, `docker-archive:${archive}:example.org/${tag}:1`])
        await Effect.runPromise(engine.docker("load", "--quiet", "--input", archive))
      }
    }, 60_000)

    const docker = (...args: ReadonlyArray<string>) =>
      Effect.runPromise(engine.docker("run", "--rm", "--network", "none", ...args))

    it("from nothing", async () => assert.strictEqual(await docker("example.org/hello:1"), "hello from nothing"))

    it("with its settings", async () => assert.strictEqual(`${await docker("example.org/tell:1")}\n`, told))

    it("with other arguments", async () => {
      assert.include(await docker("example.org/tell:1", "three"), "args three\n")
    })

    it("and what the engine builds upon it comes back as refs", async () => {
      const dockerfile = "FROM example.org/hello:1\nCOPY x /x\nENV A=1\n"
      await Effect.runPromise(engine.build({ dockerfile, files: { x: "x" }, args: ["--tag", "built"] }))
      const source = `docker-engine:${join(engine.root, "socket")}`
      const refs = ["ref", "import", source, "built", "--image", "built", "--store", path("refs"), "--json"]
      const [base, top] = JSON.parse(await run(...refs))
      assert.strictEqual(base.parent, undefined)
      assert.include(top, { name: "built", parent: base.name, origin: `${source} built` })
      // What this version calls a COPY
      assert.strictEqual(top.description, "fileop target")
      await run("export", "built", "--store", path("refs"), "--to", `oci:${path("again")}:latest`, "--epoch", "")
      await run("validate", `oci:${path("again")}:latest`)
    })
  })

  describe.runIf(judge("containerd") && judge("ctr"))("runs in containerd", () => {
    let service: Containerd
    beforeAll(async () => {
      service = await started(containerd(path("containerd")))
      await service.load(path("out"), "ours")
    }, 60_000)

    it.each([["hello", "hello from nothing\n"], ["tell", told], ["zstd", told]])("%s", async (tag, expected) => {
      assert.strictEqual(await service.ctr("run", "--rm", `ours:${tag}`, tag), expected)
    })
  })
})
