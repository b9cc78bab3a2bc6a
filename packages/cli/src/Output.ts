/**
 * Where results go: stdout, and nothing but results. Logs, progress and help for a wrong usage go to stderr.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { Writable } from "node:stream"
import * as Json from "./Json.ts"

/**
 * Stdout does not take what is written to it: a full disk, for example.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutputFailed extends Schema.TaggedError<OutputFailed>("@effect-oci/cli/OutputFailed")("OutputFailed", {
  cause: Schema.Defect()
}) {
  override get message() {
    return "failed to write the result to stdout"
  }
}

/**
 * The sink of a command's results. `write` is done when the text (as UTF-8) or bytes are handed on, so a slow reader
 * slows the writer down. A reader that has gone away is no failure: it interrupts the program, quietly.
 *
 * @category services
 * @since 0.1.0
 */
export class Output extends Context.Service<Output, {
  readonly write: (data: string | Uint8Array) => Effect.Effect<void, OutputFailed>
}>()("@effect-oci/cli/Output") {}

const isClosed = (error: Error): boolean =>
  "code" in error && (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED")

/**
 * Writes to `stream` and calls `onClosed` when its reader has gone away.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (stream: Writable, onClosed: () => void): Layer.Layer<Output> =>
  Layer.sync(Output, () => {
    // Without a listener the stream's error would be an uncaught exception; `write` below reports it
    stream.on("error", (error) => isClosed(error) && onClosed())
    return {
      write: (data) =>
        Effect.callback((resume) => {
          stream.write(data, (error) => {
            if (!error) return resume(Effect.void)
            if (!isClosed(error)) return resume(Effect.fail(new OutputFailed({ cause: error })))
            onClosed()
            return resume(Effect.interrupt)
          })
        })
    }
  })

/**
 * Writes text, or bytes as they are.
 *
 * @category writing
 * @since 0.1.0
 */
export const write = (data: string | Uint8Array): Effect.Effect<void, OutputFailed, Output> =>
  Output.use((output) => output.write(data))

/**
 * Writes text and ends the line.
 *
 * @category writing
 * @since 0.1.0
 */
export const line = (text: string): Effect.Effect<void, OutputFailed, Output> => write(`${text}\n`)

/**
 * Writes a value as one line of JSON; for what JSON lacks see {@link Json.stringify}.
 *
 * @category writing
 * @since 0.1.0
 */
export const json = (value: unknown): Effect.Effect<void, OutputFailed, Output> => line(Json.stringify(value))
