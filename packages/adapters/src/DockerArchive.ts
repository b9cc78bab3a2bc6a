/**
 * Archives as `docker save` writes them and `docker load` reads them, of any version: `manifest.json`, configs and layers in
 * a tar archive.
 *
 * Follows moby's `image/tarexport`, and containers/image's `docker/internal/tarfile` where that differs.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compression from "@effect-oci/core/Compression"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as LayerTar from "@effect-oci/core/LayerTar"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as ImageManifest from "@effect-oci/schema/ImageManifest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as DockerManifest from "./internal/dockerManifest.ts"
import * as TarFile from "./internal/tarFile.ts"
import * as TarStore from "./internal/tarStore.ts"

/**
 * What can be chosen about an archive.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long is waited for another process that writes the archive: 30 seconds unless given. */
  readonly lockTimeout?: Duration.Input
}

const nameRule = "a reference such as app:1 or registry.example.com/team/app:1, without a digest"

/** The name as Docker shows it: `docker.io/library/app` is `app:latest`. What is no reference stays as it is. */
const familiar = (name: string): Option.Option<string> =>
  Result.getSuccess(ImageReference.parse(name)).pipe(
    Option.filter(({ digest }) => Option.isNone(digest)),
    Option.map((reference) => ImageReference.familiar(ImageReference.withDefaultTag(reference)))
  )

const shown = (name: string): string => Option.getOrElse(familiar(name), () => name)

/** What an archive holds, as a store of images tells it. */
interface Content {
  readonly items: ReadonlyArray<DockerManifest.Item>
  readonly images: ReadonlyArray<ImageStore.Image>
  readonly blobs: ReadonlyMap<Digest.Digest, TarStore.Found>
  /** The entries of layers, by diff ID. */
  readonly layers: ReadonlyMap<Digest.Digest, string>
}

const empty: Content = { items: [], images: [], blobs: new Map(), layers: new Map() }

