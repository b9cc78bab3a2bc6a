/**
 * What Docker is logged in to: its `config.json`, and the credential helpers that this file names.
 *
 * Follows Docker's `cli/config`.
 *
 * @since 0.1.0
 */
import { StoreIo, UnsafeFile } from "@effect-oci/core/BlobStore"
import { StoreLocked } from "@effect-oci/core/ImageStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { join } from "node:path"
import * as Credentials from "./Credentials.ts"
import * as AuthFile from "./internal/credentials/authFile.ts"
import * as Edit from "./internal/credentials/edit.ts"
import * as Helper from "./internal/credentials/helper.ts"
import * as PrivateFile from "./internal/credentials/privateFile.ts"
import * as Names from "./internal/credentials/registryName.ts"
import { home, variable } from "./internal/credentials/variables.ts"
import { Files } from "./internal/files.ts"
import * as RegistryName from "./RegistryName.ts"

/**
 * What can be chosen about Docker's config.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The file: `config.json` in `$DOCKER_CONFIG` unless given, else in `~/.docker`. */
  readonly path?: string
  /** How long a credential helper may take: a minute unless given, since it may wait for a person. */
  readonly helperTimeout?: Duration.Input
}

/**
 * Error raised where the file of credentials cannot be changed. What it held before is still there.
 *
 * @category errors
 * @since 0.1.0
 */
export class CredentialsUnwritable
  extends Schema.TaggedError<CredentialsUnwritable>("@effect-oci/adapters/CredentialsUnwritable")(
    "CredentialsUnwritable",
    { path: Schema.String, cause: Schema.Union([StoreIo, UnsafeFile, StoreLocked]) }
  )
{
  override get message(): string {
    return `cannot change the credentials in ${this.path}`
  }
}

/**
 * Any of the reasons why a credential is not kept, or not forgotten.
 *
 * @category errors
 * @since 0.1.0
 */
export const ChangeError = Schema.Union([
  Credentials.CredentialsError,
  RegistryName.InvalidRegistryName,
  CredentialsUnwritable
])

/**
 * @category errors
 * @since 0.1.0
 */
export type ChangeError = typeof ChangeError.Type

/**
 * Where a credential is kept now.
 *
 * **Details**
 *
 * `Helper` is a program that keeps it. `PlainText` is a warning: everybody who can read the file at `path`, or a backup of
 * it, has the secret. A program should tell so.
 *
 * @category models
 * @since 0.1.0
 */
export type Place =
  | { readonly _tag: "Helper"; readonly helper: string; readonly path: string }
  | { readonly _tag: "PlainText"; readonly path: string }

const pathOf = (options: Options | undefined): Effect.Effect<string, Credentials.VariablesInvalid> =>
  options?.path === undefined
    ? Effect.gen(function*() {
      const directory = yield* variable("DOCKER_CONFIG")
      return join(directory ?? join(yield* home, ".docker"), "config.json")
    })
    : Effect.succeed(options.path)

const timeoutOf = (options: Options | undefined): Duration.Duration =>
  Duration.fromInputUnsafe(options?.helperTimeout ?? "1 minute")

/** The elements with this key before those that only mean the same registry. */
const matching = <A extends { readonly key: string }>(list: ReadonlyArray<A>, registry: string): ReadonlyArray<A> => {
  const key = Names.dockerKey(registry)
  const isSame = (element: A) => element.key !== key && Names.fromKey(element.key).registry === registry
  return [...list.filter((element) => element.key === key), ...list.filter(isSame)]
}

/** The helper that keeps the credential of a registry. An empty name for the registry itself asks for none. */
const helperOf = (
  file: AuthFile.AuthFile | undefined,
  registry: string,
  timeout: Duration.Duration
): Helper.Helper | undefined => {
  if (file === undefined) return undefined
  const own = matching(Array.from(file.credHelpers, ([key, name]) => ({ key, name })), registry)[0]
  const name = own?.name ?? file.credsStore
  return name === "" ? undefined : { name, timeout }
}

/**
 * Makes a provider of what Docker is logged in to.
 *
 * **Details**
 *
 * A helper is asked first, that of the registry in `credHelpers` or else the one in `credsStore`; then `auths`. Keys are
 * read as Docker reads them: `host`, `https://host`, `https://host/v1/`. The file is read again for each registry, so that
 * a login counts at once. Where `$DOCKER_CONFIG` is, is read once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options?: Options): Effect.Effect<Credentials.Provider> =>
  Effect.gen(function*() {
    const files = yield* Files
    const path = yield* Effect.result(pathOf(options))
    const timeout = timeoutOf(options)
    return {
      find: Effect.fnUntraced(function*(name) {
        const parsed = Names.parse(name)
        const file = yield* AuthFile.read(files, yield* Effect.fromResult(path))
        if (file === undefined || Option.isNone(parsed)) return Option.none()
        const registry = parsed.value
        const helper = helperOf(file, registry, timeout)
        if (helper !== undefined) {
          const found = yield* Helper.get(helper, registry, Names.dockerKey(registry))
          if (Option.isSome(found)) return found
        }
        for (const entry of matching(file.auths, registry)) {
          const found = yield* Effect.fromResult(AuthFile.credential(file, entry))
          if (Option.isSome(found)) return found
        }
        return Option.none()
      })
    }
  })

/**
 * Layer of what Docker is logged in to.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<Credentials.Credentials> => Credentials.layer(make(options))

/** Changes the `auths` of the file. */
const changeAuths = Effect.fnUntraced(function*(
  path: string,
  change: (file: AuthFile.AuthFile | undefined, auths: string, style: Edit.Style) => string
) {
  const files = yield* Files
  const edit = Effect.map(AuthFile.read(files, path), (file) => {
    const before = file?.text ?? "{}"
    const style = Edit.styleOf(before)
    const after = Edit.member(before, "auths", style, (auths) => {
      const changed = change(file, Edit.object(auths), Edit.inside(style))
      return auths === undefined && changed === "{}" ? undefined : changed
    })
    return after === before ? undefined : after
  })
  yield* PrivateFile.change(files, path, edit).pipe(
    Effect.catchTag(
      ["StoreIo", "UnsafeFile", "StoreLocked"],
      (cause) => Effect.fail(new CredentialsUnwritable({ path, cause }))
    )
  )
})

