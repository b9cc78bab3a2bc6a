/** The image that the checks export: three layers, one of which is its own. */
import * as CacheRefMemory from "@effect-oci/adapters/CacheRefMemory"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"

export interface Wanted {
  readonly name: string
  /** Stands in the image's config, as a label. */
  readonly version: string
  /** The size of the layer that is the image's own. */
  readonly bytes?: number
  readonly durability?: OciLayout.Options["durability"]
}

const block = 512

/** A tar archive of one file. */
const tarOf = (name: string, content: Uint8Array): Uint8Array => {
  const size = Math.ceil(content.length / block) * block
  const tar = Buffer.alloc(block + size + 2 * block)
  tar.write(name)
  tar.write("0000644\0", 100)
  tar.write("0000000\0", 108)
  tar.write("0000000\0", 116)
  tar.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124)
  tar.write("00000000000\0", 136)
  tar.write("        ", 148)
  tar.write("0", 156)
  tar.write("ustar\u000000", 257)
  const sum = tar.subarray(0, block).reduce((sum, byte) => sum + byte, 0)
  tar.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  tar.set(content, block)
  return tar
}

const contentOf = (text: string, bytes: number): Uint8Array => Buffer.alloc(bytes, `${text}, and again\n`)

/** Puts a layer where there is none. */
const layerOf = Effect.fnUntraced(function*(text: string, bytes: number) {
  const tar = tarOf("file", contentOf(text, bytes))
  const digest = yield* Effect.fromResult(Digest.fromHex("sha256", createHash("sha256").update(tar).digest("hex")))
    .pipe(Effect.orDie)
  const blob = { digest, size: tar.length }
  const store = yield* BlobStore.BlobStore
  if (!(yield* store.has(blob))) yield* store.put(Stream.succeed(tar), blob)
  return { descriptor: { mediaType: MediaType.layer, ...blob }, diffId: digest }
})

/** Publishes an image in the store that is provided, under its name; one whose name is empty is the unnamed one. */
export const publishImage = ({ bytes = 300, name, version }: Omit<Wanted, "durability">) =>
  ImageStore.publish(
    name === "" ? Option.none() : Option.some(name),
    Effect.gen(function*() {
      const layers = yield* Effect.forEach(
        [["base", 3000], ["more", 200], [version, bytes]] as const,
        ([text, bytes]) => layerOf(text, bytes)
      )
      const chain = CacheRefMemory.chain(layers.map((layer) => ({ layer, description: "COPY file /" })))
      const config = { architecture: "amd64", os: "linux", config: { Labels: { version } } }
      return yield* ExportImage.run(
        {
          ref: `ref-${layers.length}`,
          platform: { os: "linux", architecture: "amd64" },
          config: new TextEncoder().encode(JSON.stringify(config))
        },
        { rules: Compatibility.standard, epoch: { seconds: 1_700_000_000, nanoseconds: 0, offset: "Z" } }
      ).pipe(Effect.provide(CacheRefMemory.layer(chain)))
    })
  )

/** Exports an image into a layout, under a name. */
export const exportImage = (directory: string, { durability = "full", ...wanted }: Wanted) =>
  Effect.provide(
    publishImage(wanted),
    OciLayout.layer(directory, { durability }).pipe(Layer.provideMerge(NodeHash.layer))
  )
