/**
 * References: what documents of images name, and everything that can be reached from where one begins.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

/**
 * A reference.
 *
 * **Details**
 *
 * `from` is what names the blob: the digest of a document, or the path of a file. A blob need not be there that is named
 * as a `subject`, or that has URLs it may be had from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reference {
  readonly descriptor: Descriptor.Descriptor
  readonly from: string
  readonly isOptional: boolean
}

/**
 * Makes the reference that a descriptor stands for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (descriptor: Descriptor.Descriptor, from: string): Reference => ({
  descriptor,
  from,
  isOptional: (descriptor.urls ?? []).length > 0
})

/**
 * Checks whether a descriptor is that of a document which names others: a manifest or an index.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDocument = ({ mediaType }: Descriptor.Descriptor): boolean =>
  MediaType.isIndex(mediaType) || MediaType.isManifest(mediaType)

const subjectOf = (subject: Descriptor.Descriptor | undefined, from: string): ReadonlyArray<Reference> =>
  subject === undefined ? [] : [{ descriptor: subject, from, isOptional: true }]

/**
 * Gives what a document names, in its order. What is neither a manifest nor an index names nothing.
 *
 * @category getters
 * @since 0.1.0
 */
export const inDocument = (
  descriptor: Descriptor.Descriptor,
  bytes: Uint8Array
): Result.Result<ReadonlyArray<Reference>, Json.Problem> => {
  const { digest, mediaType } = descriptor
  if (MediaType.isIndex(mediaType)) {
    return Result.map(ImageIndex.parse(bytes), ({ value: { manifests, subject } }) => [
      ...manifests.map((child) => make(child, digest)),
      ...subjectOf(subject, digest)
    ])
  }
  if (!MediaType.isManifest(mediaType)) return Result.succeed([])
  return Result.map(ImageManifest.parse(bytes), ({ value: { config, layers, subject } }) => [
    ...[config, ...layers].map((child) => make(child, digest)),
    ...subjectOf(subject, digest)
  ])
}

/**
 * Visits everything that can be reached, each blob once, those first that are named nearer to where it begins. A visit gives
 * what the blob names; `concurrency` is how many are visited at once.
 *
 * **Details**
 *
 * Two descriptors of one digest that differ in size or media type are visited both. It takes memory for what is named, and
 * not for the documents.
 *
 * @category combinators
 * @since 0.1.0
 */
export const walk = Effect.fnUntraced(function*<E, R>(
  roots: ReadonlyArray<Reference>,
  visit: (reference: Reference) => Effect.Effect<ReadonlyArray<Reference>, E, R>,
  concurrency: number
): Effect.fn.Return<void, E, R> {
  const seen = new Set<string>()
  const isNew = ({ descriptor: { digest, mediaType, size } }: Reference): boolean => {
    const key = `${digest} ${size} ${mediaType}`
    return !seen.has(key) && seen.add(key) !== undefined
  }
  for (let level = roots.filter(isNew); level.length > 0;) {
    const named = yield* Effect.forEach(level, visit, { concurrency })
    level = named.flat().filter(isNew)
  }
})
