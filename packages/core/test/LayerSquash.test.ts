import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Layer from "@effect-oci/core/Layer"
import type { Entry } from "@effect-oci/core/LayerEntry"
import * as LayerTar from "@effect-oci/core/LayerTar"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import type { Planned } from "../src/internal/layerTree.ts"
import * as Squash from "../src/internal/squash.ts"
import { services } from "./services.ts"
import { archive, entry, type Fields, long, pax } from "./tar.ts"

const provided = Effect.provide(services)

type Item = Fields | string

/** A directory where the name ends with a slash, a link `a -> b`, a hard link `a => b`, a file `a=content`. */
const fieldsOf = (item: Item): Fields => {
  if (typeof item !== "string") return item
  const [, hard, hardTarget] = /^(.*) => (.*)$/.exec(item) ?? []
  if (hard !== undefined) return { name: hard, type: "1", target: hardTarget ?? "" }
  const [, link, target] = /^(.*) -> (.*)$/.exec(item) ?? []
  if (link !== undefined) return { name: link, type: "2", target: target ?? "" }
  if (item.endsWith("/")) return { name: item, type: "5", mode: 0o755 }
  const [name = "", content = ""] = item.split("=")
  return { name, content }
}

const tarOf = (items: ReadonlyArray<Item>): Uint8Array => archive(...items.map((item) => entry(fieldsOf(item))))

const stored = (tar: Uint8Array) => Layer.store(Stream.succeed(tar), { compression: "uncompressed" })

const squashed = (layers: ReadonlyArray<Uint8Array>, whiteouts: "keep" | "drop") =>
  Effect.gen(function*() {
    const sources = yield* Effect.forEach(layers, (tar) => Effect.map(stored(tar), ({ descriptor }) => descriptor))
    const { descriptor } = yield* Layer.squash(sources, { whiteouts, compression: "uncompressed" })
    return yield* BlobStore.getBytes(descriptor)
  })

/** The entries of an archive, in the notation that they are made of. */
const shown = (tar: Uint8Array) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const decoder = new TextDecoder()
    yield* Stream.runForEach(LayerTar.read()(Stream.succeed(tar)), (part) =>
      Effect.sync(() => {
        if (part._tag === "Content") lines.push(`${lines.pop()}=${decoder.decode(part.bytes)}`)
        if (part._tag !== "Header") return
        const { kind, name, target } = part.entry
        lines.push(
          kind === "symbolic link" ? `${name} -> ${target}` : kind === "hard link" ? `${name} => ${target}` : name
        )
      }))
    return lines
  })

type Row = readonly [what: string, layers: ReadonlyArray<ReadonlyArray<Item>>, expected: ReadonlyArray<string>]

