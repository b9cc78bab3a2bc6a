/**
 * Documents that a command is handed: a file, or `-` for stdin.
 *
 * @since 0.1.0
 */
import * as Json from "@effect-oci/schema/Json"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"

/**
 * Error raised where a document that was handed in cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InputUnreadable extends Schema.TaggedError<InputUnreadable>("@effect-oci/cli/InputUnreadable")(
  "InputUnreadable",
  { document: Schema.String, path: Schema.String, found: Schema.String, cause: Schema.optionalKey(Schema.Defect()) }
) {
  override get message() {
    return `cannot read the ${this.document} from ${this.path}: expected a file, found ${this.found}; ` +
      "name a file, or write - and pipe it in"
  }
}

/** What stands for stdin. */
const stdin = "-"

const kinds: Partial<Record<FileSystem.File.Type, string>> = {
  Directory: "a directory",
  FIFO: "a FIFO",
  Socket: "a socket",
  BlockDevice: "a device",
  CharacterDevice: "a device"
}

const reasons: Readonly<Record<string, string>> = {
  NotFound: "nothing of that name",
  PermissionDenied: "one that you may not read"
}

/**
 * Tells whether a name stands for stdin.
 *
 * @category guards
 * @since 0.1.0
 */
export const isStdin = (path: string): boolean => path === stdin

/** The whole content, of which no more is read than may be. */
const limited = <E, R>(document: string, limit: number, content: Stream.Stream<Uint8Array, E, R>) => {
  const exceeded = () => Stream.fail(new Json.LimitExceeded({ document, limit, size: limit + 1 }))
  return Stream.mkUint8Array(Stream.limitBytes<E | Json.LimitExceeded, R>(content, limit, exceeded))
}

/**
 * Reads a document whole. It is at most 4 MiB long unless more is allowed, also on a stdin that never ends; of a longer stdin, only the byte
 * that is too many is counted.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(
  path: string,
  document: string,
  limit = Json.maxBytes
): Effect.fn.Return<
  Uint8Array,
  InputUnreadable | Json.LimitExceeded,
  FileSystem.FileSystem | Stdio.Stdio
> {
  const unreadable = (cause: PlatformError) =>
    new InputUnreadable({
      document,
      path: isStdin(path) ? "stdin" : path,
      found: reasons[cause.reason._tag] ?? "one that fails",
      cause
    })
  if (isStdin(path)) {
    const stdio = yield* Stdio.Stdio
    return yield* limited(document, limit, Stream.mapError(stdio.stdin, unreadable))
  }
  const files = yield* FileSystem.FileSystem
  const info = yield* Effect.mapError(files.stat(path), unreadable)
  // Opening a FIFO would wait for its other end
  const kind = kinds[info.type]
  if (kind !== undefined) return yield* new InputUnreadable({ document, path, found: kind })
  const size = ByteSize.toNumberUnsafe(info.size)
  if (size > limit) return yield* new Json.LimitExceeded({ document, limit, size })
  return yield* limited(document, limit, Stream.mapError(files.stream(path), unreadable))
})
