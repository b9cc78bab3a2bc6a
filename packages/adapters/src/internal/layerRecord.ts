/**
 * What the layer cache writes about a layer: a line with the digest of the rest, and JSON. Where the two do not agree,
 * the record is damaged: it is not made durable, so that a power cut may tear it.
 */
import type * as Hash from "@effect-oci/core/Hash"
import type * as Layer from "@effect-oci/core/Layer"
import * as Descriptor from "@effect-oci/schema/Descriptor"
import * as Digest from "@effect-oci/schema/Digest"
import * as Json from "@effect-oci/schema/Json"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Info } from "./files.ts"

export interface LayerRecord extends Layer.Stored {
  readonly key: Digest.Digest
  /** The files that held the blob when they were last verified, as `stamp` tells them. */
  readonly seen: ReadonlyArray<string>
}

const version = 1

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({
  version: Schema.Literal(version),
  key: Digest.Digest,
  descriptor: Descriptor.Descriptor,
  diffId: Digest.Digest,
  encoder: Schema.optionalKey(Schema.String),
  seen: Schema.Array(Schema.String)
})))

const digestOf = (hash: Hash.Hash["Service"], bytes: Uint8Array): Digest.Digest => {
  const hasher = hash.make("sha256")
  hasher.update(bytes)
  return hasher.digest()
}

export const encode = (hash: Hash.Hash["Service"], record: LayerRecord): Uint8Array => {
  const { descriptor, diffId, encoder, key, seen } = record
  const json = Json.stringify({ version, key, descriptor: Descriptor.toEncodable(descriptor), diffId, encoder, seen })
  return Json.toBytes(`${digestOf(hash, Json.toBytes(json))}\n${json}`)
}

export const decode = (hash: Hash.Hash["Service"], bytes: Uint8Array): Option.Option<LayerRecord> => {
  const end = bytes.indexOf(0x0a)
  const json = bytes.subarray(end + 1)
  const text = new TextDecoder()
  return text.decode(bytes.subarray(0, Math.max(end, 0))) === digestOf(hash, json)
    ? Option.map(decodeJson(text.decode(json)), (found) => {
      const { version: _, ...record } = found
      return record
    })
    : Option.none()
}

/** The name of the file that the record of a key is in. */
export const nameOf = (key: Digest.Digest): string => `${Digest.algorithm(key)}-${Digest.encoded(key)}`

export const isName = (name: string): boolean => Result.isSuccess(Digest.parse(name.replace("-", ":")))

const prefixOf = ({ identity }: Info): string => `${identity}:`

/** Tells a file and its content: not by reading it, but no write to it leaves this as it was. */
export const stamp = (info: Info): string => `${prefixOf(info)}${info.size}:${info.mtime}:${info.ctime}`

/** How many files are remembered. */
const most = 8

/** The coarsest clock of a file system that is not ancient, in nanoseconds, and as much again. */
const tick = 20_000_000n

/**
 * Remembers a file that has just been verified. A write within one tick of the clock leaves the time as it was; so a file
 * that was written a moment ago, `now` being in milliseconds, is forgotten, and verified when it is next found.
 */
export const remember = (seen: ReadonlyArray<string>, info: Info, now: number): ReadonlyArray<string> => {
  const others = seen.filter((other) => !other.startsWith(prefixOf(info)))
  return BigInt(Math.trunc(now)) * 1_000_000n - info.mtime < tick ? others : [...others, stamp(info)].slice(-most)
}
