/**
 * Layers of images: the change that a tar archive describes, compressed and stored.
 *
 * Follows image-spec 1.1, layer.md.
 *
 * @since 0.1.0
 */
import * as Annotations from "@effect-oci/schema/Annotations"
import type * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as MediaType from "@effect-oci/schema/MediaType"
import type * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Effect from "effect/Effect"
import * as Tar from "effect/encoding/Tar"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { BlobStore, type BlobStoreError } from "./BlobStore.ts"
import * as Compression from "./Compression.ts"
import type { Hash } from "./Hash.ts"
import * as HeaderEdit from "./internal/headerEdit.ts"
import { capped, hashed, observed, peeked } from "./internal/layerContent.ts"
import { type Planned, toPlanned } from "./internal/layerTree.ts"
import * as Squash from "./internal/squash.ts"
import type { Entry } from "./LayerEntry.ts"
import * as LayerTar from "./LayerTar.ts"

export { InvalidLayer } from "./LayerTar.ts"

/**
 * Error raised where the content of a layer does not hash to the diff ID that its descriptor tells.
 *
 * @category errors
 * @since 0.1.0
 */
export class WrongDiffId extends Schema.TaggedError<WrongDiffId>("@effect-oci/core/WrongDiffId")("WrongDiffId", {
  digest: Digest.Digest,
  expected: Digest.Digest,
  found: Digest.Digest
}) {
  override get message(): string {
    return `the layer ${this.digest} is not what its diff ID says: expected ${this.expected}, found ${this.found}`
  }
}

/**
 * Error raised where an entry cannot be written to a tar archive: its name is empty, or its content has another size.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidEntry extends Schema.TaggedError<InvalidEntry>("@effect-oci/core/InvalidEntry")("InvalidEntry", {
  found: Schema.String
}) {
  override get message(): string {
    return `an entry cannot be written to a layer: ${this.found}`
  }
}

/**
 * A layer that has been stored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  /** Describes the blob. */
  readonly descriptor: Descriptor.Descriptor
  /** Digest of the uncompressed tar archive in it. */
  readonly diffId: Digest.Digest
  /**
   * What compressed it, as `Compression.encoder` names it; absent where it came compressed, or is not. With the same
   * encoder, and at the same level, one archive makes one blob.
   */
  readonly encoder?: string
}

type Bytes<E, R> = Stream.Stream<Uint8Array, E, R>

const mediaTypes: Readonly<Record<Compression.Format, string>> = {
  uncompressed: MediaType.layer,
  gzip: MediaType.layerGzip,
  zstd: MediaType.layerZstd
}

const put = Effect.fnUntraced(function*<E, R>(
  content: Bytes<E, R>,
  format: Compression.Format
): Effect.fn.Return<Descriptor.Descriptor, E | BlobStoreError, BlobStore | R> {
  const store = yield* BlobStore
  return { mediaType: mediaTypes[format], ...yield* store.put(content) }
})

/** Compresses content and stores it, and tells what has compressed it. */
const pack = Effect.fnUntraced(function*<E, R>(content: Bytes<E, R>, format: Compression.Format, level?: number) {
  const { compress, encoder } = yield* Compression.Compression
  const descriptor = yield* put(compress(format, level)(content), format)
  return { descriptor, ...(format === "uncompressed" ? {} : { encoder: encoder(format) }) }
})

/**
 * What can be chosen about the blob of a layer.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The format of the blob: gzip unless given. */
  readonly compression?: Compression.Format
  /** One of `Compression.levels`: the format's standard unless given. */
  readonly level?: number
}

/**
 * Compresses a tar archive and stores it, in one pass.
 *
 * **Details**
 *
 * The descriptor's media type is OCI's for the format. A level that the format does not have fails before anything is
 * read.
 *
 * **Example** (Storing a layer as Zstandard)
 *
 * ```ts
 * import * as Layer from "@effect-oci/core/Layer"
 * import type * as Stream from "effect/Stream"
 *
 * const store = (tar: Stream.Stream<Uint8Array>) => Layer.store(tar, { compression: "zstd", level: 9 })
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const store = Effect.fn("Layer.store")(function*<E, R>(
  tar: Bytes<E, R>,
  options: Options = {}
): Effect.fn.Return<
  Stored,
  E | BlobStoreError | Compression.InvalidLevel,
  BlobStore | Hash | Compression.Compression | R
> {
  const { content, digest } = yield* hashed(tar)
  const packed = yield* pack(content, options.compression ?? "gzip", options.level)
  return { ...packed, diffId: yield* digest }
})

/** Reads a tar archive to its end, and gives its digest. */
const readTar = Effect.fnUntraced(function*<E>(
  tar: Bytes<E, never>,
  limits: LayerTar.Limits
): Effect.fn.Return<Digest.Digest, E | LayerTar.InvalidLayer, Hash> {
  const { content, digest } = yield* hashed(tar)
  yield* Stream.runDrain(LayerTar.read(limits)(content))
  return yield* digest
})

