/**
 * Reading the images that arguments name.
 *
 * @since 0.1.0
 */
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as ImageArgument from "./ImageArgument.ts"
import * as Transport from "./Transport.ts"

/**
 * The documents of an image.
 *
 * @category reading
 * @since 0.1.0
 */
export const tree = Effect.fnUntraced(function*(image: ImageArgument.ImageArgument) {
  return yield* ImageTree.get(yield* Transport.resolve(image))
})

/**
 * The documents of another image of the same store, by the digest of its manifest or index; nothing where it is not there,
 * or cannot be read.
 *
 * @category reading
 * @since 0.1.0
 */
export const byDigest = Effect.fnUntraced(function*(digest: string, { transport }: ImageArgument.ImageArgument) {
  const images = yield* ImageStore.ImageStore
  const found = transport === "docker"
    ? yield* Effect.orElseSucceed(images.resolve(Option.some(digest)), () => undefined)
    : (yield* images.list).find(({ descriptor }) => descriptor.digest === digest)?.descriptor
  return found === undefined ? undefined : yield* Effect.orElseSucceed(ImageTree.get(found), () => undefined)
})
