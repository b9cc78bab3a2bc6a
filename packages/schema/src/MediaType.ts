/**
 * Media types of OCI and Docker images, and their translation.
 *
 * Follows image-spec's media-types.md, Docker's image manifest version 2, schema 2, and for the translation of layers
 * BuildKit's util/compression/compression.go.
 *
 * @since 0.1.0
 */
import * as Option from "effect/Option"

/**
 * Media type of an image manifest.
 *
 * @category OCI
 * @since 0.1.0
 */
export const imageManifest = "application/vnd.oci.image.manifest.v1+json"

/**
 * Media type of an image index: a list of manifests, one a platform.
 *
 * @category OCI
 * @since 0.1.0
 */
export const imageIndex = "application/vnd.oci.image.index.v1+json"

/**
 * Media type of an image config.
 *
 * @category OCI
 * @since 0.1.0
 */
export const imageConfig = "application/vnd.oci.image.config.v1+json"

/**
 * Media type of a layer that is a plain tar archive.
 *
 * @category OCI
 * @since 0.1.0
 */
export const layer = "application/vnd.oci.image.layer.v1.tar"

/**
 * Media type of a layer that is a tar archive compressed with gzip.
 *
 * @category OCI
 * @since 0.1.0
 */
export const layerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"

/**
 * Media type of a layer that is a tar archive compressed with Zstandard.
 *
 * @category OCI
 * @since 0.1.0
 */
export const layerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"

/**
 * Media type of a plain layer that registries may not hold. Deprecated by image-spec: read, not written anew.
 *
 * @category OCI
 * @since 0.1.0
 */
export const nondistributableLayer = "application/vnd.oci.image.layer.nondistributable.v1.tar"

/**
 * Media type of a gzip layer that registries may not hold. Deprecated by image-spec: read, not written anew.
 *
 * @category OCI
 * @since 0.1.0
 */
export const nondistributableLayerGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"

/**
 * Media type of a Zstandard layer that registries may not hold. Deprecated by image-spec, and without a counterpart at
 * Docker.
 *
 * @category OCI
 * @since 0.1.0
 */
export const nondistributableLayerZstd = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"

/**
 * Media type of the blob `{}`, which stands where a descriptor is required and nothing is to be said.
 *
 * @category OCI
 * @since 0.1.0
 */
export const emptyJson = "application/vnd.oci.empty.v1+json"

/**
 * Media type of the file `oci-layout` in an image layout.
 *
 * @category OCI
 * @since 0.1.0
 */
export const layoutHeader = "application/vnd.oci.layout.header.v1+json"

/**
 * Docker's media type of a manifest.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

/**
 * Docker's media type of a manifest list, the counterpart of an image index.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"

/**
 * Docker's media type of an image config.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerConfig = "application/vnd.docker.container.image.v1+json"

/**
 * Docker's media type of a plain layer.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"

/**
 * Docker's media type of a gzip layer.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"

/**
 * Docker's media type of a Zstandard layer.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"

/**
 * Docker's media type of a plain layer that registries may not hold.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerForeignLayer = "application/vnd.docker.image.rootfs.foreign.diff.tar"

/**
 * Docker's media type of a gzip layer that registries may not hold.
 *
 * @category Docker
 * @since 0.1.0
 */
export const dockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

/**
 * How the bytes of a layer are compressed.
 *
 * @category models
 * @since 0.1.0
 */
export type Compression = "uncompressed" | "gzip" | "zstd"

