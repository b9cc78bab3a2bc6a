/** A server of tokens for Docker's registry: whoever knows the password gets what is asked for, and others what they may pull. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { sign } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url")

/** Serves tokens that are signed with the keys in a directory, and gives the port. */
export const make = (
  directory: string,
  user: { readonly name: string; readonly password: string }
): Effect.Effect<number, never, Scope.Scope> => {
  const key = readFileSync(join(directory, "key.pem"))
  const chain = ["certificate.pem", "ca.pem"].map((name) =>
    readFileSync(join(directory, name), "utf8").replaceAll(/-----[^-]+-----|\s/g, "")
  )
  const proof = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}`
  const server = createServer((request, response) => {
    const { searchParams } = new URL(request.url ?? "", "http://127.0.0.1")
    const isKnown = request.headers.authorization === proof
    const access = searchParams.getAll("scope").flatMap((scopes) => scopes.split(" ")).map((scope) => {
      const [, type, name, actions = ""] = /^([^:]+):(.+):([^:]*)$/.exec(scope) ?? []
      return { type, name, actions: actions.split(",").filter((action) => isKnown || action === "pull") }
    })
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: "effect-oci test",
      sub: isKnown ? user.name : "",
      aud: searchParams.get("service"),
      exp: now + 60,
      nbf: now - 5,
      iat: now,
      jti: "1",
      access
    }
    const content = `${encode({ typ: "JWT", alg: "RS256", x5c: chain })}.${encode(claims)}`
    const token = `${content}.${sign("sha256", Buffer.from(content), key).toString("base64url")}`
    response.setHeader("content-type", "application/json").end(JSON.stringify({ token, expires_in: 60 }))
  })
  return Effect.acquireRelease(
    Effect.promise(() => new Promise<Server>((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)))),
    () =>
      Effect.promise(() => {
        server.closeAllConnections()
        return new Promise<void>((resolve) => void server.close(() => resolve()))
      })
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
}
