/**
 * `effect-oci config patch`
 *
 * @since 0.1.0
 */
import type * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as Digest from "@effect-oci/schema/Digest"
import * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Json from "@effect-oci/schema/Json"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Flags from "../../Flags.ts"
import * as Input from "../../Input.ts"
import * as Output from "../../Output.ts"

/**
 * Error raised where a config is to keep its own diff IDs, and one of them is not a digest. `index` counts from 0.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidDiffId extends Schema.TaggedError<InvalidDiffId>("@effect-oci/cli/InvalidDiffId")("InvalidDiffId", {
  index: Schema.Natural,
  cause: Schema.Union([Digest.MalformedDigest, Digest.UnsupportedDigestAlgorithm])
}) {
  override get message() {
    return `the image config's own /rootfs/diff_ids/${this.index} is not a digest: ` +
      "mend it, or pass the diff IDs of all layers with --diff-id"
  }
}

/** The diff IDs that a config has already. */
const ownDiffIds = (config: Json.Document) =>
  Result.flatMap(ImageConfig.decodeOci(config), (value) =>
    Result.all(
      (value.rootfs?.diff_ids ?? []).map((text, index) =>
        Result.mapError(Digest.parse(text), (cause) => new InvalidDiffId({ index, cause }))
      )
    ))

/** Reads a history that is a document by itself. It is put into a config, a line lower, and errors are told without it. */
const parseHistory = (bytes: Uint8Array) =>
  Result.flatMap(
    Json.parse(bytes, { document: "history", names: Json.items(History.names) }),
    ({ text }) =>
      Json.parse(Json.toBytes(`{"history":\n${text}}`), { document: "history", maxBytes: Number.MAX_SAFE_INTEGER })
        .pipe(
          Result.flatMap(History.fromConfig),
          Result.mapError((error) =>
            error._tag === "UnexpectedJson"
              ? new Json.UnexpectedJson({
                ...error,
                pointer: error.pointer.slice("/history".length),
                line: error.line - 1
              })
              : error
          )
        )
  )

const run = Effect.fnUntraced(function*(input: {
  readonly config: string
  readonly diffIds: ReadonlyArray<Digest.Digest>
  readonly history: Option.Option<string>
  readonly compatibility: Compatibility.Compatibility
}) {
  const config = yield* Effect.fromResult(ExportConfig.read(yield* Input.read(input.config, "image config")))
  const history = Option.isNone(input.history)
    ? yield* Effect.fromResult(ExportConfig.parseHistory(config))
    : yield* Effect.fromResult(parseHistory(yield* Input.read(input.history.value, "history")))
  const diffIds = input.diffIds.length > 0 ? input.diffIds : yield* Effect.fromResult(ownDiffIds(config))
  const patched = ExportConfig.patch(config, { diffIds, history, rules: input.compatibility })
  yield* Output.write(yield* Effect.fromResult(patched))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "patch",
  {
    config: Flag.String("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The image config to patch; - is stdin")
    ),
    diffIds: Flag.String("diff-id").pipe(
      Flag.withMetavar("DIGEST"),
      Flag.withDescription("A layer's diff ID; once for each layer, base first (default: the config's own)"),
      Flag.mapEffect(Flags.parsing("--diff-id", Digest.parse)),
      Flag.atLeast(0)
    ),
    history: Flag.String("history").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A JSON array of history items; - is stdin (default: the config's own history)"),
      Flag.optional
    ),
    compatibility: Flags.compatibility
  },
  run
).pipe(
  Command.validate(({ config, history }) =>
    Input.isStdin(config) && Option.exists(history, Input.isStdin)
      ? Effect.fail(
        new CliError.ValidationError({ message: "--config and --history cannot both be read from stdin (-)" })
      )
      : Effect.void
  ),
  Command.withDescription(
    "Write an image config anew as BuildKit's exporter does: with these diff IDs, this history, and a time of creation " +
      "if it has none. Every other member keeps its spelling. The exact bytes go to stdout, without a newline."
  ),
  Command.withShortDescription("Replace the diff IDs and the history of a config"),
  Command.withExamples([
    {
      command: "effect-oci config patch --config config.json --diff-id sha256:… --diff-id sha256:… > patched.json",
      description: "For an image of two layers"
    },
    {
      command: "effect-oci inspect oci:out --config | effect-oci config patch --config - --history history.json",
      description: "Another history for an image's config"
    }
  ])
)
