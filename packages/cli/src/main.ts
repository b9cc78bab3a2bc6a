/**
 * The program behind `effect-oci`: the table of its commands.
 *
 * @since 0.1.0
 */
import * as App from "./App.ts"

App.main({
  // name: () => import("./commands/name.ts")
})
