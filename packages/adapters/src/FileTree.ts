/**
 * Files on disk as layers: a directory, a file, or a layer's tar archive.
 *
 * The same files give the same bytes: entries are sorted, belong to 0:0 without names, and carry one time.
 *
 * @since 0.1.0
 */
import type { BlobStore, BlobStoreError, StoreIo } from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import type { Hash } from "@effect-oci/core/Hash"
import * as Layer from "@effect-oci/core/Layer"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { basename, join, resolve } from "node:path"
import { chunkSize, content, Files, type FileSystem, type Info, openFile } from "./internal/files.ts"

const reasons: Readonly<Record<string, string>> = {
  EACCES: "permission denied (EACCES)",
  EIO: "the device failed (EIO)",
  ELOOP: "its symbolic links lead in a circle (ELOOP)",
  EMFILE: "too many open files (EMFILE)",
  ENOENT: "there is no such file",
  ENOTDIR: "a part of the path is not a directory (ENOTDIR)",
  EPERM: "operation not permitted (EPERM)"
}

/**
 * Error raised where the machine refuses to read a file.
 *
 * @category errors
 * @since 0.1.0
 */
export class FileUnreadable extends Schema.TaggedError<FileUnreadable>("@effect-oci/adapters/FileUnreadable")(
  "FileUnreadable",
  { path: Schema.String, code: Schema.String, cause: Schema.Defect() }
) {
  override get message(): string {
    return `${this.path} cannot be read: ${reasons[this.code] ?? this.code}`
  }
}

/**
 * Error raised where a layer cannot hold a file: a socket, a FIFO, a device, a name or the target of a link that is not
 * UTF-8, or a name that means a deletion in a layer (`.wh.`).
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedFile extends Schema.TaggedError<UnsupportedFile>("@effect-oci/adapters/UnsupportedFile")(
  "UnsupportedFile",
  { path: Schema.String, expected: Schema.String, found: Schema.String }
) {
  override get message(): string {
    return `${this.path} cannot be put into a layer: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised where a file changes, or goes away, while it is read.
 *
 * @category errors
 * @since 0.1.0
 */
export class FileChanged extends Schema.TaggedError<FileChanged>("@effect-oci/adapters/FileChanged")("FileChanged", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} changed while it was read: ${this.found}; try again when nothing writes to it`
  }
}

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
export const FileTreeError = Schema.Union([FileUnreadable, UnsupportedFile, FileChanged, InvalidDestination])

/**
 * @category errors
 * @since 0.1.0
 */
export type FileTreeError = typeof FileTreeError.Type

/**
 * What can be chosen about a layer of files.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Layer.Options {
  /** The directory in the layer where a directory's content lands, or a file with its name: `/` unless given. */
  readonly at?: string
}

/** The time of every file: 1970-01-01T00:00:01Z. */
const mtime = new Date(1000)

type Entry = Tar.Entry<FileTreeError>
type Entries = Stream.Stream<Entry, FileTreeError>

const fromIo = ({ cause, code, path }: StoreIo) => new FileUnreadable({ path, code, cause })

/** A file that is not there any more was there when its directory was read. */
const goneOrUnreadable = (error: StoreIo): FileChanged | FileUnreadable =>
  error.code === "ENOENT" || error.code === "ENOTDIR"
    ? new FileChanged({ path: error.path, found: "it is not there any more" })
    : fromIo(error)

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const escaped = (bytes: Uint8Array): string =>
  `"${
    String.fromCharCode(...bytes).replaceAll(/[^ !#-[\]-~]/g, (character) =>
      "\\x" + character.charCodeAt(0).toString(16).padStart(2, "0"))
  }"`

const decoded = (bytes: Uint8Array, path: string, what: string): Effect.Effect<string, UnsupportedFile> =>
  Effect.try({
    try: () => strict.decode(bytes),
    catch: () => new UnsupportedFile({ path, expected: `${what} in UTF-8`, found: escaped(bytes) })
  })

const whiteout = ".wh."

const checkName = (name: string, path: string): Effect.Effect<void, UnsupportedFile> =>
  name.startsWith(whiteout)
    ? Effect.fail(
      new UnsupportedFile({
        path,
        expected: `a name that does not start with ${whiteout}`,
        found: JSON.stringify(name)
      })
    )
    : Effect.void

const checkDestination = Effect.fnUntraced(function*(at: string) {
  const invalid = (expected: string, found: string) => new InvalidDestination({ at, expected, found })
  const names = at.split("/").filter((name) => name !== "" && name !== ".")
  if (names.includes("..")) return yield* invalid("a path without \"..\"", "one with it")
  if (at.includes("\0")) return yield* invalid("a path", "a zero byte in it")
  const deletion = names.find((name) => name.startsWith(whiteout))
  if (deletion !== undefined) {
    return yield* invalid(`names that do not start with ${whiteout}`, JSON.stringify(deletion))
  }
  return names
})

