/**
 * Rules that tell which files of a directory an image does without, as a `.dockerignore` has them.
 *
 * Follows moby's patternmatcher 0.6 (`ignorefile`, `MatchesUsingParentResults`) and the walk of BuildKit's fsutil, on
 * Linux; the Docker engine 20.10 has older rules, most of whose exceptions do not reach into ignored directories. Paths
 * are relative to the directory, with `/` between names, without `.` and empty parts. Case matters.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Pattern from "./internal/ignorePattern.ts"

/**
 * Error raised for a line that is not a valid pattern. `source` is where the rules came from, `line` counts from 1.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPattern
  extends Schema.TaggedError<InvalidPattern>("@effect-oci/core/InvalidPattern")("InvalidPattern", {
    source: Schema.String,
    line: Schema.Number,
    text: Schema.String,
    expected: Schema.String,
    found: Schema.String
  })
{
  override get message(): string {
    const shown = (text: string) => JSON.stringify(text.slice(0, 80))
    return `${this.source}, line ${this.line}: ${
      shown(this.text)
    } is not a valid pattern: expected ${this.expected}, found ${shown(this.found)}`
  }
}

interface Rule {
  readonly isException: boolean
  readonly pattern: string
  readonly matches: Pattern.Matcher
}

/**
 * Rules in their order.
 *
 * @category models
 * @since 0.1.0
 */
export interface IgnoreRules {
  readonly rules: ReadonlyArray<Rule>
  /** Where exceptions can match, each a directory with a `/` after it; none if they can match anywhere. */
  readonly exceptions: ReadonlyArray<string> | undefined
}

/** What Go trims, which is not quite what JavaScript does. */
const space = String.raw`[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`
const leading = new RegExp(`^${space}+`)
const trailing = new RegExp(`(?<!${space})${space}+$`)
const trim = (text: string): string => text.replace(leading, "").replace(trailing, "")

/** Go's `path.Clean`. */
const clean = (path: string): string => {
  const isRooted = path.startsWith("/")
  const parts: Array<string> = []
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue
    if (part !== "..") parts.push(part)
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop()
    else if (!isRooted) parts.push(part)
  }
  return isRooted ? `/${parts.join("/")}` : parts.join("/") || "."
}

/** The pattern on a line, with `!` before an exception; empty if there is none. It is cleaned twice, as moby does it. */
const patternOn = (line: string): string => {
  if (line.startsWith("#")) return ""
  const text = trim(line)
  const mark = text.startsWith("!") ? "!" : ""
  const path = trim(text.slice(mark.length))
  const cleaned = path === "" ? "" : clean(path)
  const pattern = trim(mark + (cleaned.length > 1 && cleaned.startsWith("/") ? cleaned.slice(1) : cleaned))
  return pattern === "" ? "" : clean(pattern)
}

const ruleOf = (text: string): Result.Result<Rule, Pattern.Malformed> => {
  const isException = text.startsWith("!")
  const pattern = isException ? text.slice(1) : text
  return pattern === ""
    ? Result.fail({ expected: `a pattern after "!"`, found: text })
    : Result.map(Pattern.compile(pattern), (matches) => ({ isException, pattern, matches }))
}

const exceptionsOf = (rules: ReadonlyArray<Rule>): ReadonlyArray<string> | undefined => {
  const stems = rules
    .filter(({ isException }) => isException)
    .map(({ pattern }) => pattern.replace(/\/\*\*$/, "").replace(/\/\*$/, ""))
  return stems.some((stem) => /[*[\]?^\\]/.test(stem)) ? undefined : stems.map((stem) => `${stem}/`)
}

