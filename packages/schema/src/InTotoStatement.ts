/**
 * In-toto statements: what an attestation says, and of what.
 *
 * Follows the in-toto attestation framework's Statement, version 1, in the form that BuildKit writes.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Json from "./Json.ts"

/**
 * The media type of a statement.
 *
 * @category constants
 * @since 0.1.0
 */
export const mediaType = "application/vnd.in-toto+json"

/**
 * The type that a statement says to be of.
 *
 * @category constants
 * @since 0.1.0
 */
export const type = "https://in-toto.io/Statement/v1"

/**
 * What a statement is about: a name, and digests by algorithm. `null` digests are written as `null`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Subject {
  readonly name: string
  readonly digest: Readonly<Record<string, string>> | null
}

/**
 * A statement. `predicate` is the bytes of any JSON document, and none of them are `null`.
 *
 * @category models
 * @since 0.1.0
 */
export interface InTotoStatement {
  readonly predicateType: string
  readonly subjects: ReadonlyArray<Subject> | null
  readonly predicate: Uint8Array
}

/** Predicates are as large as BuildKit takes them. */
const maxBytes = 40 * 1024 * 1024

/**
 * Encodes a statement as BuildKit does: compact, the predicate with its own spelling of names, numbers and escapes.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (
  self: InTotoStatement
): Result.Result<Uint8Array<ArrayBuffer>, Json.InvalidJson | Json.LimitExceeded> =>
  Result.map(
    self.predicate.length === 0
      ? Result.succeed("null")
      : Result.map(Json.parse(self.predicate, { document: "predicate", maxBytes }), Json.compact),
    (predicate) => {
      const header = Json.stringify({
        _type: type,
        predicateType: self.predicateType,
        subject: self.subjects?.map(({ digest, name }) => ({
          name,
          digest: digest === null ? null : new Map(Object.entries(digest))
        })) ?? null
      })
      return Json.toBytes(`${header.slice(0, -1)},"predicate":${predicate}}`)
    }
  )
