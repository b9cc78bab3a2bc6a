/**
 * Credential helpers: programs that keep credentials, and that are asked by the name `docker-credential-NAME`.
 *
 * Follows the protocol of docker-credential-helpers: one word as the argument, everything else on stdin and stdout.
 */
import * as Json from "@effect-oci/schema/Json"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn } from "node:child_process"
import { type Credential, CredentialHelperFailed } from "../../Credentials.ts"

export interface Helper {
  readonly name: string
  /** How long it may take: a person may have to unlock something. */
  readonly timeout: Duration.Duration
}

type Operation = CredentialHelperFailed["operation"]

/** Nothing that it prints is longer, in bytes. */
const maxOutput = 1024 * 1024

const isName = (name: string): boolean => /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)

/** What a helper prints where it has none. */
const notFound = "credentials not found in native keychain"

/** The name that stands for "the secret is an identity token". */
const tokenName = "<token>"

interface Ended {
  readonly code: number | null
  readonly output: Uint8Array
}

type Fault = Pick<CredentialHelperFailed, "reason" | "found" | "advice">

const tooLong: Fault = {
  reason: "size",
  found: `it printed more than ${maxOutput} bytes`,
  advice: "no credential is that long: see what it prints when you run it yourself"
}

const notStarted = (cause: unknown): Fault => {
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "unknown"
  return {
    reason: "missing",
    found: code === "ENOENT" ? "there is no such program on the PATH" : `it cannot be run (${code})`,
    advice: "install it, or take its name out of \"credsStore\" and \"credHelpers\""
  }
}

/** Ends it, and does not wait for what it has started itself. */
const stop = (child: ChildProcess): void => {
  child.stdin?.destroy()
  child.stdout?.destroy()
  child.kill("SIGKILL")
}

/** Its stderr is not read: some helpers print secrets there. */
const execute = (name: string, operation: Operation, input: string): Effect.Effect<Ended, Fault> =>
  Effect.callback((resume) => {
    let child: ChildProcess
    try {
      child = spawn(`docker-credential-${name}`, [operation], { stdio: ["pipe", "pipe", "ignore"], windowsHide: true })
    } catch (cause) {
      return resume(Effect.fail(notStarted(cause)))
    }
    const chunks: Array<Uint8Array> = []
    let size = 0
    child.on("error", (cause) => resume(Effect.fail(notStarted(cause))))
    // It may end without having read all
    child.stdin?.on("error", () => {})
    child.stdout?.on("data", (chunk: Uint8Array) => {
      size += chunk.length
      if (size <= maxOutput) return void chunks.push(chunk)
      stop(child)
      resume(Effect.fail(tooLong))
    })
    child.on("close", (code) => resume(Effect.succeed({ code, output: Buffer.concat(chunks) })))
    child.stdin?.end(input)
    return Effect.sync(() => stop(child))
  })

const run = (
  { name, timeout }: Helper,
  operation: Operation,
  registry: string,
  input: string
): Effect.Effect<Ended, CredentialHelperFailed> => {
  const ended = isName(name)
    ? Effect.timeoutOrElse(execute(name, operation, input), {
      duration: timeout,
      orElse: () =>
        Effect.fail<Fault>({
          reason: "time",
          found: `it has not ended after ${Duration.format(timeout)}`,
          advice: "unlock what it keeps credentials in, then try again"
        })
    })
    : Effect.fail<Fault>({
      reason: "name",
      found: "no helper can have this name",
      advice: "write the part of the program's name behind docker-credential-"
    })
  return Effect.mapError(ended, (fault) => new CredentialHelperFailed({ helper: name, operation, registry, ...fault }))
}

const failed = (
  { name }: Helper,
  operation: Operation,
  registry: string,
  { code }: Ended
): CredentialHelperFailed =>
  new CredentialHelperFailed({
    helper: name,
    operation,
    registry,
    reason: "exit",
    found: code === null ? "it was killed" : `it ended with the exit code ${code}`,
    advice: `run docker-credential-${name} list to see what it says`
  })

const saysNotFound = ({ output }: Ended): boolean => new TextDecoder().decode(output).trim() === notFound

const decode = Schema.decodeUnknownOption(
  Schema.Struct({
    Username: Schema.optionalKey(Schema.String),
    Secret: Schema.optionalKey(Schema.String)
  })
)

const names = Json.names(["ServerURL", "Username", "Secret"])

const toCredential = (username: string, secret: string): Option.Option<Credential> =>
  secret === ""
    ? Option.none()
    : Option.some(
      username === tokenName
        ? { _tag: "IdentityToken", token: Redacted.make(secret) }
        : { _tag: "Basic", username, password: Redacted.make(secret) }
    )

/** Asks a helper for the credential that it keeps under a key. */
export const get = Effect.fnUntraced(function*(
  helper: Helper,
  registry: string,
  key: string
): Effect.fn.Return<Option.Option<Credential>, CredentialHelperFailed> {
  const ended = yield* run(helper, "get", registry, key)
  if (ended.code !== 0) {
    return saysNotFound(ended) ? Option.none() : yield* failed(helper, "get", registry, ended)
  }
  const value = Json.parse(ended.output, { maxBytes: maxOutput, names }).pipe(
    Result.getSuccess,
    Option.flatMap((document) => decode(Json.toValue(document)))
  )
  if (Option.isNone(value)) {
    return yield* new CredentialHelperFailed({
      helper: helper.name,
      operation: "get",
      registry,
      reason: "output",
      found: "it printed something else than a credential",
      advice: "it has to print an object of JSON with Username and Secret"
    })
  }
  return toCredential(value.value.Username ?? "", value.value.Secret ?? "")
})

const change = Effect.fnUntraced(function*(
  helper: Helper,
  operation: "store" | "erase",
  registry: string,
  input: string
): Effect.fn.Return<void, CredentialHelperFailed> {
  const ended = yield* run(helper, operation, registry, input)
  if (ended.code !== 0 && !(operation === "erase" && saysNotFound(ended))) {
    return yield* failed(helper, operation, registry, ended)
  }
})

/** Gives a helper a credential to keep under a key. */
export const store = (
  helper: Helper,
  registry: string,
  key: string,
  username: string,
  secret: Redacted.Redacted
): Effect.Effect<void, CredentialHelperFailed> =>
  change(
    helper,
    "store",
    registry,
    Json.stringifyPlain({ ServerURL: key, Username: username, Secret: Redacted.value(secret) })
  )

/** Like `store`, for an identity token, which has no name. */
export const storeToken = (
  helper: Helper,
  registry: string,
  key: string,
  token: Redacted.Redacted
): Effect.Effect<void, CredentialHelperFailed> => store(helper, registry, key, tokenName, token)

/** Makes a helper forget what it keeps under a key. */
export const erase = (helper: Helper, registry: string, key: string): Effect.Effect<void, CredentialHelperFailed> =>
  change(helper, "erase", registry, key)
