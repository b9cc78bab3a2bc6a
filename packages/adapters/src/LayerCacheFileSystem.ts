/**
 * A cache of layers in a directory.
 *
 * @since 0.1.0
 */
import type * as BlobStore from "@effect-oci/core/BlobStore"
import * as Hash from "@effect-oci/core/Hash"
import type * as ImageLayer from "@effect-oci/core/Layer"
import * as LayerCache from "@effect-oci/core/LayerCache"
import * as Digest from "@effect-oci/schema/Digest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { join } from "node:path"
import { absentAs, Files, type Info, readDocument } from "./internal/files.ts"
import * as LayerRecord from "./internal/layerRecord.ts"
import * as Layout from "./internal/layout.ts"

/**
 * What can be chosen about a cache.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How many bytes the blobs may have together: 10 GiB unless given. A blob that would fill it is not kept. */
  readonly maxBytes?: number
}

/** How many layers are kept at most: a file system has room for the bytes of small ones, but not for their number. */
const maxLayers = 4000

const maxRecord = 64 * 1024

/** How long a layer may take to be kept, in milliseconds: a new file that is older belongs to a process that was killed. */
const patience = 60 * 60 * 1000

/**
 * The part of the bound that is left free, and that a process may add before it looks again at what is there: looking
 * takes longer the more there is.
 */
const slack = 1 / 64

