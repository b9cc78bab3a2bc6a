/**
 * Images as refs: each layer of an image becomes a ref on top of the one below it, so that other images can be exported from
 * them.
 *
 * @since 0.1.0
 */
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import type * as Platform from "@effect-oci/schema/Platform"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as BaseImage from "./BaseImage.ts"
import * as BlobStore from "./BlobStore.ts"
import type * as CacheRef from "./CacheRef.ts"
import * as Copy from "./Copy.ts"
import * as HistoryItems from "./internal/historyItems.ts"
import * as RefStore from "./RefStore.ts"

/**
 * Error raised where an image has no layers, and so nothing that could become a ref.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoLayers extends Schema.TaggedError<NoLayers>("@effect-oci/core/NoLayers")("NoLayers", {
  digest: Digest.Digest
}) {
  override get message(): string {
    return `the image ${this.digest} has no layers: expected at least one to make refs of`
  }
}

/**
 * Any of the reasons why an image cannot be made refs of.
 *
 * @category errors
 * @since 0.1.0
 */
export type RefImportError =
  | BaseImage.BaseImageError
  | BlobStore.BlobStoreError
  | Copy.BlobFailed
  | NoLayers
  | RefStore.RefStoreError

/**
 * How an image is made refs of.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The name of the uppermost ref. Those below are `NAME.0` for the base, `NAME.1`, and so on. */
  readonly name: string
  /** Where the image's blobs are. */
  readonly source: BlobStore.Store
  /** The platform that is taken from an index; without one it has to be the only one. */
  readonly platform?: Platform.Platform
  /** Replaces refs of these names that have other content: fail unless given. */
  readonly replace?: boolean
  /** Where the refs come from, for people to read. */
  readonly origin?: string
}

/**
 * A ref that was made of a layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Imported {
  readonly name: string
  readonly document: RefDocument.RefDocument
}

/**
 * Makes refs of an image's layers, base first, and copies the layers that the store does not have.
 *
 * **Details**
 *
 * Each is described by the item of the history that made it, and has its time. Where the history does not fit the layers,
 * which is logged as a warning, they have neither. Items without a layer, such as those of settings, make no ref. That a
 * layer has its diff ID is taken from the config; an export or a validation finds out where it does not hold.
 *
 * A layer that was copied stays, so that an import that was stopped goes on. The refs are added when all layers are there. An
 * equal image is imported again without a change.
 *
 * **Example** (Importing a base image)
 *
 * ```ts
 * import * as RefImport from "@effect-oci/core/RefImport"
 * import type * as Copy from "@effect-oci/core/Copy"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const importBase = ({ blobs, images }: Copy.Place) =>
 *   Effect.flatMap(images.resolve(Option.some("24")), (image) =>
 *     RefImport.run(image, { name: "node", source: blobs, platform: { os: "linux", architecture: "amd64" } }))
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fn("RefImport.run")(function*(
  image: Descriptor.Descriptor,
  options: Options
): Effect.fn.Return<ReadonlyArray<Imported>, RefImportError, BlobStore.BlobStore | RefStore.RefStore> {
  const { platform, source } = options
  const base = yield* Effect.provideService(BaseImage.read(image, platform), BlobStore.BlobStore, source)
  const { config, layers } = base
  if (layers.length === 0) return yield* new NoLayers({ digest: image.digest })
  const items = HistoryItems.ofLayers(config.value.history, layers.length)
  const content = layers.map(({ descriptor, diffId }, index): Content => {
    const item = items?.[index]
    const description = HistoryItems.description(item)
    const encoder = Descriptor.encoder(descriptor)
    return {
      ...(description === "" ? {} : { description }),
      ...(item?.created === undefined ? {} : { created: item.created }),
      ...RefDocument.ofLayer({ descriptor, diffId, ...(encoder === undefined ? {} : { encoder }) })
    }
  })
  yield* checkNames(options.name, content.length)
  if (items === undefined) {
    yield* Effect.logWarning(
      `the history of ${image.digest} does not fit its ${layers.length} layers: the refs have no descriptions and no times`
    )
  }
  return yield* add(content, options)
})

/**
 * Makes refs of a chain of refs of another source, base first, and copies the layers that the store does not have. `source` has
 * the blobs of their layers.
 *
 * **Details**
 *
 * As {@link run} does it for the layers of an image. Each ref keeps its description, its time and its layer; its name is a new
 * one.
 *
 * @category running
 * @since 0.1.0
 */
export const chain = Effect.fn("RefImport.chain")(function*(
  refs: ReadonlyArray<CacheRef.Ref>,
  options: Omit<Options, "platform">
): Effect.fn.Return<
  ReadonlyArray<Imported>,
  BlobStore.BlobStoreError | Copy.BlobFailed | RefStore.RefStoreError,
  BlobStore.BlobStore | RefStore.RefStore
> {
  yield* checkNames(options.name, refs.length)
  return yield* add(
    refs.map(({ createdAt, description, layer }): Content => ({
      ...(description === "" ? {} : { description }),
      ...(createdAt === undefined ? {} : { created: createdAt }),
      ...(layer === undefined ? {} : RefDocument.ofLayer(layer))
    })),
    options
  )
})

/** A ref before it has a name, a parent and an origin. */
type Content = Omit<RefDocument.RefDocument, "origin" | "parent">

const nameAt = (name: string, index: number, length: number): string => index === length - 1 ? name : `${name}.${index}`

const checkNames = (name: string, length: number): Effect.Effect<void, RefStore.InvalidRefName> => {
  // Of those below, the last one has the longest name
  const invalid = [name, nameAt(name, Math.max(0, length - 2), length)].find((name) => !RefDocument.isName(name))
  return invalid === undefined ? Effect.void : Effect.fail(new RefStore.InvalidRefName({ ref: invalid }))
}

/** Copies the layers, then adds the refs on top of each other. */
const add = Effect.fnUntraced(function*(
  content: ReadonlyArray<Content>,
  { name, origin, replace = false, source }: Omit<Options, "platform">
) {
  const refs = yield* RefStore.RefStore
  const target = yield* BlobStore.BlobStore
  const imported = content.map((document, index): Imported => ({
    name: nameAt(name, index, content.length),
    document: {
      ...(index === 0 ? {} : { parent: nameAt(name, index - 1, content.length) }),
      ...document,
      ...(origin === undefined ? {} : { origin })
    }
  }))
  // Without its layer, wherever that might be fetched, a ref is of no use
  const wanted = content.flatMap(({ layer }) =>
    layer === undefined ? [] : [{ mediaType: layer.mediaType, digest: layer.digest, size: layer.size }]
  )
  const distinct = [...new Map(wanted.map((blob) => [`${blob.digest} ${blob.size}`, blob])).values()]
  return yield* BlobStore.staged(
    Copy.blobs(distinct, source, target),
    () =>
      Effect.as(
        Effect.forEach(imported, ({ document, name }) => refs.add(name, document, { replace }), { discard: true }),
        imported
      )
  )
})
