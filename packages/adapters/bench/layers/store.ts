/**
 * Stores a directory as a layer of an image layout, and tells its size and the most memory that it took.
 *
 * usage: store.ts FORMAT LEVEL DIRECTORY LAYOUT, or store.ts for the memory of a process that does nothing
 */
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import type { Format } from "@effect-oci/core/Compression"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"

const formats: ReadonlyArray<Format> = ["uncompressed", "gzip", "zstd"]
const [name, levelText, directory, layout] = process.argv.slice(2)

const tell = (size: number): void => {
  process.stdout.write(JSON.stringify({ size, memory: process.resourceUsage().maxRSS * 1024 }))
}

if (directory === undefined || layout === undefined) {
  tell(0)
} else {
  const compression = formats.find((format) => format === name) ?? "gzip"
  const level = compression === "uncompressed" ? {} : { level: Number(levelText) }
  tell(
    await FileTree.store(directory, { at: "/app", compression, ...level }).pipe(
      Effect.map(({ descriptor }) => descriptor.size),
      Effect.provide(Layer.provideMerge(OciLayout.layer(layout), Layer.merge(NodeHash.layer, NodeCompression.layer))),
      Effect.runPromise
    )
  )
}
