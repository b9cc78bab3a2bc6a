/** Docker's own registry, on a free port of this machine and in a directory of its own. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { get as getHttp } from "node:http"
import { get as getHttps } from "node:https"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as TokenServer from "./tokenServer.ts"

export interface Registry {
  /** Where it is: `127.0.0.1:PORT`. */
  readonly host: string
  /** Where its files are. */
  readonly directory: string
  /** The certificate of whoever has signed the registry's, in PEM; nothing without TLS. */
  readonly authority: string
}

export interface Options {
  /** Who is let in: everybody, or who has the password, or who has a token, which is given for the password. */
  readonly auth?: "htpasswd" | "token"
  readonly isEncrypted?: boolean
}

/** A user, with what bcrypt makes of the password. */
export const user = {
  name: "ada",
  password: "canary-of-ada",
  hash: "$2b$04$Mlmz0fQ2nofFdecYgD3i3uWEh4Vr2ujDH7hNkKgXQwwV1.p7Bj/EW"
} as const

/** A port that is free now. */
const freePort = (): Promise<number> =>
  new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })

/** Runs a program to its end; what it complains of is the failure. */
const run = (command: string, args: ReadonlyArray<string>, cwd: string): void => {
  const { error, status, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" })
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${error?.message ?? stderr}`)
}

/** Makes an authority, and a certificate for this machine that it has signed. */
const makeCertificates = (directory: string): void => {
  const openssl = (...args: ReadonlyArray<string>) => run("openssl", args, directory)
  const key = ["-newkey", "rsa:2048", "-nodes"]
  openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=effect-oci test")
  openssl("req", ...key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1")
  writeFileSync(join(directory, "names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
  const signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"]
  openssl("x509", "-req", "-in", "request.pem", "-out", "certificate.pem", ...signed)
}

/** Whether the registry answers, whatever it says. */
const isUp = (host: string, authority: string): Promise<boolean> =>
  new Promise((resolve) => {
    const done = (isUp: boolean) => () => resolve(isUp)
    const request = authority === ""
      ? getHttp(`http://${host}/v2/`, { agent: false }, (response) => response.resume().once("end", done(true)))
      : getHttps(
        `https://${host}/v2/`,
        { agent: false, ca: authority },
        (response) => response.resume().once("end", done(true))
      )
    request.once("error", done(false))
  })

const stop = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
}

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-oci-registry-"))),
  (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
)

const start = (directory: string, config: object): ChildProcess => {
  const path = join(directory, "config.yml")
  // Any JSON is YAML
  writeFileSync(path, JSON.stringify(config))
  return spawn("docker-registry", ["serve", path], { cwd: directory, stdio: ["ignore", "ignore", "ignore"] })
}

/** Starts a registry, which ends with the scope. */
export const make = Effect.fnUntraced(function*(
  { auth, isEncrypted = false }: Options = {}
): Effect.fn.Return<Registry, never, Scope.Scope> {
  const root = yield* directory
  const port = yield* Effect.promise(freePort)
  const host = `127.0.0.1:${port}`
  if (isEncrypted || auth === "token") makeCertificates(root)
  const authentication = auth === "htpasswd"
    ? { htpasswd: { realm: "test", path: "htpasswd" } }
    : auth === "token"
    ? {
      token: {
        realm: `http://127.0.0.1:${yield* TokenServer.make(root, user)}/token`,
        service: "test",
        issuer: "effect-oci test",
        rootcertbundle: "ca.pem"
      }
    }
    : undefined
  if (auth === "htpasswd") {
    writeFileSync(join(root, "htpasswd"), `${user.name}:${user.hash}\n`)
  }
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      start(root, {
        version: "0.1",
        log: { level: "error", accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: "data" }, delete: { enabled: true } },
        http: { addr: host, ...(isEncrypted ? { tls: { certificate: "certificate.pem", key: "key.pem" } } : {}) },
        ...(authentication === undefined ? {} : { auth: authentication })
      })
    ),
    (child) => Effect.promise(() => stop(child))
  )
  const authority = isEncrypted ? readFileSync(join(root, "ca.pem"), "utf8") : ""
  while (!(yield* Effect.promise(() => isUp(host, authority)))) yield* Effect.sleep("20 millis")
  return { host, directory: join(root, "data"), authority }
})
