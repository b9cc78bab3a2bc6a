/**
 * Memory for the content of files that is used again, where the one who used it last says so: a new piece for each file
 * would have its garbage collected all the time.
 *
 * Nobody has to give back what was lent, and only one who has copied it, and knows that nobody else reads it, may.
 */
import { chunkSize } from "./files.ts"

const free: Array<Uint8Array<ArrayBuffer>> = []
const lent = new WeakMap<Uint8Array, Uint8Array<ArrayBuffer>>()

/** More than these are not needed at a time. */
const most = 8

/** What is shorter is as quickly made anew. */
const least = 16 * 1024

/** Gives memory of a size, at most `chunkSize`. */
export const lend = (size: number): Uint8Array => {
  if (size < least) return Buffer.allocUnsafe(size)
  const memory = free.pop() ?? Buffer.allocUnsafeSlow(chunkSize)
  const bytes = memory.subarray(0, size)
  lent.set(bytes, memory)
  return bytes
}

/** Takes back what was lent: the very same view of it. */
export const giveBack = (bytes: Uint8Array): void => {
  const memory = lent.get(bytes)
  if (memory === undefined) return
  lent.delete(bytes)
  if (free.length < most) free.push(memory)
}
