/**
 * Files on disk that are to become part of a layer, and why they cannot.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

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
 * Any of the reasons why files cannot become part of a layer.
 *
 * @category errors
 * @since 0.1.0
 */
export const SourceFileError = Schema.Union([FileUnreadable, UnsupportedFile, FileChanged])

/**
 * @category errors
 * @since 0.1.0
 */
export type SourceFileError = typeof SourceFileError.Type
