/**
 * Removing the blobs of a store that nothing needs any more.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as CacheRef from "@effect-oci/core/CacheRef"
import * as Hash from "@effect-oci/core/Hash"
import type * as ImageStore from "@effect-oci/core/ImageStore"
import * as Reference from "@effect-oci/core/Reference"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import { absentAs, Files, type FileSystem, type Info } from "./internal/files.ts"
import * as Layout from "./internal/layout.ts"
import * as Lease from "./internal/lease.ts"
import * as Tidying from "./internal/tidying.ts"
import * as Trash from "./internal/trash.ts"
import * as StoreContent from "./StoreContent.ts"

/**
 * Error raised where a document cannot be read, so that what it names is not known. Nothing is removed then. `from` is what
 * names the document.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReachUnknown
  extends Schema.TaggedError<ReachUnknown>("@effect-oci/adapters/ReachUnknown")("ReachUnknown", {
    store: Schema.String,
    digest: Digest.Digest,
    from: Schema.String,
    cause: Schema.Union([BlobStore.BlobStoreError, Json.InvalidJson, Json.LimitExceeded, Json.UnexpectedJson])
  })
{
  override get message(): string {
    return `nothing is removed from ${this.store}, because it is not known what ${this.digest} names, which ` +
      `${this.from} leads to: verify the store, and repair it, or untag the image`
  }
}

/**
 * What can be chosen about a collection.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How old a blob has to be, by the clock of the file system, to be removed: an hour unless given. */
  readonly grace?: Duration.Input
  /** Whether it is only told what would be removed. */
  readonly dryRun?: boolean
  /** How long is waited for another process that changes the store: 30 seconds unless given. */
  readonly lockTimeout?: Duration.Input
}

/**
 * What was removed, or would be.
 *
 * **Details**
 *
 * `bytes` is what that frees: a blob whose file has other names, in another layout, frees nothing. `kept` are those that
 * are needed; `young` those that are not, and that will be old enough later.
 *
 * @category models
 * @since 0.1.0
 */
export interface Collected {
  readonly removed: ReadonlyArray<BlobStore.Blob>
  readonly bytes: number
  readonly kept: number
  readonly young: number
}

/** How many documents are read at once. */
const concurrency = 16

/** The files of all blobs. Only plain ones: what else is there is not ours to remove. */
const blobFiles = Effect.fnUntraced(function*(files: FileSystem, root: string) {
  const found = new Map<Digest.Digest, Info>()
  for (const algorithm of Digest.Algorithm.literals) {
    const infos = files.infos(join(root, "blobs", algorithm))
    for (const [name, info] of yield* absentAs<ReadonlyMap<string, Info>>(new Map())(infos)) {
      const digest = Digest.fromHex(algorithm, name)
      if (Result.isSuccess(digest)) found.set(digest.success, info)
    }
  }
  return found
})

const digestsIn = (text: string): ReadonlyArray<Digest.Digest> =>
  [...text.matchAll(/sha(?:256|384|512):[0-9a-f]+/g)].flatMap(([match]) =>
    Result.match(Digest.parse(match), { onFailure: () => [], onSuccess: (digest) => [digest] })
  )

/**
 * Follows blobs of which one does not know what they are: what looks like a document keeps whatever blob it mentions. That
 * is at most too much.
 */
const mentions = Effect.fnUntraced(function*(
  files: FileSystem,
  layout: Layout.Layout,
  area: string,
  from: Iterable<Digest.Digest>,
  reached: Set<Digest.Digest>
) {
  const next = [...from]
  for (let digest = next.pop(); digest !== undefined; digest = next.pop()) {
    if (reached.has(digest)) continue
    reached.add(digest)
    const read = (path: string) => absentAs(undefined)(files.readSmall(path, Json.maxBytes))
    const found = (yield* read(layout.blobPath(digest))) ?? (yield* read(Trash.pathOf(area, digest)))
    if (found?.bytes?.[0] === 0x7b) next.push(...digestsIn(new TextDecoder().decode(found.bytes)))
  }
})

