/**
 * Files that only their owner may read, changed by one process at a time.
 */
import type { StoreIo, UnsafeFile } from "@effect-oci/core/BlobStore"
import type { StoreLocked } from "@effect-oci/core/ImageStore"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import { dirname, join } from "node:path"
import { absentAs, checkDirectory, type FileSystem, syncDirectory } from "../files.ts"
import { withLock } from "../lock.ts"

/** How long another process may take to change a file. */
const lockTimeout = Duration.seconds(30)

const ensureDirectory = (files: FileSystem, path: string): Effect.Effect<void, StoreIo> =>
  files.makeDirectory(path).pipe(
    Effect.andThen(files.setMode(path, 0o700)),
    Effect.catchIf(
      (error) => error.code === "ENOENT" && dirname(path) !== path,
      () => Effect.andThen(ensureDirectory(files, dirname(path)), ensureDirectory(files, path))
    ),
    Effect.catchIf((error) => error.code === "EEXIST", () => Effect.void)
  )

/** Puts a new file with this content into the place of another one. `spare` is a path that nobody else uses meanwhile. */
const replace = (files: FileSystem, path: string, spare: string, content: string): Effect.Effect<void, StoreIo> =>
  Effect.scoped(Effect.gen(function*() {
    // What a process has left that was killed
    yield* absentAs(undefined)(files.remove(spare))
    yield* Effect.addFinalizer(() => Effect.ignore(files.remove(spare)))
    const file = yield* files.open(spare, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL)
    yield* file.setMode(0o600)
    yield* file.write(new TextEncoder().encode(content))
    yield* file.sync
    yield* files.rename(spare, path)
    yield* syncDirectory(files, dirname(path))
  }))

/**
 * Changes a file by what it holds then, and writes it whole or not at all. Directories that are missing are made, for
 * their owner only. `edit` gives the new content, or `undefined` where nothing is to change.
 */
export const change = <E>(
  files: FileSystem,
  path: string,
  edit: Effect.Effect<string | undefined, E>
): Effect.Effect<void, E | StoreIo | UnsafeFile | StoreLocked> =>
  Effect.gen(function*() {
    const real = yield* absentAs(path)(files.realPath(path))
    const area = join(dirname(real), ".effect-oci")
    yield* ensureDirectory(files, area)
    yield* checkDirectory(files, area)
    yield* withLock(files, area, lockTimeout)(
      Effect.flatMap(edit, (content) =>
        content === undefined ? Effect.void : replace(files, real, join(area, "credentials"), content))
    )
  })
