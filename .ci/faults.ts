/**
 * Proves that stores lose nothing: `faults [NAME…] [--full]` runs the checks of `packages/adapters/faults`, all of them unless some
 * are named, and prints a line for each. `--full` runs as much as was promised, which takes an hour; without it, what a few
 * minutes allow. `--brief`
 * is for the ablations. Where a check cannot run it is skipped, or under CI=true has failed.
 */
import process from "node:process"
import { parseArgs } from "node:util"
import type { Outcome, Scale } from "../packages/adapters/faults/support.ts"

interface Check {
  readonly load: () => Promise<{ readonly run: (scale: Scale) => Promise<Outcome> }>
  /** Runs only where it is named, or with `--full`. */
  readonly isRare?: boolean
}

const checks: Readonly<Record<string, Check>> = {
  kills: { load: () => import("../packages/adapters/faults/kills.ts") },
  errnos: { load: () => import("../packages/adapters/faults/errnos.ts") },
  power: { load: () => import("../packages/adapters/faults/power.ts") },
  disk: { load: () => import("../packages/adapters/faults/disk.ts") },
  taggers: { load: () => import("../packages/adapters/faults/taggers.ts") },
  gc: { load: () => import("../packages/adapters/faults/gc.ts") },
  flips: { load: () => import("../packages/adapters/faults/flips.ts") },
  signals: { load: () => import("../packages/adapters/faults/signals.ts") },
  readonly: { load: () => import("../packages/adapters/faults/readonly.ts") },
  ablations: { load: () => import("../packages/adapters/faults/ablations.ts"), isRare: true }
}

const shown = 10

const runCheck = async (name: string, check: Check, scale: Scale): Promise<boolean> => {
  const start = performance.now()
  const tell = (verdict: string, text: string) =>
    process.stdout.write(`${name}: ${verdict}: ${text} (${((performance.now() - start) / 1000).toFixed(0)} s)\n`)
  try {
    const { figure, problems } = await (await check.load()).run(scale)
    tell(problems.length === 0 ? "ok" : "FAILED", `${figure}; ${problems.length} problems`)
    for (const problem of problems.slice(0, shown)) process.stdout.write(`  ${problem}\n`)
    return problems.length === 0
  } catch (error) {
    const { Impossible } = await import("../packages/adapters/faults/support.ts")
    if (error instanceof Impossible && process.env["CI"] !== "true") {
      tell("skipped", error.message)
      return true
    }
    tell("FAILED", error instanceof Impossible ? error.message : String(error instanceof Error ? error.stack : error))
    return false
  }
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { full: { type: "boolean", default: false }, brief: { type: "boolean", default: false } }
})
const unknown = positionals.filter((name) => !Object.hasOwn(checks, name))
if (unknown.length > 0) {
  process.stderr.write(`no check "${unknown.join(" ")}"\nusage: faults [${Object.keys(checks).join("|")}]… [--full]\n`)
  process.exit(2)
}
let isFine = true
for (const [name, check] of Object.entries(checks)) {
  const isWanted = positionals.length > 0 ? positionals.includes(name) : values.full || check.isRare !== true
  if (isWanted && !(await runCheck(name, check, values))) isFine = false
}
process.exit(isFine ? 0 : 1)
