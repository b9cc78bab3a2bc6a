/**
 * An OCI image layout on disk: the blobs, and how files in it are written so that they survive `kill -9`, a full disk
 * and a power cut. `OciLayout` puts the list of images on top of it, `CacheRefFileSystem` the refs.
 *
 * What is written goes to a new file in the layout's private area, is made durable there, and then renamed to its place.
 * Blobs come before what names them. An fsync that fails is never tried again: the system may have dropped the pages.
 *
 * A file that has the name of a blob is never written again, only replaced or removed. So layouts may share it, as a hard
 * link. Programs that break this rule harm every layout that has the file, and each of them finds out when it reads.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Hash from "@effect-oci/core/Hash"
import type { StoreLocked } from "@effect-oci/core/ImageStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageLayout from "@effect-oci/schema/ImageLayout"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { join, resolve } from "node:path"
import type { Durability } from "../Durability.ts"
import {
  absentAs,
  checkDirectory,
  chunkSize,
  content,
  duplicate,
  ensureDirectory,
  type File,
  Files,
  type Info,
  openFile,
  syncDirectory,
  temporary,
  writeBehind
} from "./files.ts"
import * as ImageList from "./imageList.ts"
import * as Lease from "./lease.ts"
import { giveBack } from "./lending.ts"
import { withLock } from "./lock.ts"
import * as Owner from "./owner.ts"
import * as Tidying from "./tidying.ts"
import * as Trash from "./trash.ts"
import * as Unverified from "./unverified.ts"

/** Which layout is behind a service. */
const layouts = new WeakMap<BlobStore.Store, Layout>()

/** Finds the layout that keeps the blobs of a service, if it is one. */
export const behind = (store: BlobStore.Store): Layout | undefined => layouts.get(store)

/** What a directory may hold that is to become a layout: the beginnings of one, and what file systems put there. */
const harmless = new Set([".effect-oci", "blobs", "index.json", "lost+found", "oci-layout", "refs"])

type OnRead = (bytes: number) => Effect.Effect<void>

const ignored: OnRead = () => Effect.void

