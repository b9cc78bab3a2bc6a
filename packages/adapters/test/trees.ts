/** A tree that has whatever a layer can have, and what a tree on disk looks like, to compare it with what judges unpack. */
import { createHash } from "node:crypto"
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"

/** The time of what is in the tree, in seconds: some of it is later than `epoch`. */
export const epoch = 1_700_000_000

type Item =
  & { readonly path: string; readonly time: number }
  & (
    | { readonly kind: "directory"; readonly mode: number }
    | { readonly kind: "symlink"; readonly target: string }
    /** Files of one `name` are one file. */
    | { readonly kind: "file"; readonly mode: number; readonly content: Uint8Array; readonly name: string }
  )

/** Bytes that look random, and are always the same. */
const noise = (length: number, seed: string): Uint8Array => {
  const blocks = Array.from(
    { length: Math.ceil(length / 64) },
    (_, index) => createHash("sha512").update(`${seed} ${index}`).digest()
  )
  return Buffer.concat(blocks).subarray(0, length)
}

const mebibyte = 1024 * 1024

const file = (path: string, content: string | Uint8Array, mode = 0o644, name = path): Item => ({
  kind: "file",
  path,
  content: Buffer.from(content),
  mode,
  name,
  time: epoch - 1000
})
const directory = (path: string, mode = 0o755): Item => ({ kind: "directory", path, mode, time: epoch + 1000 })
const symlink = (path: string, target: string): Item => ({ kind: "symlink", path, target, time: epoch - 5 })

const far = `${"d".repeat(90)}/${"é".repeat(100)}`

const items: ReadonlyArray<Item> = [
  directory("bin"),
  file("bin/tool", "#!/bin/sh\necho tool\n", 0o755),
  file("bin/setuid", "s", 0o4755),
  symlink("bin/absolute", "/bin/tool"),
  symlink("bin/nowhere", "../no/such/file"),
  directory("a"),
  directory("a/b"),
  directory("a/b/c", 0o700),
  file("a/b/c/deep", "deep"),
  file("a/linked", "linked\n".repeat(1000), 0o640, "linked"),
  file("a/b/linked too", "linked\n".repeat(1000), 0o640, "linked"),
  file("z last link", "linked\n".repeat(1000), 0o640, "linked"),
  // In the order of UTF-8, of UTF-16 and of any language they come differently
  file("a.b", ""),
  file("a-b", "", 0o600),
  file("B", "B"),
  file("\u00e4", "composed"),
  file("a\u0308", "decomposed"),
  file("ﬁ ligature", "U+FB01"),
  file("🦆", "U+1F986", 0o444),
  file("İıi", "i"),
  file("line\nbreak \"quoted\" back\\slash", "odd"),
  directory("empty", 0o1777),
  directory("group", 0o2755),
  file("group/empty", ""),
  directory(dirname(far)),
  directory(far),
  file(`${far}/${"f".repeat(255)}`, "long", 0o400),
  symlink("long link", "../".repeat(60) + "end"),
  file("text", Buffer.alloc(3 * mebibyte, "A quick brown fox, and one more. ")),
  file("random", noise(3 * mebibyte, "random")),
  file("mixed", Buffer.concat([noise(mebibyte + 7, "mixed"), Buffer.alloc(mebibyte), noise(99_999, "end")]))
]

const depth = (path: string) => path.split("/").length

/**
 * Makes the tree in a directory. `order` is in which one, and who owns it where this process may say so: 0 is as it is
 * written above.
 */
export const make = (root: string, order = 0): void => {
  const key = (path: string) => createHash("sha256").update(`${order} ${path}`).digest("hex")
  const ordered = order === 0 ? items : items.toSorted((left, right) => key(left.path) < key(right.path) ? -1 : 1)
  const made = new Map<string, string>()
  mkdirSync(root, { recursive: true })
  for (const item of ordered) {
    const path = join(root, item.path)
    mkdirSync(dirname(path), { recursive: true })
    if (item.kind === "directory") mkdirSync(path, { recursive: true })
    else if (item.kind === "symlink") symlinkSync(item.target, path)
    else {
      const first = made.get(item.name)
      if (first === undefined) writeFileSync(path, item.content)
      else linkSync(first, path)
      made.set(item.name, path)
      if (process.getuid?.() === 0) chownSync(path, order, order + 1)
    }
  }
  // What is inside changes the time of a directory, and owners take bits of modes away
  for (const item of items.toSorted((left, right) => depth(right.path) - depth(left.path))) {
    const path = join(root, item.path)
    if (item.kind !== "symlink") chmodSync(path, item.mode)
    lutimesSync(path, item.time, item.time)
  }
  chmodSync(root, 0o755)
}

/** What a file is, on a line; times are those that it has on disk, in seconds. */
export interface Look {
  readonly path: string
  readonly mode: string
  readonly owner: string
  readonly time: number
  /** A digest, the target of a link, or nothing. */
  readonly content: string
  /** The other paths of the file. */
  readonly links: ReadonlyArray<string>
}

const digestOf = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex")

/** All that is in a directory, sorted by path. */
export const look = (root: string): ReadonlyArray<Look> => {
  const found = readdirSync(root, { recursive: true, encoding: "utf8" }).toSorted()
    .flatMap((path) => {
      // An overlay file system may list what a lower layer has deleted
      const stats = lstatSync(join(root, path), { throwIfNoEntry: false })
      return stats === undefined ? [] : [{ path, stats }]
    })
  const inode = (stats: { readonly dev: number; readonly ino: number }) => `${stats.dev}:${stats.ino}`
  const names = new Map<string, Array<string>>()
  for (const { path, stats } of found) names.set(inode(stats), [...names.get(inode(stats)) ?? [], path])
  return found.map(({ path, stats }) => ({
    path,
    // No system keeps modes of symbolic links
    mode: stats.isSymbolicLink() ? "link" : stats.mode.toString(8),
    owner: `${stats.uid}:${stats.gid}`,
    time: Math.floor(stats.mtimeMs / 1000),
    content: stats.isSymbolicLink()
      ? readlinkSync(join(root, path))
      : stats.isFile()
      ? digestOf(join(root, path))
      : "",
    links: names.get(inode(stats))?.filter((other) => other !== path) ?? []
  }))
}

/** The same with another owner, unless that is to stay, and another time for each. */
export const as = (
  looks: ReadonlyArray<Look>,
  owner: string | undefined,
  time: (own: number) => number
): ReadonlyArray<Look> =>
  looks.map(({ content, links, mode, path, ...own }) => ({
    path,
    mode,
    owner: owner ?? own.owner,
    time: time(own.time),
    content,
    links
  }))
