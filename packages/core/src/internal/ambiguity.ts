/** Documents that one program takes for a manifest, and another for an index: CVE-2021-41190. */
import * as MediaType from "@effect-oci/schema/MediaType"

/** The kinds of document that list others. */
export type Kind = "manifest" | "index"

export const kindOf = (mediaType: unknown): Kind | undefined => {
  if (typeof mediaType !== "string") return undefined
  return MediaType.isManifest(mediaType) ? "manifest" : MediaType.isIndex(mediaType) ? "index" : undefined
}

/** The members of the other kinds of document, `fsLayers` being that of Docker's first schema. */
const foreign: Readonly<Record<Kind, ReadonlyArray<string>>> = {
  manifest: ["manifests", "fslayers"],
  index: ["config", "layers", "fslayers"]
}

/** Folds a name as Go's decoder does. */
const fold = (name: string): string => name.toLowerCase().replaceAll("\u017f", "s").replaceAll("\u212a", "k")

/** Whether a member belongs to another kind of document, as Go's decoder reads its name, and whatever it holds. */
export const isForeign = (kind: Kind, member: string): boolean => foreign[kind].includes(fold(member))
