/**
 * Images built step by step: from nothing or upon another image, a layer or a setting at a time, as a Dockerfile does it.
 *
 * A builder is a value. Nothing is read or written before it is built, and it can be built any number of times.
 *
 * Follows the Dockerfile reference and, for what an instruction does to the config, BuildKit's
 * `frontend/dockerfile/dockerfile2llb/convert.go`; the members are those of Docker's image-spec.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as History from "@effect-oci/schema/History"
import * as Json from "@effect-oci/schema/Json"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as BaseImage from "./BaseImage.ts"
import * as BlobStore from "./BlobStore.ts"
import * as CacheRef from "./CacheRef.ts"
import * as ExportAnnotations from "./ExportAnnotations.ts"
import * as ExportImage from "./ExportImage.ts"
import * as HistoryRepair from "./HistoryRepair.ts"
import * as Config from "./internal/containerConfig.ts"
import type * as Layer from "./Layer.ts"
import * as LayerHistory from "./LayerHistory.ts"
import * as Progress from "./Progress.ts"
import * as RefMetadata from "./RefMetadata.ts"

/**
 * Error raised where a setting has a value that means nothing.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSetting extends Schema.TaggedError<InvalidSetting>("@effect-oci/core/InvalidSetting")(
  "InvalidSetting",
  { setting: Schema.String, expected: Schema.String, found: Schema.String }
) {
  override get message(): string {
    return `invalid ${this.setting}: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised where an image cannot be built upon the base that is given.
 *
 * @category errors
 * @since 0.1.0
 */
export class BaseFailed extends Schema.TaggedError<BaseFailed>("@effect-oci/core/BaseFailed")("BaseFailed", {
  cause: Schema.Union([
    ...BaseImage.BaseImageError.members,
    HistoryRepair.HistoryMismatch,
    LayerHistory.ShortChain
  ])
}) {
  override get message(): string {
    return "failed to read the base image"
  }
}

type Base =
  | { readonly _tag: "Scratch"; readonly platform: Platform.Platform }
  | ({ readonly _tag: "Image"; readonly descriptor: Descriptor.Descriptor } & BaseOptions)

interface LayerStep<E, R> {
  readonly _tag: "Layer"
  readonly description: string
  readonly layer: Effect.Effect<Layer.Stored, E, R>
}

/** A change of the settings, and the instruction of a Dockerfile that would make it. */
interface Changed {
  readonly draft: Config.Draft
  readonly instruction: string
}

interface SettingStep {
  readonly _tag: "Setting"
  readonly change: (draft: Config.Draft) => Result.Result<Changed, InvalidSetting>
}

/**
 * An image to be built: what it starts from, and the steps that make it, in order. `E` and `R` are what its layers fail
 * with and need.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImageBuilder<out E = never, out R = never> extends Pipeable.Pipeable {
  readonly base: Base
  readonly steps: ReadonlyArray<LayerStep<E, R> | SettingStep>
}

const make = <E, R>(base: Base, steps: ImageBuilder<E, R>["steps"]): ImageBuilder<E, R> => ({
  ...Pipeable.Prototype,
  base,
  steps
})

/**
 * Starts from nothing. The image gets a `PATH` and the working directory `/`, as every image of BuildKit's does.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scratch = (platform: Platform.Platform): ImageBuilder => make({ _tag: "Scratch", platform }, [])

/**
 * Where and what a base image is.
 *
 * @category options
 * @since 0.1.0
 */
export interface BaseOptions {
  /** The platform to take from an index, or that the image has to be for. */
  readonly platform?: Platform.Platform
  /** The store that the image is in, unless it is the one that the new image goes to. */
  readonly store?: BlobStore.BlobStore["Service"]
}

/**
 * Starts from an image: the descriptor of its manifest, or of an index and a platform.
 *
 * **Details**
 *
 * Its layers, its history and every member of its config stay as they are, also those that nobody here knows. A history
 * that does not fit its layers is made to fit by itself, as the rules of the build say, so that nothing new is taken for
 * the base's.
 *
 * @category constructors
 * @since 0.1.0
 */
