/**
 * The strictest disk that POSIX allows, as a model: a file's content outlives a power cut only once the file was flushed, and its
 * name only once its directory was. A real ext4 keeps more than that, so a flush that is missing may never show on it.
 *
 * After each operation of an export the power is cut, in two ways: nothing is there but what was flushed, or all names are there
 * and of the contents only what was flushed.
 */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { dirname, join } from "node:path"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { exportImage } from "./image.ts"
import { fresh, type Outcome } from "./support.ts"

interface Inode {
  content: Buffer
  flushed: Buffer
}

type Node = Inode | "directory"

/** What a disk holds after a power cut: the contents of files, by path. */
type View = ReadonlyMap<string, Buffer>

const nothing = Buffer.alloc(0)

/** Keeps the books of a disk, beside the real one. */
const makeDisk = (root: string, files: FileSystem, cut: (views: ReadonlyArray<View>) => void) => {
  const nodes = new Map<string, Node>([[root, "directory"]])
  /** The names of each directory that were flushed. */
  const flushed = new Map<string, ReadonlyMap<string, Node>>()

  const within = (path: string): View => {
    const view = new Map<string, Buffer>()
    for (const [name, node] of flushed.get(path) ?? []) {
      if (node !== "directory") view.set(name, node.flushed)
      else for (const [path, content] of within(name)) view.set(path, content)
    }
    return view
  }
  const views = (): ReadonlyArray<View> => [
    within(root),
    new Map([...nodes].flatMap(([path, node]) => node === "directory" ? [] : [[path, node.flushed]]))
  ]
  const done = <A, E, R>(operation: Effect.Effect<A, E, R>, book: (value: A) => void): Effect.Effect<A, E, R> =>
    Effect.tap(operation, (value) =>
      Effect.sync(() => {
        book(value)
        cut(views())
      }))
  const move = (from: string, to: string) => {
    const node = nodes.get(from)
    nodes.delete(from)
    if (node !== undefined) nodes.set(to, node)
  }

  const system: FileSystem = {
    ...files,
    open: (path, flags) =>
      Effect.map(files.open(path, flags), (file) => {
        if (flags & constants.O_CREAT) nodes.set(path, { content: nothing, flushed: nothing })
        const node = nodes.get(path)
        return {
          ...file,
          write: (bytes) =>
            done(file.write(bytes), () => {
              if (node !== undefined && node !== "directory") node.content = Buffer.concat([node.content, bytes])
            }),
          sync: done(file.sync, () => {
            if (node !== undefined && node !== "directory") node.flushed = node.content
            else flushed.set(path, new Map([...nodes].filter(([name]) => dirname(name) === path && name !== path)))
          })
        }
      }),
    makeDirectory: (path) => done(files.makeDirectory(path), () => void nodes.set(path, "directory")),
    rename: (from, to) => done(files.rename(from, to), () => move(from, to)),
    link: (from, to) =>
      done(files.link(from, to), () => {
        const node = nodes.get(from)
        if (node !== undefined) nodes.set(to, node)
      }),
    // A clone would be a file of its own that needs a flush of its own; with links there is more to forget
    clone: (from, to) => Effect.flatMap(files.info(from), () => files.link(from, join(to, "none"))),
    remove: (path) => done(files.remove(path), () => void nodes.delete(path))
  }
  return { system, views }
}

