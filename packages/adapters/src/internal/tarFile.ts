/**
 * A tar archive in a file: its headers are read in one pass and tell where its entries are, whose content is then read from
 * there. Memory holds names and places, and never what is in them.
 */
import { type StoreIo, UnsafeFile } from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import type { Reason } from "@effect-oci/core/LayerEntry"
import * as LayerTar from "@effect-oci/core/LayerTar"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import { tmpdir } from "node:os"
import { join, posix } from "node:path"
import { chunkSize, content, type File, type FileSystem, type Info, openFile } from "./files.ts"

export interface Entry {
  /** The path that its name means: without `.` and slashes at its ends. */
  readonly path: string
  readonly kind: "file" | "directory" | "symbolic link" | "hard link"
  readonly size: number
  /** Where its content begins. */
  readonly at: number
  /** Where a link leads, as it is written; a hard link's is a path. */
  readonly target: string
}

export interface TarFile {
  readonly path: string
  /** The file as it was when it was opened. */
  readonly info: Info
  readonly entries: ReadonlyMap<string, Entry>
  /** The content of an entry that is a file. */
  readonly content: (entry: Entry) => Stream.Stream<Uint8Array, StoreIo>
}

/** An archive is much smaller where it is one of images; each entry takes memory. */
const maxEntries = 1_000_000

/** The most links that are followed from one to the next. */
const maxHops = 8

/** How an entry of an archive is called in messages. */
export const nameOf = (archive: string, entry: string): string => `${archive}: ${entry}`

/** The one way in which an archive is refused: it names the archive, the entry if it is about one, and why. */
export const invalid = (archive: string, entry: string | undefined, expected: string, found: string): UnsafeFile =>
  new UnsafeFile({ path: entry === undefined ? archive : nameOf(archive, entry), expected, found })

const refused = (archive: string, reason: Reason): UnsafeFile => {
  switch (reason._tag) {
    case "DamagedArchive":
      return invalid(archive, undefined, "a tar archive, plain or compressed with gzip or Zstandard", reason.found)
    case "LimitExceeded":
      return invalid(archive, undefined, `at most ${reason.limit} ${reason.what}`, `at least ${reason.found}`)
    default:
      return invalid(archive, reason.path, "an entry that cannot do harm", reason.message)
  }
}

const windowSize = 64 * 1024
const blockSize = 512

/** Reads what has room in the bytes, as far as the file goes. */
const readFully = Effect.fnUntraced(function*(file: File, bytes: Uint8Array, position: number) {
  let length = 0
  while (length < bytes.length) {
    const read = yield* file.readAt(bytes.subarray(length), position + length)
    if (read === 0) break
    length += read
  }
  return bytes.subarray(0, length)
})

/** Finds the entries of an archive of `size` bytes. The parser gets zeros for the content, which is not read. */
const scan = Effect.fnUntraced(function*(archive: string, file: File, size: number) {
  const entries = new Map<string, Entry>()
  const zeros = new Uint8Array(chunkSize)
  let position = 0
  let skip = 0
  let window: Uint8Array = new Uint8Array()
  let windowAt = 0
  const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, StoreIo> = Effect.gen(function*() {
    if (skip > 0) {
      const length = Math.min(skip, zeros.length)
      skip -= length
      position += length
      return Arr.of(zeros.subarray(0, length))
    }
    if (position >= size) return yield* Cause.done()
    if (position < windowAt || position + blockSize > windowAt + window.length) {
      // New memory: the parser may keep blocks of a long header until it is whole
      window = yield* readFully(file, new Uint8Array(Math.min(windowSize, size - position)), position)
      windowAt = position
    }
    const block = window.subarray(position - windowAt, position - windowAt + blockSize)
    if (block.length === 0) return yield* Cause.done()
    position += block.length
    return Arr.of(block)
  })

  const add = (part: LayerTar.Part): Result.Result<void, UnsafeFile> => {
    if (part._tag !== "Header") return Result.void
    const { kind, path, size: length, target = "" } = part.entry
    const fail = (expected: string, found: string) => Result.fail(invalid(archive, path, expected, found))
    if (kind !== "file" && kind !== "directory" && kind !== "symbolic link" && kind !== "hard link") {
      return fail("a file, a directory or a link", `a ${kind}`)
    }
    if (position + length > size) return fail(`${length} bytes`, `${size - position} before the archive ends`)
    const before = entries.get(path)
    if (before !== undefined && (before.kind !== "directory" || kind !== "directory")) {
      return fail("one entry of that name", "another one")
    }
    entries.set(path, { path, kind, size: length, at: position, target })
    skip = Math.ceil(length / blockSize) * blockSize
    return Result.void
  }

  yield* Stream.fromPull(Effect.succeed(pull)).pipe(
    LayerTar.read({ maxBytes: Number.MAX_SAFE_INTEGER, maxEntries }),
    Stream.runForEach((part) => Effect.fromResult(add(part))),
    Effect.catchTag("InvalidLayer", ({ reason }) => Effect.fail(refused(archive, reason)))
  )
  return entries
})