/**
 * Stores a layer that exists as a tar archive, plain or compressed with gzip or Zstandard.
 *
 * **Details**
 *
 * An archive that is compressed is stored byte for byte, so that its digest stays, and the options do not touch it; a
 * plain one is compressed as they say. Content that is not a tar archive, that is damaged or unsafe, or that exceeds a
 * limit, leaves nothing in the store.
 *
 * @category combinators
 * @since 0.1.0
 */
export const adopt = Effect.fn("Layer.adopt")(
  function*<E, R>(
    archive: Bytes<E, R>,
    options: Options & LayerTar.Limits = {}
  ): Effect.fn.Return<
    Stored,
    E | BlobStoreError | Compression.CorruptContent | Compression.InvalidLevel | LayerTar.InvalidLayer,
    BlobStore | Hash | Compression.Compression | Scope.Scope | R
  > {
    const { decompress } = yield* Compression.Compression
    const { content, head } = yield* peeked(archive, Compression.sniffLength)
    const found = Compression.sniff(head)
    const layer = yield* observed(content, (seen) => readTar(decompress(found)(seen), options))
    const packed = yield* found === "uncompressed"
      ? pack(layer.content, options.compression ?? "gzip", options.level)
      : Effect.map(put(layer.content, found), (descriptor) => ({ descriptor }))
    return { ...packed, diffId: yield* layer.result }
  },
  Effect.scoped
)

/**
 * Stores entries as a layer, in one pass. They are written in their order, and then checked as any other layer's.
 *
 * **Example** (Storing a layer of one file)
 *
 * ```ts
 * import * as Layer from "@effect-oci/core/Layer"
 * import * as Tar from "effect/encoding/Tar"
 * import * as Stream from "effect/Stream"
 *
 * const program = Layer.fromEntries(Stream.make(
 *   Tar.directory("etc"),
 *   Tar.file("etc/motd", "Welcome!\n")
 * ))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const fromEntries = Effect.fn("Layer.fromEntries")(function*<E, R>(
  entries: Stream.Stream<Tar.Entry<E, R>, E, R>,
  options: Options & LayerTar.Limits = {}
): Effect.fn.Return<
  Stored,
  E | BlobStoreError | Compression.InvalidLevel | InvalidEntry | LayerTar.InvalidLayer,
  BlobStore | Hash | Compression.Compression | R
> {
  const tar = entries.pipe(
    Stream.pipeThroughChannel(Tar.encode<E, unknown, Tar.Entry<E, R>>()),
    Stream.catchIf(Tar.isTarError, ({ message }) => Stream.fail(new InvalidEntry({ found: message }))),
    LayerTar.read(options),
    Stream.map(LayerTar.bytes)
  )
  return yield* store(tar, options)
})

/**
 * A layer that is to be read: its blob, and the annotation that tells its diff ID, if there is one.
 *
 * @category models
 * @since 0.1.0
 */
export type Source = Pick<Descriptor.Descriptor, "digest" | "size"> & Partial<Descriptor.Descriptor>

/**
 * Any of the reasons why a layer cannot be read from a store.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = BlobStoreError | Compression.CorruptContent | WrongDiffId | LayerTar.InvalidLayer

/** The diff ID that a descriptor tells. */
const toldDiffId = ({ annotations }: Source): Option.Option<Digest.Digest> => {
  const text = annotations?.[Annotations.uncompressed]
  return text === undefined ? Option.none() : Result.getSuccess(Digest.parse(text))
}

const algorithmOf = (told: Option.Option<Digest.Digest>): Digest.Algorithm =>
  Option.match(told, { onNone: () => "sha256", onSome: Digest.algorithm })

/** Reads a layer from the store, uncompressed. What it is compressed with is told by its content, not its media type. */
const open = Effect.fnUntraced(function*(
  source: Source
): Effect.fn.Return<
  {
    readonly format: Compression.Format
    readonly tar: Bytes<ReadError, never>
    readonly diffId: Effect.Effect<Digest.Digest>
  },
  BlobStoreError,
  BlobStore | Hash | Compression.Compression | Scope.Scope
> {
  const { get } = yield* BlobStore
  const { decompress } = yield* Compression.Compression
  const { content, head } = yield* peeked(get(source), Compression.sniffLength)
  const format = Compression.sniff(head)
  const told = toldDiffId(source)
  const tar = yield* hashed(decompress(format)(content), algorithmOf(told))
  const diffId = yield* Effect.cached(tar.digest)
  const check = Option.match(told, {
    onNone: () => Effect.void,
    onSome: (expected) =>
      Effect.flatMap(diffId, (found) =>
        found === expected
          ? Effect.void
          : Effect.fail(new WrongDiffId({ digest: source.digest, expected, found })))
  })
  return { format, tar: Stream.concat(tar.content, Stream.fromEffectDrain(check)), diffId }
})

