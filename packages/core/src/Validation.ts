/**
 * The truth about an image: every problem of its documents and its blobs, each with its place.
 *
 * Follows image-spec 1.1 and, for what only Docker writes, its image manifest version 2, schema 2.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { BlobStore } from "./BlobStore.ts"
import type { Compression } from "./Compression.ts"
import { Hash } from "./Hash.ts"
import { type Image, ImageStore, type ImageStoreError } from "./ImageStore.ts"
import * as BlobContent from "./internal/blobContent.ts"
import * as DocumentCheck from "./internal/documentCheck.ts"
import * as DocumentWalk from "./internal/documentWalk.ts"
import * as ImageCheck from "./internal/imageCheck.ts"
import * as Reference from "./internal/reference.ts"
import * as Issue from "./Issue.ts"

/**
 * How far a check goes: most descriptors that it follows, and most documents from the first to a manifest.
 *
 * @category constants
 * @since 0.1.0
 */
export const limits = { descriptors: 100_000, levels: 8 } as const

type Issues = ReadonlyArray<Issue.Issue>

/** A layer of an image: what it should hash to, uncompressed, and where that is said. */
interface Layer {
  readonly reference: Reference.Findable
  readonly index: number
  readonly compression: MediaType.Compression
  readonly diffId: Digest.Digest | undefined
  readonly diffIdAt: Issue.Location
}

/** The layers of an image whose content can be looked into; `config` is absent where it could not be read. */
const layersOf = (image: DocumentWalk.Image, config: DocumentCheck.Members | undefined): ReadonlyArray<Layer> => {
  const diffIds = DocumentCheck.asList(DocumentCheck.asMembers(config?.["rootfs"])["diff_ids"])
  return image.layers.flatMap((reference, index) => {
    const compression = MediaType.compression(reference.mediaType)
    if (Option.isNone(compression) || !Reference.isFindable(reference)) return []
    const diffId = diffIds[index]
    return [{
      reference,
      index,
      compression: compression.value,
      diffId: typeof diffId === "string" ? Option.getOrUndefined(Result.getSuccess(Digest.parse(diffId))) : undefined,
      diffIdAt: { path: image.config.digestText, pointer: `/rootfs/diff_ids/${index}` }
    }]
  })
}

/** Checks the configs of images, and gives the layers that are to be checked against them. */
const checkConfigs = Effect.fnUntraced(function*(found: DocumentWalk.Found) {
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  const layers: Array<Layer> = []
  const imagesOf = new Map<string, Array<DocumentWalk.Image>>()
  for (const image of found.images) {
    const images = imagesOf.get(image.config.digestText)
    if (images === undefined) imagesOf.set(image.config.digestText, [image])
    else images.push(image)
  }
  yield* DocumentWalk.readDocuments(found, found.images.map((image) => image.config), ({ digest }, bytes) => {
    const { isJson, issues, members } = DocumentCheck.config(digest, bytes)
    const own = [...issues, ...ImageCheck.times(digest, members, now)]
    const images = imagesOf.get(digest) ?? []
    if (isJson) imagesOf.delete(digest)
    const related = isJson
      ? images.flatMap((image) => [
        ...ImageCheck.counts(digest, members, image.layers.length),
        ...ImageCheck.platform(image.manifest, members)
      ])
      : []
    for (const issue of [...own, ...related]) found.issues.push(issue)
    if (isJson) { for (const image of images) layers.push(...layersOf(image, members)) }
  })
  for (const images of imagesOf.values()) for (const image of images) layers.push(...layersOf(image, undefined))
  return layers
})

/** Reads what `keyOf` tells apart, each once and few at a time, and gives what each was found to be. */
const readEach = Effect.fnUntraced(function*<A, B, R>(
  all: ReadonlyArray<A>,
  keyOf: (one: A) => string,
  read: (one: A) => Effect.Effect<B, never, R>
) {
  const byKey = new Map(all.map((one) => [keyOf(one), one]))
  const outcomes = new Map<string, B>()
  yield* Effect.forEach(byKey, ([key, one]) => Effect.map(read(one), (outcome) => outcomes.set(key, outcome)), {
    concurrency: DocumentWalk.concurrency,
    discard: true
  })
  return all.flatMap((one) => {
    const outcome = outcomes.get(keyOf(one))
    return outcome === undefined ? [] : [[one, outcome] as const]
  })
})

const algorithmOf = (layer: Layer): Digest.Algorithm =>
  layer.diffId === undefined ? "sha256" : Digest.algorithm(layer.diffId)

const isNondistributable = (mediaType: string): boolean =>
  Option.exists(MediaType.find(mediaType), (entry) => entry.kind === "layer" && !entry.distributable)

