/**
 * From a clean document to what its schema describes, or to problems that name their place.
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Json from "../Json.ts"
import { type Location, locator, type Step } from "./locate.ts"
import { excerpt } from "./quote.ts"
import * as Rule from "./rule.ts"

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
  Schema.makeFilter((value) => Number.isInteger(value) || Rule.integerText)
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

/** The reason stands before a colon in messages of our own hooks; a union's message is Effect's. */
const readMessage = (message: string): Pick<Rule.Fault, "reason" | "expected"> => {
  const [, reason, expected = ""] = /^(missing|type|value):([^]*)$/.exec(message) ?? []
  if (reason === undefined) return { reason: "type", expected: describe(message) }
  if (reason === "missing" || reason === "type") return { reason, expected }
  return { reason: expected === Rule.timeText ? "time" : "value", expected }
}

/** The first fault that a schema found, which stops at it. */
const toFault = (error: Schema.SchemaError): Rule.Fault => {
  const issue = format(error.issue).issues[0]
  const path = (issue?.path ?? []).map((step): Step => {
    const key = typeof step === "object" ? step.key : step
    return typeof key === "number" ? key : String(key)
  })
  return { path, ...readMessage(issue?.message ?? "value:another value") }
}

const found = (raw: string): string => raw.startsWith("{") ? "an object" : raw.startsWith("[") ? "a list" : excerpt(raw)

const toPointer = (path: ReadonlyArray<Step>): string =>
  path.map((step) => "/" + String(step).replaceAll("~", "~0").replaceAll("/", "~1")).join("")

const toProblem = (
  document: Json.Document,
  { expected, path, reason }: Rule.Fault,
  { column, end, line, start }: Location
): Json.UnexpectedJson =>
  new Json.UnexpectedJson({
    document: document.name,
    reason,
    pointer: toPointer(path),
    line,
    column,
    expected,
    found: reason === "missing" ? "nothing" : found(document.text.slice(start, end))
  })

/** Makes the problem of a place in a document. */
export const problem = (document: Json.Document, fault: Rule.Fault): Json.UnexpectedJson =>
  toProblem(document, fault, locator(document.text, [fault.path])(fault.path))

const problems = (document: Json.Document, faults: ReadonlyArray<Rule.Fault>): ReadonlyArray<Json.UnexpectedJson> => {
  if (faults.length === 0) return []
  const locate = locator(document.text, faults.map((fault) => fault.path))
  return faults.map((fault) => toProblem(document, fault, locate(fault.path)))
}

/** The value of a document for its decoder. An outermost member can be left out, which is decoded by itself. */
const valueOf = (document: Json.Document, without?: string): unknown => {
  const left = document.members.find((member) => member.name === without)
  if (left === undefined) return Json.toValue(document)
  return JSON.parse(
    Json.textForParsing(document, 0, left.start) + "null" +
      Json.textForParsing(document, left.end, document.text.length)
  )
}

/**
 * Makes a decoder of clean documents from the schema of their value, or of what is left of it without an outermost
 * member. Only the first problem is told.
 */
export const decoder = <S extends Schema.Decoder<unknown>>(schema: S, without?: string) => {
  const decode = Schema.decodeUnknownResult(schema)
  return (document: Json.Document): Result.Result<S["Type"], Json.UnexpectedJson> =>
    Result.mapError(decode(valueOf(document, without)), (error) => problem(document, toFault(error)))
}

/** Makes a reader of bytes from a decoder of clean documents. */
export const reader =
  <A>(options: Json.ParseOptions, decode: (document: Json.Document) => Result.Result<A, Json.UnexpectedJson>) =>
  (bytes: Uint8Array): Result.Result<Json.Parsed<A>, Json.Problem> =>
    Result.flatMap(
      Json.parse(bytes, options),
      (document) => Result.map(decode(document), (value) => ({ document, value }))
    )

/** Makes a strict check of bytes from the rule of their value. Every problem is told, up to a thousand. */
export const checker =
  (options: Json.ParseOptions, rule: Rule.Rule) => (bytes: Uint8Array): ReadonlyArray<Json.Problem> => {
    const document = Json.parse(bytes, options)
    return Result.isFailure(document)
      ? [document.failure]
      : problems(document.success, Rule.check(rule, valueOf(document.success)))
  }
