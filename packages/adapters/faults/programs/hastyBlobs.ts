/** A file system that flushes all but blobs. */
import * as Effect from "effect/Effect"
import { constants } from "node:fs"
import type { FileSystem } from "../../src/internal/files.ts"

export const hastyBlobs = (files: FileSystem): FileSystem => ({
  ...files,
  // What a new file is for shows when it gets its name
  open: (path, flags) =>
    Effect.map(
      files.open(path, flags),
      (file) => flags & constants.O_DIRECTORY ? file : { ...file, sync: Effect.void }
    ),
  rename: (from, to) =>
    Effect.andThen(
      to.includes("/blobs/") || to.includes("/.effect-oci/")
        ? Effect.void
        : Effect.scoped(Effect.flatMap(files.open(from, constants.O_RDONLY), (file) => file.sync)),
      files.rename(from, to)
    )
})