export const from = (image: Descriptor.Descriptor, options: BaseOptions = {}): ImageBuilder =>
  make({ _tag: "Image", descriptor: image, ...options }, [])

/**
 * Adds a layer: an effect that stores one when the image is built. `description` is its line in the history, such as
 * `ADD dist /app`, and the name of its progress.
 *
 * **Example** (Adding a layer of a tar archive)
 *
 * ```ts
 * import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
 * import * as Layer from "@effect-oci/core/Layer"
 * import type * as Stream from "effect/Stream"
 *
 * const withApp = (tar: Stream.Stream<Uint8Array>) =>
 *   ImageBuilder.scratch({ os: "linux", architecture: "amd64" }).pipe(
 *     ImageBuilder.add(Layer.store(tar, { compression: "zstd" }), { description: "ADD app.tar /" }),
 *     ImageBuilder.entrypoint(["/app"])
 *   )
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const add = <E2, R2>(
  layer: Effect.Effect<Layer.Stored, E2, R2>,
  options: { readonly description: string }
) =>
<E, R>(self: ImageBuilder<E, R>): ImageBuilder<E | E2, R | R2> =>
  make<E | E2, R | R2>(self.base, [...self.steps, { _tag: "Layer", description: options.description, layer }])

const setting = (change: SettingStep["change"]) => <E, R>(self: ImageBuilder<E, R>): ImageBuilder<E, R> =>
  make(self.base, [...self.steps, { _tag: "Setting", change }])

const always = (instruction: string, change: (draft: Config.Draft) => Config.Draft) =>
  setting((draft) => Result.succeed({ draft: change(draft), instruction }))

const invalid = (setting: string, expected: string, found: string): Result.Result<never, InvalidSetting> =>
  Result.fail(new InvalidSetting({ setting, expected, found: JSON.stringify(found.slice(0, 80)) }))

/** A value as a Dockerfile would have it: quoted where it would not end with itself. */
const quoted = (value: string): string => /^[^\s"'\\]+$/.test(value) ? value : JSON.stringify(value)

const pairs = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values).map(([name, value]) => `${name}=${quoted(value)}`).join(" ")

const nameOf = (variable: string): string => variable.slice(0, (variable + "=").indexOf("="))

/**
 * Sets variables of the environment. One that is there already keeps its place.
 *
 * @category steps
 * @since 0.1.0
 */
export const env = (variables: Readonly<Record<string, string>>) =>
  setting((draft) => {
    let list = Config.listOf(draft, "Env")
    for (const [name, value] of Object.entries(variables)) {
      if (name === "" || /[=\0]/.test(name)) return invalid("env", "a name without \"=\"", name)
      if (value.includes("\0")) return invalid("env", "a value without a zero byte", value)
      const variable = `${name}=${value}`
      const at = list.findIndex((other) => nameOf(other) === name)
      list = at < 0
        ? [...list, variable]
        : list.flatMap((other, index) => index === at ? [variable] : nameOf(other) === name ? [] : [other])
    }
    return Result.succeed({
      draft: Config.setList(draft, "Env", list),
      instruction: `ENV ${pairs(variables)}`
    })
  })

/**
 * Sets labels, beside those that are there.
 *
 * @category steps
 * @since 0.1.0
 */
export const label = (labels: Readonly<Record<string, string>>) =>
  setting((draft) => {
    if (Object.hasOwn(labels, "")) return invalid("label", "a name", "")
    const texts = new Map(Object.entries(labels).map(([name, value]) => [name, Json.stringify(value)]))
    return Result.succeed({ draft: Config.merge(draft, "Labels", texts), instruction: `LABEL ${pairs(labels)}` })
  })

/**
 * Sets the program that a container runs, without a shell. The command that was inherited from the base is for another
 * program, and goes; one that was set before stays.
 *
 * @category steps
 * @since 0.1.0
 */
export const entrypoint = (args: ReadonlyArray<string>) =>
  always(`ENTRYPOINT ${JSON.stringify(args)}`, (draft) => {
    const changed = Config.setList(draft, "Entrypoint", args)
    return draft.hasCmd ? changed : Config.setList(changed, "Cmd", [])
  })

