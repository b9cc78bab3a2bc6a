/**
 * The manifests and indexes of a repository, which have a place of their own, with tags beside digests.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Hash from "@effect-oci/core/Hash"
import * as Reference from "@effect-oci/core/Reference"
import * as RegistryError from "@effect-oci/core/RegistryError"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { lengthOf, whole } from "./download.ts"
import { ask, cuts, failure, isPassing, look as lookFor, misbehaved, type Repository, urlOf } from "./repository.ts"
import type { Answer } from "./session.ts"

/** What we read, the newest first. */
const accept = [
  MediaType.imageIndex,
  MediaType.imageManifest,
  MediaType.dockerManifestList,
  MediaType.dockerManifest
].join(", ")

/** A document, with the descriptor that it has by itself. */
export interface Document {
  readonly descriptor: Descriptor.Descriptor
  readonly bytes: Uint8Array
}

export const isDocument = (mediaType: string): boolean =>
  MediaType.isIndex(mediaType) || MediaType.isManifest(mediaType)

/**
 * Tells by the members of a content which kind of document it is, if it is one; `sent` is the media type that came with it.
 * What says of itself what it is, is that.
 */
export const mediaTypeOf = (bytes: Uint8Array, sent?: string): string | undefined => {
  const parsed = Json.parse(bytes)
  const known = sent !== undefined && isDocument(sent) ? sent : undefined
  if (Result.isFailure(parsed) || parsed.success.kind !== "object") return known
  const document = parsed.success
  const own = Json.memberValue(document, "mediaType")
  if (typeof own === "string" && own !== "") return isDocument(own) ? own : undefined
  if (known !== undefined) return known
  if (Json.memberValue(document, "schemaVersion") !== 2) return undefined
  const has = (name: string) => Json.member(document, name) !== undefined
  if (has("manifests")) return has("layers") ? undefined : MediaType.imageIndex
  return has("config") && has("layers") ? MediaType.imageManifest : undefined
}

/** What is larger than a manifest may be is not sent. */
export const tooLarge = (repository: Repository, subject: string): RegistryError.RegistryError => {
  const errors = [{ code: "SIZE_INVALID", message: `a manifest has ${Json.maxBytes} bytes at most` }]
  return failure(repository, pushing, subject, new RegistryError.Refused({ status: 413, errors }))
}

const pushing = "push the manifest"

/** How many documents are known by their digest at most. */
const mostKnown = 10_000

/** How many bytes of documents are kept at most. */
const mostKept = 4 * Json.maxBytes

interface Kept {
  readonly bytes: Uint8Array
  /** Whether the registry has sent them; or else it was sent them. */
  readonly isReceived: boolean
}

/** What is known of a repository's documents. */
export interface Memory {
  /** The media type of a document that was seen, or named by one that was. */
  readonly mediaType: (digest: Digest.Digest) => string | undefined
  readonly kept: (digest: Digest.Digest) => Kept | undefined
  readonly note: (descriptor: Pick<Descriptor.Descriptor, "digest" | "mediaType">) => void
  readonly keep: (document: Document, isReceived: boolean) => void
  readonly forget: (digest: Digest.Digest) => void
}

const makeMemory = (): Memory => {
  const known = new Map<Digest.Digest, string>()
  const contents = new Map<Digest.Digest, Kept>()
  let size = 0

  const forget = (digest: Digest.Digest) => {
    size -= contents.get(digest)?.bytes.length ?? 0
    contents.delete(digest)
  }

  const note: Memory["note"] = ({ digest, mediaType }) => {
    known.delete(digest)
    known.set(digest, mediaType)
    for (const oldest of known.keys()) {
      if (known.size <= mostKnown) break
      known.delete(oldest)
    }
  }

  return {
    mediaType: (digest) => known.get(digest),
    kept: (digest) => contents.get(digest),
    note,
    keep: ({ bytes, descriptor }, isReceived) => {
      note(descriptor)
      const named = Reference.inDocument(descriptor, bytes)
      for (const { descriptor } of Result.getOrElse(named, () => [])) {
        if (Reference.isDocument(descriptor)) note(descriptor)
      }
      forget(descriptor.digest)
      contents.set(descriptor.digest, { bytes, isReceived })
      size += bytes.length
      for (const oldest of contents.keys()) {
        if (size <= mostKept) break
        forget(oldest)
      }
    },
    forget
  }
}

