/**
 * `effect-oci copy SRC DST`
 *
 * @since 0.1.0
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Copy from "@effect-oci/core/Copy"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "../Flags.ts"
import * as HostPlatform from "../HostPlatform.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as ProgressView from "../ProgressView.ts"
import * as Table from "../Table.ts"
import * as Transport from "../Transport.ts"

interface Options {
  readonly source: ImageArgument.ImageArgument
  readonly target: ImageArgument.ImageArgument
  readonly all: boolean
  readonly platform: Option.Option<Platform.Platform>
  readonly format: Option.Option<"oci" | "docker">
  readonly json: boolean
}

const copy = Effect.fnUntraced(function*({ all, format, platform, ...options }: Options) {
  const source = yield* Transport.open(options.source)
  const target = yield* Transport.open(options.target)
  const image = yield* Transport.resolveIn(source, options.source)
  const isIndex = MediaType.isIndex(image.mediaType)
  if (all && isIndex && options.target.transport === "docker-archive") {
    return yield* new CliError.ValidationError({
      message: "--all: docker-archive: takes the image of one platform; leave --all out, and choose with --platform"
    })
  }
  // A manifest says itself what it is for, and of an index one has to be chosen
  const own = !all && isIndex && Option.isNone(platform) ? HostPlatform.get() : undefined
  const chosen = Option.getOrUndefined(platform) ?? own
  const copied = yield* Copy.image(image, {
    source,
    target,
    as: options.target.tag,
    all,
    ...(chosen === undefined ? {} : { platform: chosen }),
    ...(Option.isSome(format) ? { format: format.value } : {})
  })
  return { ...copied, own }
})

const total = (blobs: ReadonlyArray<Descriptor.Descriptor>): string =>
  blobs.length === 0 ? "nothing" : `${blobs.length}, ${Table.size(blobs.reduce((sum, { size }) => sum + size, 0))}`

const run = Effect.fnUntraced(function*(options: Options) {
  const { copied, descriptor, own, present, skipped } = yield* ProgressView.show(Effect.scoped(copy(options)))
  const image = ImageArgument.format(options.target)
  if (options.json) {
    return yield* Output.json({
      image,
      source: ImageArgument.format(options.source),
      descriptor,
      copied,
      present,
      skipped
    })
  }
  yield* Output.line(Table.format([
    ["image", image],
    ["digest", descriptor.digest],
    ...(own === undefined
      ? []
      : [["platform", `${Platform.format(own)}, this machine's; --all copies the whole index`]]),
    ["copied", total(copied)],
    ...(present.length === 0 ? [] : [["there before", total(present)]]),
    ...skipped.map(({ digest, urls = [] }) => ["left out", `${digest}, to be had from ${urls.join(", ")}`])
  ]))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "copy",
  {
    source: Flags.image(
      "SRC",
      `The image: ${ImageArgument.syntax}; without a tag it has to be the only one there. @DIGEST chooses by digest`
    ),
    target: Flags.image(
      "DST",
      `Where to: ${ImageArgument.syntax}. Without a tag it is the unnamed image, in a registry latest`,
      ImageArgument.parseTarget
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withoutNegation,
      Flag.withDescription(
        "Copy an index whole, attestations too (default: the image of one platform). With --platform, an index of that " +
          "platform's image and its attestations"
      ),
      Flag.withDefault(false)
    ),
    platform: Flags.platform("Which image of an index (default: this machine's, or Linux on a Mac)"),
    format: Flag.Literals("format", ["oci", "docker"]).pipe(
      Flag.withDescription("Whose media types the copy has, which changes the digest (default: the image's own)"),
      Flag.optional
    ),
    json: Flags.json
  },
  (options) => Effect.provide(run(options), NodeHash.layer)
).pipe(
  Command.withDescription(
    "Copy an image from one store to another, with its bytes and digest as they are. Each blob is verified, and copied once " +
      "if it is not there yet, without its bytes where the file system can share them. The name comes last: a copy that " +
      "fails leaves no image, and one that is run again goes on where it was. Layers with URLs are never fetched."
  ),
  Command.withShortDescription("Copy an image from one store to another"),
  Command.withExamples([
    { command: "effect-oci copy oci:out:latest oci:backup:latest" },
    {
      command: "effect-oci copy oci:out:latest oci-archive:app.tar:latest --all",
      description: "All platforms and attestations, into a file"
    },
    {
      command: "effect-oci copy oci:out:latest docker-archive:app.tar:app:1 --platform linux/amd64",
      description: "For docker load"
    },
    {
      command: "effect-oci copy docker://alpine:3 docker://registry.example.com/alpine:3 --all",
      description: "From one registry to another, all platforms"
    },
    {
      command: "effect-oci copy oci:out:latest oci:docker:latest --format docker --json | jq -r .descriptor.digest",
      description: "With Docker's media types; the new digest, for a script"
    }
  ])
)
