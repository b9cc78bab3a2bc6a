/** What a registry refuses, as distribution-spec says it: section Error Codes. */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Schema from "effect/Schema"

/** The codes of the specification, and the status that each comes with. */
const statuses = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_INVALID: 400,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_BLOB_UNKNOWN: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  SIZE_INVALID: 400,
  UNAUTHORIZED: 401,
  UNSUPPORTED: 405
} as const

export type Code = keyof typeof statuses

/** A request that is not served. `message` is for the client to show. */
export class Refusal extends Schema.TaggedError<Refusal>("@effect-oci/adapters/MemoryRegistry/Refusal")("Refusal", {
  status: Schema.Number,
  code: Schema.String,
  message: Schema.String,
  headers: Schema.Record(Schema.String, Schema.String)
}) {}

interface Answer {
  /** Where it is not the code's own. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

export const refusal = (code: Code, message: string, { headers = {}, status = statuses[code] }: Answer = {}): Refusal =>
  new Refusal({ status, code, message, headers })

export const refuse = (code: Code, message: string, answer?: Answer): Effect.Effect<never, Refusal> =>
  Effect.fail(refusal(code, message, answer))

export const toResponse = ({ code, headers, message, status }: Refusal): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ errors: [{ code, message }] }, { status, headers })
