/**
 * The list of images in a layout's `index.json`. What is not changed keeps the bytes that it was written with.
 */
import { type Image, isNamed } from "@effect-oci/core/ImageStore"
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

/** Changes the list in an index's text. Each of its elements comes as it was written. */
const edit = (
  { document, value }: Json.Parsed<ImageIndex>,
  name: Option.Option<string>,
  change: (texts: ReadonlyArray<{ readonly text: string; readonly isNamed: boolean }>) => ReadonlyArray<string>
): string => {
  // There is one: an index without the member does not parse
  const { end, start } = document.members.find((member) => member.name === "manifests") ??
    { start: 0, end: document.text.length }
  const listed = images(value)
  const texts = Json.elements(document.text.slice(start, end))
  const list = change(texts.map((text, index) => {
    const image = listed[index]
    return { text, isNamed: image !== undefined && isNamed(image, name) }
  }))
  return document.text.slice(0, start) + "[" + list.join(",") + "]" + document.text.slice(end)
}

/** Puts an image into an index, in the place of those that had its name, and gives the new text. */
export const put = (
  index: Json.Parsed<ImageIndex>,
  name: Option.Option<string>,
  descriptor: Descriptor.Descriptor
): string => {
  const entry = Json.stringify(Descriptor.toEncodable(named(name, descriptor)))
  return edit(index, name, (texts) => {
    const first = texts.findIndex(({ isNamed }) => isNamed)
    const list = texts.flatMap(({ isNamed, text }, index) => index === first ? [entry] : isNamed ? [] : [text])
    return first < 0 ? [...list, entry] : list
  })
}

/** Takes the images of a name out of an index, and gives the new text. */
export const remove = (index: Json.Parsed<ImageIndex>, name: Option.Option<string>): string =>
  edit(index, name, (texts) => texts.flatMap(({ isNamed, text }) => isNamed ? [] : [text]))