describe("with nothing below", () => {
  const rows: ReadonlyArray<Row> = [
    ["layers that have nothing to do with each other", [["a=1"], ["b=2"]], ["a=1", "b=2"]],
    ["a file that is replaced", [["a=1", "b=2"], ["a=3"]], ["b=2", "a=3"]],
    ["a file twice in a layer", [["a=1", "a=2"]], ["a=2"]],
    ["a whiteout", [["a=1", "b=2"], [".wh.a"]], ["b=2"]],
    ["a whiteout of a directory", [["d/", "d/a=1", "d/e/", "d/e/b=2", "c=3"], [".wh.d"]], ["c=3"]],
    ["a whiteout of nothing", [["a=1"], [".wh.b", "d/e/.wh.f"]], ["a=1"]],
    ["a whiteout and its file, in any order", [["a=1", "b=1"], [".wh.a", "a=2", "b=2", ".wh.b"]], ["a=2", "b=2"]],
    ["a whiteout and its directory", [["d/", "d/a=1"], [".wh.d", "d/", "d/b=2"]], ["d/", "d/b=2"]],
    ["a whiteout that does not reach up", [[".wh.a", "b=1"], ["a=2"]], ["b=1", "a=2"]],
    ["what comes back", [["a=1"], [".wh.a"], ["a=2"]], ["a=2"]],
    ["an opaque directory, marked first", [["d/", "d/a=1"], ["d/", "d/.wh..wh..opq", "d/b=2"]], ["d/", "d/b=2"]],
    ["an opaque directory, marked last", [["d/", "d/a=1"], ["d/", "d/b=2", "d/.wh..wh..opq"]], ["d/", "d/b=2"]],
    ["an opaque directory, marked before it comes", [["d/", "d/a=1"], ["d/.wh..wh..opq", "d/", "d/b=2"]], [
      "d/",
      "d/b=2"
    ]],
    ["a marker without its directory", [["d/", "d/a=1", "d/e/", "d/e/f=2"], ["d/.wh..wh..opq"]], ["d/"]],
    ["a marker for a layer in between", [["d/", "d/a=1"], ["d/.wh..wh..opq"], ["d/c=3"]], ["d/", "d/c=3"]],
    ["an opaque root", [["a=1", "d/", "d/b=2"], [".wh..wh..opq", "c=3"]], ["c=3"]],
    ["a marker inside a directory that stays", [["d/", "d/e/", "d/e/a=1", "d/b=2"], ["d/e/.wh..wh..opq"]], [
      "d/",
      "d/e/",
      "d/b=2"
    ]],
    ["a directory that becomes a file", [["d/", "d/a=1", "d/e/", "d/e/b=2"], ["d=3"]], ["d=3"]],
    ["a directory that becomes a link", [["d/", "d/a=1", "e/"], ["d -> e"]], ["e/", "d -> e"]],
    ["a file that becomes a directory", [["d=1"], ["d/", "d/a=2"]], ["d/", "d/a=2"]],
    ["a link that becomes an opaque directory", [["e/", "e/a=1", "d -> e"], ["d/", "d/.wh..wh..opq", "d/b=2"]], [
      "e/",
      "e/a=1",
      "d/",
      "d/b=2"
    ]],
    ["a directory's metadata, before what was in it", [["d/a=1"], [{ name: "d/", type: "5", mode: 0o700 }]], [
      "d/",
      "d/a=1"
    ]],
    ["directories above one that comes late", [["d/e/a=1"], ["d/e/", "d/"]], ["d/", "d/e/", "d/e/a=1"]],
    ["a root with metadata", [["a=1"], ["./"]], ["./", "a=1"]],
    ["bookkeeping of AUFS", [["a=1", ".wh..wh.aufs", ".wh..wh.plnk/", ".wh..wh.plnk/1.2=x"]], ["a=1"]],
    // Hard links
    ["a hard link", [["a=1", "b => a"]], ["a=1", "b => a"]],
    ["a link whose target is deleted", [["a=1", "b => a"], [".wh.a"]], ["b=1"]],
    ["a link whose target is replaced", [["a=1", "b => a"], ["a=2"]], ["b=1", "a=2"]],
    ["a link whose target's directory is deleted", [["d/", "d/a=1", "b => d/a"], [".wh.d"]], ["b=1"]],
    ["a link whose target becomes a directory", [["a=1", "b => a"], ["a/", "a/c=2"]], ["b=1", "a/", "a/c=2"]],
    ["links whose target is deleted", [["a=1", "b => a", "c => a"], [".wh.a"]], ["b=1", "c => b"]],
    ["links to links", [["a=1", "b => a", "c => b"]], ["a=1", "b => a", "c => a"]],
    ["links to links without their target", [["a=1", "b => a", "c => b"], [".wh.a", ".wh.b"]], ["c=1"]],
    ["a link to a lower layer", [["a=1"], ["b => a"]], ["a=1", "b => a"]],
    ["a link to a lower layer, which is replaced above", [["a=1"], ["b => a"], ["a=2"]], ["b=1", "a=2"]],
    ["a link to what its own layer deletes", [["a=1"], [".wh.a", "b => a"]], ["b=1"]],
    ["a link to what its own layer deletes later", [["a=1"], ["b => a", ".wh.a"]], ["b=1"]],
    ["a link to the first of two files", [["a=1", "b => a", "a=2"]], ["b=1", "a=2"]],
    ["a link that is replaced", [["a=1", "b => a"], ["b=2"]], ["a=1", "b=2"]],
    ["a link to a symbolic link", [["s -> x", "h => s"], [".wh.s"]], ["h -> x"]],
    // Symbolic links on the way
    ["a file through a link", [["usr/", "usr/lib/", "lib -> usr/lib"], ["lib/a=1"]], [
      "usr/",
      "usr/lib/",
      "lib -> usr/lib",
      "usr/lib/a=1"
    ]],
    ["a whiteout through a link", [["usr/lib/a=1", "lib -> /usr/lib"], ["lib/.wh.a"]], ["lib -> /usr/lib"]],
    ["a marker through a link", [["e/", "e/a=1", "d -> e"], ["d/.wh..wh..opq"]], ["e/", "d -> e"]],
    ["a link that leads out stays inside", [["l -> ../../x"], ["l/a=1"]], ["l -> ../../x", "x/a=1"]],
    ["a hard link through a link", [["e/", "e/a=1", "d -> e"], ["h => d/a"]], ["e/", "e/a=1", "d -> e", "h => e/a"]],
    ["a link that is deleted before it is followed", [["e/", "d -> e"], [".wh.d", "d/a=1"]], ["e/", "d/a=1"]]
  ]
  it.effect.each(rows)("%s", ([, layers, expected]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* shown(yield* squashed(layers.map(tarOf), "drop")), expected)
    }).pipe(provided))
})

