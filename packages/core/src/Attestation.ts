/**
 * Attestations: statements about an image, stored beside it.
 *
 * Follows BuildKit's `exporter/attestation/make.go` and `commitAttestationsManifest` of
 * `exporter/containerimage/writer.go`.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as Digest from "@effect-oci/schema/Digest"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as InTotoStatement from "@effect-oci/schema/InTotoStatement"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as BlobStore from "./BlobStore.ts"
import * as ImageWriter from "./ImageWriter.ts"

/**
 * Error raised where an entry of a subject's digests is not `algorithm:value`.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSubjectDigest
  extends Schema.TaggedError<InvalidSubjectDigest>("@effect-oci/core/InvalidSubjectDigest")("InvalidSubjectDigest", {
    subject: Schema.String,
    digest: Schema.String
  })
{
  override get message(): string {
    return `the subject ${JSON.stringify(this.subject)} has a digest without an algorithm: expected ` +
      `<algorithm>:<value>, found ${JSON.stringify(this.digest)}`
  }
}

/**
 * Error raised where the predicate of an attestation is not valid.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPredicate
  extends Schema.TaggedError<InvalidPredicate>("@effect-oci/core/InvalidPredicate")("InvalidPredicate", {
    predicateType: Schema.String,
    cause: Schema.Union([Json.InvalidJson, Json.LimitExceeded])
  })
{
  override get message(): string {
    return `failed to marshal the attestation ${JSON.stringify(this.predicateType)}`
  }
}

/**
 * Something that an attestation is about: the image itself, under its own names and perhaps one more, or something else
 * with digests of its own, `algorithm:value`.
 *
 * @category models
 * @since 0.1.0
 */
export type Subject =
  | { readonly kind: "self"; readonly name?: string }
  | { readonly kind: "raw"; readonly name?: string; readonly digests?: ReadonlyArray<string> }

/**
 * An attestation as a caller hands it in: `predicate` is the bytes of its JSON document, such as an SPDX or an SLSA
 * document. Without subjects it is about the image itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attestation {
  readonly predicateType: string
  readonly predicate: Uint8Array
  readonly subjects?: ReadonlyArray<Subject>
}

const digestsOf = (
  subject: string,
  digests: ReadonlyArray<string>
): Result.Result<Readonly<Record<string, string>>, InvalidSubjectDigest> => {
  const entries: Array<readonly [string, string]> = []
  for (const digest of digests) {
    const colon = digest.indexOf(":")
    if (colon < 0) return Result.fail(new InvalidSubjectDigest({ subject, digest }))
    entries.push([digest.slice(0, colon), digest.slice(colon + 1)])
  }
  return Result.succeed(Object.fromEntries(entries))
}

/**
 * Makes the statement of an attestation. `self` is what the image itself is called, with its digest.
 *
 * @category constructors
 * @since 0.1.0
 */
export const statement = (
  attestation: Attestation,
  self: ReadonlyArray<InTotoStatement.Subject>
): Result.Result<InTotoStatement.InTotoStatement, InvalidSubjectDigest> => {
  const { predicate, predicateType } = attestation
  const given = attestation.subjects ?? []
  const subjects: Array<InTotoStatement.Subject> = []
  const about: ReadonlyArray<Subject> = given.length === 0 ? [{ kind: "self" }] : given
  for (const subject of about) {
    const name = subject.name === undefined || subject.name === "" ? "_" : subject.name
    if (subject.kind === "self") {
      for (const own of self) subjects.push(own, ...(name === "_" ? [] : [{ ...own, name }]))
      continue
    }
    const digest = digestsOf(name, subject.digests ?? [])
    if (Result.isFailure(digest)) return Result.fail(digest.failure)
    subjects.push({ name, digest: digest.success })
  }
  return Result.succeed({ predicateType, predicate, subjects })
}

/**
 * The two forms of an attestation manifest: Docker's, which looks like an image of the platform `unknown/unknown`, and
 * OCI's artifact, which names its subject.
 *
 * @category models
 * @since 0.1.0
 */
export type Form = "docker" | "oci-artifact"

const artifactType = "application/vnd.docker.attestation.manifest.v1+json"

const emptyConfig = Json.toBytes("{}")

/** The config that makes Docker's form look like an image. */
const imageConfig = (diffIds: ReadonlyArray<Digest.Digest>): Uint8Array =>
  Json.toBytes(Json.stringify({
    architecture: "unknown",
    os: "unknown",
    config: {},
    rootfs: { type: "layers", diff_ids: diffIds.length === 0 ? null : diffIds }
  }))

/**
 * Writes statements about an image as one attestation manifest. Its descriptor says what it is and what it is about, and
 * belongs into the index beside the image's.
 *
 * @category combinators
 * @since 0.1.0
 */
export const write = Effect.fnUntraced(function*(attestations: {
  readonly target: Descriptor.Descriptor
  readonly statements: ReadonlyArray<InTotoStatement.InTotoStatement>
  readonly form: Form
  readonly mediaTypes: ImageWriter.MediaTypes
}): Effect.fn.Return<Descriptor.Descriptor, InvalidPredicate | ImageWriter.WriteFailed, BlobStore.BlobStore> {
  const { form, mediaTypes, statements, target } = attestations
  const isDocker = mediaTypes === "docker"
  const layers = yield* Effect.forEach(statements, (statement) =>
    Effect.gen(function*() {
      const { predicateType } = statement
      const bytes = yield* Effect.fromResult(
        Result.mapError(InTotoStatement.encode(statement), (cause) => new InvalidPredicate({ predicateType, cause }))
      )
      const layer = yield* ImageWriter.store("attestation", InTotoStatement.mediaType, bytes)
      return isDocker ? layer : { ...layer, annotations: { [Annotations.predicateType]: predicateType } }
    }))
  const config = form === "oci-artifact"
    ? { ...(yield* ImageWriter.store("config", MediaType.emptyJson, emptyConfig)), data: "e30=" }
    : yield* ImageWriter.store(
      "config",
      isDocker ? MediaType.dockerConfig : MediaType.imageConfig,
      imageConfig(layers.map((layer) => layer.digest))
    )
  const mediaType = isDocker ? MediaType.dockerManifest : MediaType.imageManifest
  const manifest = yield* ImageWriter.store(
    "attestation manifest",
    mediaType,
    ImageManifest.encode({
      schemaVersion: 2,
      mediaType,
      ...(form === "oci-artifact"
        ? { artifactType, subject: { mediaType: target.mediaType, digest: target.digest, size: target.size } }
        : {}),
      config,
      layers
    })
  )
  return {
    ...manifest,
    annotations: {
      [Annotations.referenceType]: "attestation-manifest",
      [Annotations.referenceDigest]: target.digest
    },
    platform: { architecture: "unknown", os: "unknown" }
  }
})
