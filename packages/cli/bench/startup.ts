/**
 * How long `effect-oci --version` takes to start, as users install it and with Node's compile cache filled, against
 * `node -e 0`. The two run in turns, so that what else the machine does hits both.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { join } from "node:path"
import process from "node:process"

const rounds = 30

const cli = join(import.meta.dirname, "..")
execFileSync(process.execPath, [join(cli, "build.ts")], { stdio: "inherit" })

const time = (args: ReadonlyArray<string>): number => {
  const start = performance.now()
  const { status } = spawnSync(process.execPath, args, { stdio: "ignore" })
  if (status !== 0) throw new Error(`node ${args.join(" ")} exited with ${status}`)
  return performance.now() - start
}

const bare = ["-e", "0"]
const version = [join(cli, "dist/bin.js"), "--version"]
for (let round = 0; round < 3; round++) time(version)
const times = Array.from({ length: rounds }, () => [time(bare), time(version)] as const)

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
const node = median(times.map(([first]) => first))
const ours = median(times.map(([, second]) => second))
const ratio = ours / node
process.stdout.write(
  `startup: node -e 0 ${node.toFixed(1)} ms, effect-oci --version ${ours.toFixed(1)} ms: ratio ${
    ratio.toFixed(2)
  } (at most 3.5)\n`
)
