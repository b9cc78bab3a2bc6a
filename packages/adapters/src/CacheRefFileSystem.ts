/**
 * Refs in a directory: an image layout that holds the blobs of the layers, and in its `refs/` one JSON document a ref.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Hash from "@effect-oci/core/Hash"
import * as RefStore from "@effect-oci/core/RefStore"
import type * as Json from "@effect-oci/schema/Json"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { join } from "node:path"
import type { Durability } from "./Durability.ts"
import { absentAs, checkDirectory, Files, readDocument } from "./internal/files.ts"
import * as Layout from "./internal/layout.ts"
import * as Refs from "./internal/refs.ts"

/**
 * What can be chosen about a directory of refs.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long is waited for another process that changes the refs: 30 seconds unless given. */
  readonly lockTimeout?: Duration.Input
  /** What a ref survives that was added: `full` unless given. */
  readonly durability?: Durability
}

const suffix = ".json"

const make = Effect.fnUntraced(function*(path: string, options: Options) {
  const files = yield* Files
  const lockTimeout = Duration.fromInputUnsafe(options.lockTimeout ?? "30 seconds")
  const layout = yield* Layout.make(path, lockTimeout, options.durability)
  const store = layout.root
  const directory = join(store, "refs")
  const pathOf = (name: string) => join(directory, name + suffix)

  const lookup = Effect.fnUntraced(function*(name: string) {
    if (!RefDocument.isName(name)) return undefined
    const path = pathOf(name)
    const unreadable = (cause: Json.Problem) => new CacheRef.RefUnreadable({ ref: name, path, cause })
    const found = yield* readDocument(files, path, "ref document").pipe(
      Effect.catchTag("LimitExceeded", (error) => Effect.fail(unreadable(error))),
      absentAs(undefined)
    )
    if (found === undefined) return undefined
    const { value } = yield* Effect.fromResult(Result.mapError(RefDocument.parse(found.bytes), unreadable))
    return value
  })

  const list = files.list(directory).pipe(
    // A store, or a `refs`, that is no directory is not an empty one
    Effect.catchIf((error) => error.code === "ENOENT", () => Effect.succeed<ReadonlyArray<Uint8Array>>([])),
    Effect.map((names) =>
      names.map((name) => new TextDecoder().decode(name))
        .filter((name) => name.endsWith(suffix) && RefDocument.isName(name.slice(0, -suffix.length)))
        .map((name) => name.slice(0, -suffix.length))
        .toSorted()
    )
  )

  const acquire: CacheRef.CacheRef["Service"]["acquire"] = Effect.fnUntraced(function*(name) {
    const document = yield* lookup(name)
    if (document === undefined) return yield* new CacheRef.RefMissing({ store, ref: name })
    return Refs.toRef(store, name, document, layout.blobs.get, layout.blobs, acquire)
  })

  const add: RefStore.RefStore["Service"]["add"] = Effect.fnUntraced(function*(name, document, options) {
    yield* Refs.checkName(name)
    const check = Refs.checkAdd(store, lookup, name, document, options?.replace ?? false)
    // Once before anything is made, once when nobody else changes anything
    yield* check
    yield* layout.prepare
    yield* layout.directory("refs")
    yield* layout.syncBlobs
    yield* layout.locked(Effect.gen(function*() {
      if (yield* check) yield* layout.write(pathOf(name), RefDocument.encode(document))
      yield* layout.syncNames(directory)
      yield* layout.syncNames(store)
    }))
  })

  const remove: RefStore.RefStore["Service"]["remove"] = Effect.fnUntraced(function*(name) {
    yield* Refs.checkName(name)
    const missing = new CacheRef.RefMissing({ store, ref: name })
    if (!(yield* files.info(pathOf(name)).pipe(Effect.as(true), absentAs(false)))) return yield* missing
    yield* checkDirectory(files, directory)
    yield* layout.locked(Effect.gen(function*() {
      yield* Refs.checkRemove(lookup, yield* list, name)
      if (!(yield* files.remove(pathOf(name)).pipe(Effect.as(true), absentAs(false)))) return yield* missing
      yield* layout.syncNames(directory)
    }))
  })

  return Context.make(BlobStore.BlobStore, layout.blobs).pipe(
    Context.add(CacheRef.CacheRef, { acquire, list }),
    Context.add(RefStore.RefStore, { add, remove })
  )
})

/**
 * Layer that keeps refs and the blobs of their layers in a directory.
 *
 * **Details**
 *
 * The directory is made with the first thing that is written to it, and is an image layout too; reading makes nothing.
 * `refs/NAME.json` is the whole truth about a ref, for people to read and for other programs to write: a rename makes
 * it appear. It is read when the ref is acquired, and only then, so that a chain of any length needs no more memory
 * than its refs. What is acquired needs no release.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string,
  options: Options = {}
): Layer.Layer<CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore, never, Hash.Hash> =>
  Layer.effectContext(make(directory, options))
