/**
 * `effect-oci build`
 *
 * @since 0.1.0
 */
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as Epoch from "@effect-oci/core/Epoch"
import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Progress from "@effect-oci/core/Progress"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as AddFiles from "../AddFiles.ts"
import * as BuildFlags from "../BuildFlags.ts"
import * as Cache from "../Cache.ts"
import * as ExportNotes from "../ExportNotes.ts"
import * as Flags from "../Flags.ts"
import * as HostPlatform from "../HostPlatform.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Input from "../Input.ts"
import * as Output from "../Output.ts"
import * as ProgressView from "../ProgressView.ts"
import * as Table from "../Table.ts"
import * as Transport from "../Transport.ts"

type Change = <E, R>(builder: ImageBuilder.ImageBuilder<E, R>) => ImageBuilder.ImageBuilder<E, R>

interface Options {
  readonly from: Option.Option<ImageArgument.ImageArgument>
  readonly add: ReadonlyArray<FileTree.Addition>
  readonly env: ReadonlyArray<readonly [name: string, value: string]>
  readonly label: ReadonlyArray<readonly [name: string, value: string]>
  readonly workdir: Option.Option<string>
  readonly user: Option.Option<string>
  readonly port: ReadonlyArray<string>
  readonly volume: ReadonlyArray<string>
  readonly entrypoint: Option.Option<ReadonlyArray<string>>
  readonly cmd: Option.Option<ReadonlyArray<string>>
  readonly healthCmd: Option.Option<string | ReadonlyArray<string>>
  readonly healthInterval: Option.Option<bigint>
  readonly healthTimeout: Option.Option<bigint>
  readonly healthStartPeriod: Option.Option<bigint>
  readonly healthRetries: Option.Option<number>
  readonly noHealthcheck: boolean
  readonly stopSignal: Option.Option<string>
  readonly platform: Option.Option<Platform.Platform>
  readonly epoch: Option.Option<string>
  readonly compression: BuildFlags.Compressed
  readonly owner: Option.Option<FileTree.Owner>
  readonly keepTimes: boolean
  readonly ignoreFile: Option.Option<string>
  readonly noCache: boolean
  readonly to: ImageArgument.ImageArgument
  readonly annotation: ReadonlyArray<ExportAnnotations.ExportAnnotation>
  readonly compatibility: Compatibility.Compatibility
  readonly format: "oci" | "docker"
  readonly json: boolean
}

const given = <A>(value: Option.Option<A>, step: (value: A) => Change): ReadonlyArray<Change> =>
  Option.isSome(value) ? [step(value.value)] : []

const some = <A>(values: ReadonlyArray<A>, step: (values: ReadonlyArray<A>) => Change): ReadonlyArray<Change> =>
  values.length === 0 ? [] : [step(values)]

const healthcheckOf = (options: Options): ReadonlyArray<Change> =>
  options.noHealthcheck ? [ImageBuilder.healthcheck("NONE")] : given(options.healthCmd, (test) => {
    const { healthInterval, healthRetries, healthStartPeriod, healthTimeout } = options
    return ImageBuilder.healthcheck({
      test,
      ...(Option.isSome(healthInterval) ? { interval: healthInterval.value } : {}),
      ...(Option.isSome(healthTimeout) ? { timeout: healthTimeout.value } : {}),
      ...(Option.isSome(healthStartPeriod) ? { startPeriod: healthStartPeriod.value } : {}),
      ...(Option.isSome(healthRetries) ? { retries: healthRetries.value } : {})
    })
  })

/** The settings, in an order of ours: flags say nothing of theirs. */
const settingsOf = (options: Options): ReadonlyArray<Change> => [
  ...some(options.env, (pairs) => ImageBuilder.env(Object.fromEntries(pairs))),
  ...some(options.label, (pairs) => ImageBuilder.label(Object.fromEntries(pairs))),
  ...given(options.workdir, ImageBuilder.workdir),
  ...given(options.user, ImageBuilder.user),
  ...some(options.port, (ports) => ImageBuilder.port(...ports)),
  ...some(options.volume, (paths) => ImageBuilder.volume(...paths)),
  ...given(options.entrypoint, ImageBuilder.entrypoint),
  ...given(options.cmd, ImageBuilder.cmd),
  ...healthcheckOf(options),
  ...given(options.stopSignal, ImageBuilder.stopSignal)
]

const usage = (message: string) => Effect.fail(new CliError.ValidationError({ message }))

