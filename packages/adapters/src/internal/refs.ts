/**
 * What all stores of refs have in common: how a document becomes a ref, and when one may be added or removed.
 */
import type { Store } from "@effect-oci/core/BlobStore"
import * as CacheRef from "@effect-oci/core/CacheRef"
import * as RefStore from "@effect-oci/core/RefStore"
import * as RefDocument from "@effect-oci/schema/RefDocument"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"

/** Finds the document of a ref; `undefined` where there is none. */
type Lookup<E> = (name: string) => Effect.Effect<RefDocument.RefDocument | undefined, E>

/** Makes a ref of its document, whose layer `content` reads, and `source` has, if it is a store. `acquire` is the source's own. */
export const toRef = (
  store: string,
  name: string,
  document: RefDocument.RefDocument,
  content: Store["get"],
  source: Store | undefined,
  acquire: (name: string) => Effect.Effect<CacheRef.Ref, CacheRef.CacheRefError, Scope.Scope>
): CacheRef.Ref => {
  const { created, description = "", diffId, encoder, layer, origin, parent } = document
  return {
    name,
    description,
    ...(created === undefined ? {} : { createdAt: created }),
    ...(origin === undefined ? {} : { origin }),
    ...(layer === undefined || diffId === undefined
      ? {}
      : {
        layer: {
          descriptor: layer,
          diffId,
          ...(encoder === undefined ? {} : { encoder }),
          content: Stream.suspend(() => content(layer)),
          ...(source === undefined ? {} : { source })
        }
      }),
    parent: parent === undefined
      ? Effect.succeedNone
      : acquire(parent).pipe(
        Effect.asSome,
        Effect.catchTag("RefMissing", () => Effect.fail(new CacheRef.RefParentMissing({ store, ref: name, parent })))
      )
  }
}

const isSame = (left: RefDocument.RefDocument, right: RefDocument.RefDocument): boolean =>
  new TextDecoder().decode(RefDocument.encode(left)) === new TextDecoder().decode(RefDocument.encode(right))

/** Whether two documents are of one content: what encoder has made its bytes, and where it came from, is not part of it. */
const isSameContent = (left: RefDocument.RefDocument, right: RefDocument.RefDocument): boolean =>
  isSame({ ...left, encoder: "", origin: "" }, { ...right, encoder: "", origin: "" })

/** Checks a name before anything is looked for. */
export const checkName = (name: string): Effect.Effect<void, RefStore.InvalidRefName> =>
  RefDocument.isName(name) ? Effect.void : Effect.fail(new RefStore.InvalidRefName({ ref: name }))

/**
 * Checks that a document may be added, and tells whether it needs to be. A cycle can only come about under a name that
 * is there already: nothing stands on one that is not.
 */
export const checkAdd = Effect.fnUntraced(function*<E>(
  store: string,
  lookup: Lookup<E>,
  name: string,
  document: RefDocument.RefDocument,
  replace: boolean
): Effect.fn.Return<boolean, E | CacheRef.RefCycle | CacheRef.RefParentMissing | RefStore.RefExists> {
  const existing = yield* replace ? Effect.orElseSucceed(lookup(name), () => "unreadable" as const) : lookup(name)
  const path = [name]
  const seen = new Set(path)
  let parent = document.parent
  while (parent !== undefined) {
    path.push(parent)
    // Also where somebody else has made a circle that this ref is not part of
    if (seen.has(parent)) {
      return yield* new CacheRef.RefCycle({
        ref: parent,
        path: CacheRef.shorten(path.slice(path.indexOf(parent)))
      })
    }
    seen.add(parent)
    const found = yield* lookup(parent)
    if (found === undefined) {
      return yield* new CacheRef.RefParentMissing({ store, ref: path.at(-2) ?? name, parent })
    }
    if (existing === undefined) break
    parent = found.parent
  }
  if (existing === undefined) return true
  if (replace) return existing === "unreadable" || !isSame(existing, document)
  if (existing !== "unreadable" && isSameContent(existing, document)) return false
  return yield* new RefStore.RefExists({ store, ref: name })
})

/** Checks that no ref stands on the one that is to be removed. */
export const checkRemove = Effect.fnUntraced(function*<E>(
  lookup: Lookup<E>,
  names: ReadonlyArray<string>,
  name: string
): Effect.fn.Return<void, E | RefStore.RefInUse> {
  const children: Array<string> = []
  for (const other of names) {
    if (other === name) continue
    const document = yield* lookup(other)
    if (document?.parent === name) children.push(other)
  }
  if (children.length > 0) return yield* new RefStore.RefInUse({ ref: name, children: children.toSorted() })
})
