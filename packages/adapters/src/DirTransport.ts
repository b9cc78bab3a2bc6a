/**
 * Directories with one image each, as `skopeo copy … dir:` writes them and reads them: `manifest.json`, and blobs named by
 * their hashes, all side by side.
 *
 * Follows containers/image, `directory/directory_dest.go`, version 1.1.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { join, resolve } from "node:path"
import {
  absentAs,
  checkDirectory,
  content,
  ensureDirectory,
  Files,
  openFile,
  readDocument,
  syncDirectory,
  temporary,
  writeBehind
} from "./internal/files.ts"
import * as Owner from "./internal/owner.ts"
import * as Tidying from "./internal/tidying.ts"

const version = "Directory Transport Version: 1.1\n"

/** Most indexes inside each other whose manifests get the names that others look for. */
const maxLevels = 8

/** What a document is: it says so, or its members do. */
const mediaTypeOf = (document: Json.Document): string | undefined => {
  const said = Json.memberValue(document, "mediaType")
  if (typeof said === "string" && said !== "") return said
  const has = (name: string) => document.members.some((member) => member.name === name)
  return has("manifests") ? MediaType.imageIndex : has("config") ? MediaType.imageManifest : undefined
}

const make = Effect.fnUntraced(function*(path: string) {
  const files = yield* Files
  const hash = yield* Hash.Hash
  const store = resolve(path)
  const manifestPath = join(store, "manifest.json")
  const versionPath = join(store, "version")

  const blobPath = (digest: Digest.Digest) => join(store, Digest.encoded(digest))
  const instancePath = (digest: Digest.Digest) => join(store, `${Digest.encoded(digest)}.manifest.json`)

  const digestOf = (bytes: Uint8Array, algorithm: Digest.Algorithm): Digest.Digest => {
    const hasher = hash.make(algorithm)
    hasher.update(bytes)
    return hasher.digest()
  }

  const owner = yield* Owner.self(files)
  const newFile = Effect.suspend(() => temporary(files, join(store, Owner.nameFor("new", owner))))
  const isNew = (name: string) => name.startsWith("new-") && Option.isSome(Owner.ofName(name))

  /** Removes what dead processes have left. */
  const tidy = Effect.ignore(Effect.gen(function*() {
    for (const name of yield* Tidying.list(files, store)) {
      if (isNew(name) && (yield* Tidying.isLeft(files, store, name))) yield* files.remove(join(store, name))
    }
  }))
  let isTidy = false

  const write = (path: string, bytes: Uint8Array) =>
    Effect.scoped(Effect.gen(function*() {
      const file = yield* newFile
      yield* file.write(bytes)
      yield* file.sync
      yield* file.close
      yield* file.moveTo(path)
    }))

  const isThere = (path: string) => files.info(path).pipe(Effect.as(true), absentAs(false))

  /** Makes the directory one for an image, unless it is one or holds other things. */
  const prepare = Effect.gen(function*() {
    const marker = yield* readDocument(files, versionPath, "version", 4096).pipe(
      Effect.map(({ bytes }) => new TextDecoder().decode(bytes)),
      Effect.catchTag("LimitExceeded", () => Effect.succeed("something longer")),
      absentAs(undefined)
    )
    if (marker === version) {
      if (!isTidy) yield* tidy
      isTidy = true
      return
    }
    if (marker !== undefined) {
      return yield* new BlobStore.UnsafeFile({
        path: versionPath,
        expected: JSON.stringify(version),
        found: JSON.stringify(marker.slice(0, 80))
      })
    }
    const foreign = (yield* Tidying.list(files, store)).find((name) => !isNew(name))
    // Another one may have made it one just now
    if (foreign !== undefined && !(yield* isThere(versionPath))) {
      return yield* new BlobStore.StoreIo({
        operation: "make the directory of an image of",
        path: store,
        code: "ENOTEMPTY",
        cause: new Error(`it is none, and holds ${JSON.stringify(foreign)}`)
      })
    }
    yield* ensureDirectory(files, store)
    yield* write(versionPath, Json.toBytes(version))
    yield* syncDirectory(files, store)
  })

  const unreadable = (cause: Json.Problem) => new ImageStore.StoreUnreadable({ store, path: manifestPath, cause })

  /** The bytes of `manifest.json`, if it is there. */
  const manifestBytes = readDocument(files, manifestPath, "manifest").pipe(
    Effect.map(({ bytes }) => bytes),
    absentAs(undefined)
  )

  /** Finds the file of a blob: it may be a manifest of its own, or the manifest. */
  const find = Effect.fnUntraced(function*(digest: Digest.Digest) {
    yield* absentAs(undefined)(checkDirectory(files, store))
    for (const path of [blobPath(digest), instancePath(digest)]) {
      if (yield* isThere(path)) return path
    }
    const bytes = yield* manifestBytes.pipe(Effect.catchTag("LimitExceeded", () => Effect.undefined))
    return bytes !== undefined && digestOf(bytes, Digest.algorithm(digest)) === digest ? manifestPath : undefined
  })

  const missing = (digest: Digest.Digest) => new BlobStore.BlobMissing({ store, digest })
  const wrongSize = (digest: Digest.Digest, expected: number, found: number) =>
    new BlobStore.SizeMismatch({ store, digest, expected, found })

  const has = Effect.fnUntraced(function*(blob: BlobStore.Blob) {
    const path = yield* find(blob.digest)
    if (path === undefined) return false
    const info = yield* files.info(path)
    if (info.kind === "file") return info.size === blob.size
    return yield* new BlobStore.UnsafeFile({ path, expected: "a file", found: `a ${info.kind}` })
  })

  const get: BlobStore.Store["get"] = (blob) =>
    Stream.unwrap(Effect.gen(function*() {
      const path = yield* find(blob.digest)
      const opened = path === undefined ? undefined : yield* absentAs(undefined)(openFile(files, path))
      if (opened === undefined) return yield* missing(blob.digest)
      if (opened.info.size !== blob.size) return yield* wrongSize(blob.digest, blob.size, opened.info.size)
      return content(opened.file, blob.size)
    })).pipe(BlobStore.verify(store, blob), Stream.provideService(Hash.Hash, hash))

  const put: BlobStore.Store["put"] = (content, expected = {}) =>
    Effect.scoped(Effect.gen(function*() {
      yield* prepare
      const next = yield* newFile
      const file = yield* writeBehind(next)
      const hasher = hash.make(expected.digest === undefined ? "sha256" : Digest.algorithm(expected.digest))
      let size = 0
      yield* Stream.runForEach(
        content,
        (chunk): Effect.Effect<void, BlobStore.StoreIo | BlobStore.SizeMismatch, Scope.Scope> => {
          size += chunk.length
          hasher.update(chunk)
          return expected.size === undefined || size <= expected.size
            ? file.write(chunk)
            : Effect.fail(wrongSize(expected.digest ?? hasher.digest(), expected.size, size))
        }
      )
      const digest = hasher.digest()
      if (expected.size !== undefined && size !== expected.size) {
        return yield* wrongSize(expected.digest ?? digest, expected.size, size)
      }
      if (expected.digest !== undefined && digest !== expected.digest) {
        return yield* new BlobStore.DigestMismatch({ store, expected: expected.digest, found: digest })
      }
      yield* file.sync
      yield* file.close
      yield* next.moveTo(blobPath(digest))
      return { digest, size }
    }))

  const list = Effect.gen(function*() {
    const bytes = yield* Effect.catchTag(manifestBytes, "LimitExceeded", (error) => Effect.fail(unreadable(error)))
    if (bytes === undefined) {
      if (yield* isThere(versionPath)) return []
      return yield* new ImageStore.StoreMissing({ store, path: manifestPath, expected: "the directory of an image" })
    }
    const document = yield* Effect.fromResult(Result.mapError(Json.parse(bytes, { document: "manifest" }), unreadable))
    const mediaType = mediaTypeOf(document)
    if (mediaType === undefined) {
      return yield* unreadable(
        new Json.UnexpectedJson({
          document: document.name,
          reason: "missing",
          pointer: "/mediaType",
          line: 1,
          column: 1,
          expected: "this member, or those of a manifest or an index",
          found: "nothing"
        })
      )
    }
    const descriptor = { mediaType, digest: digestOf(bytes, "sha256"), size: bytes.length }
    return [{ name: Option.none<string>(), descriptor }]
  })

  /** Gives manifests the names under which others look for them, which is known only by the index that lists them. */
  const nameInstances = (bytes: Uint8Array, level: number): Effect.Effect<void, ImageStore.ImageStoreError> =>
    Effect.gen(function*() {
      const index = ImageIndex.parse(bytes)
      if (Result.isFailure(index) || level > maxLevels) return
      for (const { digest, mediaType } of index.success.value.manifests) {
        if (!MediaType.isManifest(mediaType) && !MediaType.isIndex(mediaType)) continue
        if (yield* isThere(blobPath(digest))) yield* files.rename(blobPath(digest), instancePath(digest))
        if (!MediaType.isIndex(mediaType)) continue
        const inner = yield* readDocument(files, instancePath(digest), "image index").pipe(
          Effect.catchTag("LimitExceeded", () => Effect.undefined),
          absentAs(undefined)
        )
        if (inner !== undefined) yield* nameInstances(inner.bytes, level + 1)
      }
    })

  const tag = Effect.fnUntraced(function*(name: Option.Option<string>, descriptor: Descriptor.Descriptor) {
    if (Option.isSome(name)) {
      return yield* new ImageStore.InvalidImageName({
        name: name.value,
        expected: "no name: such a directory holds one image, which has none"
      })
    }
    const path = yield* find(descriptor.digest)
    if (path === undefined || !(yield* has(descriptor))) return yield* missing(descriptor.digest)
    const bytes = yield* BlobStore.getBytes(descriptor).pipe(
      Effect.provideService(BlobStore.BlobStore, { put, get, has }),
      Effect.catchTags({
        LimitExceeded: (error) => Effect.fail(unreadable(error)),
        // It does not have it: something else is there
        DigestMismatch: () => Effect.fail(missing(descriptor.digest)),
        SizeMismatch: () => Effect.fail(missing(descriptor.digest))
      })
    )
    yield* prepare
    if (MediaType.isIndex(descriptor.mediaType)) yield* nameInstances(bytes, 1)
    // Blobs are durable before the manifest that names them
    yield* syncDirectory(files, store)
    yield* write(manifestPath, bytes)
    yield* syncDirectory(files, store)
    if (path === blobPath(descriptor.digest)) yield* Effect.ignore(files.remove(path))
  })

  const untag = Effect.fnUntraced(function*(name: Option.Option<string>) {
    const images = yield* list
    yield* Effect.fromResult(ImageStore.checkNamed(store, images, name))
    // Its blob stays
    for (const { descriptor } of images) yield* files.rename(manifestPath, instancePath(descriptor.digest))
    yield* syncDirectory(files, store)
  })

  return Context.make(BlobStore.BlobStore, { put, get, has }).pipe(
    Context.add(ImageStore.ImageStore, {
      tag,
      untag,
      list,
      resolve: (name) => Effect.flatMap(list, (images) => Effect.fromResult(ImageStore.find(store, images, name)))
    })
  )
})

/**
 * Layer that keeps blobs and one image, which has no name, in a directory.
 *
 * **Details**
 *
 * The directory becomes one for an image with the first thing that is written to it; one that holds other things is
 * refused. Reading makes nothing. Blobs appear whole or not at all, and the image with `manifest.json`, which comes last and
 * takes the place of the one before. Manifests of an index get the names `HASH.manifest.json` when the index becomes the
 * image, as `skopeo copy --all` has it. Blobs of an image that is replaced stay.
 *
 * The descriptor's annotations have no place in such a directory; its media type is told by the document itself.
 *
 * **Example** (Finding the image of a directory)
 *
 * ```ts
 * import * as DirTransport from "@effect-oci/adapters/DirTransport"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Option from "effect/Option"
 *
 * const program = ImageStore.ImageStore.use((images) => images.resolve(Option.none())).pipe(
 *   Effect.provide(DirTransport.layer("app").pipe(Layer.provide(NodeHash.layer)))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string
): Layer.Layer<BlobStore.BlobStore | ImageStore.ImageStore, never, Hash.Hash> => Layer.effectContext(make(directory))
