/**
 * What is to be written of the entries of several layers, so that one layer says what they said together: a plan, made of
 * the entries alone, by which the layers can then be copied as they stream by.
 */
import * as Arr from "effect/Array"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { UnsafeEntry } from "../LayerEntry.ts"
import type { Part } from "../LayerTar.ts"
import * as HeaderEdit from "./headerEdit.ts"
import { type Node, type Planned, Tree } from "./layerTree.ts"
import * as Block from "./tarBlock.ts"

/** What is written when an entry streams by: some headers, and then perhaps itself, with another name or target if given. */
export interface Step {
  readonly headers: Array<Uint8Array>
  own: { readonly name?: string; readonly target?: string } | undefined
}

/** The steps of each layer, by the index of the entry. Entries without one are left out. */
export type Plan = ReadonlyArray<ReadonlyMap<number, Step>>

const byPosition = (left: Planned, right: Planned): number => left.layer - right.layer || left.index - right.index

/** What is left in the tree, in the order in which it came. */
const survivors = (root: Node): ReadonlyArray<readonly [node: Node, entry: Planned]> => {
  const found: Array<readonly [node: Node, entry: Planned]> = []
  const waiting = [root]
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    if (node.entry !== undefined) found.push([node, node.entry])
    for (const child of node.children?.values() ?? []) waiting.push(child)
  }
  return found.toSorted(([, left], [, right]) => byPosition(left, right))
}

/** The directories above a path, from the root down. */
function* above(path: string): Iterable<string> {
  yield "."
  for (let slash = path.indexOf("/"); slash >= 0; slash = path.indexOf("/", slash + 1)) yield path.slice(0, slash)
}

const planOf = (layers: number, root: Node): Plan => {
  const plan = Array.from({ length: layers }, () => new Map<number, Step>())
  const stepAt = ({ index, layer }: Planned): Step => {
    const step = plan[layer]?.get(index) ?? { headers: [], own: undefined }
    plan[layer]?.set(index, step)
    return step
  }
  const kept = survivors(root)

  // The first place that a content is left in gets it; the others become links to that one
  const bearers = new Map<Planned, Node>()
  for (const [node] of kept) {
    if (node.inode !== undefined && !bearers.has(node.inode)) bearers.set(node.inode, node)
  }
  const writes = kept.map(([node, entry]) => {
    const at = node.inode !== undefined && bearers.get(node.inode) === node ? node.inode : entry
    return { at, entry, node }
  }).toSorted((left, right) => byPosition(left.at, right.at))

  const directories = new Map(
    kept.flatMap(([node, { header, path }]) =>
      header === undefined || node.children === undefined
        ? []
        : [[node.path, path === node.path ? header : HeaderEdit.withText(header, "name", `${node.path}/`)] as const]
    )
  )
  for (const { at, entry, node } of writes) {
    const step = stepAt(at)
    // A directory comes before what is in it
    for (const path of [...above(node.path), node.path]) {
      const header = directories.get(path)
      if (header !== undefined) step.headers.push(header)
      directories.delete(path)
    }
    if (node.children !== undefined) continue
    if (node.isNew) {
      step.headers.push(HeaderEdit.empty(node.path))
      continue
    }
    const bearer = node.inode && bearers.get(node.inode)
    step.own = {
      ...(node.path === at.path ? {} : { name: node.path }),
      ...(bearer === node || bearer === undefined || bearer.path === entry.target ? {} : { target: bearer.path })
    }
  }
  return plan
}

/** Makes the plan for layers, the lowest first. */
export const plan = (
  layers: ReadonlyArray<ReadonlyArray<Planned>>,
  hasBelow: boolean
): Result.Result<Plan, UnsafeEntry> => {
  const tree = new Tree(hasBelow)
  for (const layer of layers) {
    const refused = tree.add(layer)
    if (refused !== undefined) return Result.fail(refused)
  }
  return Result.succeed(planOf(layers.length, tree.root))
}

/** What ends an archive. */
export const end = new Uint8Array(2 * Block.blockSize)

/** Copies of a layer what the plan has of it. */
export const copy = (steps: ReadonlyMap<number, Step>) =>
<E, R>(
  parts: Stream.Stream<Part, E, R>
): Stream.Stream<Uint8Array, E, R> =>
  Stream.suspend(() => {
    let index = -1
    let isWritten = false
    let left = 0
    let padding = new Uint8Array()
    const next = (part: Part): ReadonlyArray<Uint8Array> => {
      if (part._tag === "Header") {
        index++
        const { headers = [], own } = steps.get(index) ?? {}
        isWritten = own !== undefined
        left = part.entry.size
        padding = new Uint8Array(Block.padding(left))
        if (own === undefined) return headers
        let { header } = part.entry
        if (own.name !== undefined) header = HeaderEdit.withText(header, "name", own.name)
        if (own.target !== undefined) header = HeaderEdit.withText(header, "target", own.target)
        return [...headers, header]
      }
      if (part._tag !== "Content" || !isWritten) return []
      left -= part.bytes.length
      return left > 0 ? [part.bytes] : [part.bytes, padding]
    }
    return parts.pipe(Stream.map(next), Stream.filter(Arr.isReadonlyArrayNonEmpty), Stream.flattenArray)
  })
