/**
 * The run-time settings of an image, changed as a Dockerfile's instructions change them. What is not changed keeps its
 * spelling; what is known stands in the order of Go's struct.
 */
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Json from "@effect-oci/schema/Json"
import * as Result from "effect/Result"

/** Members of an object by name, each as JSON text. */
export type Members = ReadonlyMap<string, string>

/** The settings, and whether the command among them is a new one. */
export interface Draft {
  readonly members: Members
  readonly hasCmd: boolean
}

type Known = keyof typeof ImageConfig.ContainerConfig.fields

/** The members of a document, each as Go writes a raw message again; of what is no object, none. */
export const membersOf = (document: Json.Document): Members =>
  new Map(document.members.map((member) => [member.name, Json.compactMember(document, member)]))

/** The members of an object that is a part of a document, by its text. */
export const partsOf = (text: string | undefined): Members =>
  Result.match(Json.parse(Json.toBytes(text ?? "{}"), { maxBytes: Number.MAX_SAFE_INTEGER }), {
    // A part of what has been read is I-JSON as well
    onFailure: () => new Map(),
    onSuccess: membersOf
  })

const set = (draft: Draft, name: Known, text: string | undefined): Draft => {
  const members = new Map(draft.members)
  if (text === undefined) members.delete(name)
  else members.set(name, text)
  return { ...draft, members }
}

/** Sets a text; Go leaves an empty one out. */
export const setText = (draft: Draft, name: Known, text: string): Draft =>
  set(draft, name, text === "" ? undefined : Json.stringify(text))

/** Sets a list; Go leaves an empty one out. */
export const setList = (draft: Draft, name: Known, list: ReadonlyArray<string>): Draft =>
  set(draft, name, list.length === 0 ? undefined : Json.stringify(list))

/** Sets a member to an object in the order in which its members are given. */
export const setObject = (draft: Draft, name: Known, members: Members): Draft => set(draft, name, encode(members, []))

/** Adds members to an object, or replaces them; Go writes a map sorted. */
export const merge = (draft: Draft, name: Known, texts: Members): Draft =>
  set(draft, name, Json.stringifyMembers(new Map([...partsOf(draft.members.get(name)), ...texts])))

/** A text; an absent one is empty. */
export const textOf = (draft: Draft, name: Known): string => {
  const value: unknown = JSON.parse(draft.members.get(name) ?? "null")
  return typeof value === "string" ? value : ""
}

/** A list of texts, of which `null` is an empty one. */
export const listOf = (draft: Draft, name: Known): ReadonlyArray<string> => {
  const value: unknown = JSON.parse(draft.members.get(name) ?? "null")
  return Array.isArray(value) ? value.map((text: unknown) => typeof text === "string" ? text : "") : []
}

const encode = (members: Members, order: ReadonlyArray<string>): string => {
  const names = [...order.filter((name) => members.has(name)), ...members.keys()]
  return `{${[...new Set(names)].map((name) => `${Json.stringify(name)}:${members.get(name)}`).join(",")}}`
}

/** Writes the settings: the members that are known as Go orders them, then the others as they stood. */
export const stringify = (members: Members): string => encode(members, Object.keys(ImageConfig.ContainerConfig.fields))
