/**
 * JSON as a tree that keeps each value's own text, and what two of them differ in. Only for text that is I-JSON.
 */

/** A step into an object or a list. */
export type Step = string | number

/** A value with its own text. Beyond a depth that no document of ours needs, a container is only its text. */
export interface Node {
  readonly text: string
  readonly members?: ReadonlyMap<string, Node>
  /** Names as they are written. */
  readonly names?: ReadonlyArray<string>
  readonly items?: ReadonlyArray<Node>
}

/** A document's value, how many characters of white space stand between its tokens, and where the first of them do. */
export interface Tree {
  readonly root: Node
  readonly space: number
  readonly style: string
}

/** The white space around the braces of a document, and around the colon of its first member. */
const styleOf = (text: string): string => {
  const start = /^(\s*)\{(\s*)"(?:[^"\\]|\\.)*"(\s*):(\s*)/.exec(text)?.slice(1)
  const end = /(\s*)\}(\s*)$/.exec(text)?.slice(1)
  return JSON.stringify([start, end])
}

const maxDepth = 64

/** Reads a text. */
export const parse = (text: string): Tree => {
  let at = 0
  let space = 0

  const skipSpace = (): void => {
    while (at < text.length && " \n\r\t".includes(text.charAt(at))) {
      at++
      space++
    }
  }
  const skipString = (): void => {
    at++
    while (text[at] !== "\"") at += text[at] === "\\" ? 2 : 1
    at++
  }
  /** A scalar, or a container that is not looked into. */
  const skipValue = (): void => {
    let depth = 0
    do {
      skipSpace()
      const character = text.charAt(at)
      if (character === "\"") skipString()
      else if (character === "{" || character === "[") {
        depth++
        at++
      } else if (character === "}" || character === "]") {
        depth--
        at++
      } else if (character === "," || character === ":") at++
      else while (at < text.length && !" \n\r\t,]}".includes(text.charAt(at))) at++
    } while (depth > 0)
  }
  /** Steps over what opens a container, calls for each of its elements, and steps over what closes it. */
  const each = (close: string, element: () => void): void => {
    at++
    skipSpace()
    while (text[at] !== close) {
      element()
      skipSpace()
      if (text[at] === ",") at++
      skipSpace()
    }
    at++
  }
  const value = (depth: number): Node => {
    skipSpace()
    const start = at
    if (depth < maxDepth && text[at] === "{") {
      const members = new Map<string, Node>()
      const names: Array<string> = []
      each("}", () => {
        const from = at
        skipString()
        const name = text.slice(from, at)
        names.push(name)
        skipSpace()
        at++
        members.set(JSON.parse(name), value(depth + 1))
      })
      return { text: text.slice(start, at), members, names }
    }
    if (depth < maxDepth && text[at] === "[") {
      const items: Array<Node> = []
      each("]", () => items.push(value(depth + 1)))
      return { text: text.slice(start, at), items }
    }
    skipValue()
    return { text: text.slice(start, at) }
  }

  const root = value(0)
  skipSpace()
  return { root, space, style: styleOf(text) }
}

/** Finds the value at a path. */
export const find = (node: Node | undefined, ...path: ReadonlyArray<Step>): Node | undefined => {
  let found = node
  for (const step of path) found = typeof step === "number" ? found?.items?.[step] : found?.members?.get(step)
  return found
}

/** How the same value can be written in two ways. */
export type Formatting = "white space" | "member order" | "escapes" | "number spelling" | "order of images"

/** A value that differs, or is there on one side only. The path is the right side's where the value is added. */
export interface Change {
  readonly path: ReadonlyArray<Step>
  readonly left?: string
  readonly right?: string
}

/** What two values differ in. */
export interface Comparison {
  readonly changes: Array<Change>
  readonly formatting: Set<Formatting>
}

/** A number by its value: integers exactly, as long as they are not absurd. */
const numberOf = (text: string): string => {
  if (/^-?\d{1,30}$/.test(text)) return String(BigInt(text))
  const value = Number(text)
  return Number.isFinite(value) && !/^-?\d+$/.test(text) ? String(value) : text
}

/** A scalar by its value, however it is written. */
const scalarOf = (text: string): string =>
  text.startsWith("\"") ? `s${JSON.parse(text)}` : /^[-\d]/.test(text) ? `n${numberOf(text)}` : text

