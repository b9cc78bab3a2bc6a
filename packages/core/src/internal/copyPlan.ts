/**
 * What belongs to an image: all its documents, read and checked, and the blobs that they name.
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as BaseImage from "../BaseImage.ts"
import type { BlobStore } from "../BlobStore.ts"
import * as Conversion from "../Conversion.ts"
import type { MissingPlatform } from "../ExportConfig.ts"
import * as Hash from "../Hash.ts"
import * as ImageTree from "../ImageTree.ts"
import * as DocumentEdit from "./documentEdit.ts"

export interface Plan {
  readonly root: Descriptor.Descriptor
  /** Those that are named come before those that name them. */
  readonly documents: ReadonlyArray<Conversion.Document>
  /** Configs, layers and whatever else, each once. */
  readonly blobs: ReadonlyArray<Descriptor.Descriptor>
}

type Failure =
  | ImageTree.DocumentUnreadable
  | ImageTree.ImageTooLarge
  | BaseImage.PlatformMismatch
  | MissingPlatform

/** Descriptors that have it in common lead to the same. A size that is wrong does not hide behind one that is right. */
const keyOf = ({ digest, mediaType, size }: Descriptor.Descriptor): string =>
  `${MediaType.isIndex(mediaType) ? "index" : MediaType.isManifest(mediaType) ? "manifest" : "blob"} ${digest} ${size}`

const isForeign = ({ urls = [] }: Descriptor.Descriptor): boolean => urls.length > 0

/** The image of a platform where an index has several. */
const chosen = Effect.fnUntraced(function*(
  reader: ImageTree.Reader,
  root: Descriptor.Descriptor,
  platform: Platform.Platform | undefined
): Effect.fn.Return<Descriptor.Descriptor, Failure, BlobStore> {
  let descriptor = root
  for (let level = 1; MediaType.isIndex(descriptor.mediaType); level++) {
    const { digest } = descriptor
    if (level > ImageTree.maxLevels) return yield* new ImageTree.ImageTooLarge({ digest, limit: "levels" })
    const index = yield* reader.read(descriptor, ImageIndex.parse)
    descriptor = yield* Effect.fromResult(BaseImage.choose(digest, index.value, platform))
  }
  return descriptor
})

const unreadable = ({ digest, mediaType }: Descriptor.Descriptor) => (cause: Json.Problem) =>
  new ImageTree.DocumentUnreadable({ digest, mediaType, cause })

/** An index with the image of one platform, and what refers to that, alone. */
const narrowed = Effect.fnUntraced(function*(
  index: Conversion.Document & { readonly _tag: "Index" },
  platform: Platform.Platform
): Effect.fn.Return<Conversion.Document, Failure, Hash.Hash> {
  const { descriptor, parsed } = index
  const image = yield* Effect.fromResult(BaseImage.choose(descriptor.digest, parsed.value, platform))
  const belongs = ({ annotations, digest }: Descriptor.Descriptor): boolean =>
    digest === image.digest || annotations?.[Annotations.referenceDigest] === image.digest
  if (parsed.value.manifests.every(belongs)) return index
  const hash = yield* Hash.Hash
  return yield* Effect.fromResult(
    DocumentEdit.index(parsed, undefined, (child) => belongs(child) ? child : undefined).pipe(
      Result.flatMap((bytes) => Conversion.changed(index, descriptor.mediaType, bytes, hash)),
      Result.mapError(unreadable(descriptor))
    )
  )
})

/**
 * Reads the documents of an image. Each is read once, however often it is named: an index that lists one manifest 100,000
 * times is as quick as its own reading.
 */
export const make = Effect.fnUntraced(function*(
  image: Descriptor.Descriptor,
  { all, platform }: { readonly all: boolean; readonly platform: Platform.Platform | undefined }
): Effect.fn.Return<Plan, Failure, BlobStore | Hash.Hash> {
  const reader = ImageTree.reader()
  const documents: Array<Conversion.Document> = []
  const blobs = new Map<string, Descriptor.Descriptor>()
  const seen = new Set<string>()
  const isNew = (descriptor: Descriptor.Descriptor): boolean => !seen.has(keyOf(descriptor))

  const addBlob = (descriptor: Descriptor.Descriptor): void => {
    const key = keyOf(descriptor)
    const known = blobs.get(key)
    // What one manifest wants to be there is not left out for another that does not
    if (known === undefined || (isForeign(known) && !isForeign(descriptor))) blobs.set(key, descriptor)
  }

  const checkPlatform = Effect.fnUntraced(function*({ digest }: Descriptor.Descriptor, config: Descriptor.Descriptor) {
    if (platform === undefined || !MediaType.isConfig(config.mediaType)) return
    const { value } = yield* reader.read(config, ImageConfig.parse)
    yield* Effect.fromResult(BaseImage.platformFor(digest, value, platform))
  })

  const walk = (
    descriptor: Descriptor.Descriptor,
    level: number
  ): Effect.Effect<Descriptor.Descriptor, Failure, BlobStore | Hash.Hash> =>
    Effect.gen(function*() {
      const { digest, mediaType } = descriptor
      seen.add(keyOf(descriptor))
      if (level > ImageTree.maxLevels) return yield* new ImageTree.ImageTooLarge({ digest, limit: "levels" })
      if (MediaType.isIndex(mediaType)) {
        const parsed = yield* reader.read(descriptor, ImageIndex.parse)
        yield* Effect.fromResult(reader.count(digest, parsed.value.manifests.length))
        const index = { _tag: "Index", descriptor, parsed } as const
        const document = level === 1 && platform !== undefined ? yield* narrowed(index, platform) : index
        if (document._tag === "Index") {
          for (const child of document.parsed.value.manifests) if (isNew(child)) yield* walk(child, level + 1)
        }
        documents.push(document)
        return document.descriptor
      }
      if (MediaType.isManifest(mediaType)) {
        const parsed = yield* reader.read(descriptor, ImageManifest.parse)
        const { config, layers } = parsed.value
        yield* Effect.fromResult(reader.count(digest, layers.length + 1))
        if (level === 1) yield* checkPlatform(descriptor, config)
        for (const blob of [config, ...layers]) addBlob(blob)
        documents.push({ _tag: "Manifest", descriptor, parsed })
      } else {
        addBlob(descriptor)
      }
      return descriptor
    })

  const root = yield* walk(all ? image : yield* chosen(reader, image, platform), 1)
  return { root, documents, blobs: [...blobs.values()] }
})
