/**
 * From a clean document to what its schema describes, or to problems that name their place.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Json from "../Json.ts"
import { locator, type Step } from "./locate.ts"

/** A member that may be absent, and that `null` leaves absent, as in Go. */
export const absent = <S extends Schema.Top>(schema: S) =>
  Schema.optionalKey(Schema.NullOr(schema)).pipe(
    Schema.decodeTo(Schema.optionalKey(Schema.toType(schema)), {
      decode: SchemaGetter.transformOptional((value: Option.Option<S["Type"] | null>) =>
        Option.filter(value, (present): present is S["Type"] => present !== null)
      ),
      encode: SchemaGetter.transformOptional((value: Option.Option<S["Type"]>) => value)
    })
  )

/** An element that `null` leaves empty, as in Go. */
export const element = <S extends Schema.Top>(schema: S, empty: S["Type"]) =>
  Schema.NullOr(schema).pipe(
    Schema.decodeTo(Schema.toType(schema), {
      decode: SchemaGetter.transform((value: S["Type"] | null) => value ?? empty),
      encode: SchemaGetter.transform((value: S["Type"]) => value)
    })
  )

/** A list that `null` leaves empty. */
export const list = <S extends Schema.Top>(schema: S) => element(Schema.Array(schema), [])

/** A list of strings, each of which `null` leaves empty. */
export const strings = Schema.Array(element(Schema.String, ""))

/** An integer of 64 bits: a number written in any other way has become infinite before it gets here. */
export const integer = Schema.Number.check(
  Schema.makeFilter((value) => Number.isInteger(value) || "an integer of 64 bits without fraction or exponent")
)

const described: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  boolean: "true or false",
  object: "an object",
  array: "a list",
  "object | array": "an object or a list"
}

/** Turns "Expected string | null" into "a string". */
const describe = (message: string): string => {
  const expected = message.replace(/^Expected /, "").replace(/ \| null$/, "")
  return described[expected] ?? expected
}

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (leaf) =>
    leaf._tag === "MissingKey"
      ? "missing:this member"
      : (leaf._tag === "InvalidType" ? "type:" : "value:") + describe(SchemaIssue.defaultLeafHook(leaf)),
  checkHook: (filter) => "value:" + describe(SchemaIssue.defaultCheckHook(filter) ?? "another value")
})

const found = (raw: string): string => {
  switch (raw[0]) {
    case "{":
      return "an object"
    case "[":
      return "a list"
    default:
      return raw.length <= 80 ? raw : raw.slice(0, 79) + "…"
  }
}

const pointerOf = (path: ReadonlyArray<Step>): string =>
  path.map((step) => "/" + String(step).replaceAll("~", "~0").replaceAll("/", "~1")).join("")

/** Makes problems of places in a document. */
const problemsOf = (document: Json.Document) => {
  const locate = locator(document.text)
  return (path: ReadonlyArray<Step>, reason: Json.UnexpectedJson["reason"], expected: string): Json.UnexpectedJson => {
    const { column, end, line, start } = locate(path)
    return new Json.UnexpectedJson({
      document: document.name,
      reason,
      pointer: pointerOf(path),
      line,
      column,
      expected,
      found: reason === "missing" ? "nothing" : found(document.text.slice(start, end))
    })
  }
}

/** Makes the problem of a place in a document. */
export const problem = (
  document: Json.Document,
  path: ReadonlyArray<Step>,
  reason: Json.UnexpectedJson["reason"],
  expected: string
): Json.UnexpectedJson => problemsOf(document)(path, reason, expected)

/** The reason stands before a colon in messages of our own hooks; a union's message is Effect's. */
const readMessage = (message: string): readonly [reason: Json.UnexpectedJson["reason"], expected: string] => {
  const [, reason, expected = ""] = /^(missing|type|value):([^]*)$/.exec(message) ?? []
  if (reason === undefined) return ["type", describe(message)]
  return [reason === "missing" || reason === "type" ? reason : expected === timeText ? "time" : "value", expected]
}

/** More problems than anybody reads are not told: a hostile document has one in every few bytes. */
const maxProblems = 1000

const problems = (document: Json.Document, error: Schema.SchemaError): ReadonlyArray<Json.UnexpectedJson> => {
  const make = problemsOf(document)
  return format(error.issue).issues.slice(0, maxProblems).map((issue) => {
    const path = (issue.path ?? []).map((step): Step => {
      const key = typeof step === "object" ? step.key : step
      return typeof key === "number" ? key : String(key)
    })
    return make(path, ...readMessage(issue.message))
  })
}

/** What a time has to look like, in messages. */
export const timeText = "a time as RFC 3339 writes it"

/**
 * The value of a document for its decoder: numbers that are not written as integers of 64 bits, which no document of
 * ours has a use for, become infinite, so that no decoder of an integer takes `1.0` or `1e3` for one. An outermost member
 * can be left out, which is decoded by itself.
 */
export const valueOf = (document: Json.Document, without?: string): unknown => {
  let text = ""
  let start = 0
  const replace = (from: number, to: number, by: string): void => {
    if (from < start) return
    text += document.text.slice(start, from) + by
    start = to
  }
  const left = document.members.find((member) => member.name === without)
  for (const [from, to] of document.numbers) {
    if (left !== undefined && from > left.start) replace(left.start, left.end, "null")
    replace(from, to, "1e999")
  }
  if (left !== undefined) replace(left.start, left.end, "null")
  return JSON.parse(text + document.text.slice(start))
}

/**
 * Makes a decoder of clean documents from the schema of their value, or of what is left of it without an outermost
 * member. Only the first problem is told.
 */
export const decoder = <S extends Schema.Decoder<unknown>>(schema: S, without?: string) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (document: Json.Document): Result.Result<S["Type"], Json.UnexpectedJson> =>
    Result.mapError(
      decode(valueOf(document, without)),
      (error) => problems(document, error)[0] ?? problem(document, [], "value", "another value")
    )
}

/** Makes a reader of bytes from the schema of their value. */
export const reader = <S extends Schema.Decoder<unknown>>(options: Json.ParseOptions, schema: S) => {
  const decode = decoder(schema)
  return (bytes: Uint8Array): Result.Result<Json.Parsed<S["Type"]>, Json.Problem> =>
    Result.flatMap(
      Json.parse(bytes, options),
      (document) => Result.map(decode(document), (value) => ({ document, value }))
    )
}

/** In a document that is larger than this, in UTF-16 units, only the first problem is looked for: all could be millions. */
const maxChecked = 1024 * 1024

/** Makes a strict check of bytes from the schema of their value. Every problem is told. */
export const checker = <S extends Schema.Decoder<unknown>>(options: Json.ParseOptions, schema: S) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (bytes: Uint8Array): ReadonlyArray<Json.Problem> => {
    const document = Json.parse(bytes, options)
    if (Result.isFailure(document)) return [document.failure]
    const errors = document.success.text.length <= maxChecked ? "all" : "first"
    const value = decode(valueOf(document.success), { errors })
    return Result.isSuccess(value) ? [] : problems(document.success, value.failure)
  }
}
