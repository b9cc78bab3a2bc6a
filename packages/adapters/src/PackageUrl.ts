/**
 * Package URLs of images: what attestations call them.
 *
 * Follows the package-url specification for the type `docker`, and BuildKit's `util/purl`.
 *
 * @since 0.1.0
 */
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Platform from "@effect-oci/schema/Platform"
import * as Option from "effect/Option"
import { PackageURL } from "packageurl-js"

/**
 * Makes the package URL of an image's name, for a platform if one is given.
 *
 * **Details**
 *
 * A name without tag and digest gets the tag `latest`. Names of Docker Hub are shortened, as `docker pull` takes them.
 *
 * **Example** (Naming an image for an attestation)
 *
 * ```ts
 * import * as PackageUrl from "@effect-oci/adapters/PackageUrl"
 * import * as ImageReference from "@effect-oci/schema/ImageReference"
 * import * as Result from "effect/Result"
 *
 * const name = Result.getOrThrow(ImageReference.parse("alpine:3.19"))
 * console.log(PackageUrl.fromReference(name, { os: "linux", architecture: "amd64" }))
 * // pkg:docker/alpine@3.19?platform=linux%2Famd64
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const fromReference = (reference: ImageReference.ImageReference, platform?: Platform.Platform): string => {
  const named = ImageReference.withDefaultTag(reference)
  const bare = { ...named, tag: Option.none<string>(), digest: Option.none() }
  const parts = ImageReference.familiar(bare).split("/")
  const qualifiers = {
    ...(Option.isSome(named.digest) ? { digest: named.digest.value } : {}),
    ...(platform === undefined ? {} : { platform: Platform.format(Platform.normalize(platform)) })
  }
  return new PackageURL(
    "docker",
    parts.length > 1 ? parts.slice(0, -1).join("/") : undefined,
    parts.at(-1) ?? "",
    Option.getOrUndefined(named.tag),
    Object.keys(qualifiers).length === 0 ? undefined : qualifiers
  ).toString()
}