/** Gives equal values one number, however they are written. Linear in the size of what it is given. */
const makeIdentify = (): (node: Node) => number => {
  const numbers = new Map<string, number>()
  const known = new WeakMap<Node, number>()
  const identify = (node: Node): number => {
    const before = known.get(node)
    if (before !== undefined) return before
    const key = node.items !== undefined
      ? `[${node.items.map(identify).join()}`
      : node.members !== undefined
      ? `{${[...node.members].map(([name, member]) => `${JSON.stringify(name)}:${identify(member)}`).toSorted().join()}`
      : scalarOf(node.text)
    const number = numbers.get(key) ?? numbers.size
    numbers.set(key, number)
    known.set(node, number)
    return number
  }
  return identify
}

/** Compares two values; `skip` tells the paths that somebody else compares. */
export const compare = (
  left: Node,
  right: Node,
  skip: (path: ReadonlyArray<Step>) => boolean = () => false
): Comparison => {
  const changes: Array<Change> = []
  const formatting = new Set<Formatting>()

  const identify = makeIdentify()
  const isEqual = (left: Node, right: Node): boolean => identify(left) === identify(right)

  const objects = (left: Node, right: Node, path: ReadonlyArray<Step>): void => {
    const from = left.members ?? new Map<string, Node>()
    const to = right.members ?? new Map<string, Node>()
    const common = [...from.keys()].filter((name) => to.has(name))
    const order = [...to.keys()].filter((name) => from.has(name))
    if (common.some((name, index) => name !== order[index])) formatting.add("member order")
    const spelled = new Map(left.names?.map((name) => [JSON.parse(name), name]))
    if (right.names?.some((name) => spelled.get(JSON.parse(name)) !== undefined && !left.names?.includes(name))) {
      formatting.add("escapes")
    }
    for (const name of [...from.keys(), ...[...to.keys()].filter((name) => !from.has(name))]) {
      visit(from.get(name), to.get(name), [...path, name])
    }
  }

  /** What is equal at both ends stands apart, so that one new element is one change. */
  const lists = (from: ReadonlyArray<Node>, to: ReadonlyArray<Node>, path: ReadonlyArray<Step>): void => {
    const { end, start } = commonEnds(from, to, isEqual)
    for (let index = 0; index < start; index++) visit(from[index], to[index], [...path, index])
    const middle = Math.max(from.length, to.length) - end
    for (let index = start; index < middle; index++) {
      const before = index < from.length - end ? from[index] : undefined
      const after = index < to.length - end ? to[index] : undefined
      visit(before, after, [...path, index])
    }
    for (let back = end; back > 0; back--) {
      visit(from[from.length - back], to[to.length - back], [...path, to.length - back])
    }
  }

  const visit = (left: Node | undefined, right: Node | undefined, path: ReadonlyArray<Step>): void => {
    if (left?.text === right?.text || skip(path)) return
    if (left?.members !== undefined && right?.members !== undefined) objects(left, right, path)
    else if (left?.items !== undefined && right?.items !== undefined) lists(left.items, right.items, path)
    else {
      if (left !== undefined && right !== undefined && isEqual(left, right)) {
        formatting.add(left.text.startsWith("\"") ? "escapes" : "number spelling")
        return
      }
      changes.push({
        path,
        ...(left === undefined ? {} : { left: left.text }),
        ...(right === undefined ? {} : { right: right.text })
      })
    }
  }

  visit(left, right, [])
  return { changes, formatting }
}

/** How many elements two lists have in common at their starts, and after these at their ends. */
export const commonEnds = <A>(
  left: ReadonlyArray<A>,
  right: ReadonlyArray<A>,
  isEqual: (left: A, right: A) => boolean
): { readonly start: number; readonly end: number } => {
  const both = (from: A | undefined, to: A | undefined): boolean =>
    from !== undefined && to !== undefined && isEqual(from, to)
  const shorter = Math.min(left.length, right.length)
  let start = 0
  while (start < shorter && both(left[start], right[start])) start++
  let end = 0
  while (end < shorter - start && both(left[left.length - 1 - end], right[right.length - 1 - end])) end++
  return { start, end }
}

/**
 * Compares two documents. White space counts where their styles differ, or, with `isRestEqual`, where nothing else does:
 * what is skipped is equal then.
 */
export const compareTrees = (
  left: Tree,
  right: Tree,
  options: { readonly skip: (path: ReadonlyArray<Step>) => boolean; readonly isRestEqual: boolean }
): Comparison => {
  const found = compare(left.root, right.root, options.skip)
  const isOnlySpace = options.isRestEqual && found.changes.length === 0 && left.space !== right.space
  if (left.style !== right.style || isOnlySpace) found.formatting.add("white space")
  return found
}
