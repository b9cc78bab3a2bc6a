/**
 * Whether a store still has what was stored in it: every blob is read and hashed, and everything that an image or a ref
 * leads to has to be there.
 *
 * `Validation` tells whether the documents of an image are right; this tells whether a disk has kept its word.
 *
 * @since 0.1.0
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as BlobStore from "./BlobStore.ts"
import * as Reference from "./Reference.ts"

/**
 * What is wrong with a blob.
 *
 * **Details**
 *
 * - `missing`: something names it, and it is not there.
 * - `corrupt`: it has the right size, or none that is known, and other content.
 * - `truncated`, `too long`: it has not the size that it was named with, nor the content of its digest.
 * - `misdescribed`: it is as its digest says, and what names it gives another size. No other copy can mend that.
 * - `unreadable`: the machine does not give it, or it is no plain file; or it is a document that does not parse, so that
 *   what it names is not known.
 *
 * @category models
 * @since 0.1.0
 */
export type Problem = "missing" | "corrupt" | "truncated" | "too long" | "misdescribed" | "unreadable"

/**
 * A blob with which something is wrong.
 *
 * **Details**
 *
 * `from` is what names it, as far as anything does. `size` is what that says, `found` the size that it has. `isHealed` tells
 * whether it was replaced by a copy that is right; `failure` why it was not, where that was tried, or else more about what is
 * wrong.
 *
 * @category models
 * @since 0.1.0
 */
export interface Finding {
  readonly digest: Digest.Digest
  readonly problem: Problem
  readonly from?: string
  readonly size?: number
  readonly found?: number
  readonly isHealed: boolean
  readonly failure?: string
}

/**
 * What was found in a store.
 *
 * **Details**
 *
 * `blobs` and `bytes` are what was read. `unreferenced` are the blobs that are right and that nothing leads to: garbage, or an
 * image that is about to get its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly findings: ReadonlyArray<Finding>
  readonly unreferenced: ReadonlyArray<BlobStore.Blob>
  readonly blobs: number
  readonly bytes: number
}

/**
 * What is to be verified.
 *
 * **Details**
 *
 * `blobs` are all that the store has, with the sizes that they have; `roots` what its images and refs name. From `source` a
 * blob is taken that is missing or not right, after which it counts as healed. Nothing that is right is ever replaced.
 * `concurrency` is how many blobs are read at once: 4 unless given.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly blobs: ReadonlyArray<BlobStore.Blob>
  readonly roots: ReadonlyArray<Reference.Reference>
  readonly source?: BlobStore.Store
  readonly concurrency?: number
}

const problemOf = (error: BlobStore.BlobStoreError): Problem =>
  error._tag === "BlobMissing"
    ? "missing"
    : error._tag === "DigestMismatch"
    ? "corrupt"
    : error._tag === "SizeMismatch"
    ? error.found < error.expected ? "truncated" : "too long"
    : "unreadable"

const reasonOf = (error: BlobStore.BlobStoreError) =>
  problemOf(error) === "unreadable" ? { failure: error.message } : {}

const byDigest = (left: { readonly digest: string }, right: { readonly digest: string }): number =>
  left.digest < right.digest ? -1 : left.digest > right.digest ? 1 : 0

/** Hashes a blob in passing, and keeps the bytes of a document. */
const readWhole = (store: BlobStore.Store, blob: BlobStore.Blob, isKept: boolean) =>
  isKept ? Stream.mkUint8Array(store.get(blob)) : Effect.as(Stream.runDrain(store.get(blob)), new Uint8Array())

/**
 * Verifies a store, and heals it where a source is given.
 *
 * **Details**
 *
 * A document is read only after it was verified, or healed. It never fails: what cannot be read is found to be so.
 *
 * **Example** (Verifying what an image leads to)
 *
 * ```ts
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Reference from "@effect-oci/core/Reference"
 * import * as Verification from "@effect-oci/core/Verification"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const program = Effect.gen(function*() {
 *   const images = yield* ImageStore.ImageStore
 *   const root = Reference.make(yield* images.resolve(Option.some("latest")), "index.json")
 *   const { findings } = yield* Verification.check({ blobs: [], roots: [root] })
 *   return findings
 * })
 * ```
 *
 * @category checking
 * @since 0.1.0
 */
