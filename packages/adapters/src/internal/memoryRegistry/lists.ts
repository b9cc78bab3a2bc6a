/** Lists of what a registry holds: distribution-spec, sections Listing Tags and Listing Referrers. */
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import { type Call, type Endpoint, findRepository, parseDigest } from "./call.ts"
import { refuse } from "./refusal.ts"

/** The part of a list that is asked for by `n` and `last`, and the link to the next one. */
const page = Effect.fnUntraced(function*<A>({ settings, url }: Call, all: ReadonlyArray<A>, key: (item: A) => string) {
  const { searchParams } = url
  const asked = searchParams.get("n")
  if (asked !== null && !/^\d+$/.test(asked)) return yield* refuse("UNSUPPORTED", "n is no number", { status: 400 })
  const size = Math.min(asked === null ? Infinity : Number(asked), settings.pageSize ?? Infinity)
  const last = searchParams.get("last")
  const rest = last === null ? all : all.filter((item) => key(item) > last)
  const items = rest.slice(0, size)
  const end = items.at(-1)
  if (end === undefined || items.length === rest.length) return { items, headers: {} }
  const next = new URLSearchParams(searchParams)
  next.set("n", String(size))
  next.set("last", key(end))
  return { items, headers: { link: `<${url.pathname}?${next}>; rel="next"` } }
})

export const tags: Endpoint = Effect.fnUntraced(function*(call) {
  const repository = yield* findRepository(call)
  const { headers, items } = yield* page(call, [...repository.tags.keys()].toSorted(), (tag) => tag)
  return HttpServerResponse.jsonUnsafe({ name: call.name, tags: items }, { headers })
})

export const referrers: Endpoint = Effect.fnUntraced(function*(call) {
  if (!call.settings.referrers) return yield* refuse("UNSUPPORTED", "no referrers API here", { status: 404 })
  const subject = yield* parseDigest(call.reference)
  const artifactType = call.url.searchParams.get("artifactType")
  const found = [...call.state.repositories.get(call.name)?.manifests.values() ?? []]
    .filter((manifest) => manifest.subject === subject)
    .filter((manifest) => artifactType === null || manifest.artifactType === artifactType)
    .toSorted((left, right) => left.digest < right.digest ? -1 : 1)
  const { headers, items } = yield* page(call, found, ({ digest }) => digest)
  const manifests = items.map(({ annotations, artifactType, bytes, digest, mediaType }) => ({
    mediaType,
    digest,
    size: bytes.length,
    artifactType,
    annotations
  }))
  const index = { schemaVersion: 2, mediaType: MediaType.imageIndex, manifests }
  return HttpServerResponse.jsonUnsafe(index, {
    contentType: MediaType.imageIndex,
    headers: { ...headers, ...(artifactType === null ? {} : { "oci-filters-applied": "artifactType" }) }
  })
})
