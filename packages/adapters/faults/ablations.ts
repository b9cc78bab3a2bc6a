/**
 * Takes one part after the other from what keeps stores whole, in a copy of the sources, and runs the check that is to miss it.
 */
import { cpSync, globSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import process from "node:process"
import { freshDirectory, type Outcome, problemsOf, start } from "./support.ts"

interface Mutant {
  readonly name: string
  /** Relative to `packages/adapters/src`, or to `packages` with a slash in front. */
  readonly file: string
  readonly from: string
  readonly to: string
  readonly check: string
}

const layout = "internal/layout.ts"
const lock = "internal/lock.ts"

/** Each text is found exactly once, so that a change of the code cannot quietly leave a mutant behind. */
const mutants: ReadonlyArray<Mutant> = [
  {
    name: "no flush of a blob",
    file: layout,
    from: "      yield* syncBlob(file)\n      yield* file.close\n",
    to: "      yield* file.close\n",
    check: "disk"
  },
  {
    name: "no flush of a blob that is taken over",
    file: layout,
    from:
      "return yield* new BlobStore.DigestMismatch({ store, expected: blob.digest, found })\n    yield* syncBlob(file)\n",
    to: "return yield* new BlobStore.DigestMismatch({ store, expected: blob.digest, found })\n",
    check: "disk"
  },
  {
    name: "no flush of blobs that are found, or in a batch",
    file: layout,
    from: "([digest, error]) => error === undefined ? syncOne(digest) : Effect.fail(error)",
    to: "() => Effect.void",
    check: "disk"
  },
  {
    name: "no flush of the directory of blobs",
    file: layout,
    from: "yield* syncDirectory(files, inside(\"blobs\", name))",
    to: "yield* Effect.void",
    check: "disk"
  },
  {
    name: "no flush of index.json and oci-layout",
    file: layout,
    from: "const sync = (file: Pick<File, \"sync\">) => isDurable ? file.sync : Effect.void",
    to: "const sync = (_: Pick<File, \"sync\">) => Effect.void",
    check: "power"
  },
  {
    name: "no flush of the layout's directory",
    file: layout,
    from: "const syncNames = (directory: string) => isDurable ? syncDirectory(files, directory) : Effect.void",
    to: "const syncNames = (_: string) => Effect.void",
    check: "disk"
  },
  {
    name: "no flush of a directory above a new one",
    file: "internal/files.ts",
    from:
      "      Effect.andThen(files.setMode(path, 0o755)),\n      Effect.andThen(syncDirectory(files, dirname(path)))\n",
    to: "      Effect.andThen(files.setMode(path, 0o755))\n",
    check: "disk"
  },
  {
    name: "a list of images that is named before its blobs are durable",
    file: "OciLayout.ts",
    from: "    yield* layout.syncBlobs\n",
    to: "",
    check: "disk"
  },
  {
    name: "no rename: a file is copied to its place",
    file: "internal/files.ts",
    from: "change(\"rename\", to, () => Fs.rename(from, to))",
    to: "change(\"rename\", to, () => Fs.copyFile(from, to).then(() => Fs.unlink(from)))",
    check: "power"
  },
  {
    name: "no lock",
    file: layout,
    from:
      "turn.withPermit(withLock(files, area, lockTimeout)(Effect.andThen(Trash.restore(files, root, area), effect)))",
    to: "turn.withPermit(Effect.andThen(Trash.restore(files, root, area), effect))",
    check: "taggers"
  },
  {
    name: "the lock of a dead process is not broken",
    file: lock,
    from: "if (fate !== \"unknown\") return fate === \"dead\"",
    to: "if (fate !== \"unknown\") return false",
    check: "kills"
  },
  {
    name: "the lock of a living process is broken",
    file: lock,
    from: "if (fate !== \"unknown\") return fate === \"dead\"",
    to: "if (fate !== \"unknown\") return true",
    check: "taggers"
  },
  {
    name: "what dead processes leave is not removed",
    file: layout,
    from: "    yield* Tidying.sweep(files, area)\n",
    to: "",
    check: "kills"
  },
  {
    name: "what living processes write is removed",
    file: "internal/tidying.ts",
    from: "if (fate !== \"unknown\") return fate === \"dead\"",
    to: "if (fate !== \"unknown\") return true",
    check: "taggers"
  },
  {
    name: "a temporary file stays after an error",
    file: "internal/files.ts",
    from: "() => Effect.addFinalizer(() => moved ? Effect.void : Effect.ignore(files.remove(path)))",
    to: "() => Effect.addFinalizer(() => moved ? Effect.void : Effect.void)",
    check: "errnos"
  },
  {
    name: "the digest of what is read is not verified",
    file: "/core/src/BlobStore.ts",
    from:
      "        if (found !== blob.digest) return yield* new DigestMismatch({ store, expected: blob.digest, found })\n",
    to: "",
    check: "flips"
  },
  {
    name: "the digest of what is taken over is not verified",
    file: layout,
    from:
      "    if (found !== blob.digest) return yield* new BlobStore.DigestMismatch({ store, expected: blob.digest, found })\n",
    to: "",
    check: "flips"
  },
  {
    name: "no leases",
    file: "internal/lease.ts",
    from: "const added = [...digests].filter((digest) => !held.has(digest))",
    to: "const added = [...digests].filter((digest) => !held.has(digest) && digest.length === 0)",
    check: "gc"
  },
  {
    name: "the trash of a collection that was killed is not put back",
    file: layout,
    from: "withLock(files, area, lockTimeout)(Effect.andThen(Trash.restore(files, root, area), effect))",
    to: "withLock(files, area, lockTimeout)(effect)",
    check: "gc"
  },
  {
    name: "what is shown of a batch is not flushed before",
    file: layout,
    from: "    yield* Effect.forEach(staging.files.values(), ({ synced }) => synced, {\n" +
      "      concurrency: syncConcurrency,\n      discard: true\n    })\n",
    to: "",
    check: "disk"
  },
  {
    name: "no flush of the marker that another process has made",
    file: layout,
    from: "yield* Effect.scoped(Effect.flatMap(openFile(files, inside(\"oci-layout\")), ({ file }) => sync(file)))",
    to: "",
    check: "disk"
  },
  {
    name: "no flush of a new marker",
    file: layout,
    from: "      yield* sync(file)\n      yield* file.close\n      yield* Effect.catchIf(files.link",
    to: "      yield* file.close\n      yield* Effect.catchIf(files.link",
    check: "disk"
  },
  {
    name: "no flush of the names of a new layout",
    file: layout,
    from: "    yield* syncNames(root)\n  })\n\n  const prepare",
    to: "  })\n\n  const prepare",
    check: "disk"
  },
  {
    name: "no flush of the directory of algorithms",
    file: layout,
    from: "      yield* syncDirectory(files, inside(\"blobs\"))\n    }),",
    to: "    }),",
    check: "disk"
  },
  {
    name: "no flush of the name of a new list of images",
    file: "OciLayout.ts",
    from: "if (written) return yield* layout.syncNames(store)",
    to: "if (written) return",
    check: "disk"
  },
  {
    name: "no flush of an archive",
    file: "internal/tarStore.ts",
    from: "    yield* file.sync\n    yield* file.close\n    const now",
    to: "    yield* file.close\n    const now",
    check: "disk"
  },
  {
    name: "no flush of the name of an archive",
    file: "internal/tarStore.ts",
    from: "    yield* syncDirectory(files, dirname(path))\n    return true",
    to: "    return true",
    check: "disk"
  },
  {
    name: "no flush of a blob in a directory of one image",
    file: "DirTransport.ts",
    from: "      yield* file.sync\n      yield* file.close\n      yield* next.moveTo",
    to: "      yield* file.close\n      yield* next.moveTo",
    check: "disk"
  },
  {
    name: "no flush of the manifest of a directory of one image",
    file: "DirTransport.ts",
    from: "      yield* file.sync\n      yield* file.close\n      yield* file.moveTo",
    to: "      yield* file.close\n      yield* file.moveTo",
    check: "disk"
  },
  {
    name: "a manifest that is named in a directory before its blobs are durable",
    file: "DirTransport.ts",
    from: "    yield* syncDirectory(files, store)\n    yield* write(manifestPath, bytes)",
    to: "    yield* write(manifestPath, bytes)",
    check: "disk"
  },
  {
    name: "no flush of the name of a manifest in a directory",
    file: "DirTransport.ts",
    from: "    yield* write(manifestPath, bytes)\n    yield* syncDirectory(files, store)",
    to: "    yield* write(manifestPath, bytes)",
    check: "disk"
  },
  {
    name: "a ref that is named before its blobs are durable",
    file: "CacheRefFileSystem.ts",
    from: "    yield* layout.syncBlobs\n",
    to: "",
    check: "disk"
  },
  {
    name: "no flush of the name of a ref",
    file: "CacheRefFileSystem.ts",
    from: "      yield* layout.syncNames(directory)\n      yield* layout.syncNames(store)",
    to: "      yield* layout.syncNames(store)",
    check: "disk"
  },
  {
    name: "no flush of the name of the directory of refs",
    file: "CacheRefFileSystem.ts",
    from: "      yield* layout.syncNames(directory)\n      yield* layout.syncNames(store)",
    to: "      yield* layout.syncNames(directory)",
    check: "disk"
  },
  {
    name: "the size of what is read is not verified",
    file: layout,
    from: "if (opened.info.size === blob.size) return opened",
    to: "return opened",
    check: "flips"
  },
  {
    name: "garbage is not looked at again",
    file: "GarbageCollection.ts",
    from: "if (needed.has(digest)) {",
    to: "if (digest.length === 0) {",
    check: "gc"
  }
]

/** The sources, and links to what they need. */
const copyTree = (root: string): string => {
  const copy = freshDirectory("tree")
  for (const path of ["package.json", "tsconfig.base.json", ".ci/faults.ts"]) {
    cpSync(join(root, path), join(copy, path), { recursive: true })
  }
  for (const path of globSync("packages/*/{package.json,src,faults,test,build.ts,node_modules}", { cwd: root })) {
    cpSync(join(root, path), join(copy, path), { recursive: true, verbatimSymlinks: true })
  }
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))
  return copy
}

