/**
 * What the command line prints as JSON, for programs to read.
 *
 * @since 0.1.0
 */
import * as Encoding from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"

/** Deeper causes than this are cut off; no error of ours comes near. */
const maxDepth = 32

/** Told elsewhere, or not at all. */
const withheld = new Set(["_tag", "message", "name", "stack"])

/** Effect's marks on its own values, such as `~effect/cli/CliError`, tell a reader nothing. */
const members = (value: object): ReadonlyArray<readonly [string, unknown]> =>
  Object.entries(value).filter(([key]) => !key.startsWith("~effect/"))

const errorFields = (error: Error): ReadonlyArray<readonly [string, unknown]> => [
  ["_tag", Predicate.hasProperty(error, "_tag") ? error._tag : error.name],
  ["message", error.message],
  ...members(error).filter(([key]) => !withheld.has(key)),
  // `new Error(message, { cause })` does not make it enumerable
  ...(Object.hasOwn(error, "cause") ? [["cause", error.cause] as const] : [])
]

const plain = (value: unknown, depth: number): unknown => {
  if (typeof value === "bigint") return value.toString()
  if (typeof value !== "object" || value === null) return value
  if (depth > maxDepth) return undefined
  if (value instanceof Uint8Array) return Encoding.encode(value)
  const next = (child: unknown) => plain(child, depth + 1)
  if (value instanceof Error) return Object.fromEntries(errorFields(value).map(([key, child]) => [key, next(child)]))
  if (Array.isArray(value)) return value.map(next)
  if (value instanceof Set) return Array.from(value, next)
  if (value instanceof Map) return Object.fromEntries(Array.from(value, ([key, child]) => [String(key), next(child)]))
  if (Predicate.hasProperty(value, "toJSON") && typeof value.toJSON === "function") return next(value.toJSON())
  return Object.fromEntries(members(value).map(([key, child]) => [key, next(child)]))
}

/**
 * One line of JSON for any value. An error becomes its `_tag` (or name), `message`, fields and `cause`, without its
 * stack; a bigint becomes a string of decimal digits, bytes become base64, a set an array, a map an object. What has a
 * `toJSON` decides itself: a redacted value stays redacted.
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringify = (value: unknown): string => JSON.stringify(plain(value, 0)) ?? "null"
