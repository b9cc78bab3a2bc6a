/**
 * An image with all its documents in memory: what its descriptor leads to, down to its configs, and no layers.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as BlobStore from "./BlobStore.ts"
import * as Ambiguity from "./internal/ambiguity.ts"

/**
 * Most bytes that the documents of one image may have together: 64 MiB, room for thousands of platforms.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxBytes = 64 * 1024 * 1024

/**
 * Most indexes inside each other, a manifest included.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLevels = 8

/**
 * Most descriptors that the documents of one image may name together, where that is counted.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxDescriptors = 100_000

/**
 * Error raised for a manifest with members of an index, or an index with those of a manifest, be they empty, or where a
 * document has another media type than its descriptor: programs differ in what they take it for.
 *
 * @category errors
 * @since 0.1.0
 */
export class AmbiguousDocument
  extends Schema.TaggedError<AmbiguousDocument>("@effect-oci/core/AmbiguousDocument")("AmbiguousDocument", {
    kind: Schema.Literals(["manifest", "index"]),
    members: Schema.Array(Schema.String)
  })
{
  override get message(): string {
    const names = this.members.map((member) => JSON.stringify(member)).join(" and ")
    const kind = this.kind === "manifest" ? "a manifest" : "an index"
    return `${names} ${this.members.length === 1 ? "does" : "do"} not fit ${kind} as its descriptor has it, and ` +
      `programs differ in what they take it for: have it written again, as one kind of document`
  }
}

/**
 * Error raised where a document of an image cannot be read from its store, or is not valid.
 *
 * @category errors
 * @since 0.1.0
 */
export class DocumentUnreadable
  extends Schema.TaggedError<DocumentUnreadable>("@effect-oci/core/DocumentUnreadable")("DocumentUnreadable", {
    digest: Digest.Digest,
    mediaType: Schema.String,
    cause: Schema.Union([
      BlobStore.BlobStoreError,
      Json.InvalidJson,
      Json.LimitExceeded,
      Json.UnexpectedJson,
      AmbiguousDocument
    ])
  })
{
  override get message(): string {
    return `cannot read ${this.digest} (${this.mediaType})`
  }
}

/**
 * Error raised where an image has more documents than are read, or more blobs.
 *
 * @category errors
 * @since 0.1.0
 */
export class ImageTooLarge
  extends Schema.TaggedError<ImageTooLarge>("@effect-oci/core/ImageTooLarge")("ImageTooLarge", {
    digest: Digest.Digest,
    limit: Schema.Literals(["bytes", "levels", "descriptors"])
  })
{
  override get message(): string {
    switch (this.limit) {
      case "bytes":
        return `the documents of the image have more than ${maxBytes} bytes: the first that is too many is ${this.digest}`
      case "levels":
        return `the image has more than ${maxLevels} indexes inside each other: the first that is too many is ${this.digest}`
      case "descriptors":
        return `the documents of the image name more than ${maxDescriptors} blobs: the first that is too many is in ${this.digest}`
    }
  }
}

/**
 * A manifest and its config. An artifact, whose config is not that of an image, has none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Image {
  readonly _tag: "Image"
  readonly descriptor: Descriptor.Descriptor
  readonly manifest: Json.Parsed<ImageManifest.ImageManifest>
  readonly config?: Json.Parsed<ImageConfig.ImageConfig>
}

/**
 * An index and what it lists, in its order.
 *
 * @category models
 * @since 0.1.0
 */
export interface Index {
  readonly _tag: "Index"
  readonly descriptor: Descriptor.Descriptor
  readonly index: Json.Parsed<ImageIndex.ImageIndex>
  readonly manifests: ReadonlyArray<ImageTree>
}

/**
 * A blob that is neither a manifest nor an index, and that is not read.
 *
 * @category models
 * @since 0.1.0
 */
export interface Other {
  readonly _tag: "Other"
  readonly descriptor: Descriptor.Descriptor
}

/**
 * What a descriptor leads to.
 *
 * @category models
 * @since 0.1.0
 */
export type ImageTree = Image | Index | Other

/**
 * Reads the documents of one image, which together may not be larger than an image's may.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader {
  /** Reads a document, verified, of at most 4 MiB, and parses it; one that is ambiguous is refused. */
  readonly read: <A>(
    descriptor: Descriptor.Descriptor,
    parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<A>, Json.Problem>
  ) => Effect.Effect<Json.Parsed<A>, DocumentUnreadable | ImageTooLarge, BlobStore.BlobStore>
  /** Counts descriptors that a document names. */
  readonly count: (digest: Digest.Digest, descriptors: number) => Result.Result<void, ImageTooLarge>
}