/**
 * Sets the command: the arguments of the entrypoint, or the program where there is none.
 *
 * @category steps
 * @since 0.1.0
 */
export const cmd = (args: ReadonlyArray<string>) =>
  always(`CMD ${JSON.stringify(args)}`, (draft) => ({ ...Config.setList(draft, "Cmd", args), hasCmd: true }))

/** A path with a drive is Windows' and stays as it is. */
const isAbsolute = (path: string): boolean => /^(?:\/|[A-Za-z]:[\\/])/.test(path)

const join = (directory: string, path: string): string => {
  if (/^[A-Za-z]:/.test(path)) return path
  const names: Array<string> = []
  for (const name of `${isAbsolute(path) ? "" : directory}/${path}`.split("/")) {
    if (name === "..") names.pop()
    else if (name !== "" && name !== ".") names.push(name)
  }
  return `/${names.join("/")}`
}

/**
 * Sets the working directory. A relative one is inside that of before. No layer is made for it: runtimes make the
 * directory where it is not there.
 *
 * @category steps
 * @since 0.1.0
 */
export const workdir = (path: string) =>
  setting((draft) => {
    if (path === "" || path.includes("\0")) return invalid("workdir", "a path", path)
    const directory = join(Config.textOf(draft, "WorkingDir"), path)
    return Result.succeed({
      draft: Config.setText(draft, "WorkingDir", directory),
      instruction: `WORKDIR ${directory}`
    })
  })

/**
 * Sets the user, by name or number, and perhaps the group, as in `1000:1000`.
 *
 * @category steps
 * @since 0.1.0
 */
export const user = (name: string) =>
  setting((draft) =>
    /^[^\s:\0]+(?::[^\s:\0]+)?$/.test(name)
      ? Result.succeed({ draft: Config.setText(draft, "User", name), instruction: `USER ${name}` })
      : invalid("user", "USER or USER:GROUP, such as 1000:1000", name)
  )

const portGrammar = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/

const parsePort = (text: string): string | undefined => {
  const [, number = "0", protocol = "tcp"] = portGrammar.exec(text) ?? []
  return Number(number) >= 1 && Number(number) <= 65_535 ? `${Number(number)}/${protocol}` : undefined
}

const empties = (names: ReadonlyArray<string>): Config.Members => new Map(names.map((name) => [name, "{}"]))

/**
 * Names ports that a container listens on, such as `8080/tcp`; `8080` is that too. `udp` and `sctp` are the other
 * protocols.
 *
 * @category steps
 * @since 0.1.0
 */
export const port = (...ports: ReadonlyArray<string>) =>
  setting((draft) => {
    const parsed: Array<string> = []
    for (const text of ports) {
      const port = parsePort(text)
      if (port === undefined) {
        return invalid("port", "a number from 1 to 65535, perhaps with /tcp, /udp or /sctp behind it", text)
      }
      parsed.push(port)
    }
    return Result.succeed({
      draft: Config.merge(draft, "ExposedPorts", empties(parsed)),
      instruction: `EXPOSE ${parsed.join(" ")}`
    })
  })

/**
 * Names directories whose content outlives the container, by their absolute paths.
 *
 * @category steps
 * @since 0.1.0
 */
export const volume = (...paths: ReadonlyArray<string>) =>
  setting((draft) => {
    const wrong = paths.find((path) => !isAbsolute(path) || path.includes("\0"))
    if (wrong !== undefined) return invalid("volume", "an absolute path, such as /data", wrong)
    return Result.succeed({
      draft: Config.merge(draft, "Volumes", empties(paths)),
      instruction: `VOLUME ${JSON.stringify(paths)}`
    })
  })

const signals = new Set(
  ("ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP TSTP " +
    "TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX").split(" ")
)

const isSignal = (text: string): boolean => {
  if (/^\d{1,2}$/.test(text)) return Number(text) >= 1 && Number(text) <= 64
  const name = text.replace(/^SIG/, "")
  return signals.has(name) || /^RT(?:MIN\+|MAX-)(?:[1-9]|1[0-4])$/.test(name)
}

