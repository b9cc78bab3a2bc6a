/**
 * Refs as OCI artifacts in a store of images, one tag a ref: in a repository of a registry, many machines share them.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import type * as RegistryError from "@effect-oci/core/RegistryError"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import type * as ImageManifest from "@effect-oci/schema/ImageManifest"
import type * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as RefArtifact from "./internal/refArtifact.ts"
import * as Refs from "./internal/refs.ts"

/** A ref as it was read: `descriptor` and `layers` are those of its artifact. */
interface Found extends RefArtifact.Parsed {
  readonly name: string
  readonly descriptor: Descriptor.Descriptor
  readonly layers: ReadonlyArray<Descriptor.Descriptor>
}

type StoreFailure = BlobStore.BlobStoreError | ImageStore.ImageStoreError

/** How many refs are read at once. */
const concurrency = 16

/** What stores say of what is not there, or of a store that nothing was put in yet. */
const isAbsent = (error: StoreFailure | Json.LimitExceeded): boolean =>
  error._tag === "BlobMissing" || error._tag === "ImageMissing" || error._tag === "StoreMissing" ||
  (error._tag === "RegistryError" && error.reason._tag === "NotFound")

/** Whether a registry says that it can take no tag away. */
const isUnsupported = (error: StoreFailure): boolean =>
  error._tag === "RegistryError" && error.reason._tag === "Refused" &&
  (error.reason.status === 405 || error.reason.errors.some(({ code }) => code === "UNSUPPORTED"))

/** The failure of a store in the words of refs. */
const refusal = (
  operation: string,
  path: string,
  error: StoreFailure
): BlobStore.StoreIo | BlobStore.UnsafeFile | RegistryError.RegistryError =>
  error._tag === "StoreIo" || error._tag === "UnsafeFile" || error._tag === "RegistryError"
    ? error
    : new BlobStore.StoreIo({ operation, path, code: error._tag, cause: error })

/** The failure of a change: that another holds a lock is told as it is. */
const changeRefusal = (operation: string, path: string) => (error: StoreFailure) =>
  error._tag === "StoreLocked" ? error : refusal(operation, path, error)

