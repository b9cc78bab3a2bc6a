/**
 * The way through an image's documents: from its descriptor to its manifests, through indexes inside each other.
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { BlobStore } from "../BlobStore.ts"
import type { Hash } from "../Hash.ts"
import * as Issue from "../Issue.ts"
import * as Ambiguity from "./ambiguity.ts"
import * as BlobContent from "./blobContent.ts"
import * as DocumentCheck from "./documentCheck.ts"
import * as ImageCheck from "./imageCheck.ts"
import * as Reference from "./reference.ts"

/** Blobs that are read at the same time. */
export const concurrency = 4

/** An image whose manifest has been read. */
export interface Image {
  readonly manifest: Reference.Reference
  readonly config: Reference.Reference
  readonly layers: ReadonlyArray<Reference.Reference>
}

/** What a walk gathers, and what is still to be read. */
export interface Found {
  readonly issues: Array<Issue.Issue>
  readonly images: Array<Image>
  /** Blobs that nothing here understands. */
  readonly opaque: Array<Reference.Reference>
  readonly subjects: Array<Reference.Reference>
}

const report = (found: Found, issues: ReadonlyArray<Issue.Issue>): void => {
  // Not as arguments: a document may have more issues than a call can have of those
  for (const issue of issues) found.issues.push(issue)
}

/**
 * Reads the documents of references, each once and few at a time, and hands each on. What is wrong with the blobs is
 * told for every reference.
 */
export const readDocuments = Effect.fnUntraced(function*(
  found: Found,
  references: ReadonlyArray<Reference.Reference>,
  use: (reference: Reference.Findable, bytes: Uint8Array) => void
): Effect.fn.Return<void, never, BlobStore> {
  const findable = references.filter(Reference.isFindable)
  const first = new Map<Digest.Digest, Reference.Findable>()
  for (const reference of findable) if (!first.has(reference.digest)) first.set(reference.digest, reference)
  const outcomes = new Map<Digest.Digest, Result.Result<{ readonly size: number }, Issue.Fact>>()
  for (const batch of Arr.chunksOf(first.values(), concurrency)) {
    const read = yield* Effect.forEach(
      batch,
      (reference) =>
        Effect.map(BlobContent.document(reference.digest, reference.size ?? 0), (result) => ({ reference, result })),
      { concurrency }
    )
    for (const { reference, result } of read) {
      outcomes.set(reference.digest, Result.map(result, ({ size }) => ({ size })))
      if (Result.isSuccess(result)) use(reference, result.success.value)
    }
  }
  for (const reference of findable) {
    const outcome = outcomes.get(reference.digest)
    if (outcome !== undefined) report(found, Reference.outcome(reference, outcome))
  }
})

/** A descriptor, whatever it is, and where it stands. */
export type Descriptor = readonly [value: unknown, at: Issue.Location]

/** The descriptors of a list. */
export const elements = (list: unknown, at: Issue.Location): ReadonlyArray<Descriptor> =>
  DocumentCheck.asList(list).map((value, index): Descriptor => [value, Issue.inside(at, index)])

/** Reads the documents that descriptors lead to, level by level. */
export const walk = Effect.fnUntraced(function*(
  roots: ReadonlyArray<Descriptor>,
  limits: { readonly descriptors: number; readonly levels: number },
  hash: Hash["Service"]
): Effect.fn.Return<Found, never, BlobStore> {
  const found: Found = { issues: [], images: [], opaque: [], subjects: [] }
  const seen = new Set<Digest.Digest>()
  let left = limits.descriptors
  let isExceeded = false

  /** Takes descriptors up, as long as there are not too many. */
  const take = (descriptors: ReadonlyArray<Descriptor>): ReadonlyArray<Reference.Reference> => {
    const taken = descriptors.slice(0, left)
    const next = descriptors[left]
    if (next !== undefined && !isExceeded) {
      isExceeded = true
      found.issues.push(Issue.make(next[1], { _tag: "LimitExceeded", what: "descriptors", limit: limits.descriptors }))
    }
    left -= taken.length
    return taken.map(([value, at]) => {
      const reference = Reference.fromUnknown(value, at)
      report(found, Reference.check(reference, hash))
      return reference
    })
  }

  /** Takes up the one descriptor that a member is. */
  const takeMember = (members: DocumentCheck.Members, name: string, path: string): Reference.Reference | undefined => {
    const value = DocumentCheck.own(members, name)
    return DocumentCheck.isMembers(value) ? take([[value, { path, pointer: `/${name}` }]])[0] : undefined
  }

  /** Takes up what a manifest lists. */
  const takeManifest = (self: Reference.Findable, { mediaType, members }: DocumentCheck.Lister): void => {
    const path = self.digest
    const config = takeMember(members, "config", path)
    const layers = take(elements(DocumentCheck.own(members, "layers"), { path, pointer: "/layers" }))
    if (config !== undefined && ImageCheck.isImage(self, config, layers)) {
      report(found, ImageCheck.mediaTypes(mediaType, config, layers))
      found.images.push({ manifest: self, config, layers })
    } else {
      for (const reference of config === undefined ? layers : [config, ...layers]) found.opaque.push(reference)
    }
  }

  /** Tells documents from blobs that nothing here understands. */
  const isDocument = (reference: Reference.Reference): boolean => {
    if (Ambiguity.kindOf(reference.mediaType) !== undefined) return true
    found.opaque.push(reference)
    if (reference.mediaType !== "") {
      const { mediaType } = reference
      const at = Issue.inside(reference.at, "mediaType")
      found.issues.push(Issue.make(at, { _tag: "UnknownMediaType", mediaType }))
    }
    return false
  }

  let level = take(roots).filter(isDocument)
  for (let depth = 1; level.length > 0; depth++) {
    const [first] = level
    if (depth > limits.levels && first !== undefined) {
      found.issues.push(Issue.make(first.at, { _tag: "LimitExceeded", what: "levels", limit: limits.levels }))
      break
    }
    const next: Array<Reference.Reference> = []
    yield* readDocuments(found, level, (self, bytes) => {
      if (seen.has(self.digest)) return
      seen.add(self.digest)
      const path = self.digest
      const document = DocumentCheck.lister(path, bytes, self.mediaType)
      report(found, document.issues)
      if (document.kind === "manifest") takeManifest(self, document)
      else {for (const reference of take(elements(document.members["manifests"], { path, pointer: "/manifests" }))) {
          next.push(reference)
        }}
      const subject = takeMember(document.members, "subject", path)
      if (subject !== undefined) found.subjects.push(subject)
    })
    level = next.filter(isDocument)
  }
  return found
})
