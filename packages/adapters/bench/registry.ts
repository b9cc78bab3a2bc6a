/**
 * Times how long an image of 1 GB in ten layers takes from a layout to a registry on this machine and back, against `skopeo
 * copy`, in turns. Ratios are of medians. The memory is that at its highest, above that of a run that does nothing. With
 * `--server`, it is also told how long the registry itself takes, for `curl`, to take the layers in and to give them out.
 *
 * usage: bench registry [--runs N] [--directory DIR] [--server] [--program FILE]
 */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import process from "node:process"
import { parseArgs } from "node:util"
import { bundle } from "../../cli/build.ts"
import { layers, makeImage, mediaType } from "./copies/image.ts"
import { report, type Run, timed } from "./copies/runs.ts"

const { values } = parseArgs({
  options: {
    runs: { type: "string", default: "5" },
    directory: { type: "string", default: tmpdir() },
    server: { type: "boolean", default: false },
    program: { type: "string" }
  }
})
const runs = Number(values.runs)
const work = mkdtempSync(join(values.directory, "effect-oci-bench-"))
process.on("exit", () => rmSync(work, { recursive: true, force: true }))

const run = timed(work)

// As users run it: bundled, with Node's compile cache filled by the round that does not count
const program = values.program ?? join(work, "program/main.js")
if (values.program === undefined) await bundle(join(import.meta.dirname, "../../cli/src/bin.ts"), join(work, "program"))
process.env["NODE_COMPILE_CACHE"] = join(work, "compiled")

const source = join(work, "source")
const digest = makeImage(source)

const port = await new Promise<number>((resolve) => {
  const server = createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    server.close(() => resolve(port))
  })
})
const data = join(work, "data")
const host = `127.0.0.1:${port}`
writeFileSync(
  join(work, "registry.yml"),
  JSON.stringify({
    version: "0.1",
    log: { level: "error", accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: data } },
    http: { addr: host }
  })
)
const registry = spawn("docker-registry", ["serve", join(work, "registry.yml")], { stdio: "ignore" })
process.on("exit", () => void registry.kill("SIGKILL"))
while (!(await fetch(`http://${host}/v2/`).then(({ ok }) => ok, () => false))) {
  await new Promise((done) => setTimeout(done, 50))
}

const layout = `oci:${source}:latest`
const remote = `docker://${host}/bench/image:latest`
const back = join(work, "back")

type Way = readonly [from: string, to: string]
const push: Way = [layout, remote]
const pull: Way = [remote, `oci:${back}:latest`]

const skopeoFlags = ["copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false"]
const contestants: ReadonlyArray<readonly [string, (way: Way) => Run]> = [
  ["skopeo", (way) => run("skopeo", [...skopeoFlags, ...way])],
  ["ours", (way) => run(process.execPath, [program, "copy", ...way])]
]

const usable = contestants.filter(([name]) => name !== "skopeo" || spawnSync("which", [name]).status === 0)

run(process.execPath, [program, "copy", "--help"])
const idle = run(process.execPath, [program, "copy", "--help"])

const forget = () => rmSync(data, { recursive: true, force: true })
const drop = () => rmSync(back, { recursive: true, force: true })

/** Makes sure that a contestant has done what it was to do. */
const check: Record<string, (contestant: string) => Promise<void>> = {
  push: async (contestant) => {
    const answer = await fetch(`http://${host}/v2/bench/image/manifests/latest`, {
      headers: { accept: mediaType("manifest.v1+json") }
    })
    if (answer.headers.get("docker-content-digest") !== digest) {
      throw new Error(`${contestant} has pushed something else`)
    }
  },
  pull: (contestant) => {
    const isThere = readFileSync(join(back, "index.json"), "utf8").includes(digest) &&
      readdirSync(join(back, "blobs/sha256")).length === layers + 2
    return isThere ? Promise.resolve() : Promise.reject(new Error(`${contestant} has pulled something else`))
  }
}

/** The medians of each contestant, one a way. */
const medians = new Map<string, Array<number>>()

const compare = async (name: string, way: Way, prepare: () => void): Promise<void> => {
  const results = new Map<string, Array<Run>>(usable.map(([contestant]) => [contestant, []]))
  // The first round fills the caches, and does not count
  for (let round = 0; round <= runs; round++) {
    for (const [contestant, copy] of usable) {
      prepare()
      // What one has left to be written is not for the next one to wait for
      spawnSync("sync")
      const result = copy(way)
      await check[name]?.(contestant)
      if (round > 0) results.get(contestant)?.push(result)
    }
  }
  for (const [contestant, time] of report(name, results, idle)) {
    medians.set(contestant, [...medians.get(contestant) ?? [], time])
  }
}

/** How long the registry takes for a client that does nothing else: one blob after the other. */
const serverAlone = (): void => {
  forget()
  const files = readdirSync(join(source, "blobs/sha256"))
  const url = `http://${host}/v2/bench/alone/blobs`
  const up = `for blob in ${files.join(" ")}; do
    location=$(curl -sf -D - -o /dev/null -X POST ${url}/uploads/ | tr -d '\\r' | sed -n 's/^Location: //p')
    curl -sf -H 'Expect:' -H 'content-type: application/octet-stream' -T ${source}/blobs/sha256/$blob "$location&digest=sha256:$blob"
  done`
  const down = `for blob in ${files.join(" ")}; do curl -sf -o /dev/null ${url}/sha256:$blob; done`
  for (const [name, script] of [["takes in", up], ["gives out", down]] as const) {
    process.stdout.write(`the registry alone ${name}: ${run("sh", ["-c", script]).time.toFixed(0)} ms\n`)
  }
}

if (values.server) serverAlone()
await compare("push", push, forget)
await compare("pull", pull, drop)
const both = (contestant: string): number => (medians.get(contestant) ?? []).reduce((sum, time) => sum + time, 0)
process.stdout.write(
  `both ways\n  ours     ${both("ours").toFixed(0).padStart(6)} ms  ratio ${
    (both("ours") / both("skopeo")).toFixed(2)
  }\n`
)
process.exit()
