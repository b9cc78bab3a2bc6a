/** Tar archives, byte by byte, as no encoder would write them. */

const encode = (text: string | Uint8Array): Uint8Array =>
  typeof text === "string" ? new TextEncoder().encode(text) : text

export interface Fields {
  readonly name?: string | Uint8Array
  readonly type?: string
  readonly size?: number | Uint8Array
  readonly mode?: number
  readonly uid?: number
  readonly mtime?: number
  readonly target?: string | Uint8Array
  readonly prefix?: string
  readonly format?: "ustar" | "gnu" | "v7" | "star"
  /** Times of GNU's or star's format. */
  readonly atime?: number
  readonly ctime?: number
  readonly content?: string | Uint8Array
  readonly checksum?: number
}

const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, "0")}\0`

const padded = (bytes: Uint8Array): Uint8Array =>
  Buffer.concat([bytes, new Uint8Array((512 - (bytes.length % 512)) % 512)])

/** An entry with its content. */
export const entry = (fields: Fields): Uint8Array => {
  const { atime, content = "", ctime, format = "ustar", mode = 0o644, mtime = 0, name = "", prefix = "", target = "" } =
    fields
  const { type = "0", uid = 0 } = fields
  const bytes = encode(content)
  const { size = bytes.length } = fields
  const block = new Uint8Array(512)
  block.set(encode(name).subarray(0, 100))
  block.set(encode(octal(mode, 8)), 100)
  block.set(encode(octal(uid, 8)), 108)
  block.set(encode(octal(0, 8)), 116)
  block.set(typeof size === "number" ? encode(octal(size, 12)) : size, 124)
  block.set(encode(octal(mtime, 12)), 136)
  block[156] = type.charCodeAt(0)
  block.set(encode(target).subarray(0, 100), 157)
  if (format !== "v7") block.set(encode(format === "gnu" ? "ustar  \0" : "ustar\x0000"), 257)
  block.set(encode(prefix), 345)
  const timesAt = format === "gnu" ? [345, 357] : [476, 488]
  if (atime !== undefined) block.set(encode(octal(atime, 12)), timesAt[0])
  if (ctime !== undefined) block.set(encode(octal(ctime, 12)), timesAt[1])
  if (format === "star") block.set(encode("tar\0"), 508)
  block.fill(32, 148, 156)
  const sum = block.reduce((sum, byte) => sum + byte, 0)
  block.set(encode(`${(fields.checksum ?? sum).toString(8).padStart(6, "0")}\0 `), 148)
  return Buffer.concat([block, padded(bytes)])
}

export const record = (key: string, value: string | Uint8Array): Uint8Array => {
  const rest = Buffer.concat([encode(` ${key}=`), encode(value), encode("\n")])
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length++
  return Buffer.concat([encode(String(length)), rest])
}

/** A PAX header. */
export const pax = (
  records: ReadonlyArray<readonly [key: string, value: string | Uint8Array]>,
  fields: Fields = {}
): Uint8Array =>
  entry({
    name: "PaxHeaders/x",
    type: "x",
    content: Buffer.concat(records.map(([key, value]) => record(key, value))),
    ...fields
  })

/** A long name of GNU's format. */
export const long = (type: "L" | "K", text: string | Uint8Array): Uint8Array =>
  entry({ name: "././@LongLink", type, format: "gnu", content: Buffer.concat([encode(text), new Uint8Array(1)]) })

export const end = new Uint8Array(1024)

export const archive = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat([...parts, end])
