/**
 * Issues of images: what is wrong or odd, how grave it is, and where exactly it stands.
 *
 * @since 0.1.0
 */

/**
 * How grave an issue is.
 *
 * **Details**
 *
 * An `error` breaks image-spec or makes tools disagree on what the image is. A `warning` is legal, but hardly meant. A
 * `notice` is legal and odd.
 *
 * @category models
 * @since 0.1.0
 */
export type Severity = "error" | "warning" | "notice"

/**
 * A place in a document.
 *
 * **Details**
 *
 * `path` is the document: the digest of a blob, or the name of a file such as `index.json`. `pointer` is a JSON pointer
 * (RFC 6901) in it, empty for the whole document. A blob that is missing or damaged is located where it is referred to.
 *
 * @category models
 * @since 0.1.0
 */
export interface Location {
  readonly path: string
  readonly pointer: string
}

/** What was found in the place of something else. */
interface Compared {
  readonly expected: string
  readonly found: string
}

interface InText extends Compared {
  readonly line: number
  readonly column: number
}

/**
 * What an issue is about, without its place.
 *
 * **Details**
 *
 * Sizes are in bytes. Layers and history items are counted from 0, base first.
 *
 * @category models
 * @since 0.1.0
 */
export type Fact =
  /** The document is not JSON, or breaks I-JSON (RFC 7493): nothing below it can be checked. */
  | { readonly _tag: "InvalidJson" } & InText
  /** The document breaks the schema of its kind. */
  | { readonly _tag: "UnexpectedJson" } & InText
  /** There is more than is read: bytes of a document, descriptors of an image, indexes inside each other. */
  | {
    readonly _tag: "LimitExceeded"
    readonly what: "bytes" | "descriptors" | "levels"
    readonly limit: number
    readonly found?: number
  }
  /** A file that an image layout needs is not there. */
  | { readonly _tag: "FileMissing" }
  /** A store of images or one of its blobs cannot be read; `reason` is the store's own message. */
  | { readonly _tag: "Unreadable"; readonly reason: string }
  /** There is no image of the name. */
  | { readonly _tag: "ImageMissing"; readonly name: string; readonly names: ReadonlyArray<string> }
  /** A document has a member of another kind of document (CVE-2021-41190). */
  | { readonly _tag: "AmbiguousDocument"; readonly kind: "manifest" | "index"; readonly member: string }
  /** A document's own media type is not that of its descriptor. */
  | { readonly _tag: "MediaTypeMismatch" } & Compared
  /** A layer of Docker's media types under a manifest of OCI's. */
  | { readonly _tag: "DockerLayerInOci" } & Compared
  /** Other media types of Docker's and OCI's under one manifest. */
  | { readonly _tag: "MixedMediaTypes" } & Compared
  | { readonly _tag: "BlobMissing"; readonly digest: string }
  | { readonly _tag: "DigestMismatch"; readonly digest: string; readonly found: string }
  | { readonly _tag: "SizeMismatch"; readonly digest: string; readonly expected: number; readonly found: number }
  /** The content that a descriptor embeds is not what it describes. */
  | { readonly _tag: "DataMismatch" } & Compared
  /** A layer is not compressed as its media type says. */
  | { readonly _tag: "CompressionMismatch" } & Compared
  /** A layer cannot be decompressed, though its digest is right. */
  | { readonly _tag: "CorruptLayer"; readonly digest: string; readonly format: string }
  /** The uncompressed content of a layer hashes to another diff ID. */
  | { readonly _tag: "DiffIdMismatch"; readonly layer: number; readonly digest: string } & Compared
  | { readonly _tag: "DiffIdCount"; readonly layers: number; readonly diffIds: number }
  /** `surplus` are the history items that are of a layer and find none; `missing` the layers that find no item. */
  | {
    readonly _tag: "HistoryCount"
    readonly layers: number
    readonly items: number
    readonly surplus: ReadonlyArray<number>
    readonly missing: ReadonlyArray<number>
  }
  /** The config does not say what it runs on. */
  | { readonly _tag: "MissingPlatform"; readonly member: "os" | "architecture" }
  /** The index says that an image runs on something else than its config says. */
  | { readonly _tag: "PlatformMismatch"; readonly member: string } & Compared
  /** A layer of a media type that is not known here. */
  | { readonly _tag: "UnknownLayerType"; readonly mediaType: string }
  /** A manifest of a media type that is not known here: its blob is checked, and nothing in it. */
  | { readonly _tag: "UnknownMediaType"; readonly mediaType: string }
  | { readonly _tag: "UnsupportedDigest"; readonly digest: string }
  | { readonly _tag: "DuplicateName"; readonly name: string }
  /** `null` where the member should be absent, as Go writes it. */
  | { readonly _tag: "NullMember" }
  /** A manifest or index that does not repeat its media type, as the first version of the spec allowed. */
  | { readonly _tag: "MissingMediaType"; readonly expected: string }
  | { readonly _tag: "NoLayers" }
  /** What could not be checked, and why. */
  | { readonly _tag: "NotChecked"; readonly digest: string; readonly reason: string }
  | { readonly _tag: "UnusualTime"; readonly time: string; readonly kind: "zero" | "future" | "backwards" }
  /** The manifest that this one refers to as its subject is not in the store, which is allowed. */
  | { readonly _tag: "SubjectMissing"; readonly digest: string }

