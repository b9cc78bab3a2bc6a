import * as Platform from "@effect-oci/schema/Platform"
import { afterEach, assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import process from "node:process"
import * as HostPlatform from "../src/HostPlatform.ts"

describe("HostPlatform", () => {
  afterEach(() => vi.restoreAllMocks())

  it.each(
    [
      ["linux", "x64", "linux/amd64"],
      ["linux", "arm64", "linux/arm64"],
      ["linux", "arm", "linux/arm/v7"],
      ["linux", "ia32", "linux/386"],
      ["linux", "ppc64", "linux/ppc64le"],
      ["linux", "s390x", "linux/s390x"],
      ["linux", "riscv64", "linux/riscv64"],
      ["darwin", "arm64", "linux/arm64"],
      ["win32", "x64", "windows/amd64"],
      ["freebsd", "x64", "freebsd/amd64"]
    ] as const
  )("calls Node's %s %s %s", (platform, arch, expected) => {
    vi.spyOn(process, "platform", "get").mockReturnValue(platform)
    vi.spyOn(process, "arch", "get").mockReturnValue(arch)
    assert.strictEqual(Platform.format(HostPlatform.get()), expected)
  })

  it.effect.each<[string, string, boolean]>([
    [`{"os":"linux","architecture":"amd64"}`, "linux/amd64", true],
    [`{"os":"linux","architecture":"x86_64"}`, "linux/amd64", true],
    [`{"os":"linux","architecture":"arm64","variant":"v8"}`, "linux/arm64", true],
    [`{"os":"windows","architecture":"amd64","os.version":"10.0.1"}`, "windows/amd64", true],
    [`{"os":"linux","architecture":"arm64"}`, "linux/amd64", false],
    [`{"os":"windows","architecture":"amd64"}`, "linux/amd64", false],
    [`{"os":"linux","architecture":"arm","variant":"v6"}`, "linux/arm/v7", false],
    // For the export to tell
    [`{"os":"linux"}`, "linux/amd64", true],
    ["no config", "linux/amd64", true]
  ])("takes the config %s for %s: %j", ([config, platform, expected]) =>
    Effect.gen(function*() {
      const wanted = Result.getOrThrow(Platform.parse(platform))
      const exit = yield* Effect.exit(HostPlatform.checkSame(new TextEncoder().encode(config), wanted))
      assert.strictEqual(Exit.isSuccess(exit), expected)
    }))
})
