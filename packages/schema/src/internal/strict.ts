/**
 * What image-spec 1.1 demands of each document: its JSON schemas, and the three rules that only its Go code checks
 * (hex in lower case, base64 in `data`, `Env` entries with `=`).
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Digest from "../Digest.ts"
import * as MediaTypes from "../MediaType.ts"
import * as Timestamp from "../Timestamp.ts"
import { absent, integer } from "./decode.ts"

const text = (isValid: (value: string) => boolean, expected: string) =>
  Schema.String.check(Schema.makeFilter((value) => isValid(value) || expected))

const MediaType = text(MediaTypes.isValid, "a media type as RFC 6838 writes it")

/** Digests of algorithms that we do not know have only their grammar to follow. */
const DigestText = text((value) => {
  const digest = Digest.parse(value)
  return Result.isSuccess(digest) || digest.failure._tag === "UnsupportedDigestAlgorithm"
}, "a digest, <algorithm>:<encoded>")

const Uri = text((value) => /^[A-Za-z][A-Za-z0-9+.-]*:[^\s<>"{}|\\^`]+$/.test(value), "a URI as RFC 3986 writes it")

const Base64 = text(
  (value) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value),
  "base64 with its padding"
)

const StringMap = Schema.Record(Schema.String, Schema.String)
const ObjectMap = Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Unknown))
const Strings = Schema.Array(Schema.String)

const Platform = Schema.Struct({
  architecture: Schema.String,
  os: Schema.String,
  "os.version": absent(Schema.String),
  "os.features": absent(Strings),
  variant: absent(Schema.String)
})

export const Descriptor = Schema.Struct({
  mediaType: MediaType,
  digest: DigestText,
  size: integer.check(Schema.makeFilter((size) => size >= 0 || "a size of 0 or more")),
  urls: absent(Schema.Array(Uri)),
  annotations: absent(StringMap),
  data: absent(Base64),
  platform: absent(Platform),
  artifactType: absent(MediaType)
})

const schemaVersion = Schema.Literal(2)

export const ImageManifest = Schema.Struct({
  schemaVersion,
  mediaType: absent(MediaType),
  artifactType: absent(MediaType),
  config: Descriptor,
  layers: Schema.Array(Descriptor).check(
    Schema.makeFilter((layers) => layers.length > 0 || "at least one layer")
  ),
  subject: absent(Descriptor),
  annotations: absent(StringMap)
})

export const ImageIndex = Schema.Struct({
  schemaVersion,
  mediaType: absent(MediaType),
  artifactType: absent(MediaType),
  manifests: Schema.Array(Descriptor),
  subject: absent(Descriptor),
  annotations: absent(StringMap)
})

export const ImageLayout = Schema.Struct({ imageLayoutVersion: Schema.Literal("1.0.0") })

const Variable = text((value) => value.includes("="), "NAME=value")

export const ImageConfig = Schema.Struct({
  created: absent(Timestamp.FromString),
  author: absent(Schema.String),
  architecture: Schema.String,
  os: Schema.String,
  "os.version": absent(Schema.String),
  "os.features": absent(Strings),
  variant: absent(Schema.String),
  config: absent(Schema.Struct({
    User: absent(Schema.String),
    ExposedPorts: absent(ObjectMap),
    Env: absent(Schema.Array(Variable)),
    Entrypoint: absent(Strings),
    Cmd: absent(Strings),
    Volumes: absent(ObjectMap),
    WorkingDir: absent(Schema.String),
    Labels: absent(StringMap),
    StopSignal: absent(Schema.String),
    ArgsEscaped: absent(Schema.Boolean)
  })),
  rootfs: Schema.Struct({ type: Schema.Literal("layers"), diff_ids: Schema.Array(DigestText) }),
  history: absent(Schema.Array(Schema.Struct({
    created: absent(Timestamp.FromString),
    created_by: absent(Schema.String),
    author: absent(Schema.String),
    comment: absent(Schema.String),
    empty_layer: absent(Schema.Boolean)
  })))
})
