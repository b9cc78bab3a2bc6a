/**
 * Values that a flag gives for one platform, `OS/ARCH[/VARIANT]=VALUE`, or for all, `VALUE`.
 *
 * @since 0.1.0
 */
import * as Platform from "@effect-oci/schema/Platform"
import * as Option from "effect/Option"
import * as Result from "effect/Result"

/**
 * A value, and the platform that it is for unless it is for all.
 *
 * @category models
 * @since 0.1.0
 */
export interface PerPlatform {
  readonly platform: Option.Option<Platform.Platform>
  readonly value: string
}

/**
 * Reads a value. What stands before the first `=` is a platform only if it reads as one, so a file may be called `a=b`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): PerPlatform => {
  const equals = text.indexOf("=")
  const platform = equals < 0 ? Option.none() : Result.getSuccess(Platform.parse(text.slice(0, equals)))
  return Option.isNone(platform) ? { platform, value: text } : { platform, value: text.slice(equals + 1) }
}

const same = (left: Platform.Platform, right: Platform.Platform): boolean =>
  Platform.format(Platform.normalize(left)) === Platform.format(Platform.normalize(right))

/**
 * Chooses the values for a platform: those that name it, and those for all.
 *
 * @category getters
 * @since 0.1.0
 */
export const valuesFor = (values: ReadonlyArray<PerPlatform>, platform: Platform.Platform): ReadonlyArray<string> =>
  values.filter((one) => Option.isNone(one.platform) || same(one.platform.value, platform)).map((one) => one.value)

/**
 * Chooses the value for a platform: the last that names it, else the last for all.
 *
 * @category getters
 * @since 0.1.0
 */
export const valueFor = (
  values: ReadonlyArray<PerPlatform>,
  platform: Platform.Platform
): Option.Option<string> => {
  const own = values.filter((one) => Option.isSome(one.platform) && same(one.platform.value, platform))
  const general = values.filter((one) => Option.isNone(one.platform))
  return Option.fromUndefinedOr((own.at(-1) ?? general.at(-1))?.value)
}
