/** The program as users install it: the bundle, in processes of its own. */
import { beforeAll } from "@effect/vitest"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"
import process from "node:process"
import { text } from "node:stream/consumers"
import { bundle } from "../build.ts"

/** Bundles the program before the tests of a file, and gives where it is. */
export const bundled = (name: string): string => {
  const directory = join(import.meta.dirname, `../node_modules/.cache/test-${name}`)
  beforeAll(() => bundle(join(import.meta.dirname, "../src/main.ts"), directory), 60_000)
  return join(directory, "main.js")
}

export interface Ended {
  /** The exit code, or the signal that ended it. */
  readonly code: number | string
  readonly stdout: string
  readonly stderr: string
}

export interface Settings {
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  /** Called when the program runs. */
  readonly running?: (kill: (signal: NodeJS.Signals) => void) => void
}

/** Runs a program to its end, in an environment that has what is given and a PATH. */
export const execute = async (
  command: string,
  args: ReadonlyArray<string>,
  { cwd, env, running }: Settings = {}
): Promise<Ended> => {
  const child = spawn(command, args, {
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "pipe", "pipe"]
  })
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")])
  running?.((signal) => child.kill(signal))
  const [stdout, stderr, [code, signal]] = await output
  return { code: code ?? signal, stdout, stderr }
}

/** Runs a program that succeeds, and gives what it prints. */
export const ask = async (command: string, args: ReadonlyArray<string>, settings: Settings = {}): Promise<string> => {
  const { code, stderr, stdout } = await execute(command, args, settings)
  if (code === 0) return stdout
  throw new Error(`${command} ${args.join(" ")} ended with ${code}:\n${stderr}`)
}
