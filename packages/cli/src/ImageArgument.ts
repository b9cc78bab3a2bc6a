/**
 * Where an image is, as the command line writes it: `oci:DIR[:TAG]`.
 *
 * As with skopeo, the first colon after the transport ends the directory, so that a tag may be a whole reference
 * (`oci:out:docker.io/library/alpine:3`), and a directory with a colon in its path cannot be written.
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * Error raised for a text that does not say where an image is.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidImageArgument
  extends Schema.TaggedError<InvalidImageArgument>("@effect-oci/cli/InvalidImageArgument")("InvalidImageArgument", {
    image: Schema.String,
    expected: Schema.String,
    found: Schema.String,
    advice: Schema.String
  })
{
  override get message() {
    return `${JSON.stringify(this.image)} does not say where an image is: expected ${this.expected}, ` +
      `found ${this.found}; ${this.advice}`
  }
}

/**
 * An image in a layout: its directory, and its tag unless it is the unnamed one.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImageArgument {
  readonly directory: string
  readonly tag: Option.Option<string>
}

/** What a text says of a transport, where it says one: a scheme, as in `docker://alpine` and `oci:out`. */
const transportOf = (text: string): string | undefined => /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1]

/**
 * Reads `oci:DIR[:TAG]`.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (image: string): Result.Result<ImageArgument, InvalidImageArgument> => {
  const invalid = (expected: string, found: string, advice: string) =>
    Result.fail(new InvalidImageArgument({ image, expected, found, advice }))

  const transport = transportOf(image)
  if (transport !== "oci") {
    return transport === undefined
      ? invalid("oci:DIR[:TAG]", "no transport", `write oci:${image || "DIR"} for a layout in a directory`)
      : invalid("one of the transports that are known: oci", JSON.stringify(transport), "write oci:DIR[:TAG]")
  }
  const [directory = "", ...rest] = image.slice("oci:".length).split(":")
  if (directory === "") {
    return invalid("a directory after oci:", "nothing", "write oci:DIR[:TAG], such as oci:out:latest")
  }
  if (rest.length === 0) return Result.succeed({ directory, tag: Option.none() })
  const tag = rest.join(":")
  return ImageStore.isName(tag)
    ? Result.succeed({ directory, tag: Option.some(tag) })
    : invalid(
      `after the directory a tag of ${ImageStore.nameRule}`,
      tag === "" ? "nothing" : JSON.stringify(tag),
      "write one such as latest, or leave it out together with its colon; a directory's path cannot hold a colon"
    )
}

/**
 * Writes it back.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = ({ directory, tag }: ImageArgument): string =>
  `oci:${directory}${Option.match(tag, { onNone: () => "", onSome: (name) => `:${name}` })}`
