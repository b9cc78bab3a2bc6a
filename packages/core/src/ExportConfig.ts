/**
 * Image configs on their way out: made where there is none, read for their history, and patched with what an export
 * knows.
 *
 * Follows `emptyImageConfig`, `parseHistoryFromConfig` and `patchImageConfig` of BuildKit's
 * `exporter/containerimage/writer.go`. The document itself is `ImageConfig` of `@effect-oci/schema`.
 *
 * @since 0.1.0
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Json from "@effect-oci/schema/Json"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Compatibility } from "./Compatibility.ts"

/**
 * Error raised where the history of a config cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ParseHistoryFailed
  extends Schema.TaggedError<ParseHistoryFailed>("@effect-oci/core/ParseHistoryFailed")("ParseHistoryFailed", {
    cause: Schema.Union([Json.InvalidJson, Json.LimitExceeded, Json.UnexpectedJson])
  })
{
  override get message(): string {
    return "failed to unmarshal history from config"
  }
}

/**
 * Error raised where a config is the literal `null`.
 *
 * @category errors
 * @since 0.1.0
 */
export class NullConfig extends Schema.TaggedError<NullConfig>("@effect-oci/core/NullConfig")("NullConfig", {}) {
  override get message(): string {
    return "invalid null image config for export: hand in an object, or no config at all"
  }
}

/**
 * Error raised where a config does not say what it runs on.
 *
 * @category errors
 * @since 0.1.0
 */
export class MissingPlatform extends Schema.TaggedError<MissingPlatform>("@effect-oci/core/MissingPlatform")(
  "MissingPlatform",
  { member: Schema.Literals(["os", "architecture"]) }
) {
  override get message(): string {
    return `invalid image config for export: missing ${this.member}`
  }
}

/**
 * Error raised where the config of the base image cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class BaseConfigFailed
  extends Schema.TaggedError<BaseConfigFailed>("@effect-oci/core/BaseConfigFailed")("BaseConfigFailed", {
    cause: Schema.Union([Json.InvalidJson, Json.LimitExceeded, Json.UnexpectedJson])
  })
{
  override get message(): string {
    return "failed to unmarshal base image config"
  }
}

/**
 * Error raised where a config cannot be patched.
 *
 * @category errors
 * @since 0.1.0
 */
export class PatchFailed extends Schema.TaggedError<PatchFailed>("@effect-oci/core/PatchFailed")("PatchFailed", {
  cause: Schema.Union([
    Json.InvalidJson,
    Json.LimitExceeded,
    Json.UnexpectedJson,
    NullConfig,
    MissingPlatform,
    BaseConfigFailed
  ])
}) {
  override get message(): string {
    return "failed to parse image config for patch"
  }
}

const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/**
 * Makes the config of an image that has none, for a platform.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty = (
  platform: Platform.Platform,
  rules: Pick<Compatibility, "emptyConfig">
): Uint8Array<ArrayBuffer> => {
  const isSeed = rules.emptyConfig === "os-and-architecture"
  const { architecture, os, ...rest } = isSeed ? platform : Platform.normalize(platform)
  const osVersion = rest["os.version"]
  const osFeatures = rest["os.features"]
  return Json.toBytes(Json.stringify({
    architecture,
    os,
    ...(isSeed ? {} : {
      "os.version": osVersion === "" ? undefined : osVersion,
      "os.features": osFeatures?.length === 0 ? undefined : osFeatures,
      variant: rest.variant === "" ? undefined : rest.variant
    }),
    config: { Env: isSeed || os !== "windows" ? [path] : undefined, WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: null }
  }))
}

/**
 * A config as it was handed in: its bytes, or the document that they have been read to.
 *
 * @category models
 * @since 0.1.0
 */
export type Config = Uint8Array | Json.Document

/**
 * Reads a config once, for the functions here that take it. They read bytes themselves, each anew.
 *
 * @category decoding
 * @since 0.1.0
 */
