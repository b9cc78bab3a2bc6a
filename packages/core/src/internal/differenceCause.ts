/**
 * The differences of two images as causes: which counts most, and how a person would say it.
 */
import type { Difference, Rule } from "../Difference.ts"

interface Cause {
  readonly isOne: (difference: Difference) => boolean
  /** What comes after "The digest changed because". */
  readonly say: (differences: ReadonlyArray<Difference>) => string
}

const last = (pointer: string): string => pointer.slice(pointer.lastIndexOf("/") + 1)

const of = (image: string): string => image === "" ? "" : ` of ${image}`

const joined = (texts: ReadonlyArray<string>): string =>
  texts.length < 2 ? texts.join("") : `${texts.slice(0, -1).join(", ")} and ${texts.at(-1)}`

/** Names a few, and counts the rest. */
const few = (texts: ReadonlyArray<string>): string =>
  joined(texts.length <= 6 ? texts : [...texts.slice(0, 5), `${texts.length - 5} more`])

/** Names the elements that pointers end in, as in "layers 1 and 2". */
const numbered = (singular: string, differences: ReadonlyArray<Difference>): string =>
  `${singular}${differences.length === 1 ? "" : "s"} ${
    few(differences.map(({ image, pointer }) => last(pointer) + of(image)))
  }`

/** Says how many members differ, and names the first. */
const members = (what: string) => (differences: ReadonlyArray<Difference>): string => {
  const [first] = differences
  const at = first === undefined ? "" : first.pointer + of(first.image)
  return differences.length === 1
    ? `${what} differs at ${at}`
    : `${what} differs at ${differences.length} places, first ${at}`
}

const plural = (differences: ReadonlyArray<Difference>, one: string, many: string): string =>
  differences.length === 1 ? one : many

const isMember = (where: Difference["where"]) => (difference: Difference): boolean =>
  difference._tag === "Member" && difference.where === where

const isTag = (...tags: ReadonlyArray<Difference["_tag"]>) => (difference: Difference): boolean =>
  tags.includes(difference._tag)

const items = (differences: ReadonlyArray<Difference>): string => {
  const found = [...new Set(differences.map(({ image, pointer }) => `${pointer.split("/")[2] ?? ""}${of(image)}`))]
  return found.length === 1 ? `item ${found[0]} of the history differs` : `${found.length} items of the history differ`
}

const written = (differences: ReadonlyArray<Difference>): string => {
  const [first] = differences
  const document = new Set(differences.map(({ image, where }) => `${where} ${image}`)).size === 1
    ? `the ${first?.where}${of(first?.image ?? "")} is`
    : "documents are"
  return `${document} written in another way (${
    [...new Set(differences.flatMap(({ formatting = [] }) => formatting))].join(", ")
  })`
}

/** The causes, most important first. */
const causes: ReadonlyArray<Cause> = [
  { isOne: isTag("Kind"), say: () => "one is an index and the other is not" },
  {
    isOne: isTag("LayerContent"),
    say: (all) => `${numbered("layer", all)} ${plural(all, "has", "have")} other content`
  },
  {
    isOne: isTag("LayerAdded"),
    say: (all) => `${numbered("layer", all)} ${plural(all, "was", "were")} added`
  },
  {
    isOne: isTag("LayerRemoved"),
    say: (all) => `${numbered("layer", all)} ${plural(all, "was", "were")} removed`
  },
  {
    isOne: isTag("ImageAdded"),
    say: (all) => `the index also lists ${few(all.map(({ image }) => image))}`
  },
  {
    isOne: isTag("ImageRemoved"),
    say: (all) => `the index does not list ${few(all.map(({ image }) => image))} any more`
  },
  { isOne: isMember("config"), say: members("the config") },
  { isOne: isTag("History"), say: items },
  {
    isOne: isTag("LayerCompression"),
    say: (all) => `${numbered("layer", all)} ${plural(all, "is", "are")} compressed in another format`
  },
  {
    isOne: isTag("LayerEncoder"),
    say: (all) => `${numbered("layer", all)} ${plural(all, "was", "were")} compressed by another encoder`
  },
  { isOne: isMember("manifest"), say: members("the manifest") },
  { isOne: isMember("index"), say: members("the index") },
  {
    isOne: isTag("Time"),
    say: (all) =>
      all.length === 1 ? `the time ${all[0]?.pointer} differs` : `${all.length} times differ, first ${all[0]?.pointer}`
  },
  { isOne: isTag("Formatting"), say: written }
]

/** The differences, most important first. */
export const sorted = (differences: ReadonlyArray<Difference>): ReadonlyArray<Difference> =>
  causes.flatMap(({ isOne }) => differences.filter(isOne))

const ruleWords: Readonly<Record<Rule, string>> = {
  epoch: "an epoch",
  utc: "the preset effect-oci-1, which writes times in UTC,",
  compression: "the same compression",
  encoder: "the same version of the same encoder",
  "media-types": "the same media types"
}

const ruleSubjects: Readonly<Record<Rule, string>> = {
  epoch: "the times",
  utc: "the times",
  compression: "the layers",
  encoder: "the layers",
  "media-types": "the media types"
}

/** What would make the images equal, or less different. */
const advice = (differences: ReadonlyArray<Difference>): string => {
  const rules = [...new Set(differences.flatMap(({ rule }) => rule === undefined ? [] : [rule]))]
  if (rules.length === 0) return ""
  const what = differences.every(({ rule }) => rule !== undefined)
    ? "the images"
    : joined([...new Set(rules.map((rule) => ruleSubjects[rule]))])
  return `; ${joined(rules.map((rule) => ruleWords[rule]))} would make ${what} equal`
}

/** What is said of images whose digests are the same. */
export const same = "The digests are the same."

/** Says why the digest changed, in one sentence. */
export const sentence = (differences: ReadonlyArray<Difference>): string => {
  const said = causes.flatMap(({ isOne, say }) => {
    const own = differences.filter(isOne)
    return own.length === 0 ? [] : [say(own)]
  })
  return `The digest changed because ${joined(said)}${advice(differences)}.`
}
