import * as GarbageCollection from "@effect-oci/adapters/GarbageCollection"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as Verification from "@effect-oci/core/Verification"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { Files, type FileSystem } from "../src/internal/files.ts"
import * as Owner from "../src/internal/owner.ts"
import { dead, elsewhere, killed, living, own, printed, script } from "./processes.ts"
import { addRef, areaOf, at, blobsIn, digestsOf, pathOf, put, putImage, putJson, tag, untag } from "./stores.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const collect = (directory: string, options: GarbageCollection.Options = { grace: 0 }) =>
  Effect.provide(GarbageCollection.collect(directory, options), NodeHash.layer)

const areaPath = (directory: string, name: string) => join(directory, ".effect-oci", name)

/** Everything that the images and refs of a store name is there and right. */
const assertSound = (directory: string) =>
  Effect.gen(function*() {
    const roots = yield* StoreContent.roots(directory)
    const { findings } = yield* Verification.check({ blobs: [], roots })
    assert.deepStrictEqual(findings, [])
    return roots
  }).pipe(at(directory))

describe("what is needed", () => {
  it.live("is all that images and refs lead to, and nothing else", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const garbage = yield* Effect.gen(function*() {
        const subject = yield* putImage(["subject"])
        const attested = yield* putImage(["attested"], { subject: subject.descriptor })
        const inner = yield* putJson(MediaType.imageIndex, { schemaVersion: 2, manifests: [attested.descriptor] })
        const other = yield* putImage(["other"])
        const index = yield* putJson(MediaType.imageIndex, { schemaVersion: 2, manifests: [inner, other.descriptor] })
        yield* tag("index", index)
        // Of an unknown kind, which mentions blobs in its own way
        const mentioned = yield* put("x", "mentioned")
        const deeper = yield* putJson("x", { it: mentioned.digest })
        yield* tag("odd", yield* putJson("application/vnd.example+json", { deep: [deeper.digest] }))
        yield* addRef("ref", yield* put(MediaType.layerGzip, "ref"))
        const dropped = yield* putImage(["dropped", "other"])
        yield* tag("dropped", dropped.descriptor)
        yield* untag("dropped")
        return [dropped.config, dropped.descriptor, ...dropped.layers.slice(0, 1), yield* put("x", "never named")]
      }).pipe(at(directory))
      const all = blobsIn(directory)

      const young = yield* collect(directory, {})
      assert.deepStrictEqual(young, { removed: [], bytes: 0, kept: all.length - 4, young: 4 })

      const told = yield* collect(directory, { grace: 0, dryRun: true })
      assert.deepStrictEqual(digestsOf(...told.removed), digestsOf(...garbage))
      assert.deepStrictEqual(blobsIn(directory), all)

      const done = yield* collect(directory)
      assert.deepStrictEqual(done, told)
      assert.strictEqual(done.bytes, garbage.reduce((sum, { size }) => sum + size, 0))
      assert.strictEqual(done.kept, all.length - 4)
      assert.deepStrictEqual(blobsIn(directory), all.filter((digest) => !digestsOf(...garbage).includes(digest)))
      yield* assertSound(directory)
      assert.deepStrictEqual(areaOf(directory), [])
      assert.deepStrictEqual((yield* collect(directory)).removed, [])
    }))

  it.live("is not known where a document is missing or damaged, and then nothing is removed", () =>
    Effect.gen(function*() {
      const flip = (path: string) => {
        const bytes = readFileSync(path)
        bytes[0] = 0x20
        writeFileSync(path, bytes)
      }
      const damages: ReadonlyArray<readonly [string, (path: string) => void]> = [
        ["BlobMissing", rmSync],
        ["DigestMismatch", flip],
        ["SizeMismatch", (path) => writeFileSync(path, "")]
      ]
      for (const [reason, damage] of damages) {
        const directory = fresh()
        const { descriptor } = yield* Effect.gen(function*() {
          yield* put("x", "garbage")
          const image = yield* putImage(["a"])
          yield* tag("v1", image.descriptor)
          return image
        }).pipe(at(directory))
        damage(pathOf(directory, descriptor))
        const before = blobsIn(directory)
        const error = yield* Effect.flip(collect(directory))
        assert.deepStrictEqual(
          error._tag === "ReachUnknown" && [error.digest, error.from, error.cause._tag],
          [descriptor.digest, "index.json", reason]
        )
        assert.deepStrictEqual(blobsIn(directory), before)
        assert.deepStrictEqual(areaOf(directory), [])
      }
      // A layer that is missing leads nowhere
      const directory = fresh()
      const image = yield* Effect.tap(putImage(["a"]), ({ descriptor }) => tag("v1", descriptor)).pipe(at(directory))
      for (const layer of image.layers) rmSync(pathOf(directory, layer))
      assert.deepStrictEqual((yield* collect(directory)).removed, [])
    }))

  it.live("is not known where the lists cannot be read", () =>
    Effect.gen(function*() {
      const cases = [["index.json", "StoreUnreadable"], ["refs/r.json", "RefUnreadable"]] as const
      for (const [path, expected] of cases) {
        const directory = fresh()
        yield* Effect.flatMap(put(MediaType.layer, "garbage"), (layer) => addRef("r", layer)).pipe(at(directory))
        writeFileSync(join(directory, path), "{")
        assert.strictEqual((yield* Effect.flip(collect(directory)))._tag, expected)
        assert.strictEqual(blobsIn(directory).length, 1)
      }
      const nowhere = fresh()
      assert.strictEqual((yield* Effect.flip(collect(nowhere)))._tag, "StoreMissing")
      assert.throws(() => tree(nowhere))
    }))
})

