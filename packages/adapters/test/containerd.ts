/** A containerd of our own: everything that it writes is in one directory, and it is stopped with its scope. */
import * as Effect from "effect/Effect"
import { execFile, spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)

// These want of their host what a container does not have
const unwanted = [
  "io.containerd.grpc.v1.cri",
  ...["btrfs", "zfs", "devmapper", "aufs"].map((name) => `io.containerd.snapshotter.v1.${name}`)
]

export interface Containerd {
  readonly ctr: (...args: ReadonlyArray<string>) => Promise<string>
  /** Imports all images of a layout, unpacks them, which checks diff IDs, and gives their names. */
  readonly load: (layout: string, name: string) => Promise<void>
  /** Runs `use` while the files of an image are to be seen in a directory. */
  readonly look: <A>(image: string, use: (root: string) => A) => Promise<A>
}

const start = (root: string) => {
  mkdirSync(root, { recursive: true })
  writeFileSync(join(root, "containerd.toml"), `version = 2\ndisabled_plugins = ${JSON.stringify(unwanted)}\n`)
  const flags = [
    "-c",
    join(root, "containerd.toml"),
    "--root",
    join(root, "r"),
    "--state",
    join(root, "s"),
    "-a",
    join(root, "c.sock")
  ]
  return spawn("sh", ["-c", `exec containerd "$@" >"$0" 2>&1`, join(root, "log"), ...flags])
}

/** Starts a containerd in a directory. */
export const containerd = Effect.fnUntraced(function*(root: string) {
  yield* Effect.acquireRelease(
    Effect.sync(() => start(root)),
    (daemon) =>
      Effect.promise(() =>
        new Promise<void>((resolve) => {
          daemon.once("exit", () => resolve())
          if (!daemon.kill()) resolve()
        })
      )
  )
  const ctr = async (...args: ReadonlyArray<string>) => (await run("ctr", ["-a", join(root, "c.sock"), ...args])).stdout
  yield* Effect.promise(async () => {
    for (let attempt = 0; attempt < 200; attempt++) {
      if (existsSync(join(root, "c.sock")) && await ctr("version").then(() => true, () => false)) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error(`containerd did not start:\n${readFileSync(join(root, "log"), "utf8").slice(-2000)}`)
  })
  let count = 0
  const service: Containerd = {
    ctr,
    load: async (layout, name) => {
      const archive = join(root, `${++count}.tar`)
      await run("tar", ["--sort=name", "--exclude=.effect-oci", "-cf", archive, "-C", layout, "."])
      await ctr("images", "import", "--base-name", name, archive)
    },
    look: async (image, use) => {
      const target = join(root, `mount-${++count}`)
      mkdirSync(target)
      await ctr("images", "mount", image, target)
      try {
        return use(target)
      } finally {
        await ctr("images", "unmount", "--rm", target)
      }
    }
  }
  return service
})
