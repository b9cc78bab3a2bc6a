/**
 * The refs of images that a real Docker engine has built: as its own disk usage and its store of snapshots have them, and
 * exported again, to the byte what the engine exported.
 */
import * as CacheRefEngine from "@effect-oci/adapters/CacheRefEngine"
import * as DockerArchive from "@effect-oci/adapters/DockerArchive"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as BuildRecord from "@effect-oci/core/BuildRecord"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, layer, type TestContext } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { type IncomingMessage, request } from "node:http"
import { join } from "node:path"
import process from "node:process"
import * as Daemon from "./daemon.ts"
import * as Archive from "./engine/archive.ts"
import { type Build, Engine, layer as engineIn, type Running } from "./engine/engine.ts"
import { undo } from "./engine/export.ts"
import { temporaryDirectory } from "./temporary.ts"

const directory = process.env["EFFECT_OCI_ENGINE"]
const isRequired = process.env["EFFECT_OCI_JUDGES"] === "require"
if (directory === undefined && isRequired) {
  throw new Error(
    "EFFECT_OCI_JUDGES=require asks for the Docker engine: set EFFECT_OCI_ENGINE to what .ci/engine prints"
  )
}

/** Goes on with an engine that has started; where none has, the test is skipped, or fails if judges are required. */
const engineFor = (context: TestContext) =>
  Effect.flatMap(
    Engine,
    Result.match({
      onSuccess: (engine) => Effect.succeed(engine),
      onFailure: (error) => isRequired ? Effect.fail(error) : Effect.sync(() => context.skip(error.message))
    })
  )

const root = temporaryDirectory()
const services = Layer.mergeAll(NodeHash.layer, NodeCompression.layer)
const socketOf = ({ root }: Running) => join(root, "socket")

/** What the engine's exporter does, whose fault our preset does not have. */
const shared: Compatibility.Compatibility = { ...Compatibility.moby2010, addedTimes: "shared" }

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

/** Loads the image `base`, and gives its config. */
const loaded = (layers: ReadonlyArray<ReadonlyArray<Tar.Entry>>, members: string) => (engine: Running) =>
  Effect.gen(function*() {
    const { archive, config } = yield* Archive.image(layers, members)
    yield* engine.load(archive)
    const id = yield* engine.docker("image", "inspect", "--format", "{{.Id}}", "base")
    const stored = yield* engine.config(id)
    assert.strictEqual(textOf(stored), textOf(config))
    return stored
  })

type Base = ReturnType<typeof loaded>

const layersOf = (...names: ReadonlyArray<string>) => names.map((name) => [Tar.file(`layer/${name}`, name)])
const bare = loaded(layersOf("1 bare", "2 bare", "3 bare"), `"config":{"Env":["B=1"]}`)
const dated = loaded(layersOf("1 dated"), `"history":[{"created":"2020-01-01T00:00:00Z","created_by":"one"}]`)

/** A base image with a shell. */
const tools: Base = (engine) =>
  loaded(
    [[Tar.file("bin/busybox", readFileSync(engine.busybox), { mode: 0o755 }), Tar.symlink("bin/sh", "busybox")]],
    `"history":[{"created":"2020-02-02T02:02:02Z","created_by":"busybox"}]`
  )(engine)

interface Case extends Build {
  readonly name: string
  readonly base?: Base
  /** The image does not stand on the base, which was only used. */
  readonly isApart?: true
  /** The layers, from the base on, that no record has made. */
  readonly unknown?: number
}

const many = Array.from({ length: 12 }, (_, index) => `COPY a /${index}\nENV A${index}=1\n`).join("")

