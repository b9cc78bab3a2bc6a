const limit = 120

// Controls, marks that turn the direction of text, halves of characters: harmless in JSON, not on a terminal.
const unsafe = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu

const printable = (text: string): string =>
  text.replace(unsafe, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)

const cut = (text: string): string => text.length > limit ? `${text.slice(0, limit)}…` : text

/** Quotes foreign text for an error message: on one line, printable, and cut where it is long. */
export const quote = (text: string): string => printable(JSON.stringify(cut(text)))

/** Does what `quote` does, without the quotes: for JSON pointers. */
export const unquoted = (text: string): string => quote(text).slice(1, -1)

/** Shows a JSON text, which needs no further quotes. */
export const excerpt = (json: string): string => printable(cut(json))
