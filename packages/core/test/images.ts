/**
 * A maker of small images in memory, sound ones and defective ones: each document can be changed before it is stored,
 * so that whatever refers to it is true of it.
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import { Hash } from "@effect-oci/core/Hash"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { gzipSync } from "node:zlib"
import { bytesOf, digestOf } from "./values.ts"

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const indexType = "application/vnd.oci.image.index.v1+json"
export const configType = "application/vnd.oci.image.config.v1+json"
export const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"
export const refName = "org.opencontainers.image.ref.name"

export type Members = Readonly<Record<string, unknown>>

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

/** The documents of an image, before each is stored. */
interface Edits {
  readonly layers?: ReadonlyArray<{ readonly content: Uint8Array; readonly diffId: string; readonly mediaType: string }>
  readonly config?: (config: Members) => Members
  readonly manifest?: (
    manifest: { readonly [name: string]: unknown; readonly layers: ReadonlyArray<Descriptor> }
  ) => Members
  readonly descriptor?: (descriptor: Descriptor) => Members
  readonly index?: (index: Members) => Members
}

/** A layer of a text, which need not be a tar archive to be hashed. */
export const layerOf = (text: string) => ({
  content: new Uint8Array(gzipSync(text)),
  diffId: digestOf(text),
  mediaType: layerType
})

const epoch = "1970-01-01T00:00:00Z"

/** Blobs, and what is put among them. */
export class Blobs {
  readonly contents = new Map<string, Uint8Array>()
  /** How often each blob has been read. */
  readonly reads = new Map<string, number>()

  put(mediaType: string, content: Uint8Array): Descriptor {
    const digest = digestOf(content)
    this.contents.set(digest, content)
    return { mediaType, digest, size: content.length }
  }

  putJson(mediaType: string, value: unknown): Descriptor {
    return this.put(mediaType, bytesOf(JSON.stringify(value)))
  }

  /** Stores an image of two layers and a step between, and gives its places by name. */
  image(edits: Edits = {}) {
    const sources = edits.layers ?? [layerOf("first layer"), layerOf("second layer")]
    const layers = sources.map(({ content, mediaType }) => this.put(mediaType, content))
    const config = this.putJson(
      configType,
      (edits.config ?? ((config) => config))({
        architecture: "amd64",
        os: "linux",
        created: epoch,
        config: { Env: ["A=b"], Cmd: ["/app"] },
        rootfs: { type: "layers", diff_ids: sources.map(({ diffId }) => diffId) },
        history: [
          { created: epoch, created_by: "first" },
          { created: epoch, created_by: "ENV A=b", empty_layer: true },
          { created: epoch, created_by: "second" }
        ]
      })
    )
    const manifest = this.putJson(
      manifestType,
      (edits.manifest ?? ((manifest) => manifest))({ schemaVersion: 2, mediaType: manifestType, config, layers })
    )
    return { layers, config, manifest }
  }

  /** Stores an image, and writes an index that lists it under the name `latest`. */
  layout(edits: Edits = {}) {
    const image = this.image(edits)
    const descriptor = (edits.descriptor ?? ((descriptor) => descriptor))(image.manifest)
    const index = (edits.index ?? ((index) => index))({
      schemaVersion: 2,
      mediaType: indexType,
      manifests: [{
        platform: { architecture: "amd64", os: "linux" },
        annotations: { [refName]: "latest" },
        ...descriptor
      }]
    })
    return { ...image, index: bytesOf(JSON.stringify(index)) }
  }

  /** A store of these blobs, which verifies what it gives; it hands them out in pieces. */
  readonly store = Effect.gen({ self: this }, function*() {
    const hash = yield* Hash
    const get: BlobStore.BlobStore["Service"]["get"] = (blob) =>
      Stream.suspend((): Stream.Stream<Uint8Array, BlobStore.BlobStoreError> => {
        const content = this.contents.get(blob.digest)
        this.reads.set(blob.digest, (this.reads.get(blob.digest) ?? 0) + 1)
        if (content === undefined) return Stream.fail(new BlobStore.BlobMissing({ store: "test", digest: blob.digest }))
        if (content.length !== blob.size) {
          const { digest, size: expected } = blob
          return Stream.fail(new BlobStore.SizeMismatch({ store: "test", digest, expected, found: content.length }))
        }
        return Stream.make(content.slice(0, 3), content.slice(3)).pipe(
          BlobStore.verify("test", blob),
          Stream.provideService(Hash, hash)
        )
      })
    return BlobStore.BlobStore.of({
      get,
      has: ({ digest }) => Effect.sync(() => this.contents.has(digest)),
      put: () => Effect.die("a check writes nothing")
    })
  })
}

/** A descriptor whose digest has been parsed. */
export const parsed = ({ digest, mediaType, size }: Descriptor) => ({
  mediaType,
  size,
  digest: Result.getOrThrow(Digest.parse(digest))
})
