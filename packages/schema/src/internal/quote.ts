const limit = 120

// Controls, and the marks that turn the direction of text: harmless in JSON, not on a terminal.
const unsafe = /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Quotes foreign text for an error message: on one line, printable, and cut where it is long. */
export const quote = (text: string): string =>
  JSON.stringify(text.length > limit ? `${text.slice(0, limit)}…` : text)
    .replace(unsafe, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)