export const check = Effect.fn("Verification.check")(function*(
  options: Options
): Effect.fn.Return<Report, never, BlobStore.BlobStore> {
  const store = yield* BlobStore.BlobStore
  const concurrency = options.concurrency ?? 4
  const sizes = new Map(options.blobs.map(({ digest, size }) => [digest, size]))
  const findings: Array<Finding> = []
  const reached = new Set<Digest.Digest>()
  let blobs = 0
  let bytes = 0

  /** Whether a blob whose size is not what was expected is right all the same. */
  const isMisdescribed = (digest: Digest.Digest, size: number) =>
    readWhole(store, { digest, size }, false).pipe(Effect.as(true), Effect.orElseSucceed(() => false))

  const heal = (blob: BlobStore.Blob) =>
    options.source === undefined
      ? Effect.succeed({ isHealed: false })
      : BlobStore.transfer(blob, options.source, store).pipe(Effect.match({
        onFailure: ({ message }) => ({ isHealed: false, failure: message }),
        onSuccess: () => ({ isHealed: true })
      }))

  const tell = (finding: Finding) => Effect.sync(() => void findings.push(finding))

  const visit = Effect.fnUntraced(function*(reference: Reference.Reference) {
    const { descriptor, from, isOptional } = reference
    const { digest, size } = descriptor
    const found = sizes.get(digest)
    const base = { digest, from, size, ...(found === undefined ? {} : { found }) }
    reached.add(digest)
    const isDocument = Reference.isDocument(descriptor)
    const isRead = isDocument && size <= Json.maxBytes
    blobs++
    bytes += found ?? 0
    const read = Effect.result(readWhole(store, descriptor, isRead))
    let content = yield* read
    if (Result.isFailure(content)) {
      const problem = problemOf(content.failure)
      if (problem === "missing" && isOptional) return []
      if (content.failure._tag === "SizeMismatch" && (yield* isMisdescribed(digest, found ?? content.failure.found))) {
        yield* tell({ ...base, problem: "misdescribed", isHealed: false })
        return []
      }
      const outcome = yield* heal(descriptor)
      yield* tell({
        ...base,
        problem,
        ...reasonOf(content.failure),
        ...outcome
      })
      if (!outcome.isHealed) return []
      content = yield* read
      if (Result.isFailure(content)) return []
    }
    if (!isDocument) return []
    const named = isRead
      ? Reference.inDocument(descriptor, content.success)
      : Result.fail(new Json.LimitExceeded({ document: "document", limit: Json.maxBytes, size }))
    if (Result.isSuccess(named)) return named.success
    yield* tell({ ...base, problem: "unreadable", isHealed: false, failure: named.failure.message })
    return []
  })

  yield* Reference.walk(options.roots, visit, concurrency)

  const unreferenced: Array<BlobStore.Blob> = []
  const others = options.blobs.filter(({ digest }) => !reached.has(digest))
  yield* Effect.forEach(others, (blob) => {
    blobs++
    bytes += blob.size
    return readWhole(store, blob, false).pipe(Effect.matchEffect({
      onFailure: Effect.fnUntraced(function*(error) {
        const problem = problemOf(error)
        // Removed since the blobs were listed
        if (problem === "missing") return
        const finding = { digest: blob.digest, problem, found: blob.size }
        yield* tell({ ...finding, ...reasonOf(error), ...yield* heal(blob) })
      }),
      onSuccess: () => Effect.sync(() => void unreferenced.push(blob))
    }))
  }, { concurrency, discard: true })

  return { findings: findings.toSorted(byDigest), unreferenced: unreferenced.toSorted(byDigest), blobs, bytes }
})
