/**
 * Refs from a build that really happened: those of an image that the Docker engine has, and the records of a daemon's build
 * cache, which tell what each layer was made by, when and on top of what.
 *
 * @since 0.1.0
 */
import * as BaseImage from "@effect-oci/core/BaseImage"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as BuildRecord from "@effect-oci/core/BuildRecord"
import * as CacheRef from "@effect-oci/core/CacheRef"
import type * as Compression from "@effect-oci/core/Compression"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefImport from "@effect-oci/core/RefImport"
import * as Digest from "@effect-oci/schema/Digest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import { constants } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type DaemonError, type DaemonRefused, DaemonUnexpected } from "./DaemonError.ts"
import * as DockerArchive from "./DockerArchive.ts"
import { type Asked, connect, type Daemon } from "./internal/engine/connection.ts"
import * as DiskUsage from "./internal/engine/diskUsage.ts"
import * as Grpc from "./internal/engine/grpc.ts"
import * as Http from "./internal/engine/http.ts"
import { Files } from "./internal/files.ts"

/**
 * Where a daemon is, and how long it may take.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The path of its Unix socket: `/var/run/docker.sock` for the Docker engine, `/run/buildkit/buildkitd.sock` for `buildkitd`. */
  readonly socket?: string
  /** How long a connection may take to be made: 10 seconds unless given. */
  readonly connectTimeout?: Duration.Input
  /** How long the daemon may say nothing while it is waited for: 30 seconds unless given. */
  readonly idleTimeout?: Duration.Input
}

const daemonOf = (options: Options, socket: string): Daemon => ({
  socket: options.socket ?? socket,
  connectTimeout: Duration.fromInputUnsafe(options.connectTimeout ?? "10 seconds"),
  idleTimeout: Duration.fromInputUnsafe(options.idleTimeout ?? "30 seconds")
})

const engineOf = (options: Options) => daemonOf(options, "/var/run/docker.sock")

const tellRecords = "tell its build cache"

const make = (
  { attempted, socket }: Asked,
  records: Result.Result<ReadonlyArray<BuildRecord.BuildRecord>, string>
): Effect.Effect<BuildRecord.Records, DaemonUnexpected> =>
  Effect.mapBoth(Effect.fromResult(records), {
    onSuccess: (records) => BuildRecord.make(`the build cache at ${socket}`, records),
    onFailure: (found) =>
      new DaemonUnexpected({ socket, attempted, expected: "the records of BuildKit's cache", found })
  })

/** What a daemon is that does not know the call. */
const asVersion = (error: DaemonRefused) =>
  error.status === Grpc.unimplemented
    ? new DaemonUnexpected({
      socket: error.socket,
      attempted: error.attempted,
      expected: "the API moby.buildkit.v1",
      found: `one without it (${error.reason})`
    })
    : error

/**
 * Reads the records of the build cache of the Docker engine: from BuildKit's own API, which it passes on (`POST /grpc`); where
 * it does not, from its own (`GET /system/df`), which may take long.
 *
 * @category constructors
 * @since 0.1.0
 */
export const dockerRecords = Effect.fn("CacheRefEngine.dockerRecords")(function*(
  options: Options = {}
): Effect.fn.Return<BuildRecord.Records, DaemonError> {
  const asked = { ...engineOf(options), attempted: tellRecords }
  const own = Effect.scoped(Effect.gen(function*() {
    const connection = yield* Http.upgrade(asked, "/grpc", "h2c")
    return yield* Grpc.call(asked, connection, DiskUsage.method)
  }))
  const inJson = { expected: "the disk usage of a Docker engine from 18.09 on", schema: DiskUsage.DiskUsage }
  return yield* own.pipe(
    Effect.map(DiskUsage.parse),
    Effect.catchTag("DaemonRefused", () => Effect.map(Http.getJson(asked, DiskUsage.path, inJson), DiskUsage.fromJson)),
    Effect.flatMap((records) => make(asked, records))
  )
})

