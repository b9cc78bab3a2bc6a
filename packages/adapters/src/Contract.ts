/**
 * What every implementation of a store promises, as tests: run them on an adapter of your own.
 *
 * A case is an effect that fails with what it found to be broken. It needs a store that is new and empty, so build its
 * layer once for each case. Any test runner does.
 *
 * @since 0.1.0
 */
import * as BlobStore from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as Hash from "@effect-oci/core/Hash"
import * as ImageStore from "@effect-oci/core/ImageStore"
import * as RefStore from "@effect-oci/core/RefStore"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

/**
 * Error raised where an implementation does not keep its promise.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContractViolation extends Schema.TaggedError<ContractViolation>("@effect-oci/adapters/ContractViolation")(
  "ContractViolation",
  { promise: Schema.String, expected: Schema.String, found: Schema.String }
) {
  override get message(): string {
    return `${this.promise}: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * One promise, with the effect that tests it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<R> {
  readonly name: string
  readonly test: Effect.Effect<void, ContractViolation, R>
}

type Expect = (what: string, found: unknown, expected: unknown) => Effect.Effect<void, ContractViolation>

const show = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value)
  return text.length <= 400 ? text : text.slice(0, 399) + "…"
}

/** Makes a case: a failure that its test does not expect is a violation too. */
const promise = <E extends { readonly message: string }, R>(
  name: string,
  test: (expect: Expect) => Effect.Effect<void, E, R>
): Case<R> => ({
  name,
  test: test((what, found, expected) =>
    show(found) === show(expected)
      ? Effect.void
      : Effect.fail(
        new ContractViolation({ promise: `${name}: ${what}`, expected: show(expected), found: show(found) })
      )
  ).pipe(Effect.mapError((error) =>
    error instanceof ContractViolation
      ? error
      : new ContractViolation({ promise: name, expected: "success", found: error.message })
  ))
})

const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.match(effect, { onFailure: (error) => error._tag, onSuccess: () => "success" })

const errorOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.mapError(
    Effect.flip(effect),
    () => new ContractViolation({ promise: "what cannot succeed", expected: "an error", found: "success" })
  )

const bytesOf = (text: string): Uint8Array => Json.toBytes(text)

const blobOf = (bytes: Uint8Array, algorithm: Digest.Algorithm = "sha256") =>
  Hash.Hash.useSync((hash): BlobStore.Blob => {
    const hasher = hash.make(algorithm)
    hasher.update(bytes)
    return { digest: hasher.digest(), size: bytes.length }
  })

const read = (blob: BlobStore.Blob) => BlobStore.BlobStore.use((store) => Stream.mkUint8Array(store.get(blob)))

const isEqual = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && left.every((byte, index) => byte === right[index])

/** Bytes without a pattern that compresses or repeats early, always the same. */
const noise = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length)
  let state = 1
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[index] = state >>> 16
  }
  return bytes
}

const chunked = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.fromArrays(
    ...Array.from(
      { length: Math.ceil(bytes.length / size) },
      (_, index) => [bytes.slice(index * size, (index + 1) * size)]
    )
  )

const hello = bytesOf("hello")

/** Another store, which gives out what it has without looking at it. */
const holding = (bytes: Uint8Array | undefined): BlobStore.Store => ({
  put: () => Effect.never,
  get: ({ digest }) =>
    bytes === undefined ? Stream.fail(new BlobStore.BlobMissing({ store: "another", digest })) : Stream.succeed(bytes),
  has: () => Effect.succeed(true)
})