/** The members of an entry that hold, or belong to, a credential. */
const credentialMembers: ReadonlySet<string> = new Set([
  "auth",
  "username",
  "password",
  "identitytoken",
  "registrytoken"
])

/** Gives the entry of a registry these members, and no other credential; what else is in it stays. */
const putEntry =
  (registry: string, values: ReadonlyMap<string, string>) =>
  (_: AuthFile.AuthFile | undefined, auths: string, style: Edit.Style): string =>
    Edit.member(auths, Names.dockerKey(registry), style, (before) => {
      const entry = Edit.object(before)
      // In another case, too: Docker would read them
      const old = Edit.namesOf(entry).filter((name) => credentialMembers.has(name.toLowerCase()))
      return [...old, ...values.keys()].reduce((text, name) => {
        const value = values.get(name)
        return Edit.member(
          text,
          name,
          Edit.inside(style),
          () => value === undefined ? undefined : JSON.stringify(value)
        )
      }, entry)
    })

const stored = (credential: Exclude<Credentials.Credential, { readonly _tag: "RegistryToken" }>) =>
  credential._tag === "Basic"
    ? new Map([["auth", Base64.encode(`${credential.username}:${Redacted.value(credential.password)}`)]])
    : new Map([
      ...(credential.username === undefined ? [] : [["auth", Base64.encode(`${credential.username}:`)] as const]),
      ["identitytoken", Redacted.value(credential.token)] as const
    ])

/**
 * Keeps a credential where Docker would: with the helper of the registry, else in the file, which is made where there is
 * none.
 *
 * **Details**
 *
 * The file is written whole or not at all, for its owner only (0600), and every byte of it stays that is not about this
 * registry. Several programs may do so at once.
 *
 * **Example** (Logging in)
 *
 * ```ts
 * import * as DockerConfig from "@effect-oci/adapters/DockerConfig"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 *
 * const login = Effect.gen(function*() {
 *   const password = Redacted.make("token")
 *   const place = yield* DockerConfig.store("ghcr.io", { _tag: "Basic", username: "me", password })
 *   if (place._tag === "PlainText") yield* Effect.logWarning(`${place.path} holds the password as plain text`)
 * })
 * ```
 *
 * @category changing
 * @since 0.1.0
 */
export const store = Effect.fn("DockerConfig.store")(function*(
  name: string,
  credential: Exclude<Credentials.Credential, { readonly _tag: "RegistryToken" }>,
  options?: Options
): Effect.fn.Return<Place, ChangeError> {
  const registry = yield* Effect.fromResult(RegistryName.parse(name))
  const path = yield* pathOf(options)
  const helper = helperOf(yield* AuthFile.read(yield* Files, path), registry, timeoutOf(options))
  if (helper === undefined) {
    yield* changeAuths(path, putEntry(registry, stored(credential)))
    return { _tag: "PlainText", path }
  }
  const key = Names.dockerKey(registry)
  yield* credential._tag === "Basic"
    ? Helper.store(helper, registry, key, credential.username, credential.password)
    : Helper.storeToken(helper, registry, key, credential.token)
  // Docker, too, notes in the file that there is one
  yield* changeAuths(path, putEntry(registry, new Map()))
  return { _tag: "Helper", helper: helper.name, path }
})

/**
 * Makes Docker forget the credential of a registry, in its helper and in the file, under each of the registry's names.
 * Gives whether there was one.
 *
 * @category changing
 * @since 0.1.0
 */
export const erase = Effect.fn("DockerConfig.erase")(function*(
  name: string,
  options?: Options
): Effect.fn.Return<boolean, ChangeError> {
  const registry = yield* Effect.fromResult(RegistryName.parse(name))
  const path = yield* pathOf(options)
  const file = yield* AuthFile.read(yield* Files, path)
  if (file === undefined) return false
  const key = Names.dockerKey(registry)
  const helper = helperOf(file, registry, timeoutOf(options))
  const isKept = helper !== undefined && Option.isSome(yield* Helper.get(helper, registry, key))
  if (helper !== undefined && isKept) yield* Helper.erase(helper, registry, key)
  const entries = matching(file.auths, registry)
  if (entries.length > 0) {
    yield* changeAuths(path, (file, auths, style) =>
      matching(file?.auths ?? [], registry).reduce(
        (text, { key }) => Edit.member(text, key, style, () => undefined),
        auths
      ))
  }
  return isKept || entries.length > 0
})
