/**
 * The directory that refs are kept in.
 *
 * @since 0.1.0
 */
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import type * as BlobStore from "@effect-oci/core/BlobStore"
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as RefStore from "@effect-oci/core/RefStore"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import * as Environment from "./Environment.ts"

/**
 * Where refs are kept unless it is said: `$EFFECT_OCI_STORE`, else `$XDG_DATA_HOME/effect-oci`, else
 * `~/.local/share/effect-oci`.
 *
 * @category constants
 * @since 0.1.0
 */
export const directory: Effect.Effect<string> = Effect.gen(function*() {
  const own = yield* Environment.variable("EFFECT_OCI_STORE")
  if (own !== undefined) return own
  const data = yield* Environment.variable("XDG_DATA_HOME", isAbsolute)
  return join(data ?? join(homedir(), ".local", "share"), "effect-oci")
})

/**
 * `--store DIR`.
 *
 * @category flags
 * @since 0.1.0
 */
export const flag = Flag.String("store").pipe(
  Flag.withMetavar("DIR"),
  Flag.withDescription(
    "Where the refs are (default: $EFFECT_OCI_STORE, else $XDG_DATA_HOME/effect-oci, else ~/.local/share/effect-oci)"
  ),
  Flag.filter((text) => text !== "", () => "a directory"),
  Flag.withDefault(directory)
)

/**
 * The refs in a directory.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  directory: string
): Layer.Layer<CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore> =>
  Layer.provide(CacheRefFileSystem.layer(directory), NodeHash.layer)
