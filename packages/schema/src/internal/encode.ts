/** What Go's `omitempty` leaves out: empty strings and empty lists. */
import type * as Json from "../Json.ts"

export const text = (value: string | undefined): string | undefined => value === "" ? undefined : value

export const list = (value: ReadonlyArray<Json.Encodable> | undefined): ReadonlyArray<Json.Encodable> | undefined =>
  value === undefined || value.length === 0 ? undefined : value
