/**
 * `effect-oci list STORE`
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Platform from "@effect-oci/schema/Platform"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as Table from "../Table.ts"
import * as Transport from "../Transport.ts"

/** What is told of an image; platforms and size only of one whose documents can be read. */
interface Summary {
  readonly name?: string
  readonly digest: string
  readonly mediaType: string
  readonly platforms?: ReadonlyArray<string>
  /** Bytes of all that belongs to the image, each blob counted once. */
  readonly size?: number
}

const platformsOf = (tree: ImageTree.ImageTree): ReadonlyArray<string> => {
  if (tree._tag === "Index") return tree.manifests.flatMap(platformsOf)
  if (tree._tag === "Other") return []
  const { architecture, os, variant } = tree.config?.value ?? {}
  const own = os === undefined || architecture === undefined
    ? tree.descriptor.platform
    : { os, architecture, ...(variant === undefined ? {} : { variant }) }
  return own === undefined || own.os === "unknown" || own.os === "" ? [] : [Platform.format(own)]
}

const blobsOf = (tree: ImageTree.ImageTree): ReadonlyArray<Descriptor.Descriptor> =>
  tree._tag === "Index"
    ? [tree.descriptor, ...tree.manifests.flatMap(blobsOf)]
    : tree._tag === "Image"
    ? [tree.descriptor, tree.manifest.value.config, ...tree.manifest.value.layers]
    : [tree.descriptor]

const sizeOf = (tree: ImageTree.ImageTree): number =>
  [...new Map(blobsOf(tree).map(({ digest, size }) => [digest, size])).values()].reduce((sum, size) => sum + size, 0)

const summarize = Effect.fnUntraced(function*({ descriptor, name }: ImageStore.Image) {
  const { digest, mediaType } = descriptor
  const known: Summary = { ...(Option.isSome(name) ? { name: name.value } : {}), digest, mediaType }
  const tree = yield* Effect.result(ImageTree.get(descriptor))
  if (tree._tag === "Success") {
    return { ...known, platforms: [...new Set(platformsOf(tree.success))], size: sizeOf(tree.success) }
  }
  yield* Effect.logWarning(`${Option.getOrElse(name, () => "the unnamed image")}: ${tree.failure.message}`)
  return known
})

/** As many images are read at a time. */
const concurrency = 8

const run = Effect.fnUntraced(function*({ json, store }: {
  readonly store: ImageArgument.ImageArgument
  readonly json: boolean
}) {
  const images = yield* ImageStore.ImageStore.use((images) => images.list)
  const summaries: ReadonlyArray<Summary> = yield* Effect.forEach(images, summarize, { concurrency })
  if (json) return yield* Output.json(summaries)
  if (summaries.length === 0) return yield* Effect.logInfo(`no images in ${ImageArgument.format(store)}`)
  yield* Output.line(Table.format([
    ["NAME", "DIGEST", "SIZE", "PLATFORMS", "MEDIA TYPE"],
    ...summaries.map(({ digest, mediaType, name = "", platforms = [], size }) => [
      name,
      digest,
      size === undefined ? "" : Table.size(size),
      platforms.join(", "),
      mediaType
    ])
  ], [2]))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "list",
  {
    store: Flags.image(
      "STORE",
      "Where the images are: oci:DIR, oci-archive:FILE, docker-archive:FILE, dir:PATH or docker://NAME",
      ImageArgument.parseStore
    ),
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Transport.layer(input.store))
).pipe(
  Command.withDescription(
    "List the images of a store, each with its digest, its platforms and the size of all that belongs to it. One that cannot " +
      "be read is listed with a warning."
  ),
  Command.withShortDescription("List the images of a store"),
  Command.withExamples([
    { command: "effect-oci list oci:out" },
    { command: "effect-oci list oci-archive:app.tar --json | jq -r '.[].name'", description: "The names, for a script" }
  ])
)
