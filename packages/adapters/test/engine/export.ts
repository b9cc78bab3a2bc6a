/** The engine's export undone and done again: what the frontend had handed over, and what we make of it. */
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as Digest from "@effect-oci/schema/Digest"
import * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Json from "@effect-oci/schema/Json"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Struct from "effect/Struct"
import type { CacheRecord } from "./engine.ts"

/** What the exporter of the engine was given. */
export interface Input {
  readonly config: Uint8Array
  readonly diffIds: ReadonlyArray<Digest.Digest>
  readonly inlineCache?: Uint8Array
}

const owned = new Set(["created", "history", "moby.buildkit.cache.v0", "rootfs"])

/**
 * Takes away from a config what the exporter added to it.
 *
 * **Details**
 *
 * The history that the frontend handed over is the base image's, as the base's own config has it, and its own new items,
 * which have no time. Members are handed over in another order than Go's, and with space.
 */
export const undo = (exported: Uint8Array, base: Uint8Array | undefined): Result.Result<Input, unknown> =>
  Result.gen(function*() {
    const document = yield* ExportConfig.read(exported)
    const { diffIds, inlineCache } = yield* Result.flatMap(
      ImageConfig.decode(document),
      ({ rootfs }) =>
        Result.gen(function*() {
          const records = Json.member(document, "moby.buildkit.cache.v0")
          return {
            diffIds: yield* Result.all((rootfs?.diff_ids ?? []).map(Digest.parse)),
            inlineCache: records === undefined ? undefined : yield* Base64.decode(JSON.parse(records))
          }
        })
    )
    const ofBase = base === undefined ? null : yield* ExportConfig.parseHistory(base)
    const history = yield* ExportConfig.parseHistory(document)
    const added = (history ?? [])
      .slice(ofBase?.length)
      .filter(({ comment }) => comment !== LayerHistory.exporterComment)
      .map(Struct.omit(["created"]))
    const members = [
      `"rootfs": {}`,
      `"history": ${History.stringify(ofBase === null && added.length === 0 ? null : [...ofBase ?? [], ...added])}`,
      ...document.members
        .filter(({ name }) => !owned.has(name))
        .map(({ end, name, start }) => `${JSON.stringify(name)}: ${document.text.slice(start, end)}`)
    ]
    return {
      config: Json.toBytes(`{\n  ${members.toReversed().join(",\n  ")}\n}\n`),
      diffIds,
      ...(inlineCache === undefined ? {} : { inlineCache })
    }
  })

const refOf = (records: ReadonlyArray<CacheRecord>): Option.Option<CacheRef.Ref> =>
  Option.map(Option.fromUndefinedOr(records.at(-1)), (record) => ({
    name: record.ID,
    description: record.Description,
    createdAt: record.CreatedAt,
    parent: Effect.sync(() => refOf(records.slice(0, -1)))
  }))

/** Exports a config as the rules say. */
export const redo = Effect.fnUntraced(function*(
  input: Input,
  records: ReadonlyArray<CacheRecord>,
  rules: Compatibility.Compatibility
) {
  const { config, ...patch } = input
  const layers = input.diffIds.length
  const metadata = yield* RefMetadata.collect(refOf(records), layers, rules, Timestamp.zero)
  const history = yield* Effect.fromResult(ExportConfig.parseHistory(config))
  const normalized = yield* Effect.fromResult(LayerHistory.normalize({ history, layers, metadata, rules }))
  return yield* Effect.fromResult(ExportConfig.patch(config, { ...patch, rules, history: normalized.history }))
})
