/** Which items of an image's history made its layers. */
import type * as History from "@effect-oci/schema/History"

/** The items that made layers, lowest first; `undefined` where there are not as many as layers. */
export const ofLayers = (
  history: ReadonlyArray<History.History> = [],
  layers: number
): ReadonlyArray<History.History> | undefined => {
  const items = history.filter((item) => item.empty_layer !== true)
  return items.length === layers ? items : undefined
}

/** What a layer was made by, in the words of its item; empty where it has none. */
export const description = (item: History.History | undefined): string => item?.created_by ?? item?.comment ?? ""
