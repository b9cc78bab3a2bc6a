import * as Json from "@effect-oci/schema/Json"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { execFileSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Input from "../src/Input.ts"
import { temporary } from "./harness.ts"

const read = (path: string, stdin: Stream.Stream<Uint8Array> = Stream.empty) =>
  Input.read(path, "image config").pipe(
    Effect.provide(Layer.provideMerge(Stdio.layerTest({ stdin }), NodeServices.layer))
  )

describe("Input", () => {
  it.effect("reads a file of 4 MiB, and not one of a byte more", () =>
    Effect.gen(function*() {
      const file = join(temporary(), "config.json")
      writeFileSync(file, new Uint8Array(Json.maxBytes))
      assert.strictEqual((yield* read(file)).length, Json.maxBytes)
      writeFileSync(file, new Uint8Array(Json.maxBytes + 1))
      const error = yield* Effect.flip(read(file))
      assert.strictEqual(error._tag, "LimitExceeded")
      assert.include(error.message, "the image config has 4194305 bytes")
    }))

  it.effect("reads no more of a stdin that never ends", () =>
    Effect.gen(function*() {
      let chunks = 0
      const endless = Stream.forever(Stream.sync(() => {
        chunks++
        return new Uint8Array(64 * 1024)
      }))
      assert.strictEqual((yield* Effect.flip(read("-", endless)))._tag, "LimitExceeded")
      assert.isAtMost(chunks, 80)
      const parts = Stream.make(new Uint8Array([1, 2]), new Uint8Array([3]))
      assert.deepStrictEqual(yield* read("-", parts), new Uint8Array([1, 2, 3]))
    }))

  it.effect("tells what is no file, and waits for none", () =>
    Effect.gen(function*() {
      const directory = temporary()
      execFileSync("mkfifo", [join(directory, "fifo")])
      mkdirSync(join(directory, "directory"))
      for (
        const [name, found] of [["fifo", "a FIFO"], ["directory", "a directory"], [
          "none",
          "nothing of that name"
        ]] as const
      ) {
        const error = yield* Effect.flip(read(join(directory, name)))
        assert.strictEqual(error._tag, "InputUnreadable")
        assert.include(error.message, `cannot read the image config from ${join(directory, name)}`)
        assert.include(error.message, `expected a file, found ${found}`)
      }
      assert.include((yield* Effect.flip(read("/dev/zero"))).message, "found a device")
    }))
})
