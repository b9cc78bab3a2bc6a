/** The golden vectors: their file format, and how a result is held against what they want. */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

export const Vector = Schema.Struct({
  id: Schema.String,
  suite: Schema.Literals(["seed2019", "buildkit2026"]),
  op: Schema.String,
  note: Schema.optionalKey(Schema.String),
  input: Schema.Record(Schema.String, Schema.Json),
  want: Schema.Record(Schema.String, Schema.Json)
})

export type Vector = typeof Vector.Type

/** An operation's result: the members that `want` lists, bytes in base64 and times as text. */
export type Outcome = Readonly<Record<string, unknown>>

/** Each operation decodes its own input, runs, and fails with whatever typed error the exporter has. */
export type Operation = (input: Vector["input"]) => Effect.Effect<Outcome, unknown>

/** Makes an operation from the schema of its input. An input that does not fit is a defect of the vectors. */
export const operation = <S extends Schema.Decoder<unknown>>(
  schema: S,
  run: (input: S["Type"]) => ReturnType<Operation>
): Operation =>
(input) => Schema.decodeUnknownEffect(schema)(input).pipe(Effect.orDie, Effect.flatMap(run))

/** The kinds of a refusal that the format knows, by what our errors say of themselves. */
const kindsOf = (error: unknown): ReadonlyArray<string> => {
  if (!Predicate.isObject(error) || !("_tag" in error)) return []
  const reason = "reason" in error ? error["reason"] : undefined
  switch (error["_tag"]) {
    case "InvalidJson":
      return reason === "syntax" || reason === "depth" ? ["syntax"] : ["not-i-json"]
    case "UnexpectedJson":
      return reason === "time" ? ["time"] : ["type"]
    case "NullConfig":
      return ["null"]
    case "MissingPlatform":
      return ["member" in error && error["member"] === "os" ? "missing-os" : "missing-arch"]
    case "ShortChain":
      return ["short-chain"]
    case "MissingDiffId":
      return ["missing-diff-id"]
    case "InvalidSubjectDigest":
      return ["digest"]
    default:
      return "cause" in error ? kindsOf(error["cause"]) : []
  }
}

const describe = (value: unknown): string => JSON.stringify(value) ?? "nothing"

/** Bytes are easier to compare for a reader when they are shown as the text that they are. */
const readable = (name: string, value: unknown): string =>
  name.endsWith("Base64") && typeof value === "string"
    ? Buffer.from(value, "base64").toString("utf8")
    : describe(value)

const equal = (left: unknown, right: unknown): boolean => {
  if (Array.isArray(left)) {
    return Array.isArray(right) && left.length === right.length &&
      left.every((item, index) => equal(item, right[index]))
  }
  if (!Predicate.isObject(left) || !Predicate.isObject(right) || Array.isArray(right)) return left === right
  const names = Object.keys(left)
  return names.length === Object.keys(right).length &&
    names.every((name) => Object.hasOwn(right, name) && equal(left[name], right[name]))
}

const compare = (want: Vector["want"], outcome: Outcome): ReadonlyArray<string> =>
  "refuse" in want
    ? [`expected a refusal (${describe(want["refuse"])}), found ${describe(outcome)}`]
    : Object.entries(want).flatMap(([name, expected]) =>
      equal(expected, outcome[name])
        ? []
        : [`${name}\n    expected ${readable(name, expected)}\n    found    ${readable(name, outcome[name])}`]
    )

const refusal = (want: Vector["want"], error: unknown): ReadonlyArray<string> => {
  const kinds = kindsOf(error)
  if (!Array.isArray(want["refuse"])) return [`expected a result, found ${describe(error)}`]
  return want["refuse"].some((kind) => typeof kind === "string" && kinds.includes(kind))
    ? []
    : [`expected a refusal as one of ${describe(want["refuse"])}, found ${describe(kinds)}: ${describe(error)}`]
}

/** Runs one vector and gives its differences: none is a pass. A defect is a difference, whatever was wanted. */
export const run = (
  vector: Vector,
  operations: Readonly<Record<string, Operation>>
): Effect.Effect<ReadonlyArray<string>> => {
  const operation = operations[vector.op]
  if (operation === undefined) return Effect.succeed([`the operation ${describe(vector.op)} is not known`])
  return operation(vector.input).pipe(
    Effect.match({
      onSuccess: (outcome) => compare(vector.want, outcome),
      onFailure: (error) => refusal(vector.want, error)
    }),
    Effect.catchDefect((defect) =>
      Effect.succeed([`a defect: ${Predicate.isError(defect) ? defect.stack : describe(defect)}`])
    )
  )
}