/** Decompresses an archive into a file that has no name any more, so that nothing of it is left, whatever happens. */
const decompressed = Effect.fnUntraced(function*(
  files: FileSystem,
  compression: Compression.Compression["Service"],
  archive: string,
  compressed: { readonly file: File; readonly size: number; readonly format: Compression.Format }
) {
  const path = join(tmpdir(), `effect-oci-${randomUUID()}`)
  const file = yield* Effect.uninterruptible(
    Effect.tap(files.open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL), () => files.remove(path))
  )
  let size = 0
  yield* content(compressed.file, compressed.size).pipe(
    compression.decompress(compressed.format),
    Stream.runForEach((chunk): Effect.Effect<void, StoreIo | UnsafeFile> => {
      size += chunk.length
      return size <= LayerTar.limits.maxBytes
        ? file.write(chunk)
        : Effect.fail(invalid(archive, undefined, `at most ${LayerTar.limits.maxBytes} uncompressed bytes`, "more"))
    }),
    Effect.catchTag(
      "CorruptContent",
      (error) => Effect.fail(invalid(archive, undefined, `valid ${error.format}`, "damaged or cut off content"))
    )
  )
  return { file, size }
})

/** Opens an archive for as long as its scope lasts. One that is compressed is decompressed first, into a file. */
export const open = Effect.fnUntraced(function*(
  files: FileSystem,
  compression: Compression.Compression["Service"],
  path: string
): Effect.fn.Return<TarFile, StoreIo | UnsafeFile, Scope.Scope> {
  const { file: opened, info } = yield* openFile(files, path)
  const format = Compression.sniff(yield* readFully(opened, new Uint8Array(Compression.sniffLength), 0))
  const { file, size } = format === "uncompressed"
    ? { file: opened, size: info.size }
    : yield* decompressed(files, compression, path, { file: opened, size: info.size, format })
  return {
    path,
    info,
    entries: yield* scan(path, file, size),
    content: (entry) =>
      Stream.suspend(() => {
        let position = entry.at
        const end = entry.at + entry.size
        const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Uint8Array>, StoreIo> = Effect.suspend(() => {
          if (position >= end) return Cause.done()
          const bytes = Buffer.allocUnsafeSlow(Math.min(chunkSize, end - position))
          return Effect.flatMap(readFully(file, bytes, position), (read) => {
            position += bytes.length
            return read.length === 0 ? Cause.done() : Effect.succeed(Arr.of(read))
          })
        })
        return Stream.fromPull(Effect.succeed(pull))
      })
  }
})

/** Where a link leads inside the archive. */
const follow = (entry: Entry): string | undefined => {
  if (entry.kind === "hard link") return entry.target
  const path = posix.normalize(posix.join(posix.dirname(entry.path), entry.target))
  return entry.target.startsWith("/") || path === ".." || path.startsWith("../") ? undefined : path
}

/** Finds the file of a name, which may be a link to it, or to a link; gives nothing where there is none. */
export const find = (
  { entries, path: archive }: TarFile,
  name: string
): Result.Result<Entry | undefined, UnsafeFile> => {
  const fail = (expected: string, found: string) => Result.fail(invalid(archive, name, expected, found))
  let path: string | undefined = posix.normalize(name).replace(/\/$/, "")
  if (path.startsWith("/") || path === ".." || path.startsWith("../")) {
    return fail("a path inside the archive", "one that leads out of it")
  }
  for (let hop = 0; hop <= maxHops; hop++) {
    const entry: Entry | undefined = entries.get(path)
    if (entry === undefined) {
      return hop === 0
        ? Result.succeed(undefined)
        : fail("a link to a file in the archive", `one to ${path}, which is not there`)
    }
    if (entry.kind === "file") return Result.succeed(entry)
    if (entry.kind === "directory") return fail("a file", "a directory")
    path = follow(entry)
    if (path === undefined) return fail("a link inside the archive", `one to ${JSON.stringify(entry.target)}`)
  }
  return fail(`a file behind at most ${maxHops} links`, "more of them, or a circle")
}

/** Reads an entry that is small enough for memory, as its caller has made sure. */
export const readAll = (tar: TarFile, entry: Entry): Effect.Effect<Uint8Array, StoreIo | UnsafeFile> =>
  Effect.flatMap(Stream.mkUint8Array(tar.content(entry)), (bytes) =>
    bytes.length === entry.size
      ? Effect.succeed(bytes)
      : Effect.fail(invalid(tar.path, entry.path, `${entry.size} bytes`, `${bytes.length}`)))
