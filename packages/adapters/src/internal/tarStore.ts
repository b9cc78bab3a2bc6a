/**
 * A store in a tar archive, whatever the archive's format. Blobs that are put are kept beside the archive, in a private
 * directory that goes with the scope, until an image gets a name: then the archive is written anew, whole, and takes the
 * place of the one that was there.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import * as Hash from "@effect-oci/core/Hash"
import { StoreLocked } from "@effect-oci/core/ImageStore"
import type * as Digest from "@effect-oci/schema/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { basename, dirname, join, resolve } from "node:path"
import { absentAs, checkDirectory, ensureDirectory, Files, syncDirectory, temporary, writeBehind } from "./files.ts"
import * as Layout from "./layout.ts"
import { withLock } from "./lock.ts"
import * as Owner from "./owner.ts"
import * as TarFile from "./tarFile.ts"
import * as Tidying from "./tidying.ts"

/** What can be chosen about a store in an archive. */
export interface Options {
  /** How long is waited for another process that writes the archive: 30 seconds unless given. */
  readonly lockTimeout?: Duration.Input
}

/** Content that a format finds for a digest. */
export interface Found {
  readonly size: number
  readonly content: Stream.Stream<Uint8Array, BlobStore.BlobStoreError>
}

/** Files of the next archive, in place of those that have their names; what is `undefined` is left out. */
export type Changes = ReadonlyMap<string, Uint8Array | BlobStore.Blob | undefined>

export interface TarStore {
  /** The absolute path of the archive. */
  readonly path: string
  readonly blobs: BlobStore.Store
  readonly has: (blob: BlobStore.Blob) => Effect.Effect<boolean, BlobStore.StoreIo | BlobStore.UnsafeFile>
  /** The blobs that have been put. */
  readonly put: () => Iterable<BlobStore.Blob>
  /** The archive as it is now, if there is one, open until the scope ends. */
  readonly archive: Effect.Effect<
    TarFile.TarFile | undefined,
    BlobStore.StoreIo | BlobStore.UnsafeFile,
    Scope.Scope
  >
  /** Writes the archive anew, with changes. The other files stay. Nobody else does so at the same time. */
  readonly rewrite: <E>(
    change: (archive: TarFile.TarFile | undefined) => Effect.Effect<Changes, E>
  ) => Effect.Effect<void, E | BlobStore.BlobMissing | BlobStore.StoreIo | BlobStore.UnsafeFile | StoreLocked>
}

/** How often an archive is written again because a program that does not know our lock has changed it. */
const attempts = 5

interface Opened {
  readonly tar: TarFile.TarFile
  readonly scope: Scope.Closeable
  users: number
}

/** Content that is in memory already is not worth a stream. */
const toEntry = (
  path: string,
  content: Uint8Array | Found
): Tar.Entry<BlobStore.BlobStoreError> =>
  content instanceof Uint8Array ? Tar.file(path, content) : Tar.fileStream(path, content.size, content.content)

/** The directories above a path. */
const above = (path: string): ReadonlyArray<string> => {
  const parts = path.split("/")
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join("/"))
}

const byBytes = (left: string, right: string): number => Buffer.compare(Buffer.from(left), Buffer.from(right))

