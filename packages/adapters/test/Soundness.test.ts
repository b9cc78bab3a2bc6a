/** Images that other programs write are sound: the validation raises no false alarm. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { alarms } from "./alarms.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"

const run = (command: string, ...args: ReadonlyArray<string>) =>
  execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()

const tree = (root: string) => {
  mkdirSync(join(root, "tree/etc"), { recursive: true })
  writeFileSync(join(root, "tree/etc/motd"), "hello\n")
  return join(root, "tree")
}

/** An image with a history of several steps, a removed file and metadata. */
const withUmoci = (root: string): string => {
  const layout = join(root, "umoci")
  run("umoci", "init", "--layout", layout)
  run("umoci", "new", "--image", `${layout}:empty`)
  run("umoci", "insert", "--image", `${layout}:empty`, "--tag", "one", tree(root), "/srv")
  run("umoci", "insert", "--image", `${layout}:one`, "--tag", "two", "--whiteout", "/srv/etc/motd")
  run("umoci", "config", "--image", `${layout}:two`, "--tag", "three", "--config.env", "A=b", "--config.cmd", "/bin/sh")
  return layout
}

describe("images of other programs raise no alarm", () => {
  it.effect.runIf(judge("umoci"))("umoci's", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* alarms(withUmoci(temporaryDirectory())), [])
    }))

  it.effect.runIf(judge("umoci") && judge("skopeo"))(
    "skopeo's copies, converted and not",
    () =>
      Effect.gen(function*() {
        const root = temporaryDirectory()
        const source = withUmoci(root)
        const copy = (from: string, to: string, ...options: ReadonlyArray<string>) =>
          run("skopeo", "copy", "-q", "--insecure-policy", ...options, from, to)
        copy(`oci:${source}:three`, `oci:${join(root, "same")}:latest`)
        copy(`oci:${source}:three`, `docker-archive:${join(root, "archive.tar")}:example.org/a/b:1`)
        copy(`docker-archive:${join(root, "archive.tar")}`, `oci:${join(root, "back")}:latest`)
        copy(`oci:${source}:three`, `oci-archive:${join(root, "oci.tar")}:latest`)
        copy(`oci-archive:${join(root, "oci.tar")}:latest`, `oci:${join(root, "out")}:latest`)
        copy(`oci:${source}:empty`, `oci:${join(root, "empty")}:latest`)
        for (const name of ["same", "back", "out", "empty"]) {
          assert.deepStrictEqual(yield* alarms(join(root, name)), [], name)
        }
      }),
    30_000
  )

  it.effect.runIf(judge("buildah"))("buildah's", () =>
    Effect.gen(function*() {
      const root = temporaryDirectory()
      const buildah = (...args: ReadonlyArray<string>) =>
        run("buildah", "--root", join(root, "r"), "--runroot", join(root, "s"), "--storage-driver", "vfs", ...args)
      const container = buildah("from", "scratch")
      buildah("add", container, tree(root), "/srv")
      buildah("config", "--env", "A=b", "--label", "c=d", "--entrypoint", `["/bin/sh"]`, "--port", "80", container)
      const layout = join(root, "layout")
      buildah("commit", "-q", container, `oci:${layout}:one`)
      buildah("commit", "-q", "--timestamp", "0", "--squash", container, `oci:${layout}:two`)
      buildah("rm", container)
      assert.deepStrictEqual(yield* alarms(layout), [])
    }), 30_000)
})