describe("with layers below", () => {
  const rows: ReadonlyArray<Row> = [
    ["a whiteout stays", [["a=1"], [".wh.a"]], [".wh.a"]],
    ["a whiteout of what is not known stays", [["a=1"], ["d/.wh.b"]], ["a=1", "d/.wh.b"]],
    ["a file in its place needs none", [[".wh.a"], ["a=2"]], ["a=2"]],
    ["a directory in its place is opaque", [[".wh.d"], ["d/", "d/a=2"]], ["d/", "d/.wh..wh..opq", "d/a=2"]],
    ["a directory that nothing describes, too", [[".wh.d"], ["d/a=2"]], ["d/.wh..wh..opq", "d/a=2"]],
    ["a directory in the place of a file is opaque", [["d=1"], ["d/", "d/a=2"]], ["d/", "d/.wh..wh..opq", "d/a=2"]],
    ["a marker stays", [["d/", "d/a=1"], ["d/", "d/.wh..wh..opq", "d/b=2"]], ["d/", "d/.wh..wh..opq", "d/b=2"]],
    ["whiteouts in what is deleted go", [["d/.wh.a", "d/e/.wh..wh..opq"], [".wh.d"]], [".wh.d"]],
    ["whiteouts in what is opaque go", [["d/.wh.a", "d/e/.wh.b"], ["d/.wh..wh..opq"]], ["d/.wh..wh..opq"]],
    ["whiteouts below a whiteout say nothing", [[".wh.d"], ["d/.wh.a"]], [".wh.d"]],
    ["a whiteout in an opaque directory says nothing", [["d/.wh..wh..opq", "d/a=1"], ["d/.wh.a"]], ["d/.wh..wh..opq"]],
    ["a directory that may be below is not opaque", [["d/", "d/a=1"], ["d/b=2"]], ["d/", "d/a=1", "d/b=2"]]
  ]
  it.effect.each(rows)("%s", ([, layers, expected]) =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* shown(yield* squashed(layers.map(tarOf), "keep")), expected)
    }).pipe(provided))
})

describe("a plan", () => {
  it("for many entries is no matter for the stack", () => {
    const planned = (layer: number, index: number, path: string): Planned => ({
      layer,
      index,
      path,
      kind: path.startsWith(".wh.") ? "whiteout" : "file",
      target: undefined,
      header: undefined
    })
    const files = Array.from({ length: 150_000 }, (_, index) => planned(0, index, `d/${index}`))
    const upper = [planned(1, 0, ".wh.d"), planned(1, 1, "a")]
    assert.deepStrictEqual(Result.getOrThrow(Squash.plan([files, upper], false)), [
      new Map(),
      new Map([[1, { headers: [], own: {} }]])
    ])
  }, 30_000)
})