const make = Effect.fnUntraced(function*(path: string, options: Options) {
  const files = yield* Files
  const hash = yield* Hash.Hash
  const maxBytes = options.maxBytes ?? 10 * 1024 ** 3
  const roomFor = (bound: number) => bound * (1 - slack)
  const infos = (directory: string) => absentAs<ReadonlyMap<string, Info>>(new Map())(files.infos(directory))
  // A blob is verified when it is found, so that nothing needs to be made durable
  const cache = yield* Layout.make(path, Duration.zero, false)
  const area = join(cache.root, ".effect-oci")
  const records = join(area, "layers")
  const pathOf = (key: Digest.Digest) => join(records, LayerRecord.nameOf(key))

  const remove = (path: string) => absentAs(undefined)(files.remove(path))

  const read = Effect.fnUntraced(function*(path: string) {
    const found = yield* readDocument(files, path, "layer record", maxRecord).pipe(absentAs(undefined))
    return found === undefined ? undefined : { record: LayerRecord.decode(hash, found.bytes), info: found.info }
  })

  /** A record that is damaged is removed. */
  const lookup = Effect.fnUntraced(function*(key: Digest.Digest) {
    const path = pathOf(key)
    const found = yield* read(path).pipe(
      Effect.map((found) => found?.record),
      Effect.catchTag(["LimitExceeded", "UnsafeFile"], () => Effect.succeedNone)
    )
    if (found === undefined) return undefined
    if (Option.isSome(found) && found.value.key === key) return found.value
    yield* Effect.logWarning(`the layer cache has a damaged record, which is removed: ${path}`)
    yield* remove(path)
    return undefined
  })

  const write = Effect.fnUntraced(function*(record: LayerRecord.LayerRecord) {
    yield* cache.directory(join(".effect-oci", "layers"))
    yield* cache.write(pathOf(record.key), LayerRecord.encode(hash, record))
  })

  const remembering = (record: LayerRecord.LayerRecord, info: Info) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) => ({ ...record, seen: LayerRecord.remember(record.seen, info, now) })
    )

  const bring = Effect.fnUntraced(function*(blob: BlobStore.Blob, target: Layout.Layout) {
    const taken = yield* target.adopt(blob, cache, "verified")
    if (taken !== undefined) return taken
    yield* target.blobs.put(cache.blobs.get(blob), blob)
    return yield* target.inspect(blob)
  })

  /** Makes sure that a layout has the blob: at a glance where its file is the one that was verified before. */
  const ensureInLayout = Effect.fnUntraced(function*(record: LayerRecord.LayerRecord, target: Layout.Layout) {
    const blob = record.descriptor
    const info = yield* Effect.orElseSucceed(target.inspect(blob), () => undefined)
    if (info !== undefined && record.seen.includes(LayerRecord.stamp(info))) {
      const now = yield* Clock.currentTimeMillis
      return yield* Effect.ignore(files.touch(pathOf(record.key), now))
    }
    const checked = info === undefined ? undefined : yield* Effect.orElseSucceed(target.check(blob), () => undefined)
    const right = checked ?? (yield* bring(blob, target))
    // Where the cache cannot be written, only time is lost
    if (right !== undefined) yield* Effect.ignore(Effect.flatMap(remembering(record, right), write))
  })

  const ensure = Effect.fnUntraced(function*(record: LayerRecord.LayerRecord, store: BlobStore.Store) {
    const target = Layout.behind(store)
    if (target !== undefined) return yield* ensureInLayout(record, target)
    yield* store.put(cache.blobs.get(record.descriptor), record.descriptor)
    yield* Effect.ignore(files.touch(pathOf(record.key), yield* Clock.currentTimeMillis))
  })

  /** Whether it is the cache's own copy of a blob that an error is about. */
  const isOwnFault = (error: BlobStore.BlobStoreError, { digest }: BlobStore.Blob): boolean =>
    error._tag === "StoreIo" || error._tag === "RegistryError"
      ? false
      : error._tag === "UnsafeFile"
      ? error.path === cache.blobPath(digest)
      : error.store === cache.root

  const find = Effect.fnUntraced(function*(key: Digest.Digest, store: BlobStore.Store) {
    const record = yield* lookup(key)
    if (record === undefined) return Option.none<ImageLayer.Stored>()
    const { descriptor, diffId, encoder } = record
    const isThere = yield* ensure(record, store).pipe(
      Effect.as(true),
      Effect.catchIf((error) => isOwnFault(error, descriptor), (error) =>
        Effect.gen(function*() {
          yield* Effect.logWarning(`the layer cache has lost a layer, which is made again: ${error.message}`)
          yield* remove(pathOf(key))
          yield* remove(cache.blobPath(descriptor.digest))
          return false
        }))
    )
    return isThere ? Option.some({ descriptor, diffId, ...(encoder === undefined ? {} : { encoder }) }) : Option.none()
  })

  /** Removes what was not used for the longest time. It needs no lock: whoever misses what was removed makes it again. */
  const evict = Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    for (const [name, info] of yield* infos(area)) {
      const isLeft = name.startsWith("new-") && now - Number(info.ctime / 1_000_000n) > patience
      if (isLeft) yield* remove(join(area, name))
    }
    const blobs = new Map<string, Info & { readonly path: string }>()
    let bytes = 0
    for (const algorithm of Digest.Algorithm.literals) {
      const directory = join(cache.root, "blobs", algorithm)
      for (const [name, info] of yield* infos(directory)) {
        blobs.set(`${algorithm}:${name}`, { ...info, path: join(directory, name) })
        bytes += info.size
      }
    }
    const names = (yield* absentAs<ReadonlyArray<Uint8Array>>([])(files.list(records)))
      .map((name) => new TextDecoder().decode(name))
      .filter(LayerRecord.isName)
    let count = names.length
    const isFull = () => bytes > roomFor(maxBytes) || count > roomFor(maxLayers)
    if (!isFull()) return

    const uses = new Map<string, number>()
    const candidates: Array<{ readonly digest: string; readonly record?: string; readonly usedAt: bigint }> = []
    for (const name of names) {
      const record = join(records, name)
      const found = yield* Effect.orElseSucceed(read(record), () => undefined)
      // What cannot be read goes first
      const digest = Option.match(found?.record ?? Option.none(), {
        onNone: () => "",
        onSome: ({ descriptor }) => descriptor.digest
      })
      uses.set(digest, (uses.get(digest) ?? 0) + 1)
      candidates.push({ digest, record, usedAt: digest === "" ? 0n : found?.info.mtime ?? 0n })
    }
    for (const [digest, { ctime }] of blobs) {
      // Whoever kept it was killed, or is about to write its record
      if (!uses.has(digest)) candidates.push({ digest, usedAt: ctime })
    }
    candidates.sort((left, right) => left.usedAt < right.usedAt ? -1 : 1)
    for (const { digest, record } of candidates) {
      if (!isFull()) return
      if (record !== undefined) {
        yield* remove(record)
        count--
      }
      const rest = (uses.get(digest) ?? 1) - 1
      uses.set(digest, rest)
      const blob = blobs.get(digest)
      if (rest > 0 || blob === undefined) continue
      yield* remove(blob.path)
      bytes -= blob.size
    }
  })

  /** Since it was last looked at what is there: nobody has done so yet. */
  let added = { bytes: Infinity, layers: 0 }

  const keep = Effect.fnUntraced(function*(key: Digest.Digest, layer: ImageLayer.Stored, store: BlobStore.Store) {
    const blob = layer.descriptor
    if (blob.size > roomFor(maxBytes)) return
    const target = Layout.behind(store)
    const taken = target === undefined ? undefined : yield* cache.adopt(blob, target, "as it is")
    if (taken === undefined) yield* cache.blobs.put(store.get(blob), blob)
    const record = { ...layer, key, seen: [] }
    // After the link, which changes the file's time
    const info = yield* target?.inspect(blob) ?? Effect.undefined
    const written = target?.written(blob.digest)
    const isAsWritten = written !== undefined && info?.identity === written.identity &&
      info.size === written.size && info.mtime === written.mtime
    yield* write(isAsWritten ? yield* remembering(record, info) : record)
    added.bytes += blob.size
    added.layers++
    if (added.bytes <= maxBytes * slack && added.layers <= maxLayers * slack) return
    added = { bytes: 0, layers: 0 }
    yield* evict
  })

  const warn = (failed: string) => (error: { readonly message: string }) =>
    Effect.logWarning(`the layer cache cannot ${failed}: ${error.message}`)

  return LayerCache.LayerCache.of({
    find: (key, store) =>
      Effect.catch(find(key, store), (error) => Effect.as(warn("give a layer")(error), Option.none())),
    keep: (key, layer, store) => Effect.catch(keep(key, layer, store), warn("keep a layer"))
  })
})

