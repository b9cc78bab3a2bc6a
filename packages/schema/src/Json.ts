/**
 * JSON as OCI documents need it: bytes that are I-JSON or an error, members that keep their spelling, and the encoding
 * that Go's `encoding/json` writes.
 *
 * A document is read in two steps. `parse` makes one linear scan that checks RFC 8259's grammar and the rules of I-JSON
 * (RFC 7493, which the image spec asks for in considerations.md), and finds the raw text of each outermost member. The
 * modules of the documents then decode what they know from it; what they do not know stays available as it was written.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { unquoted } from "./internal/quote.ts"
import * as Scan from "./internal/scan.ts"

/**
 * Largest size in bytes of a manifest, an index or a config: 4 MiB, the limit that registries and containers/image set.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxBytes = 4 * 1024 * 1024

/**
 * Deepest nesting that is read, in levels: Go's own limit.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxDepth: number = Scan.maxDepth

const place = { line: Schema.Natural, column: Schema.Natural }

/**
 * Error raised for bytes that are not I-JSON.
 *
 * **Details**
 *
 * `reason` tells the rule: `syntax` (RFC 8259's grammar, an empty document and trailing data included) and `depth` are
 * what Go refuses too; `invalid-utf8`, `byte-order-mark`, `lone-surrogate`, `duplicate-name` and `case-collision` are
 * the rules of RFC 7493 and the one against names that only Go's case folding would read. `line` and `column` count from
 * 1, columns in UTF-16 units; `pointer` is the JSON pointer (RFC 6901) of the innermost value that was begun and has not
 * ended there, or of the member whose name is refused.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidJson extends Schema.TaggedError<InvalidJson>("@effect-oci/schema/InvalidJson")("InvalidJson", {
  document: Schema.String,
  reason: Schema.Literals([
    "syntax",
    "depth",
    "invalid-utf8",
    "byte-order-mark",
    "lone-surrogate",
    "duplicate-name",
    "case-collision"
  ]),
  pointer: Schema.String,
  ...place,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    const rule = this.reason === "syntax" || this.reason === "depth" ? "JSON" : "I-JSON (RFC 7493)"
    const at = this.pointer === "" ? "" : ` in ${unquoted(this.pointer)}`
    return `the ${this.document} is not ${rule}: line ${this.line}, column ${this.column}${at}: ` +
      `expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised for a document that is larger than the limit, before anything of it is decoded.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitExceeded extends Schema.TaggedError<LimitExceeded>("@effect-oci/schema/LimitExceeded")(
  "LimitExceeded",
  { document: Schema.String, limit: Schema.Natural, size: Schema.Natural }
) {
  override get message(): string {
    return `the ${this.document} has ${this.size} bytes; at most ${this.limit} are read`
  }
}

/**
 * Error raised for JSON that does not have the shape of its document.
 *
 * **Details**
 *
 * `pointer` is a JSON pointer (RFC 6901), empty for the whole document; `line` and `column` count from 1. `reason` is
 * `type` for a value of another JSON type, `missing` for a member that has to be there, `time` for a string that is not an
 * RFC 3339 date-time, and `value` for one of the right type whose value breaks another rule.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnexpectedJson extends Schema.TaggedError<UnexpectedJson>("@effect-oci/schema/UnexpectedJson")(
  "UnexpectedJson",
  {
    document: Schema.String,
    reason: Schema.Literals(["type", "missing", "value", "time"]),
    pointer: Schema.String,
    ...place,
    expected: Schema.String,
    found: Schema.String
  }
) {
  override get message(): string {
    return `the ${this.document} is not valid: ${this.pointer === "" ? "the document" : unquoted(this.pointer)} ` +
      `(line ${this.line}, column ${this.column}): expected ${this.expected}, found ${this.found}`
  }
}

/**
 * The names that a document gives a meaning to, by place. A name that differs from one of them only by case is refused.
 *
 * @category models
 * @since 0.1.0
 */
export type Names = Scan.Names

/**
 * Makes the names of an object: those that are known, and what is known inside some of their values.
 *
 * **Example** (Naming the members of a document)
 *
 * ```ts
 * import * as Json from "@effect-oci/schema/Json"
 *
 * const names = Json.names(["os", "rootfs", "history"], {
 *   rootfs: Json.names(["type", "diff_ids"]),
 *   history: Json.items(Json.names(["created", "comment"]))
 * })
 * console.log(names.known.get("rootfs")) // rootfs
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const names = (known: ReadonlyArray<string>, inside: Readonly<Record<string, Names>> = {}): Names => ({
  exact: new Set(known),
  known: new Map(known.map((name) => [Scan.fold(name), name])),
  members: new Map(Object.entries(inside)),
  items: undefined
})

/**
 * Makes the names of a list from those of its elements.
 *
 * @category constructors
 * @since 0.1.0
 */