describe("refuses", () => {
  const rows: ReadonlyArray<readonly [string, ReadonlyArray<ReadonlyArray<Item>>, string]> = [
    ["a hard link to nothing", [["b => a"]], "link"],
    ["a hard link to what a lower layer deleted", [["a=1"], [".wh.a"], ["b => a"]], "link"],
    ["a hard link to a directory", [["d/", "b => d"]], "link"],
    ["a hard link to a whiteout", [[".wh.a"], ["b => .wh.a"]], "link"],
    ["a file below a file", [["a=1"], ["a/b=2"]], "obstacle"],
    ["links in a circle", [["a -> b", "b -> a"], ["a/c=1"]], "obstacle"],
    ["a link to itself", [["a -> a/x", "a/c=1"]], "obstacle"]
  ]
  it.effect.each(rows)("%s", ([, layers, problem]) =>
    Effect.gen(function*() {
      for (const whiteouts of ["keep", "drop"] as const) {
        const error = yield* Effect.flip(squashed(layers.map(tarOf), whiteouts))
        assert(error._tag === "InvalidLayer" && error.reason._tag === "UnsafeEntry")
        assert.strictEqual(error.reason.problem, problem)
      }
    }).pipe(provided))
})

describe("bytes", () => {
  const capability = new Uint8Array([1, 0, 0, 2, 0, 4, 0xff, 0x0a, 0xc3, 0])

  it.effect("of entries that stay are those they were", () =>
    Effect.gen(function*() {
      const parts = [
        entry({ name: "./d/", type: "5", mtime: 3, mode: 0o700 }),
        Buffer.concat([
          pax([["SCHILY.xattr.security.capability", capability], ["mtime", "1.5"]]),
          entry({ name: "d/a", content: "x".repeat(1000) })
        ]),
        Buffer.concat([long("L", `d/${"n".repeat(200)}`), entry({ name: "n", format: "gnu", atime: 9, content: "y" })]),
        Buffer.concat([long("K", `d/${"n".repeat(200)}`), entry({ name: "h", type: "1", format: "gnu" })])
      ]
      assert.deepStrictEqual(
        Buffer.from(yield* squashed([archive(...parts)], "drop")),
        Buffer.from(archive(...parts))
      )
      assert.deepStrictEqual(
        Buffer.from(yield* squashed(parts.map((part) => archive(part)), "keep")),
        Buffer.from(archive(...parts))
      )
    }).pipe(provided))

  it.effect("of content that moves to a link keep their attributes, whatever its name", () =>
    Effect.gen(function*() {
      const file = Buffer.concat([
        pax([["SCHILY.xattr.security.capability", capability], ["path", "a"]]),
        entry({ name: "a", content: "hello", mtime: 7, mode: 0o4755 })
      ])
      for (const name of ["b", "ü", "n".repeat(100), "n".repeat(101), `d/${"ü".repeat(300)}`]) {
        const link = Buffer.concat([pax([["path", name]]), entry({ name: "short", type: "1", target: "a" })])
        const bytes = yield* squashed([archive(file, link), tarOf([".wh.a"])], "drop")
        const entries = yield* Stream.runCollect(LayerTar.entries()(Stream.succeed(bytes)))
        assert.deepStrictEqual(
          entries.map(({ kind, mode, mtime, name, size }) => [kind, mode, mtime.seconds, name, size]),
          [["file", 0o4755, 7, name, 5]]
        )
        assert.isTrue(Buffer.from(bytes).includes(Buffer.from(capability)))
      }
    }).pipe(provided))

  it.effect("of long names of GNU become a PAX record where they change", () =>
    Effect.gen(function*() {
      const [name, target] = ["n".repeat(150), "t".repeat(150)]
      const layer = archive(
        long("L", name),
        entry({ name: "n", format: "gnu", content: "x" }),
        long("L", target),
        long("K", name),
        entry({ name: "t", target: "n", type: "1", format: "gnu" }),
        long("L", `u${target}`),
        long("K", name),
        entry({ name: "u", target: "n", type: "1", format: "gnu" })
      )
      assert.deepStrictEqual(yield* shown(yield* squashed([layer, tarOf([`.wh.${"n".repeat(90)}`])], "drop")), [
        `${name}=x`,
        `${target} => ${name}`,
        `u${target} => ${name}`
      ])
      const without = archive(pax([["path", `.wh.${name}`]]), entry({ name: "w" }))
      assert.deepStrictEqual(yield* shown(yield* squashed([layer, without], "drop")), [
        `${target}=x`,
        `u${target} => ${target}`
      ])
    }).pipe(provided))

  it.effect("of nothing are an empty archive", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(Buffer.from(yield* squashed([], "drop")), Buffer.alloc(1024))
    }).pipe(provided))
})

