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

interface Place {
  readonly start: number
  readonly end: number
  inside?: ReadonlyMap<Step, Place>
}

/** The places of what an object or a list holds, by name or by position. */
const placesInside = (text: string, { start }: Place): ReadonlyMap<Step, Place> => {
  const inside = new Map<Step, Place>()
  const isObject = text[start] === "{"
  if (!isObject && text[start] !== "[") return inside
  const close = isObject ? "}" : "]"
  let at = skipSpace(text, start + 1)
  while (at < text.length && text[at] !== close) {
    let step: Step = inside.size
    if (isObject) {
      const end = skipString(text, at)
      step = String(JSON.parse(text.slice(at, end)))
      at = skipSpace(text, skipSpace(text, end) + 1)
    }
    const end = skipValue(text, at)
    inside.set(step, { start: at, end })
    at = skipSpace(text, end)
    if (text[at] === ",") at = skipSpace(text, at + 1)
  }
  return inside
}

const lineStarts = (text: string): ReadonlyArray<number> => {
  const starts = [0]
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1)
  return starts
}

/** Where a value stands: its range, its line and its column. */
export interface Location {
  readonly start: number
  readonly end: number
  readonly line: number
  readonly column: number
}

/**
 * Makes a finder of places in a text: of the value at a path, or of the innermost value that is there, where the path
 * leads past it. Each object and list is walked once, however many places in it are asked for.
 */
export const locator = (text: string): (path: ReadonlyArray<Step>) => Location => {
  const start = skipSpace(text, 0)
  const root: Place = { start, end: skipValue(text, start) }
  const lines = lineStarts(text)

  const lineOf = (offset: number): number => {
    let low = 0
    let high = lines.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if ((lines[middle] ?? 0) <= offset) low = middle
      else high = middle
    }
    return low
  }

  return (path) => {
    let place = root
    for (const step of path) {
      place.inside ??= placesInside(text, place)
      const next = place.inside.get(step)
      if (next === undefined) break
      place = next
    }
    const line = lineOf(place.start)
    return { start: place.start, end: place.end, line: line + 1, column: place.start - (lines[line] ?? 0) + 1 }
  }
}