/**
 * Parses rules, one a line. `source` is where they came from, for errors.
 *
 * **Details**
 *
 * A line that begins with `#` is a comment; white space around a pattern, a `/` before it and after it, `.` and `..` in it
 * mean nothing. `*` and `?` match within a name, `**` any number of directories, `[a-z]` and `[^a-z]` one character, and
 * `\` takes the mark after it for itself. A pattern that matches a directory matches all that is below. After `!` it is an
 * exception, which brings back what rules before it ignore; the last rule that matches decides.
 *
 * Where `docker build` fails only if a file makes it try an invalid pattern, this fails always. It also refuses what means
 * something to `docker build` only because it makes a regular expression of the pattern: beside wildcards, `|`, `^` and
 * `{2}`, and anywhere, `\` before a letter or digit (`\d`), `*` and `?` in a class, and `[[:alpha:]]`. With a `\` before
 * them, all but letters and digits mean themselves to both.
 *
 * `docker build` reads `Dockerfile` and `.dockerignore` even if rules ignore them; here they are files like others.
 *
 * **Example** (Keeping secrets and tests out)
 *
 * ```ts
 * import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
 * import * as Result from "effect/Result"
 *
 * const rules = Result.getOrThrow(IgnoreRules.parse("# secrets\n.env*\n!.env.example\n**\/*.test.ts\n", ".dockerignore"))
 * console.log(IgnoreRules.ignores(rules, ".env.local")) // true
 * console.log(IgnoreRules.ignores(rules, ".env.example")) // false
 * console.log(IgnoreRules.ignores(rules, "src/main.test.ts")) // true
 * console.log(Result.isFailure(IgnoreRules.parse("src/[a", ".dockerignore"))) // true
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string, source: string): Result.Result<IgnoreRules, InvalidPattern> => {
  const rules: Array<Rule> = []
  for (const [index, line] of text.replace(/^\uFEFF/, "").split("\n").entries()) {
    const pattern = patternOn(line)
    if (pattern === "") continue
    const rule = ruleOf(pattern)
    if (Result.isFailure(rule)) {
      return Result.fail(new InvalidPattern({ source, line: index + 1, text: trim(line), ...rule.failure }))
    }
    rules.push(rule.success)
  }
  return Result.succeed({ rules, exceptions: exceptionsOf(rules) })
}

/**
 * What a walk does with a path.
 *
 * **Details**
 *
 * It keeps a path, or leaves it out: with `skip` nothing below it is kept either; with `look inside` an exception may bring
 * back something below, and then the directory too.
 *
 * @category models
 * @since 0.1.0
 */
export interface Verdict {
  readonly action: "keep" | "skip" | "look inside"
  /** Whether each rule matches the path or a directory above, as far as that has been asked. */
  readonly matched: ReadonlyArray<boolean>
}

/**
 * Tells what a walk does with a path. `above` is the verdict on the directory that it is in; none at the top.
 *
 * **Example** (Walking a tree)
 *
 * ```ts
 * import * as IgnoreRules from "@effect-oci/core/IgnoreRules"
 * import * as Result from "effect/Result"
 *
 * const rules = Result.getOrThrow(IgnoreRules.parse("*\n!dist/main.js", ".dockerignore"))
 * console.log(IgnoreRules.visit(rules, "src").action) // "skip"
 * const dist = IgnoreRules.visit(rules, "dist")
 * console.log(dist.action) // "look inside"
 * console.log(IgnoreRules.visit(rules, "dist/main.js", dist).action) // "keep"
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const visit = (self: IgnoreRules, path: string, above?: Verdict): Verdict => {
  let isIgnored = false
  const matched: Array<boolean> = []
  for (const [index, { isException, matches }] of self.rules.entries()) {
    // As in moby, a rule that would change nothing is not tried, and then is not known to match for what is below
    const isMatched = above?.matched[index] === true || (isException === isIgnored && matches(path))
    if (isMatched) isIgnored = !isException
    matched.push(isMatched)
  }
  if (!isIgnored) return { action: "keep", matched }
  const inside = `${path}/`
  const mayKeep = self.exceptions?.some((exception) => exception.startsWith(inside)) ?? true
  return { action: mayKeep ? "look inside" : "skip", matched }
}

/**
 * Tells whether rules ignore a path, by itself or by a directory above it. A walk asks `visit` instead, which does not
 * begin at the top each time.
 *
 * @category predicates
 * @since 0.1.0
 */
export const ignores = (self: IgnoreRules, path: string): boolean => {
  let verdict: Verdict | undefined
  for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
    verdict = visit(self, path.slice(0, end), verdict)
    if (verdict.action === "skip") return true
  }
  return visit(self, path, verdict).action !== "keep"
}
