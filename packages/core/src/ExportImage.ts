/**
 * The export of an image: from the names of refs to the descriptor of a manifest or an index.
 *
 * Follows `Commit` of BuildKit's `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import type * as History from "@effect-oci/schema/History"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import type * as Json from "@effect-oci/schema/Json"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Attestation from "./Attestation.ts"
import * as BlobStore from "./BlobStore.ts"
import * as CacheRef from "./CacheRef.ts"
import * as Compatibility from "./Compatibility.ts"
import * as ExportAnnotations from "./ExportAnnotations.ts"
import * as ExportConfig from "./ExportConfig.ts"
import * as HistoryRepair from "./HistoryRepair.ts"
import * as ImageWriter from "./ImageWriter.ts"
import * as LayerHistory from "./LayerHistory.ts"
import * as Progress from "./Progress.ts"
import * as RefMetadata from "./RefMetadata.ts"

/**
 * Error raised where a ref is exported whose source knows no layer of it.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayerUnknown extends Schema.TaggedError<LayerUnknown>("@effect-oci/core/LayerUnknown")("LayerUnknown", {
  ref: Schema.String
}) {
  override get message(): string {
    return `the ref ${JSON.stringify(this.ref)} has no layer: expected a descriptor and a diff ID from its source`
  }
}

/**
 * Error raised where a layer cannot be brought into the store that is exported to.
 *
 * @category errors
 * @since 0.1.0
 */
export class LayerFailed extends Schema.TaggedError<LayerFailed>("@effect-oci/core/LayerFailed")("LayerFailed", {
  ref: Schema.String,
  cause: BlobStore.BlobStoreError
}) {
  override get message(): string {
    return `failed to export the layer of the ref ${JSON.stringify(this.ref)}`
  }
}

/**
 * Error raised where an index of no image is exported.
 *
 * @category errors
 * @since 0.1.0
 */
export class NothingToExport extends Schema.TaggedError<NothingToExport>("@effect-oci/core/NothingToExport")(
  "NothingToExport",
  {}
) {
  override get message(): string {
    return "invalid empty platforms index for exporter: give at least one platform"
  }
}

/**
 * Error raised where attestations are exported with Docker's media types, which have no place for them.
 *
 * @category errors
 * @since 0.1.0
 */
export class AttestationsRefused
  extends Schema.TaggedError<AttestationsRefused>("@effect-oci/core/AttestationsRefused")("AttestationsRefused", {})
{
  override get message(): string {
    return "cannot export attestations with Docker media types: use OCI's, or leave the attestations out"
  }
}

/**
 * Error raised where an export fails. `ref` is the ref whose image failed, and absent where it is not one image's fault.
 * Nothing names what had been written by then.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExportFailed extends Schema.TaggedError<ExportFailed>("@effect-oci/core/ExportFailed")("ExportFailed", {
  ref: Schema.optionalKey(Schema.String),
  cause: Schema.Union([
    CacheRef.CacheRefError,
    LayerUnknown,
    LayerFailed,
    ExportConfig.BaseConfigFailed,
    ExportConfig.ParseHistoryFailed,
    ExportConfig.PatchFailed,
    HistoryRepair.HistoryMismatch,
    LayerHistory.ShortChain,
    ImageWriter.WriteFailed,
    ExportAnnotations.AnnotationRefused,
    Attestation.InvalidSubjectDigest,
    Attestation.InvalidPredicate,
    AttestationsRefused,
    NothingToExport
  ])
}) {
  override get message(): string {
    return this.ref === undefined
      ? "failed to export the image"
      : `failed to export the ref ${JSON.stringify(this.ref)}`
  }
}

type Failure = ExportFailed["cause"]

/**
 * What the image of one platform is made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Image {
  /** The name of the ref of the uppermost layer; without one the image has no layers, as `FROM scratch` has. */
  readonly ref?: string
  /** The platform in an index. Outside of one, a config that is handed in says its own. */
  readonly platform: Platform.Platform
  /** The bytes of the image's config; without them, or with none, it is the empty one of the platform. */
  readonly config?: Uint8Array
  /** The bytes of the base image's config: its history keeps its times under an epoch. */
  readonly baseConfig?: Uint8Array
  /** The records of an inline cache; `null` is written as `null`. */
  readonly inlineCache?: Uint8Array | null
  /** No time is written that is later; without one that of the whole export holds. */
  readonly epoch?: Timestamp.Timestamp
  readonly attestations?: ReadonlyArray<Attestation.Attestation>
}

