/** Manifests: distribution-spec, sections Pulling manifests, Pushing Manifests and Deleting tags and manifests. */
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Bytes from "effect/Bytes"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Call, checkDeletion, type Endpoint, findRepository, parseDigest } from "./call.ts"
import { type Refusal, refusal, refuse } from "./refusal.ts"
import * as State from "./state.ts"

/** The digest that a path ends with; none where it ends with a tag, which never has a colon. */
const parseReference = (text: string): Effect.Effect<Digest.Digest | undefined, Refusal> =>
  text.includes(":") ? parseDigest(text) : Effect.succeed(undefined)

const find = Effect.fnUntraced(function*(call: Call) {
  const named = yield* parseReference(call.reference)
  const repository = yield* findRepository(call)
  const digest = named ?? repository.tags.get(call.reference)
  const manifest = digest === undefined ? undefined : repository.manifests.get(digest)
  if (manifest === undefined) {
    return yield* refuse("MANIFEST_UNKNOWN", `${call.name} has no manifest ${call.reference}`)
  }
  return { isNamedByTag: named === undefined, manifest, repository }
})

export const get: Endpoint = (call) =>
  Effect.map(find(call), ({ manifest: { bytes, digest, mediaType } }) =>
    HttpServerResponse.uint8Array(bytes.slice(), {
      contentType: mediaType,
      headers: { "docker-content-digest": digest }
    }))

export const remove: Endpoint = Effect.fnUntraced(function*(call) {
  yield* checkDeletion(call)
  const { isNamedByTag, manifest: { digest }, repository } = yield* find(call)
  if (isNamedByTag) {
    repository.tags.delete(call.reference)
  } else {
    repository.manifests.delete(digest)
    for (const [tag, tagged] of repository.tags) if (tagged === digest) repository.tags.delete(tag)
  }
  return HttpServerResponse.empty({ status: 202 })
})

const receive = (call: Call) => {
  const tooLarge = refuse("MANIFEST_INVALID", `a manifest has at most ${Json.maxBytes} bytes`, { status: 413 })
  let size = 0
  return call.request.stream.pipe(
    Stream.mapEffect((bytes) =>
      (size += bytes.length) > Json.maxBytes ? tooLarge : Effect.succeed(new Uint8Array(bytes))
    ),
    Stream.runCollect,
    Effect.map(Bytes.concat)
  )
}

/** What a registry knows of a manifest, and what has to be there before it. */
interface Content extends Pick<State.Manifest, "annotations" | "artifactType" | "subject"> {
  readonly mediaType: string | undefined
  readonly blobs: ReadonlyArray<Descriptor.Descriptor>
  readonly manifests: ReadonlyArray<Descriptor.Descriptor>
}

const stays = ({ mediaType }: Descriptor.Descriptor): boolean =>
  Option.exists(MediaType.find(mediaType), (entry) => entry.kind === "layer" && !entry.distributable)

const parse = (bytes: Uint8Array, mediaType: string): Result.Result<Content, Json.Problem> => {
  if (MediaType.isManifest(mediaType)) {
    return Result.map(ImageManifest.parse(bytes), ({ value }) => ({
      mediaType: value.mediaType,
      annotations: value.annotations,
      artifactType: value.artifactType || value.config.mediaType,
      subject: value.subject?.digest,
      blobs: [value.config, ...value.layers.filter((layer) => !stays(layer))],
      manifests: []
    }))
  }
  if (MediaType.isIndex(mediaType)) {
    return Result.map(ImageIndex.parse(bytes), ({ value }) => ({
      mediaType: value.mediaType,
      annotations: value.annotations,
      artifactType: value.artifactType || undefined,
      subject: value.subject?.digest,
      blobs: [],
      manifests: value.manifests
    }))
  }
  // Kept as it is: another artifact's form is its own affair
  return Result.succeed({
    mediaType: undefined,
    annotations: undefined,
    artifactType: undefined,
    subject: undefined,
    blobs: [],
    manifests: []
  })
}

const Typed = Schema.fromJsonString(Schema.Struct({ mediaType: Schema.String }))

/** The header's media type without parameters, or the one in the manifest where there is no header. */
const mediaTypeOf = ({ request: { headers } }: Call, bytes: Uint8Array): string =>
  headers["content-type"]?.replace(/;.*/, "").trim() ??
    Option.match(Schema.decodeUnknownOption(Typed)(new TextDecoder().decode(bytes)), {
      onNone: () => "",
      onSome: ({ mediaType }) => mediaType
    })

export const put: Endpoint = Effect.fnUntraced(function*(call) {
  const named = yield* parseReference(call.reference)
  const tags = named === undefined ? [call.reference] : call.url.searchParams.getAll("tag")
  const noTag = tags.find((tag) => !ImageReference.isTag(tag))
  if (noTag !== undefined) return yield* refuse("MANIFEST_INVALID", `not a tag: ${noTag}`)
  const bytes = yield* receive(call)
  const digest = yield* State.digest([bytes], named === undefined ? "sha256" : Digest.algorithm(named))
  if (named !== undefined && named !== digest) {
    return yield* refuse("DIGEST_INVALID", `the manifest hashes to ${digest}, not to ${named}`)
  }
  const mediaType = mediaTypeOf(call, bytes)
  if (!MediaType.isValid(mediaType)) {
    return yield* refuse("MANIFEST_INVALID", "expected the manifest's media type as its Content-Type")
  }
  const content = yield* Effect.fromResult(
    Result.mapError(parse(bytes, mediaType), ({ message }) => refusal("MANIFEST_INVALID", message))
  )
  if (content.mediaType !== undefined && content.mediaType !== mediaType) {
    return yield* refuse("MANIFEST_INVALID", `the manifest is ${content.mediaType}, its Content-Type ${mediaType}`)
  }
  const known = call.state.repositories.get(call.name)
  const missing = content.blobs.find((blob) => known?.blobs.has(blob.digest) !== true) ??
    content.manifests.find((manifest) => known?.manifests.has(manifest.digest) !== true)
  if (missing !== undefined) {
    return yield* refuse("MANIFEST_BLOB_UNKNOWN", `${call.name} has no ${missing.digest}: push it first`)
  }
  const { annotations, artifactType, subject } = content
  const repository = State.repository(call.state, call.name)
  repository.manifests.set(digest, { digest, mediaType, bytes, subject, artifactType, annotations })
  for (const tag of tags) repository.tags.set(tag, digest)
  return HttpServerResponse.empty({
    status: 201,
    headers: {
      location: `/v2/${call.name}/manifests/${digest}`,
      "docker-content-digest": digest,
      ...(subject === undefined || !call.settings.referrers ? {} : { "oci-subject": subject }),
      ...(named === undefined || tags.length === 0 ? {} : { "oci-tag": tags.join(", ") })
    }
  })
})
