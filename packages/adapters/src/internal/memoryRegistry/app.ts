/** The endpoints of a registry as one handler of HTTP requests: distribution-spec, section Endpoints. */
import * as Hash from "@effect-oci/core/Hash"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { Action, Auth } from "./auth.ts"
import { tokenPath } from "./auth.ts"
import * as Blobs from "./blobs.ts"
import type { Endpoint, Settings } from "./call.ts"
import * as Lists from "./lists.ts"
import * as Manifests from "./manifests.ts"
import { refusal, refuse, toResponse } from "./refusal.ts"
import type { State } from "./state.ts"
import * as Uploads from "./uploads.ts"

type Methods = Readonly<Record<string, readonly [Endpoint, Action]>>

/** The paths under `/v2/`: a repository's name may have slashes, and be one of the words after it. */
const endpoints: ReadonlyArray<readonly [path: RegExp, methods: Methods]> = [
  [/^(.+)\/blobs\/uploads\/?()$/, { POST: [Uploads.begin, "push"] }],
  [/^(.+)\/blobs\/uploads\/([^/]+)$/, {
    GET: [Uploads.status, "push"],
    PATCH: [Uploads.write, "push"],
    PUT: [Uploads.end, "push"],
    DELETE: [Uploads.cancel, "push"]
  }],
  [/^(.+)\/blobs\/([^/]+)$/, {
    GET: [Blobs.get, "pull"],
    HEAD: [Blobs.get, "pull"],
    DELETE: [Blobs.remove, "delete"]
  }],
  [/^(.+)\/manifests\/([^/]+)$/, {
    GET: [Manifests.get, "pull"],
    HEAD: [Manifests.get, "pull"],
    PUT: [Manifests.put, "push"],
    DELETE: [Manifests.remove, "delete"]
  }],
  [/^(.+)\/tags\/list()$/, { GET: [Lists.tags, "pull"] }],
  [/^(.+)\/referrers\/([^/]+)$/, { GET: [Lists.referrers, "pull"] }]
]

const isName = (name: string): boolean =>
  name.length <= 255 && /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/.test(name)

const decode = (text: string) =>
  Result.try({
    try: () => decodeURIComponent(text),
    catch: () => refusal("UNSUPPORTED", "the path has an escape that is none", { status: 400 })
  })

const noEndpoint = refuse("UNSUPPORTED", "there is no such endpoint", { status: 404 })
const noMethod = (methods: ReadonlyArray<string>) =>
  refuse("UNSUPPORTED", `expected one of ${methods.join(", ")}`, { headers: { allow: methods.join(", ") } })

/** Answers a request. What the handler needs is taken from `hash`, so that any server can run it. */
export const make = (
  state: State,
  settings: Settings,
  auth: Auth,
  hash: Hash.Hash["Service"]
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> => {
  const answer = Effect.fnUntraced(function*(request: HttpServerRequest.HttpServerRequest) {
    const url = Option.getOrUndefined(HttpServerRequest.toURL(request))
    if (url === undefined) return yield* noEndpoint
    if (url.pathname === tokenPath && auth.token !== undefined) return yield* auth.token(request, url)
    const path = yield* Effect.fromResult(decode(url.pathname))
    if (path === "/v2" || path === "/v2/") {
      yield* auth.authorize(request, url)
      return HttpServerResponse.jsonUnsafe({})
    }
    const below = path.startsWith("/v2/") ? path.slice(4) : ""
    const [pattern, methods = {}] = endpoints.find(([pattern]) => pattern.test(below)) ?? []
    const [, name, reference] = pattern?.exec(below) ?? []
    if (name === undefined || reference === undefined) return yield* noEndpoint
    if (!isName(name)) return yield* refuse("NAME_INVALID", `not a repository's name: ${name}`)
    const [endpoint, action] = methods[request.method] ?? []
    if (endpoint === undefined || action === undefined) return yield* noMethod(Object.keys(methods))
    const access = yield* auth.authorize(request, url, { name, action })
    const mayPull = (other: string) => access(other, "pull")
    return yield* endpoint({ request, url, name, reference, state, settings, mayPull })
  }, Effect.provideService(Hash.Hash, hash))

  return HttpServerRequest.HttpServerRequest.use((request) =>
    answer(request).pipe(
      Effect.catchTag("HttpServerError", () => refuse("BLOB_UPLOAD_INVALID", "the body of the request was cut")),
      Effect.catchTag("Refusal", (error) => Effect.succeed(toResponse(error))),
      Effect.map((response) =>
        HttpServerResponse.setHeader(
          request.method === "HEAD"
            ? HttpServerResponse.empty({ status: response.status, headers: response.headers })
            : response,
          "docker-distribution-api-version",
          "registry/2.0"
        )
      ),
      Effect.onExit((exit) =>
        Effect.sync(() => {
          const { method, url } = request
          const status = Exit.isSuccess(exit) ? exit.value.status : undefined
          state.log.push({ method, url: UrlParams.redactUrl(url), status })
        })
      )
    )
  )
}