/**
 * What a `BlobStore` promises.
 *
 * **Example** (Testing a store of one's own)
 *
 * ```ts
 * import * as Contract from "@effect-oci/adapters/Contract"
 * import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
 * import * as NodeHash from "@effect-oci/adapters/NodeHash"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const layer = Layer.provideMerge(MemoryStore.layer, NodeHash.layer)
 * const program = Effect.forEach(Contract.blobStore, ({ test }) => Effect.provide(test, Layer.fresh(layer)))
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const blobStore: ReadonlyArray<Case<BlobStore.BlobStore | Hash.Hash>> = [
  promise("a blob that was put is read as it was", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* store.put(chunked(hello, 2))
      yield* expect("its descriptor", blob, yield* blobOf(hello))
      yield* expect("it is there", yield* store.has(blob), true)
      yield* expect("its content", isEqual(yield* read(blob), hello), true)
      yield* expect("its content again", isEqual(yield* read(blob), hello), true)
    })),
  promise("an empty blob is a blob", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* store.put(Stream.empty)
      yield* expect("its descriptor", blob, yield* blobOf(new Uint8Array()))
      yield* expect("it is there", yield* store.has(blob), true)
      yield* expect("its content", (yield* read(blob)).length, 0)
    })),
  promise("a blob of several chunks is read as it was", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const bytes = noise(5 * 1024 * 1024 + 1)
      const blob = yield* store.put(chunked(bytes, 100_000))
      yield* expect("its descriptor", blob, yield* blobOf(bytes))
      yield* expect("its content", isEqual(yield* read(blob), bytes), true)
    })),
  promise(
    "the digest that is expected chooses the algorithm",
    (expect) =>
      Effect.forEach(Digest.Algorithm.literals, (algorithm) =>
        Effect.gen(function*() {
          const store = yield* BlobStore.BlobStore
          const expected = yield* blobOf(hello, algorithm)
          yield* expect(algorithm, yield* store.put(Stream.succeed(hello), expected), expected)
          yield* expect(`${algorithm}, its content`, isEqual(yield* read(expected), hello), true)
        }), { discard: true })
  ),
  promise("a blob can be put twice, and by several at once", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const all = yield* Effect.all(Array.from({ length: 8 }, () => store.put(chunked(hello, 1))), {
        concurrency: "unbounded"
      })
      yield* expect("all descriptors", all, Array.from({ length: 8 }, () => blob))
      yield* expect("its content", isEqual(yield* read(blob), hello), true)
    })),
  promise("content with another digest leaves nothing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const other = yield* blobOf(bytesOf("olleh"))
      const error = yield* errorOf(store.put(Stream.succeed(bytesOf("olleh")), blob))
      yield* expect("the error", error._tag, "DigestMismatch")
      yield* expect("the digest that was expected", yield* store.has(blob), false)
      yield* expect("the digest that was found", yield* store.has(other), false)
    })),
  promise("content of another size leaves nothing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      for (const size of [0, 4, 6]) {
        const put = store.put(chunked(hello, 2), { digest: blob.digest, size })
        yield* expect(`${size} bytes expected`, yield* tagOf(put), "SizeMismatch")
        yield* expect("the blob", yield* store.has(blob), false)
      }
      yield* expect("without a digest", yield* tagOf(store.put(Stream.succeed(hello), { size: 4 })), "SizeMismatch")
    })),
  promise("content that fails leaves nothing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const failure = new ContractViolation({ promise: "", expected: "", found: "" })
      const content = Stream.concat(Stream.succeed(hello), Stream.fail(failure))
      yield* expect("the error", yield* tagOf(store.put(content)), "ContractViolation")
      yield* expect("the blob", yield* store.has(blob), false)
    })),
  promise("a put that is interrupted leaves nothing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const reached = yield* Deferred.make<void>()
      const wait = Effect.andThen(Deferred.succeed(reached, undefined), Effect.never)
      const content = Stream.concat(Stream.succeed(hello), Stream.fromEffect(wait))
      const fiber = yield* Effect.forkChild(store.put(content))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      yield* expect("the blob", yield* store.has(blob), false)
      yield* expect("reading it", yield* tagOf(read(blob)), "BlobMissing")
    })),
  promise("a blob that is not there is missing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      yield* expect("of an empty store", yield* tagOf(read(blob)), "BlobMissing")
      yield* expect("of an empty store, has", yield* store.has(blob), false)
      yield* store.put(Stream.succeed(bytesOf("other")))
      yield* expect("of another", yield* tagOf(read(blob)), "BlobMissing")
    })),
  promise("a blob is read only by its own size", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* store.put(Stream.succeed(hello))
      for (const size of [0, 4, 6, Number.MAX_SAFE_INTEGER]) {
        yield* expect(`reading ${size} bytes`, yield* tagOf(read({ ...blob, size })), "SizeMismatch")
        yield* expect(`having ${size} bytes`, yield* store.has({ ...blob, size }), false)
      }
    })),
  promise("a blob is copied from another store, unless it is there", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      yield* BlobStore.copy(blob, holding(hello), store)
      yield* expect("its content", isEqual(yield* read(blob), hello), true)
      yield* expect("once more", yield* tagOf(BlobStore.copy(blob, holding(undefined), store)), "success")
      yield* expect("to itself", yield* tagOf(BlobStore.transfer(blob, store, store)), "success")
      yield* expect("its content in the end", isEqual(yield* read(blob), hello), true)
    })),
  promise("a transfer tells how many bytes it has read", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      let told = 0
      const onRead = (bytes: number) => Effect.sync(() => void (told += bytes))
      yield* BlobStore.transfer(blob, holding(hello), store, onRead)
      yield* expect("from another store", told, blob.size)
      yield* BlobStore.transfer(blob, store, store, onRead)
      yield* expect("and from itself", told, 2 * blob.size)
    })),
  promise("what another store does not have, or not right, leaves nothing", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const sources = [[undefined, "BlobMissing"], ["olleh", "DigestMismatch"], ["hello!", "SizeMismatch"]] as const
      for (const [text, tag] of sources) {
        const source = holding(text === undefined ? undefined : bytesOf(text))
        yield* expect(String(text), yield* tagOf(BlobStore.copy(blob, source, store)), tag)
        yield* expect("the blob", yield* store.has(blob), false)
      }
    })),
  promise("a store takes nothing from one that it does not know", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* blobOf(hello)
      const taken = store.take === undefined ? false : yield* store.take(blob, holding(hello))
      yield* expect("the answer", taken, false)
      yield* expect("the blob", yield* store.has(blob), false)
    })),
  promise("a stage shows its blobs when they are published", (expect) =>
    Effect.scoped(Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const below = yield* store.put(Stream.succeed(bytesOf("below")))
      if (store.stage === undefined) return
      const { publish, store: stage } = yield* store.stage
      const blob = yield* stage.put(Stream.succeed(hello))
      const bytes = Effect.provideService(read(blob), BlobStore.BlobStore, stage)
      yield* expect("it is on the stage", isEqual(yield* bytes, hello), true)
      yield* expect("what the store has is, too", yield* stage.has(below), true)
      yield* expect("it is in the store", yield* store.has(blob), false)
      yield* publish
      yield* expect("it is there when it is published", isEqual(yield* read(blob), hello), true)
      yield* expect("and on the stage still", isEqual(yield* bytes, hello), true)
    }))),
  promise("a stage that is left takes its blobs with it", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const { stage } = store
      if (stage === undefined) return
      const blob = yield* Effect.scoped(Effect.flatMap(stage, (stage) => stage.store.put(Stream.succeed(hello))))
      yield* expect("it is there", yield* store.has(blob), false)
      const failed = BlobStore.staged(
        Effect.andThen(
          BlobStore.putBytes(hello),
          store.get({ ...blob, size: 1 }).pipe(
            Stream.runDrain
          )
        ),
        () => Effect.void
      )
      yield* expect("work that fails", yield* tagOf(failed), "BlobMissing")
      yield* expect("its blob", yield* store.has(blob), false)
      const here = yield* BlobStore.staged(BlobStore.putBytes(hello), store.has)
      yield* expect("its blob, where it succeeds", here, true)
    })),
  promise("a reader that stops early, or changes what it read, harms nobody", (expect) =>
    Effect.gen(function*() {
      const store = yield* BlobStore.BlobStore
      const blob = yield* store.put(Stream.succeed(hello))
      yield* Stream.runForEach(Stream.take(store.get(blob), 1), (chunk) => Effect.sync(() => chunk.fill(0)))
      yield* expect("its content", isEqual(yield* read(blob), hello), true)
    }))
]

/** A manifest that says a text: a registry takes nothing else. */
const descriptorOf = Effect.fnUntraced(function*(text: string): Effect.fn.Return<
  Descriptor.Descriptor,
  BlobStore.BlobStoreError,
  BlobStore.BlobStore
> {
  const mediaType = MediaType.imageManifest
  const config = {
    mediaType: MediaType.imageConfig,
    ...yield* BlobStore.putBytes(bytesOf("{}"), MediaType.imageConfig)
  }
  const manifest = { schemaVersion: 2, mediaType, config, layers: [], annotations: { text } }
  return { mediaType, ...yield* BlobStore.putBytes(bytesOf(JSON.stringify(manifest)), mediaType) }
})