const make = Effect.fnUntraced(function*(store: string) {
  const blobs = yield* BlobStore.BlobStore
  const images = yield* ImageStore.ImageStore
  const hash = yield* Hash.Hash
  // Of those that change refs through this layer, one at a time
  const changing = yield* Semaphore.make(1)

  const blobOf = (bytes: Uint8Array) => {
    const hasher = hash.make("sha256")
    hasher.update(bytes)
    return { digest: hasher.digest(), size: bytes.length }
  }
  const empty = { mediaType: MediaType.emptyJson, ...blobOf(RefArtifact.nothing) }
  const removed = RefArtifact.encodeRemoved(empty)
  const removedArtifact = {
    mediaType: MediaType.imageManifest,
    ...blobOf(removed),
    artifactType: RefArtifact.removedType
  }
  const isRemoved = ({ digest }: Descriptor.Descriptor) => digest === removedArtifact.digest

  const placeOf = (name: string) => `${store}:${RefArtifact.toTag(name)}`

  /** The document that a manifest carries along, or names; verified. */
  const textOf = (manifest: ImageManifest.ImageManifest) => {
    const { config } = manifest
    const embedded = RefArtifact.embedded(config)
    return embedded === undefined
      ? Effect.provideService(BlobStore.getBytes(config), BlobStore.BlobStore, blobs)
      : Stream.mkUint8Array(BlobStore.verify(store, config)(Stream.succeed(embedded))).pipe(
        Effect.provideService(Hash.Hash, hash)
      )
  }

  /** Reads a ref by the digest of its artifact; gives nothing where that is not there any more. */
  const read = Effect.fnUntraced(function*(
    name: string,
    descriptor: Descriptor.Descriptor
  ): Effect.fn.Return<Found | undefined, CacheRef.CacheRefError> {
    const path = `${store}@${descriptor.digest}`
    const unreadable = (cause: Json.Problem) => new CacheRef.RefUnreadable({ ref: name, path, cause })
    const told = Effect.mapError((error: StoreFailure | Json.LimitExceeded) =>
      error._tag === "LimitExceeded" ? unreadable(error) : refusal("read", path, error)
    )
    const bytes = yield* BlobStore.getBytes(descriptor).pipe(
      Effect.provideService(BlobStore.BlobStore, blobs),
      Effect.catchIf(isAbsent, () => Effect.succeed(undefined)),
      told
    )
    if (bytes === undefined) return undefined
    const manifest = yield* Effect.fromResult(Result.mapError(RefArtifact.parseManifest(bytes), unreadable))
    const text = yield* told(textOf(manifest))
    const parsed = yield* Effect.fromResult(Result.mapError(RefArtifact.parseDocument(text), unreadable))
    return { name, descriptor, layers: manifest.layers, ...parsed }
  })

  const find = Effect.fnUntraced(function*(name: string) {
    if (!RefDocument.isName(name)) return undefined
    const descriptor = yield* images.resolve(Option.some(RefArtifact.toTag(name))).pipe(
      Effect.catchIf(isAbsent, () => Effect.succeed(undefined)),
      Effect.mapError((error) => refusal("read", placeOf(name), error))
    )
    return descriptor === undefined || isRemoved(descriptor) ? undefined : yield* read(name, descriptor)
  })

  /** What a ref stands on: what had the parent's name when it was added, whatever has it now. */
  const below = ({ document, parent }: Found): Effect.Effect<Found | undefined, CacheRef.CacheRefError> =>
    document.parent === undefined
      ? Effect.succeed(undefined)
      : parent === undefined
      ? find(document.parent)
      : read(document.parent, parent)

  const toRef = (name: string, found: Found | undefined): Effect.Effect<CacheRef.Ref, CacheRef.RefMissing> =>
    found === undefined
      ? Effect.fail(new CacheRef.RefMissing({ store, ref: name }))
      : Effect.succeed(Refs.toRef(
        store,
        name,
        found.document,
        blobs.get,
        blobs,
        (parent) => Effect.flatMap(below(found), (found) => toRef(parent, found))
      ))

  const listed = images.list.pipe(
    Effect.catchIf(isAbsent, () => Effect.succeed<ReadonlyArray<ImageStore.Image>>([])),
    Effect.mapError((error) => refusal("list the refs of", store, error)),
    Effect.map((images) => {
      const found = new Map<string, Descriptor.Descriptor>()
      for (const { descriptor, name } of images) {
        const ref = RefArtifact.fromTag(Option.getOrElse(name, () => ""))
        // What is known to be something else is no ref
        const { artifactType = RefArtifact.artifactType } = descriptor
        const isRef = artifactType === RefArtifact.artifactType && !isRemoved(descriptor)
        if (ref !== undefined && isRef) found.set(ref, descriptor)
      }
      return found
    })
  )

  /** Stores the artifact of a ref, after all that it names. */
  const write = Effect.fnUntraced(function*(
    name: string,
    document: RefDocument.RefDocument,
    parent: Descriptor.Descriptor | undefined
  ) {
    const target = yield* BlobStore.BlobStore
    const text = RefArtifact.encodeDocument(name, document, parent)
    const config = yield* BlobStore.putBytes(text, RefArtifact.documentType)
    const { layer } = document
    // A registry takes no manifest whose layer is not there
    const hasLayer = layer !== undefined && (yield* target.has(layer))
    if (!hasLayer) yield* BlobStore.putBytes(RefArtifact.nothing, MediaType.emptyJson)
    const content = hasLayer ? layer : empty
    const mediaType = MediaType.imageManifest
    const manifest = yield* BlobStore.putBytes(RefArtifact.encodeManifest(text, config, content), mediaType)
    return { mediaType, ...manifest, artifactType: RefArtifact.artifactType }
  })

  /** Whether an artifact does not name the layer of its ref, which was not there when it was added and now is. */
  const isHollow = ({ document: { layer }, layers }: Found) =>
    layer === undefined || layers.some(({ digest }) => digest === layer.digest)
      ? Effect.succeed(false)
      : Effect.mapError(blobs.has(layer), (error) => refusal("read", `${store}@${layer.digest}`, error))

  const add = Effect.fnUntraced(function*(
    name: string,
    document: RefDocument.RefDocument,
    replace: boolean
  ) {
    const existing = yield* Effect.cached(find(name))
    const parent = document.parent === undefined ? undefined : yield* find(document.parent)
    // From the parent on, the way down is that of the digests
    let next: Effect.Effect<Found | undefined, CacheRef.CacheRefError> = Effect.succeed(parent)
    const lookup = Effect.fnUntraced(function*(wanted: string) {
      if (wanted === name) return (yield* existing)?.document
      const found = yield* next
      if (found !== undefined) next = below(found)
      return found?.document
    })
    const isOther = yield* Refs.checkAdd(store, lookup, name, document, replace)
    const before = yield* Effect.orElseSucceed(existing, () => undefined)
    const isMoved = before?.parent !== undefined && before.parent.digest !== parent?.descriptor.digest
    if (isMoved && !replace) return yield* new RefStore.RefExists({ store, ref: name })
    if (before !== undefined && !isOther && !isMoved && !(yield* isHollow(before))) return
    yield* BlobStore.staged(
      write(name, document, parent?.descriptor),
      (artifact) => images.tag(Option.some(RefArtifact.toTag(name)), artifact)
    ).pipe(
      Effect.provideService(BlobStore.BlobStore, blobs),
      Effect.mapError(changeRefusal("add", placeOf(name)))
    )
  })

  /** Takes a tag away, or gives it to what stands for nothing. */
  const untag = (tag: Option.Option<string>) =>
    Effect.catchIf(
      images.untag(tag),
      isUnsupported,
      () =>
        BlobStore.putBytes(RefArtifact.nothing, MediaType.emptyJson).pipe(
          Effect.andThen(BlobStore.putBytes(removed, removedArtifact.mediaType)),
          Effect.andThen(images.tag(tag, removedArtifact)),
          Effect.provideService(BlobStore.BlobStore, blobs)
        )
    )

  const remove = Effect.fnUntraced(function*(name: string) {
    const missing = new CacheRef.RefMissing({ store, ref: name })
    const refs = yield* listed
    if (!refs.has(name)) return yield* missing
    const others = [...refs].filter(([other]) => other !== name)
    const found = yield* Effect.forEach(others, ([other, descriptor]) => read(other, descriptor), { concurrency })
    const documents = new Map(found.flatMap((ref) => ref === undefined ? [] : [[ref.name, ref.document] as const]))
    yield* Refs.checkRemove((other) => Effect.succeed(documents.get(other)), [...refs.keys()], name)
    yield* untag(Option.some(RefArtifact.toTag(name))).pipe(
      Effect.mapError((error) => isAbsent(error) ? missing : changeRefusal("remove", placeOf(name))(error))
    )
  })

  const change = <E>(name: string, effect: Effect.Effect<void, E>) =>
    Effect.andThen(Refs.checkName(name), changing.withPermit(effect))

  return Context.make(CacheRef.CacheRef, {
    acquire: (name) => Effect.flatMap(find(name), (found) => toRef(name, found)),
    list: Effect.map(listed, (refs) => [...refs.keys()].toSorted())
  }).pipe(
    Context.add(RefStore.RefStore, {
      add: (name, document, options) => change(name, add(name, document, options?.replace ?? false)),
      remove: (name) => change(name, remove(name))
    })
  )
})

