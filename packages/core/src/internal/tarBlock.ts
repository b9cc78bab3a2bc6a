/**
 * The blocks of 512 bytes that tar archives are made of, as bytes: numbers, texts, checksums and PAX records.
 *
 * Follows POSIX pax, "ustar Interchange Format" and "pax Header Block", and GNU tar's manual, "Basic Tar Format".
 */

export const blockSize = 512

/** How many bytes fill up the last block of content. */
export const padding = (size: number): number => (blockSize - (size % blockSize)) % blockSize

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)

/** A field of a header: where it begins, and its bytes. */
export interface Field {
  readonly at: number
  readonly length: number
}

const field = (at: number, length: number): Field => ({ at, length })

export const name = field(0, 100)
export const mode = field(100, 8)
export const uid = field(108, 8)
export const gid = field(116, 8)
export const size = field(124, 12)
export const mtime = field(136, 12)
const checksum = field(148, 8)
export const typeflagAt = 156
export const linkName = field(157, 100)
export const user = field(265, 32)
export const group = field(297, 32)
export const devMajor = field(329, 8)
export const devMinor = field(337, 8)
/** What a name of the ustar format begins with. */
export const prefix = field(345, 155)
/** The shorter prefix of star's format, which keeps times behind it. */
export const starPrefix = field(345, 131)
const starTimes = [field(476, 12), field(488, 12)]
const gnuTimes = [field(345, 12), field(357, 12)]

const startsAt = (block: Uint8Array, at: number, text: string): boolean => {
  for (let index = 0; index < text.length; index++) {
    if (block[at + index] !== text.charCodeAt(index)) return false
  }
  return true
}

export type Format = "v7" | "ustar" | "star" | "gnu"

export const format = (block: Uint8Array): Format =>
  startsAt(block, 257, "ustar\0")
    ? startsAt(block, 508, "tar\0") ? "star" : "ustar"
    : startsAt(block, 257, "ustar  \0")
    ? "gnu"
    : "v7"

/** The fields that hold times, the time of change first. Where a field is empty there is no such time. */
export const times = (block: Uint8Array): ReadonlyArray<Field> => {
  const kind = format(block)
  return [mtime, ...(kind === "gnu" ? gnuTimes : kind === "star" ? starTimes : [])]
}

/** The bytes of a text, which ends where its field does or at a zero byte. */
export const text = (bytes: Uint8Array, { at, length }: Field): Uint8Array => {
  const whole = bytes.subarray(at, at + length)
  const end = whole.indexOf(0)
  return end < 0 ? whole : whole.subarray(0, end)
}

const isBlank = (byte: number | undefined): boolean => byte === 0 || byte === 0x20

export const isEmpty = (block: Uint8Array, { at, length }: Field): boolean =>
  block.subarray(at, at + length).every(isBlank)

/** A number, in octal digits or, as GNU tar writes what does not fit, in base 256. Gives nothing where it is neither. */
export const number = (block: Uint8Array, { at, length }: Field): number | undefined => {
  const bytes = block.subarray(at, at + length)
  const [first = 0] = bytes
  if ((first & 0x80) !== 0) {
    const isNegative = (first & 0x40) !== 0
    let value = 0
    for (const [index, byte] of bytes.entries()) {
      const bits = isNegative ? byte ^ 0xff : byte
      value = value * 256 + (index === 0 ? bits & 0x7f : bits)
      if (value > Number.MAX_SAFE_INTEGER) return undefined
    }
    return isNegative ? -value - 1 : value
  }
  let start = 0
  let end = length
  while (start < end && isBlank(bytes[start])) start++
  while (end > start && isBlank(bytes[end - 1])) end--
  let value = 0
  for (let index = start; index < end; index++) {
    const digit = (bytes[index] ?? 0) - 0x30
    if (digit < 0 || digit > 7) return undefined
    value = value * 8 + digit
  }
  return value
}

/** Writes a whole number: in octal digits where they fit, and else in base 256. */
export const writeNumber = (block: Uint8Array, { at, length }: Field, value: number): void => {
  const end = at + length - 1
  if (value >= 0 && value < 8 ** (length - 1)) {
    const digits = value.toString(8).padStart(length - 1, "0")
    for (let index = 0; index < digits.length; index++) block[at + index] = digits.charCodeAt(index)
    if (!isBlank(block[end])) block[end] = 0
    return
  }
  let rest = BigInt(value)
  for (let index = end; index >= at; index--) {
    block[index] = Number(rest & 0xffn)
    rest >>= 8n
  }
  block[at] = (block[at] ?? 0) | 0x80
}

const sum = (block: Uint8Array): number => {
  let total = 0
  for (let index = 0; index < blockSize; index++) total += block[index] ?? 0
  for (let index = checksum.at; index < checksum.at + checksum.length; index++) total += 0x20 - (block[index] ?? 0)
  return total
}

