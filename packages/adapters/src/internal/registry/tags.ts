/**
 * What a registry lists, page by page, and the tags of a repository.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Whole, whole } from "./download.ts"
import { type Repository, urlOf } from "./repository.ts"
import type { Ask } from "./session.ts"

const mostPages = 1000

/** Registries that know no pages send all at once. */
const longestPage = 32 * 1024 * 1024

/** The URL of the next page (RFC 8288). */
const nextIn = ({ headers }: Whole): string | undefined =>
  /(?:^|,)\s*<([^>]*)>\s*;[^,]*?\brel="?next"?/i.exec(headers["link"] ?? "")?.[1]

/** Asks for a page, and for those that it leads to, which the registry itself must have, and each of them once. */
export const pages = (
  repository: Repository,
  first: Ask
): Stream.Stream<Whole, RegistryError.RegistryError> =>
  Stream.suspend(() => {
    const seen = new Set<string>()
    return Stream.paginate(
      first.url,
      Effect.fnUntraced(function*(url: string) {
        seen.add(url)
        const page = yield* whole(repository, { ...first, url }, longestPage)
        const link = nextIn(page)
        if (link === undefined) return [[page], Option.none()] as const
        const next = yield* Effect.fromResult(repository.session.sameOrigin("link", link, url))
        const misbehaved = (found: string) => page.error(new RegistryError.Misbehaved({ found }))
        if (seen.has(next)) return yield* misbehaved("its pages lead around in a circle")
        if (seen.size >= mostPages) return yield* misbehaved(`it sends more than ${mostPages} pages`)
        return [[page], Option.some(next)] as const
      })
    )
  })

/** What a tag looks like, in words. */
export const rule = "a tag: 1 to 128 letters, digits, \"_\", \".\" and \"-\", not beginning with \".\" or \"-\""

const Page = Schema.fromJsonString(
  Schema.Struct({ tags: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))) })
)

/** Gives the tags of a repository, in the order of the registry. One that is not there fails with `NotFound`. */
export const list = (repository: Repository): Stream.Stream<string, RegistryError.RegistryError> =>
  pages(repository, {
    operation: "list the tags",
    method: "GET",
    url: `${urlOf(repository, "tags", "list")}?n=1000`,
    headers: { accept: "application/json" },
    accept: [200]
  }).pipe(
    Stream.mapEffect(({ bytes, error }) => {
      const page = Schema.decodeOption(Page)(new TextDecoder().decode(bytes))
      const tags = Option.map(page, ({ tags }) => tags ?? [])
      return Option.isSome(tags) && tags.value.every(ImageReference.isTag)
        ? Effect.succeed(tags.value)
        : Effect.fail(error(new RegistryError.Misbehaved({ found: "a list of tags that is none" })))
    }),
    Stream.flatMap(Stream.fromIterable)
  )
