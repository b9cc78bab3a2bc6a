/**
 * The files of an image layout as they are, for those that check one which may not be sound.
 *
 * @since 0.1.0
 */
import type * as Issue from "@effect-oci/core/Issue"
import type * as Validation from "@effect-oci/core/Validation"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { join } from "node:path"
import { Files, readDocument } from "./internal/files.ts"

/**
 * Reads the files of a layout beside its blobs: what each holds, or why that cannot be told. Links, FIFOs and devices
 * are not read, nor is more of a file than its kind may have.
 *
 * **Example** (Checking a layout)
 *
 * ```ts
 * import * as LayoutFiles from "@effect-oci/adapters/LayoutFiles"
 * import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as OciLayout from "@effect-oci/adapters/OciLayout"
 * import * as Validation from "@effect-oci/core/Validation"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 * import * as Option from "effect/Option"
 *
 * const issues = LayoutFiles.read("out").pipe(
 *   Effect.flatMap((files) => Validation.checkLayout(files, Option.none())),
 *   Effect.provide([OciLayout.layer("out").pipe(Layer.provideMerge(NodeHash.layer)), NodeCompression.layer])
 * )
 * ```
 *
 * @category reading
 * @since 0.1.0
 */
export const read: (directory: string) => Effect.Effect<Validation.LayoutFiles> = Effect.fnUntraced(
  function*(directory) {
    const files = yield* Files
    const content = (name: string, document: string, limit?: number) =>
      Effect.result(readDocument(files, join(directory, name), document, limit)).pipe(
        Effect.map(Result.map(({ bytes }) => bytes)),
        Effect.map(Result.mapError((error): Issue.Fact => {
          if (error._tag === "LimitExceeded") {
            return { _tag: "LimitExceeded", what: "bytes", limit: error.limit, found: error.size }
          }
          return error._tag === "StoreIo" && (error.code === "ENOENT" || error.code === "ENOTDIR")
            ? { _tag: "FileMissing" }
            : { _tag: "Unreadable", reason: error.message }
        }))
      )
    return {
      marker: yield* content("oci-layout", "image layout", 4096),
      index: yield* content("index.json", "image index")
    }
  }
)