export interface Layout {
  /** The absolute path of the directory. */
  readonly root: string
  readonly blobs: Omit<BlobStore.Store, "has"> & {
    readonly has: (blob: BlobStore.Blob) => Effect.Effect<boolean, BlobStore.StoreIo | BlobStore.UnsafeFile>
  }
  /** Looks at the file of a blob without reading it. */
  readonly inspect: (blob: BlobStore.Blob) => Effect.Effect<Info | undefined, BlobStore.StoreIo | BlobStore.UnsafeFile>
  /** Where the file of a blob is, if it is there. */
  readonly blobPath: (digest: Digest.Digest) => string
  /** Opens the file of a blob, if it has the right size. */
  readonly openBlob: (
    blob: BlobStore.Blob
  ) => Effect.Effect<{ readonly file: File; readonly info: Info }, BlobStore.BlobStoreError, Scope.Scope>
  /** Reads the file of a blob to its end, makes sure that it is right and durable, and gives what it was then. */
  readonly check: (blob: BlobStore.Blob) => Effect.Effect<Info, BlobStore.BlobStoreError>
  /**
   * Takes a blob over from another layout, and gives its file, or nothing where the file system cannot. Only where it
   * was verified it is sure to be right, and durable.
   */
  readonly adopt: (
    blob: BlobStore.Blob,
    from: Layout,
    how: "verified" | "as it is",
    onRead?: OnRead
  ) => Effect.Effect<Info | undefined, BlobStore.BlobStoreError>
  /** The file of a blob as this layout has put it there, and so knows that it was right. */
  readonly written: (digest: Digest.Digest) => Info | undefined
  /** Makes the directory an empty layout, unless it is one. */
  readonly prepare: Effect.Effect<void, BlobStore.StoreIo | BlobStore.UnsafeFile>
  /** Makes a directory of the layout. */
  readonly directory: (name: string) => Effect.Effect<string, BlobStore.StoreIo | BlobStore.UnsafeFile>
  /** Makes all blobs durable that were put or found before, as far as the layout is to be durable. */
  readonly syncBlobs: Effect.Effect<void, BlobStore.StoreIo>
  /** Makes the names in a directory durable, as far as the layout is to be durable. */
  readonly syncNames: (directory: string) => Effect.Effect<void, BlobStore.StoreIo>
  /** Shows the blobs that are staged. */
  readonly publish: Effect.Effect<void, BlobStore.StoreIo>
  /** Writes a whole file to its place; its name is durable when its directory is synced. `check` has the last word. */
  readonly write: <E = never>(
    path: string,
    bytes: Uint8Array,
    check?: Effect.Effect<void, E>
  ) => Effect.Effect<void, E | BlobStore.StoreIo>
  /** Runs an effect while no other process, and no other fiber of this one, does so in the same layout. */
  readonly locked: <A, E, R>(
    effect: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E | BlobStore.StoreIo | BlobStore.UnsafeFile | StoreLocked, R>
}

/** In the layout of a cache, which is `false`, nothing is durable: what is read of it is verified. */
export const make = (
  path: string,
  lockTimeout: Duration.Duration,
  durability: Durability | false = "full"
): Effect.Effect<Layout, never, Hash.Hash> =>
  Effect.suspend(() =>
    makeWith(path, lockTimeout, durability, { isSwept: false, unsynced: unsyncedIn(resolve(path)) }, undefined)
  )

/** How many blobs are made durable at once. */
const syncConcurrency = 16

/**
 * The public blobs that have to be made durable before anything names them. One for which that has failed is not tried
 * again until it is put anew.
 */
type Unsynced = Map<Digest.Digest, BlobStore.StoreIo | undefined>

/** By directory: one part of a program may put blobs, and another name them. */
const unsynced = new Map<string, Unsynced>()

const unsyncedIn = (root: string): Unsynced => {
  const known = unsynced.get(root) ?? new Map()
  unsynced.set(root, known)
  return known
}

/** What a layout shares with the views of it in which blobs are staged. */
interface Shared {
  isSwept: boolean
  readonly unsynced: Unsynced
}

/** A file that is made durable once: where that has failed, it is not tried again. */
interface Staged {
  readonly path: string
  readonly synced: Effect.Effect<void, BlobStore.StoreIo>
}

/** What is staged is in the private area, by its digest, until it is published; what it refers to is held. */
interface Staging {
  readonly files: Map<Digest.Digest, Staged>
  readonly hold: (digests: Iterable<Digest.Digest>) => Effect.Effect<void, BlobStore.StoreIo>
}

const makeWith = Effect.fnUntraced(function*(
  path: string,
  lockTimeout: Duration.Duration,
  durability: Durability | false,
  shared: Shared,
  staging: Staging | undefined
): Effect.fn.Return<Layout, never, Hash.Hash> {
  const files = yield* Files
  const hash = yield* Hash.Hash
  const turn = yield* Semaphore.make(1)
  const root = resolve(path)
  const inside = (...names: ReadonlyArray<string>) => join(root, ...names)

  const directory = Effect.fnUntraced(function*(name: string) {
    const path = inside(name)
    yield* ensureDirectory(files, path)
    yield* checkDirectory(files, path)
    return path
  })

  const area = inside(".effect-oci")
  const newPath = Effect.map(Owner.self(files), (owner) => join(area, Owner.nameFor("new", owner)))
  const newFile = Effect.flatMap(newPath, (path) => temporary(files, path))
  const isDurable = durability === "full" || durability === "batch"
  const sync = (file: Pick<File, "sync">) => isDurable ? file.sync : Effect.void
  /** In a batch, staged blobs are made durable together, before they are shown. */
  const isSyncedAtOnce = durability === "full" || (durability === "batch" && staging === undefined)
  const syncBlob = (file: Pick<File, "sync">) => isSyncedAtOnce ? file.sync : Effect.void
  const syncNames = (directory: string) => isDurable ? syncDirectory(files, directory) : Effect.void
  const written = new Map<Digest.Digest, Info>()

  const write = <E = never>(path: string, bytes: Uint8Array, check: Effect.Effect<void, E> = Effect.void) =>
    Effect.scoped(Effect.gen(function*() {
      const file = yield* newFile
      yield* file.write(bytes)
      yield* sync(file)
      yield* file.close
      yield* check
      yield* file.moveTo(path)
    }))

  /** Writes a file that is not there. One that another process has written meanwhile is as good. */
  const writeAbsent = Effect.fnUntraced(function*(name: string, bytes: Uint8Array) {
    const path = inside(name)
    if (yield* files.info(path).pipe(Effect.as(true), absentAs(false))) return
    yield* Effect.scoped(Effect.gen(function*() {
      const file = yield* newFile
      yield* file.write(bytes)
      yield* sync(file)
      yield* file.close
      yield* Effect.catchIf(files.link(file.path, path), (error) => error.code === "EEXIST", () => Effect.void)
    }))
    yield* syncNames(root)
  })

  const prepare = Effect.gen(function*() {
    const isLayout = yield* files.info(inside("oci-layout")).pipe(Effect.as(true), absentAs(false))
    if (!isLayout) {
      const names = yield* absentAs<ReadonlyArray<Uint8Array>>([])(files.list(root))
      const foreign = names.map((name) => new TextDecoder().decode(name)).find((name) => !harmless.has(name))
      if (foreign !== undefined) {
        return yield* new BlobStore.StoreIo({
          operation: "make an image layout of",
          path: root,
          code: "ENOTEMPTY",
          cause: new Error(`it is not a layout, and holds ${JSON.stringify(foreign)}`)
        })
      }
      yield* ensureDirectory(files, root)
    }
    yield* directory(".effect-oci")
    yield* directory("blobs")
    // The file that makes it a layout comes last
    yield* writeAbsent("index.json", ImageList.empty)
    yield* writeAbsent("oci-layout", ImageLayout.encode())
    if (shared.isSwept) return
    shared.isSwept = true
    // Whoever has made it a layout may have been hasty. Its name is flushed with those of what is acknowledged
    if (isLayout) yield* Effect.scoped(Effect.flatMap(openFile(files, inside("oci-layout")), ({ file }) => sync(file)))
    yield* Tidying.sweep(files, area)
  })

  const publicPath = (digest: Digest.Digest) => inside("blobs", Digest.algorithm(digest), Digest.encoded(digest))
  const blobPath = (digest: Digest.Digest) => staging?.files.get(digest)?.path ?? publicPath(digest)

  /** What has been put durably need not be made so again; but whoever put what is found may have been hasty. */
  const toBeSynced = (digest: Digest.Digest) => {
    if (isDurable && !shared.unsynced.has(digest)) shared.unsynced.set(digest, undefined)
  }

  /** A blob is at its public place, for which nothing that was known of another file counts. */
  const placed = (digest: Digest.Digest, isSynced: boolean) => {
    shared.unsynced.delete(digest)
    if (!isSynced) toBeSynced(digest)
  }

  const syncFile = (path: string) =>
    Effect.scoped(Effect.flatMap(openFile(files, path), ({ file }) => file.sync)).pipe(
      Effect.catchTag(
        "UnsafeFile",
        ({ path }) => Effect.fail(new BlobStore.StoreIo({ operation: "fsync", path, code: "EINVAL" }))
      )
    )

  /** Moves a new file to where its blob is found. */
  const place = (
    digest: Digest.Digest,
    moveTo: (path: string) => Effect.Effect<void, BlobStore.StoreIo>,
    isSynced: boolean
  ): Effect.Effect<void, BlobStore.StoreIo> =>
    Effect.uninterruptible(Effect.gen(function*() {
      if (staging === undefined) {
        yield* moveTo(publicPath(digest))
        return placed(digest, isSynced)
      }
      const path = staging.files.get(digest)?.path ?? (yield* newPath)
      yield* moveTo(path)
      staging.files.set(digest, {
        path,
        synced: isSynced || !isDurable ? Effect.void : yield* Effect.cached(syncFile(path))
      })
    }))

  const checkBlobDirectories = Effect.fnUntraced(function*(digest: Digest.Digest) {
    yield* checkDirectory(files, inside("blobs"))
    yield* checkDirectory(files, inside("blobs", Digest.algorithm(digest)))
  })

  /** Takes in what `fill` hands it. `store` is whose fault it is if that is not as expected. */
  const receive = <E, R>(
    store: string,
    expected: BlobStore.Expected,
    fill: (
      write: (chunk: Uint8Array) => Effect.Effect<void, BlobStore.StoreIo | BlobStore.SizeMismatch, Scope.Scope>
    ) => Effect.Effect<void, E, R>
  ) =>
    Effect.scoped(Effect.gen(function*() {
      yield* prepare
      const algorithm = expected.digest === undefined ? "sha256" : Digest.algorithm(expected.digest)
      yield* directory(join("blobs", algorithm))
      const file = yield* isSyncedAtOnce ? Effect.flatMap(newFile, writeBehind) : newFile
      const hasher = hash.make(algorithm)
      let size = 0
      const wrong = (digest: Digest.Digest, expected: number) =>
        new BlobStore.SizeMismatch({ store, digest, expected, found: size })
      yield* fill((chunk) => {
        size += chunk.length
        hasher.update(chunk)
        return expected.size === undefined || size <= expected.size
          ? file.write(chunk)
          : Effect.fail(wrong(expected.digest ?? hasher.digest(), expected.size))
      })
      const digest = hasher.digest()
      if (expected.size !== undefined && size !== expected.size) {
        return yield* wrong(expected.digest ?? digest, expected.size)
      }
      if (expected.digest !== undefined && digest !== expected.digest) {
        return yield* new BlobStore.DigestMismatch({ store, expected: expected.digest, found: digest })
      }
      yield* syncBlob(file)
      yield* file.close
      const info = yield* files.info(file.path)
      // Over what is there, if anything is: an equal blob is not worse for it, and a damaged one is mended
      yield* place(digest, file.moveTo, isSyncedAtOnce)
      written.set(digest, info)
      return { digest, size }
    }))

  const put: BlobStore.Store["put"] = (content, expected = {}) =>
    receive(root, expected, (write) => Stream.runForEach(content, write))

  const openBlob = (blob: BlobStore.Blob) =>
    Effect.gen(function*() {
      const open = Effect.suspend(() => absentAs(undefined)(openFile(files, blobPath(blob.digest))))
      yield* absentAs(undefined)(checkBlobDirectories(blob.digest))
      // In the trash only for as long as garbage is collected, which may as well put it back
      const opened = (yield* open) ?? (yield* absentAs(undefined)(openFile(files, Trash.pathOf(area, blob.digest)))) ??
        (yield* open)
      if (opened === undefined) return yield* new BlobStore.BlobMissing({ store: root, digest: blob.digest })
      if (opened.info.size === blob.size) return opened
      const { digest, size } = blob
      return yield* new BlobStore.SizeMismatch({ store: root, digest, expected: size, found: opened.info.size })
    })

  const get: BlobStore.Store["get"] = (blob) =>
    Stream.unwrap(Effect.map(openBlob(blob), ({ file }) => content(file, blob.size))).pipe(
      BlobStore.verify(root, blob),
      Stream.provideService(Hash.Hash, hash)
    )

  const look = Effect.fnUntraced(function*(blob: BlobStore.Blob) {
    const path = blobPath(blob.digest)
    const info = yield* checkBlobDirectories(blob.digest).pipe(Effect.andThen(files.info(path)), absentAs(undefined))
    if (info === undefined || info.kind === "file") return info
    return yield* new BlobStore.UnsafeFile({ path, expected: "a file", found: `a ${info.kind}` })
  })

  /** What is found in a stage is there to be referred to: it is held, and looked at again when it is. */
  const inspect = Effect.fnUntraced(function*(blob: BlobStore.Blob) {
    const found = yield* look(blob)
    if (found === undefined || staging === undefined || staging.files.has(blob.digest)) return found
    yield* prepare
    yield* staging.hold([blob.digest])
    const info = yield* look(blob)
    if (info !== undefined) toBeSynced(blob.digest)
    return info
  })

  const missing = (store: string, { digest }: BlobStore.Blob) => new BlobStore.BlobMissing({ store, digest })

  const wrongSize = (store: string, { digest, size }: BlobStore.Blob, found: number) =>
    new BlobStore.SizeMismatch({ store, digest, expected: size, found })

  /** Reads an open file to its end, or to where it is too long. Each piece is in the same memory. */
  const readPieces = Effect.fnUntraced(function*<E, R>(
    file: File,
    size: number,
    use: (piece: Uint8Array) => Effect.Effect<void, E, R>
  ) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(chunkSize, size + 1))
    for (let left = size; left >= 0;) {
      const length = yield* file.read(bytes)
      if (length === 0) return
      left -= length
      yield* use(bytes.subarray(0, length))
    }
  })