export const read = (config: Uint8Array): Result.Result<Json.Document, ParseHistoryFailed> =>
  Result.mapError(ImageConfig.document(config), (cause) => new ParseHistoryFailed({ cause }))

const documentOf = (config: Config) =>
  config instanceof Uint8Array ? ImageConfig.document(config) : Result.succeed(config)

/**
 * Reads the history of a config, and checks nothing else of it but that it is I-JSON.
 *
 * **Example** (Reading a time with its nanoseconds)
 *
 * ```ts
 * import * as ExportConfig from "@effect-oci/core/ExportConfig"
 * import * as Timestamp from "@effect-oci/schema/Timestamp"
 * import * as Result from "effect/Result"
 *
 * const config = new TextEncoder().encode(`{"history":[{"created":"2019-07-22T02:12:25.123456789Z"}]}`)
 * const history = Result.getOrThrow(ExportConfig.parseHistory(config))
 * console.log(history?.map((item) => item.created && Timestamp.format(item.created)))
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseHistory = (config: Config): Result.Result<History.Items, ParseHistoryFailed> =>
  documentOf(config).pipe(
    Result.flatMap(History.fromConfig),
    Result.mapError((cause) => new ParseHistoryFailed({ cause }))
  )

/**
 * Reads the history of a base image from its config. The config is read whole, Docker's members included, so that any
 * fault in it is told; zero bytes and `null` are a base image without history.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseBase = (config: Uint8Array): Result.Result<ReadonlyArray<History.History>, BaseConfigFailed> =>
  config.length === 0
    ? Result.succeed([])
    : ImageConfig.document(config).pipe(
      Result.flatMap((document) =>
        document.kind === "null"
          ? Result.succeed([])
          : Result.map(ImageConfig.decode(document), (value) => value.history ?? [])
      ),
      Result.mapError((cause) => new BaseConfigFailed({ cause }))
    )

/**
 * What an export knows of an image, to be written into its config.
 *
 * @category models
 * @since 0.1.0
 */
export interface Patch {
  /** The digests of the layers' uncompressed tar archives, base first. */
  readonly diffIds: ReadonlyArray<Digest.Digest>
  readonly history: History.Items
  readonly rules: Pick<Compatibility, "config" | "derivedCreated" | "times" | "controlEscapes">
  /** No time that is written is later, save those of items that are the base image's own. */
  readonly epoch?: Timestamp.Timestamp
  /** The history of the base image, which an epoch leaves alone. */
  readonly base?: ReadonlyArray<History.History>
  /** The records of an inline cache, for `moby.buildkit.cache.v0`; `null` is written as `null`. */
  readonly inlineCache?: Uint8Array | null
}

const isLater = (time: Timestamp.Timestamp, epoch: Timestamp.Timestamp): boolean => Timestamp.byInstant(time, epoch) > 0

/** Leaves the items that begin the history as they begin the base image's, and makes no other time later than the epoch. */
const clampHistory = (
  history: History.Items,
  base: ReadonlyArray<History.History>,
  epoch: Timestamp.Timestamp | undefined
): History.Items => {
  if (history === null || epoch === undefined) return history
  const differs = history.findIndex((item, index) => {
    const own = base[index]
    return own === undefined || !History.equals(item, own)
  })
  return history.map((item, index) =>
    (differs < 0 || index < differs) || (item.created !== undefined && !isLater(item.created, epoch))
      ? item
      : { ...item, created: epoch }
  )
}

const inUtc = (history: History.Items): History.Items =>
  history?.map((item) => item.created === undefined ? item : { ...item, created: Timestamp.toUtc(item.created) }) ??
    null

/** The time of creation that the history gives: its last. */
const deriveCreated = (history: History.Items, patch: Patch): Timestamp.Timestamp | undefined => {
  const last = history?.findLast((item) => item.created !== undefined)?.created
  return patch.rules.derivedCreated === "clamped" && last !== undefined && patch.epoch !== undefined &&
      isLater(last, patch.epoch)
    ? patch.epoch
    : last
}

