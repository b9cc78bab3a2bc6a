/**
 * What refers to a manifest by its `subject`: as the registry lists it, or in an index that is kept under a tag where the
 * registry does not.
 */
import type * as BlobStore from "@effect-oci/core/BlobStore"
import type * as RegistryError from "@effect-oci/core/RegistryError"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import type { Document, Manifests } from "./manifests.ts"
import { misbehaved, type Repository, urlOf } from "./repository.ts"
import { pages } from "./tags.ts"

type Failure = BlobStore.DigestMismatch | RegistryError.RegistryError

export interface Referrers {
  /** Gives what refers to a manifest, of one type of artifact if one is given. */
  readonly list: (
    digest: Digest.Digest,
    artifactType?: string
  ) => Stream.Stream<Descriptor.Descriptor, Failure>
  /** Adds a document to those that refer to its subject, if it has one: where the registry does not do it by itself. */
  readonly add: (document: Document) => Effect.Effect<void, Failure>
}

/** The tag under which the referrers are kept. */
const tagOf = (digest: Digest.Digest): string => `${Digest.algorithm(digest)}-${Digest.encoded(digest)}`.slice(0, 128)

const operation = "list the referrers"

/** What registries answer that do not list them: 303 is ghcr.io's, which leads to a page for people. */
const absent = [303, 400, 404, 405, 406]

/** How often the list is written again because another client has done so at the same time. */
const attempts = 5

/** The descriptor by which a document is listed with its subject. */
const entryOf = (
  { bytes, descriptor }: Document
): { readonly entry: Descriptor.Descriptor; readonly subject: Digest.Digest } | undefined => {
  const parsed: Result.Result<Json.Parsed<ImageIndex.ImageIndex | ImageManifest.ImageManifest>, Json.Problem> =
    MediaType.isIndex(descriptor.mediaType) ? ImageIndex.parse(bytes) : ImageManifest.parse(bytes)
  if (Result.isFailure(parsed)) return undefined
  const { value } = parsed.success
  const { annotations, subject } = value
  if (subject === undefined) return undefined
  const type = value.artifactType ?? ("config" in value ? value.config.mediaType : undefined)
  return {
    subject: subject.digest,
    entry: {
      ...descriptor,
      ...(type === undefined ? {} : { artifactType: type }),
      ...(annotations === undefined ? {} : { annotations })
    }
  }
}

/** An index with one more entry. Those that it has stay as they were written. */
const withEntry = ({ document }: Json.Parsed<ImageIndex.ImageIndex>, entry: Descriptor.Descriptor): Uint8Array => {
  const text = Json.stringify(Descriptor.toEncodable(entry))
  // There is one: an index without the member does not parse
  const { end, start } = document.members.find(({ name }) => name === "manifests") ??
    { start: 0, end: document.text.length }
  const list = [...Json.elements(document.text.slice(start, end)), text].join(",")
  return Json.toBytes(`${document.text.slice(0, start)}[${list}]${document.text.slice(end)}`)
}

const empty = ImageIndex.encode({ schemaVersion: 2, mediaType: MediaType.imageIndex, manifests: [] })

export const make = Effect.fnUntraced(function*(
  repository: Repository,
  manifests: Manifests
): Effect.fn.Return<Referrers> {
  const turn = yield* Semaphore.make(1)

  const read = (bytes: Uint8Array, subject: string) =>
    Effect.fromResult(
      Result.mapError(
        ImageIndex.parse(bytes),
        (cause) => misbehaved(repository, operation, subject, `a list of referrers that is not valid: ${cause.message}`)
      )
    )

  const kept = Effect.fnUntraced(function*(digest: Digest.Digest) {
    const document = yield* manifests.get(tagOf(digest))
    // A registry may take the tag for the digest, and send the subject itself
    const isList = document !== undefined && document.descriptor.digest !== digest
    return yield* read(isList ? document.bytes : empty, digest)
  })

  return {
    list: (digest, artifactType) => {
      const query = artifactType === undefined ? "" : `?artifactType=${encodeURIComponent(artifactType)}`
      return pages(repository, {
        operation,
        subject: digest,
        method: "GET",
        url: `${urlOf(repository, "referrers", digest)}${query}`,
        headers: { accept: MediaType.imageIndex },
        accept: [200, ...absent]
      }).pipe(
        Stream.mapEffect(({ bytes, status }) => status === 200 ? read(bytes, digest) : kept(digest)),
        Stream.flatMap(({ value }) => Stream.fromIterable(value.manifests)),
        // Not every registry does it
        Stream.filter((found) => artifactType === undefined || found.artifactType === artifactType)
      )
    },
    add: Effect.fnUntraced(function*(document) {
      const found = entryOf(document)
      if (found === undefined) return
      const { entry, subject } = found
      for (let attempt = 0; attempt < attempts; attempt++) {
        const list = yield* kept(subject)
        if (list.value.manifests.some(({ digest }) => digest === entry.digest)) return
        yield* manifests.tag(tagOf(subject), manifests.describe(withEntry(list, entry), MediaType.imageIndex))
      }
      return yield* misbehaved(repository, "add a referrer of", subject, "its list never has what was added to it")
    }, turn.withPermits(1))
  }
})
