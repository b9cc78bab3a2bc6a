/**
 * What the versions of BuildKit disagree on, as data: each preset is a row of named rules.
 *
 * A digest depends on these rules, so a preset never changes once it has been released. Code asks for a rule, never for
 * a preset.
 *
 * @since 0.1.0
 */

/**
 * The rules of an export.
 *
 * @category models
 * @since 0.1.0
 */
export interface Compatibility {
  readonly name: string
  /** What the config of an image without one says of the platform, and whether Windows gets Unix's `PATH`. */
  readonly emptyConfig: "os-and-architecture" | "whole-platform"
  /** Whether the members of a config that image-spec knows are checked, and `os` and `architecture` required. */
  readonly config: "as-handed-in" | "checked"
  /** What stands in for the refs that an image has too few of: the clock, or nothing, which too short a chain then is. */
  readonly missingRefs: "clock" | "nothing"
  /** How much of a chain is acquired: one ref a layer and one more, or all of it. */
  readonly chain: "layers" | "whole"
  /** Which history items without a time are given one: those of layers, or all. */
  readonly missingTimes: "of-layers" | "all"
  /** What a config without a time of creation gets: the history's last, or that clamped by the epoch too. */
  readonly derivedCreated: "last" | "clamped"
  /** Whether the times of history items keep their offset. */
  readonly times: "as-given" | "utc"
  /** Which of BuildKit's internal annotations of layers are left in manifests. */
  readonly internalAnnotations: "rewritten-timestamp" | "none"
}

/**
 * The exporter as moby had it in July 2019, before it filled in the times of items without a layer.
 *
 * @category presets
 * @since 0.1.0
 */
export const moby2019: Compatibility = {
  name: "moby-2019",
  emptyConfig: "os-and-architecture",
  config: "as-handed-in",
  missingRefs: "clock",
  chain: "layers",
  missingTimes: "of-layers",
  derivedCreated: "last",
  times: "as-given",
  internalAnnotations: "rewritten-timestamp"
}

/**
 * The exporter of BuildKit of August 2026.
 *
 * @category presets
 * @since 0.1.0
 */
export const buildkit2026: Compatibility = {
  name: "buildkit-2026",
  emptyConfig: "whole-platform",
  config: "checked",
  missingRefs: "nothing",
  chain: "whole",
  missingTimes: "all",
  derivedCreated: "last",
  times: "as-given",
  internalAnnotations: "rewritten-timestamp"
}
