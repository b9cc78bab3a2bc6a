/**
 * One HTTP request and its answer: never redirected by itself, never traced, and not waited for without end.
 */
import * as RegistryError from "@effect-oci/core/RegistryError"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constTrue } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as Headers from "effect/http/Headers"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as HttpMethod from "effect/http/HttpMethod"
import * as UrlParams from "effect/http/UrlParams"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import type * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Failure from "./failure.ts"

/** How long a server may take. */
export interface Timeouts {
  /** Until its answer begins, with all that it takes to reach it: 30 seconds unless given. */
  readonly answer?: Duration.Input
  /** The same for a PUT or PATCH, when all was sent: it may have gigabytes to check and to store. 5 minutes unless given. */
  readonly commit?: Duration.Input
  /** Until more of a body comes, or is taken: 30 seconds unless given. A small body may take four times as long in all. */
  readonly idle?: Duration.Input
}

export interface Limits {
  readonly answer: number
  readonly commit: number
  readonly idle: number
}

const milliseconds = (input: Duration.Input) => Math.ceil(Duration.toMillis(Duration.fromInputUnsafe(input)))

export const limits = (timeouts: Timeouts = {}): Limits => ({
  answer: milliseconds(timeouts.answer ?? "30 seconds"),
  commit: milliseconds(timeouts.commit ?? "5 minutes"),
  idle: milliseconds(timeouts.idle ?? "30 seconds")
})

/** What is sent: bytes, or a stream; `isRepeatable` says whether it gives the same again. */
export type Body<E> =
  | { readonly bytes: Uint8Array; readonly contentType: string }
  | {
    readonly stream: Stream.Stream<Uint8Array, E>
    readonly contentLength?: number
    readonly contentType: string
    readonly isRepeatable: boolean
  }

