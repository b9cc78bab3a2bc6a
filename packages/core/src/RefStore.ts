/**
 * Stores that refs can be added to and removed from.
 *
 * Reading refs is `CacheRef`'s: a source of refs that others fill, such as a build's cache, has no `RefStore`.
 *
 * @since 0.1.0
 */
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CacheRefError } from "./CacheRef.ts"
import type { StoreLocked } from "./ImageStore.ts"

/**
 * Error raised where a text cannot be the name of a ref.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRefName extends Schema.TaggedError<InvalidRefName>("@effect-oci/core/InvalidRefName")(
  "InvalidRefName",
  { ref: Schema.String }
) {
  override get message(): string {
    const name = this.ref.length <= 140 ? this.ref : this.ref.slice(0, 139) + "…"
    return `${JSON.stringify(name)} cannot name a ref: expected ${RefDocument.nameRule}`
  }
}

/**
 * Error raised where a name is taken by a ref with other content.
 *
 * @category errors
 * @since 0.1.0
 */
export class RefExists extends Schema.TaggedError<RefExists>("@effect-oci/core/RefExists")("RefExists", {
  store: Schema.String,
  ref: Schema.String
}) {
  override get message(): string {
    return `${this.store} has a ref ${JSON.stringify(this.ref)} with other content: choose another name, or replace it`
  }
}

/**
 * Error raised where a ref is to be removed that others stand on.
 *
 * @category errors
 * @since 0.1.0
 */
export class RefInUse extends Schema.TaggedError<RefInUse>("@effect-oci/core/RefInUse")("RefInUse", {
  ref: Schema.String,
  children: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const shown = this.children.slice(0, 10).map((name) => JSON.stringify(name)).join(", ")
    const rest = this.children.length > 10 ? ` and ${this.children.length - 10} more` : ""
    return `the ref ${JSON.stringify(this.ref)} is the parent of ${shown}${rest}: remove ${
      this.children.length === 1 ? "it" : "them"
    } first`
  }
}

/**
 * Any of the reasons why a ref cannot be added or removed.
 *
 * @category errors
 * @since 0.1.0
 */
export type RefStoreError = CacheRefError | InvalidRefName | RefExists | RefInUse | StoreLocked

/**
 * A store of refs.
 *
 * **Details**
 *
 * `add` is done when the ref would survive a power cut. A name that is taken by equal content is left as it is; by other
 * content it fails with `RefExists`, unless `replace` is set. The parent has to be there, and must not stand on the ref
 * itself. `remove` fails with `RefInUse` for a ref that is a parent; it leaves the blobs alone.
 *
 * @category services
 * @since 0.1.0
 */
export class RefStore extends Context.Service<RefStore, {
  readonly add: (
    name: string,
    ref: RefDocument.RefDocument,
    options?: { readonly replace?: boolean }
  ) => Effect.Effect<void, RefStoreError>
  readonly remove: (name: string) => Effect.Effect<void, RefStoreError>
}>()("@effect-oci/core/RefStore") {}
