/**
 * The exporter beside the Docker engine 20.10, which is the seed with times for all items and an inline cache: images that
 * the engine has built, with their configs written again by us.
 *
 * The engine has the fault of the variable that a loop shares (`addedTimes`), which our preset does not repeat; here it is
 * switched on. Each case tells whether it shows.
 */
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as History from "@effect-oci/schema/History"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { afterAll, assert, describe, it, layer, type TestContext } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Result from "effect/Result"
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { alarms } from "./alarms.ts"
import * as Archive from "./engine/archive.ts"
import {
  type Build,
  type CommandFailed,
  Engine,
  type EngineUnavailable,
  layer as engineIn,
  mounts,
  type Running,
  start
} from "./engine/engine.ts"
import { redo, undo } from "./engine/export.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const directory = process.env["EFFECT_OCI_ENGINE"]
const isRequired = process.env["EFFECT_OCI_JUDGES"] === "require"
if (directory === undefined && isRequired) {
  throw new Error(
    "EFFECT_OCI_JUDGES=require asks for the Docker engine: set EFFECT_OCI_ENGINE to what .ci/engine prints"
  )
}

const shared: Compatibility.Compatibility = { ...Compatibility.moby2010, addedTimes: "shared" }

const toText = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

/** Goes on with an engine that has started; where none has, the test is skipped, or fails if judges are required. */
const orSkip = (context: TestContext) =>
  Result.match({
    onSuccess: (engine: Running) => Effect.succeed(engine),
    onFailure: (error: EngineUnavailable) =>
      isRequired ? Effect.fail(error) : Effect.sync(() => context.skip(error.message))
  })

const engineFor = (context: TestContext) => Effect.flatMap(Engine, orSkip(context))

/** Makes the image `base`, and gives its config. */
type Base = (engine: Running) => Effect.Effect<Uint8Array, CommandFailed | Tar.TarError>

const loaded = (layers: ReadonlyArray<ReadonlyArray<Tar.Entry>>, members: string): Base => (engine) =>
  Effect.gen(function*() {
    const { archive, config } = yield* Archive.image(layers, members)
    yield* engine.load(archive)
    return yield* engine.config(sha256(config))
  })

const built = (build: Build, base?: Base): Base => (engine) =>
  Effect.gen(function*() {
    if (base !== undefined) yield* base(engine)
    return yield* engine.config(yield* engine.build({ ...build, args: ["--tag", "base"] }))
  })

const layersOf = (...names: ReadonlyArray<string>) => names.map((name) => [Tar.file(`layer/${name}`, name)])

/** A base image with a shell. */
const tools: Base = (engine) =>
  loaded(
    [[Tar.file("bin/busybox", readFileSync(engine.busybox), { mode: 0o755 }), Tar.symlink("bin/sh", "busybox")]],
    `"history":[{"created":"2020-02-02T02:02:02Z","created_by":"busybox"}]`
  )(engine)

const someTimes = loaded(
  layersOf("of some times"),
  `"history":[{"created_by":"m0","empty_layer":true},{"created":"2020-01-01T00:00:00Z","created_by":"one"},` +
    `{"created_by":"m1","empty_layer":true},{"created":"2021-01-01T00:00:00Z","created_by":"m2","empty_layer":true},` +
    `{"created_by":"m3","empty_layer":true}],"created":"1999-09-09T09:09:09Z"`
)

const cached: Build = {
  dockerfile: `FROM base\nRUN busybox touch /cached\nENV A=1\nCOPY a /a\nLABEL z=1\n`,
  files: { a: "a" }
}

interface Image extends Build {
  readonly base?: Base
  /** What happens before the build. */
  readonly before?: (engine: Running) => Effect.Effect<unknown, unknown>
}

interface Case extends Image {
  readonly name: string
  /** The engine's fault shows: it adds several items, and gives all of them the last one's time. */
  readonly isFaulty?: true
}

const bare: Case = {
  name: "a base image without history, and metadata, a file and metadata",
  base: loaded(layersOf("1 bare", "2 bare", "3 bare"), `"config":{"Env":["B=1"]}`),
  dockerfile: "FROM base\nENV A=1\nCOPY a /a\nLABEL z=1\n",
  files: { a: "bare" },
  isFaulty: true
}

