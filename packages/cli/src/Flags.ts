/**
 * Flags and arguments that several commands share.
 *
 * @since 0.1.0
 */
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as Platform from "@effect-oci/schema/Platform"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as ImageArgument from "./ImageArgument.ts"

/**
 * `--json`: the result, and a failure, as JSON on stdout.
 *
 * @category flags
 * @since 0.1.0
 */
export const json = Flag.Boolean("json").pipe(
  Flag.withoutNegation,
  Flag.withDescription("Print the result as one line of JSON; a failure too"),
  Flag.withDefault(false)
)

/**
 * Reads a text by a function that tells what is wrong with it; that is wrong usage then, told under `name`.
 *
 * @category parsing
 * @since 0.1.0
 */
export const parsing =
  <A>(name: string, parse: (text: string) => Result.Result<A, { readonly message: string }>) =>
  (text: string): Effect.Effect<A, CliError.ValidationError> =>
    Effect.fromResult(
      Result.mapError(parse(text), ({ message }) => new CliError.ValidationError({ message: `${name}: ${message}` }))
    )

const refName = (text: string): string =>
  `${RefDocument.nameRule}, such as app or base-12.4; found ${JSON.stringify(text)}`

/**
 * The name of a ref as an argument.
 *
 * @category flags
 * @since 0.1.0
 */
export const refArgument = (name: string, description: string): Argument.Argument<string> =>
  Argument.String(name).pipe(
    Argument.withDescription(description),
    Argument.filter(RefDocument.isName, refName)
  )

/**
 * The name of a ref as the value of a flag.
 *
 * @category flags
 * @since 0.1.0
 */
export const refFlag = (name: string): Flag.Flag<string> =>
  Flag.String(name).pipe(Flag.withMetavar("REF"), Flag.filter(RefDocument.isName, refName))

/**
 * `--compatibility`: the exporter that is meant.
 *
 * @category flags
 * @since 0.1.0
 */
export const compatibility: Flag.Flag<Compatibility.Compatibility> = Flag.Literals(
  "compatibility",
  Compatibility.presets.map((preset) => preset.name)
).pipe(
  Flag.withDescription(`Which exporter is meant (default: ${Compatibility.standard.name})`),
  Flag.withDefault(Compatibility.standard.name),
  Flag.map((name) => Compatibility.find(name) ?? Compatibility.standard)
)

/**
 * An image as an argument.
 *
 * @category flags
 * @since 0.1.0
 */
export const image = (
  name: string,
  description: string,
  parse = ImageArgument.parse
): Argument.Argument<ImageArgument.ImageArgument> =>
  Argument.String(name).pipe(
    Argument.withDescription(description),
    Argument.mapEffect(parsing(name, parse))
  )

/**
 * `--platform OS/ARCH[/VARIANT]`.
 *
 * @category flags
 * @since 0.1.0
 */
export const platform = (description: string): Flag.Flag<Option.Option<Platform.Platform>> =>
  Flag.String("platform").pipe(
    Flag.withMetavar("OS/ARCH[/VARIANT]"),
    Flag.withDescription(description),
    Flag.mapEffect(parsing("--platform", Platform.parse)),
    Flag.optional
  )
