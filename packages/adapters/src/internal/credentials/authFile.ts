/**
 * The file that Docker and podman keep credentials in: `auths` by registry, and the helpers that keep the others.
 *
 * Follows Docker's `cli/config` and containers-auth.json(5).
 */
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { type Credential, CredentialsInvalid, CredentialsUnreadable } from "../../Credentials.ts"
import { absentAs, type FileSystem, readDocument } from "../files.ts"

/** The largest file that is read, in bytes. */
const maxBytes = 1024 * 1024

/** A member of an object in a file, and where its value stands in the file's text. */
interface Entry {
  readonly key: string
  readonly start: number
  readonly end: number
}

export interface AuthFile {
  readonly path: string
  readonly text: string
  readonly auths: ReadonlyArray<Entry>
  /** By the key of a registry. An empty name stands for none. */
  readonly credHelpers: ReadonlyMap<string, string>
  readonly credsStore: string
}

const invalidAt = (path: string, text: string, offset: number, expected: string): CredentialsInvalid =>
  new CredentialsInvalid({ path, ...Json.position(text, offset), expected })

const fileNames = Json.names(["auths", "credHelpers", "credsStore"])
const entryNames = Json.names(["auth", "username", "password", "identitytoken", "registrytoken"])

/** The members of a document that stands at an offset of a text; nobody is told of what is found instead. */
const entriesOf = (
  path: string,
  text: string,
  start: number,
  { kind, members }: Json.Document,
  what: string
): Result.Result<ReadonlyArray<Entry>, CredentialsInvalid> =>
  kind === "object" || kind === "null"
    ? Result.succeed(members.map(({ end, name, start: at }) => ({ key: name, start: start + at, end: start + end })))
    : Result.fail(invalidAt(path, text, start, what))

/** The members of an object inside of a text that is clean, but for names that differ by case. */
const membersOf = (
  path: string,
  text: string,
  { end, start }: Omit<Entry, "key">,
  what: string,
  names: Json.Names = Json.names([])
): Result.Result<ReadonlyArray<Entry>, CredentialsInvalid> =>
  Json.parse(Json.toBytes(text.slice(start, end)), { maxBytes, names }).pipe(
    Result.mapError(() =>
      invalidAt(path, text, start, `no names but ${[...names.exact].join(", ")} in any other case`)
    ),
    Result.flatMap((document) => entriesOf(path, text, start, document, what))
  )

/** The text that a value is; empty where there is none, as in Go. */
const stringOf = (
  path: string,
  text: string,
  entry: Entry | undefined
): Result.Result<string, CredentialsInvalid> => {
  const value: unknown = entry === undefined ? null : JSON.parse(text.slice(entry.start, entry.end))
  return value === null
    ? Result.succeed("")
    : typeof value === "string"
    ? Result.succeed(value)
    : Result.fail(invalidAt(path, text, entry?.start ?? 0, "a string"))
}

/** Reads the bytes of a file. One without content has no credentials. */
const parse = (path: string, bytes: Uint8Array): Result.Result<AuthFile, CredentialsInvalid> =>
  Result.gen(function*() {
    const document = yield* Result.mapError(
      Json.parse(bytes.length === 0 ? Json.toBytes("{}") : bytes, { maxBytes, names: fileNames }),
      (problem) =>
        problem._tag === "InvalidJson"
          ? new CredentialsInvalid({ path, line: problem.line, column: problem.column, expected: problem.expected })
          : new CredentialsInvalid({ path, line: 1, column: 1, expected: `at most ${maxBytes} bytes` })
    )
    const { text } = document
    const members = yield* entriesOf(path, text, 0, document, "an object")
    const member = (name: string) => members.find(({ key }) => key === name)
    const inside = (name: string, what: string) => {
      const found = member(name)
      return found === undefined ? Result.succeed([]) : membersOf(path, text, found, what)
    }
    const credHelpers = new Map<string, string>()
    for (const entry of yield* inside("credHelpers", "an object with the names of helpers")) {
      credHelpers.set(entry.key, yield* stringOf(path, text, entry))
    }
    return {
      path,
      text,
      auths: yield* inside("auths", "an object with the credentials of registries"),
      credHelpers,
      credsStore: yield* stringOf(path, text, member("credsStore"))
    }
  })

/** Reads a file, also through links, as dotfiles and mounted secrets are; nothing where there is none. */
export const read = (
  files: FileSystem,
  path: string
): Effect.Effect<AuthFile | undefined, CredentialsUnreadable | CredentialsInvalid> =>
  files.realPath(path).pipe(
    Effect.flatMap((real) => readDocument(files, real, "file of credentials", maxBytes)),
    Effect.map(({ bytes }): Uint8Array | undefined => bytes),
    absentAs<Uint8Array | undefined>(undefined),
    Effect.mapError((cause) => new CredentialsUnreadable({ path, cause })),
    Effect.flatMap((bytes) => bytes === undefined ? Effect.succeed(undefined) : Effect.fromResult(parse(path, bytes)))
  )

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The name and the password of `auth`: up to the first colon, and all behind it but the padding of old versions. */
const decodeAuth = (auth: string): Option.Option<readonly [username: string, password: string]> =>
  Result.getSuccess(Base64.decode(auth)).pipe(
    Option.flatMap((bytes) => Result.getSuccess(Result.try(() => utf8.decode(bytes)))),
    Option.flatMap((text) => {
      const colon = text.indexOf(":")
      return colon < 0
        ? Option.none()
        : Option.some([text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, "")] as const)
    })
  )

/** The credential of an entry of `auths`, if it holds one: a helper's holds none. */
export const credential = (
  { path, text }: AuthFile,
  entry: Entry
): Result.Result<Option.Option<Credential>, CredentialsInvalid> =>
  Result.gen(function*() {
    const members = yield* membersOf(path, text, entry, "an object", entryNames)
    const find = (name: string) => members.find(({ key }) => key === name)
    const value = (name: string) => stringOf(path, text, find(name))
    const auth = yield* value("auth")
    const identityToken = yield* value("identitytoken")
    const registryToken = yield* value("registrytoken")
    if (registryToken !== "") {
      return Option.some({ _tag: "RegistryToken", token: Redacted.make(registryToken) } as const)
    }
    const [username, password] = auth === ""
      ? [yield* value("username"), yield* value("password")]
      : yield* Result.fromOption(
        decodeAuth(auth),
        () => invalidAt(path, text, find("auth")?.start ?? entry.start, "NAME:PASSWORD as base64")
      )
    if (identityToken !== "") {
      const token = Redacted.make(identityToken)
      return Option.some({ _tag: "IdentityToken", token, ...(username === "" ? {} : { username }) } as const)
    }
    // A helper leaves the name alone, or nothing; `auth` may say that there is no password
    if (password === "" && (auth === "" || username === "")) return Option.none()
    if (username === "") {
      return yield* Result.fail(
        invalidAt(path, text, (find("auth") ?? find("password") ?? entry).start, "a name with the password")
      )
    }
    return Option.some({ _tag: "Basic", username, password: Redacted.make(password) } as const)
  })
