import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import { start } from "./engine.ts"
import * as Archive from "./archive.ts"
import { readFileSync } from "node:fs"
await Effect.runPromise(Effect.scoped(Effect.gen(function*() {
  const t = (name: string) => <A, E, R>(e: Effect.Effect<A, E, R>) => Effect.suspend(() => { const s = performance.now(); return Effect.tap(e, () => Effect.sync(() => console.log(name, Math.round(performance.now() - s)))) })
  const e = yield* t("start")(start(process.env["EFFECT_OCI_ENGINE"] ?? ""))
  for (const n of [1, 2]) {
  const a = yield* t("archive")(Archive.image([[Tar.file("a" + n, "1")], [Tar.file("b" + n, "2")], [Tar.file("c" + n, "3")]], `"history":[]`))
  yield* t("load")(e.load(a.archive))
  yield* t("load again")(e.load(a.archive))
  yield* t("build ENV")(e.build({ dockerfile: "FROM base\nENV A=1\n" }))
  yield* t("build COPY")(e.build({ dockerfile: "FROM base\nCOPY a /a\n", files: { a: "1" + n } }))
  yield* t("build scratch COPY")(e.build({ dockerfile: "FROM scratch\nCOPY a /a\n", files: { a: "1" + n } }))
  yield* t("version")(e.docker("--version"))
  const b = yield* t("archive")(Archive.image([[Tar.file("bin/busybox", readFileSync(e.busybox), { mode: 0o755 }), Tar.symlink("bin/sh", "busybox")]], `"history":[]`))
  yield* t("load bb")(e.load(b.archive))
  yield* t("load bb")(e.load(b.archive))
  yield* t("build RUN")(e.build({ dockerfile: "FROM base\nRUN echo > /q"+n+"\n" }))
  }
})))
