/**
 * A conversation with one registry: who asks, how long, how often, and where it may lead.
 *
 * Follows distribution-spec 1.1. Requests go to the registry's origin only; a redirect of what can be read may lead
 * elsewhere, without any credentials.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Headers from "effect/http/Headers"
import type * as HttpClient from "effect/http/HttpClient"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Credentials from "../../Credentials.ts"
import * as RegistryName from "../credentials/registryName.ts"
import * as Address from "./address.ts"
import * as Authorization from "./authorization.ts"
import * as Challenge from "./challenge.ts"
import * as Exchange from "./exchange.ts"
import * as Failure from "./failure.ts"
import * as Probe from "./probe.ts"
import * as Redirect from "./redirect.ts"
import * as Retrying from "./retrying.ts"

/** What can be chosen about the way a registry is asked. */
export interface Options extends Authorization.Options {
  /**
   * Whether the registry is asked without encryption. Unless given, one at a loopback address or `localhost` is asked so where
   * it does not speak TLS, and nobody else.
   */
  readonly insecure?: boolean
  readonly timeouts?: Exchange.Timeouts
  readonly retry?: Retrying.Options
}

/** What a registry is asked. */
export interface Ask<E = never> {
  /** What is attempted, for errors: "push the manifest". */
  readonly operation: string
  /** The digest, the tag or the like that it is about. */
  readonly subject?: string
  readonly repository?: string
  /** What is done with the repository: what a token must allow. */
  readonly actions?: ReadonlyArray<"pull" | "push" | "delete">
  /** What else a token must allow: `repository:NAME:pull` for what is mounted from there. */
  readonly scopes?: ReadonlyArray<string>
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "PATCH" | "DELETE"
  /** A path with its query, or a URL of the same origin. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  /** A stream that cannot be sent again is not: once it has begun, the request is not retried. */
  readonly body?: Exchange.Body<E>
  /** Whether a GET or HEAD may lead elsewhere, at most five times: for blobs. */
  readonly isRedirectable?: boolean
  /** Whether it may be sent again after a transient failure: GET, HEAD and DELETE unless given. */
  readonly isRetried?: boolean
  /** The statuses that are an answer; all others are errors. */
  readonly accept: ReadonlyArray<number>
}

/** An answer that was accepted. */
export interface Answer {
  readonly status: number
  readonly headers: Headers.Headers
  /** The body, to be read once and within the scope. It fails where nothing comes for too long or the connection is cut. */
  readonly stream: Stream.Stream<Uint8Array, RegistryError.RegistryError>
  /** The error that says what was asked, for what is found wrong with the answer. */
  readonly error: (reason: RegistryError.Reason) => RegistryError.RegistryError
  /** A text of the answer as an error may have it. */
  readonly shown: (text: string) => string
}

/** A conversation with one registry. */
export interface Session {
  /** The host that is asked, and its port where it is not the usual one. */
  readonly origin: string
  /** How many milliseconds are waited at most because the registry asks for it. */
  readonly longestDelay: number
  readonly ask: <E = never>(
    ask: Ask<E>
  ) => Effect.Effect<Answer, RegistryError.RegistryError | E, Scope.Scope>
  /** What to ask for a URL that the registry has sent, relative to what was asked; an error where it leads elsewhere. */
  readonly sameOrigin: (
    kind: "upload location" | "link",
    url: string,
    from?: string
  ) => Result.Result<string, RegistryError.RegistryError>
  /** The whole body, where it has at most so many bytes and comes in time. */
  readonly limitedBody: (answer: Answer, limit: number) => Effect.Effect<Uint8Array, RegistryError.RegistryError>
}

const maxErrorBytes = 64 * 1024
const maxRedirects = 5
const maxErrors = 10

/** What goes along to another origin. */
const neutral: ReadonlySet<string> = new Set(["accept", "range", "if-range"])

/** Stands for a host that no URL can have, such as 999.1.1.1; it is never asked. */
const nowhere = "https://registry.invalid"
const unknownHost = new RegistryError.Unreachable({ code: "ERR_INVALID_URL", attempts: 0 })

const ErrorBody = Schema.fromJsonString(
  Schema.Struct({
    errors: Schema.Array(
      Schema.Struct({ code: Schema.String, message: Schema.optionalKey(Schema.NullOr(Schema.String)) })
    )
  })
)

type Errors = RegistryError.Refused["errors"]

const readErrors = (response: Exchange.Response, limits: Exchange.Limits, secrets: ReadonlyArray<Redacted.Redacted>) =>
  Exchange.bytes(response.stream, maxErrorBytes, limits).pipe(
    Effect.map((body): Errors =>
      Option.match(Schema.decodeOption(ErrorBody)(new TextDecoder().decode(body)), {
        onNone: () => [],
        onSome: ({ errors }) =>
          errors.slice(0, maxErrors).map(({ code, message }) => ({
            code: Failure.shown(code, secrets),
            message: Failure.shown(message ?? "", secrets)
          }))
      })
    ),
    // The status says enough
    Effect.orElseSucceed((): Errors => [])
  )

