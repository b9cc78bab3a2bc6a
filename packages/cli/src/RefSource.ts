/**
 * Where refs are imported from, as the command line writes it: an image in any store, or `buildkit-cache:DIR[:TAG]`.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as ImageArgument from "./ImageArgument.ts"

/**
 * A build cache that BuildKit has exported to a directory. Without a tag it has to be the only one there.
 *
 * @category models
 * @since 0.1.0
 */
export interface BuildKitCache {
  readonly _tag: "BuildKitCache"
  readonly directory: string
  readonly tag: Option.Option<string>
}

/**
 * An image, whose layers become refs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Image {
  readonly _tag: "Image"
  readonly image: ImageArgument.ImageArgument
}

/**
 * What refs can be imported from.
 *
 * @category models
 * @since 0.1.0
 */
export type RefSource = BuildKitCache | Image

const scheme = "buildkit-cache:"

/**
 * All the ways to write one, for help.
 *
 * @category constants
 * @since 0.1.0
 */
export const syntax: string = `${ImageArgument.syntax}, ${scheme}DIR[:TAG]`

const cacheAt = (text: string): Result.Result<BuildKitCache, ImageArgument.InvalidImageArgument> => {
  const [directory = "", ...rest] = text.slice(scheme.length).split(":")
  const tag = rest.length === 0 ? Option.none() : Option.some(rest.join(":"))
  const isTagEmpty = Option.contains(tag, "")
  return directory === "" || isTagEmpty
    ? Result.fail(
      new ImageArgument.InvalidImageArgument({
        image: text,
        expected: directory === "" ? `a directory after ${scheme}` : "a tag after the directory",
        found: "nothing",
        advice: `write ${scheme}DIR[:TAG], such as ${scheme}out; a path cannot hold a colon`
      })
    )
    : Result.succeed({ _tag: "BuildKitCache", directory, tag })
}

/**
 * Reads where refs are imported from.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<RefSource, ImageArgument.InvalidImageArgument> =>
  text.startsWith(scheme)
    ? cacheAt(text)
    : Result.map(ImageArgument.parse(text), (image): Image => ({ _tag: "Image", image }))

/**
 * Writes it back.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: RefSource): string =>
  self._tag === "Image"
    ? ImageArgument.format(self.image)
    : scheme + self.directory + Option.match(self.tag, { onNone: () => "", onSome: (tag) => `:${tag}` })
