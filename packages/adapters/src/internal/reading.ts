/**
 * How the content of a file on disk is read: it must not change, neither before it is opened nor while it is read.
 */
import type { StoreIo } from "@effect-oci/core/BlobStore"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FileChanged, FileUnreadable, type SourceFileError, UnsupportedFile } from "../SourceFile.ts"
import { content, type FileSystem, type Info, openFile } from "./files.ts"

export interface OnDisk {
  readonly source: string
  readonly info: Info
}

/** Gives memory to read into. */
export type Allocate = (size: number) => Uint8Array

export const unreadable = ({ cause, code, path }: StoreIo) => new FileUnreadable({ path, code, cause })

/** A file that is not there any more was there when its directory was read. */
export const goneOrUnreadable = (error: StoreIo): FileChanged | FileUnreadable =>
  error.code === "ENOENT" || error.code === "ENOTDIR"
    ? new FileChanged({ path: error.path, found: "it is not there any more" })
    : unreadable(error)

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const escaped = (bytes: Uint8Array): string =>
  `"${
    String.fromCharCode(...bytes).replaceAll(/[^ !#-[\]-~]/g, (character) =>
      "\\x" + character.charCodeAt(0).toString(16).padStart(2, "0"))
  }"`

export const decoded = (bytes: Uint8Array, path: string, what: string): Effect.Effect<string, UnsupportedFile> =>
  Effect.try({
    try: () => strict.decode(bytes),
    catch: () => new UnsupportedFile({ path, expected: `${what} in UTF-8`, found: escaped(bytes) })
  })

const otherFile = ({ source }: OnDisk) => new FileChanged({ path: source, found: "another file took its place" })

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

/** The content of a file, piece by piece. */
export const contentOf = (
  files: FileSystem,
  found: OnDisk,
  allocate: Allocate
): Stream.Stream<Uint8Array, SourceFileError> =>
  Stream.unwrap(Effect.gen(function*() {
    const { file, info } = yield* openFile(files, found.source)
    yield* checkSame(found, info)
    return Stream.concat(
      content(file, info.size, allocate),
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
export const bytesOf = (
  files: FileSystem,
  found: OnDisk,
  allocate: Allocate
): Effect.Effect<Uint8Array, SourceFileError> =>
  files.readWhole(found.source, allocate(found.info.size)).pipe(
    Effect.mapError((error) => notFiles.has(error.code) ? otherFile(found) : goneOrUnreadable(error)),
    Effect.flatMap(({ bytes, info }) => Effect.as(checkSame(found, info), bytes))
  )
