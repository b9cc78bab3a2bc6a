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
      import: () => import("./commands/ref/import.ts"),
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
  copy: () => import("./commands/copy.ts"),
  tag: () => import("./commands/tag.ts"),
  untag: () => import("./commands/untag.ts"),
  list: () => import("./commands/list.ts"),
  inspect: () => import("./commands/inspect.ts"),
  validate: () => import("./commands/validate.ts"),
  verify: () => import("./commands/verify.ts"),
  gc: () => import("./commands/gc.ts"),
  diff: () => import("./commands/diff.ts"),
  explain: () => import("./commands/explain.ts"),
  login: () => import("./commands/login.ts"),
  logout: () => import("./commands/logout.ts")
})
