/**
 * What the versions of BuildKit disagree on, as data: a table of named rules with a row for each preset.
 *
 * A digest depends on these rules, so a preset never changes once it has been released. Code asks for a rule, never for
 * a preset; adding a preset is adding a row.
 *
 * @since 0.1.0
 */

/**
 * The rules of an export.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rules {
  /** What the config of an image without one says of the platform, and whether Windows gets Unix's `PATH`. */
  readonly emptyConfig: "os-and-architecture" | "whole-platform"
  /** Whether the members of a config that image-spec knows are checked, and `os` and `architecture` required. */
  readonly config: "as-handed-in" | "checked"
  /** How much of a chain is acquired: one ref a layer and one more, or all of it. */
  readonly chain: "layers" | "whole"
  /** What stands in for the refs that an image has too few of: the clock, or nothing, which makes the chain too short. */
  readonly missingRefs: "clock" | "nothing"
  /** The time of a layer whose ref knows none: Go's zero time, 0001-01-01T00:00:00Z, or none at all. */
  readonly unknownTime: "zero" | "none"
  /** How a history is repaired that does not fit its layers: as `HistoryRepair` names its policies. */
  readonly repair: "strict" | "buildkit" | "align" | "pad"
  /** The times of history that is added: each layer's own or, as with a variable that a loop shares, the last one's. */
  readonly addedTimes: "own" | "shared"
  /** Which history items without a time are given one: those of layers, or all. */
  readonly missingTimes: "of-layers" | "all"
  /** What a config without a time of creation gets: the history's last, or that clamped by the epoch too. */
  readonly derivedCreated: "last" | "clamped"
  /** Whether the times of history items keep their offset. */
  readonly times: "as-given" | "utc"
  /** How backspace and form feed are written in a history: `\\b` and `\\f`, as Go does since 1.22, or by their numbers. */
  readonly controlEscapes: "short" | "numeric"
  /** Which of BuildKit's internal annotations of layers are left in manifests. */
  readonly internalAnnotations: "rewritten-timestamp" | "none"
  /** Whether a manifest names the encoders of its layers, as far as they are known. */
  readonly encoderAnnotation: "none" | "written"
}

/**
 * A preset: rules that go together under a name.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compatibility extends Rules {
  readonly name: string
}

/**
 * The exporter as moby had it in July 2019, the seed of this project.
 *
 * @category presets
 * @since 0.1.0
 */
export const moby2019: Compatibility = {
  name: "moby-2019",
  emptyConfig: "os-and-architecture",
  config: "as-handed-in",
  chain: "layers",
  missingRefs: "clock",
  unknownTime: "zero",
  repair: "buildkit",
  addedTimes: "own",
  missingTimes: "of-layers",
  derivedCreated: "last",
  times: "as-given",
  controlEscapes: "short",
  internalAnnotations: "rewritten-timestamp",
  encoderAnnotation: "none"
}

/**
 * The exporter of the Docker engine 20.10, as Debian builds it: the seed, times for all history items, and the escapes of
 * Go 1.19.
 *
 * @category presets
 * @since 0.1.0
 */
export const moby2010: Compatibility = {
  ...moby2019,
  name: "moby-20.10",
  missingTimes: "all",
  controlEscapes: "numeric"
}

/**
 * The exporter of BuildKit of August 2026, with its faults.
 *
 * @category presets
 * @since 0.1.0
 */
export const buildkit2026: Compatibility = {
  name: "buildkit-2026",
  emptyConfig: "whole-platform",
  config: "checked",
  chain: "whole",
  missingRefs: "nothing",
  unknownTime: "zero",
  repair: "buildkit",
  addedTimes: "own",
  missingTimes: "all",
  derivedCreated: "last",
  times: "as-given",
  controlEscapes: "short",
  internalAnnotations: "rewritten-timestamp",
  encoderAnnotation: "none"
}

/**
 * Our own exporter: BuildKit's, with its known faults put right, and layers that tell their encoder.
 *
 * @category presets
 * @since 0.1.0
 */
export const effectOci1: Compatibility = {
  ...buildkit2026,
  name: "effect-oci-1",
  unknownTime: "none",
  repair: "align",
  derivedCreated: "clamped",
  times: "utc",
  internalAnnotations: "none",
  encoderAnnotation: "written"
}

/**
 * All presets, oldest first.
 *
 * @category presets
 * @since 0.1.0
 */
export const presets: ReadonlyArray<Compatibility> = [moby2019, moby2010, buildkit2026, effectOci1]

/**
 * The preset that is meant where none is named.
 *
 * @alias buildkit2026
 * @category presets
 * @since 0.1.0
 */
export const standard: Compatibility = buildkit2026

/**
 * Finds a preset by its name.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = (name: string): Compatibility | undefined => presets.find((preset) => preset.name === name)

const ruleNames = [
  "emptyConfig",
  "config",
  "chain",
  "missingRefs",
  "unknownTime",
  "repair",
  "addedTimes",
  "missingTimes",
  "derivedCreated",
  "times",
  "controlEscapes",
  "internalAnnotations",
  "encoderAnnotation"
] as const satisfies ReadonlyArray<keyof Rules>

/**
 * Gives the names of the rules in which two presets differ.
 *
 * @category getters
 * @since 0.1.0
 */
export const differences = (left: Rules, right: Rules): ReadonlyArray<keyof Rules> =>
  ruleNames.filter((rule) => left[rule] !== right[rule])

/**
 * Takes one rule over from other rules.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withRule = (rules: Compatibility, rule: keyof Rules, from: Rules): Compatibility => ({
  ...rules,
  [rule]: from[rule]
})
