/** Layers that we make of entries, and make one of, unpacked by programs that are not ours. */
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Compatibility from "@effect-oci/core/Compatibility"
import type * as Compression from "@effect-oci/core/Compression"
import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as CoreLayer from "@effect-oci/core/Layer"
import * as Whiteout from "@effect-oci/core/Whiteout"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import process from "node:process"
import { containerd } from "./containerd.ts"
import { judge } from "./judges.ts"
import { temporaryDirectory } from "./temporary.ts"
import * as Trees from "./trees.ts"

const isThorough = process.env["CI"] === "true"
const root = temporaryDirectory()
const layoutOf = (compression: Compression.Format) => join(root, compression)
const count = 8

/** Numbers that look random, and are always the same (mulberry32). */
const numbers = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Kind = "directory" | "file" | "symlink"

const isInside = (directory: string) => (path: string) => path.startsWith(`${directory}/`)

/** Layers that change each other's files in every way, one upon the other; hard links may lead to layers below. */
const makeStack = (
  seed: number,
  depth: number,
  linksDown: boolean
): ReadonlyArray<ReadonlyArray<Tar.Entry>> => {
  const below = numbers(seed)
  const pick = <A>(from: ReadonlyArray<A>): A | undefined => from[below(Math.max(1, from.length))]
  const names = ["a", "b", "ä", "c d", "e".repeat(120), "🦆"]
  /** What is there, the layers below included. */
  const there = new Map<string, Kind>()

  const options = () => ({
    mode: pick([0o755, 0o644, 0o600, 0o4711, 0o1777]) ?? 0,
    uid: pick([0, 1000, 3_000_000]) ?? 0,
    gid: pick([0, 33]) ?? 0,
    mtime: new Date(1000 * (1 + below(1_700_000_000)))
  })

  const remove = (path: string) => {
    for (const other of [...there.keys()].filter(isInside(path))) there.delete(other)
    there.delete(path)
  }

  return Array.from({ length: depth }, () => {
    const entries: Array<Tar.Entry> = []
    /** A layer says one thing about a path, and nothing about what is in a directory that it takes away. */
    const said = new Set<string>()
    /** The files that the layer has itself. */
    const own: Array<string> = []
    const isFree = (path: string) =>
      ![...said].some((other) => other === path || isInside(other)(path) || isInside(path)(other))
    const untouched = () => [...there.keys()].filter(isFree)
    const of = (kind: Kind, paths: ReadonlyArray<string>) => paths.filter((path) => there.get(path) === kind)

    const put = (path: string, kind: Kind) => {
      if (kind !== "directory" || there.get(path) !== "directory") remove(path)
      there.set(path, kind)
      const targets = of("file", linksDown ? untouched() : own).filter((other) => other !== path)
      const target = kind === "file" && below(4) === 0 ? pick(targets) : undefined
      if (target !== undefined) {
        entries.push(Tar.hardlink(path, target))
        said.add(target)
      } else if (kind === "directory") entries.push(Tar.directory(path, options()))
      else if (kind === "file") entries.push(Tar.file(path, "x".repeat(below(5000)), options()))
      else entries.push(Tar.symlink(path, pick(["a", "../b", "/nowhere", "c d/🦆"]) ?? "", options()))
    }

    for (let change = 0; change < 14; change++) {
      const directory = pick(["", ...of("directory", untouched())]) ?? ""
      const name = `${directory === "" ? "" : `${directory}/`}${pick(names)}`
      const existing = pick(untouched())
      const way = below(8)
      if (way < 5 && isFree(name) && name.split("/").length < 5) {
        put(name, pick<Kind>(["directory", "file", "file", "symlink"]) ?? "file")
        said.add(name)
        if (there.get(name) === "file") own.push(name)
      } else if (way < 7 && existing !== undefined) {
        remove(existing)
        entries.push(Tar.file(Whiteout.of(existing), ""))
        said.add(existing)
      } else if (way === 7 && directory !== "") {
        for (const other of [...there.keys()].filter(isInside(directory))) there.delete(other)
        entries.push(Tar.directory(directory, options()), Tar.file(Whiteout.opaque(directory), ""))
        if (below(2) === 0) {
          entries.push(Tar.file(`${directory}/new`, "new", options()))
          there.set(`${directory}/new`, "file")
        }
        said.add(directory)
      }
    }
    return entries
  })
}

