/**
 * Stores a directory as a layer of an image layout, and tells its size.
 *
 * usage: store.ts FORMAT LEVEL DIRECTORY LAYOUT [CACHE], or store.ts for the memory of a process that does nothing
 */
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as LayerCacheFileSystem from "@effect-oci/adapters/LayerCacheFileSystem"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import type { Format } from "@effect-oci/core/Compression"
import * as LayerCache from "@effect-oci/core/LayerCache"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import process from "node:process"

const formats: ReadonlyArray<Format> = ["uncompressed", "gzip", "zstd"]
const [name, levelText, source, layout, cache] = process.argv.slice(2)

if (source !== undefined && layout !== undefined) {
  const compression = formats.find((format) => format === name) ?? "gzip"
  const level = compression === "uncompressed" ? {} : { level: Number(levelText) }
  const layers = cache === undefined ? LayerCache.none : LayerCacheFileSystem.layer(cache)
  const { descriptor, fromCache } = await FileTree.add({ source, destination: "/app" }, { compression, ...level }).pipe(
    Effect.provide(
      Layer.mergeAll(OciLayout.layer(layout), NodeCompression.layer, layers).pipe(Layer.provideMerge(NodeHash.layer))
    ),
    Effect.runPromise
  )
  process.stdout.write(JSON.stringify({ size: descriptor.size, fromCache }))
}
