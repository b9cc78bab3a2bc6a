/**
 * Where an image is, as the command line writes it, in skopeo's words: `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]`,
 * `docker-archive:FILE[:NAME:TAG]`, `dir:PATH` and `docker://NAME[:TAG]`. `@DIGEST` in the place of a tag chooses by digest.
 *
 * As with skopeo, the first colon after the transport ends the path, so that a tag may be a whole reference
 * (`oci:out:docker.io/library/alpine:3`), and a path with a colon in it cannot be written, save after `dir:`. The name of an
 * image in a registry is read as Docker reads it: `docker://alpine` is `docker://docker.io/library/alpine:latest`.
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
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

/** The transports, and how each is written. */
const forms = {
  oci: { form: "oci:DIR[:TAG]", path: "a directory", example: "oci:out:latest" },
  "oci-archive": { form: "oci-archive:FILE[:TAG]", path: "a file", example: "oci-archive:out.tar:latest" },
  "docker-archive": { form: "docker-archive:FILE[:NAME:TAG]", path: "a file", example: "docker-archive:out.tar:app:1" },
  dir: { form: "dir:PATH", path: "a directory", example: "dir:out" },
  docker: { form: "docker://NAME[:TAG]", path: "a name", example: "docker://registry.example.com/team/app:1" }
} as const

/**
 * What kind of store an image is in.
 *
 * @category models
 * @since 0.1.0
 */
export type Transport = keyof typeof forms

const isTransport = (text: string): text is Transport => Object.hasOwn(forms, text)

/**
 * All the ways to write an image, for help.
 *
 * @category constants
 * @since 0.1.0
 */
export const syntax: string = Object.values(forms).map(({ form }) => form).join(", ")

/**
 * An image in a store: the store's path, and the image's tag unless it is the unnamed one, or its digest. The path of a
 * registry is that of one repository, such as `docker.io/library/alpine`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImageArgument {
  readonly transport: Transport
  readonly path: string
  readonly tag: Option.Option<string>
  readonly digest: Option.Option<Digest.Digest>
}

/** What a text says of a transport, where it says one: a scheme, as in `docker://alpine` and `oci:out`. */
const transportOf = (text: string): string | undefined => /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1]

/**
 * Tells whether a text begins with a transport, as an image does and a name or a path does not.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasTransport = (text: string): boolean => isTransport(transportOf(text) ?? "")

/** Transports of skopeo that lead to no store of ours, and what to do about it. */
const elsewhere: Readonly<Record<string, string>> = {
  "docker-daemon": "engines are not supported yet: save the image first, as with docker save -o FILE NAME, " +
    "and write docker-archive:FILE",
  "containers-storage":
    "that storage is not supported: bring the image here first, as with skopeo copy IMAGE oci:DIR:TAG"
}