/**
 * Layer of a cache in a directory, which any number of processes may use at once.
 *
 * **Details**
 *
 * Keeping a layer of an image layout or a directory of refs on the same file system writes none of its bytes again: the
 * cache has a clone of the blob, or a hard link to it. A layer that is found there whose blob was verified before, and
 * whose file has not been touched since, costs the time of a glance; any other blob is verified. One that is damaged in
 * the layout is mended from the cache, and one that is damaged in the cache is forgotten.
 *
 * When the blobs have more than `maxBytes`, or there are more than 4,000 layers, those that were not used for the
 * longest time go. The directory is an image layout without images, and its records are below `.effect-oci/layers`; all
 * of it may be removed at any time. Whoever can write to it decides what layers are found, so it is nothing to share with
 * those whom one does not trust.
 *
 * **Example** (Building with a cache)
 *
 * ```ts
 * import * as LayerCacheFileSystem from "@effect-oci/adapters/LayerCacheFileSystem"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Layer from "effect/Layer"
 *
 * const cache = LayerCacheFileSystem.layer("/var/cache/effect-oci", { maxBytes: 1024 ** 3 }).pipe(
 *   Layer.provide(NodeHash.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string,
  options: Options = {}
): Layer.Layer<LayerCache.LayerCache, never, Hash.Hash> => Layer.effect(LayerCache.LayerCache, make(directory, options))