/**
 * An issue of an image.
 *
 * @category models
 * @since 0.1.0
 */
export type Issue = Fact & Location & { readonly severity: Severity; readonly message: string }

/**
 * The severity of each kind of issue.
 *
 * @category constants
 * @since 0.1.0
 */
export const severities: Readonly<Record<Fact["_tag"], Severity>> = {
  InvalidJson: "error",
  UnexpectedJson: "error",
  LimitExceeded: "error",
  FileMissing: "error",
  Unreadable: "error",
  ImageMissing: "error",
  AmbiguousDocument: "error",
  MediaTypeMismatch: "error",
  DockerLayerInOci: "error",
  BlobMissing: "error",
  DigestMismatch: "error",
  SizeMismatch: "error",
  DataMismatch: "error",
  CompressionMismatch: "error",
  CorruptLayer: "error",
  DiffIdMismatch: "error",
  DiffIdCount: "error",
  HistoryCount: "error",
  MissingPlatform: "error",
  MixedMediaTypes: "warning",
  PlatformMismatch: "warning",
  UnknownLayerType: "warning",
  UnsupportedDigest: "warning",
  DuplicateName: "warning",
  UnknownMediaType: "notice",
  NullMember: "notice",
  MissingMediaType: "notice",
  NoLayers: "notice",
  NotChecked: "notice",
  UnusualTime: "notice",
  SubjectMissing: "notice"
}

const compared = ({ expected, found }: Compared): string => `expected ${expected}, found ${found}`

const count = (number: number, singular: string, plural: string): string =>
  `${number} ${number === 1 ? singular : plural}`

const limits = { bytes: "bytes in one document", descriptors: "descriptors", levels: "indexes inside each other" }

const times = {
  zero: "is Go's zero time: whoever built the image did not know it",
  future: "is in the future",
  backwards: "is before that of the history item above it"
}

const listed = (what: string, numbers: ReadonlyArray<number>): string =>
  `${what}${numbers.length === 1 ? "" : "s"} ${numbers.slice(0, 10).join(", ")}${numbers.length > 10 ? ", …" : ""}`

const historyMessage = (fact: Extract<Fact, { readonly _tag: "HistoryCount" }>): string => {
  const items = count(fact.items, "history item is", "history items are")
  const layers = count(fact.layers, "layer", "layers")
  const which = fact.surplus.length > 0
    ? `there is no layer for ${listed("item", fact.surplus)}`
    : `there is no item for ${listed("layer", fact.missing)}`
  return `${items} of a layer, and the image has ${layers}: ${which}, counted from 0 at the base; ` +
    "a step without a layer needs \"empty_layer\": true"
}

