/**
 * The file system as stores use it, with typed errors: the only module that calls `node:fs`.
 *
 * `Files` is a reference, so that a test can put faults between a store and the disk.
 */
import { StoreIo, UnsafeFile } from "@effect-oci/core/BlobStore"
import * as Json from "@effect-oci/schema/Json"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { BigIntStats } from "node:fs"
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  lutimesSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync
} from "node:fs"
import * as Fs from "node:fs/promises"
import { dirname, join } from "node:path"
import process from "node:process"

/** What a path leads to. */
export type Kind = "file" | "directory" | "symbolic link" | "FIFO" | "socket" | "device"

export interface Info {
  readonly kind: Kind
  /** Tells one file from another, also from the one that takes its name. */
  readonly identity: string
  readonly size: number
  readonly mtime: bigint
  /** When anything of it changed, also its names: nobody can set it back. */
  readonly ctime: bigint
  /** The permission bits. */
  readonly mode: number
  readonly links: number
  /** Whether it belongs to the user that this process acts for. */
  readonly isOwn: boolean
}

/** An open file. It is closed with its scope, or before. */
export interface File {
  readonly info: Effect.Effect<Info, StoreIo>
  /** Reads into the bytes, and gives how many it has read: none at the end. */
  readonly read: (bytes: Uint8Array) => Effect.Effect<number, StoreIo>
  /** Reads from a place in the file, and leaves alone where `read` goes on. */
  readonly readAt: (bytes: Uint8Array, position: number) => Effect.Effect<number, StoreIo>
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, StoreIo>
  readonly setMode: (mode: number) => Effect.Effect<void, StoreIo>
  readonly sync: Effect.Effect<void, StoreIo>
  readonly close: Effect.Effect<void, StoreIo>
}

export interface Small {
  readonly info: Info
  /** Absent where the path is no file, or the file is too large. */
  readonly bytes?: Uint8Array
}

export interface FileSystem {
  readonly open: (path: string, flags: number) => Effect.Effect<File, StoreIo, Scope.Scope>
  /** Reads a file of at most `limit` bytes, in one go; of anything else it tells only what it is. */
  readonly readSmall: (path: string, limit: number) => Effect.Effect<Small, StoreIo>
  /** Reads a file that should have `size` bytes, in one go, and tells what it was when they had been read. */
  readonly readWhole: (path: string, into: Uint8Array) => Effect.Effect<Required<Small>, StoreIo>
  readonly info: (path: string) => Effect.Effect<Info, StoreIo>
  readonly realPath: (path: string) => Effect.Effect<string, StoreIo>
  readonly list: (directory: string) => Effect.Effect<ReadonlyArray<Uint8Array>, StoreIo>
  /** Looks at all files of a directory, in one go. */
  readonly infos: (directory: string) => Effect.Effect<ReadonlyMap<string, Info>, StoreIo>
  readonly readLink: (path: string) => Effect.Effect<Uint8Array, StoreIo>
  readonly makeDirectory: (path: string) => Effect.Effect<void, StoreIo>
  readonly setMode: (path: string, mode: number) => Effect.Effect<void, StoreIo>
  readonly rename: (from: string, to: string) => Effect.Effect<void, StoreIo>
  readonly link: (from: string, to: string) => Effect.Effect<void, StoreIo>
  /** Makes a new file that shares the blocks of another until one of them is written: fails where the disk cannot. */
  readonly clone: (from: string, to: string) => Effect.Effect<void, StoreIo>
  /** Sets the time of a file's last change, in milliseconds since 1970. */
  readonly touch: (path: string, time: number) => Effect.Effect<void, StoreIo>
  readonly remove: (path: string) => Effect.Effect<void, StoreIo>
  /** Removes a directory with all that is in it, if it is there. */
  readonly removeTree: (path: string) => Effect.Effect<void, StoreIo>
  /** Removes a directory that is empty. */
  readonly removeDirectory: (path: string) => Effect.Effect<void, StoreIo>
}

const codeOf = (cause: unknown): string =>
  cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"

const attempt = <A>(operation: string, path: string, run: () => Promise<A>): Effect.Effect<A, StoreIo> =>
  Effect.tryPromise({
    try: run,
    catch: (cause) => new StoreIo({ operation, path, code: codeOf(cause), cause })
  })

/**
 * Without the thread pool: what is quick takes a twentieth of the time, which counts where there are 100,000 files, and
 * does not wait behind blocks that are compressed there.
 */