/** What a path of a file system holds: files with the same `inode` are linked. */
interface File {
  readonly kind: Entry["kind"]
  readonly text: string
  readonly inode: number
}

type Tree = ReadonlyMap<string, File>

/**
 * Puts a layer onto a tree, in the plainest way: whiteouts first, then the entries. The judge of the tests below, which
 * knows nothing of the order of results.
 */
const applied = (tree: Tree, tar: Uint8Array, inodes: { next: number }) =>
  Effect.gen(function*() {
    const lower = new Map(tree)
    const parts = yield* Stream.runCollect(LayerTar.read()(Stream.succeed(tar)))
    const items: Array<{ readonly entry: Entry; content: string }> = []
    for (const part of parts) {
      const last = items.at(-1)
      if (part._tag === "Header") items.push({ entry: part.entry, content: "" })
      if (part._tag === "Content" && last !== undefined) last.content += Buffer.from(part.bytes).toString("latin1")
    }
    const remove = (path: string): void => {
      for (const other of lower.keys()) if (other === path || other.startsWith(`${path}/`)) lower.delete(other)
    }
    for (const { entry: { path } } of items) {
      const [, directory = "", name = ""] = /^(.*\/|)([^/]*)$/.exec(path) ?? []
      if (name === ".wh..wh..opq") {
        for (const other of lower.keys()) if (other.startsWith(directory)) lower.delete(other)
      } else if (name.startsWith(".wh.")) remove(directory + name.slice(4))
    }
    const before = new Map(tree)
    for (const { content, entry: { kind, mode, path, target } } of items) {
      if (/(?:^|\/)\.wh\./.test(path)) continue
      const old = lower.get(path)
      if (kind === "directory") {
        if (old !== undefined && old.kind !== "directory") remove(path)
        lower.set(path, { kind, text: String(mode), inode: -1 })
        continue
      }
      const linked = kind === "hard link" ? lower.get(target ?? "") ?? before.get(target ?? "") : undefined
      if (old !== undefined) before.set(path, old)
      remove(path)
      lower.set(path, linked ?? { kind, text: `${mode} ${target ?? ""} ${content}`, inode: inodes.next++ })
    }
    return lower
  })

/** A tree as a text that two trees share if, and only if, they are the same. */
const canonical = (tree: Tree): ReadonlyArray<string> => {
  const first = new Map<number, string>()
  return [...tree.keys()].toSorted().map((path) => {
    const file = tree.get(path) ?? assert.fail("no such file")
    if (file.inode < 0) return `${path} ${file.kind} ${file.text}`
    const known = first.get(file.inode) ?? path
    first.set(file.inode, known)
    return `${path} ${file.kind} ${file.text} = ${known}`
  })
}

/** Numbers that are random, and the same in each run. */
const generator = (seed: string) => {
  let count = 0
  return (below: number): number => createHash("sha256").update(`${seed} ${count++}`).digest().readUInt32LE() % below
}

const names = ["a", "b", "c"]

