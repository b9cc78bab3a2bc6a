/**
 * `effect-oci export REF`
 *
 * @since 0.1.0
 */
import * as PackageUrl from "@effect-oci/adapters/PackageUrl"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as Epoch from "@effect-oci/core/Epoch"
import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as HistoryRepair from "@effect-oci/core/HistoryRepair"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Platform from "@effect-oci/schema/Platform"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as AttestationFile from "../AttestationFile.ts"
import * as ExportNotes from "../ExportNotes.ts"
import * as Flags from "../Flags.ts"
import * as HostPlatform from "../HostPlatform.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Input from "../Input.ts"
import * as Output from "../Output.ts"
import * as PerPlatform from "../PerPlatform.ts"
import * as ProgressView from "../ProgressView.ts"
import * as Store from "../Store.ts"
import * as Table from "../Table.ts"
import * as Transport from "../Transport.ts"

/** A ref of one platform: `OS/ARCH[/VARIANT]`, or that and `=REF`, where REF may be `scratch`. */
interface PlatformFlag {
  readonly platform: Platform.Platform
  readonly ref: Option.Option<string>
}

const parsePlatform = (text: string): Result.Result<PlatformFlag, { readonly message: string }> => {
  const equals = text.indexOf("=")
  const ref = equals < 0 ? Option.none() : Option.some(text.slice(equals + 1))
  if (Option.isSome(ref) && !RefDocument.isName(ref.value)) {
    return Result.fail({ message: `${JSON.stringify(ref.value)} cannot name a ref: expected ${RefDocument.nameRule}` })
  }
  return Result.map(Platform.parse(equals < 0 ? text : text.slice(0, equals)), (platform) => ({ platform, ref }))
}

interface Options {
  readonly ref: Option.Option<string>
  readonly to: ImageArgument.ImageArgument
  readonly config: ReadonlyArray<PerPlatform.PerPlatform>
  readonly baseConfig: ReadonlyArray<PerPlatform.PerPlatform>
  readonly attest: ReadonlyArray<PerPlatform.PerPlatform>
  readonly platform: ReadonlyArray<PlatformFlag>
  readonly annotation: ReadonlyArray<ExportAnnotations.ExportAnnotation>
  readonly name: ReadonlyArray<ImageReference.ImageReference>
  readonly epoch: Option.Option<string>
  readonly compatibility: Compatibility.Compatibility
  readonly repair: Option.Option<HistoryRepair.Policy>
  readonly format: "oci" | "docker"
  readonly attestForm: "oci-artifact" | "docker"
  readonly json: boolean
}

const usage = (message: string) => new CliError.ValidationError({ message })

/** What is exported: one image, or those of several platforms. Both at once, or neither, is wrong usage. */
const chosen = ({ platform, ref }: Options): Result.Result<
  { readonly isIndex: boolean; readonly images: ReadonlyArray<PlatformFlag & { readonly given: boolean }> },
  CliError.ValidationError
> => {
  const named = platform.filter((one) => Option.isSome(one.ref))
  if (Option.isSome(ref)) {
    if (named.length > 0) return Result.fail(usage("give REF, or --platform OS/ARCH=REF for each platform, not both"))
    if (platform.length > 1) return Result.fail(usage("give --platform once with REF, or as OS/ARCH=REF for each"))
    const own = platform[0]?.platform
    return Result.succeed({
      isIndex: false,
      images: [{ platform: own ?? HostPlatform.get(), ref, given: own !== undefined }]
    })
  }
  if (platform.length === 0) return Result.fail(usage("missing argument REF: name a ref, or --platform OS/ARCH=REF"))
  if (named.length < platform.length) {
    return Result.fail(usage("--platform: without REF each platform needs one of its own, as in linux/arm64=app"))
  }
  const formats = platform.map((one) => Platform.format(Platform.normalize(one.platform)))
  const twice = formats.find((text, index) => formats.indexOf(text) !== index)
  return twice === undefined
    ? Result.succeed({ isIndex: true, images: platform.map((one) => ({ ...one, given: true })) })
    : Result.fail(usage(`--platform: ${twice} is given twice`))
}

