import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Files, type FileSystem } from "../src/internal/files.ts"
import { withLock } from "../src/internal/lock.ts"
import * as Owner from "../src/internal/owner.ts"
import { dead, elsewhere, killed, living, otherBoot, own, printed, reused, script, zombie } from "./processes.ts"
import { temporaryDirectory } from "./temporary.ts"

const root = temporaryDirectory()
let count = 0
const fresh = () => {
  const directory = join(root, `${++count}`)
  mkdirSync(directory)
  return directory
}

const record = (owner: Owner.Owner, nonce = "nonce") => JSON.stringify({ ...owner, nonce, since: "then" })

/** Takes the lock, and tells so, or else who has it. One that should be had is waited for, however busy the machine is. */
const locking = (directory: string, isHad: boolean, change = (files: FileSystem): FileSystem => files) =>
  Effect.flatMap(Files, (files) =>
    Effect.succeed("taken").pipe(
      withLock(change(files), directory, Duration.millis(isHad ? 10_000 : 30)),
      Effect.catchTag("StoreLocked", ({ holder }) => Effect.succeed(holder))
    ))

/** Makes files look as old as that, in seconds. */
const aged = (age: number, isAged: (path: string) => boolean) => (files: FileSystem): FileSystem => ({
  ...files,
  readSmall: (path, limit) =>
    Effect.map(files.readSmall(path, limit), (small) =>
      isAged(path)
        ? { ...small, info: { ...small.info, ctime: small.info.ctime - BigInt(age) * 1_000_000_000n } }
        : small)
})

const isLock = (path: string) => path.endsWith("/lock")
const isClaim = (path: string) => path.includes("/break-")

describe("the process of a file", () => {
  it.live("is told apart from others", () =>
    Effect.gen(function*() {
      const files = yield* Files
      assert.deepStrictEqual(yield* Owner.self(files), own)
      const name = Owner.nameFor("new", own)
      assert.deepStrictEqual(Owner.ofName(name), yield* Effect.asSome(Effect.succeed(own)))
      const fate = (owner: Owner.Owner) => Owner.fate(files, own, owner)
      const cases = [
        ["own", own, "alive"],
        ["living", living(), "alive"],
        ["of a number that init has", { ...own, pid: 1 }, "dead"],
        ["dead", dead(), "dead"],
        ["of a number that was used again", reused, "dead"],
        ["a zombie", yield* Effect.promise(zombie), "dead"],
        ["in another namespace", elsewhere, "unknown"],
        ["of another boot or machine", otherBoot, "unknown"],
        ["of a system that tells nothing", { pid: dead().pid }, "unknown"]
      ] as const
      for (const [name, owner, expected] of cases) assert.strictEqual(yield* fate(owner), expected, name)
      // Where nothing is told, nothing is known, not even of equals
      const mute = { pid: own.pid, startTime: "", bootId: "", pidNamespace: "" }
      assert.strictEqual(yield* Owner.fate(files, mute, mute), "unknown")
    }))
})

