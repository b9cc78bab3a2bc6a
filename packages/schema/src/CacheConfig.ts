/**
 * The config of a BuildKit build cache: which steps of builds it remembers, and which layers they made.
 *
 * Follows `cache/remotecache/v1` of BuildKit 0.34.
 *
 * @since 0.1.0
 */
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Digest from "./Digest.ts"
import { absent, decoder, element, integer, list, reader } from "./internal/decode.ts"
import * as Json from "./Json.ts"
import * as Timestamp from "./Timestamp.ts"

/**
 * The media type of the config.
 *
 * @category constants
 * @since 0.1.0
 */
export const mediaType = "application/vnd.buildkit.cacheconfig.v0"

/**
 * The member of an image's config that holds an inline cache: the JSON of its records, in base64.
 *
 * @category constants
 * @since 0.1.0
 */
export const inlineMember = "moby.buildkit.cache.v0"

/**
 * Schema for a layer of a cache: the digest of its blob, and the index of the layer below it in the same list.
 *
 * **Details**
 *
 * The lowest layer of a chain has the `parent` -1. An absent `parent` is 0, the first layer of the list: Go leaves zeros out.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheLayer = Schema.Struct({
  blob: Digest.Digest,
  parent: absent(integer)
})

/**
 * @category models
 * @since 0.1.0
 */
export type CacheLayer = typeof CacheLayer.Type

/**
 * Schema for a result of a step: `layer` is the index of its uppermost layer, which stands on all its parents. An absent one
 * is 0.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheResult = Schema.Struct({
  layer: absent(integer),
  createdAt: absent(Timestamp.FromString)
})

/**
 * @category models
 * @since 0.1.0
 */
export type CacheResult = typeof CacheResult.Type

/**
 * Schema for a result of a step whose layers are all named, lowest first, as those of a merge are.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheChain = Schema.Struct({
  layers: absent(Schema.Array(integer)),
  createdAt: absent(Timestamp.FromString)
})

/**
 * @category models
 * @since 0.1.0
 */
export type CacheChain = typeof CacheChain.Type

/**
 * Schema for a link from a step to one that it takes its input from, by its index among the records. An absent one is 0.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheInput = Schema.Struct({ link: absent(integer) })

/**
 * @category models
 * @since 0.1.0
 */
export type CacheInput = typeof CacheInput.Type

/**
 * Schema for what a cache remembers of a step: its results, and for each of its inputs the steps that it may come from.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheRecord = Schema.Struct({
  layers: absent(Schema.Array(CacheResult)),
  chains: absent(Schema.Array(CacheChain)),
  inputs: absent(Schema.Array(list(CacheInput)))
})

/**
 * @category models
 * @since 0.1.0
 */
export type CacheRecord = typeof CacheRecord.Type

/**
 * Schema for the config of a build cache.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CacheConfig = Schema.Struct({
  layers: absent(Schema.Array(CacheLayer)),
  records: absent(Schema.Array(CacheRecord))
})

/**
 * @category models
 * @since 0.1.0
 */
export type CacheConfig = typeof CacheConfig.Type

const recordNames = Json.names(["layers", "chains", "digest", "inputs"], {
  layers: Json.items(Json.names(["layer", "createdAt"])),
  chains: Json.items(Json.names(["layers", "createdAt"])),
  inputs: Json.items(Json.items(Json.names(["selector", "link"])))
})

const names = Json.names(["layers", "records"], {
  layers: Json.items(Json.names(["blob", "parent", "annotations"])),
  records: Json.items(recordNames)
})

/**
 * Reads the config of a build cache.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<CacheConfig>, Json.Problem> = reader(
  { document: "build cache", names },
  decoder(CacheConfig)
)

/**
 * Reads the records of an inline cache, from what stands in base64 in an image's config. `null` is an empty list.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseRecords: (
  bytes: Uint8Array
) => Result.Result<Json.Parsed<ReadonlyArray<CacheRecord>>, Json.Problem> = reader(
  { document: "inline build cache", names: Json.items(recordNames) },
  decoder(element(Schema.Array(CacheRecord), []))
)
