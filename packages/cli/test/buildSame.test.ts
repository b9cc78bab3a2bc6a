/** One tree, one digest: wherever and whenever it is built. */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { judge } from "../../adapters/test/judges.ts"
import * as Trees from "../../adapters/test/trees.ts"
import { filesIn, temporary } from "./harness.ts"
import { ask, bundled } from "./program.ts"

const isThorough = process.env["CI"] === "true"
const program = bundled("same")
const node22 = process.env["EFFECT_OCI_NODE22"]
if (node22 === undefined && isThorough) {
  throw new Error("CI compares what Node 22 and 24 make: set EFFECT_OCI_NODE22 to what .ci/node22 prints")
}

/** Where and how the tree is built. */
interface Place {
  readonly umask?: string
  readonly env?: Readonly<Record<string, string>>
  /** In which order its files are made. */
  readonly order?: number
  /** On one core alone. */
  readonly pinned?: true
  /** What runs it. */
  readonly node?: string
}

interface Made {
  readonly image: string
  readonly layer: string
  readonly diffId: string
  readonly encoder: string
}

const usual = ["gzip", "zstd"]
const formats = [...usual, "uncompressed", ...(isThorough ? ["gzip:9", "zstd:12"] : [])]

/** How long it takes until a file that was written counts as one that nobody writes to. */
const settle = () => new Promise((resolve) => setTimeout(resolve, 100))

/** Builds a tree in some formats, in a directory of its own. */
const build = async (
  { env, node = process.execPath, order = 0, pinned, umask = "022" }: Place,
  formats: ReadonlyArray<string>
) => {
  const directory = temporary()
  Trees.make(join(directory, "tree"), order)
  await settle()
  const made: Record<string, Made> = {}
  for (const format of formats) {
    const args = ["--add", "tree:/app", "--epoch", String(Trees.epoch), "--compression", format, "--json"]
    const command = [...(pinned ? ["taskset", "-c", "0"] : []), node, program, "build", ...args, "--to", "oci:out"]
    const cache = `cache ${format.replace(":", " ")}`
    const output = await ask("sh", ["-c", `umask ${umask}; exec "$@"`, "sh", ...command], {
      cwd: directory,
      env: { HOME: directory, XDG_CACHE_HOME: join(directory, cache), ...env }
    })
    const { descriptor, layers: [layer] } = JSON.parse(output)
    assert.isFalse(layer.fromCache)
    made[format] = {
      image: descriptor.digest,
      layer: layer.descriptor.digest,
      diffId: layer.diffId,
      encoder: encoderIn(join(directory, cache))
    }
  }
  return made
}

/** The encoder of the one layer that is in a cache. */
const encoderIn = (cache: string): string => {
  const [record, ...others] = filesIn(cache).filter((path) => path.includes("/.effect-oci/layers/"))
  assert.deepStrictEqual(others, [])
  assert.isDefined(record)
  return /"encoder":"([^"]+)"/.exec(readFileSync(join(cache, record), "utf8"))?.[1] ?? "none"
}

const far: Place = {
  umask: "077",
  env: { TZ: "Asia/Kathmandu", LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8", UV_THREADPOOL_SIZE: "1" },
  order: 3
}

const each: ReadonlyArray<readonly [string, Place]> = [
  ["under umask 000", { umask: "000" }],
  ["under umask 077", { umask: "077" }],
  ["in Kathmandu", { env: { TZ: "Asia/Kathmandu" } }],
  ["in St John's", { env: { TZ: "America/St_Johns" } }],
  ["in no language", { env: { LC_ALL: "C" } }],
  ["in Swedish", { env: { LC_ALL: "sv_SE.UTF-8", LANG: "sv_SE.UTF-8" } }],
  ["in Turkish", { env: { LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8" } }],
  ["after its files were made in another order", { order: 1 }],
  ["after its files were made in a third order", { order: 2 }],
  ["with one thread", { env: { UV_THREADPOOL_SIZE: "1" } }],
  ["with 8 threads", { env: { UV_THREADPOOL_SIZE: "8" } }],
  ...(judge("taskset")
    ? [["on one core with 64 threads", { pinned: true, env: { UV_THREADPOOL_SIZE: "64" } }] as const]
    : [])
]

describe("a tree that is built", { timeout: 60_000 }, () => {
  it.runIf(isThorough)("has one digest, near and far", async () => {
    const [here, there] = await Promise.all([
      build({ env: { TZ: "America/St_Johns", LC_ALL: "C" } }, formats),
      build(far, formats)
    ])
    assert.deepStrictEqual(there, here)
    // One tar archive, in several forms
    assert.strictEqual(new Set(Object.values(here).map(({ diffId }) => diffId)).size, 1)
    assert.strictEqual(new Set(Object.values(here).map(({ layer }) => layer)).size, formats.length)
    assert.strictEqual(here["uncompressed"]?.layer, here["uncompressed"]?.diffId)
  })

  let first: Promise<Record<string, Made>> | undefined
  it.runIf(isThorough).each(each)("has one digest, %s", async (_, place) => {
    const expected = await (first ??= build({}, usual))
    assert.deepStrictEqual(await build(place, usual), expected)
  })

  it.runIf(node22 !== undefined)(
    "has one diff ID on Node 22 and 24, and one digest, or the encoder has another name",
    async () => {
      const node = node22 ?? ""
      assert.match(await ask(node, ["--version"]), /^v22\./)
      assert.match(process.version, /^v24\./)
      const [here, there] = await Promise.all([build({}, formats), build({ node }, formats)])
      for (const format of formats) {
        const [ours, theirs] = [here[format], there[format]]
        assert.strictEqual(theirs?.diffId, ours?.diffId)
        const isNamed = theirs?.encoder !== ours?.encoder
        assert.isTrue(theirs?.layer === ours?.layer || isNamed, format)
        assert.isTrue(theirs?.image === ours?.image || isNamed, format)
        process.stderr.write(
          `Node 22 and 24, ${format}: ${ours?.layer === theirs?.layer ? "the same" : "another"} blob, ` +
            `${theirs?.encoder} and ${ours?.encoder}\n`
        )
      }
    }
  )
})