describe("a lock that is left", () => {
  const cases: ReadonlyArray<readonly [name: string, content: () => string, age: number, isBroken: boolean]> = [
    ["of a dead process", () => record(dead()), 0, true],
    ["of a process whose number was used again", () => record(reused), 0, true],
    ["of a process that lives", () => record(living()), 3600, false],
    ["of this process", () => record(own), 3600, false],
    ["in another namespace, fresh", () => record(elsewhere), 30, false],
    ["in another namespace, old", () => record(elsewhere), 61, true],
    ["of another boot, fresh", () => record(otherBoot), 30, false],
    ["of another boot, old", () => record(otherBoot), 61, true],
    ["empty after a power cut, fresh", () => "", 30, false],
    ["empty after a power cut, old", () => "", 61, true],
    ["whose nonce is no file name", () => record(dead(), "../../../x"), 0, true]
  ]
  for (const [name, content, age, isBroken] of cases) {
    it.live(`${name} is ${isBroken ? "broken" : "respected"}`, () =>
      Effect.gen(function*() {
        const directory = fresh()
        writeFileSync(join(directory, "lock"), content())
        const found = yield* locking(directory, isBroken, aged(age, isLock))
        assert.strictEqual(found === "taken", isBroken, found)
        assert.deepStrictEqual(readdirSync(directory), isBroken ? [] : ["lock"])
      }))
  }

  it.live("is broken after kill -9 of its holder", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const holder = script("hold.ts", directory)
      assert.strictEqual(yield* Effect.promise(() => printed(holder)), "held")
      assert.strictEqual(
        yield* locking(directory, false),
        `process ${holder.pid} since ${JSON.parse(readFileSync(join(directory, "lock"), "utf8")).since}`
      )
      yield* Effect.promise(() => killed(holder))
      assert.strictEqual(yield* locking(directory, true), "taken")
      assert.deepStrictEqual(readdirSync(directory), [])
    }))

  const claims: ReadonlyArray<readonly [name: string, owners: () => ReadonlyArray<Owner.Owner>, number, boolean]> = [
    ["dead", () => [dead()], 0, true],
    ["dead, one after the other", () => [dead(), reused, dead()], 0, true],
    ["alive", () => [living()], 3600, false],
    ["dead, and one that lives", () => [dead(), living()], 0, false],
    ["elsewhere, fresh", () => [elsewhere], 30, false],
    ["elsewhere, old", () => [elsewhere], 61, true]
  ]
  for (const [name, owners, age, isBroken] of claims) {
    it.live(`is ${isBroken ? "broken" : "left alone"} where those who were to break it are ${name}`, () =>
      Effect.gen(function*() {
        const directory = fresh()
        writeFileSync(join(directory, "lock"), record(dead(), "n"))
        owners().forEach((owner, k) => writeFileSync(join(directory, `break-n-${k}`), record(owner)))
        const before = readdirSync(directory)
        const found = yield* locking(directory, isBroken, aged(age, isClaim))
        assert.strictEqual(found === "taken", isBroken)
        assert.deepStrictEqual(readdirSync(directory), isBroken ? [] : before)
      }))
  }

  it.live("is not broken any more when another has broken it, and has the lock", () =>
    Effect.gen(function*() {
      const directory = fresh()
      const path = join(directory, "lock")
      const next = record(living(), "next")
      writeFileSync(path, record(dead()))
      const overtaken = (files: FileSystem): FileSystem => ({
        ...files,
        link: (from, to) => {
          if (isClaim(to)) writeFileSync(path, next)
          return files.link(from, to)
        }
      })
      assert.match(yield* locking(directory, false, overtaken), /^process .* since then$/)
      assert.strictEqual(readFileSync(path, "utf8"), next)
      assert.deepStrictEqual(readdirSync(directory), ["lock"])
    }))

  it.live("is broken by one of many, and never a lock that comes after it", () =>
    Effect.gen(function*() {
      const files = yield* Files
      for (let round = 0; round < 10; round++) {
        const directory = fresh()
        const path = join(directory, "lock")
        writeFileSync(path, record(dead()))
        // A breaker that has died, every other time
        if (round % 2 === 0) writeFileSync(join(directory, "break-nonce-0"), record(dead()))
        let inside = 0
        let broken = 0
        const slowly = Effect.suspend(() => Effect.sleep(Math.random() * 2))
        const race = {
          ...files,
          readSmall: (path: string, limit: number) => Effect.tap(files.readSmall(path, limit), () => slowly),
          remove: (name: string) =>
            name === path && readFileSync(path, "utf8").includes(`"since":"then"`)
              ? Effect.andThen(Effect.sync(() => void broken++), files.remove(name))
              : files.remove(name)
        }
        const work = Effect.gen(function*() {
          assert.strictEqual(++inside, 1)
          yield* Effect.sleep(1)
          inside--
        })
        yield* Effect.forEach(Array.from({ length: 8 }), () => withLock(race, directory, Duration.seconds(30))(work), {
          concurrency: "unbounded"
        })
        assert.strictEqual(broken, 1)
        assert.deepStrictEqual(readdirSync(directory), [])
      }
    }))
})

describe("a lock that is held for long", () => {
  it.effect("is touched, so that it is respected elsewhere too", () =>
    Effect.gen(function*() {
      const files = yield* Files
      const directory = fresh()
      const touched: Array<string> = []
      const watched: FileSystem = {
        ...files,
        setMode: (path, mode) => Effect.tap(files.setMode(path, mode), () => Effect.sync(() => void touched.push(path)))
      }
      const fiber = yield* Effect.forkChild(withLock(watched, directory, Duration.seconds(1))(Effect.never))
      for (let seconds = 0; touched.length < 3; seconds++) {
        assert.isAtMost(touched.length, seconds / 15)
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise(setImmediate))
      }
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(touched, Array.from({ length: 3 }, () => join(directory, "lock")))
      assert.deepStrictEqual(readdirSync(directory), [])
    }))
})