const typeIn = (headers: Answer["headers"]): string | undefined => headers["content-type"]?.split(";")[0]?.trim()

export interface Manifests {
  readonly memory: Memory
  /** Gets a document by its tag or its digest, and keeps it. `undefined` where there is none. */
  readonly get: (
    name: string,
    expected?: BlobStore.Blob
  ) => Effect.Effect<Document | undefined, BlobStore.DigestMismatch | RegistryError.RegistryError>
  /** Asks what a tag or a digest leads to; what is not told is found out by reading it. */
  readonly look: (
    name: string
  ) => Effect.Effect<Descriptor.Descriptor | undefined, BlobStore.DigestMismatch | RegistryError.RegistryError>
  /** Checks that a document is there. */
  readonly has: (blob: BlobStore.Blob) => Effect.Effect<boolean, RegistryError.RegistryError>
  /** Puts a document under its digest, and gives whether the registry lists it with its subject. */
  readonly put: (document: Document) => Effect.Effect<boolean, RegistryError.RegistryError>
  readonly tag: (
    tag: string,
    document: Document
  ) => Effect.Effect<void, BlobStore.DigestMismatch | RegistryError.RegistryError>
  /** Gives bytes the descriptor that they have as a document. */
  readonly describe: (bytes: Uint8Array, mediaType: string) => Document
  /** Deletes a document with all its tags, or a tag alone, and gives whether it was there. */
  readonly remove: (name: string) => Effect.Effect<boolean, RegistryError.RegistryError>
}