const make = Effect.fnUntraced(function*(file: string, options: Options) {
  const hash = yield* Hash.Hash
  const { decompress } = yield* Compression.Compression
  const contents = new WeakMap<TarFile.TarFile, Content>()

  const digestOf = (bytes: Uint8Array): Digest.Digest => {
    const hasher = hash.make("sha256")
    hasher.update(bytes)
    return hasher.digest()
  }

  const fileOf = Effect.fnUntraced(function*(archive: TarFile.TarFile, name: string) {
    const entry = yield* Effect.fromResult(TarFile.find(archive, name))
    return entry ?? (yield* TarFile.invalid(archive.path, name, "the file that manifest.json names", "nothing"))
  })

  /** Reads a small file of the archive. */
  const document = Effect.fnUntraced(function*<A>(
    archive: TarFile.TarFile,
    entry: TarFile.Entry,
    name: string,
    parse: (bytes: Uint8Array) => Result.Result<A, Json.Problem>
  ) {
    const unreadable = (cause: Json.Problem) =>
      new ImageStore.StoreUnreadable({ store: archive.path, path: TarFile.nameOf(archive.path, entry.path), cause })
    if (entry.size > Json.maxBytes) {
      return yield* unreadable(new Json.LimitExceeded({ document: name, limit: Json.maxBytes, size: entry.size }))
    }
    const bytes = yield* TarFile.readAll(archive, entry)
    return { bytes, value: yield* Effect.fromResult(Result.mapError(parse(bytes), unreadable)) }
  })

  /** A layer as Docker knows it, plain. One that is compressed has to be decompressed to tell its size. */
  const layerOf = Effect.fnUntraced(function*(archive: TarFile.TarFile, entry: TarFile.Entry) {
    const head = yield* Stream.mkUint8Array(
      archive.content({ ...entry, size: Math.min(entry.size, Compression.sniffLength) })
    )
    const format = Compression.sniff(head)
    if (format === "uncompressed") return { size: entry.size, content: archive.content(entry) }
    const content = archive.content(entry).pipe(
      decompress(format),
      Stream.catchTag(
        "CorruptContent",
        () => Stream.fail(TarFile.invalid(archive.path, entry.path, `valid ${format}`, "damaged or cut off content"))
      )
    )
    let size = 0
    yield* Stream.runForEach(content, (chunk): Effect.Effect<void, BlobStore.UnsafeFile> => {
      size += chunk.length
      const limit = LayerTar.limits.maxBytes
      return size <= limit
        ? Effect.void
        : Effect.fail(TarFile.invalid(archive.path, entry.path, `at most ${limit} uncompressed bytes`, "more"))
    })
    return { size, content }
  })

  const derive = Effect.fnUntraced(function*(archive: TarFile.TarFile) {
    const manifest = yield* Effect.fromResult(TarFile.find(archive, DockerManifest.name))
    if (manifest === undefined) {
      return yield* new ImageStore.StoreMissing({
        store: archive.path,
        path: TarFile.nameOf(archive.path, DockerManifest.name),
        expected: "an archive of the Docker engine"
      })
    }
    const { value: items } = yield* document(archive, manifest, "Docker archive's manifest.json", DockerManifest.parse)
    const images: Array<ImageStore.Image> = []
    const blobs = new Map<Digest.Digest, TarStore.Found>()
    const layers = new Map<Digest.Digest, string>()
    const addBytes = (mediaType: string, bytes: Uint8Array): Descriptor.Descriptor => {
      const digest = digestOf(bytes)
      // A copy each time: what a reader does to it is its own affair
      blobs.set(digest, { size: bytes.length, content: Stream.sync(() => bytes.slice()) })
      return { mediaType, digest, size: bytes.length }
    }
    for (const item of items) {
      const entry = yield* fileOf(archive, item.Config)
      const { bytes, value: { value: { rootfs } } } = yield* document(archive, entry, "image config", ImageConfig.parse)
      const diffIds = rootfs?.diff_ids ?? []
      const names = item.Layers ?? []
      const wrong = (expected: string, found: string) => TarFile.invalid(archive.path, item.Config, expected, found)
      if (names.length !== diffIds.length) {
        return yield* wrong(`${names.length} diff IDs, as many as manifest.json has layers`, String(diffIds.length))
      }
      const descriptors: Array<Descriptor.Descriptor> = []
      for (const [index, name] of names.entries()) {
        const diffId = yield* Effect.fromResult(Result.mapError(
          Digest.parse(diffIds[index] ?? ""),
          (error) => wrong(`a digest for the diff ID ${index}`, error.message)
        ))
        const known = blobs.get(diffId)
        const layer = known !== undefined && layers.get(diffId) === name
          ? known
          : yield* layerOf(archive, yield* fileOf(archive, name))
        if (known === undefined) {
          blobs.set(diffId, layer)
          layers.set(diffId, name)
        }
        descriptors.push({ mediaType: MediaType.dockerLayer, digest: diffId, size: layer.size })
      }
      const descriptor = addBytes(
        MediaType.dockerManifest,
        ImageManifest.encode({
          schemaVersion: 2,
          mediaType: MediaType.dockerManifest,
          config: addBytes(MediaType.dockerConfig, bytes),
          layers: descriptors
        })
      )
      const tags = (item.RepoTags ?? []).map((tag) => Option.some(shown(tag)))
      images.push(...(tags.length === 0 ? [Option.none()] : tags).map((name) => ({ name, descriptor })))
    }
    return { items, images, blobs, layers }
  })

  const contentOf = (archive: TarFile.TarFile) =>
    Effect.suspend(() => {
      const known = contents.get(archive)
      return known === undefined
        ? Effect.tap(derive(archive), (content) => Effect.sync(() => contents.set(archive, content)))
        : Effect.succeed(known)
    })

  const tar = yield* TarStore.make(file, options, (archive, digest) =>
    contentOf(archive).pipe(
      Effect.map(({ blobs }) => blobs.get(digest)),
      Effect.catchTag("StoreMissing", () => Effect.undefined),
      Effect.catchTag("StoreUnreadable", ({ cause, path }) =>
        Effect.fail(new BlobStore.UnsafeFile({ path, expected: "what Docker writes", found: cause.message })))
    ))
  const store = tar.path

  const list = Effect.scoped(Effect.gen(function*() {
    const archive = yield* tar.archive
    if (archive !== undefined) return (yield* contentOf(archive)).images
    return yield* new ImageStore.StoreMissing({ store, path: store, expected: "an archive of the Docker engine" })
  }))

  const change = (edit: (content: Content) => Result.Result<TarStore.Changes, ImageStore.ImageMissing>) =>
    tar.rewrite((archive) =>
      Effect.flatMap(
        archive === undefined ? Effect.succeed(empty) : contentOf(archive),
        (content) =>
          Effect.fromResult(Result.map(edit(content), (changes) =>
            // What Docker had before it had manifest.json is not kept up to date
            new Map([...changes, ["repositories", undefined] as const])))
      )
    )

  /** Takes a name from all images. Nothing is left of those that have no other, but their place. */
  const without = (items: ReadonlyArray<DockerManifest.Item>, name: Option.Option<string>) =>
    items.map((item) => {
      const tags = item.RepoTags ?? []
      const kept = Option.isNone(name) ? tags : tags.filter((tag) => shown(tag) !== name.value)
      const isTouched = Option.isNone(name) ? tags.length === 0 : kept.length < tags.length
      return isTouched
        ? kept.length === 0 ? undefined : { ...item, RepoTags: kept }
        : item
    })

  /** A document of an image that is to be written. */
  const parsed = <A>(
    descriptor: Descriptor.Descriptor,
    what: string,
    parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<A>, Json.Problem>
  ) =>
    BlobStore.getBytes(descriptor).pipe(
      Effect.flatMap((bytes) => Effect.fromResult(Result.map(parse(bytes), ({ value }) => ({ bytes, value })))),
      Effect.provideService(BlobStore.BlobStore, tar.blobs),
      Effect.catchTags({
        InvalidJson: (error) => refuse(descriptor, what, error.message),
        LimitExceeded: (error) => refuse(descriptor, what, error.message),
        UnexpectedJson: (error) => refuse(descriptor, what, error.message),
        DigestMismatch: (error) => refuse(descriptor, what, error.message),
        SizeMismatch: (error) => refuse(descriptor, what, error.message)
      })
    )

  const refuse = ({ digest }: Descriptor.Descriptor, expected: string, found: string) =>
    Effect.fail(new BlobStore.UnsafeFile({ path: `${digest}, for ${store},`, expected, found }))

  /** Puts a layer plain, as its diff ID says, and gives the blob. */
  const plain = (layer: Descriptor.Descriptor, diffId: Digest.Digest) =>
    Effect.gen(function*() {
      const content = tar.blobs.get(layer)
      const format = Compression.sniff(yield* Stream.mkUint8Array(Stream.take(content, 1)))
      return format === "uncompressed" && layer.digest === diffId
        ? { digest: diffId, size: layer.size }
        : yield* tar.blobs.put(decompress(format)(content), { digest: diffId })
    }).pipe(Effect.catchTags({
      CorruptContent: ({ format }) => refuse(layer, `a layer in valid ${format}`, "damaged or cut off content"),
      DigestMismatch: ({ expected, found }) => refuse(layer, `a layer whose content is ${expected}`, found),
      SizeMismatch: ({ expected, found }) => refuse(layer, `a layer of ${expected} bytes`, String(found))
    }))

  const tag = Effect.fnUntraced(function*(given: Option.Option<string>, descriptor: Descriptor.Descriptor) {
    const name = Option.map(given, familiar)
    if (Option.isSome(given) && (Option.isNone(Option.flatten(name)) || !ImageStore.isName(given.value))) {
      return yield* new ImageStore.InvalidImageName({ name: given.value, expected: nameRule })
    }
    if (!(yield* tar.has(descriptor))) {
      return yield* new BlobStore.BlobMissing({ store, digest: descriptor.digest })
    }
    if (!MediaType.isManifest(descriptor.mediaType)) {
      return yield* refuse(
        descriptor,
        "the manifest of one platform's image, which is all that an archive for Docker can name: choose one",
        MediaType.isIndex(descriptor.mediaType) ? "an index" : JSON.stringify(descriptor.mediaType)
      )
    }
    const manifest = yield* parsed(descriptor, "the manifest of an image", ImageManifest.parse)
    const config = yield* parsed(manifest.value.config, "the config of an image", ImageConfig.parse)
    const diffIds = config.value.rootfs?.diff_ids ?? []
    const { layers } = manifest.value
    if (diffIds.length !== layers.length) {
      return yield* refuse(manifest.value.config, `a config with ${layers.length} diff IDs`, `${diffIds.length}`)
    }
    const blobs: Array<BlobStore.Blob> = []
    for (const [index, layer] of layers.entries()) {
      const diffId = yield* Effect.catch(
        Effect.fromResult(Digest.parse(diffIds[index] ?? "")),
        (error) => refuse(manifest.value.config, "a config with digests for its diff IDs", error.message)
      )
      // It may take minutes, and nothing has changed yet
      blobs.push(yield* Effect.interruptible(plain(layer, diffId)))
    }
    yield* change((content) => {
      const changes = new Map<string, Uint8Array | BlobStore.Blob>()
      const configName = `${Digest.encoded(digestOf(config.bytes))}.json`
      changes.set(configName, config.bytes)
      const names = blobs.map((blob) => {
        const known = content.layers.get(blob.digest)
        if (known !== undefined) return known
        const name = `${Digest.encoded(blob.digest)}.tar`
        changes.set(name, blob)
        return name
      })
      const isSame = (item: DockerManifest.Item) =>
        item.Config === configName && JSON.stringify(item.Layers) === JSON.stringify(names)
      const target = Option.flatten(name)
      const rest = without(content.items, target)
      const kept = rest.findIndex((item) => item !== undefined && Option.isSome(target) && isSame(item))
      const place = rest.indexOf(undefined)
      const fresh = { Config: configName, RepoTags: Option.toArray(target), Layers: names }
      const items = kept >= 0
        ? rest.map((item, index) =>
          item !== undefined && index === kept
            ? { ...item, RepoTags: [...item.RepoTags ?? [], ...Option.toArray(target)] }
            : item
        )
        : place >= 0
        ? rest.map((item, index) => index === place ? fresh : item)
        : [...rest, fresh]
      changes.set(DockerManifest.name, DockerManifest.encode(items.filter((item) => item !== undefined)))
      return Result.succeed(changes)
    })
  })

  const untag = Effect.fnUntraced(function*(given: Option.Option<string>) {
    const name = Option.map(given, shown)
    yield* Effect.fromResult(ImageStore.checkNamed(store, yield* list, name))
    yield* change(({ images, items }) =>
      Result.map(ImageStore.checkNamed(store, images, name), () =>
        new Map([[
          DockerManifest.name,
          DockerManifest.encode(without(items, name).filter((item) => item !== undefined))
        ]]))
    )
  })

  return Context.make(BlobStore.BlobStore, tar.blobs).pipe(
    Context.add(ImageStore.ImageStore, {
      tag,
      untag,
      list,
      resolve: (name) =>
        Effect.flatMap(list, (images) => Effect.fromResult(ImageStore.find(store, images, Option.map(name, shown))))
    })
  )
})

