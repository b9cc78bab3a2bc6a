/**
 * `effect-oci ref import IMAGE NAME`
 *
 * @since 0.1.0
 */
import * as RefImport from "@effect-oci/core/RefImport"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "../../Flags.ts"
import * as HostPlatform from "../../HostPlatform.ts"
import * as ImageArgument from "../../ImageArgument.ts"
import * as Output from "../../Output.ts"
import * as ProgressView from "../../ProgressView.ts"
import * as RefSummary from "../../RefSummary.ts"
import * as Store from "../../Store.ts"
import * as Table from "../../Table.ts"
import * as Transport from "../../Transport.ts"

interface Options {
  readonly image: ImageArgument.ImageArgument
  readonly name: string
  readonly platform: Option.Option<Platform.Platform>
  readonly replace: boolean
  readonly json: boolean
}

const importImage = Effect.fnUntraced(function*({ image, name, platform, replace }: Options) {
  const source = yield* Transport.open(image)
  const descriptor = yield* Transport.resolveIn(source, image)
  // A manifest says itself what it is for, and of an index one has to be chosen
  const chosen = Option.getOrUndefined(platform) ??
    (MediaType.isIndex(descriptor.mediaType) ? HostPlatform.get() : undefined)
  return yield* RefImport.run(descriptor, {
    name,
    source: source.blobs,
    replace,
    ...(chosen === undefined ? {} : { platform: chosen })
  })
})

const summaryOf = ({ document: { created, ...rest }, name }: RefImport.Imported): RefSummary.RefSummary => ({
  name,
  ...rest,
  ...(created === undefined ? {} : { created: Timestamp.format(created) })
})

const run = Effect.fnUntraced(function*(options: Options) {
  const imported = yield* ProgressView.show(Effect.scoped(importImage(options)))
  const refs = imported.map(summaryOf)
  yield* options.json
    ? Output.json(refs)
    : Output.line(Table.format([RefSummary.columns, ...refs.map(RefSummary.row)], [3]))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "import",
  {
    image: Flags.image("IMAGE", `${ImageArgument.syntax}; without a tag it has to be the only image there`),
    name: Flags.refArgument(
      "NAME",
      "The name of the uppermost layer's ref; those below are NAME.0, the base, NAME.1 …"
    ),
    platform: Flags.platform("Which image of an index (default: this machine's, or Linux on a Mac)"),
    replace: Flag.Boolean("replace").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Replace refs of these names that have other content (default: fail)"),
      Flag.withDefault(false)
    ),
    store: Store.flag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription(
    "Make refs of an image, one a layer, to export other images on top of it. What a layer was made by, and when, comes from " +
      "the image's history. Settings are not part of refs: give export the image's config for those."
  ),
  Command.withShortDescription("Make refs of an image's layers"),
  Command.withExamples([
    { command: "effect-oci ref import oci:node:24 node" },
    {
      command: "effect-oci ref import docker-archive:node.tar:node:24 node --platform linux/amd64",
      description: "An image that docker save has written"
    },
    {
      command: "effect-oci ref add app ./dist --parent node --at /app && effect-oci inspect oci:node:24 --config | " +
        "effect-oci export app --config - --to oci:out:latest",
      description: "Then, an image on top of it, with its settings"
    }
  ])
)
