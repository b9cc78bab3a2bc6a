/**
 * Build caches of BuildKit: the layers that its builds have made, as refs.
 *
 * A cache remembers steps and links between them, and for each step the layers that it ended with. From that come chains of
 * layers, which overlap. Each layer of a chain is a ref here, on top of the one below it.
 *
 * Follows `cache/remotecache` of BuildKit 0.34.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import * as CacheConfig from "@effect-oci/schema/CacheConfig"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BaseImage from "./BaseImage.ts"
import * as BlobStore from "./BlobStore.ts"
import * as CacheChains from "./CacheChains.ts"
import * as CacheRef from "./CacheRef.ts"
import type * as Hash from "./Hash.ts"
import * as HistoryItems from "./internal/historyItems.ts"

/**
 * Error raised where a document of a cache cannot be had, or is not valid.
 *
 * @category errors
 * @since 0.1.0
 */
export class CacheUnreadable extends Schema.TaggedError<CacheUnreadable>("@effect-oci/core/CacheUnreadable")(
  "CacheUnreadable",
  {
    digest: Digest.Digest,
    mediaType: Schema.String,
    cause: Schema.Union([
      BlobStore.BlobStoreError,
      Json.InvalidJson,
      Json.LimitExceeded,
      Json.UnexpectedJson,
      CacheChains.CacheInvalid
    ])
  }
) {
  override get message(): string {
    return `cannot read the build cache from ${this.digest} (${this.mediaType})`
  }
}

/**
 * Error raised where a manifest or an index is not that of a build cache.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotACache extends Schema.TaggedError<NotACache>("@effect-oci/core/NotACache")("NotACache", {
  digest: Digest.Digest
}) {
  override get message(): string {
    return `${this.digest} is not a build cache: expected a config of the type ${CacheConfig.mediaType}, found none`
  }
}

const descriptionKey = "buildkit/description"

/** What stands in the ref is not left in the descriptor. */
const bare = ({ annotations = {}, ...descriptor }: Descriptor.Descriptor): Descriptor.Descriptor => {
  const { [descriptionKey]: _, ...kept } = Annotations.withoutInternal(annotations)
  return Object.keys(kept).length === 0 ? descriptor : { ...descriptor, annotations: kept }
}

const diffIdOf = (descriptor: Descriptor.Descriptor): Digest.Digest | undefined =>
  Result.getOrUndefined(Descriptor.diffId(descriptor)) ??
    // What is not compressed is its own content
    (Option.getOrUndefined(MediaType.compression(descriptor.mediaType)) === "uncompressed"
      ? descriptor.digest
      : undefined)

const layerOf = (descriptor: Descriptor.Descriptor, diffId: Digest.Digest): NonNullable<CacheChains.Facts["layer"]> => {
  const encoder = Descriptor.encoder(descriptor)
  return { descriptor: bare(descriptor), diffId, ...(encoder === undefined ? {} : { encoder }) }
}

/** What is known of a layer wherever it stands. */
const factsOf = (blob: Digest.Digest, descriptor: Descriptor.Descriptor | undefined): CacheChains.Facts => {
  if (descriptor === undefined) return { description: "", fault: { digest: blob, reason: "unlisted" } }
  const annotations = descriptor.annotations ?? {}
  const text = (key: string): string => Object.hasOwn(annotations, key) ? annotations[key] ?? "" : ""
  const time = Result.getOrUndefined(Timestamp.parse(text(Annotations.createdAt)))
  const diffId = diffIdOf(descriptor)
  return {
    description: text(descriptionKey),
    ...(time === undefined ? {} : { createdAt: time }),
    ...(diffId === undefined
      ? { fault: { digest: blob, reason: "no-diff-id" } }
      : { layer: layerOf(descriptor, diffId) })
  }
}

/**
 * Makes a source of refs of a cache. `content` is the store of the layers' blobs, `store` the name of the cache, for messages.
 * What is acquired needs no release.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toCacheRef = (
  { layers }: CacheChains.Chains,
  content: Pick<BlobStore.Store, "get">,
  store: string
): CacheRef.CacheRef["Service"] => {
  const acquire: CacheRef.CacheRef["Service"]["acquire"] = (name) => {
    const found = layers.get(name)
    if (found === undefined) return Effect.fail(new CacheRef.RefMissing({ store, ref: name }))
    const { createdAt, description, layer, parent } = found
    return Effect.succeed({
      name,
      description,
      ...(createdAt === undefined ? {} : { createdAt }),
      ...(layer === undefined
        ? {}
        : { layer: { ...layer, content: Stream.suspend(() => content.get(layer.descriptor)) } }),
      // When it is asked for: a chain may be longer than the stack
      parent: parent === undefined ? Effect.succeedNone : Effect.suspend(() => Effect.asSome(acquire(parent)))
    })
  }
  return { acquire, list: Effect.sync(() => [...layers.keys()].toSorted()) }
}

/** The descriptors of the layers and of the config, in either shape of the root; the last config counts, as in BuildKit. */
const partsOf = (
  document: Json.Document
): Result.Result<readonly [ReadonlyArray<Descriptor.Descriptor>, Descriptor.Descriptor | undefined], Json.Problem> => {
  const isConfig = ({ mediaType }: Descriptor.Descriptor) => mediaType === CacheConfig.mediaType
  return document.members.some(({ name }) => name === "manifests")
    ? Result.map(
      ImageIndex.parse(document.bytes),
      ({ value: { manifests } }) => [manifests.filter((each) => !isConfig(each)), manifests.findLast(isConfig)]
    )
    : Result.map(
      ImageManifest.parse(document.bytes),
      ({ value: { config, layers } }) => [layers, isConfig(config) ? config : undefined]
    )
}

