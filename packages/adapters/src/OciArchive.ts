/**
 * Image layouts in one file: tar archives that `skopeo copy … oci-archive:`, `ctr images export` and BuildKit write, and
 * that any of them reads.
 *
 * Follows image-spec 1.1, image-layout.md, and for archives that `docker load` reads too containerd's
 * `core/images/archive/exporter.go`.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Compression from "@effect-oci/core/Compression"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageLayout from "@effect-oci/schema/ImageLayout"
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
import * as DockerManifest from "./internal/dockerManifest.ts"
import * as ImageList from "./internal/imageList.ts"
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
  /** Whether the archive is written for `docker load`, too: not, unless it is such an archive already. */
  readonly docker?: boolean
}

const markerName = "oci-layout"
const indexName = "index.json"

const blobName = (digest: Digest.Digest): string => `blobs/${Digest.algorithm(digest)}/${Digest.encoded(digest)}`

const findBlob = Effect.fnUntraced(function*(archive: TarFile.TarFile, digest: Digest.Digest) {
  const entry = yield* Effect.fromResult(TarFile.find(archive, blobName(digest)))
  return entry === undefined ? undefined : { size: entry.size, content: archive.content(entry) }
})

/** The name by which Docker and containerd know an image: a whole reference with a tag, which not every name is. */
const referenceOf = (name: Option.Option<string>): Option.Option<ImageReference.ImageReference> =>
  Option.flatMap(name, (text) => Result.getSuccess(ImageReference.parse(text))).pipe(
    Option.filter(({ digest, tag }) => Option.isSome(tag) && Option.isNone(digest))
  )

/** Tells the name in containerd's annotation, and not one that the image had elsewhere. */
const withImageName = (name: Option.Option<string>, descriptor: Descriptor.Descriptor): Descriptor.Descriptor => {
  const { annotations, ...rest } = descriptor
  const { [Annotations.imageName]: _, ...others } = annotations ?? {}
  const reference = referenceOf(name)
  return {
    ...rest,
    annotations: Option.isSome(reference)
      ? { ...others, [Annotations.imageName]: ImageReference.format(reference.value) }
      : others
  }
}

/** Attestations stand in an index beside the images that they are about. */
const isAttestation = ({ annotations = {} }: Descriptor.Descriptor): boolean =>
  Object.hasOwn(annotations, Annotations.referenceType)

