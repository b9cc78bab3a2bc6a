/**
 * Files on disk as layers: directories, files, or a layer's tar archive.
 *
 * The same files give the same bytes: entries are sorted, belong to 0:0 without names, and carry one time, unless
 * something else is asked for. Node cannot read extended attributes: a layer of files has none. A sparse file is stored
 * with all its zeros.
 *
 * @since 0.1.0
 */
import type { BlobStore, BlobStoreError } from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import { Hash } from "@effect-oci/core/Hash"
import type * as IgnoreRules from "@effect-oci/core/IgnoreRules"
import * as Layer from "@effect-oci/core/Layer"
import * as LayerCache from "@effect-oci/core/LayerCache"
import * as Whiteout from "@effect-oci/core/Whiteout"
import type * as Digest from "@effect-oci/schema/Digest"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { basename, resolve } from "node:path"
import { isArchive } from "./internal/archive.ts"
import { chunkSize, Files, type FileSystem } from "./internal/files.ts"
import { lend } from "./internal/lending.ts"
import {
  type Allocate,
  bytesOf,
  contentOf,
  decoded,
  goneOrUnreadable,
  type OnDisk,
  unreadable
} from "./internal/reading.ts"
import { checkName, type Found, walk } from "./internal/walk.ts"
import { FileChanged, SourceFileError, UnsupportedFile } from "./SourceFile.ts"

/**
 * Error raised where files cannot land at a path in a layer.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidDestination
  extends Schema.TaggedError<InvalidDestination>("@effect-oci/adapters/InvalidDestination")("InvalidDestination", {
    at: Schema.String,
    expected: Schema.String,
    found: Schema.String
  })
{
  override get message(): string {
    return `files cannot land at ${JSON.stringify(this.at)}: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Any of the reasons why files cannot become a layer.
 *
 * @category errors
 * @since 0.1.0
 */
export const FileTreeError = Schema.Union([...SourceFileError.members, InvalidDestination])

/**
 * @category errors
 * @since 0.1.0
 */
export type FileTreeError = typeof FileTreeError.Type

/**
 * Who owns files, by number.
 *
 * @category models
 * @since 0.1.0
 */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/**
 * What can be chosen about the entries of a layer of files.
 *
 * @category options
 * @since 0.1.0
 */
export interface EntryOptions {
  /** Who owns the files: 0:0 unless given. The directories above them always belong to 0:0. */
  readonly owner?: Owner
  /** Keeps the time of each file, in whole seconds: unless given, every time is 1970-01-01T00:00:01Z. */
  readonly keepTimes?: boolean
  /** Keeps the time of each file that is not later, and gives this one to all others. */
  readonly epoch?: Timestamp.Timestamp
  /** What is left out; asked about paths below the directory that is added. */
  readonly ignore?: IgnoreRules.IgnoreRules
}

/**
 * What can be chosen about a layer of files.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Layer.Options, EntryOptions {
  /** The directory in the layer where a directory's content lands, or a file with its name: `/` unless given. */
  readonly at?: string
}

/** The time of every file, in milliseconds: 1970-01-01T00:00:01Z. */
const oneTime = 1000

type Entry = Tar.Entry<SourceFileError>

const namesOf = Effect.fnUntraced(function*(at: string) {
  const invalid = (expected: string, found: string) => new InvalidDestination({ at, expected, found })
  const names = at.split("/").filter((name) => name !== "" && name !== ".")
  if (names.includes("..")) return yield* invalid("a path without \"..\"", "one with it")
  if (at.includes("\0")) return yield* invalid("a path", "a zero byte in it")
  const deletion = names.find((name) => name.startsWith(Whiteout.prefix))
  if (deletion !== undefined) {
    return yield* invalid(`names that do not start with ${Whiteout.prefix}`, JSON.stringify(deletion))
  }
  return names
})

const milliseconds = ({ nanoseconds, seconds }: Timestamp.Timestamp): number =>
  seconds * 1000 + Math.floor(nanoseconds / 1e6)

/** The time of an entry; of one that is on no disk, there is none to keep. */
const timeOf = ({ epoch, keepTimes }: EntryOptions, file: OnDisk | undefined): number => {
  const own = file === undefined ? undefined : Number(file.info.mtime / 1_000_000n)
  if (epoch !== undefined) return Math.min(own ?? Infinity, milliseconds(epoch))
  return keepTimes === true ? own ?? oneTime : oneTime
}

