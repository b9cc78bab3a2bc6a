/**
 * Times the whole export of an image with 127 layers and 500 history items, refs and blobs in memory and hashes included,
 * against `JSON.parse` and `JSON.stringify` of its config and manifest, in one run. The layers are in the store already.
 *
 * usage: bench export
 */
import * as CacheRefMemory from "@effect-oci/adapters/CacheRefMemory"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportImage from "@effect-oci/core/ExportImage"
import * as MediaType from "@effect-oci/schema/MediaType"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const layers = 127
const items = 500
const limit = 10

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Each layer has a few steps of its own, most of them without a layer; the newest layers have none yet. */
const history = Array.from({ length: items }, (_, index) => ({
  created: `2025-03-17T04:${String(Math.floor(index / 60) % 60).padStart(2, "0")}:${
    String(index % 60).padStart(2, "0")
  }.123456789Z`,
  created_by: `RUN /bin/sh -c apt-get install -y --no-install-recommends package-${index} # buildkit`,
  comment: "buildkit.dockerfile.v0",
  ...(index % 4 === 0 && index < 480 ? {} : { empty_layer: true })
}))

const config = encoder.encode(JSON.stringify({
  architecture: "amd64",
  config: { Env: ["PATH=/usr/bin"], Cmd: ["/app"], WorkingDir: "/", Labels: { "org.example.team": "platform" } },
  history,
  os: "linux"
}))

const settings = { rules: Compatibility.standard }
const image = { ref: `ref-${layers}`, config, platform: { os: "linux", architecture: "amd64" } }

const program = Effect.gen(function*() {
  const store = yield* BlobStore.BlobStore
  const refs = yield* Effect.forEach(
    Array.from({ length: layers }),
    (_, index) =>
      Effect.map(BlobStore.putBytes(encoder.encode(`layer ${index}`)), (blob) => ({
        description: `RUN step ${index}`,
        createdAt: { seconds: 1_742_185_000 + index, nanoseconds: 5, offset: "Z" as const },
        layer: { descriptor: { mediaType: MediaType.layerGzip, ...blob }, diffId: blob.digest }
      }))
  )

  return yield* Effect.gen(function*() {
    const { configs, descriptor } = yield* ExportImage.run(image, settings)
    const documents = yield* Effect.forEach(
      [...configs, descriptor],
      (blob) => Effect.map(BlobStore.getBytes(blob), (bytes) => decoder.decode(bytes))
    )

    const time = <E, R>(run: Effect.Effect<unknown, E, R>, rounds: number) =>
      Effect.gen(function*() {
        const start = performance.now()
        for (let round = 0; round < rounds; round++) yield* run
        return (performance.now() - start) / rounds
      })
    const json = Effect.sync(() => documents.map((text) => JSON.stringify(JSON.parse(text)).length))
    const exporting = ExportImage.run(image, settings)

    yield* time(json, 100)
    yield* time(exporting, 100)
    const samples = yield* Effect.forEach(
      Array.from({ length: 15 }),
      () => Effect.all({ json: time(json, 40), exporting: time(exporting, 20) })
    )
    return { samples, bytes: documents.reduce((sum, text) => sum + text.length, 0) }
  }).pipe(
    Effect.provide(CacheRefMemory.layer(CacheRefMemory.chain(refs))),
    Effect.provideService(BlobStore.BlobStore, store)
  )
}).pipe(Effect.provide(MemoryStore.layer.pipe(Layer.provideMerge(NodeHash.layer))))

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

const { bytes, samples } = await Effect.runPromise(program)
const ratio = median(samples.map(({ exporting, json }) => exporting / json))
process.stdout.write(
  `${layers} layers, ${items} history items, ${bytes} bytes: JSON.parse + JSON.stringify ` +
    `${median(samples.map(({ json }) => json)).toFixed(3)} ms, export ` +
    `${median(samples.map(({ exporting }) => exporting)).toFixed(3)} ms\nratio ${ratio.toFixed(2)} (at most ${limit})\n`
)
process.exitCode = ratio <= limit ? 0 : 1