/**
 * Reads the records of the build cache of `buildkitd`, from its own socket.
 *
 * @category constructors
 * @since 0.1.0
 */
export const buildkitdRecords = Effect.fn("CacheRefEngine.buildkitdRecords")(function*(
  options: Options = {}
): Effect.fn.Return<BuildRecord.Records, DaemonError> {
  const asked = { ...daemonOf(options, "/run/buildkit/buildkitd.sock"), attempted: tellRecords }
  const bytes = yield* Effect.scoped(
    Effect.flatMap(connect(asked), (connection) => Grpc.call(asked, connection, DiskUsage.method))
  ).pipe(Effect.catchTag("DaemonRefused", (error) => Effect.fail(asVersion(error))))
  return yield* make(asked, DiskUsage.parse(bytes))
})

/**
 * Any of the reasons why an image of the Docker engine cannot be made refs of.
 *
 * @category errors
 * @since 0.1.0
 */
export type EngineImageError =
  | BaseImage.BaseImageError
  | BlobStore.StoreIo
  | BlobStore.UnsafeFile
  | DaemonError
  | ImageStore.ImageMissing
  | ImageStore.ImageStoreError
  | RefImport.NoLayers

/**
 * An image that the Docker engine has built, with what its build cache tells of it.
 *
 * **Details**
 *
 * `refs` are those of the layers, base first: each is named by the ID of its record, or by its chain ID where it has none, and
 * described by its record, or by the item of the history that made it. `blobs` holds the layers, plain, and the config.
 *
 * @category models
 * @since 0.1.0
 */
export interface EngineImage extends BaseImage.BaseImage {
  readonly blobs: BlobStore.Store
  readonly joined: ReadonlyArray<BuildRecord.JoinedLayer>
  readonly refs: ReadonlyArray<CacheRef.Ref>
}

const Inspected = Schema.Struct({
  Id: Digest.Digest,
  RootFS: Schema.optionalKey(Schema.Struct({ Layers: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))) }))
})

/** The name of an image in a path of the API: slashes stand as they are. */
const inPath = (name: string): string => name.split("/").map(encodeURIComponent).join("/")

/** Tells the ID of an image, and that it has layers: one without cannot be exported. */
const inspect = Effect.fnUntraced(function*(daemon: Daemon, name: string) {
  const asked = { ...daemon, attempted: `tell about the image ${JSON.stringify(name)}` }
  const inJson = { expected: "an image of a Docker engine", schema: Inspected }
  const { Id, RootFS } = yield* Http.getJson(asked, `/images/${inPath(name)}/json`, inJson).pipe(
    Effect.catchTag("DaemonRefused", (error) =>
      Effect.fail(
        error.status === "HTTP 404"
          ? new ImageStore.ImageMissing({ store: `the Docker engine at ${daemon.socket}`, name, names: [] })
          : error
      ))
  )
  return (RootFS?.Layers ?? []).length === 0 ? yield* new RefImport.NoLayers({ digest: Id }) : Id
})

/** Writes an image as the engine exports it into a file that goes with the scope, and gives its path. */
const spool = Effect.fnUntraced(function*(exporting: Asked, id: Digest.Digest) {
  const files = yield* Files
  const directory = join(tmpdir(), `effect-oci-${randomUUID()}`)
  yield* Effect.acquireRelease(
    files.makeDirectory(directory),
    () => Effect.ignore(files.removeTree(directory))
  )
  yield* files.setMode(directory, 0o700)
  const path = join(directory, "image.tar")
  yield* Effect.scoped(Effect.gen(function*() {
    const content = yield* Http.get(exporting, `/images/${id}/get`)
    const file = yield* files.open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)
    yield* Stream.runForEach(content, file.write)
  }))
  return path
})

type Unreadable = BlobStore.UnsafeFile | ImageStore.StoreMissing | ImageStore.StoreUnreadable

