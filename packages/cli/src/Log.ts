/**
 * The log: plain lines on stderr, as in `warning: the clock decides the digest`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Inspectable from "effect/Inspectable"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import process from "node:process"
import * as Terminal from "./Terminal.ts"

const label = (level: LogLevel.LogLevel): Parameters<typeof Terminal.labelled>[0] | undefined => {
  switch (level) {
    case "Fatal":
    case "Error":
      return "error"
    case "Warn":
      return "warning"
    case "Info":
      return undefined
    default:
      return "debug"
  }
}

const logger = Logger.make<unknown, void>(({ cause, logLevel, message }) => {
  const parts = Array.isArray(message) ? message : [message]
  const text = [
    parts.map((part) => typeof part === "string" ? part : Inspectable.toStringUnknown(part)).join(" "),
    ...(cause.reasons.length === 0 ? [] : [Cause.pretty(cause)])
  ].join("\n")
  const name = label(logLevel)
  process.stderr.write(`${name === undefined ? Terminal.indented(text) : Terminal.labelled(name, text)}\n`)
})

/**
 * Replaces Effect's logger, which writes to stdout.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Logger.layer([logger])
