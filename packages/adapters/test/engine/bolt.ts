/**
 * Reads a file of bbolt, the store of the engine's snapshots: a tree of pages whose leaves hold keys with values, or with
 * further trees, which bbolt calls buckets.
 */

export type Bucket = ReadonlyMap<string, Uint8Array | Bucket>

const pageHeader = 16
const isBranch = 0x01
const isLeaf = 0x02
const isBucket = 0x01
const magic = 0xed0cdaed

const fnv1a = (bytes: Uint8Array): bigint =>
  bytes.reduce((hash, byte) => BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n), 0xcbf29ce484222325n)

/** Reads the root of a whole file: the one that the newer of the two valid meta pages names. */
export const read = (file: Buffer): Bucket => {
  const pageSize = file.readUInt32LE(pageHeader + 8)
  const roots = [0, pageSize]
    .map((start) => file.subarray(start + pageHeader))
    .filter((meta) => meta.readUInt32LE(0) === magic && meta.readBigUInt64LE(56) === fnv1a(meta.subarray(0, 56)))
    .map((meta) => ({ transaction: meta.readBigUInt64LE(48), root: Number(meta.readBigUInt64LE(16)) }))
    .toSorted((left, right) => left.transaction < right.transaction ? 1 : -1)
  const [newest] = roots
  if (newest === undefined) throw new Error("the file is not one of bbolt: it has no valid meta page")

  const readPage = (page: Buffer, into: Map<string, Uint8Array | Bucket>): Bucket => {
    const flags = page.readUInt16LE(8)
    for (let index = 0; index < page.readUInt16LE(10); index++) {
      const element = page.subarray(pageHeader + index * 16)
      if ((flags & isBranch) !== 0) {
        readPage(file.subarray(Number(element.readBigUInt64LE(8)) * pageSize), into)
      } else if ((flags & isLeaf) !== 0) {
        const key = element.readUInt32LE(4)
        const value = key + element.readUInt32LE(8)
        const bytes = element.subarray(value, value + element.readUInt32LE(12))
        into.set(
          element.toString("utf8", key, value),
          (element.readUInt32LE(0) & isBucket) !== 0 ? readBucket(bytes) : bytes
        )
      }
    }
    return into
  }
  /** A small bucket's only page stands behind its header. */
  const readBucket = (bytes: Buffer): Bucket => {
    const root = Number(bytes.readBigUInt64LE(0))
    return readPage(root === 0 ? bytes.subarray(16) : file.subarray(root * pageSize), new Map())
  }
  return readPage(file.subarray(newest.root * pageSize), new Map())
}
