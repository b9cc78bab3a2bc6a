/**
 * Reads the list of images of a layout, and the manifests of two of them, so many times: `node reader.js LAYOUT COUNT`. Half of the
 * reads are ours, half the plainest that there are. Prints how many were made, and each that did not give a whole list.
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"

const [layout = "", count = ""] = process.argv.slice(2)

const ours = Effect.gen(function*() {
  const images = yield* ImageStore.ImageStore.use((images) => images.list)
  for (const image of [images[0], images.at(-1)]) {
    if (image !== undefined) yield* BlobStore.getBytes(image.descriptor)
  }
})

const plain = Effect.sync(() => void JSON.parse(readFileSync(join(layout, "index.json"), "utf8")))

const program = Effect.gen(function*() {
  for (let read = 0; read < Number(count); read++) {
    yield* Effect.catchCause(
      read % 2 === 0 ? ours : plain,
      (cause) => Effect.sync(() => process.stdout.write(`torn: ${String(cause)}\n`))
    )
  }
}).pipe(Effect.provide(OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer))))

await Effect.runPromise(program)
process.stdout.write(`read ${count}\n`)
