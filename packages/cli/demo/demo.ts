/** Starts the demo with Node's compile cache on: its sources are then compiled once, and not every time. */
import { enableCompileCache } from "node:module"
import { join } from "node:path"

enableCompileCache(join(import.meta.dirname, "../node_modules/.cache/demo"))
await import("./program.ts")
