/**
 * The tar archive of a layer, read part by part and without loss.
 *
 * Reads v7, ustar, PAX and GNU archives. Effect's own decoder puts U+FFFD where a name or an extended attribute is not
 * UTF-8; here all bytes are kept.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Block from "./internal/tarBlock.ts"
import * as Header from "./internal/tarHeader.ts"
import { DamagedArchive, type Entry, LimitExceeded, Reason } from "./LayerEntry.ts"

/**
 * Error raised where content is no layer that can be used: `reason` tells why.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidLayer extends Schema.TaggedError<InvalidLayer>("@effect-oci/core/InvalidLayer")("InvalidLayer", {
  reason: Reason
}) {
  override get message(): string {
    return this.reason.message
  }
}

/**
 * How large a layer may be.
 *
 * @category options
 * @since 0.1.0
 */
export interface Limits {
  /** Bytes of the archive, uncompressed: 16 GiB unless given. */
  readonly maxBytes?: number
  /** Entries: 2,000,000 unless given. */
  readonly maxEntries?: number
  /** Bytes of one PAX header or long name: 1 MiB unless given. */
  readonly maxHeaderBytes?: number
}

/**
 * The limits that hold unless others are given.
 *
 * @category constants
 * @since 0.1.0
 */
export const limits = { maxBytes: 16 * 2 ** 30, maxEntries: 2_000_000, maxHeaderBytes: 2 ** 20 } as const

/**
 * A part of an archive: the header of an entry, some of the content of the entry before, or what has no meaning: a PAX
 * header for the whole archive, which only comments, and what fills blocks, ends the archive, or follows its end.
 *
 * @category models
 * @since 0.1.0
 */
export type Part =
  | { readonly _tag: "Header"; readonly entry: Entry }
  | { readonly _tag: "Content"; readonly bytes: Uint8Array }
  | { readonly _tag: "Comment"; readonly bytes: Uint8Array }
  | { readonly _tag: "Filler"; readonly bytes: Uint8Array }

/**
 * Gives the bytes of a part. Those of all parts are the archive.
 *
 * @category getters
 * @since 0.1.0
 */
export const bytes = (part: Part): Uint8Array => part._tag === "Header" ? part.entry.header : part.bytes

interface Parser {
  /** Takes the next bytes in, and gives the parts that are complete. */
  readonly push: (chunk: Uint8Array) => Result.Result<ReadonlyArray<Part>, Reason>
  readonly end: () => Result.Result<ReadonlyArray<Part>, Reason>
}