const namesOf = (images: ReadonlyArray<ImageStore.Image>) => images.map(({ name }) => Option.getOrNull(name))

/**
 * What an `ImageStore` promises whose names are tags, as those of a registry are, together with the `BlobStore` that holds its
 * images. All of it is among what every other `ImageStore` promises.
 *
 * @category testing
 * @since 0.1.0
 */
export const imageTags: ReadonlyArray<Case<ImageStore.ImageStore | BlobStore.BlobStore | Hash.Hash>> = [
  promise("an image is found by its name", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      const two = yield* descriptorOf("two")
      yield* store.tag(Option.some("v1"), one)
      yield* store.tag(Option.some("v1.2_3-x"), two)
      yield* expect("v1", (yield* store.resolve(Option.some("v1"))).digest, one.digest)
      yield* expect("the other", (yield* store.resolve(Option.some("v1.2_3-x"))).digest, two.digest)
      yield* expect("the names", namesOf(yield* store.list), ["v1", "v1.2_3-x"])
    })),
  promise("a name goes from one image to the next", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const [one, two] = [yield* descriptorOf("one"), yield* descriptorOf("two")]
      yield* store.tag(Option.some("a"), one)
      yield* store.tag(Option.some("b"), one)
      yield* store.tag(Option.some("a"), two)
      yield* expect("a", (yield* store.resolve(Option.some("a"))).digest, two.digest)
      yield* expect("b", (yield* store.resolve(Option.some("b"))).digest, one.digest)
      yield* expect("the names", namesOf(yield* store.list), ["a", "b"])
    })),
  promise("without a name, an image has to be the only one", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const [one, two] = [yield* descriptorOf("one"), yield* descriptorOf("two")]
      yield* store.tag(Option.some("a"), one)
      yield* expect("one with a name", (yield* store.resolve(Option.none())).digest, one.digest)
      yield* store.tag(Option.some("b"), two)
      const error = yield* errorOf(store.resolve(Option.none()))
      yield* expect("two", error._tag, "ImageAmbiguous")
      yield* expect("their names", error._tag === "ImageAmbiguous" ? error.names : [], ["a", "b"])
    })),
  promise("a name that is not there is missing, and the others are told", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      yield* store.tag(Option.some("a"), yield* descriptorOf("one"))
      const error = yield* errorOf(store.resolve(Option.some("b")))
      yield* expect("the error", error._tag, "ImageMissing")
      yield* expect("the names", error._tag === "ImageMissing" ? error.names : [], ["a"])
    })),
  promise("a name follows the grammar of tags", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      for (const name of ["", "-a", "a//b", "/a", "a/", "a b", "a\nb", "a\0", "../x", "ä", "a?b", "a%2fb"]) {
        yield* expect(JSON.stringify(name), yield* tagOf(store.tag(Option.some(name), one)), "InvalidImageName")
      }
    })),
  promise("an image whose blob is not there gets no name", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      yield* store.tag(Option.some("a"), yield* descriptorOf("one"))
      const absent = { mediaType: MediaType.imageManifest, ...yield* blobOf(bytesOf("absent")) }
      yield* expect("the error", yield* tagOf(store.tag(Option.some("b"), absent)), "BlobMissing")
      yield* expect("the names", namesOf(yield* store.list), ["a"])
    })),
  promise("a name that is taken away is gone, and nothing else", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      yield* store.tag(Option.some("a"), one)
      yield* store.tag(Option.some("b"), one)
      yield* store.untag(Option.some("a"))
      yield* expect("the names", namesOf(yield* store.list), ["b"])
      yield* expect("its blob", yield* BlobStore.BlobStore.use((blobs) => blobs.has(one)), true)
      const error = yield* errorOf(store.untag(Option.some("a")))
      yield* expect("once more", error._tag, "ImageMissing")
      yield* expect("the names it tells", error._tag === "ImageMissing" ? error.names : [], ["b"])
      yield* expect("the unnamed", yield* tagOf(store.untag(Option.none())), "ImageMissing")
      yield* store.untag(Option.some("b"))
      yield* expect("in the end", namesOf(yield* store.list), [])
    })),
  promise("names that are given at once are all kept", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      const names = Array.from({ length: 20 }, (_, index) => `v${index + 10}`)
      yield* Effect.forEach(names, (name) => store.tag(Option.some(name), one), { concurrency: "unbounded" })
      yield* expect("the names", namesOf(yield* store.list).toSorted(), names)
    }))
]

