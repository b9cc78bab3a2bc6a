/**
 * Image layouts: directories in which any OCI tool finds an image.
 *
 * Follows image-spec 1.1, image-layout.md.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as ImageIndex from "@effect-oci/schema/ImageIndex"
import * as ImageLayout from "@effect-oci/schema/ImageLayout"
import * as Json from "@effect-oci/schema/Json"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { join } from "node:path"
import type { Durability } from "./Durability.ts"
import { absentAs, Files, readDocument } from "./internal/files.ts"
import * as ImageList from "./internal/imageList.ts"
import * as Layout from "./internal/layout.ts"

/**
 * What can be chosen about a layout.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** How long is waited for another process that changes the layout: 30 seconds unless given. */
  readonly lockTimeout?: Duration.Input
  /** What an image survives that was tagged: `full` unless given. */
  readonly durability?: Durability
}

/** How often the list of images is read again because a program that does not know our lock has changed it. */
const attempts = 100

const make = Effect.fnUntraced(function*(path: string, options: Options) {
  const files = yield* Files
  const lockTimeout = Duration.fromInputUnsafe(options.lockTimeout ?? "30 seconds")
  const layout = yield* Layout.make(path, lockTimeout, options.durability)
  const store = layout.root
  const markerPath = join(store, "oci-layout")
  const indexPath = join(store, "index.json")

  const unreadable = (path: string) => (cause: Json.Problem) => new ImageStore.StoreUnreadable({ store, path, cause })

  const read = Effect.fnUntraced(function*<A>(
    path: string,
    parse: (bytes: Uint8Array) => Result.Result<A, Json.Problem>,
    document: string,
    limit?: number
  ) {
    const found = yield* readDocument(files, path, document, limit).pipe(
      Effect.catchTag("LimitExceeded", (error) => Effect.fail(unreadable(path)(error))),
      absentAs(undefined)
    )
    if (found === undefined) {
      return yield* new ImageStore.StoreMissing({ store, path, expected: "an OCI image layout" })
    }
    const parsed = yield* Effect.fromResult(Result.mapError(parse(found.bytes), unreadable(path)))
    return { parsed, info: found.info }
  })

  const checkVersion = Effect.gen(function*() {
    const { parsed: { document, value } } = yield* read(markerPath, ImageLayout.parse, "image layout", 4096)
    if (value.imageLayoutVersion === ImageLayout.version) return
    const start = document.members.find((member) => member.name === "imageLayoutVersion")?.start ?? 0
    return yield* unreadable(markerPath)(
      new Json.UnexpectedJson({
        document: "image layout",
        reason: "value",
        pointer: "/imageLayoutVersion",
        ...Json.position(document.text, start),
        expected: `version ${ImageLayout.version}, the only one known`,
        found: JSON.stringify(value.imageLayoutVersion)
      })
    )
  })

  const readIndex = read(indexPath, ImageIndex.parse, "image index")

  const list = Effect.gen(function*() {
    yield* checkVersion
    const { parsed } = yield* readIndex
    return ImageList.images(parsed.value)
  })

  /** The list is read, merged and renamed to its place; one that has changed in between is read again. */
  const merge = Effect.fnUntraced(function*<E>(
    change: (index: Json.Parsed<ImageIndex.ImageIndex>) => Result.Result<string, E>
  ) {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const { info, parsed } = yield* readIndex
      const bytes = Json.toBytes(yield* Effect.fromResult(change(parsed)))
      if (bytes.length > Json.maxBytes) {
        return yield* unreadable(indexPath)(
          new Json.LimitExceeded({ document: "image index", limit: Json.maxBytes, size: bytes.length })
        )
      }
      const check = Effect.flatMap(
        files.info(indexPath),
        (now) =>
          now.identity === info.identity && now.size === info.size && now.mtime === info.mtime
            ? Effect.void
            : Effect.fail("changed" as const)
      )
      const written = yield* layout.write(indexPath, bytes, check).pipe(
        Effect.as(true),
        Effect.catchIf((error) => error === "changed", () => Effect.succeed(false))
      )
      if (written) return yield* layout.syncNames(store)
    }
    return yield* new ImageStore.StoreLocked({
      path: indexPath,
      holder: "another program, which changes it all the time"
    })
  })

  const tag = Effect.fnUntraced(function*(name: Option.Option<string>, descriptor: Descriptor.Descriptor) {
    if (Option.isSome(name) && !ImageStore.isName(name.value)) {
      return yield* new ImageStore.InvalidImageName({ name: name.value, expected: ImageStore.nameRule })
    }
    const check = Effect.flatMap(
      layout.blobs.has(descriptor),
      (has) => has ? Effect.void : Effect.fail(new BlobStore.BlobMissing({ store, digest: descriptor.digest }))
    )
    // Once before anything is made, once when no garbage is collected
    yield* check
    yield* layout.prepare
    yield* checkVersion
    yield* layout.syncBlobs
    yield* layout.locked(
      Effect.andThen(check, merge((index) => Result.succeed(ImageList.put(index, name, descriptor))))
    )
  })

  const untag = Effect.fnUntraced(function*(name: Option.Option<string>) {
    const check = (images: ReadonlyArray<ImageStore.Image>) => ImageStore.checkNamed(store, images, name)
    // Once before anything is made, once when nobody else changes anything
    yield* Effect.fromResult(check(yield* list))
    yield* layout.locked(
      merge((index) => Result.map(check(ImageList.images(index.value)), () => ImageList.remove(index, name)))
    )
  })

  return Context.make(BlobStore.BlobStore, layout.blobs).pipe(
    Context.add(ImageStore.ImageStore, {
      tag,
      untag,
      list,
      resolve: (name) => Effect.flatMap(list, (images) => Effect.fromResult(ImageStore.find(store, images, name)))
    })
  )
})

/**
 * Layer that keeps blobs and images in an image layout.
 *
 * **Details**
 *
 * The directory becomes a layout with the first thing that is written to it; one that holds other things is refused.
 * Reading makes nothing. An image's name is its `org.opencontainers.image.ref.name` annotation in `index.json`; what
 * others have written there keeps its bytes.
 *
 * A blob appears whole or not at all, and so does a change of `index.json`: no crash, no full disk and no number of
 * processes at once lose an image whose `tag` has succeeded. Blobs that are links, FIFOs or devices are refused.
 *
 * From another layout or directory of refs on the same file system, `BlobStore.copy` brings a blob as a clone or as a
 * hard link. Layouts that share a file do so safely, since no blob is ever written in its place; a program that does that
 * damages it in all of them.
 *
 * **Example** (Listing the images of a layout)
 *
 * ```ts
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as OciLayout from "@effect-oci/adapters/OciLayout"
 * import * as ImageStore from "@effect-oci/core/ImageStore"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const program = ImageStore.ImageStore.use((images) => images.list).pipe(
 *   Effect.provide(OciLayout.layer("out").pipe(Layer.provide(NodeHash.layer)))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string,
  options: Options = {}
): Layer.Layer<BlobStore.BlobStore | ImageStore.ImageStore, never, Hash.Hash> =>
  Layer.effectContext(make(directory, options))
