/**
 * The strictest disk that POSIX allows, as a model: a file's content outlives a power cut only once the file was flushed, and its
 * name only once its directory was. A real ext4 keeps more than that, so a flush that is missing may never show on it.
 *
 * After each operation of an export the power is cut, in three ways: nothing is there but what was flushed, or the newest name
 * beside that, or all names, and in each of the contents only what was flushed.
 */
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as DirTransport from "@effect-oci/adapters/DirTransport"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciArchive from "@effect-oci/adapters/OciArchive"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as RefStore from "@effect-oci/core/RefStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { basename, dirname, join } from "node:path"
import { ensureDirectory, Files, type FileSystem } from "../src/internal/files.ts"
import { exportImage, publishImage } from "./image.ts"
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
  const filesOf = (nodes: Iterable<readonly [string, Node]>): View =>
    new Map([...nodes].flatMap(([path, node]) => node === "directory" ? [] : [[path, node.flushed]]))
  let newest = root
  const views = (): ReadonlyArray<View> => [
    within(root),
    new Map([...within(root), ...filesOf([...nodes].filter(([path]) => path === newest))]),
    filesOf(nodes)
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
    newest = to
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
        newest = to
      }),
    // A clone would be a file of its own that needs a flush of its own; with links there is more to forget
    clone: (from, to) => Effect.flatMap(files.info(from), () => files.link(from, join(to, "none"))),
    remove: (path) => done(files.remove(path), () => void nodes.delete(path))
  }
  return { system, views }
}

/** What is wrong with a store after a power cut, when these images were acknowledged. */
type Wrong = (view: View, store: string, acked: ReadonlyArray<string>) => ReadonlyArray<string>

const isWhole = (content: Buffer | undefined, digest: string): boolean =>
  content !== undefined && `sha256:${createHash("sha256").update(content).digest("hex")}` === digest