const cases: ReadonlyArray<Case> = [
  { name: "scratch with metadata only", dockerfile: "FROM scratch\nENV a=b\n" },
  { name: "scratch with a file", dockerfile: "FROM scratch\nCOPY a /a\n", files: { a: "on scratch" } },
  {
    name: "a file and metadata around it",
    dockerfile: "FROM scratch\nARG x=1\nLABEL one=1\nCOPY a /a\nEXPOSE 80 443/udp\nVOLUME /data\n",
    files: { a: "around" }
  },
  {
    name: "scratch and a shell of its own",
    dockerfile: `FROM scratch
MAINTAINER somebody <some@body>
COPY busybox /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
ENV A=1
RUN echo "x <&> y" >/f
WORKDIR /w
LABEL between=1
COPY a .
EXPOSE 80
CMD ["/bin/busybox"]
`,
    files: { a: "own shell" }
  },
  {
    name: "every other instruction",
    base: tools,
    dockerfile: `FROM base
ARG WHO=me
RUN echo $WHO >/who
RUN --mount=type=cache,target=/cache echo >/cache/x
RUN true
RUN true
ADD --chown=1:2 a /added/
STOPSIGNAL SIGTERM
USER $WHO
HEALTHCHECK --interval=5s --retries=3 CMD true
ONBUILD RUN true
ENTRYPOINT ["/bin/busybox"]
CMD ["sh"]
`,
    files: { a: "others" },
    args: ["--build-arg", "WHO=you"]
  },
  {
    name: "characters that Go escapes, and others",
    base: tools,
    dockerfile: `FROM base\nLABEL html="<b>&amp;</b>" lines="\u2028\u2029" far="🦆é" tab="\t" slash="/\\\\"\n` +
      `RUN echo "<&> \u2028 🦆 \\"quoted\\" \u007f" >/f && true\nCMD ["a<b", "🦆"]\n`
  },
  { name: "a base image alone", base: tools, dockerfile: "FROM base\n" },
  bare,
  {
    name: "a base image without history, and metadata only",
    base: loaded(layersOf("1 null", "2 null"), `"history":null`),
    dockerfile: "FROM base\nENV A=1\n",
    isFaulty: true
  },
  {
    name: "a base image of one layer with an empty history, and metadata only",
    base: loaded(layersOf("single"), `"history":[]`),
    dockerfile: "FROM base\nENV A=1\nCMD [\"x\"]\n"
  },
  {
    name: "a base image without history alone",
    base: loaded(layersOf("1 alone", "2 alone"), `"config":null`),
    dockerfile: "FROM base\n",
    isFaulty: true
  },
  {
    name: "a base image whose history lacks its last layers",
    base: loaded(
      layersOf("1 of 3", "2 of 3", "3 of 3"),
      `"history":[{"created":"2020-01-01T00:00:00Z","created_by":"one"},{"created_by":"m","empty_layer":true}]`
    ),
    dockerfile: "FROM base\nLABEL a=1\nCOPY a /a\n",
    files: { a: "lacks" },
    isFaulty: true
  },
  { name: "a base image with some times, and metadata", base: someTimes, dockerfile: "FROM base\nENV A=1\n" },
  {
    name: "a base image with some times, and a file",
    base: someTimes,
    dockerfile: "FROM base\nENV A=1\nCOPY a /a\n",
    files: { a: "times" }
  },
  {
    name: "a base image with an offset, unknown members, empty texts and null items",
    base: loaded(
      layersOf("1 odd", "2 odd"),
      `"history":[{"created":"2020-01-01T02:00:00.100+02:00","created_by":"base","unknown":[1.50]},` +
        `{"author":"","comment":null,"created_by":"meta <&>","empty_layer":true},null,` +
        `{"created":"2020-01-01T00:00:00.123456789000-00:00","empty_layer":true,"author":"a","comment":"c"}],` +
        `"x-unknown":{"b": 1e3},"docker_version":"1.2.3","container_config":{"Cmd":["x"]},"created":"2000-01-01T00:00:00Z"`
    ),
    dockerfile: "FROM base\nENV A=1\nCOPY a /a\n",
    files: { a: "odd" }
  },
  {
    name: "a base image without layers",
    base: built({ dockerfile: "FROM scratch\nENV nothing=1\n" }),
    dockerfile: "FROM base\nLABEL a=1\n"
  },
  {
    name: "a base image with items that the engine added",
    base: built(
      { dockerfile: "FROM base\nCOPY a /a\n", files: { a: "added below" } },
      loaded(layersOf("1 below", "2 below"), `"history":[]`)
    ),
    dockerfile: "FROM base\nENV A=1\nCOPY a /b\n",
    files: { a: "added above" }
  },
  {
    name: "several stages, the last one on scratch",
    before: tools,
    dockerfile: `FROM base AS one
RUN echo one >/one
FROM base AS two
RUN echo two >/two
COPY --from=one /one /one
FROM scratch
COPY --from=two /one /two /
COPY --from=base /bin/busybox /bin/
ENV done=1
`
  },
  {
    name: "a later stage on an earlier one",
    base: tools,
    dockerfile: "FROM base AS one\nENV A=1\nRUN echo staged >/one\nFROM one\nLABEL b=1\nRUN echo staged >/two\n"
  },
  {
    name: "another platform",
    dockerfile: "FROM scratch\nCOPY a /a\nENV A=1\n",
    files: { a: "arm" },
    args: ["--platform=linux/arm/v7"]
  },
  {
    name: "many layers",
    dockerfile: `FROM scratch\n${Array.from({ length: 12 }, (_, i) => `COPY a /${i}\nENV A${i}=1\n`).join("")}`,
    files: { a: "many" }
  },
  {
    name: "a second build after one that failed",
    base: tools,
    before: (engine) =>
      Effect.flip(
        engine.build({ dockerfile: "FROM base\nRUN echo first >/a\nENV A=1\nRUN echo second >/b && false\n" })
      ),
    dockerfile: "FROM base\nRUN echo first >/a\nENV A=1\nRUN echo second >/b && true\nLABEL a=1\n"
  },
  {
    name: "a second build from the cache",
    ...cached,
    base: tools,
    before: (engine) => engine.build(cached)
  },
  {
    name: "an inline cache",
    dockerfile: "FROM scratch\nCOPY a /a\nLABEL z=1\nCOPY b /b\n",
    files: { a: "inline a", b: "inline b" },
    args: ["--build-arg", "BUILDKIT_INLINE_CACHE=1"]
  },
  {
    name: "an inline cache on a base image without history",
    base: loaded(layersOf("1 inline", "2 inline"), `"config":{}`),
    dockerfile: "FROM base\nCOPY a /a\nLABEL z=1\n",
    files: { a: "inline" },
    args: ["--build-arg", "BUILDKIT_INLINE_CACHE=1"],
    isFaulty: true
  },
  {
    name: "layers from another image's inline cache",
    base: tools,
    before: (engine) =>
      Effect.andThen(
        engine.build({ ...cached, args: ["--build-arg", "BUILDKIT_INLINE_CACHE=1", "--tag", "cached"] }),
        engine.docker("builder", "prune", "--all", "--force")
      ),
    ...cached,
    args: ["--cache-from", "cached"]
  }
]