/** Makes entries of what a walk has found. Files that are one and the same become links. */
const toEntries = (
  files: FileSystem,
  options: EntryOptions,
  allocate: Allocate
) =>
(found: Stream.Stream<Found, SourceFileError>): Stream.Stream<Entry, FileTreeError> =>
  Stream.suspend(() => {
    const linked = new Map<string, string>()
    let last: Found | undefined

    const toEntry = Effect.fnUntraced(function*({ file, path }: Found) {
      const times = { mtime: new Date(timeOf(options, file)) }
      if (file === undefined) return Tar.directory(path, times)
      const { info, source } = file
      const owned = { ...options.owner, ...times }
      const moded = { mode: info.mode, ...owned }
      switch (info.kind) {
        case "directory":
          return Tar.directory(path, moded)
        case "symbolic link": {
          const target = yield* Effect.mapError(files.readLink(source), goneOrUnreadable)
          return Tar.symlink(path, yield* decoded(target, source, "the target of a link"), owned)
        }
        case "file": {
          if (info.links > 1) {
            const target = linked.get(info.identity)
            if (target !== undefined) return Tar.hardlink(path, target, moded)
            linked.set(info.identity, path)
          }
          return info.size > chunkSize
            ? Tar.fileStream(path, info.size, contentOf(files, file, allocate), moded)
            : Tar.file(path, info.size === 0 ? "" : yield* bytesOf(files, file, allocate), moded)
        }
        default:
          return yield* new UnsupportedFile({
            path: source,
            expected: "a file, a directory or a symbolic link",
            found: `a ${info.kind}`
          })
      }
    })

    const isDirectory = ({ file }: Found) => file === undefined || file.info.kind === "directory"

    return Stream.mapEffect(
      // Two directories at one path are one
      Stream.filter(found, (next) => {
        const isSame = last?.path === next.path && isDirectory(last) && isDirectory(next)
        if (!isSame) last = next
        return !isSame
      }).pipe(Stream.mapAccum(() => "", (above: string, next) => [next.path, [{ above, next }]])),
      ({ above, next }): Effect.Effect<Entry, FileTreeError> =>
        above === next.path
          ? Effect.fail(
            new InvalidDestination({ at: `/${next.path}`, expected: "one file", found: "several that land there" })
          )
          : toEntry(next)
    )
  })

/** Makes a tar archive of what a walk has found below `source`. */
const tarred =
  (files: FileSystem, source: string, options: EntryOptions, allocate: Allocate) =>
  (found: Stream.Stream<Found, SourceFileError>) =>
    found.pipe(
      toEntries(files, options, allocate),
      Stream.pipeThroughChannel(Tar.encode<FileTreeError, unknown, Entry>()),
      // Sizes are right and names are whole: what cannot be encoded has changed in a way that was not seen
      Stream.catchTag("TarError", ({ message }) => Stream.fail(new FileChanged({ path: source, found: message })))
    )

/** Memory that nobody gets back: a stream may be read by whomever. */
const own: Allocate = (size) => Buffer.allocUnsafe(size)

const onDisk = Effect.fnUntraced(function*(files: FileSystem, path: string) {
  const source = yield* Effect.mapError(files.realPath(path), unreadable)
  return { source, info: yield* Effect.mapError(files.info(source), unreadable) }
})

/** The root of a file that lands with its own name, or of a directory whose content does. */
const rootAt = Effect.fnUntraced(function*(path: string, file: OnDisk, at: ReadonlyArray<string>) {
  if (file.info.kind === "directory") return { file, names: at }
  const name = basename(resolve(path))
  yield* checkName(name, file.source)
  return { file, names: [...at, name] }
})

/**
 * What a path was found to be: files, which have yet to become a tar archive, or a layer's archive, plain or compressed with
 * gzip or Zstandard. Both streams read the disk when they run.
 *
 * @category models
 * @since 0.1.0
 */
export type Source =
  | { readonly kind: "directory" | "file"; readonly tar: Stream.Stream<Uint8Array, FileTreeError> }
  | { readonly kind: "archive"; readonly archive: Stream.Stream<Uint8Array, FileTreeError> }

