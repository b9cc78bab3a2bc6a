/**
 * Changes of manifests and indexes that leave every byte alone which they are not about: names, order, white space and
 * members that nobody knows stay as they were written.
 */
import * as Descriptor from "@effect-oci/schema/Descriptor"
import type { ImageIndex } from "@effect-oci/schema/ImageIndex"
import type { ImageManifest } from "@effect-oci/schema/ImageManifest"
import * as Json from "@effect-oci/schema/Json"
import * as Result from "effect/Result"

/** What a descriptor is to say instead. */
export type Replacement = Pick<Descriptor.Descriptor, "mediaType" | "digest" | "size">

/** Gives members of an object other values, as JSON text; one that is not there becomes the first. */
const withMembers = (document: Json.Document, changes: Readonly<Record<string, string>>): string => {
  const { members, text } = document
  let out = ""
  let at = 0
  for (const { end, name, start } of members) {
    const value = Object.hasOwn(changes, name) ? changes[name] : undefined
    if (value === undefined) continue
    out += text.slice(at, start) + value
    at = end
  }
  out += text.slice(at)
  const absent = Object.entries(changes).filter(([name]) => !members.some((member) => member.name === name))
  const brace = out.indexOf("{") + 1
  const added = absent.map(([name, value]) => `${JSON.stringify(name)}:${value}`)
  return added.length === 0 ? out : out.slice(0, brace) + [...added, out.slice(brace).trimStart()].join(",")
}

/** The text of a descriptor with what it says instead. It is part of a document that has been checked. */
const replaced = (text: string, { digest, mediaType, size }: Replacement): Result.Result<string, Json.Problem> =>
  Result.map(
    Json.parse(Json.toBytes(text), { document: "descriptor", names: Descriptor.names }),
    (document) =>
      withMembers(document, {
        mediaType: JSON.stringify(mediaType),
        digest: JSON.stringify(digest),
        size: String(size)
      })
  )

const isSame = (left: Replacement, right: Replacement): boolean =>
  left.mediaType === right.mediaType && left.digest === right.digest && left.size === right.size

/** The text of a list of descriptors; those that `change` leaves out are taken away. */
const list = (
  document: Json.Document,
  name: string,
  descriptors: ReadonlyArray<Descriptor.Descriptor>,
  change: (descriptor: Descriptor.Descriptor) => Replacement | undefined
): Result.Result<string, Json.Problem> =>
  Result.gen(function*() {
    const texts = Json.elements(Json.member(document, name) ?? "[]")
    const kept: Array<string> = []
    for (const [index, descriptor] of descriptors.entries()) {
      const text = texts[index] ?? "{}"
      const replacement = change(descriptor)
      if (replacement === undefined) continue
      kept.push(isSame(descriptor, replacement) ? text : yield* replaced(text, replacement))
    }
    return `[${kept.join(",")}]`
  })

const bytesOf = (document: Json.Document, changes: Readonly<Record<string, string>>): Uint8Array =>
  Json.toBytes(withMembers(document, changes))

/** A manifest with other media types. */
export const manifest = (
  { document, value }: Json.Parsed<ImageManifest>,
  mediaType: string,
  change: (descriptor: Descriptor.Descriptor) => Replacement
): Result.Result<Uint8Array, Json.Problem> =>
  Result.gen(function*() {
    const config = change(value.config)
    return bytesOf(document, {
      mediaType: JSON.stringify(mediaType),
      ...(isSame(value.config, config)
        ? {}
        : { config: yield* replaced(Json.member(document, "config") ?? "{}", config) }),
      ...(value.layers.every((layer) => isSame(layer, change(layer)))
        ? {}
        : { layers: yield* list(document, "layers", value.layers, change) })
    })
  })

/** An index with other descriptors in the place of those that it had, or without some of them. */
export const index = (
  { document, value }: Json.Parsed<ImageIndex>,
  mediaType: string | undefined,
  change: (descriptor: Descriptor.Descriptor) => Replacement | undefined
): Result.Result<Uint8Array, Json.Problem> =>
  Result.map(
    list(document, "manifests", value.manifests, change),
    (manifests) =>
      bytesOf(document, { ...(mediaType === undefined ? {} : { mediaType: JSON.stringify(mediaType) }), manifests })
  )
