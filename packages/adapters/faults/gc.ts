/** Writers that publish and drop images, collections of garbage without a grace beside them, and kills of both. */
import * as GarbageCollection from "@effect-oci/adapters/GarbageCollection"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as Verification from "@effect-oci/core/Verification"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { rmSync } from "node:fs"
import process from "node:process"
import { Files } from "../src/internal/files.ts"
import {
  areaOf,
  fresh,
  type Outcome,
  pause,
  problemsOf,
  program,
  type Scale,
  start,
  startExporter,
  startNode
} from "./support.ts"

const writers = 8

/** Milliseconds that are enough to do it once. */
const briefly = "300"

const verify = (layout: string) =>
  Effect.gen(function*() {
    const roots = yield* StoreContent.roots(layout)
    const { findings } = yield* Verification.check({ blobs: yield* StoreContent.blobs(layout), roots })
    return findings.map(({ digest, from, problem }) => `${digest}, which ${from ?? "nothing"} names, is ${problem}`)
  }).pipe(Effect.provide(OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer))))

/** Kills a collection at each name that it moves or removes, and lets a writer come after it. */
const sweptKills = async (
  publisher: string,
  collector: string,
  { add }: Pick<ReturnType<typeof problemsOf>, "add">
) => {
  let kills = 0
  for (const system of ["rename", "unlink"]) {
    for (let count = 1; count <= 6; count++) {
      const layout = fresh("gc")
      for (const name of ["kept", "dropped"]) {
        const writer = await startExporter()
        writer.send(`${layout} ${name} ${name}`)
        await writer.finish()
      }
      // What was named is garbage when another image has its name
      const writer = await startExporter()
      writer.send(`${layout} dropped again`)
      await writer.finish()
      const inject = ["-e", `trace=${system}`, "-e", `inject=${system}:signal=SIGKILL:when=${count}`]
      const command = [process.execPath, collector, layout, briefly]
      const collection = start("strace", ["-f", "-o", fresh("calls"), ...inject, ...command], {
        // Nothing but the collection moves anything then
        env: { UV_THREADPOOL_SIZE: "1", NODE_COMPILE_CACHE: "" }
      })
      if ((await collection.finish()).signal === "SIGKILL") kills++
      const at = `killed at the ${system} ${count}`
      add(at, ...await Effect.runPromise(verify(layout)))
      await startNode(publisher, [layout, "next", briefly]).finish()
      add(at, ...await Effect.runPromise(verify(layout)))
      add(at, ...areaOf(layout).map((name) => `left behind: ${name}`))
      rmSync(layout, { recursive: true })
    }
  }
  return kills
}

/** Lets a writer find blobs, and rely on them, right before a collection that takes them for garbage moves the first. */
const lateWriter = async ({ add }: Pick<ReturnType<typeof problemsOf>, "add">) => {
  const layout = fresh("gc")
  const before = await startExporter()
  before.send(`${layout} dropped found`, `${layout} dropped other`)
  await before.finish()
  const late = await startExporter()
  let isMoving = false
  const come = async () => {
    if (isMoving) return
    isMoving = true
    late.send(`${layout} late found`)
    // All that is left to do for it needs the lock
    while (!areaOf(layout).some((name) => name.startsWith(`lock-${late.pid}.`))) await pause(5)
  }
  await Effect.runPromise(
    Effect.flatMap(Files, (files) =>
      GarbageCollection.collect(layout, { grace: 0 }).pipe(
        Effect.provideService(Files, {
          ...files,
          rename: (from, to) => Effect.andThen(Effect.promise(come), files.rename(from, to))
        })
      )).pipe(Effect.provide(NodeHash.layer))
  )
  await late.finish()
  const at = "a writer that comes late"
  if (!isMoving || !late.lines.includes("ok late found")) add(at, "it did not come", late.errors(), ...late.lines)
  add(at, ...await Effect.runPromise(verify(layout)))
  rmSync(layout, { recursive: true })
}

export const run = async (scale: Scale): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const rounds = scale.full ? 10 : 2
  const seconds = scale.full ? 10 : 4
  let published = 0
  let removed = 0
  let kills = 0
  const [publisher, collector] = [
    await program("../test/fixtures/publish.ts"),
    await program("../test/fixtures/collect.ts")
  ]
  for (let round = 0; round < rounds; round++) {
    const layout = fresh("gc")
    const deadline = performance.now() + seconds * 1000
    const left = () => Math.max(0, Math.round(deadline - performance.now()))
    const first = startNode(publisher, [layout, "first", briefly])
    await first.finish()
    // Each process is killed and started again, at its own random moments
    const live = async (isWriter: boolean, index: number) => {
      for (let life = 0; left() > 0; life++) {
        const running = startNode(isWriter ? publisher : collector, [
          layout,
          ...(isWriter ? [`w${index}-${life % 2}-`] : []),
          String(left())
        ])
        const isKilled = await Promise.race([
          running.ended.then(() => false),
          pause(300 + Math.random() * seconds * 700).then(() => true)
        ])
        const { code } = await (isKilled && left() > 0 ? running.kill() : running.ended)
        if (code === null) kills++
        else if (code !== 0) add(`round ${round}`, running.errors())
        if (isWriter) published += running.lines.join("").length
        else removed += running.lines.join("").length
      }
    }
    await Promise.all([...Array.from({ length: writers }, (_, index) => live(true, index)), live(false, 0)])
    const last = startNode(collector, [layout, briefly])
    await last.finish()
    add(`round ${round}`, ...await Effect.runPromise(verify(layout)))
    add(`round ${round}`, ...areaOf(layout).map((name) => `left behind: ${name}`))
    rmSync(layout, { recursive: true })
  }
  const swept = await sweptKills(publisher, collector, { add })
  await lateWriter({ add })
  if (removed === 0) add("gc", "nothing was ever garbage")
  return {
    figure: `${writers} writers and a collection after the other, ${rounds * seconds} s, ${kills} kills: ` +
      `${published} images published, ${removed} blobs removed; ${swept} kills of a collection at each name that it changes`,
    problems: all
  }
}
