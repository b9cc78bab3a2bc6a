/**
 * The files of `--add`, before they are read.
 *
 * @since 0.1.0
 */
import type * as FileTree from "@effect-oci/adapters/FileTree"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Schema from "effect/Schema"

/**
 * Error raised where there is nothing at a path that is to be added.
 *
 * @category errors
 * @since 0.1.0
 */
export class SourceMissing extends Schema.TaggedError<SourceMissing>("@effect-oci/cli/SourceMissing")("SourceMissing", {
  source: Schema.String,
  destination: Schema.String
}) {
  override get message() {
    return `there is no ${this.source} to add at ${this.destination}: expected a file or a directory`
  }
}

/**
 * Checks that there is something to add, which is better told before the first layer is made.
 *
 * @category guards
 * @since 0.1.0
 */
export const check = Effect.fnUntraced(function*({ destination, source }: FileTree.Addition) {
  const files = yield* FileSystem.FileSystem
  // What cannot be looked at is told when it is read
  const exists = yield* Effect.orElseSucceed(files.exists(source), () => true)
  if (!exists) return yield* new SourceMissing({ source, destination })
})
