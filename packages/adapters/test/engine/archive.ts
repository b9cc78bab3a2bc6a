/** Archives for `docker load`: images whose config is what a test wants it to be, to the byte. */
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"

const archive = (files: ReadonlyArray<Tar.Entry>) =>
  Stream.fromIterable(files).pipe(Stream.pipeThroughChannel(Tar.encode()), Stream.mkUint8Array)

const sha256 = (bytes: Uint8Array) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

export interface Image {
  readonly archive: Uint8Array
  readonly config: Uint8Array
}

/**
 * Makes the archive of an image called `base`, with a layer for each list of files.
 *
 * `members` are the members of the config, as they are to be written, beside the platform and `rootfs`.
 */
export const image = Effect.fnUntraced(function*(
  layers: ReadonlyArray<ReadonlyArray<Tar.Entry>>,
  members: string
): Effect.fn.Return<Image, Tar.TarError> {
  const blobs = yield* Effect.forEach(layers, archive)
  const diffIds = JSON.stringify(blobs.map(sha256))
  const config = Buffer.from(
    `{"architecture":"amd64","os":"linux",${members},"rootfs":{"type":"layers","diff_ids":${diffIds}}}`
  )
  const names = blobs.map((_, index) => `${index}.tar`)
  const manifest = [{ Config: "config.json", RepoTags: ["base:latest"], Layers: names }]
  return {
    config,
    archive: yield* archive([
      Tar.file("manifest.json", JSON.stringify(manifest)),
      Tar.file("config.json", config),
      ...blobs.map((blob, index) => Tar.file(`${index}.tar`, blob))
    ])
  }
})
