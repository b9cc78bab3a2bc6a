import { assert, describe, it } from "@effect/vitest"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as ImageArgument from "../src/ImageArgument.ts"

describe("ImageArgument", () => {
  const digest = `sha256:${"ab".repeat(32)}`

  it.each<[text: string, transport: string, path: string, tag?: string | undefined, digest?: string]>([
    ["oci:out", "oci", "out"],
    ["oci:out:latest", "oci", "out", "latest"],
    ["oci:/srv/images/a b:1.0", "oci", "/srv/images/a b", "1.0"],
    ["oci:.", "oci", "."],
    // As skopeo reads it: a whole reference is a tag
    ["oci:out:docker.io/library/alpine:3", "oci", "out", "docker.io/library/alpine:3"],
    [`oci:out@${digest}`, "oci", "out", undefined, digest],
    [`oci:a@b@${digest}`, "oci", "a@b", undefined, digest],
    ["oci:user@host:latest", "oci", "user@host", "latest"],
    [`oci:out:alpine@${digest}`, "oci", "out", `alpine@${digest}`],
    ["oci-archive:out.tar", "oci-archive", "out.tar"],
    ["oci-archive:out.tar:v1", "oci-archive", "out.tar", "v1"],
    [`oci-archive:out.tar@${digest}`, "oci-archive", "out.tar", undefined, digest],
    ["docker-archive:out.tar:app:1", "docker-archive", "out.tar", "app:1"],
    ["docker-archive:out.tar:localhost:5000/a/b__c:1", "docker-archive", "out.tar", "localhost:5000/a/b__c:1"],
    ["dir:/srv/a:b", "dir", "/srv/a:b"],
    ["docker://localhost:5000/a/b:1", "docker", "localhost:5000/a/b", "1"],
    ["docker://registry.example.com/team/app:v1.2", "docker", "registry.example.com/team/app", "v1.2"],
    [`docker://ghcr.io/a/b@${digest}`, "docker", "ghcr.io/a/b", undefined, digest]
  ])("reads %s, and writes it back", (text, transport, path, tag, digest) => {
    const parsed = Result.getOrThrow(ImageArgument.parse(text))
    const read: unknown = {
      ...parsed,
      tag: Option.getOrUndefined(parsed.tag),
      digest: Option.getOrUndefined(parsed.digest)
    }
    assert.deepStrictEqual(read, { transport, path, tag, digest })
    assert.strictEqual(ImageArgument.format(parsed), text)
  })

  it.each([
    ["docker://alpine", "docker://docker.io/library/alpine:latest"],
    ["docker://team/app:1", "docker://docker.io/team/app:1"],
    ["docker://index.docker.io/team/app", "docker://docker.io/team/app:latest"],
    [`docker://alpine:3@${digest}`, `docker://docker.io/library/alpine@${digest}`]
  ])("reads %s as Docker does", (text, full) => {
    assert.strictEqual(ImageArgument.format(Result.getOrThrow(ImageArgument.parse(text))), full)
  })

  const message = (parsed: Result.Result<unknown, ImageArgument.InvalidImageArgument>) =>
    Result.isFailure(parsed) ? parsed.failure.message : "it was read"

  it.each<[string, RegExp]>([
    ["", /expected a transport: oci:DIR\[:TAG\], .*found none; write oci:DIR/],
    ["out", /found none; write oci:out/],
    ["./out:latest", /found none; write oci:\.\/out:latest/],
    [
      "ghcr.io/a/b:1",
      /write oci:ghcr\.io\/a\/b:1 for a layout .*, or docker:\/\/ghcr\.io\/a\/b:1 for an image in a reg/
    ],
    ["docker//localhost:5000/a", /found none; write docker:\/\/localhost:5000\/a for an image in a registry$/],
    ["https://localhost:5000/a", /found "https"; write docker:\/\/localhost:5000\/a for an image in a registry$/],
    ["alpine:3.20", /found "alpine"; write docker:\/\/alpine:3\.20 for an image in a registry, or else oci:DIR/],
    ["tarball:X Y", /that are known: oci, oci-archive, docker-archive, dir, docker, found "tarball"; write oci:DIR/],
    ["docker:alpine", /after docker:\/\/, found no two slashes; write docker:\/\/NAME\[:TAG\]/],
    ["docker://", /after docker:\/\/, found nothing/],
    ["docker://Alpine", /after docker:\/\/, found .*Alpine/],
    ["docker://alpine:", /after docker:\/\/, found/],
    ["docker-daemon:alpine:3", /found "docker-daemon"; engines are not supported yet: save the image first/],
    ["containers-storage:alpine", /found "containers-storage"; that storage is not supported/],
    ["oci:", /expected a directory after oci:, found nothing/],
    ["oci::latest", /expected a directory after oci:, found nothing/],
    ["oci-archive:", /expected a file after oci-archive:, found nothing; .*such as oci-archive:out.tar:latest/],
    ["dir:", /expected a directory after dir:, found nothing; write dir:PATH/],
    ["oci:out:", /a tag .*, found nothing/],
    ["oci:out:a b", /a tag .*, found "a b"/],
    ["docker-archive:out.tar:A:1", /after the file a name such as app:1 .*found "A:1"/],
    ["oci:C:\\out:latest", /a tag .*a path cannot hold a colon/],
    ["oci:out@sha256:abcd", /expected a digest after @, found .*write all of it/]
  ])("refuses %j", (text, expected) => {
    assert.match(message(ImageArgument.parse(text)), expected)
  })

  it("writes to no digest, and lists no single image", () => {
    const target = /expected a name, found a digest; write oci:DIR\[:TAG\]/
    assert.match(message(ImageArgument.parseTarget(`oci:out@${digest}`)), target)
    assert.match(message(ImageArgument.parseStore(`oci:out@${digest}`)), /leave the digest out/)
    assert.match(message(ImageArgument.parseStore("oci:out:1")), /a store with all its images.*leave the tag out/)
    assert.isTrue(Result.isSuccess(ImageArgument.parseTarget("oci:out:1")))
    assert.isTrue(Result.isSuccess(ImageArgument.parseStore("dir:out")))
    assert.match(message(ImageArgument.parseTarget(`docker://app@${digest}`)), /write docker:\/\/NAME\[:TAG\]/)
    assert.isTrue(Result.isSuccess(ImageArgument.parseStore("docker://app")))
    assert.match(message(ImageArgument.parseStore("docker://app:v1")), /leave the tag out$/)
    assert.match(message(ImageArgument.parseStore("docker://localhost:5000")), /as in docker:\/\/localhost:5000\/NAME$/)
  })
})