  /** Reads an open file to its end. `store` is whose fault it is if it is not the blob. */
  const verify = Effect.fnUntraced(function*(
    store: string,
    blob: BlobStore.Blob,
    file: File,
    info: Info,
    onRead: OnRead = ignored
  ) {
    if (info.size !== blob.size) return yield* wrongSize(store, blob, info.size)
    const hasher = hash.make(Digest.algorithm(blob.digest))
    let size = 0
    yield* readPieces(file, blob.size, (piece) => {
      size += piece.length
      hasher.update(piece)
      return onRead(piece.length)
    })
    if (size !== blob.size) return yield* wrongSize(store, blob, size)
    const found = hasher.digest()
    if (found !== blob.digest) return yield* new BlobStore.DigestMismatch({ store, expected: blob.digest, found })
    yield* syncBlob(file)
  })

  /** What is remembered of a file that was right: a write since `before` shows in a time that is not the one it has. */
  const asOf = (before: Info, path: string) => Effect.map(files.info(path), (now) => ({ ...before, ctime: now.ctime }))

  const check = (blob: BlobStore.Blob) =>
    Effect.scoped(Effect.gen(function*() {
      if ((yield* inspect(blob)) === undefined) return yield* missing(root, blob)
      const opened = yield* openFile(files, blobPath(blob.digest))
      yield* verify(root, blob, opened.file, opened.info)
      return yield* asOf(opened.info, blobPath(blob.digest))
    }))

