/**
 * What podman, buildah and skopeo are logged in to: their `auth.json`.
 *
 * Follows containers-auth.json(5).
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { join } from "node:path"
import process from "node:process"
import * as Credentials from "./Credentials.ts"
import * as AuthFile from "./internal/credentials/authFile.ts"
import * as Helper from "./internal/credentials/helper.ts"
import * as RegistryName from "./internal/credentials/registryName.ts"
import { home, variable } from "./internal/credentials/variables.ts"
import { Files } from "./internal/files.ts"

/**
 * What can be chosen about podman's credentials.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * The only file: `$REGISTRY_AUTH_FILE` unless given. Without either, `containers/auth.json` in `$XDG_RUNTIME_DIR`
   * (`/run/containers/UID/auth.json` where that is not set) and then in `$XDG_CONFIG_HOME` or `~/.config`.
   */
  readonly path?: string
  /** How long a credential helper may take: a minute unless given, since it may wait for a person. */
  readonly helperTimeout?: Duration.Input
}

const pathsOf = Effect.fnUntraced(function*(
  options: Options | undefined
): Effect.fn.Return<ReadonlyArray<string>, Credentials.VariablesInvalid> {
  const only = options?.path ?? (yield* variable("REGISTRY_AUTH_FILE"))
  if (only !== undefined) return [only]
  const runtime = yield* variable("XDG_RUNTIME_DIR")
  const config = yield* variable("XDG_CONFIG_HOME")
  return [
    runtime === undefined
      ? join("/run/containers", String(process.getuid?.() ?? 0), "auth.json")
      : join(runtime, "containers", "auth.json"),
    join(config ?? join(yield* home, ".config"), "containers", "auth.json")
  ]
})

const isBelow = (path: string, above: string): boolean => above === "" || path === above || path.startsWith(`${above}/`)

/** The entries for a repository, the one with the longest path first. A key with a scheme is for the whole registry. */
const matching = (file: AuthFile.AuthFile, registry: string, repository: string) =>
  file.auths
    .map((entry) => ({ entry, key: RegistryName.fromKey(entry.key) }))
    .map(({ entry, key }) => ({ entry, registry: key.registry, path: key.hasScheme ? "" : key.path }))
    .filter((found) => found.registry === registry && isBelow(repository, found.path))
    .toSorted((left, right) => right.path.length - left.path.length)

const findIn = Effect.fnUntraced(function*(
  file: AuthFile.AuthFile,
  registry: string,
  repository: string,
  timeout: Duration.Duration
): Effect.fn.Return<Option.Option<Credentials.Credential>, Credentials.CredentialsError> {
  const helper = [...file.credHelpers].find(([key]) => RegistryName.canonical(key) === registry)?.[1] ?? ""
  if (helper !== "") {
    const found = yield* Helper.get({ name: helper, timeout }, registry, registry)
    if (Option.isSome(found)) return found
  }
  for (const { entry } of matching(file, registry, repository)) {
    const found = yield* Effect.fromResult(AuthFile.credential(file, entry))
    if (Option.isSome(found)) return found
  }
  return Option.none()
})

/**
 * Makes a provider of what podman is logged in to.
 *
 * **Details**
 *
 * The helper of the registry in `credHelpers` is asked first, then `auths`, whose keys may be for a part of a registry:
 * for `quay.io/team/app` they are `quay.io/team/app`, `quay.io/team` and `quay.io`, in this order. The files are read again
 * for each registry; where they are, is read once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: Options): Effect.Effect<Credentials.Provider> =>
  Effect.gen(function*() {
    const files = yield* Files
    const paths = yield* Effect.result(pathsOf(options))
    const timeout = Duration.fromInputUnsafe(options?.helperTimeout ?? "1 minute")
    return {
      find: Effect.fnUntraced(function*(name, repository) {
        const registry = RegistryName.parse(name)
        if (Option.isNone(registry)) return Option.none()
        for (const path of yield* Effect.fromResult(paths)) {
          const file = yield* AuthFile.read(files, path)
          if (file === undefined) continue
          const found = yield* findIn(file, registry.value, repository ?? "", timeout)
          if (Option.isSome(found)) return found
        }
        return Option.none()
      })
    }
  })

/**
 * Layer of what podman is logged in to.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Credentials.Credentials> => Credentials.layer(make(options))
