/**
 * `effect-oci ref import SOURCE NAME`
 *
 * @since 0.1.0
 */
import * as CacheRefBuildKitCache from "@effect-oci/adapters/CacheRefBuildKitCache"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheChains from "@effect-oci/core/CacheChains"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Progress from "@effect-oci/core/Progress"
import * as RefImport from "@effect-oci/core/RefImport"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Platform from "@effect-oci/schema/Platform"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Environment from "../../Environment.ts"
import * as Flags from "../../Flags.ts"
import * as HostPlatform from "../../HostPlatform.ts"
import * as Output from "../../Output.ts"
import * as ProgressView from "../../ProgressView.ts"
import * as RefSource from "../../RefSource.ts"
import * as RefSummary from "../../RefSummary.ts"
import * as Store from "../../Store.ts"
import * as Table from "../../Table.ts"
import * as Transport from "../../Transport.ts"

interface Options {
  readonly source: RefSource.RefSource
  readonly name: string
  readonly platform: Option.Option<Platform.Platform>
  readonly chain: Option.Option<string>
  readonly image: Option.Option<string>
  readonly replace: boolean
  readonly json: boolean
}

const usage = (message: string) => Effect.fail(new CliError.ValidationError({ message }))

const importImage = Effect.fnUntraced(function*(
  { image }: RefSource.Image,
  { platform }: Options,
  target: Pick<RefImport.Options, "name" | "origin" | "replace">
) {
  const source = yield* Transport.open(image)
  const descriptor = yield* Transport.resolveIn(source, image)
  // A manifest says itself what it is for, and of an index one has to be chosen
  const chosen = Option.getOrUndefined(platform) ??
    (MediaType.isIndex(descriptor.mediaType) ? HostPlatform.get() : undefined)
  return yield* RefImport.run(descriptor, {
    ...target,
    source: source.blobs,
    ...(chosen === undefined ? {} : { platform: chosen })
  })
})

/** The refs of a cache's chain, base first, and the store of their blobs. */
const cached = Effect.fnUntraced(function*(chain: Option.Option<string>) {
  const chains = yield* CacheRefBuildKitCache.Chains
  const top = yield* Effect.fromResult(CacheChains.choose(chains, Option.getOrUndefined(chain)))
  const source = yield* CacheRef.CacheRef
  const refs = yield* CacheRef.chain(yield* source.acquire(top.name))
  return { refs, blobs: yield* BlobStore.BlobStore }
})

const importCache = Effect.fnUntraced(function*(
  { directory, tag }: RefSource.BuildKitCache,
  { chain }: Options,
  target: Pick<RefImport.Options, "name" | "origin" | "replace">
) {
  const cache = CacheRefBuildKitCache.layer(directory, Option.isNone(tag) ? {} : { tag: tag.value })
  const { blobs, refs } = yield* Effect.provide(cached(chain), Layer.provide(cache, NodeHash.layer))
  return yield* RefImport.chain(refs, { ...target, source: blobs })
})

/** The socket that Docker's own command would use. Another engine than that is not asked in its place. */
const usualSocket = Effect.flatMap(
  Environment.variable("DOCKER_HOST"),
  (host) =>
    host === undefined || host.startsWith("unix://")
      ? Effect.succeed(host?.slice("unix://".length))
      : usage(
        "DOCKER_HOST names an engine that has no socket on this machine: expected unix://SOCKET; " +
          "unset it, or name a socket, as in docker-engine:/var/run/docker.sock"
      )
)

const importBuilt = Effect.fnUntraced(function*(
  { socket }: RefSource.DockerEngine,
  image: string,
  target: Pick<RefImport.Options, "name" | "origin" | "replace">
) {
  const { open } = yield* Effect.promise(() => import("@effect-oci/adapters/CacheRefEngine"))
  const path = Option.getOrUndefined(socket) ?? (yield* usualSocket)
  const { blobs, refs } = yield* open(image, path === undefined ? {} : { socket: path }).pipe(
    Effect.provide([NodeHash.layer, NodeCompression.layer]),
    Progress.oneOff(`reading ${image} of the engine`)
  )
  return yield* RefImport.chain(refs, { ...target, origin: `${target.origin} ${image}`, source: blobs })
})

