/**
 * Why the digests of two images differ, down to the member of a document and to the layer.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Image, ImageTree, Index } from "./ImageTree.ts"
import * as Cause from "./internal/differenceCause.ts"
import * as JsonTree from "./internal/jsonTree.ts"

/**
 * What would make two images equal.
 *
 * **Details**
 *
 * - `epoch`: times that are later than one of both are clamped, as `SOURCE_DATE_EPOCH` does it.
 * - `utc`: times are written in UTC, as the preset `effect-oci-1` does it.
 * - `compression`: layers are compressed in the same format.
 * - `encoder`: layers are compressed by the same version of the same encoder, with the same settings.
 * - `media-types`: both use OCI's media types, or both Docker's.
 *
 * @category models
 * @since 0.1.0
 */
export type Rule = "epoch" | "utc" | "compression" | "encoder" | "media-types"

/**
 * Something that two images differ in.
 *
 * **Details**
 *
 * `image` is the platform of the image in question where there are several, and empty otherwise. `pointer` is a JSON
 * pointer in the document `where`; that of an element which is only on the left counts as the left document does. `left`
 * and `right` are the JSON texts as they are written, absent where there is nothing. `rule` would make the two sides
 * equal. What only follows from another difference, such as the digest of a config, is not one.
 *
 * - `Kind`: one is an index, and the other a single image.
 * - `ImageAdded`, `ImageRemoved`: an index lists an image that the other does not.
 * - `LayerAdded`, `LayerRemoved`: a layer is only on the right, or only on the left.
 * - `LayerContent`: a layer has another diff ID; the texts are both diff IDs.
 * - `LayerCompression`: a layer has the same diff ID, compressed in another format; the texts are both media types.
 * - `LayerEncoder`: a layer has the same diff ID and format in another blob; the texts are both blobs' digests.
 * - `History`: an item of the history, or a member of one.
 * - `Time`: a time.
 * - `Member`: anything else in a document.
 * - `Formatting`: the same value, written in another way; `formatting` tells how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Difference {
  readonly _tag:
    | "Kind"
    | "ImageAdded"
    | "ImageRemoved"
    | "LayerAdded"
    | "LayerRemoved"
    | "LayerContent"
    | "LayerCompression"
    | "LayerEncoder"
    | "History"
    | "Time"
    | "Member"
    | "Formatting"
  readonly where: "index" | "manifest" | "config"
  readonly image: string
  readonly pointer: string
  readonly left?: string
  readonly right?: string
  readonly rule?: Rule
  readonly formatting?: ReadonlyArray<JsonTree.Formatting>
}

/**
 * All that two images differ in, the most important first, and one sentence that says it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly isEqual: boolean
  readonly differences: ReadonlyArray<Difference>
  readonly sentence: string
}

type Place = Pick<Difference, "where" | "image">

const pointerOf = (path: ReadonlyArray<JsonTree.Step>): string =>
  path.map((step) => "/" + String(step).replaceAll("~", "~0").replaceAll("/", "~1")).join("")

const timeOf = (text: string | undefined): Timestamp.Timestamp | undefined => {
  const value: unknown = text?.startsWith("\"") ? JSON.parse(text) : undefined
  return typeof value === "string" ? Option.getOrUndefined(Result.getSuccess(Timestamp.parse(value))) : undefined
}

/** The rule that would make two times equal. */
const timeRule = (left: Timestamp.Timestamp, right: Timestamp.Timestamp): Rule =>
  Timestamp.byInstant(left, right) === 0 ? "utc" : "epoch"

const isMediaTypeChange = (path: ReadonlyArray<JsonTree.Step>, change: JsonTree.Change): boolean => {
  const read = (text: string | undefined): string => text?.startsWith("\"") ? String(JSON.parse(text)) : ""
  return path.at(-1) === "mediaType" && read(change.left) !== "" &&
    MediaType.toOci(read(change.left)) === MediaType.toOci(read(change.right))
}

