/**
 * Rules for the values of documents, which tell every fault with its path.
 *
 * Effect's schemas read documents, and stop at the first fault. To tell all faults of a hostile document they take
 * seconds and a gigabyte; these take milliseconds.
 */
import type { Step } from "./locate.ts"

/** What is wrong at a place. */
export interface Fault {
  readonly path: ReadonlyArray<Step>
  readonly reason: "type" | "missing" | "value" | "time"
  readonly expected: string
}

/** What an integer has to look like, in messages. */
export const integerText = "an integer of 64 bits without fraction or exponent"

/** What a time has to look like, in messages. */
export const timeText = "an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z"

/** The way to the value that is being checked, and the faults so far. */
interface Report {
  readonly path: Array<Step>
  readonly faults: Array<Fault>
}

/** Checks a value. */
export type Rule = (value: unknown, report: Report) => void

/** More faults than anybody reads are not looked for: a hostile document has one in every two bytes. */
const isFull = (report: Report): boolean => report.faults.length >= 1000

const tell = (report: Report, reason: Fault["reason"], expected: string): void => {
  if (!isFull(report)) report.faults.push({ path: [...report.path], reason, expected })
}

const inside = (rule: Rule, step: Step, value: unknown, report: Report): void => {
  report.path.push(step)
  rule(value, report)
  report.path.pop()
}

/** Any string, or one that passes a test. */
export const text =
  (isValid: (text: string) => boolean = () => true, expected = "", reason: Fault["reason"] = "value"): Rule =>
  (value, report) => {
    if (typeof value !== "string") tell(report, "type", "a string")
    else if (!isValid(value)) tell(report, reason, expected)
  }

/** An integer that passes a test. */
export const integer = (isValid: (value: number) => boolean, expected: string): Rule => (value, report) => {
  if (typeof value !== "number") tell(report, "type", "a number")
  else if (!Number.isInteger(value)) tell(report, "value", integerText)
  else if (!isValid(value)) tell(report, "value", expected)
}

export const boolean: Rule = (value, report) => {
  if (typeof value !== "boolean") tell(report, "type", "true or false")
}

export const list = (element: Rule): Rule => (value, report) => {
  if (!Array.isArray(value)) return tell(report, "type", "a list")
  for (let index = 0; index < value.length && !isFull(report); index++) inside(element, index, value[index], report)
}

/** A list of one element or more; `what` names one. */
export const filledList = (element: Rule, what: string): Rule => (value, report) => {
  list(element)(value, report)
  if (Array.isArray(value) && value.length === 0) tell(report, "value", `at least one ${what}`)
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** An object with members of any name. */
export const map = (element: Rule): Rule => (value, report) => {
  if (!isObject(value)) return tell(report, "type", "an object")
  for (const name of Object.keys(value)) {
    if (isFull(report)) return
    inside(element, name, value[name], report)
  }
}

export const object: Rule = (value, report) => {
  if (!isObject(value)) tell(report, "type", "an object")
}

/** An object with members that have to be there, and others that may be absent or `null`. */
export const struct = (
  required: Readonly<Record<string, Rule>>,
  optional: Readonly<Record<string, Rule>> = {}
): Rule => {
  const mandatory = Object.entries(required)
  const free = Object.entries(optional)
  return (value, report) => {
    if (!isObject(value)) return tell(report, "type", "an object")
    for (const [name, rule] of mandatory) {
      inside(Object.hasOwn(value, name) ? rule : missing, name, value[name], report)
    }
    for (const [name, rule] of free) {
      if (Object.hasOwn(value, name) && value[name] !== null) inside(rule, name, value[name], report)
    }
  }
}

const missing: Rule = (_, report) => tell(report, "missing", "this member")

/** Checks a whole value. */
export const check = (rule: Rule, value: unknown): ReadonlyArray<Fault> => {
  const report: Report = { path: [], faults: [] }
  rule(value, report)
  return report.faults
}
