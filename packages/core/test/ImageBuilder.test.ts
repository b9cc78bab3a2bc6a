import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
import type * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Layer from "@effect-oci/core/Layer"
import * as Progress from "@effect-oci/core/Progress"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Fiber from "effect/Fiber"
import * as Layers from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { bytesOf, digestOf, failureOf, textOf, timeOf } from "./values.ts"

const amd64 = { os: "linux", architecture: "amd64" }
const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
const epoch = timeOf("2020-01-01T00:00:00Z")
const settings: ExportImage.Settings = { rules: Compatibility.standard, epoch }

const services = Layers.fresh(MemoryStore.layer).pipe(
  Layers.provideMerge(Layers.merge(NodeHash.layer, NodeCompression.layer))
)
const provided = Effect.provide(services, { local: true })

const layerOf = (name: string) =>
  Layer.store(Stream.make(Tar.file(name, name)).pipe(Stream.pipeThroughChannelOrFail(Tar.encode())))

const textOfBlob = (blob: BlobStore.Blob) => Effect.map(BlobStore.getBytes(blob), textOf)

const manifestOf = (blob: BlobStore.Blob) =>
  Effect.map(BlobStore.getBytes(blob), (bytes) => Result.getOrThrow(ImageManifest.parse(bytes)).value)

const put = (mediaType: string, text: string) =>
  Effect.map(BlobStore.putBytes(bytesOf(text)), (blob) => ({ mediaType, ...blob }))

/** Builds, and gives the text of the config. */
const configOf = <E, R>(builder: ImageBuilder.ImageBuilder<E, R>, other = settings) =>
  ImageBuilder.build(builder, other).pipe(
    Effect.flatMap((built) => manifestOf(built.descriptor)),
    Effect.flatMap(({ config }) => textOfBlob(config))
  )

/** The text of a config's member. */
const memberOf = (config: string, name: string) => Json.member(Result.getOrThrow(Json.parse(bytesOf(config))), name)

/** Stores a base image of layers that are not read, with a config as it is written. */
const storeBase = Effect.fnUntraced(function*(config: (diffIds: string) => string, names: ReadonlyArray<string>) {
  const layers = yield* Effect.forEach(names, (name) => put(MediaType.layerGzip, name))
  const diffIds = JSON.stringify(names.map((name) => digestOf(`tar of ${name}`)))
  const manifest = ImageManifest.encode({
    schemaVersion: 2,
    mediaType: MediaType.imageManifest,
    config: yield* put(MediaType.imageConfig, config(diffIds)),
    layers
  })
  return { descriptor: yield* put(MediaType.imageManifest, textOf(manifest)), layers }
})

const baseConfig = (config: string, rest = "") => (diffIds: string) =>
  `{"architecture":"amd64","os":"linux","config":${config},"rootfs":{"type":"layers","diff_ids":${diffIds}}${rest}}`

type Change = <E, R>(self: ImageBuilder.ImageBuilder<E, R>) => ImageBuilder.ImageBuilder<E, R>

const all = (...changes: ReadonlyArray<Change>): Change => (self) =>
  changes.reduce((builder, change) => change(builder), self)

const { cmd, entrypoint, env, healthcheck, label, port, stopSignal, user, volume, workdir } = ImageBuilder

