/**
 * Reading the images that arguments name.
 *
 * @since 0.1.0
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as ImageTree from "@effect-oci/core/ImageTree"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as ImageArgument from "./ImageArgument.ts"

/**
 * The documents of an image.
 *
 * @category reading
 * @since 0.1.0
 */
export const tree = Effect.fnUntraced(function*({ tag }: ImageArgument.ImageArgument) {
  const images = yield* ImageStore.ImageStore
  return yield* ImageTree.get(yield* images.resolve(tag))
})

/**
 * The documents of another image of the same store, by the digest of its manifest or index; nothing where it is not there,
 * or cannot be read.
 *
 * @category reading
 * @since 0.1.0
 */
export const byDigest = Effect.fnUntraced(function*(digest: string | undefined) {
  const images = yield* ImageStore.ImageStore
  const found = (yield* images.list).find(({ descriptor }) => descriptor.digest === digest)
  return found === undefined
    ? undefined
    : yield* Effect.orElseSucceed(ImageTree.get(found.descriptor), () => undefined)
})

/**
 * The layout that an argument names.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = ({ directory }: ImageArgument.ImageArgument) =>
  Layer.provide(OciLayout.layer(directory), NodeHash.layer)
