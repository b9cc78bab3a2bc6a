/**
 * The answer "no" of a command that judges: it has been printed as the result, and the exit code 1 repeats it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Ends a command with the exit code 1 and nothing more to tell, as `diff` ends where files differ.
 *
 * @category errors
 * @since 0.1.0
 */
export class Verdict extends Schema.TaggedError<Verdict>("@effect-oci/cli/Verdict")("Verdict", {}) {
  override get message() {
    return "the answer is no"
  }
}
