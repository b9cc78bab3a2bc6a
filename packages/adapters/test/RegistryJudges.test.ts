/** Our client and a registry that is not ours, and skopeo for what the two make of each other. */
import * as Contract from "@effect-oci/adapters/Contract"
import * as Registry from "@effect-oci/adapters/Registry"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { afterAll, beforeAll } from "vitest"
import { judge } from "./judges.ts"
import { services } from "./registry/clients.ts"
import * as DockerRegistry from "./registry/dockerRegistry.ts"

describe.skipIf(!judge("docker-registry"))("docker-registry", () => {
  const scope = Scope.makeUnsafe()
  let registry: DockerRegistry.Registry
  beforeAll(async () => {
    registry = await Effect.runPromise(Scope.provide(DockerRegistry.make(), scope))
  })
  afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

  let repositories = 0
  /** Each case has a repository of its own. */
  const fresh = () => Registry.layer(`${registry.host}/contract/r${repositories++}`).pipe(Layer.orDie)

  for (const { name, test } of [...Contract.blobStore, ...Contract.imageTags]) {
    it.live(name, () => Effect.suspend(() => Effect.provide(test, Layer.provideMerge(fresh(), services()))))
  }
})