/** Tells what a changed member is. */
const ofChange = (place: Place, change: JsonTree.Change, base: ReadonlyArray<JsonTree.Step> = []): Difference => {
  const path = [...base, ...change.path]
  const sides = {
    ...(change.left === undefined ? {} : { left: change.left }),
    ...(change.right === undefined ? {} : { right: change.right })
  }
  const at = { ...place, pointer: pointerOf(path), ...sides }
  const left = timeOf(change.left)
  const right = timeOf(change.right)
  if (left !== undefined && right !== undefined) return { _tag: "Time", ...at, rule: timeRule(left, right) }
  if (place.where === "config" && path[0] === "history") return { _tag: "History", ...at }
  return isMediaTypeChange(path, change) ? { _tag: "Member", ...at, rule: "media-types" } : { _tag: "Member", ...at }
}

const ofComparison = (
  place: Place,
  { changes, formatting }: JsonTree.Comparison,
  base: ReadonlyArray<JsonTree.Step> = []
): ReadonlyArray<Difference> => [
  ...changes.map((change) => ofChange(place, change, base)),
  ...(formatting.size === 0
    ? []
    : [{ _tag: "Formatting" as const, ...place, pointer: pointerOf(base), formatting: [...formatting] }])
]

/** Compares two descriptors of things that are compared by themselves. */
const descriptors = (
  place: Place,
  left: JsonTree.Node | undefined,
  right: JsonTree.Node | undefined,
  base: ReadonlyArray<JsonTree.Step>,
  follows: ReadonlyArray<string> = ["digest", "size"]
): ReadonlyArray<Difference> =>
  left === undefined || right === undefined
    ? []
    : ofComparison(
      place,
      JsonTree.compare(left, right, (path) => path.length === 1 && follows.includes(String(path[0]))),
      base
    )

/** A layer as its documents have it: the texts are JSON. */
interface Layer {
  readonly index: number
  readonly node: JsonTree.Node | undefined
  readonly digest: string
  readonly mediaType: string
  /** What it holds: its diff ID where that is known, else its digest. */
  readonly content: string
}

interface Documents {
  readonly manifest: JsonTree.Tree
  readonly config: JsonTree.Tree | undefined
  readonly layers: ReadonlyArray<Layer>
}

const treeOf = ({ document }: Json.Parsed<unknown>): JsonTree.Tree => JsonTree.parse(document.text)

const documentsOf = (image: Image): Documents => {
  const manifest = treeOf(image.manifest)
  const { layers } = image.manifest.value
  const diffIds = image.config?.value.rootfs?.diff_ids ?? []
  return {
    manifest,
    config: image.config === undefined ? undefined : treeOf(image.config),
    layers: layers.map(({ digest, mediaType }, index) => ({
      index,
      node: JsonTree.find(manifest.root, "layers", index),
      digest: JSON.stringify(digest),
      mediaType,
      content: JSON.stringify(diffIds.length === layers.length ? diffIds[index] : digest)
    }))
  }
}

/** Compares a layer with the one in its place. */
const layer = (image: string, left: Layer | undefined, right: Layer | undefined): ReadonlyArray<Difference> => {
  const place: Place = { where: "manifest", image }
  const pointer = pointerOf(["layers", right?.index ?? left?.index ?? 0])
  if (left === undefined) {
    return right === undefined ? [] : [{ _tag: "LayerAdded", ...place, pointer, right: right.content }]
  }
  if (right === undefined) return [{ _tag: "LayerRemoved", ...place, pointer, left: left.content }]
  const isCompressedAlike = Option.getOrUndefined(MediaType.compression(left.mediaType)) ===
    Option.getOrUndefined(MediaType.compression(right.mediaType))
  const follows = isCompressedAlike ? ["digest", "size"] : ["digest", "size", "mediaType"]
  const members = descriptors(place, left.node, right.node, ["layers", right.index], follows)
  if (left.content !== right.content) {
    return [{ _tag: "LayerContent", ...place, pointer, left: left.content, right: right.content }, ...members]
  }
  if (left.digest === right.digest) return members
  const blob: Difference = isCompressedAlike
    ? { _tag: "LayerEncoder", ...place, pointer, left: left.digest, right: right.digest, rule: "encoder" }
    : {
      _tag: "LayerCompression",
      ...place,
      pointer,
      left: JSON.stringify(left.mediaType),
      right: JSON.stringify(right.mediaType),
      rule: "compression"
    }
  return [blob, ...members]
}