  const adopt: Layout["adopt"] = (blob, from, how, onRead) =>
    Effect.scoped(Effect.gen(function*() {
      const info = yield* from.inspect(blob)
      if (info === undefined) return yield* missing(from.root, blob)
      if (info.size !== blob.size) return yield* wrongSize(from.root, blob, info.size)
      yield* prepare
      yield* directory(join("blobs", Digest.algorithm(blob.digest)))
      const copy = yield* newPath
      if (!(yield* duplicate(files, from.blobPath(blob.digest), info, copy))) return undefined
      const opened = yield* openFile(files, copy)
      if (how === "verified") yield* verify(from.root, blob, opened.file, opened.info, onRead)
      yield* place(blob.digest, (path) => files.rename(copy, path), how === "verified" && isSyncedAtOnce)
      return yield* asOf(opened.info, blobPath(blob.digest))
    }))

  /** Copies a blob from another layout: each byte is read and hashed once, which a stream would do twice. */
  const copyFrom = (blob: BlobStore.Blob, from: Layout, onRead: OnRead = ignored) =>
    receive(
      from.root,
      blob,
      (write) =>
        Effect.scoped(Effect.flatMap(from.openBlob(blob), ({ file }) =>
          readPieces(file, blob.size, (piece) =>
            Effect.andThen(write(piece), onRead(piece.length)))))
    )