const make = Effect.fnUntraced(function*(file: string, options: Options) {
  const tar = yield* TarStore.make(file, options, findBlob)
  const store = tar.path

  const read = Effect.fnUntraced(function*<A>(
    archive: TarFile.TarFile | undefined,
    name: string,
    parse: (bytes: Uint8Array) => Result.Result<A, Json.Problem>,
    document: string,
    limit: number = Json.maxBytes
  ) {
    const path = archive === undefined ? store : TarFile.nameOf(store, name)
    const unreadable = (cause: Json.Problem) => new ImageStore.StoreUnreadable({ store, path, cause })
    const entry = archive === undefined ? undefined : yield* Effect.fromResult(TarFile.find(archive, name))
    if (archive === undefined || entry === undefined) {
      return yield* new ImageStore.StoreMissing({ store, path, expected: "an OCI image archive" })
    }
    if (entry.size > limit) return yield* unreadable(new Json.LimitExceeded({ document, limit, size: entry.size }))
    const bytes = yield* TarFile.readAll(archive, entry)
    return yield* Effect.fromResult(Result.mapError(parse(bytes), unreadable))
  })

  const checkVersion = Effect.fnUntraced(function*(archive: TarFile.TarFile | undefined) {
    const { document, value } = yield* read(archive, markerName, ImageLayout.parse, "image layout", 4096)
    if (value.imageLayoutVersion === ImageLayout.version) return
    const start = document.members.find((member) => member.name === "imageLayoutVersion")?.start ?? 0
    return yield* new ImageStore.StoreUnreadable({
      store,
      path: TarFile.nameOf(store, markerName),
      cause: new Json.UnexpectedJson({
        document: "image layout",
        reason: "value",
        pointer: "/imageLayoutVersion",
        ...Json.position(document.text, start),
        expected: `version ${ImageLayout.version}, the only one known`,
        found: JSON.stringify(value.imageLayoutVersion)
      })
    })
  })

  const readIndex = Effect.fnUntraced(function*(archive: TarFile.TarFile | undefined) {
    yield* checkVersion(archive)
    return yield* read(archive, indexName, ImageIndex.parse, "image index")
  })

  const list = Effect.scoped(Effect.gen(function*() {
    const { value } = yield* readIndex(yield* tar.archive)
    return ImageList.images(value)
  }))

  const document = <A>(
    descriptor: Descriptor.Descriptor,
    parse: (bytes: Uint8Array) => Result.Result<Json.Parsed<A>, Json.Problem>
  ) =>
    BlobStore.getBytes(descriptor).pipe(
      Effect.flatMap((bytes) => Effect.fromResult(parse(bytes))),
      Effect.map(({ value }) => value),
      Effect.provideService(BlobStore.BlobStore, tar.blobs)
    )

  /** The one image that a descriptor leads to. */
  const imageOf = Effect.fnUntraced(function*(descriptor: Descriptor.Descriptor) {
    if (!MediaType.isIndex(descriptor.mediaType)) return yield* document(descriptor, ImageManifest.parse)
    const { manifests } = yield* document(descriptor, ImageIndex.parse)
    const [only, ...others] = manifests.filter((manifest) => !isAttestation(manifest))
    return only === undefined || others.length > 0 || !MediaType.isManifest(only.mediaType)
      ? undefined
      : yield* document(only, ImageManifest.parse)
  })

  /** What `docker load` reads. What is not one image of one platform is left to those who read `index.json`. */
  const dockerManifest = Effect.fnUntraced(function*(images: ReadonlyArray<ImageStore.Image>) {
    const items = new Map<string, DockerManifest.Item>()
    for (const { descriptor, name } of images) {
      const manifest = Option.getOrUndefined(yield* Effect.option(imageOf(descriptor)))
      if (manifest === undefined || !MediaType.isConfig(manifest.config.mediaType)) continue
      const known = descriptor.annotations?.[Annotations.imageName]
      const tags = Option.map(
        Option.orElse(referenceOf(Option.fromUndefinedOr(known)), () => referenceOf(name)),
        ImageReference.familiar
      )
      const before = items.get(descriptor.digest)
      items.set(descriptor.digest, {
        Config: blobName(manifest.config.digest),
        RepoTags: [...before?.RepoTags ?? [], ...Option.toArray(tags)],
        Layers: manifest.layers.map(({ digest }) => blobName(digest))
      })
    }
    return DockerManifest.encode([...items.values()])
  })

  const change = (
    edit: (index: Json.Parsed<ImageIndex.ImageIndex>, docker: boolean) => Result.Result<string, ImageStore.ImageMissing>
  ) =>
    tar.rewrite((archive) =>
      Effect.gen(function*() {
        const docker = options.docker === true || archive?.entries.has(DockerManifest.name) === true
        const index = archive === undefined
          ? yield* Effect.fromResult(ImageIndex.parse(ImageList.empty)).pipe(Effect.orDie)
          : yield* readIndex(archive)
        const bytes = Json.toBytes(yield* Effect.fromResult(edit(index, docker)))
        const next = yield* Effect.fromResult(Result.mapError(
          bytes.length > Json.maxBytes
            ? Result.fail(
              new Json.LimitExceeded({ document: "image index", limit: Json.maxBytes, size: bytes.length })
            )
            : ImageIndex.parse(bytes),
          (cause) => new ImageStore.StoreUnreadable({ store, path: TarFile.nameOf(store, indexName), cause })
        ))
        const changes = new Map<string, Uint8Array | BlobStore.Blob>([[indexName, bytes]])
        if (archive === undefined) changes.set(markerName, ImageLayout.encode())
        for (const blob of tar.put()) changes.set(blobName(blob.digest), blob)
        if (docker) changes.set(DockerManifest.name, yield* dockerManifest(ImageList.images(next.value)))
        return changes
      })
    )

  const tag = Effect.fnUntraced(function*(name: Option.Option<string>, descriptor: Descriptor.Descriptor) {
    if (Option.isSome(name) && !ImageStore.isName(name.value)) {
      return yield* new ImageStore.InvalidImageName({ name: name.value, expected: ImageStore.nameRule })
    }
    if (!(yield* tar.has(descriptor))) {
      return yield* new BlobStore.BlobMissing({ store, digest: descriptor.digest })
    }
    yield* change((index, docker) =>
      Result.succeed(ImageList.put(index, name, docker ? withImageName(name, descriptor) : descriptor))
    )
  })

  const untag = Effect.fnUntraced(function*(name: Option.Option<string>) {
    const check = (images: ReadonlyArray<ImageStore.Image>) => ImageStore.checkNamed(store, images, name)
    // Once before anything is made, once when nobody else changes anything
    yield* Effect.fromResult(check(yield* list))
    yield* change((index) => Result.map(check(ImageList.images(index.value)), () => ImageList.remove(index, name)))
  })

  return Context.make(BlobStore.BlobStore, tar.blobs).pipe(
    Context.add(ImageStore.ImageStore, {
      tag,
      untag,
      list,
      resolve: (name) => Effect.flatMap(list, (images) => Effect.fromResult(ImageStore.find(store, images, name)))
    })
  )
})

/**
 * Layer that keeps blobs and images in an archive of an image layout.
 *
 * **Details**
 *
 * The archive may be compressed with gzip or Zstandard; it is decompressed into a temporary file then. Reading it makes
 * nothing else. Its headers are read once, and blobs from where they are; links in it are followed, up to eight, and
 * never out of it.
 *
 * Blobs that are put wait in a directory beside the archive, which is removed with the layer's scope, until an image gets
 * a name. Then the archive is written anew, plain, with all that was in it before, and takes the old one's place when
 * it is whole and durable: the same images, named in the same order, make the same bytes. Blobs that no image has been
 * named after are gone with the scope.
 *
 * With `docker` there is a `manifest.json` in it, as BuildKit's `type=docker` and Docker 25 have it, so that `docker load`
 * of any version takes it, too, and `DockerArchive` reads it. Names that are references with a tag, such as `app:1`, are
 * then Docker's names as well. An index of several platforms is not in `manifest.json`. Docker 20.10 wants layers of
 * Zstandard converted first.
 *
 * What is wrong with an archive is an `UnsafeFile`, whose `path` names the archive and the entry.
 *
 * **Example** (Listing the images of an archive)
 *
 * ```ts
 * import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as OciArchive from "@effect-oci/adapters/OciArchive"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = ImageStore.ImageStore.use((images) => images.list).pipe(
 *   Effect.provide(OciArchive.layer("app.tar").pipe(Layer.provide([NodeHash.layer, NodeCompression.layer])))
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