export const make = Effect.fnUntraced(function*(
  file: string,
  options: Options,
  find: (
    archive: TarFile.TarFile,
    digest: Digest.Digest
  ) => Effect.Effect<Found | undefined, BlobStore.StoreIo | BlobStore.UnsafeFile>
): Effect.fn.Return<TarStore, never, Hash.Hash | Compression.Compression | Scope.Scope> {
  const files = yield* Files
  const hash = yield* Hash.Hash
  const compression = yield* Compression.Compression
  const lockTimeout = Duration.fromInputUnsafe(options.lockTimeout ?? "30 seconds")
  const path = resolve(file)
  const area = join(dirname(path), `.${basename(path)}.effect-oci`)
  const owner = yield* Owner.self(files)
  const stagingPath = join(area, Owner.nameFor("blobs", owner))
  const staging = yield* Layout.make(stagingPath, lockTimeout, false)
  const opening = yield* Semaphore.make(1)
  const writing = yield* Semaphore.make(1)

  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      Effect.ignore(files.removeTree(stagingPath)),
      // Others may use it still
      Effect.ignore(files.removeDirectory(area))
    )
  )

  /** Removes what dead processes have left. */
  const tidy = Effect.ignore(Effect.gen(function*() {
    yield* Tidying.sweep(files, area)
    for (const name of yield* Tidying.list(files, area)) {
      if (name.startsWith("blobs-") && (yield* Tidying.isLeft(files, area, name))) {
        yield* files.removeTree(join(area, name))
      }
    }
  }))

  const makeDirectory = (directory: string) =>
    Effect.catchIf(files.makeDirectory(directory), (error) => error.code === "EEXIST", () => Effect.void)

  let isTidy = false
  /** The area cannot be removed by others any more when there is something of ours in it. */
  const prepare = Effect.gen(function*() {
    // Where the archive is to be has to survive, and the area has not
    yield* Effect.catchIf(
      makeDirectory(area),
      (error) => error.code === "ENOENT",
      () => Effect.andThen(ensureDirectory(files, dirname(path)), makeDirectory(area))
    )
    yield* checkDirectory(files, area)
    yield* files.setMode(area, 0o700)
    yield* makeDirectory(stagingPath)
    if (isTidy) return
    isTidy = true
    yield* tidy
  }).pipe(Effect.retry({ times: 5, while: (error) => error._tag === "StoreIo" && error.code === "ENOENT" }))

  let opened: Opened | undefined
  const replace = (next: Opened | undefined) =>
    Effect.suspend(() => {
      const before = opened
      opened = next
      return before === undefined || before.users > 0 ? Effect.void : Scope.close(before.scope, Exit.void)
    })
  yield* Effect.addFinalizer(() => replace(undefined))

  /** Whoever reads an archive may go on with it when another one has taken its name. */
  const lease = (one: Opened) =>
    Effect.acquireRelease(
      Effect.sync(() => {
        one.users++
        return one.tar
      }),
      () => Effect.suspend(() => --one.users > 0 || one === opened ? Effect.void : Scope.close(one.scope, Exit.void))
    )

  const archive = opening.withPermit(Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const info = yield* absentAs(undefined)(files.info(path))
      if (info === undefined) {
        yield* replace(undefined)
        return undefined
      }
      const same = opened !== undefined && opened.tar.info.identity === info.identity &&
        opened.tar.info.size === info.size && opened.tar.info.mtime === info.mtime
      if (opened !== undefined && same) return yield* lease(opened)
      const scope = yield* Scope.make()
      const tar = yield* restore(Scope.provide(TarFile.open(files, compression, path), scope)).pipe(
        Effect.onError(() => Scope.close(scope, Exit.void)),
        absentAs(undefined)
      )
      if (tar === undefined) return undefined
      const next = { tar, scope, users: 0 }
      yield* replace(next)
      return yield* lease(next)
    })
  ))

  /** Blobs are looked for in the archive that the last answer came from: it is not another one in between. */
  const current = Effect.suspend(() => opened === undefined ? archive : lease(opened))

  /** Errors tell the archive, not where blobs wait for it. */
  const told = <E>(error: E): E | BlobStore.BlobStoreError =>
    error instanceof BlobStore.BlobMissing
      ? new BlobStore.BlobMissing({ store: path, digest: error.digest })
      : error instanceof BlobStore.DigestMismatch
      ? new BlobStore.DigestMismatch({ store: path, expected: error.expected, found: error.found })
      : error instanceof BlobStore.SizeMismatch
      ? new BlobStore.SizeMismatch({ store: path, digest: error.digest, expected: error.expected, found: error.found })
      : error

  const inArchive = (blob: BlobStore.Blob) =>
    Effect.flatMap(current, (tar) => tar === undefined ? Effect.undefined : find(tar, blob.digest))

  const fromArchive = (blob: BlobStore.Blob): Stream.Stream<Uint8Array, BlobStore.BlobStoreError> =>
    Stream.unwrap(Effect.gen(function*() {
      const found = yield* inArchive(blob)
      if (found === undefined) return yield* new BlobStore.BlobMissing({ store: path, digest: blob.digest })
      const { content, size } = found
      if (size === blob.size) return content
      return yield* new BlobStore.SizeMismatch({ store: path, digest: blob.digest, expected: blob.size, found: size })
    })).pipe(BlobStore.verify(path, blob), Stream.provideService(Hash.Hash, hash))

  const has = <E>(staged: (blob: BlobStore.Blob) => Effect.Effect<boolean, E>) => (blob: BlobStore.Blob) =>
    Effect.flatMap(staged(blob), (isStaged) =>
      isStaged
        ? Effect.succeed(true)
        : Effect.scoped(Effect.map(inArchive(blob), (found) => found?.size === blob.size)))

  const over = (staged: BlobStore.Store, put: Map<Digest.Digest, BlobStore.Blob>): BlobStore.Store => ({
    put: (content, expected) =>
      prepare.pipe(
        Effect.andThen(staged.put(content, expected)),
        Effect.mapError(told),
        Effect.tap((blob) => Effect.sync(() => put.set(blob.digest, blob)))
      ),
    get: (blob) =>
      staged.get(blob).pipe(
        Stream.catchTag("BlobMissing", () => fromArchive(blob)),
        Stream.mapError(told)
      ),
    has: has(staged.has),
    take: (blob, source, onRead) =>
      staged.take === undefined || Layout.behind(source) === undefined
        ? Effect.succeed(false)
        : prepare.pipe(
          Effect.andThen(staged.take(blob, source, onRead)),
          Effect.tap((taken) =>
            Effect.sync(() => {
              if (taken) put.set(blob.digest, { digest: blob.digest, size: blob.size })
            })
          )
        )
  })

  const put = new Map<Digest.Digest, BlobStore.Blob>()
  const blobs: BlobStore.Store = {
    ...over(staging.blobs, put),
    ...(staging.blobs.stage === undefined ? {} : {
      stage: Effect.map(staging.blobs.stage, ({ publish, store }) => {
        const onStage = new Map<Digest.Digest, BlobStore.Blob>()
        return {
          store: over(store, onStage),
          publish: Effect.map(publish, () => onStage.forEach((blob, digest) => put.set(digest, blob)))
        }
      })
    })
  }

  /** The content of a blob for the next archive. */
  const found = ({ digest, size }: BlobStore.Blob): Found => ({ size, content: blobs.get({ digest, size }) })

  const entriesOf = (
    tar: TarFile.TarFile | undefined,
    changes: Changes
  ): ReadonlyArray<Tar.Entry<BlobStore.BlobStoreError>> => {
    const entries = new Map<string, Tar.Entry<BlobStore.BlobStoreError>>()
    const add = (name: string, entry: Tar.Entry<BlobStore.BlobStoreError>) => {
      for (const directory of above(name)) entries.set(directory, Tar.directory(directory))
      entries.set(name, entry)
    }
    for (const [name, entry] of tar?.entries ?? []) {
      if (tar === undefined || changes.has(name) || name === ".") continue
      switch (entry.kind) {
        case "file":
          add(name, Tar.fileStream(name, entry.size, tar.content(entry)))
          break
        case "directory":
          add(name, Tar.directory(name))
          break
        case "symbolic link":
          add(name, Tar.symlink(name, entry.target))
          break
        case "hard link":
          add(name, Tar.hardlink(name, entry.target))
      }
    }
    for (const [name, content] of changes) {
      if (content !== undefined) add(name, toEntry(name, content instanceof Uint8Array ? content : found(content)))
    }
    const links = (name: string) => entries.get(name)?.header.type === "Hardlink" ? 1 : 0
    return [...entries.keys()]
      // What a hard link leads to has to come before it
      .toSorted((left, right) => links(left) - links(right) || byBytes(left, right))
      .flatMap((name) => entries.get(name) ?? [])
  }

  const write = Effect.fnUntraced(function*<E>(
    change: (archive: TarFile.TarFile | undefined) => Effect.Effect<Changes, E>
  ) {
    const tar = yield* archive
    const entries = entriesOf(tar, yield* change(tar))
    const next = yield* temporary(files, join(area, Owner.nameFor("new", owner)))
    // Who may read it is what somebody has decided
    if (tar !== undefined) yield* next.setMode(tar.info.mode)
    const file = yield* writeBehind(next)
    yield* Stream.fromIterable(entries).pipe(
      Stream.pipeThroughChannel(Tar.encode<never, unknown, Tar.Entry<BlobStore.BlobStoreError>>()),
      Stream.runForEach(file.write),
      Effect.mapError((error) =>
        error._tag === "StoreIo" || error._tag === "UnsafeFile" || error._tag === "BlobMissing"
          ? error
          // They were right when they came: the disk has lost them, or somebody meddles with them
          : new BlobStore.StoreIo({ operation: "read a blob for", path, code: "EIO", cause: error })
      ),
      // It may take minutes, and nothing has changed yet: also who names an image without a pause need not wait
      Effect.interruptible
    )
    yield* file.sync
    yield* file.close
    const now = yield* absentAs(undefined)(files.info(path))
    const isSame = now?.identity === tar?.info.identity && now?.size === tar?.info.size &&
      now?.mtime === tar?.info.mtime
    if (!isSame) return false
    yield* next.moveTo(path)
    yield* syncDirectory(files, dirname(path))
    return true
  }, Effect.scoped)

  const rewrite: TarStore["rewrite"] = (change) =>
    writing.withPermit(Effect.andThen(
      prepare,
      withLock(files, area, lockTimeout)(Effect.gen(function*() {
        for (let attempt = 0; attempt < attempts; attempt++) {
          if (yield* write(change)) {
            // What was put is found in the archive from now on
            yield* Effect.scoped(archive)
            return
          }
        }
        return yield* new StoreLocked({ path, holder: "another program, which changes it all the time" })
      }))
    ))

  return { path, blobs, has: has(staging.blobs.has), put: () => put.values(), archive, rewrite }
})
