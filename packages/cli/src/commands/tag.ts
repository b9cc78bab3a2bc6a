/**
 * `effect-oci tag IMAGE NAME…`
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as Transport from "../Transport.ts"

interface Options {
  readonly image: ImageArgument.ImageArgument
  readonly names: ReadonlyArray<string>
  readonly json: boolean
}

const run = Effect.fnUntraced(function*({ image, json, names }: Options) {
  const descriptor = yield* Transport.resolve(image)
  const { digest } = descriptor
  const images = yield* ImageStore.ImageStore
  yield* Effect.forEach(names, (name) => images.tag(Option.some(name), descriptor), { discard: true })
  const tagged = names.map((name) => ImageArgument.format({ ...image, tag: Option.some(name), digest: Option.none() }))
  yield* json
    ? Output.json({ image: ImageArgument.format(image), digest, tagged })
    : Output.line(tagged.map((name) => `${name} is ${digest}`).join("\n"))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "tag",
  {
    image: Flags.image(
      "IMAGE",
      `${ImageArgument.syntax}; without a tag it has to be the only image there. @DIGEST chooses by digest`
    ),
    names: Argument.String("NAME").pipe(
      Argument.withDescription("The name to give, such as 1.0; it is taken from the image that has it"),
      Argument.filter(
        (text) => !ImageArgument.hasTransport(text),
        (text) => `the name alone, such as 1.0, which is given in the image's own store; found ${JSON.stringify(text)}`
      ),
      Argument.filter(ImageStore.isName, (text) => `${ImageStore.nameRule}; found ${JSON.stringify(text)}`),
      Argument.atLeast(1)
    ),
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Transport.layer(input.image))
).pipe(
  Command.withDescription(
    "Give an image further names in its store. Each is there for good when it is printed; several commands at once lose none."
  ),
  Command.withShortDescription("Give an image further names"),
  Command.withExamples([
    { command: "effect-oci tag oci:out:latest 1 1.2 1.2.3" },
    {
      command: "effect-oci tag oci:out@sha256:9f86d0… stable",
      description: "An image that is chosen by its digest, written in full"
    }
  ])
)
