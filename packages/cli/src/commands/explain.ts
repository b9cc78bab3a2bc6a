/**
 * `effect-oci explain IMAGE`
 *
 * @since 0.1.0
 */
import * as Explanation from "@effect-oci/core/Explanation"
import type * as ImageTree from "@effect-oci/core/ImageTree"
import * as Annotations from "@effect-oci/schema/Annotations"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as ReadImage from "../ReadImage.ts"
import * as RefSummary from "../RefSummary.ts"
import * as Store from "../Store.ts"
import * as Table from "../Table.ts"
import * as Terminal from "../Terminal.ts"
import * as Transport from "../Transport.ts"

interface Explained {
  readonly image: ImageTree.Image
  readonly platform: string
  readonly explanation: Explanation.Explanation
  /** The refs that its layers are, by diff ID. */
  readonly refs: Refs
}

type Refs = ReadonlyMap<string, ReadonlyArray<RefSummary.RefSummary>>

const refsOf = (refs: Refs, { diffId }: Explanation.Layer): ReadonlyArray<RefSummary.RefSummary> =>
  diffId === undefined ? [] : refs.get(diffId) ?? []

/** The manifests of a tree that are of images. */
const imagesOf = (tree: ImageTree.ImageTree): ReadonlyArray<ImageTree.Image> =>
  tree._tag === "Index"
    ? tree.manifests.flatMap(imagesOf)
    : tree._tag === "Image" && tree.config !== undefined &&
        !Object.hasOwn(tree.descriptor.annotations ?? {}, Annotations.referenceType)
    ? [tree]
    : []

const platformOf = ({ config }: ImageTree.Image): string =>
  Platform.formatAll({
    os: config?.value.os ?? "",
    architecture: config?.value.architecture ?? "",
    ...(config?.value.variant === undefined ? {} : { variant: config.value.variant })
  })

const origins: Readonly<Record<Explanation.Origin, string>> = {
  own: "its own",
  exporter: "the exporter",
  epoch: "an epoch",
  "filled-in": "filled in",
  zero: "unknown",
  none: ""
}

const time = (created: Timestamp.Timestamp | undefined): string =>
  created === undefined ? "" : Timestamp.format(created)

const baseLine = ({ digest, layers, name }: Explanation.Base): string =>
  `Based on ${[name, digest].filter((text) => text !== undefined).join("@")}: ` +
  (layers === undefined
    ? "which layers are its cannot be told, since it is not in the layout."
    : `its ${layers === 1 ? "layer is" : `${layers} layers are`} the lowest ones.`)

/** Each note once, with the items that it is about. */
const notesOf = ({ entries }: Explanation.Explanation): ReadonlyArray<string> => {
  const items = new Map<string, Array<number>>()
  for (const { index, notes } of entries) {
    for (const note of notes) items.set(note, [...items.get(note) ?? [], index])
  }
  return [...items].map(([note, indexes]) => `Item${indexes.length === 1 ? "" : "s"} ${indexes.join(", ")}: ${note}`)
}

const layersOf = ({ entries, unexplained }: Explanation.Explanation): ReadonlyArray<Explanation.Layer> =>
  [...entries.flatMap(({ layer }) => layer ?? []), ...unexplained].toSorted((a, b) => a.index - b.index)

/** What refs know of the layers. */
const refNotes = ({ explanation, refs }: Explained): ReadonlyArray<string> =>
  layersOf(explanation).flatMap((layer) =>
    refsOf(refs, layer).map(({ description, name, origin }) =>
      `Layer ${layer.index} is the ref ${name}${origin === undefined ? "" : `, from ${origin}`}${
        description === undefined ? "" : `: ${description}`
      }`
    )
  )