/** Refuses what may be taken for another kind of document than its descriptor says. */
const unambiguous = <A>(
  mediaType: string,
  parsed: Json.Parsed<A>
): Result.Result<Json.Parsed<A>, AmbiguousDocument> => {
  const kind = Ambiguity.kindOf(mediaType)
  if (kind === undefined) return Result.succeed(parsed)
  const { document } = parsed
  const own = Json.memberValue(document, "mediaType")
  const members = document.members.map(({ name }) => name).filter((name) =>
    Ambiguity.isForeign(kind, name) ||
    (name === "mediaType" && typeof own === "string" && own !== "" && own !== mediaType)
  )
  return members.length === 0 ? Result.succeed(parsed) : Result.fail(new AmbiguousDocument({ kind, members }))
}

/**
 * Makes a reader for one image.
 *
 * @category constructors
 * @since 0.1.0
 */
export const reader = (): Reader => {
  let bytes = 0
  let descriptors = 0
  return {
    read: Effect.fnUntraced(function*<A>(
      descriptor: Descriptor.Descriptor,
      parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<A>, Json.Problem>
    ) {
      const { digest, mediaType, size } = descriptor
      const unreadable = (cause: DocumentUnreadable["cause"]) => new DocumentUnreadable({ digest, mediaType, cause })
      if (size > Json.maxBytes) {
        return yield* unreadable(new Json.LimitExceeded({ document: "document", limit: Json.maxBytes, size }))
      }
      bytes += size
      if (bytes > maxBytes) return yield* new ImageTooLarge({ digest, limit: "bytes" })
      const content = yield* Effect.mapError(BlobStore.getBytes(descriptor), unreadable)
      return yield* Effect.fromResult(
        parse(content).pipe(
          Result.flatMap((parsed) => unambiguous<A>(mediaType, parsed)),
          Result.mapError(unreadable)
        )
      )
    }),
    count: (digest, more) => {
      descriptors += more
      return descriptors > maxDescriptors
        ? Result.fail(new ImageTooLarge({ digest, limit: "descriptors" }))
        : Result.succeed(undefined)
    }
  }
}

const load = (
  descriptor: Descriptor.Descriptor,
  level: number,
  reader: Reader
): Effect.Effect<ImageTree, DocumentUnreadable | ImageTooLarge, BlobStore.BlobStore> =>
  Effect.gen(function*() {
    if (level > maxLevels) return yield* new ImageTooLarge({ digest: descriptor.digest, limit: "levels" })
    if (MediaType.isIndex(descriptor.mediaType)) {
      const index = yield* reader.read(descriptor, ImageIndex.parse)
      const manifests = yield* Effect.forEach(index.value.manifests, (child) => load(child, level + 1, reader))
      return { _tag: "Index", descriptor, index, manifests }
    }
    if (!MediaType.isManifest(descriptor.mediaType)) return { _tag: "Other", descriptor }
    const manifest = yield* reader.read(descriptor, ImageManifest.parse)
    const { config } = manifest.value
    return MediaType.isConfig(config.mediaType)
      ? { _tag: "Image", descriptor, manifest, config: yield* reader.read(config, ImageConfig.parse) }
      : { _tag: "Image", descriptor, manifest }
  })

/**
 * Reads all documents that a descriptor leads to.
 *
 * @category constructors
 * @since 0.1.0
 */
export const get: (
  descriptor: Descriptor.Descriptor
) => Effect.Effect<ImageTree, DocumentUnreadable | ImageTooLarge, BlobStore.BlobStore> = Effect.fn("ImageTree.get")(
  function*(descriptor) {
    return yield* load(descriptor, 1, reader())
  }
)

/**
 * Finds a manifest or an index by its digest: one of `roots`, or one that an index among them leads to. Indexes that cannot be
 * read are passed over.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = Effect.fn("ImageTree.find")(function*(
  roots: ReadonlyArray<Descriptor.Descriptor>,
  digest: Digest.Digest
): Effect.fn.Return<Option.Option<Descriptor.Descriptor>, never, BlobStore.BlobStore> {
  const seen = new Set<Digest.Digest>()
  let level = roots
  for (let depth = 1; depth <= maxLevels && level.length > 0; depth++) {
    const found = level.find((descriptor) => descriptor.digest === digest)
    if (found !== undefined) return Option.some(found)
    const next: Array<Descriptor.Descriptor> = []
    for (const descriptor of level) {
      if (!MediaType.isIndex(descriptor.mediaType) || seen.has(descriptor.digest)) continue
      seen.add(descriptor.digest)
      const index = yield* Effect.option(reader().read(descriptor, ImageIndex.parse))
      if (Option.isNone(index)) continue
      for (const child of index.value.value.manifests) next.push(child)
    }
    level = next
  }
  return Option.none()
})
