/** Stores on disk for the tests of what looks after them. */
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { readdirSync } from "node:fs"
import { join } from "node:path"

/** Provides a store in a directory, which survives no power cut unless it is asked to. */
export const at = (directory: string, options: OciLayout.Options = { durability: "process" }) =>
  Effect.provide(
    Layer.merge(OciLayout.layer(directory, options), CacheRefFileSystem.layer(directory, options)).pipe(
      Layer.provideMerge(NodeHash.layer)
    )
  )

export const pathOf = (directory: string, { digest }: { readonly digest: Digest.Digest }): string =>
  join(directory, "blobs/sha256", Digest.encoded(digest))

const bytesOf = (text: string) => new TextEncoder().encode(text)

export const put = (mediaType: string, text: string): Effect.Effect<
  Descriptor.Descriptor,
  BlobStore.BlobStoreError,
  BlobStore.BlobStore
> => Effect.map(BlobStore.putBytes(bytesOf(text)), (blob) => ({ mediaType, ...blob }))

export const putJson = (mediaType: string, value: object) => put(mediaType, JSON.stringify(value))

const digestOf = (bytes: Uint8Array): Digest.Digest =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(bytes).digest("hex")))

/** A layer of a text; one that is there already is used as it is. */
const reuse = Effect.fnUntraced(function*(text: string) {
  const store = yield* BlobStore.BlobStore
  const bytes = bytesOf(text)
  const blob = { digest: digestOf(bytes), size: bytes.length }
  if (!(yield* store.has(blob))) yield* store.put(Stream.succeed(bytes), blob)
  return { mediaType: MediaType.layer, ...blob }
})

/** An image of layers that have these texts. */
export const putImage = Effect.fnUntraced(function*(texts: ReadonlyArray<string>, more: object = {}) {
  const layers = yield* Effect.forEach(texts, reuse)
  const config = yield* putJson(MediaType.imageConfig, { architecture: "amd64", os: "linux", texts })
  const descriptor = yield* putJson(MediaType.imageManifest, { schemaVersion: 2, config, layers, ...more })
  return { config, descriptor, layers }
})

export const tag = (name: string, descriptor: Descriptor.Descriptor) =>
  ImageStore.ImageStore.use((images) => images.tag(Option.some(name), descriptor))

export const untag = (name: string) => ImageStore.ImageStore.use((images) => images.untag(Option.some(name)))

export const addRef = (name: string, layer: Descriptor.Descriptor) =>
  RefStore.RefStore.use((refs) => refs.add(name, { layer, diffId: layer.digest }))

/** The digests of all blobs that are there, sorted. */
export const blobsIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(join(directory, "blobs/sha256")).map((name) => `sha256:${name}`).toSorted()

export const digestsOf = (...descriptors: ReadonlyArray<{ readonly digest: string }>): ReadonlyArray<string> =>
  descriptors.map(({ digest }) => digest).toSorted()

export const areaOf = (directory: string): ReadonlyArray<string> => readdirSync(join(directory, ".effect-oci"))