/**
 * Layer that keeps refs as artifacts in the store of images that it is provided with. `store` is what messages call it.
 *
 * **Details**
 *
 * A ref is a manifest with the artifact type `application/vnd.effect-oci.ref.v1`: its config is the document of the ref, its
 * layer the ref's layer, and its tag is `ref.NAME`, so that refs and images may share a repository. A name that makes no tag
 * as it is has one that begins with `REF.`.
 *
 * Refs are added at once by any number of machines. Those of different names all stay; of those of one name the last one has
 * the tag, and all can be had by their digests. A ref stands on its parent's artifact, by digest: what it was built on stays
 * below it when another has the parent's name, or none has. The same ref on top of another parent is other content, which
 * needs `replace`. Where the artifact of a parent is not there any more, the chain fails with `RefParentMissing`: a registry
 * whose garbage collection takes manifests without a tag has to be told to keep them. Where a registry cannot take a tag
 * away, the tag of a ref that is removed goes to an artifact that stands for nothing.
 *
 * To acquire a ref takes one or two requests, each ref below it one more. Removing one reads all others, 16 at once; what is added to
 * it meanwhile by another machine is not seen, and stays readable as above. A store that knows the types of its manifests
 * lists only refs; otherwise what has the tag of a ref and is none is found out when it is acquired, as `RefUnreadable`.
 *
 * **Example** (Refs that outlive no program)
 *
 * ```ts
 * import * as CacheRefArtifacts from "@effect-oci/adapters/CacheRefArtifacts"
 * import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as RefStore from "@effect-oci/core/RefStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const refs = CacheRefArtifacts.layer("the shared refs").pipe(
 *   Layer.provideMerge(MemoryStore.layer),
 *   Layer.provide(NodeHash.layer)
 * )
 * const program = RefStore.RefStore.use((store) => store.add("base", { description: "FROM scratch" })).pipe(
 *   Effect.provide(refs)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  store: string
): Layer.Layer<
  CacheRef.CacheRef | RefStore.RefStore,
  never,
  BlobStore.BlobStore | ImageStore.ImageStore | Hash.Hash
> => Layer.effectContext(make(store))