/** Reads a document of a cache, and whatever is wrong with it is told of it. */
const readDocument = <A>(
  descriptor: Descriptor.Descriptor,
  parse: (bytes: Uint8Array) => Result.Result<A, Json.Problem>
): Effect.Effect<A, CacheUnreadable, BlobStore.BlobStore> =>
  BlobStore.getBytes(descriptor).pipe(
    Effect.flatMap((bytes) => Effect.fromResult(parse(bytes))),
    Effect.mapError(unreadable(descriptor))
  )

const unreadable = ({ digest, mediaType }: Descriptor.Descriptor) => (cause: CacheUnreadable["cause"]) =>
  new CacheUnreadable({ digest, mediaType, cause })

/**
 * Reads the cache that a descriptor leads to, in the store that is provided: the manifest of a cache, or an index whose last
 * entry is the cache's config. The documents are verified, and at most 4 MiB each, four times of what BuildKit reads.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = Effect.fn("BuildKitCache.read")(function*(
  root: Descriptor.Descriptor
): Effect.fn.Return<CacheChains.Chains, CacheUnreadable | NotACache, BlobStore.BlobStore | Hash.Hash> {
  const [descriptors, config] = yield* readDocument(
    root,
    (bytes) => Result.flatMap(Json.parse(bytes, { document: "manifest of the build cache" }), partsOf)
  )
  if (config === undefined) return yield* new NotACache({ digest: root.digest })
  const { value: { layers = [], records = [] } } = yield* readDocument(config, CacheConfig.parse)
  const byDigest = new Map(descriptors.map((descriptor) => [descriptor.digest, descriptor]))
  const sources = layers.map(({ blob, parent = 0 }) => ({ blob, parent, facts: factsOf(blob, byDigest.get(blob)) }))
  return yield* Effect.mapError(CacheChains.join(sources, records, "/records"), unreadable(config))
})

/** The records of an image's inline cache; none where it has no such cache. */
const inlineRecords = (
  config: Json.Document
): Result.Result<ReadonlyArray<CacheConfig.CacheRecord>, Json.Problem | CacheChains.CacheInvalid> => {
  const member = Json.memberValue(config, CacheConfig.inlineMember)
  if (member === undefined || member === null) return Result.succeed([])
  const bytes = typeof member === "string" ? Result.getOrUndefined(Base64.decode(member)) : undefined
  return bytes === undefined
    ? Result.fail(
      new CacheChains.CacheInvalid({
        pointer: `/${CacheConfig.inlineMember}`,
        expected: "a string of base64",
        found: "none"
      })
    )
    : Result.map(CacheConfig.parseRecords(bytes), ({ value }) => value)
}

/**
 * Reads an image as a cache that ends in one chain: all its layers.
 *
 * **Details**
 *
 * Each is described by the item of the history that made it, and has its time; where the history does not fit the layers, they
 * have neither. The records of an inline cache (`moby.buildkit.cache.v0`) give times where the history has none, and further
 * chains, which are found by name: those of layers that a merge has put on top of others.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofImage = Effect.fn("BuildKitCache.ofImage")(function*(
  image: Descriptor.Descriptor,
  platform?: Platform.Platform
): Effect.fn.Return<CacheChains.Chains, CacheUnreadable | BaseImage.BaseImageError, BlobStore.BlobStore | Hash.Hash> {
  const { config, digest = image.digest, layers } = yield* BaseImage.read(image, platform)
  const failed = unreadable({ digest, mediaType: image.mediaType, size: 0 })
  const records = yield* Effect.fromResult(Result.mapError(inlineRecords(config.document), failed))
  const items = HistoryItems.ofLayers(config.value.history, layers.length)
  const sources = layers.map(({ descriptor, diffId }, index) => {
    const item = items?.[index]
    return {
      blob: descriptor.digest,
      parent: index - 1,
      facts: {
        description: HistoryItems.description(item),
        ...(item?.created === undefined ? {} : { createdAt: item.created }),
        layer: layerOf(descriptor, diffId)
      }
    }
  })
  // The last step of all, which builds on every other
  const whole = { layers: [{ layer: layers.length - 1 }], inputs: [records.map((_, link) => ({ link }))] }
  return yield* Effect.mapError(CacheChains.join(sources, layers.length === 0 ? [] : [...records, whole], ""), failed)
})