describe("settings", () => {
  it.effect.each<[base: string, change: Change, config: string]>([
    // Nothing is changed, not even the spelling
    [`{"X":1.0, "Env":["A=1"]}`, all(), `{"X":1.0,"Env":["A=1"]}`],
    [`null`, env({ A: "b" }), `{"Env":["A=b"]}`],
    // Variables keep their places
    [`{"Env":["PATH=/bin","A=1","B=2"]}`, env({ A: "x=y", C: "3" }), `{"Env":["PATH=/bin","A=x=y","B=2","C=3"]}`],
    [`{"Env":["A=1","B=2","A=3","AB"]}`, env({ A: "0" }), `{"Env":["A=0","B=2","AB"]}`],
    [`{}`, env({ A: "<&>" }), `{"Env":["A=\\u003c\\u0026\\u003e"]}`],
    // Labels are a map, of which others keep their spelling
    [
      `{"Labels":{"b":"\\u00e4","a":"old"}}`,
      label({ a: "new", ä: "", B: "x" }),
      `{"Labels":{"B":"x","a":"new","b":"\\u00e4","ä":""}}`
    ],
    [
      `{"Labels":null}`,
      label({ __proto__x: "1", ["__proto__"]: "2" }),
      `{"Labels":{"__proto__":"2","__proto__x":"1"}}`
    ],
    // A new entrypoint takes the base's command away, wherever the command is set itself it stays
    [`{"Entrypoint":["/old"],"Cmd":["a"]}`, entrypoint(["/new", "-x"]), `{"Entrypoint":["/new","-x"]}`],
    [`{"Cmd":["a"]}`, all(cmd(["b"]), entrypoint(["/new"])), `{"Entrypoint":["/new"],"Cmd":["b"]}`],
    [`{"Cmd":["a"]}`, all(entrypoint(["/new"]), cmd(["b"])), `{"Entrypoint":["/new"],"Cmd":["b"]}`],
    [`{"Entrypoint":["/old"],"Cmd":["a"]}`, cmd(["b"]), `{"Entrypoint":["/old"],"Cmd":["b"]}`],
    [`{"Entrypoint":["/old"],"Cmd":["a"]}`, entrypoint([]), `{}`],
    // A relative directory is inside that of before
    [`{"WorkingDir":"/a/b"}`, workdir("../c/./d"), `{"WorkingDir":"/a/c/d"}`],
    [`{"WorkingDir":"/a"}`, workdir("/x//y/"), `{"WorkingDir":"/x/y"}`],
    [`{}`, workdir("../../x"), `{"WorkingDir":"/x"}`],
    [`{}`, all(workdir("a"), workdir("b")), `{"WorkingDir":"/a/b"}`],
    [`{"WorkingDir":"/a"}`, workdir("C:\\app"), `{"WorkingDir":"C:\\\\app"}`],
    // Ports and volumes are sets
    [
      `{"ExposedPorts":{"80/tcp":{}}}`,
      all(port("8080", "53/udp"), port("80/tcp")),
      `{"ExposedPorts":{"53/udp":{},"80/tcp":{},"8080/tcp":{}}}`
    ],
    [`{"Volumes":{"/b":{}}}`, volume("/data", "/a"), `{"Volumes":{"/a":{},"/b":{},"/data":{}}}`],
    [`{"User":"root"}`, user("1000:1000"), `{"User":"1000:1000"}`],
    [`{}`, stopSignal("SIGTERM"), `{"StopSignal":"SIGTERM"}`],
    [
      `{"Healthcheck":{"Test":["NONE"],"Interval":1}}`,
      healthcheck({
        test: "curl -f localhost",
        interval: "90 seconds",
        timeout: "1500 millis",
        startPeriod: 106_751_991_167_300n,
        startInterval: "5 seconds",
        retries: 3
      }),
      `{"Healthcheck":{"Test":["CMD-SHELL","curl -f localhost"],"Interval":90000000000,"Timeout":1500000000,` +
      `"StartPeriod":106751991167300,"StartInterval":5000000000,"Retries":3}}`
    ],
    [`{}`, healthcheck({ test: ["/app", "-h"] }), `{"Healthcheck":{"Test":["CMD","/app","-h"]}}`],
    [`{"Healthcheck":{"Test":["CMD","x"]}}`, healthcheck("NONE"), `{"Healthcheck":{"Test":["NONE"]}}`],
    // All members as Go orders them, and what it does not know behind them, as it stood
    [
      `{"x-b":[1.50,"\\u0041"],"Shell":["sh"],"OnBuild":null,"Cmd":["a"],"x-a":{"b":1,"a":2}}`,
      all(
        healthcheck("NONE"),
        stopSignal("9"),
        label({ l: "1" }),
        workdir("/w"),
        volume("/v"),
        cmd(["c"]),
        env({ E: "1" }),
        port("1"),
        user("u")
      ),
      `{"User":"u","ExposedPorts":{"1/tcp":{}},"Env":["E=1"],"Cmd":["c"],"Volumes":{"/v":{}},"WorkingDir":"/w",` +
      `"Labels":{"l":"1"},"StopSignal":"9","Healthcheck":{"Test":["NONE"]},"OnBuild":null,"Shell":["sh"],` +
      `"x-b":[1.50,"\\u0041"],"x-a":{"b":1,"a":2}}`
    ]
  ])("of %s", ([base, change, config]) =>
    Effect.gen(function*() {
      const { descriptor } = yield* storeBase(baseConfig(base), [])
      assert.strictEqual(memberOf(yield* configOf(change(ImageBuilder.from(descriptor))), "config"), config)
    }).pipe(provided))

  it.effect("begin with a PATH where there is no base", () =>
    Effect.gen(function*() {
      const config = yield* configOf(ImageBuilder.scratch(amd64).pipe(env({ A: "1" }), workdir("app")))
      assert.strictEqual(memberOf(config, "config"), `{"Env":["${path}","A=1"],"WorkingDir":"/app"}`)
    }).pipe(provided))

  const wrong: ReadonlyArray<readonly [Change, string]> = [
    [env({ "": "1" }), `invalid env: expected a name without "=", found ""`],
    [env({ "A=B": "1" }), `invalid env: expected a name without "=", found "A=B"`],
    [label({ "": "1" }), `invalid label: expected a name, found ""`],
    [workdir(""), `invalid workdir: expected a path, found ""`],
    [user("a:b:c"), `invalid user: expected USER or USER:GROUP, such as 1000:1000, found "a:b:c"`],
    ...["0", "65536", "80/http", "80-90", "", "a"].map((text) =>
      [
        port(text),
        `invalid port: expected a number from 1 to 65535, perhaps with /tcp, /udp or /sctp behind it, found "${text}"`
      ] as const
    ),
    [volume("/a", "data"), `invalid volume: expected an absolute path, such as /data, found "data"`],
    ...["SIGTREM", "0", "65", "sigterm", "RTMIN+15"].map((text) =>
      [
        stopSignal(text),
        `invalid stop-signal: expected a signal of Linux, such as SIGTERM or 15, found "${text}"`
      ] as const
    ),
    [healthcheck({ test: [] }), `invalid healthcheck: expected a command, found ""`],
    [
      healthcheck({ test: "x", startPeriod: 0.5 }),
      `invalid health-start-period: expected a duration of at least a millisecond, found "0.5"`
    ],
    [
      healthcheck({ test: "x", interval: "Infinity" }),
      `invalid health-interval: expected a duration of at least a millisecond, found "Infinity"`
    ],
    [
      healthcheck({ test: "x", retries: 0 }),
      `invalid health-retries: expected a whole number from 1, found "0"`
    ]
  ]
  it.effect.each(wrong)("are refused before a layer is made, %#", ([change, message]) =>
    Effect.gen(function*() {
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(Effect.die("a layer was made"), { description: "ADD" }),
        change
      )
      const error = yield* Effect.flip(ImageBuilder.build(builder, settings))
      assert.strictEqual(error._tag, "InvalidSetting")
      assert.strictEqual(error.message, message)
      assert.deepStrictEqual(failureOf(ImageBuilder.check(builder)), error)
    }).pipe(provided))

  it.effect("do not begin to be built where an annotation has no place", () =>
    Effect.gen(function*() {
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(Effect.die("a layer was made"), { description: "ADD" })
      )
      const annotations = [Result.getOrThrow(ExportAnnotations.parse("index:a=b"))]
      const error = yield* Effect.flip(ImageBuilder.build(builder, { ...settings, annotations }))
      assert.strictEqual(error._tag === "ExportFailed" && error.cause._tag, "AnnotationRefused")
    }).pipe(provided))

  it("are found to be right without a build", () => {
    const builder = ImageBuilder.scratch(amd64).pipe(stopSignal("RTMIN+3"), port("65535/sctp"), user("www-data"))
    assert.isTrue(Result.isSuccess(ImageBuilder.check(builder)))
  })
})