/** What happened, in words, without its place. */
const messageOf = (fact: Fact): string => {
  switch (fact._tag) {
    case "InvalidJson":
      return `not I-JSON: line ${fact.line}, column ${fact.column}: ${compared(fact)}`
    case "UnexpectedJson":
      return compared(fact)
    case "LimitExceeded":
      return `too many ${limits[fact.what]}: at most ${fact.limit} are read` +
        (fact.found === undefined ? "" : `, and there are ${fact.found}`)
    case "FileMissing":
      return "there is no such file, and an OCI image layout needs it"
    case "Unreadable":
      return fact.reason
    case "ImageMissing":
      return `there is no image ${JSON.stringify(fact.name)}` +
        (fact.names.length === 0 ?
          "" :
          `; there ${fact.names.length === 1 ? "is" : "are"} ${
            fact.names.slice(0, 20).map((name) => JSON.stringify(name)).join(", ")
          }`)
    case "AmbiguousDocument":
      return `${fact.kind === "manifest" ? "a manifest" : "an index"} must not have a member ${
        JSON.stringify(fact.member)
      }: others could take it for another kind of document`
    case "MediaTypeMismatch":
      return `the media type is not that of the descriptor: ${compared(fact)}`
    case "DockerLayerInOci":
      return `a layer of Docker's media type under a manifest of OCI's: ${compared(fact)}`
    case "MixedMediaTypes":
      return `Docker's and OCI's media types under one manifest: ${compared(fact)}`
    case "BlobMissing":
      return `the blob ${fact.digest} is not there`
    case "DigestMismatch":
      return `the blob ${fact.digest} is damaged: its content hashes to ${fact.found}`
    case "SizeMismatch":
      return `the blob ${fact.digest} has another size: expected ${fact.expected} bytes, found ${fact.found}`
    case "DataMismatch":
      return `the embedded content is not what its descriptor says: ${compared(fact)}`
    case "CompressionMismatch":
      return `the layer is not compressed as its media type says: ${compared(fact)}`
    case "CorruptLayer":
      return `the layer ${fact.digest} is not valid ${fact.format}, though its digest is right`
    case "DiffIdMismatch":
      return `not what layer ${fact.layer} (${fact.digest}) hashes to when uncompressed: ${compared(fact)}`
    case "DiffIdCount":
      return `expected a diff ID for each layer: ${count(fact.layers, "layer", "layers")}, ` +
        count(fact.diffIds, "diff ID", "diff IDs")
    case "HistoryCount":
      return historyMessage(fact)
    case "MissingPlatform":
      return `the config does not say the ${fact.member === "os" ? "operating system" : "architecture"} of its image`
    case "PlatformMismatch":
      return `the ${fact.member} is not that of the image's config: ${compared(fact)}`
    case "UnknownLayerType":
      return `${fact.mediaType} is not known as the media type of a layer: its diff ID is not checked`
    case "UnknownMediaType":
      return `${fact.mediaType} is not known as the media type of a manifest or an index: nothing in it is checked`
    case "UnsupportedDigest":
      return `the algorithm of ${fact.digest} is not supported: the blob is not checked`
    case "DuplicateName":
      return `another image has the name ${JSON.stringify(fact.name)} too: which of them is meant differs between tools`
    case "NullMember":
      return "null, where the member should be left out"
    case "MissingMediaType":
      return `the member is not there: image-spec 1.1 asks for ${fact.expected}`
    case "NoLayers":
      return "the image has no layers: image-spec asks for one, and registries may refuse it"
    case "NotChecked":
      return `the layer ${fact.digest} is not checked: ${fact.reason}`
    case "UnusualTime":
      return `${fact.time} ${times[fact.kind]}`
    case "SubjectMissing":
      return `the subject ${fact.digest} is not there, which is allowed`
  }
}

/**
 * Makes an issue of what it is about and its place.
 *
 * **Example** (Reporting a missing blob)
 *
 * ```ts
 * import * as Issue from "@effect-oci/core/Issue"
 *
 * const issue = Issue.make({ path: "index.json", pointer: "/manifests/0/digest" }, {
 *   _tag: "BlobMissing",
 *   digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
 * })
 * console.log(issue.severity) // error
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ path, pointer }: Location, fact: Fact): Issue => ({
  ...fact,
  severity: severities[fact._tag],
  path,
  pointer,
  message: messageOf(fact)
})

/**
 * Steps from a place to a member or an element inside of it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const inside = ({ path, pointer }: Location, ...steps: ReadonlyArray<string | number>): Location => ({
  path,
  pointer: pointer + steps.map((step) => "/" + String(step).replaceAll("~", "~0").replaceAll("/", "~1")).join("")
})
