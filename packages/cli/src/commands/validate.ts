/**
 * `effect-oci validate IMAGE`
 *
 * @since 0.1.0
 */
import * as LayoutFiles from "@effect-oci/adapters/LayoutFiles"
import * as NodeCompression from "@effect-oci/adapters/NodeCompression"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import type * as Issue from "@effect-oci/core/Issue"
import * as Validation from "@effect-oci/core/Validation"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import process from "node:process"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as Terminal from "../Terminal.ts"
import * as Transport from "../Transport.ts"
import { Verdict } from "../Verdict.ts"

const toJson = ({ _tag, message, path, pointer, severity }: Issue.Issue) => ({ _tag, severity, path, pointer, message })

const countOf = (issues: ReadonlyArray<Issue.Issue>, severity: Issue.Severity): string => {
  const count = issues.filter((issue) => issue.severity === severity).length
  return `${count === 0 ? "no" : count} ${severity}${count === 1 ? "" : "s"}`
}

/** The issues by document, in the order in which they were found, and how many there are. */
const describe = (image: string, issues: ReadonlyArray<Issue.Issue>): string => {
  const paths = [...new Set(issues.map((issue) => issue.path))]
  const byPath = new Map(paths.map((path): [string, Array<Issue.Issue>] => [path, []]))
  for (const issue of issues) byPath.get(issue.path)?.push(issue)
  const paragraphs = [...byPath].map(([path, issues]) =>
    [
      Terminal.printable(path),
      ...issues.map(({ message, pointer, severity }) =>
        `  ${Terminal.labelled(severity, `${pointer === "" ? "" : `${pointer}: `}${message}`, process.stdout)}`
      )
    ].join("\n")
  )
  const counts = (["error", "warning", "notice"] as const).map((severity) => countOf(issues, severity)).join(", ")
  return [...paragraphs, `${Terminal.printable(image)}: ${counts}`].join("\n\n")
}

/** Of a layout the files are looked at that tell what it holds; of other stores what they tell themselves. */
const issuesOf = Effect.fnUntraced(function*(image: ImageArgument.ImageArgument) {
  if (Option.isSome(image.digest)) return yield* Validation.check(yield* Transport.resolve(image))
  if (image.transport !== "oci") return yield* Validation.checkImages(image.tag)
  return yield* Validation.checkLayout(yield* LayoutFiles.read(image.path), image.tag)
})

const run = Effect.fnUntraced(function*({ image, json }: {
  readonly image: ImageArgument.ImageArgument
  readonly json: boolean
}) {
  const issues = yield* issuesOf(image)
  yield* json
    ? Output.json({ issues: issues.map(toJson) })
    : Output.line(describe(ImageArgument.format(image), issues))
  if (issues.some((issue) => issue.severity === "error")) return yield* new Verdict()
})

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "validate",
  {
    image: Flags.image("IMAGE", `${ImageArgument.syntax}; without a tag everything there is checked`),
    json: Flags.json
  },
  (input) =>
    Effect.provide(
      run(input),
      Layer.mergeAll(Transport.layer(input.image), NodeHash.layer, NodeCompression.layer)
    )
).pipe(
  Command.withDescription(
    "Check an image, or all images of a store: the documents against image-spec and against each other, sizes, digests " +
      "and diff IDs against what is stored. Every problem is told, with its place. An error breaks the spec, a warning is " +
      "legal and hardly meant, a notice is legal and odd. The exit code is 1 where there is an error."
  ),
  Command.withShortDescription("Check an image and tell every problem"),
  Command.withExamples([
    { command: "effect-oci validate oci:out:latest" },
    {
      command:
        "effect-oci validate oci:out --json | jq -r '.issues[] | select(.severity == \"error\") | .path + .pointer'",
      description: "Where the errors of a whole layout are"
    }
  ])
)
