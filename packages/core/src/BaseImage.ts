/**
 * Images to build upon: the documents and the layers of one platform's image, read from a store.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as BlobStore from "./BlobStore.ts"
import type * as CacheRef from "./CacheRef.ts"
import type { Compatibility } from "./Compatibility.ts"
import * as ExportConfig from "./ExportConfig.ts"
import * as ImageTree from "./ImageTree.ts"

/**
 * Error raised where an image is not of the platform that is wanted. `found` are the platforms that it is
 * for; without `wanted`, none of several was named.
 *
 * @category errors
 * @since 0.1.0
 */
export class PlatformMismatch
  extends Schema.TaggedError<PlatformMismatch>("@effect-oci/core/PlatformMismatch")("PlatformMismatch", {
    digest: Digest.Digest,
    wanted: Schema.optionalKey(Schema.String),
    found: Schema.Array(Schema.String)
  })
{
  override get message(): string {
    const found = this.found.slice(0, 20).join(", ")
    if (found === "") return `the image ${this.digest} has no image of any platform`
    return this.wanted === undefined
      ? `the image ${this.digest} is for several platforms: name one of ${found}`
      : `the image ${this.digest} is not for ${this.wanted}: it is for ${found}`
  }
}

/**
 * Error raised where a base image is none: an artifact, whose config is not that of an image, or something else.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAnImage extends Schema.TaggedError<NotAnImage>("@effect-oci/core/NotAnImage")("NotAnImage", {
  digest: Digest.Digest,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.digest} cannot be built upon: expected the manifest or the index of an image, found ${
      JSON.stringify(this.found)
    }`
  }
}

/**
 * Error raised where a base image's config and its manifest do not have the same number of layers.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayersMismatch extends Schema.TaggedError<LayersMismatch>("@effect-oci/core/LayersMismatch")(
  "LayersMismatch",
  { digest: Digest.Digest, layers: Schema.Natural, diffIds: Schema.Natural }
) {
  override get message(): string {
    return `the base image ${this.digest} contradicts itself: its manifest has ${this.layers} layers and its config ` +
      `${this.diffIds} diff IDs`
  }
}

/**
 * Any of the reasons why an image cannot be built upon.
 *
 * @category errors
 * @since 0.1.0
 */
export const BaseImageError = Schema.Union([
  ImageTree.DocumentUnreadable,
  ImageTree.ImageTooLarge,
  PlatformMismatch,
  NotAnImage,
  LayersMismatch,
  ExportConfig.MissingPlatform,
  Digest.MalformedDigest,
  Digest.UnsupportedDigestAlgorithm,
  Json.InvalidJson,
  Json.LimitExceeded,
  Json.UnexpectedJson
])

/**
 * @category errors
 * @since 0.1.0
 */
export type BaseImageError = typeof BaseImageError.Type

/**
 * An image to build upon. `digest` is its manifest's, and absent where it is built from nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface BaseImage {
  readonly digest?: Digest.Digest
  readonly platform: Platform.Platform
  readonly config: Json.Parsed<ImageConfig.ImageConfig>
  readonly layers: ReadonlyArray<CacheRef.Layer>
}

/** A member that both have says the same. */
const isFor = (wanted: Platform.Platform) => (offered: Platform.Platform): boolean => {
  const left = Platform.normalize(wanted)
  const right = Platform.normalize(offered)
  return (["os", "architecture", "variant", "os.version"] as const).every((member) =>
    left[member] === undefined || right[member] === undefined || left[member] === right[member]
  )
}

/** The platform of an image's config. */
const platformOf = (
  config: ImageConfig.ImageConfig
): Result.Result<Platform.Platform, ExportConfig.MissingPlatform> => {
  const { architecture, os, variant, "os.features": features, "os.version": version } = config
  if (os === undefined || os === "") return Result.fail(new ExportConfig.MissingPlatform({ member: "os" }))
  if (architecture === undefined || architecture === "") {
    return Result.fail(new ExportConfig.MissingPlatform({ member: "architecture" }))
  }
  return Result.succeed({
    architecture,
    os,
    ...(version === undefined ? {} : { "os.version": version }),
    ...(features === undefined ? {} : { "os.features": features }),
    ...(variant === undefined ? {} : { variant })
  })
}

