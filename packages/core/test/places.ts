/** Places to copy images between: what was put is known, and how often each blob was read. */
import * as BlobStore from "@effect-oci/core/BlobStore"
import type * as Copy from "@effect-oci/core/Copy"
import type { Hash } from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { Blobs } from "./images.ts"
import { digestOf } from "./values.ts"

export class Memory extends Blobs {
  /** The digests of all blobs that were put, in order. */
  readonly puts: Array<string> = []
  images: ReadonlyArray<ImageStore.Image> = []

  readonly place: Effect.Effect<Copy.Place, never, Hash> = Effect.gen({ self: this }, function*() {
    const { get, has } = yield* this.store
    const put: BlobStore.Store["put"] = (content, expected) =>
      Effect.flatMap(Stream.mkUint8Array(content), (bytes) => {
        const digest = Result.getOrThrow(Digest.parse(digestOf(bytes)))
        const blob = { digest, size: bytes.length }
        if (expected?.digest !== undefined && expected.digest !== digest) {
          return Effect.fail(new BlobStore.DigestMismatch({ store: "test", expected: expected.digest, found: digest }))
        }
        this.puts.push(digest)
        this.contents.set(digest, bytes)
        return Effect.succeed(blob)
      })
    return {
      blobs: BlobStore.BlobStore.of({ get, has, put }),
      images: ImageStore.ImageStore.of({
        tag: (name, descriptor) =>
          Effect.sync(() => {
            const others = this.images.filter((image) => !ImageStore.isNamed(image, name))
            this.images = [...others, { name, descriptor }]
          }),
        untag: () => Effect.die("a copy takes no name away"),
        resolve: (name) => Effect.suspend(() => Effect.fromResult(ImageStore.find("test", this.images, name))),
        list: Effect.sync(() => this.images)
      })
    }
  })

  /** The digest behind a name. */
  named(name: string): string | undefined {
    return this.images.find((image) => Option.getOrNull(image.name) === name)?.descriptor.digest
  }
}