const parser = (given: Limits): Parser => {
  const { maxBytes, maxEntries, maxHeaderBytes } = { ...limits, ...given }
  /** Bytes of a header whose rest has yet to come. */
  let waiting: Array<Uint8Array> = []
  let waitingLength = 0
  /** What has come of the header of the next entry. */
  let header: Array<Uint8Array> = []
  let total = 0
  let entries = 0
  let content = 0
  let filler = 0
  let need = Block.blockSize
  let zeroBlock = false
  let ended = false

  const position = (left: number) => `at byte ${total - left}`
  const damaged = (found: string) => Result.fail(new DamagedArchive({ found }))
  const isOver = () => content === 0 && filler === 0 && header.length === 0 && waitingLength === 0

  /** Takes in a header block with the data that belongs to it; gives nothing where the data has yet to come. */
  const take = (whole: Uint8Array, left: number): Result.Result<Part | undefined, Reason> => {
    const block = whole.subarray(0, Block.blockSize)
    if (Block.isZero(block)) {
      if (header.length > 0) return damaged(`an end ${position(left)} where an entry must follow its extended header`)
      ended = zeroBlock
      zeroBlock = true
      return Result.succeed({ _tag: "Filler", bytes: whole })
    }
    if (zeroBlock) return damaged(`more ${position(left)}, behind a block that ends archives`)
    const typeflag = Block.typeflagOf(block)
    if (whole.length === Block.blockSize) {
      if (!Block.hasValidChecksum(block)) return damaged(`invalid checksum of the header ${position(left)}`)
      if (Block.isMeta(typeflag)) {
        const size = Block.number(block, Block.size)
        if (size === undefined || size < 0) return damaged(`invalid size of the extended header ${position(left)}`)
        if (size > maxHeaderBytes) {
          return Result.fail(
            new LimitExceeded({ what: "bytes of an extended header", limit: maxHeaderBytes, found: size })
          )
        }
        need = Block.blockSize + size + Block.padding(size)
        if (size > 0) return Result.succeed(undefined)
      }
    }
    need = Block.blockSize
    if (typeflag === "g") {
      if (header.length > 0) return damaged(`a header for the whole archive ${position(left)} within that of an entry`)
      const size = Block.number(block, Block.size) ?? 0
      return Result.map(
        Header.checkGlobal(whole.subarray(Block.blockSize, Block.blockSize + size)),
        () => ({ _tag: "Comment", bytes: whole })
      )
    }
    // Copied, so that an entry does not keep all that came with it
    header.push(Block.copy(whole))
    if (Block.isMeta(typeflag)) {
      return header.length > 3 ? damaged(`too many extended headers ${position(left)}`) : Result.succeed(undefined)
    }
    entries++
    if (entries > maxEntries) {
      return Result.fail(new LimitExceeded({ what: "entries", limit: maxEntries, found: entries }))
    }
    const [only, ...others] = header
    const entry = Header.parse(only !== undefined && others.length === 0 ? only : Block.concat(header))
    header = []
    return Result.map(entry, (entry) => {
      content = entry.size
      filler = Block.padding(entry.size)
      return { _tag: "Header", entry }
    })
  }

  const push = (chunk: Uint8Array): Result.Result<ReadonlyArray<Part>, Reason> => {
    total += chunk.length
    if (total > maxBytes) {
      return Result.fail(new LimitExceeded({ what: "uncompressed bytes", limit: maxBytes, found: total }))
    }
    if (waitingLength > 0 && waitingLength + chunk.length < need) {
      waiting.push(chunk)
      waitingLength += chunk.length
      return Result.succeed([])
    }
    const input = waitingLength === 0 ? chunk : Block.concat([...waiting, chunk])
    waiting = []
    waitingLength = 0
    const parts: Array<Part> = []
    let at = 0
    const next = (length: number) => input.subarray(at, at = Math.min(input.length, at + length))
    while (at < input.length) {
      if (ended) parts.push({ _tag: "Filler", bytes: next(input.length) })
      else if (content > 0) {
        const bytes = next(content)
        content -= bytes.length
        parts.push({ _tag: "Content", bytes })
      } else if (filler > 0) {
        const bytes = next(filler)
        filler -= bytes.length
        parts.push({ _tag: "Filler", bytes })
      } else if (input.length - at < need) {
        waiting = [input.subarray(at)]
        waitingLength = input.length - at
        at = input.length
      } else {
        const start = at
        const part = take(next(need), input.length - at)
        if (Result.isFailure(part)) return Result.fail(part.failure)
        if (part.success !== undefined) parts.push(part.success)
        else if (need > Block.blockSize) at = start
      }
    }
    return Result.succeed(parts)
  }

  return {
    push,
    end: () =>
      total === 0
        ? damaged("no bytes at all")
        : isOver()
        ? Result.succeed([])
        : damaged(`an archive that is cut off at byte ${total}`)
  }
}

/**
 * Reads an archive, to its end, part by part.
 *
 * **Details**
 *
 * Nothing is extracted, and memory holds no more than a header. An archive ends with two blocks of zeros, or where its
 * bytes end between two entries; what follows the zeros means nothing to any tool and is passed on. A PAX header for the
 * whole archive is passed on if it comments, as Git's does, and refused if it changes entries, which not all tools let it
 * do. What else is refused, `LayerEntry` tells.
 *
 * **Example** (Counting the files of an archive)
 *
 * ```ts
 * import * as LayerTar from "@effect-oci/core/LayerTar"
 * import * as Stream from "effect/Stream"
 *
 * const count = (tar: Stream.Stream<Uint8Array>) =>
 *   tar.pipe(
 *     LayerTar.read({ maxBytes: 2 ** 30 }),
 *     Stream.filter((part) => part._tag === "Header" && part.entry.kind === "file"),
 *     Stream.runCount
 *   )
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const read =
  (limits: Limits = {}) => <E, R>(tar: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Part, E | InvalidLayer, R> =>
    Stream.suspend(() => {
      const { end, push } = parser(limits)
      const parts = (result: Result.Result<ReadonlyArray<Part>, Reason>) =>
        Effect.fromResult(Result.mapError(result, (reason) => new InvalidLayer({ reason })))
      return tar.pipe(
        Stream.mapEffect((chunk) => parts(push(chunk))),
        Stream.concat(Stream.fromEffect(Effect.suspend(() => parts(end())))),
        Stream.filter(Arr.isReadonlyArrayNonEmpty),
        Stream.flattenArray
      )
    })

/**
 * Reads an archive, and gives its entries without their content.
 *
 * @category decoding
 * @since 0.1.0
 */
export const entries =
  (limits: Limits = {}) => <E, R>(tar: Stream.Stream<Uint8Array, E, R>): Stream.Stream<Entry, E | InvalidLayer, R> =>
    tar.pipe(
      read(limits),
      Stream.filter((part) => part._tag === "Header"),
      Stream.map(({ entry }) => entry)
    )
