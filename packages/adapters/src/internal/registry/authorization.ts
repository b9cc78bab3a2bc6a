/**
 * Who asks: anonymous until the registry wants to know, then with what it asks for. Tokens are kept until they expire.
 *
 * Follows the token authentication of the distribution project, and OAuth2 for identity tokens.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as Cache from "effect/Cache"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Credentials from "../../Credentials.ts"
import * as Address from "./address.ts"
import type { Challenge } from "./challenge.ts"
import * as Exchange from "./exchange.ts"
import * as Failure from "./failure.ts"
import * as Redirect from "./redirect.ts"
import * as Retrying from "./retrying.ts"
import * as Scopes from "./scope.ts"

export interface Options {
  /** Hosts, `host` or `host:port`, that tokens are fetched from, and credentials sent to, wherever they are. */
  readonly trustedRealms?: ReadonlyArray<string>
}

/** What is sent with a request. */
export interface Authorization {
  /** The value of the header, where there is one to be sent. */
  readonly header: Redacted.Redacted
  /** All that must not be shown. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** How long it is good for. */
  readonly lifetime: Duration.Duration
  /** Whether there were credentials. */
  readonly isLoggedIn: boolean
  /** What it was asked for. */
  readonly key: Key
  /** When it was asked for, in milliseconds. */
  readonly since: number
}

/** What an authorization is for. */
interface Key {
  readonly challenge: Challenge
  readonly scopes: ReadonlyArray<string>
  readonly repository: string | undefined
}

const maxTokenBytes = 1024 * 1024
const maxRedirects = 5

/** A header cannot hold anything else, and an error about it would quote it. */
const Token = Schema.String.check(Schema.isPattern(/^[\x21-\x7e]+$/))

const Tokens = Schema.fromJsonString(
  Schema.Struct({
    token: Schema.optionalKey(Schema.NullOr(Schema.String)),
    access_token: Schema.optionalKey(Schema.NullOr(Schema.String)),
    expires_in: Schema.optionalKey(Schema.Unknown)
  })
)

/** A token is no longer used when less than this is left, or a tenth of its life if that is less. */
const slack = 10_000

const lifetimeOf = (expiresIn: unknown, elapsed: number): Duration.Duration => {
  const seconds = typeof expiresIn === "number" && expiresIn > 0 && Number.isFinite(expiresIn) ? expiresIn : 60
  const all = seconds * 1000
  return Duration.millis(Math.max(0, all - elapsed - Math.min(slack, all / 10)))
}

/** The value of a header, and all that must not be shown of it. */
const basic = (username: string, password: Redacted.Redacted) => {
  const encoded = Base64.encode(`${username}:${Redacted.value(password)}`)
  return { header: Redacted.make(`Basic ${encoded}`), secrets: [Redacted.make(encoded), password] }
}

const bearer = (token: string) => ({ header: Redacted.make(`Bearer ${token}`), secrets: [Redacted.make(token)] })

const unauthorized = (isLoggedIn: boolean) => Failure.lasting(new RegistryError.Unauthorized({ isLoggedIn }))

export interface Environment {
  /** The name of the registry as credentials are kept for it. */
  readonly registry: string
  readonly origin: URL
  readonly exchange: Exchange.Exchange
  readonly limits: Exchange.Limits
  readonly retry: Retrying.Options
  readonly allowsPlain: boolean
}

/** Checks the URL that the registry says tokens come from: it may be anybody's, in this network too. */
const checkRealm = Effect.fnUntraced(function*(
  text: string,
  isLoggedIn: boolean,
  { allowsPlain, origin }: Environment,
  trusted: ReadonlyArray<string>
) {
  const refuse = (to: string, why: string) => Failure.unsafe("token realm", to, why)
  const url = yield* Effect.fromResult(Redirect.parse("token realm", text, undefined))
  if (url.host === origin.host && url.protocol === origin.protocol) return url
  if (url.protocol === "http:" && !Redirect.mayBePlain(url, origin, allowsPlain)) {
    return yield* refuse(url.origin, "it is not encrypted")
  }
  if (trusted.includes(url.host) || trusted.includes(url.hostname)) return url
  if ((yield* Address.isLocal(url.hostname)) && !(yield* Address.isLocal(origin.hostname))) {
    return yield* refuse(url.origin, "it is in the network of this machine, and the registry is not")
  }
  if (isLoggedIn && !Address.areRelated(url.hostname, origin.hostname)) {
    return yield* refuse(
      url.origin,
      "credentials are not sent to another domain, unless it is named as a trusted realm"
    )
  }
  return url
})