/** What flags say of each other. */
const validate = (options: Options) => {
  const { healthInterval, healthRetries, healthStartPeriod, healthTimeout } = options
  const isTuned = [healthInterval, healthTimeout, healthStartPeriod, healthRetries].some((flag) =>
    Option.isSome<bigint | number>(flag)
  )
  if (options.noHealthcheck && (isTuned || Option.isSome(options.healthCmd))) {
    return usage("--no-healthcheck turns the health check off: leave the --health- flags out")
  }
  if (isTuned && Option.isNone(options.healthCmd)) {
    return usage("--health-cmd is missing: the other --health- flags are about it")
  }
  return Option.isNone(options.from) && options.add.length === 0 && settingsOf(options).length === 0
    ? usage("nothing to build: give --add SRC:DEST, or --from IMAGE")
    : Effect.void
}

/** What the image starts from. The base's store stays open, since its layers are copied when the image is written. */
const start = Effect.fnUntraced(function*({ from, platform }: Options) {
  const wanted = Option.getOrUndefined(platform)
  if (Option.isNone(from)) return ImageBuilder.scratch(wanted ?? HostPlatform.get())
  const base = yield* Layer.build(Transport.layer(from.value))
  const image = yield* Effect.provide(Transport.resolve(from.value), base)
  // A manifest says itself what it is for, and of an index one has to be chosen
  const chosen = wanted ?? (MediaType.isIndex(image.mediaType) ? HostPlatform.get() : undefined)
  return ImageBuilder.from(image, {
    store: Context.get(base, BlobStore.BlobStore),
    ...(chosen === undefined ? {} : { platform: chosen })
  })
})

const describe = ({ destination, source }: FileTree.Addition): string => `ADD ${source} ${destination}`

const readIgnored = Effect.fnUntraced(function*(file: string) {
  const text = new TextDecoder().decode(yield* Input.read(file, "ignore file"))
  return yield* Effect.fromResult(IgnoreRules.parse(text, Input.isStdin(file) ? "stdin" : file))
})

/** A layer of the image, and where it came from. */
interface Listed extends ImageBuilder.BuiltLayer {
  readonly fromCache: boolean
}

const compressionOf = (mediaType: string): string => Option.getOrElse(MediaType.compression(mediaType), () => mediaType)

const sourceOf = ({ base, fromCache }: Listed): string => base ? "from the base" : fromCache ? "from the cache" : "made"

const build = Effect.fnUntraced(function*(options: Options) {
  yield* Effect.forEach(options.add, AddFiles.check, { discard: true })
  const ignore = yield* Effect.transposeOption(Option.map(options.ignoreFile, readIgnored))
  const found = yield* Epoch.resolve(Option.isSome(options.epoch) ? { explicit: options.epoch.value } : {})
  const epoch = Option.isSome(found) ? { epoch: found.value } : {}
  if (Option.isNone(found)) {
    yield* Effect.logWarning(
      "the clock gives the time of creation, so the digest of the image depends on it:\n" +
        "pass --epoch, or set SOURCE_DATE_EPOCH, for a digest that can be had again"
    )
  }
  const files = {
    ...options.compression,
    ...epoch,
    keepTimes: options.keepTimes,
    ...(Option.isSome(options.owner) ? { owner: options.owner.value } : {}),
    ...(Option.isSome(ignore) ? { ignore: ignore.value } : {})
  }
  /** Of the new layers, in order, whether they came from the cache. */
  const cached: Array<boolean> = []
  const layers = options.add.map((addition) => {
    const description = describe(addition)
    const layer = Effect.tap(
      Progress.counted(
        description,
        (onRead) => FileTree.add(addition, { ...files, onRead }),
        { isCached: (layer) => layer.fromCache }
      ),
      ({ fromCache }) => Effect.sync(() => void cached.push(fromCache))
    )
    return ImageBuilder.add(layer, { description })
  })
  const withLayers = layers.reduce<ImageBuilder.ImageBuilder<AddError, AddContext>>(
    (builder, add) => add(builder),
    yield* start(options)
  )
  const builder = settingsOf(options).reduce((builder, change) => change(builder), withLayers)
  const built = yield* ImageStore.publish(
    options.to.tag,
    ImageBuilder.build(builder, {
      rules: options.compatibility,
      mediaTypes: options.format,
      annotations: options.annotation,
      compareWith: Compatibility.effectOci1,
      ...epoch
    })
  )
  const inherited = built.layers.length - cached.length
  const listed = built.layers.map(({ base, description, descriptor, diffId }, index): Listed => ({
    descriptor,
    diffId,
    description,
    base,
    fromCache: cached[index - inherited] ?? false
  }))
  return { ...built, layers: listed }
})

