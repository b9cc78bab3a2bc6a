/**
 * What is told of a ref.
 *
 * @since 0.1.0
 */
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as Digest from "@effect-oci/schema/Digest"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Table from "./Table.ts"

/**
 * A ref as `--json` prints it: what its document holds, under its name.
 *
 * @category models
 * @since 0.1.0
 */
export interface RefSummary {
  readonly name: string
  readonly parent?: string
  readonly description?: string
  readonly created?: string
  readonly layer?: Descriptor.Descriptor
  readonly diffId?: Digest.Digest
  readonly encoder?: string
  readonly origin?: string
}

/**
 * Summarises a ref that has been acquired, on top of the one of the name `parent`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromRef = (ref: CacheRef.Ref, parent: string | undefined): RefSummary => ({
  name: ref.name,
  ...(parent === undefined ? {} : { parent }),
  ...(ref.description === "" ? {} : { description: ref.description }),
  ...(ref.createdAt === undefined ? {} : { created: Timestamp.format(ref.createdAt) }),
  ...(ref.layer === undefined ? {} : RefDocument.ofLayer(ref.layer)),
  ...(ref.origin === undefined ? {} : { origin: ref.origin })
})

/**
 * Summarises a chain, base first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromChain = (chain: ReadonlyArray<CacheRef.Ref>): ReadonlyArray<RefSummary> =>
  chain.map((ref, index) => fromRef(ref, chain[index - 1]?.name))

/** A ref, or why there is only its name to tell. */
const read = (name: string) =>
  Effect.scoped(Effect.gen(function*() {
    const refs = yield* CacheRef.CacheRef
    const ref = yield* refs.acquire(name)
    const parent = yield* ref.parent
    return fromRef(ref, Option.getOrUndefined(Option.map(parent, ({ name }) => name)))
  })).pipe(Effect.catch((error) => Effect.as(Effect.logWarning(error.message), { name, error })))

/** How many refs are read at once. */
const concurrency = 16

/**
 * All refs of the store, by name. Of one that cannot be read there is only its name, with a warning.
 *
 * @category getters
 * @since 0.1.0
 */
export const all = Effect.flatMap(
  CacheRef.CacheRef.use((refs) => refs.list),
  (names) => Effect.forEach(names, (name) => read(name), { concurrency })
)

/**
 * The lines about one ref.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (self: RefSummary): string =>
  Table.format([
    ["name", self.name],
    ["parent", self.parent ?? ""],
    ["description", self.description ?? ""],
    ["created", self.created ?? ""],
    ["media type", self.layer?.mediaType ?? ""],
    ["size", self.layer === undefined ? "" : Table.exactSize(self.layer.size)],
    ["digest", self.layer?.digest ?? ""],
    ["diff ID", self.diffId ?? ""],
    ["encoder", self.encoder ?? ""],
    ...(self.origin === undefined ? [] : [["from", self.origin]])
  ])

/**
 * The row of a ref in a table with the columns {@link columns}.
 *
 * @category formatting
 * @since 0.1.0
 */
export const row = (self: RefSummary): Table.Row => [
  self.name,
  self.parent ?? "",
  self.created ?? "",
  self.layer === undefined ? "" : Table.size(self.layer.size),
  self.description ?? ""
]

/**
 * The heads of the columns of {@link row}.
 *
 * @category constants
 * @since 0.1.0
 */
export const columns: Table.Row = ["NAME", "PARENT", "CREATED", "SIZE", "DESCRIPTION"]

/**
 * Tells of refs in a table. Where any of them was imported, a column tells where from.
 *
 * @category formatting
 * @since 0.1.0
 */
export const table = (refs: ReadonlyArray<RefSummary>): string => {
  const isFromElsewhere = refs.some(({ origin }) => origin !== undefined)
  const withOrigin = (cells: Table.Row, origin: string): Table.Row =>
    isFromElsewhere ? [...cells.slice(0, -1), origin, ...cells.slice(-1)] : cells
  return Table.format(
    [withOrigin(columns, "FROM"), ...refs.map((ref) => withOrigin(row(ref), ref.origin ?? ""))],
    [3]
  )
}
