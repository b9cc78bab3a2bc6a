/**
 * Checks of what the documents of one image say of each other: manifest, config, and the index above them.
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import * as InTotoStatement from "@effect-oci/schema/InTotoStatement"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Issue from "../Issue.ts"
import { asList, asMembers, type Members, own } from "./documentCheck.ts"
import type { Reference } from "./reference.ts"

/** A manifest that names an image config and layers. Others are artifacts, whose blobs nothing here understands. */
export const isImage = (
  manifest: Reference,
  config: Reference | undefined,
  layers: ReadonlyArray<Reference>
): boolean =>
  config !== undefined && MediaType.isConfig(config.mediaType) &&
  own(manifest.annotations, Annotations.referenceType) !== "attestation-manifest" &&
  (layers.length === 0 || layers.some((layer) => layer.mediaType !== InTotoStatement.mediaType))

/** Layers of formats that nothing here can look into, and that are meant. */
const isEncrypted = (mediaType: string): boolean => mediaType.endsWith("+encrypted")

/** Checks the media types of an image's config and layers against each other. */
export const mediaTypes = (
  manifestType: string,
  config: Reference,
  layers: ReadonlyArray<Reference>
): ReadonlyArray<Issue.Issue> => {
  const isDocker = MediaType.isDocker(manifestType)
  const check = (reference: Reference, docker: "DockerLayerInOci" | "MixedMediaTypes"): ReadonlyArray<Issue.Issue> => {
    const { mediaType: found } = reference
    const expected = isDocker ? MediaType.toDocker(found) : MediaType.toOci(found)
    return found === expected
      ? []
      : [Issue.make(Issue.inside(reference.at, "mediaType"), {
        _tag: isDocker ? "MixedMediaTypes" : docker,
        expected,
        found
      })]
  }
  return [
    ...check(config, "MixedMediaTypes"),
    ...layers.flatMap((layer) => {
      if (MediaType.isLayer(layer.mediaType)) return check(layer, "DockerLayerInOci")
      return [Issue.make(
        Issue.inside(layer.at, "mediaType"),
        isEncrypted(layer.mediaType)
          ? { _tag: "NotChecked", digest: layer.digestText, reason: "it is encrypted" }
          : { _tag: "UnknownLayerType", mediaType: layer.mediaType }
      )]
    })
  ]
}

/** Checks the number of layers against that of diff IDs, and against the history if there is one. */
export const counts = (path: string, config: Members, layers: number): ReadonlyArray<Issue.Issue> => {
  const issues: Array<Issue.Issue> = []
  const rootfs = asMembers(config["rootfs"])
  const diffIds = rootfs["diff_ids"]
  if ((Array.isArray(diffIds) || diffIds === null) && asList(diffIds).length !== layers) {
    issues.push(Issue.make({ path, pointer: "/rootfs/diff_ids" }, {
      _tag: "DiffIdCount",
      layers,
      diffIds: asList(diffIds).length
    }))
  }
  const history = asList(config["history"])
  const ofLayers = history.flatMap((item, index) => asMembers(item)["empty_layer"] === true ? [] : [index])
  if (history.length > 0 && ofLayers.length !== layers) {
    issues.push(Issue.make({ path, pointer: "/history" }, {
      _tag: "HistoryCount",
      layers,
      items: ofLayers.length,
      surplus: ofLayers.slice(layers),
      missing: Array.from({ length: Math.max(0, layers - ofLayers.length) }, (_, index) => ofLayers.length + index)
    }))
  }
  return issues
}

/** Clocks may differ by this many seconds before a time is in the future. */
const tolerance = 86_400

const timeOf = (value: unknown): Timestamp.Timestamp | undefined =>
  typeof value === "string" ? Option.getOrUndefined(Result.getSuccess(Timestamp.parse(value))) : undefined

/** Finds times that are legal and odd. `now` is in seconds since 1970. */
export const times = (path: string, config: Members, now: number): ReadonlyArray<Issue.Issue> => {
  const issues: Array<Issue.Issue> = []
  const check = (value: unknown, pointer: string, before: Timestamp.Timestamp | undefined) => {
    const time = timeOf(value)
    if (time === undefined) return before
    const isZero = Timestamp.byInstant(time, Timestamp.zero) === 0
    const kind = isZero
      ? "zero"
      : time.seconds > now + tolerance
      ? "future"
      : before !== undefined && Timestamp.byInstant(time, before) < 0
      ? "backwards"
      : undefined
    if (kind !== undefined) {
      issues.push(Issue.make({ path, pointer }, { _tag: "UnusualTime", time: String(value), kind }))
    }
    return isZero ? before : time
  }
  check(config["created"], "/created", undefined)
  let before: Timestamp.Timestamp | undefined
  asList(config["history"]).forEach((item, index) => {
    before = check(asMembers(item)["created"], `/history/${index}/created`, before)
  })
  return issues
}

/** A platform by Go's names; normalizing gives `arm` a variant that nobody wrote. */
const platformOf = (members: Members): Partial<Platform.Platform> => {
  const text = (name: string): string => {
    const value = own(members, name)
    return typeof value === "string" ? value : ""
  }
  if (text("os") === "" || text("architecture") === "") return {}
  const { variant, ...platform } = Platform.normalize({
    os: text("os"),
    architecture: text("architecture"),
    variant: text("variant"),
    "os.version": text("os.version")
  })
  return text("variant") === "" || variant === undefined ? platform : { ...platform, variant }
}

/** Checks the platform that an index gives an image against that of its config. What one of them leaves open fits. */
export const platform = (manifest: Reference, config: Members): ReadonlyArray<Issue.Issue> => {
  const listed = platformOf(manifest.platform)
  const own = platformOf(config)
  return (["os", "architecture", "variant", "os.version"] as const).flatMap((member) => {
    const expected = own[member]
    const found = listed[member]
    return expected === undefined || found === undefined || expected === found
      ? []
      : [Issue.make(Issue.inside(manifest.at, "platform", member), {
        _tag: "PlatformMismatch",
        member,
        expected,
        found
      })]
  })
}
