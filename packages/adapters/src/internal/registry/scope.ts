/**
 * What a token allows: `repository:NAME:ACTION,ACTION`.
 */

/** Scopes with all actions of one resource together, sorted: the same for the same rights. */
export const merge = (scopes: ReadonlyArray<string>): ReadonlyArray<string> => {
  const actions = new Map<string, Set<string>>()
  for (const scope of scopes) {
    const end = scope.lastIndexOf(":")
    const resource = scope.slice(0, Math.max(end, 0))
    const known = actions.get(resource) ?? new Set()
    for (const action of scope.slice(end + 1).split(",")) known.add(action)
    actions.set(resource, known)
  }
  return Array.from(actions, ([resource, known]) => {
    const all = Array.from(known).toSorted().join(",")
    return resource === "" ? all : `${resource}:${all}`
  }).toSorted()
}
