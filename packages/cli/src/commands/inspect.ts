/**
 * `effect-oci inspect IMAGE`
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Flags from "../Flags.ts"
import * as Image from "../Image.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as ImageView from "../ImageView.ts"
import * as Output from "../Output.ts"
import * as Transport from "../Transport.ts"

interface Options {
  readonly image: ImageArgument.ImageArgument
  readonly json: boolean
  readonly raw: boolean
  readonly config: boolean
}

const configBytes = Effect.fnUntraced(function*(descriptor: Descriptor.Descriptor) {
  if (MediaType.isIndex(descriptor.mediaType)) return yield* new Image.NoConfig(descriptor)
  const manifest = yield* Image.readManifest(descriptor)
  return yield* Image.getBytes(manifest.value.config)
})

const run = Effect.fnUntraced(function*({ config, image: argument, json, raw }: Options) {
  const descriptor = yield* Transport.resolve(argument)
  if (raw) return yield* Output.write(yield* Image.getBytes(descriptor))
  if (config) return yield* Output.write(yield* configBytes(descriptor))
  const image = yield* Image.read(descriptor)
  if (image._tag === "Image" && image.misfit !== undefined) {
    yield* Effect.logWarning(`${image.misfit}: which item belongs to which layer cannot be told`)
  }
  const name = ImageArgument.format(argument)
  yield* Output.line(json ? ImageView.toJson(name, image) : ImageView.describe(name, image))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "inspect",
  {
    image: Flags.image("IMAGE", `${ImageArgument.syntax}; without a tag it has to be the only image there`),
    json: Flags.json,
    raw: Flag.Boolean("raw").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Print the exact bytes of the manifest, or of the index"),
      Flag.withDefault(false)
    ),
    config: Flag.Boolean("config").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Print the exact bytes of the config"),
      Flag.withDefault(false)
    )
  },
  (input) => Effect.provide(run(input), Transport.layer(input.image))
).pipe(
  Command.validate(({ config, json, raw }) => {
    const given = [...(json ? ["--json"] : []), ...(raw ? ["--raw"] : []), ...(config ? ["--config"] : [])]
    return given.length > 1
      ? Effect.fail(
        new CliError.ValidationError({
          message: `${given.join(" and ")} exclude each other: choose what is to be printed`
        })
      )
      : Effect.void
  }),
  Command.withDescription(
    "Show an image: its layers, its history, and which item of the history belongs to which layer. Whatever is shown has " +
      "been verified against its digest."
  ),
  Command.withShortDescription("Show an image and its history"),
  Command.withExamples([
    { command: "effect-oci inspect oci:out:latest" },
    {
      command: "effect-oci inspect oci:out:latest --raw | sha256sum",
      description: "The image's digest, computed anew"
    },
    {
      command: "effect-oci inspect oci:out:latest --config | jq .config.Env",
      description: "What a container would see"
    }
  ])
)
