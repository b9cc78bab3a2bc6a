/**
 * What a registry is asked with: credentials, each of them for one registry and sent to no other, and where they come
 * from.
 *
 * A provider is a value: `none`, `fixed`, `environment`, `DockerConfig.make`, `PodmanAuth.make`. `firstOf` puts several of
 * them together, `layer` makes one the service.
 *
 * @since 0.1.0
 */
import { StoreIo, UnsafeFile } from "@effect-oci/core/BlobStore"
import * as Json from "@effect-oci/schema/Json"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as RegistryName from "./internal/credentials/registryName.ts"

/**
 * What proves to a registry who asks.
 *
 * **Details**
 *
 * `Basic` is a name and a password, or a token that stands for one. `IdentityToken` is an OAuth2 refresh token, which
 * Docker calls `identitytoken`. `RegistryToken` is a bearer token that is ready to be sent.
 *
 * @category models
 * @since 0.1.0
 */
export type Credential =
  | { readonly _tag: "Basic"; readonly username: string; readonly password: Redacted.Redacted }
  | { readonly _tag: "IdentityToken"; readonly username?: string; readonly token: Redacted.Redacted }
  | { readonly _tag: "RegistryToken"; readonly token: Redacted.Redacted }

/**
 * Error raised for a file of credentials that cannot be read. One that is not there has no credentials, and is no error.
 *
 * @category errors
 * @since 0.1.0
 */
export class CredentialsUnreadable
  extends Schema.TaggedError<CredentialsUnreadable>("@effect-oci/adapters/CredentialsUnreadable")(
    "CredentialsUnreadable",
    { path: Schema.String, cause: Schema.Union([StoreIo, UnsafeFile, Json.LimitExceeded]) }
  )
{
  override get message(): string {
    return `cannot read the credentials in ${this.path}`
  }
}

/**
 * Error raised for a file of credentials that is not what it should be. It tells the place, from 1 and in UTF-16 units,
 * and never what is there, which may be a secret.
 *
 * @category errors
 * @since 0.1.0
 */
export class CredentialsInvalid
  extends Schema.TaggedError<CredentialsInvalid>("@effect-oci/adapters/CredentialsInvalid")("CredentialsInvalid", {
    path: Schema.String,
    line: Schema.Natural,
    column: Schema.Natural,
    expected: Schema.String
  })
{
  override get message(): string {
    return `the credentials in ${this.path} are not valid: line ${this.line}, column ${this.column}: ` +
      `expected ${this.expected}; correct the file, or log in again`
  }
}

/**
 * Error raised where a credential helper, the program `docker-credential-NAME`, does not do its work. It never holds
 * anything that the helper has printed.
 *
 * **Details**
 *
 * `reason` is `name` for a name that no helper can have, `missing` where there is no such program on the PATH, `exit`
 * where it says that it has failed, `time` where it took too long, `size` where it printed too much, and `output` where
 * it printed something else than a credential.
 *
 * @category errors
 * @since 0.1.0
 */
export class CredentialHelperFailed
  extends Schema.TaggedError<CredentialHelperFailed>("@effect-oci/adapters/CredentialHelperFailed")(
    "CredentialHelperFailed",
    {
      helper: Schema.String,
      operation: Schema.Literals(["get", "store", "erase"]),
      registry: Schema.String,
      reason: Schema.Literals(["name", "missing", "exit", "time", "size", "output"]),
      found: Schema.String,
      advice: Schema.String
    }
  )
{
  override get message(): string {
    return `the credential helper ${JSON.stringify(this.helper)} cannot ${this.operation} the credential of ` +
      `${this.registry}: ${this.found}; ${this.advice}`
  }
}

/**
 * Error raised where the variables of the environment do not make one credential for one registry.
 *
 * @category errors
 * @since 0.1.0
 */
