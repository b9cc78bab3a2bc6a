/**
 * Platforms: what an image runs on, in Go's names for operating systems and architectures.
 *
 * Follows image-spec's image-index.md (member `platform`), and containerd's platforms package for normalisation, the
 * string forms and the choice of a manifest.
 *
 * @since 0.1.0
 */
import type * as Equivalence from "effect/Equivalence"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { absent, strings } from "./internal/decode.ts"
import { quote } from "./internal/quote.ts"
import * as Json from "./Json.ts"

/**
 * Names that a platform gives a meaning to.
 *
 * @category constants
 * @since 0.1.0
 */
export const names: Json.Names = Json.names(["architecture", "os", "os.version", "os.features", "variant"])

/**
 * Schema for a platform, with the member names of the JSON documents.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Platform = Schema.Struct({
  architecture: Schema.String,
  os: Schema.String,
  "os.version": absent(Schema.String),
  "os.features": absent(strings),
  variant: absent(Schema.String)
})

/**
 * What an image runs on.
 *
 * @category models
 * @since 0.1.0
 */
export type Platform = typeof Platform.Type

/**
 * Error raised for text that does not name a platform.
 *
 * **Details**
 *
 * `reason` is `incomplete` where only an operating system or only an architecture is given: the other half would have
 * to come from the machine that this runs on, which would make the result depend on it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPlatform extends Schema.TaggedError<InvalidPlatform>("@effect-oci/schema/InvalidPlatform")(
  "InvalidPlatform",
  {
    platform: Schema.String,
    reason: Schema.Literals(["incomplete", "too-many-parts", "os", "os-options", "architecture", "variant"]),
    expected: Schema.String,
    found: Schema.String
  }
) {
  override get message() {
    return `invalid platform ${quote(this.platform)}: expected ${this.expected}, found ${this.found}; ` +
      "write os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7"
  }
}

// -----------------------------------------------------------------------------
// normalisation
// -----------------------------------------------------------------------------

const osAliases: ReadonlyMap<string, string> = new Map([["", "linux"], ["macos", "darwin"]])

interface Machine {
  readonly architecture: string
  readonly variant: string
}

const normalizeMachine = (architecture: string, variant: string): Machine => {
  switch (architecture) {
    case "i386":
      return { architecture: "386", variant: "" }
    case "x86_64":
    case "x86-64":
    case "amd64":
      return { architecture: "amd64", variant: variant === "v1" ? "" : variant }
    case "aarch64":
    case "arm64":
      return { architecture: "arm64", variant: arm64Variants.get(variant) ?? variant }
    case "armhf":
      return { architecture: "arm", variant: "v7" }
    case "armel":
      return { architecture: "arm", variant: "v6" }
    case "arm":
      return { architecture: "arm", variant: armVariants.get(variant) ?? variant }
    default:
      return { architecture, variant }
  }
}

const arm64Variants: ReadonlyMap<string, string> = new Map([
  ["8", ""],
  ["v8", ""],
  ["v8.0", ""],
  ["9", "v9"],
  ["9.0", "v9"],
  ["v9.0", "v9"]
])

const armVariants: ReadonlyMap<string, string> = new Map([
  ["", "v7"],
  ["5", "v5"],
  ["6", "v6"],
  ["7", "v7"],
  ["8", "v8"]
])

const sortedUnique = (features: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...new Set(features)].toSorted(Json.compareUtf8)

/**
 * Brings a platform to Go's names, as containerd does.
 *
 * **Details**
 *
 * All names become lower case; `macos` is `darwin`; `x86_64` and `x86-64` are `amd64`, `aarch64` is `arm64`, `i386` is
 * `386`; `armhf` is `arm` `v7` and `armel` `arm` `v6`. The default variants `amd64` `v1` and `arm64` `v8` are left out,
 * `arm` without one becomes `v7`. Features of the operating system are sorted, each once.
 *
 * An empty operating system is `linux` (containerd takes that of its own machine). Members that are empty are left out.
 *
 * @category combinators
 * @since 0.1.0
 */
