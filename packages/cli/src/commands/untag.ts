/**
 * `effect-oci untag IMAGE`
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as Transport from "../Transport.ts"

const run = Effect.fnUntraced(function*({ image, json }: {
  readonly image: ImageArgument.ImageArgument
  readonly json: boolean
}) {
  yield* ImageStore.ImageStore.use((images) => images.untag(image.tag))
  const name = ImageArgument.format(image)
  yield* json ? Output.json({ untagged: name }) : Output.line(`untagged ${name}`)
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "untag",
  {
    image: Flags.image(
      "IMAGE",
      `${ImageArgument.syntax}; without a tag it is the image that has no name, in a registry latest`,
      ImageArgument.parseTarget
    ),
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Transport.layer(input.image))
).pipe(
  Command.withDescription(
    "Take a name away from an image. Its blobs stay in a layout, for its other names, or until gc collects them."
  ),
  Command.withShortDescription("Take a name away from an image"),
  Command.withExamples([{ command: "effect-oci untag oci:out:latest" }])
)