/**
 * Gets the platform of an image from its config, which has to be the one that is wanted, if one is. `digest` is the
 * manifest's, for the error.
 *
 * @category getters
 * @since 0.1.0
 */
export const platformFor = (
  digest: Digest.Digest,
  config: ImageConfig.ImageConfig,
  wanted?: Platform.Platform
): Result.Result<Platform.Platform, ExportConfig.MissingPlatform | PlatformMismatch> =>
  Result.flatMap(platformOf(config), (platform) =>
    wanted === undefined || isFor(wanted)(platform)
      ? Result.succeed(platform)
      : Result.fail(
        new PlatformMismatch({ digest, wanted: Platform.format(wanted), found: [Platform.format(platform)] })
      ))

/**
 * Chooses the manifest of a platform in an index. Without a platform it has to be the only one of a platform that is known.
 * `digest` is the index's, for the error.
 *
 * @category getters
 * @since 0.1.0
 */
export const choose = (
  digest: Digest.Digest,
  index: ImageIndex.ImageIndex,
  wanted?: Platform.Platform
): Result.Result<Descriptor.Descriptor, PlatformMismatch> => {
  // Attestations are listed for an unknown platform
  const offers = index.manifests.filter(({ platform }) => platform !== undefined && platform.os !== "unknown")
  const fitting = wanted === undefined
    ? offers
    : offers.filter(({ platform }) => platform !== undefined && isFor(wanted)(platform))
  const chosen = wanted === undefined
    ? (fitting.length === 1 ? fitting[0] : undefined)
    : Option.getOrUndefined(Platform.choose(wanted, fitting, ({ platform }) => platform))
  return chosen === undefined
    ? Result.fail(
      new PlatformMismatch({
        digest,
        found: offers.flatMap(({ platform }) => platform === undefined ? [] : [Platform.format(platform)]),
        ...(wanted === undefined ? {} : { wanted: Platform.format(wanted) })
      })
    )
    : Result.succeed(chosen)
}

/**
 * Reads an image from the store that is provided. Its layers are read from there when they are needed.
 *
 * **Details**
 *
 * `image` describes a manifest, which has to be for `platform` where one is given, or an index, from which the manifest of
 * the platform is taken; without one, the only that is there. A variant or version that only one side names is no
 * difference.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = Effect.fn("BaseImage.read")(function*(
  image: Descriptor.Descriptor,
  wanted?: Platform.Platform
): Effect.fn.Return<BaseImage, BaseImageError, BlobStore.BlobStore> {
  const store = yield* BlobStore.BlobStore
  let descriptor = image
  const documents = ImageTree.reader()
  for (let level = 1; MediaType.isIndex(descriptor.mediaType); level++) {
    const { digest } = descriptor
    if (level > ImageTree.maxLevels) return yield* new ImageTree.ImageTooLarge({ digest, limit: "levels" })
    const index = yield* documents.read(descriptor, ImageIndex.parse)
    descriptor = yield* Effect.fromResult(choose(digest, index.value, wanted))
  }
  const { digest } = descriptor
  const tree = yield* ImageTree.get(descriptor)
  if (tree._tag !== "Image") return yield* new NotAnImage({ digest, found: descriptor.mediaType })
  const { config, manifest } = tree
  if (config === undefined) return yield* new NotAnImage({ digest, found: manifest.value.config.mediaType })
  const platform = yield* Effect.fromResult(platformFor(digest, config.value, wanted))
  const layers = manifest.value.layers
  const diffIds = yield* Effect.fromResult(
    Result.all((config.value.rootfs?.diff_ids ?? []).map((text) => Digest.parse(text)))
  )
  if (layers.length !== diffIds.length) {
    return yield* new LayersMismatch({ digest, layers: layers.length, diffIds: diffIds.length })
  }
  return {
    digest,
    platform,
    config,
    layers: layers.flatMap((descriptor, index) => {
      const diffId = diffIds[index]
      return diffId === undefined ? [] : [{ descriptor, diffId, content: store.get(descriptor), source: store }]
    })
  }
})

/**
 * Makes the image without layers that is built upon where there is none, as `FROM scratch` is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const scratch = (
  platform: Platform.Platform,
  rules: Pick<Compatibility, "emptyConfig">
): Result.Result<BaseImage, BaseImageError> =>
  Result.map(ImageConfig.parse(ExportConfig.empty(platform, rules)), (config) => ({ platform, config, layers: [] }))