const cases: ReadonlyArray<Case> = [
  { name: "files on nothing", dockerfile: "FROM scratch\nCOPY a /a\nENV A=1\nCOPY a /b\nCMD [\"/a\"]\n" },
  { name: "commands and files on a base", base: tools, dockerfile: "FROM base\nRUN echo x >/x\nENV A=1\nCOPY a /a\n" },
  { name: "a base without history", base: bare, dockerfile: "FROM base\nENV A=1\nCOPY a /a\nLABEL z=1\n" },
  { name: "settings only, on a base without history", base: bare, dockerfile: "FROM base\nENV A=1\n" },
  { name: "settings only, on a base with history", base: dated, dockerfile: "FROM base\nENV A=2\n", unknown: 1 },
  {
    name: "a stage that copies from another",
    base: tools,
    isApart: true,
    dockerfile:
      "FROM base AS one\nRUN echo one >/one\nFROM scratch\nCOPY --from=one /one /bin/busybox /bin/\nCOPY a /c\n"
  },
  {
    name: "a stage on another",
    base: tools,
    dockerfile: "FROM base AS one\nRUN echo stage >/one\nFROM one\nLABEL b=1\nRUN echo stage >/two\n"
  },
  { name: "commands that change nothing", base: tools, dockerfile: "FROM base\nRUN true\nRUN true\nWORKDIR /srv\n" },
  { name: "many layers", dockerfile: `FROM scratch\n${many}` },
  {
    name: "an inline cache",
    dockerfile: "FROM scratch\nCOPY a /inline\nLABEL z=1\nCOPY a /b\n",
    args: ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]
  }
]

/** Exports an image from the engine's refs to an archive for `docker load`, and gives its config. */
const exported = (
  { archive, inlineCache, rules, socket, ...image }: {
    readonly archive: string
    readonly ref: string
    readonly config: Uint8Array
    readonly inlineCache?: Uint8Array | undefined
    readonly rules: Compatibility.Compatibility
    readonly socket: string
  }
) =>
  ImageStore.publish(
    Option.some("ours:1"),
    ExportImage.run(
      {
        ...image,
        platform: { os: "linux", architecture: "amd64" },
        ...(inlineCache === undefined ? {} : { inlineCache })
      },
      { rules, mediaTypes: "docker" }
    )
  ).pipe(
    Effect.flatMap(({ configs }) => BlobStore.getBytes(configs[0] ?? assert.fail("one config"))),
    // The blobs of the one that comes last are written to
    Effect.provide(
      Layer.mergeAll(CacheRefEngine.layer(image.ref, { socket }), DockerArchive.layer(archive)).pipe(
        Layer.provide(services)
      )
    )
  )

