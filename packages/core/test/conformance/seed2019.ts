/** The operations of the suite seed2019, on the exporter's functions under the preset moby-2019. */
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as RefMetadata from "@effect-oci/core/RefMetadata"
import * as Digest from "@effect-oci/schema/Digest"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { chainOf, fromBase64, History, outcomeOf, Refs, release, toBase64 } from "./inputs.ts"
import { type Operation, operation } from "./Vector.ts"

const rules = Compatibility.moby2019

const DiffIds = Schema.optionalKey(Schema.NullOr(Schema.Array(Digest.Digest)))

const emptyInput = Schema.Struct({ goarch: Schema.String, goos: Schema.String })

const empty = (input: typeof emptyInput.Type) =>
  ExportConfig.empty({ architecture: input.goarch, os: input.goos }, rules)

const metadataInput = Schema.Struct({ limit: Schema.Number, now: Timestamp.FromString, refs: Refs })
const parseInput = Schema.Struct({ configBase64: Schema.String })
const patchInput = Schema.Struct({ configBase64: Schema.String, diffIds: DiffIds, history: History })
const normalizeInput = Schema.Struct({ diffIds: DiffIds, history: History, now: Timestamp.FromString, refs: Refs })
const exportInput = Schema.Struct({ ...emptyInput.fields, ...normalizeInput.fields, configBase64: Schema.String })

const normalize = Effect.fnUntraced(function*(input: {
  readonly diffIds?: typeof DiffIds.Type
  readonly history: LayerHistory.Normalized["history"]
  readonly now: Timestamp.Timestamp
  readonly refs?: typeof Refs.Type
}) {
  const chain = yield* chainOf(input.refs)
  const layers = input.diffIds?.length ?? 0
  const metadata = yield* RefMetadata.collect(chain.ref, layers, rules, input.now)
  const normalized = yield* Effect.fromResult(
    LayerHistory.normalize({ history: input.history, layers, metadata, rules })
  )
  return { ...normalized, releases: chain.releases() }
})

export const operations: Readonly<Record<string, Operation>> = {
  emptyImageConfig: operation(emptyInput, (input) => Effect.succeed({ outputBase64: toBase64(empty(input)) })),

  parseHistory: operation(parseInput, (input) =>
    Effect.map(
      Effect.fromResult(ExportConfig.parseHistory(fromBase64(input.configBase64))),
      outcomeOf
    )),

  patchImageConfig: operation(patchInput, (input) =>
    Effect.map(
      Effect.fromResult(ExportConfig.patch(fromBase64(input.configBase64), {
        diffIds: input.diffIds ?? [],
        history: input.history ?? null,
        rules
      })),
      (output) => ({ outputBase64: toBase64(output) })
    )),

  refMetadata: operation(metadataInput, (input) =>
    Effect.gen(function*() {
      const chain = yield* chainOf(input.refs)
      const metadata = yield* RefMetadata.collect(chain.ref, input.limit, rules, input.now)
      return { meta: metadata.length === 0 ? null : metadata.map(release), ...chain.releases() }
    })),

  normalizeLayersAndHistory: operation(
    normalizeInput,
    (input) =>
      Effect.map(normalize({ ...input, history: input.history ?? null }), ({ history, releases, warnings }) => ({
        diffIds: input.diffIds ?? null,
        ...outcomeOf(history),
        ...releases,
        warned: warnings.length > 0
      }))
  ),

  export: operation(exportInput, (input) =>
    Effect.gen(function*() {
      const given = fromBase64(input.configBase64)
      const config = given.length === 0 ? empty(input) : given
      const history = yield* Effect.fromResult(ExportConfig.parseHistory(config))
      const normalized = yield* normalize({ ...input, history })
      const output = yield* Effect.fromResult(
        ExportConfig.patch(config, { diffIds: input.diffIds ?? [], history: normalized.history, rules })
      )
      return {
        outputBase64: toBase64(output),
        digest: "sha256:" + createHash("sha256").update(output).digest("hex"),
        size: output.length,
        warned: normalized.warnings.length > 0,
        ...normalized.releases
      }
    }))
}
