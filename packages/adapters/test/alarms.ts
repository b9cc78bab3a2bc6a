/** What the validation has to say against a layout that somebody else wrote. */
import * as LayoutFiles from "@effect-oci/adapters/LayoutFiles"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Validation from "@effect-oci/core/Validation"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"

/** The problems of a whole layout that are more than a notice. */
export const alarms = (layout: string) =>
  LayoutFiles.read(layout).pipe(
    Effect.flatMap((files) => Validation.checkLayout(files, Option.none())),
    Effect.map((issues) => issues.filter((issue) => issue.severity !== "notice").map((issue) => issue.message)),
    Effect.provide([OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer)), NodeCompression.layer])
  )
