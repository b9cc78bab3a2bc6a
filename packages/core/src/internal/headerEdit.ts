/** Changes to the headers of entries that leave every byte which they are not about. */
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Block from "./tarBlock.ts"
import { timeOf } from "./tarHeader.ts"

const paxTimes: ReadonlySet<string> = new Set(["mtime", "atime", "ctime", "LIBARCHIVE.creationtime"])

const paxText = ({ nanoseconds, seconds }: Timestamp.Timestamp): string => {
  // A negative time counts back from zero, its fraction too
  const isBack = seconds < 0 && nanoseconds > 0
  const whole = isBack ? seconds + 1 : seconds
  const fraction = isBack ? 1_000_000_000 - nanoseconds : nanoseconds
  const sign = isBack && whole === 0 ? "-" : ""
  return sign + whole + (fraction === 0 ? "" : `.${String(fraction).padStart(9, "0").replace(/0+$/, "")}`)
}

/** Clamps the times of one header block; gives the same block where none is later. */
const clampBlock = (block: Uint8Array, epoch: Timestamp.Timestamp): Uint8Array => {
  const later = Block.times(block).filter((field) =>
    !Block.isEmpty(block, field) && (Block.number(block, field) ?? 0) > epoch.seconds
  )
  if (later.length === 0) return block
  const clamped = Block.copy(block)
  for (const field of later) Block.writeNumber(clamped, field, epoch.seconds)
  Block.seal(clamped)
  return clamped
}

/** A number that is no time, because it is later than the year 9999, is later, too. */
const isLater = (value: Uint8Array, epoch: Timestamp.Timestamp): boolean => {
  const time = timeOf(value)
  return time === undefined
    ? /^\d+(?:\.\d*)?$/.test(Block.decode(value) ?? "")
    : Timestamp.byInstant(time, epoch) > 0
}

const clampRecords = (data: Uint8Array, epoch: Timestamp.Timestamp): Uint8Array => {
  const records = Block.paxRecords(data) ?? []
  let changed = false
  const clamped = records.map(({ bytes, key, value }) => {
    if (!paxTimes.has(key) || !isLater(value, epoch)) return bytes
    changed = true
    return Block.paxRecord(key, paxText(epoch))
  })
  return changed ? Block.concat(clamped) : data
}

/**
 * Makes every time in a header that is later than the epoch the epoch, and gives the very same header where none is:
 * the times in blocks, also in those of PAX headers and long names, and the times in PAX records.
 */
export const clampTimes = (header: Uint8Array, epoch: Timestamp.Timestamp): Uint8Array => {
  let changed = false
  const members = Block.members(header).map(({ block, data, typeflag }) => {
    const clamped = clampBlock(block, epoch)
    const records = typeflag === "x" || typeflag === "g" ? clampRecords(data, epoch) : data
    changed ||= clamped !== block || records !== data
    return Block.isMeta(typeflag) ? Block.withData(clamped, records) : clamped
  })
  return changed ? Block.concat(members) : header
}

const encoder = new TextEncoder()

const paxBlock = (): Uint8Array => {
  const block = Block.emptyFile()
  block.set(encoder.encode("PaxHeaders.0"))
  block[Block.typeflagAt] = "x".charCodeAt(0)
  Block.seal(block)
  return block
}

const texts = {
  name: { field: Block.name, key: "path", long: "L" },
  target: { field: Block.linkName, key: "linkpath", long: "K" }
} as const

/**
 * Gives an entry another name, or a link another target. The text stands in the header's block where it is ASCII and
 * fits, and else in a PAX record.
 */
export const withText = (header: Uint8Array, what: "name" | "target", text: string): Uint8Array => {
  const { field, key, long } = texts[what]
  const before = Block.members(header).filter(({ typeflag }) => typeflag !== long)
  const block = Block.copy(header.subarray(-Block.blockSize))
  const bytes = encoder.encode(text)
  const fits = bytes.length <= field.length && bytes.length === text.length
  block.fill(0, field.at, field.at + field.length)
  block.set(fits ? bytes : encoder.encode(text.replaceAll(/[^ -~]/g, "")).subarray(0, field.length), field.at)
  const format = Block.format(block)
  if (what === "name" && (format === "ustar" || format === "star")) {
    const { at, length } = format === "star" ? Block.starPrefix : Block.prefix
    block.fill(0, at, at + length)
  }
  Block.seal(block)
  const metas = before.slice(0, -1)
  const pax = metas.find(({ typeflag }) => typeflag === "x")
  const records = [
    ...(Block.paxRecords(pax?.data ?? new Uint8Array()) ?? []).filter((record) => record.key !== key).map(({ bytes }) =>
      bytes
    ),
    ...(fits ? [] : [Block.paxRecord(key, text)])
  ]
  // Readers do not agree on a PAX header beside GNU's long names, so that the other text moves into it, too
  const moved = records.length === 0 ? [] : metas.filter(({ typeflag }) => typeflag === "L" || typeflag === "K")
  for (const { data, typeflag } of moved) {
    const other = Block.decode(Block.text(data, { at: 0, length: data.length })) ?? ""
    records.push(Block.paxRecord(typeflag === "L" ? "path" : "linkpath", other))
  }
  const kept = records.length === 0 ? metas.filter(({ typeflag }) => typeflag !== "x") : []
  return Block.concat([
    ...kept.map(({ block, data }) => Block.withData(block, data)),
    ...(records.length === 0 ? [] : [Block.withData(pax?.block ?? paxBlock(), Block.concat(records))]),
    block
  ])
}

/** The header of an empty file with a name: for markers. */
export const empty = (name: string): Uint8Array => withText(Block.emptyFile(), "name", name)
