/**
 * What a registry asks of those who want something: the `WWW-Authenticate` header.
 *
 * Follows RFC 9110, section 11.6.1: several challenges in one header, with quoted strings or with one token.
 */
import * as Option from "effect/Option"

/** How the registry wants to be told who asks. */
export type Challenge =
  | { readonly _tag: "Basic" }
  | {
    readonly _tag: "Bearer"
    readonly realm: string
    readonly service: string | undefined
    readonly scopes: ReadonlyArray<string>
  }

interface Parsed {
  readonly scheme: string
  readonly parameters: Map<string, string>
}

/** More than that is no challenge. */
const maxLength = 8192

const separator = /[\s,]*/y
const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
const value = /[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+\-.^_`|~0-9A-Za-z]+))/y
const token68 = /[ \t]+[A-Za-z0-9\-._~+/]+=*[ \t]*(?=,|$)/y

const challengesOf = (header: string): ReadonlyArray<Parsed> => {
  let position = 0
  const take = (pattern: RegExp) => {
    pattern.lastIndex = position
    const match = pattern.exec(header)
    if (match !== null) position = pattern.lastIndex
    return match
  }
  const found: Array<Parsed> = []
  while (position < header.length) {
    take(separator)
    const name = take(token)?.[0].toLowerCase()
    if (name === undefined) break
    const given = take(value)
    const current = found.at(-1)
    if (given === null) {
      found.push({ scheme: name, parameters: new Map() })
      take(token68)
    } else if (current !== undefined && !current.parameters.has(name)) {
      current.parameters.set(name, given[1]?.replace(/\\(.)/g, "$1") ?? given[2] ?? "")
    }
  }
  return found
}

const words = (text: string | undefined): ReadonlyArray<string> =>
  text === undefined ? [] : text.split(" ").filter((word) => word !== "")

/** The challenge that can be met: a token where that is possible, a name and a password otherwise. */
export const parse = (header: string | undefined): Option.Option<Challenge> => {
  if (header === undefined || header.length > maxLength) return Option.none()
  const all = challengesOf(header)
  const bearer = all.find(({ parameters, scheme }) => scheme === "bearer" && parameters.has("realm"))
  if (bearer !== undefined) {
    return Option.some({
      _tag: "Bearer",
      realm: bearer.parameters.get("realm") ?? "",
      service: bearer.parameters.get("service"),
      scopes: words(bearer.parameters.get("scope"))
    })
  }
  return all.some(({ scheme }) => scheme === "basic") ? Option.some({ _tag: "Basic" }) : Option.none()
}