export const make = Effect.fnUntraced(function*(environment: Environment, options: Options) {
  const credentials = yield* Credentials.Credentials
  const { exchange, limits, registry } = environment

  /** Asks the token server, which may send us on, but not away. */
  const askServer = Effect.fnUntraced(function*(request: Exchange.Request<never>) {
    let url = request.url
    for (let hops = 0; hops <= maxRedirects; hops++) {
      const response = yield* exchange({ ...request, url }, limits)
      if (!Redirect.isRedirect(response.status)) {
        if (Retrying.isTransient(response.status)) {
          return yield* Retrying.unavailable(response, yield* Clock.currentTimeMillis)
        }
        return response
      }
      const next = yield* Effect.fromResult(Redirect.target("token realm", response, url))
      if (next.origin !== url.origin || request.method !== "GET") {
        return yield* Failure.unsafe(
          "token realm",
          next.origin,
          "tokens come from where the registry says, or not at all"
        )
      }
      url = next
    }
    return yield* Failure.unsafe("token realm", url.origin, `it goes on from there more than ${maxRedirects} times`)
  })

  const readTokens = Effect.fnUntraced(function*(request: Exchange.Request<never>, isLoggedIn: boolean) {
    const start = yield* Clock.currentTimeMillis
    const response = yield* askServer(request)
    if (response.status === 401 || response.status === 403) return yield* unauthorized(isLoggedIn)
    if (response.status !== 200) {
      return yield* Failure.lasting(new RegistryError.Refused({ status: response.status, errors: [] }))
    }
    const body = yield* Exchange.bytes(response.stream, maxTokenBytes, limits)
    const tokens = Schema.decodeOption(Tokens)(new TextDecoder().decode(body))
    const found = Option.flatMap(
      tokens,
      ({ access_token, token }) =>
        Schema.decodeUnknownOption(Token)(token === "" ? access_token : token ?? access_token)
    )
    if (Option.isNone(tokens) || Option.isNone(found)) {
      return yield* Failure.misbehaved("a token server's answer without a token")
    }
    const lifetime = lifetimeOf(tokens.value.expires_in, (yield* Clock.currentTimeMillis) - start)
    return { token: found.value, lifetime }
  }, Effect.scoped)

  const fetchToken = Effect.fnUntraced(function*(
    { realm, service }: Challenge & { readonly _tag: "Bearer" },
    scopes: ReadonlyArray<string>,
    credential: Exclude<Credentials.Credential, { readonly _tag: "RegistryToken" }> | undefined
  ) {
    const isLoggedIn = credential !== undefined
    const url = yield* checkRealm(realm, isLoggedIn, environment, options.trustedRealms ?? [])
    let request: Exchange.Request<never>
    if (credential?._tag === "IdentityToken") {
      const form = new URLSearchParams({
        grant_type: "refresh_token",
        client_id: "effect-oci",
        refresh_token: Redacted.value(credential.token),
        ...(service === undefined ? {} : { service }),
        ...(scopes.length === 0 ? {} : { scope: scopes.join(" ") })
      })
      const bytes = new TextEncoder().encode(form.toString())
      const body = { bytes, contentType: "application/x-www-form-urlencoded" }
      request = { method: "POST", url, headers: {}, body, secrets: [credential.token] }
    } else {
      if (service !== undefined) url.searchParams.set("service", service)
      for (const scope of scopes) url.searchParams.append("scope", scope)
      const given = credential === undefined ? undefined : basic(credential.username, credential.password)
      const headers = given === undefined ? {} : { authorization: Redacted.value(given.header) }
      request = { method: "GET", url, headers, secrets: given?.secrets ?? [] }
    }
    let attempts = 0
    const { lifetime, token } = yield* Effect.suspend(() => {
      attempts++
      return readTokens(request, isLoggedIn)
    }).pipe(
      Effect.retry(
        Retrying.schedule(
          environment.retry,
          () => Effect.logWarning(`who gives tokens for ${environment.registry} does not; it is asked again`)
        )
      ),
      // Who asks has waited for it once
      Effect.mapError(({ reason }) => Failure.lasting(reason(attempts)))
    )
    return { ...bearer(token), lifetime, isLoggedIn }
  })

  const prove = Effect.fnUntraced(function*({ challenge, repository, scopes }: Key) {
    const found = yield* credentials.find(registry, repository).pipe(
      Effect.mapError((cause) => Failure.lasting(new RegistryError.NoCredentials({ cause })))
    )
    const credential = Option.getOrUndefined(found)
    if (credential?._tag === "RegistryToken") {
      if (!Schema.is(Token)(Redacted.value(credential.token))) return yield* unauthorized(true)
      return { ...bearer(Redacted.value(credential.token)), lifetime: Duration.infinity, isLoggedIn: true }
    }
    if (challenge._tag === "Bearer") return yield* fetchToken(challenge, scopes, credential)
    if (credential?._tag !== "Basic") return yield* unauthorized(credential !== undefined)
    return { ...basic(credential.username, credential.password), lifetime: Duration.infinity, isLoggedIn: true }
  })

  const authorize = (key: Key): Effect.Effect<Authorization, Failure.Failure> =>
    Effect.flatMap(Clock.currentTimeMillis, (since) => Effect.map(prove(key), (proof) => ({ ...proof, key, since })))

  const cache = yield* Cache.makeWith<Key, Authorization, Failure.Failure>(authorize, {
    capacity: 1000,
    timeToLive: (exit) => Exit.isSuccess(exit) ? exit.value.lifetime : Duration.zero
  })

  let known: Challenge | undefined

  const keyOf = (challenge: Challenge, scopes: ReadonlyArray<string>, repository: string | undefined): Key =>
    challenge._tag === "Basic"
      ? { challenge, scopes: [], repository }
      : { challenge: { ...challenge, scopes: [] }, scopes: Scopes.merge(scopes), repository }

  return {
    /** What to send with the first attempt: nothing until the registry has said what it wants. */
    first: (scopes: ReadonlyArray<string>, repository: string | undefined) => {
      if (known === undefined || (known._tag === "Bearer" && scopes.length === 0)) return Effect.undefined
      const authorization = Cache.get(cache, keyOf(known, scopes, repository))
      // Without a name and a password there may still be an answer
      return known._tag === "Bearer" ? authorization : Effect.orElseSucceed(authorization, () => undefined)
    },

    /**
     * What to send after the registry has asked for it. What it has refused is asked for anew, but only where that may
     * help: if it is older than `start`, when the request began, or if the registry wants it to allow more.
     */
    answer: Effect.fnUntraced(function*(
      challenge: Option.Option<Challenge>,
      scopes: ReadonlyArray<string>,
      repository: string | undefined,
      refused: Authorization | undefined,
      start: number
    ) {
      const refusal = unauthorized(refused?.isLoggedIn ?? false)
      if (Option.isNone(challenge)) return yield* refusal
      known = challenge.value
      const wanted = known._tag === "Bearer" ? known.scopes : []
      const isMore = refused !== undefined || scopes.length === 0
      const key = keyOf(known, isMore ? [...scopes, ...wanted] : scopes, repository)
      if (refused === undefined) return yield* Cache.get(cache, key)
      if (refused.since < start) {
        yield* Cache.invalidateWhen(cache, refused.key, ({ header }) => header === refused.header)
      }
      const authorization = yield* Cache.get(cache, key)
      // What was refused is not sent again: too many wrong passwords may lock an account
      return Equal.equals(authorization.header, refused.header) ? yield* refusal : authorization
    })
  }
})