const readFor = (files: ReadonlyArray<PerPlatform.PerPlatform>, platform: Platform.Platform, document: string) =>
  Effect.transposeOption(Option.map(PerPlatform.valueFor(files, platform), (file) => Input.read(file, document)))

const loadImage = Effect.fnUntraced(function*(
  { given, platform, ref }: PlatformFlag & { readonly given: boolean },
  options: Options
) {
  const config = yield* readFor(options.config, platform, "image config")
  const baseConfig = yield* readFor(options.baseConfig, platform, "config of the base image")
  if (given && Option.isSome(config)) yield* HostPlatform.checkSame(config.value, platform)
  const attestations = yield* Effect.forEach(
    PerPlatform.valuesFor(options.attest, platform),
    (file) => AttestationFile.read(file)
  )
  return {
    platform,
    ...(Option.isNone(ref) || ref.value === "scratch" ? {} : { ref: ref.value }),
    ...(Option.isNone(config) ? {} : { config: config.value }),
    ...(Option.isNone(baseConfig) ? {} : { baseConfig: baseConfig.value }),
    ...(attestations.length === 0 ? {} : { attestations })
  }
})

const run = Effect.fnUntraced(function*(options: Options) {
  const { images: flags, isIndex } = yield* Effect.fromResult(chosen(options))
  const epoch = yield* Epoch.resolve(Option.isSome(options.epoch) ? { explicit: options.epoch.value } : {})
  const images = yield* Effect.forEach(flags, (image) => loadImage(image, options))
  const settings: ExportImage.Settings = {
    rules: options.compatibility,
    mediaTypes: options.format,
    attestationForm: options.attestForm,
    annotations: options.annotation,
    subjectNames: (platform) => options.name.map((name) => PackageUrl.fromReference(name, platform)),
    compareWith: Compatibility.effectOci1,
    ...(Option.isSome(options.repair) ? { repair: options.repair.value } : {}),
    ...(Option.isSome(epoch) ? { epoch: epoch.value } : {})
  }
  const [first] = images
  const exporting = isIndex || first === undefined
    ? ExportImage.runIndex(images, settings)
    : ExportImage.run(first, settings)
  const exported = yield* ProgressView.show(ImageStore.publish(options.to.tag, exporting)).pipe(
    Effect.provide(Transport.layer(options.to))
  )
  yield* ExportNotes.tell(exported)
  const { configs, descriptor } = exported
  const name = ImageArgument.format(options.to)
  if (options.json) {
    const { changes, differingRules, warnings } = exported
    const config = configs[0]
    return yield* Output.json({ image: name, descriptor, config, configs, warnings, changes, differingRules })
  }
  yield* Output.line(Table.format([
    ["image", name],
    ["digest", descriptor.digest],
    [
      isIndex ? "platforms" : "platform",
      isIndex
        ? images.map((image) => Platform.format(image.platform)).join(", ")
        : Platform.format(descriptor.platform ?? first?.platform ?? HostPlatform.get())
    ],
    ...configs.map((config) => ["config", config.digest] as const)
  ]))
})

