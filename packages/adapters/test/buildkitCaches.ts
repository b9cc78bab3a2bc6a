/**
 * Build caches for tests: those that a real BuildKit has recorded, and a maker of others in its exact format.
 *
 * The maker sorts and encodes as BuildKit does; a test holds it to the recorded ones, byte for byte.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"

/** Unpacks the recorded caches and images, each in a directory of its own: see `fixtures/buildkit/record`. */
export const unpackRecorded = (directory: string): string => {
  const archive = join(import.meta.dirname, "fixtures/buildkit/caches.tar.gz")
  execFileSync("tar", ["-xzf", archive, "-C", directory, "--no-same-owner"])
  return directory
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
}

/** What a step of a build ended with: its layers, base first, and when it was run. */
export interface Result {
  readonly layers: ReadonlyArray<Descriptor>
  readonly createdAt: string
}

/** A step of a build. `inputs` are the indexes of the steps that each of its inputs may come from. */
export interface Step {
  readonly digest: string
  readonly result?: Result
  /** Layers that are all named, as merges have them. */
  readonly chain?: Result
  readonly inputs?: ReadonlyArray<ReadonlyArray<{ readonly selector?: string; readonly link: number }>>
}

export type Shape = "manifest" | "index" | "docker"

const cacheConfigType = "application/vnd.buildkit.cacheconfig.v0"
const indexType = "application/vnd.oci.image.index.v1+json"
const rootTypes: Readonly<Record<Shape, string>> = {
  manifest: "application/vnd.oci.image.manifest.v1+json",
  index: indexType,
  docker: "application/vnd.docker.distribution.manifest.list.v2+json"
}

export const digestOf = (content: string | Uint8Array): string =>
  `sha256:${createHash("sha256").update(content).digest("hex")}`

const pathOf = (directory: string, { digest }: { readonly digest: string }): string =>
  join(directory, "blobs/sha256", digest.slice("sha256:".length))

export const putBlob = (directory: string, mediaType: string, content: string | Uint8Array): Descriptor => {
  mkdirSync(join(directory, "blobs/sha256"), { recursive: true })
  const descriptor = { mediaType, digest: digestOf(content), size: Buffer.byteLength(content) }
  writeFileSync(pathOf(directory, descriptor), content)
  return descriptor
}

/** Puts a layer of some text in, with the annotations that BuildKit gives it. */
export const putLayer = (directory: string, text: string, createdAt: string): Descriptor => ({
  ...putBlob(directory, "application/vnd.oci.image.layer.v1.tar+gzip", gzipSync(text)),
  annotations: { "buildkit/createdat": createdAt, "containerd.io/uncompressed": digestOf(text) }
})

interface Placed {
  readonly descriptor: Descriptor
  readonly parent: Placed | undefined
}

/** Layers by their place: the same one in the same place is there once. Indexes of steps that are sorted. */
const layOut = (steps: ReadonlyArray<Step>) => {
  const places = new Map<string, Placed>()
  const place = (layers: ReadonlyArray<Descriptor>): Placed | undefined => {
    let parent: Placed | undefined
    let key = ""
    for (const descriptor of layers) {
      key += ` ${descriptor.digest}`
      const found: Placed = places.get(key) ?? { descriptor, parent }
      places.set(key, found)
      parent = found
    }
    return parent
  }
  const tops = steps.map(({ result }) => place(result?.layers ?? []))
  for (const { chain } of steps) for (const descriptor of chain?.layers ?? []) place([descriptor])
  const unsorted = [...places.values()]
  const order = new Map(unsorted.map((each, index) => [each, index]))
  const parentOf = ({ parent }: Placed) => parent === undefined ? -1 : order.get(parent) ?? -1
  const sorted = unsorted.toSorted((left, right) =>
    left.descriptor.digest < right.descriptor.digest
      ? -1
      : left.descriptor.digest > right.descriptor.digest
      ? 1
      : parentOf(left) - parentOf(right)
  )
  const indexOf = (each: Placed | undefined) => each === undefined ? -1 : sorted.indexOf(each)
  return { indexOf, place, sorted, tops }
}

/** The order of lists by their first difference. */
const compare = (left: ReadonlyArray<string | number>, right: ReadonlyArray<string | number>): number => {
  const at = left.findIndex((value, index) => value !== right[index])
  const [a, b] = [left[at], right[at]]
  return a === undefined || b === undefined ? 0 : a < b ? -1 : 1
}