export const make = (repository: Repository, hash: Hash.Hash["Service"]): Manifests => {
  const store = repository.name
  const memory = makeMemory()
  const urlFor = (name: string) => urlOf(repository, "manifests", name)
  const digestIn = (text: string | undefined) => Result.getOrUndefined(Digest.parse(text ?? ""))

  const digestOf = (bytes: Uint8Array, algorithm: Digest.Algorithm) => {
    const hasher = hash.make(algorithm)
    hasher.update(bytes)
    return hasher.digest()
  }

  const get: Manifests["get"] = Effect.fnUntraced(function*(name, expected) {
    const operation = "pull the manifest"
    const askedFor = (headers: Answer["headers"]) => digestIn(name) ?? digestIn(headers["docker-content-digest"])
    const { bytes, headers, shown, status } = yield* whole(
      repository,
      {
        operation,
        subject: name,
        method: "GET",
        url: urlFor(name),
        headers: { accept, "accept-encoding": "identity" },
        isRedirectable: true,
        accept: [200, 404]
      },
      Json.maxBytes,
      ({ bytes, headers }) => {
        const asked = askedFor(headers)
        return asked === undefined || digestOf(bytes, Digest.algorithm(asked)) === asked
      }
    )
    if (status === 404) return undefined
    const asked = askedFor(headers)
    const digest = digestOf(bytes, asked === undefined ? "sha256" : Digest.algorithm(asked))
    if (asked !== undefined && digest !== asked) {
      return yield* new BlobStore.DigestMismatch({ store, expected: asked, found: digest })
    }
    const sent = typeIn(headers)
    const mediaType = mediaTypeOf(bytes, sent) ?? expected?.mediaType
    if (mediaType === undefined) {
      const found = `${
        JSON.stringify(shown(sent ?? "nothing"))
      } as the media type of neither a manifest nor an index that is known`
      return yield* misbehaved(repository, operation, name, `it sends ${found}`)
    }
    const document = { descriptor: { mediaType, digest, size: bytes.length }, bytes }
    memory.keep(document, true)
    return document
  })

  const head = (name: string) =>
    Effect.scoped(lookFor(repository, {
      operation: "look for the manifest",
      subject: name,
      url: urlFor(name),
      headers: { accept }
    }))

  const look: Manifests["look"] = Effect.fnUntraced(function*(name) {
    const response = yield* head(name)
    if (response.status === 404) return undefined
    const digest = digestIn(response.headers["docker-content-digest"])
    const size = lengthOf(response)
    const mediaType = typeIn(response.headers)
    if (digest === undefined || size === undefined || mediaType === undefined || !isDocument(mediaType)) {
      return (yield* get(name))?.descriptor
    }
    memory.note({ digest, mediaType })
    return { mediaType, digest, size }
  })

  const has: Manifests["has"] = Effect.fnUntraced(function*({ digest, size }) {
    const response = yield* head(digest)
    return response.status !== 404 && (lengthOf(response) ?? size) === size
  })

  /** What is put under a tag is not put twice: between the two, another may have tagged something else. */
  const send = Effect.fnUntraced(function*(name: string, { bytes, descriptor }: Document, isRetried: boolean) {
    const response = yield* ask(repository, {
      operation: pushing,
      subject: name,
      actions: ["pull", "push"],
      method: "PUT",
      url: urlFor(name),
      body: { bytes, contentType: descriptor.mediaType },
      isRetried,
      accept: [200, 201, 202]
    })
    const told = digestIn(response.headers["docker-content-digest"])
    if (told !== undefined && told !== descriptor.digest) {
      // Of another algorithm, it may be right
      if (Digest.algorithm(told) === Digest.algorithm(descriptor.digest)) {
        return yield* misbehaved(repository, pushing, name, `it stores ${descriptor.digest} as ${told}`)
      }
    }
    return response.headers["oci-subject"] !== undefined
  }, Effect.scoped)

  return {
    memory,
    describe: (bytes, mediaType) => ({
      bytes,
      descriptor: { mediaType, digest: digestOf(bytes, "sha256"), size: bytes.length }
    }),
    get,
    look,
    has,
    put: Effect.fnUntraced(function*(document) {
      const isListed = yield* send(document.descriptor.digest, document, true)
      memory.keep(document, false)
      return isListed
    }),
    tag: Effect.fnUntraced(function*(tag, document) {
      const allowed = cuts(repository)
      for (;;) {
        const error = yield* Effect.match(send(tag, document, false), {
          onFailure: (error) => error,
          onSuccess: () => undefined
        })
        if (error === undefined) return
        const { reason } = error
        // What was turned away has changed nothing; what was cut off may have been done
        if (reason._tag === "Unavailable" && (reason.status === 429 || reason.status === 503)) {
          yield* allowed.next(0, error)
        } else if (!isPassing(error) || (yield* look(tag))?.digest !== document.descriptor.digest) {
          return yield* error
        } else {
          return
        }
      }
    }),
    remove: Effect.fnUntraced(function*(name) {
      const operation = "delete the manifest"
      const digest = digestIn(name)
      const { status } = yield* Effect.scoped(ask(repository, {
        operation,
        subject: name,
        actions: ["pull", "delete"],
        method: "DELETE",
        url: urlFor(name),
        accept: [200, 202, 204, 404, ...(digest === undefined ? [400, 405] : [])]
      }))
      // A registry of before tags could be deleted takes each name for a digest
      if (status === 400 || status === 405) {
        const message = "it cannot delete a tag alone; what it leads to can be deleted by its digest, with all its tags"
        const errors = [{ code: "UNSUPPORTED", message }]
        return yield* failure(repository, "delete the tag", name, new RegistryError.Refused({ status, errors }))
      }
      if (digest !== undefined) memory.forget(digest)
      return status !== 404
    })
  }
}