/**
 * Removes the blobs of a layout or a directory of refs that no image, no ref and no work in progress needs.
 *
 * **Details**
 *
 * An image needs everything that `index.json` leads to: manifests inside indexes, attestations, subjects. A blob of an
 * unknown kind needs every blob whose digest it mentions. If a manifest or an index is missing or damaged, nothing is removed,
 * and the collection fails with `ReachUnknown`. What `BlobStore.staged` and `ImageStore.publish` have put or found is held by
 * a lease until they are done. For other writers there is the grace: what is younger stays, with all that it mentions. A grace
 * of zero is for when nobody else writes, or all writers are ours and publish.
 *
 * It holds the store's lock meanwhile. Blobs go to a trash first, and are put back if they have come to be needed until
 * all are there; readers look there too. Killed at any moment it leaves nothing missing: the next change of the store puts back
 * what is in the trash.
 *
 * **Example** (Telling what would be freed)
 *
 * ```ts
 * import * as GarbageCollection from "@effect-oci/adapters/GarbageCollection"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Effect from "effect/Effect"
 *
 * const program = GarbageCollection.collect("out", { grace: "1 day", dryRun: true }).pipe(
 *   Effect.map(({ bytes }) => bytes),
 *   Effect.provide(NodeHash.layer)
 * )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const collect = Effect.fn("GarbageCollection.collect")(function*(
  directory: string,
  options: Options = {}
): Effect.fn.Return<
  Collected,
  ReachUnknown | ImageStore.ImageStoreError | CacheRef.CacheRefError,
  Hash.Hash
> {
  const files = yield* Files
  const hash = yield* Hash.Hash
  const lockTimeout = Duration.fromInputUnsafe(options.lockTimeout ?? "30 seconds")
  const grace = Duration.toNanosUnsafe(Duration.fromInputUnsafe(options.grace ?? "1 hour"))
  const layout = yield* Layout.make(directory, lockTimeout)
  const area = join(layout.root, ".effect-oci")
  const content = (blob: BlobStore.Blob) =>
    Effect.provideService(BlobStore.getBytes(blob), BlobStore.BlobStore, layout.blobs)

  const visit = (reached: Set<Digest.Digest>, unknown: Set<Digest.Digest>) =>
    Effect.fnUntraced(function*({ descriptor, from, isOptional }: Reference.Reference) {
      const { digest, mediaType } = descriptor
      if (!Reference.isDocument(descriptor)) {
        if (MediaType.isLayer(mediaType) || MediaType.isConfig(mediaType)) reached.add(digest)
        else unknown.add(digest)
        return []
      }
      reached.add(digest)
      const stopped = (cause: ReachUnknown["cause"]) => new ReachUnknown({ store: layout.root, digest, from, cause })
      const bytes = yield* Effect.result(content(descriptor))
      if (Result.isFailure(bytes)) {
        return bytes.failure._tag === "BlobMissing" && isOptional ? [] : yield* stopped(bytes.failure)
      }
      return yield* Effect.fromResult(Result.mapError(Reference.inDocument(descriptor, bytes.success), stopped))
    })

  /** Everything that is needed now; `also` are blobs that are kept whoever needs them. */
  const reach = Effect.fnUntraced(function*(also: Iterable<Digest.Digest>) {
    const reached = new Set<Digest.Digest>()
    const unknown = new Set<Digest.Digest>([...also, ...yield* Lease.held(files, area)])
    yield* Reference.walk(yield* StoreContent.roots(layout.root), visit(reached, unknown), concurrency)
    yield* mentions(files, layout, area, unknown, reached)
    return reached
  })

  /** Keeps what the lists lead to now, and removes the rest of the trash. */
  const empty = Effect.fnUntraced(function*(trash: ReadonlySet<Digest.Digest>) {
    const needed = yield* reach([])
    const removed = new Set<Digest.Digest>()
    for (const digest of trash) {
      if (needed.has(digest)) {
        yield* Trash.putBack(files, layout.root, area, digest)
      } else {
        yield* absentAs(undefined)(files.remove(Trash.pathOf(area, digest)))
        removed.add(digest)
      }
    }
    return removed
  })

  // A directory that is no layout is not made one
  yield* StoreContent.roots(layout.root)
  yield* layout.prepare
  return yield* layout.locked(Effect.gen(function*() {
    const now = yield* Tidying.now(files, area)
    const blobs = yield* blobFiles(files, layout.root)
    const isYoung = ({ ctime }: Info): boolean => now - ctime < grace
    const needed = yield* reach([])
    const young = [...blobs].filter(([digest, info]) => !needed.has(digest) && isYoung(info)).map(([digest]) => digest)
    const kept = new Set(needed)
    yield* mentions(files, layout, area, young, kept)
    const garbage = new Map([...blobs].filter(([digest]) => !kept.has(digest)))
    let removed: ReadonlySet<Digest.Digest> = new Set(garbage.keys())
    if (options.dryRun !== true) {
      removed = yield* Effect.gen(function*() {
        for (const digest of garbage.keys()) {
          yield* absentAs(undefined)(files.rename(layout.blobPath(digest), Trash.pathOf(area, digest)))
        }
        return yield* empty(removed)
      }).pipe(
        // Whatever was not decided is put back
        Effect.onError(() => Effect.ignore(Trash.restore(files, layout.root, area)))
      )
    }
    const gone = [...garbage].filter(([digest]) => removed.has(digest))
    return {
      removed: gone.map(([digest, { size }]) => ({ digest, size })),
      bytes: gone.reduce((sum, [, { links, size }]) => links > 1 ? sum : sum + size, 0),
      kept: blobs.size - gone.length - young.length,
      young: young.length
    }
  })).pipe(Effect.provideService(Hash.Hash, hash))
})
