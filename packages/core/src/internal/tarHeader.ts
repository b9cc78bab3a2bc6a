/** Reads the headers of tar archives: the whole header of an entry, byte for byte, to what it says. */
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Result from "effect/Result"
import {
  AmbiguousEntry,
  DamagedArchive,
  type Entry,
  type Kind,
  type Problem,
  type Reason,
  UnsafeEntry,
  UnsupportedEntry
} from "../LayerEntry.ts"
import * as Whiteout from "../Whiteout.ts"
import * as Block from "./tarBlock.ts"

const kinds: Readonly<Record<string, Kind>> = {
  "\0": "file",
  "0": "file",
  "1": "hard link",
  "2": "symbolic link",
  "3": "character device",
  "4": "block device",
  "5": "directory",
  "6": "fifo",
  "7": "file"
}

const unsupported: Readonly<Record<string, string>> = {
  S: "a GNU sparse file",
  M: "a part of a file that another archive begins",
  V: "the label of a volume",
  D: "a GNU directory with a list of its files",
  N: "an old GNU list of long names",
  X: "an extended header of Solaris",
  A: "an access control list of Solaris"
}

const escaped = (bytes: Uint8Array): string =>
  Array.from(
    bytes,
    (byte) => byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`
  ).join("")

/** The length of the longest path of Linux, without the zero byte at its end. */
const maxPath = 4095

/** Shows a text that may not be one. */
const shown = (bytes: Uint8Array): string => Block.decode(bytes) ?? escaped(bytes)

/**
 * Gives the path that a name means, `"."` for the root. Nothing takes part in it but the text: where a symbolic link
 * leads is known only by what the layers hold.
 */
export const normalize = (name: string): string | undefined => {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".")
  return parts.includes("..") ? undefined : parts.join("/") || "."
}

/** Records of a PAX header for a whole archive that would change what its entries are. */
const isDecisive = (key: string): boolean =>
  /^(?:path|linkpath|size|uid|gid|uname|gname|mtime|atime|ctime)$|^(?:SCHILY|LIBARCHIVE|RHT|GNU)\./.test(key)

/** Checks a PAX header for a whole archive. Some tools apply its records and some, Go's, do not. */
export const checkGlobal = (data: Uint8Array): Result.Result<void, Reason> => {
  const records = Block.paxRecords(data)
  if (records === undefined) return Result.fail(new DamagedArchive({ found: "invalid PAX records" }))
  const decisive = records.find(({ key }) => isDecisive(key))
  return decisive === undefined
    ? Result.void
    : Result.fail(
      new AmbiguousEntry({
        path: "",
        found: `a PAX header for the whole archive that sets ${JSON.stringify(decisive.key)}, which not all tools apply`
      })
    )
}

/** What precedes the block of an entry's own header. */
interface Extension {
  readonly pax: ReadonlyMap<string, Uint8Array>
  readonly name: Uint8Array | undefined
  readonly target: Uint8Array | undefined
}

const damaged = (found: string) => Result.fail(new DamagedArchive({ found }))

/** Records that say which file it is: saying it twice, differently, is no accident. */
const once: ReadonlySet<string> = new Set(["path", "linkpath", "size"])

const same = (left: Uint8Array, right: Uint8Array): boolean =>
  left.length === right.length && left.every((byte, index) => byte === right[index])

const readExtension = (
  members: ReadonlyArray<Block.Member>,
  ambiguous: (found: string) => Result.Result<never, Reason>
): Result.Result<Extension, Reason> => {
  const pax = new Map<string, Uint8Array>()
  let name: Uint8Array | undefined
  let target: Uint8Array | undefined
  for (const { data, typeflag } of members) {
    if (typeflag === "x") {
      if (members.length > 1) return ambiguous("a PAX header together with another one or with a long name of GNU")
      const records = Block.paxRecords(data)
      if (records === undefined) return damaged("invalid PAX records")
      for (const { key, value } of records) {
        const before = pax.get(key)
        if (before !== undefined && once.has(key) && !same(before, value)) {
          return ambiguous(`two values for the PAX record ${JSON.stringify(key)}`)
        }
        pax.set(key, value)
      }
      continue
    }
    if ((typeflag === "L" ? name : target) !== undefined) return ambiguous("two long names of GNU")
    const value = Block.text(data, { at: 0, length: data.length })
    if (typeflag === "L") name = value
    else target = value
  }
  return Result.succeed({ pax, name, target })
}

const paxTime = (text: string): Timestamp.Timestamp | undefined => {
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text)
  if (match === null) return undefined
  const [, sign, whole = "", fraction = ""] = match
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"))
  const seconds = Number(whole)
  const time = sign !== "-" || nanoseconds === 0
    ? Timestamp.fromSeconds(sign === "-" ? 0 - seconds : seconds)
    : Timestamp.fromSeconds(-seconds - 1)
  return time && { ...time, nanoseconds: sign === "-" && nanoseconds > 0 ? 1_000_000_000 - nanoseconds : nanoseconds }
}

/** Reads the time of a PAX record, as many digits as it has. */
export const timeOf = (value: Uint8Array): Timestamp.Timestamp | undefined => {
  const text = Block.decode(value)
  return text === undefined ? undefined : paxTime(text)
}

const isXattr = /^(?:SCHILY|LIBARCHIVE)\.xattr\./

const xattrsOf = (pax: ReadonlyMap<string, Uint8Array>): ReadonlyArray<string> => [
  ...new Set(Array.from(pax.keys()).filter((key) => isXattr.test(key)).map((key) => key.replace(isXattr, "")))
]

/** Reads the whole header of an entry, whose blocks are valid by their checksums. */
export const parse = (header: Uint8Array): Result.Result<Entry, Reason> => {
  const members = Block.members(header)
  const block = header.subarray(-Block.blockSize)
  const typeflag = Block.typeflagOf(block)
  const format = Block.format(block)

  const rawName = (): Uint8Array => {
    const base = Block.text(block, Block.name)
    const prefix = format === "ustar" || format === "star"
      ? Block.text(block, format === "star" ? Block.starPrefix : Block.prefix)
      : new Uint8Array()
    return prefix.length === 0 ? base : Block.concat([prefix, new Uint8Array([0x2f]), base])
  }
  const plainName = rawName()
  const ambiguous = (found: string) => Result.fail(new AmbiguousEntry({ path: shown(plainName), found }))

  const extended = readExtension(members.slice(0, -1), ambiguous)
  if (Result.isFailure(extended)) return Result.fail(extended.failure)
  const { pax, ...long } = extended.success
  // An empty record says nothing
  const record = (key: string): Uint8Array | undefined => {
    const value = pax.get(key)
    return value === undefined || value.length === 0 ? undefined : value
  }
  const nameBytes = record("path") ?? (long.name === undefined || long.name.length === 0 ? plainName : long.name)
  const path = shown(nameBytes.subarray(0, maxPath))
  const unsafe = (problem: Problem, found: string) => Result.fail(new UnsafeEntry({ path, problem, found }))
  const invalid = (what: string) => damaged(`invalid ${what} of the entry ${JSON.stringify(path)}`)

  const kind = kinds[typeflag]
  if (kind === undefined || Array.from(pax.keys()).some((key) => key.startsWith("GNU.sparse."))) {
    const found = kind === undefined ? unsupported[typeflag] : unsupported["S"]
    return Result.fail(new UnsupportedEntry({ path, found: found ?? `the type ${JSON.stringify(typeflag)}` }))
  }

  const targetBytes = record("linkpath") ??
    (long.target === undefined || long.target.length === 0 ? Block.text(block, Block.linkName) : long.target)
  const userBytes = record("uname") ?? (format === "v7" ? new Uint8Array() : Block.text(block, Block.user))
  const groupBytes = record("gname") ?? (format === "v7" ? new Uint8Array() : Block.text(block, Block.group))
  const texts: Array<string> = []
  for (const bytes of [nameBytes, targetBytes, userBytes, groupBytes]) {
    if (bytes.length > maxPath) return unsafe("length", `${bytes.length} bytes`)
    if (bytes.includes(0)) return unsafe("zero byte", JSON.stringify(shown(bytes)))
    const text = Block.decode(bytes)
    if (text === undefined) return unsafe("encoding", `"${escaped(bytes)}"`)
    texts.push(text)
  }
  const [name = "", target = "", user = "", group = ""] = texts

  if (name === "") return unsafe("name", "none")
  const normal = normalize(name)
  if (normal === undefined) return unsafe("parent", "one with it")
  const meaning = Whiteout.parse(normal)
  if (Result.isFailure(meaning)) return unsafe("whiteout", "something else")

  const hasSlash = name.endsWith("/")
  const isDirectory = kind === "directory" || (typeflag === "\0" && hasSlash)
  if (kind === "file" && hasSlash && !isDirectory) return ambiguous("a file whose name ends with a slash")
  if (normal === "." && !isDirectory) return unsafe("root", `a ${kind}`)

  const fields = { mode: Block.mode, uid: Block.uid, gid: Block.gid, size: Block.size }
  const numbers = { mode: 0, uid: 0, gid: 0, size: 0 }
  for (const key of ["mode", "uid", "gid", "size"] as const) {
    const value = Block.number(block, fields[key])
    if (value === undefined || value < 0) return invalid(key)
    numbers[key] = value
    const overriding = key === "mode" ? undefined : record(key)
    if (overriding === undefined) continue
    const text = shown(overriding)
    const other = /^\d+$/.test(text) ? Number(text) : Number.NaN
    if (!Number.isSafeInteger(other)) return invalid(`PAX record ${key}`)
    // Where a size does not fit into the block, writers leave zero or the greatest there
    if (key === "size" && value !== other && value !== 0 && value !== 0o77777777777) {
      return ambiguous(`the size ${value} in its header and ${other} in its PAX header`)
    }
    numbers[key] = other
  }
  if (kind !== "file" || isDirectory) {
    // Old writers give a hard link the size of its file, and no content: so all read it
    if (numbers.size > 0 && kind !== "hard link") return ambiguous(`a ${kind} with a size of ${numbers.size}`)
    numbers.size = 0
  }

  const paxMtime = record("mtime")
  const seconds = Block.number(block, Block.mtime)
  if (seconds === undefined) return invalid("time")
  const mtime = paxMtime === undefined ? Timestamp.fromSeconds(seconds) : timeOf(paxMtime)
  if (mtime === undefined) return invalid("time")

  const link: { target?: string } = {}
  if (kind === "symbolic link" || kind === "hard link") {
    if (target === "") return unsafe("name", "none for its target")
    link.target = target
    if (kind === "hard link") {
      const linked = normalize(target)
      if (linked === undefined) return unsafe("parent", `a target with it, ${JSON.stringify(target)}`)
      if (linked === ".") return unsafe("link", "one to the root")
      link.target = linked
    }
  }

  const device: { device?: { readonly major: number; readonly minor: number } } = {}
  if (kind === "character device" || kind === "block device") {
    const major = format === "v7" ? 0 : Block.number(block, Block.devMajor)
    const minor = format === "v7" ? 0 : Block.number(block, Block.devMinor)
    if (major === undefined || minor === undefined || major < 0 || minor < 0) return invalid("device")
    device.device = { major, minor }
  }

  const ofName = meaning.success.kind
  return Result.succeed({
    name,
    path: normal,
    kind: ofName === "file" ? isDirectory ? "directory" : kind : ofName,
    size: numbers.size,
    mode: numbers.mode & 0o7777,
    uid: numbers.uid,
    gid: numbers.gid,
    user,
    group,
    mtime,
    ...link,
    ...device,
    xattrs: xattrsOf(pax),
    header
  })
}