describe.runIf(directory !== undefined)("images of the Docker engine", { timeout: 60_000 }, () => {
  layer(engineIn(directory ?? ""), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect.each(cases)(
      "have the engine's refs, and are exported as the engine does it: $name",
      (each, context) =>
        Effect.gen(function*() {
          const engine = yield* engineFor(context)
          const socket = socketOf(engine)
          const baseConfig = each.base === undefined ? undefined : yield* each.base(engine)
          const id = yield* engine.build({ files: { a: `a ${each.name}` }, ...each })
          const config = yield* engine.config(id)
          const input = yield* Effect.fromResult(undo(config, each.isApart === true ? undefined : baseConfig))

          const refs = yield* CacheRef.CacheRef.use((refs) =>
            Effect.flatMap(refs.acquire(id), (ref) => CacheRef.chain(ref))
          ).pipe(Effect.scoped, Effect.provide(CacheRefEngine.layer(id, { socket }).pipe(Layer.provide(services))))
          assert.deepStrictEqual(refs.map(({ layer }) => layer?.diffId), [...input.diffIds])
          const records = yield* engine.records(input.diffIds)
          assert.deepStrictEqual(
            refs.map(({ createdAt, description, name }) => ({
              ID: name,
              Description: description,
              CreatedAt: createdAt
            }))
              .slice(each.unknown ?? 0),
            records.map(({ CreatedAt, Description, ID }) => ({ ID, Description, CreatedAt })).slice(each.unknown ?? 0)
          )
          // The parent of each is the ref below it, as the engine has it
          assert.deepStrictEqual(records.map(({ Parent }) => Parent), ["", ...records.map(({ ID }) => ID).slice(0, -1)])

          const archive = join(root, "ours.tar")
          const ours = yield* exported({ ...input, archive, ref: id, rules: shared, socket })
          assert.strictEqual(textOf(ours), textOf(config))

          yield* engine.docker("rmi", "--force", id)
          assert.include(yield* engine.docker("load", "--input", archive), "ours:1")
          assert.strictEqual(yield* engine.docker("image", "inspect", "--format", "{{.Id}}", "ours:1"), id)
          yield* engine.docker("rmi", "--force", id)
        })
    )

    it.effect("run, with a history of our own", (context) =>
      Effect.gen(function*() {
        const engine = yield* engineFor(context)
        const baseConfig = yield* tools(engine)
        const dockerfile =
          "FROM base\nRUN echo hello >/hello\nENV A=1\nCOPY a /a\nCMD [\"busybox\", \"cat\", \"/hello\", \"/a\"]\n"
        const id = yield* engine.build({ dockerfile, files: { a: "from a file\n" } })
        const { config } = yield* Effect.fromResult(undo(yield* engine.config(id), baseConfig))
        // Without the history that the frontend wrote, all of it is ours
        const without = Buffer.from(textOf(config).replace(/"history": \[.*\]/, `"history": null`))
        const archive = join(root, "ours.tar")
        const rules = Compatibility.moby2010
        const ours = yield* exported({ archive, ref: id, rules, config: without, socket: socketOf(engine) })
        yield* engine.docker("load", "--input", archive)
        assert.strictEqual(
          yield* engine.docker("run", "--rm", "--network", "none", "ours:1"),
          "hello\nfrom a file"
        )
        const history = Result.getOrThrow(ExportConfig.parseHistory(ours)) ?? []
        assert.deepStrictEqual(history.map(({ created_by }) => created_by), [
          "from local ",
          "mount / from exec /bin/sh -c echo hello >/hello",
          "fileop target"
        ])
        const shown = yield* engine.docker(
          "history",
          "--no-trunc",
          "--format",
          "{{.CreatedBy}}|{{.CreatedAt}}",
          "ours:1"
        )
        assert.deepStrictEqual(
          shown.split("\n").map((line) => {
            const [by, at = ""] = line.split("|")
            return [by, Result.getOrThrow(Timestamp.parse(at)).seconds]
          }),
          history.map(({ created, created_by }) => [created_by, created?.seconds]).toReversed()
        )
      }))

    it.effect("have the same records in the engine's own API as in BuildKit's", (context) =>
      Effect.scoped(Effect.gen(function*() {
        const engine = yield* engineFor(context)
        yield* engine.build({ dockerfile: "FROM scratch\nCOPY a /a\nCOPY a /b\n", files: { a: "both" } })
        const socketPath = socketOf(engine)
        const proxy = yield* Daemon.engine({
          answer: ({ method, url }: IncomingMessage, response) => {
            if (method === "POST") response.writeHead(404).end()
            else request({ socketPath, path: url }, (answer) => void answer.pipe(response)).end()
          }
        })
        const told = ({ byId }: BuildRecord.Records) =>
          [...byId.values()]
            .map(({ createdAt, description, id, parents }) =>
              [id, parents, description, createdAt && Timestamp.format(Timestamp.toUtc(createdAt))] as const
            )
            .toSorted(([left], [right]) => left < right ? -1 : 1)
        const own = told(yield* CacheRefEngine.dockerRecords({ socket: proxy.socket }))
        assert.isAbove(own.length, 1)
        assert.deepStrictEqual(own, told(yield* CacheRefEngine.dockerRecords({ socket: socketPath })))
      })))

    it.effect("that are not there, or have no layers, are told as such", (context) =>
      Effect.gen(function*() {
        const engine = yield* engineFor(context)
        const socket = socketOf(engine)
        const open = (image: string) =>
          Effect.flip(Effect.scoped(Effect.provide(CacheRefEngine.open(image, { socket }), services)))
        assert.strictEqual((yield* open("none:1")).message, `the Docker engine at ${socket} has no image "none:1"`)
        const id = yield* engine.build({ dockerfile: "FROM scratch\nENV A=1\n" })
        assert.strictEqual(
          (yield* open(id)).message,
          `the image ${id} has no layers: expected at least one to make refs of`
        )
      }))
  })
})