/**
 * What is known of a media type: what it names, and its names in both families.
 *
 * **Details**
 *
 * `docker` is absent where Docker has no name for it. Layers that are not `distributable` stay with their vendor.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry =
  & { readonly oci: string; readonly docker?: string }
  & (
    | { readonly kind: "manifest" | "index" | "config" }
    | { readonly kind: "layer"; readonly compression: Compression; readonly distributable: boolean }
  )

const entries: ReadonlyArray<Entry> = [
  { kind: "manifest", oci: imageManifest, docker: dockerManifest },
  { kind: "index", oci: imageIndex, docker: dockerManifestList },
  { kind: "config", oci: imageConfig, docker: dockerConfig },
  { kind: "layer", oci: layer, docker: dockerLayer, compression: "uncompressed", distributable: true },
  { kind: "layer", oci: layerGzip, docker: dockerLayerGzip, compression: "gzip", distributable: true },
  { kind: "layer", oci: layerZstd, docker: dockerLayerZstd, compression: "zstd", distributable: true },
  {
    kind: "layer",
    oci: nondistributableLayer,
    docker: dockerForeignLayer,
    compression: "uncompressed",
    distributable: false
  },
  {
    kind: "layer",
    oci: nondistributableLayerGzip,
    docker: dockerForeignLayerGzip,
    compression: "gzip",
    distributable: false
  },
  { kind: "layer", oci: nondistributableLayerZstd, compression: "zstd", distributable: false }
]

// A map, because a media type is foreign text and may be `__proto__`.
const byName: ReadonlyMap<string, Entry> = new Map(
  entries.flatMap((entry) => [entry.oci, entry.docker ?? entry.oci].map((name) => [name, entry] as const))
)

/**
 * Finds what is known of a media type.
 *
 * **Details**
 *
 * Comparison is exact: case counts, and parameters make a type unknown.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = (mediaType: string): Option.Option<Entry> => Option.fromUndefinedOr(byName.get(mediaType))

/**
 * Translates a media type to OCI's name for it.
 *
 * **Details**
 *
 * An unknown type comes back unchanged; {@link find} tells the two apart. For layers this is BuildKit's table, which
 * holds layers only: here manifests, indexes and configs are translated too.
 *
 * **Example** (Translating Docker's layers)
 *
 * ```ts
 * import * as MediaType from "@effect-oci/schema/MediaType"
 *
 * console.log(MediaType.toOci(MediaType.dockerLayerGzip)) // application/vnd.oci.image.layer.v1.tar+gzip
 * console.log(MediaType.toOci("application/octet-stream")) // application/octet-stream
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const toOci = (mediaType: string): string => byName.get(mediaType)?.oci ?? mediaType

/**
 * Translates a media type to Docker's name for it.
 *
 * **Details**
 *
 * A type that is unknown, or that Docker has no name for (a nondistributable Zstandard layer), comes back unchanged;
 * {@link isDocker} of the result tells.
 *
 * @category converting
 * @since 0.1.0
 */
export const toDocker = (mediaType: string): string => byName.get(mediaType)?.docker ?? mediaType

/**
 * Checks whether a media type names a manifest, OCI's or Docker's.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isManifest = (mediaType: string): boolean => byName.get(mediaType)?.kind === "manifest"

/**
 * Checks whether a media type names an index, or Docker's manifest list.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isIndex = (mediaType: string): boolean => byName.get(mediaType)?.kind === "index"

/**
 * Checks whether a media type names an image config, OCI's or Docker's.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isConfig = (mediaType: string): boolean => byName.get(mediaType)?.kind === "config"

/**
 * Checks whether a media type names a layer that is known here. Encrypted layers and other formats are not.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isLayer = (mediaType: string): boolean => byName.get(mediaType)?.kind === "layer"

/**
 * Checks whether a media type is one of Docker's names that are known here.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isDocker = (mediaType: string): boolean => byName.get(mediaType)?.docker === mediaType

/**
 * Gets how a layer of this media type is compressed, and nothing where the type is not a layer's.
 *
 * @category getters
 * @since 0.1.0
 */
export const compression = (mediaType: string): Option.Option<Compression> => {
  const entry = byName.get(mediaType)
  return entry?.kind === "layer" ? Option.some(entry.compression) : Option.none()
}

const grammar = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/

/**
 * Checks a media type against RFC 6838, section 4.2, as image-spec's schema of a descriptor has it: a type and a
 * subtype of at most 127 characters each, no parameters.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isValid = (mediaType: string): boolean => grammar.test(mediaType)
