/**
 * The program behind `effect-oci`: the table of its commands.
 *
 * @since 0.1.0
 */
import * as App from "./App.ts"

App.main({
  ref: {
    description: "Keep refs: layers with a name, what each was made by, and on top of what",
    commands: {
      add: () => import("./commands/ref/add.ts"),
      list: () => import("./commands/ref/list.ts"),
      show: () => import("./commands/ref/show.ts"),
      remove: () => import("./commands/ref/remove.ts")
    }
  },
  build: () => import("./commands/build.ts"),
  export: () => import("./commands/export.ts"),
  config: {
    description: "Work on image configs",
    commands: {
      patch: () => import("./commands/config/patch.ts")
    }
  },
  inspect: () => import("./commands/inspect.ts"),
  validate: () => import("./commands/validate.ts"),
  diff: () => import("./commands/diff.ts"),
  explain: () => import("./commands/explain.ts")
})
