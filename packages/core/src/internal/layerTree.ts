/**
 * The tree of files that layers make, put in one after the other: which entry lies where, and which content it bears.
 *
 * Follows image-spec 1.1, layer.md. Where a layer's path leads through a symbolic link, it is followed within the root, as
 * containerd and umoci do.
 */
import * as Result from "effect/Result"
import { type Entry, type Problem, UnsafeEntry } from "../LayerEntry.ts"
import * as Whiteout from "../Whiteout.ts"

/** What is kept of an entry; the header only of directories, which may have to be written earlier. */
export interface Planned {
  readonly layer: number
  readonly index: number
  readonly path: string
  readonly kind: Entry["kind"]
  readonly target: string | undefined
  readonly header: Uint8Array | undefined
}

export const toPlanned = (layer: number, index: number, { header, kind, path, target }: Entry): Planned => ({
  layer,
  index,
  path,
  kind,
  target,
  header: kind === "directory" ? header : undefined
})

/**
 * A place in the tree. It is a directory where it has children; one that no entry describes has no `entry`. What is no
 * directory has an `inode`: the entry with its content, which hard links share.
 */
export interface Node {
  readonly path: string
  entry: Planned | undefined
  readonly inode: Planned | undefined
  readonly children: Map<string, Node> | undefined
  /** Whether it is an opaque marker that no layer had, but only the layers together need. */
  readonly isNew: boolean
}

const directory = (path: string, entry?: Planned): Node => ({
  path,
  entry,
  inode: undefined,
  children: new Map(),
  isNew: false
})

const leaf = (path: string, entry: Planned, inode: Planned): Node => ({
  path,
  entry,
  inode,
  children: undefined,
  isNew: false
})

/** As many symbolic links as Linux follows on one path. */
const maxLinks = 40

/** The directory that a path leads to, and the last name on it, which is empty for the root. */
interface Place {
  readonly parent: Node
  readonly name: string
}

const refuse = ({ path }: Planned, problem: Problem, found: string): UnsafeEntry =>
  new UnsafeEntry({ path, problem, found })

const below = (path: string, name: string): string => path === "." ? name : `${path}/${name}`

export class Tree {
  readonly root = directory(".")
  /** Whether there are layers below, which whiteouts are kept for. */
  readonly #hasBelow: boolean
  /** What the layer that is being put in has deleted or replaced: its hard links may still mean it. */
  readonly #buried = new Map<string, Planned>()

  constructor(hasBelow: boolean) {
    this.#hasBelow = hasBelow
  }

  /** Puts a layer in: first what it deletes of the layers below it, then its entries in their order. */
  add(entries: ReadonlyArray<Planned>): UnsafeEntry | undefined {
    this.#buried.clear()
    const replaced = new Set(entries.filter(({ kind }) => kind !== "symbolic link").map(({ path }) => path))
    for (const entry of entries) {
      const meaning = Result.getOrUndefined(Whiteout.parse(entry.path))
      if (meaning?.kind === "whiteout") this.#delete(entry, meaning.hides, replaced)
      if (meaning?.kind === "opaque") this.#empty(entry, meaning.hides, replaced)
    }
    for (const entry of entries) {
      if (entry.kind === "whiteout" || entry.kind === "opaque" || entry.kind === "aufs") continue
      const refused = entry.kind === "directory" ? this.#putDirectory(entry) : this.#put(entry)
      if (refused !== undefined) return refused
    }
    return undefined
  }