export const items = (element: Names): Names => ({
  exact: new Set(),
  known: new Map(),
  members: new Map(),
  items: element
})

/**
 * One member of a document's outermost object, with the range of its value in the document's text.
 *
 * @category models
 * @since 0.1.0
 */
export type Member = Scan.Member

/**
 * A document that has been checked to be I-JSON.
 *
 * **Details**
 *
 * `bytes` are the bytes that were read; they alone decide the document's digest. `members` is empty unless `kind` is
 * `object`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Document {
  readonly name: string
  readonly bytes: Uint8Array
  readonly text: string
  readonly kind: Scan.Scan["kind"]
  readonly members: ReadonlyArray<Member>
  /**
   * What `JSON.parse` would not read as Go does, and what to give it instead: numbers that are not written as integers of
   * 64 bits, and names with escapes.
   */
  readonly spellings: ReadonlyArray<Scan.Spelling>
}

/**
 * Any of the reasons why bytes are not a valid document.
 *
 * @category errors
 * @since 0.1.0
 */
export type Problem = InvalidJson | LimitExceeded | UnexpectedJson

/**
 * A document together with what its module knows of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parsed<A> {
  readonly document: Document
  readonly value: A
}

/**
 * What `parse` needs to know beside the bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface ParseOptions {
  /** What the document is, for messages: "image config". */
  readonly document?: string
  /** The names that the document gives a meaning to. */
  readonly names?: Names
  /** The largest size that is read, in bytes; `maxBytes` unless given. */
  readonly maxBytes?: number
}

const strictUtf8 = () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const decoder = strictUtf8()
const encoder = new TextEncoder()

const decodeUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** The longest prefix that is valid so far, by halving: only ever run for a document that is refused. */
const validPrefix = (bytes: Uint8Array): string => {
  let valid = 0
  let invalid = bytes.length + 1
  let prefix = ""
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >>> 1
    try {
      prefix = strictUtf8().decode(bytes.subarray(0, middle), { stream: true })
      valid = middle
    } catch {
      invalid = middle
    }
  }
  return prefix
}

/**
 * Finds the line and the column of an offset in a text, both from 1, columns in UTF-16 units.
 *
 * @category getters
 * @since 0.1.0
 */
export const position = (text: string, offset: number): { readonly line: number; readonly column: number } => {
  let line = 1
  let start = 0
  for (let end = text.indexOf("\n"); end >= 0 && end < offset; end = text.indexOf("\n", end + 1)) {
    line++
    start = end + 1
  }
  return { line, column: offset - start + 1 }
}

/**
 * Checks that bytes are one I-JSON document, and finds its outermost members.
 *
 * **Details**
 *
 * The time is linear in the bytes, and no input exhausts the stack. A fault of the syntax anywhere outranks a duplicate
 * name, a name's case or a lone surrogate before it. Follows RFC 8259, RFC 7493 and image-spec's considerations.md.
 *
 * **Example** (Reading a member as it was written)
 *
 * ```ts
 * import * as Json from "@effect-oci/schema/Json"
 * import * as Result from "effect/Result"
 *
 * const document = Result.getOrThrow(Json.parse(new TextEncoder().encode(`{"os":"linux","x-pi": 3.140}`)))
 * console.log(Json.member(document, "x-pi")) // 3.140
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (
  bytes: Uint8Array,
  options?: ParseOptions
): Result.Result<Document, InvalidJson | LimitExceeded> => {
  const name = options?.document ?? "document"
  const limit = options?.maxBytes ?? maxBytes
  if (bytes.length > limit) return Result.fail(new LimitExceeded({ document: name, limit, size: bytes.length }))
  const text = decodeUtf8(bytes)
  if (text === undefined) {
    const prefix = validPrefix(bytes)
    const byte = bytes[encoder.encode(prefix).length] ?? 0
    return Result.fail(
      new InvalidJson({
        document: name,
        reason: "invalid-utf8",
        pointer: "",
        ...position(prefix, prefix.length),
        expected: "UTF-8",
        found: `the byte 0x${byte.toString(16).padStart(2, "0")}`
      })
    )
  }
  if (text.startsWith("\ufeff")) {
    return Result.fail(
      new InvalidJson({
        document: name,
        reason: "byte-order-mark",
        pointer: "",
        line: 1,
        column: 1,
        expected: "a value",
        found: "a byte-order mark"
      })
    )
  }
  const scanned = Scan.scan(text, options?.names)
  if ("reason" in scanned) {
    const { offset, ...fault } = scanned
    return Result.fail(new InvalidJson({ document: name, ...fault, ...position(text, offset) }))
  }
  return Result.succeed({ name, bytes, text, ...scanned })
}

/**
 * Gets the raw text of an outermost member's value, as it was written.
 *
 * @category getters
 * @since 0.1.0
 */
