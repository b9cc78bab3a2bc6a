/** A user's program on the published packages; .ci/pack.ts installs, compiles and runs it outside of the repository. */
import * as Adapters from "@effect-oci/adapters"
import * as Core from "@effect-oci/core"
import * as Schema from "@effect-oci/schema"
import * as Digest from "@effect-oci/schema/Digest"
import process from "node:process"

const empty = [Schema, Core, Adapters].filter((module) => Object.keys(module).length === 0)
if (empty.length > 0 || typeof Digest.parse !== "function") throw new Error("a package exports nothing")
process.stdout.write("ok\n")
