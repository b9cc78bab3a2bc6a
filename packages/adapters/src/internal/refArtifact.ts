/**
 * Refs as OCI artifacts: the manifest and the document of one, and the tag that names it.
 */
import type { Blob } from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/** The type of the artifact, in its manifest. */
export const artifactType = "application/vnd.effect-oci.ref.v1"

/** The media type of a ref's document, which is the artifact's config. */
export const documentType = "application/vnd.effect-oci.ref.v1+json"

/** The type of what has the tag of a ref that was removed, where the tag could not be. */
export const removedType = "application/vnd.effect-oci.ref.removed.v1"

/** What stands where a manifest needs a layer or a config, and there is none. */
export const nothing: Uint8Array = Json.toBytes("{}")

const prefix = "ref."
const packedPrefix = "REF."
const longestTag = 128

const nameSymbols = "0123456789abcdefghijklmnopqrstuvwxyz._-"
const tagSymbols = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** Reads a text as a number whose digits are these symbols. */
const toNumber = (text: string, symbols: string, first: bigint): bigint =>
  [...text].reduce((number, symbol) => number * BigInt(symbols.length) + BigInt(symbols.indexOf(symbol)), first)

const toText = (number: bigint, symbols: string, last: bigint): string => {
  const base = BigInt(symbols.length)
  let text = ""
  for (let rest = number; rest > last; rest /= base) text = symbols.charAt(Number(rest % base)) + text
  return text
}

/**
 * Gives the tag of a ref. A name that makes no tag as it is, for its length or for separators side by side, is written with
 * more symbols: 128 of a name are 114 of a tag. The leading 1 keeps the zeros behind it.
 */
export const toTag = (name: string): string => {
  const tag = prefix + name
  return tag.length <= longestTag && ImageStore.isName(tag)
    ? tag
    : packedPrefix + toText(toNumber(name, nameSymbols, 1n), tagSymbols, 0n)
}

/** Gives the name of the ref that has a tag, if it is a ref's. */
export const fromTag = (tag: string): string | undefined => {
  const name = tag.startsWith(prefix)
    ? tag.slice(prefix.length)
    : tag.startsWith(packedPrefix) && tag.length <= longestTag
    ? toText(toNumber(tag.slice(packedPrefix.length), tagSymbols, 0n), nameSymbols, 1n)
    : ""
  return RefDocument.isName(name) && toTag(name) === tag ? name : undefined
}

/** The member of the document that pins the parent, by the descriptor of its artifact. */
const parentMember = "parentArtifact"

/**
 * Encodes the document of a ref. It has the ref's name, so that no two refs are one artifact: who removes the one would
 * remove the other in registries that remove by digest only.
 */
export const encodeDocument = (
  name: string,
  document: RefDocument.RefDocument,
  parent: Descriptor.Descriptor | undefined
): Uint8Array => {
  const pin = parent && { mediaType: parent.mediaType, digest: parent.digest, size: parent.size }
  const members = { name, [parentMember]: pin }
  const text = new TextDecoder().decode(RefDocument.encode(document))
  return Json.toBytes(Json.stringifyIndented(members).replace(/\n}$/, ",") + text.slice(1))
}

/** How large a document may be, in bytes, that the manifest carries along, so that one request reads a ref. */
const maxEmbedded = 16 * 1024

/** Encodes the manifest of a ref, on top of its document's blob. */
export const encodeManifest = (
  document: Uint8Array,
  { digest, size }: Blob,
  layer: Descriptor.Descriptor
): Uint8Array => {
  const data = size <= maxEmbedded ? { data: Base64.encode(document) } : {}
  return ImageManifest.encode({
    schemaVersion: 2,
    mediaType: MediaType.imageManifest,
    artifactType,
    config: { mediaType: documentType, digest, size, ...data },
    layers: [layer]
  })
}

/** Encodes what takes the place of a ref that was removed: always the same bytes, so that its digest tells it. */
export const encodeRemoved = (empty: Descriptor.Descriptor): Uint8Array =>
  ImageManifest.encode({
    schemaVersion: 2,
    mediaType: MediaType.imageManifest,
    artifactType: removedType,
    config: empty,
    layers: [empty]
  })

/** Reads the manifest of a ref. One of another artifact, or of an image, is a problem. */
export const parseManifest = (bytes: Uint8Array): Result.Result<ImageManifest.ImageManifest, Json.Problem> =>
  Result.flatMap(ImageManifest.parse(bytes), ({ document, value }) => {
    if (value.artifactType === artifactType) return Result.succeed(value)
    const start = document.members.find(({ name }) => name === "artifactType")?.start ?? 0
    return Result.fail(
      new Json.UnexpectedJson({
        document: document.name,
        reason: value.artifactType === undefined ? "missing" : "value",
        pointer: "/artifactType",
        ...Json.position(document.text, start),
        expected: JSON.stringify(artifactType),
        found: value.artifactType === undefined ? "nothing" : JSON.stringify(value.artifactType)
      })
    )
  })

/** What a descriptor carries along, not verified yet. */
export const embedded = ({ data }: Descriptor.Descriptor): Uint8Array | undefined =>
  data === undefined ? undefined : Option.getOrUndefined(Result.getSuccess(Base64.decode(data)))

/** What a document says: of the ref, and what it stands on, if that is pinned. */
export interface Parsed {
  readonly document: RefDocument.RefDocument
  readonly parent: Descriptor.Descriptor | undefined
}

/** Reads the document of a ref. */
export const parseDocument = (bytes: Uint8Array): Result.Result<Parsed, Json.Problem> =>
  Result.gen(function*() {
    const { document, value } = yield* RefDocument.parse(bytes)
    const text = Json.member(document, parentMember)
    if (text === undefined || text === "null") return { document: value, parent: undefined }
    return { document: value, parent: (yield* Descriptor.parse(Json.toBytes(text))).value }
  })