const read = (source: Source, limits: LayerTar.Limits): Stream.Stream<
  LayerTar.Part,
  ReadError,
  BlobStore | Hash | Compression.Compression
> => Stream.unwrap(Effect.map(open(source), ({ tar }) => LayerTar.read(limits)(tar)))

/**
 * Lists the entries of a layer in a store, in their order.
 *
 * **Details**
 *
 * The blob is verified as it is read, and its diff ID is, where the descriptor tells one: what was listed is right only
 * when the stream has ended without an error.
 *
 * **Example** (Finding the setuid files of a layer)
 *
 * ```ts
 * import * as Layer from "@effect-oci/core/Layer"
 * import type * as Descriptor from "@effect-oci/schema/Descriptor"
 * import * as Stream from "effect/Stream"
 *
 * const setuid = (layer: Descriptor.Descriptor) =>
 *   Layer.list(layer).pipe(
 *     Stream.filter(({ kind, mode }) => kind === "file" && (mode & 0o4000) !== 0),
 *     Stream.map(({ path }) => path),
 *     Stream.runCollect
 *   )
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const list = (
  source: Source,
  limits: LayerTar.Limits = {}
): Stream.Stream<Entry, ReadError, BlobStore | Hash | Compression.Compression> =>
  Stream.unwrap(Effect.map(open(source), ({ tar }) => LayerTar.entries(limits)(tar)))

const nondistributable: Readonly<Record<Compression.Format, string>> = {
  uncompressed: MediaType.nondistributableLayer,
  gzip: MediaType.nondistributableLayerGzip,
  zstd: MediaType.nondistributableLayerZstd
}

/** The media type of a layer in another format: of the same family, as far as that has one. */
const mediaTypeFor = (before: string | undefined, format: Compression.Format): string => {
  const known = Option.getOrUndefined(MediaType.find(before ?? ""))
  const isFree = known?.kind !== "layer" || known.distributable
  const type = (isFree ? mediaTypes : nondistributable)[format]
  return before !== undefined && MediaType.isDocker(before) ? MediaType.toDocker(type) : type
}

/** Keys that describe how a blob is compressed, or where that very blob is found. */
const ofBlob = [
  Annotations.distributionSourcePrefix,
  Annotations.encoder,
  "containerd.io/snapshot/stargz/",
  "io.containers.estargz.",
  "io.github.containers.zstd-chunked."
]

/** Compresses and stores what a layer has become, and describes it as the layer was described. */
const replace = Effect.fnUntraced(function*<E, R>(
  source: Source,
  { content, digest }: { readonly content: Bytes<E, R>; readonly digest: Effect.Effect<Digest.Digest> },
  format: Compression.Format,
  level: number | undefined,
  added: Annotations.Annotations = {}
) {
  const packed = yield* pack(content, format, level)
  const diffId = yield* digest
  const { annotations, data: _, urls: __, ...rest } = source
  const kept = Object.entries({ ...annotations, ...added })
    .filter(([key]) => ofBlob.every((prefix) => !key.startsWith(prefix)))
    .map(([key, value]) => [key, key === Annotations.uncompressed ? diffId : value] as const)
  const descriptor: Descriptor.Descriptor = {
    ...rest,
    mediaType: mediaTypeFor(source.mediaType, format),
    digest: packed.descriptor.digest,
    size: packed.descriptor.size,
    ...(kept.length === 0 ? {} : { annotations: Object.fromEntries(kept) })
  }
  return { ...packed, descriptor, diffId }
})

/**
 * Compresses a layer again, in another format or at another level, and stores it.
 *
 * **Details**
 *
 * The archive in it stays as it is, byte for byte, and so does its diff ID. The descriptor keeps what it had, and the family
 * of its media type, OCI's or Docker's; it loses `urls`, `data`, and the annotations that are about the blob as it was: its
 * sources, its encoder, and the indexes of eStargz and zstd:chunked. The archive is not looked at, save for its size.
 *
 * @category combinators
 * @since 0.1.0
 */