/** Builds an image, and takes the engine's export of it back. */
const buildAndUndo = Effect.fnUntraced(function*(engine: Running, { base, before, ...build }: Image) {
  const baseConfig = base === undefined ? undefined : yield* base(engine)
  if (before !== undefined) yield* before(engine)
  const id = yield* engine.build(build)
  const config = yield* engine.config(id)
  const input = yield* Effect.fromResult(undo(config, baseConfig))
  return { id, config, input, records: yield* engine.records(input.diffIds) }
})

const readNumber = (path: string) => Number(readFileSync(path, "utf8"))

const isRunning = (pid: number) => existsSync(`/proc/${pid}`)

let agreed = 0
let version = ""

describe.runIf(directory !== undefined)("Docker engine", { timeout: 60_000 }, () => {
  afterAll(() => {
    if (agreed > 0) process.stdout.write(`${agreed} of ${cases.length} images agree with ${version}, byte for byte\n`)
  })

  layer(engineIn(directory ?? ""), { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect.each(cases)("writes the config that we write: $name", (each, context) =>
      Effect.gen(function*() {
        const engine = yield* engineFor(context)
        const { config, id, input, records } = yield* buildAndUndo(engine, each)
        const ours = yield* redo(input, records, shared)
        assert.strictEqual(toText(ours), toText(config))
        assert.strictEqual(sha256(ours), id)
        const own = yield* redo(input, records, Compatibility.moby2010)
        assert.strictEqual(toText(own) !== toText(config), each.isFaulty ?? false)
        version = engine.version
        agreed++
      }))

    it.effect(
      "gives added items the last one's time, where we give each its own, and nothing else differs",
      (context) =>
        Effect.gen(function*() {
          const engine = yield* engineFor(context)
          const { config, input, records } = yield* buildAndUndo(engine, bare)
          const history = Result.getOrThrow(ExportConfig.parseHistory(config)) ?? []
          assert.deepStrictEqual(history.map(({ comment, created_by }) => [created_by, comment]), [
            ["ENV A=1", "buildkit.dockerfile.v0"],
            ["COPY a /a # buildkit", "buildkit.dockerfile.v0"],
            ["LABEL z=1", "buildkit.dockerfile.v0"],
            ...records.slice(1).map(({ Description }) => [Description, LayerHistory.exporterComment])
          ])
          const times = records.map(({ CreatedAt }) => CreatedAt)
          assert.lengthOf(new Set(times.map(Timestamp.format)), 4)
          assert.deepStrictEqual(history.slice(3).map(({ created }) => created), [times[3], times[3], times[3]])

          const own = yield* redo(input, records, Compatibility.moby2010)
          const withOwnTimes = history.map((item, index) => {
            const record = records[Math.max(0, index - 2)]
            return record === undefined ? item : { ...item, created: record.CreatedAt }
          })
          assert.strictEqual(
            toText(own),
            toText(config).replace(History.stringify(history), () => History.stringify(withOwnTimes))
          )
        })
    )

    it.effect.runIf(judge("skopeo"))("writes images that raise no alarm", (context) =>
      Effect.gen(function*() {
        const engine = yield* engineFor(context)
        const root = temporaryDirectory()
        // An image without a layer cannot be saved
        const chosen = cases.filter((each) => each.before === undefined && each.dockerfile.includes("COPY")).slice(0, 6)
        for (const [index, each] of chosen.entries()) {
          const { id } = yield* buildAndUndo(engine, each)
          yield* engine.docker("tag", id, `saved:${index}`)
          const archive = join(root, `${index}.tar`)
          yield* engine.docker("save", "--output", archive, `saved:${index}`)
          const layout = join(root, String(index))
          execFileSync("skopeo", [
            "copy",
            "-q",
            "--insecure-policy",
            `docker-archive:${archive}`,
            `oci:${layout}:saved`
          ])
          assert.deepStrictEqual(yield* alarms(layout), [], each.name)
        }
      }))

    // Debian's engine is built with Go 1.19
    it.effect(
      "escapes backspaces and form feeds in history as Go before 1.22 does, and so do we",
      (context) =>
        Effect.gen(function*() {
          const engine = yield* engineFor(context)
          const { config, input, records } = yield* buildAndUndo(engine, {
            dockerfile: "FROM scratch\nLABEL a=\"x\by\fz\"\n"
          })
          const ours = toText(yield* redo(input, records, shared))
          assert.include(ours, `"created_by":"LABEL a=x\\u0008y\\u000cz"`)
          assert.strictEqual(toText(config), ours)
        })
    )
  })

  it.live(
    "is stopped with all that it has started and mounted, and its files are removed",
    (context) =>
      Effect.gen(function*() {
        const { pids, root } = yield* Effect.scoped(Effect.gen(function*() {
          const engine = yield* Effect.result(start(directory ?? ""))
          const { build, root } = yield* orSkip(context)(engine)
          yield* build({ dockerfile: `FROM scratch\nCOPY busybox /\nRUN ["/busybox", "true"]\n` })
          return { root, pids: [join(root, "pid"), join(root, "exec/containerd/containerd.pid")].map(readNumber) }
        }))
        assert.deepStrictEqual(pids.filter(isRunning), [])
        assert.isFalse(existsSync(root))
        assert.notInclude(mounts(), root)
      })
  )
})

/** A directory like the engine's, with a program in place of it. */
const standIn = (version: string) => {
  const directory = temporaryDirectory()
  mkdirSync(join(directory, "usr/sbin"), { recursive: true })
  writeFileSync(
    join(directory, "usr/sbin/dockerd"),
    `#!/bin/sh\n[ "$1" = --version ] && echo Docker version ${version} && exit\necho no permission to mount\nexit 3\n`,
    { mode: 0o755 }
  )
  return directory
}

describe("an engine that does not start", () => {
  it.live.each<[string, string, string, string]>([
    ["ends with its log", standIn("20.10.24"), "it exited with 3", "no permission to mount\n"],
    ["is of another version", standIn("26.1.5"), "it is Docker version 26.1.5", ""],
    ["is not there", "/nowhere", "spawn /nowhere/usr/sbin/dockerd ENOENT", ""]
  ])("%s", ([, directory, reason, log]) =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Effect.scoped(start(directory)))
      assert.include(error.reason, reason)
      assert.strictEqual(error.log, log)
    }))
})