const openWith = Effect.fnUntraced(function*(path: string, options: Options, allocate: Allocate) {
  const files = yield* Files
  const at = yield* namesOf(options.at ?? "/")
  const file = yield* onDisk(files, path)
  if (file.info.kind === "file") {
    const archive = contentOf(files, file, own)
    if (yield* isArchive(archive)) {
      if (at.length === 0) return { kind: "archive", archive } as const
      return yield* new InvalidDestination({
        at: options.at ?? "/",
        expected: "\"/\" for a tar archive, which says itself where its files land",
        found: "another directory"
      })
    }
  }
  const root = yield* rootAt(path, file, at)
  const kind = file.info.kind === "directory" ? "directory" : "file"
  return { kind, tar: walk(files, [root], options.ignore).pipe(tarred(files, file.source, options, allocate)) } as const
})

/**
 * Looks at a path, and tells from its content what layer it makes.
 *
 * **Details**
 *
 * A directory's content and a file become a tar archive: entries sorted by the UTF-8 bytes of their paths, owned by 0:0,
 * every time 1970-01-01T00:00:01Z, unless the options say otherwise; modes, symbolic links and hard links stay as they
 * are. The directories of `at` come first, 0755. No link below the path is followed.
 *
 * An archive says itself where its files land, and is refused with any other `at` than `/`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fn("FileTree.open")((
  path: string,
  options: EntryOptions & Pick<Options, "at"> = {}
): Effect.Effect<Source, FileTreeError, Compression.Compression> => openWith(path, options, own))

/**
 * Error raised where an archive cannot be read as a layer.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidArchive extends Schema.TaggedError<InvalidArchive>("@effect-oci/adapters/InvalidArchive")(
  "InvalidArchive",
  { path: Schema.String, cause: Schema.Union([Compression.CorruptContent, Layer.InvalidLayer]) }
) {
  override get message() {
    return `cannot make a layer of the archive ${this.path}`
  }
}

/**
 * Stores a directory, a file or a layer's archive as a layer. An archive that is compressed keeps its bytes, whatever the
 * options say.
 *
 * **Details**
 *
 * `onRead` is told of each piece that has been read, in bytes of the tar archive, or of the archive that exists.
 *
 * **Example** (Storing a directory as a layer)
 *
 * ```ts
 * import * as FileTree from "@effect-oci/adapters/FileTree"
 * import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
 * import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = FileTree.store("dist", { at: "/app" }).pipe(
 *   Effect.map((layer) => layer.diffId),
 *   Effect.provide(Layer.provideMerge(MemoryStore.layer, Layer.merge(NodeHash.layer, NodeCompression.layer)))
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const store = Effect.fn("FileTree.store")(function*(
  path: string,
  options: Options & { readonly onRead?: (bytes: number) => Effect.Effect<void> } = {}
): Effect.fn.Return<
  Layer.Stored,
  FileTreeError | InvalidArchive | BlobStoreError | Compression.InvalidLevel,
  BlobStore | Compression.Compression | Hash
> {
  const { onRead = () => Effect.void } = options
  const counted = <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
    Stream.tap(content, (chunk) => onRead(chunk.length))
  const invalid = (cause: InvalidArchive["cause"]) => Effect.fail(new InvalidArchive({ path, cause }))
  const source = yield* openWith(path, options, lend)
  const stored: Effect.Effect<
    Layer.Stored,
    FileTreeError | InvalidArchive["cause"] | BlobStoreError | Compression.InvalidLevel,
    BlobStore | Compression.Compression | Hash
  > = source.kind === "archive"
    ? Layer.adopt(counted(source.archive), options)
    : Layer.store(counted(source.tar), options)
  return yield* stored.pipe(Effect.catchTags({ CorruptContent: invalid, InvalidLayer: invalid }))
})

/**
 * Files on disk, and where they land in a layer.
 *
 * **Details**
 *
 * A directory's content lands in the destination. A file becomes the destination, or lands there with its own name if
 * the destination ends in `/`. The directories above are made, 0755 and owned by 0:0.
 *
 * @category models
 * @since 0.1.0
 */
export interface Addition {
  readonly source: string
  readonly destination: string
}

