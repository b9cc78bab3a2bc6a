/** Writers that publish and drop images, collections of garbage without a grace beside them, and kills of both. */
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as StoreContent from "@effect-oci/adapters/StoreContent"
import * as Verification from "@effect-oci/core/Verification"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { rmSync } from "node:fs"
import { areaOf, either, fresh, type Outcome, pause, problemsOf, program, type Scale, startNode } from "./support.ts"

const writers = 8

const verify = (layout: string) =>
  Effect.gen(function*() {
    const roots = yield* StoreContent.roots(layout)
    const { findings } = yield* Verification.check({ blobs: yield* StoreContent.blobs(layout), roots })
    return findings.map(({ digest, from, problem }) => `${digest}, which ${from ?? "nothing"} names, is ${problem}`)
  }).pipe(Effect.provide(OciLayout.layer(layout).pipe(Layer.provideMerge(NodeHash.layer))))

export const run = async (scale: Scale): Promise<Outcome> => {
  const { add, all } = problemsOf()
  const rounds = either(scale, 2, 10)
  const seconds = either(scale, 4, 10)
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
    const first = startNode(publisher, [layout, "first", "1"])
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
    const last = startNode(collector, [layout, "1"])
    await last.finish()
    add(`round ${round}`, ...await Effect.runPromise(verify(layout)))
    add(`round ${round}`, ...areaOf(layout).map((name) => `left behind: ${name}`))
    rmSync(layout, { recursive: true })
  }
  if (removed === 0) add("gc", "nothing was ever garbage")
  return {
    figure: `${writers} writers and a collection after the other, ${rounds * seconds} s, ${kills} kills: ` +
      `${published} images published, ${removed} blobs removed`,
    problems: all
  }
}
