/** Directories for tests, removed when the test file ends, and what tests look at in them. */
import { afterAll } from "@effect/vitest"
import { lstatSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

export const temporaryDirectory = (): string => {
  const directory = mkdtempSync(join(tmpdir(), "effect-oci-test-"))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** All paths below a directory, sorted, directories with a slash. */
export const tree = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .map((path) => path + (lstatSync(join(directory, path)).isDirectory() ? "/" : ""))
    .toSorted()