/** A file that waits to be written: its place on disk, and its path in the layer. */
interface Found {
  readonly source: string
  readonly path: string
  readonly info: Info
}

type OnDisk = Omit<Found, "path">

const otherFile = ({ source }: OnDisk) => new FileChanged({ path: source, found: "another file took its place" })

/** A file must not change: neither before it is opened, nor while it is read. */
const checkSame = (found: OnDisk, now: Info): Effect.Effect<void, FileChanged> => {
  const changed = (what: string) => Effect.fail(new FileChanged({ path: found.source, found: what }))
  return now.identity !== found.info.identity
    ? Effect.fail(otherFile(found))
    : now.size !== found.info.size
    ? changed(`it had ${found.info.size} bytes and has ${now.size}`)
    : now.mtime === found.info.mtime
    ? Effect.void
    : changed("it was written to")
}

const contentOf = (files: FileSystem, found: OnDisk): Stream.Stream<Uint8Array, FileTreeError> =>
  Stream.unwrap(Effect.gen(function*() {
    const { file, info } = yield* openFile(files, found.source)
    yield* checkSame(found, info)
    return Stream.concat(
      content(file, info.size),
      Stream.fromEffectDrain(Effect.flatMap(file.info, (now) => checkSame(found, now)))
    )
  })).pipe(Stream.mapError((error) =>
    error._tag === "StoreIo"
      ? goneOrUnreadable(error)
      : error._tag === "UnsafeFile"
      ? otherFile(found)
      : error
  ))

/** How reading fails of what is not a file any more: a link, a directory, a socket. */
const notFiles: ReadonlySet<string> = new Set(["ELOOP", "EISDIR", "ENXIO"])

/** The content of a file that is small enough to be read in one go. */
const bytesOf = (files: FileSystem, found: OnDisk): Effect.Effect<Uint8Array, FileTreeError> =>
  files.readWhole(found.source, found.info.size).pipe(
    Effect.mapError((error) => notFiles.has(error.code) ? otherFile(found) : goneOrUnreadable(error)),
    Effect.flatMap(({ bytes, info }) => Effect.as(checkSame(found, info), bytes))
  )

/**
 * A file, or the files below a directory, sorted by path. What waits is kept with the least path at its end: a
 * directory's children come after it, and before most of what waits, so that they are put in at the end.
 */
const walk = Effect.fnUntraced(function*(files: FileSystem, root: Found): Effect.fn.Return<Entries, FileTreeError> {
  const waiting: Array<Found> = []
  const linked = new Map<string, string>()

  const children = Effect.fnUntraced(function*(directory: Found) {
    const found: Array<Found> = []
    for (const bytes of yield* Effect.mapError(files.list(directory.source), goneOrUnreadable)) {
      const name = yield* decoded(bytes, directory.source, "names")
      const source = join(directory.source, name)
      yield* checkName(name, source)
      const info = yield* Effect.mapError(files.info(source), goneOrUnreadable)
      found.push({ source, path: directory.path === "" ? name : `${directory.path}/${name}`, info })
    }
    return found
  })

  const wait = (found: Array<Found>): void => {
    const last = found.reduce((last, { path }) => Json.compareUtf8(path, last) > 0 ? path : last, "")
    for (
      let next = waiting.at(-1);
      next !== undefined && Json.compareUtf8(next.path, last) < 0;
      next = waiting.at(-1)
    ) {
      found.push(next)
      waiting.pop()
    }
    for (const each of found.toSorted((left, right) => Json.compareUtf8(right.path, left.path))) waiting.push(each)
  }

  const toEntry = Effect.fnUntraced(function*(found: Found): Effect.fn.Return<Entry, FileTreeError> {
    const { info, path, source } = found
    const options = { mode: info.mode, mtime }
    switch (info.kind) {
      case "directory":
        return Tar.directory(path, options)
      case "symbolic link": {
        const target = yield* Effect.mapError(files.readLink(source), goneOrUnreadable)
        return Tar.symlink(path, yield* decoded(target, source, "the target of a link"), { mtime })
      }
      case "file": {
        if (info.links > 1) {
          const target = linked.get(info.identity)
          if (target !== undefined) return Tar.hardlink(path, target, options)
          linked.set(info.identity, path)
        }
        return info.size > chunkSize
          ? Tar.fileStream(path, info.size, contentOf(files, found), options)
          : Tar.file(path, info.size === 0 ? "" : yield* bytesOf(files, found), options)
      }
      default:
        return yield* new UnsupportedFile({
          path: source,
          expected: "a file, a directory or a symbolic link",
          found: `a ${info.kind}`
        })
    }
  })

  wait(root.info.kind === "directory" ? yield* children(root) : [root])
  return Stream.paginate(
    undefined,
    Effect.fnUntraced(function*() {
      const found = waiting.pop()
      if (found === undefined) return [[], Option.none()] as const
      if (found.info.kind === "directory") wait(yield* children(found))
      return [[yield* toEntry(found)], Option.some(undefined)] as const
    })
  )
})

