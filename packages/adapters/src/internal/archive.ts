/**
 * Tells archives from other files.
 */
import * as Compression from "@effect-oci/core/Compression"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { SourceFileError } from "../SourceFile.ts"

/** A tar archive begins with a header, whose checksum is right, or has nothing but the zeros that end it. */
const isTar = (head: Uint8Array): boolean => {
  if (head.length < 512) return false
  if (head.every((byte) => byte === 0)) return head.length >= 1024 && head.length <= 10_240 && head.length % 512 === 0
  const header = head.subarray(0, 512)
  const written = Number.parseInt(new TextDecoder().decode(header.subarray(148, 156)).replaceAll("\0", " "), 8)
  return written === header.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 32 : byte), 0)
}

/** The first bytes, enough to tell a tar archive. */
const headOf = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) => {
  let length = 0
  return Stream.mkUint8Array(Stream.takeUntil(bytes, (chunk) => {
    length += chunk.length
    return length > 10_240
  }))
}

/** Tells whether content is a layer's archive: a tar archive, plain or compressed. */
export const isArchive = Effect.fnUntraced(function*(bytes: Stream.Stream<Uint8Array, SourceFileError>) {
  const head = yield* headOf(bytes)
  const { decompress } = yield* Compression.Compression
  const format = Compression.sniff(head)
  if (format === "uncompressed") return isTar(head)
  return yield* headOf(decompress(format)(bytes)).pipe(
    Effect.map(isTar),
    // Damaged before it could be told: refused as an archive, rather than put into a layer as it is
    Effect.catchTag("CorruptContent", () => Effect.succeed(true))
  )
})
