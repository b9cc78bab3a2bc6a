/** Blobs that are not what they were: found whoever reads them, and before anything is made of them. */
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as Verification from "@effect-oci/core/Verification"
import * as Digest from "@effect-oci/schema/Digest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { exportImage } from "./image.ts"
import { blobPath } from "./inspect.ts"
import { fresh, type Outcome, problemsOf } from "./support.ts"

const places = 64

interface Damage {
  readonly how: string
  readonly bytes: Uint8Array
  /** The error of who reads it, and the finding of who verifies the store. */
  readonly error: string
  readonly finding: string
}

const damages = (bytes: Uint8Array): ReadonlyArray<Damage> => [
  ...Array.from({ length: places }, (_, index): Damage => {
    const place = Math.floor(index * (bytes.length - 1) / (places - 1))
    const flipped = Uint8Array.from(bytes)
    flipped[place] = (flipped[place] ?? 0) ^ (1 << (index % 8))
    return { how: `byte ${place} flipped`, bytes: flipped, error: "DigestMismatch", finding: "corrupt" }
  }),
  { how: "a byte more", bytes: Buffer.concat([bytes, Buffer.of(10)]), error: "SizeMismatch", finding: "too long" },
  { how: "a byte less", bytes: bytes.subarray(0, -1), error: "SizeMismatch", finding: "truncated" }
]

/** The tags of an error and of its causes. */
const tagsOf = (error: unknown): ReadonlyArray<string> =>
  error instanceof Error ? ["_tag" in error ? String(error._tag) : error.name, ...tagsOf(error.cause)] : []

const readers = (blob: BlobStore.Blob) =>
  Effect.gen(function*() {
    const source = yield* Copy.place
    const target = yield* Effect.provide(Copy.place, MemoryStore.layer)
    const copy = fresh("copy")
    const linked = yield* Effect.provide(Copy.place, OciLayout.layer(copy))
    const results = {
      "reading it": yield* Effect.result(BlobStore.getBytes(blob)),
      "a copy": yield* Effect.result(Copy.image("one", { source, target, as: Option.some("one") })),
      "a copy that shares files": yield* Effect.result(
        Copy.image("one", { source, target: linked, as: Option.some("one") })
      )
    }
    const copied = [...yield* target.images.list, ...yield* Effect.orElseSucceed(linked.images.list, () => [])]
    rmSync(copy, { recursive: true, force: true })
    return { results, copied }
  })

export const run = async (): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const layout = fresh("flips")
  let tried = 0
  const at = Effect.provide(OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer)))
  const program = Effect.gen(function*() {
    yield* exportImage(layout, { name: "one", version: "1", bytes: 5000 })
    const blobs = yield* StoreContent.blobs(layout)
    const roots = yield* StoreContent.roots(layout)
    for (const blob of blobs) {
      const path = blobPath(layout, blob.digest)
      const bytes = readFileSync(path)
      for (const { bytes: damaged, error, finding, how } of damages(bytes)) {
        tried++
        writeFileSync(path, damaged)
        const where = `${Digest.encoded(blob.digest).slice(0, 8)} with ${how}`
        const { copied, results } = yield* readers(blob)
        for (const [reader, result] of Object.entries<Result.Result<unknown, Error>>(results)) {
          const tags = Result.isFailure(result) ? tagsOf(result.failure) : ["no error"]
          // Whoever had parsed it would tell of JSON
          if (tags.at(-1) !== error) add(where, `${reader} finds ${tags.join(", ")}`)
        }
        if (copied.length > 0) add(where, "a copy of it has a name")
        const sizes = yield* StoreContent.blobs(layout)
        const { findings } = yield* Verification.check({ blobs: sizes, roots })
        if (!findings.some((found) => found.digest === blob.digest && found.problem === finding)) {
          add(where, `verify finds ${JSON.stringify(findings)}`)
        }
      }
      writeFileSync(path, bytes)
    }
    return blobs.length
  }).pipe(at)
  const blobs = await Effect.runPromise(program)
  rmSync(layout, { recursive: true })
  return { figure: `${tried} damages of ${blobs} blobs, each for a reader, two copies and verify`, problems: all }
}
