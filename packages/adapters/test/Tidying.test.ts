import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Files, type FileSystem } from "../src/internal/files.ts"
import * as Owner from "../src/internal/owner.ts"
import { dead, elsewhere, living, otherBoot, own } from "./processes.ts"
import { areaOf, at, put, putImage } from "./stores.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const day = 24n * 60n * 60n * 1_000_000_000n

/** Makes all files but new ones look older. */
const aged = (files: FileSystem): FileSystem => ({
  ...files,
  info: (path) => Effect.map(files.info(path), (info) => ({ ...info, ctime: info.ctime - day - 1_000_000_000n }))
})

describe("opening a store to write", () => {
  const kinds = ["new", "lock", "lease"]
  const cases: ReadonlyArray<readonly [name: string, () => Required<Owner.Owner>, "gone" | "there" | "gone in a day"]> =
    [
      ["a dead process", dead, "gone"],
      ["this process", () => own, "there"],
      ["another process", living, "there"],
      ["a process elsewhere", () => elsewhere, "gone in a day"],
      ["a process of another boot", () => otherBoot, "gone in a day"]
    ]
  for (const [name, owner, expected] of cases) {
    it.live(`finds what ${name} has left, which is then ${expected}`, () =>
      Effect.gen(function*() {
        const files = yield* Files
        const directory = fresh()
        yield* put("x", "x").pipe(at(directory))
        const names = kinds.map((kind) => Owner.nameFor(kind, owner())).toSorted()
        for (const name of names) writeFileSync(join(directory, ".effect-oci", name), "")
        yield* put("x", "y").pipe(at(directory))
        assert.deepStrictEqual(areaOf(directory).toSorted(), expected === "gone" ? [] : names)
        yield* put("x", "z").pipe(at(directory), Effect.provideService(Files, aged(files)))
        assert.deepStrictEqual(areaOf(directory).toSorted(), expected === "there" ? names : [])
      }))
  }

  it.live("leaves alone what it does not know, and the claims on a lock that is there", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* put("x", "x").pipe(at(directory))
      const area = join(directory, ".effect-oci")
      mkdirSync(join(area, "layers"))
      mkdirSync(join(area, Owner.nameFor("new", dead())))
      writeFileSync(join(area, "notes"), "")
      writeFileSync(join(area, "new-without-owner"), "")
      writeFileSync(join(area, "lock"), JSON.stringify({ ...dead(), nonce: "n", since: "then" }))
      writeFileSync(join(area, "break-n-0"), "")
      const before = areaOf(directory)
      writeFileSync(join(area, "break-m-0"), "")
      yield* put("x", "y").pipe(at(directory))
      assert.deepStrictEqual(areaOf(directory), before)
    }))

  it.live("removes nothing of a stage that goes on", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* ImageStore.publish(
        Option.none(),
        Effect.tap(putImage(["a", "b"]), () =>
          Effect.gen(function*() {
            const during = areaOf(directory)
            assert.strictEqual(during.length, 4)
            yield* put("x", "y").pipe(at(directory))
            assert.deepStrictEqual(areaOf(directory), during)
          }))
      ).pipe(at(directory))
      assert.deepStrictEqual(areaOf(directory), [])
    }))
})

describe("reading a store", () => {
  it.live("removes nothing and makes nothing", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      const { descriptor } = yield* ImageStore.publish(Option.none(), putImage(["a"])).pipe(at(directory))
      writeFileSync(join(directory, ".effect-oci", Owner.nameFor("new", dead())), "")
      const before = tree(directory)
      const refused = (path: string) => Effect.die(new Error(`reading changes ${path}`))
      const reading: FileSystem = {
        ...files,
        open: (path, flags) => (flags & 0o3) === 0 ? files.open(path, flags) : refused(path),
        makeDirectory: refused,
        setMode: refused,
        rename: refused,
        link: refused,
        clone: refused,
        touch: refused,
        remove: refused
      }
      yield* Effect.gen(function*() {
        const images = yield* ImageStore.ImageStore
        assert.deepStrictEqual(yield* images.resolve(Option.none()), descriptor)
        assert.strictEqual((yield* images.list).length, 1)
        assert.strictEqual((yield* BlobStore.getBytes(descriptor)).length, descriptor.size)
      }).pipe(at(directory), Effect.provideService(Files, reading))
      assert.deepStrictEqual(tree(directory), before)
      assert.strictEqual(readdirSync(join(directory, ".effect-oci")).length, 1)
    }))
})