  /** Follows a path, and the symbolic links on it save the last. `step` decides about what is no directory, or missing. */
  #follow<E extends UnsafeEntry | undefined>(
    path: string,
    step: (node: Node | undefined, parent: Node, name: string) => Node | E
  ): Place | E | "circle" {
    const rest = path.split("/").toReversed()
    const trail = [this.root]
    let links = 0
    for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
      const parent = trail.at(-1) ?? this.root
      if (name === "" || name === ".") continue
      if (name === "..") {
        if (trail.length > 1) trail.pop()
        continue
      }
      if (rest.length === 0) return { parent, name }
      const node = step(parent.children?.get(name), parent, name)
      if (node === undefined || node instanceof UnsafeEntry) return node
      if (node.children !== undefined) {
        trail.push(node)
        continue
      }
      links++
      if (links > maxLinks) return "circle"
      const target = node.inode?.target ?? ""
      if (target.startsWith("/")) trail.length = 1
      rest.push(...target.split("/").toReversed())
    }
    return { parent: this.root, name: "" }
  }

  /** The place where an entry is to be put. Directories that are missing on the way are made. */
  #placeFor(entry: Planned): Place | UnsafeEntry {
    const place = this.#follow(entry.path, (node, parent, name) => {
      if (node === undefined) return this.#makeDirectory(parent, name, entry)
      return node.children !== undefined || node.inode?.kind === "symbolic link"
        ? node
        : refuse(entry, "obstacle", `a ${node.inode?.kind ?? "file"} at ${JSON.stringify(node.path)}`)
    })
    return place === "circle" ? refuse(entry, "obstacle", "symbolic links that lead in a circle") : place
  }

  /**
   * The place that a whiteout is about. There is none where its path leads over something that the layer itself replaces,
   * or, save where layers below may have it, over what is not there.
   */
  #placeOf(path: string, replaced: ReadonlySet<string>): Place | undefined {
    const place = this.#follow(path, (node, parent, name) => {
      if (node === undefined) {
        if (!this.#hasBelow || this.#isHidden(parent, name)) return undefined
        const made = directory(below(parent.path, name))
        parent.children?.set(name, made)
        return made
      }
      return node.children !== undefined || (node.inode?.kind === "symbolic link" && !replaced.has(node.path))
        ? node
        : undefined
    })
    return place === "circle" ? undefined : place
  }

  /** Tells whether nothing of layers below can be at a name, because of a whiteout or an opaque directory. */
  #isHidden(parent: Node, name: string): boolean {
    if (parent.children?.has(Whiteout.of(name)) === true) return true
    let node: Node | undefined = this.root
    if (node.children?.has(Whiteout.opaqueName) === true) return true
    for (const part of parent.path === "." ? [] : parent.path.split("/")) {
      node = node?.children?.get(part)
      if (node?.children?.has(Whiteout.opaqueName) === true) return true
    }
    return false
  }

  #delete(entry: Planned, path: string, replaced: ReadonlySet<string>): void {
    const place = this.#placeOf(path, replaced)
    if (place === undefined) return
    const { name, parent } = place
    this.#bury(parent.children?.get(name))
    parent.children?.delete(name)
    if (!this.#hasBelow || this.#isHidden(parent, name)) return
    const whiteout = Whiteout.of(name)
    parent.children?.set(whiteout, leaf(below(parent.path, whiteout), entry, entry))
  }

  #empty(entry: Planned, path: string, replaced: ReadonlySet<string>): void {
    const place = this.#placeOf(Whiteout.opaque(path), replaced)
    if (place === undefined) return
    const { name, parent } = place
    for (const child of parent.children?.values() ?? []) this.#bury(child)
    parent.children?.clear()
    if (this.#hasBelow) parent.children?.set(name, leaf(below(parent.path, name), entry, entry))
  }

  #makeDirectory(parent: Node, name: string, cause: Planned, entry?: Planned): Node {
    const before = parent.children?.get(name)
    const wasDeleted = parent.children?.delete(Whiteout.of(name)) === true
    const made = directory(below(parent.path, name), entry)
    // What hid the directory of that name below is gone, and its files must not come back
    if (this.#hasBelow && (before !== undefined || wasDeleted)) {
      const path = Whiteout.opaque(made.path)
      made.children?.set(Whiteout.opaqueName, {
        path,
        entry: cause,
        inode: undefined,
        children: undefined,
        isNew: true
      })
    }
    this.#bury(before)
    parent.children?.set(name, made)
    return made
  }

  #putDirectory(entry: Planned): UnsafeEntry | undefined {
    const place = this.#placeFor(entry)
    if (place instanceof UnsafeEntry) return place
    const before = place.name === "" ? this.root : place.parent.children?.get(place.name)
    if (before?.children === undefined) this.#makeDirectory(place.parent, place.name, entry, entry)
    else before.entry = entry
    return undefined
  }

  #put(entry: Planned): UnsafeEntry | undefined {
    const place = this.#placeFor(entry)
    if (place instanceof UnsafeEntry) return place
    const inode = entry.kind === "hard link" ? this.#linked(entry) : entry
    if (inode instanceof UnsafeEntry) return inode
    const { name, parent } = place
    this.#bury(parent.children?.get(name))
    parent.children?.delete(Whiteout.of(name))
    parent.children?.set(name, leaf(below(parent.path, name), entry, inode))
    return undefined
  }

  #linked(entry: Planned): Planned | UnsafeEntry {
    const target = entry.target ?? ""
    const place = this.#follow(
      target,
      (node) => node?.children !== undefined || node?.inode?.kind === "symbolic link" ? node : undefined
    )
    const node = place === undefined || place === "circle" ? undefined : place.parent.children?.get(place.name)
    if (node?.children !== undefined) return refuse(entry, "link", `one to the directory ${JSON.stringify(target)}`)
    const inode = node?.inode ?? this.#buried.get(target)
    return inode !== undefined && inode.kind !== "whiteout" && inode.kind !== "opaque"
      ? inode
      : refuse(entry, "link", `one to ${JSON.stringify(target)}, which is not there`)
  }

  #bury(node: Node | undefined): void {
    const waiting = node === undefined ? [] : [node]
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.inode !== undefined && !this.#buried.has(next.path)) this.#buried.set(next.path, next.inode)
      for (const child of next.children?.values() ?? []) waiting.push(child)
    }
  }
}
