/**
 * Finds the places of paths in a JSON text that `scan` has found clean: for messages, so only ever for what is refused.
 */

/** A step into an object or a list. */
export type Step = string | number

/** Where a value stands: its range, its line and its column. */
export interface Location {
  readonly start: number
  readonly end: number
  readonly line: number
  readonly column: number
}

const quote = 34
const comma = 44
const openBracket = 91
const backslash = 92
const closeBracket = 93
const openBrace = 123
const closeBrace = 125

const isSpace = (code: number): boolean => code === 32 || code === 10 || code === 13 || code === 9

const skipSpace = (text: string, index: number): number => {
  let at = index
  while (isSpace(text.charCodeAt(at))) at++
  return at
}

const skipString = (text: string, index: number): number => {
  let at = index + 1
  for (let code = text.charCodeAt(at); code !== quote; code = text.charCodeAt(at)) at += code === backslash ? 2 : 1
  return at + 1
}

const skipScalar = (text: string, index: number): number => {
  let at = index
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === comma || code === closeBracket || code === closeBrace || isSpace(code)) return at
    at++
  }
  return at
}

/** Steps over one value, whatever its depth. */
const skipValue = (text: string, index: number): number => {
  let at = index
  let depth = 0
  do {
    const code = text.charCodeAt(at)
    if (code === quote) at = skipString(text, at)
    else if (code === openBrace || code === openBracket) {
      depth++
      at++
    } else if (code === closeBrace || code === closeBracket) {
      depth--
      at++
    } else if (depth === 0) at = skipScalar(text, at)
    else at++
  } while (depth > 0)
  return at
}

/** A value whose place is wanted, or that holds one. */
interface Wanted {
  readonly inside: Map<Step, Wanted>
  start: number
  end: number
}

const wanted = (): Wanted => ({ inside: new Map(), start: -1, end: -1 })

/** Notes the place of a value and of those that are wanted in it; gives its end. */
const visit = (text: string, start: number, node: Wanted): number => {
  node.start = start
  const open = text.charCodeAt(start)
  const isObject = open === openBrace
  if (node.inside.size === 0 || (!isObject && open !== openBracket)) return node.end = skipValue(text, start)
  const close = isObject ? closeBrace : closeBracket
  let at = skipSpace(text, start + 1)
  for (let index = 0; text.charCodeAt(at) !== close; index++) {
    let step: Step = index
    if (isObject) {
      const end = skipString(text, at)
      step = String(JSON.parse(text.slice(at, end)))
      at = skipSpace(text, skipSpace(text, end) + 1)
    }
    const next = node.inside.get(step)
    at = skipSpace(text, next === undefined ? skipValue(text, at) : visit(text, at, next))
    if (text.charCodeAt(at) === comma) at = skipSpace(text, at + 1)
  }
  return node.end = at + 1
}

const lineStarts = (text: string): ReadonlyArray<number> => {
  const starts = [0]
  for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", end + 1)) starts.push(end + 1)
  return starts
}

/** The last of some ascending numbers that is not above a limit, by halving. */
const lastUpTo = (numbers: ReadonlyArray<number>, limit: number): number => {
  let low = 0
  let high = numbers.length
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    if ((numbers[middle] ?? 0) <= limit) low = middle
    else high = middle
  }
  return low
}

/**
 * Finds the values at some paths, and makes a finder of them: it gives the innermost value that is there, where a path
 * leads past it. The text is walked once, however many paths there are, and recursion is as deep as the longest path.
 */
export const locator = (
  text: string,
  paths: ReadonlyArray<ReadonlyArray<Step>>
): (path: ReadonlyArray<Step>) => Location => {
  const root = wanted()
  for (const path of paths) {
    let node = root
    for (const step of path) {
      const next = node.inside.get(step) ?? wanted()
      node.inside.set(step, next)
      node = next
    }
  }
  visit(text, skipSpace(text, 0), root)
  const lines = lineStarts(text)
  return (path) => {
    let node = root
    for (const step of path) {
      const next = node.inside.get(step)
      if (next === undefined || next.start < 0) break
      node = next
    }
    const line = lastUpTo(lines, node.start)
    return { start: node.start, end: node.end, line: line + 1, column: node.start - (lines[line] ?? 0) + 1 }
  }
}