/** What a status means that nobody has asked for. */
const meaning = (status: number, errors: Errors, isLoggedIn: boolean): RegistryError.Reason => {
  const [first] = errors
  if (status === 401) return new RegistryError.Unauthorized({ isLoggedIn })
  if (status === 403) return new RegistryError.Denied({ detail: first?.message ?? "" })
  if (status === 404) return new RegistryError.NotFound({ code: first?.code ?? "NOT_FOUND" })
  if (status < 400) return new RegistryError.Misbehaved({ found: `status ${status}` })
  return new RegistryError.Refused({ status, errors })
}

const scopesOf = ({ actions = [], repository, scopes = [] }: Ask<unknown>): ReadonlyArray<string> =>
  repository === undefined || actions.length === 0
    ? scopes
    : [`repository:${repository}:${actions.join(",")}`, ...scopes]

const isReading = ({ method }: Ask<unknown>): boolean => method === "GET" || method === "HEAD"

/** Sees whether a stream was begun. */
const watched = <E>(body: Exchange.Body<E>, onBegin: () => void): Exchange.Body<E> =>
  "bytes" in body ? body : {
    ...body,
    stream: Stream.suspend(() => {
      onBegin()
      return body.stream
    })
  }

const isOnce = <E>(body: Exchange.Body<E> | undefined): boolean =>
  body !== undefined && "stream" in body && !body.isRepeatable

/**
 * Begins a conversation with a registry, `host[:port]`; nothing is sent yet, but that one on this machine is asked whether it
 * speaks TLS. Docker Hub is asked at `registry-1.docker.io`.
 */