const tag = Effect.fnUntraced(function*(name: string, layers: ReadonlyArray<CoreLayer.Stored>) {
  const builder = layers.reduce(
    (builder, layer, index) => ImageBuilder.add(Effect.succeed(layer), { description: `layer ${index}` })(builder),
    ImageBuilder.scratch({ os: "linux", architecture: "amd64" })
  )
  const { descriptor } = yield* ImageBuilder.build(builder, { rules: Compatibility.standard })
  yield* ImageStore.ImageStore.use((images) => images.tag(Option.some(name), descriptor))
})

/** Makes an image of each stack, and one of the single layer that it becomes; gives the names of those that are to be equal. */
const makeImages = Effect.fnUntraced(function*(compression: Compression.Format, linksDown: boolean) {
  const images: Array<readonly [expected: string, found: string]> = []
  for (let seed = 0; seed < count; seed++) {
    const layers = yield* Effect.forEach(
      makeStack(seed, 2 + seed % 4, linksDown),
      (entries) => CoreLayer.fromEntries(Stream.fromIterable(entries), { compression })
    )
    const squash = (whiteouts: "keep" | "drop", from: number) =>
      CoreLayer.squash(layers.slice(from).map(({ descriptor }) => descriptor), { whiteouts, compression })
    const named = (name: string) => `${compression}-${seed}-${name}`
    yield* tag(named("layers"), layers)
    yield* tag(named("squashed"), [yield* squash("drop", 0)])
    images.push([named("layers"), named("squashed")])
    // Its whiteouts still work upon the lowest; a link to what is there is refused, as one layer cannot say it
    const upper = yield* Effect.result(squash("keep", 1))
    if (Result.isSuccess(upper)) {
      yield* tag(named("half"), [...layers.slice(0, 1), upper.success])
      images.push([named("layers"), named("half")])
    } else assert.match(upper.failure.message, /expected a hard link to a file in the layers/)
  }
  assert.isAbove(images.length, count)
  return images
}, (effect, compression) =>
  Effect.provide(
    effect,
    Layer.merge(OciLayout.layer(layoutOf(compression)), NodeCompression.layer).pipe(Layer.provideMerge(NodeHash.layer))
  ))

/** What is in a directory has changed its time, where no layer has a word to say about it. */
const look = (directory: string) => {
  const [directories, others] = [true, false].map((isDirectory) =>
    Trees.look(directory).filter(({ mode }) => mode.startsWith("4") === isDirectory)
  )
  return [...Trees.as(directories ?? [], undefined, () => 0), ...others ?? []]
}

describe.runIf(isThorough && process.getuid?.() === 0)("layers, and the one that they become", () => {
  it.live.runIf(judge("umoci"))(
    "are the same to umoci",
    () =>
      Effect.gen(function*() {
        const seen = new Map<string, ReadonlyArray<Trees.Look>>()
        const unpacked = (name: string) => {
          const bundle = join(root, name)
          execFileSync("umoci", ["unpack", "--image", `${layoutOf("gzip")}:${name}`, bundle], { stdio: "pipe" })
          return look(join(bundle, "rootfs"))
        }
        for (const [expected, found] of yield* makeImages("gzip", true)) {
          const looks = seen.get(expected) ?? unpacked(expected)
          seen.set(expected, looks)
          assert.deepStrictEqual(unpacked(found), looks, found)
        }
      }),
    90_000
  )

  it.live.runIf(judge("containerd") && judge("ctr"))(
    "are the same to containerd",
    () =>
      Effect.gen(function*() {
        // It does not find what a hard link leads to in a layer below
        const images = yield* makeImages("zstd", false)
        const service = yield* containerd(join(root, "containerd"))
        yield* Effect.promise(async () => {
          await service.load(layoutOf("zstd"), "ours")
          for (const [expected, found] of images) {
            const looks = await service.look(`ours:${expected}`, look)
            assert.deepStrictEqual(await service.look(`ours:${found}`, look), looks, found)
          }
        })
      }).pipe(Effect.scoped),
    90_000
  )
})