export const run = async (): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const tree = copyTree(join(import.meta.dirname, "../../.."))
  const pathOf = ({ file }: Mutant) =>
    file.startsWith("/") ? join(tree, "packages", file) : join(tree, "packages/adapters/src", file)
  const check = async (name: string) => {
    const running = start(process.execPath, [join(tree, ".ci/faults.ts"), name, "--brief"], { cwd: dirname(tree) })
    const { code } = await running.finish()
    return { code, told: running.lines.join("\n") }
  }
  for (const name of new Set(mutants.map((mutant) => mutant.check))) {
    const { code, told } = await check(name)
    if (code !== 0) add(`the check ${name}`, `it fails without a change: ${told}`)
  }
  let found = 0
  for (const mutant of mutants) {
    const path = pathOf(mutant)
    const source = readFileSync(path, "utf8")
    if (source.split(mutant.from).length !== 2) {
      add(mutant.name, `${mutant.file} does not hold exactly once: ${mutant.from}`)
      continue
    }
    writeFileSync(path, source.replace(mutant.from, () => mutant.to))
    const { code, told } = await check(mutant.check)
    writeFileSync(path, source)
    process.stderr.write(
      `  ${mutant.name}: ${code === 1 ? "found" : "NOT found"} by ${told.split("\n")[1]?.trim() ?? told}\n`
    )
    if (code === 1) found++
    else add(mutant.name, `the check ${mutant.check} does not see it: ${told}`)
  }
  return { figure: `${found} of ${mutants.length} ablations fail a check`, problems: all }
}
