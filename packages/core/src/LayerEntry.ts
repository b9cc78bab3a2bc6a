/**
 * Entries of layers: what a tar archive says of a file, and the reasons for which an entry is refused.
 *
 * Nothing here extracts an entry, so none can escape. Still an entry is refused where it could, or where the tools that
 * will extract it would not agree on what it is.
 *
 * @since 0.1.0
 */
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Schema from "effect/Schema"

/**
 * What an entry is. A `whiteout` and an `opaque` marker delete, as `Whiteout` tells; `aufs` is bookkeeping without
 * meaning.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "file"
  | "directory"
  | "symbolic link"
  | "hard link"
  | "character device"
  | "block device"
  | "fifo"
  | "whiteout"
  | "opaque"
  | "aufs"

/**
 * An entry of a layer.
 *
 * **Details**
 *
 * `name` is the name as it is written. `path` is what it means: relative to the layer's root, without `.`, empty parts and
 * slashes at its ends; the root itself is `"."`. Tools agree that `a`, `./a`, `/a` and `a//` are one path, so these are
 * accepted. `target` is the path, in the same form, of what a hard link links to, or the text of a symbolic link as it is
 * written, which may lead anywhere: it means something only in the container.
 *
 * `size` counts the bytes of content that follow the header. `mode` has the permission bits, setuid, setgid and sticky.
 * `xattrs` names the extended attributes. `header` has all bytes of the entry's header, with the PAX header or the long
 * names before it: nothing is lost of what was not understood.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly name: string
  readonly path: string
  readonly kind: Kind
  readonly size: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly user: string
  readonly group: string
  readonly mtime: Timestamp.Timestamp
  readonly target?: string
  readonly device?: { readonly major: number; readonly minor: number }
  readonly xattrs: ReadonlyArray<string>
  readonly header: Uint8Array
}

const problems = {
  "parent": "a name without \"..\", which tools follow in different ways",
  "root": "nothing but a directory at the layer's root",
  "name": "a name",
  "length": "at most 4095 bytes, which is what Linux has room for",
  "zero byte": "a text without a zero byte",
  "encoding": "a text in UTF-8",
  "whiteout": ".wh. with the name of a file after it, and nothing below",
  "link": "a hard link to a file in the layers",
  "obstacle": "a directory above it in the layers"
} as const

/**
 * What may be wrong with an entry that is not safe.
 *
 * **Details**
 *
 * - `parent`: its name, or the target of a hard link, holds `..`. Docker and containerd take it out of the text, GNU tar
 *   refuses it, and where a symbolic link stands before it the file system means something else again.
 * - `root`: it would put something else in the place of the root directory.
 * - `name`: its name is empty, or its target where it is a link.
 * - `length`: its name or its target is longer than any path can be.
 * - `zero byte`, `encoding`: its name, its target or its owner's name has a zero byte, or is not UTF-8.
 * - `whiteout`: it is an invalid whiteout.
 * - `link`: it is a hard link to the root, or to what is not in the layers or is a directory.
 * - `obstacle`: what stands above it is not a directory, or its symbolic links lead in a circle.
 *
 * @category models
 * @since 0.1.0
 */
export type Problem = keyof typeof problems

/**
 * Error raised for an entry that could do harm where it is extracted. Bytes of its name that are not UTF-8 are shown as
 * `\xff`.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsafeEntry extends Schema.TaggedError<UnsafeEntry>("@effect-oci/core/UnsafeEntry")("UnsafeEntry", {
  path: Schema.String,
  problem: Schema.Literals([
    "parent",
    "root",
    "name",
    "length",
    "zero byte",
    "encoding",
    "whiteout",
    "link",
    "obstacle"
  ]),
  found: Schema.String
}) {
  override get message(): string {
    return `the layer's entry ${JSON.stringify(this.path)} is not safe: expected ${
      problems[this.problem]
    }, found ${this.found}`
  }
}

/**
 * Error raised for an entry of a kind that images do not have: a GNU sparse file, a volume's label, a part of a file.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedEntry
  extends Schema.TaggedError<UnsupportedEntry>("@effect-oci/core/UnsupportedEntry")("UnsupportedEntry", {
    path: Schema.String,
    found: Schema.String
  })
{
  override get message(): string {
    return `the layer's entry ${
      JSON.stringify(this.path)
    } is not supported: expected a file, a directory, a link, a device or a FIFO, found ${this.found}`
  }
}

/**
 * Error raised for an entry that tools read in different ways, so that a layer has different files for each of them.
 *
 * @category errors
 * @since 0.1.0
 */
export class AmbiguousEntry
  extends Schema.TaggedError<AmbiguousEntry>("@effect-oci/core/AmbiguousEntry")("AmbiguousEntry", {
    path: Schema.String,
    found: Schema.String
  })
{
  override get message(): string {
    return `the layer's entry ${
      JSON.stringify(this.path)
    } is ambiguous: expected what all tools read alike, found ${this.found}`
  }
}

/**
 * Error raised where content is not a tar archive, or is damaged or cut.
 *
 * @category errors
 * @since 0.1.0
 */
export class DamagedArchive
  extends Schema.TaggedError<DamagedArchive>("@effect-oci/core/DamagedArchive")("DamagedArchive", {
    found: Schema.String
  })
{
  override get message(): string {
    return `the content is not a layer: expected a tar archive, plain or compressed with gzip or Zstandard, found ${this.found}`
  }
}

/**
 * Error raised where a layer is larger than it may be. `found` is how much had been read when that was known.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitExceeded
  extends Schema.TaggedError<LimitExceeded>("@effect-oci/core/LimitExceeded")("LimitExceeded", {
    what: Schema.Literals(["uncompressed bytes", "entries", "bytes of an extended header"]),
    limit: Schema.Number,
    found: Schema.Number
  })
{
  override get message(): string {
    return `the layer is too large: expected at most ${this.limit} ${this.what}, found at least ${this.found}`
  }
}

/**
 * Any of the reasons for which a layer is refused.
 *
 * @category errors
 * @since 0.1.0
 */
export const Reason = Schema.Union([DamagedArchive, UnsafeEntry, UnsupportedEntry, AmbiguousEntry, LimitExceeded])

/**
 * @category errors
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type
