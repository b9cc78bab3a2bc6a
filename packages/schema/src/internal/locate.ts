/**
 * Finds the place of a path in a JSON text that `scan` has found clean: for messages, so only ever for what is refused.
 */

/** A step into an object or a list. */
export type Step = string | number

const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9

const skipSpace = (text: string, index: number): number => {
  let at = index
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

const skipString = (text: string, index: number): number => {
  let at = index + 1
  while (text[at] !== "\"") at += text[at] === "\\" ? 2 : 1
  return at + 1
}

/** Steps over one value, whatever its depth. */
const skipValue = (text: string, index: number): number => {
  let at = index
  let depth = 0
  do {
    const character = text[at]
    if (character === "\"") {
      at = skipString(text, at)
      continue
    }
    if (character === "{" || character === "[") depth++
    else if (character === "}" || character === "]") depth--
    else if (depth === 0) {
      while (at < text.length && !/[\s,\]}]/.test(text.charAt(at))) at++
      return at
    }
    at++
  } while (depth > 0 && at < text.length)
  return at
}

/** The range of the value at a path; of the innermost value that is there, where the path leads past it. */
export const locate = (text: string, path: ReadonlyArray<Step>): readonly [start: number, end: number] => {
  let start = skipSpace(text, 0)
  for (const step of path) {
    const close = typeof step === "string" ? "}" : "]"
    let at = skipSpace(text, start + 1)
    let position = 0
    let inside = -1
    while (at < text.length && text[at] !== close) {
      let isWanted = position === step
      if (typeof step === "string") {
        const end = skipString(text, at)
        isWanted = JSON.parse(text.slice(at, end)) === step
        at = skipSpace(text, skipSpace(text, end) + 1)
      }
      if (isWanted) {
        inside = at
        break
      }
      at = skipSpace(text, skipValue(text, at))
      if (text[at] === ",") at = skipSpace(text, at + 1)
      position++
    }
    if (inside < 0) break
    start = inside
  }
  return [start, skipValue(text, start)]
}
