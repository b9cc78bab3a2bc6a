/**
 * Registries: images in a repository that others share.
 *
 * Follows distribution-spec 1.1.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Copy from "@effect-oci/core/Copy"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RegistryError from "@effect-oci/core/RegistryError"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Json from "@effect-oci/schema/Json"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type * as Credentials from "./Credentials.ts"
import * as Blobs from "./internal/registry/blobs.ts"
import * as Manifests from "./internal/registry/manifests.ts"
import * as Referrers from "./internal/registry/referrers.ts"
import { failure } from "./internal/registry/repository.ts"
import * as Session from "./internal/registry/session.ts"
import * as Tags from "./internal/registry/tags.ts"

/**
 * What can be chosen about a registry.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Session.Options {}

/**
 * A repository of a registry: a place of blobs and images, and what only registries have.
 *
 * @category services
 * @since 0.1.0
 */
export class Repository extends Context.Service<
  Repository,
  Copy.Place & {
    /** The registry's host, and the path in it. */
    readonly name: string
    /** Checks that the registry is there, and lets us in. */
    readonly ping: Effect.Effect<void, RegistryError.RegistryError>
    /** All tags, in the order of the registry. */
    readonly tags: Stream.Stream<string, RegistryError.RegistryError>
    /**
     * Deletes a tag alone, or by its digest a manifest with all its tags. What is not there fails with the reason `NotFound`; a
     * registry that cannot do it, with `Refused`.
     */
    readonly remove: (name: string) => Effect.Effect<void, RegistryError.RegistryError>
    /** What refers to a manifest by its `subject`: of one type of artifact, where that is given. */
    readonly referrers: (
      subject: Digest.Digest,
      artifactType?: string
    ) => Stream.Stream<Descriptor.Descriptor, RegistryError.RegistryError>
  }
>()("@effect-oci/adapters/Registry/Repository") {}

/** Reads the name of a repository. */
const parse = (
  name: string
): Result.Result<ImageReference.ImageReference, ImageReference.InvalidImageReference> =>
  Result.flatMap(ImageReference.parse(name), (reference) => {
    const extra = Option.orElse(reference.digest, () => reference.tag)
    return Option.isNone(extra) ? Result.succeed(reference) : Result.fail(
      new ImageReference.InvalidImageReference({
        reference: name,
        reason: Option.isSome(reference.digest) ? "digest" : "tag",
        expected: "a repository, which is all images of one name",
        found: JSON.stringify(extra.value),
        advice: "leave it out, and name the image where it is read or written"
      })
    )
  })

/** How many tags are looked at at once. */
const concurrency = 8

/** How many names an error tells at most. */
const mostNames = 1000