describe("history", () => {
  const steps = all(
    env({ A: "b", C: "d e" }),
    label({ "org.example.name": "it's" }),
    workdir("app"),
    entrypoint(["/app", "a b"]),
    cmd([]),
    user("1:2"),
    port("80", "53/udp"),
    volume("/a b"),
    healthcheck({ test: "curl x", interval: "90 minutes", timeout: "1500 millis", retries: 2 }),
    healthcheck({ test: ["/h"] }),
    healthcheck("NONE"),
    stopSignal("SIGINT")
  )

  it.effect("has a line for each step, with one time", () =>
    Effect.gen(function*() {
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(layerOf("one"), { description: "ADD one /" }),
        steps,
        ImageBuilder.add(layerOf("two"), { description: "ADD two /" })
      )
      yield* TestClock.adjust("1 day")
      const { created, history, rootfs } = JSON.parse(yield* configOf(builder, { rules: settings.rules }))
      assert.strictEqual(created, "1970-01-02T00:00:00Z")
      assert.strictEqual(rootfs.diff_ids.length, 2)
      const lines = [
        `ENV A=b C="d e"`,
        `LABEL org.example.name="it's"`,
        `WORKDIR /app`,
        `ENTRYPOINT ["/app","a b"]`,
        `CMD []`,
        `USER 1:2`,
        `EXPOSE 80/tcp 53/udp`,
        `VOLUME ["/a b"]`,
        `HEALTHCHECK --interval=1h30m --timeout=1.5s --retries=2 CMD curl x`,
        `HEALTHCHECK CMD ["/h"]`,
        `HEALTHCHECK NONE`,
        `STOPSIGNAL SIGINT`
      ]
      assert.deepStrictEqual(history, [
        { created, created_by: "ADD one /" },
        ...lines.map((created_by) => ({ created, created_by, empty_layer: true })),
        { created, created_by: "ADD two /" }
      ])
    }).pipe(provided))

  it.effect.each([Compatibility.moby2019, Compatibility.buildkit2026, Compatibility.effectOci1])(
    "of a base is not stamped anew by an epoch, under $name",
    (rules) =>
      Effect.gen(function*() {
        const history = [
          { created: "2021-05-06T07:08:09.123456789Z", created_by: "ADD base" },
          { created: "2024-01-01T00:00:00Z", created_by: "ENV A=1", empty_layer: true }
        ]
        const { descriptor } = yield* storeBase(
          baseConfig("{}", `,"created":"2024-01-01T00:00:00Z","history":${JSON.stringify(history)}`),
          ["base"]
        )
        const builder = ImageBuilder.from(descriptor).pipe(
          ImageBuilder.add(layerOf("app"), { description: "ADD app /" }),
          user("1")
        )
        const config = JSON.parse(yield* configOf(builder, { rules, epoch }))
        const created = "2020-01-01T00:00:00Z"
        assert.strictEqual(config.created, created)
        assert.deepStrictEqual(config.history, [
          ...history,
          { created, created_by: "ADD app /" },
          { created, created_by: "USER 1", empty_layer: true }
        ])
      }).pipe(provided)
  )

  it.effect("of a base that does not fit its layers is made to fit by itself", () =>
    Effect.gen(function*() {
      const time = "2024-01-01T00:00:00Z"
      const build = Effect.fnUntraced(function*(base: string, layers: ReadonlyArray<string>) {
        const { descriptor } = yield* storeBase(baseConfig("{}", `,"created":"${time}"${base}`), layers)
        const builder = ImageBuilder.from(descriptor).pipe(
          ImageBuilder.add(layerOf("app"), { description: "ADD app /" })
        )
        const built = yield* ImageBuilder.build(builder, settings)
        const { config } = yield* manifestOf(built.descriptor)
        return { digest: descriptor.digest, built, history: JSON.parse(yield* textOfBlob(config)).history }
      })
      const own = { created: "2020-01-01T00:00:00Z", created_by: "ADD app /" }

      const missing = yield* build("", ["one", "two"])
      const padded = { created: time, created_by: `FROM ${missing.digest}`, comment: "buildkit.exporter.image.v0" }
      assert.deepStrictEqual(missing.history, [padded, padded, own])
      assert.deepStrictEqual(
        missing.built.layers.map(({ base, description }) => [base, description]),
        [[true, padded.created_by], [true, padded.created_by], [false, "ADD app /"]]
      )

      const surplus = yield* build(`,"history":[{"created_by":"a"},{"created_by":"b","created":"${time}"}]`, ["one"])
      assert.deepStrictEqual(surplus.history, [
        { created: time, created_by: "a" },
        { created: time, created_by: "b", empty_layer: true },
        own
      ])
      assert.strictEqual(surplus.built.warnings.length, 1)
    }).pipe(provided))

  it.effect("of a base that does not fit its layers is refused by the policy strict", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* storeBase(baseConfig("{}"), ["one"])
      const error = yield* Effect.flip(
        ImageBuilder.build(ImageBuilder.from(descriptor), { ...settings, repair: "strict" })
      )
      assert.strictEqual(error._tag === "BaseFailed" && error.cause._tag, "HistoryMismatch")
    }).pipe(provided))
})