export interface Request<E> {
  readonly method: HttpMethod.HttpMethod
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Body<E> | undefined
  /** What must not be shown. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

export interface Response {
  readonly status: number
  readonly headers: Headers.Headers
  readonly stream: Stream.Stream<Uint8Array, Failure.Failure>
}

const timedOut = (phase: RegistryError.TimedOut["phase"], milliseconds: number) =>
  new Failure.Failure({
    reason: () => new RegistryError.TimedOut({ phase, milliseconds }),
    isTransient: true,
    mostAttempts: 2
  })

/** Who must go on: the source of a body, the server that takes it, or the server that answers. */
interface Progress {
  turn: "source" | "upload" | "answer"
  since: number
}

/** The stream as it is sent: whose turn it is can be seen, and its own error is kept. */
const observed = <E>(stream: Stream.Stream<Uint8Array, E>, progress: Progress, failed: Deferred.Deferred<never, E>) =>
  Stream.transformPull(
    Stream.tapCause(
      stream,
      (cause) => Cause.hasInterruptsOnly(cause) ? Effect.void : Deferred.failCause(failed, cause)
    ),
    (pull) =>
      Clock.clockWith((clock) => {
        const pass = (turn: Progress["turn"]) => {
          progress.turn = turn
          progress.since = clock.currentTimeMillisUnsafe()
        }
        const observedPull = Effect.suspend(() => {
          pass("source")
          return pull
        }).pipe(
          Effect.tap(() => Effect.sync(() => pass("upload"))),
          Effect.onError((cause) => Effect.sync(() => Pull.isDoneCause(cause) && pass("answer")))
        )
        return Effect.succeed(observedPull)
      })
  )

/** Fails when the server has had its turn for too long. The turn may change at any time, so it is looked at often. */
const watch = Effect.fnUntraced(function*(progress: Progress, answer: number, idle: number) {
  while (true) {
    const { since, turn } = progress
    const limit = turn === "answer" ? answer : idle
    const left = turn === "source" ? idle : since + limit - (yield* Clock.currentTimeMillis)
    if (left <= 0) return yield* timedOut(turn === "answer" ? "answer" : "upload", limit)
    yield* Effect.sleep(Math.min(left, idle / 4))
  }
})

const withIdle = <E>(stream: Stream.Stream<Uint8Array, E>, idle: number) =>
  Stream.transformPull(stream, (pull) =>
    Effect.succeed(
      Effect.timeoutOrElse(pull, { duration: idle, orElse: () => Effect.fail(timedOut("content", idle)) })
    ))

const requestOf = <E>(
  { body, headers, method, url }: Request<E>,
  progress: Progress,
  failed: Deferred.Deferred<never, E>
): HttpClientRequest.HttpClientRequest => {
  // The query as it is: a URL that is taken apart may be put together otherwise, and a signature would no longer fit
  const request = HttpClientRequest.makeWith(
    method,
    url.href,
    UrlParams.empty,
    Option.none(),
    HttpClientRequest.empty.headers,
    HttpBody.empty
  ).pipe(HttpClientRequest.setHeaders({ "accept-encoding": "identity", "user-agent": "effect-oci", ...headers }))
  if (body === undefined) return request
  return HttpClientRequest.setBody(
    request,
    "bytes" in body
      ? HttpBody.uint8Array(body.bytes, body.contentType)
      : HttpBody.stream(observed(body.stream, progress, failed), body.contentType, body.contentLength)
  )
}

/** The client was to give the redirect, not to follow it: what it sent to whom is no longer known. */
const wasRedirected = (asked: URL, response: HttpClientResponse.HttpClientResponse): boolean =>
  response.url !== "" && URL.canParse(response.url) && new URL(response.url).href !== asked.href

/**
 * Gives what sends a request and hands out the answer, whose body is read within the scope. The client may be any one;
 * fetch is told not to follow redirects.
 */
export const make = Effect.gen(function*() {
  const client = HttpClient.withScope(yield* HttpClient.HttpClient)
  const init = yield* Effect.serviceOption(FetchHttpClient.RequestInit)
  const settings = Context.make(FetchHttpClient.RequestInit, {
    ...Option.getOrElse(init, () => ({})),
    redirect: "manual" as const
  }).pipe(
    Context.add(HttpClient.TracerDisabledWhen, constTrue),
    Context.add(HttpClient.TracerPropagationEnabled, false)
  )

  return Effect.fnUntraced(function*<E>(
    asked: Request<E>,
    limits: Limits
  ): Effect.fn.Return<Response, Failure.Failure | E, Scope.Scope> {
    const start = yield* Clock.currentTimeMillis
    const failed = Deferred.makeUnsafe<never, E>()
    const progress: Progress = { turn: "answer", since: start }
    const isWrite = asked.method === "PUT" || asked.method === "PATCH"
    const convert = (error: HttpClientError.HttpClientError): Effect.Effect<never, Failure.Failure> =>
      Effect.flatMap(
        Clock.currentTimeMillis,
        (now) => Effect.fail(Failure.fromTransport(error, now - start, asked.secrets))
      )
    const sent = client.execute(requestOf(asked, progress, failed)).pipe(
      Effect.provideContext(settings),
      // The error of the body, where that is why the request failed, may come a little later
      Effect.catch((error): Effect.Effect<never, Failure.Failure | E> =>
        Deferred.isDoneUnsafe(failed) ? Deferred.await(failed) : convert(error)
      )
    )
    // A client may not notice that a body has failed
    const response = yield* sent.pipe(
      Effect.raceFirst(Deferred.await(failed)),
      Effect.raceFirst(watch(progress, isWrite ? limits.commit : limits.answer, limits.idle))
    )
    if (response.status === 0 || wasRedirected(asked.url, response)) {
      return yield* Failure.misbehaved("redirects that the HTTP client follows by itself")
    }
    const stream = withIdle(
      Stream.catch(
        response.stream,
        (error) => error.reason._tag === "EmptyBodyError" ? Stream.empty : Stream.fromEffect(convert(error))
      ),
      limits.idle
    )
    return { status: response.status, headers: response.headers, stream }
  })
})

export type Exchange = Effect.Success<typeof make>

/** Reads a body of at most so many bytes. What is more, or takes too long, is a failure. */
export const bytes = <E>(
  stream: Stream.Stream<Uint8Array, E>,
  limit: number,
  { idle }: Limits
): Effect.Effect<Uint8Array, Failure.Failure | E> =>
  Stream.limitBytes(
    stream,
    ByteSize.bytes(limit),
    (): Stream.Stream<Uint8Array, E | Failure.Failure> =>
      Stream.fail(Failure.misbehaved(`a body of more than ${limit} bytes`))
  ).pipe(
    Stream.mkUint8Array,
    Effect.timeoutOrElse({ duration: idle * 4, orElse: () => Effect.fail(timedOut("content", idle * 4)) })
  )