/**
 * Opens a repository, `host/path` as people write it. Nothing is sent before something is read or written.
 *
 * **When to use**
 *
 * Use where a program has to do with several repositories at once; `layer` is for one.
 *
 * **Example** (Copying an image from one registry to another)
 *
 * ```ts
 * import * as Registry from "@effect-oci/adapters/Registry"
 * import * as Copy from "@effect-oci/core/Copy"
 * import * as Effect from "effect/Effect"
 * import * as Option from "effect/Option"
 *
 * const program = Effect.gen(function*() {
 *   const source = yield* Registry.open("registry.example.com/team/app")
 *   const target = yield* Registry.open("localhost:5000/app")
 *   return yield* Copy.image("1.0", { source, target, as: Option.some("1.0"), all: true })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(function*(
  name: string,
  options: Options = {}
): Effect.fn.Return<
  Repository["Service"],
  ImageReference.InvalidImageReference,
  HttpClient.HttpClient | Credentials.Credentials | Hash.Hash
> {
  const { domain, path } = yield* Effect.fromResult(parse(name))
  const session = yield* Session.make(domain, options)
  const hash = yield* Hash.Hash
  const store = `${domain}/${path}`
  const repository = { session, registry: domain, path, name: store }
  const manifests = Manifests.make(repository, hash)
  const known = yield* Referrers.make(repository, manifests)

  /** A registry that sends something else than it says is at fault, and not the image. */
  const atFault = (operation: string, subject: string) => (cause: BlobStore.DigestMismatch) =>
    Effect.fail(failure(repository, operation, subject, new RegistryError.Misbehaved({ found: cause.message, cause })))

  const find = (name: string) =>
    Effect.catchTag(manifests.get(name), "DigestMismatch", atFault("pull the manifest", name))

  const look = (name: string) =>
    Effect.catchTag(manifests.look(name), "DigestMismatch", atFault("look for the manifest", name))

  const tags = Tags.list(repository)

  /** Not every registry sorts them. */
  const sorted = <E>(tags: Stream.Stream<string, E>) =>
    Effect.map(Stream.runCollect(tags), (tags) => tags.toSorted(Json.compareUtf8))

  /** As many tags as are told. */
  const some = sorted(Stream.take(tags, mostNames))

  const missing = (name: Option.Option<string>) =>
    Effect.flatMap(Effect.orElseSucceed(some, () => []), (names) =>
      Effect.fail(
        new ImageStore.ImageMissing({ store, names, ...(Option.isSome(name) ? { name: name.value } : {}) })
      ))

  const tag = Effect.fnUntraced(function*(
    name: Option.Option<string>,
    descriptor: Descriptor.Descriptor
  ): Effect.fn.Return<void, ImageStore.ImageStoreError> {
    const { digest, mediaType } = descriptor
    const isOwn = Option.isNone(name) || name.value === digest
    if (!isOwn && !ImageReference.isTag(name.value)) {
      return yield* new ImageStore.InvalidImageName({ name: name.value, expected: Tags.rule })
    }
    const absent = new BlobStore.BlobMissing({ store, digest })
    // By its digest it is found without a name
    if (isOwn) return (yield* manifests.has(descriptor)) ? undefined : yield* absent
    const bytes = manifests.memory.kept(digest)?.bytes ?? (yield* find(digest))?.bytes
    if (bytes === undefined) return yield* absent
    const document = { descriptor: { mediaType, digest, size: bytes.length }, bytes }
    yield* Effect.catchTag(
      manifests.tag(name.value, document),
      "DigestMismatch",
      atFault("push the manifest", name.value)
    )
  })

  const untag = Effect.fnUntraced(function*(name: Option.Option<string>) {
    const isGone = Option.isSome(name) && ImageReference.isTag(name.value) && (yield* manifests.remove(name.value))
    if (!isGone) return yield* missing(name)
  })

  const resolve = Effect.fnUntraced(function*(
    name: Option.Option<string>
  ): Effect.fn.Return<Descriptor.Descriptor, ImageStore.ImageStoreError> {
    const known = Option.isSome(name) ? [name.value] : yield* some
    const [only] = known
    if (known.length > 1) return yield* new ImageStore.ImageAmbiguous({ store, names: known, count: known.length })
    const isName = only !== undefined && (ImageReference.isTag(only) || Result.isSuccess(Digest.parse(only)))
    return (isName ? yield* find(only) : undefined)?.descriptor ?? (yield* missing(name))
  })

  const list = Effect.gen(function*() {
    const found = yield* Effect.forEach(
      yield* sorted(tags),
      (tag) => Effect.map(look(tag), (descriptor) => ({ name: Option.some(tag), descriptor })),
      { concurrency }
    )
    // What was untagged meanwhile is not there
    return found.flatMap(({ descriptor, name }) => descriptor === undefined ? [] : [{ name, descriptor }])
  })

  return {
    name: store,
    blobs: Blobs.make(repository, hash, manifests, known),
    images: { tag, untag, resolve, list },
    ping: session.ask({ operation: "reach the registry", method: "GET", url: "/v2/", accept: [200] }).pipe(
      Effect.scoped,
      Effect.asVoid
    ),
    tags,
    remove: Effect.fnUntraced(function*(name) {
      if (yield* manifests.remove(name)) return
      return yield* failure(repository, "delete", name, new RegistryError.NotFound({ code: "MANIFEST_UNKNOWN" }))
    }),
    referrers: (subject, artifactType) =>
      Stream.catchTag(
        known.list(subject, artifactType),
        "DigestMismatch",
        (cause) => Stream.fromEffect(atFault("list the referrers of", subject)(cause))
      )
  }
})

