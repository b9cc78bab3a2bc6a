/**
 * Where refs are kept: a directory, or a repository of a registry.
 *
 * @since 0.1.0
 */
import * as CacheRefArtifacts from "@effect-oci/adapters/CacheRefArtifacts"
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import type * as BlobStore from "@effect-oci/core/BlobStore"
import type * as CacheRef from "@effect-oci/core/CacheRef"
import type * as RefStore from "@effect-oci/core/RefStore"
import type * as ImageReference from "@effect-oci/schema/ImageReference"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import * as Environment from "./Environment.ts"
import * as Flags from "./Flags.ts"
import * as ImageArgument from "./ImageArgument.ts"
import type { Insecure } from "./Insecure.ts"
import * as Transport from "./Transport.ts"

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

const isRegistry = (store: string): boolean => store.startsWith("docker:")

type Check = (store: string) => Result.Result<string, { readonly message: string }>

/** A store of refs is a directory, whatever else is in it. */
const checkDirectory: Check = (store) =>
  ImageArgument.hasTransport(store)
    ? Result.fail({
      message: `expected a directory, found ${JSON.stringify(store)}; write ${
        store.slice(store.indexOf(":") + 1) || "DIR"
      }, or ./${store} if it is called so`
    })
    : Result.succeed(store)

const checkStore: Check = (store) =>
  isRegistry(store) ? Result.map(ImageArgument.parseStore(store), () => store) : checkDirectory(store)

const flagOf = (metavar: string, kind: string, check: Check) =>
  Flag.String("store").pipe(
    Flag.withMetavar(metavar),
    Flag.withDescription(
      `Where the refs are${kind} (default: $EFFECT_OCI_STORE, else $XDG_DATA_HOME/effect-oci, else ~/.local/share/effect-oci)`
    ),
    Flag.filter((text) => text !== "", () => "a directory"),
    Flag.withDefault(directory),
    Flag.mapEffect(Flags.parsing("--store", check))
  )

/**
 * `--store STORE`: a directory, or `docker://NAME` for a repository that machines share.
 *
 * @category flags
 * @since 0.1.0
 */
export const flag = flagOf(
  "STORE",
  ": a directory, or docker://NAME, a registry's repository",
  checkStore
)

/**
 * `--refs STORE`: whose refs may be the layers of an image; none unless given.
 *
 * @category flags
 * @since 0.1.0
 */
export const refsFlag = Flag.String("refs").pipe(
  Flag.withMetavar("STORE"),
  Flag.withDescription("Tell which refs of this store the layers are: a directory, or docker://NAME"),
  Flag.filter((text) => text !== "", () => "a directory"),
  Flag.mapEffect(Flags.parsing("--refs", checkStore)),
  Flag.optional
)

/**
 * `--store DIR`, for what is only done to a store on disk.
 *
 * @category flags
 * @since 0.1.0
 */
export const directoryFlag = flagOf(
  "DIR",
  "",
  (store) =>
    isRegistry(store)
      ? Result.fail({ message: `expected a directory: ${store} is looked after by its registry` })
      : checkDirectory(store)
)

/**
 * The refs in a directory, or in a repository of a registry, with the store of their layers.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  store: string
): Layer.Layer<
  CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore,
  ImageArgument.InvalidImageArgument | ImageReference.InvalidImageReference,
  Insecure
> =>
  isRegistry(store)
    ? Layer.unwrap(Effect.map(Effect.fromResult(ImageArgument.parseStore(store)), (image) =>
      Layer.provideMerge(CacheRefArtifacts.layer(image.path), Transport.layer(image)))).pipe(
        Layer.provide(NodeHash.layer)
      )
    : Layer.provide(CacheRefFileSystem.layer(store), NodeHash.layer)
