/** What we write, judged by programs that are not ours. */
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Json from "@effect-oci/schema/Json"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { judge } from "./judges.ts"

const run = promisify(execFile)

/** Runs a judge; what it complains of is the failure. */
const ask = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => (await run(command, args, { maxBuffer: 1 << 26 })).stdout)

const folder = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-oci-judges-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const created = (second: number) =>
  ({ seconds: 1_700_000_000 + second, nanoseconds: 123_456_789, offset: "Z" }) as const

const config = Json.toBytes(JSON.stringify({
  os: "linux",
  architecture: "amd64",
  config: { Env: ["PATH=/usr/bin", "A=<b>&c"], Entrypoint: ["/app/run.sh"], Labels: { "org.example.team": "ø" } },
  history: [{ created_by: "ENV A=<b>&c", empty_layer: true }],
  "x-vendor": { pi: 3.140 }
}))

/** Makes two folders whose files have what a layer can have: modes, links, long and foreign names, a larger file. */
const makeTrees = (root: string) => {
  const base = join(root, "base")
  mkdirSync(join(base, "etc"), { recursive: true })
  writeFileSync(join(base, "etc/motd"), "hello\n")
  chmodSync(join(base, "etc/motd"), 0o640)
  symlinkSync("motd", join(base, "etc/issue"))
  writeFileSync(join(base, "etc/ünïcode ß"), "x")
  mkdirSync(join(base, "d".repeat(90), "e".repeat(90)), { recursive: true })
  writeFileSync(join(base, "d".repeat(90), "e".repeat(90), "f".repeat(90)), "long")
  const app = join(root, "app")
  mkdirSync(app)
  writeFileSync(join(app, "run.sh"), "#!/bin/sh\n")
  chmodSync(join(app, "run.sh"), 0o755)
  writeFileSync(join(app, "data.bin"), Buffer.alloc(3 << 20, "effect"))
  writeFileSync(join(app, "noise.bin"), randomBytes(2_500_000))
  return { app, base }
}

const services = (root: string) =>
  Layer.mergeAll(
    CacheRefFileSystem.layer(join(root, "store")),
    NodeCompression.layer
  ).pipe(Layer.provideMerge(NodeHash.layer))

const layout = (path: string) => OciLayout.layer(path).pipe(Layer.provide(NodeHash.layer))

const add = Effect.fnUntraced(function*(
  name: string,
  path: string,
  options: { readonly at?: string; readonly parent?: string; readonly second: number }
) {
  const layer = yield* FileTree.store(path, options.at === undefined ? {} : { at: options.at })
  const refs = yield* RefStore.RefStore
  yield* refs.add(name, {
    description: `COPY ${name} <&>`,
    created: created(options.second),
    layer: layer.descriptor,
    diffId: layer.diffId,
    ...(options.parent === undefined ? {} : { parent: options.parent })
  })
})

const platform = { os: "linux", architecture: "amd64" }
const settings = { rules: Compatibility.standard }

const tag = (name: string, descriptor: Descriptor.Descriptor) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.some(name), descriptor))

const attested = {
  attestations: [{ predicateType: "https://spdx.dev/Document", predicate: Json.toBytes(`{"spdxVersion":"SPDX-2.3"}`) }]
}

/** Exports one image of two layers, one of two platforms with attestations, and one without layers. */
const exportAll = (root: string) =>
  Effect.gen(function*() {
    const trees = makeTrees(root)
    yield* add("base", trees.base, { second: 0 })
    yield* add("app", trees.app, { at: "/app", parent: "base", second: 60 })
    yield* Effect.gen(function*() {
      const single = yield* ExportImage.run({ ref: "app", config, platform }, settings)
      yield* tag("single", single.descriptor)
      const arm = { os: "linux", architecture: "arm64" }
      const several = yield* ExportImage.runIndex(
        [{ ref: "app", config, platform, ...attested }, { ref: "base", platform: arm, ...attested }],
        { ...settings, subjectNames: () => ["pkg:docker/app@1.0?platform=linux%2Famd64"] }
      )
      yield* tag("several", several.descriptor)
      const docker = yield* ExportImage.runIndex(
        [{ ref: "app", config, platform, ...attested }],
        { ...settings, attestationForm: "docker" }
      )
      yield* tag("docker-form", docker.descriptor)
    }).pipe(Effect.provide(layout(join(root, "out"))))
  }).pipe(Effect.provide(services(root)))