export const member = (document: Document, name: string): string | undefined => {
  const found = document.members.find((member) => member.name === name)
  return found === undefined ? undefined : document.text.slice(found.start, found.end)
}

const htmlEscapes: Readonly<Record<string, string>> = {
  "<": "\\u003c",
  ">": "\\u003e",
  "&": "\\u0026",
  "\u2028": "\\u2028",
  "\u2029": "\\u2029"
}

const toHtmlEscape = (character: string): string => htmlEscapes[character] ?? character

/** In JSON text these characters stand inside strings only, so the whole text can be escaped at once. */
const escapeHtml = (text: string): string => text.replace(/[<>&\u2028\u2029]/g, toHtmlEscape)

const withoutSpace = (text: string): string => {
  let out = ""
  let start = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (inString) {
      if (code === 92) index++
      else if (code === 34) inString = false
    } else if (code === 34) {
      inString = true
    } else if (code === 32 || code === 10 || code === 13 || code === 9) {
      out += text.slice(start, index)
      start = index + 1
    }
  }
  return out + text.slice(start)
}

/**
 * Gets the text of a part of a document as `JSON.parse` may be given it.
 *
 * **Details**
 *
 * Numbers that are not written as integers of 64 bits, which no document of ours has a use for, become infinite, so that
 * no decoder of an integer takes `1.0` or `1e3` for one. Names lose the escapes that they do not need: V8 takes a name
 * with escapes for another that it has met before (nodejs/node#63785), and no name that we know needs any.
 *
 * @category decoding
 * @since 0.1.0
 */
export const textForParsing = (document: Document, start: number, end: number): string => {
  let text = ""
  let at = start
  for (const [from, to, instead] of document.spellings) {
    if (from >= at && to <= end) {
      text += document.text.slice(at, from) + instead
      at = to
    }
  }
  return text + document.text.slice(at, end)
}

/**
 * Gets the value of a document for a decoder: numbers that are not written as integers of 64 bits are infinite in it.
 *
 * @category decoding
 * @since 0.1.0
 */
export const toValue = (document: Document): unknown => JSON.parse(textForParsing(document, 0, document.text.length))

/**
 * Gets the value of an outermost member, as `toValue` gives it; `undefined` where there is none of that name.
 *
 * @category decoding
 * @since 0.1.0
 */
export const memberValue = (document: Document, name: string): unknown => {
  const found = document.members.find((member) => member.name === name)
  return found === undefined ? undefined : JSON.parse(textForParsing(document, found.start, found.end))
}

/**
 * Gets an outermost member as Go's encoder writes a raw message: compacted and HTML-escaped, but with its own escapes,
 * number spellings and member order.
 *
 * @category encoding
 * @since 0.1.0
 */
export const compactMember = (document: Document, member: Member): string => {
  const raw = document.text.slice(member.start, member.end)
  return escapeHtml(member.spaced ? withoutSpace(raw) : raw)
}

/**
 * Gets a whole document as Go's encoder writes a raw message.
 *
 * @category encoding
 * @since 0.1.0
 */
export const compact = (document: Document): string => escapeHtml(withoutSpace(document.text))

/**
 * Gets the elements of an array as they are written. `list` is the text of an array in a document that has been checked, such
 * as a member's.
 *
 * **Example** (Taking an array apart)
 *
 * ```ts
 * import * as Json from "@effect-oci/schema/Json"
 *
 * console.log(Json.elements(`[1.0, {"a": "],"}]`)) // [ '1.0', '{"a": "],"}' ]
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const elements = (list: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let depth = 0
  let start = 1
  for (let index = 0; index < list.length; index++) {
    const code = list.charCodeAt(index)
    if (code === 34) {
      index++
      while (list.charCodeAt(index) !== 34) index += list.charCodeAt(index) === 92 ? 2 : 1
    } else if (code === 123 || code === 91) {
      depth++
    } else if (code === 125 || code === 93) {
      depth--
    }
    if ((code === 44 && depth === 1) || depth === 0) {
      const text = list.slice(start, index).trim()
      if (text !== "") found.push(text)
      start = index + 1
    }
  }
  return found
}

/**
 * Orders strings by their UTF-8 bytes, as Go orders map keys. JavaScript's own order is by UTF-16 units, which differs
 * for characters beyond U+FFFF.
 *
 * @category comparisons
 * @since 0.1.0
 */