/**
 * What an `ImageStore` promises, together with the `BlobStore` that holds its images.
 *
 * @category testing
 * @since 0.1.0
 */
export const imageStore: ReadonlyArray<Case<ImageStore.ImageStore | BlobStore.BlobStore | Hash.Hash>> = [
  ...imageTags,
  promise("a name may have several parts", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      yield* store.tag(Option.some("sub/v1.2_3-x:y@z+w--q"), one)
      yield* expect("it", (yield* store.resolve(Option.some("sub/v1.2_3-x:y@z+w--q"))).digest, one.digest)
      yield* expect("the names", namesOf(yield* store.list), ["sub/v1.2_3-x:y@z+w--q"])
    })),
  promise("the image without a name is replaced by the next", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const [one, two] = [yield* descriptorOf("one"), yield* descriptorOf("two")]
      yield* store.tag(Option.none(), one)
      yield* store.tag(Option.none(), two)
      yield* expect("the only one", (yield* store.resolve(Option.none())).digest, two.digest)
      yield* expect("the names", namesOf(yield* store.list), [null])
    })),
  promise("a name follows the grammar", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const one = yield* descriptorOf("one")
      for (const name of ["a-", "a..b", "a---b", "_a"]) {
        yield* expect(JSON.stringify(name), yield* tagOf(store.tag(Option.some(name), one)), "InvalidImageName")
      }
    })),
  promise("what a descriptor says is kept", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const plain = yield* descriptorOf("one")
      const full = {
        ...plain,
        annotations: { a: "1", "org.opencontainers.image.ref.name": "other" },
        platform: { architecture: "arm64", os: "linux", variant: "v8" }
      }
      yield* store.tag(Option.some("a"), full)
      const found = yield* store.resolve(Option.some("a"))
      yield* expect("the platform", found.platform, full.platform)
      yield* expect("the annotation", found.annotations?.["a"], "1")
    })),
  promise("the image without a name is taken away alone", (expect) =>
    Effect.gen(function*() {
      const store = yield* ImageStore.ImageStore
      const [one, two] = [yield* descriptorOf("one"), yield* descriptorOf("two")]
      yield* store.tag(Option.some("a"), one)
      yield* store.tag(Option.none(), two)
      yield* store.tag(Option.some("b"), one)
      yield* store.untag(Option.some("a"))
      yield* expect("the names", namesOf(yield* store.list), [null, "b"])
      yield* expect("its blob", yield* BlobStore.BlobStore.use((blobs) => blobs.has(one)), true)
      yield* store.untag(Option.none())
      yield* expect("without the unnamed", namesOf(yield* store.list), ["b"])
      const error = yield* errorOf(store.untag(Option.some("a")))
      yield* expect("once more", error._tag, "ImageMissing")
      yield* expect("the names it tells", error._tag === "ImageMissing" ? error.names : [], ["b"])
      yield* expect("the unnamed, once more", yield* tagOf(store.untag(Option.none())), "ImageMissing")
      yield* store.untag(Option.some("b"))
      yield* expect("in the end", namesOf(yield* store.list), [])
    }))
]

