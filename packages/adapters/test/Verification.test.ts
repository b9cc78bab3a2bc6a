import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Reference from "@effect-oci/core/Reference"
import * as Verification from "@effect-oci/core/Verification"
import type * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { addRef, at, blobsIn, pathOf, put, putImage, putJson, tag } from "./stores.ts"
import { temporaryDirectory, tree } from "./temporary.ts"

/** How many there is time for. */
const places = process.env["CI"] === "true" ? 64 : 8

const root = temporaryDirectory()
let count = 0
const fresh = () => join(root, `${++count}`)

const verify = Effect.fnUntraced(function*(directory: string, source?: BlobStore.Store) {
  const roots = yield* StoreContent.roots(directory).pipe(at(directory))
  const blobs = yield* StoreContent.blobs(directory)
  return yield* Verification.check({ roots, blobs, ...(source === undefined ? {} : { source }) }).pipe(at(directory))
})

const storeAt = (directory: string) =>
  Effect.provide(BlobStore.BlobStore, OciLayout.layer(directory).pipe(Layer.provide(NodeHash.layer)))

/** A store of an index, two images, a ref and a blob that nothing names. */
const makeStore = Effect.fnUntraced(function*() {
  const directory = fresh()
  const made = yield* Effect.gen(function*() {
    const one = yield* putImage(["one", "shared"])
    const two = yield* putImage(["two", "shared"])
    const index = yield* putJson(MediaType.imageIndex, {
      schemaVersion: 2,
      manifests: [one.descriptor, two.descriptor]
    })
    yield* tag("v1", index)
    const ref = yield* put(MediaType.layer, "the layer of a ref")
    yield* addRef("app", ref)
    return { one, two, index, ref, lone: yield* put("x", "lone") }
  }).pipe(at(directory))
  return { directory, ...made }
})

const told = (findings: ReadonlyArray<Verification.Finding>) =>
  findings.map(({ digest, isHealed, problem }) => [digest, problem, ...(isHealed ? ["healed"] : [])])

describe("verification", () => {
  it.live("finds nothing wrong with a store that is right, and tells what nothing needs", () =>
    Effect.gen(function*() {
      const { directory, lone } = yield* makeStore()
      const report = yield* verify(directory)
      assert.deepStrictEqual(report.findings, [])
      assert.deepStrictEqual(report.unreferenced, [{ digest: lone.digest, size: lone.size }])
      assert.strictEqual(report.blobs, blobsIn(directory).length)
      assert.strictEqual(report.bytes, (yield* StoreContent.blobs(directory)).reduce((sum, { size }) => sum + size, 0))
    }))

  it.live(
    `finds a byte that is flipped at any of ${places} places, one more and one less, in every blob`,
    () =>
      Effect.gen(function*() {
        const directory = fresh()
        const lone = yield* Effect.gen(function*() {
          const { descriptor } = yield* putImage(["a layer of its own"])
          yield* tag("v1", yield* putJson(MediaType.imageIndex, { schemaVersion: 2, manifests: [descriptor] }))
          return yield* put("x", "lone")
        }).pipe(at(directory))
        const roots = yield* StoreContent.roots(directory).pipe(at(directory))
        let cases = 0
        const store = yield* storeAt(directory)
        const found = Effect.flatMap(
          StoreContent.blobs(directory),
          (blobs) => Verification.check({ blobs, roots, concurrency: 1 })
        ).pipe(
          Effect.map(({ findings }) => told(findings)),
          Effect.provideService(BlobStore.BlobStore, store)
        )
        for (const blob of yield* StoreContent.blobs(directory)) {
          const path = pathOf(directory, blob)
          const right = readFileSync(path)
          const sizes = blob.digest === lone.digest
            ? ["corrupt", "corrupt"] as const
            : ["too long", "truncated"] as const
          const damages: Array<readonly [Verification.Problem, Uint8Array]> = [
            [sizes[0], Buffer.concat([right, new Uint8Array(1)])],
            [sizes[1], right.subarray(0, -1)],
            ...Array.from({ length: places }, (_, place) => {
              const bytes = Buffer.from(right)
              const at = Math.floor(place * right.length / places)
              bytes[at] = (bytes[at] ?? 0) ^ (1 << (place % 8))
              return ["corrupt" as const, bytes] as const
            })
          ]
          for (const [problem, bytes] of damages) {
            writeFileSync(path, bytes)
            assert.deepStrictEqual(yield* found, [[blob.digest, problem]])
            cases++
          }
          writeFileSync(path, right)
        }
        assert.strictEqual(cases, (places + 2) * 5)
        assert.deepStrictEqual((yield* verify(directory)).findings, [])
      }),
    60_000
  )

  const plain: ReadonlyArray<readonly [Verification.Problem, string, (path: string) => void]> = [
    ["missing", "gone", rmSync],
    ["truncated", "empty", (path) => writeFileSync(path, "")],
    ["unreadable", "a link", (path) => (rmSync(path), symlinkSync("/etc/hostname", path))],
    ["unreadable", "a directory", (path) => (rmSync(path), mkdirSync(path))],
    ["unreadable", "a FIFO", (path) => (rmSync(path), execFileSync("mkfifo", [path]))]
  ]
  for (const [problem, name, damage] of plain) {
    it.live(`finds a blob that is ${name}, and what names it`, () =>
      Effect.gen(function*() {
        const { directory, index, one, ref } = yield* makeStore()
        const cases: ReadonlyArray<readonly [{ readonly digest: Digest.Digest }, string]> = [
          [index, "index.json"],
          [one.descriptor, index.digest],
          [one.config, one.descriptor.digest],
          [ref, "refs/app.json"]
        ]
        for (const [blob, from] of cases) {
          const copy = fresh()
          cpSync(directory, copy, { recursive: true })
          damage(pathOf(copy, blob))
          const { findings } = yield* verify(copy)
          assert.deepStrictEqual(findings.map((finding) => [finding.digest, finding.problem, finding.from]), [
            [blob.digest, problem, from]
          ])
        }
      }))
  }

  it.live("tells a descriptor from a blob that is wrong, and a document that does not parse", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const [blob, broken] = yield* Effect.all([
        put(MediaType.imageManifest, "{}"),
        put(MediaType.imageManifest, "{")
      ]).pipe(at(directory))
      const check = (size: number) =>
        Effect.flatMap(StoreContent.blobs(directory), (blobs) =>
          Verification.check({
            blobs,
            roots: [{ ...blob, size }, broken].map((descriptor) => Reference.make(descriptor, "test"))
          })).pipe(at(directory))
      for (const size of [1, 3, 1000, Number.MAX_SAFE_INTEGER]) {
        const found = told((yield* check(size)).findings)
        assert.sameDeepMembers(found, [[blob.digest, "misdescribed"], [broken.digest, "unreadable"]])
      }
    }))

  it.live("does not ask for what need not be there", () =>
    Effect.gen(function*() {
      const directory = fresh()
      yield* Effect.gen(function*() {
        const gone = yield* put(MediaType.layer, "gone")
        const subject = { ...gone, mediaType: MediaType.imageManifest }
        const foreign = { ...gone, urls: ["https://example.org/layer"] }
        yield* tag("v1", (yield* putImage([], { subject, layers: [foreign] })).descriptor)
        rmSync(pathOf(directory, gone))
      }).pipe(at(directory))
      assert.deepStrictEqual((yield* verify(directory)).findings, [])
    }))

  it.live("changes nothing without a source, also where it cannot", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const { directory, one } = yield* makeStore()
      writeFileSync(pathOf(directory, one.config), "damaged")
      const before = tree(directory)
      const refused = (path: string) => Effect.die(new Error(`verifying changes ${path}`))
      const reading: FileSystem = {
        ...files,
        open: (path, flags) => (flags & 0o3) === 0 ? files.open(path, flags) : refused(path),
        makeDirectory: refused,
        setMode: refused,
        rename: refused,
        link: refused,
        remove: refused
      }
      const { findings } = yield* verify(directory).pipe(Effect.provideService(Files, reading))
      assert.deepStrictEqual(told(findings), [[one.config.digest, "truncated"]])
      assert.deepStrictEqual(tree(directory), before)
    }))
})