/**
 * How images are exported.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly rules: Compatibility.Compatibility
  /** The repair of a history that does not fit its layers; the rules name one. */
  readonly repair?: HistoryRepair.Policy
  readonly epoch?: Timestamp.Timestamp
  /** Whose media types are written; OCI's unless Docker's are asked for. */
  readonly mediaTypes?: ImageWriter.MediaTypes
  readonly annotations?: ReadonlyArray<ExportAnnotations.ExportAnnotation>
  /** The form of attestation manifests; OCI's artifact unless Docker's is asked for. */
  readonly attestationForm?: Attestation.Form
  /** What attestations call the image of a platform: package URLs of the names that it is going to have. */
  readonly subjectNames?: (platform: Platform.Platform) => ReadonlyArray<string>
  /** Rules to compare with: the outcome tells which of them would have written something else. */
  readonly compareWith?: Compatibility.Rules
}

/**
 * An image that has been exported.
 *
 * @category models
 * @since 0.1.0
 */
export interface Exported {
  /** The descriptor of the manifest, with the image's platform, or of the index. */
  readonly descriptor: Descriptor.Descriptor
  /** The descriptors of the configs, in the order of the images. */
  readonly configs: ReadonlyArray<Descriptor.Descriptor>
  readonly warnings: ReadonlyArray<LayerHistory.UnaccountedLayers>
  /** What the repair changed in the histories; under `buildkit` nothing, whose additions the exporter's comment marks. */
  readonly changes: ReadonlyArray<HistoryRepair.Change>
  /** The rules to compare with that would have written something else. */
  readonly differingRules: ReadonlyArray<keyof Compatibility.Rules>
}

/** How many layers are copied at once. */
const concurrency = 4

interface ExportLayer extends CacheRef.Layer {
  readonly ref: string
}

/** What of an image its documents are made from: nothing here changes with the rules. */
interface Parts {
  readonly image: Image
  readonly config: Json.Document | undefined
  readonly base: ReadonlyArray<History.History>
  readonly chain: ReadonlyArray<CacheRef.Ref> | null
  readonly layers: ReadonlyArray<ExportLayer>
  readonly epoch: Timestamp.Timestamp | undefined
  readonly now: Timestamp.Timestamp
}

interface Made {
  readonly config: Uint8Array
  readonly warnings: ReadonlyArray<LayerHistory.UnaccountedLayers>
  readonly changes: ReadonlyArray<HistoryRepair.Change>
}

const layersOf = (chain: ReadonlyArray<CacheRef.Ref>): Result.Result<ReadonlyArray<ExportLayer>, LayerUnknown> => {
  const layers: Array<ExportLayer> = []
  for (const { layer, name } of chain) {
    if (layer === undefined) return Result.fail(new LayerUnknown({ ref: name }))
    layers.push({ ref: name, ...layer })
  }
  return Result.succeed(layers)
}

/** Acquires the refs of an image and reads what was handed in with it. */
const collect = (
  image: Image,
  settings: Settings
): Effect.Effect<Parts, Failure, CacheRef.CacheRef | Scope.Scope> =>
  Effect.gen(function*() {
    const base = yield* Effect.fromResult(ExportConfig.parseBase(image.baseConfig ?? new Uint8Array()))
    const config = image.config === undefined || image.config.length === 0
      ? undefined
      : yield* Effect.fromResult(ExportConfig.read(image.config))
    const source = yield* CacheRef.CacheRef
    const chain = image.ref === undefined ? null : yield* CacheRef.chain(yield* source.acquire(image.ref))
    return {
      image,
      config,
      base,
      chain,
      layers: yield* Effect.fromResult(layersOf(chain ?? [])),
      epoch: image.epoch ?? settings.epoch,
      now: Timestamp.fromNanoseconds(yield* Clock.currentTimeNanos)
    }
  })