/** Checks the sum of the bytes; some old writers took them for signed. */
export const hasValidChecksum = (block: Uint8Array): boolean => {
  const stored = number(block, checksum)
  const unsigned = sum(block)
  if (stored === unsigned) return true
  let high = 0
  for (let index = 0; index < blockSize; index++) {
    if ((block[index] ?? 0) > 0x7f && (index < checksum.at || index >= checksum.at + checksum.length)) high++
  }
  return stored === unsigned - 256 * high
}

/** Writes the checksum that belongs to a block. */
export const seal = (block: Uint8Array): void => {
  const digits = `${sum(block).toString(8).padStart(6, "0")}\0 `
  for (let index = 0; index < digits.length; index++) block[checksum.at + index] = digits.charCodeAt(index)
}

const encoder = new TextEncoder()

/** Copies bytes. The `slice` of Node's buffers, which are bytes too, does not. */
export const copy = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

export const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A record of a PAX header: its key, the bytes of its value, and all its bytes as they are written. */
export interface PaxRecord {
  readonly key: string
  readonly value: Uint8Array
  readonly bytes: Uint8Array
}

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** Decodes UTF-8, and gives nothing where the bytes are something else. */
export const decode = (bytes: Uint8Array): string | undefined => {
  if (bytes.length === 0) return ""
  // Most texts are short and ASCII, and made faster without a decoder
  if (bytes.length <= 128 && bytes.every((byte) => byte < 0x80)) return String.fromCharCode(...bytes)
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

/** Reads the records `length key=value` of a PAX header, and gives nothing where one is malformed. */
export const paxRecords = (data: Uint8Array): ReadonlyArray<PaxRecord> | undefined => {
  const records: Array<PaxRecord> = []
  for (let at = 0; at < data.length;) {
    const space = data.subarray(at, at + 16).indexOf(0x20)
    const digits = space < 1 ? undefined : decode(data.subarray(at, at + space))
    if (digits === undefined || !/^\d+$/.test(digits)) return undefined
    const end = at + Number(digits)
    const start = at + space + 1
    if (end > data.length || end <= start || data[end - 1] !== 0x0a) return undefined
    const record = data.subarray(start, end - 1)
    const equals = record.indexOf(0x3d)
    const key = equals < 1 ? undefined : decode(record.subarray(0, equals))
    if (key === undefined || key.includes("\0")) return undefined
    records.push({ key, value: record.subarray(equals + 1), bytes: data.subarray(at, end) })
    at = end
  }
  return records
}

/** Writes a record of a PAX header, whose length counts its own digits. */
export const paxRecord = (key: string, value: string): Uint8Array => {
  const rest = encoder.encode(` ${key}=${value}\n`)
  let length = rest.length + 1
  while (String(length).length + rest.length > length) length++
  return concat([encoder.encode(String(length)), rest])
}

/** A header block with the data that belongs to it: a PAX header or a long name has some, an entry's own header none. */
export interface Member {
  readonly typeflag: string
  readonly block: Uint8Array
  readonly data: Uint8Array
}

/** Tells whether a header block describes what follows it, rather than an entry. */
export const isMeta = (typeflag: string): boolean =>
  typeflag === "x" || typeflag === "g" || typeflag === "L" || typeflag === "K"

export const typeflagOf = (block: Uint8Array): string => String.fromCharCode(block[typeflagAt] ?? 0)

/** Takes the whole header of an entry apart: the parts that precede it, and its own block, which is last. */
export const members = (header: Uint8Array): ReadonlyArray<Member> => {
  const found: Array<Member> = []
  for (let at = 0; at < header.length;) {
    const block = header.subarray(at, at + blockSize)
    const typeflag = typeflagOf(block)
    const length = isMeta(typeflag) ? number(block, size) ?? 0 : 0
    at += blockSize
    found.push({ typeflag, block, data: header.subarray(at, at + length) })
    at += length + padding(length)
  }
  return found
}

/** Gives the bytes of a member, with other data if any: its block says how long they are. */
export const withData = (block: Uint8Array, data: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(blockSize + data.length + padding(data.length))
  whole.set(block)
  whole.set(data, blockSize)
  if (number(block, size) !== data.length) {
    writeNumber(whole, size, data.length)
    seal(whole)
  }
  return whole
}

/** A ustar header of an empty file of 0:0 with the mode 0644, whose time is the epoch and whose name is not set. */
export const emptyFile = (): Uint8Array => {
  const block = new Uint8Array(blockSize)
  block.set(encoder.encode("ustar\x0000"), 257)
  for (const [of, value] of [[mode, 0o644], [uid, 0], [gid, 0], [size, 0], [mtime, 0]] as const) {
    writeNumber(block, of, value)
  }
  block[typeflagAt] = 0x30
  seal(block)
  return block
}
