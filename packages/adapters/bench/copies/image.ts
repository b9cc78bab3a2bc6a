/** The image that is copied. */
import { createCipheriv, createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"

export const layers = 10
export const layerSize = 100 * 1024 * 1024

export const mediaType = (name: string): string => `application/vnd.oci.image.${name}`

/** Bytes that do not compress, the same in each run. */
const noise = (seed: number): Buffer =>
  createCipheriv("aes-128-ctr", Buffer.alloc(16, seed), Buffer.alloc(16)).update(Buffer.alloc(layerSize))

/** Makes an image of 1 GB in ten layers, the same each time, in a layout under `latest`, and gives the digest of its manifest. */
export const makeImage = (directory: string): string => {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true })
  const put = (type: string, content: Uint8Array | string) => {
    const hash = createHash("sha256").update(content).digest("hex")
    writeFileSync(join(directory, "blobs/sha256", hash), content, { mode: 0o644 })
    return { mediaType: mediaType(type), digest: `sha256:${hash}`, size: Buffer.byteLength(content) }
  }
  const contents = Array.from({ length: layers }, (_, index) => {
    const tar = noise(index)
    const diffId = `sha256:${createHash("sha256").update(tar).digest("hex")}`
    return { diffId, layer: put("layer.v1.tar+gzip", gzipSync(tar, { level: 0 })) }
  })
  const diffIds = contents.map(({ diffId }) => diffId)
  const rootfs = { type: "layers", diff_ids: diffIds }
  const config = put("config.v1+json", JSON.stringify({ architecture: "amd64", os: "linux", rootfs }))
  const manifest = put(
    "manifest.v1+json",
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaType("manifest.v1+json"),
      config,
      layers: contents.map(({ layer }) => layer)
    })
  )
  writeFileSync(join(directory, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
  const annotations = { "org.opencontainers.image.ref.name": "latest" }
  writeFileSync(
    join(directory, "index.json"),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ mediaType: manifest.mediaType, digest: manifest.digest, size: manifest.size, annotations }]
    })
  )
  return manifest.digest
}
