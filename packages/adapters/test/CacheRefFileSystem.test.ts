import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as Contract from "@effect-oci/adapters/Contract"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { keeps } from "./contract.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const at = (directory: string, options?: CacheRefFileSystem.Options) =>
  Effect.provide(Layer.provideMerge(CacheRefFileSystem.layer(directory, options), NodeHash.layer))

describe("CacheRef and RefStore", () => {
  keeps(Contract.refs, () => CacheRefFileSystem.layer(fresh()))
})
describe("BlobStore", () => {
  keeps(Contract.blobStore, () => CacheRefFileSystem.layer(fresh()))
})

const acquire = (name: string) => Effect.scoped(CacheRef.CacheRef.use((source) => source.acquire(name)))

const chain = (name: string) =>
  CacheRef.CacheRef.use((source) => Effect.scoped(Effect.flatMap(source.acquire(name), (ref) => CacheRef.chain(ref))))

/** A store that somebody wrote by hand: nothing but documents. */
const written = (documents: Readonly<Record<string, string>>) => {
  const directory = fresh()
  mkdirSync(join(directory, "refs"), { recursive: true })
  for (const [name, text] of Object.entries(documents)) writeFileSync(join(directory, "refs", `${name}.json`), text)
  return directory
}

describe("the directory", () => {
  it.live("holds a document a ref, and is a layout", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const blob = yield* Effect.gen(function*() {
        const store = yield* RefStore.RefStore
        const blob = yield* BlobStore.putBytes(new TextEncoder().encode("layer"))
        yield* store.add("base", {})
        yield* store.add("app", {
          parent: "base",
          description: "COPY . /app",
          created: Result.getOrThrow(Timestamp.parse("2024-01-02T03:04:05.6+02:00")),
          layer: { mediaType: MediaType.layerGzip, ...blob },
          diffId: blob.digest
        })
        return blob
      }).pipe(at(directory))
      assert.strictEqual(
        readFileSync(join(directory, "refs/app.json"), "utf8"),
        `{
  "version": 1,
  "parent": "base",
  "description": "COPY . /app",
  "created": "2024-01-02T03:04:05.6+02:00",
  "layer": {
    "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
    "digest": "${blob.digest}",
    "size": 5
  },
  "diffId": "${blob.digest}"
}
`
      )
      assert.deepStrictEqual(tree(directory).filter((path) => !path.startsWith("blobs/")), [
        ".effect-oci/",
        "index.json",
        "oci-layout",
        "refs/",
        "refs/app.json",
        "refs/base.json"
      ])
      const images = yield* ImageStore.ImageStore.use((store) => store.list).pipe(
        Effect.provide(OciLayout.layer(directory).pipe(Layer.provide(NodeHash.layer)))
      )
      assert.deepStrictEqual(images, [])
    }))

  it.live("is not made by reading, nor by what is refused", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const store = yield* RefStore.RefStore
        const source = yield* CacheRef.CacheRef
        assert.deepStrictEqual(yield* source.list, [])
        assert.strictEqual(
          (yield* Effect.flip(acquire("app"))).message,
          `${directory} has no ref "app"`
        )
        assert.strictEqual((yield* Effect.flip(store.add("A", {})))._tag, "InvalidRefName")
        assert.strictEqual((yield* Effect.flip(store.add("app", { parent: "base" })))._tag, "RefParentMissing")
        assert.strictEqual((yield* Effect.flip(store.add("app", { parent: "app" })))._tag, "RefCycle")
        assert.strictEqual((yield* Effect.flip(store.remove("app")))._tag, "RefMissing")
      }).pipe(at(directory))
      assert.isFalse(existsSync(directory))
    }))
})

describe("a ref that is added again", () => {
  it.live("may not stand on a circle that others have made, which would have no end", () =>
    Effect.gen(function*() {
      const directory = written({
        app: `{"version":1}`,
        a: `{"version":1,"parent":"b"}`,
        b: `{"version":1,"parent":"a"}`
      })
      const add = RefStore.RefStore.use((store) => store.add("app", { parent: "a" }, { replace: true }))
      const error = yield* Effect.flip(add).pipe(at(directory))
      assert.deepStrictEqual(error._tag === "RefCycle" && error.path, ["a", "b", "a"])
    }))
})

