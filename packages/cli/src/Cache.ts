/**
 * The directory that layers are remembered in.
 *
 * @since 0.1.0
 */
import * as LayerCacheFileSystem from "@effect-oci/adapters/LayerCacheFileSystem"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as LayerCache from "@effect-oci/core/LayerCache"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import * as Environment from "./Environment.ts"

/**
 * Where layers are remembered: `$XDG_CACHE_HOME/effect-oci/layers`, else `~/.cache/effect-oci/layers`. Node keeps the
 * compiled program beside them.
 *
 * @category constants
 * @since 0.1.0
 */
export const directory: Effect.Effect<string> = Effect.map(
  Environment.variable("XDG_CACHE_HOME", isAbsolute),
  (cache) => join(cache ?? join(homedir(), ".cache"), "effect-oci", "layers")
)

/**
 * The layers that are remembered, or none.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: { readonly noCache: boolean }): Layer.Layer<LayerCache.LayerCache> =>
  options.noCache
    ? LayerCache.none
    : Layer.unwrap(Effect.map(directory, (directory) => LayerCacheFileSystem.layer(directory))).pipe(
      Layer.provide(NodeHash.layer)
    )
