import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as ImageTree from "@effect-oci/core/ImageTree"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { indexType, manifestType, type Members, parsed } from "./images.ts"
import { Memory } from "./places.ts"

const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

/** Puts a document with other members into a store, an image or an index of one, in which it is `as`. */
const put = (memory: Memory, kind: "manifest" | "index", members: Members, as: string) => {
  const { config, layers, manifest } = memory.image()
  const document = kind === "manifest"
    ? { schemaVersion: 2, mediaType: manifestType, config, layers, ...members }
    : { schemaVersion: 2, mediaType: indexType, manifests: [manifest], ...members }
  return { ...memory.putJson(as, document), mediaType: as }
}

/** Reads all documents of an image, and copies it; both tell the same. */
const read = Effect.fnUntraced(function*(memory: Memory, image: { mediaType: string; digest: string; size: number }) {
  const target = new Memory()
  const source = yield* memory.place
  const tree = yield* Effect.result(
    Effect.provideService(ImageTree.get(parsed(image)), BlobStore.BlobStore, source.blobs)
  )
  const copied = yield* Effect.result(
    Copy.image(parsed(image), { source, target: yield* target.place, as: Option.none(), all: true })
  )
  assert.strictEqual(Result.isSuccess(copied), Result.isSuccess(tree))
  if (Result.isSuccess(tree)) return undefined
  if (Result.isSuccess(copied) || copied.failure._tag !== "DocumentUnreadable") return "something else"
  assert.deepStrictEqual(copied.failure, tree.failure)
  assert.strictEqual(target.contents.size, 0)
  return copied.failure.cause
}, Effect.provide(NodeHash.layer))

describe("ImageTree", () => {
  const values = [[], null, [{}]]
  const foreign: ReadonlyArray<readonly ["manifest" | "index", string]> = [
    ["manifest", "manifests"],
    ["manifest", "Manifests"],
    ["manifest", "manife\u017ft\u017f"],
    ["manifest", "fsLayers"],
    ["manifest", "FSLAYERS"],
    ["index", "config"],
    ["index", "layers"],
    ["index", "Layers"],
    ["index", "layer\u017f"],
    ["index", "fsLayers"]
  ]

  it.effect.each(foreign)(
    "refuses %s with the member %s, whatever it holds",
    ([kind, member]) =>
      Effect.gen(function*() {
        for (const value of values) {
          const memory = new Memory()
          const image = put(memory, kind, { [member]: value }, kind === "manifest" ? manifestType : indexType)
          assert.deepStrictEqual(
            yield* read(memory, image),
            new ImageTree.AmbiguousDocument({ kind, members: [member] })
          )
        }
      })
  )

  const others: ReadonlyArray<readonly ["manifest" | "index", string, string]> = [
    ["manifest", manifestType, dockerManifest],
    ["manifest", dockerManifest, manifestType],
    ["manifest", manifestType, indexType],
    ["manifest", manifestType, "application/json"],
    ["index", indexType, dockerList],
    ["index", dockerList, indexType],
    ["index", indexType, manifestType]
  ]

  it.effect.each(others)("refuses %s of the type %s that says %s", ([kind, as, mediaType]) =>
    Effect.gen(function*() {
      const memory = new Memory()
      const image = put(memory, kind, { mediaType }, as)
      assert.deepStrictEqual(
        yield* read(memory, image),
        new ImageTree.AmbiguousDocument({ kind, members: ["mediaType"] })
      )
    }))

  it("tells what does not fit, and what to do", () => {
    assert.strictEqual(
      new ImageTree.AmbiguousDocument({ kind: "index", members: ["config", "layers"] }).message,
      `"config" and "layers" do not fit an index as its descriptor has it, and programs differ in what they take it for: ` +
        `have it written again, as one kind of document`
    )
  })

  it.effect.each<readonly ["manifest" | "index", string, Members]>([
    ["manifest", manifestType, {}],
    ["manifest", dockerManifest, { mediaType: dockerManifest }],
    ["manifest", manifestType, { mediaType: undefined }],
    ["manifest", manifestType, { mediaType: null }],
    ["manifest", manifestType, { "org.example.manifests": [], blobs: [], layersum: 1 }],
    ["index", indexType, {}],
    ["index", dockerList, { mediaType: dockerList }],
    ["index", indexType, { mediaType: undefined }],
    ["index", indexType, { configs: [], "org.example": { layers: [] } }]
  ])("reads %s of the type %s with %j", ([kind, as, members]) =>
    Effect.gen(function*() {
      const memory = new Memory()
      assert.isUndefined(yield* read(memory, put(memory, kind, members, as)))
    }))
})