export const make = Effect.fnUntraced(function*(
  registry: string,
  options: Options
): Effect.fn.Return<Session, never, HttpClient.HttpClient | Credentials.Credentials> {
  const host = RegistryName.isHub(registry) ? "registry-1.docker.io" : registry
  const isValid = URL.canParse(`https://${host}`)
  const { hostname, port } = new URL(isValid ? `https://${host}` : nowhere)
  const isPlain = options.insecure ?? (Address.isLoopback(hostname) &&
    !(yield* Probe.speaksTls(Address.bare(hostname), Number(port || 443))))
  const base = isValid ? new URL(`${isPlain ? "http" : "https"}://${host}`) : new URL(nowhere)
  const limits = Exchange.limits(options.timeouts)
  const retry = options.retry ?? {}
  const allowsPlain = options.insecure === true
  const exchange = yield* Exchange.make
  const authorizations = yield* Authorization.make(
    { registry, origin: base, exchange, limits, retry, allowsPlain },
    options
  )

  const errorOf =
    ({ operation, repository, subject }: Pick<Ask, "operation" | "repository" | "subject">) =>
    (reason: RegistryError.Reason) =>
      new RegistryError.RegistryError({
        operation,
        registry,
        ...(repository === undefined ? {} : { repository }),
        ...(subject === undefined ? {} : { subject }),
        reason
      })

  const resolve = (
    kind: "upload location" | "link",
    text: string,
    from: string | undefined
  ): Result.Result<URL, Failure.Failure> =>
    Result.flatMap(Redirect.parse(kind, text, new URL(from ?? "", base)), (url) =>
      url.origin === base.origin
        ? Result.succeed(url)
        : Result.fail(Failure.unsafe(kind, url.origin, "it is not where the registry is")))

  /** Checks where a redirect leads to. */
  const checkTarget = Effect.fnUntraced(function*(from: URL, to: URL) {
    const refuse = (why: string) => Failure.unsafe("redirect", to.origin, why)
    if (to.protocol === "http:") {
      if (from.protocol === "https:") return yield* refuse("it leads from https to http")
      if (!Redirect.mayBePlain(to, base, allowsPlain)) return yield* refuse("it is not encrypted")
    }
    if (Address.isWrittenLocal(to.hostname) && !(yield* Address.isLocal(base.hostname))) {
      return yield* refuse("it is in the network of this machine, and the registry is not")
    }
  })

  /** Runs what needs a scope, which ends with it unless its result is kept. */
  const kept = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>, isKept: (value: A) => boolean) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const scope = yield* Scope.fork(yield* Effect.scope)
        const exit = yield* Effect.exit(restore(Scope.provide(effect, scope)))
        if (!Exit.isSuccess(exit) || !isKept(exit.value)) yield* Scope.close(scope, exit)
        return yield* exit
      })
    )

  const drain = (response: Exchange.Response) => Effect.ignore(Exchange.bytes(response.stream, maxErrorBytes, limits))

  /** Sends a request; an answer that only sends us on is read, so that its connection can be used again. */
  const send = <E>(request: Exchange.Request<E>, accept: ReadonlyArray<number>) => {
    const isPassing = ({ status }: Exchange.Response) =>
      !accept.includes(status) && (status === 401 || Redirect.isRedirect(status))
    return kept(
      Effect.tap(exchange(request, limits), (response) => isPassing(response) ? drain(response) : Effect.void),
      (response) => !isPassing(response)
    )
  }

  const ask = <E = never>(asked: Ask<E>): Effect.Effect<Answer, RegistryError.RegistryError | E, Scope.Scope> => {
    const { accept, headers = {}, method, repository } = asked
    const scopes = scopesOf(asked)
    const error = errorOf(asked)
    const isRetried = asked.isRetried ?? (isReading(asked) || method === "DELETE")

    return Effect.suspend(() => {
      let attempts = 0
      let hasBegun = false
      const body = asked.body === undefined ? undefined : watched(asked.body, () => void (hasBegun = true))
      const isOver = () => hasBegun && isOnce(asked.body)

      /** Asks the registry itself, and once more with what it wants to know. */
      const askRegistry = Effect.fnUntraced(function*(url: URL) {
        const start = yield* Clock.currentTimeMillis
        let authorization = yield* authorizations.first(scopes, repository)
        for (let round = 0;; round++) {
          const secrets = authorization?.secrets ?? []
          const proof = authorization === undefined ? {} : { authorization: Redacted.value(authorization.header) }
          const response = yield* send({ method, url, headers: { ...headers, ...proof }, body, secrets }, accept)
          if (response.status !== 401 || accept.includes(401) || round === 2 || isOver()) {
            return { response, secrets, isLoggedIn: authorization?.isLoggedIn ?? false }
          }
          authorization = yield* authorizations.answer(
            Challenge.parse(response.headers["www-authenticate"]),
            scopes,
            repository,
            authorization,
            start
          )
        }
      })

      /** Asks elsewhere, as somebody unknown. */
      const askElsewhere = (url: URL) => {
        const harmless = Object.fromEntries(Object.entries(headers).filter(([name]) => neutral.has(name.toLowerCase())))
        return Effect.map(
          send<never>({ method, url, headers: harmless, secrets: [] }, accept),
          (response) => ({ response, secrets: [], isLoggedIn: false })
        )
      }

      const follow = Effect.fnUntraced(function*(first: URL) {
        let url = first
        let isElsewhere = false
        let found = yield* askRegistry(url)
        for (let hops = 0;; hops++) {
          const { status } = found.response
          if (!Redirect.isRedirect(status) || accept.includes(status)) return found
          const next = yield* Effect.fromResult(Redirect.target("redirect", found.response, url))
          const refuse = (why: string) => Failure.unsafe("redirect", next.origin, why)
          if (asked.isRedirectable !== true || !isReading(asked)) {
            return yield* refuse("only the content of a blob may be elsewhere")
          }
          if (hops === maxRedirects) return yield* refuse(`it goes on from there more than ${maxRedirects} times`)
          yield* checkTarget(url, next)
          // Who was sent away and back may be meant to do what somebody else wants
          isElsewhere ||= next.origin !== base.origin
          found = yield* (isElsewhere ? askElsewhere(next) : askRegistry(next))
          url = next
        }
      })

      const attempt = Effect.gen(function*() {
        if (!isValid) return yield* Failure.lasting(unknownHost)
        attempts++
        const url = yield* Effect.fromResult(resolve("link", asked.url, undefined))
        const { isLoggedIn, response, secrets } = yield* follow(url)
        const { status } = response
        if (accept.includes(status)) return { response, secrets }
        if (Retrying.isTransient(status)) {
          return yield* Retrying.unavailable(response, yield* Clock.currentTimeMillis)
        }
        return yield* Failure.lasting(meaning(status, yield* readErrors(response, limits, secrets), isLoggedIn))
      })

      return kept(attempt, () => true).pipe(
        Effect.map((found) => Result.succeed(found)),
        Effect.catch((failure) =>
          Failure.isFailure(failure) ? Effect.fail(failure) : Effect.succeed(Result.fail(failure))
        ),
        Effect.retry(
          Retrying.schedule(
            retry,
            ({ reason }) => Effect.logWarning(`${error(reason(attempts)).message}; it is asked again`),
            () => isRetried && !isOver()
          )
        ),
        Effect.mapError(({ reason }) => error(reason(attempts))),
        Effect.flatMap((result) => Effect.fromResult(result)),
        Effect.map(({ response: { headers, status, stream }, secrets }) => ({
          status,
          headers,
          stream: Stream.mapError(stream, ({ reason }) => error(reason(1))),
          error,
          shown: (text) => Failure.shown(text, secrets)
        }))
      )
    })
  }

  return {
    origin: base.host,
    longestDelay: Retrying.longestDelay(retry),
    ask,
    sameOrigin: (kind, url, from) =>
      Result.mapBoth(resolve(kind, url, from), {
        // Two slashes would begin with a host
        onSuccess: ({ href, pathname, search }) => pathname.startsWith("//") ? href : pathname + search,
        onFailure: ({ reason }) => errorOf({ operation: `follow the ${kind}` })(reason(1))
      }),
    limitedBody: (answer, limit) =>
      Effect.mapError(
        Exchange.bytes(answer.stream, limit, limits),
        (failure) => Failure.isFailure(failure) ? answer.error(failure.reason(1)) : failure
      )
  }
})
