import * as Contract from "@effect-oci/adapters/Contract"
import * as MemoryStore from "@effect-oci/adapters/MemoryStore"
import { describe } from "@effect/vitest"
import * as Layer from "effect/Layer"
import { keeps } from "./contract.ts"

const fresh = () => Layer.fresh(MemoryStore.layer)

describe("BlobStore", () => {
  keeps(Contract.blobStore, fresh)
})
describe("ImageStore", () => {
  keeps(Contract.imageStore, fresh)
})