const describe = (explained: Explained): string => {
  const { explanation, image, platform } = explained
  const { base, entries, notes, repairs, unexplained } = explanation
  /** The column that tells base from own stands before the last one, where it is known. */
  const row = (cells: Table.Row, of: string, madeBy: string): Table.Row =>
    base?.layers === undefined ? [...cells, madeBy] : [...cells, of, madeBy]
  const rows = [
    row(["ITEM", "LAYER", "SIZE", "CREATED", "FROM"], "OF", "MADE BY"),
    ...entries.map(({ index, isBase, item, layer, origin }) =>
      row(
        [
          String(index),
          layer === undefined ? "" : String(layer.index),
          layer === undefined ? "" : Table.size(layer.descriptor.size),
          time(item.created),
          origins[origin]
        ],
        isBase === true ? "base" : "own",
        item.created_by ?? item.comment ?? ""
      )
    ),
    ...unexplained.map(({ descriptor, index }) =>
      row(["", String(index), Table.size(descriptor.size), "", ""], "", "(no item)")
    )
  ]
  return [
    `${Terminal.printable(platform)} ${image.descriptor.digest}\ncreated ${time(explanation.created) || "-"}`,
    entries.length + unexplained.length === 0 ? "" : Table.format(rows, [0, 1, 2]),
    [...(base === undefined ? [] : [baseLine(base)]), ...notes, ...notesOf(explanation), ...refNotes(explained)]
      .map((note) => Terminal.printable(note)).join("\n"),
    ...(repairs.length === 0
      ? []
      : [
        ["What export --repair would do:", ...repairs.map(({ effect, policy }) => `  ${policy}: ${effect}`)].join("\n")
      ])
  ].filter((section) => section !== "").join("\n\n")
}

const toJson = ({ explanation, image, platform, refs }: Explained) => ({
  digest: image.descriptor.digest,
  platform,
  created: time(explanation.created) || undefined,
  createdItems: explanation.createdItems,
  base: explanation.base,
  entries: explanation.entries.map(({ index, isBase, item, layer, notes, origin }) => ({
    index,
    created: time(item.created) || undefined,
    origin,
    created_by: item.created_by,
    author: item.author,
    comment: item.comment,
    empty_layer: item.empty_layer === true,
    layer: layer === undefined ? undefined : layerJson(layer, refs),
    isBase,
    notes
  })),
  unexplained: explanation.unexplained.map((layer) => layerJson(layer, refs)),
  repairs: explanation.repairs,
  notes: explanation.notes
})

const layerJson = (layer: Explanation.Layer, refs: Refs) => {
  const { descriptor: { digest, mediaType, size }, diffId, encoder, index } = layer
  const own = refsOf(refs, layer).map(({ description, name, origin }) => ({ name, description, origin }))
  return { index, mediaType, digest, size, diffId, encoder, ...(own.length === 0 ? {} : { refs: own }) }
}

/** The refs of a store, by the diff ID of their layers. */
const readRefs = Effect.fnUntraced(function*(store: Option.Option<string>) {
  const refs = new Map<string, Array<RefSummary.RefSummary>>()
  if (Option.isNone(store)) return refs
  for (const ref of yield* Effect.provide(RefSummary.all, Store.layer(store.value))) {
    if ("diffId" in ref) refs.set(ref.diffId, [...refs.get(ref.diffId) ?? [], ref])
  }
  return refs
})

const explain = Effect.fnUntraced(function*(
  image: ImageTree.Image,
  argument: ImageArgument.ImageArgument,
  refs: Refs
) {
  const digest = Explanation.of(image).base?.digest
  const base = digest === undefined ? undefined : yield* ReadImage.byDigest(digest, argument)
  return { image, platform: platformOf(image), explanation: Explanation.of(image, base), refs }
})

const run = Effect.fnUntraced(function*({ image: argument, json, refs: store }: {
  readonly image: ImageArgument.ImageArgument
  readonly refs: Option.Option<string>
  readonly json: boolean
}) {
  const images = imagesOf(yield* ReadImage.tree(argument))
  const refs = yield* readRefs(store)
  const explained = yield* Effect.forEach(images, (image) => explain(image, argument, refs))
  const name = ImageArgument.format(argument)
  yield* json
    ? Output.json({ image: name, images: explained.map(toJson) })
    : Output.line(
      explained.length === 0
        ? `${Terminal.printable(name)} holds no image with a history, only artifacts`
        : explained.map(describe).join("\n\n")
    )
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "explain",
  {
    image: Flags.image("IMAGE", `${ImageArgument.syntax}; without a tag it has to be the only image there`),
    refs: Store.refsFlag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Transport.layer(input.image))
).pipe(
  Command.withDescription(
    "Explain the history of an image, or of each image of an index: which item made which layer, and where each time comes " +
      "from, and what compressed a layer, if the image says so. Where the history does not fit the layers, tell what each repair would do."
  ),
  Command.withShortDescription("Explain an image's history and its times"),
  Command.withExamples([
    { command: "effect-oci explain oci:out:latest" },
    {
      command: "effect-oci explain oci:out:latest --json | jq '.images[0].entries[] | select(.origin == \"epoch\")'",
      description: "The items whose time is an epoch"
    },
    {
      command: "effect-oci explain oci:out:latest --refs refs",
      description: "Also which refs the layers are, and which build step made each"
    }
  ])
)
