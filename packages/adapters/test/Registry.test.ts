import * as Contract from "@effect-oci/adapters/Contract"
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as MemoryRegistry from "@effect-oci/adapters/MemoryRegistry"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Registry from "@effect-oci/adapters/Registry"
import { describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { keeps } from "./contract.ts"

const anonymous = Credentials.layer(Effect.succeed(Credentials.none))

const fresh = (options: MemoryRegistry.Options = {}) =>
  Registry.layer("registry.test/team/app").pipe(
    Layer.provideMerge(Layer.merge(Layer.fresh(MemoryRegistry.layerClient(options)), anonymous)),
    Layer.orDie
  )

describe("BlobStore", () => {
  keeps(Contract.blobStore, () => fresh())
})
describe("ImageStore", () => {
  keeps(Contract.imageTags, () => fresh())
})