describe("the grace", () => {
  it.live("goes by the clock of the file system, and keeps what a young document mentions", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      const { config, descriptor, layers } = yield* putImage(["old"]).pipe(at(directory))
      const lone = yield* put("x", "lone").pipe(at(directory))
      /** Makes blobs look an hour older, whatever the clock of this process says. */
      const aged = (isYoung: (name: string) => boolean): FileSystem => ({
        ...files,
        infos: (path) =>
          Effect.map(files.infos(path), (infos) =>
            new Map([...infos].map(([name, info]) => [
              name,
              isYoung(`sha256:${name}`) ? info : { ...info, ctime: info.ctime - 3_600_000_000_000n }
            ])))
      })
      const run = (isYoung: (name: string) => boolean) =>
        collect(directory, { grace: "1 hour" }).pipe(Effect.provideService(Files, aged(isYoung)))
      // Not by the times that anybody can set
      writeFileSync(pathOf(directory, lone), "lone")
      const first = yield* run((digest) => digest === descriptor.digest)
      assert.deepStrictEqual(digestsOf(...first.removed), [lone.digest])
      assert.deepStrictEqual(blobsIn(directory), digestsOf(config, descriptor, ...layers))
      assert.strictEqual((yield* run(() => false)).removed.length, 3)
    }))

  it.live("is not what a blob frees that has another name", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const blob = yield* put("x", "shared").pipe(at(directory))
      linkSync(pathOf(directory, blob), join(root, "elsewhere"))
      const { bytes, removed } = yield* collect(directory)
      assert.deepStrictEqual([bytes, removed], [0, [{ digest: blob.digest, size: blob.size }]])
    }))
})

describe("a lease", () => {
  const cases: ReadonlyArray<readonly [name: string, () => Required<Owner.Owner>, isHeld: boolean]> = [
    ["this process", () => own, true],
    ["another process", living, true],
    ["a process elsewhere", () => elsewhere, true],
    ["a dead process", dead, false]
  ]
  for (const [name, owner, isHeld] of cases) {
    it.live(`of ${name} ${isHeld ? "keeps a blob and what it mentions" : "keeps nothing, and goes"}`, () =>
      Effect.gen(function*() {
        const directory = fresh()
        const { descriptor } = yield* putImage(["a"]).pipe(at(directory))
        const cut = yield* put("x", "cut").pipe(at(directory))
        const lease = Owner.nameFor("lease", owner())
        writeFileSync(areaPath(directory, lease), `${descriptor.digest}\n${cut.digest}`)
        const { removed } = yield* collect(directory)
        // The last line was not written to its end
        assert.deepStrictEqual(removed.length, isHeld ? 1 : 4)
        assert.deepStrictEqual(areaOf(directory), isHeld ? [lease] : [])
      }))
  }

  it.live("is taken for what is found, until it has its name", () =>
    Effect.gen(function*() {
      const directory = fresh()
      // Garbage that is about to be an image's layer
      const old = yield* put(MediaType.layer, "old").pipe(at(directory))
      yield* ImageStore.publish(
        Option.some("v1"),
        Effect.tap(putImage(["old", "new"]), () =>
          Effect.gen(function*() {
            assert.deepStrictEqual((yield* collect(directory)).removed, [])
            const lease = areaOf(directory).find((name) => name.startsWith("lease-"))
            assert.strictEqual(readFileSync(areaPath(directory, lease ?? ""), "utf8"), `${old.digest}\n`)
          }))
      ).pipe(at(directory))
      assert.deepStrictEqual(areaOf(directory), [])
      yield* assertSound(directory)
    }))

  it.live("holds what is published before it has its name", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* BlobStore.staged(
        putImage(["a"]),
        () => Effect.map(collect(directory), ({ removed }) => assert.deepStrictEqual(removed, []))
      ).pipe(at(directory))
      assert.strictEqual((yield* collect(directory)).removed.length, 3)
    }))

  it.live("that comes while blobs go to the trash brings them back", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      const { descriptor } = yield* putImage(["a"]).pipe(at(directory))
      const garbage = yield* put("x", "garbage").pipe(at(directory))
      let trashed = 0
      const late: FileSystem = {
        ...files,
        rename: (from, to) =>
          Effect.tap(files.rename(from, to), () =>
            Effect.sync(() => {
              if (!to.includes("/trash-") || ++trashed < 4) return
              writeFileSync(areaPath(directory, Owner.nameFor("lease", own)), `${descriptor.digest}\n`)
            }))
      }
      // A lease names a document that is in the trash itself: all that it mentions is there
      const { removed } = yield* collect(directory).pipe(Effect.provideService(Files, late))
      assert.deepStrictEqual(digestsOf(...removed), [garbage.digest])
      assert.strictEqual(blobsIn(directory).length, 3)
    }))
})

