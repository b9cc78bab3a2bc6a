/**
 * Whiteouts: the names in a layer that delete what lower layers hold.
 *
 * Follows image-spec 1.1, layer.md, "Whiteouts"; for what AUFS left behind, the Docker engine's pkg/archive.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * What the names of whiteouts begin with.
 *
 * @category constants
 * @since 0.1.0
 */
export const prefix = ".wh."

/**
 * The name of an opaque marker.
 *
 * @category constants
 * @since 0.1.0
 */
export const opaqueName = ".wh..wh..opq"

const aufsPrefix = ".wh..wh."

/**
 * Error raised for a whiteout that names nothing that a directory can hold (`.wh.`, `.wh..`, `.wh...`), and for files
 * below one.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidWhiteout
  extends Schema.TaggedError<InvalidWhiteout>("@effect-oci/core/InvalidWhiteout")("InvalidWhiteout", {
    path: Schema.String
  })
{
  override get message(): string {
    return `${
      JSON.stringify(this.path)
    } is not a valid whiteout: expected ${prefix} with the name of a file after it, and nothing below`
  }
}

/**
 * What a path in a layer means.
 *
 * **Details**
 *
 * A `whiteout` deletes what lower layers have at `hides`. An `opaque` marker deletes what they have below the directory
 * `hides`, and leaves the directory. Both say nothing of files of their own layer, before or after them. `aufs` is
 * bookkeeping of that file system, such as `.wh..wh.plnk`, which is no part of the image: the Docker engine skips it. The
 * root is `"."`.
 *
 * @category models
 * @since 0.1.0
 */
export type Meaning =
  | { readonly kind: "file" }
  | { readonly kind: "whiteout"; readonly hides: string }
  | { readonly kind: "opaque"; readonly hides: string }
  | { readonly kind: "aufs" }

const file: Meaning = { kind: "file" }

/** Splits a path into the directory, `"."` for the root, and the name in it. */
const split = (path: string): readonly [directory: string, name: string] => {
  const slash = path.lastIndexOf("/")
  return slash < 0 ? [".", path] : [path.slice(0, slash), path.slice(slash + 1)]
}

const join = (directory: string, name: string): string => directory === "." ? name : `${directory}/${name}`

/**
 * Tells what a path in a layer means. The path is relative to the root, without `.` and empty parts.
 *
 * **Example** (Telling whiteouts from files)
 *
 * ```ts
 * import * as Whiteout from "@effect-oci/core/Whiteout"
 * import * as Result from "effect/Result"
 *
 * console.log(Result.getOrThrow(Whiteout.parse("etc/.wh.passwd"))) // { kind: "whiteout", hides: "etc/passwd" }
 * console.log(Result.getOrThrow(Whiteout.parse("etc/.wh..wh..opq"))) // { kind: "opaque", hides: "etc" }
 * console.log(Result.isFailure(Whiteout.parse("etc/.wh..."))) // true
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (path: string): Result.Result<Meaning, InvalidWhiteout> => {
  if (!path.includes(prefix)) return Result.succeed(file)
  const [directory, name] = split(path)
  if (directory.startsWith(prefix) || directory.includes(`/${prefix}`)) {
    return directory.split("/").every((part) => !part.startsWith(prefix) || isAufs(part))
      ? Result.succeed({ kind: "aufs" })
      : Result.fail(new InvalidWhiteout({ path }))
  }
  if (!name.startsWith(prefix)) return Result.succeed(file)
  if (name === opaqueName) return Result.succeed({ kind: "opaque", hides: directory })
  if (isAufs(name)) return Result.succeed({ kind: "aufs" })
  const hidden = name.slice(prefix.length)
  return hidden === "" || hidden === "." || hidden === ".."
    ? Result.fail(new InvalidWhiteout({ path }))
    : Result.succeed({ kind: "whiteout", hides: join(directory, hidden) })
}

const isAufs = (name: string): boolean => name.startsWith(aufsPrefix) && name !== opaqueName

/**
 * Gives the path of the whiteout that deletes a path, which must not be the root.
 *
 * @category constructors
 * @since 0.1.0
 */
export const of = (path: string): string => {
  const [directory, name] = split(path)
  return join(directory, prefix + name)
}

/**
 * Gives the path of the marker that makes a directory opaque.
 *
 * @category constructors
 * @since 0.1.0
 */
export const opaque = (directory: string): string => join(directory, opaqueName)
