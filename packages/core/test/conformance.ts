/**
 * Runs files of golden vectors and ends with `N passed, N failed`.
 *
 * usage: conformance [--verbose] FILE…      (JSON Lines, plain or gzipped)
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import * as Buildkit2026 from "./conformance/buildkit2026.ts"
import * as Seed2019 from "./conformance/seed2019.ts"
import * as Vector from "./conformance/Vector.ts"

const suites = { seed2019: Seed2019.operations, buildkit2026: Buildkit2026.operations }

const decode = Schema.decodeUnknownSync(Vector.Vector)

/** Reads the vectors of a file. */
export const read = (file: string): ReadonlyArray<Vector.Vector> => {
  const bytes = readFileSync(file)
  const text = (bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes).toString("utf8")
  return text.split("\n").filter((line) => line.trim() !== "").map((line) => decode(JSON.parse(line)))
}

/** Runs one vector and gives its differences. */
export const run = (vector: Vector.Vector): Effect.Effect<ReadonlyArray<string>> =>
  Vector.run(vector, suites[vector.suite])

const main = Effect.fnUntraced(function*(args: ReadonlyArray<string>) {
  const isVerbose = args.includes("--verbose")
  const files = args.filter((arg) => !arg.startsWith("--"))
  if (files.length === 0) {
    process.stderr.write("usage: conformance [--verbose] FILE…\n")
    return 2
  }
  let passed = 0
  let failed = 0
  for (const file of files) {
    for (const vector of read(file)) {
      const differences = yield* run(vector)
      if (differences.length === 0) {
        passed++
        continue
      }
      failed++
      const note = vector.note === undefined ? "" : ` (${vector.note})`
      process.stdout.write(`FAILED ${vector.id} ${vector.op}${note}\n`)
      if (isVerbose) { for (const difference of differences) process.stdout.write(`  ${difference}\n`) }
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  return failed === 0 && passed > 0 ? 0 : 1
})

if (import.meta.main) {
  Effect.runPromise(main(process.argv.slice(2))).then((code) => {
    process.exitCode = code
  })
}
