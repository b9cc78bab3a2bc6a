/**
 * Where refs are imported from, as the command line writes it: an image in any store, `buildkit-cache:DIR[:TAG]`, or
 * `docker-engine:[SOCKET]`.
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
 * A Docker engine, by its socket: the one that is usual, unless it is given.
 *
 * @category models
 * @since 0.1.0
 */
export interface DockerEngine {
  readonly _tag: "DockerEngine"
  readonly socket: Option.Option<string>
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
export type RefSource = BuildKitCache | DockerEngine | Image

const scheme = "buildkit-cache:"
const engineScheme = "docker-engine:"

/**
 * All the ways to write one, for help.
 *
 * @category constants
 * @since 0.1.0
 */
export const syntax: string = `${ImageArgument.syntax}, ${scheme}DIR[:TAG], ${engineScheme}[SOCKET]`

const engineAt = (text: string): DockerEngine => {
  // As DOCKER_HOST has it
  const socket = text.slice(engineScheme.length).replace(/^unix:\/\//, "")
  return { _tag: "DockerEngine", socket: socket === "" ? Option.none() : Option.some(socket) }
}

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
    : text.startsWith(engineScheme)
    ? Result.succeed(engineAt(text))
    : Result.map(ImageArgument.parse(text), (image): Image => ({ _tag: "Image", image }))

/**
 * Writes it back.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (self: RefSource): string => {
  switch (self._tag) {
    case "Image":
      return ImageArgument.format(self.image)
    case "DockerEngine":
      return engineScheme + Option.getOrElse(self.socket, () => "")
    case "BuildKitCache":
      return scheme + self.directory + Option.match(self.tag, { onNone: () => "", onSome: (tag) => `:${tag}` })
  }
}