export const compareUtf8 = (left: string, right: string): number => {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a !== b) {
      const isSurrogateA = (a & 0xf800) === 0xd800
      const isSurrogateB = (b & 0xf800) === 0xd800
      return isSurrogateA === isSurrogateB ? a - b : isSurrogateA ? 1 : -1
    }
  }
  return left.length - right.length
}

/**
 * A value that can be encoded.
 *
 * **Details**
 *
 * An object is a Go struct: its members are written in the order that they stand in, `undefined` ones left out. A `Map`
 * is a Go map: its members are written in the order of their names' UTF-8 bytes.
 *
 * @category models
 * @since 0.1.0
 */
export type Encodable =
  | null
  | undefined
  | boolean
  | number
  | string
  | ReadonlyArray<Encodable>
  | ReadonlyMap<string, Encodable>
  | { readonly [name: string]: Encodable }

const isList = (value: Encodable): value is ReadonlyArray<Encodable> => Array.isArray(value)

/** Encodes a string, HTML aside; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD. */
const quote = (text: string): string =>
  // Most strings have nothing to escape.
  /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text.replace(/[\ud800-\udfff]/gu, "\ufffd"))

const write = (value: Encodable, newline: string, indent: string): string => {
  if (value === null || value === undefined) return "null"
  if (typeof value === "string") return quote(value)
  if (typeof value !== "object") return String(value)
  const inner = newline + indent
  let out = ""
  if (isList(value)) {
    for (const item of value) out += (out === "" ? inner : "," + inner) + write(item, inner, indent)
    return out === "" ? "[]" : "[" + out + newline + "]"
  }
  const colon = indent === "" ? ":" : ": "
  const members = value instanceof Map
    ? [...value.entries()].toSorted(([left], [right]) => compareUtf8(left, right))
    : Object.entries(value)
  for (const [name, member] of members) {
    if (member !== undefined) {
      out += (out === "" ? inner : "," + inner) + quote(name) + colon + write(member, inner, indent)
    }
  }
  return out === "" ? "{}" : "{" + out + newline + "}"
}

/**
 * Encodes a value as Go's `json.Marshal` does: compact, `<`, `>`, `&`, U+2028 and U+2029 escaped.
 *
 * **Example** (Encoding a map)
 *
 * ```ts
 * import * as Json from "@effect-oci/schema/Json"
 *
 * console.log(Json.stringify({ type: "layers", labels: new Map([["b", "<1>"], ["a", ""]]) }))
 * // {"type":"layers","labels":{"a":"","b":"\u003c1\u003e"}}
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringify = (value: Encodable): string => escapeHtml(write(value, "", ""))

/**
 * A value that holds no map: JavaScript's own encoder writes it in the order that it stands in.
 *
 * @category models
 * @since 0.1.0
 */
export type Plain = null | undefined | boolean | number | string | ReadonlyArray<Plain> | {
  readonly [name: string]: Plain
}

/**
 * Encodes a value without maps as `stringify` does, several times faster.
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringifyPlain = (value: Plain): string => {
  const text = JSON.stringify(value) ?? "null"
  // A lone surrogate is left to the slow way; a backslash before the escape only makes that way taken in vain.
  return /\\ud[89a-f]/.test(text) ? stringify(value) : escapeHtml(text)
}

/**
 * Encodes a value as Go's `json.MarshalIndent` with an indent of two spaces does, without a newline at the end: the form
 * of BuildKit's manifests and indexes.
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringifyIndented = (value: Encodable): string => escapeHtml(write(value, "\n", "  "))

/**
 * Encodes the members of an object whose values are JSON text already, in the order of their names' UTF-8 bytes: what
 * Go writes for a map of raw messages.
 *
 * @category encoding
 * @since 0.1.0
 */
export const stringifyMembers = (texts: ReadonlyMap<string, string>): string =>
  "{" +
  [...texts.entries()]
    .toSorted(([left], [right]) => compareUtf8(left, right))
    .map(([name, text]) => escapeHtml(quote(name)) + ":" + text)
    .join(",") +
  "}"

/**
 * Gets the bytes of a text in UTF-8.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toBytes = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text)
