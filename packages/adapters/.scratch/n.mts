import * as LCF from "/work/main/packages/adapters/src/LayerCacheFileSystem.ts"
import * as OciLayout from "/work/main/packages/adapters/src/OciLayout.ts"
import * as NodeHash from "/work/main/packages/adapters/src/NodeHash.ts"
import * as BlobStore from "/work/main/packages/core/src/BlobStore.ts"
import * as LayerCache from "/work/main/packages/core/src/LayerCache.ts"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { createHash, randomBytes } from "node:crypto"
import { rmSync, openSync, writeSync, readdirSync } from "node:fs"
const [dir,n="0"]=process.argv.slice(2)
const time = <A,E,R>(name: string, e: Effect.Effect<A,E,R>) => Effect.suspend(()=>{const t=performance.now(); return Effect.tap(e,()=>Effect.sync(()=>console.log(name.padEnd(48),(performance.now()-t).toFixed(1)+" ms")))})
const key=(s:string)=>("sha256:"+createHash("sha256").update(s).digest("hex")) as never
await Effect.runPromise(Effect.gen(function*(){
  const a = yield* Effect.provide(BlobStore.BlobStore, OciLayout.layer(dir+"/a").pipe(Layer.provide(NodeHash.layer)))
  const cache = yield* Effect.provide(LayerCache.LayerCache, LCF.layer(dir+"/cache", {maxBytes: Number(process.argv[4] ?? 1e10)}).pipe(Layer.provide(NodeHash.layer)))
  const keep = (s: string) => Effect.gen(function*(){ const b = yield* a.put(Stream.succeed(new TextEncoder().encode(s.padEnd(1000)))); return yield* time2(s, cache.keep(key(s),{descriptor:{mediaType:"application/vnd.oci.image.layer.v1.tar",...b},diffId:b.digest,encoder:"x"},a)) })
  let total=0; const time2=<A,E,R>(s:string,e:Effect.Effect<A,E,R>)=>Effect.suspend(()=>{const t=performance.now(); return Effect.tap(e,()=>Effect.sync(()=>{total+=performance.now()-t}))})
  if (n==="find") { yield* time("find", cache.find(key("k0"),a)); yield* time("find", cache.find(key("k0"),a)); return }
  const from=Number(process.argv[5]??0); for (let i=from;i<from+Number(n);i++) yield* keep("k"+i)
  console.log("kept", n, "mean", (total/Number(n)).toFixed(2), "ms")
}) as Effect.Effect<void>)