/** What is wrong with a layout after a power cut, when these images were acknowledged. */
const wrong = (view: View, layout: string, acked: ReadonlyArray<string>): ReadonlyArray<string> => {
  const lost = acked.map((name) => `${name} is lost`)
  const marker = view.get(join(layout, "oci-layout"))
  if (marker === undefined) return lost
  if (marker.toString() !== `{"imageLayoutVersion":"1.0.0"}`) return [`oci-layout is ${JSON.stringify(String(marker))}`]
  const index = view.get(join(layout, "index.json"))
  if (index === undefined || index.length === 0) return ["index.json is empty"]
  const problems: Array<string> = []
  const names: Array<string> = []
  const read = (what: string, digest: string): Buffer | undefined => {
    const content = view.get(join(layout, "blobs", digest.replace(":", "/")))
    if (content !== undefined && `sha256:${createHash("sha256").update(content).digest("hex")}` === digest) {
      return content
    }
    problems.push(`the ${what} of ${names.at(-1)} is ${content === undefined ? "missing" : "damaged"}`)
    return undefined
  }
  for (const { annotations, digest } of JSON.parse(index.toString()).manifests) {
    names.push(annotations["org.opencontainers.image.ref.name"])
    const manifest = read("manifest", digest)
    if (manifest === undefined) continue
    const { config, layers } = JSON.parse(manifest.toString())
    read("config", config.digest)
    for (const layer of layers) read("layer", layer.digest)
  }
  return [...problems, ...lost.filter((_, index) => !names.includes(acked[index] ?? ""))]
}

const at = (layout: string, durability: OciLayout.Options["durability"] = "full") =>
  Effect.provide(Copy.place, OciLayout.layer(layout, { durability }).pipe(Layer.provideMerge(NodeHash.layer)))

const copyImage = (from: string, to: string) =>
  Effect.gen(function*() {
    const [source, target] = [yield* at(from), yield* at(to)]
    // Each part on its own, because a copy of an image makes durable once more what it finds
    for (const blob of yield* StoreContent.blobs(from)) yield* BlobStore.copy(blob, source.blobs, target.blobs)
    yield* target.images.tag(Option.some("one"), yield* source.images.resolve(Option.some("one")))
  }).pipe(Effect.provide(NodeHash.layer))

type Step = (layout: string) => {
  readonly run: Effect.Effect<unknown, unknown>
  /** What it acknowledges; without that, nothing is expected of the disk until the next step is done. */
  readonly name?: string
}

const exporting =
  (name: string, version: string, durability: OciLayout.Options["durability"] = "full"): Step => (layout) => ({
    run: exportImage(layout, { name, version, durability }),
    ...(durability === "process" ? {} : { name })
  })

const scenarios: Readonly<Record<string, ReadonlyArray<Step>>> = {
  "full": [exporting("one", "1"), exporting("two", "2"), exporting("one", "3")],
  "batch": [exporting("one", "1", "batch"), exporting("two", "2", "batch")],
  "blobs that another process has not flushed": [
    exporting("one", "1", "process"),
    exporting("one", "1"),
    exporting("two", "2")
  ],
  "a copy of what is not flushed": [
    (layout) => ({ run: exportImage(`${layout}-source`, { name: "one", version: "1", durability: "process" }) }),
    (layout) => ({ run: copyImage(`${layout}-source`, layout), name: "one" })
  ]
}

export const run = async (): Promise<Outcome> => {
  const problems = new Set<string>()
  let cuts = 0
  for (const [scenario, steps] of Object.entries(scenarios)) {
    // Its own place in the tree: what is known of what was flushed is known by path
    const root = fresh("disk")
    const layout = join(root, "layout")
    const acked: Array<string> = []
    let isWatched = true
    const judge = (views: ReadonlyArray<View>) => {
      if (!isWatched) return
      cuts += views.length
      views.forEach((view, way) => {
        for (const problem of wrong(view, layout, acked)) {
          problems.add(`${scenario}, ${way === 0 ? "what was flushed" : "all names"}: ${problem}`)
        }
      })
    }
    await Effect.runPromise(Effect.flatMap(Files, (files) => {
      const disk = makeDisk(dirname(root), files, judge)
      return Effect.forEach(steps, (step) => {
        const { name, run } = step(layout)
        // What a hasty process has made is whole only once another one has acknowledged something
        isWatched = name !== undefined && (isWatched || acked.length > 0)
        return Effect.tap(run, () =>
          Effect.sync(() => {
            if (name === undefined) return
            acked.push(name)
            isWatched = true
            judge(disk.views())
          }))
      }).pipe(Effect.provideService(Files, disk.system))
    }))
  }
  return { figure: `${cuts} power cuts of a disk that keeps only what was flushed`, problems: [...problems] }
}