/**
 * Layer that keeps images in an archive for `docker load`.
 *
 * **Details**
 *
 * The format has names, configs and layers, and no manifests. So a manifest is made of what is there, always the same: with
 * Docker's media types, the config as it is, and the layers plain, each with its diff ID for its digest. What is given a
 * name is taken apart in the same way: its layers are decompressed and checked, its config keeps its bytes, so that the
 * image's ID in the engine is the config's digest, and its manifest and annotations are left behind. An index cannot
 * be named: choose a platform first. Blobs that no named image leads to are gone with the layer's scope.
 *
 * Names are Docker's: `app` is `app:latest` and `docker.io/library/app:latest`. An image may have several. An image that has
 * lost its last name to another is dropped.
 *
 * As with `OciArchive`, the archive may be compressed, links in it are followed, up to eight and never out of it, and it
 * is written whole or not at all, with all that was in it before. What is wrong with it is an `UnsafeFile`, whose `path`
 * names the archive and the entry.
 *
 * **Example** (Finding an image that the engine has saved)
 *
 * ```ts
 * import * as DockerArchive from "@effect-oci/adapters/DockerArchive"
 * import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Option from "effect/Option"
 *
 * const program = ImageStore.ImageStore.use((images) => images.resolve(Option.some("alpine:3"))).pipe(
 *   Effect.provide(DockerArchive.layer("saved.tar").pipe(Layer.provide([NodeHash.layer, NodeCompression.layer])))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  file: string,
  options: Options = {}
): Layer.Layer<BlobStore.BlobStore | ImageStore.ImageStore, never, Hash.Hash | Compression.Compression> =>
  Layer.effectContext(make(file, options))