  /** Takes in what another store has not verified, which is hashed on its way here. */
  const download = (blob: BlobStore.Blob, { get, name }: Unverified.Source, onRead: OnRead = ignored) =>
    receive(name, blob, (write) =>
      Stream.runForEach(get(blob), (piece) =>
        Effect.andThen(
          write(piece),
          Effect.suspend(() => {
            const { length } = piece
            giveBack(piece)
            return onRead(length)
          })
        )))

  const stage = Effect.gen(function*() {
    const staging: Staging = { files: new Map(), hold: yield* Lease.make(files, area) }
    yield* Effect.addFinalizer(() =>
      Effect.forEach(staging.files.values(), ({ path }) => Effect.ignore(files.remove(path)), { discard: true })
    )
    const view = yield* makeWith(path, lockTimeout, durability, shared, staging)
    return { store: view.blobs, publish: view.publish }
  }).pipe(Effect.provideService(Hash.Hash, hash))

  const publish = Effect.gen(function*() {
    if (staging === undefined) return
    yield* staging.hold(staging.files.keys())
    // What is shown is right, also after a power cut that came before anything named it
    yield* Effect.forEach(staging.files.values(), ({ synced }) => synced, {
      concurrency: syncConcurrency,
      discard: true
    })
    yield* Effect.forEach(
      staging.files,
      ([digest, { path }]) =>
        Effect.uninterruptible(Effect.map(files.rename(path, publicPath(digest)), () => {
          staging.files.delete(digest)
          placed(digest, true)
        })),
      { discard: true }
    )
  })