/** The text as the name of an image in a registry, where it is one: what others write without `docker://`. */
const inRegistry = (text: string): string | undefined => {
  const name = text.replace(/^(?:https?:|docker)\/\//, "")
  return Result.isSuccess(ImageReference.parse(name)) ? `docker://${name} for an image in a registry` : undefined
}

/** What to write where no transport is. */
const withTransport = (text: string): string => {
  const named = inRegistry(text)
  const layout = `oci:${text || "DIR"} for a layout in a directory`
  return named === undefined ? layout : text.includes("//") ? named : `${layout}, or ${named}`
}

/** What to write for a transport that is none. */
const withAnother = (text: string): string => {
  const named = inRegistry(text)
  return named === undefined ? syntax : text.includes("//") ? named : `${named}, or else ${syntax}`
}

const isTag = (transport: Transport, tag: string): boolean =>
  transport === "docker-archive" ? Result.isSuccess(ImageReference.parse(tag)) : ImageStore.isName(tag)

/** Reads what stands behind `docker:`, as it is written. */
const parseName = (image: string): Result.Result<ImageArgument, InvalidImageArgument> => {
  const invalid = (found: string, advice: string) =>
    Result.fail(new InvalidImageArgument({ image, expected: "the name of an image after docker://", found, advice }))

  const { example, form } = forms.docker
  const name = /^docker:\/\/(.*)$/s.exec(image)?.[1]
  if (name === undefined) return invalid("no two slashes", `write ${form}, such as ${example}`)
  return Result.match(ImageReference.parse(name), {
    onSuccess: ({ digest, domain, path, tag }) =>
      Result.succeed({
        transport: "docker",
        path: `${domain}/${path}`,
        tag: Option.isSome(digest) ? Option.none() : tag,
        digest
      }),
    onFailure: ({ advice, found }) => invalid(found, advice)
  })
}

/**
 * Reads where an image is. In a registry it has the tag `latest` where nothing else is said.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (image: string): Result.Result<ImageArgument, InvalidImageArgument> => {
  const invalid = (expected: string, found: string, advice: string) =>
    Result.fail(new InvalidImageArgument({ image, expected, found, advice }))

  const transport = transportOf(image)
  if (transport === undefined) {
    return invalid(`a transport: ${syntax}`, "none", `write ${withTransport(image)}`)
  }
  if (!isTransport(transport)) {
    return invalid(
      `one of the transports that are known: ${Object.keys(forms).join(", ")}`,
      JSON.stringify(transport),
      (Object.hasOwn(elsewhere, transport) ? elsewhere[transport] : undefined) ??
        `write ${withAnother(image)}`
    )
  }
  if (transport === "docker") {
    return Result.map(parseName(image), (named) => ({
      ...named,
      tag: Option.isSome(named.digest) ? named.tag : Option.orElseSome(named.tag, () => "latest")
    }))
  }
  const { example, form, path: kind } = forms[transport]
  const rest = image.slice(transport.length + 1)
  const none = { transport, tag: Option.none(), digest: Option.none() }
  if (transport === "dir") {
    return rest === ""
      ? invalid(`${kind} after ${transport}:`, "nothing", `write ${form}, such as ${example}`)
      : Result.succeed({ ...none, path: rest })
  }
  const [path = "", ...names] = rest.split(":")
  if (path === "") return invalid(`${kind} after ${transport}:`, "nothing", `write ${form}, such as ${example}`)
  if (names.length === 0) return Result.succeed({ ...none, path })
  const tag = names.join(":")
  const [, before, algorithm] = /^(.+)@([a-z0-9]+)$/.exec(path) ?? []
  if (before !== undefined && algorithm !== undefined && Digest.isAlgorithm(algorithm)) {
    return Result.match(Digest.parse(`${algorithm}:${tag}`), {
      onSuccess: (digest) => Result.succeed({ ...none, path: before, digest: Option.some(digest) }),
      onFailure: ({ message }) => invalid("a digest after @", message, "write all of it, as inspect shows it")
    })
  }
  return isTag(transport, tag)
    ? Result.succeed({ ...none, path, tag: Option.some(tag) })
    : invalid(
      transport === "docker-archive"
        ? "after the file a name such as app:1 or registry.example.com/team/app:1"
        : `after ${kind} a tag of ${ImageStore.nameRule}`,
      tag === "" ? "nothing" : JSON.stringify(tag),
      "write one such as latest, or leave it out together with its colon; a path cannot hold a colon"
    )
}

/**
 * Reads where an image is to be, or which name: as {@link parse}, but not by a digest, which cannot be chosen.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseTarget = (image: string): Result.Result<ImageArgument, InvalidImageArgument> =>
  Result.flatMap(parse(image), (argument) =>
    Option.isNone(argument.digest)
      ? Result.succeed(argument)
      : Result.fail(
        new InvalidImageArgument({
          image,
          expected: "a name",
          found: "a digest",
          advice: `write ${forms[argument.transport].form}: the digest is the content's`
        })
      ))

/**
 * Reads where a whole store is: neither a tag nor a digest.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parseStore = (image: string): Result.Result<ImageArgument, InvalidImageArgument> =>
  Result.flatMap(
    transportOf(image) === "docker" ? parseName(image) : parse(image),
    (argument) =>
      Option.isNone(argument.digest) && Option.isNone(argument.tag)
        ? Result.succeed(argument)
        : Result.fail(
          new InvalidImageArgument({
            image,
            expected: "a store with all its images",
            found: "one image",
            advice: `leave the ${Option.isSome(argument.tag) ? "tag" : "digest"} out` +
              // What Docker reads as an image with a tag is meant as a registry with a port
              (/^docker:\/\/[^/]+:\d+$/.test(image) ? `; of a registry name a repository, as in ${image}/NAME` : "")
          })
        )
  )

/**
 * Writes it back.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = ({ digest, path, tag, transport }: ImageArgument): string =>
  `${transport}:${transport === "docker" ? "//" : ""}${path}` +
  Option.match(tag, { onNone: () => "", onSome: (name) => `:${name}` }) +
  Option.match(digest, { onNone: () => "", onSome: (digest) => `@${digest}` })
