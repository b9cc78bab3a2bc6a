/**
 * Where a registry sends us, and where we go.
 */
import type * as RegistryError from "@effect-oci/core/RegistryError"
import * as Result from "effect/Result"
import * as Address from "./address.ts"
import type { Response } from "./exchange.ts"
import * as Failure from "./failure.ts"

type Kind = RegistryError.UnsafeRedirect["kind"]

/** Statuses that send us elsewhere (RFC 9110, section 15.4). */
export const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status)

/**
 * Reads a URL that a server has sent, relative to another. Names and passwords in it are refused, and what URL parsers
 * do not agree about.
 */
export const parse = (kind: Kind, text: string, base: URL | undefined): Result.Result<URL, Failure.Failure> => {
  // eslint-disable-next-line no-control-regex
  const isOdd = text.length > 16_384 || /[\\\s\u0000-\u001f\u007f]/.test(text)
  if (isOdd || !URL.canParse(text, base?.href)) return Result.fail(Failure.misbehaved(`a ${kind} that is no URL`))
  const url = new URL(text, base?.href)
  url.hash = ""
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return Result.fail(Failure.unsafe(kind, url.protocol, "only https and http are followed"))
  }
  if (url.username !== "" || url.password !== "" || /^[a-z]+:[/]*[^/?#]*@/i.test(text)) {
    return Result.fail(Failure.unsafe(kind, url.origin, "there is a name or a password in it"))
  }
  return Result.succeed(url)
}

/** Where a redirect leads. */
export const target = (kind: Kind, response: Response, from: URL): Result.Result<URL, Failure.Failure> => {
  const { location } = response.headers
  return location === undefined
    ? Result.fail(Failure.misbehaved(`status ${response.status} without a location`))
    : parse(kind, location, from)
}

/**
 * Whether a URL may be asked without encryption: where the registry is, and where it is the same host, or this machine,
 * or anywhere if the user allows that for this registry.
 */
export const mayBePlain = (url: URL, registry: URL, allowsPlain: boolean): boolean =>
  registry.protocol === "http:" &&
  (allowsPlain || url.hostname === registry.hostname || Address.isLoopback(url.hostname))