const checkLayer = (
  { compression, diffId, diffIdAt, index, reference }: Layer,
  read: Result.Result<BlobContent.Verified<BlobContent.LayerContent>, Issue.Fact>
): Issues => {
  const { digest, mediaType } = reference
  if (Result.isFailure(read)) {
    if (read.failure._tag === "BlobMissing" && isNondistributable(mediaType)) {
      const reason = "it is not there, as its media type allows"
      return [Issue.make(Issue.inside(reference.at, "digest"), { _tag: "NotChecked", digest, reason })]
    }
    return Reference.outcome(reference, read)
  }
  const issues = Reference.outcome(reference, read)
  const content = read.success.value
  if ("fact" in content) {
    const member = content.fact._tag === "CorruptLayer" && compression !== "uncompressed" ? "digest" : "mediaType"
    return [...issues, Issue.make(Issue.inside(reference.at, member), content.fact)]
  }
  return diffId === undefined || content.diffId === diffId ? issues : [
    ...issues,
    Issue.make(diffIdAt, { _tag: "DiffIdMismatch", layer: index, digest, expected: content.diffId, found: diffId })
  ]
}

const checkLayers = Effect.fnUntraced(function*(layers: ReadonlyArray<Layer>) {
  const read = yield* readEach(
    layers,
    (layer) => `${layer.compression} ${algorithmOf(layer)} ${layer.reference.digest}`,
    (layer) => {
      const { digest, size } = layer.reference
      return BlobContent.layer(digest, size ?? 0, layer.compression, algorithmOf(layer))
    }
  )
  return read.flatMap(([layer, outcome]) => checkLayer(layer, outcome))
})

const readOpaque = (references: ReadonlyArray<Reference.Reference>) =>
  readEach(
    references.filter(Reference.isFindable),
    ({ digest }) => digest,
    ({ digest, size }) => BlobContent.opaque(digest, size ?? 0)
  )

const checkSubjects = Effect.fnUntraced(function*(references: ReadonlyArray<Reference.Reference>) {
  const read = yield* readOpaque(references)
  return read.flatMap(([reference, outcome]) =>
    Result.isFailure(outcome) && outcome.failure._tag === "BlobMissing"
      ? [Issue.make(Issue.inside(reference.at, "digest"), { _tag: "SubjectMissing", digest: reference.digest })]
      : Reference.outcome(reference, outcome)
  )
})

/** Checks everything that descriptors lead to. */
const checkAll = Effect.fnUntraced(function*(
  roots: ReadonlyArray<DocumentWalk.Descriptor>
): Effect.fn.Return<Issues, never, BlobStore | Hash | Compression> {
  const found = yield* DocumentWalk.walk(roots, limits, yield* Hash)
  const layers = yield* checkConfigs(found)
  const unknown = found.images.flatMap((image) =>
    image.layers.filter((layer) => Option.isNone(MediaType.compression(layer.mediaType)))
  )
  const opaque = yield* readOpaque([...found.opaque, ...unknown])
  return [
    ...found.issues,
    ...(yield* checkLayers(layers)),
    ...opaque.flatMap(([reference, outcome]) => Reference.outcome(reference, outcome)),
    ...(yield* checkSubjects(found.subjects))
  ]
})

/**
 * Checks an image, or an index of images, and gives every problem.
 *
 * **Details**
 *
 * The descriptor's own place has the path `descriptor` unless another one is given. All documents are checked against
 * image-spec's schemas, and against each other; all blobs are read, and layers decompressed, so that sizes, digests and
 * diff IDs are known to be true. Manifests that are not of images (attestations, artifacts) are sound whatever their
 * blobs hold. Bad content and stores that fail are issues, never errors.
 *
 * Every blob is read once, four at a time, and no layer is held in memory. At most 100,000 descriptors are followed, and
 * at most eight documents from the first one to a manifest.
 *
 * **Example** (Checking an image before it is used)
 *
 * ```ts
 * import type * as Descriptor from "@effect-oci/schema/Descriptor"
 * import * as Validation from "@effect-oci/core/Validation"
 * import * as Effect from "effect/Effect"
 *
 * const isSound = (image: Descriptor.Descriptor) =>
 *   Effect.map(Validation.check(image), (issues) => !issues.some((issue) => issue.severity === "error"))
 * ```
 *
 * @category validation
 * @since 0.1.0
 */
export const check: (
  image: Descriptor.Descriptor,
  at?: Issue.Location
) => Effect.Effect<ReadonlyArray<Issue.Issue>, never, BlobStore | Hash | Compression> = Effect.fn("Validation.check")(
  function*(image, at = { path: "descriptor", pointer: "" }) {
    return yield* checkAll([[image, at]])
  }
)