describe("repair", () => {
  it.live("heals whatever is wrong, also below what is wrong, and touches nothing else", () =>
    Effect.gen(function*() {
      const { directory, index, lone, one, ref, two } = yield* makeStore()
      const backup = fresh()
      cpSync(directory, backup, { recursive: true })
      const source = yield* storeAt(backup)
      const flip = (path: string) => {
        const bytes = readFileSync(path)
        bytes[0] = (bytes[0] ?? 0) ^ 1
        writeFileSync(path, bytes)
      }
      rmSync(pathOf(directory, index))
      writeFileSync(pathOf(directory, one.descriptor), "")
      flip(pathOf(directory, one.config))
      rmSync(pathOf(directory, ref))
      symlinkSync("/etc/hostname", pathOf(directory, ref))
      flip(pathOf(directory, lone))
      const kept = blobsIn(directory).filter((digest) => two.layers.some((layer) => layer.digest === digest))
      const inodes = () =>
        execFileSync("stat", ["-c", "%i", ...kept.map((digest) => join(directory, "blobs", digest.replace(":", "/")))])
          .toString()
      const before = inodes()
      const { findings } = yield* verify(directory, source)
      assert.sameDeepMembers(told(findings), [
        [index.digest, "missing", "healed"],
        [one.descriptor.digest, "truncated", "healed"],
        [one.config.digest, "corrupt", "healed"],
        [ref.digest, "unreadable", "healed"],
        [lone.digest, "corrupt", "healed"]
      ])
      assert.strictEqual(inodes(), before)
      assert.deepStrictEqual((yield* verify(directory)).findings, [])
    }))

  it.live("tells what the source does not have, or has damaged too", () =>
    Effect.gen(function*() {
      const { directory, one } = yield* makeStore()
      const backup = fresh()
      cpSync(directory, backup, { recursive: true })
      const source = yield* storeAt(backup)
      rmSync(pathOf(directory, one.config))
      writeFileSync(pathOf(backup, one.config), "damaged")
      writeFileSync(pathOf(directory, one.descriptor), "damaged")
      rmSync(pathOf(backup, one.descriptor))
      const { findings } = yield* verify(directory, source)
      // What the manifest names is not known
      assert.deepStrictEqual(findings.map(({ digest, failure, isHealed }) => [digest, isHealed, failure]), [
        [one.descriptor.digest, false, `${backup} has no blob ${one.descriptor.digest}`]
      ])
      assert.strictEqual(readFileSync(pathOf(directory, one.descriptor), "utf8"), "damaged")
    }))
})
