/** Our client and a registry that is not ours, and skopeo for what the two make of each other. */
import * as Contract from "@effect-oci/adapters/Contract"
import * as OciLayout from "@effect-oci/adapters/OciLayout"
import * as Registry from "@effect-oci/adapters/Registry"
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as Copy from "@effect-oci/core/Copy"
import * as Annotations from "@effect-oci/schema/Annotations"
import * as MediaType from "@effect-oci/schema/MediaType"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as tls from "node:tls"
import { afterAll, beforeAll } from "vitest"
import * as Archives from "./archives.ts"
import { judge } from "./judges.ts"
import { services, skopeo } from "./registry/clients.ts"
import * as CuttingProxy from "./registry/cuttingProxy.ts"
import * as DockerRegistry from "./registry/dockerRegistry.ts"
import * as Images from "./registry/images.ts"
import { temporaryDirectory } from "./temporary.ts"

const hasRegistry = judge("docker-registry")

/** What docker-registry 2.8 cannot do, and what is asked of it instead below. */
const beyondIt = "a name that is taken away is gone, and nothing else"

describe.skipIf(!hasRegistry)("docker-registry", () => {
  const scope = Scope.makeUnsafe()
  let registry: DockerRegistry.Registry
  beforeAll(async () => {
    registry = await Effect.runPromise(Scope.provide(DockerRegistry.make(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  let repositories = 0
  /** Each case has a repository of its own. */
  const fresh = () => Registry.layer(`${registry.host}/contract/r${repositories++}`).pipe(Layer.orDie)

  for (const { name, test } of [...Contract.blobStore, ...Contract.imageTags]) {
    if (name === beyondIt) continue
    it.live(name, () => Effect.suspend(() => Effect.provide(test, Layer.provideMerge(fresh(), services()))))
  }

  it.live("deletes manifests, and says so where it cannot delete a tag", () =>
    Effect.gen(function*() {
      const repository = yield* Registry.open(`${registry.host}/judges/delete`)
      const provide = Effect.provideService(BlobStore.BlobStore, repository.blobs)
      const [one, other] = [yield* provide(Archives.putImage("one")), yield* provide(Archives.putImage("other"))]
      for (const tag of ["a", "b"]) yield* repository.images.tag(Option.some(tag), one.descriptor)
      yield* repository.images.tag(Option.some("c"), other.descriptor)
      const error = yield* Effect.flip(repository.images.untag(Option.some("a")))
      assert.match(error.message, /cannot delete the tag a at .*: UNSUPPORTED \(it cannot delete a tag alone/)
      assert.deepStrictEqual(
        (yield* repository.images.list).map(({ name }) => Option.getOrNull(name)),
        ["a", "b", "c"]
      )
      yield* repository.remove(one.descriptor.digest)
      assert.deepStrictEqual((yield* repository.images.list).map(({ name }) => Option.getOrNull(name)), ["c"])
      assert.strictEqual((yield* Effect.flip(repository.remove(one.descriptor.digest))).reason._tag, "NotFound")
    }).pipe(Effect.provide(services())))

  it.live("takes a blob over from another of its repositories", () =>
    Effect.gen(function*() {
      const proxy = yield* CuttingProxy.make(registry.host, () => undefined)
      const source = yield* Registry.open(`${proxy.host}/judges/base`)
      const target = yield* Registry.open(`${proxy.host}/judges/mounted`)
      const bytes = Images.noise(7, 5_000_000)
      const blob = { ...yield* source.blobs.put(Stream.succeed(bytes)), mediaType: MediaType.layer }
      const before = proxy.exchanges.length
      let told = 0
      yield* BlobStore.transfer(blob, source.blobs, target.blobs, (length) => Effect.sync(() => void (told += length)))
      assert.deepStrictEqual(proxy.exchanges.slice(before).map(({ method }) => method), ["POST", "HEAD"])
      assert.strictEqual(told, bytes.length)
      assert.isTrue(Buffer.from(bytes).equals(yield* Stream.mkUint8Array(target.blobs.get(blob))))
    }).pipe(Effect.provide(services()), Effect.scoped))
})

/** An index of two platforms, one of them with layers of zstd, and an attestation. */
const putIndex = Effect.gen(function*() {
  const amd64 = yield* Archives.putImage("amd64", { compression: "gzip" })
  const arm64 = yield* Archives.putImage("arm64", { architecture: "arm64", compression: "zstd" })
  const statement = {
    _type: "https://in-toto.io/Statement/v1",
    subject: [],
    predicateType: "https://spdx.dev/Document"
  }
  const layer = {
    mediaType: "application/vnd.in-toto+json",
    ...yield* BlobStore.putBytes(Archives.toBytes(statement)),
    annotations: { [Annotations.predicateType]: "https://spdx.dev/Document" }
  }
  const config = {
    mediaType: MediaType.imageConfig,
    ...yield* BlobStore.putBytes(
      Archives.toBytes({ architecture: "unknown", os: "unknown", rootfs: { type: "layers", diff_ids: [layer.digest] } })
    )
  }
  const document = (mediaType: string, value: object) =>
    Effect.map(BlobStore.putBytes(Archives.toBytes({ schemaVersion: 2, mediaType, ...value }), mediaType), (blob) => ({
      mediaType,
      ...blob
    }))
  const attestation = {
    ...yield* document(MediaType.imageManifest, { config, layers: [layer] }),
    platform: { architecture: "unknown", os: "unknown" },
    annotations: {
      [Annotations.referenceType]: "attestation-manifest",
      [Annotations.referenceDigest]: amd64.descriptor.digest
    }
  }
  return yield* document(MediaType.imageIndex, {
    manifests: [
      { ...amd64.descriptor, platform: { architecture: "amd64", os: "linux" } },
      { ...arm64.descriptor, platform: { architecture: "arm64", os: "linux" } },
      attestation
    ]
  })
})

/** The blobs of a layout, by their names. */
const blobsIn = (directory: string) =>
  new Map(
    readdirSync(join(directory, "blobs/sha256")).toSorted().map((name) => [
      name,
      readFileSync(join(directory, "blobs/sha256", name), "base64")
    ])
  )

const kinds: ReadonlyArray<readonly [string, DockerRegistry.Options]> = [
  ["for everybody", {}],
  ["with passwords", { auth: "htpasswd" }],
  ["with tokens", { auth: "token" }],
  ["with a certificate of its own authority", { isEncrypted: true }]
]

describe.skipIf(!hasRegistry || !judge("skopeo") || !judge("openssl"))("skopeo and we", () => {
  const directory = temporaryDirectory()

  for (const [name, options] of kinds) {
    it.live(`pull what the other has pushed to a registry ${name}`, () =>
      Effect.gen(function*() {
        const registry = yield* DockerRegistry.make(options)
        const folder = join(directory, name.replaceAll(" ", "-"))
        mkdirSync(folder)
        const [ours, theirs, back] = ["ours", "theirs", "back"].map((name) => join(folder, name)) as [
          string,
          string,
          string
        ]
        const layout = (path: string) => Effect.provide(Copy.place, OciLayout.layer(path, { durability: "process" }))
        const credentials = (side: "src" | "dest") =>
          options.auth === undefined
            ? []
            : [`--${side}-creds`, `${DockerRegistry.user.name}:${DockerRegistry.user.password}`]
        const certificates = join(folder, "certificates")
        if (registry.authority !== "") {
          mkdirSync(certificates)
          writeFileSync(join(certificates, "ca.crt"), registry.authority)
          const known = tls.getCACertificates()
          tls.setDefaultCACertificates([...known, registry.authority])
          yield* Effect.addFinalizer(() => Effect.sync(() => tls.setDefaultCACertificates(known)))
        }
        const trust = (side: "src" | "dest") =>
          registry.authority === "" ? [] : [`--${side}-cert-dir`, certificates, `--${side}-tls-verify=true`]

        yield* Effect.gen(function*() {
          const source = yield* layout(ours)
          const descriptor = yield* Effect.provideService(putIndex, BlobStore.BlobStore, source.blobs)
          yield* source.images.tag(Option.some("latest"), descriptor)
          const settings = registry.authority === "" ? {} : { insecure: false }

          const pushed = yield* Registry.open(`${registry.host}/judges/ours`, settings)
          yield* pushed.ping
          yield* Copy.image("latest", { source, target: pushed, as: Option.some("1.0"), all: true })
          const from = `docker://${registry.host}/judges/ours:1.0`
          yield* skopeo("--all", ...trust("src"), ...credentials("src"), from, `oci:${theirs}:latest`)
          assert.deepStrictEqual(blobsIn(theirs), blobsIn(ours))

          const to = `docker://${registry.host}/judges/theirs:1.0`
          yield* skopeo("--all", ...trust("dest"), ...credentials("dest"), `oci:${ours}:latest`, to)
          const pulled = yield* Registry.open(`${registry.host}/judges/theirs`, settings)
          const target = yield* layout(back)
          yield* Copy.image("1.0", { source: pulled, target, as: Option.some("latest"), all: true })
          assert.deepStrictEqual(blobsIn(back), blobsIn(ours))
          assert.deepStrictEqual(yield* Stream.runCollect(pulled.tags), ["1.0"])
        }).pipe(Effect.provide(services(options.auth === undefined ? undefined : registry.host)))

        if (options.auth === undefined) return
        const denied = Effect.gen(function*() {
          const { blobs } = yield* Registry.open(`${registry.host}/judges/ours`)
          return yield* Effect.flip(blobs.put(Stream.succeed(Archives.toBytes("nobody's"))))
        })
        const error = yield* Effect.provide(denied, services())
        assert.match(error.message, /log in to 127.0.0.1|is not allowed|wants to know who asks/)
      }).pipe(Effect.scoped), 60_000)
  }
})