/** What keeps a store of images from telling what it holds. */
const ofStore = (error: ImageStoreError): Issue.Issue => {
  switch (error._tag) {
    case "StoreMissing":
      return Issue.make({ path: error.path, pointer: "" }, { _tag: "FileMissing" })
    case "StoreUnreadable": {
      const pointer = error.cause._tag === "LimitExceeded" ? "" : error.cause.pointer
      return Issue.make({ path: error.path, pointer }, DocumentCheck.toFact(error.cause))
    }
    default:
      return Issue.make({ path: "path" in error ? error.path : "images", pointer: "" }, {
        _tag: "Unreadable",
        reason: error.message
      })
  }
}

/** Checks the names of images: an issue for each that comes again, and one where a wanted name is not there. */
const checkNames = (
  names: ReadonlyArray<{ readonly name: string; readonly at: Issue.Location }>,
  wanted: Option.Option<string>,
  list: Issue.Location
): Issues => {
  const seen = new Set<string>()
  const twice = names.flatMap(({ at, name }) => {
    const isNew = !seen.has(name)
    seen.add(name)
    return isNew ? [] : [Issue.make(at, { _tag: "DuplicateName", name })]
  })
  return Option.isSome(wanted) && !seen.has(wanted.value)
    ? [...twice, Issue.make(list, { _tag: "ImageMissing", name: wanted.value, names: [...seen] })]
    : twice
}

const nameAt = (at: Issue.Location): Issue.Location => Issue.inside(at, "annotations", Annotations.refName)

/**
 * Checks the image of a name in a store of images, or all its images, and gives every problem.
 *
 * **Details**
 *
 * As {@link check}. The place of an image's descriptor is that among the store's images, with the path `images`: to
 * check a whole layout, files included, use {@link checkLayout}.
 *
 * @category validation
 * @since 0.1.0
 */
export const checkImages: (
  name: Option.Option<string>
) => Effect.Effect<ReadonlyArray<Issue.Issue>, never, BlobStore | ImageStore | Hash | Compression> = Effect.fn(
  "Validation.checkImages"
)(function*(wanted) {
  const list = { path: "images", pointer: "" }
  const listed = yield* Effect.result(ImageStore.use((store) => store.list))
  if (Result.isFailure(listed)) return [ofStore(listed.failure)]
  const images = listed.success.map(({ descriptor, name }, index) => ({
    descriptor,
    name,
    at: Issue.inside(list, index)
  }))
  const isWanted = ({ name }: Pick<Image, "name">): boolean =>
    Option.isNone(wanted) || Option.getOrUndefined(name) === wanted.value
  const names = images.flatMap(({ at, name }) => Option.isSome(name) ? [{ name: name.value, at: nameAt(at) }] : [])
  return [
    ...checkNames(names, wanted, list),
    ...(yield* checkAll(images.filter(isWanted).map(({ at, descriptor }) => [descriptor, at])))
  ]
})

/**
 * The files of an image layout beside its blobs: what they hold, or why that is not known.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayoutFiles {
  /** `oci-layout` */
  readonly marker: Result.Result<Uint8Array, Issue.Fact>
  /** `index.json` */
  readonly index: Result.Result<Uint8Array, Issue.Fact>
}

const checkMarker = (marker: LayoutFiles["marker"]): Issues => {
  const path = "oci-layout"
  return Result.isFailure(marker)
    ? [Issue.make({ path, pointer: "" }, marker.failure)]
    : DocumentCheck.layout(path, marker.success)
}

/**
 * Checks an image layout, or the image of a name in it, and gives every problem.
 *
 * **Details**
 *
 * As {@link check}, and also the files `oci-layout` and `index.json`, whose names are the paths of their issues. With a
 * name, only what it leads to is followed.
 *
 * @category validation
 * @since 0.1.0
 */
export const checkLayout: (
  files: LayoutFiles,
  name: Option.Option<string>
) => Effect.Effect<ReadonlyArray<Issue.Issue>, never, BlobStore | Hash | Compression> = Effect.fn(
  "Validation.checkLayout"
)(function*(files, wanted) {
  const path = "index.json"
  const marker = checkMarker(files.marker)
  if (Result.isFailure(files.index)) {
    return [...marker, Issue.make({ path, pointer: "" }, files.index.failure)]
  }
  const index = DocumentCheck.lister(path, files.index.success, undefined)
  const list = { path, pointer: "/manifests" }
  const all = DocumentWalk.elements(DocumentCheck.own(index.members, "manifests"), list)
  const nameOf = (value: unknown): unknown =>
    DocumentCheck.own(
      DocumentCheck.asMembers(DocumentCheck.asMembers(value)["annotations"]),
      Annotations.refName
    )
  const names = all.flatMap(([value, at]) => {
    const name = nameOf(value)
    return typeof name === "string" ? [{ name, at: nameAt(at) }] : []
  })
  const roots = all.filter(([value]) => Option.isNone(wanted) || nameOf(value) === wanted.value)
  return [
    ...marker,
    ...index.issues,
    ...(index.isJson ? checkNames(names, wanted, list) : []),
    ...(yield* checkAll(roots))
  ]
})