type AddLayer = ReturnType<typeof FileTree.add>
type AddError = Effect.Error<AddLayer>
type AddContext = Effect.Services<AddLayer>

const run = Effect.fnUntraced(function*(options: Options) {
  const built = yield* ProgressView.show(Effect.scoped(build(options)))
  yield* ExportNotes.tell(built)
  const { changes, configs, descriptor, differingRules, layers, warnings } = built
  const image = ImageArgument.format(options.to)
  const config = configs[0]
  if (options.json) {
    return yield* Output.json({ image, descriptor, config, layers, warnings, changes, differingRules })
  }
  yield* Output.line(Table.format([
    ["image", image],
    ["digest", descriptor.digest],
    ["platform", Platform.format(descriptor.platform ?? HostPlatform.get())],
    ["config", config?.digest ?? ""],
    ...layers.map((layer) => [
      "layer",
      layer.descriptor.digest,
      Table.size(layer.descriptor.size),
      compressionOf(layer.descriptor.mediaType),
      sourceOf(layer),
      layer.description
    ])
  ], [2]))
})

const parsed = <A>(
  name: string,
  metavar: string,
  description: string,
  parse: (text: string) => Result.Result<A, { readonly message: string }>
) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    Flag.mapEffect(Flags.parsing(`--${name}`, parse))
  )

/** A setting that stays as it is written, if it means something. */
const setting = (name: string, metavar: string, description: string, step: (text: string) => Change) =>
  parsed(name, metavar, description, (text) => BuildFlags.tried(text, step(text)))

const pairs = (
  name: string,
  description: string,
  step: (values: Readonly<Record<string, string>>) => Change
) =>
  parsed(
    name,
    "NAME=VALUE",
    description,
    (text) => Result.flatMap(BuildFlags.pair(text), (pair) => BuildFlags.tried(pair, step({ [pair[0]]: pair[1] })))
  ).pipe(Flag.atLeast(0))

const duration = (name: string, description: string) =>
  parsed(name, "DURATION", description, BuildFlags.duration).pipe(Flag.optional)

