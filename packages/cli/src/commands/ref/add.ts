/**
 * `effect-oci ref add NAME PATH`
 *
 * @since 0.1.0
 */
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as ImageLayer from "@effect-oci/core/Layer"
import * as Progress from "@effect-oci/core/Progress"
import * as RefStore from "@effect-oci/core/RefStore"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Created from "../../Created.ts"
import * as Flags from "../../Flags.ts"
import * as Output from "../../Output.ts"
import * as ProgressView from "../../ProgressView.ts"
import * as RefSummary from "../../RefSummary.ts"
import * as Store from "../../Store.ts"

interface Input {
  readonly name: string
  readonly path: string
  readonly parent: Option.Option<string>
  readonly description: Option.Option<string>
  readonly created: Option.Option<Timestamp.Timestamp>
  readonly at: string
  readonly replace: boolean
  readonly json: boolean
}

/** Stores the layer, and reports how much of it has been read. */
const store = (path: string, at: string) => {
  const id = `adding ${path}`
  return Progress.counted(id, (onRead) => FileTree.store(path, { at, onRead })).pipe(Progress.oneOff(id))
}

/** The time of the ref that has the name, where nothing but its time would change. */
const timeOfSame = Effect.fnUntraced(
  function*(input: Input, layer: ImageLayer.Stored) {
    const refs = yield* CacheRef.CacheRef
    const ref = yield* refs.acquire(input.name)
    const parent = yield* ref.parent
    const isSame = ref.layer?.descriptor.digest === layer.descriptor.digest &&
      ref.description === Option.getOrElse(input.description, () => "") &&
      Option.getOrUndefined(parent)?.name === Option.getOrUndefined(input.parent)
    return isSame ? ref.createdAt : undefined
  },
  Effect.scoped,
  // `add` tells what is wrong with it
  Effect.orElseSucceed(() => undefined)
)

const run = Effect.fnUntraced(function*(input: Input) {
  const given = yield* Created.given(input.created)
  // A parent that is not there is told before the layer is made, which may take long
  if (Option.isSome(input.parent)) {
    const refs = yield* CacheRef.CacheRef
    yield* refs.acquire(input.parent.value)
  }
  const parent = Option.getOrUndefined(input.parent)
  const description = Option.getOrUndefined(input.description)
  const add = Effect.fnUntraced(function*(layer: ImageLayer.Stored) {
    const created = Option.getOrUndefined(given) ?? (yield* timeOfSame(input, layer)) ?? (yield* Created.now)
    const content = {
      ...(parent === undefined ? {} : { parent }),
      ...(description === undefined ? {} : { description }),
      ...RefDocument.ofLayer(layer)
    }
    yield* RefStore.RefStore.use((refs) => refs.add(input.name, { ...content, created }, { replace: input.replace }))
    return { ...content, created }
  })
  const { created, ...content } = yield* ProgressView.show(BlobStore.staged(store(input.path, input.at), add))
  const summary = { name: input.name, ...content, created: Timestamp.format(created) }
  yield* input.json ? Output.json(summary) : Output.line(RefSummary.describe(summary))
}, Effect.scoped)

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "add",
  {
    name: Flags.refArgument("NAME", "The new ref's name"),
    path: Argument.String("PATH").pipe(
      Argument.withDescription("A directory, a file, or a layer's tar archive, plain or compressed with gzip or zstd"),
      Argument.filter((text) => text !== "", () => "a path")
    ),
    parent: Flags.refFlag("parent").pipe(
      Flag.withDescription("The ref below, whose files this one's layer changes (default: none, it is a base)"),
      Flag.optional
    ),
    description: Flag.String("description").pipe(
      Flag.withMetavar("TEXT"),
      Flag.withDescription("What the layer was made by; it becomes the layer's line in an image's history"),
      Flag.optional
    ),
    created: Created.flag,
    at: Flag.String("at").pipe(
      Flag.withMetavar("DIR"),
      Flag.withDescription("The directory in the image where a directory's content lands, or the file (default: /)"),
      Flag.withDefault("/")
    ),
    replace: Flag.Boolean("replace").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Replace a ref of this name that has other content (default: fail)"),
      Flag.withDefault(false)
    ),
    store: Store.flag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Layer.mergeAll(Store.layer(input.store), NodeHash.layer, NodeCompression.layer))
).pipe(
  Command.withDescription(
    "Make a layer of files on disk and keep it under a name. A directory becomes a reproducible layer: sorted, owned " +
      "by 0:0, every file dated 1970-01-01T00:00:01Z."
  ),
  Command.withShortDescription("Make a layer and give it a name"),
  Command.withExamples([
    { command: "effect-oci ref add base ./rootfs.tar.gz", description: "A base, from a layer's archive" },
    {
      command: "effect-oci ref add app ./dist --parent base --at /app --description 'COPY dist /app'",
      description: "What was built, on top of it"
    },
    {
      command: "SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) effect-oci ref add app ./dist --replace",
      description: "With the time of the last commit, for a digest that can be had again"
    }
  ])
)