const importRefs = Effect.fnUntraced(function*(options: Options) {
  const { image, name, replace, source } = options
  const target = { name, replace, origin: RefSource.format(source) }
  switch (source._tag) {
    case "Image":
      return yield* importImage(source, options, target)
    case "BuildKitCache":
      return yield* importCache(source, options, target)
    case "DockerEngine":
      return yield* Option.match(image, {
        onNone: () => usage("--image is missing: which image of the engine is meant, as docker images lists them"),
        onSome: (image) => importBuilt(source, image, target)
      })
  }
})

/** What flags say of a source that has no use for them. */
const validate = ({ chain, image, platform, source }: Options) => {
  if (source._tag !== "BuildKitCache" && Option.isSome(chain)) {
    return usage("--chain chooses a chain of a build cache; of an image all layers are taken")
  }
  if (source._tag !== "DockerEngine" && Option.isSome(image)) {
    return usage("--image chooses an image of a Docker engine; other sources name it themselves")
  }
  if (source._tag === "Image" || Option.isNone(platform)) return Effect.void
  return usage(
    source._tag === "BuildKitCache"
      ? "--platform chooses an image of an index; a build cache does not say what its layers are for"
      : "--platform chooses an image of an index; an engine has one for each name"
  )
}

const summaryOf = ({ document: { created, ...rest }, name }: RefImport.Imported): RefSummary.RefSummary => ({
  name,
  ...rest,
  ...(created === undefined ? {} : { created: Timestamp.format(created) })
})

const run = Effect.fnUntraced(function*(options: Options) {
  yield* validate(options)
  const imported = yield* ProgressView.show(Effect.scoped(importRefs(options)))
  const refs = imported.map(summaryOf)
  yield* options.json
    ? Output.json(refs)
    : Output.line(Table.format([RefSummary.columns, ...refs.map(RefSummary.row)], [3]))
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "import",
  {
    source: Argument.String("SOURCE").pipe(
      Argument.withDescription(`${RefSource.syntax}; without a tag it has to be the only one there`),
      Argument.mapEffect(Flags.parsing("SOURCE", RefSource.parse))
    ),
    name: Flags.refArgument(
      "NAME",
      "The name of the uppermost layer's ref; those below are NAME.0, the base, NAME.1 …"
    ),
    platform: Flags.platform("Which image of an index (default: this machine's, or Linux on a Mac)"),
    chain: Flag.String("chain").pipe(
      Flag.withMetavar("DIGEST"),
      Flag.withDescription(
        "Which chain of a build cache, as an error lists them (default: the only one that it ends in)"
      ),
      Flag.optional
    ),
    image: Flag.String("image").pipe(
      Flag.withMetavar("IMAGE"),
      Flag.withDescription("Which image of a Docker engine, by its name or ID"),
      Flag.optional
    ),
    replace: Flag.Boolean("replace").pipe(
      Flag.withoutNegation,
      Flag.withDescription("Replace refs of these names that have other content (default: fail)"),
      Flag.withDefault(false)
    ),
    store: Store.flag,
    json: Flags.json
  },
  (input) => Effect.provide(run(input), Store.layer(input.store))
).pipe(
  Command.withDescription(
    "Make refs of an image's layers, or of those that BuildKit has left in a build cache, to export other images on top of them. " +
      "What a layer was made by, and when, comes from the image's history, or from what a Docker engine knows of its last builds; a " +
      "build cache knows only when. Settings are not part of refs: give export the image's config for those."
  ),
  Command.withShortDescription("Make refs of the layers of an image, a build cache or an engine"),
  Command.withExamples([
    { command: "effect-oci ref import oci:node:24 node" },
    {
      command: "effect-oci ref import docker-archive:node.tar:node:24 node --platform linux/amd64",
      description: "An image that docker save has written"
    },
    {
      command:
        "docker buildx build --cache-to type=local,dest=cache . && effect-oci ref import buildkit-cache:cache app",
      description: "What the last build has made"
    },
    {
      command: "docker build -t app . && effect-oci ref import docker-engine: app --image app",
      description: "The same from the engine itself"
    },
    {
      command: "effect-oci ref add app ./dist --parent node --at /app && effect-oci inspect oci:node:24 --config | " +
        "effect-oci export app --config - --to oci:out:latest",
      description: "Then, an image on top of it, with its settings"
    }
  ])
)