describe("from", () => {
  it.effect("keeps the layers, and what it does not know of the config, byte for byte", () =>
    Effect.gen(function*() {
      const own = `"x-vendor":{"pi":3.140,"b":1,"a":[1e3,"\\u0041"]}`
      const { descriptor, layers } = yield* storeBase(
        baseConfig(
          "{\"X-Own\":{\"b\":1.0,\"a\":\"\\/\"},\"Cmd\":[\"a\"]}",
          `,${own},"variant":"v2","author":"\\u00e4"`
        ),
        ["one", "two"]
      )
      const builder = ImageBuilder.from(descriptor).pipe(
        ImageBuilder.add(layerOf("app"), { description: "ADD app /" }),
        user("1")
      )
      const built = yield* ImageBuilder.build(builder, settings)
      const manifest = yield* manifestOf(built.descriptor)
      assert.deepStrictEqual(manifest.layers.slice(0, 2), layers)
      assert.strictEqual(manifest.layers[2]?.digest, built.layers[2]?.descriptor.digest)
      assert.deepStrictEqual(built.descriptor.platform, { ...amd64, variant: "v2" })
      const config = yield* textOfBlob(manifest.config)
      assert.include(config, own)
      assert.include(config, `"author":"\\u00e4"`)
      assert.strictEqual(memberOf(config, "config"), `{"User":"1","Cmd":["a"],"X-Own":{"b":1.0,"a":"\\/"}}`)
    }).pipe(provided))

  it.effect("keeps the time of an image that nothing is done to", () =>
    Effect.gen(function*() {
      const { descriptor } = yield* storeBase(baseConfig("{\"X\":1.0}", `,"created":"2019-01-01T00:00:00+02:00"`), [])
      const config = yield* configOf(ImageBuilder.from(descriptor))
      assert.strictEqual(memberOf(config, "created"), `"2019-01-01T00:00:00+02:00"`)
      assert.strictEqual(memberOf(config, "config"), `{"X":1.0}`)
    }).pipe(provided))

  it.effect("copies the layers of a base in another store", () =>
    Effect.gen(function*() {
      const other = yield* Effect.provide(
        Effect.gen(function*() {
          return { base: yield* storeBase(baseConfig("{}"), ["one"]), store: yield* BlobStore.BlobStore }
        }),
        services,
        { local: true }
      )
      const [layer] = other.base.layers
      assert.isDefined(layer)
      const store = yield* BlobStore.BlobStore
      assert.isFalse(yield* store.has(layer))
      yield* ImageBuilder.build(ImageBuilder.from(other.base.descriptor, { store: other.store }), settings)
      assert.strictEqual(yield* textOfBlob(layer), "one")
    }).pipe(provided))

  const index = Effect.fnUntraced(function*(platforms: ReadonlyArray<readonly [string, string?]>) {
    const manifests = yield* Effect.forEach(
      platforms,
      Effect.fnUntraced(function*([architecture, variant]) {
        const platform = { os: architecture === "unknown" ? "unknown" : "linux", architecture, variant }
        const { descriptor } = yield* storeBase(
          (diffIds) => JSON.stringify({ ...platform, rootfs: { type: "layers", diff_ids: JSON.parse(diffIds) } }),
          []
        )
        return { ...descriptor, platform }
      })
    )
    return yield* put(
      MediaType.imageIndex,
      JSON.stringify({ schemaVersion: 2, mediaType: MediaType.imageIndex, manifests })
    )
  })

  const choices: ReadonlyArray<
    readonly [platforms: ReadonlyArray<readonly [string, string?]>, wanted: string | undefined, string]
  > = [
    [[["amd64"], ["arm64", "v8"]], "arm64", "arm64"],
    [[["arm", "v6"], ["arm", "v7"]], "arm", "arm/v7"],
    [[["amd64"], ["unknown"]], undefined, "amd64"],
    [[["amd64"], ["arm64"]], undefined, "is for several platforms: name one of linux/amd64, linux/arm64"],
    [[["amd64"], ["arm64"]], "s390x", "is not for linux/s390x: it is for linux/amd64, linux/arm64"],
    // It would run, but it is not what was asked for
    [[["386"]], "amd64", "is not for linux/amd64: it is for linux/386"],
    [[["unknown"]], undefined, "has no image of any platform"]
  ]
  it.effect.each(choices)(
    "takes the image of a platform from an index: %j %s",
    ([platforms, architecture, expected]) =>
      Effect.gen(function*() {
        const platform = architecture === undefined ? {} : { platform: { os: "linux", architecture } }
        const builder = ImageBuilder.from(yield* index(platforms), platform)
        const result = yield* Effect.result(ImageBuilder.build(builder, settings))
        if (Result.isSuccess(result)) {
          const { architecture = "", variant } = result.success.descriptor.platform ?? {}
          assert.strictEqual(variant === undefined ? architecture : `${architecture}/${variant}`, expected)
        } else {
          assert.strictEqual(result.failure._tag, "BaseFailed")
          if (result.failure._tag === "BaseFailed") assert.isTrue(result.failure.cause.message.endsWith(expected))
        }
      }).pipe(provided)
  )

  it.effect("tells what cannot be built upon", () =>
    Effect.gen(function*() {
      const causeOf = (descriptor: Descriptor.Descriptor, options: ImageBuilder.BaseOptions = {}) =>
        ImageBuilder.build(ImageBuilder.from(descriptor, options), settings).pipe(
          Effect.flip,
          Effect.map((error) => error._tag === "BaseFailed" ? error.cause.message : error.message)
        )
      const { descriptor } = yield* storeBase(baseConfig("{}"), [])
      assert.strictEqual(
        yield* causeOf(descriptor, { platform: { os: "linux", architecture: "arm64" } }),
        `the image ${descriptor.digest} is not for linux/arm64: it is for linux/amd64`
      )
      const nowhere = yield* storeBase(() => `{"os":"linux"}`, [])
      assert.strictEqual(yield* causeOf(nowhere.descriptor), "invalid image config for export: missing architecture")
      const torn = yield* storeBase(() => `{"os":"linux","architecture":"amd64"}`, ["one"])
      assert.include(yield* causeOf(torn.descriptor), "its manifest has 1 layers and its config 0 diff IDs")
      const odd = yield* storeBase(() => `{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["x"]}}`, ["one"])
      assert.include(yield* causeOf(odd.descriptor), "\"x\"")
      assert.include(yield* causeOf({ ...descriptor, mediaType: "text/plain" }), "found \"text/plain\"")
      assert.include(yield* causeOf({ ...descriptor, digest: digestOf("?") }), "cannot read sha256:")
    }).pipe(provided))
})

