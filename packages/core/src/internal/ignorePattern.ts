/**
 * Patterns of ignore rules, made matchers.
 *
 * moby's patternmatcher makes a regular expression of a pattern. This makes the automaton of that expression, which takes
 * time in proportion to the pattern's length times the path's and no more, whatever they are. Where a pattern would mean
 * something only by the accident of being part of a regular expression, it is malformed here.
 */
import * as Result from "effect/Result"

/** Tells whether a pattern matches a whole path. */
export type Matcher = (path: string) => boolean

/** What is wrong with a pattern. */
export interface Malformed {
  readonly expected: string
  readonly found: string
}

type Test = (character: number) => boolean

/** A step of the automaton: a character that it takes, or any number of them. */
interface Step {
  readonly test: Test
  readonly isRepeated?: boolean
  /** It takes nothing; the two after it may be left out together. */
  readonly isChoice?: boolean
  /** The one character that it takes, without a choice. */
  readonly literal?: string
}

const codeOf = (character: string): number => character.codePointAt(0) ?? 0

const slash = codeOf("/")
const lineFeed = codeOf("\n")

const literal = (character: string): Step => {
  const code = codeOf(character)
  return { test: (other) => other === code, literal: character }
}

const notSlash: Test = (character) => character !== slash
const questionMark: Step = { test: notSlash }
const star: Step = { test: notSlash, isRepeated: true }
const everything: Step = { test: (character) => character !== lineFeed, isRepeated: true }
const directories: ReadonlyArray<Step> = [
  { test: () => false, isChoice: true },
  everything,
  { test: (character) => character === slash }
]

const punctuation = /\\[\0-/:-@[-`{-\x7f]/.source
const member = String.raw`(?:${punctuation}|\[(?!:)|[^\\[\]*?-])`
const ranges = String.raw`(?:${member}(?:-${member})?)+`

/** What a pattern is made of. Nothing here can match in two ways, so it never goes back. */
const parts = String.raw`\*\*/?|\[(?:\^|(?!\^))${ranges}\]|${punctuation}|\{(?!\d+(?:,\d*)?\})|[^\\[{|^]`

const unescaped = (text: string | undefined): number => codeOf(text?.replace(/^\\/, "") ?? "")

/** Reads a class, of which nothing but the order in its ranges is unknown. */
const classOf = (part: string): Step | undefined => {
  const isNegated = part.startsWith("[^")
  const items = Array.from(
    part.slice(isNegated ? 2 : 1, -1).matchAll(new RegExp(`(${member})(?:-(${member}))?`, "gu")),
    ([, low, high]) => [unescaped(low), unescaped(high ?? low)] as const
  )
  if (items.some(([low, high]) => low > high)) return undefined
  return { test: (character) => items.some(([low, high]) => low <= character && character <= high) !== isNegated }
}

const malformed = (found: string): Malformed => {
  switch (found[0]) {
    case "[":
      return { expected: String.raw`a class such as [a-z], [^a-z] or [\*\?\]\-]`, found }
    case "\\":
      return { expected: String.raw`"\" only before a mark such as "*", and "/" between names`, found }
    default:
      return { expected: `"\\${found[0]}", since docker build takes it for a regular expression's beside "*"`, found }
  }
}

const stepsOf = (pattern: string): Result.Result<ReadonlyArray<Step>, Malformed> => {
  const steps: Array<Step> = []
  const reader = new RegExp(parts, "uy")
  while (reader.lastIndex < pattern.length) {
    const rest = pattern.slice(reader.lastIndex)
    const part = reader.exec(pattern)?.[0]
    if (part === undefined) return Result.fail(malformed(rest))
    if (part.startsWith("**")) {
      if (reader.lastIndex === pattern.length) steps.push(everything)
      else steps.push(...directories)
    } else if (part === "*") steps.push(star)
    else if (part === "?") steps.push(questionMark)
    else if (part.length > 1 && part.startsWith("[")) {
      const step = classOf(part)
      if (step === undefined) return Result.fail(malformed(rest))
      steps.push(step)
    } else steps.push(literal(part.replace(/^\\/, "")))
  }
  return Result.succeed(steps)
}

/** A set of steps that can be next, and where characters lead from it, as far as they have been met. */
interface State {
  readonly reached: Uint8Array
  readonly next: Map<number, State>
}

/** Goes on, from each step that is reached, to those that are reached without a character. */
const open = (steps: ReadonlyArray<Step>, reached: Uint8Array): void => {
  for (let index = 0; index < steps.length; index++) {
    if (reached[index] !== 1) continue
    const step = steps[index]
    if (step?.isChoice === true) reached[index + 3] = 1
    if (step?.isChoice === true || step?.isRepeated === true) reached[index + 1] = 1
  }
}

const advance = (steps: ReadonlyArray<Step>, from: Uint8Array, character: number): Uint8Array => {
  const reached = new Uint8Array(from.length)
  for (let index = 0; index < steps.length; index++) {
    if (from[index] !== 1) continue
    const step = steps[index]
    if (step?.test(character) === true) reached[step.isRepeated === true ? index : index + 1] = 1
  }
  open(steps, reached)
  return reached
}

/** How many bytes of states a pattern remembers. */
const memory = 100_000

/** Runs the automaton. What it finds out about states it remembers for other paths, up to a limit. */
const automaton = (steps: ReadonlyArray<Step>): Matcher => {
  const states = new Map<string, State>()
  const first: State = { reached: new Uint8Array(steps.length + 1), next: new Map() }
  first.reached[0] = 1
  open(steps, first.reached)
  let room = memory
  const follow = (state: State, character: number): State => {
    const reached = advance(steps, state.reached, character)
    if (room < reached.length) return { reached, next: new Map() }
    room -= reached.length
    const key = reached.join("")
    const next = states.get(key) ?? { reached, next: new Map() }
    states.set(key, next)
    state.next.set(character, next)
    return next
  }
  return (path) => {
    let state = first
    for (let at = 0; at < path.length; at++) {
      const character = path.codePointAt(at) ?? 0
      if (character > 0xffff) at++
      state = state.next.get(character) ?? follow(state, character)
    }
    return state.reached[steps.length] === 1
  }
}

const literals = (steps: ReadonlyArray<Step>): string => {
  const end = steps.findIndex((step) => step.literal === undefined)
  return steps.slice(0, end < 0 ? steps.length : end).map((step) => step.literal).join("")
}

const special = /[*?[\]\\]/

/**
 * Compiles a pattern, which is a clean path. Most patterns need no automaton, and most paths do not have the beginning
 * and the end of those that do.
 */
export const compile = (pattern: string): Result.Result<Matcher, Malformed> => {
  if (!special.test(pattern)) return Result.succeed((path) => path === pattern)
  const end = pattern.slice(2)
  if (pattern.startsWith("**") && !special.test(end)) {
    return Result.succeed((path) => path.endsWith(end) || `/${path}` === end)
  }
  const start = pattern.slice(0, -2)
  if (pattern.endsWith("**") && !special.test(start)) return Result.succeed((path) => path.startsWith(start))
  return Result.map(stepsOf(pattern), (steps) => {
    const first = literals(steps)
    const last = Array.from(literals(steps.toReversed())).toReversed().join("")
    const run = automaton(steps)
    return (path) => path.startsWith(first) && path.endsWith(last) && run(path)
  })
}
