/** Looks at a layout from outside: our validator for the images, and plain code for what should not be there. */
import * as LayoutFiles from "@effect-oci/adapters/LayoutFiles"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Validation from "@effect-oci/core/Validation"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { fresh } from "./support.ts"

export interface Inspected {
  readonly problems: ReadonlyArray<string>
  /** The versions of the images, by name. */
  readonly images: ReadonlyMap<string, string>
}

const json = (path: string) => JSON.parse(readFileSync(path, "utf8"))

export const blobPath = (layout: string, digest: string): string => join(layout, "blobs", digest.replace(":", "/"))

const versionOf = (layout: string, digest: string): string => {
  const manifest = json(blobPath(layout, digest))
  return json(blobPath(layout, manifest.config.digest)).config?.Labels?.version ?? "none"
}

/** Blobs whose content is not what their names say. */
const wrongBlobs = (layout: string): ReadonlyArray<string> => {
  const directory = join(layout, "blobs/sha256")
  if (!existsSync(directory)) return []
  return readdirSync(directory)
    .filter((name) => createHash("sha256").update(readFileSync(join(directory, name))).digest("hex") !== name)
    .map((name) => `the blob ${name} has another content`)
}

const issues = (layout: string) =>
  LayoutFiles.read(layout).pipe(
    Effect.flatMap((files) => Validation.checkLayout(files, Option.none())),
    Effect.provide([OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer)), NodeCompression.layer]),
    Effect.map((issues) => issues.filter(({ severity }) => severity === "error"))
  )

/** Inspects a layout, which may not be there yet: then it has no images. */
export const inspect = async (layout: string): Promise<Inspected> => {
  if (!existsSync(join(layout, "oci-layout"))) return { problems: [], images: new Map() }
  const found = await Effect.runPromise(issues(layout))
  const problems = [
    ...found.map(({ message, path, pointer }) => `${path}${pointer}: ${message}`),
    ...wrongBlobs(layout)
  ]
  if (problems.length > 0) return { problems, images: new Map() }
  const images = new Map<string, string>()
  for (const { annotations, digest } of json(join(layout, "index.json")).manifests) {
    images.set(annotations["org.opencontainers.image.ref.name"], versionOf(layout, digest))
  }
  return { problems, images }
}

/** Asks programs that are not ours about an image. */
export const judge = (layout: string, name: string): ReadonlyArray<string> => {
  const copy = fresh("judged")
  const asked = [
    ["skopeo", "copy", "--insecure-policy", "-q", `oci:${layout}:${name}`, `dir:${copy}`],
    ["umoci", "stat", "--image", `${layout}:${name}`]
  ]
  const problems = asked.flatMap(([command = "", ...args]) => {
    const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" })
    return status === 0 ? [] : [`${command} on ${name}: ${error?.message ?? stderr.trim()}`]
  })
  rmSync(copy, { recursive: true, force: true })
  return problems
}