/** Makes the config of an image under rules. Pure, so that it can be made under others for comparison. */
const makeConfig = (
  parts: Parts,
  rules: Compatibility.Compatibility,
  repair: HistoryRepair.Policy
): Result.Result<Made, Failure> =>
  Result.gen(function*() {
    const config = parts.config ?? (yield* ExportConfig.read(ExportConfig.empty(parts.image.platform, rules)))
    const layers = parts.layers.length
    const metadata = RefMetadata.fromChain(parts.chain, layers, rules, parts.now)
    const parsed = yield* ExportConfig.parseHistory(config)
    // What BuildKit does stands in `normalize`, which also warns of it.
    const repaired = repair === "buildkit"
      ? { history: parsed, changes: [] }
      : yield* HistoryRepair.run({ policy: repair, history: parsed, layers, metadata })
    const normalized = yield* LayerHistory.normalize({ history: repaired.history, layers, metadata, rules })
    const patched = yield* ExportConfig.patch(config, {
      diffIds: parts.layers.map((layer) => layer.diffId),
      history: normalized.history,
      rules,
      base: parts.base,
      ...(parts.epoch === undefined ? {} : { epoch: parts.epoch }),
      ...(parts.image.inlineCache === undefined ? {} : { inlineCache: parts.image.inlineCache })
    })
    return { config: patched, warnings: normalized.warnings, changes: repaired.changes }
  })

const isSame = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && left.every((byte, index) => byte === right[index])

/** The rules that would write other documents for an image, each taken by itself. */
const differingRules = (parts: Parts, made: Made, settings: Settings): ReadonlyArray<keyof Compatibility.Rules> => {
  const other = settings.compareWith
  if (other === undefined) return []
  return Compatibility.differences(settings.rules, other).filter((rule) => {
    const rules = Compatibility.withRule(settings.rules, rule, other)
    if (rule === "internalAnnotations" || rule === "encoderAnnotation") {
      return settings.mediaTypes !== "docker" &&
        parts.layers.some((layer) => annotationsOf(layer, settings.rules) !== annotationsOf(layer, rules))
    }
    const remade = makeConfig(parts, rules, settings.repair ?? rules.repair)
    return Result.isFailure(remade) || !isSame(made.config, remade.success.config)
  })
}

/** The annotations of a layer in a manifest, to be compared. */
const annotationsOf = (layer: ExportLayer, rules: Compatibility.Compatibility): string =>
  JSON.stringify(ImageWriter.layerOf("oci", rules)(ImageWriter.withEncoder(rules)(layer)).annotations ?? {})

/** Layers of one content, which is copied once. A size that is wrong does not hide behind one that is right. */
const distinct = (layers: ReadonlyArray<ExportLayer>): ReadonlyArray<ExportLayer> => {
  const byBlob = new Map<string, ExportLayer>()
  for (const layer of layers) {
    const blob = `${layer.descriptor.digest} ${layer.descriptor.size}`
    if (!byBlob.has(blob)) byBlob.set(blob, layer)
  }
  return [...byBlob.values()]
}

const copyingLayers = "exporting layers"

/** Brings a layer into a store, in whichever way is the fastest. */
const copyLayer = (
  { content, descriptor, source }: ExportLayer,
  store: BlobStore.Store,
  onRead: (bytes: number) => Effect.Effect<void>
): Effect.Effect<void, BlobStore.BlobStoreError> =>
  source === undefined
    ? Effect.asVoid(store.put(Stream.tap(content, ({ length }) => onRead(length)), descriptor))
    : BlobStore.transfer(descriptor, source, store, onRead)

