/** A maker of small image layouts, for the commands that judge, compare and explain images. */
import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { temporary } from "./harness.ts"

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const indexType = "application/vnd.oci.image.index.v1+json"
export const configType = "application/vnd.oci.image.config.v1+json"
export const layerType = "application/vnd.oci.image.layer.v1.tar+gzip"

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export const digestOf = (content: string | Uint8Array): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`

export const time = "2024-01-02T03:04:05.000000006Z"

/** A layout in a directory of its own. */
export const makeLayout = () => {
  const directory = temporary()
  const path = (...names: ReadonlyArray<string>) => join(directory, ...names)
  const manifests: Array<object> = []

  const put = (mediaType: string, content: string | Uint8Array): Descriptor => {
    const digest = digestOf(content)
    writeFileSync(path("blobs/sha256", digest.slice("sha256:".length)), content)
    return { mediaType, digest, size: Buffer.byteLength(content) }
  }

  /** Puts an image of two layers, with another config or other annotations where they are given. */
  const image = (config: object = {}, manifest: object = {}): Descriptor => {
    const layers = ["one", "two"]
    return put(
      manifestType,
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestType,
        config: put(
          configType,
          JSON.stringify({
            architecture: "amd64",
            os: "linux",
            created: time,
            rootfs: { type: "layers", diff_ids: layers.map(digestOf) },
            history: [
              { created: time, created_by: "ADD one" },
              { created: time, created_by: "ENV A=1", empty_layer: true },
              { created: time, created_by: "ADD two" }
            ],
            ...config
          })
        ),
        layers: layers.map((layer) => put(layerType, gzipSync(layer))),
        ...manifest
      })
    )
  }

  /** Names an image in `index.json`. */
  const tag = (name: string, descriptor: Descriptor): void => {
    manifests.push({ ...descriptor, annotations: { "org.opencontainers.image.ref.name": name } })
    writeFileSync(path("index.json"), JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }))
  }

  mkdirSync(path("blobs/sha256"), { recursive: true })
  writeFileSync(path("oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
  return { directory, path, put, image, tag }
}
