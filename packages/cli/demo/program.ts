/**
 * Makes a chain of three refs from this repository's own files, exports it with a config to `out/`, reads everything back
 * and tells what there is. Every time in it is fixed, so one commit gives one digest.
 */
import * as CacheRefFileSystem from "@effect-oci/adapters/CacheRefFileSystem"
import * as FileTree from "@effect-oci/adapters/FileTree"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as Compression from "@effect-oci/core/Compression"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import * as Json from "@effect-oci/schema/Json"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import * as Failure from "../src/Failure.ts"
import * as Image from "../src/Image.ts"
import * as Output from "../src/Output.ts"
import * as Process from "../src/Process.ts"
import * as RefSummary from "../src/RefSummary.ts"
import * as Table from "../src/Table.ts"

process.chdir(join(import.meta.dirname, "../../.."))

const directory = "out"
const tag = "demo"
const platform = { os: "linux", architecture: "amd64" }

const steps = [
  { name: "schema", created: "2026-01-01T00:00:00.123456789Z" },
  { name: "core", parent: "schema", created: "2026-01-01T00:01:00Z" },
  { name: "adapters", parent: "core", created: "2026-01-01T00:02:00+02:00" }
]

class WrongDiffId extends Schema.TaggedError<WrongDiffId>("demo/WrongDiffId")("WrongDiffId", {
  expected: Schema.UndefinedOr(Schema.String),
  found: Schema.String
}) {
  override get message() {
    return `a layer is not what the config says: expected the diff ID ${this.expected}, found ${this.found}`
  }
}

const addRefs = Effect.gen(function*() {
  const refs = yield* RefStore.RefStore
  for (const { created, name, parent } of steps) {
    const source = `packages/${name}/src`
    const at = `/opt/effect-oci/${name}`
    const layer = yield* FileTree.store(source, { at })
    const document = {
      ...(parent === undefined ? {} : { parent }),
      description: `COPY ${source} ${at}`,
      created: yield* Effect.fromResult(Timestamp.parse(created)),
      ...RefDocument.ofLayer(layer)
    }
    yield* refs.add(name, document, { replace: true })
  }
  const top = yield* CacheRef.CacheRef.use((source) => source.acquire("adapters"))
  return RefSummary.fromChain(yield* CacheRef.chain(top))
}).pipe(Effect.scoped)

const exportImage = Effect.gen(function*() {
  const config = readFileSync(join(import.meta.dirname, "config.json"))
  const image = yield* ExportImage.run({ ref: "adapters", platform, config }, { rules: Compatibility.standard })
  yield* ImageStore.ImageStore.use((images) => images.tag(Option.some(tag), image.descriptor))
}).pipe(Effect.provide(OciLayout.layer(directory)))

const diffIdOf = (layer: Image.Layer) =>
  Effect.gen(function*() {
    const blobs = yield* BlobStore.BlobStore
    const { decompress } = yield* Compression.Compression
    const hasher = yield* Hash.Hash.useSync((hash) => hash.make("sha256"))
    yield* Stream.runForEach(decompress("gzip")(blobs.get(layer.descriptor)), (bytes) =>
      Effect.sync(() => hasher.update(bytes)))
    return hasher.digest()
  })

/** Reads all of an image back: its store verifies every byte against the digests, and we the diff IDs. */
const readBack = Effect.gen(function*() {
  const descriptor = yield* ImageStore.ImageStore.use((images) => images.resolve(Option.some(tag)))
  const image = yield* Image.read(descriptor)
  if (image._tag !== "Image") return yield* new Image.NoConfig(descriptor)
  for (const layer of image.layers) {
    const found = yield* diffIdOf(layer)
    if (found !== layer.diffId) return yield* new WrongDiffId({ expected: layer.diffId, found })
  }
  return image
}).pipe(Effect.provide(OciLayout.layer(directory)))

const section = (title: string, text: string) => Output.line(`\n${title}\n\n${text.replaceAll(/^(?=.)/gm, "  ")}`)

const program = Effect.gen(function*() {
  const start = yield* Clock.currentTimeMillis
  const refs = yield* addRefs
  yield* exportImage
  const image = yield* readBack
  const seconds = ((yield* Clock.currentTimeMillis) - start) / 1000

  const { config, descriptor, history, layers, manifest } = image
  const blobs = [descriptor, manifest.value.config, ...layers.map((layer) => layer.descriptor)]
  const bytes = blobs.reduce((sum, { size }) => sum + size, 0)
  yield* Output.line(`An image of this repository's own files: ${directory}/, tag ${tag}`)
  yield* section(
    "The refs it is made from: layers with a name, each on top of the one before",
    Table.format([RefSummary.columns, ...refs.map(RefSummary.row)], [3])
  )
  yield* section(
    `What was written, as BuildKit would (${Compatibility.standard.name})`,
    Table.format([
      ["WHAT", "SIZE", "DIGEST"],
      ["manifest", Table.size(descriptor.size), descriptor.digest],
      ["config", Table.size(manifest.value.config.size), manifest.value.config.digest],
      ...layers.map(({ descriptor }, index) => [`layer ${index}`, Table.size(descriptor.size), descriptor.digest])
    ], [1])
  )
  yield* section(
    "Its history: three entries came with the config, the refs gave the two that were missing",
    Table.format([
      ["LAYER", "CREATED", "CREATED BY"],
      ...history.map(({ item, layer }) => [
        layer === undefined ? "" : String(layer),
        item.created === undefined ? "" : Timestamp.format(item.created),
        item.created_by ?? ""
      ])
    ], [0])
  )
  const unknown = config === undefined ? undefined : Json.member(config.document, "x-demo")
  yield* section(
    "Read back, and true",
    `${blobs.length} blobs, ${Table.size(bytes)}: every size, digest and diff ID is as it should be.\n` +
      `What no tool knows in the config has kept its spelling: "x-demo":${unknown}\n` +
      `All of this took ${seconds.toFixed(1)} s.`
  )
  yield* section(
    "What to try next",
    [
      `node_modules/.bin/effect-oci inspect oci:${directory}:${tag}`,
      `node_modules/.bin/effect-oci ref show adapters --store ${directory}`,
      `node_modules/.bin/effect-oci export core --store ${directory} --to oci:${directory}:smaller`,
      `node_modules/.bin/effect-oci --help`,
      `skopeo copy oci:${directory}:${tag} docker-archive:demo.tar    # where skopeo is installed`
    ].join("\n")
  )
})

Process.run((stop) =>
  program.pipe(
    Effect.tapCause(Failure.report({ json: false, debug: true })),
    Effect.provide(Layer.mergeAll(
      Output.layer(process.stdout, () => stop(0)),
      Layer.provideMerge(CacheRefFileSystem.layer(directory), Layer.merge(NodeHash.layer, NodeCompression.layer))
    ))
  ), Failure.exitCode)