const refDocument = (
  text: string,
  parent?: string
): Effect.Effect<RefDocument.RefDocument, BlobStore.BlobStoreError, BlobStore.BlobStore> =>
  Effect.map(BlobStore.putBytes(bytesOf(text)), (blob) => ({
    ...(parent === undefined ? {} : { parent }),
    description: text,
    created: Result.getOrThrow(Timestamp.parse("2024-02-29T12:00:00.123456789+02:00")),
    layer: { mediaType: MediaType.layerGzip, ...blob },
    diffId: blob.digest,
    encoder: "gzip-1"
  }))

const acquire = (name: string) => CacheRef.CacheRef.use((source) => source.acquire(name))

const chainOf = (name: string) => Effect.scoped(Effect.flatMap(acquire(name), (ref) => CacheRef.chain(ref)))

/**
 * What a `CacheRef` promises that can be filled by a `RefStore`, together with the `BlobStore` of its layers.
 *
 * @category testing
 * @since 0.1.0
 */
export const refs: ReadonlyArray<
  Case<CacheRef.CacheRef | RefStore.RefStore | BlobStore.BlobStore | Hash.Hash>
> = [
  promise("a ref is acquired as it was added", (expect) =>
    Effect.scoped(Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const document = { ...yield* refDocument("base layer"), origin: "oci:out" }
      yield* store.add("base", document)
      const ref = yield* acquire("base")
      yield* expect("its name", ref.name, "base")
      yield* expect("its description", ref.description, "base layer")
      yield* expect("its time", ref.createdAt, document.created)
      yield* expect("its descriptor", ref.layer?.descriptor, document.layer)
      yield* expect("its diff ID", ref.layer?.diffId, document.diffId)
      yield* expect("its encoder", ref.layer?.encoder, document.encoder)
      yield* expect("its origin", ref.origin, document.origin)
      const content = yield* Stream.mkUint8Array(ref.layer?.content ?? Stream.empty)
      yield* expect("its content", isEqual(content, bytesOf("base layer")), true)
      yield* expect("its parent", Option.isNone(yield* ref.parent), true)
    }))),
  promise("a ref needs nothing but a name", (expect) =>
    Effect.scoped(Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      yield* store.add("bare", {})
      const ref = yield* acquire("bare")
      yield* expect("it", { ...ref, parent: null }, { name: "bare", description: "", parent: null })
    }))),
  promise("a layer whose blob is not there is told when it is read", (expect) =>
    Effect.scoped(Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const layer = { mediaType: MediaType.layerGzip, ...yield* blobOf(bytesOf("absent")) }
      yield* store.add("hollow", { layer, diffId: layer.digest })
      const ref = yield* acquire("hollow")
      yield* expect("the error", yield* tagOf(Stream.runDrain(ref.layer?.content ?? Stream.empty)), "BlobMissing")
    }))),
  promise("parents lead to the base", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const source = yield* CacheRef.CacheRef
      yield* store.add("base", yield* refDocument("1"))
      yield* store.add("middle", yield* refDocument("2", "base"))
      yield* store.add("app", yield* refDocument("3", "middle"))
      yield* expect("the chain", (yield* chainOf("app")).map((ref) => ref.name), ["base", "middle", "app"])
      yield* expect("the list", yield* source.list, ["app", "base", "middle"])
    })),
  promise("a name that is not there is missing", (expect) =>
    Effect.gen(function*() {
      const source = yield* CacheRef.CacheRef
      const store = yield* RefStore.RefStore
      yield* expect("the list", yield* source.list, [])
      for (const name of ["absent", "", "..", "../x", "A", "a/b", "a\0", "x".repeat(129)]) {
        yield* expect(JSON.stringify(name), yield* tagOf(Effect.scoped(source.acquire(name))), "RefMissing")
      }
      yield* expect("to remove", yield* tagOf(store.remove("absent")), "RefMissing")
    })),
  promise("a name follows the grammar", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      for (const name of ["", ".", "..", "../x", ".a", "-a", "A", "a/b", "a\0", "a\n", "ä", "x".repeat(129)]) {
        yield* expect(JSON.stringify(name), yield* tagOf(store.add(name, {})), "InvalidRefName")
        yield* expect(`${JSON.stringify(name)}, to remove`, yield* tagOf(store.remove(name)), "InvalidRefName")
      }
      yield* store.add("x".repeat(128), {})
      yield* store.add("0._-", {})
    })),
  promise("a parent has to be there", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const source = yield* CacheRef.CacheRef
      for (const parent of ["absent", "../x", ""]) {
        const error = yield* errorOf(store.add("app", { parent }))
        yield* expect(JSON.stringify(parent), { ...error }, { ...error, ref: "app", parent })
        yield* expect("the error", error._tag, "RefParentMissing")
      }
      yield* expect("the list", yield* source.list, [])
    })),
  promise("a ref is never its own ancestor", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      yield* expect("its own parent", yield* tagOf(store.add("base", { parent: "base" })), "RefCycle")
      yield* store.add("base", {})
      yield* store.add("middle", { parent: "base" })
      yield* store.add("app", { parent: "middle" })
      const error = yield* errorOf(store.add("base", { parent: "app" }, { replace: true }))
      yield* expect("the error", error._tag, "RefCycle")
      yield* expect("the path", error._tag === "RefCycle" ? error.path : [], ["base", "app", "middle", "base"])
      yield* expect("the chain", (yield* chainOf("app")).map((ref) => ref.name), ["base", "middle", "app"])
    })),
  promise("a name is taken once, unless it is replaced", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const first = yield* refDocument("first")
      const second = yield* refDocument("second")
      yield* store.add("app", first)
      yield* expect("equal content", yield* tagOf(store.add("app", first)), "success")
      yield* expect("of another encoder", yield* tagOf(store.add("app", { ...first, encoder: "gzip-2" })), "success")
      yield* expect("of another origin", yield* tagOf(store.add("app", { ...first, origin: "oci:out" })), "success")
      yield* expect("other content", yield* tagOf(store.add("app", second)), "RefExists")
      yield* expect("it is the first", (yield* chainOf("app")).map((ref) => ref.description), ["first"])
      yield* store.add("app", second, { replace: true })
      yield* expect("it is the second", (yield* chainOf("app")).map((ref) => ref.description), ["second"])
    })),
  promise("a parent cannot be removed before its children", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const source = yield* CacheRef.CacheRef
      yield* store.add("base", {})
      yield* store.add("z", { parent: "base" })
      yield* store.add("a", { parent: "base" })
      const error = yield* errorOf(store.remove("base"))
      yield* expect("the error", error._tag, "RefInUse")
      yield* expect("the children", error._tag === "RefInUse" ? error.children : [], ["a", "z"])
      for (const name of ["a", "z", "base"]) yield* store.remove(name)
      yield* expect("the list", yield* source.list, [])
    })),
  promise("of a parent's removal and a child's addition at once, one wins", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      const source = yield* CacheRef.CacheRef
      for (let round = 0; round < 10; round++) {
        yield* store.add("base", {}, { replace: true })
        const [added, removed] = yield* Effect.all(
          [Effect.exit(store.add("app", { parent: "base" })), Effect.exit(store.remove("base"))],
          { concurrency: "unbounded" }
        )
        yield* expect("successes", [added, removed].filter(Exit.isSuccess).length, 1)
        yield* expect("the list", yield* source.list, Exit.isSuccess(added) ? ["app", "base"] : [])
        if (Exit.isSuccess(added)) yield* store.remove("app")
      }
    })),
  promise("a scope that fails or is interrupted leaves the refs usable", (expect) =>
    Effect.gen(function*() {
      const store = yield* RefStore.RefStore
      yield* store.add("base", {})
      yield* Effect.exit(Effect.scoped(Effect.andThen(acquire("base"), Effect.fail("stop" as const))))
      const reached = yield* Deferred.make<void>()
      const hold = Effect.andThen(acquire("base"), Effect.andThen(Deferred.succeed(reached, undefined), Effect.never))
      const fiber = yield* Effect.forkChild(Effect.scoped(hold))
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(fiber)
      yield* expect("the chain", (yield* chainOf("base")).map((ref) => ref.name), ["base"])
      yield* store.remove("base")
    }))
]