/** What is wrong with the file is wrong with what the engine has sent. */
const notAnArchive = ({ attempted, socket }: Asked, cause: Unreadable): DaemonUnexpected =>
  new DaemonUnexpected({
    socket,
    attempted,
    expected: cause._tag === "StoreUnreadable" ? "an archive with a valid manifest.json and configs" : cause.expected,
    found: cause._tag === "StoreUnreadable"
      ? cause.cause.message
      : cause._tag === "UnsafeFile"
      ? cause.found
      : "one without manifest.json",
    cause
  })

/** The chain ID of each layer: it tells what is below, too. (image-spec 1.1, config.md, "Layer ChainID") */
const chainIds = (
  hash: Hash.Hash["Service"],
  layers: ReadonlyArray<BuildRecord.JoinedLayer>
): ReadonlyArray<Digest.Digest> => {
  const chain: Array<Digest.Digest> = []
  for (const { diffId } of layers) {
    const below = chain.at(-1)
    const hasher = hash.make("sha256")
    hasher.update(new TextEncoder().encode(`${below} ${diffId}`))
    chain.push(below === undefined ? diffId : hasher.digest())
  }
  return chain
}

/** What is known of a layer, as a ref. */
const toRefs = (
  hash: Hash.Hash["Service"],
  layers: ReadonlyArray<CacheRef.Layer>,
  joined: ReadonlyArray<BuildRecord.JoinedLayer>
): ReadonlyArray<CacheRef.Ref> => {
  const refs: Array<CacheRef.Ref> = []
  const ids = chainIds(hash, joined)
  const names = new Set<string>()
  for (const [index, layer] of layers.entries()) {
    const { item, record } = joined[index] ?? {}
    const parent = refs.at(-1)
    const createdAt = record === undefined ? item?.created : record.createdAt
    // One record may have made several layers
    const name = record === undefined || names.has(record.id) ? Digest.encoded(ids[index] ?? layer.diffId) : record.id
    names.add(name)
    refs.push({
      name,
      // Records of a base image that was there already may say nothing
      description: [record?.description, item?.created_by, item?.comment].find((text) =>
        text !== undefined && text !== ""
      ) ?? "",
      ...(createdAt === undefined ? {} : { createdAt }),
      layer,
      parent: Effect.succeed(Option.fromUndefinedOr(parent))
    })
  }
  return refs
}

