/**
 * A Docker engine of our own: started by hand from the directory that `.ci/engine` prepares, with everything that it writes
 * in a temporary directory, and stopped with its scope.
 *
 * Its time zone is one that nobody mistakes for UTC: the engine writes times with its own offset.
 */
import type * as Digest from "@effect-oci/schema/Digest"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { execFile, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { text } from "node:stream/consumers"
import { promisify } from "node:util"
import * as Bolt from "./bolt.ts"

export class EngineUnavailable extends Schema.TaggedError<EngineUnavailable>("EngineUnavailable")("EngineUnavailable", {
  directory: Schema.String,
  reason: Schema.String,
  log: Schema.String
}) {
  override get message(): string {
    return `no Docker engine 20.10 starts from ${this.directory}: ${this.reason}\n${this.log}`
  }
}

/** Error raised where a program fails that runs to its end. */
export class CommandFailed extends Schema.TaggedError<CommandFailed>("CommandFailed")("CommandFailed", {
  command: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.command} failed`
  }
}

/** A record of the engine's build cache, as its API tells it: what an exporter knows of a layer's ref. */
const CacheRecord = Schema.Struct({
  ID: Schema.String,
  Parent: Schema.String,
  Description: Schema.String,
  CreatedAt: Timestamp.FromString
})
export type CacheRecord = typeof CacheRecord.Type

const DiskUsage = Schema.fromJsonString(Schema.Struct({ BuildCache: Schema.Array(CacheRecord) }))

export interface Build {
  readonly dockerfile: string
  readonly files?: Readonly<Record<string, string | Uint8Array>> | undefined
  readonly args?: ReadonlyArray<string> | undefined
}

export interface Running {
  readonly version: string
  /** The directory that holds all of it, its log included. */
  readonly root: string
  /** A static busybox; builds have it in their context too. */
  readonly busybox: string
  /** Loads an archive as `docker save` writes it. */
  readonly load: (archive: Uint8Array) => Effect.Effect<void, CommandFailed>
  /** Builds an image without a network, and gives its ID. */
  readonly build: (build: Build) => Effect.Effect<string, CommandFailed>
  /** Runs the client. */
  readonly docker: (...args: ReadonlyArray<string>) => Effect.Effect<string, CommandFailed>
  /** Reads the config of an image, as the engine stores it: the bytes that the ID is the digest of. */
  readonly config: (id: string) => Effect.Effect<Uint8Array>
  /** The cache records of an image's layers, base first. */
  readonly records: (diffIds: ReadonlyArray<Digest.Digest>) => Effect.Effect<ReadonlyArray<CacheRecord>>
}

/** An engine, or why there is none. */
export class Engine extends Context.Service<Engine, Result.Result<Running, EngineUnavailable>>()("Engine") {}

const run = (file: string, args: ReadonlyArray<string>, env: NodeJS.ProcessEnv) =>
  Effect.tryPromise({
    try: (signal) => promisify(execFile)(file, args, { env, signal }),
    catch: (cause) => new CommandFailed({ command: [file, ...args].join(" "), cause })
  }).pipe(Effect.map(({ stdout }) => stdout.trim()))

/** Asks the engine's API, which listens on a socket. */
const get = (socketPath: string, path: string) =>
  Effect.tryPromise((signal) =>
    new Promise<string>((resolve, reject) => {
      request({ socketPath, path, signal }, (response) => {
        text(response).then(
          (body) => response.statusCode === 200 ? resolve(body) : reject(new Error(`${path}: ${body}`)),
          reject
        )
      }).on("error", reject).end()
    })
  )

/** A time zone file with the one offset 5:45, in the first version of RFC 8536. */
const zone = (() => {
  const bytes = Buffer.alloc(54)
  bytes.write("TZif", 0, "latin1")
  bytes.writeUInt32BE(1, 36) // one type of time
  bytes.writeUInt32BE(4, 40) // four characters of names
  bytes.writeInt32BE((5 * 60 + 45) * 60, 44)
  bytes.write("ENG", 50, "latin1")
  return bytes
})()

/** The chain ID of each layer (image-spec 1.1, config.md, "Layer ChainID"). */
const chainIds = (diffIds: ReadonlyArray<Digest.Digest>): ReadonlyArray<string> => {
  const chain: Array<string> = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(
      below === undefined ? diffId : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`
    )
  }
  return chain
}

/** What is mounted, as Linux tells it. */
export const mounts = (): string =>
  existsSync("/proc/self/mountinfo") ? readFileSync("/proc/self/mountinfo", "utf8") : ""

/** A directory that is removed with its scope; not if anything is mounted below it, which is a defect. */
const temporary = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(join(tmpdir(), "effect-oci-engine-"))),
  (root) =>
    Effect.sync(() => {
      if (mounts().includes(root)) throw new Error(`the engine left something mounted below ${root}`)
      rmSync(root, { recursive: true })
    })
)

/** Stops an engine and removes its files when its standard input ends: when this process does, however that happens. */
const watch = `read -r _
kill "$1"
while kill -0 "$1"; do sleep 0.1; done
rm -r "$2"`

