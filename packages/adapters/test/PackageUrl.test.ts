import * as PackageUrl from "@effect-oci/adapters/PackageUrl"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"

const digest = `sha256:${"a".repeat(64)}`
const amd64 = { os: "linux", architecture: "amd64" }

const cases = [
  ["alpine", undefined, "pkg:docker/alpine@latest"],
  ["library/alpine:3.15", undefined, "pkg:docker/alpine@3.15"],
  ["docker.io/library/alpine:latest", undefined, "pkg:docker/alpine@latest"],
  ["user/test:v2", undefined, "pkg:docker/user/test@v2"],
  ["ghcr.io/foo/bar", undefined, "pkg:docker/ghcr.io/foo/bar@latest"],
  ["busybox", amd64, "pkg:docker/busybox@latest?platform=linux%2Famd64"],
  ["busybox", { os: "linux", architecture: "arm" }, "pkg:docker/busybox@latest?platform=linux%2Farm%2Fv7"],
  [`busybox@${digest}`, amd64, `pkg:docker/busybox?digest=${encodeURIComponent(digest)}&platform=linux%2Famd64`]
] as const

describe("PackageUrl", () => {
  it.each(cases)("%s for %o is %s", (name, platform, expected) => {
    assert.strictEqual(PackageUrl.fromReference(Result.getOrThrow(ImageReference.parse(name)), platform), expected)
  })
})