describe("build", () => {
  it.effect("gives one digest for the same steps, and another for others", () =>
    Effect.gen(function*() {
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(layerOf("one"), { description: "ADD one /" }),
        env({ A: "b" })
      )
      const digestOfBuild = <E, R>(builder: ImageBuilder.ImageBuilder<E, R>) =>
        Effect.map(ImageBuilder.build(builder, settings), ({ descriptor }) => descriptor.digest)
      const digest = yield* digestOfBuild(builder)
      yield* TestClock.adjust("1 day")
      assert.strictEqual(yield* digestOfBuild(builder), digest)
      assert.notStrictEqual(yield* digestOfBuild(builder.pipe(user("1"))), digest)
      // The value has not changed
      assert.strictEqual(builder.steps.length, 2)
    }).pipe(provided))

  it.effect("reports each layer under its description, one after the other", () =>
    Effect.gen(function*() {
      const told: Array<string> = []
      const report = ({ completed, error, id }: Progress.Status) =>
        Effect.sync(() =>
          void told.push(`${id}${completed === undefined ? " …" : error === undefined ? "" : ` ${error}`}`)
        )
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(layerOf("one"), { description: "ADD one /" }),
        ImageBuilder.add(Effect.fail("no"), { description: "ADD two /" }),
        ImageBuilder.add(Effect.die("a layer was made"), { description: "ADD three /" })
      )
      const error = yield* ImageBuilder.build(builder, settings).pipe(
        Effect.flip,
        Effect.provideService(Progress.Progress, { report })
      )
      assert.strictEqual(error, "no")
      assert.deepStrictEqual(told, ["ADD one / …", "ADD one /", "ADD two / …", "ADD two / no"])
    }).pipe(provided))

  it.effect("tells a layer that is not in the store by its description", () =>
    Effect.gen(function*() {
      const layer = {
        descriptor: { mediaType: MediaType.layer, digest: digestOf("?"), size: 1 },
        diffId: digestOf("?")
      }
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(Effect.succeed(layer), { description: "ADD one /" })
      )
      const error = yield* Effect.flip(ImageBuilder.build(builder, settings))
      assert.strictEqual(error.message, "failed to export the image")
      assert.strictEqual(
        error._tag === "ExportFailed" && error.cause.message,
        `failed to export the layer of the ref "layer 1: ADD one /"`
      )
    }).pipe(provided))

  it.effect("names nothing when a layer fails, and lets go when it is interrupted", () =>
    Effect.gen(function*() {
      const released: Array<string> = []
      const reached = yield* Deferred.make<void>()
      const held = Effect.acquireRelease(Deferred.succeed(reached, undefined), () =>
        Effect.sync(() => void released.push("layer"))).pipe(
          Effect.andThen(Effect.never),
          Effect.scoped
        )
      const buildAndTag = <E, R>(builder: ImageBuilder.ImageBuilder<E, R>) =>
        Effect.tap(ImageBuilder.build(builder, settings), ({ descriptor }) =>
          ImageStore.ImageStore.use((images) =>
            images.tag(Option.some("app"), descriptor)
          ))
      const builder = ImageBuilder.scratch(amd64).pipe(
        ImageBuilder.add(layerOf("one"), { description: "ADD one /" })
      )
      yield* Effect.flip(buildAndTag(builder.pipe(ImageBuilder.add(Effect.fail("no"), { description: "ADD two /" }))))
      const fiber = yield* Effect.forkChild(
        buildAndTag(builder.pipe(ImageBuilder.add(held, { description: "ADD three /" })))
      )
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(released, ["layer"])
      const images = yield* ImageStore.ImageStore
      assert.deepStrictEqual(yield* images.list, [])
      yield* buildAndTag(builder)
      assert.strictEqual((yield* images.list).length, 1)
    }).pipe(provided))
})
