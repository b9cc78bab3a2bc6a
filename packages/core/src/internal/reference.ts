/**
 * Descriptors as they stand in documents that may be wrong: read member by member, so that one fault hides no other.
 */
import * as Digest from "@effect-oci/schema/Digest"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Hash } from "../Hash.ts"
import * as Issue from "../Issue.ts"
import { asMembers, type Members, own } from "./documentCheck.ts"

/** A reference to a blob, and where it stands. */
export interface Reference {
  readonly at: Issue.Location
  readonly mediaType: string
  /** As it is written: it may be no digest. */
  readonly digestText: string
  /** Absent where there is none, or none that content can be checked by. */
  readonly digest: Digest.Digest | undefined
  /** In bytes; absent where there is no sensible one. */
  readonly size: number | undefined
  readonly data: unknown
  readonly annotations: Members
  readonly platform: Members
}

const text = (value: unknown): string => typeof value === "string" ? value : ""

/** Reads a descriptor, whatever it is. */
export const fromUnknown = (value: unknown, at: Issue.Location): Reference => {
  const members = asMembers(value)
  const size = own(members, "size")
  const digestText = text(own(members, "digest"))
  return {
    at,
    mediaType: text(own(members, "mediaType")),
    digestText,
    digest: Option.getOrUndefined(Result.getSuccess(Digest.parse(digestText))),
    size: typeof size === "number" && size >= 0 ? size : undefined,
    data: own(members, "data"),
    annotations: asMembers(own(members, "annotations")),
    platform: asMembers(own(members, "platform"))
  }
}

/** A reference that its blob can be found by. */
export type Findable = Reference & { readonly digest: Digest.Digest }

export const isFindable = (reference: Reference): reference is Findable => reference.digest !== undefined

/** Checks the content that a descriptor embeds. */
const embedded = (
  { at, data, size }: Reference,
  digest: Digest.Digest,
  hash: Hash["Service"]
): ReadonlyArray<Issue.Issue> => {
  const bytes = typeof data === "string" ? Option.getOrUndefined(Result.getSuccess(Base64.decode(data))) : undefined
  if (bytes === undefined) return []
  const hasher = hash.make(Digest.algorithm(digest))
  hasher.update(bytes)
  const found = hasher.digest()
  const mismatch = (expected: string, found: string) => [
    Issue.make(Issue.inside(at, "data"), { _tag: "DataMismatch", expected, found })
  ]
  if (found !== digest) return mismatch(digest, found)
  return size === undefined || size === bytes.length ? [] : mismatch(`${size} bytes`, `${bytes.length} bytes`)
}

/** Checks what a descriptor says by itself, as far as its schema does not. */
export const check = (reference: Reference, hash: Hash["Service"]): ReadonlyArray<Issue.Issue> => {
  if (reference.digest !== undefined) return embedded(reference, reference.digest, hash)
  return reference.digestText !== "" && Digest.isWellFormed(reference.digestText)
    ? [Issue.make(Issue.inside(reference.at, "digest"), { _tag: "UnsupportedDigest", digest: reference.digestText })]
    : []
}

/** Tells what is wrong with a reference's blob, at the member of the descriptor that is not true. */
export const outcome = (
  reference: Reference,
  read: Result.Result<{ readonly size: number }, Issue.Fact>
): ReadonlyArray<Issue.Issue> => {
  if (Result.isFailure(read)) {
    const member = read.failure._tag === "SizeMismatch" || read.failure._tag === "LimitExceeded" ? "size" : "digest"
    return [Issue.make(Issue.inside(reference.at, member), read.failure)]
  }
  const { size } = read.success
  return reference.size === undefined || reference.size === size
    ? []
    : [Issue.make(Issue.inside(reference.at, "size"), {
      _tag: "SizeMismatch",
      digest: reference.digestText,
      expected: reference.size,
      found: size
    })]
}
