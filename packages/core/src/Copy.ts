/**
 * Copies of images: from one store to another, whatever each of them is.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { PlatformMismatch } from "./BaseImage.ts"
import * as BlobStore from "./BlobStore.ts"
import * as Conversion from "./Conversion.ts"
import type { MissingPlatform } from "./ExportConfig.ts"
import * as Hash from "./Hash.ts"
import * as ImageStore from "./ImageStore.ts"
import * as ImageTree from "./ImageTree.ts"
import type { MediaTypes } from "./ImageWriter.ts"
import * as CopyPlan from "./internal/copyPlan.ts"
import * as Progress from "./Progress.ts"

/**
 * Error raised where a blob cannot be copied. The target has nothing of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class BlobFailed extends Schema.TaggedError<BlobFailed>("@effect-oci/core/BlobFailed")("BlobFailed", {
  digest: Digest.Digest,
  mediaType: Schema.String,
  cause: BlobStore.BlobStoreError
}) {
  override get message(): string {
    return `failed to copy ${this.digest} (${this.mediaType || "no media type"})`
  }
}

/**
 * Any of the reasons why an image cannot be copied.
 *
 * @category errors
 * @since 0.1.0
 */
export type CopyError =
  | BlobFailed
  | BlobStore.BlobStoreError
  | Conversion.ConversionRefused
  | ImageStore.ImageStoreError
  | ImageTree.DocumentUnreadable
  | ImageTree.ImageTooLarge
  | MissingPlatform
  | PlatformMismatch

/**
 * Where images are: a store of names, and the store of the blobs that they lead to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Place {
  readonly blobs: BlobStore.Store
  readonly images: ImageStore.ImageStore["Service"]
}

/**
 * The place that is provided.
 *
 * @category models
 * @since 0.1.0
 */
export const place: Effect.Effect<Place, never, BlobStore.BlobStore | ImageStore.ImageStore> = Effect.gen(function*() {
  return { blobs: yield* BlobStore.BlobStore, images: yield* ImageStore.ImageStore }
})

/**
 * How an image is copied.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly source: Place
  readonly target: Place
  /** The name in the target; none for its unnamed image. */
  readonly as: Option.Option<string>
  /** The platform that is taken from an index. Of an image of one platform, it has to be this. */
  readonly platform?: Platform.Platform
  /**
   * Takes an index whole, with its attestations; together with a platform, an index of that platform's image and of what
   * refers to it. Otherwise one image is taken, the only one there unless a platform is given.
   */
  readonly all?: boolean
  /** Whose media types the copy has: those that the image has, unless given. */
  readonly format?: MediaTypes
  /** How many blobs are copied at once: 6 unless given. */
  readonly concurrency?: number
}

/**
 * An image that has been copied: its descriptor in the target, and its blobs beside manifests and indexes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Copied extends CopiedBlobs {
  readonly descriptor: Descriptor.Descriptor
}

const kindOf = ({ mediaType }: Descriptor.Descriptor): string =>
  MediaType.isConfig(mediaType) ? "config" : MediaType.isLayer(mediaType) ? "layer" : "blob"

/**
 * A blob is put where it stays, so that a copy that was stopped goes on there. The `stage` is asked whether it is there: what
 * it has found, it keeps from those who collect garbage until the image has its name.
 */
const copyBlob = Effect.fnUntraced(function*(
  descriptor: Descriptor.Descriptor,
  source: BlobStore.Store,
  target: BlobStore.Store,
  stage: BlobStore.Store
) {
  if (yield* stage.has(descriptor)) return "present" as const
  if ((descriptor.urls ?? []).length > 0 && !(yield* source.has(descriptor))) return "skipped" as const
  const id = `copying ${kindOf(descriptor)} ${Digest.encoded(descriptor.digest).slice(0, 12)}`
  const into = (store: BlobStore.Store) =>
    Progress.counted(
      id,
      (onRead) => BlobStore.transfer(descriptor, source, store, onRead),
      { total: descriptor.size }
    ).pipe(Progress.oneOff(id))
  yield* into(target)
  // Collected as garbage before it was held
  if (!(yield* stage.has(descriptor))) yield* into(stage)
  return "copied" as const
})

/**
 * What became of each blob of a copy.
 *
 * @category models
 * @since 0.1.0
 */
export interface CopiedBlobs {
  readonly copied: ReadonlyArray<Descriptor.Descriptor>
  /** Those that the target had. */
  readonly present: ReadonlyArray<Descriptor.Descriptor>
  /** Layers that are to be fetched from their `urls`, and that the source does not have either. */
  readonly skipped: ReadonlyArray<Descriptor.Descriptor>
}

/**
 * Copies blobs that the store does not have, few at once, and tells the progress of each. They are put into `target`, where
 * they stay; the store that is provided is `target` or a stage of it, which keeps them from being collected as garbage before
 * anything names them.
 *
 * @category combinators
 * @since 0.1.0
 */