const attemptNow = <A>(operation: string, path: string, run: () => A): Effect.Effect<A, StoreIo> =>
  Effect.try({
    try: run,
    catch: (cause) => new StoreIo({ operation, path, code: codeOf(cause), cause })
  })

/** A change of names is waited for: one that is left behind could still happen when its lock is free again. */
const change = (operation: string, path: string, run: () => Promise<void>): Effect.Effect<void, StoreIo> =>
  Effect.uninterruptible(attempt(operation, path, run))

const kindOf = (stats: BigIntStats): Kind =>
  stats.isFile()
    ? "file"
    : stats.isDirectory()
    ? "directory"
    : stats.isSymbolicLink()
    ? "symbolic link"
    : stats.isFIFO()
    ? "FIFO"
    : stats.isSocket()
    ? "socket"
    : "device"

const user = process.geteuid?.()

const toInfo = (stats: BigIntStats): Info => ({
  kind: kindOf(stats),
  identity: `${stats.dev}:${stats.ino}`,
  size: Number(stats.size),
  mtime: stats.mtimeNs,
  ctime: stats.ctimeNs,
  mode: Number(stats.mode & 0o7777n),
  links: Number(stats.nlink),
  isOwn: user === undefined || Number(stats.uid) === user
})

const writeAll = async (handle: Fs.FileHandle, bytes: Uint8Array): Promise<void> => {
  let offset = 0
  while (offset < bytes.length) offset += (await handle.write(bytes, offset)).bytesWritten
}

const toFile = (handle: Fs.FileHandle, path: string): File & { readonly release: Effect.Effect<void> } => {
  let syncing = false
  const sync = async (): Promise<void> => {
    syncing = true
    await handle.sync()
    syncing = false
  }
  return {
    info: Effect.map(attempt("stat", path, () => handle.stat({ bigint: true })), toInfo),
    read: (bytes) => Effect.map(attempt("read", path, () => handle.read(bytes)), ({ bytesRead }) => bytesRead),
    readAt: (bytes, position) =>
      Effect.map(
        attempt("read", path, () => handle.read(bytes, 0, bytes.length, position)),
        ({ bytesRead }) => bytesRead
      ),
    write: (bytes) => attempt("write", path, () => writeAll(handle, bytes)),
    setMode: (mode) => attempt("chmod", path, () => handle.chmod(mode)),
    sync: attempt("fsync", path, sync),
    close: attempt("close", path, () => handle.close()),
    // Closing waits for what the file is busy with. An fsync that was interrupted may take seconds: it is not awaited.
    release: Effect.suspend(() => {
      const closed = handle.close().catch(() => undefined)
      return syncing ? Effect.void : Effect.promise(() => closed)
    })
  }
}

/** Neither follows a link, nor waits for the other end of a FIFO. */
const safely = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