/**
 * Layer that keeps blobs and images in a repository of a registry, `host/path` as people write it.
 *
 * **Details**
 *
 * An image's name is its tag; one that is not there can also be found by its digest. There is no unnamed image: without a
 * name, an image is only found by its digest. A descriptor keeps what a registry keeps of it: the media type, the digest and
 * the size.
 *
 * What is cut off goes on where it was, as far as the registry can; what is read is verified, whatever the registry says of
 * it. A blob of another repository of the same registry is taken over there, where the registry can, and not sent. What is
 * left unfinished is cancelled.
 *
 * **Gotchas**
 *
 * The `HttpClient` decides about the memory: Node's `fetch` keeps what it has not sent yet, whole layers of it. In Node,
 * `NodeHttpClient.layerNodeHttp` of `@effect/platform-node` sends and receives them piece by piece, and faster.
 *
 * **Example** (Listing the images of a repository)
 *
 * ```ts
 * import * as Credentials from "@effect-oci/adapters/Credentials"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Registry from "@effect-oci/adapters/Registry"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as FetchHttpClient from "effect/http/FetchHttpClient"
 * import * as Layer from "effect/Layer"
 *
 * const program = ImageStore.ImageStore.use((images) => images.list).pipe(
 *   Effect.provide(
 *     Registry.layer("localhost:5000/app").pipe(
 *       Layer.provide([NodeHash.layer, FetchHttpClient.layer, Credentials.layer(Effect.succeed(Credentials.none))])
 *     )
 *   )
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  name: string,
  options: Options = {}
): Layer.Layer<
  Repository | BlobStore.BlobStore | ImageStore.ImageStore,
  ImageReference.InvalidImageReference,
  HttpClient.HttpClient | Credentials.Credentials | Hash.Hash
> =>
  Layer.effectContext(
    Effect.map(open(name, options), (repository) =>
      Context.make(Repository, repository).pipe(
        Context.add(BlobStore.BlobStore, repository.blobs),
        Context.add(ImageStore.ImageStore, repository.images)
      ))
  )

/**
 * Checks that the registry is there, and lets us in.
 *
 * @category combinators
 * @since 0.1.0
 */
export const ping: Effect.Effect<void, RegistryError.RegistryError, Repository> = Repository.use(({ ping }) => ping)

/**
 * Gives all tags of the repository, in the order of the registry.
 *
 * @category getters
 * @since 0.1.0
 */
export const tags: Stream.Stream<string, RegistryError.RegistryError, Repository> = Stream.unwrap(
  Repository.useSync(({ tags }) => tags)
)

/**
 * Deletes a tag alone, or by its digest a manifest with all its tags. What is not there fails with the reason `NotFound`, and a
 * registry that cannot do it with `Refused`: many can delete manifests, but no tags.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remove = (name: string): Effect.Effect<void, RegistryError.RegistryError, Repository> =>
  Repository.use(({ remove }) => remove(name))

/**
 * Gives what refers to a manifest by its `subject`: of one type of artifact, where that is given. Of a registry that does not
 * list it, the index is read that clients keep under a tag.
 *
 * @category getters
 * @since 0.1.0
 */
export const referrers = (
  subject: Digest.Digest,
  artifactType?: string
): Stream.Stream<Descriptor.Descriptor, RegistryError.RegistryError, Repository> =>
  Stream.unwrap(Repository.useSync(({ referrers }) => referrers(subject, artifactType)))