const tarOf = (files: FileSystem, root: OnDisk, name: string, at: ReadonlyArray<string>) =>
  Stream.unwrap(
    walk(files, { ...root, path: [...at, ...(root.info.kind === "directory" ? [] : [name])].join("/") })
  ).pipe(
    (entries) =>
      Stream.concat(
        Stream.fromArray(at.map((_, index): Entry => Tar.directory(at.slice(0, index + 1).join("/"), { mtime }))),
        entries
      ),
    Stream.pipeThroughChannel(Tar.encode<FileTreeError, unknown, Entry>()),
    // Sizes are right and names are whole: what cannot be encoded has changed in a way that was not seen
    Stream.catchTag("TarError", ({ message }) => Stream.fail(new FileChanged({ path: root.source, found: message })))
  )

/** A tar archive begins with a header, whose checksum is right, or has nothing but the zeros that end it. */
const isTar = (head: Uint8Array): boolean => {
  if (head.length < 512) return false
  if (head.every((byte) => byte === 0)) return head.length >= 1024 && head.length <= 10_240 && head.length % 512 === 0
  const header = head.subarray(0, 512)
  const written = Number.parseInt(new TextDecoder().decode(header.subarray(148, 156)).replaceAll("\0", " "), 8)
  return written === header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0)
}

/** The first bytes, enough to tell a tar archive. */
const headOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) => {
  let length = 0
  return Stream.mkUint8Array(Stream.takeUntil(bytes, (chunk) => {
    length += chunk.length
    return length > 10_240
  }))
}

const isArchive = Effect.fnUntraced(function*(bytes: Stream.Stream<Uint8Array, FileTreeError>) {
  const head = yield* headOf(bytes)
  const { decompress } = yield* Compression.Compression
  const format = Compression.sniff(head)
  if (format === "uncompressed") return isTar(head)
  return yield* headOf(decompress(format)(bytes)).pipe(
    Effect.map(isTar),
    // Damaged before it could be told: refused as an archive, rather than put into a layer as it is
    Effect.catchTag("CorruptContent", () => Effect.succeed(true))
  )
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

/**
 * Looks at a path, and tells from its content what layer it makes.
 *
 * **Details**
 *
 * A directory's content and a file become a tar archive: entries sorted by the UTF-8 bytes of their paths, owned by 0:0,
 * every time 1970-01-01T00:00:01Z; modes, symbolic links and hard links stay as they are. The directories of `at` come
 * first, 0755. No link below the path is followed.
 *
 * An archive says itself where its files land, and is refused with any other `at` than `/`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fn("FileTree.open")(function*(
  path: string,
  options: Pick<Options, "at"> = {}
): Effect.fn.Return<Source, FileTreeError, Compression.Compression> {
  const files = yield* Files
  const at = yield* checkDestination(options.at ?? "/")
  const source = yield* Effect.mapError(files.realPath(path), fromIo)
  const info = yield* Effect.mapError(files.info(source), fromIo)
  const root = { source, info }
  const name = basename(resolve(path))
  if (info.kind === "directory") return { kind: "directory", tar: tarOf(files, root, name, at) }
  if (info.kind === "file") {
    const archive = contentOf(files, root)
    if (yield* isArchive(archive)) {
      if (at.length === 0) return { kind: "archive", archive }
      return yield* new InvalidDestination({
        at: options.at ?? "/",
        expected: "\"/\" for a tar archive, which says itself where its files land",
        found: "another directory"
      })
    }
  }
  yield* checkName(name, source)
  return { kind: "file", tar: tarOf(files, root, name, at) }
})

/**
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
  return yield* Effect.flatMap(
    open(path, options),
    (source) =>
      source.kind === "archive"
        ? Layer.adopt(counted(source.archive), options)
        : Layer.store(counted(source.tar), options)
  ).pipe(Effect.catchTags({ CorruptContent: invalid, InvalidLayer: invalid }))
})