  const syncOne = (digest: Digest.Digest) =>
    syncFile(publicPath(digest)).pipe(
      // What is gone is nobody's any more
      absentAs(undefined),
      Effect.tapError((error) => Effect.sync(() => shared.unsynced.set(digest, error))),
      Effect.andThen(Effect.sync(() => shared.unsynced.delete(digest))),
      Effect.asVoid
    )

  const blobs: Layout["blobs"] = {
    put,
    get,
    stage,
    has: (blob) => Effect.map(inspect(blob), (info) => info?.size === blob.size),
    take: (blob, source, onRead) => {
      const from = behind(source)
      if (from === undefined) {
        const unverified = Unverified.of(source)
        return unverified === undefined ? Effect.succeed(false) : Effect.as(download(blob, unverified, onRead), true)
      }
      return Effect.flatMap(
        adopt(blob, from, "verified", onRead),
        (info) => info === undefined ? Effect.as(copyFrom(blob, from, onRead), true) : Effect.succeed(true)
      )
    }
  }

  const layout: Layout = {
    root,
    blobs,
    inspect,
    blobPath,
    openBlob,
    check,
    adopt,
    written: (digest) => written.get(digest),
    prepare,
    directory,
    syncBlobs: Effect.gen(function*() {
      if (!isDurable) return
      yield* Effect.forEach(
        [...shared.unsynced],
        ([digest, error]) => error === undefined ? syncOne(digest) : Effect.fail(error),
        { concurrency: syncConcurrency, discard: true }
      )
      const algorithms = yield* files.list(inside("blobs"))
      for (const name of Digest.Algorithm.literals) {
        if (algorithms.some((found) => new TextDecoder().decode(found) === name)) {
          yield* syncDirectory(files, inside("blobs", name))
        }
      }
      yield* syncDirectory(files, inside("blobs"))
    }),
    syncNames,
    publish,
    write,
    locked: (effect) =>
      Effect.andThen(
        directory(".effect-oci"),
        turn.withPermit(withLock(files, area, lockTimeout)(Effect.andThen(Trash.restore(files, root, area), effect)))
      )
  }
  layouts.set(blobs, layout)
  return layout
})
