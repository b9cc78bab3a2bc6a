/**
 * `effect-oci login REGISTRY [--username NAME] [--password-stdin]`
 *
 * @since 0.1.0
 */
import type * as Credentials from "@effect-oci/adapters/Credentials"
import * as DockerConfig from "@effect-oci/adapters/DockerConfig"
import * as RegistryName from "@effect-oci/adapters/RegistryName"
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as EffectTerminal from "effect/Terminal"
import process from "node:process"
import * as Flags from "../Flags.ts"
import * as Input from "../Input.ts"
import * as Output from "../Output.ts"

/**
 * Asks a registry whether it takes a credential, and fails where it does not.
 *
 * @category models
 * @since 0.1.0
 */
export type Verify<E, R> = (registry: string, credential: Credentials.Credential) => Effect.Effect<void, E, R>

/**
 * Error raised for what stdin has instead of a password. It is not shown.
 *
 * @category errors
 * @since 0.1.0
 */
export class PasswordUnreadable extends Schema.TaggedError<PasswordUnreadable>("@effect-oci/cli/PasswordUnreadable")(
  "PasswordUnreadable",
  { found: Schema.String }
) {
  override get message() {
    return `cannot read the password from stdin: expected one line of text, found ${this.found}; ` +
      "pipe it in, as in effect-oci login --password-stdin < FILE"
  }
}

/**
 * Error raised where a registry does not take the credentials.
 *
 * @category errors
 * @since 0.1.0
 */
export class LoginRefused
  extends Schema.TaggedError<LoginRefused>("@effect-oci/cli/LoginRefused")("LoginRefused", { registry: Schema.String })
{
  override get message() {
    return `${this.registry} does not accept the credentials, and nothing was kept: check the name and the password; ` +
      "many registries want a token in its place"
  }
}

interface Options {
  readonly registry: string
  readonly username: Option.Option<string>
  readonly passwordStdin: boolean
  readonly json: boolean
}

/** Far more than any token has, in bytes. */
const maxPassword = 64 * 1024

const usage = (message: string) => Effect.fail(new CliError.ValidationError({ message }))

const decodeUtf8 = (bytes: Uint8Array): string => new TextDecoder("utf-8", { fatal: true }).decode(bytes)

const fromStdin = Effect.gen(function*() {
  const bytes = yield* Input.read("-", "password", maxPassword)
  const text = yield* Effect.try({
    try: () => decodeUtf8(bytes).replace(/\r?\n$/, ""),
    catch: () => new PasswordUnreadable({ found: "bytes that are no text" })
  })
  if (text === "") return yield* new PasswordUnreadable({ found: "nothing" })
  if (/[\r\n\0]/.test(text)) return yield* new PasswordUnreadable({ found: "several lines" })
  return Redacted.make(text)
})

const show = (text: string) => Effect.sync(() => void process.stderr.write(text))

/** Asks on stderr, since stdout is for results. A question that is left ends its line. */
const asked = <A>(prompt: Prompt.Prompt<A>) =>
  Effect.updateService(Prompt.run(prompt), EffectTerminal.Terminal, (terminal) => ({ ...terminal, display: show }))
    .pipe(
      Effect.tapError(() => show("\n"))
    )

const isName = (name: string): boolean => name !== "" && !name.includes(":")

const nameRule = "a name without a colon"

const isGiven = (isGood: (text: string) => boolean, rule: string) => (text: string) =>
  isGood(text) ? Effect.succeed(text) : Effect.fail(`write ${rule}`)

const userOf = ({ passwordStdin, registry, username }: Options) =>
  Option.isSome(username)
    ? Effect.succeed(username.value)
    : passwordStdin
    ? usage("--password-stdin: say whose password it is, with --username NAME")
    : process.stdin.isTTY
    ? asked(Prompt.String({ message: `Name at ${registry}:`, validate: isGiven(isName, nameRule) }))
    : usage("--username: there is no terminal to ask for the name on")

const passwordOf = ({ passwordStdin }: Options, username: string) =>
  passwordStdin
    ? fromStdin
    : process.stdin.isTTY
    ? asked(
      Prompt.Hidden({ message: `Password of ${username}:`, validate: isGiven((text) => text !== "", "a password") })
    )
    : usage("--password-stdin: there is no terminal to ask for the password on; pipe it in, with this flag")

const told = (registry: string, username: string, place: DockerConfig.Place): string =>
  `logged in to ${registry} as ${username}; ` +
  (place._tag === "Helper" ? `docker-credential-${place.helper} keeps the password` : `see ${place.path}`)

const run = <E, R>(verify: Verify<E, R>) =>
  Effect.fnUntraced(function*(options: Options) {
    const { json, registry } = options
    const username = yield* userOf(options)
    const credential = { _tag: "Basic", username, password: yield* passwordOf(options, username) } as const
    yield* verify(registry, credential)
    const place = yield* DockerConfig.store(registry, credential)
    if (place._tag === "PlainText") {
      yield* Effect.logWarning(
        `the password is in ${place.path} as plain text; name a credential helper there as "credsStore" to keep it safe`
      )
    }
    yield* json ? Output.json({ registry, username, place }) : Output.line(told(registry, username, place))
  })

/**
 * Makes the command from what asks a registry whether it takes a credential: one that it refuses is not kept.
 *
 * @category commands
 * @since 0.1.0
 */
export const make = <E, R>(verify: Verify<E, R>) =>
  Command.make(
    "login",
    {
      registry: Argument.String("REGISTRY").pipe(
        Argument.withDescription("The registry's host, such as ghcr.io, docker.io or localhost:5000"),
        Argument.mapEffect(Flags.parsing("REGISTRY", RegistryName.parse))
      ),
      username: Flag.String("username").pipe(
        Flag.withAlias("u"),
        Flag.withMetavar("NAME"),
        Flag.withDescription("Who logs in; asked for unless given"),
        Flag.filter(isName, () => nameRule),
        Flag.optional
      ),
      passwordStdin: Flag.Boolean("password-stdin").pipe(
        Flag.withoutNegation,
        Flag.withDescription("Read the password or token from stdin; asked for unless given"),
        Flag.withDefault(false)
      ),
      json: Flags.json
    },
    run(verify)
  ).pipe(
    Command.withDescription(
      "Log in to a registry. What it takes is kept where Docker keeps it: with the credential helper that " +
        "$DOCKER_CONFIG/config.json (~/.docker/config.json) names, else in this file. Docker and effect-oci share it."
    ),
    Command.withShortDescription("Log in to a registry"),
    Command.withExamples([
      { command: "effect-oci login ghcr.io" },
      { command: "effect-oci login ghcr.io --username me --password-stdin < token" }
    ])
  )

/**
 * @category commands
 * @since 0.1.0
 */
export const command = make((registry, credential) =>
  Effect.promise(() => import("../RegistryTransport.ts")).pipe(
    Effect.flatMap(({ verify }) => verify(registry, credential)),
    Effect.catchTag("RegistryError", (error) =>
      Effect.fail(error.reason._tag === "Unauthorized" ? new LoginRefused({ registry }) : error))
  )
)
