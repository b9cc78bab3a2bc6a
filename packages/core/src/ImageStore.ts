/**
 * Stores of images: names for the descriptors of manifests and indexes.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Json from "@effect-oci/schema/Json"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import {
  type BlobMissing,
  type BlobStore,
  type BlobStoreError,
  staged,
  type StoreIo,
  type UnsafeFile
} from "./BlobStore.ts"
import type { RegistryError } from "./RegistryError.ts"

/**
 * What the name of an image looks like, in words.
 *
 * @category constants
 * @since 0.1.0
 */
export const nameRule =
  "letters and digits, with one of - . _ : @ + or two dashes between them, and slashes between such parts"

const nameGrammar = /^[A-Za-z0-9]+(?:(?:--|[-._:@+])[A-Za-z0-9]+)*(?:\/[A-Za-z0-9]+(?:(?:--|[-._:@+])[A-Za-z0-9]+)*)*$/

/**
 * Checks that a text can be the name of an image, as image-spec's annotations.md has the grammar of
 * `org.opencontainers.image.ref.name`. Names that others have written may be anything, and are read.
 *
 * @category guards
 * @since 0.1.0
 */
export const isName = (text: string): boolean => nameGrammar.test(text)

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
    // Every error has a name: it is an image's where it is its own
    const what = Object.hasOwn(this, "name")
      ? `no image ${JSON.stringify(this.name)}`
      : this.names.length === 0
      ? "no image"
      : "no image without a name"
    return `${this.store} has ${what}${this.names.length === 0 ? "" : `; it has ${listed(this.names)}`}`
  }
}

/**
 * Error raised where several images of a store are meant: it holds more than one and no name was given, or more than
 * one of that name. `names` are those that the store holds, `count` is how many are meant.
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
    return `${this.store} has ${this.count} such images: name the one that is meant${
      this.names.length === 0 ? ", which has to get a name first" : `: ${listed(this.names)}`
    }`
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
 * Error raised where there is no store of images at a path. Reading never makes one.
 *
 * @category errors
 * @since 0.1.0
 */
export class StoreMissing extends Schema.TaggedError<StoreMissing>("@effect-oci/core/StoreMissing")("StoreMissing", {
  store: Schema.String,
  path: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    return `${this.store} is not ${this.expected}: there is no ${this.path}; check the path, or put an image there first`
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
    return `the lock ${this.path} is held by ${this.holder}: wait for that to end, and try again; the lock of a process that has died is taken from it`
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
  | BlobMissing
  | StoreMissing
  | StoreUnreadable
  | StoreLocked
  | UnsafeFile
  | StoreIo
  | RegistryError

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
 * The descriptor's blob has to be there first. It is done when the name would survive a power cut. `untag` takes a name away,
 * or without one the unnamed image's place, and fails with `ImageMissing` where there is none; blobs stay. `resolve` finds an
 * image by its name; without a name it has to be the only one. `list` gives all, in the order of the store.
 *
 * @category services
 * @since 0.1.0
 */
export class ImageStore extends Context.Service<ImageStore, {
  readonly tag: (name: Option.Option<string>, descriptor: Descriptor.Descriptor) => Effect.Effect<void, ImageStoreError>
  readonly untag: (name: Option.Option<string>) => Effect.Effect<void, ImageStoreError>
  readonly resolve: (name: Option.Option<string>) => Effect.Effect<Descriptor.Descriptor, ImageStoreError>
  readonly list: Effect.Effect<ReadonlyArray<Image>, ImageStoreError>
}>()("@effect-oci/core/ImageStore") {}

/**
 * Makes an image and gives it a name. Until it has one, the store shows nothing of it: where the work fails or is
 * interrupted, the store stays as it was.
 *
 * **Example** (Exporting under a name)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as ExportImage from "@effect-oci/core/ExportImage"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Option from "effect/Option"
 *
 * const program = ImageStore.publish(
 *   Option.some("latest"),
 *   ExportImage.run({ ref: "app", platform: { os: "linux", architecture: "amd64" } }, { rules: Compatibility.standard })
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const publish = <A extends { readonly descriptor: Descriptor.Descriptor }, E, R>(
  name: Option.Option<string>,
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | ImageStoreError | BlobStoreError, ImageStore | BlobStore | R> =>
  ImageStore.use((images) => staged(work, (made) => Effect.as(images.tag(name, made.descriptor), made)))

const namesOf = (images: ReadonlyArray<Image>): ReadonlyArray<string> => [
  ...new Set(images.flatMap((image) => Option.toArray(image.name)))
]

const missing = (store: string, images: ReadonlyArray<Image>, name: Option.Option<string>): ImageMissing =>
  new ImageMissing({ store, names: namesOf(images), ...(Option.isSome(name) ? { name: name.value } : {}) })

/**
 * Checks whether an image has exactly this name, or none where none is given.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isNamed = (image: Image, name: Option.Option<string>): boolean =>
  Option.getOrNull(image.name) === Option.getOrNull(name)

/**
 * Makes sure that a store has an image of exactly this name, or one without where none is given.
 *
 * **When to use**
 *
 * Use to implement the `untag` of a store.
 *
 * @category guards
 * @since 0.1.0
 */
export const checkNamed = (
  store: string,
  images: ReadonlyArray<Image>,
  name: Option.Option<string>
): Result.Result<void, ImageMissing> =>
  images.some((image) => isNamed(image, name)) ? Result.succeed(undefined) : Result.fail(missing(store, images, name))

/**
 * Finds an image among those of a store: by its name, or the only one.
 *
 * **When to use**
 *
 * Use to implement the `resolve` of a store.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = (
  store: string,
  images: ReadonlyArray<Image>,
  name: Option.Option<string>
): Result.Result<Descriptor.Descriptor, ImageMissing | ImageAmbiguous> => {
  const found = Option.isNone(name) ? images : images.filter((image) => isNamed(image, name))
  const [first] = found
  if (first === undefined) return Result.fail(missing(store, images, name))
  return found.length === 1
    ? Result.succeed(first.descriptor)
    : Result.fail(new ImageAmbiguous({ store, names: namesOf(images), count: found.length }))
}