/** Brings the layers into the store that it does not have. */
const copyLayers = Effect.fnUntraced(function*(layers: ReadonlyArray<ExportLayer>) {
  const store = yield* BlobStore.BlobStore
  const failed = (ref: string) => (cause: BlobStore.BlobStoreError) => new LayerFailed({ ref, cause })
  const missing = yield* Effect.filter(
    distinct(layers),
    ({ descriptor, ref }) => store.has(descriptor).pipe(Effect.map((has) => !has), Effect.mapError(failed(ref)))
  )
  if (missing.length === 0) return
  yield* Progress.counted(
    copyingLayers,
    (onRead) =>
      Effect.forEach(missing, (layer) => Effect.mapError(copyLayer(layer, store, onRead), failed(layer.ref)), {
        concurrency,
        discard: true
      }),
    { total: missing.reduce((sum, { descriptor }) => sum + descriptor.size, 0) }
  )
}, Progress.oneOff(copyingLayers))

/** The platform that a config names. */
const platformOf = (config: Json.Document | undefined): Platform.Platform | undefined => {
  if (config === undefined) return undefined
  const decoded = ImageConfig.decodeOci(config)
  if (Result.isFailure(decoded)) return undefined
  const { architecture, os, variant, "os.features": features, "os.version": version } = decoded.success
  if (architecture === undefined || architecture === "" || os === undefined || os === "") return undefined
  return {
    architecture,
    os,
    ...(version === undefined ? {} : { "os.version": version }),
    ...(features === undefined ? {} : { "os.features": features }),
    ...(variant === undefined ? {} : { variant })
  }
}

const exportOne = (image: Image, settings: Settings, isInIndex: boolean) =>
  Effect.scoped(Effect.gen(function*() {
    const mediaTypes = settings.mediaTypes ?? "oci"
    const parts = yield* collect(image, settings)
    const made = yield* Effect.fromResult(
      makeConfig(parts, settings.rules, settings.repair ?? settings.rules.repair)
    )
    yield* Effect.forEach(made.warnings, (warning) => Effect.logWarning(warning.message), { discard: true })
    yield* copyLayers(parts.layers)
    const levels = ExportAnnotations.forPlatform(settings.annotations ?? [], isInIndex ? image.platform : undefined)
    const written = yield* ImageWriter.write({
      config: made.config,
      layers: parts.layers.map((layer) =>
        ImageWriter.translateLayer(ImageWriter.withEncoder(settings.rules)(layer), mediaTypes)
      ),
      mediaTypes,
      rules: settings.rules,
      manifest: levels.manifest,
      manifestDescriptor: levels.manifestDescriptor
    })
    return {
      ...made,
      manifest: {
        ...written.manifest,
        platform: Platform.normalize((isInIndex ? undefined : platformOf(parts.config)) ?? image.platform)
      },
      configDescriptor: written.config,
      differingRules: differingRules(parts, made, settings)
    }
  })).pipe(Effect.mapError((cause) => failure(cause, image)))

const failure = (cause: Failure, image?: Image): ExportFailed =>
  new ExportFailed(image?.ref === undefined ? { cause } : { ref: image.ref, cause })

const digestSet = (digest: Digest.Digest) => ({ [Digest.algorithm(digest)]: Digest.encoded(digest) })

const attest = (image: Image, target: Descriptor.Descriptor, settings: Settings) =>
  Effect.gen(function*() {
    const names = settings.subjectNames?.(image.platform) ?? []
    const self = names.map((name) => ({ name, digest: digestSet(target.digest) }))
    const statements = yield* Effect.forEach(image.attestations ?? [], (attestation) =>
      Effect.fromResult(Attestation.statement(attestation, self)))
    return yield* Attestation.write({
      target,
      statements,
      form: settings.attestationForm ?? "oci-artifact",
      mediaTypes: settings.mediaTypes ?? "oci"
    })
  }).pipe(Effect.mapError((cause) =>
    failure(cause, image)
  ))

