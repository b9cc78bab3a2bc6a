/**
 * The judges of our tests: programs that are not ours. A test that needs one runs where it is installed, and is skipped,
 * and counted as such, where it is not: `it.runIf(judge("skopeo"))("…")`. Under `EFFECT_OCI_JUDGES=require` a missing
 * judge fails the test file instead.
 */
import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"
import process from "node:process"

const exists = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Tells whether the command `name` is on the PATH; throws where it is not and judges are required. */
export const judge = (name: string): boolean => {
  const found = (process.env["PATH"] ?? "").split(delimiter).some((folder) => exists(join(folder, name)))
  if (!found && process.env["EFFECT_OCI_JUDGES"] === "require") {
    throw new Error(`the judge "${name}" is not installed, and EFFECT_OCI_JUDGES=require asks for all of them`)
  }
  return found
}