describe("a document", () => {
  it.live("is read as others write it, and members that are not known do no harm", () =>
    Effect.gen(function*() {
      const directory = written({
        base: `{"version":1}`,
        app: `{"x":[1],"parent":"base","version":1,"description":null}`
      })
      const refs = yield* chain("app").pipe(at(directory))
      assert.deepStrictEqual(refs.map(({ description, name }) => [name, description]), [["base", ""], ["app", ""]])
      assert.deepStrictEqual(tree(directory), ["refs/", "refs/app.json", "refs/base.json"])
    }))

  const bad: ReadonlyArray<readonly [string, string, string]> = [
    ["that is empty", "", "InvalidJson"],
    ["that is cut", `{"version":1,"parent":"ba`, "InvalidJson"],
    ["with a name twice", `{"version":1,"parent":"a","parent":"b"}`, "InvalidJson"],
    ["of a version that is not known", `{"version":2,"parent":{"new":"shape"}}`, "UnexpectedJson"],
    ["without a version", `{}`, "UnexpectedJson"],
    ["with a digest that is none", `{"version":1,"diffId":"sha256:../../x"}`, "UnexpectedJson"],
    ["that is too large", " ".repeat(4 * 1024 * 1024 + 1), "LimitExceeded"]
  ]
  it.live.each(bad)("%s is told, with its ref", ([, text, cause]) =>
    Effect.gen(function*() {
      const directory = written({ base: text, app: `{"version":1,"parent":"base"}` })
      yield* Effect.gen(function*() {
        for (const operation of [Effect.asVoid(acquire("base")), Effect.asVoid(chain("app"))]) {
          const error = yield* Effect.flip(operation)
          assert.strictEqual(error.message, `the ref "base" cannot be read from ${directory}/refs/base.json`)
          assert.strictEqual<unknown>(error._tag === "RefUnreadable" && error.cause._tag, cause)
        }
        const store = yield* RefStore.RefStore
        assert.strictEqual((yield* Effect.flip(store.add("base", {})))._tag, "RefUnreadable")
        yield* store.add("base", {}, { replace: true })
        assert.strictEqual((yield* chain("app")).length, 2)
      }).pipe(at(directory))
    }))

  it.live("that is a link, a FIFO or a directory is refused at once", () =>
    Effect.gen(function*() {
      const start = performance.now()
      const directory = written({ app: `{"version":1,"parent":"base"}`, other: `{"version":1}` })
      const path = join(directory, "refs/base.json")
      const plants: ReadonlyArray<readonly [string, () => void]> = [
        ["a symbolic link", () => symlinkSync(join(directory, "refs/other.json"), path)],
        ["a FIFO", () => execFileSync("mkfifo", [path])],
        ["a directory", () => mkdirSync(path)]
      ]
      for (const [found, plant] of plants) {
        plant()
        const error = yield* Effect.flip(chain("app").pipe(at(directory)))
        assert.deepStrictEqual(error, new BlobStore.UnsafeFile({ path, expected: "a file", found }))
        execFileSync("rm", ["-r", path])
      }
      assert.isBelow(performance.now() - start, 1000)
    }))

  it.live("in a directory that is a link is not written", () =>
    Effect.gen(function*() {
      const directory = written({ app: `{"version":1}` })
      const elsewhere = fresh()
      renameSync(join(directory, "refs"), elsewhere)
      symlinkSync(elsewhere, join(directory, "refs"))
      const expected = new BlobStore.UnsafeFile({
        path: join(directory, "refs"),
        expected: "a directory",
        found: "a symbolic link"
      })
      for (
        const operation of [
          RefStore.RefStore.use((store) => store.remove("app")),
          RefStore.RefStore.use((store) => store.add("base", {}))
        ]
      ) {
        assert.deepStrictEqual(yield* Effect.flip(operation.pipe(at(directory))), expected)
      }
      assert.deepStrictEqual(tree(elsewhere), ["app.json"])
    }))
})

describe("a chain", () => {
  it.live("whose parent is not there names both", () =>
    Effect.gen(function*() {
      const directory = written({ a: `{"version":1,"parent":"b"}`, b: `{"version":1,"parent":"../c"}` })
      const error = yield* Effect.flip(chain("a").pipe(at(directory)))
      assert.deepStrictEqual(error, new CacheRef.RefParentMissing({ store: directory, ref: "b", parent: "../c" }))
    }))

  it.live("that runs in a circle is told", () =>
    Effect.gen(function*() {
      const directory = written({ a: `{"version":1,"parent":"b"}`, b: `{"version":1,"parent":"a"}` })
      const error = yield* Effect.flip(chain("a").pipe(at(directory)))
      assert.deepStrictEqual(error, new CacheRef.RefCycle({ ref: "a", path: ["a", "b", "a"] }))
    }))

  it.live("of 2,000 refs is read", () =>
    Effect.gen(function*() {
      const directory = written(Object.fromEntries(
        Array.from({ length: 2000 }, (_, index) => [
          `r${index}`,
          index === 0 ? `{"version":1}` : `{"version":1,"parent":"r${index - 1}"}`
        ])
      ))
      const refs = yield* chain("r1999").pipe(at(directory))
      assert.strictEqual(refs.length, 2000)
      assert.strictEqual(refs[0]?.name, "r0")
    }))
})

describe("the lock", () => {
  it.live("is told who holds it", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* RefStore.RefStore.use((store) => store.add("base", {})).pipe(at(directory))
      writeFileSync(join(directory, ".effect-oci/lock"), `{"pid":1,"nonce":"n","since":"then"}`)
      for (
        const operation of [
          RefStore.RefStore.use((store) => store.add("app", {})),
          RefStore.RefStore.use((store) => store.remove("base"))
        ]
      ) {
        const error = yield* Effect.flip(operation.pipe(at(directory, { lockTimeout: "50 millis" })))
        assert.strictEqual(error._tag === "StoreLocked" && error.holder, "process 1 since then")
      }
    }))
})
