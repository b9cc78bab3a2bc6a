/**
 * Writes what users install: `dist/main.js` with the modules beside it, minified, of which a command loads what it uses, and
 * `dist/bin.js`, which starts it. Everything is inside, so the published package depends on nothing;
 * `dist/LICENSES.txt` carries the notices of what is bundled.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { rolldown } from "rolldown"

/**
 * Bundles the module `input` into `DIR/main.js` and what it loads when it is needed, and gives the folders of the foreign packages that ended up in it.
 */
export const bundle = async (input: string, dir: string): Promise<ReadonlyArray<string>> => {
  const build = await rolldown({ input, platform: "node" })
  const { output } = await build.write({
    dir,
    entryFileNames: "main.js",
    chunkFileNames: "[name].js",
    cleanDir: true,
    minify: true
  })
  await build.close()
  const folders = output
    .flatMap((chunk) => chunk.type === "chunk" ? chunk.moduleIds : [])
    .map((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0])
    .filter((folder) => folder !== undefined)
  return Array.from(new Set(folders)).toSorted()
}

const notice = (folder: string): string => {
  const { name, version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  return `${name} ${version}\n\n${readFileSync(join(folder, "LICENSE"), "utf8")}`
}

if (process.argv[1] === import.meta.filename) {
  const source = join(import.meta.dirname, "src")
  const dist = join(import.meta.dirname, "dist")
  const folders = await bundle(join(source, "main.ts"), dist)
  writeFileSync(join(dist, "LICENSES.txt"), folders.map(notice).join("\n---\n\n"))
  // JavaScript as it stands, but for the name of what it starts
  const bin = readFileSync(join(source, "bin.ts"), "utf8").replace("./main.ts", "./main.js")
  writeFileSync(join(dist, "bin.js"), bin, { mode: 0o755 })
}
