/** What Go's `omitempty` leaves out: empty strings, empty lists and empty maps. */
import type * as Json from "../Json.ts"

export const text = (value: string | undefined): string | undefined => value === "" ? undefined : value

export const list = (value: ReadonlyArray<Json.Encodable> | undefined): ReadonlyArray<Json.Encodable> | undefined =>
  value === undefined || value.length === 0 ? undefined : value

/** A Go map of strings: its members are written in the order of their names. */
export const stringMap = (value: Readonly<Record<string, string>> | undefined): Json.Encodable => {
  const entries = Object.entries(value ?? {})
  return entries.length === 0 ? undefined : new Map(entries)
}
