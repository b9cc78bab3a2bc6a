/**
 * `effect-oci diff A B`
 *
 * @since 0.1.0
 */
import * as Difference from "@effect-oci/core/Difference"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Flags from "../Flags.ts"
import * as ImageArgument from "../ImageArgument.ts"
import * as Output from "../Output.ts"
import * as ReadImage from "../ReadImage.ts"
import * as Terminal from "../Terminal.ts"
import * as Transport from "../Transport.ts"
import { Verdict } from "../Verdict.ts"

const kinds: Readonly<Record<Difference.Difference["_tag"], string>> = {
  Kind: "one is an index and the other is not",
  ImageAdded: "listed on the right only",
  ImageRemoved: "listed on the left only",
  LayerAdded: "a layer on the right only",
  LayerRemoved: "a layer on the left only",
  LayerContent: "other content",
  LayerCompression: "the same content, compressed in another format",
  LayerEncoder: "the same content, compressed by another encoder, or another version or setting of it",
  History: "history",
  Time: "another time",
  Member: "",
  Formatting: "written in another way"
}

const rules: Readonly<Record<Difference.Rule, string>> = {
  epoch: "an epoch (--epoch, or SOURCE_DATE_EPOCH) would make them equal",
  utc: "the same instant: --compatibility effect-oci-1 writes times in UTC, which would make them equal",
  compression: "the same compression would make them equal",
  encoder: "the same version of the same encoder would make them equal",
  "media-types": "the same media types, OCI's or Docker's, would make them equal"
}

const describe = ({ _tag, formatting, image, left, pointer, right, rule, where }: Difference.Difference): string => {
  const what = [kinds[_tag], ...(formatting ?? [])].filter((text) => text !== "").join(", ")
  const place = [...(image === "" ? [] : [`${image}:`]), where, ...(pointer === "" ? [] : [pointer])].join(" ")
  return [
    `${place}${what === "" ? "" : `: ${what}`}`,
    ...(left === undefined ? [] : [`  - ${left}`]),
    ...(right === undefined ? [] : [`  + ${right}`]),
    ...(rule === undefined ? [] : [`  (${rules[rule]})`])
  ].map((line) => Terminal.indented(line)).join("\n")
}

interface Options {
  readonly left: ImageArgument.ImageArgument
  readonly right: ImageArgument.ImageArgument
  readonly json: boolean
}

const run = Effect.fnUntraced(function*({ json, left, right }: Options) {
  const [from, to] = yield* Effect.all([
    Effect.provide(ReadImage.tree(left), Transport.layer(left)),
    Effect.provide(ReadImage.tree(right), Transport.layer(right))
  ])
  const report = Difference.between(from, to)
  const sides = [[left, from], [right, to]] as const
  if (json) {
    const [a, b] = sides.map(([image, { descriptor }]) => ({
      image: ImageArgument.format(image),
      digest: descriptor.digest
    }))
    yield* Output.json({ equal: report.isEqual, left: a, right: b, ...report, isEqual: undefined })
  } else {
    const heads = sides.map(([image, { descriptor }], index) =>
      `${index === 0 ? "-" : "+"} ${Terminal.printable(ImageArgument.format(image))} ${descriptor.digest}`
    )
    yield* Output.line([heads.join("\n"), report.sentence, ...report.differences.map(describe)].join("\n\n"))
  }
  if (!report.isEqual) return yield* new Verdict()
})

const image = (name: string, side: string) =>
  Flags.image(name, `The image on the ${side}: ${ImageArgument.syntax}; without a tag it has to be the only one there`)

/**
 * @category commands
 * @since 0.1.0
 */
export const command = Command.make(
  "diff",
  { left: image("A", "left"), right: image("B", "right"), json: Flags.json },
  run
).pipe(
  Command.withDescription(
    "Tell why the digests of two images differ: in one sentence, then down to the member of a document and to the layer, the " +
      "most important first, and which rule would make the two equal. The exit code is 0 where the digests are the same, " +
      "and 1 where they differ or an image cannot be read."
  ),
  Command.withShortDescription("Tell why the digests of two images differ"),
  Command.withExamples([
    { command: "effect-oci diff oci:out:monday oci:out:tuesday" },
    {
      command: "effect-oci diff oci:a oci:b --json | jq -r .sentence",
      description: "Only the sentence"
    }
  ])
)