describe("the trash", () => {
  it.live("is looked into by readers, and put back by whoever has the lock next", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const image = yield* Effect.tap(putImage(["a"]), ({ descriptor }) => tag("v1", descriptor)).pipe(at(directory))
      const damaged = yield* put("x", "damaged").pipe(at(directory))
      for (const blob of [image.descriptor, ...image.layers, damaged]) {
        renameSync(pathOf(directory, blob), areaPath(directory, `trash-${blob.digest.replace(":", "-")}`))
      }
      yield* assertSound(directory)
      assert.strictEqual(blobsIn(directory).length, 1)
      // What has come again meanwhile is the better one
      writeFileSync(areaPath(directory, `trash-${damaged.digest.replace(":", "-")}`), "DAMAGED")
      yield* put("x", "damaged").pipe(at(directory))
      yield* tag("v2", image.config).pipe(at(directory))
      assert.deepStrictEqual(areaOf(directory), [])
      assert.strictEqual(blobsIn(directory).length, 4)
      assert.strictEqual(readFileSync(pathOf(directory, damaged), "utf8"), "damaged")
    }))

  it.live("is put back where the collection fails in between", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      yield* Effect.flatMap(putImage(["a"]), ({ descriptor }) => tag("v1", descriptor)).pipe(at(directory))
      yield* Effect.all([put("x", "one"), put("x", "two")]).pipe(at(directory))
      const before = blobsIn(directory)
      let trashed = 0
      const failing: FileSystem = {
        ...files,
        rename: (from, to) =>
          to.includes("/trash-") && ++trashed === 2
            ? Effect.fail(new BlobStore.StoreIo({ operation: "rename", path: to, code: "EIO" }))
            : files.rename(from, to)
      }
      const error = yield* Effect.flip(collect(directory).pipe(Effect.provideService(Files, failing)))
      assert.strictEqual(error._tag === "StoreIo" && error.code, "EIO")
      assert.deepStrictEqual(blobsIn(directory), before)
      assert.deepStrictEqual(areaOf(directory), [])
    }))
})

const isLong = process.env["CI"] === "true"

describe("many at once", () => {
  it.live.runIf(isLong)("leave no image without its blobs, whoever is killed", () =>
    Effect.promise(async () => {
      const directory = fresh()
      const { time, writers } = isLong ? { time: 10_000, writers: 8 } : { time: 1500, writers: 2 }
      const end = performance.now() + time
      /** However slow the machine is, something has to have happened. */
      const isDone = () => performance.now() > end && published.count > writers * 2 && removed.count > 0
      const published = { count: 0 }
      const removed = { count: 0 }
      /** Runs a script again and again; every other run is killed at a random moment. */
      const keep = async (name: string, of: { count: number }, ...args: ReadonlyArray<string>) => {
        for (let run = 0; !isDone(); run++) {
          const child = script(name, directory, ...args, String(time / 4))
          child.stdout?.on("data", (data) => of.count += String(data).length)
          const exited = new Promise<number | null>((done) => child.once("exit", done))
          if (run % 2 === 1) {
            assert.strictEqual(await exited, 0)
          } else {
            await printed(child)
            await new Promise((done) => setTimeout(done, Math.random() * 400))
            await killed(child)
          }
        }
      }
      await Effect.runPromise(ImageStore.publish(Option.some("first"), putImage(["first"])).pipe(at(directory)))
      await Promise.all([
        keep("collect.ts", removed),
        ...Array.from({ length: writers }, (_, index) => keep("publish.ts", published, `w${index}.`))
      ])
      const roots = await Effect.runPromise(assertSound(directory))
      assert.isAbove(roots.length, 1)
      // Whatever was left is tidied up by who comes next
      await Effect.runPromise(collect(directory))
      assert.deepStrictEqual(areaOf(directory), [])
      await Effect.runPromise(assertSound(directory))
    }), 120_000)
})
