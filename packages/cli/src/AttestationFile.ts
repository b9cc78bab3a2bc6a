/**
 * Attestations that are handed in as files: SBOMs, provenance, whole in-toto statements.
 *
 * @since 0.1.0
 */
import type * as Attestation from "@effect-oci/core/Attestation"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Input from "./Input.ts"

/**
 * Error raised for a document that does not say what kind of predicate it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownPredicate
  extends Schema.TaggedError<UnknownPredicate>("@effect-oci/cli/UnknownPredicate")("UnknownPredicate", {
    path: Schema.String
  })
{
  override get message() {
    return `${this.path} does not say what it attests: expected an in-toto statement, an SPDX or CycloneDX document or an ` +
      `SLSA provenance predicate; name its type, as in --attest https://example.com/type=${this.path}`
  }
}

/**
 * Error raised for an attestation that is not valid JSON.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidAttestation
  extends Schema.TaggedError<InvalidAttestation>("@effect-oci/cli/InvalidAttestation")("InvalidAttestation", {
    path: Schema.String,
    cause: Schema.Union([Json.InvalidJson, Json.LimitExceeded])
  })
{
  override get message() {
    return `cannot read the attestation ${this.path}`
  }
}

/** As much as BuildKit takes. */
const limit = 40 * 1024 * 1024

const Statement = Schema.Struct({
  predicateType: Schema.String,
  subject: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Struct({
    name: Schema.optionalKey(Schema.String),
    digest: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
  }))))
})

const decodeStatement = Schema.decodeUnknownResult(Statement)

/** The types of predicates that a document can be told by, each by a member that it has. */
const types: ReadonlyArray<readonly [member: string, type: string]> = [
  ["spdxVersion", "https://spdx.dev/Document"],
  ["bomFormat", "https://cyclonedx.org/bom"],
  ["buildDefinition", "https://slsa.dev/provenance/v1"],
  ["buildType", "https://slsa.dev/provenance/v0.2"]
]

/** A whole statement: its predicate keeps its spelling, and its subjects are its own. */
const fromStatement = (document: Json.Document): Attestation.Attestation | undefined => {
  if (!(Json.member(document, "_type") ?? "").startsWith("\"https://in-toto.io/Statement/")) return undefined
  const statement = decodeStatement(Json.toValue(document))
  if (Result.isFailure(statement)) return undefined
  return {
    predicateType: statement.success.predicateType,
    predicate: Json.toBytes(Json.member(document, "predicate") ?? ""),
    subjects: (statement.success.subject ?? []).map((subject) => ({
      kind: "raw",
      name: subject.name ?? "",
      digests: Object.entries(subject.digest ?? {}).map(([algorithm, value]) => `${algorithm}:${value}`)
    }))
  }
}

/**
 * Reads an attestation: `FILE`, or `TYPE=FILE` where the document does not say itself what it is. TYPE is a URI.
 *
 * @category reading
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(text: string) {
  const [, type, path = text] = /^([a-z][a-z0-9+.-]*:[^=]*)=(.+)$/.exec(text) ?? []
  const bytes = yield* Input.read(path, "attestation", limit)
  if (type !== undefined) return { predicateType: type, predicate: bytes }
  const document = yield* Effect.fromResult(
    Result.mapError(
      Json.parse(bytes, { document: "attestation", maxBytes: limit }),
      (cause) => new InvalidAttestation({ path, cause })
    )
  )
  const statement = fromStatement(document)
  if (statement !== undefined) return statement
  const found = types.find(([member]) => Json.member(document, member) !== undefined)
  if (found === undefined) return yield* new UnknownPredicate({ path })
  return { predicateType: found[1], predicate: bytes }
})