const encodeHistory = (history: History.Items, rules: Pick<Compatibility, "controlEscapes">): string => {
  const text = History.stringify(history)
  // An escape is two characters, so one that follows an escaped backslash is none
  return rules.controlEscapes === "short"
    ? text
    : text.replace(/\\./g, (escape) => escape === "\\b" ? "\\u0008" : escape === "\\f" ? "\\u000c" : escape)
}

const checkConfig = (config: Json.Document): Result.Result<void, Json.UnexpectedJson | MissingPlatform> =>
  Result.flatMap(
    ImageConfig.decodeOci(config),
    (value) =>
      value.os === undefined || value.os === ""
        ? Result.fail(new MissingPlatform({ member: "os" }))
        : value.architecture === undefined || value.architecture === ""
        ? Result.fail(new MissingPlatform({ member: "architecture" }))
        : Result.void
  )

/** The time that the text of a member is, if it is one: under no check it may be anything. */
const timeOf = (text: string): Timestamp.Timestamp | undefined => {
  const value: unknown = JSON.parse(text)
  return typeof value === "string" ? Result.getOrUndefined(Timestamp.parse(value)) : undefined
}

/** The members of a config, each as Go writes a raw message again. */
const membersOf = (config: Json.Document): Result.Result<Map<string, string>, NullConfig | Json.UnexpectedJson> =>
  config.kind === "null"
    ? Result.fail(new NullConfig())
    : Result.map(
      ImageConfig.expectObject(config),
      () => new Map(config.members.map((member) => [member.name, Json.compactMember(config, member)]))
    )

/**
 * Patches a config: replaces `rootfs` and `history`, and sets `created`, where the config does not say it, to the last
 * time in the history. Every other member keeps its spelling; they come out sorted, as Go writes a map.
 *
 * **Example** (Keeping what a vendor wrote)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as ExportConfig from "@effect-oci/core/ExportConfig"
 * import * as Result from "effect/Result"
 *
 * const config = new TextEncoder().encode(`{"os":"linux","architecture":"amd64","x-vendor":{"pi":3.140}}`)
 * const patched = Result.getOrThrow(
 *   ExportConfig.patch(config, { diffIds: [], history: [], rules: Compatibility.moby2019 })
 * )
 * console.log(new TextDecoder().decode(patched))
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const patch = (config: Config, patch: Patch): Result.Result<Uint8Array<ArrayBuffer>, PatchFailed> =>
  Result.gen(function*() {
    const { epoch, rules } = patch
    const document = yield* documentOf(config)
    const members = yield* membersOf(document)
    if (rules.config === "checked") yield* checkConfig(document)
    const clamped = clampHistory(patch.history, patch.base ?? [], epoch)
    const history = rules.times === "utc" ? inUtc(clamped) : clamped
    const diffIds = patch.diffIds.length === 0 ? null : patch.diffIds
    members.set("rootfs", Json.stringify({ type: "layers", diff_ids: diffIds }))
    members.set("history", encodeHistory(history, rules))
    const own = members.get("created")
    if (own === undefined) {
      const created = deriveCreated(history, patch)
      members.set("created", created === undefined ? "null" : Json.stringify(Timestamp.format(created)))
    } else if (epoch !== undefined) {
      const created = timeOf(own)
      if (created !== undefined && isLater(created, epoch)) {
        members.set("created", Json.stringify(Timestamp.format(epoch)))
      }
    }
    if (patch.inlineCache !== undefined) {
      const records = patch.inlineCache
      members.set("moby.buildkit.cache.v0", records === null ? "null" : Json.stringify(Base64.encode(records)))
    }
    return Json.toBytes(Json.stringifyMembers(members))
  }).pipe(Result.mapError((cause) => new PatchFailed({ cause })))
