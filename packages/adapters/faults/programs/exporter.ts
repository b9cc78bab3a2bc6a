/**
 * Exports images as it is told, a line each: `DIRECTORY NAME VERSION [BYTES]`. Prints `ready` when it listens, and for each line
 * `ok NAME VERSION` when the image has its name, or `failed NAME TAG CODE MESSAGE`.
 *
 * usage: node exporter.js [--durability LEVEL] [--hasty-blobs]
 *
 * With `--hasty-blobs` no blob is flushed before what names it: so one knows that a check of power cuts would see that.
 */
import * as Durability from "@effect-oci/adapters/Durability"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { stat } from "node:fs/promises"
import process from "node:process"
import { createInterface } from "node:readline"
import { parseArgs } from "node:util"
import { Files } from "../../src/internal/files.ts"
import { exportImage } from "../image.ts"
import { hastyBlobs } from "./hastyBlobs.ts"

const { values } = parseArgs({
  options: { durability: { type: "string", default: "full" }, "hasty-blobs": { type: "boolean", default: false } }
})
const durability = Durability.levels.find((level) => level === values.durability) ?? "full"

const inCauses = (error: unknown): ReadonlyArray<Error> =>
  error instanceof Error ? [error, ...inCauses(error.cause)] : []

const tell = (name: string, error: Error & { readonly _tag: string }): string => {
  const causes = inCauses(error).filter((error) => "_tag" in error)
  const code = causes.flatMap((error) => "code" in error ? [error.code] : [])
  const messages = causes.map(({ message }) => message.replaceAll("\n", " "))
  return `failed ${name} ${error._tag} ${code.join()} ${messages.join(": ")}\n`
}

const run = Effect.fnUntraced(function*(line: string) {
  const [directory = "", name = "", version = "", bytes = "300"] = line.split(" ")
  const files = yield* Files
  const done = yield* exportImage(directory, { name, version, bytes: Number(bytes), durability }).pipe(
    Effect.provideService(Files, values["hasty-blobs"] ? hastyBlobs(files) : files),
    Effect.result
  )
  return Result.isSuccess(done) ? `ok ${name} ${version}\n` : tell(name, done.failure)
})

// Starts the thread for files
await stat(".")
process.stdout.write("ready\n")
for await (const line of createInterface(process.stdin)) {
  const answer = await Effect.runPromise(run(line))
  process.stdout.write(answer)
}
