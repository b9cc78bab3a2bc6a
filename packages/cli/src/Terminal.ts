/**
 * Lines for people, on stderr.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import process from "node:process"

/**
 * Tells whether text for `stream` may be coloured: it is a terminal, and neither `NO_COLOR` nor `TERM=dumb` asks for
 * plain text.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasColors = (stream: NodeJS.WriteStream): boolean => stream.isTTY && stream.hasColors()

/**
 * Tells whether a line of `stream` can be written over: it is a terminal that knows how to.
 *
 * @category guards
 * @since 0.1.0
 */
export const canRewrite = (stream: NodeJS.WriteStream): boolean => stream.isTTY && process.env["TERM"] !== "dumb"

const styles = { error: "31", warning: "33", notice: "36", debug: "2" } as const

/**
 * Shows control characters instead of sending them: a file's name must not be able to steer the terminal. Tabs and ends
 * of lines stay.
 *
 * @category formatting
 * @since 0.1.0
 */
export const printable = (text: string): string =>
  text.replace(
    // oxlint-disable-next-line no-control-regex
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`
  )

/**
 * A message behind its label, as in `warning: the clock decides the digest`, for stderr or another stream. Further lines
 * are indented under it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const labelled = (
  label: keyof typeof styles,
  message: string,
  stream: NodeJS.WriteStream = process.stderr
): string => {
  const styled = hasColors(stream) ? `\x1b[1;${styles[label]}m${label}:\x1b[0m` : `${label}:`
  return `${styled} ${indented(message)}`
}

/**
 * Makes a message safe to print, its further lines indented by two spaces.
 *
 * @category formatting
 * @since 0.1.0
 */
export const indented = (message: string): string => printable(message).replaceAll(/\n(?!\n)/g, "\n  ")

/**
 * Writes lines to stderr. Never fails: where stderr is closed there is nobody to tell.
 *
 * @category writing
 * @since 0.1.0
 */
export const writeError = (lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.callback((resume) => {
    process.stderr.write(`${lines.join("\n")}\n`, () => resume(Effect.void))
  })
