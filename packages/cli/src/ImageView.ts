/**
 * An image as it is shown.
 *
 * @since 0.1.0
 */
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as History from "@effect-oci/schema/History"
import * as Json from "@effect-oci/schema/Json"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import type * as Image from "./Image.ts"
import * as Table from "./Table.ts"

const platform = ({ config, descriptor }: Image.Image): string => {
  const { architecture, os, variant } = config?.value ?? {}
  return architecture !== undefined && os !== undefined
    ? Platform.format({ architecture, os, ...(variant === undefined ? {} : { variant }) })
    : descriptor.platform === undefined
    ? ""
    : Platform.format(descriptor.platform)
}

const time = (timestamp: Timestamp.Timestamp | undefined): string =>
  timestamp === undefined ? "" : Timestamp.format(timestamp)

const number = (index: number | undefined): string => index === undefined ? "" : String(index)

const describeImage = (name: string, image: Image.Image): string => {
  const { config, descriptor, history, layers, manifest } = image
  const total = layers.reduce((sum, layer) => sum + layer.descriptor.size, 0)
  const facts = Table.format([
    ["image", name],
    ["digest", descriptor.digest],
    ["media type", descriptor.mediaType],
    ["platform", platform(image)],
    ["created", time(config?.value.created)],
    ["config", manifest.value.config.digest],
    ["layers", `${layers.length}, ${Table.size(total)}`]
  ])
  const encoders = layers.map((layer) => Descriptor.encoder(layer.descriptor))
  /** The column of the encoders is there where any is told. */
  const row = (cells: Table.Row, encoder: string): Table.Row =>
    encoders.every((encoder) => encoder === undefined) ? cells : [...cells, encoder]
  const layerTable = Table.format([
    row(["LAYER", "SIZE", "DIGEST", "MEDIA TYPE"], "ENCODER"),
    ...layers.map(({ descriptor }, index) =>
      row(
        [number(index), Table.size(descriptor.size), descriptor.digest, descriptor.mediaType],
        encoders[index] ?? ""
      )
    )
  ], [0, 1])
  const historyTable = Table.format([
    ["LAYER", "CREATED", "CREATED BY"],
    ...history.map(({ item, layer }) => [number(layer), time(item.created), item.created_by ?? item.comment ?? ""])
  ], [0])
  return [
    facts,
    ...(layers.length === 0 ? [] : [layerTable]),
    ...(history.length === 0 ? [] : [historyTable])
  ].join("\n\n")
}

const describeIndex = (name: string, { descriptor, index }: Image.Index): string => {
  const { manifests } = index.value
  const facts = Table.format([
    ["image", name],
    ["digest", descriptor.digest],
    ["media type", descriptor.mediaType],
    ["manifests", String(manifests.length)]
  ])
  const table = Table.format([
    ["PLATFORM", "SIZE", "DIGEST", "MEDIA TYPE"],
    ...manifests.map((manifest) => [
      manifest.platform === undefined ? "" : Platform.format(manifest.platform),
      Table.size(manifest.size),
      manifest.digest,
      manifest.mediaType
    ])
  ], [1])
  return [facts, ...(manifests.length === 0 ? [] : [table])].join("\n\n")
}

/**
 * What people see of an image: what it is, its layers, and its history, each item beside the number of its layer.
 *
 * @category formatting
 * @since 0.1.0
 */
export const describe = (name: string, image: Image.Image | Image.Index): string =>
  image._tag === "Image" ? describeImage(name, image) : describeIndex(name, image)

/** An object of members that are JSON already. Documents come in as they were written, but for the white space. */
const object = (members: Readonly<Record<string, string | undefined>>): string =>
  `{${Object.entries(members).flatMap(([name, text]) => text === undefined ? [] : [`"${name}":${text}`]).join(",")}}`

const text = (value: string | undefined): string | undefined => value === undefined ? undefined : JSON.stringify(value)

const list = (texts: ReadonlyArray<string>): string => `[${texts.join(",")}]`

/**
 * What programs see of an image, as one line of JSON: the documents, and beside them each layer with the index of its
 * item in the history, and each item with the index of its layer.
 *
 * @category formatting
 * @since 0.1.0
 */
export const toJson = (name: string, image: Image.Image | Image.Index): string => {
  const head = { image: JSON.stringify(name), descriptor: Json.stringify(Descriptor.toEncodable(image.descriptor)) }
  if (image._tag === "Index") return object({ ...head, index: Json.compact(image.index.document) })
  const { config, history, layers, manifest, misfit } = image
  return object({
    ...head,
    manifest: Json.compact(manifest.document),
    config: config === undefined ? undefined : Json.compact(config.document),
    layers: list(layers.map((layer) =>
      object({
        descriptor: Json.stringify(Descriptor.toEncodable(layer.descriptor)),
        diffId: text(layer.diffId),
        encoder: text(Descriptor.encoder(layer.descriptor)),
        history: layer.history === undefined ? undefined : String(layer.history)
      })
    )),
    history: list(history.map(({ item, layer }) =>
      object({
        item: Json.stringify(History.toEncodable(item)),
        layer: layer === undefined ? undefined : String(layer)
      })
    )),
    misfit: text(misfit)
  })
}
