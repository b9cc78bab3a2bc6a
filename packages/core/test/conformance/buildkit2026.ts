/** The operations of the suite buildkit2026, on the exporter's functions under the preset buildkit-2026. */
import * as Attestation from "@effect-oci/core/Attestation"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as ImageWriter from "@effect-oci/core/ImageWriter"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as Annotations from "@effect-oci/schema/Annotations"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as SchemaHistory from "@effect-oci/schema/History"
import * as InTotoStatement from "@effect-oci/schema/InTotoStatement"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { chainOf, fromBase64, History, outcomeOf, recordingStore, Refs, toBase64 } from "./inputs.ts"
import { type Operation, operation } from "./Vector.ts"

const rules = Compatibility.buildkit2026

const mediaTypesOf = (oci: boolean | null | undefined): ImageWriter.MediaTypes => oci === true ? "oci" : "docker"

const absent = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

const Descs = absent(Schema.Array(Descriptor.Descriptor))

const Base64 = Schema.String

const Levels = absent(Schema.Struct({
  index: absent(Annotations.Annotations),
  indexDescriptor: absent(Annotations.Annotations),
  manifest: absent(Annotations.Annotations),
  manifestDescriptor: absent(Annotations.Annotations)
}))

const patchFields = {
  configBase64: Base64,
  descs: Descs,
  inlineCache: absent(Schema.Struct({ dataBase64: absent(Base64) })),
  epoch: absent(Timestamp.FromString),
  baseConfigBase64: absent(Base64)
}
const PatchInput = Schema.Struct({ ...patchFields, history: History })
const NormalizeInput = Schema.Struct({ descs: Descs, history: History, refs: Refs, oci: absent(Schema.Boolean) })
const ExportInput = Schema.Struct({
  ...patchFields,
  refs: Refs,
  oci: absent(Schema.Boolean),
  platform: absent(Schema.Record(Schema.String, Schema.Json)),
  annotations: Levels
})
const ManifestInput = Schema.Struct({
  configBase64: Base64,
  descs: Descs,
  annotations: Levels,
  oci: absent(Schema.Boolean)
})
const IndexInput = Schema.Struct({ descs: Descs, annotations: Levels, oci: absent(Schema.Boolean) })
const MapInput = Schema.Struct({ map: absent(Annotations.Annotations), oci: absent(Schema.Boolean) })
const MediaTypesInput = Schema.Struct({ mediaTypes: absent(Schema.Array(Schema.String)), oci: absent(Schema.Boolean) })
const Subject = Schema.Struct({ name: Schema.String, digest: absent(Schema.Record(Schema.String, Schema.String)) })
const subjectOf = ({ digest, name }: typeof Subject.Type): InTotoStatement.Subject => ({ name, digest: digest ?? null })
const StatementInput = Schema.Struct({
  contentBase64: absent(Base64),
  predicateType: Schema.String,
  subjects: absent(Schema.Array(Schema.Struct({
    kind: Schema.Literals(["self", "raw"]),
    name: absent(Schema.String),
    digests: absent(Schema.Array(Schema.String))
  }))),
  defaultSubjects: absent(Schema.Array(Subject))
})
const AttestationInput = Schema.Struct({
  target: Descriptor.Descriptor,
  statements: absent(Schema.Array(Schema.Struct({
    predicateType: Schema.String,
    subjects: absent(Schema.Array(Subject)),
    predicateBase64: absent(Base64)
  }))),
  ociArtifact: absent(Schema.Boolean),
  oci: absent(Schema.Boolean)
})
const ParseInput = Schema.Struct({ configBase64: Base64 })

/** A descriptor in the form of an outcome: Go's, without what is empty. */
const encodable = (descriptor: Descriptor.Descriptor) => JSON.parse(JSON.stringify(toPlain(descriptor)))

const toPlain = (descriptor: Descriptor.Descriptor) => ({
  ...descriptor,
  annotations: descriptor.annotations !== undefined && Object.keys(descriptor.annotations).length > 0
    ? descriptor.annotations
    : undefined
})

/** Platforms of the vectors may lack a part, which Go reads as empty. */
const platformOf = (input: typeof ExportInput.Type["platform"]) =>
  Schema.decodeUnknownEffect(Platform.Platform)({ architecture: "", os: "", ...input }).pipe(Effect.orDie)

const empty = (input: typeof ExportInput.Type["platform"]) =>
  Effect.map(platformOf(input), (platform) => ExportConfig.empty(platform, rules))

const baseOf = (config: string | null | undefined) =>
  Effect.fromResult(ExportConfig.parseBase(fromBase64(config ?? "")))

const patch = Effect.fnUntraced(function*(
  config: Uint8Array,
  base: ReadonlyArray<SchemaHistory.History>,
  input: Omit<typeof PatchInput.Type, "configBase64" | "baseConfigBase64">
) {
  const diffIds = yield* Effect.forEach(input.descs ?? [], (desc) => Effect.fromResult(Descriptor.diffId(desc)))
  const cache = input.inlineCache ?? undefined
  return yield* Effect.fromResult(ExportConfig.patch(config, {
    diffIds,
    history: input.history ?? null,
    rules,
    ...(input.epoch === null || input.epoch === undefined ? {} : { epoch: input.epoch }),
    base,
    ...(cache === undefined
      ? {}
      : { inlineCache: typeof cache.dataBase64 === "string" ? fromBase64(cache.dataBase64) : null })
  }))
})

