/** Our client as the tests of registries have it, and skopeo, which judges it. */
import * as Credentials from "@effect-oci/adapters/Credentials"
import * as NodeHash from "@effect-oci/adapters/NodeHash"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ask } from "../archives.ts"
import { user } from "./dockerRegistry.ts"

/** What a repository needs: nobody's credentials, or those of the user for a host. */
export const services = (host?: string) =>
  Layer.mergeAll(
    NodeHash.layer,
    FetchHttpClient.layer,
    Credentials.layer(
      Effect.succeed(
        host === undefined
          ? Credentials.none
          : Credentials.fixed({
            [host]: { _tag: "Basic", username: user.name, password: Redacted.make(user.password) }
          })
      )
    )
  )

/** Copies with skopeo, which asks no policy. */
export const skopeo = (...args: ReadonlyArray<string>) =>
  ask("skopeo", "--insecure-policy", "copy", "-q", "--src-tls-verify=false", "--dest-tls-verify=false", ...args)
