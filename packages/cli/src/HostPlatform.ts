/**
 * The platform of an export: this machine's, or the one that was asked for.
 *
 * @since 0.1.0
 */
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Platform from "@effect-oci/schema/Platform"
import * as CliError from "effect/cli/CliError"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import process from "node:process"

/** Node's names where they are not Go's. */
const systems: Readonly<Record<string, string>> = { darwin: "linux", win32: "windows", sunos: "solaris" }
const architectures: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386", ppc64: "ppc64le" }

/**
 * What this machine runs, in Go's names. On a Mac that is Linux: its containers run there.
 *
 * @category getters
 * @since 0.1.0
 */
export const get = (): Platform.Platform =>
  Platform.normalize({
    os: systems[process.platform] ?? process.platform,
    architecture: architectures[process.arch] ?? process.arch
  })

/** What a platform and a config both say, and say differently. */
const differs = (left: Platform.Platform, right: Platform.Platform): boolean => {
  const a = Platform.normalize(left)
  const b = Platform.normalize(right)
  return (["os", "architecture", "variant", "os.version"] as const).some((member) =>
    a[member] !== undefined && b[member] !== undefined && a[member] !== b[member]
  )
}

/**
 * Checks that a config is for the platform that was asked for: BuildKit would go by the config without a word. A config
 * that cannot be read is left to the export to tell.
 *
 * @category guards
 * @since 0.1.0
 */
export const checkSame = (
  config: Uint8Array,
  platform: Platform.Platform
): Effect.Effect<void, CliError.ValidationError> => {
  const parsed = ImageConfig.parse(config)
  if (Result.isFailure(parsed)) return Effect.void
  const { architecture, os, variant, "os.version": version } = parsed.success.value
  if (os === undefined || architecture === undefined) return Effect.void
  const own = {
    os,
    architecture,
    ...(variant === undefined ? {} : { variant }),
    ...(version === undefined ? {} : { "os.version": version })
  }
  return differs(own, platform)
    ? Effect.fail(
      new CliError.ValidationError({
        message: `--platform says ${Platform.format(platform)} and the config ${Platform.format(own)}: ` +
          "leave --platform out, or change the config"
      })
    )
    : Effect.void
}