const withOpen = <A>(path: string, use: (descriptor: number) => A): A => {
  const descriptor = openSync(path, safely)
  try {
    return use(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

const infoOf = (descriptor: number): Info => toInfo(fstatSync(descriptor, { bigint: true }))

const readInto = (descriptor: number, bytes: Uint8Array): Uint8Array => {
  let length = 0
  while (length < bytes.length) {
    const read = readSync(descriptor, bytes, { offset: length })
    if (read === 0) break
    length += read
  }
  return length === bytes.length ? bytes : bytes.subarray(0, length)
}

const readSmall = (path: string, limit: number): Small =>
  withOpen(path, (descriptor) => {
    const info = infoOf(descriptor)
    return info.kind !== "file" || info.size > limit
      ? { info }
      : { info, bytes: readInto(descriptor, Buffer.allocUnsafe(info.size)) }
  })

const readWhole = (path: string, into: Uint8Array): Required<Small> =>
  withOpen(path, (descriptor) => {
    const bytes = readInto(descriptor, into)
    return { bytes, info: infoOf(descriptor) }
  })

const infosIn = (directory: string): ReadonlyMap<string, Info> => {
  const infos = new Map<string, Info>()
  for (const name of readdirSync(directory)) {
    const stats = lstatSync(join(directory, name), { bigint: true, throwIfNoEntry: false })
    if (stats?.isFile() === true) infos.set(name, toInfo(stats))
  }
  return infos
}

const node: FileSystem = {
  readSmall: (path, limit) => attemptNow("read", path, () => readSmall(path, limit)),
  readWhole: (path, into) => attemptNow("read", path, () => readWhole(path, into)),
  open: (path, flags) =>
    Effect.acquireRelease(
      Effect.map(attempt("open", path, () => Fs.open(path, flags, 0o600)), (handle) => toFile(handle, path)),
      (file) => file.release
    ),
  info: (path) => attemptNow("stat", path, () => toInfo(lstatSync(path, { bigint: true }))),
  realPath: (path) => attempt("find", path, () => Fs.realpath(path)),
  list: (directory) => attemptNow("list", directory, () => readdirSync(directory, { encoding: "buffer" })),
  infos: (directory) => attemptNow("list", directory, () => infosIn(directory)),
  readLink: (path) => attemptNow("read", path, () => readlinkSync(path, { encoding: "buffer" })),
  makeDirectory: (path) => change("make the directory", path, () => Fs.mkdir(path)),
  setMode: (path, mode) => change("chmod", path, () => Fs.chmod(path, mode)),
  rename: (from, to) => change("rename", to, () => Fs.rename(from, to)),
  link: (from, to) => change("link", to, () => Fs.link(from, to)),
  clone: (from, to) =>
    change("clone", to, () => Fs.copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL)),
  touch: (path, time) => attemptNow("touch", path, () => lutimesSync(path, time / 1000, time / 1000)),
  remove: (path) => change("remove", path, () => Fs.unlink(path)),
  removeTree: (path) => change("remove", path, () => Fs.rm(path, { recursive: true, force: true })),
  removeDirectory: (path) => change("remove", path, () => Fs.rmdir(path))
}

export const Files = Context.Reference<FileSystem>("@effect-oci/adapters/Files", { defaultValue: () => node })

/** Turns the absence of a file into a value. A file that should be a directory is an absence too. */
export const absentAs = <B>(value: B) => <A, E, R>(effect: Effect.Effect<A, E | StoreIo, R>) =>
  Effect.catchIf(
    effect,
    (error): error is StoreIo & E => error instanceof StoreIo && (error.code === "ENOENT" || error.code === "ENOTDIR"),
    () => Effect.succeed(value)
  )

const notAFile = (path: string, kind: Kind) => new UnsafeFile({ path, expected: "a file", found: `a ${kind}` })

/** Opening a link, a socket or a device fails in many ways; looking at it tells what it is. */
const tellKind = Effect.fnUntraced(function*(files: FileSystem, path: string, error: StoreIo) {
  if (error.code === "ENOENT" || error.code === "ENOTDIR") return yield* error
  const { kind } = yield* Effect.mapError(files.info(path), () => error)
  return kind === "file" ? yield* error : yield* notAFile(path, kind)
})

/** Opens a file for reading, and makes sure that it is one. */
export const openFile = Effect.fnUntraced(function*(
  files: FileSystem,
  path: string
): Effect.fn.Return<{ readonly file: File; readonly info: Info }, StoreIo | UnsafeFile, Scope.Scope> {
  const file = yield* Effect.catch(
    files.open(path, safely),
    (error) => tellKind(files, path, error)
  )
  const info = yield* file.info
  if (info.kind !== "file") return yield* notAFile(path, info.kind)
  return { file, info }
})

/** The most bytes in a chunk of a file's content. */
export const chunkSize = 1024 * 1024

/** The bytes of an open file, at most `size` of them. */
export const content = (
  file: File,
  size: number,
  allocate: (size: number) => Uint8Array = (size) => Buffer.allocUnsafeSlow(size)
): Stream.Stream<Uint8Array, StoreIo> => {
  let rest = size
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, StoreIo> = Effect.suspend(() => {
    if (rest === 0) return Cause.done()
    const bytes = allocate(Math.min(chunkSize, rest))
    return Effect.flatMap(file.read(bytes), (length) => {
      rest -= length
      return length === 0
        ? Cause.done()
        : Effect.succeed(Arr.of(length === bytes.length ? bytes : bytes.subarray(0, length)))
    })
  })
  return Stream.fromPull(Effect.succeed(pull))
}

/** Reads a document, whose size is checked before anything of it is read. */
export const readDocument = Effect.fnUntraced(function*(
  files: FileSystem,
  path: string,
  document: string,
  limit: number = Json.maxBytes
): Effect.fn.Return<
  { readonly bytes: Uint8Array; readonly info: Info },
  StoreIo | UnsafeFile | Json.LimitExceeded
> {
  const { bytes, info } = yield* Effect.catch(files.readSmall(path, limit), (error) => tellKind(files, path, error))
  if (info.kind !== "file") return yield* notAFile(path, info.kind)
  if (bytes === undefined) return yield* new Json.LimitExceeded({ document, limit, size: info.size })
  return { bytes, info }
})

/** Makes the names in a directory durable. */
export const syncDirectory = (files: FileSystem, directory: string): Effect.Effect<void, StoreIo> =>
  Effect.scoped(
    Effect.flatMap(files.open(directory, constants.O_RDONLY | constants.O_DIRECTORY), (file) => file.sync)
  )

/** Makes sure that a path is a directory of its own, and not a link to one. */
export const checkDirectory = Effect.fnUntraced(function*(files: FileSystem, path: string) {
  const { kind } = yield* files.info(path)
  if (kind !== "directory") return yield* new UnsafeFile({ path, expected: "a directory", found: `a ${kind}` })
})

const makeDirectory = (files: FileSystem, path: string): Effect.Effect<void, StoreIo> =>
  Effect.catchIf(
    files.makeDirectory(path).pipe(
      Effect.andThen(files.setMode(path, 0o755)),
      Effect.andThen(syncDirectory(files, dirname(path)))
    ),
    (error) => error.code === "EEXIST",
    () => Effect.void
  )

/**
 * Makes a directory where there is none, and the ones above it, so that they survive a power cut: 0755, whatever the
 * umask.
 */
export const ensureDirectory = (files: FileSystem, path: string): Effect.Effect<void, StoreIo> =>
  Effect.catchIf(
    makeDirectory(files, path),
    (error) => error.code === "ENOENT" && dirname(path) !== path,
    () => Effect.andThen(ensureDirectory(files, dirname(path)), makeDirectory(files, path))
  )

/** How much is written before it is made durable. */
const syncEvery = 8 * 1024 * 1024

/**
 * A file that makes durable what has been written while more comes, so that little is left to wait for at the end. An
 * fsync that fails tells so once: it is waited for, and never tried again.
 */
export const writeBehind = <A extends File>(file: A): Effect.Effect<A, never, Scope.Scope> =>
  Effect.map(Effect.scope, (scope) => {
    let written = 0
    let syncing: Fiber.Fiber<void, StoreIo> | undefined
    const synced = Effect.suspend(() => syncing === undefined ? Effect.void : Fiber.join(syncing))
    return {
      ...file,
      write: Effect.fnUntraced(function*(bytes: Uint8Array) {
        yield* file.write(bytes)
        written += bytes.length
        if (written < syncEvery || (syncing !== undefined && syncing.pollUnsafe() === undefined)) return
        yield* synced
        written = 0
        syncing = yield* Effect.forkIn(file.sync, scope)
      }),
      sync: Effect.andThen(synced, file.sync)
    }
  })

/** A file that has no name to be found by yet. */
export interface Temporary extends File {
  readonly path: string
  /** Gives it its name, and the place of what had that name. */
  readonly moveTo: (path: string) => Effect.Effect<void, StoreIo>
}

/** Makes a new file that is removed with its scope, unless it was moved to its place before: 0644, whatever the umask. */
export const temporary = Effect.fnUntraced(function*(
  files: FileSystem,
  path: string
): Effect.fn.Return<Temporary, StoreIo, Scope.Scope> {
  let moved = false
  // Removed before it is closed: the name goes at once, however long the file stays busy.
  const file = yield* Effect.uninterruptible(Effect.tap(
    files.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL),
    () => Effect.addFinalizer(() => moved ? Effect.void : Effect.ignore(files.remove(path)))
  ))
  yield* file.setMode(0o644)
  return {
    ...file,
    path,
    moveTo: (target) =>
      Effect.uninterruptible(Effect.map(files.rename(path, target), () => {
        moved = true
      }))
  }
})

/**
 * Gives the content of a file a second name, without its bytes being written again: as a clone where the file system
 * has those, else as a hard link. The name is removed with its scope. Tells whether it was possible.
 *
 * A link shares the file with the name it was made of. That is safe where nobody ever writes to a file in its place; it
 * is made only of files whose owner and mode are those of what we write.
 */
export const duplicate = Effect.fnUntraced(function*(
  files: FileSystem,
  from: string,
  info: Info,
  to: string
): Effect.fn.Return<boolean, StoreIo, Scope.Scope> {
  // Also where it was renamed: between two names of one file, that does nothing
  yield* Effect.addFinalizer(() => Effect.ignore(files.remove(to)))
  const tried = (way: Effect.Effect<void, StoreIo>) => Effect.orElseSucceed(Effect.as(way, true), () => false)
  if (yield* tried(files.clone(from, to))) {
    yield* files.setMode(to, 0o644)
    return true
  }
  return info.isOwn && info.mode === 0o644 && (yield* tried(files.link(from, to)))
})