export const normalize = (platform: Platform): Platform => {
  const os = platform.os.toLowerCase()
  const { architecture, variant } = normalizeMachine(
    platform.architecture.toLowerCase(),
    platform.variant?.toLowerCase() ?? ""
  )
  return make({
    architecture,
    os: osAliases.get(os) ?? os,
    osVersion: platform["os.version"] ?? "",
    osFeatures: sortedUnique(platform["os.features"] ?? []),
    variant
  })
}

const make = (parts: {
  readonly architecture: string
  readonly os: string
  readonly osVersion: string
  readonly osFeatures: ReadonlyArray<string>
  readonly variant: string
}): Platform => ({
  architecture: parts.architecture,
  os: parts.os,
  ...(parts.osVersion === "" ? {} : { "os.version": parts.osVersion }),
  ...(parts.osFeatures.length === 0 ? {} : { "os.features": parts.osFeatures }),
  ...(parts.variant === "" ? {} : { variant: parts.variant })
})

/**
 * Compares two platforms after normalisation: `Linux/x86_64` is `linux/amd64`.
 *
 * @category instances
 * @since 0.1.0
 */
export const equivalence: Equivalence.Equivalence<Platform> = (self, that) => {
  const a = normalize(self)
  const b = normalize(that)
  const features = a["os.features"] ?? []
  const others = b["os.features"] ?? []
  return a.os === b.os && a.architecture === b.architecture && a.variant === b.variant &&
    a["os.version"] === b["os.version"] &&
    features.length === others.length && features.every((feature, i) => feature === others[i])
}

// -----------------------------------------------------------------------------
// string forms
// -----------------------------------------------------------------------------

const join = (...parts: ReadonlyArray<string | undefined>) =>
  parts.filter((part) => part !== undefined && part !== "").join("/")

/**
 * Writes `os/architecture[/variant]`, without normalising.
 *
 * **Details**
 *
 * A platform without an operating system is `unknown`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (platform: Platform): string =>
  platform.os === "" ? "unknown" : join(platform.os, platform.architecture, platform.variant)

const escapes: Readonly<Record<string, string>> = { "%": "%25", "+": "%2B", "(": "%28", ")": "%29", "/": "%2F" }
const escapeOption = (text: string) => text.replace(/[%+()/]/g, (char) => escapes[char] ?? char)

/**
 * Writes `os[(version[+feature…])]/architecture[/variant]`, BuildKit's identifier of a platform.
 *
 * **Details**
 *
 * Features are sorted, each once, and empty ones left out; nothing else is normalised. {@link parse} reads it back.
 *
 * **Example** (Formatting a Windows platform)
 *
 * ```ts
 * import * as Platform from "@effect-oci/schema/Platform"
 *
 * const platform = {
 *   architecture: "amd64",
 *   os: "windows",
 *   "os.version": "10.0.20348",
 *   "os.features": ["win32k"]
 * }
 * console.log(Platform.formatAll(platform)) // windows(10.0.20348+win32k)/amd64
 * ```
 *
 * @category encoding
 * @since 0.1.0
 */
export const formatAll = (platform: Platform): string => {
  if (platform.os === "") return "unknown"
  const options = escapeOption(platform["os.version"] ?? "") +
    sortedUnique(platform["os.features"] ?? [])
      .filter((feature) => feature !== "")
      .map((feature) => `+${escapeOption(feature)}`)
      .join("")
  return join(options === "" ? platform.os : `${platform.os}(${options})`, platform.architecture, platform.variant)
}

const osGrammar = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/
const partGrammar = /^[A-Za-z0-9_.-]+$/

