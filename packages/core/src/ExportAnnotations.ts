/**
 * Annotations of an export, at four levels and for one platform or all.
 *
 * Follows BuildKit's `exporter/containerimage/exptypes/annotations.go` and `exporter/containerimage/annotations.go`.
 *
 * @since 0.1.0
 */
import type * as Annotations from "@effect-oci/schema/Annotations"
import * as Platform from "@effect-oci/schema/Platform"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * Error raised for an annotation that cannot be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidAnnotation extends Schema.TaggedError<InvalidAnnotation>("@effect-oci/core/InvalidAnnotation")(
  "InvalidAnnotation",
  { text: Schema.String, expected: Schema.String, cause: Schema.optionalKey(Platform.InvalidPlatform) }
) {
  override get message(): string {
    return `invalid annotation ${JSON.stringify(this.text)}: expected ${this.expected}`
  }
}

/**
 * Error raised for an annotation that the image to be exported has no place for.
 *
 * @category errors
 * @since 0.1.0
 */
export class AnnotationRefused extends Schema.TaggedError<AnnotationRefused>("@effect-oci/core/AnnotationRefused")(
  "AnnotationRefused",
  { reason: Schema.Literals(["no-such-platform", "docker-media-types", "no-index"]), what: Schema.String }
) {
  override get message(): string {
    switch (this.reason) {
      case "no-such-platform":
        return `invalid annotation: no platform ${this.what} found in source`
      case "docker-media-types":
        return `cannot export annotations with Docker media types: ${this.what}; only a manifest can have them`
      case "no-index":
        return `index annotations not supported for single platform export: ${this.what}`
    }
  }
}

/**
 * The levels, as BuildKit names them.
 *
 * @category models
 * @since 0.1.0
 */
export type Level = "manifest" | "manifest-descriptor" | "index" | "index-descriptor"

/**
 * One annotation, of the images of all platforms unless it names one.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExportAnnotation {
  readonly level: Level
  readonly platform?: Platform.Platform
  readonly key: string
  readonly value: string
}

const levels: ReadonlyArray<string> = [
  "manifest",
  "manifest-descriptor",
  "index",
  "index-descriptor"
] satisfies ReadonlyArray<Level>

const isLevel = (text: string): text is Level => levels.includes(text)

const attribute = /^annotation(?:-([a-z-]+))?(?:\[([A-Za-z0-9_/-]+)\])?\.([^\s=]+)=(.*)$/s
const option = /^(?:([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?:)?([^\s=]+)=(.*)$/s

/**
 * Parses an annotation, in either of the forms that BuildKit's users write.
 *
 * **Details**
 *
 * `annotation[-LEVEL][[PLATFORM]].KEY=VALUE` is an attribute of the exporter, `[LEVEL[[PLATFORM]]:]KEY=VALUE` what
 * `docker buildx build --annotation` takes. The level is `manifest` unless it is named.
 *
 * **Example** (Annotating the manifest of one platform)
 *
 * ```ts
 * import * as ExportAnnotations from "@effect-oci/core/ExportAnnotations"
 * import * as Result from "effect/Result"
 *
 * const parsed = ExportAnnotations.parse("annotation[linux/arm64].org.opencontainers.image.title=An app")
 * console.log(Result.getOrThrow(parsed).key) // org.opencontainers.image.title
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ExportAnnotation, InvalidAnnotation> => {
  const match = attribute.exec(text) ?? option.exec(text)
  if (match === null) {
    return Result.fail(new InvalidAnnotation({ text, expected: "[LEVEL[[PLATFORM]]:]KEY=VALUE" }))
  }
  const [, level = "manifest", platform, key = "", value = ""] = match
  if (!isLevel(level)) {
    return Result.fail(new InvalidAnnotation({ text, expected: `one of the levels ${levels.join(", ")}` }))
  }
  if (platform === undefined) return Result.succeed({ level, key, value })
  return Platform.parse(platform).pipe(
    Result.map((platform) => ({ level, platform, key, value })),
    Result.mapError((cause) => new InvalidAnnotation({ text, expected: "a platform, such as linux/arm64", cause }))
  )
}

/**
 * The annotations of each level that an image or an index gets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Levels {
  readonly manifest: Annotations.Annotations
  readonly manifestDescriptor: Annotations.Annotations
  readonly index: Annotations.Annotations
  readonly indexDescriptor: Annotations.Annotations
}

const ofLevel = (annotations: ReadonlyArray<ExportAnnotation>, level: Level): Annotations.Annotations =>
  Object.fromEntries(annotations.filter((one) => one.level === level).map(({ key, value }) => [key, value]))

/**
 * Gives the annotations of each level for a platform: of manifests those for all platforms, then those that name it; of
 * the index all, whatever platform they name. A later annotation of a key replaces an earlier one.
 *
 * @category converting
 * @since 0.1.0
 */
export const forPlatform = (
  annotations: ReadonlyArray<ExportAnnotation>,
  platform: Platform.Platform | undefined
): Levels => {
  const general = annotations.filter((one) => one.platform === undefined)
  const own = platform === undefined ?
    [] :
    annotations.filter((one) => one.platform !== undefined && Platform.equivalence(one.platform, platform))
  const applicable = [...general, ...own]
  return {
    manifest: ofLevel(applicable, "manifest"),
    manifestDescriptor: ofLevel(applicable, "manifest-descriptor"),
    index: ofLevel(annotations, "index"),
    indexDescriptor: ofLevel(annotations, "index-descriptor")
  }
}

/**
 * Checks that an export has a place for its annotations.
 *
 * @category validation
 * @since 0.1.0
 */
export const check = (
  annotations: ReadonlyArray<ExportAnnotation>,
  image: {
    readonly platforms: ReadonlyArray<Platform.Platform>
    readonly mediaTypes: "oci" | "docker"
    readonly isIndex: boolean
  }
): Result.Result<void, AnnotationRefused> => {
  for (const { key, level, platform } of annotations) {
    if (platform !== undefined && !image.platforms.some((one) => Platform.equivalence(one, platform))) {
      return Result.fail(new AnnotationRefused({ reason: "no-such-platform", what: Platform.formatAll(platform) }))
    }
    if (image.mediaTypes === "docker" && level !== "manifest") {
      return Result.fail(new AnnotationRefused({ reason: "docker-media-types", what: `${level} ${key}` }))
    }
    if (!image.isIndex && (level === "index" || level === "index-descriptor")) {
      return Result.fail(new AnnotationRefused({ reason: "no-index", what: key }))
    }
  }
  return Result.void
}