/** A layer for a tree, with every kind of change, none of which is forbidden. */
const randomLayer = (tree: Tree, random: (below: number) => number, round: number): ReadonlyArray<Fields> => {
  const items: Array<Fields> = []
  const own = new Map([...tree].map(([path, { kind }]) => [path, kind]))
  const drop = (path: string): void => {
    for (const other of own.keys()) if (other.startsWith(`${path}/`) || other === path) own.delete(other)
  }
  const directories = () => ["", ...[...own].filter(([, kind]) => kind === "directory").map(([path]) => `${path}/`)]
  for (let count = 1 + random(6); count > 0; count--) {
    const all = directories()
    const directory = all[random(all.length)] ?? ""
    if (directory.split("/").length > 4) continue
    const path = directory + (names[random(names.length)] ?? "")
    const files = [...own].filter(([other, kind]) => kind !== "directory" && other !== path).map(([other]) => other)
    const kind = random(8)
    if (kind === 0 && tree.has(path)) {
      items.push({ name: `${directory}.wh.${path.slice(directory.length)}` })
    } else if (kind === 1 && tree.get(directory.slice(0, -1))?.kind === "directory") {
      items.push({ name: `${directory}.wh..wh..opq` })
    } else if (kind <= 3) {
      if (own.get(path) !== "directory") drop(path)
      own.set(path, "directory")
      items.push({ name: `${path}/`, type: "5", mode: 0o700 + random(8) })
    } else if (kind === 4 && files.length > 0) {
      const target = files[random(files.length)] ?? ""
      if (target.startsWith(`${path}/`)) continue
      drop(path)
      own.set(path, "file")
      items.push({ name: path, type: "1", target })
    } else if (kind === 5) {
      drop(path)
      own.set(path, "file")
      items.push({ name: path, type: "2", target: `to-${round}-${count}` })
    } else {
      drop(path)
      own.set(path, "file")
      items.push({ name: path, content: `${round}-${count}`.repeat(1 + random(300)), mode: 0o600 + random(64) })
    }
  }
  return items
}

describe("random layers", () => {
  it.effect("are the same tree before and after", () =>
    Effect.gen(function*() {
      const seen = { whiteouts: 0, links: 0, moved: 0 }
      for (let round = 0; round < 150; round++) {
        const random = generator(`squash ${round}`)
        const inodes = { next: 0 }
        const layers: Array<Uint8Array> = []
        const trees: Array<Tree> = [new Map()]
        for (let layer = 0; layer < 4; layer++) {
          const tree = trees.at(-1) ?? new Map()
          const items = randomLayer(tree, random, layer)
          seen.links += items.filter(({ type }) => type === "1").length
          seen.whiteouts += items.filter(({ name }) => String(name).includes(".wh.")).length
          const tar = archive(...items.map(entry))
          const next = yield* applied(tree, tar, inodes)
          // A file below what a whiteout of the same layer took needs its directory: such layers are left out
          const isSound = [...next.keys()].every((path) =>
            !path.includes("/") || next.get(path.slice(0, path.lastIndexOf("/")))?.kind === "directory"
          )
          layers.push(isSound ? tar : archive())
          trees.push(isSound ? next : tree)
        }
        const expected = canonical(trees.at(-1) ?? new Map())
        const whole = yield* squashed(layers, "drop")
        assert.deepStrictEqual(canonical(yield* applied(new Map(), whole, inodes)), expected, `round ${round}`)
        const [base = archive(), ...upper] = layers
        const rest = yield* squashed(upper, "keep").pipe(Effect.result)
        // Hard links to the base cannot be kept by those above it alone
        if (rest._tag === "Failure") {
          seen.moved++
          continue
        }
        const below = yield* applied(new Map(), base, inodes)
        assert.deepStrictEqual(canonical(yield* applied(below, rest.success, inodes)), expected, `round ${round}, kept`)
        assert.isTrue(Buffer.from(whole).equals(yield* squashed([whole], "drop")), "once is enough")
      }
      assert.isAbove(seen.whiteouts, 80)
      assert.isAbove(seen.links, 100)
      assert.isBelow(seen.moved, 75)
    }).pipe(provided), 60_000)
})
