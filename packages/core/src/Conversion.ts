/**
 * The conversion of an image's documents between OCI's media types and Docker's.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Hash } from "./Hash.ts"
import type { MediaTypes } from "./ImageWriter.ts"
import * as DocumentEdit from "./internal/documentEdit.ts"

/**
 * Error raised where a document cannot be converted: `found` is the media type that the other family has no name for, or what
 * else stands in the way.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConversionRefused
  extends Schema.TaggedError<ConversionRefused>("@effect-oci/core/ConversionRefused")("ConversionRefused", {
    digest: Digest.Digest,
    format: Schema.Literals(["oci", "docker"]),
    reason: Schema.Literals(["media-type", "artifact", "attestation", "embedded"]),
    found: Schema.String
  })
{
  override get message(): string {
    const family = this.format === "docker" ? "Docker" : "OCI"
    const found = JSON.stringify(this.found)
    const reasons = {
      "media-type": `there is no such type for ${found}`,
      artifact: `it is an artifact, which is told by ${found}`,
      attestation: `it lists an attestation of ${found}, which would not be true of the converted image`,
      embedded: `it holds a copy of ${found} in itself`
    }
    return `cannot give ${this.digest} media types of ${family}: ${reasons[this.reason]}`
  }
}

/**
 * A manifest or an index, as it was read.
 *
 * @category models
 * @since 0.1.0
 */
export type Document =
  & { readonly descriptor: Descriptor.Descriptor }
  & (
    | { readonly _tag: "Manifest"; readonly parsed: Json.Parsed<ImageManifest.ImageManifest> }
    | { readonly _tag: "Index"; readonly parsed: Json.Parsed<ImageIndex.ImageIndex> }
  )

/**
 * Makes the document of changed bytes.
 *
 * @category constructors
 * @since 0.1.0
 */
export const changed = (
  document: Document,
  mediaType: string,
  bytes: Uint8Array,
  hash: Hash["Service"]
): Result.Result<Document, Json.Problem> => {
  const hasher = hash.make(Digest.algorithm(document.descriptor.digest))
  hasher.update(bytes)
  const descriptor = { ...document.descriptor, mediaType, digest: hasher.digest(), size: bytes.length }
  return document._tag === "Manifest"
    ? Result.map(ImageManifest.parse(bytes), (parsed) => ({ _tag: "Manifest", descriptor, parsed }))
    : Result.map(ImageIndex.parse(bytes), (parsed) => ({ _tag: "Index", descriptor, parsed }))
}

/** What documents have become, by the digests that they had. */
type Done = ReadonlyMap<string, Descriptor.Descriptor>

type Refused = (reason: ConversionRefused["reason"], found: string) => ConversionRefused

const translate = (
  mediaType: string,
  format: MediaTypes,
  refused: Refused
): Result.Result<string, ConversionRefused> => {
  if (format === "oci") return Result.succeed(MediaType.toOci(mediaType))
  const docker = MediaType.toDocker(mediaType)
  return MediaType.isDocker(docker) ? Result.succeed(docker) : Result.fail(refused("media-type", mediaType))
}

const convertManifest = (
  document: Document & { readonly _tag: "Manifest" },
  format: MediaTypes,
  refused: Refused
): Result.Result<Uint8Array, ConversionRefused | Json.Problem> =>
  Result.gen(function*() {
    const { artifactType, config, layers, subject } = document.parsed.value
    const translated = new Map<string, string>()
    for (const { mediaType } of [config, ...layers]) {
      translated.set(mediaType, yield* translate(mediaType, format, refused))
    }
    if (format === "docker") {
      if (artifactType !== undefined) return yield* Result.fail(refused("artifact", artifactType))
      if (subject !== undefined) return yield* Result.fail(refused("artifact", "subject"))
    }
    return yield* DocumentEdit.manifest(
      document.parsed,
      yield* translate(document.descriptor.mediaType, format, refused),
      (descriptor) => ({ ...descriptor, mediaType: translated.get(descriptor.mediaType) ?? descriptor.mediaType })
    )
  })

const convertIndex = (
  document: Document & { readonly _tag: "Index" },
  format: MediaTypes,
  done: Done,
  refused: Refused
): Result.Result<Uint8Array, ConversionRefused | Json.Problem> =>
  Result.gen(function*() {
    const children = new Map<Descriptor.Descriptor, DocumentEdit.Replacement>()
    for (const child of document.parsed.value.manifests) {
      const converted = done.get(child.digest)
      const { digest, size } = converted ?? child
      const subject = child.annotations?.[Annotations.referenceDigest] ?? ""
      if ((done.get(subject)?.digest ?? subject) !== subject) {
        return yield* Result.fail(refused("attestation", subject))
      }
      if (child.data !== undefined && digest !== child.digest) {
        return yield* Result.fail(refused("embedded", child.digest))
      }
      children.set(child, { digest, size, mediaType: yield* translate(child.mediaType, format, refused) })
    }
    return yield* DocumentEdit.index(
      document.parsed,
      yield* translate(document.descriptor.mediaType, format, refused),
      (child) => children.get(child)
    )
  })

const namesType = (document: Document, mediaType: string): boolean =>
  document.descriptor.mediaType === mediaType && (document.parsed.value.mediaType ?? mediaType) === mediaType

/** Whether the types that a document gives are all of the family already. */
const isConverted = (document: Document, format: MediaTypes, done: Done) => {
  const translated = (mediaType: string) =>
    format === "docker" ? MediaType.toDocker(mediaType) : MediaType.toOci(mediaType)
  const named = document._tag === "Manifest"
    ? [document.parsed.value.config, ...document.parsed.value.layers]
    : document.parsed.value.manifests
  return namesType(document, translated(document.descriptor.mediaType)) &&
    named.every(({ digest, mediaType }) =>
      translated(mediaType) === mediaType &&
      (format === "oci" || MediaType.isDocker(mediaType) || Option.isNone(MediaType.find(mediaType))) &&
      (done.get(digest)?.digest ?? digest) === digest
    )
}

/**
 * Converts the documents of an image, of which those that are named come before those that name them. What has the right
 * types already stays as it is; elsewhere the media types, digests and sizes change, and not another byte.
 *
 * @category converting
 * @since 0.1.0
 */
export const convert = (
  documents: ReadonlyArray<Document>,
  format: MediaTypes,
  hash: Hash["Service"]
): Result.Result<ReadonlyArray<Document>, ConversionRefused | Json.Problem> =>
  Result.gen(function*() {
    const done = new Map<string, Descriptor.Descriptor>()
    const converted: Array<Document> = []
    for (const document of documents) {
      const { digest, mediaType } = document.descriptor
      const refused: Refused = (reason, found) => new ConversionRefused({ digest, format, reason, found })
      if (isConverted(document, format, done)) {
        converted.push(document)
        continue
      }
      const bytes = document._tag === "Manifest"
        ? yield* convertManifest(document, format, refused)
        : yield* convertIndex(document, format, done, refused)
      const next = yield* changed(document, yield* translate(mediaType, format, refused), bytes, hash)
      done.set(digest, next.descriptor)
      converted.push(next)
    }
    return converted
  })