const layers = (image: string, left: ReadonlyArray<Layer>, right: ReadonlyArray<Layer>): ReadonlyArray<Difference> => {
  const { end } = JsonTree.commonEnds(left, right, (from, to) => from.content === to.content)
  const found: Array<Difference> = []
  for (let index = 0; index < Math.max(left.length, right.length) - end; index++) {
    const before = index < left.length - end ? left[index] : undefined
    const after = index < right.length - end ? right[index] : undefined
    found.push(...layer(image, before, after))
  }
  for (let back = end; back > 0; back--) {
    found.push(...layer(image, left[left.length - back], right[right.length - back]))
  }
  return found
}

const images = (image: string, left: Image, right: Image): ReadonlyArray<Difference> => {
  if (left.descriptor.digest === right.descriptor.digest) return []
  const from = documentsOf(left)
  const to = documentsOf(right)
  const hasConfigs = from.config !== undefined && to.config !== undefined
  const ofLayers = layers(image, from.layers, to.layers)
  const isRestEqual = ofLayers.length === 0
  const manifest = JsonTree.compareTrees(from.manifest, to.manifest, {
    skip: ([first, second]) =>
      first === "layers" || (hasConfigs && first === "config" && (second === "digest" || second === "size")),
    isRestEqual
  })
  const config = from.config === undefined || to.config === undefined
    ? []
    : ofComparison(
      { where: "config", image },
      JsonTree.compareTrees(from.config, to.config, {
        skip: ([first, second]) => first === "rootfs" && second === "diff_ids",
        isRestEqual
      })
    )
  return [...ofLayers, ...config, ...ofComparison({ where: "manifest", image }, manifest)]
}

/** An element of an index, and what it is called: each by another name. */
interface Element {
  readonly name: string
  readonly tree: ImageTree
  readonly node: JsonTree.Node | undefined
  readonly index: number
  /** The digest of the image that it is an attestation of. */
  readonly subject: string | undefined
}

const annotationOf = ({ descriptor: { annotations = {} } }: ImageTree, key: string): string | undefined =>
  Object.hasOwn(annotations, key) ? annotations[key] : undefined

const elementsOf = (index: Index): ReadonlyArray<Element> => {
  const { root } = treeOf(index.index)
  const platforms = new Map<string, Platform.Platform | undefined>(
    index.manifests.map(({ descriptor }) => [descriptor.digest, descriptor.platform])
  )
  const format = (platform: Platform.Platform | undefined): string =>
    platform === undefined ? "an image without a platform" : Platform.formatAll(platform)
  const seen = new Map<string, number>()
  return index.manifests.map((tree, position) => {
    const type = annotationOf(tree, Annotations.referenceType)
    const subject = type === undefined ? undefined : annotationOf(tree, Annotations.referenceDigest)
    const name = type === undefined
      ? format(tree.descriptor.platform)
      : `${type} of ${format(platforms.get(subject ?? ""))}`
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return {
      name: count === 1 ? name : `${name} (${count})`,
      tree,
      node: JsonTree.find(root, "manifests", position),
      index: position,
      subject
    }
  })
}

type ByName = ReadonlyMap<string, Element>

const byName = (elements: ReadonlyArray<Element>): ByName => new Map(elements.map((element) => [element.name, element]))

const isInOrder = (left: ByName, right: ByName): boolean => {
  const common = [...left.keys()].filter((name) => right.has(name))
  return [...right.keys()].filter((name) => left.has(name)).every((name, index) => name === common[index])
}

const elements = (image: string, left: Element, right: Element): ReadonlyArray<Difference> =>
  // An attestation of another image is another one
  left.subject !== right.subject ? [] : [
    ...trees(image, left.tree, right.tree),
    ...descriptors({ where: "index", image }, left.node, right.node, ["manifests", right.index])
  ]

