/**
 * A gzip member made on many threads, of which every byte depends on the content and the level alone.
 *
 * The content is cut into blocks of 1 MiB. Each is deflated by itself, with the 32 KiB before it as dictionary, up to a
 * flush, which ends it on a whole byte (as pigz does it). Pieces that would not get smaller are stored as they are
 * (RFC 1951, section 3.2.4): deflate would find out by trying, and take its time.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { constants, crc32, deflateRaw } from "node:zlib"
import { type Block, blocks, inFlight } from "./blocks.ts"

const blockSize = 1024 * 1024

/** The furthest that deflate looks back. */
const windowSize = 32 * 1024

/** What is judged at once, a whole number of which makes a block. Not less than the window: a dictionary fits in a block. */
const pieceSize = windowSize

const samples = 8
const sampleSize = 256

const counts = new Uint32Array(256)

/**
 * Tells whether bytes look random: whether, in a sample of them, each value is about as frequent as any other. Two bytes
 * of random content are equal once in 256 times; of what is compressed already, hardly more often; of what deflate
 * makes smaller, much more often.
 */
export const looksRandom = (piece: Uint8Array): boolean => {
  if (piece.length < pieceSize) return false
  counts.fill(0)
  for (let sample = 0; sample < samples; sample++) {
    const start = sample * pieceSize / samples
    for (let index = start; index < start + sampleSize; index++) {
      const value = piece[index] ?? 0
      counts[value] = (counts[value] ?? 0) + 1
    }
  }
  const total = samples * sampleSize
  let pairs = 0
  for (const count of counts) pairs += count * (count - 1)
  return pairs * 256 < total * (total - 1) * 1.1
}

/** Bytes of a block that are written in one way. */
interface Run {
  readonly bytes: Uint8Array
  /** What comes before them, as far as deflate looks back; absent where they are stored. */
  readonly dictionary: Uint8Array | undefined
}

/** Splits a block into runs: pieces that look random, and those that do not. */
const runs = ({ before, bytes }: Block, level: number): ReadonlyArray<Run> => {
  const found: Array<Run> = []
  let start = 0
  let isStored = false
  const close = (end: number): void => {
    if (end === start) return
    // What looks random, and so is stored before what is not, has nothing to look back for
    const dictionary = start === 0 ? before : new Uint8Array()
    found.push({ bytes: bytes.subarray(start, end), dictionary: isStored ? undefined : dictionary })
    start = end
  }
  for (let at = 0; at < bytes.length; at += pieceSize) {
    const isRandom = level === 0 || looksRandom(bytes.subarray(at, at + pieceSize))
    if (isRandom !== isStored) close(at)
    isStored = isRandom
  }
  close(bytes.length)
  return found
}

/** A stored block of deflate has at most as many bytes as 16 bits count. */
const storedSize = 0xffff

const store = (bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const stored: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length; at += storedSize) {
    const part = bytes.subarray(at, at + storedSize)
    const header = Buffer.alloc(5)
    header.writeUInt16LE(part.length, 1)
    header.writeUInt16LE(part.length ^ 0xffff, 3)
    stored.push(header, part)
  }
  return stored
}

/**
 * Deflates runs, each into one part. The room for it is made as large as the last ones took: too little costs a copy, and
 * too much costs garbage.
 */
const deflater = (level: number) => {
  let share = 0.5
  return ({ bytes, dictionary }: Run): Effect.Effect<ReadonlyArray<Uint8Array>> => {
    if (dictionary === undefined) return Effect.succeed(store(bytes))
    return Effect.callback((resume) => {
      const options = {
        level,
        memLevel: 8,
        finishFlush: constants.Z_SYNC_FLUSH,
        chunkSize: Math.ceil(bytes.length * share * 1.2) + 1024,
        ...(dictionary.length === 0 ? {} : { dictionary })
      }
      deflateRaw(bytes, options, (error, deflated) => {
        share = Math.min(1, deflated.length / bytes.length)
        resume(error === null ? Effect.succeed([deflated]) : Effect.die(error))
      })
    })
  }
}

const joined = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [first] = parts
  return first !== undefined && parts.length === 1 ? first : Buffer.concat(parts)
}

/** Neither time nor name nor flags; 255 is the unknown operating system. */
const header = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255])

/** An empty last block of deflate, then the checksum and the size of the content. */
const trailer = (checksum: number, size: number): Uint8Array => {
  const bytes = Buffer.alloc(10)
  bytes[0] = 3
  bytes.writeUInt32LE(checksum, 2)
  bytes.writeUInt32LE(size % 2 ** 32, 6)
  return bytes
}

/** Compresses content into one member. Of the content, at most some 32 blocks are in memory at a time. */
export const compress = (level: number) => <E, R>(content: Stream.Stream<Uint8Array, E, R>) =>
  Stream.suspend(() => {
    const deflate = deflater(level)
    let checksum = 0
    let size = 0
    return Stream.succeed<Uint8Array>(header).pipe(
      Stream.concat(content.pipe(
        blocks(blockSize, windowSize),
        Stream.map((block) => {
          checksum = crc32(block.bytes, checksum)
          size += block.bytes.length
          return block
        }),
        Stream.mapEffect(
          (block) =>
            Effect.map(Effect.forEach(runs(block, level), deflate), (parts) => {
              // In one, to be written in one
              const deflated = joined(parts.flat())
              block.release()
              return deflated
            }),
          // Some are done behind one that takes longer
          { concurrency: inFlight(32) + 2 }
        )
      )),
      Stream.concat(Stream.sync(() => trailer(checksum, size)))
    )
  })