export const blobs = Effect.fnUntraced(function*(
  descriptors: ReadonlyArray<Descriptor.Descriptor>,
  source: BlobStore.Store,
  target: BlobStore.Store,
  concurrency = 6
): Effect.fn.Return<CopiedBlobs, BlobFailed, BlobStore.BlobStore> {
  const stage = yield* BlobStore.BlobStore
  const outcomes = yield* Effect.forEach(
    descriptors,
    (descriptor) =>
      copyBlob(descriptor, source, target, stage).pipe(
        Effect.map((outcome) => ({ descriptor, outcome })),
        Effect.mapError((cause) =>
          new BlobFailed({ digest: descriptor.digest, mediaType: descriptor.mediaType, cause })
        )
      ),
    { concurrency }
  )
  const those = (which: keyof CopiedBlobs) =>
    outcomes.flatMap(({ descriptor, outcome }) => outcome === which ? [descriptor] : [])
  return { copied: those("copied"), present: those("present"), skipped: those("skipped") }
})

/** The names that an image had where it was are not those of the copy. */
const unnamed = ({ annotations = {}, ...rest }: Descriptor.Descriptor): Descriptor.Descriptor => {
  const { [Annotations.imageName]: _, [Annotations.refName]: _ref, ...kept } = annotations
  return Object.keys(kept).length === 0 ? rest : { ...rest, annotations: kept }
}

const converted = Effect.fnUntraced(function*(
  { documents, root }: CopyPlan.Plan,
  format: MediaTypes | undefined
): Effect.fn.Return<
  ReadonlyArray<Conversion.Document>,
  Conversion.ConversionRefused | ImageTree.DocumentUnreadable,
  Hash.Hash
> {
  if (format === undefined) return documents
  const hash = yield* Hash.Hash
  const { digest, mediaType } = root
  const unreadable = (cause: Json.Problem | Conversion.ConversionRefused) =>
    cause._tag === "ConversionRefused" ? cause : new ImageTree.DocumentUnreadable({ digest, mediaType, cause })
  return yield* Effect.fromResult(Result.mapError(Conversion.convert(documents, format, hash), unreadable))
})

/**
 * Copies an image, given by its descriptor or by its name in the source.
 *
 * **Details**
 *
 * All documents are read first, each once, and verified. Then the blobs come that the target does not have, in whichever way
 * is the fastest: taken over where the target can, streamed otherwise, and verified on their way. Each is there for good when
 * it is there, so a copy that was stopped goes on where it was. Manifests and indexes are held back until all blobs are
 * there, and appear with the name: a copy that fails leaves no image, and what the name meant before stays.
 *
 * Documents keep their bytes, and so their digests, unless `format` asks for other media types, or `platform` for a part of
 * an index. What refers to the image by its `subject` comes with it only where the index lists it.
 *
 * **Example** (Copying an index with everything in it)
 *
 * ```ts
 * import * as Copy from "@effect-oci/core/Copy"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const backUp = (source: Copy.Place, target: Copy.Place) =>
 *   Copy.image("latest", { source, target, as: Option.some("latest"), all: true }).pipe(
 *     Effect.map(({ copied, descriptor }) => `${descriptor.digest}: ${copied.length} blobs copied`)
 *   )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const image = Effect.fn("Copy.image")(function*(
  image: Descriptor.Descriptor | string,
  options: Options
): Effect.fn.Return<Copied, CopyError, Hash.Hash> {
  const { as, concurrency, format, platform, source, target } = options
  // What no store takes; a layout and a registry each take some that the other does not
  if (Option.isSome(as) && !ImageStore.isName(as.value) && !ImageReference.isTag(as.value)) {
    return yield* new ImageStore.InvalidImageName({ name: as.value, expected: ImageStore.nameRule })
  }
  const found = typeof image === "string" ? yield* source.images.resolve(Option.some(image)) : image
  const plan = yield* Effect.provideService(
    CopyPlan.make(found, { all: options.all ?? false, platform }),
    BlobStore.BlobStore,
    source.blobs
  )
  const documents = yield* converted(plan, format)
  const root = unnamed(documents.at(-1)?.descriptor ?? plan.root)
  if (root.digest !== plan.root.digest) {
    const family = format === "docker" ? "Docker's" : "OCI's"
    yield* Effect.logInfo(
      `media types become ${family}, which changes the digest ${plan.root.digest} to ${root.digest}`
    )
  }
  const copyAll = Effect.gen(function*() {
    const { put } = yield* BlobStore.BlobStore
    const copied = yield* blobs(plan.blobs, source.blobs, target.blobs, concurrency)
    for (const { descriptor, parsed } of documents) {
      yield* put(Stream.succeed(parsed.document.bytes), descriptor)
    }
    return { descriptor: root, ...copied }
  })
  return yield* ImageStore.publish(as, copyAll).pipe(
    Effect.provideService(BlobStore.BlobStore, target.blobs),
    Effect.provideService(ImageStore.ImageStore, target.images)
  )
})