const indexes = (image: string, left: Index, right: Index): ReadonlyArray<Difference> => {
  if (left.descriptor.digest === right.descriptor.digest) return []
  const place: Place = { where: "index", image }
  const from = byName(elementsOf(left))
  const to = byName(elementsOf(right))
  const named = (name: string): string => image === "" ? name : `${image}: ${name}`
  const only = ({ index, name, tree }: Element) => ({
    digest: JSON.stringify(tree.descriptor.digest),
    at: { where: "index" as const, image: named(name), pointer: pointerOf(["manifests", index]) }
  })
  const found = [...from.values()].flatMap((element): ReadonlyArray<Difference> => {
    const other = to.get(element.name)
    if (other !== undefined) return elements(named(element.name), element, other)
    const { at, digest } = only(element)
    return [{ _tag: "ImageRemoved", ...at, left: digest }]
  })
  const added = [...to.values()].filter(({ name }) => !from.has(name)).map((element): Difference => {
    const { at, digest } = only(element)
    return Object.assign({ _tag: "ImageAdded" as const, right: digest }, at)
  })
  const rest = JsonTree.compareTrees(treeOf(left.index), treeOf(right.index), {
    skip: ([first]) => first === "manifests",
    isRestEqual: found.length + added.length === 0
  })
  if (!isInOrder(from, to)) rest.formatting.add("order of images")
  return [...found, ...added, ...ofComparison(place, rest)]
}

const trees = (image: string, left: ImageTree, right: ImageTree): ReadonlyArray<Difference> => {
  if (left._tag === "Image" && right._tag === "Image") return images(image, left, right)
  if (left._tag === "Index" && right._tag === "Index") return indexes(image, left, right)
  if (left.descriptor.digest === right.descriptor.digest) return []
  const digests = { left: JSON.stringify(left.descriptor.digest), right: JSON.stringify(right.descriptor.digest) }
  if (left._tag === right._tag) return [{ _tag: "Member", where: "index", image, pointer: "/digest", ...digests }]
  const kind: Difference = {
    _tag: "Kind",
    where: left._tag === "Index" || right._tag === "Index" ? "index" : "manifest",
    image,
    pointer: "",
    left: JSON.stringify(left.descriptor.mediaType),
    right: JSON.stringify(right.descriptor.mediaType)
  }
  const only = (tree: ImageTree): ImageTree =>
    tree._tag === "Index" && tree.manifests.length === 1 && tree.manifests[0] !== undefined ? tree.manifests[0] : tree
  return only(left) === left && only(right) === right ? [kind] : [kind, ...trees(image, only(left), only(right))]
}

/**
 * Tells what two images, or two indexes of images, differ in.
 *
 * **Details**
 *
 * Images of indexes are compared by platform, whatever their order; layers and elements of lists are compared in their
 * places after what is equal at both ends has been set apart. Where one side is an index of one image and the other an
 * image, these are compared too.
 *
 * **Example** (Telling why an image changed)
 *
 * ```ts
 * import * as Difference from "@effect-oci/core/Difference"
 * import * as ImageTree from "@effect-oci/core/ImageTree"
 * import type * as Descriptor from "@effect-oci/schema/Descriptor"
 * import * as Effect from "effect/Effect"
 *
 * const why = (before: Descriptor.Descriptor, after: Descriptor.Descriptor) =>
 *   Effect.all([ImageTree.get(before), ImageTree.get(after)]).pipe(
 *     Effect.map(([left, right]) => Difference.between(left, right).sentence)
 *   )
 * ```
 *
 * @category comparisons
 * @since 0.1.0
 */
export const between = (left: ImageTree, right: ImageTree): Report => {
  const isEqual = left.descriptor.digest === right.descriptor.digest
  const differences = isEqual ? [] : Cause.sorted(trees("", left, right))
  return { isEqual, differences, sentence: isEqual ? Cause.same : Cause.sentence(differences) }
}
