/** Runs commands in this process, in the real frame, with an environment of their own. */
import { onTestFinished, vi } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import * as App from "../src/App.ts"
import * as Failure from "../src/Failure.ts"
import * as Output from "../src/Output.ts"

const commands: App.Commands = {
  ref: {
    description: "Refs",
    commands: {
      add: () => import("../src/commands/ref/add.ts"),
      import: () => import("../src/commands/ref/import.ts"),
      list: () => import("../src/commands/ref/list.ts"),
      show: () => import("../src/commands/ref/show.ts"),
      remove: () => import("../src/commands/ref/remove.ts")
    }
  },
  build: () => import("../src/commands/build.ts"),
  export: () => import("../src/commands/export.ts"),
  config: { description: "Configs", commands: { patch: () => import("../src/commands/config/patch.ts") } },
  copy: () => import("../src/commands/copy.ts"),
  tag: () => import("../src/commands/tag.ts"),
  untag: () => import("../src/commands/untag.ts"),
  list: () => import("../src/commands/list.ts"),
  inspect: () => import("../src/commands/inspect.ts"),
  validate: () => import("../src/commands/validate.ts"),
  verify: () => import("../src/commands/verify.ts"),
  gc: () => import("../src/commands/gc.ts"),
  diff: () => import("../src/commands/diff.ts"),
  explain: () => import("../src/commands/explain.ts"),
  login: () => import("../src/commands/login.ts"),
  logout: () => import("../src/commands/logout.ts")
}

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly bytes: Uint8Array
}

/** Runs `effect-oci ARGS…`. Tests that use it do not run concurrently: it catches what is written to stderr. */
export const run = async (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Promise<Ended> => {
  const chunks: Array<Uint8Array> = []
  const output = Layer.succeed(Output.Output, {
    write: (data) => Effect.sync(() => chunks.push(Buffer.from(data))).pipe(Effect.asVoid)
  })
  let stderr = ""
  const spy = vi.spyOn(process.stderr, "write").mockImplementation((data, ...rest: ReadonlyArray<unknown>) => {
    stderr += String(data)
    const done = rest.at(-1)
    if (typeof done === "function") done()
    return true
  })
  const exit = await Effect.runPromiseExit(
    Effect.provide(App.run(commands, args, output), ConfigProvider.layer(ConfigProvider.fromEnvRecord(env)))
  )
  spy.mockRestore()
  const bytes = new Uint8Array(Buffer.concat(chunks))
  return {
    code: Exit.isSuccess(exit) ? 0 : Failure.exitCode(exit.cause),
    stdout: new TextDecoder().decode(bytes),
    stderr,
    bytes
  }
}

/** Makes a directory that is removed with the test. */
export const temporary = (folder = tmpdir()): string => {
  const directory = mkdtempSync(join(folder, "effect-oci-cli-"))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

/** The paths of all files below a directory, sorted. */
export const filesIn = (directory: string): ReadonlyArray<string> =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((path) => !statSync(join(directory, path)).isDirectory())
    .toSorted()
