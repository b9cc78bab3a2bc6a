/**
 * The one linear scan over a JSON text: RFC 8259's grammar, I-JSON's rules, and where each top-level member stands.
 *
 * No recursion: containers are kept on stacks, so depth costs memory in proportion and never the call stack.
 */

import { excerpt, quote as quoted } from "./quote.ts"

/** The names that a document gives a meaning to, by place: what a name may not differ from by case alone. */
export interface Names {
  /** The exact names. */
  readonly exact: ReadonlySet<string>
  /** The exact names, by their folded form. */
  readonly known: ReadonlyMap<string, string>
  /** What is known inside the members of these names. */
  readonly members: ReadonlyMap<string, Names>
  /** What is known inside the elements, where the value is a list. */
  readonly items: Names | undefined
}

/** One member of the outermost object: its decoded name and the range of its value in the text. */
export interface Member {
  readonly name: string
  readonly start: number
  readonly end: number
  /** Whether white space stands between the tokens of the value. */
  readonly spaced: boolean
}

/** A range of the text that `JSON.parse` must not be given as it stands, and what to give it instead. */
export type Spelling = readonly [start: number, end: number, instead: string]

/** What a clean text holds. */
export interface Scan {
  readonly kind: "object" | "array" | "string" | "number" | "boolean" | "null"
  readonly members: ReadonlyArray<Member>
  readonly spellings: ReadonlyArray<Spelling>
}

/** Where and why a text is refused. */
export interface Fault {
  readonly reason: "syntax" | "depth" | "lone-surrogate" | "duplicate-name" | "case-collision"
  readonly offset: number
  readonly pointer: string
  readonly expected: string
  readonly found: string
}

/** Go's `encoding/json` reads this many levels and refuses the next. */
export const maxDepth = 10_000

const quote = 34
const backslash = 92
const comma = 44
const colon = 58
const openBrace = 123
const closeBrace = 125
const openBracket = 91
const closeBracket = 93
const minus = 45
const plus = 43
const dot = 46
const zero = 48
const nine = 57

const isDigit = (code: number): boolean => code >= zero && code <= nine

/**
 * Folds a name as Go's decoder does (Unicode simple folding), as far as names of ASCII letters need it: besides the
 * letters' own case only U+017F and U+212A fold to ASCII.
 */
export const fold = (name: string): string =>
  /[A-Z\u017f\u212a]/.test(name) ? name.toLowerCase().replace(/\u017f/g, "s") : name

/** What stands at a place: a word, or else one character. */
const tokenAt = (text: string, at: number): string => {
  if (at >= text.length) return "the end of the text"
  const word = /^[\w$.+-]+/.exec(text.slice(at, at + 40))
  return quoted(word === null ? String.fromCodePoint(text.codePointAt(at) ?? 0) : word[0])
}

const escapePointer = (name: string): string => name.replaceAll("~", "~0").replaceAll("/", "~1")

/** Most numbers are too short to be too large, and those of more than 19 digits are, whatever they are. */
const isInt64 = (text: string, start: number, end: number): boolean => {
  if (end - start < 19) return true
  if (end - start > 20) return false
  const value = BigInt(text.slice(start, end))
  return value >= -(2n ** 63n) && value < 2n ** 63n
}

/** Steps over what a string holds as it is, up to a quote, a backslash or a control character: most of every document. */
const skipPlain = (text: string, from: number): number => {
  let at = from
  while (at < text.length) {
    const code = text.charCodeAt(at)
    if (code === quote || code === backslash || code < 32) break
    at++
  }
  return at
}

