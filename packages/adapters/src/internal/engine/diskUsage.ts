/** The records of a build's cache, as daemons tell them: BuildKit's own message, and Docker's JSON. */
import type { BuildRecord } from "@effect-oci/core/BuildRecord"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Protobuf from "./protobuf.ts"

/** The method of BuildKit that tells them, and the numbers of the fields that are read. (`api/services/control/control.proto`) */
export const method = "/moby.buildkit.v1.Control/DiskUsage"

const response = { record: 1 }
/** Before `parents` came, in 2021, there was one `parent`. */
const record = { id: 1, parent: 5, createdAt: 6, description: 9, parents: 12 }
const timestamp = { seconds: 1, nanoseconds: 2 }

const isTimestamp = Schema.is(Timestamp.Timestamp)
const utf8 = new TextDecoder()

const bytesOf = (value: Protobuf.Value): Result.Result<Uint8Array, string> =>
  typeof value === "number" ? Result.fail("a number where a text or a message belongs") : Result.succeed(value)

const textOf = (value: Protobuf.Value): Result.Result<string, string> =>
  Result.map(bytesOf(value), (bytes) => utf8.decode(bytes))

const timeOf = (value: Protobuf.Value): Result.Result<Timestamp.Timestamp, string> =>
  Result.gen(function*() {
    let seconds: Protobuf.Value = 0
    let nanoseconds: Protobuf.Value = 0
    for (const { number, value: part } of yield* Result.flatMap(bytesOf(value), Protobuf.fields)) {
      if (number === timestamp.seconds) seconds = part
      if (number === timestamp.nanoseconds) nanoseconds = part
    }
    const time = { seconds, nanoseconds, offset: "Z" }
    return isTimestamp(time) ? time : yield* Result.fail("a time that is none")
  })

/** The one parent counts where there are no several; an empty name is none. */
const toRecord = (
  { createdAt, description, id, parent, parents }: {
    readonly id: string
    readonly description: string
    readonly createdAt: Timestamp.Timestamp | undefined
    readonly parent: string
    readonly parents: ReadonlyArray<string>
  }
): Result.Result<BuildRecord, string> =>
  id === "" ? Result.fail("a record without an ID") : Result.succeed({
    id,
    parents: parents.length > 0 ? parents : parent === "" ? [] : [parent],
    description,
    ...(createdAt === undefined ? {} : { createdAt })
  })

const recordOf = (value: Protobuf.Value): Result.Result<BuildRecord, string> =>
  Result.gen(function*() {
    let id = ""
    let description = ""
    let parent = ""
    const parents: Array<string> = []
    let createdAt: Timestamp.Timestamp | undefined
    for (const { number, value: part } of yield* Result.flatMap(bytesOf(value), Protobuf.fields)) {
      if (number === record.id) id = yield* textOf(part)
      if (number === record.description) description = yield* textOf(part)
      if (number === record.parent) parent = yield* textOf(part)
      if (number === record.parents) parents.push(yield* textOf(part))
      if (number === record.createdAt) createdAt = yield* timeOf(part)
    }
    return yield* toRecord({ id, description, createdAt, parent, parents })
  })

/** Reads BuildKit's message, or tells what is wrong with it. */
export const parse = (bytes: Uint8Array): Result.Result<ReadonlyArray<BuildRecord>, string> =>
  Result.flatMap(Protobuf.fields(bytes), (fields) =>
    Result.all(
      fields.filter(({ number }) => number === response.record).map(({ value }) => recordOf(value))
    ))

const Parents = Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.String)))

/** Engines from API 1.42 on write a space before the name of the parents, and may mend that one day. */
const JsonRecords = Schema.NullOr(Schema.Array(Schema.Struct({
  ID: Schema.String,
  Description: Schema.optionalKey(Schema.String),
  CreatedAt: Schema.optionalKey(Timestamp.FromString),
  Parent: Schema.optionalKey(Schema.String),
  Parents,
  " Parents": Parents
})))

/** The resource in Docker's API that tells them: engines before 1.42 tell more than is asked for, those from 1.52 on in another place. */
export const path = "/system/df?type=build-cache&verbose=1"

/** Its schema, as far as it is about them. */
export const DiskUsage = Schema.Struct({
  BuildCache: Schema.optionalKey(JsonRecords),
  BuildCacheUsage: Schema.optionalKey(Schema.Struct({ Items: Schema.optionalKey(JsonRecords) }))
})

/** Gives the records of Docker's JSON; fails where it has no place for them. */
export const fromJson = (
  { BuildCache, BuildCacheUsage }: typeof DiskUsage.Type
): Result.Result<ReadonlyArray<BuildRecord>, string> => {
  const found = BuildCacheUsage?.Items ?? BuildCache
  return found === undefined ? Result.fail("no build cache") : Result.all(
    (found ?? []).map(({ CreatedAt, Description = "", ID, Parent = "", Parents, " Parents": spaced }) =>
      toRecord({
        id: ID,
        description: Description,
        createdAt: CreatedAt,
        parent: Parent,
        parents: Parents ?? spaced ?? []
      })
    )
  )
}
