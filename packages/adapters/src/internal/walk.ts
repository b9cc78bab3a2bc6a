/**
 * What lies below directories on disk, as paths in a layer, sorted.
 */
import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
import * as Whiteout from "@effect-oci/core/Whiteout"
import * as Json from "@effect-oci/schema/Json"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { basename, join } from "node:path"
import { type SourceFileError, UnsupportedFile } from "../SourceFile.ts"
import type { FileSystem } from "./files.ts"
import { decoded, goneOrUnreadable, type OnDisk } from "./reading.ts"

/** Something at a path in a layer; a directory that is on no disk has no file. */
export interface Found {
  readonly path: string
  readonly file: OnDisk | undefined
}

/** Where a walk begins: the file that lands at a path, or the directory whose content lands below it. */
export interface Root {
  readonly file: OnDisk
  /** The names that make the path. */
  readonly names: ReadonlyArray<string>
}

interface Waiting extends Found {
  /** The path that ignore rules are asked about, and their verdict; none where nothing is ignored. */
  readonly asked: { readonly path: string; readonly verdict: IgnoreRules.Verdict | undefined } | undefined
}

export const checkName = (name: string, path: string): Effect.Effect<void, UnsupportedFile> =>
  name.startsWith(Whiteout.prefix)
    ? Effect.fail(
      new UnsupportedFile({
        path,
        expected: `a name that does not start with ${Whiteout.prefix}`,
        found: JSON.stringify(name)
      })
    )
    : Effect.void

const more = Option.some<void>(undefined)

/** The directories above a path, of which no root says what they are like. */
const above = (names: ReadonlyArray<string>): ReadonlyArray<Waiting> =>
  names.map((_, index) => ({ path: names.slice(0, index + 1).join("/"), file: undefined, asked: undefined }))

/**
 * Gives everything that the roots lead to, sorted by the UTF-8 bytes of the paths, as far as nothing ignores it. Links are
 * not followed. What is found twice comes twice, one after the other. A directory that is only there for something in it
 * that is not ignored comes right before that.
 *
 * What waits is kept with the least path at its end: a directory's children come after it, and before most of what
 * waits, so that they are put in at the end.
 */
export const walk = (
  files: FileSystem,
  roots: ReadonlyArray<Root>,
  ignore: IgnoreRules.IgnoreRules | undefined
): Stream.Stream<Found, SourceFileError> =>
  Stream.suspend(() => {
    const waiting: Array<Waiting> = []

    const wait = (found: Array<Waiting>): void => {
      const last = found.reduce((last, { path }) => Json.compareUtf8(path, last) > 0 ? path : last, "")
      for (
        let next = waiting.at(-1);
        next !== undefined && Json.compareUtf8(next.path, last) < 0;
        next = waiting.at(-1)
      ) {
        found.push(next)
        waiting.pop()
      }
      for (const each of found.toSorted((left, right) => Json.compareUtf8(right.path, left.path))) waiting.push(each)
    }

    const children = Effect.fnUntraced(function*(
      directory: string,
      path: string,
      asked: Waiting["asked"]
    ) {
      const found: Array<Waiting> = []
      for (const bytes of yield* Effect.mapError(files.list(directory), goneOrUnreadable)) {
        const name = yield* decoded(bytes, directory, "names")
        const source = join(directory, name)
        const inside = asked === undefined || asked.path === "" ? name : `${asked.path}/${name}`
        const verdict = ignore === undefined ? undefined : IgnoreRules.visit(ignore, inside, asked?.verdict)
        if (verdict?.action === "skip") continue
        const info = yield* Effect.mapError(files.info(source), goneOrUnreadable)
        if (verdict?.action !== "look inside") yield* checkName(name, source)
        else if (info.kind !== "directory") continue
        found.push({
          path: path === "" ? name : `${path}/${name}`,
          file: { source, info },
          asked: verdict === undefined ? undefined : { path: inside, verdict }
        })
      }
      wait(found)
    })

    const start = Effect.gen(function*() {
      const made = new Map<string, Waiting>()
      for (const { file, names } of roots) {
        const isDirectory = file.info.kind === "directory"
        for (const parent of above(isDirectory ? names : names.slice(0, -1))) made.set(parent.path, parent)
      }
      wait(Array.from(made.values()))
      for (const { file, names } of roots) {
        const path = names.join("/")
        if (file.info.kind === "directory") {
          yield* children(file.source, path, ignore === undefined ? undefined : { path: "", verdict: undefined })
        } else {
          wait([{ path, file, asked: undefined }])
        }
      }
    })

    // Directories that are ignored, unless something below them is not
    const doubtful = new Map<string, Waiting>()

    const broughtBack = Effect.fnUntraced(function*(path: string) {
      const found: Array<Found> = []
      if (doubtful.size === 0) return found
      for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
        const directory = doubtful.get(path.slice(0, end))
        if (directory?.file === undefined) continue
        yield* checkName(basename(directory.path), directory.file.source)
        doubtful.delete(directory.path)
        found.push(directory)
      }
      return found
    })

    const next = Effect.fnUntraced(function*() {
      for (let found = waiting.pop(); found !== undefined; found = waiting.pop()) {
        const { asked, file, path } = found
        if (file?.info.kind === "directory") yield* children(file.source, path, asked)
        if (asked?.verdict?.action !== "look inside") return [[...yield* broughtBack(path), found], more] as const
        doubtful.set(path, found)
      }
      return [[], Option.none<void>()] as const
    })

    return Stream.concat(Stream.fromEffectDrain(start), Stream.paginate(undefined, next))
  })
