/**
 * The values of the flags that build an image, each read from its text.
 *
 * @since 0.1.0
 */
import type * as FileTree from "@effect-oci/adapters/FileTree"
import * as Compression from "@effect-oci/core/Compression"
import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
import * as Result from "effect/Result"

/** What is wrong with a value. */
interface Wrong {
  readonly message: string
}

const wrong = (expected: string, found: string): Result.Result<never, Wrong> =>
  Result.fail({ message: `expected ${expected}, found ${found === "" ? "nothing" : JSON.stringify(found)}` })

const nothing = ImageBuilder.scratch({ os: "linux", architecture: "amd64" })

/**
 * Checks a setting by trying it on an image of nothing else.
 *
 * @category parsing
 * @since 0.1.0
 */
export const tried = <A>(
  value: A,
  change: (builder: ImageBuilder.ImageBuilder) => ImageBuilder.ImageBuilder
): Result.Result<A, Wrong> =>
  ImageBuilder.check(change(nothing)).pipe(
    Result.map(() => value),
    // The flag's name says which
    Result.mapError(({ expected, found }) => ({ message: `expected ${expected}, found ${found}` }))
  )

/**
 * Reads `SRC:DEST`, of which the last colon separates.
 *
 * @category parsing
 * @since 0.1.0
 */
export const addition = (text: string): Result.Result<FileTree.Addition, Wrong> => {
  const colon = text.lastIndexOf(":")
  if (colon < 0) return wrong(`SRC:DEST, such as ${text || "dist"}:/app`, text)
  const source = text.slice(0, colon)
  const destination = text.slice(colon + 1)
  if (source === "") return wrong("a file or a directory before the colon", text)
  if (!destination.startsWith("/")) return wrong("a path in the image behind the colon, such as /app", text)
  return destination.split("/").includes("..")
    ? wrong("a path in the image without \"..\"", destination)
    : Result.succeed({ source, destination })
}

/**
 * Reads `NAME=VALUE`, of which the first equals sign separates.
 *
 * @category parsing
 * @since 0.1.0
 */
export const pair = (text: string): Result.Result<readonly [name: string, value: string], Wrong> => {
  const equals = text.indexOf("=")
  return equals < 1 ? wrong("NAME=VALUE", text) : Result.succeed([text.slice(0, equals), text.slice(equals + 1)])
}

const isText = (value: unknown): value is string => typeof value === "string"

/** A JSON array of strings; another text is none. */
const array = (text: string): Result.Result<ReadonlyArray<string>, Wrong> => {
  const value: unknown = Result.getOrUndefined(Result.try((): unknown => JSON.parse(text)))
  return Array.isArray(value) && value.every(isText)
    ? Result.succeed(value)
    : wrong("a JSON array of strings, such as [\"node\",\"server.js\"]", text)
}

const isArray = (text: string): boolean => text.trimStart().startsWith("[")

/**
 * Reads a program and its arguments as a JSON array of strings, or as one word.
 *
 * @category parsing
 * @since 0.1.0
 */
export const words = (text: string): Result.Result<ReadonlyArray<string>, Wrong> => {
  if (isArray(text)) return array(text)
  const split = text.split(/\s+/).filter((word) => word !== "")
  return split.length === 1 && split[0] === text
    ? Result.succeed(split)
    : wrong(`one word or a JSON array, such as ${JSON.stringify(split.length === 0 ? ["/app"] : split)}`, text)
}

/**
 * Reads the command of a health check: a line for a shell, or a program with its arguments as a JSON array.
 *
 * @category parsing
 * @since 0.1.0
 */
export const healthCommand = (text: string): Result.Result<string | ReadonlyArray<string>, Wrong> => {
  if (text.trim() === "") return wrong("a command", text)
  if (!isArray(text)) return Result.succeed(text)
  return Result.flatMap(array(text), (test) => test.length === 0 ? wrong("a program", text) : Result.succeed(test))
}

const units: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9
}

/**
 * Reads a duration as Go writes it, such as `1m30s` or `1.5h`, in nanoseconds.
 *
 * @category parsing
 * @since 0.1.0
 */
export const duration = (text: string): Result.Result<bigint, Wrong> => {
  const parts = Array.from(text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g))
  const nanoseconds = parts.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (units[unit] ?? 0), 0)
  return text !== "" && parts.map(([part]) => part).join("") === text && nanoseconds >= 1e6 && nanoseconds < 2 ** 63
    ? Result.succeed(BigInt(Math.round(nanoseconds)))
    : wrong("a duration of at least 1ms, such as 30s or 1m30s", text)
}

/**
 * How layers are compressed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compressed {
  readonly compression: Compression.Format
  readonly level?: number
}

const isFormat = (text: string): text is Compression.Format =>
  text === "uncompressed" || Object.hasOwn(Compression.levels, text)

/**
 * Reads `FORMAT[:LEVEL]`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const compression = (text: string): Result.Result<Compressed, Wrong> => {
  const colon = text.indexOf(":")
  const format = colon < 0 ? text : text.slice(0, colon)
  if (!isFormat(format)) return wrong("uncompressed, gzip[:0-9] or zstd[:1-22]", text)
  if (colon < 0) return Result.succeed({ compression: format })
  const digits = text.slice(colon + 1)
  return /^\d+$/.test(digits)
    ? Result.map(Compression.level(format, Number(digits)), (level) => ({ compression: format, level }))
    : wrong("a number as the level, as in gzip:9", text)
}

/** The largest number that is a user's: the next one means none. */
const lastId = 2 ** 32 - 2

/**
 * Reads `UID[:GID]`; the group is of the same number unless it is given.
 *
 * @category parsing
 * @since 0.1.0
 */
export const owner = (text: string): Result.Result<FileTree.Owner, Wrong> => {
  const [, user, group = user] = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(text) ?? []
  const uid = Number(user)
  const gid = Number(group)
  return uid <= lastId && gid <= lastId
    ? Result.succeed({ uid, gid })
    : wrong("UID or UID:GID, as numbers, such as 1000:1000", text)
}
