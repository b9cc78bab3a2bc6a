/** A file system that makes nothing durable, which takes most of the time of a test: for those that cut no power. */
import * as Effect from "effect/Effect"
import type { FileSystem } from "../src/internal/files.ts"

export const hasty = (files: FileSystem): FileSystem => ({
  ...files,
  open: (path, flags) => Effect.map(files.open(path, flags), (file) => ({ ...file, sync: Effect.void }))
})
