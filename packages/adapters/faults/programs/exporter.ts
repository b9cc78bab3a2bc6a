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

const inCauses = (error: unknown): string | undefined => {
  for (let at = error; at instanceof Error; at = at.cause) {
    if ("_tag" in at && at._tag === "StoreIo" && "code" in at) return String(at.code)
  }
  return undefined
}

const run = Effect.fnUntraced(function*(line: string) {
  const [directory = "", name = "", version = "", bytes = "300"] = line.split(" ")
  const files = yield* Files
  const done = yield* exportImage(directory, { name, version, bytes: Number(bytes), durability }).pipe(
    Effect.provideService(Files, values["hasty-blobs"] ? hastyBlobs(files) : files),
    Effect.result
  )
  return Result.isSuccess(done)
    ? `ok ${name} ${version}\n`
    : `failed ${name} ${done.failure._tag} ${inCauses(done.failure)} ${done.failure.message.replaceAll("\n", " ")}\n`
})

process.stdout.write("ready\n")
for await (const line of createInterface(process.stdin)) {
  const answer = await Effect.runPromise(run(line))
  process.stdout.write(answer)
}