/**
 * Sets the signal that asks the program to end, by name or number.
 *
 * @category steps
 * @since 0.1.0
 */
export const stopSignal = (signal: string) =>
  setting((draft) =>
    isSignal(signal)
      ? Result.succeed({
        draft: Config.setText(draft, "StopSignal", signal),
        instruction: `STOPSIGNAL ${signal}`
      })
      : invalid("stop-signal", "a signal of Linux, such as SIGTERM or 15", signal)
  )

/**
 * How it is found out whether a container works. `test` is a line for the image's shell, or a program with its
 * arguments. Durations have at least a millisecond; of what is not given the runtime has its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Healthcheck {
  readonly test: string | ReadonlyArray<string>
  readonly interval?: Duration.Input
  readonly timeout?: Duration.Input
  readonly startPeriod?: Duration.Input
  readonly startInterval?: Duration.Input
  readonly retries?: number
}

const durations = [
  ["interval", "Interval"],
  ["timeout", "Timeout"],
  ["startPeriod", "StartPeriod"],
  ["startInterval", "StartInterval"]
] as const

const optionOf = (name: string): string => name.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`)

/** A duration as Go writes it. */
const formatDuration = (nanoseconds: bigint): string => {
  const minutes = nanoseconds / 60_000_000_000n
  const rest = Number(nanoseconds % 60_000_000_000n) / 1e9
  const parts = [[minutes / 60n, "h"], [minutes % 60n, "m"], [rest, "s"]] as const
  return parts.map(([value, unit]) => Number(value) === 0 ? "" : `${value}${unit}`).join("")
}

const none: Config.Members = new Map([["Test", Json.stringify(["NONE"])]])

/**
 * Sets the health check; `"NONE"` turns off the one of the base.
 *
 * **Example** (Asking a server how it is)
 *
 * ```ts
 * import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
 *
 * const builder = ImageBuilder.scratch({ os: "linux", architecture: "amd64" }).pipe(
 *   ImageBuilder.healthcheck({ test: ["/app", "--health"], interval: "30 seconds", retries: 3 })
 * )
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const healthcheck = (check: Healthcheck | "NONE") =>
  setting((draft) => {
    const changed = (members: Config.Members, instruction: string) =>
      Result.succeed({ draft: Config.setObject(draft, "Healthcheck", members), instruction })
    if (check === "NONE") return changed(none, "HEALTHCHECK NONE")
    const { retries, test } = check
    if (test.length === 0) return invalid("healthcheck", "a command", "")
    const isShell = typeof test === "string"
    const members = new Map([
      ["Test", Json.stringify(isShell ? ["CMD-SHELL", test] : ["CMD", ...test])]
    ])
    let options = ""
    for (const [name, member] of durations) {
      const input = check[name]
      if (input === undefined) continue
      const nanoseconds = Option.getOrUndefined(Duration.toNanos(input))
      if (nanoseconds === undefined || nanoseconds < 1_000_000n || nanoseconds >= 2n ** 63n) {
        return invalid(`health-${optionOf(name)}`, "a duration of at least a millisecond", String(input))
      }
      members.set(member, String(nanoseconds))
      options += ` --${optionOf(name)}=${formatDuration(nanoseconds)}`
    }
    if (retries !== undefined) {
      if (!Number.isSafeInteger(retries) || retries < 1) {
        return invalid("health-retries", "a whole number from 1", String(retries))
      }
      members.set("Retries", String(retries))
      options += ` --retries=${retries}`
    }
    return changed(members, `HEALTHCHECK${options} CMD ${isShell ? test : JSON.stringify(test)}`)
  })

/**
 * Checks the settings of a builder without building it: no layer is made, and no base is read.
 *
 * **Example** (Refusing a port)
 *
 * ```ts
 * import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
 * import * as Result from "effect/Result"
 *
 * const builder = ImageBuilder.scratch({ os: "linux", architecture: "amd64" }).pipe(ImageBuilder.port("http"))
 * const checked = ImageBuilder.check(builder)
 * if (Result.isFailure(checked)) console.log(checked.failure.setting) // port
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const check = (self: ImageBuilder<unknown, unknown>): Result.Result<void, InvalidSetting> =>
  Result.map(planOf(self, new Map()), () => undefined)

/** What a builder comes to: its settings, and the history of its steps, before any layer is made. */
interface Plan {
  readonly settings: Config.Members
  readonly history: ReadonlyArray<History.History>
}

