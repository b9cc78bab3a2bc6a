/** Builds that are interrupted at each operation on the file system. */
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as LayerCacheFileSystem from "@effect-oci/adapters/LayerCacheFileSystem"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ImageBuilder from "@effect-oci/core/ImageBuilder"
import * as ImageStore from "@effect-oci/core/ImageStore"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { createHash } from "node:crypto"
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { alarms } from "./alarms.ts"
import { hasty } from "./hasty.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const isThorough = process.env["CI"] === "true"
const root = temporaryDirectory()
const at = (...names: ReadonlyArray<string>) => join(root, ...names)

/** A file system that calls `hit` at one of its operations: when it is about to begin, or is under way. */
const watched = (files: FileSystem, hit: (operation: number) => void) => {
  let count = 0
  const watch = <A, E, R>(operation: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      hit(count++)
      return operation
    })
  const watchAll =
    <Args extends ReadonlyArray<unknown>, A, E, R>(run: (...args: Args) => Effect.Effect<A, E, R>) => (...args: Args) =>
      watch(run(...args))
  const system: FileSystem = {
    ...files,
    open: (path, flags) =>
      watch(Effect.map(files.open(path, flags), (file) => ({
        info: watch(file.info),
        read: watchAll(file.read),
        readAt: watchAll(file.readAt),
        write: watchAll(file.write),
        setMode: watchAll(file.setMode),
        sync: watch(file.sync),
        close: watch(file.close)
      }))),
    readSmall: watchAll(files.readSmall),
    readWhole: watchAll(files.readWhole),
    info: watchAll(files.info),
    infos: watchAll(files.infos),
    realPath: watchAll(files.realPath),
    list: watchAll(files.list),
    readLink: watchAll(files.readLink),
    makeDirectory: watchAll(files.makeDirectory),
    setMode: watchAll(files.setMode),
    rename: watchAll(files.rename),
    link: watchAll(files.link),
    clone: watchAll(files.clone),
    touch: watchAll(files.touch),
    remove: watchAll(files.remove)
  }
  return { system, operations: () => count }
}

const builder = ImageBuilder.scratch({ os: "linux", architecture: "amd64" }).pipe(
  ImageBuilder.add(FileTree.add({ source: at("source"), destination: "/app" }), { description: "ADD source /app" }),
  ImageBuilder.add(FileTree.add({ source: at("source/a"), destination: "/b" }, { compression: "zstd" }), {
    description: "ADD a /b"
  }),
  ImageBuilder.cmd(["/app/a"])
)

/** Builds an image into a layout that has another one. */
const build = Effect.map(
  ImageStore.publish(
    Option.some("new"),
    ImageBuilder.build(builder, {
      rules: Compatibility.standard,
      epoch: { seconds: 1_700_000_000, nanoseconds: 0, offset: "Z" }
    })
  ),
  ({ descriptor }) => descriptor.digest
)

const into = (directory: string) =>
  Effect.provide(
    Layer.mergeAll(
      OciLayout.layer(join(directory, "out")),
      LayerCacheFileSystem.layer(join(directory, "cache")),
      NodeCompression.layer
    ).pipe(Layer.provideMerge(NodeHash.layer))
  )

const withFiles = Effect.provideServiceEffect(Files, Effect.map(Files, hasty))

const makeAll = Effect.gen(function*() {
  mkdirSync(at("source/deep/er"), { recursive: true })
  writeFileSync(at("source/a"), Buffer.alloc(1_100_000, "content, and more of it\n"))
  for (let index = 0; index < 4; index++) writeFileSync(at(`source/deep/${index}`), `${index}\n`.repeat(1000 * index))
  linkSync(at("source/a"), at("source/deep/er/linked"))
  symlinkSync("a", at("source/link"))
  // Else nothing would be kept in the cache
  yield* Effect.sleep("100 millis")
  yield* Effect.gen(function*() {
    const base = ImageBuilder.cmd(["old"])(ImageBuilder.scratch({ os: "linux", architecture: "amd64" }))
    const { descriptor } = yield* ImageBuilder.build(base, { rules: Compatibility.standard })
    yield* ImageStore.ImageStore.use((images) => images.tag(Option.some("old"), descriptor))
  }).pipe(into(at("before")))
})

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex")

