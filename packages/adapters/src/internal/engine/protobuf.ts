/**
 * The wire format of protobuf, as much of it as it takes to read a message: its fields, one after the other, each with its
 * number. (protobuf.dev, "Encoding")
 */
import * as Result from "effect/Result"

/** An integer beyond 2^53 is not exact. What has a fixed length is bytes too. */
export type Value = number | Uint8Array

export interface Field {
  readonly number: number
  readonly value: Value
}

interface Integer {
  readonly value: number
  readonly end: number
}

/** Reads a signed integer of at most ten bytes; nothing where it does not end. */
const integerAt = (bytes: Uint8Array, start: number): Integer | undefined => {
  let low = 0
  let high = 0
  for (let index = 0; index < 10; index++) {
    const byte = bytes[start + index]
    if (byte === undefined) return undefined
    const bits = byte & 0x7f
    const shift = 7 * index
    if (shift < 32) low |= bits << shift
    if (shift === 28) high |= bits >> 4
    if (shift > 32) high |= bits << (shift - 32)
    if (byte < 0x80) return { value: high * 2 ** 32 + (low >>> 0), end: start + index + 1 }
  }
  return undefined
}

/** Where the bytes of a field begin and end, by its wire type: nowhere for the ones that are not used any more. */
const extent = (bytes: Uint8Array, type: number, start: number): readonly [start: number, end: number] | undefined => {
  if (type === 1) return [start, start + 8]
  if (type === 5) return [start, start + 4]
  const length = type === 2 ? integerAt(bytes, start) : undefined
  return length === undefined || length.value < 0 ? undefined : [length.end, length.end + length.value]
}

/** Reads the fields of a message, or tells where it is none. */
export const fields = (bytes: Uint8Array): Result.Result<ReadonlyArray<Field>, string> => {
  const found: Array<Field> = []
  let position = 0
  while (position < bytes.length) {
    const broken = Result.fail(`${bytes.length} bytes with no field at byte ${position}`)
    const key = integerAt(bytes, position)
    if (key === undefined || key.value < 8) return broken
    const number = Math.floor(key.value / 8)
    const type = key.value % 8
    if (type === 0) {
      const integer = integerAt(bytes, key.end)
      if (integer === undefined) return broken
      found.push({ number, value: integer.value })
      position = integer.end
      continue
    }
    const [start, end] = extent(bytes, type, key.end) ?? [0, Number.POSITIVE_INFINITY]
    if (end > bytes.length) return broken
    found.push({ number, value: bytes.subarray(start, end) })
    position = end
  }
  return Result.succeed(found)
}