const planOf = (
  self: ImageBuilder<unknown, unknown>,
  members: Config.Members
): Result.Result<Plan, InvalidSetting> => {
  let draft: Config.Draft = { members, hasCmd: false }
  const history: Array<History.History> = []
  for (const step of self.steps) {
    if (step._tag === "Layer") {
      history.push({ created_by: step.description })
      continue
    }
    const changed = step.change(draft)
    if (Result.isFailure(changed)) return Result.fail(changed.failure)
    draft = changed.success.draft
    history.push({ created_by: changed.success.instruction, empty_layer: true })
  }
  return Result.succeed({ settings: draft.members, history })
}

/**
 * A layer of an image that has been built, and its line in the history. `base` tells that it is the base image's.
 *
 * @category models
 * @since 0.1.0
 */
export interface BuiltLayer extends Layer.Stored {
  readonly description: string
  readonly base: boolean
}

/**
 * An image that has been built, with its layers, base first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Built extends ExportImage.Exported {
  readonly layers: ReadonlyArray<BuiltLayer>
}

const readBase = (base: Base, settings: ExportImage.Settings) =>
  base._tag === "Scratch"
    ? Effect.fromResult(BaseImage.scratch(base.platform, settings.rules))
    : BaseImage.read(base.descriptor, base.platform).pipe(
      (reading) => base.store === undefined ? reading : Effect.provideService(reading, BlobStore.BlobStore, base.store),
      Progress.oneOff("reading the base image")
    )

/** Makes the history of a base image fit its own layers, so that what is added stays apart from it. */
const fitHistory = (base: BaseImage.BaseImage, settings: ExportImage.Settings, now: Timestamp.Timestamp) =>
  Result.gen(function*() {
    const { created, history = [] } = base.config.value
    const layers = base.layers.length
    const from = { description: `FROM ${base.digest}`, ...(created === undefined ? {} : { createdAt: created }) }
    const metadata = RefMetadata.fromChain(base.layers.map(() => from), layers, settings.rules, now)
    const policy = settings.repair ?? settings.rules.repair
    const repaired = policy === "buildkit"
      ? { history, changes: [] }
      : yield* HistoryRepair.run({ policy, history, layers, metadata })
    const normalized = yield* LayerHistory.normalize({
      history: repaired.history,
      layers,
      metadata,
      rules: settings.rules
    })
    return { history: normalized.history ?? [], warnings: normalized.warnings, changes: repaired.changes }
  })

/** The layers as refs, each the parent of the next; only the uppermost can be asked for. */
const chainOf = (
  layers: ReadonlyArray<CacheRef.Layer & Pick<BuiltLayer, "description">>,
  createdAt: Timestamp.Timestamp
) => {
  let top: CacheRef.Ref | undefined
  for (const [index, { description, ...layer }] of layers.entries()) {
    const parent = Option.fromUndefinedOr(top)
    top = { name: `layer ${index + 1}: ${description}`, description, createdAt, layer, parent: Effect.succeed(parent) }
  }
  const refs = CacheRef.CacheRef.of({
    acquire: (ref) =>
      top?.name === ref
        ? Effect.succeed(top)
        : Effect.fail(new CacheRef.RefMissing({ store: "the layers of the build", ref })),
    list: Effect.sync(() => layers.map(({ description }) => description))
  })
  return { ref: top?.name, refs }
}

/** The config that is exported; its diff IDs are the export's matter. */
const configOf = (
  base: BaseImage.BaseImage,
  plan: Plan,
  history: ReadonlyArray<History.History>,
  created: Timestamp.Timestamp
): Uint8Array => {
  const members = new Map(Config.membersOf(base.config.document))
  members.set("history", History.stringify(history.length === 0 ? null : history))
  // What nothing is done to was not made now
  const isNew = plan.history.length > 0 || base.digest === undefined
  if (isNew) members.set("created", Json.stringify(Timestamp.format(created)))
  if (plan.history.some((item) => item.empty_layer === true)) members.set("config", Config.stringify(plan.settings))
  return Json.toBytes(Json.stringifyMembers(members))
}