export class VariablesInvalid
  extends Schema.TaggedError<VariablesInvalid>("@effect-oci/adapters/VariablesInvalid")("VariablesInvalid", {
    expected: Schema.String,
    found: Schema.String
  })
{
  override get message(): string {
    return `the environment has no valid credential: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Any of the reasons why nobody can tell whether there is a credential.
 *
 * @category errors
 * @since 0.1.0
 */
export const CredentialsError = Schema.Union([
  CredentialsUnreadable,
  CredentialsInvalid,
  CredentialHelperFailed,
  VariablesInvalid
])

/**
 * @category errors
 * @since 0.1.0
 */
export type CredentialsError = typeof CredentialsError.Type

/**
 * Finds the credential of a registry. `registry` is `host[:port]` in lower case, `docker.io` for Docker Hub; `repository`
 * is the path in it, which decides where credentials are kept for a part of a registry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Provider {
  readonly find: (
    registry: string,
    repository?: string
  ) => Effect.Effect<Option.Option<Credential>, CredentialsError>
}

/**
 * The credentials that registries are asked with.
 *
 * @category services
 * @since 0.1.0
 */
export class Credentials extends Context.Service<Credentials, Provider>()("@effect-oci/adapters/Credentials") {}

/**
 * No credentials: all registries are asked anonymously.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: Provider = { find: () => Effect.succeedNone }

/**
 * Credentials that are known, by registry.
 *
 * **Example** (A token for one registry)
 *
 * ```ts
 * import * as Credentials from "@effect-oci/adapters/Credentials"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const layer = Layer.succeed(
 *   Credentials.Credentials,
 *   Credentials.fixed({ "ghcr.io": { _tag: "Basic", username: "me", password: Redacted.make("token") } })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fixed = (credentials: Readonly<Record<string, Credential>>): Provider => {
  const known = new Map(
    Object.entries(credentials).map(([registry, credential]) => [RegistryName.canonical(registry), credential])
  )
  return { find: (registry) => Effect.succeed(Option.fromUndefinedOr(known.get(RegistryName.canonical(registry)))) }
}

const variables = Config.all({
  registry: Config.String("EFFECT_OCI_REGISTRY").pipe(Config.withDefault("")),
  username: Config.String("EFFECT_OCI_USERNAME").pipe(Config.withDefault("")),
  password: Config.Redacted("EFFECT_OCI_PASSWORD").pipe(Config.withDefault(Redacted.make(""))),
  identityToken: Config.Redacted("EFFECT_OCI_IDENTITY_TOKEN").pipe(Config.withDefault(Redacted.make(""))),
  registryToken: Config.Redacted("EFFECT_OCI_REGISTRY_TOKEN").pipe(Config.withDefault(Redacted.make("")))
})

const secretNames = ["EFFECT_OCI_PASSWORD", "EFFECT_OCI_IDENTITY_TOKEN", "EFFECT_OCI_REGISTRY_TOKEN"] as const

const fromVariables = Effect.gen(function*() {
  // Whatever the source of the configuration says, it may quote a value
  const { identityToken, password, registry, registryToken, username } = yield* Effect.mapError(
    variables,
    () => new VariablesInvalid({ expected: "variables that can be read", found: "a source that fails" })
  )
  const values = [password, identityToken, registryToken]
  const given = secretNames.filter((_, index) => Redacted.value(values[index] ?? password) !== "")
  const [secret] = given
  if (secret === undefined) return none
  if (given.length > 1) {
    return yield* new VariablesInvalid({ expected: `one of ${given.join(" and ")}`, found: "several" })
  }
  const name = RegistryName.parse(registry)
  if (Option.isNone(name)) {
    return yield* new VariablesInvalid({
      expected: `the registry that ${secret} is for in EFFECT_OCI_REGISTRY, such as ghcr.io`,
      found: registry === "" ? "nothing" : "another text"
    })
  }
  if (secret === "EFFECT_OCI_REGISTRY_TOKEN") {
    return fixed({ [name.value]: { _tag: "RegistryToken", token: registryToken } })
  }
  if (secret === "EFFECT_OCI_IDENTITY_TOKEN") {
    return fixed({
      [name.value]: { _tag: "IdentityToken", token: identityToken, ...(username === "" ? {} : { username }) }
    })
  }
  if (username === "") {
    return yield* new VariablesInvalid({ expected: `the name for ${secret} in EFFECT_OCI_USERNAME`, found: "nothing" })
  }
  return fixed({ [name.value]: { _tag: "Basic", username, password } })
})

/**
 * The credential in the environment, as `Config` reads it: `EFFECT_OCI_REGISTRY` names the one registry that it is for;
 * `EFFECT_OCI_USERNAME` and `EFFECT_OCI_PASSWORD` are the credential, or `EFFECT_OCI_IDENTITY_TOKEN`, or
 * `EFFECT_OCI_REGISTRY_TOKEN`.
 *
 * **Details**
 *
 * The variables are read once. Where they do not fit together, it is `find` that fails, so that a program that asks no
 * registry runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const environment: Effect.Effect<Provider> = Effect.map(Effect.result(fromVariables), (read) => ({
  find: (registry) => Effect.flatMap(Effect.fromResult(read), (provider) => provider.find(registry))
}))

/**
 * The credential of the first provider that has one. A provider that fails ends the search: nobody is to be asked as
 * somebody else only because a file is broken.
 *
 * **Example** (The environment, then what Docker is logged in to)
 *
 * ```ts
 * import * as Credentials from "@effect-oci/adapters/Credentials"
 * import * as DockerConfig from "@effect-oci/adapters/DockerConfig"
 * import * as Effect from "effect/Effect"
 *
 * const layer = Credentials.layer(
 *   Effect.map(Effect.all([Credentials.environment, DockerConfig.make()]), Credentials.firstOf)
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const firstOf = (providers: ReadonlyArray<Provider>): Provider => ({
  find: Effect.fnUntraced(function*(registry, repository) {
    for (const provider of providers) {
      const found = yield* provider.find(registry, repository)
      if (Option.isSome(found)) return found
    }
    return Option.none()
  })
})

/**
 * Layer of the provider that an effect makes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(provider: Effect.Effect<Provider, E, R>): Layer.Layer<Credentials, E, R> =>
  Layer.effect(Credentials, provider)
