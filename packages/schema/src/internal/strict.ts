/**
 * What image-spec 1.1 demands of each document: its JSON schemas, and the three rules that only its Go code checks
 * (hex in lower case, base64 in `data`, `Env` entries with `=`).
 *
 * Where they differ from those on purpose: `null` is a member that is absent everywhere, digests follow their grammar in
 * every place, a `platform` is checked in every descriptor, and the value of a variable may hold line breaks.
 */
import * as Result from "effect/Result"
import * as Digest from "../Digest.ts"
import * as MediaType from "../MediaType.ts"
import * as Timestamp from "../Timestamp.ts"
import * as Rule from "./rule.ts"

const string = Rule.text()
const strings = Rule.list(string)
const stringMap = Rule.map(string)
const objectMap = Rule.map(Rule.object)

const mediaType = Rule.text(MediaType.isValid, "a media type as RFC 6838 writes it")

/** Digests of algorithms that we do not know have only their grammar to follow. */
const isDigest = (text: string): boolean => {
  const [, algorithm, encoded = ""] = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/.exec(text) ?? []
  if (algorithm === undefined) return false
  if (!Digest.isAlgorithm(algorithm)) return true
  return encoded.length === Digest.hexLength(algorithm) && /^[0-9a-f]+$/.test(encoded)
}

const digest = Rule.text(isDigest, "a digest, <algorithm>:<encoded>")

const uri = Rule.text(
  (text) => /^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`]+$/.test(text),
  "a URI as RFC 3986 writes it"
)

const base64 = Rule.text(
  (text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text),
  "base64 with its padding"
)

const time = Rule.text((text) => Result.isSuccess(Timestamp.parse(text)), Rule.timeText, "time")

const variable = Rule.text((text) => text.indexOf("=") > 0, "NAME=value")

const platform = Rule.struct(
  { architecture: string, os: string },
  { "os.version": string, "os.features": strings, variant: string }
)

export const descriptor = Rule.struct(
  { mediaType, digest, size: Rule.integer((size) => size >= 0, "a size of 0 or more") },
  { urls: Rule.list(uri), annotations: stringMap, data: base64, platform, artifactType: mediaType }
)

const schemaVersion = Rule.integer((version) => version === 2, "2")

export const imageManifest = Rule.struct(
  { schemaVersion, config: descriptor, layers: Rule.filledList(descriptor, "layer") },
  { mediaType, artifactType: mediaType, subject: descriptor, annotations: stringMap }
)

export const imageIndex = Rule.struct(
  { schemaVersion, manifests: Rule.list(descriptor) },
  { mediaType, artifactType: mediaType, subject: descriptor, annotations: stringMap }
)

export const imageLayout = Rule.struct({
  imageLayoutVersion: Rule.text((version) => version === "1.0.0", "\"1.0.0\"")
})

const settings = Rule.struct({}, {
  User: string,
  ExposedPorts: objectMap,
  Env: Rule.list(variable),
  Entrypoint: strings,
  Cmd: strings,
  Volumes: objectMap,
  WorkingDir: string,
  Labels: stringMap,
  StopSignal: string,
  ArgsEscaped: Rule.boolean
})

const history = Rule.struct({}, {
  created: time,
  created_by: string,
  author: string,
  comment: string,
  empty_layer: Rule.boolean
})

export const imageConfig = Rule.struct({
  architecture: string,
  os: string,
  rootfs: Rule.struct({
    type: Rule.text((type) => type === "layers", "\"layers\""),
    diff_ids: Rule.list(digest)
  })
}, {
  created: time,
  author: string,
  "os.version": string,
  "os.features": strings,
  variant: string,
  config: settings,
  history: Rule.list(history)
})