/**
 * Builds an image into the store that is provided: reads the base, makes the layers one after the other, and exports.
 *
 * **Details**
 *
 * The history has an item for each step, in order: of a layer its description, of a setting the line of a Dockerfile
 * that makes it. All have one time, the epoch's or else the clock's. What is wrong with the base, a setting or an
 * annotation is told before any layer is made. Nothing names the image yet: tag its descriptor.
 *
 * **Example** (Building upon an image, into the store that it is in)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const program = Effect.gen(function*() {
 *   const images = yield* ImageStore.ImageStore
 *   const base = yield* images.resolve(Option.some("base"))
 *   const builder = ImageBuilder.from(base).pipe(
 *     ImageBuilder.env({ NODE_ENV: "production" }),
 *     ImageBuilder.cmd(["server.js"])
 *   )
 *   const image = yield* ImageBuilder.build(builder, { rules: Compatibility.standard })
 *   yield* images.tag(Option.some("app"), image.descriptor)
 * })
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const build = Effect.fn("ImageBuilder.build")(function*<E, R>(
  self: ImageBuilder<E, R>,
  settings: ExportImage.Settings
): Effect.fn.Return<Built, E | BaseFailed | InvalidSetting | ExportImage.ExportFailed, R | BlobStore.BlobStore> {
  const store = yield* BlobStore.BlobStore
  const failed = (cause: BaseFailed["cause"]) => new BaseFailed({ cause })
  const now = settings.epoch ?? Timestamp.fromNanoseconds(yield* Clock.currentTimeNanos)
  const base = yield* Effect.mapError(readBase(self.base, settings), failed)
  const old = yield* Effect.fromResult(Result.mapError(fitHistory(base, settings, now), failed))
  yield* Effect.forEach(old.warnings, (warning) => Effect.logWarning(warning.message), { discard: true })
  const own = Config.partsOf(Json.member(base.config.document, "config"))
  const plan = yield* Effect.fromResult(planOf(self, own))
  yield* Effect.fromResult(Result.mapError(
    ExportAnnotations.check(settings.annotations ?? [], {
      platforms: [base.platform],
      mediaTypes: settings.mediaTypes ?? "oci",
      isIndex: false
    }),
    (cause) => new ExportImage.ExportFailed({ cause })
  ))
  const history = [...old.history, ...plan.history.map((item) => ({ created: now, ...item }))]
  const config = configOf(base, plan, history, now)

  const added = yield* Effect.forEach(
    self.steps.filter((step) => step._tag === "Layer"),
    ({ description, layer }) =>
      Effect.map(Progress.oneOff(description)(layer), ({ descriptor, diffId, encoder }) => ({
        description,
        base: false,
        descriptor,
        diffId,
        ...(encoder === undefined ? {} : { encoder }),
        content: store.get(descriptor),
        source: store
      }))
  )
  const described = old.history.filter(LayerHistory.isOfLayer)
  const layers = [
    ...base.layers.map((layer, index) => ({
      ...layer,
      description: described[index]?.created_by ?? "",
      base: true
    })),
    ...added
  ]
  const { ref, refs } = chainOf(layers, now)
  const exported = yield* ExportImage.run({
    platform: base.platform,
    config,
    baseConfig: Json.toBytes(`{"history":${History.stringify(old.history)}}`),
    ...(ref === undefined ? {} : { ref })
  }, settings).pipe(
    Effect.provideService(CacheRef.CacheRef, refs),
    // The names of the refs are nobody's but ours
    Effect.mapError(({ cause }) => new ExportImage.ExportFailed({ cause }))
  )
  return {
    ...exported,
    warnings: [...old.warnings, ...exported.warnings],
    changes: [...old.changes, ...exported.changes],
    layers: layers.map((layer) => {
      const { content: _content, source: _source, ...built } = layer
      return built
    })
  }
})
