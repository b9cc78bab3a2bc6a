import * as Digest from "@effect-oci/schema/Digest"
import * as ImageReference from "@effect-oci/schema/ImageReference"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const hex = "86e0e091d0da6bde2456dbb48306f3956bbeb2eae1b5b9a43045843f69fe4aaa"
const digest = `sha256:${hex}`
const long = "a".repeat(255)

const read = (text: string): ImageReference.ImageReference => Result.getOrThrow(ImageReference.parse(text))
const fault = (text: string): ImageReference.InvalidImageReference =>
  Result.getOrThrow(Result.flip(ImageReference.parse(text)))

describe("ImageReference", () => {
  describe("reads", () => {
    it.each([
      // text, domain, path, tag and digest, familiar form
      ["alpine", "docker.io", "library/alpine", "", "alpine"],
      ["alpine:3.20", "docker.io", "library/alpine", ":3.20", "alpine:3.20"],
      [`alpine@${digest}`, "docker.io", "library/alpine", `@${digest}`, `alpine@${digest}`],
      [`busybox:latest@${digest}`, "docker.io", "library/busybox", `:latest@${digest}`, `busybox:latest@${digest}`],
      ["library/ubuntu", "docker.io", "library/ubuntu", "", "ubuntu"],
      ["docker.io/ubuntu", "docker.io", "library/ubuntu", "", "ubuntu"],
      ["index.docker.io/ubuntu:22.04", "docker.io", "library/ubuntu", ":22.04", "ubuntu:22.04"],
      ["index.docker.io/library/ubuntu", "docker.io", "library/ubuntu", "", "ubuntu"],
      ["index.docker.io/ann/app", "docker.io", "ann/app", "", "ann/app"],
      ["docker.io/library/foo/bar", "docker.io", "library/foo/bar", "", "library/foo/bar"],
      ["docker.io/library", "docker.io", "library/library", "", "library"],
      ["nonlibrary/ubuntu", "docker.io", "nonlibrary/ubuntu", "", "nonlibrary/ubuntu"],
      ["other/library", "docker.io", "other/library", "", "other/library"],
      ["store/foo/bar:1", "docker.io", "store/foo/bar", ":1", "store/foo/bar:1"],
      ["docker.io", "docker.io", "library/docker.io", "", "docker.io"],
      ["localhost", "docker.io", "library/localhost", "", "localhost"],
      ["localhost:5000", "docker.io", "library/localhost", ":5000", "localhost:5000"],
      ["localhost/app", "localhost", "app", "", "localhost/app"],
      ["localhost:5000/app:x", "localhost:5000", "app", ":x", "localhost:5000/app:x"],
      ["192.168.1.1", "docker.io", "library/192.168.1.1", "", "192.168.1.1"],
      ["192.168.1.1:80", "docker.io", "library/192.168.1.1", ":80", "192.168.1.1:80"],
      ["192.168.1.1/app", "192.168.1.1", "app", "", "192.168.1.1/app"],
      ["127.0.0.1:8000/a/b:1", "127.0.0.1:8000", "a/b", ":1", "127.0.0.1:8000/a/b:1"],
      ["test:5000/repo:tag", "test:5000", "repo", ":tag", "test:5000/repo:tag"],
      ["sub-dom1.foo.com/bar/baz/quux", "sub-dom1.foo.com", "bar/baz/quux", "", "sub-dom1.foo.com/bar/baz/quux"],
      [
        `b.gcr.io/test.example.com/my-app:v1@${digest}`,
        "b.gcr.io",
        "test.example.com/my-app",
        `:v1@${digest}`,
        `b.gcr.io/test.example.com/my-app:v1@${digest}`
      ],
      ["xn--n3h.com:18080/foo", "xn--n3h.com:18080", "foo", "", "xn--n3h.com:18080/foo"],
      ["LOCALDOMAIN/app", "LOCALDOMAIN", "app", "", "LOCALDOMAIN/app"],
      ["Foo/bar", "Foo", "bar", "", "Foo/bar"],
      ["Example.COM/bar", "Example.COM", "bar", "", "Example.COM/bar"],
      ["[::1]/app", "[::1]", "app", "", "[::1]/app"],
      ["[2001:db8::1]:5000/repo:tag", "[2001:db8::1]:5000", "repo", ":tag", "[2001:db8::1]:5000/repo:tag"],
      ["foo_bar.com:8080", "docker.io", "library/foo_bar.com", ":8080", "foo_bar.com:8080"],
      ["test_com/foo", "docker.io", "test_com/foo", "", "test_com/foo"],
      ["dock__er/do---cker", "docker.io", "dock__er/do---cker", "", "dock__er/do---cker"],
      ["d/t", "docker.io", "d/t", "", "d/t"],
      ["lower:Upper-Case_1.x", "docker.io", "library/lower", ":Upper-Case_1.x", "lower:Upper-Case_1.x"],
      [`a:${"x".repeat(128)}`, "docker.io", "library/a", `:${"x".repeat(128)}`, `a:${"x".repeat(128)}`],
      [`example.com/${long}:tag`, "example.com", long, ":tag", `example.com/${long}:tag`],
      [`docker.io/${hex}`, "docker.io", `library/${hex}`, "", `docker.io/library/${hex}`],
      [`docker.io/${hex}:x`, "docker.io", `library/${hex}`, ":x", `${hex}:x`],
      ["docker.io/example.com/app:1", "docker.io", "example.com/app", ":1", "docker.io/example.com/app:1"],
      ["docker.io/localhost/app", "docker.io", "localhost/app", "", "docker.io/localhost/app"],
      [hex.slice(1), "docker.io", `library/${hex.slice(1)}`, "", hex.slice(1)],
      [`app@sha512:${hex}${hex}`, "docker.io", "library/app", `@sha512:${hex}${hex}`, `app@sha512:${hex}${hex}`]
    ])("%s", (text, domain, path, rest, familiar) => {
      const reference = read(text)
      assert.strictEqual(reference.domain, domain)
      assert.strictEqual(reference.path, path)
      assert.strictEqual(ImageReference.format(reference), `${domain}/${path}${rest}`)
      assert.strictEqual(ImageReference.familiar(reference), familiar)
      assert.deepStrictEqual(read(ImageReference.format(reference)), reference)
    })
  })

  describe("refuses", () => {
    it.each([
      ["", "empty"],
      [hex, "identifier"],
      ["https://github.com/docker/docker", "domain"],
      ["-docker.io/docker/docker", "domain"],
      ["foo_bar.com/app", "domain"],
      ["a..b/app", "domain"],
      ["host:/app", "domain"],
      ["host:port/app", "domain"],
      ["fc00::1:5000/app", "domain"],
      ["[fe80::1%eth0]:5000/app", "domain"],
      ["[2001:db8:3:4::192.0.2.33]:5000/app", "domain"],
      ["[]/app", "repository"],
      ["[:]:/app", "domain"],
      ["./app", "domain"],
      ["../app", "domain"],
      ["app:tag/x", "domain"],
      ["Uppercase", "upper-case"],
      ["Uppercase:tag", "upper-case"],
      ["docker/Docker", "upper-case"],
      ["test:5000/Uppercase/lowercase:tag", "upper-case"],
      [":tag", "repository"],
      [`@${digest}`, "repository"],
      ["docker/", "repository"],
      ["/docker", "repository"],
      ["docker///docker", "repository"],
      ["docker.io/a/../b", "repository"],
      ["-docker", "repository"],
      ["docker-/docker", "repository"],
      ["_docker/docker", "repository"],
      ["____/____", "repository"],
      ["dock..er/docker", "domain"],
      ["docker.io/dock..er", "repository"],
      ["docker.io/dock_.er", "repository"],
      ["docker.io/dock___er", "repository"],
      ["aa/asdf$$^/aa", "repository"],
      ["pläne", "repository"],
      ["docker.io/", "repository"],
      ["[::1]", "repository"],
      [" alpine", "repository"],
      ["alpine\n", "repository"],
      [`example.com/a${long}`, "too-long"],
      [long, "too-long"],
      ["alpine:", "tag"],
      ["alpine:.x", "tag"],
      ["alpine:-x", "tag"],
      ["alpine:a:b", "tag"],
      ["alpine:x\n", "tag"],
      [`alpine:${"x".repeat(129)}`, "tag"],
      ["[::1]:5000", "repository"],
      ["alpine@", "digest"],
      ["alpine@sha256", "digest"],
      ["alpine@sha256:abc", "digest"],
      ["alpine@sha256:../../x", "domain"],
      ["docker.io/alpine@sha256:../../x", "digest"],
      [`alpine@${digest}@${digest}`, "digest"],
      [`alpine@${digest}:tag`, "digest"],
      [`alpine@md5:${hex}`, "digest"],
      [`alpine@SHA256:${hex}`, "digest"]
    ])("%j: %s", (text, reason) => {
      assert.strictEqual(fault(text).reason, reason)
    })
  })

  it("says what to write instead", () => {
    assert.strictEqual(
      fault("docker/Docker:x").message,
      "invalid image reference \"docker/Docker:x\": expected a repository in lower case, found \"Docker\"; write docker"
    )
    assert.include(fault("https://ghcr.io/app").message, "without https://")
  })

  it("gives the fault of a digest as the cause", () => {
    assert.strictEqual(fault("alpine@sha256:abc").cause?._tag, "MalformedDigest")
    assert.strictEqual(fault(`alpine@md5:${hex}`).cause?._tag, "UnsupportedDigestAlgorithm")
    assert.isUndefined(fault("alpine:").cause)
  })

  it.each([
    ["alpine", "docker.io/library/alpine:latest"],
    ["alpine:3", "docker.io/library/alpine:3"],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`]
  ])("adds a tag where nothing says which image: %s", (text, expected) => {
    assert.strictEqual(ImageReference.format(ImageReference.withDefaultTag(read(text))), expected)
  })

  it("takes time in proportion to the text", () => {
    // A grammar that backtracks would take minutes.
    const n = 500_000
    assert.strictEqual(fault(`${"a".repeat(n)}_.x/b`).reason, "domain")
    assert.strictEqual(fault(`${"a-".repeat(n)}_.x/b`).reason, "domain")
    assert.strictEqual(fault(`${"a.".repeat(n)}/b`).reason, "domain")
    assert.strictEqual(fault(`x/${"-".repeat(n)}`).reason, "too-long")
    assert.strictEqual(fault(`x:${"-".repeat(n)}`).reason, "tag")
    assert.strictEqual(fault(`x@${"a+".repeat(n)}`).reason, "digest")
    assert.isBelow(fault(`x@${"a+".repeat(n)}`).message.length, 1000)
  })

  const text = (pattern: RegExp) => Schema.String.check(Schema.isPattern(pattern))

  it.prop(
    "is read back from both of its forms",
    [Arbitrary.schema(Schema.Struct({
      domain: text(/^(?:docker\.io|localhost|[A-Z][a-zA-Z0-9]{0,4}|[a-z0-9]{1,4}\.[a-z]{2}(?::[0-9]{1,5})?)$/),
      path: text(/^(?:library\/)?[a-z0-9]{1,4}(?:[._-][a-z0-9]{1,4}){0,2}(?:\/[a-z0-9]{1,4}(?:__[a-z0-9]){0,1}){0,2}$/),
      tag: Schema.Option(text(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,7}$/)),
      digest: Schema.Option(Digest.Digest)
    }))],
    ([parts]) => {
      const reference = read(ImageReference.format(parts))
      // Docker Hub knows no repository of one part.
      const path = parts.domain === "docker.io" && !parts.path.includes("/") ? `library/${parts.path}` : parts.path
      assert.strictEqual(ImageReference.format(reference), ImageReference.format({ ...parts, path }))
      assert.deepStrictEqual(read(ImageReference.format(reference)), reference)
      assert.deepStrictEqual(read(ImageReference.familiar(reference)), reference)
    }
  )
})
