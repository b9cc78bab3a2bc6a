/**
 * Times the work that an export does on a config (read it, parse its history, normalize, patch) against `JSON.parse` and
 * `JSON.stringify` of the same bytes, in one run.
 *
 * usage: bench config [DIR]      (DIR holds config files; without it, realistic ones are made)
 */
import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as LayerHistory from "@effect-oci/core/LayerHistory"
import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Result from "effect/Result"
import { readdirSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { realisticConfigs } from "./configs.ts"

const readConfigs = (directory: string): ReadonlyArray<Uint8Array> =>
  readdirSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => new Uint8Array(readFileSync(path)))
    .filter((bytes) => Result.isSuccess(ImageConfig.parse(bytes)))

const rules = Compatibility.moby2019

const withExporter = (bytes: Uint8Array): number => {
  const document = Result.getOrThrow(ExportConfig.read(bytes))
  const history = Result.getOrThrow(ExportConfig.parseHistory(document))
  const layers = history?.filter((item) => item.empty_layer !== true).length ?? 0
  const normalized = Result.getOrThrow(
    LayerHistory.normalize({ history, layers, metadata: Array.from({ length: layers }, () => metadata), rules })
  )
  return Result.getOrThrow(ExportConfig.patch(document, { diffIds: [], history: normalized.history, rules })).length
}

const metadata = { description: "COPY app /app" }

const decoder = new TextDecoder()
const encoder = new TextEncoder()

const withJson = (bytes: Uint8Array): number => encoder.encode(JSON.stringify(JSON.parse(decoder.decode(bytes)))).length

const configs = process.argv[2] === undefined ? realisticConfigs() : readConfigs(process.argv[2])
if (configs.length === 0) {
  process.stderr.write("bench config: no image config was found\n")
  process.exit(1)
}

const time = (run: (bytes: Uint8Array) => number, rounds: number): number => {
  const start = performance.now()
  for (let round = 0; round < rounds; round++) for (const config of configs) run(config)
  return (performance.now() - start) / rounds
}

const median = (values: ReadonlyArray<number>): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0

// Alternating, so that a slow moment of the machine meets both.
const rounds = Math.max(1, Math.ceil(60 / Math.max(0.05, time(withExporter, 3))))
time(withJson, rounds)
const samples = Array.from(
  { length: 15 },
  () => ({ json: time(withJson, rounds), exporter: time(withExporter, rounds) })
)
const json = median(samples.map((sample) => sample.json))
const exporter = median(samples.map((sample) => sample.exporter))
const ratio = median(samples.map((sample) => sample.exporter / sample.json))
const bytes = configs.reduce((sum, config) => sum + config.length, 0)

process.stdout.write(
  `${configs.length} configs, ${bytes} bytes: JSON.parse + JSON.stringify ${json.toFixed(3)} ms, ` +
    `exporter ${exporter.toFixed(3)} ms\n` +
    `ratio ${ratio.toFixed(2)} (at most 8, aim for 5)\n`
)
process.exitCode = ratio <= 8 ? 0 : 1
