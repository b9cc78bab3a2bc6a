/** Small images to put into stores, and archives made by hand. */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { promisify } from "node:util"
import { gzipSync, zstdCompressSync } from "node:zlib"

const run = promisify(execFile)

/** Runs a program; what it complains of is the failure. */
export const ask = (command: string, ...args: ReadonlyArray<string>) =>
  Effect.promise(async () => (await run(command, args, { maxBuffer: 1 << 26 })).stdout)

export const sha256 = (bytes: Uint8Array): Digest.Digest =>
  Result.getOrThrow(Digest.fromHex("sha256", createHash("sha256").update(bytes).digest("hex")))

export const toBytes = (value: unknown): Uint8Array =>
  new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))

export const tar = (entries: ReadonlyArray<Tar.Entry>): Promise<Uint8Array> =>
  Effect.runPromise(Stream.fromIterable(entries).pipe(Stream.pipeThroughChannel(Tar.encode()), Stream.mkUint8Array))

type Compression = "uncompressed" | "gzip" | "zstd"

const layerTypes = { uncompressed: MediaType.layer, gzip: MediaType.layerGzip, zstd: MediaType.layerZstd }

const put = (mediaType: string, bytes: Uint8Array): Effect.Effect<
  Descriptor.Descriptor,
  BlobStore.BlobStoreError,
  BlobStore.BlobStore
> => Effect.map(BlobStore.putBytes(bytes), (blob) => ({ mediaType, ...blob }))

export interface Image {
  readonly descriptor: Descriptor.Descriptor
  readonly config: Uint8Array
  readonly diffIds: ReadonlyArray<Digest.Digest>
  readonly layers: ReadonlyArray<Uint8Array>
}

/** Puts an image of two layers, which says its `text` in each of them and in its config. */
export const putImage = Effect.fnUntraced(function*(
  text: string,
  { architecture = "amd64", compression = "gzip" }: { architecture?: string; compression?: Compression } = {}
) {
  const layers = yield* Effect.promise(() =>
    Promise.all([
      tar([Tar.directory("etc"), Tar.file("etc/motd", text)]),
      tar([Tar.file("app", text.repeat(5000), { mode: 0o755 })])
    ])
  )
  const compress = { uncompressed: (bytes: Uint8Array) => bytes, gzip: gzipSync, zstd: zstdCompressSync }[compression]
  const descriptors = yield* Effect.forEach(layers, (layer) => put(layerTypes[compression], compress(layer)))
  const diffIds = layers.map(sha256)
  const config = toBytes(
    `{ "architecture":"${architecture}","os":"linux","x-text":${JSON.stringify(text)},"x-pi":3.140,` +
      `"config":{"Cmd":["/app"]},"rootfs":{"type":"layers","diff_ids":${JSON.stringify(diffIds)}},` +
      `"history":[{"created":"2024-01-02T03:04:05Z","created_by":"a"},{"created":"2024-01-02T03:04:05Z","created_by":"b"}]}`
  )
  const descriptor = yield* put(
    MediaType.imageManifest,
    toBytes({
      schemaVersion: 2,
      mediaType: MediaType.imageManifest,
      config: yield* put(MediaType.imageConfig, config),
      layers: descriptors
    })
  )
  return { descriptor, config, diffIds, layers } satisfies Image
})

/** Puts an index of images for several architectures. */
export const putIndex = Effect.fnUntraced(function*(text: string, architectures: ReadonlyArray<string>) {
  const images = yield* Effect.forEach(architectures, (architecture) => putImage(text, { architecture }))
  const manifests = images.map(({ descriptor }, index) => ({
    ...descriptor,
    platform: { os: "linux", architecture: architectures[index] }
  }))
  const index = { schemaVersion: 2, mediaType: MediaType.imageIndex, manifests }
  return { images, descriptor: yield* put(MediaType.imageIndex, toBytes(index)) }
})
