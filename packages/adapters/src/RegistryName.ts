/**
 * The names of registries, as people write them.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Names from "./internal/credentials/registryName.ts"

/**
 * Error raised for text that is not the name of a registry.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRegistryName
  extends Schema.TaggedError<InvalidRegistryName>("@effect-oci/adapters/InvalidRegistryName")("InvalidRegistryName", {
    expected: Schema.String
  })
{
  override get message(): string {
    return `expected ${this.expected}`
  }
}

/**
 * Reads the name of a registry as people write it: `ghcr.io`, `localhost:5000`, also with `https://` before it. Docker Hub
 * is `docker.io` whichever of its names is given.
 *
 * **Example** (Naming Docker Hub)
 *
 * ```ts
 * import * as RegistryName from "@effect-oci/adapters/RegistryName"
 *
 * console.log(RegistryName.parse("https://index.docker.io/v1/")) // success: docker.io
 * ```
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (text: string): Result.Result<string, InvalidRegistryName> =>
  Result.fromOption(
    Names.parse(text),
    () => new InvalidRegistryName({ expected: "a registry's host, such as ghcr.io or localhost:5000, and no path" })
  )