const hasAttestations = (image: Image): boolean => (image.attestations ?? []).length > 0

/**
 * Exports the images of several platforms as one index, in the order in which they are given, their attestations behind
 * them.
 *
 * @category running
 * @since 0.1.0
 */
export const runIndex = Effect.fn("ExportImage.runIndex")(function*(
  images: ReadonlyArray<Image>,
  settings: Settings
): Effect.fn.Return<Exported, ExportFailed, CacheRef.CacheRef | BlobStore.BlobStore> {
  const mediaTypes = settings.mediaTypes ?? "oci"
  const annotations = settings.annotations ?? []
  if (images.length === 0) return yield* failure(new NothingToExport())
  if (mediaTypes === "docker" && images.some(hasAttestations)) return yield* failure(new AttestationsRefused())
  const platforms = images.map((image) => image.platform)
  yield* Effect.fromResult(
    Result.mapError(
      ExportAnnotations.check(annotations, { platforms, mediaTypes, isIndex: true }),
      (cause) => failure(cause)
    )
  )
  const exported = yield* Effect.forEach(images, (image) => exportOne(image, settings, true))
  const attestations = yield* Effect.forEach(
    images.flatMap((image, index) => {
      const target = exported[index]?.manifest
      return target === undefined || !hasAttestations(image) ? [] : [{ image, target }]
    }),
    ({ image, target }) => attest(image, target, settings)
  )
  const levels = ExportAnnotations.forPlatform(annotations, undefined)
  const descriptor = yield* ImageWriter.writeIndex({
    manifests: [...exported.map((one) => one.manifest), ...attestations],
    mediaTypes,
    index: levels.index,
    indexDescriptor: levels.indexDescriptor
  }).pipe(Effect.mapError((cause) => failure(cause)))
  return {
    descriptor,
    configs: exported.map((one) => one.configDescriptor),
    warnings: exported.flatMap((one) => one.warnings),
    changes: exported.flatMap((one) => one.changes),
    differingRules: [...new Set(exported.flatMap((one) => one.differingRules))]
  }
})

/**
 * Exports an image to the store that is provided.
 *
 * **Details**
 *
 * All refs of the chain are held until the image is written, and released once, however it ends. The order is the
 * layers, then the config, then the manifest: whatever stops an export, no document in the store names another that is
 * not there. An image with attestations becomes an index, which has a place for them.
 *
 * **Example** (Exporting from any refs into any store)
 *
 * ```ts
 * import * as Compatibility from "@effect-oci/core/Compatibility"
 * import * as ExportImage from "@effect-oci/core/ExportImage"
 * import * as Effect from "effect/Effect"
 *
 * const program = ExportImage.run(
 *   { ref: "app", platform: { os: "linux", architecture: "amd64" } },
 *   { rules: Compatibility.standard }
 * ).pipe(
 *   Effect.map((image) => image.descriptor.digest),
 *   Effect.catchTag("ExportFailed", (error) => Effect.fail(`${error.message}: ${error.cause.message}`))
 * )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = Effect.fn("ExportImage.run")(function*(
  image: Image,
  settings: Settings
): Effect.fn.Return<Exported, ExportFailed, CacheRef.CacheRef | BlobStore.BlobStore> {
  if (hasAttestations(image)) return yield* runIndex([image], settings)
  yield* Effect.fromResult(
    Result.mapError(
      ExportAnnotations.check(settings.annotations ?? [], {
        platforms: [image.platform],
        mediaTypes: settings.mediaTypes ?? "oci",
        isIndex: false
      }),
      (cause) => failure(cause, image)
    )
  )
  const { changes, configDescriptor, differingRules, manifest, warnings } = yield* exportOne(image, settings, false)
  return { descriptor: manifest, configs: [configDescriptor], warnings, changes, differingRules }
})