/**
 * Reads an image of the Docker engine, and joins its layers with the records of the engine's build cache.
 *
 * **Details**
 *
 * `image` is a name or an ID. The engine exports the image into a temporary file, from which the layers are read, and which
 * goes with the scope: it needs as much space as the image, in the system's directory for such files. That some layers were not
 * made by any record is logged.
 *
 * No step is known of an image that was pulled or loaded; layers of a base image may be known as what they were taken from
 * ("from local"). {@link BuildRecord.join} tells what else cannot be known.
 *
 * **Example** (Importing what the last `docker build` made)
 *
 * ```ts
 * import * as CacheRefEngine from "@effect-oci/adapters/CacheRefEngine"
 * import * as RefImport from "@effect-oci/core/RefImport"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.scoped(
 *   Effect.flatMap(CacheRefEngine.open("app:1"), ({ blobs, refs }) =>
 *     RefImport.chain(refs, { name: "app", source: blobs, origin: "docker-engine: app:1" }))
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fn("CacheRefEngine.open")(function*(
  image: string,
  options: Options = {}
): Effect.fn.Return<EngineImage, EngineImageError, Compression.Compression | Hash.Hash | Scope.Scope> {
  const daemon = engineOf(options)
  const id = yield* inspect(daemon, image)
  const records = yield* dockerRecords(options)
  const hash = yield* Hash.Hash
  const exporting = { ...daemon, attempted: `export the image ${id}` }
  const store = yield* Layer.build(DockerArchive.layer(yield* spool(exporting, id)))
  const blobs = Context.get(store, BlobStore.BlobStore)
  const unexpected = (cause: Unreadable) => Effect.fail(notAnArchive(exporting, cause))
  const descriptor = yield* Context.get(store, ImageStore.ImageStore).resolve(Option.none()).pipe(
    Effect.catchTags({ UnsafeFile: unexpected, StoreMissing: unexpected, StoreUnreadable: unexpected })
  )
  const base = yield* Effect.provideService(BaseImage.read(descriptor), BlobStore.BlobStore, blobs)
  const joined = yield* Effect.fromResult(BuildRecord.join(records, base.config.value))
  const unknown = joined.filter(({ record }) => record === undefined).length
  if (unknown > 0) {
    yield* Effect.logWarning(
      `${unknown} of the ${joined.length} layers of ${image} were not made by any record of ${records.source}: ` +
        `they are described by the image's history`
    )
  }
  return { ...base, blobs, joined, refs: toRefs(hash, base.layers, joined) }
})

/**
 * Layer that serves the layers of an image of the Docker engine as refs. The uppermost is also found by the image's name, as it
 * is given here.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  image: string,
  options: Options = {}
): Layer.Layer<CacheRef.CacheRef | BlobStore.BlobStore, EngineImageError, Compression.Compression | Hash.Hash> =>
  Layer.effectContext(Effect.gen(function*() {
    const { blobs, refs } = yield* open(image, options)
    const byName = new Map(refs.map((ref) => [ref.name, ref]))
    const store = `the Docker engine at ${engineOf(options).socket}`
    const acquire = (name: string) =>
      Effect.suspend(() => {
        const ref = name === image ? refs.at(-1) : byName.get(name)
        return ref === undefined ? Effect.fail(new CacheRef.RefMissing({ store, ref: name })) : Effect.succeed(ref)
      })
    return Context.make(BlobStore.BlobStore, blobs).pipe(
      Context.add(CacheRef.CacheRef, { acquire, list: Effect.succeed([...byName.keys()].toSorted()) })
    )
  }))

/** Refs without layers: what a cache tells of its records. */
const serve = (records: BuildRecord.Records): CacheRef.CacheRef["Service"] => {
  const refAt = (
    chain: ReadonlyArray<BuildRecord.BuildRecord>,
    index: number,
    name?: string
  ): Option.Option<CacheRef.Ref> =>
    Option.map(Option.fromUndefinedOr(chain[index]), ({ createdAt, description, id }) => ({
      name: name ?? id,
      description,
      ...(createdAt === undefined ? {} : { createdAt }),
      parent: Effect.sync(() => refAt(chain, index - 1))
    }))
  return {
    acquire: (name) =>
      Effect.flatMap(
        Effect.fromResult(BuildRecord.chain(records, name)),
        (chain) =>
          Effect.fromOption(
            refAt(chain, chain.length - 1, name),
            () => new CacheRef.RefMissing({ store: records.source, ref: name })
          )
      ),
    list: Effect.succeed([...records.byId.keys()].toSorted())
  }
}

/**
 * Layer that serves the records of a build cache as refs, found by their IDs. They have no layers: daemons tell none. They are
 * read when this layer is built.
 *
 * **Example** (Telling the steps behind a record of `buildkitd`)
 *
 * ```ts
 * import * as CacheRefEngine from "@effect-oci/adapters/CacheRefEngine"
 * import * as CacheRef from "@effect-oci/core/CacheRef"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function*() {
 *   const refs = yield* CacheRef.CacheRef
 *   return yield* CacheRef.chain(yield* refs.acquire("kxz1n3lq0hqhkqvsfbjd8mpr6"))
 * }).pipe(Effect.scoped, Effect.provide(CacheRefEngine.layerRecords(CacheRefEngine.buildkitdRecords())))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRecords = <E, R>(
  records: Effect.Effect<BuildRecord.Records, E, R>
): Layer.Layer<CacheRef.CacheRef, E, R> => Layer.effect(CacheRef.CacheRef, Effect.map(records, serve))
