/**
 * Text in columns, for people.
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import * as Terminal from "./Terminal.ts"

/**
 * A row of cells.
 *
 * @category models
 * @since 0.1.0
 */
export type Row = ReadonlyArray<string>

/** A cell is one line, whatever is in it. */
const cell = (text: string): string =>
  Terminal.printable(text.trim().replaceAll(/\s*\n\s*/g, " ").replaceAll("\t", " "))

/**
 * Lines of which the cells stand in columns, two spaces apart. `right` are the columns, counted from 0, that are set to
 * the right. An empty cell is a dash.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (rows: ReadonlyArray<Row>, right: ReadonlyArray<number> = []): string => {
  const cells = rows.map((row) => row.map((text) => cell(text) || "-"))
  const widths: Array<number> = []
  for (const row of cells) {
    row.forEach((text, column) => {
      widths[column] = Math.max(widths[column] ?? 0, text.length)
    })
  }
  return cells.map((row) =>
    row.map((text, column) => {
      const width = widths[column] ?? 0
      return right.includes(column) ? text.padStart(width) : text.padEnd(width)
    }).join("  ").trimEnd()
  ).join("\n")
}

/**
 * A number of bytes as people read it, such as `12.3 KiB`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const size = (bytes: number): string => ByteSize.format(ByteSize.bytes(bytes), { precision: 1 })

/**
 * A number of bytes as people read it, and exactly, such as `12.3 KiB (12595 bytes)`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const exactSize = (bytes: number): string => bytes < 1024 ? `${bytes} bytes` : `${size(bytes)} (${bytes} bytes)`
