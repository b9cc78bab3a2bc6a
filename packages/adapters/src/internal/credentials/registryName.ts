/**
 * The names of registries, as files of credentials spell them.
 */
import * as Option from "effect/Option"

const hub = "docker.io"
const hubNames: ReadonlySet<string> = new Set([hub, "index.docker.io", "registry-1.docker.io"])

const grammar = /^(?:[a-z0-9]+(?:-+[a-z0-9]+)*(?:\.[a-z0-9]+(?:-+[a-z0-9]+)*)*|\[[a-f0-9:]+\])(?::[0-9]{1,5})?$/

/** Whether a registry is Docker Hub. */
export const isHub = (registry: string): boolean => hubNames.has(registry)

/** The one name of a registry: in lower case, and `docker.io` for Docker Hub. */
export const canonical = (host: string): string => {
  const name = host.toLowerCase()
  return isHub(name) ? hub : name
}

/** What Docker keeps the credential of a registry under. */
export const dockerKey = (registry: string): string => registry === hub ? "https://index.docker.io/v1/" : registry

/** A key of a file: the registry, and the path behind it, without slashes at its ends. */
export interface Key {
  readonly registry: string
  readonly path: string
  readonly hasScheme: boolean
}

/** Takes the key of a file apart. */
export const fromKey = (key: string): Key => {
  const rest = key.replace(/^https?:\/\//, "")
  const [host = "", ...path] = rest.split("/")
  return { registry: canonical(host), path: path.join("/").replace(/\/+$/, ""), hasScheme: rest !== key }
}

const isApi = (path: string): boolean => path === "" || path === "v1" || path === "v2"

/** Reads the name of a registry as people write it. */
export const parse = (text: string): Option.Option<string> => {
  if (text.startsWith("http://")) return Option.none()
  const { hasScheme, path, registry } = fromKey(text)
  return grammar.test(registry) && (path === "" || (hasScheme && isApi(path))) ? Option.some(registry) : Option.none()
}