const wrongLayout: Wrong = (view, layout, acked) => {
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
    if (isWhole(content, digest)) return content
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

/** The files in an archive, as far as it goes. */
const untar = (tar: Buffer): View => {
  const files = new Map<string, Buffer>()
  for (let at = 0; at < tar.length && tar[at] !== 0;) {
    const size = Number.parseInt(tar.toString("latin1", at + 124, at + 136), 8)
    const [name = ""] = tar.toString("latin1", at, at + 100).split("\0")
    files.set(name, tar.subarray(at + 512, at + 512 + size))
    at += 512 + Math.ceil(size / 512) * 512
  }
  return files
}

const wrongArchive: Wrong = (view, file, acked) => {
  const content = view.get(file)
  const files = untar(content ?? nothing)
  return content !== undefined && !files.has("oci-layout")
    ? ["the archive is not whole"]
    : wrongLayout(files, ".", acked)
}

/** A directory of one image, whose version is how many were acknowledged, or one more. */
const wrongDirectory: Wrong = (view, directory, acked) => {
  const content = view.get(join(directory, "manifest.json"))
  if (content === undefined) return acked.length === 0 ? [] : ["the image is lost"]
  if (content.length === 0) return ["manifest.json is empty"]
  const { config, layers } = JSON.parse(content.toString())
  const find = ({ digest }: { digest: string }) => view.get(join(directory, digest.replace("sha256:", "")))
  const broken = [config, ...layers].filter((blob) => !isWhole(find(blob), blob.digest))
  if (broken.length > 0) return ["a blob is missing or damaged"]
  const { version } = JSON.parse(String(find(config))).config.Labels
  return [acked.length, acked.length + 1].includes(Number(version))
    ? []
    : [`the image is the one of version ${version}`]
}

/** A directory of refs: what a ref is, and its layer. */
const wrongRefs: Wrong = (view, store, acked) => {
  const refs = [...view].filter(([path]) => dirname(path) === join(store, "refs"))
  const names = new Set(refs.map(([path]) => basename(path, ".json")))
  const broken = refs.filter(([, content]) => {
    if (content.length === 0) return true
    const { digest } = JSON.parse(content.toString()).layer
    return !isWhole(view.get(join(store, "blobs", digest.replace(":", "/"))), digest)
  })
  return [
    ...broken.map(([path]) => `${basename(path)} or its layer is missing or damaged`),
    ...acked.filter((name) => !names.has(name)).map((name) => `${name} is lost`)
  ]
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

type Step = (store: string) => {
  readonly run: Effect.Effect<unknown, unknown>
  /** What it acknowledges; without that, nothing is expected of the disk until the next step is done. */
  readonly name?: string
}

const exporting =
  (name: string, version: string, durability: OciLayout.Options["durability"] = "full"): Step => (layout) => ({
    run: exportImage(layout, { name, version, durability }),
    ...(durability === "process" ? {} : { name })
  })

const services = Layer.merge(NodeHash.layer, NodeCompression.layer)

const archiving = (name: string, version: string): Step => (file) => ({
  run: Effect.provide(publishImage({ name, version }), OciArchive.layer(file).pipe(Layer.provideMerge(services))),
  name
})

const placing = (version: string): Step => (directory) => ({
  run: Effect.provide(
    publishImage({ name: "", version }),
    DirTransport.layer(directory).pipe(Layer.provideMerge(services))
  ),
  name: version
})

const keeping = (name: string): Step => (store) => ({
  run: Effect.gen(function*() {
    const blob = yield* BlobStore.putBytes(new TextEncoder().encode(`layer of ${name}`))
    const refs = yield* RefStore.RefStore
    yield* refs.add(name, { layer: { mediaType: MediaType.layer, ...blob }, diffId: blob.digest })
  }).pipe(Effect.provide(CacheRefFileSystem.layer(store).pipe(Layer.provideMerge(services)))),
  name
})

interface Scenario {
  readonly wrong: Wrong
  readonly steps: ReadonlyArray<Step>
}

const scenarios: Readonly<Record<string, Scenario>> = {
  "full": { wrong: wrongLayout, steps: [exporting("one", "1"), exporting("two", "2"), exporting("one", "3")] },
  "batch": { wrong: wrongLayout, steps: [exporting("one", "1", "batch"), exporting("two", "2", "batch")] },
  "blobs that another process has not flushed": {
    wrong: wrongLayout,
    steps: [exporting("one", "1", "process"), exporting("one", "1"), exporting("two", "2")]
  },
  "a copy of what is not flushed": {
    wrong: wrongLayout,
    steps: [
      (layout) => ({ run: exportImage(`${layout}-source`, { name: "one", version: "1", durability: "process" }) }),
      (layout) => ({ run: copyImage(`${layout}-source`, layout), name: "one" })
    ]
  },
  "directories that another program has not flushed": {
    wrong: wrongLayout,
    steps: [
      (layout) => ({
        run: Effect.flatMap(Files, (files) =>
          Effect.andThen(
            ensureDirectory(files, layout),
            Effect.forEach(["blobs", "blobs/sha256"], (name) => files.makeDirectory(join(layout, name)))
          ))
      }),
      exporting("one", "1"),
      exporting("two", "2")
    ]
  },
  "an archive": { wrong: wrongArchive, steps: [archiving("one", "1"), archiving("two", "2"), archiving("one", "3")] },
  "refs": {
    wrong: wrongRefs,
    steps: [
      exporting("image", "1", "process"),
      (store) => ({ run: Effect.flatMap(Files, (files) => files.makeDirectory(join(store, "refs"))) }),
      keeping("one"),
      keeping("two")
    ]
  },
  "a directory of one image": { wrong: wrongDirectory, steps: [placing("1"), placing("2")] }
}

const ways = ["what was flushed", "the newest name beside it", "all names"] as const

export const run = async (): Promise<Outcome> => {
  const problems = new Set<string>()
  let cuts = 0
  for (const [scenario, { steps, wrong }] of Object.entries(scenarios)) {
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
          problems.add(`${scenario}, ${ways[way]}: ${problem}`)
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
