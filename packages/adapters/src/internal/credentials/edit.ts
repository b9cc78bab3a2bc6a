/**
 * Changes to a document of JSON that leave every other byte of it as it was.
 *
 * All texts are parts of a document that has been checked.
 */
import * as Json from "@effect-oci/schema/Json"
import * as Result from "effect/Result"

const isSpace = (text: string, at: number): boolean => " \n\r\t".includes(text.charAt(at) || "x")

const skipSpace = (text: string, at: number): number => {
  while (isSpace(text, at)) at++
  return at
}

const membersOf = (object: string): ReadonlyArray<Json.Member> =>
  Result.match(Json.parse(Json.toBytes(object)), { onFailure: () => [], onSuccess: ({ members }) => members })

/** How deep an object is in its document, and what one level is indented by: nothing where all is on one line. */
export interface Style {
  readonly depth: number
  readonly indent: string | undefined
}

/** The style of a document, or Docker's where it has none. */
export const styleOf = (document: string): Style => {
  const [, newline, indent] = /^\s*\{[ \t\r]*(\n?)[\n\r]*([ \t]*)/.exec(document) ?? []
  return { depth: 0, indent: membersOf(document).length === 0 ? "\t" : newline === "" ? undefined : indent || "\t" }
}

/** The style of a member's value. */
export const inside = ({ depth, indent }: Style): Style => ({ depth: depth + 1, indent })

const newline = ({ depth, indent }: Style): string => indent === undefined ? "" : `\n${indent.repeat(depth)}`

/** The white space before the first name of an object that has members. */
const leadOf = (object: string): string => {
  const from = object.indexOf("{") + 1
  return object.slice(from, skipSpace(object, from))
}

const added = (object: string, members: ReadonlyArray<Json.Member>, name: string, value: string, style: Style) => {
  const colon = style.indent === undefined ? ":" : ": "
  const member = `${JSON.stringify(name)}${colon}${value}`
  const last = members.at(-1)
  if (last === undefined) return `{${newline(inside(style))}${member}${newline(style)}}`
  return `${object.slice(0, last.end)},${leadOf(object)}${member}${object.slice(last.end)}`
}

const without = (object: string, members: ReadonlyArray<Json.Member>, index: number): string => {
  const [before, own, after] = [members[index - 1], members[index], members[index + 1]]
  if (own === undefined) return object
  if (before !== undefined) return object.slice(0, before.end) + object.slice(own.end)
  if (after === undefined) return "{}"
  const start = object.indexOf("{") + 1 + leadOf(object).length
  const comma = skipSpace(object, own.end)
  return object.slice(0, start) + object.slice(skipSpace(object, comma + 1))
}

/**
 * Gives a member of an object another value, adds it where there is none of that name, and takes it away where the new
 * value is `undefined`.
 */
export const member = (
  object: string,
  name: string,
  style: Style,
  change: (value: string | undefined) => string | undefined
): string => {
  const members = membersOf(object)
  const index = members.findIndex((member) => member.name === name)
  const own = members[index]
  const value = change(own === undefined ? undefined : object.slice(own.start, own.end))
  if (own === undefined) return value === undefined ? object : added(object, members, name, value, style)
  if (value === undefined) return without(object, members, index)
  return object.slice(0, own.start) + value + object.slice(own.end)
}

/** The names of an object's members. */
export const namesOf = (object: string): ReadonlyArray<string> => membersOf(object).map(({ name }) => name)

/** The text of an object, or of an empty one in the place of anything else. */
export const object = (value: string | undefined): string => value?.startsWith("{") === true ? value : "{}"