/** The config of a cache, as Go encodes it: zeros and empty lists are left out. */
export const configOf = (steps: ReadonlyArray<Step>) => {
  const { indexOf, place, sorted, tops } = layOut(steps)
  const keys = steps.map(({ digest, inputs = [] }): ReadonlyArray<string | number> => [
    digest,
    inputs.length,
    ...inputs.flatMap((sources) => [
      sources.length,
      ...sources.flatMap(({ link, selector }) => [selector ?? "", steps[link]?.digest ?? ""])
    ])
  ])
  const order = steps.map((_, index) => index).toSorted((a, b) => compare(keys[a] ?? [], keys[b] ?? []))
  const toRecord = (index: number): object => {
    const { chain, digest, inputs, result } = steps[index] ?? { digest: "" }
    const links = inputs?.map((sources) =>
      sources.map(({ link, selector }) => ({
        ...(selector === undefined ? {} : { selector }),
        link: order.indexOf(link)
      })).toSorted((left, right) => left.link - right.link)
    )
    return {
      ...(result === undefined ? {} : { layers: [{ layer: indexOf(tops[index]), createdAt: result.createdAt }] }),
      ...(chain === undefined
        ? {}
        : {
          chains: [{
            layers: chain.layers.map((layer) => indexOf(place([layer]))),
            createdAt: chain.createdAt
          }]
        }),
      digest,
      ...(links === undefined ? {} : { inputs: links })
    }
  }
  const records = order.map(toRecord)
  const layers = sorted.map(({ descriptor, parent }) => {
    const index = indexOf(parent)
    return { blob: descriptor.digest, ...(index === 0 ? {} : { parent: index }) }
  })
  return { config: { layers, records }, descriptors: sorted.map(({ descriptor }) => descriptor) }
}

export interface Options {
  readonly shape?: Shape
  readonly tag?: string
  /** Leaves layers out of the root, as where they were lost. */
  readonly without?: ReadonlyArray<string>
}

/** Writes the documents of a cache. Its layers have to be there already, and gives the digest of its root. */
export const writeCache = (
  directory: string,
  steps: ReadonlyArray<Step>,
  { shape = "manifest", tag = "latest", without = [] }: Options = {}
): string => {
  const { config, descriptors } = configOf(steps)
  const layers = descriptors.filter(({ digest }) => !without.includes(digest))
  return writeRoot(directory, config, layers, shape, tag)
}

/** Writes a config that may be anything, and the root that leads to it. */
export const writeRoot = (
  directory: string,
  config: object,
  layers: ReadonlyArray<Descriptor>,
  shape: Shape = "manifest",
  tag = "latest"
): string => {
  const last = putBlob(directory, cacheConfigType, JSON.stringify(config))
  const root = putBlob(
    directory,
    rootTypes[shape],
    JSON.stringify({
      schemaVersion: 2,
      mediaType: rootTypes[shape],
      ...(shape === "manifest" ? { config: last, layers } : { manifests: [...layers, last] })
    })
  )
  const manifests = [{ ...root, annotations: { "org.opencontainers.image.ref.name": tag } }]
  writeFileSync(join(directory, "index.json"), JSON.stringify({ schemaVersion: 2, mediaType: indexType, manifests }))
  writeFileSync(join(directory, "oci-layout"), `{"imageLayoutVersion":"1.0.0"}`)
  return root.digest
}

/** Reads a JSON document of a layout. */
export const readBlob = (directory: string, descriptor: { readonly digest: string }) =>
  JSON.parse(readFileSync(pathOf(directory, descriptor), "utf8"))

/** The image or the root that a layout holds. */
export const readRoot = (directory: string) => {
  const [descriptor] = JSON.parse(readFileSync(join(directory, "index.json"), "utf8")).manifests
  return { descriptor, root: readBlob(directory, descriptor) }
}

/**
 * The steps of a build that has made an image: one a layer, on top of the step before and of what it took from outside. The
 * layers are copied to `directory`.
 */
export const stepsOfImage = (image: string, directory: string): ReadonlyArray<Step> => {
  const { root } = readRoot(image)
  const config = readBlob(image, root.config)
  const times: ReadonlyArray<string> = config.history
    .filter((item: { readonly empty_layer?: boolean }) => item.empty_layer !== true)
    .map((item: { readonly created: string }) => item.created)
  const layers = root.layers.map((layer: Descriptor, index: number): Descriptor => {
    const { digest, mediaType, size } = putBlob(directory, layer.mediaType, readFileSync(pathOf(image, layer)))
    const diffId = config.rootfs.diff_ids[index]
    const annotations = { "buildkit/createdat": times[index] ?? "", "containerd.io/uncompressed": diffId }
    return { mediaType, digest, size, annotations }
  })
  return layers.flatMap((_: Descriptor, index: number): ReadonlyArray<Step> => [
    { digest: digestOf(`source ${index}`) },
    {
      digest: digestOf(`step ${index}`),
      result: { layers: layers.slice(0, index + 1), createdAt: times[index] ?? "" },
      inputs: index === 0 ? [[{ link: 0 }]] : [[{ link: 2 * index - 1 }], [{ link: 2 * index }]]
    }
  ])
}
