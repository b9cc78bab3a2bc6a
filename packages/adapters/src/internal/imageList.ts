/**
 * The list of images in a layout's `index.json`. What is not changed keeps the bytes that it was written with.
 */
import type { Image } from "@effect-oci/core/ImageStore"
import * as Annotations from "@effect-oci/schema/Annotations"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import type { ImageIndex } from "@effect-oci/schema/ImageIndex"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Option from "effect/Option"

/** The `index.json` of a layout without images. */
export const empty: Uint8Array = Json.toBytes(
  Json.stringify({ schemaVersion: 2, mediaType: MediaType.imageIndex, manifests: [] })
)

const nameOf = (descriptor: Descriptor.Descriptor): Option.Option<string> =>
  Option.fromUndefinedOr(descriptor.annotations?.[Annotations.refName])

/** Gives the images of an index; the name of each is taken from its annotation. */
export const images = (index: ImageIndex): ReadonlyArray<Image> =>
  index.manifests.map((descriptor) => ({ name: nameOf(descriptor), descriptor }))

/** Gives a descriptor the annotation of its name, or takes it away. */
export const named = (name: Option.Option<string>, descriptor: Descriptor.Descriptor): Descriptor.Descriptor => {
  const { annotations, ...rest } = descriptor
  const { [Annotations.refName]: _, ...others } = annotations ?? {}
  const kept = Option.isSome(name) ? { ...others, [Annotations.refName]: name.value } : others
  return Object.keys(kept).length === 0 ? rest : { ...rest, annotations: kept }
}

/** The texts of the elements of a list, which is JSON and not empty. */
const elements = (list: string): ReadonlyArray<string> => {
  const found: Array<string> = []
  let depth = 0
  let start = 1
  for (let index = 0; index < list.length; index++) {
    const character = list.charAt(index)
    if (character === "\"") {
      index++
      while (list.charAt(index) !== "\"") index += list.charAt(index) === "\\" ? 2 : 1
    } else if (character === "{" || character === "[") {
      depth++
    } else if (character === "}" || character === "]") {
      depth--
    }
    if ((character === "," && depth === 1) || depth === 0) {
      found.push(list.slice(start, index).trim())
      start = index + 1
    }
  }
  return found
}

/** Puts an image into an index, in the place of those that had its name, and gives the new text. */
export const put = (
  { document, value }: Json.Parsed<ImageIndex>,
  name: Option.Option<string>,
  descriptor: Descriptor.Descriptor
): string => {
  const entry = Json.stringify(Descriptor.toEncodable(named(name, descriptor)))
  // There is one: an index without the member does not parse
  const { end, start } = document.members.find((member) => member.name === "manifests") ??
    { start: 0, end: document.text.length }
  const texts = value.manifests.length === 0 ? [] : elements(document.text.slice(start, end))
  const isNamed = (index: number): boolean => {
    const found = value.manifests[index]
    return found !== undefined && Option.getOrNull(nameOf(found)) === Option.getOrNull(name)
  }
  const first = texts.findIndex((_, index) => isNamed(index))
  const list = texts.flatMap((text, index) => index === first ? [entry] : isNamed(index) ? [] : [text])
  const manifests = "[" + (first < 0 ? [...list, entry] : list).join(",") + "]"
  return document.text.slice(0, start) + manifests + document.text.slice(end)
}
