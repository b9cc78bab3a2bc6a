/**
 * The `manifest.json` of archives for `docker load`: the images, each with its config, names and layers, which are files of
 * the archive. Follows moby's `image/tarexport`.
 */
import * as Json from "@effect-oci/schema/Json"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

export const name = "manifest.json"

/** Members that others write too, as Docker's own `LayerSources`, are kept. */
const Item = Schema.StructWithRest(
  Schema.Struct({
    Config: Schema.String,
    RepoTags: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String))),
    Layers: Schema.NullOr(Schema.Array(Schema.String))
  }),
  [Schema.Record(Schema.String, Schema.Json)]
)

export type Item = typeof Item.Type

const decode = Schema.decodeUnknownResult(Schema.Array(Item))

const document = "Docker archive's manifest.json"
const names = Json.items(Json.names(["Config", "RepoTags", "Layers"]))

export const parse = (bytes: Uint8Array): Result.Result<ReadonlyArray<Item>, Json.Problem> =>
  Result.flatMap(
    Json.parse(bytes, { document, names }),
    (json) =>
      Result.mapError(decode(Json.toValue(json)), (error) =>
        new Json.UnexpectedJson({
          document,
          reason: "type",
          pointer: "",
          line: 1,
          column: 1,
          expected: "a list of images, each with Config, RepoTags and Layers",
          found: error.message.replaceAll(/\s+/g, " ")
        }))
  )

/** As Docker does, an image without a name has `null` for its names. */
export const encode = (items: ReadonlyArray<Item>): Uint8Array =>
  Json.toBytes(
    Json.stringifyPlain(
      items.map((item) => ({ ...item, RepoTags: (item.RepoTags ?? []).length === 0 ? null : item.RepoTags ?? null }))
    )
  )
