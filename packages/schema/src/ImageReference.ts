/**
 * Image references: where an image is, as people write it and as registries are asked for it.
 *
 * Follows distribution/reference: its grammar, and Docker's normalisation by which `alpine` is
 * `docker.io/library/alpine`.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Digest from "./Digest.ts"
import { quote } from "./internal/quote.ts"

/**
 * A reference in its full form.
 *
 * **Details**
 *
 * `domain` is the registry's host, with a port where one is given; `path` is the repository
 * in it. With both a tag and a digest, the digest says which image is meant.
 *
 * @category models
 * @since 0.1.0
 */
export interface ImageReference {
  readonly domain: string
  readonly path: string
  readonly tag: Option.Option<string>
  readonly digest: Option.Option<Digest.Digest>
}

/**
 * Error raised for text that is not an image reference.
 *
 * **Details**
 *
 * `reason` says which part is at fault; `cause` is there where that is the digest.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidImageReference
  extends Schema.TaggedError<InvalidImageReference>("@effect-oci/schema/InvalidImageReference")(
    "InvalidImageReference",
    {
      reference: Schema.String,
      reason: Schema.Literals([
        "empty",
        "identifier",
        "domain",
        "upper-case",
        "repository",
        "too-long",
        "tag",
        "digest"
      ]),
      expected: Schema.String,
      found: Schema.String,
      advice: Schema.String,
      cause: Schema.optionalKey(Schema.Union([Digest.MalformedDigest, Digest.UnsupportedDigestAlgorithm]))
    }
  )
{
  override get message() {
    return `invalid image reference ${quote(this.reference)}: expected ${this.expected}, found ${this.found}; ` +
      this.advice
  }
}

const dockerDomain = "docker.io"
const legacyDockerDomain = "index.docker.io"
const officialPrefix = "library/"
const maxPathLength = 255

const domainGrammar =
  /^(?:[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*(?:\.[a-zA-Z0-9]+(?:-+[a-zA-Z0-9]+)*)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?$/
const componentGrammar = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const tagGrammar = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/
const identifierGrammar = /^[a-f0-9]{64}$/

/**
 * Checks that a text can be a tag in a registry: at most 128 letters, digits and `_ . -`, the first of which is no dot and
 * no dash.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTag = (text: string): boolean => tagGrammar.test(text)

// The first part is a registry only if nobody could take it for a user's name at Docker Hub.
const isDomain = (part: string): boolean => part === "localhost" || /[.:A-Z]/.test(part)

const splitDomain = (text: string): { readonly domain: string; readonly rest: string } => {
  const slash = text.indexOf("/")
  const first = text.slice(0, Math.max(slash, 0))
  const named = slash >= 0 && isDomain(first)
  const domain = !named || first === legacyDockerDomain ? dockerDomain : first
  const rest = named ? text.slice(slash + 1) : text
  return { domain, rest: domain === dockerDomain && !rest.includes("/") ? officialPrefix + rest : rest }
}

const cut = (text: string, separator: string): readonly [string, string | undefined] => {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/**
 * Reads a reference, `[domain/]path[:tag][@digest]`, and brings it to its full form.
 *
 * **Details**
 *
 * No tag is added: {@link withDefaultTag} does that. The part before the first slash is the domain if it contains a
 * dot, a colon or an upper-case letter, or is `localhost`; otherwise the domain is `docker.io`, which `index.docker.io`
 * stands for too. There, a repository of one part is in `library/`. The repository has at most 255 characters, the tag
 * 128. 64 hexadecimal digits alone are refused, because they could be an image ID.
 *
 * One text more than with distribution/reference is refused: a first part with a dot that cannot be a host, such as
 * `foo_bar.com/app`, which that library reads as a repository without a registry.
 *
 * **Example** (Parsing a reference)
 *
 * ```ts
 * import * as ImageReference from "@effect-oci/schema/ImageReference"
 * import * as Result from "effect/Result"
 *
 * const reference = Result.map(ImageReference.parse("alpine"), ImageReference.withDefaultTag)
 * console.log(Result.map(reference, ImageReference.format)) // success: docker.io/library/alpine:latest
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<ImageReference, InvalidImageReference> => {
  const invalid = (fields: Omit<ConstructorParameters<typeof InvalidImageReference>[0], "reference">) =>
    Result.fail(new InvalidImageReference({ reference: text, ...fields }))

  if (text === "") {
    return invalid({ reason: "empty", expected: "a name", found: "nothing", advice: "write one such as alpine:3.20" })
  }
  if (identifierGrammar.test(text)) {
    return invalid({
      reason: "identifier",
      expected: "a name",
      found: "64 hexadecimal digits, which could be an image ID",
      advice: `write docker.io/library/${text} if it is a repository, or name@sha256:${text} if it is a digest`
    })
  }
  const { domain, rest } = splitDomain(text)
  if (!domainGrammar.test(domain)) {
    return invalid({
      reason: "domain",
      expected: "a registry's host, with or without a port, before the first slash",
      found: quote(domain),
      advice: "write one such as registry.example.com, localhost:5000 or [::1]:5000, without https://"
    })
  }
  const [name, digestText] = cut(rest, "@")
  const [path, tag] = cut(name, ":")
  if (path.length > maxPathLength) {
    return invalid({
      reason: "too-long",
      expected: `a repository of at most ${maxPathLength} characters`,
      found: `${path.length}`,
      advice: "shorten it"
    })
  }
  const foreign = path.split("/").find((component) => !componentGrammar.test(component))
  if (foreign !== undefined) {
    return /[A-Z]/.test(path) && path.toLowerCase().split("/").every((component) => componentGrammar.test(component)) ?
      invalid({
        reason: "upper-case",
        expected: "a repository in lower case",
        found: quote(foreign),
        advice: `write ${foreign.toLowerCase()}`
      }) :
      invalid({
        reason: "repository",
        expected: "parts of lower-case letters and digits, with single \".\", \"_\", \"__\" or dashes between them",
        found: foreign === "" ? "an empty part" : quote(foreign),
        advice: "rename the repository"
      })
  }
  if (tag !== undefined && !tagGrammar.test(tag)) {
    return invalid({
      reason: "tag",
      expected:
        "after the colon a tag of 1 to 128 letters, digits, \"_\", \".\" and \"-\", not beginning with \".\" or \"-\"",
      found: tag === "" ? "nothing" : quote(tag),
      advice: "write one such as latest"
    })
  }
  const reference = { domain, path, tag: Option.fromUndefinedOr(tag) }
  if (digestText === undefined) return Result.succeed({ ...reference, digest: Option.none() })
  const digest = Digest.parse(digestText)
  return Result.isSuccess(digest) ?
    Result.succeed({ ...reference, digest: Option.some(digest.success) }) :
    invalid({
      reason: "digest",
      expected: "a digest after the @",
      found: digest.failure.message,
      advice: "copy the whole digest",
      cause: digest.failure
    })
}

/**
 * Adds the tag `latest` where there is neither a tag nor a digest.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withDefaultTag = (reference: ImageReference): ImageReference =>
  Option.isNone(reference.tag) && Option.isNone(reference.digest) ?
    { ...reference, tag: Option.some("latest") } :
    reference

const suffix = (reference: ImageReference): string =>
  Option.match(reference.tag, { onNone: () => "", onSome: (tag) => `:${tag}` }) +
  Option.match(reference.digest, { onNone: () => "", onSome: (digest) => `@${digest}` })

/**
 * Writes the full form, `domain/path[:tag][@digest]`. {@link parse} reads it back unchanged.
 *
 * @category encoding
 * @since 0.1.0
 */
export const format = (reference: ImageReference): string => `${reference.domain}/${reference.path}${suffix(reference)}`

/**
 * Writes the form that people know: without `docker.io/`, and without `library/` before an official image.
 *
 * **Details**
 *
 * Tag and digest stay as they are. {@link parse} reads the same reference back: unlike distribution/reference, this
 * keeps the full form where the short one means something else, as for `docker.io/example.com/app`.
 *
 * @category encoding
 * @since 0.1.0
 */
export const familiar = (reference: ImageReference): string => {
  const full = format(reference)
  if (reference.domain !== dockerDomain) return full
  const official = reference.path.startsWith(officialPrefix) ? reference.path.slice(officialPrefix.length) : undefined
  const short = (official === undefined || official.includes("/") ? reference.path : official) + suffix(reference)
  return Option.contains(Option.map(Result.getSuccess(parse(short)), format), full) ? short : full
}