const toggle = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withoutNegation, Flag.withDescription(description), Flag.withDefault(false))

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "build",
  {
    from: parsed(
      "from",
      "IMAGE",
      `The base image: ${ImageArgument.syntax} (default: none, the image starts from nothing)`,
      ImageArgument.parse
    ).pipe(Flag.optional),
    add: parsed(
      "add",
      "SRC:DEST",
      "Files to add, as a layer of their own: a directory's content lands in DEST, a file becomes DEST, or DEST/name " +
        "where DEST ends in /. The last colon separates. Repeatable, in order",
      BuildFlags.addition
    ).pipe(Flag.atLeast(0)),
    env: pairs("env", "A variable of the environment, in the place of the base's. Repeatable", ImageBuilder.env),
    label: pairs("label", "A label. Repeatable", ImageBuilder.label),
    workdir: setting(
      "workdir",
      "DIR",
      "The working directory; a relative one is inside the base's",
      ImageBuilder.workdir
    )
      .pipe(Flag.optional),
    user: setting("user", "USER[:GROUP]", "Who the program runs as, by name or number", ImageBuilder.user).pipe(
      Flag.optional
    ),
    port: setting("port", "PORT[/tcp|udp|sctp]", "A port that the program listens on. Repeatable", ImageBuilder.port)
      .pipe(
        Flag.atLeast(0)
      ),
    volume: setting(
      "volume",
      "DIR",
      "A directory whose content outlives the container. Repeatable",
      ImageBuilder.volume
    ).pipe(Flag.atLeast(0)),
    entrypoint: parsed(
      "entrypoint",
      "WORDS",
      "The program: one word, or a JSON array of strings; [] for none. It takes the base's command away",
      BuildFlags.words
    ).pipe(Flag.optional),
    cmd: parsed(
      "cmd",
      "WORDS",
      "The program's arguments, or the program where there is no entrypoint: one word, or a JSON array of strings",
      BuildFlags.words
    ).pipe(Flag.optional),
    healthCmd: parsed(
      "health-cmd",
      "COMMAND",
      "The health check: a line for the image's shell, or a JSON array of strings, which needs none",
      BuildFlags.healthCommand
    ).pipe(Flag.optional),
    healthInterval: duration("health-interval", "Time between two checks, such as 30s or 1m30s"),
    healthTimeout: duration("health-timeout", "Time after which a check has failed"),
    healthStartPeriod: duration("health-start-period", "Time in which a failure does not count yet"),
    healthRetries: Flag.Int("health-retries").pipe(
      Flag.withMetavar("COUNT"),
      Flag.withDescription("Failures in a row that make a container unhealthy"),
      Flag.filter((count) => count >= 1, () => "a whole number from 1"),
      Flag.optional
    ),
    noHealthcheck: toggle("no-healthcheck", "Turn the base's health check off"),
    stopSignal: setting(
      "stop-signal",
      "SIGNAL",
      "The signal that asks the program to end, such as SIGTERM",
      ImageBuilder.stopSignal
    ).pipe(Flag.optional),
    platform: parsed(
      "platform",
      "OS/ARCH[/VARIANT]",
      "What the image runs on (default: what the base says, else this machine's, or Linux on a Mac)",
      Platform.parse
    ).pipe(Flag.optional),
    epoch: Flag.String("epoch").pipe(
      Flag.withMetavar("SECONDS"),
      Flag.withDescription(
        "The time of creation, in seconds since 1970, which no time in the image is later than, the base's apart; empty " +
          "for none (default: $SOURCE_DATE_EPOCH)"
      ),
      Flag.optional
    ),
    compression: parsed(
      "compression",
      "FORMAT[:LEVEL]",
      "How new layers are compressed: uncompressed, gzip[:0-9] or zstd[:1-22] (default: gzip)",
      BuildFlags.compression
    ).pipe(Flag.withDefault({ compression: "gzip" })),
    owner: parsed("owner", "UID[:GID]", "Who added files belong to (default: 0:0)", BuildFlags.owner).pipe(
      Flag.optional
    ),
    keepTimes: toggle(
      "keep-times",
      "Keep the times of added files (default: 1970-01-01T00:00:01Z, or with an epoch the file's own, if it is not later)"
    ),
    ignoreFile: Flag.String("ignore-file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("What not to add, as .dockerignore has it; - is stdin"),
      Flag.optional
    ),
    noCache: toggle("no-cache", "Make all layers anew"),
    to: parsed(
      "to",
      "IMAGE",
      `Where to: ${ImageArgument.syntax}. Without a tag it is the unnamed image`,
      ImageArgument.parseTarget
    ),
    annotation: parsed(
      "annotation",
      "[LEVEL:]KEY=VALUE",
      "An annotation; LEVEL is manifest (default) or manifest-descriptor. Repeatable",
      ExportAnnotations.parse
    ).pipe(Flag.atLeast(0)),
    compatibility: Flags.compatibility,
    format: Flag.Literals("format", ["oci", "docker"]).pipe(
      Flag.withDescription("Whose media types are written (default: oci)"),
      Flag.withDefault("oci")
    ),
    json: Flags.json
  },
  (options) =>
    Effect.provide(
      run(options),
      Layer.mergeAll(Transport.layer(options.to), Cache.layer(options), NodeHash.layer, NodeCompression.layer)
    )
).pipe(
  Command.validate(validate),
  Command.withDescription(
    "Build an image from nothing, or upon another one: a layer for each --add, then the settings, as a Dockerfile's " +
      "instructions have them. With an epoch, the same files make the same digest."
  ),
  Command.withShortDescription("Build an image from files"),
  Command.withExamples([
    {
      command: "effect-oci build --add ./hello:/hello --entrypoint /hello --to oci:out:latest",
      description: "From nothing: a static program, and nothing else"
    },
    {
      command: "effect-oci build --from oci:node:24 --add dist:/app --workdir /app --cmd '[\"node\",\"server.js\"]' " +
        "--to oci:out:latest",
      description: "Upon an image of Node"
    },
    {
      command: "effect-oci build --from oci:node:24 --add node_modules:/app/node_modules --add dist:/app --user 1000 " +
        "--port 8080 --to oci:out:latest",
      description: "What changes often in a layer of its own"
    },
    {
      command: "effect-oci build --from oci:out:latest --env LOG=debug --to oci:out:debug",
      description: "Other settings, the same layers"
    },
    {
      command: "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) effect-oci build --add dist:/app --compression zstd:9 " +
        "--to oci:out:latest --json | jq -r .descriptor.digest",
      description: "With the time of the last commit, for a digest that can be had again"
    }
  ])
)