/** Scans a whole text. A fault of the syntax anywhere outranks a fault of I-JSON before it. */
export const scan = (text: string, names: Names | undefined): Scan | Fault => {
  const length = text.length
  const members: Array<Member> = []
  const spellings: Array<Spelling> = []

  // The open containers, outermost first.
  const isObject: Array<boolean> = []
  const seen: Array<Set<string>> = []
  const shapes: Array<Names | undefined> = []
  const keys: Array<string> = []
  const indexes: Array<number> = []
  let depth = 0

  let index = 0
  let spaces = 0
  let memberStart = 0
  let memberSpaces = 0
  let identityFault: Fault | undefined

  const pointer = (levels: number): string => {
    let out = ""
    for (let level = 0; level < levels; level++) {
      out += "/" + (isObject[level] === true ? escapePointer(keys[level] ?? "") : String(indexes[level]))
    }
    return out
  }
  // Between members and elements the innermost value is the container itself.
  let isBetween = false
  const fault = (reason: Fault["reason"], offset: number, expected: string, found: string): Fault => ({
    reason,
    offset,
    pointer: pointer(isBetween ? depth - 1 : depth),
    expected,
    found
  })
  const syntax = (expected: string): Fault => fault("syntax", index, expected, tokenAt(text, index))

  const skipSpace = (): void => {
    while (index < length) {
      const code = text.charCodeAt(index)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      index++
      spaces++
    }
  }

  const hexUnit = (at: number): number => {
    let value = 0
    for (let i = at; i < at + 4; i++) {
      const code = text.charCodeAt(i)
      const digit = isDigit(code)
        ? code - 48
        : code >= 97 && code <= 102
        ? code - 87
        : code >= 65 && code <= 70
        ? code - 55
        : -1
      if (digit < 0) return -1
      value = value * 16 + digit
    }
    return value
  }

  /** Reads the rest of a string, from behind its opening quote to behind its closing one. */
  let escaped = false
  const scanString = (): Fault | undefined => {
    escaped = false
    while (true) {
      index = skipPlain(text, index)
      if (index >= length) return syntax("a closing quote")
      const code = text.charCodeAt(index)
      if (code === quote) {
        index++
        return undefined
      }
      if (code !== backslash) return syntax("a closing quote, or an escape for this control character")
      escaped = true
      const letter = text.charCodeAt(index + 1)
      if (letter !== 117) {
        // " \ / b f n r t
        if (
          letter === 34 || letter === 92 || letter === 47 || letter === 98 || letter === 102 || letter === 110 ||
          letter === 114 || letter === 116
        ) {
          index += 2
          continue
        }
        index++
        return syntax("one of \" \\ / b f n r t u after a backslash")
      }
      const unit = hexUnit(index + 2)
      if (unit < 0) {
        return fault("syntax", index, "four hexadecimal digits after \\u", excerpt(text.slice(index, index + 6)))
      }
      if (unit >= 0xd800 && unit < 0xe000) {
        const isPair = unit < 0xdc00 && text.charCodeAt(index + 6) === backslash &&
          text.charCodeAt(index + 7) === 117 &&
          (hexUnit(index + 8) & 0xfc00) === 0xdc00
        if (isPair) index += 6
        else identityFault ??= fault("lone-surrogate", index, "a surrogate pair", text.slice(index, index + 6))
      }
      index += 6
    }
  }

  const scanNumber = (): Fault | undefined => {
    const start = index
    if (text.charCodeAt(index) === minus) index++
    if (text.charCodeAt(index) === zero) index++
    else if (isDigit(text.charCodeAt(index))) { while (isDigit(text.charCodeAt(index))) index++ }
    else return syntax("a digit")
    let isInteger = true
    if (text.charCodeAt(index) === dot) {
      isInteger = false
      index++
      if (!isDigit(text.charCodeAt(index))) return syntax("a digit")
      while (isDigit(text.charCodeAt(index))) index++
    }
    if ((text.charCodeAt(index) | 32) === 101) {
      isInteger = false
      index++
      const sign = text.charCodeAt(index)
      if (sign === plus || sign === minus) index++
      if (!isDigit(text.charCodeAt(index))) return syntax("a digit")
      while (isDigit(text.charCodeAt(index))) index++
    }
    if (!isInteger || !isInt64(text, start, index)) spellings.push([start, index, "1e999"])
    return undefined
  }

  /** Reads a member's name and its colon, and checks it against its object's other names. */
  const scanName = (): Fault | undefined => {
    isBetween = true
    if (text.charCodeAt(index) !== quote) return syntax("a member name in double quotes")
    const start = index
    index++
    const bad = scanString()
    if (bad !== undefined) return bad
    isBetween = false
    let name = text.slice(start + 1, index - 1)
    if (escaped) {
      const written = text.slice(start, index)
      name = String(JSON.parse(written))
      const spelling = JSON.stringify(name)
      if (spelling !== written) spellings.push([start, index, spelling])
    }
    const level = depth - 1
    keys[level] = name
    const set = seen[level]
    if (set !== undefined && identityFault === undefined) {
      if (set.has(name)) {
        identityFault = fault("duplicate-name", start, "each name once in an object", quoted(name) + " again")
      } else {
        set.add(name)
        const shape = shapes[level]
        if (shape !== undefined && !shape.exact.has(name)) {
          const exact = shape.known.get(fold(name))
          if (exact !== undefined) {
            identityFault = fault("case-collision", start, quoted(exact), quoted(name))
          }
        }
      }
    }
    skipSpace()
    if (text.charCodeAt(index) !== colon) return syntax("a colon")
    index++
    skipSpace()
    if (depth === 1) {
      memberStart = index
      memberSpaces = spaces
    }
    return undefined
  }

  const push = (object: boolean): void => {
    const above = depth === 0 ? names : shapes[depth - 1]
    const shape = depth === 0
      ? above
      : isObject[depth - 1] === true
      ? above?.members.get(keys[depth - 1] ?? "")
      : above?.items
    isObject[depth] = object
    shapes[depth] = shape
    indexes[depth] = 0
    if (object) {
      const set = seen[depth]
      if (set === undefined) seen[depth] = new Set()
      else if (set.size > 0) set.clear()
    }
    depth++
  }

  const kindOf = (code: number): Scan["kind"] =>
    code === openBrace
      ? "object"
      : code === openBracket
      ? "array"
      : code === quote
      ? "string"
      : code === 116 || code === 102
      ? "boolean"
      : code === 110
      ? "null"
      : "number"

  skipSpace()
  const kind = kindOf(text.charCodeAt(index))

  while (true) {
    // A value begins here.
    const code = text.charCodeAt(index)
    if (code === quote) {
      index++
      const bad = scanString()
      if (bad !== undefined) return bad
    } else if (code === openBrace || code === openBracket) {
      if (depth === maxDepth) {
        return fault("depth", index, `at most ${maxDepth} levels`, "one more")
      }
      push(code === openBrace)
      index++
      skipSpace()
      const next = text.charCodeAt(index)
      if (code === openBrace) {
        if (next !== closeBrace) {
          const bad = scanName()
          if (bad !== undefined) return bad
          continue
        }
      } else if (next !== closeBracket) {
        continue
      }
      index++
      depth--
    } else if (code === minus || isDigit(code)) {
      const bad = scanNumber()
      if (bad !== undefined) return bad
    } else if (text.startsWith("true", index) || text.startsWith("null", index)) {
      index += 4
    } else if (text.startsWith("false", index)) {
      index += 5
    } else {
      return syntax("a value")
    }

    // A value ended here; close what ends with it.
    let open = true
    while (open) {
      const end = index
      const endSpaces = spaces
      skipSpace()
      if (depth === 0) {
        if (index < length) return syntax("the end of the text")
        return identityFault ?? { kind, members, spellings }
      }
      isBetween = true
      const next = text.charCodeAt(index)
      if (isObject[depth - 1] === true) {
        if (depth === 1 && (next === comma || next === closeBrace)) {
          members.push({ name: keys[0] ?? "", start: memberStart, end, spaced: endSpaces !== memberSpaces })
        }
        if (next === comma) {
          index++
          skipSpace()
          const bad = scanName()
          if (bad !== undefined) return bad
          open = false
        } else if (next === closeBrace) {
          index++
          depth--
        } else {
          return syntax("a comma or a closing brace")
        }
      } else if (next === comma) {
        index++
        indexes[depth - 1] = (indexes[depth - 1] ?? 0) + 1
        isBetween = false
        skipSpace()
        open = false
      } else if (next === closeBracket) {
        index++
        depth--
      } else {
        return syntax("a comma or a closing bracket")
      }
    }
  }
}
