/**
 * Who may do what: nobody is asked, or a password (RFC 7617), or a token (RFC 6750) of the registry's own token endpoint,
 * which follows distribution's token and oauth2 documents.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type { HttpServerError } from "effect/http/HttpServerError"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { randomUUID } from "node:crypto"
import type { Options } from "../../MemoryRegistry.ts"
import { type Refusal, refuse } from "./refusal.ts"

export type Action = "pull" | "push" | "delete"

/** What is to be allowed; nothing of a repository where the client only wants to know whether it is let in. */
export interface Need {
  readonly name: string
  readonly action: Action
}

export type Access = (name: string, action: Action) => boolean

export interface Auth {
  readonly authorize: (request: HttpServerRequest, url: URL, need?: Need) => Effect.Effect<Access, Refusal>
  /** Answers at the token endpoint, where there is one. */
  readonly token?: (
    request: HttpServerRequest,
    url: URL
  ) => Effect.Effect<HttpServerResponse.HttpServerResponse, Refusal | HttpServerError>
}

export const tokenPath = "/token"

const everything: Access = () => true
const nothing: Access = () => false

type Users = Readonly<Record<string, Redacted.Redacted>>

const credentials = (scheme: string, { headers }: HttpServerRequest): string | undefined => {
  const [, found, value] = /^(\S+) +(\S+)$/.exec(headers["authorization"] ?? "") ?? []
  return found?.toLowerCase() === scheme ? value : undefined
}

const hasPassword = (users: Users, name: string, password: string): boolean => {
  const known = Object.hasOwn(users, name) ? users[name] : undefined
  return known !== undefined && Redacted.value(known) === password
}

/** The user that a request names with the right password. */
const basicUser = (users: Users, request: HttpServerRequest): string | undefined => {
  const text = Result.getOrElse(Base64.decodeString(credentials("basic", request) ?? ""), () => "")
  const colon = text.indexOf(":")
  const name = text.slice(0, Math.max(colon, 0))
  return hasPassword(users, name, text.slice(colon + 1)) ? name : undefined
}

const challenge = (scheme: string, parameters: Readonly<Record<string, string | undefined>>, message: string) => {
  const written = Object.entries(parameters).flatMap(([name, value]) => value === undefined ? [] : `${name}="${value}"`)
  return refuse("UNAUTHORIZED", message, { headers: { "www-authenticate": `${scheme} ${written.join(",")}` } })
}

const askForPassword = (message: string) => challenge("Basic", { realm: "effect-oci" }, message)

const basic = (users: Users): Auth => ({
  authorize: (request) =>
    basicUser(users, request) === undefined ? askForPassword("log in with a password") : Effect.succeed(everything)
})

const actionsOf = (action: Action): ReadonlyArray<Action> => action === "push" ? ["pull", "push"] : [action]

/** Reads scopes as the token endpoint is asked for them, such as `repository:library/alpine:pull,push`. */
const parseScopes = (scopes: ReadonlyArray<string>): ReadonlyArray<readonly [name: string, actions: Set<string>]> =>
  scopes.flatMap((scope) => scope.split(" ")).flatMap((scope) => {
    const [, name, actions] = /^repository:(.+):([^:]*)$/.exec(scope) ?? []
    return name === undefined || actions === undefined ? [] : [[name, new Set(actions.split(","))] as const]
  })

const bearer = (
  { anonymousPull = false, lifetime = "5 minutes", service = "effect-oci", users = {} }: BearerOptions
) => {
  const milliseconds = Duration.toMillis(Duration.fromInputUnsafe(lifetime))
  const tokens = new Map<string, { readonly access: Access; readonly expires: number }>()
  const refreshTokens = new Map<string, string>()

  const grant = (scopes: ReadonlyArray<string>, user: string | undefined): Access => {
    const asked = parseScopes(scopes)
    return (name, action) =>
      (user !== undefined || action === "pull") &&
      asked.some(([other, actions]) => other === name && (actions.has(action) || actions.has("*")))
  }

  const issue = Effect.fnUntraced(
    function*(scopes: ReadonlyArray<string>, user: string | undefined, isOffline: boolean) {
      if (user === undefined && !anonymousPull) return yield* askForPassword("user name or password is not right")
      const now = yield* Clock.currentTimeMillis
      const token = randomUUID()
      tokens.set(token, { access: grant(scopes, user), expires: now + milliseconds })
      const refreshToken = isOffline && user !== undefined ? randomUUID() : undefined
      if (refreshToken !== undefined && user !== undefined) refreshTokens.set(refreshToken, user)
      return HttpServerResponse.jsonUnsafe({
        token,
        access_token: token,
        expires_in: milliseconds / 1000,
        issued_at: new Date(now).toISOString(),
        ...(refreshToken === undefined ? {} : { refresh_token: refreshToken })
      })
    }
  )

  const issueByForm = Effect.fnUntraced(function*(request: HttpServerRequest) {
    const form = yield* request.urlParamsBody
    const field = (name: string) => Option.getOrElse(UrlParams.getFirst(form, name), () => "")
    const user = field("grant_type") === "refresh_token"
      ? refreshTokens.get(field("refresh_token"))
      : hasPassword(users, field("username"), field("password"))
      ? field("username")
      : undefined
    if (user === undefined) return yield* askForPassword("user name, password or refresh token is not right")
    return yield* issue(UrlParams.getAll(form, "scope"), user, field("access_type") === "offline")
  })

  const auth: Auth = {
    authorize: Effect.fnUntraced(function*(request, url, need) {
      const given = credentials("bearer", request)
      const token = tokens.get(given ?? "")
      const isValid = token !== undefined && token.expires > (yield* Clock.currentTimeMillis)
      const access = isValid ? token.access : nothing
      if (need === undefined ? isValid : access(need.name, need.action)) return access
      return yield* challenge(
        "Bearer",
        {
          realm: url.origin + tokenPath,
          service,
          scope: need && `repository:${need.name}:${actionsOf(need.action).join(",")}`,
          error: given === undefined ? undefined : isValid ? "insufficient_scope" : "invalid_token"
        },
        "ask the token endpoint for access"
      )
    }),
    token: (request, url) => {
      if (request.method === "POST") return issueByForm(request)
      const user = basicUser(users, request)
      return request.headers["authorization"] !== undefined && user === undefined
        ? askForPassword("user name or password is not right")
        : issue(url.searchParams.getAll("scope"), user, url.searchParams.get("offline_token") === "true")
    }
  }
  return auth
}

type BearerOptions = Extract<NonNullable<Options["auth"]>, { readonly scheme: "bearer" }>

export const make = (auth: Options["auth"]): Auth => {
  switch (auth?.scheme) {
    case undefined:
      return { authorize: () => Effect.succeed(everything) }
    case "basic":
      return basic(auth.users)
    case "bearer":
      return bearer(auth)
  }
}
