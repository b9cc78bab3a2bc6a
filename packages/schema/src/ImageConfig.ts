/**
 * Image configs: the platform, the run-time settings, the layers' diff IDs and the history of one image.
 *
 * Follows image-spec 1.1, config.md, and Docker's image-spec for the members that only Docker gives a meaning to.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as History from "./History.ts"
import { absent, checker, decoder, element, integer, problem, reader, strings } from "./internal/decode.ts"
import * as Strict from "./internal/strict.ts"
import * as Json from "./Json.ts"
import * as Timestamp from "./Timestamp.ts"

/**
 * The names that a config gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(
  [
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config",
    "rootfs",
    "history"
  ],
  {
    config: Json.names([
      "User",
      "ExposedPorts",
      "Env",
      "Entrypoint",
      "Cmd",
      "Volumes",
      "WorkingDir",
      "Labels",
      "StopSignal",
      "ArgsEscaped",
      "Healthcheck",
      "OnBuild",
      "Shell"
    ]),
    rootfs: Json.names(["type", "diff_ids"]),
    history: Json.items(History.names)
  }
)

/**
 * Schema for the layers of an image: the digests of their uncompressed tar archives, base first.
 *
 * **Details**
 *
 * The digests are not parsed here: Docker's own documents hold empty ones, and what reads layers checks them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RootFs = Schema.Struct({
  type: absent(Schema.String),
  diff_ids: absent(strings)
})

/**
 * @category models
 * @since 0.1.0
 */
export type RootFs = typeof RootFs.Type

const Objects = Schema.Record(Schema.String, element(Schema.Record(Schema.String, Schema.Unknown), {}))
const Texts = Schema.Record(Schema.String, element(Schema.String, ""))

/**
 * Schema for Docker's health check. `Interval`, `Timeout`, `StartPeriod` and `StartInterval` are nanoseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Healthcheck = Schema.Struct({
  Test: absent(strings),
  Interval: absent(integer),
  Timeout: absent(integer),
  StartPeriod: absent(integer),
  StartInterval: absent(integer),
  Retries: absent(integer)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Healthcheck = typeof Healthcheck.Type

const ociSettings = {
  User: absent(Schema.String),
  ExposedPorts: absent(Objects),
  Env: absent(strings),
  Entrypoint: absent(strings),
  Cmd: absent(strings),
  Volumes: absent(Objects),
  WorkingDir: absent(Schema.String),
  Labels: absent(Texts),
  StopSignal: absent(Schema.String),
  ArgsEscaped: absent(Schema.Boolean)
}

/**
 * Schema for the run-time settings of a container, with the members that only Docker gives a meaning to.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ContainerConfig = Schema.Struct({
  ...ociSettings,
  Healthcheck: absent(Healthcheck),
  OnBuild: absent(strings),
  Shell: absent(strings)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ContainerConfig = typeof ContainerConfig.Type

const members = {
  created: absent(Timestamp.FromString),
  author: absent(Schema.String),
  architecture: absent(Schema.String),
  os: absent(Schema.String),
  "os.version": absent(Schema.String),
  "os.features": absent(strings),
  variant: absent(Schema.String),
  rootfs: absent(RootFs),
  history: absent(History.List)
}

/**
 * Schema for image configs, Docker's members included. Nothing is required: Docker and BuildKit read configs that lack
 * what the spec requires, and {@link check} is there to tell.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ImageConfig = Schema.Struct({ ...members, config: absent(ContainerConfig) })

/**
 * @category models
 * @since 0.1.0
 */
export type ImageConfig = typeof ImageConfig.Type

/**
 * Schema for image configs as image-spec's Go structs know them, without Docker's members.
 *
 * @category schemas
 * @since 0.1.0
 */
export const OciConfig = Schema.Struct({ ...members, config: absent(Schema.Struct(ociSettings)) })

/**
 * @category models
 * @since 0.1.0
 */
export type OciConfig = typeof OciConfig.Type

const options = { document: "image config", names }

/**
 * Checks that bytes are I-JSON and finds the members of a config, without decoding any of them.
 *
 * @category decoding
 * @since 0.1.0
 */
export const document = (bytes: Uint8Array): Result.Result<Json.Document, Json.InvalidJson | Json.LimitExceeded> =>
  Json.parse(bytes, options)

type Decode<A> = (document: Json.Document) => Result.Result<A, Json.UnexpectedJson>

/** The history is most of a config, and has a decoder of its own, which is several times faster than its schema. */
const withHistory =
  <A extends { readonly history?: ReadonlyArray<History.History> }>(decodeRest: Decode<A>): Decode<A> => (document) =>
    Result.flatMap(
      decodeRest(document),
      (rest) => Result.map(History.fromConfig(document), (history) => history === null ? rest : { ...rest, history })
    )

/**
 * Decodes a config that has been read, Docker's members included.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode: (document: Json.Document) => Result.Result<ImageConfig, Json.UnexpectedJson> = withHistory(
  decoder(ImageConfig, "history")
)

/**
 * Decodes what image-spec's Go structs know of a config that has been read.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeOci: (document: Json.Document) => Result.Result<OciConfig, Json.UnexpectedJson> = withHistory(
  decoder(OciConfig, "history")
)

/**
 * Reads a config. Members that it does not know stay in the document.
 *
 * **Example** (Reading the environment of an image)
 *
 * ```ts
 * import * as ImageConfig from "@effect-oci/schema/ImageConfig"
 * import * as Result from "effect/Result"
 *
 * const bytes = new TextEncoder().encode(`{"os":"linux","architecture":"arm64","config":{"Env":["A=1"]}}`)
 * const { value } = Result.getOrThrow(ImageConfig.parse(bytes))
 * console.log(value.config?.Env) // [ 'A=1' ]
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<ImageConfig>, Json.Problem> = reader(
  options,
  decode
)

/**
 * Checks that a config that has been read is an object.
 *
 * @category decoding
 * @since 0.1.0
 */
export const expectObject = (config: Json.Document): Result.Result<Json.Document, Json.UnexpectedJson> =>
  config.kind === "object"
    ? Result.succeed(config)
    : Result.fail(problem(config, { path: [], reason: "type", expected: "an object" }))

/**
 * Checks a config as strictly as image-spec's own schema and Go code, and gives every problem, up to a thousand.
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem> = checker(options, Strict.imageConfig)