/** Starts the engine that is in a directory; the scope stops it, and removes all that it wrote. */
export const start = Effect.fnUntraced(function*(
  directory: string
): Effect.fn.Return<Running, EngineUnavailable, Scope.Scope> {
  const bin = join(directory, "usr/bin")
  const sbin = join(directory, "usr/sbin")
  const PATH = [sbin, bin, process.env["PATH"], "/usr/sbin", "/usr/bin", "/sbin", "/bin"].join(":")
  const root = yield* temporary
  const at = (name: string) => join(root, name)
  const unavailable = (reason: string) => {
    const log = existsSync(at("log")) ? readFileSync(at("log"), "utf8").split("\n").slice(-20).join("\n") : ""
    return new EngineUnavailable({ directory, reason, log })
  }

  const version = yield* run(join(sbin, "dockerd"), ["--version"], { PATH }).pipe(
    Effect.mapError((error) => unavailable(String(error.cause)))
  )
  if (!version.includes(" 20.10.")) return yield* unavailable(`it is ${version}`)

  writeFileSync(at("daemon.json"), "{}")
  writeFileSync(at("zone"), zone)
  const socket = at("socket")
  const engine = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const log = openSync(at("log"), "w")
      const flags = ["--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs"]
      const places = {
        "--data-root": "data",
        "--exec-root": "exec",
        "--pidfile": "pid",
        "--config-file": "daemon.json"
      }
      const child = spawn(
        join(sbin, "dockerd"),
        [...flags, ...Object.entries(places).map(([flag, name]) => `${flag}=${at(name)}`), `--host=unix://${socket}`],
        { stdio: ["ignore", log, log], env: { PATH, HOME: root, TZ: at("zone") } }
      )
      closeSync(log)
      const ended = new Promise<string>((resolve) => {
        child.once("error", (error) => resolve(error.message))
        child.once("exit", (code, signal) => resolve(`it exited with ${code ?? signal}`))
      })
      const watcher = spawn("/bin/sh", ["-c", watch, "sh", `${child.pid}`, root], {
        stdio: ["pipe", "ignore", "ignore"],
        detached: true
      })
      return { child, watcher, ended: Effect.promise(() => ended) }
    }),
    ({ child, ended, watcher }) =>
      Effect.suspend(() => {
        watcher.kill()
        child.kill("SIGTERM")
        return ended.pipe(
          Effect.timeout("20 seconds"),
          Effect.catch(() => {
            child.kill("SIGKILL")
            return ended
          })
        )
      })
  )
  yield* get(socket, "/_ping").pipe(
    Effect.retry(Schedule.spaced("50 millis")),
    Effect.timeout("30 seconds"),
    Effect.mapError(() => unavailable("it did not answer within 30 seconds")),
    Effect.raceFirst(Effect.flatMap(engine.ended, (reason) => Effect.fail(unavailable(reason))))
  )

  const busybox = join(directory, "bin/busybox")
  const docker = (...args: ReadonlyArray<string>) =>
    run(join(bin, "docker"), args, {
      PATH,
      HOME: root,
      DOCKER_CONFIG: at("client"),
      DOCKER_HOST: `unix://${socket}`,
      DOCKER_BUILDKIT: "1"
    })

  return {
    version,
    root,
    busybox,
    docker,
    load: (archive) =>
      Effect.suspend(() => {
        writeFileSync(at("archive.tar"), archive)
        return docker("load", "--quiet", "--input", at("archive.tar"))
      }),
    build: ({ args = [], dockerfile, files = {} }) =>
      Effect.suspend(() => {
        const context = mkdtempSync(at("context-"))
        copyFileSync(busybox, join(context, "busybox"))
        for (const [name, content] of Object.entries({ ...files, Dockerfile: dockerfile })) {
          writeFileSync(join(context, name), content, { mode: 0o755 })
        }
        return docker("build", "--quiet", "--network=none", ...args, context)
      }),
    config: (id) =>
      Effect.sync(() => readFileSync(at(`data/image/vfs/imagedb/content/sha256/${id.slice("sha256:".length)}`))),
    records: (diffIds) => Effect.orDie(recordsOf(socket, at("data/buildkit/snapshots.db"), chainIds(diffIds)))
  }
})

/**
 * Finds the cache records of a chain. The engine's API tells a record's parent, description and time, its store of
 * snapshots the chain ID of each: the top layer's record and its ancestors are the refs that the engine exported.
 */
const recordsOf = Effect.fnUntraced(function*(socket: string, snapshots: string, chain: ReadonlyArray<string>) {
  const { BuildCache } = yield* Effect.flatMap(
    get(socket, "/v1.41/system/df"),
    Schema.decodeUnknownEffect(DiskUsage)
  )
  const chainOf = new Map<string, string>()
  for (const [id, snapshot] of Bolt.read(readFileSync(snapshots))) {
    const chainId = snapshot instanceof Map ? snapshot.get("chainid") : undefined
    if (chainId instanceof Uint8Array) chainOf.set(id, new TextDecoder().decode(chainId))
  }
  const found = BuildCache.filter(({ ID }) => chain.length > 0 && chainOf.get(ID) === chain.at(-1))
  if (found.length !== Math.min(1, chain.length)) {
    return yield* Effect.die(new Error(`${found.length} cache records have the chain ID ${chain.at(-1)}`))
  }
  const records: Array<CacheRecord> = []
  for (let record = found[0]; record !== undefined;) {
    records.unshift(record)
    const { Parent } = record
    record = BuildCache.find(({ ID }) => ID === Parent)
  }
  if (records.some(({ ID }, index) => chainOf.get(ID) !== chain[index]) || records.length !== chain.length) {
    return yield* Effect.die(new Error(`the cache records ${JSON.stringify(records)} are not those of ${chain.join()}`))
  }
  return records
})

/** An engine, if one starts. */
export const layer = (directory: string): Layer.Layer<Engine> => Layer.effect(Engine, Effect.result(start(directory)))
