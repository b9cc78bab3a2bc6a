/**
 * Stores of images: names for the descriptors of manifests and indexes.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Json from "@effect-oci/schema/Json"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { StoreIo, UnsafeFile } from "./BlobStore.ts"

/**
 * Error raised where a store holds no image of a name. `names` are those that it holds.
 *
 * @category errors
 * @since 0.1.0
 */
export class ImageMissing extends Schema.TaggedError<ImageMissing>("@effect-oci/core/ImageMissing")("ImageMissing", {
  store: Schema.String,
  name: Schema.optionalKey(Schema.String),
  names: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const what = this.name === undefined ? "no image" : `no image ${JSON.stringify(this.name)}`
    return `${this.store} has ${what}${this.names.length === 0 ? "" : `; it has ${listed(this.names)}`}`
  }
}

/**
 * Error raised where an image is asked for without a name and the store holds several. `names` are theirs; an image
 * without a name is one of them where `unnamed` is set.
 *
 * @category errors
 * @since 0.1.0
 */
export class ImageAmbiguous
  extends Schema.TaggedError<ImageAmbiguous>("@effect-oci/core/ImageAmbiguous")("ImageAmbiguous", {
    store: Schema.String,
    names: Schema.Array(Schema.String),
    count: Schema.Natural
  })
{
  override get message(): string {
    return `${this.store} has ${this.count} images: name the one that is meant: ${listed(this.names)}`
  }
}

/**
 * Error raised where a text cannot name an image in a store.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidImageName
  extends Schema.TaggedError<InvalidImageName>("@effect-oci/core/InvalidImageName")("InvalidImageName", {
    name: Schema.String,
    expected: Schema.String
  })
{
  override get message(): string {
    const name = this.name.length <= 140 ? this.name : this.name.slice(0, 139) + "…"
    return `${JSON.stringify(name)} cannot name an image: expected ${this.expected}`
  }
}

/**
 * Error raised where a directory or a file is not the store that it was taken for, or its list of images cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreUnreadable
  extends Schema.TaggedError<StoreUnreadable>("@effect-oci/core/StoreUnreadable")("StoreUnreadable", {
    store: Schema.String,
    path: Schema.String,
    cause: Schema.Union([Json.InvalidJson, Json.LimitExceeded, Json.UnexpectedJson])
  })
{
  override get message(): string {
    return `${this.store} cannot be read: ${this.path} is not valid`
  }
}

/**
 * Error raised where another process holds a store's lock for longer than is waited. `holder` tells who, as far as the
 * lock does.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreLocked extends Schema.TaggedError<StoreLocked>("@effect-oci/core/StoreLocked")("StoreLocked", {
  path: Schema.String,
  holder: Schema.String
}) {
  override get message(): string {
    return `the lock ${this.path} is held by ${this.holder}: wait for it to end, or remove the lock when it has`
  }
}

const listed = (names: ReadonlyArray<string>): string =>
  names.slice(0, 20).map((name) => JSON.stringify(name)).join(", ") +
  (names.length > 20 ? ` and ${names.length - 20} more` : "")

/**
 * Any of the reasons why an operation on a store of images fails.
 *
 * @category errors
 * @since 0.1.0
 */
export type ImageStoreError =
  | ImageMissing
  | ImageAmbiguous
  | InvalidImageName
  | StoreUnreadable
  | StoreLocked
  | UnsafeFile
  | StoreIo

/**
 * An image of a store: its name, if it has one, and the descriptor of its manifest or index.
 *
 * @category models
 * @since 0.1.0
 */
export interface Image {
  readonly name: Option.Option<string>
  readonly descriptor: Descriptor.Descriptor
}

/**
 * A store of images.
 *
 * **Details**
 *
 * `tag` gives a descriptor a name, which it takes from what had it; without a name it is the store's unnamed image.
 * The blobs have to be there first. It is done when the name would survive a power cut. `resolve` finds an image by its
 * name; without a name it has to be the only one. `list` gives all, in the order of the store.
 *
 * @category services
 * @since 0.1.0
 */
export class ImageStore extends Context.Service<ImageStore, {
  readonly tag: (name: Option.Option<string>, descriptor: Descriptor.Descriptor) => Effect.Effect<void, ImageStoreError>
  readonly resolve: (name: Option.Option<string>) => Effect.Effect<Descriptor.Descriptor, ImageStoreError>
  readonly list: Effect.Effect<ReadonlyArray<Image>, ImageStoreError>
}>()("@effect-oci/core/ImageStore") {}
