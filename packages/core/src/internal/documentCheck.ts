/**
 * Checks of one document by itself: I-JSON, the schema of its kind, and what is legal but odd.
 */
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageLayout from "@effect-oci/schema/ImageLayout"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Issue from "../Issue.ts"
import * as Ambiguity from "./ambiguity.ts"

/** The members of a document, as JSON has them: every use checks their types. */
export type Members = Readonly<Record<string, unknown>>

/** What is wrong with a document, and its members as far as it has any. */
export interface Checked {
  readonly members: Members
  readonly isJson: boolean
  readonly issues: ReadonlyArray<Issue.Issue>
}

export const isMembers = (value: unknown): value is Members => Predicate.isObject(value) && !Array.isArray(value)

export const asMembers = (value: unknown): Members => isMembers(value) ? value : {}

export const asList = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

/** A member of an object that may have any name, `__proto__` too. */
export const own = (members: Members, name: string): unknown => Object.hasOwn(members, name) ? members[name] : undefined

/** Where Docker and Go write `null` in the place of something empty, and every reader takes it for that. */
const mayBeNull =
  /^\/(?:manifests|rootfs\/diff_ids|config\/(?:ExposedPorts|Volumes|Labels)\/[^/]*|(?:.*\/)?annotations\/[^/]*)$/

/** Tells what a problem of a document is about. */
export const toFact = (problem: Json.Problem): Issue.Fact => {
  if (problem._tag === "LimitExceeded") {
    return { _tag: "LimitExceeded", what: "bytes", limit: problem.limit, found: problem.size }
  }
  const { column, expected, found, line } = problem
  if (problem._tag === "InvalidJson") return { _tag: "InvalidJson", line, column, expected, found }
  const { pointer } = problem
  if (pointer === "/layers" && (found === "null" || problem.reason === "value")) return { _tag: "NoLayers" }
  if (found === "null" && mayBeNull.test(pointer)) return { _tag: "NullMember" }
  if ((pointer === "/os" || pointer === "/architecture") && (found === "null" || problem.reason === "missing")) {
    return { _tag: "MissingPlatform", member: pointer === "/os" ? "os" : "architecture" }
  }
  return { _tag: "UnexpectedJson", line, column, expected, found }
}

/** The places of `null` in members that have a meaning. What has none is nobody's business here. */
const nulls = (value: unknown, names: Json.Names, at: Issue.Location): ReadonlyArray<Issue.Location> => {
  if (Array.isArray(value)) {
    const element = names.items
    return element === undefined ? [] : value.flatMap((item, index) => nulls(item, element, Issue.inside(at, index)))
  }
  const members = asMembers(value)
  return Object.keys(members).filter((name) => names.exact.has(name)).flatMap((name) => {
    const within = Issue.inside(at, name)
    if (members[name] === null) return [within]
    const known = names.members.get(name)
    return known === undefined ? [] : nulls(members[name], known, within)
  })
}

const issuesOf = (path: string, problems: ReadonlyArray<Json.Problem>): ReadonlyArray<Issue.Issue> =>
  problems.map((problem) =>
    Issue.make({ path, pointer: problem._tag === "LimitExceeded" ? "" : problem.pointer }, toFact(problem))
  )

/** Checks the file `oci-layout`. */
export const layout = (path: string, bytes: Uint8Array): ReadonlyArray<Issue.Issue> =>
  issuesOf(path, ImageLayout.check(bytes))

/** Checks a document by its schema, and gives its members unless it is not JSON at all. */
const checkWith = (
  check: (bytes: Uint8Array) => ReadonlyArray<Json.Problem>,
  names: Json.Names
) =>
(path: string, bytes: Uint8Array): Checked => {
  const issues = issuesOf(path, check(bytes))
  const document = Json.parse(bytes)
  if (Result.isFailure(document)) return { members: {}, isJson: false, issues }
  const value = Json.toValue(document.success)
  const told = new Set(issues.map((issue) => issue.pointer))
  const odd = nulls(value, names, { path, pointer: "" }).filter(({ pointer }) => !told.has(pointer))
  return {
    members: asMembers(value),
    isJson: true,
    issues: [...issues, ...odd.map((at) => Issue.make(at, { _tag: "NullMember" }))]
  }
}

const checkManifest = checkWith(ImageManifest.check, ImageManifest.names)
const checkIndex = checkWith(ImageIndex.check, ImageIndex.names)
const checkConfig = checkWith(ImageConfig.check, ImageConfig.names)

const ownMediaType = (bytes: Uint8Array): unknown => {
  const document = Json.parse(bytes)
  const text = Result.isSuccess(document) ? Json.member(document.success, "mediaType") : undefined
  return text === undefined ? undefined : JSON.parse(text)
}

/** A manifest or an index that has been checked. */
export interface Lister extends Checked {
  readonly kind: Ambiguity.Kind
  readonly mediaType: string
}

/**
 * Checks a manifest or an index. Its own media type tells the kind, where it is known, and the descriptor's does
 * otherwise. `expected` is the descriptor's; a layout's `index.json` has none.
 */
export const lister = (path: string, bytes: Uint8Array, expected: string | undefined): Lister => {
  const given = ownMediaType(bytes)
  const wanted = expected ?? MediaType.imageIndex
  const kind = Ambiguity.kindOf(given) ?? Ambiguity.kindOf(wanted) ?? "manifest"
  const checked = (kind === "manifest" ? checkManifest : checkIndex)(path, bytes)
  const at = { path, pointer: "" }
  const issues = [...checked.issues]
  const mediaTypeAt = Issue.inside(at, "mediaType")
  if (typeof given === "string" && given !== wanted) {
    issues.push(Issue.make(mediaTypeAt, { _tag: "MediaTypeMismatch", expected: wanted, found: given }))
  } else if (given === undefined && expected !== undefined && checked.isJson) {
    issues.push(Issue.make(mediaTypeAt, { _tag: "MissingMediaType", expected }))
  }
  for (const member of Object.keys(checked.members)) {
    if (!Ambiguity.isForeign(kind, member)) continue
    issues.push(Issue.make(Issue.inside(at, member), { _tag: "AmbiguousDocument", kind, member }))
  }
  return { ...checked, issues, kind, mediaType: Ambiguity.kindOf(given) === undefined ? wanted : String(given) }
}

/** Checks a config. An empty platform is how Go writes one that is not there. */
export const config = (path: string, bytes: Uint8Array): Checked => {
  const checked = checkConfig(path, bytes)
  const empty = (["architecture", "os"] as const).filter((member) => checked.members[member] === "")
  return {
    ...checked,
    issues: [
      ...checked.issues,
      ...empty.map((member) => Issue.make({ path, pointer: `/${member}` }, { _tag: "MissingPlatform", member }))
    ]
  }
}
