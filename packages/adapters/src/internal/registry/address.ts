/**
 * Where a host is: on this machine or in its network, or anywhere; and which hosts belong together.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { lookup } from "node:dns/promises"
import { BlockList, isIP } from "node:net"

/**
 * The addresses of a name. A name that cannot be looked up has none: the connection will tell.
 *
 * It is a reference, so that a test can say what a name leads to.
 */
export const Lookup = Context.Reference<(name: string) => Effect.Effect<ReadonlyArray<string>>>(
  "@effect-oci/adapters/registry/Lookup",
  {
    defaultValue: () => (name) =>
      Effect.tryPromise(() => lookup(name, { all: true })).pipe(
        Effect.map((found) => found.map(({ address }) => address)),
        Effect.orElseSucceed(() => [])
      )
  }
)

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8)
loopback.addAddress("::1", "ipv6")

/** What is not reached through the internet: RFC 6890, and what only looks as if it was. */
const near = new BlockList()
for (
  const [network, prefix] of [
    ["0.0.0.0", 8],
    ["10.0.0.0", 8],
    ["100.64.0.0", 10],
    ["127.0.0.0", 8],
    ["169.254.0.0", 16],
    ["172.16.0.0", 12],
    ["192.0.0.0", 24],
    ["192.168.0.0", 16],
    ["198.18.0.0", 15],
    ["224.0.0.0", 3]
  ] as const
) near.addSubnet(network, prefix)
for (
  const [network, prefix] of [
    // Also the loopback address, and IPv4 addresses in a form that nobody uses
    ["::", 96],
    ["64:ff9b:1::", 48],
    ["2002::", 16],
    ["fc00::", 7],
    ["fe80::", 10],
    ["fec0::", 10],
    ["ff00::", 8]
  ] as const
) near.addSubnet(network, prefix, "ipv6")

/** A host as a URL has it, without the brackets of IPv6. */
export const bare = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "")

/** The IPv4 address in one of 64:ff9b::/96 (RFC 6052), which a network translates. */
const translated = (address: string): string | undefined => {
  const match = /^64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/i.exec(address)
  if (match === null) return undefined
  const high = Number.parseInt(match[1] ?? "0", 16)
  const low = Number.parseInt(match[2] ?? "0", 16)
  return [high >> 8, high & 255, low >> 8, low & 255].join(".")
}

const isNear = (address: string): boolean => {
  const inner = translated(address)
  if (inner !== undefined) return near.check(inner)
  return near.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")
}

const isLocalhost = (host: string): boolean => host === "localhost" || host.endsWith(".localhost")

/** Whether a host of a URL is this machine, by its address or as `localhost`. */
export const isLoopback = (hostname: string): boolean => {
  const host = bare(hostname)
  const family = isIP(host)
  return family === 0 ? isLocalhost(host) : loopback.check(host, family === 6 ? "ipv6" : "ipv4")
}

/** Whether a host of a URL is written as an address of this machine or its network. */
export const isWrittenLocal = (hostname: string): boolean => {
  const host = bare(hostname)
  return isIP(host) === 0 ? isLocalhost(host) : isNear(host)
}

/** Whether a host of a URL is in this machine or its network: by its address, or by those that its name leads to. */
export const isLocal = Effect.fnUntraced(function*(hostname: string) {
  const host = bare(hostname)
  if (isWrittenLocal(hostname)) return true
  if (isIP(host) !== 0) return false
  const lookup = yield* Lookup
  return (yield* lookup(host)).some(isNear)
})

/** Domains below which the names belong to different people. */
const shared: ReadonlySet<string> = new Set([
  "amazonaws.com",
  "azurecr.io",
  "azurewebsites.net",
  "cloudfront.net",
  "github.io",
  "herokuapp.com",
  "run.app"
])

/**
 * The domain that somebody has registered: the last two labels of a name, or three where the second one is short and the
 * last one a country's, as in `example.co.uk`.
 */
const domain = (hostname: string): string => {
  const host = bare(hostname)
  if (isIP(host) !== 0) return host
  const labels = host.split(".")
  const [second = "", top = ""] = labels.slice(-2)
  const found = labels.slice(top.length === 2 && second.length <= 3 ? -3 : -2).join(".")
  return shared.has(found) ? host : found
}

/** Whether two hosts are of the same owner, as far as their names tell. */
export const areRelated = (one: string, other: string): boolean => one === other || domain(one) === domain(other)