const blobs = (path: string) => readdirSync(join(path, "blobs/sha256")).toSorted()

const image = (root: string, name: string) => `${join(root, "out")}:${name}`

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, "utf8"))

const blobOf = (root: string, digest: string) => join(root, "out/blobs", digest.replace(":", "/"))

describe("judges", () => {
  it.live.runIf(judge("skopeo"))(
    "skopeo reads what we write, and copies it blob for blob",
    () =>
      Effect.gen(function*() {
        const root = yield* folder
        yield* exportAll(root)
        const inspected = JSON.parse(yield* ask("skopeo", "inspect", `oci:${image(root, "single")}`))
        assert.strictEqual(inspected.Architecture, "amd64")
        assert.strictEqual(inspected.Layers.length, 2)
        const read = JSON.parse(yield* ask("skopeo", "inspect", "--config", `oci:${image(root, "single")}`))
        assert.deepStrictEqual(read.history.map((item: { created: string }) => item.created), [
          "2023-11-14T22:13:20.123456789Z",
          "2023-11-14T22:13:20.123456789Z",
          "2023-11-14T22:14:20.123456789Z"
        ])
        for (const name of ["single", "several", "docker-form"]) {
          const target = join(root, `copy-${name}`)
          yield* ask(
            "skopeo",
            "copy",
            "-q",
            "--insecure-policy",
            "--all",
            `oci:${image(root, name)}`,
            `oci:${target}:copy`
          )
          for (const blob of blobs(target)) {
            const [ours, theirs] = [join(root, "out"), target].map((path) =>
              readFileSync(join(path, "blobs/sha256", blob))
            )
            assert.isTrue(ours?.equals(theirs ?? Buffer.alloc(0)), blob)
          }
          const digests = [join(root, "out"), target].map((path) => JSON.stringify(readJson(join(path, "index.json"))))
          const copied = /sha256:[0-9a-f]{64}/.exec(digests[1] ?? "")?.[0] ?? "none"
          assert.include(digests[0], copied)
        }
      }),
    60_000
  )

  it.live.runIf(judge("umoci"))("umoci walks the history and unpacks the tree as it was", () =>
    Effect.gen(function*() {
      const root = yield* folder
      yield* exportAll(root)
      const stat = JSON.parse(yield* ask("umoci", "stat", "--image", image(root, "single"), "--json"))
      assert.deepStrictEqual(stat.history.map((item: { empty_layer?: boolean }) => item.empty_layer ?? false), [
        true,
        false,
        false
      ])
      const bundle = join(root, "bundle")
      yield* ask("umoci", "unpack", "--image", image(root, "single"), bundle)
      const at = (path: string) => join(bundle, "rootfs", path)
      assert.strictEqual(readFileSync(at("etc/motd"), "utf8"), "hello\n")
      assert.strictEqual(statSync(at("etc/motd")).mode & 0o7777, 0o640)
      assert.strictEqual(statSync(at("etc/motd")).mtimeMs, 1000)
      assert.strictEqual(readFileSync(at("etc/issue"), "utf8"), "hello\n")
      assert.strictEqual(readFileSync(at("etc/ünïcode ß"), "utf8"), "x")
      assert.strictEqual(readFileSync(at(["d", "e", "f"].map((one) => one.repeat(90)).join("/")), "utf8"), "long")
      assert.strictEqual(statSync(at("app/run.sh")).mode & 0o7777, 0o755)
      assert.strictEqual(statSync(at("app/data.bin")).size, 3 << 20)
      const { uid, gid } = statSync(at("app/run.sh"))
      assert.deepStrictEqual([uid, gid], [0, 0])
    }), 60_000)

  it.live.runIf(judge("oci-image-tool"))(
    "oci-image-tool finds image, manifest, config and index valid",
    () =>
      Effect.gen(function*() {
        const root = yield* folder
        yield* exportAll(root)
        // It knows no artifacts, and takes an image for two where an index beside it names its manifest again
        const alone = join(root, "alone")
        yield* ExportImage.run({ ref: "app", config, platform }, settings).pipe(
          Effect.flatMap(({ descriptor }) => tag("single", descriptor)),
          Effect.provide(layout(alone).pipe(Layer.provideMerge(services(root))))
        )
        yield* ask("oci-image-tool", "validate", "--type", "image", "--ref", "name=single", alone)
        const digestOf = (name: string) =>
          Effect.map(
            ask("skopeo", "inspect", "--raw", `oci:${image(root, name)}`),
            (text): { config?: { digest: string }; text: string } => ({ ...JSON.parse(text), text })
          )
        const manifest = yield* digestOf("single")
        const write = (file: string, text: string) => {
          writeFileSync(join(root, file), text)
          return join(root, file)
        }
        yield* ask("oci-image-tool", "validate", "--type", "manifest", write("manifest.json", manifest.text))
        yield* ask("oci-image-tool", "validate", "--type", "config", blobOf(root, manifest.config?.digest ?? ""))
        const index = yield* digestOf("several")
        yield* ask("oci-image-tool", "validate", "--type", "imageIndex", write("index.json", index.text))
      }),
    60_000
  )

  it.live.runIf(judge("containerd") && judge("ctr"))(
    "containerd imports it, and finds its diff IDs right",
    () =>
      Effect.gen(function*() {
        const root = yield* folder
        yield* exportAll(root)
        const settings =
          `version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", ` +
          `"io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.aufs"]\n`
        writeFileSync(join(root, "containerd.toml"), settings)
        const socket = join(root, "c.sock")
        const log = join(root, "containerd.log")
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn("sh", [
              "-c",
              `exec containerd -c ${root}/containerd.toml --root ${root}/r --state ${root}/s -a ${socket} >${log} 2>&1`
            ])
          ),
          (daemon) =>
            Effect.promise(() =>
              new Promise<void>((resolve) => {
                daemon.once("exit", () => resolve())
                if (!daemon.kill()) resolve()
              })
            )
        )
        yield* Effect.promise(async () => {
          for (let attempt = 0; attempt < 100; attempt++) {
            if (existsSync(socket) && await run("ctr", ["-a", socket, "version"]).then(() => true, () => false)) return
            await new Promise((resolve) => setTimeout(resolve, 100))
          }
          throw new Error(`containerd did not start:\n${readFileSync(log, "utf8").slice(-2000)}`)
        })
        const archive = join(root, "out.tar")
        yield* ask("tar", "--sort=name", "--exclude=.effect-oci", "-cf", archive, "-C", join(root, "out"), ".")
        yield* ask("ctr", "-a", socket, "images", "import", "--snapshotter", "native", "--base-name", "ours", archive)
        const listed = yield* ask("ctr", "-a", socket, "images", "list", "-q")
        assert.deepStrictEqual(listed.trim().split("\n").toSorted(), [
          "ours:docker-form",
          "ours:several",
          "ours:single"
        ])
      }).pipe(Effect.scoped),
    90_000
  )
})

// The judges are told apart from tests that do not need one by this count
it("says how many judges are there", () => {
  const names = ["skopeo", "umoci", "oci-image-tool", "containerd"]
  const found = names.filter((name) => {
    try {
      return judge(name)
    } catch {
      return false
    }
  })
  process.stderr.write(`judges: ${found.length} of ${names.length} (${found.join(", ")})\n`)
  assert.isAtLeast(found.length, 0)
})