/** All has to be as it was before, or the whole image has to be there, and named: tells which. */
const check = (directory: string, how: string): "before" | "done" => {
  const out = join(directory, "out")
  const [before, after] = [at("before/out"), out].map(tree)
  assert.isDefined(before)
  assert.isDefined(after)
  const added = after.filter((path) => !before.includes(path))
  assert.deepStrictEqual(added.filter((path) => !path.startsWith("blobs/sha256/")), [], how)
  for (const path of before.filter((path) => !path.endsWith("/") && path !== "index.json")) {
    assert.strictEqual(sha256(join(out, path)), sha256(at("before/out", path)), how)
  }
  for (const path of added) assert.strictEqual(`blobs/sha256/${sha256(join(out, path))}`, path, how)
  const names = existsSync(join(directory, "cache")) ? tree(join(directory, "cache")) : []
  assert.deepStrictEqual(
    names.filter((path) => !/^(?:oci-layout|index\.json|blobs\/.*|\.effect-oci\/(?:layers\/.*)?)$/.test(path)),
    [],
    how
  )
  for (const path of names.filter((path) => /^blobs\/sha256\/./.test(path))) {
    assert.strictEqual(`blobs/sha256/${sha256(join(directory, "cache", path))}`, path, how)
  }
  const [listed, listedBefore] = [out, at("before/out")].map((path) => readFileSync(join(path, "index.json"), "utf8"))
  // Two layers, a config and a manifest
  assert.lengthOf(added, listed === listedBefore ? 0 : 4, how)
  return listed === listedBefore ? "before" : "done"
}

let runs = 0

/** Builds with an interruption at an operation, if there is one; the same build runs to its end afterwards. */
const interrupted = Effect.fnUntraced(function*(operation: number, when: "before" | "during") {
  const directory = at(`${++runs}`)
  cpSync(at("before"), directory, { recursive: true })
  const files = yield* Files
  let interrupt: () => void = () => undefined
  let start = 0
  const { operations, system } = watched(hasty(files), (count) => {
    if (count !== operation) return
    start = performance.now()
    if (when === "before") interrupt()
    else queueMicrotask(interrupt)
  })
  const fiber = yield* Effect.forkChild(Effect.provideService(into(directory)(build), Files, system))
  interrupt = () => fiber.interruptUnsafe()
  const exit = yield* Fiber.await(fiber)
  const took = performance.now() - start
  return { directory, exit, operations: operations(), took }
})

/** At every which operation: an odd number, so that some are about to begin, and some under way. */
const step = isThorough ? 3 : 31

describe("a build that is interrupted", () => {
  it.live(
    "leaves the store as it was, at whatever operation, and nothing that is only begun",
    () =>
      Effect.gen(function*() {
        yield* withFiles(makeAll)
        const whole = yield* interrupted(-1, "before")
        assert.isTrue(Exit.isSuccess(whole.exit), String(whole.exit))
        assert.strictEqual(check(whole.directory, "not at all"), "done")
        assert.deepStrictEqual(yield* alarms(join(whole.directory, "out")), [])
        const digest = Exit.isSuccess(whole.exit) ? whole.exit.value : undefined
        const counts = { before: 0, done: 0 }
        let longest = 0
        for (let operation = 0; operation < whole.operations; operation += step) {
          const when = operation % 2 === 0 ? "before" : "during"
          const how = `${when} operation ${operation} of ${whole.operations}`
          const { directory, exit, took } = yield* interrupted(operation, when)
          longest = Math.max(longest, took)
          const state = check(directory, how)
          // What was told to be done is done. What was not may be, too: once the image is shown, that is carried through
          if (Exit.isSuccess(exit)) assert.strictEqual(state, "done", how)
          else assert.isTrue(Exit.hasInterrupts(exit), how)
          counts[state]++
          assert.strictEqual(yield* withFiles(into(directory)(build)), digest, how)
          assert.strictEqual(check(directory, how), "done", how)
          rmSync(directory, { recursive: true })
        }
        assert.isAbove(counts.before, 0)
        if (isThorough) {
          process.stderr.write(
            `builds interrupted at every third of ${whole.operations} operations: ${counts.before} as before, ` +
              `${counts.done} done, ` +
              `the longest took ${Math.ceil(longest)} ms to end\n`
          )
        }
      }),
    isThorough ? 180_000 : 20_000
  )

  it.live.each(["gzip", "zstd", "uncompressed"] as const)(
    "ends at once, with what it has begun: %s",
    (compression) =>
      Effect.gen(function*() {
        const directory = at(`large ${compression}`)
        mkdirSync(directory)
        writeFileSync(join(directory, "large"), "")
        truncateSync(join(directory, "large"), 2 ** 33)
        const latencies: Array<number> = []
        for (const wait of [0, 1, 5, 10, 20, 50, 100]) {
          const fiber = yield* FileTree.add({ source: join(directory, "large"), destination: "/" }, { compression })
            .pipe(
              into(directory),
              withFiles,
              Effect.forkChild
            )
          yield* Effect.sleep(Duration.millis(wait))
          const start = performance.now()
          yield* Fiber.interrupt(fiber)
          latencies.push(performance.now() - start)
          assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
          const left = ["out", "cache"].map((name) => join(directory, name)).filter((path) => existsSync(path))
            .flatMap(tree).filter((path) => !path.endsWith("/"))
          assert.deepStrictEqual(left.filter((path) => path !== "index.json" && path !== "oci-layout"), [])
        }
        // A disk that others keep busy may have one of them wait
        assert.isBelow(latencies.toSorted((left, right) => left - right)[3] ?? Infinity, 100)
      })
  )
})