const files = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(description),
    Flag.map(PerPlatform.parse),
    Flag.atLeast(0)
  )

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "export",
  {
    ref: Argument.String("REF").pipe(
      Argument.withDescription("The ref of the uppermost layer; those below it come with it"),
      Argument.filter(
        RefDocument.isName,
        (text) => `${RefDocument.nameRule}, such as app or base-12.4; found ${JSON.stringify(text)}`
      ),
      Argument.optional
    ),
    to: Flag.String("to").pipe(
      Flag.withMetavar("IMAGE"),
      Flag.withDescription(
        `Where to: ${ImageArgument.syntax}. Without a tag it is the unnamed image`
      ),
      Flag.mapEffect(Flags.parsing("--to", ImageArgument.parseTarget))
    ),
    config: files(
      "config",
      "[OS/ARCH=]FILE",
      "The image's config; - is stdin (default: an empty one, with a PATH, for the platform)"
    ),
    platform: Flag.String("platform").pipe(
      Flag.withMetavar("OS/ARCH[/VARIANT][=REF]"),
      Flag.withDescription(
        "What the image runs on (default: what the config says, else this machine's, or Linux on a Mac). " +
          "With =REF, instead of REF and once for each platform: an index of several images; =scratch has no layers"
      ),
      Flag.mapEffect(Flags.parsing("--platform", parsePlatform)),
      Flag.atLeast(0)
    ),
    epoch: Flag.String("epoch").pipe(
      Flag.withMetavar("SECONDS"),
      Flag.withDescription(
        "No time in the image is later, in seconds since 1970; empty for none (default: $SOURCE_DATE_EPOCH)"
      ),
      Flag.optional
    ),
    baseConfig: files("base-config", "[OS/ARCH=]FILE", "The base image's config: an epoch leaves its history alone"),
    annotation: Flag.String("annotation").pipe(
      Flag.withMetavar("[LEVEL[[OS/ARCH]]:]KEY=VALUE"),
      Flag.withDescription(
        "An annotation; LEVEL is manifest (default), manifest-descriptor, index or index-descriptor. " +
          "annotation-LEVEL[OS/ARCH].KEY=VALUE is taken too. Repeatable"
      ),
      Flag.mapEffect(Flags.parsing("--annotation", ExportAnnotations.parse)),
      Flag.atLeast(0)
    ),
    attest: files(
      "attest",
      "[OS/ARCH=][TYPE=]FILE",
      "An SBOM, a provenance document or an in-toto statement to store with the image; TYPE is the predicate's, a URI. Repeatable"
    ),
    attestForm: Flag.Literals("attest-form", ["oci-artifact", "docker"]).pipe(
      Flag.withDescription("The form of attestation manifests (default: oci-artifact)"),
      Flag.withDefault("oci-artifact")
    ),
    name: Flag.String("name").pipe(
      Flag.withMetavar("NAME"),
      Flag.withDescription("What attestations call the image, such as ghcr.io/team/app:1.0. Repeatable"),
      Flag.mapEffect(Flags.parsing("--name", ImageReference.parse)),
      Flag.atLeast(0)
    ),
    format: Flag.Literals("format", ["oci", "docker"]).pipe(
      Flag.withDescription("Whose media types are written (default: oci)"),
      Flag.withDefault("oci")
    ),
    compatibility: Flags.compatibility,
    repair: Flag.Literals("repair", HistoryRepair.policies).pipe(
      Flag.withDescription("What to do with a history that does not fit the layers (default: what the exporter does)"),
      Flag.optional
    ),
    store: Store.flag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.validate((input) => Effect.asVoid(Effect.fromResult(chosen(input)))),
  Command.withDescription(
    "Write an image as BuildKit would: the layers of a ref and of all refs below it, a config, and a manifest."
  ),
  Command.withShortDescription("Write an image from a ref"),
  Command.withExamples([
    { command: "effect-oci export app --to oci:out:latest" },
    {
      command: "effect-oci export app --to oci:out:latest --config config.json",
      description: "With a config, which may say Entrypoint, Env, Labels, its history …"
    },
    {
      command: "effect-oci export app --to oci:out --platform linux/arm64 --json | jq -r .descriptor.digest",
      description: "For another platform; the digest, for a script"
    },
    {
      command: "effect-oci export --platform linux/amd64=app --platform linux/arm64=app-arm --to oci:out:latest",
      description: "An index of two platforms"
    },
    {
      command: "effect-oci export app --to oci:out:1.0 --attest sbom.spdx.json --name ghcr.io/team/app:1.0",
      description: "With an SBOM beside it"
    }
  ])
)