/**
 * Reads `os[(version[+feature…])]/architecture[/variant]` as containerd's `Parse` does.
 *
 * **Details**
 *
 * Names are normalised; the order of features stays. As with containerd, the variant that is given stays visible:
 * `linux/arm64/v8` has the variant `v8`, and `linux/arm64` none; `linux/arm` has none either, not even `v7`
 * ({@link normalize} gives both their one form). An operating system or an architecture alone, which containerd
 * completes from its own machine, is an {@link InvalidPlatform}.
 *
 * **Example** (Parsing a platform)
 *
 * ```ts
 * import * as Platform from "@effect-oci/schema/Platform"
 *
 * console.log(Platform.parse("linux/arm/v7")) // success: { architecture: "arm", os: "linux", variant: "v7" }
 * console.log(Platform.parse("linux")) // failure: invalid platform "linux": expected an operating system and …
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<Platform, InvalidPlatform> => {
  const invalid = (reason: InvalidPlatform["reason"], expected: string, found: string) =>
    Result.fail(new InvalidPlatform({ platform: text, reason, expected, found }))
  const [osPart = "", architecturePart, variantPart, ...rest] = text.split("/", 4)
  const os = osGrammar.exec(osPart)
  if (os === null) {
    return invalid("os", "an operating system of letters, digits, \"_\" and \"-\", and its version", quote(osPart))
  }
  if (architecturePart === undefined) {
    return invalid("incomplete", "an operating system and an architecture", "one of them only")
  }
  if (!partGrammar.test(architecturePart)) {
    return invalid(
      "architecture",
      "an architecture of letters, digits, \"_\", \".\" and \"-\"",
      quote(architecturePart)
    )
  }
  if (variantPart !== undefined && !partGrammar.test(variantPart)) {
    return invalid("variant", "a variant of letters, digits, \"_\", \".\" and \"-\"", quote(variantPart))
  }
  if (rest.length > 0) return invalid("too-many-parts", "two or three parts", "more")

  const options = [os[2] ?? "", ...(os[3] ?? "").split("+").slice(1)].map(unescapeOption)
  if (!options.every((option) => option !== undefined)) {
    return invalid("os-options", "\"%\" only as the start of an escape such as \"%2B\"", quote(osPart))
  }
  const [osVersion = "", ...osFeatures] = options
  const name = (os[1] ?? "").toLowerCase()
  const { architecture, variant } = normalizeMachine(architecturePart.toLowerCase(), variantPart?.toLowerCase() ?? "")
  return Result.succeed(make({
    architecture,
    os: osAliases.get(name) ?? name,
    osVersion,
    osFeatures,
    variant: variantPart === undefined
      ? implicitVariant(architecture, variant)
      : variant || explicitVariant(architecture)
  }))
}

// A default variant is written as it was asked for: not at all, or in full.
const implicitVariant = (architecture: string, variant: string) =>
  architecture === "arm" && variant === "v7" ? "" : variant
const explicitVariant = (architecture: string) => architecture === "arm64" ? "v8" : ""

const unescapeOption = (text: string): string | undefined =>
  Result.getOrUndefined(Result.try(() => decodeURIComponent(text)))

// -----------------------------------------------------------------------------
// choice
// -----------------------------------------------------------------------------

// What runs on a machine, the best first, in normal form. Variants of one digit only are counted down: there are no
// others, and a document may name any number.
const runnable = (wanted: Platform): ReadonlyArray<Machine> => {
  const { architecture, variant = "" } = wanted
  const machine = { architecture, variant }
  switch (architecture) {
    case "amd64": {
      const level = Number(/^v?([2-9])$/.exec(variant)?.[1] ?? 1)
      return [machine, ...countDown(level - 1, 1).map((n) => normalizeMachine("amd64", `v${n}`)), {
        architecture: "386",
        variant: ""
      }]
    }
    case "arm":
      return [machine, ...belowArm(Number(/^v?([6-9])$/.exec(variant)?.[1] ?? 0))]
    case "arm64": {
      const [, major = "", minor = "0"] = /^v([89])(?:\.([0-9]))?$/.exec(variant === "" ? "v8" : variant) ?? []
      if (major === "") return [machine]
      // Armv9.n has what Armv8.(n+5) has.
      const v8 = major === "8" ? Number(minor) : Math.min(Number(minor) + 5, 9)
      return [
        ...(major === "9" ? countDown(Number(minor), 0).map((n) => normalizeMachine("arm64", `v9.${n}`)) : []),
        ...countDown(v8, 0).map((n) => normalizeMachine("arm64", `v8.${n}`)),
        ...belowArm(9)
      ]
    }
    default:
      return [machine]
  }
}

const countDown = (from: number, to: number): ReadonlyArray<number> =>
  Array.from({ length: Math.max(0, from - to + 1) }, (_, i) => from - i)

const belowArm = (version: number): ReadonlyArray<Machine> =>
  countDown(version - 1, 5).map((n) => ({ architecture: "arm", variant: `v${n}` }))

const windowsVersion = (text: string | undefined) => {
  const [, major, minor, build] = /^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,5})(?:\.|$)/.exec(text ?? "") ?? []
  return { release: major === undefined ? undefined : `${Number(major)}.${Number(minor)}`, build: Number(build) }
}

const server2022 = 20348
const server2025 = 26100

// Up to Windows Server 2022 a container needs its own build; from then on the last long-term release before it runs too.
const windowsRuns = (wanted: string | undefined, offered: string | undefined): boolean => {
  const host = windowsVersion(wanted)
  if (host.release === undefined || offered === undefined) return true
  const container = windowsVersion(offered)
  if (host.release !== container.release) return false
  if (host.build < server2022) return host.build === container.build
  const oldest = host.build > server2025 ? server2025 : server2022
  return oldest <= container.build && container.build <= host.build
}

/**
 * Chooses, among what is offered, what runs best on the wanted platform, as containerd's `Only` does.
 *
 * **Details**
 *
 * The same machine comes first, then the ones whose programs it runs: `arm` `v7` runs `v6` and `v5`, `arm64` runs
 * `arm`, `amd64` runs `386`. Where these are equal, the offer that uses more of the wanted features of the operating
 * system wins, then the first.
 *
 * An offer is not chosen if it has no platform, or needs a feature that is not wanted (Windows' `win32k` apart). A
 * variant that is unknown is matched by itself, on which containerd differs. Takes time in proportion to the offers.
 *
 * **Example** (Choosing a manifest)
 *
 * ```ts
 * import * as Platform from "@effect-oci/schema/Platform"
 *
 * const manifests = [
 *   { size: 1, platform: { architecture: "amd64", os: "linux" } },
 *   { size: 2, platform: { architecture: "arm", os: "linux", variant: "v6" } }
 * ]
 * console.log(Platform.choose({ architecture: "arm", os: "linux" }, manifests, (manifest) => manifest.platform))
 * // some: the one of size 2
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const choose = <A>(
  wanted: Platform,
  offers: Iterable<A>,
  platformOf: (offer: A) => Platform | undefined
): Option.Option<A> => {
  const target = normalize(wanted)
  const machines = runnable(target)
  const features = new Set(target["os.features"])
  let best: { readonly offer: A; readonly rank: number; readonly features: number } | undefined
  for (const offer of offers) {
    const platform = platformOf(offer)
    if (platform === undefined) continue
    const offered = normalize(platform)
    if (offered.os !== target.os) continue
    if (target.os === "windows" && !windowsRuns(target["os.version"], offered["os.version"])) continue
    const needed = offered["os.features"] ?? []
    if (!needed.every((feature) => features.has(feature) || (target.os === "windows" && feature === "win32k"))) continue
    const rank = machines.findIndex((machine) =>
      machine.architecture === offered.architecture && machine.variant === (offered.variant ?? "")
    )
    if (rank < 0) continue
    if (best === undefined || rank < best.rank || (rank === best.rank && needed.length > best.features)) {
      best = { offer, rank, features: needed.length }
    }
  }
  return Option.map(Option.fromUndefinedOr(best), ({ offer }) => offer)
}

/**
 * Checks whether an offered platform runs on the wanted one, by the rules of {@link choose}.
 *
 * @category predicates
 * @since 0.1.0
 */
export const matches = (wanted: Platform, offered: Platform): boolean =>
  Option.isSome(choose(wanted, [offered], (platform) => platform))

/**
 * Puts a platform's members in the order in which Go writes them, empty ones left out.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toEncodable = (platform: Platform): Json.Encodable => ({
  architecture: platform.architecture,
  os: platform.os,
  "os.version": platform["os.version"] || undefined,
  "os.features": platform["os.features"]?.length ? platform["os.features"] : undefined,
  variant: platform.variant || undefined
})