/** The root of a file that becomes its destination. */
const rootOf = Effect.fnUntraced(function*(files: FileSystem, { destination, source }: Addition) {
  const file = yield* onDisk(files, source)
  const names = yield* namesOf(destination)
  return file.info.kind === "directory" || (names.length > 0 && !/(?:^|\/)\.?$/.test(destination))
    ? { file, names }
    : yield* rootAt(source, file, names)
})

/** How long it can take that two changes of a file have different times, in milliseconds: the clock of the system ticks. */
const tick = 20

/** What was read, as the key of a layer; none if something could have changed since, and nobody would see it. */
const keyOf = Effect.fnUntraced(function*(options: Options) {
  const { encoder } = yield* Compression.Compression
  const hash = yield* Hash
  const started = BigInt((yield* Clock.currentTimeMillis) - tick) * 1_000_000n
  const { compression = "gzip", owner = { uid: 0, gid: 0 } } = options
  const level = yield* Effect.fromResult(Compression.level(compression, options.level))
  const hasher = hash.make("sha256")
  const text = new TextEncoder()
  const write = (values: ReadonlyArray<unknown>) => hasher.update(text.encode(`${JSON.stringify(values)}\n`))
  write(["files 1", encoder(compression), compression, level, owner.uid, owner.gid])
  let isSettled = true
  return {
    see: ({ file, path }: Found): void => {
      const time = timeOf(options, file)
      if (file === undefined || file.info.kind === "directory") return write([path, file?.info.mode, time])
      const { ctime, identity, kind, mode, mtime, size } = file.info
      isSettled &&= ctime < started
      write([path, kind, identity, size, `${mtime}`, `${ctime}`, mode, time])
    },
    key: Effect.sync((): Option.Option<Digest.Digest> => {
      const key = hasher.digest()
      return isSettled ? Option.some(key) : Option.none()
    })
  }
})

/**
 * A layer of files that was made, or found in the cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface Added extends Layer.Stored {
  readonly fromCache: boolean
}

/**
 * Makes one layer of files on disk, or finds it in the cache, where it is if nothing has changed since: no path, no
 * content as far as size, times and inode tell, no mode, and nothing that the options say.
 *
 * **Details**
 *
 * Unlike `store`, it takes an archive for a file like any other. Two files that land at one path are refused.
 *
 * **Example** (Adding files to a layer)
 *
 * ```ts
 * import * as FileTree from "@effect-oci/adapters/FileTree"
 *
 * const layer = FileTree.add([
 *   { source: "dist", destination: "/app" },
 *   { source: "config/production.json", destination: "/etc/app/config.json" }
 * ], { compression: "zstd", owner: { uid: 1000, gid: 1000 } })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = Effect.fn("FileTree.add")(function*(
  additions: Addition | ReadonlyArray<Addition>,
  options: Omit<Options, "at"> & { readonly onRead?: (bytes: number) => Effect.Effect<void> } = {}
): Effect.fn.Return<
  Added,
  FileTreeError | BlobStoreError | Compression.InvalidLevel,
  BlobStore | Compression.Compression | Hash | LayerCache.LayerCache
> {
  const files = yield* Files
  const all = "source" in additions ? [additions] : additions
  const roots = yield* Effect.forEach(all, (addition) => rootOf(files, addition))
  const { onRead = () => Effect.void } = options
  let isAsked = false
  const key = Effect.gen(function*() {
    isAsked = true
    const read = yield* keyOf(options)
    yield* Stream.runForEach(walk(files, roots, options.ignore), (found) => Effect.sync(() => read.see(found)))
    return yield* read.key
  })
  const make = Effect.gen(function*() {
    const read = yield* keyOf(options)
    const tar = walk(files, roots, options.ignore).pipe(
      Stream.map((found) => {
        if (isAsked) read.see(found)
        return found
      }),
      tarred(files, all[0]?.source ?? "", options, lend)
    )
    const stored = yield* Layer.store(Stream.tap(tar, (chunk) => onRead(chunk.length)), options)
    return { ...stored, key: isAsked ? yield* read.key : Option.none() }
  })
  const { fromCache, stored } = yield* LayerCache.through(key, make)
  return { ...stored, fromCache }
})
