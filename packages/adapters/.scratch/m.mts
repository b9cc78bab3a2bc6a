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
const root = "/tmp/lcbench"; rmSync(root,{recursive:true,force:true})
const time = <A,E,R>(name: string, e: Effect.Effect<A,E,R>) => Effect.suspend(()=>{const t=performance.now(); return Effect.tap(e,(x)=>Effect.sync(()=>console.log(name.padEnd(48),(performance.now()-t).toFixed(1)+" ms", x===undefined?"":JSON.stringify(x).slice(0,90))))})
const mk = (d: string) => Effect.provide(BlobStore.BlobStore, OciLayout.layer(d).pipe(Layer.provide(NodeHash.layer)))
const chunk = randomBytes(1<<20)
const content = (mb: number) => Stream.range(1,mb).pipe(Stream.rechunk(1),Stream.map((i)=>{const b=Buffer.from(chunk); b.writeUInt32LE(i); return b as Uint8Array}))
await Effect.runPromise(Effect.gen(function*(){
  const a = yield* mk(root+"/a"); const b = yield* mk(root+"/b"); const c=yield* mk(root+"/c")
  const blob = yield* time("put 500 MB", a.put(content(500)))
  for (let i=0;i<3;i++) { const x = yield* mk(root+"/x"+i); yield* time("copy 500 MB by take", BlobStore.copy(blob,a,x)) }
  yield* time("copy again", BlobStore.copy(blob,a,a))
  yield* time("copy 500 MB streamed", c.put(a.get(blob), blob))
  const h = createHash("sha256"); const t=performance.now(); for(let i=0;i<500;i++) h.update(chunk); h.digest(); console.log("sha256 alone", performance.now()-t)
  const small = yield* time("put 146 MB", b.put(content(146)))
  const cache = yield* Effect.provide(LayerCache.LayerCache, LCF.layer(root+"/cache").pipe(Layer.provide(NodeHash.layer)))
  const key = small.digest; const kept = {descriptor:{mediaType:"application/vnd.oci.image.layer.v1.tar+gzip",...small},diffId:small.digest,encoder:"x"}
  yield* time("find in an empty cache", cache.find(key,b))
  yield* time("keep (first)", cache.keep(key,kept,b))
  yield* time("keep (again)", cache.keep(key,kept,b))
  yield* time("hit, same file", cache.find(key,b))
  yield* time("hit, same file", cache.find(key,b))
  yield* time("hit, other layout (link, hash)", cache.find(key,c))
  yield* time("hit, that again", cache.find(key,c))
  yield* time("hit, the first again", cache.find(key,b))
  const fd=openSync(root+"/b/blobs/sha256/"+small.digest.slice(7),"r+"); writeSync(fd,Buffer.from([9]),0,1,1000)
  yield* time("flipped in all (hard link)", cache.find(key,b))
  console.log(readdirSync(root+"/cache/.effect-oci"), readdirSync(root+"/cache/.effect-oci/layers"), readdirSync(root+"/cache/blobs/sha256"))
}) as Effect.Effect<void>)
