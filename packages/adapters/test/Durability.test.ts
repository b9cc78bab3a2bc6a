import * as Durability from "@effect-oci/adapters/Durability"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { readFileSync } from "node:fs"
import { join, relative } from "node:path"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { addRef, at, put, putImage } from "./stores.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

/** Writes down when files are made durable, and when they get their places. A file keeps the name that it has on disk. */
const recording = (files: FileSystem, directory: string, log: Array<string>): FileSystem => {
  const names = new Map<string, string>()
  const nameOf = (path: string) =>
    (names.get(path) ?? relative(directory, path)).replace(/[0-9a-f]{64}/, "HEX").replace(/new-.*/, "new")
  const note = (text: string) => Effect.sync(() => void log.push(text))
  return {
    ...files,
    open: (path, flags) =>
      Effect.map(files.open(path, flags), (file) => ({
        ...file,
        sync: Effect.andThen(file.sync, Effect.suspend(() => note(`sync ${nameOf(path) || "."}`)))
      })),
    rename: (from, to) => Effect.andThen(files.rename(from, to), Effect.suspend(() => note(`place ${nameOf(to)}`)))
  }
}

const logged = <A, E, R>(directory: string, effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function*() {
    const log: Array<string> = []
    yield* Effect.provideService(effect, Files, recording(yield* Files, directory, log))
    return log
  })

const times = (count: number, ...texts: ReadonlyArray<string>) => Array.from({ length: count }, () => texts).flat()

const names = ["sync blobs/sha256", "sync blobs"]

/** Without the file that makes a directory a layout, which may have been written in haste, and so is synced again. */
const withoutMarker = (log: ReadonlyArray<string>): ReadonlyArray<string> =>
  log.filter((line, index) =>
    line !== "sync oci-layout" && !(line === "sync ." && log[index - 1] === "sync oci-layout")
  )

describe("durability", () => {
  const expected: Readonly<Record<Durability.Durability, ReadonlyArray<string>>> = {
    full: [
      ...times(3, "sync .effect-oci/new"),
      ...times(3, "place blobs/sha256/HEX"),
      ...names,
      "sync .effect-oci/new",
      "place index.json",
      "sync ."
    ],
    batch: [
      ...times(3, "sync .effect-oci/new"),
      ...times(3, "place blobs/sha256/HEX"),
      ...names,
      "sync .effect-oci/new",
      "place index.json",
      "sync ."
    ],
    process: [...times(3, "place blobs/sha256/HEX"), "place index.json"]
  }
  for (const durability of Durability.levels) {
    it.live(`${durability} makes blobs durable before what names them, or neither`, () =>
      Effect.gen(function*() {
        const directory = fresh()
        const publish = (text: string) =>
          ImageStore.publish(Option.some("v1"), putImage([text])).pipe(at(directory, { durability }))
        // The directories and the files of an empty layout
        yield* publish("first")
        const log = yield* logged(directory, publish("second"))
        // Where staged blobs wait is nobody's business
        assert.deepStrictEqual(
          withoutMarker(log).filter((line) => line !== "place .effect-oci/new"),
          expected[durability]
        )
      }))

    it.live(`${durability} makes the layer of a ref durable before the ref, or neither`, () =>
      Effect.gen(function*() {
        const directory = fresh()
        const add = (name: string) =>
          Effect.flatMap(put(MediaType.layer, name), (layer) => addRef(name, layer)).pipe(at(directory, { durability }))
        yield* add("first")
        const log = yield* logged(directory, add("second"))
        const ref = ["sync .effect-oci/new", "place refs/second.json", "sync refs", "sync ."]
        assert.deepStrictEqual(
          withoutMarker(log),
          {
            full: ["sync .effect-oci/new", "place blobs/sha256/HEX", ...names, ...ref],
            batch: ["sync .effect-oci/new", "place blobs/sha256/HEX", ...names, ...ref],
            process: ["place blobs/sha256/HEX", "place refs/second.json"]
          }[durability]
        )
      }))
  }

  it.live("full holds for blobs too that others have put in haste", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* putImage(["a"]).pipe(at(directory, { durability: "process" }))
      const log = yield* logged(
        directory,
        ImageStore.publish(Option.some("v1"), putImage(["a"])).pipe(at(directory, {}))
      )
      // The layer is found; the documents are written again
      assert.strictEqual(log.filter((line) => line === "sync blobs/sha256/HEX").length, 1)
      assert.isBelow(log.indexOf("sync blobs/sha256/HEX"), log.indexOf("place index.json"))
    }))

  it.live("is not claimed again after an fsync that has failed, until the blob is written anew", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      let failures = 0
      const failing: FileSystem = {
        ...files,
        open: (path, flags) =>
          Effect.map(files.open(path, flags), (file) => ({
            ...file,
            sync: Effect.suspend(() =>
              path.includes("/blobs/sha256/") && failures++ === 0
                ? Effect.fail(new BlobStore.StoreIo({ operation: "fsync", path, code: "EIO" }))
                : file.sync
            )
          }))
      }
      // What somebody else has put in haste is found
      yield* putImage(["a"]).pipe(at(directory, { durability: "process" }))
      const publish = ImageStore.publish(Option.some("v1"), putImage(["a"]))
      yield* Effect.gen(function*() {
        for (let times = 0; times < 2; times++) {
          const error = yield* Effect.flip(publish)
          assert.strictEqual(error._tag === "StoreIo" && error.code, "EIO")
        }
        assert.deepStrictEqual(JSON.parse(readFileSync(join(directory, "index.json"), "utf8")).manifests, [])
        assert.strictEqual(failures, 1)
        yield* put(MediaType.layer, "a")
        yield* publish
      }).pipe(at(directory, { durability: "full" }), Effect.provideService(Files, failing))
    }))
})
