/**
 * What to do about an error, in the words of the command line: libraries know nothing of flags.
 *
 * @since 0.1.0
 */
import * as Predicate from "effect/Predicate"

const advice: Readonly<Record<string, string>> = {
  BlobMissing: "the store has lost it: add the ref again, or export the image again",
  ChainAmbiguous: "--chain chooses one, by its digest",
  ConversionRefused: "leave --format out, or take one image without its attestations: --platform, without --all",
  DigestMismatch: "the store is damaged: add the ref again, or export the image again, which mends it",
  ImageAmbiguous: "write its name behind the path and a colon, as in oci:DIR:TAG",
  LayerUnknown: "add the ref again with --replace",
  MissingPlatform: "a config has to say \"os\" and \"architecture\", such as \"linux\" and \"amd64\"",
  NotACache: "an image is written as oci:DIR[:TAG]",
  PlatformMismatch: "--platform chooses one that there is",
  RefExists: "--replace replaces it",
  RefMissing: "`effect-oci ref list` shows the refs that there are; --store names another directory",
  RefParentMissing: "add the parent again, under its name",
  StoreMissing: "a directory is oci:DIR or dir:PATH; a file is oci-archive:FILE or docker-archive:FILE"
}

/** Where a registry wants something else of its user, by the reason's tag. */
const ofRegistry: Readonly<Record<string, (registry: string) => string>> = {
  Insecure: (registry) => `--insecure ${registry}`,
  Misbehaved: (registry) => `try again, or tell whoever runs ${registry}: nothing that it sent was kept`,
  Unauthorized: (registry) => `effect-oci login ${registry}`
}

const byTag = <A>(table: Readonly<Record<string, A>>, error: unknown): A | undefined =>
  Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" && Object.hasOwn(table, error._tag)
    ? table[error._tag]
    : undefined

/**
 * The advice on an error, by its tag, if there is any.
 *
 * @category getters
 * @since 0.1.0
 */
export const on = (error: unknown): string | undefined =>
  Predicate.hasProperty(error, "registry") && typeof error.registry === "string" &&
    Predicate.hasProperty(error, "reason")
    ? byTag(ofRegistry, error.reason)?.(error.registry)
    : byTag(advice, error)