const normalize = Effect.fnUntraced(function*(input: typeof NormalizeInput.Type) {
  const descs = input.descs ?? []
  const chain = yield* chainOf(input.refs)
  const metadata = yield* chain.metadata(descs.length, rules)
  const normalized = yield* Effect.fromResult(
    LayerHistory.normalize({ history: input.history ?? null, layers: descs.length, metadata, rules })
  )
  return {
    history: normalized.history,
    descs: descs.map((desc) => ImageWriter.translateLayer(desc, mediaTypesOf(input.oci))),
    releases: chain.allReleases(),
    warned: normalized.warnings.length > 0
  }
})

const writeManifest = Effect.fnUntraced(function*(
  config: Uint8Array,
  descs: ReadonlyArray<Descriptor.Descriptor>,
  annotations: typeof Levels.Type | undefined,
  oci: boolean | null | undefined
) {
  const store = recordingStore()
  const written = yield* ImageWriter.write({
    config,
    layers: descs,
    mediaTypes: mediaTypesOf(oci),
    rules,
    manifest: annotations?.manifest ?? undefined,
    manifestDescriptor: annotations?.manifestDescriptor ?? undefined
  }).pipe(Effect.provide(store.layer))
  return {
    outputBase64: toBase64(store.get(written.manifest.digest)),
    descriptor: encodable(written.manifest),
    configDescriptor: encodable(written.config)
  }
})

export const operations: Readonly<Record<string, Operation>> = {
  defaultImageConfig: operation(
    Schema.Struct({ platform: ExportInput.fields.platform }),
    (input) => Effect.map(empty(input.platform), (output) => ({ outputBase64: toBase64(output) }))
  ),

  parseHistory: operation(
    ParseInput,
    (input) => Effect.map(Effect.fromResult(ExportConfig.parseHistory(fromBase64(input.configBase64))), outcomeOf)
  ),

  patchImageConfig: operation(PatchInput, (input) =>
    Effect.gen(function*() {
      const base = yield* baseOf(input.baseConfigBase64)
      return { outputBase64: toBase64(yield* patch(fromBase64(input.configBase64), base, input)) }
    })),

  normalizeLayersAndHistory: operation(
    NormalizeInput,
    (input) =>
      Effect.map(normalize(input), ({ descs, history, releases, warned }) => ({
        descs: descs.length === 0 ? null : descs.map(encodable),
        ...outcomeOf(history),
        releases,
        warned
      }))
  ),

  removeInternalLayerAnnotations: operation(MapInput, ({ map, oci }) =>
    Effect.succeed({
      map: map === null || map === undefined || Object.keys(map).length === 0 || oci !== true
        ? null
        : Annotations.withoutInternal(map)
    })),

  convertMediaTypes: operation(MediaTypesInput, ({ mediaTypes, oci }) =>
    Effect.succeed({
      mediaTypes: (mediaTypes ?? []).map((type) => oci === true ? MediaType.toOci(type) : MediaType.toDocker(type))
    })),

  manifest: operation(
    ManifestInput,
    (input) => writeManifest(fromBase64(input.configBase64), input.descs ?? [], input.annotations, input.oci)
  ),

  index: operation(IndexInput, (input) =>
    Effect.gen(function*() {
      const store = recordingStore()
      const index = yield* ImageWriter.writeIndex({
        manifests: input.descs ?? [],
        mediaTypes: mediaTypesOf(input.oci),
        index: input.annotations?.index ?? undefined,
        indexDescriptor: input.annotations?.indexDescriptor ?? undefined
      }).pipe(Effect.provide(store.layer))
      return { outputBase64: toBase64(store.get(index.digest)), descriptor: encodable(index) }
    })),

  inTotoStatement: operation(StatementInput, (input) =>
    Effect.gen(function*() {
      const subjects = (input.subjects ?? []).map(({ digests, kind, name }) => ({
        kind,
        name: name ?? "",
        digests: digests ?? []
      }))
      const predicate = fromBase64(input.contentBase64 ?? "")
      const statement = yield* Effect.fromResult(
        Attestation.statement(
          { predicateType: input.predicateType, predicate, subjects },
          (input.defaultSubjects ?? []).map(subjectOf)
        )
      )
      return { outputBase64: toBase64(yield* Effect.fromResult(InTotoStatement.encode(statement))) }
    })),

  attestation: operation(AttestationInput, (input) =>
    Effect.gen(function*() {
      const store = recordingStore()
      const statements = (input.statements ?? []).map(({ predicateBase64, predicateType, subjects }) => ({
        predicateType,
        subjects: subjects?.map(subjectOf) ?? null,
        predicate: fromBase64(predicateBase64 ?? "")
      }))
      const descriptor = yield* Attestation.write({
        target: input.target,
        statements,
        form: input.ociArtifact === true ? "oci-artifact" : "docker",
        mediaTypes: mediaTypesOf(input.oci)
      }).pipe(Effect.provide(store.layer))
      // In the order of writing: the statements, the config, the manifest
      const blobs = store.written().map(toBase64)
      return {
        statementsBase64: statements.map((_, index) => blobs[index]),
        configBase64: blobs[statements.length],
        outputBase64: toBase64(store.get(descriptor.digest)),
        descriptor: encodable(descriptor)
      }
    })),

  export: operation(ExportInput, (input) =>
    Effect.gen(function*() {
      const base = yield* baseOf(input.baseConfigBase64)
      const given = fromBase64(input.configBase64)
      const config = given.length === 0 ? yield* empty(input.platform) : given
      const history = yield* Effect.fromResult(ExportConfig.parseHistory(config))
      const normalized = yield* normalize({ ...input, history })
      const patched = yield* patch(config, base, { ...input, descs: normalized.descs, history: normalized.history })
      return {
        configBase64: toBase64(patched),
        ...(yield* writeManifest(patched, normalized.descs, input.annotations, input.oci)),
        releases: normalized.releases,
        warned: normalized.warned
      }
    }))
}
