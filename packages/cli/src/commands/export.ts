/**
 * `effect-oci export REF`
 *
 * @since 0.1.0
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Platform from "@effect-oci/schema/Platform"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Flags from "../Flags.ts"
import * as HostPlatform from "../HostPlatform.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Input from "../Input.ts"
import * as Output from "../Output.ts"
import * as ProgressView from "../ProgressView.ts"
import * as Store from "../Store.ts"
import * as Table from "../Table.ts"

interface Options {
  readonly ref: string
  readonly to: ImageArgument.ImageArgument
  readonly config: Option.Option<string>
  readonly platform: Option.Option<Platform.Platform>
  readonly json: boolean
}

/** Exports, and gives the image its name last, when everything that it names is there. */
const exportTo = Effect.fnUntraced(function*(
  to: ImageArgument.ImageArgument,
  image: ExportImage.Image
) {
  const exported = yield* ExportImage.run(image, { rules: Compatibility.standard })
  const images = yield* ImageStore.ImageStore
  yield* images.tag(to.tag, exported.descriptor)
  return exported
})

const run = Effect.fnUntraced(function*({ config: file, json, platform, ref, to }: Options) {
  const config = Option.isNone(file) ? undefined : yield* Input.read(file.value, "image config")
  if (config !== undefined && Option.isSome(platform)) yield* HostPlatform.checkSame(config, platform.value)
  const image = {
    ref,
    platform: Option.getOrElse(platform, HostPlatform.get),
    ...(config === undefined ? {} : { config })
  }
  const layout = OciLayout.layer(to.directory).pipe(Layer.provide(NodeHash.layer))
  const { configs, descriptor } = yield* ProgressView.show(exportTo(to, image)).pipe(Effect.provide(layout))
  const name = ImageArgument.format(to)
  if (json) return yield* Output.json({ image: name, descriptor, config: configs[0] })
  yield* Output.line(Table.format([
    ["image", name],
    ["digest", descriptor.digest],
    ["platform", descriptor.platform === undefined ? "" : Platform.format(descriptor.platform)],
    ["config", configs[0]?.digest ?? ""]
  ]))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "export",
  {
    ref: Flags.refArgument("REF", "The ref of the uppermost layer; those below it come with it"),
    to: Flag.String("to").pipe(
      Flag.withMetavar("IMAGE"),
      Flag.withDescription(
        "Where to: oci:DIR[:TAG], a layout in a directory without a colon in its path. Without a tag it is the unnamed image"
      ),
      Flag.mapEffect(Flags.parsing("--to", ImageArgument.parse))
    ),
    config: Flag.String("config").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("The image's config; - is stdin (default: an empty one, with a PATH, for the platform)"),
      Flag.optional
    ),
    platform: Flag.String("platform").pipe(
      Flag.withMetavar("OS/ARCH[/VARIANT]"),
      Flag.withDescription(
        "What the image runs on (default: what the config says, else this machine's, or Linux on a Mac)"
      ),
      Flag.mapEffect(Flags.parsing("--platform", Platform.parse)),
      Flag.optional
    ),
    store: Store.flag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription(
    "Write an image as BuildKit would: the layers of a ref and of all refs below it, a config, and a manifest."
  ),
  Command.withShortDescription("Write an image from a ref"),
  Command.withExamples([
    { command: "effect-oci export app --to oci:out:latest" },
    {
      command: "effect-oci export app --to oci:out:latest --config config.json",
      description: "With a config, which may say Entrypoint, Env, Labels, its history …"
    },
    {
      command: "effect-oci export app --to oci:out --platform linux/arm64 --json | jq -r .descriptor.digest",
      description: "For another platform; the digest, for a script"
    }
  ])
)
