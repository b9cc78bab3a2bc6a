/**
 * The history of an image: what each of its layers, and each step that made none, was made by.
 *
 * Follows image-spec 1.1, config.md, "history".
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { absent, element, problem } from "./internal/decode.ts"
import * as Encode from "./internal/encode.ts"
import { timeText } from "./internal/rule.ts"
import * as Json from "./Json.ts"
import * as Timestamp from "./Timestamp.ts"

/**
 * The names that a history item gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(["created", "created_by", "author", "comment", "empty_layer"])

/**
 * Schema for one item of a history. An item without `empty_layer` belongs to a layer.
 *
 * @category schemas
 * @since 0.1.0
 */
export const History = Schema.Struct({
  created: absent(Timestamp.FromString),
  created_by: absent(Schema.String),
  author: absent(Schema.String),
  comment: absent(Schema.String),
  empty_layer: absent(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export type History = typeof History.Type

/**
 * A whole history as a config holds it, oldest item first. `null` is a history that is not there, which Go writes as
 * `null`; an empty one it writes as `[]`.
 *
 * @category models
 * @since 0.1.0
 */
export type Items = ReadonlyArray<History> | null

/**
 * Schema for a list of items, where a `null` item is one without members.
 *
 * @category schemas
 * @since 0.1.0
 */
export const List = Schema.Array(element(History, {}))

const texts = ["created_by", "author", "comment"] as const

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/**
 * Reads the history of a config, and nothing else of it.
 *
 * **Details**
 *
 * It gives what the schema `List` gives. It is written out because it stands in the way of every export, where it takes
 * a fifth of the schema's time. Members that the spec does not know are dropped, as Go drops them.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromConfig = (config: Json.Document): Result.Result<Items, Json.UnexpectedJson> => {
  const known = read.get(config)
  if (known !== undefined) return known
  const history = readFrom(config)
  read.set(config, history)
  return history
}

/** An export reads the history to normalize it and again to check the config: documents do not change in between. */
const read = new WeakMap<Json.Document, Result.Result<Items, Json.UnexpectedJson>>()

const readFrom = (config: Json.Document): Result.Result<Items, Json.UnexpectedJson> => {
  const fail = (path: ReadonlyArray<string | number>, reason: "type" | "time", expected: string) =>
    Result.fail(problem(config, { path, reason, expected }))
  if (config.kind === "null") return Result.succeed(null)
  if (config.kind !== "object") return fail([], "type", "an object")
  const list = Json.memberValue(config, "history") ?? null
  if (list === null) return Result.succeed(null)
  if (!Array.isArray(list)) return fail(["history"], "type", "a list")
  const history: Array<History> = []
  for (let index = 0; index < list.length; index++) {
    const item: unknown = list[index]
    if (item === null) {
      history.push({})
      continue
    }
    if (!isObject(item)) return fail(["history", index], "type", "an object")
    const out: { -readonly [name in keyof History]: History[name] } = {}
    const created = item["created"] ?? undefined
    if (created !== undefined) {
      if (typeof created !== "string") return fail(["history", index, "created"], "type", timeText)
      const time = Timestamp.parse(created)
      if (Result.isFailure(time)) return fail(["history", index, "created"], "time", timeText)
      out.created = time.success
    }
    for (const name of texts) {
      const text = item[name] ?? undefined
      if (text === undefined) continue
      if (typeof text !== "string") return fail(["history", index, name], "type", "a string")
      out[name] = text
    }
    const empty = item["empty_layer"] ?? undefined
    if (empty !== undefined) {
      if (typeof empty !== "boolean") return fail(["history", index, "empty_layer"], "type", "true or false")
      out.empty_layer = empty
    }
    history.push(out)
  }
  return Result.succeed(history)
}

/**
 * Checks that two items are equal as Go compares them: an empty member is an absent one, and times are equal only with
 * equal offsets.
 *
 * @category instances
 * @since 0.1.0
 */
export const equals = (left: History, right: History): boolean =>
  (left.created === undefined || right.created === undefined
    ? left.created === right.created
    : Timestamp.equals(left.created, right.created)) &&
  texts.every((name) => (left[name] ?? "") === (right[name] ?? "")) &&
  (left.empty_layer ?? false) === (right.empty_layer ?? false)

/**
 * Puts an item's members into the order in which Go writes them, empty ones left out.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toEncodable = (self: History): Json.Plain => ({
  created: self.created === undefined ? undefined : Timestamp.format(self.created),
  created_by: Encode.text(self.created_by),
  author: Encode.text(self.author),
  comment: Encode.text(self.comment),
  empty_layer: self.empty_layer === true ? true : undefined
})

/**
 * Encodes a history as Go does.
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringify = (items: Items): string => Json.stringifyPlain(items === null ? null : items.map(toEncodable))
