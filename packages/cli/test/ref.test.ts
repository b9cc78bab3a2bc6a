import { assert, beforeEach, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { filesIn, run, temporary } from "./harness.ts"

const time = "2026-01-02T03:04:05.123456789+02:00"

const encoder = /^effect-oci-gzip-\d+\/zlib-/

let directory: string
let env: Record<string, string>

const path = (name: string) => join(directory, name)

const add = (name: string, ...args: ReadonlyArray<string>) =>
  run(["ref", "add", name, path("files"), "--created", time, ...args], env)

beforeEach(() => {
  directory = temporary()
  env = { EFFECT_OCI_STORE: path("store") }
  mkdirSync(path("files"))
  writeFileSync(path("files/hello.txt"), "hello\n")
  chmodSync(path("files"), 0o755)
  chmodSync(path("files/hello.txt"), 0o644)
})

describe("ref add", () => {
  it("says what it made", async () => {
    const { code, stderr, stdout } = await add("app", "--description", "COPY files /", "--at", "/srv/app")
    assert.strictEqual(code, 0)
    assert.match(stderr, /^adding .*\/files \.\.\. [0-9.]+ KiB done\n$/)
    assert.match(stdout, /^name         app\nparent       -\ndescription  COPY files \/\n/)
    assert.include(stdout, `created      ${time}\n`)
    assert.match(stdout, /^size         \d+ bytes$/m)
    assert.match(stdout, /^digest       sha256:[0-9a-f]{64}$/m)
    assert.match(stdout, /^diff ID      sha256:[0-9a-f]{64}$/m)
    assert.match(stdout, /^encoder {6}effect-oci-gzip-\d+\/zlib-\S+$/m)
  })

  it("says it to programs, and gives one digest for the same files", async () => {
    const { stdout } = await add("app", "--description", "COPY", "--json")
    const ref = JSON.parse(stdout)
    assert.deepStrictEqual(Object.keys(ref), ["name", "description", "layer", "diffId", "encoder", "created"])
    assert.match(ref.encoder, encoder)
    assert.strictEqual(JSON.parse(readFileSync(path("store/refs/app.json"), "utf8")).encoder, ref.encoder)
    assert.strictEqual(ref.created, time)
    assert.strictEqual(ref.layer.mediaType, "application/vnd.oci.image.layer.v1.tar+gzip")
    const blob = readFileSync(path(`store/blobs/sha256/${ref.layer.digest.slice("sha256:".length)}`))
    assert.strictEqual(blob.length, ref.layer.size)
    assert.strictEqual(ref.diffId, `sha256:${createHash("sha256").update(gunzipSync(blob)).digest("hex")}`)
    assert.strictEqual(stdout, (await add("app", "--description", "COPY", "--json")).stdout)
  })

  it("refuses other content under a name that is taken, unless it is to be replaced", async () => {
    await add("app")
    writeFileSync(path("files/hello.txt"), "bye\n")
    const refused = await add("app")
    assert.strictEqual(refused.code, 1)
    assert.match(refused.stderr, /has a ref "app" with other content[^]*help: --replace replaces it/)
    assert.strictEqual((await add("app", "--replace")).code, 0)
  })

  it("takes the time of SOURCE_DATE_EPOCH where none is given, and else the clock's, with a warning", async () => {
    const args = ["ref", "add", "app", path("files"), "--json", "--replace"]
    const epoch = await run(args, { ...env, SOURCE_DATE_EPOCH: "1700000000" })
    assert.strictEqual(JSON.parse(epoch.stdout).created, "2023-11-14T22:13:20Z")
    assert.notInclude(epoch.stderr, "warning")
    const bad = await run(args, { ...env, SOURCE_DATE_EPOCH: "1e9" })
    assert.strictEqual(bad.code, 1)
    assert.strictEqual(JSON.parse(bad.stdout).error._tag, "InvalidEpoch")
    rmSync(path("store"), { recursive: true })
    const clock = await run(args, env)
    assert.match(clock.stderr, /^warning: the clock gives the time of creation, .* digest [^]*--created/m)
    assert.match(JSON.parse(clock.stdout).created, /^20\d\d-.*Z$/)
    // The same again is no other content, and keeps its time
    const again = await run(args.filter((arg) => arg !== "--replace"), env)
    assert.strictEqual(again.code, 0)
    assert.notInclude(again.stderr, "warning")
    assert.strictEqual(again.stdout, clock.stdout)
  })

  it("looks for the parent before it makes the layer", async () => {
    const { code, stderr } = await add("app", "--parent", "base")
    assert.strictEqual(code, 1)
    assert.match(stderr, /^error: .* has no ref "base"\n  help: `effect-oci ref list`/)
    assert.throws(() => filesIn(path("store")))
  })

  it.each<[string, Array<string>, number, RegExp]>([
    ["a path that is not there", ["app", "none"], 1, /none cannot be read: there is no such file/],
    ["a destination above the root", ["app", ".", "--at", "../x"], 1, /files cannot land at "\.\.\/x"/],
    ["a bad name", ["App", "."], 2, /Invalid value for argument <NAME>: "App".*lower-case/],
    ["a bad parent", ["app", ".", "--parent", "../base"], 2, /Invalid value for flag --parent: "\.\.\/base"/],
    [
      "a bad time",
      ["app", ".", "--created", "1700000000"],
      2,
      /--created: expected an RFC 3339 time .* found "1700000000"/
    ],
    ["an empty store", ["app", ".", "--store", ""], 2, /Missing value for flag --store/],
    ["an empty path", ["app", ""], 2, /Invalid value for argument <PATH>/]
  ])("refuses %s", async (_, args, expected, message) => {
    const { code, stderr, stdout } = await run(["ref", "add", ...args], env)
    assert.deepStrictEqual([code, stdout], [expected, ""])
    assert.match(stderr, message)
  })

  it("keeps an archive's bytes", async () => {
    const { layer } = JSON.parse((await add("app", "--json")).stdout)
    const blob = path(`store/blobs/sha256/${layer.digest.slice("sha256:".length)}`)
    writeFileSync(path("layer.tar.gz"), readFileSync(blob))
    const adopted = await run(["ref", "add", "adopted", path("layer.tar.gz"), "--created", time, "--json"], env)
    assert.deepStrictEqual(JSON.parse(adopted.stdout).layer, layer)
    // Whoever has compressed it did not say by what
    assert.notProperty(JSON.parse(adopted.stdout), "encoder")
  })

  it("takes a ref of before encoders were kept for the same", async () => {
    await add("app")
    const file = path("store/refs/app.json")
    const { encoder: _, ...before } = JSON.parse(readFileSync(file, "utf8"))
    writeFileSync(file, JSON.stringify(before))
    assert.strictEqual((await add("app")).code, 0)
    assert.notInclude(readFileSync(file, "utf8"), "encoder")
    assert.match((await run(["ref", "show", "app"], env)).stdout, /^encoder {6}-$/m)
    assert.strictEqual((await add("app", "--replace")).code, 0)
    assert.match(JSON.parse(readFileSync(file, "utf8")).encoder, encoder)
  })
})

describe("ref list", () => {
  it("is a table, and a list for programs", async () => {
    await add("base", "--description", "ADD \x1b[31mrootfs\n/")
    await add("app", "--parent", "base")
    const { stdout } = await run(["ref", "list"], env)
    const rows = stdout.trimEnd().split("\n")
    assert.match(rows[0] ?? "", /^NAME  PARENT  CREATED +SIZE  DESCRIPTION$/)
    assert.match(rows[1] ?? "", /^app   base    2026-01-02T03:04:05\.123456789\+02:00  +\d+ B  -$/)
    assert.match(rows[2] ?? "", /^base  -       2026-.*  ADD \\x1b\[31mrootfs \/$/)
    assert.strictEqual(rows.length, 3)
    const refs = JSON.parse((await run(["ref", "list", "--json"], env)).stdout)
    assert.deepStrictEqual(refs.map((ref: { name: string; parent?: string }) => [ref.name, ref.parent]), [
      ["app", "base"],
      ["base", undefined]
    ])
    for (const ref of refs) assert.match(ref.encoder, encoder)
  })

  it("makes nothing where there is nothing, and says what to do", async () => {
    const { code, stderr, stdout } = await run(["ref", "list"], env)
    assert.deepStrictEqual([code, stdout], [0, ""])
    assert.strictEqual(stderr, `no refs in ${path("store")}; add one with: effect-oci ref add NAME PATH\n`)
    assert.throws(() => filesIn(path("store")))
    assert.strictEqual((await run(["ref", "list", "--json"], env)).stdout, "[]\n")
  })

  it("does not take a file for an empty store", async () => {
    writeFileSync(path("store"), "")
    const { code, stdout } = await run(["ref", "list", "--json"], env)
    assert.strictEqual(code, 1)
    const { error } = JSON.parse(stdout)
    assert.deepStrictEqual([error._tag, error.code], ["StoreIo", "ENOTDIR"])
  })

  it("lists what it can, and warns of the rest", async () => {
    await add("app")
    writeFileSync(path("store/refs/broken.json"), "{")
    const { code, stderr, stdout } = await run(["ref", "list", "--json"], env)
    assert.strictEqual(code, 0)
    assert.match(stderr, /^warning: the ref "broken" cannot be read from .*broken\.json/)
    const [, broken] = JSON.parse(stdout)
    assert.deepStrictEqual([broken.name, broken.error._tag], ["broken", "RefUnreadable"])
    assert.match(broken.error.message, /^the ref "broken" cannot be read from /)
    assert.match((await run(["ref", "list"], env)).stdout, /^broken  -/m)
  })
})

describe("ref show", () => {
  it("shows a ref and the chain below it", async () => {
    await add("base", "--description", "ADD rootfs /")
    await add("deps", "--parent", "base")
    await add("app", "--parent", "deps", "--at", "/app")
    const { stdout } = await run(["ref", "show", "app"], env)
    assert.match(stdout, /^name         app\nparent       deps\n/)
    assert.match(stdout, /^ +0  base .* ADD rootfs \/\n +1  deps .*\n +2  app /m)
    const ref = JSON.parse((await run(["ref", "show", "app", "--json"], env)).stdout)
    assert.strictEqual(ref.parent, "deps")
    assert.deepStrictEqual(ref.chain.map((each: { name: string }) => each.name), ["base", "deps", "app"])
    assert.strictEqual(ref.chain[2].diffId, ref.diffId)
    assert.match(ref.encoder, encoder)
  })

  it("fails where there is none, or where its parent is gone", async () => {
    await add("base")
    await add("app", "--parent", "base")
    rmSync(path("store/refs/base.json"))
    const orphan = await run(["ref", "show", "app", "--json"], env)
    assert.strictEqual(orphan.code, 1)
    assert.strictEqual(JSON.parse(orphan.stdout).error._tag, "RefParentMissing")
    assert.match((await run(["ref", "show", "none"], env)).stderr, /^error: .* has no ref "none"/)
  })
})

describe("ref remove", () => {
  it("removes a ref, and not one that others stand on", async () => {
    await add("base")
    await add("app", "--parent", "base")
    const refused = await run(["ref", "remove", "base", "--json"], env)
    assert.strictEqual(refused.code, 1)
    const { error } = JSON.parse(refused.stdout)
    assert.deepStrictEqual([error._tag, error.children], ["RefInUse", ["app"]])
    assert.match(error.message, /the parent of "app": remove it first$/)
    assert.strictEqual((await run(["ref", "remove", "app"], env)).stdout, "removed app\n")
    assert.strictEqual((await run(["ref", "remove", "base", "--json"], env)).stdout, "{\"removed\":\"base\"}\n")
    assert.strictEqual((await run(["ref", "list", "--json"], env)).stdout, "[]\n")
    assert.strictEqual((await run(["ref", "remove", "app"], env)).code, 1)
  })
})
