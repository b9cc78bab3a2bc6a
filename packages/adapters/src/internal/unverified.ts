/**
 * The content of blobs as a store has it, for those who verify it themselves: a stream from `get` would be hashed twice.
 *
 * A piece that was lent belongs to whoever reads it, who may give it back.
 */
import type * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Stream from "effect/Stream"

export interface Source {
  /** What messages call the store. */
  readonly name: string
  readonly get: (blob: BlobStore.Blob) => Stream.Stream<Uint8Array, BlobStore.BlobStoreError>
}

const sources = new WeakMap<BlobStore.Store, Source>()

export const register = (store: BlobStore.Store, source: Source): void => void sources.set(store, source)

export const of = (store: BlobStore.Store): Source | undefined => sources.get(store)