export const recompress = Effect.fn("Layer.recompress")(
  function*(
    source: Source,
    options: Options & Pick<LayerTar.Limits, "maxBytes"> = {}
  ): Effect.fn.Return<
    Stored,
    ReadError | Compression.InvalidLevel,
    BlobStore | Hash | Compression.Compression | Scope.Scope
  > {
    const { diffId, tar } = yield* open(source)
    const content = capped(options.maxBytes ?? LayerTar.limits.maxBytes)(tar)
    return yield* replace(source, { content, digest: diffId }, options.compression ?? "gzip", options.level)
  },
  Effect.scoped
)

const clamped = (part: LayerTar.Part, epoch: Timestamp.Timestamp): Uint8Array => {
  const bytes = LayerTar.bytes(part)
  return part._tag === "Header" || part._tag === "Comment" ? HeaderEdit.clampTimes(bytes, epoch) : bytes
}

/**
 * Makes every time in a layer that is later than an epoch the epoch: in headers, also those of PAX headers, and in PAX
 * records. All else stays, byte for byte.
 *
 * **When to use**
 *
 * Use for the layers that are new in an image. Those of its base are other people's, and shared: leave them out, as
 * BuildKit's `rewrite-timestamp` does.
 *
 * **Details**
 *
 * A layer without later times keeps its blob and its descriptor, whatever the options say. Any other keeps its format unless
 * another is given, and gets BuildKit's annotation `buildkit/rewritten-timestamp`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const rewriteTimestamps = Effect.fn("Layer.rewriteTimestamps")(
  function*(
    source: Descriptor.Descriptor,
    epoch: Timestamp.Timestamp,
    options: Options & LayerTar.Limits = {}
  ): Effect.fn.Return<
    Stored,
    ReadError | Compression.InvalidLevel,
    BlobStore | Hash | Compression.Compression
  > {
    const before = yield* Effect.scoped(Effect.gen(function*() {
      const { diffId, format, tar } = yield* open(source)
      const isLater = yield* Stream.runFold(
        LayerTar.read(options)(tar),
        () => false,
        (isLater, part) => isLater || clamped(part, epoch) !== LayerTar.bytes(part)
      )
      return { isLater, format, diffId: yield* diffId }
    }))
    if (!before.isLater) return { descriptor: source, diffId: before.diffId }
    const tar = Stream.map(read(source, options), (part) => clamped(part, epoch))
    const rewritten = yield* hashed(tar, algorithmOf(toldDiffId(source)))
    return yield* replace(source, rewritten, options.compression ?? before.format, options.level, {
      [Annotations.rewrittenTimestamp]: String(epoch.seconds)
    })
  }
)

/**
 * What is to be known for squashing layers.
 *
 * @category options
 * @since 0.1.0
 */
export interface SquashOptions extends Options, LayerTar.Limits {
  /**
   * What becomes of whiteouts: `keep` them where the layer is going to lie on others, `drop` them where it is the whole
   * image.
   */
  readonly whiteouts: "keep" | "drop"
}

/**
 * Makes one layer of several, the lowest first, which holds what they hold together, and stores it.
 *
 * **Details**
 *
 * A whiteout deletes from lower layers only, and an opaque marker too, wherever in its layer it stands. The content of a
 * file outlives it at its hard links: the first that is left gets it, and the others link to that one. A path that leads
 * through a symbolic link lands where it leads, within the root. Entries are written as they were, byte for byte, save for
 * names and targets that changed thereby; they keep their order, the lowest layer's first, but directories come before
 * what is in them. With `whiteouts: "keep"` a directory that takes the place of something else is made opaque, so that
 * lower layers do not show through. Comments for whole archives are dropped.
 *
 * A hard link to what is not in the layers, but below them, is refused: one layer cannot say it.
 *
 * The layers are read twice, first their entries and then their content. Memory grows with the number of entries. Limits
 * are those of each layer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const squash = Effect.fn("Layer.squash")(function*(
  layers: ReadonlyArray<Source>,
  options: SquashOptions
): Effect.fn.Return<
  Stored,
  ReadError | Compression.InvalidLevel,
  BlobStore | Hash | Compression.Compression
> {
  const planned: Array<ReadonlyArray<Planned>> = []
  for (const [layer, source] of layers.entries()) {
    const entries = yield* Stream.runFold(list(source, options), () => Array<Planned>(), (entries, entry) => {
      entries.push(toPlanned(layer, entries.length, entry))
      return entries
    })
    planned.push(entries)
  }
  const plan = yield* Effect.fromResult(Result.mapError(
    Squash.plan(planned, options.whiteouts === "keep"),
    (reason) => new LayerTar.InvalidLayer({ reason })
  ))
  const content = Stream.flatMap(
    Stream.fromIterable(layers.entries()),
    ([layer, source]) => Squash.copy(plan[layer] ?? new Map())(read(source, options))
  )
  return yield* store(Stream.concat(content, Stream.succeed(Squash.end)), options)
})
