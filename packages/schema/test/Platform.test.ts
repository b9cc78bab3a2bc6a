import * as Json from "@effect-oci/schema/Json"
import * as Platform from "@effect-oci/schema/Platform"
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

const read = (text: string): Platform.Platform => Result.getOrThrow(Platform.parse(text))
const fault = (text: string): Platform.InvalidPlatform => Result.getOrThrow(Result.flip(Platform.parse(text)))

const make = (os: string, architecture: string, variant?: string): Platform.Platform =>
  variant === undefined ? { architecture, os } : { architecture, os, variant }

describe("Platform", () => {
  describe("normalize", () => {
    it.each([
      [make("linux", "x86_64"), make("linux", "amd64")],
      [make("LINUX", "x86-64", "V1"), make("linux", "amd64")],
      [make("Linux", "AMD64", "v2"), make("linux", "amd64", "v2")],
      [make("linux", "amd64", "1"), make("linux", "amd64", "1")],
      [make("linux", "aarch64"), make("linux", "arm64")],
      [make("linux", "AARCH64", "8"), make("linux", "arm64")],
      [make("linux", "arm64", "v8"), make("linux", "arm64")],
      [make("linux", "arm64", "v8.0"), make("linux", "arm64")],
      [make("linux", "arm64", "8.0"), make("linux", "arm64", "8.0")],
      [make("linux", "arm64", "9"), make("linux", "arm64", "v9")],
      [make("linux", "arm64", "9.0"), make("linux", "arm64", "v9")],
      [make("linux", "arm64", "v9.0"), make("linux", "arm64", "v9")],
      [make("linux", "arm64", "v9.1"), make("linux", "arm64", "v9.1")],
      [make("linux", "arm64", "7"), make("linux", "arm64", "7")],
      [make("linux", "arm"), make("linux", "arm", "v7")],
      [make("linux", "arm", ""), make("linux", "arm", "v7")],
      [make("linux", "arm", "5"), make("linux", "arm", "v5")],
      [make("linux", "arm", "6"), make("linux", "arm", "v6")],
      [make("linux", "arm", "7"), make("linux", "arm", "v7")],
      [make("linux", "arm", "8"), make("linux", "arm", "v8")],
      [make("linux", "arm", "9.0"), make("linux", "arm", "9.0")],
      [make("linux", "armhf", "v6"), make("linux", "arm", "v7")],
      [make("linux", "armel", "v8"), make("linux", "arm", "v6")],
      [make("linux", "i386", "x"), make("linux", "386")],
      [make("linux", "i686"), make("linux", "i686")],
      [make("linux", "386", "x"), make("linux", "386", "x")],
      [make("macOS", "arm64"), make("darwin", "arm64")],
      [make("", "s390x"), make("linux", "s390x")],
      [make("linux", "", "8"), make("linux", "", "8")],
      [make("constructor", "__proto__"), make("constructor", "__proto__")],
      [
        { ...make("linux", "amd64"), "os.version": "6.1", "os.features": ["b", "a", "b"] },
        { ...make("linux", "amd64"), "os.version": "6.1", "os.features": ["a", "b"] }
      ],
      [
        // By UTF-8 bytes, as Go sorts: U+1F433 comes after U+FFFD.
        { ...make("linux", "amd64"), "os.version": "", "os.features": ["\u{1f433}", "\ufffd", ""] },
        { ...make("linux", "amd64"), "os.features": ["", "\ufffd", "\u{1f433}"] }
      ]
    ])("%j is %j", (platform, expected) => {
      assert.deepStrictEqual(Platform.normalize(platform), expected)
      assert.deepStrictEqual(Platform.normalize(expected), expected)
      assert.isTrue(Platform.equivalence(platform, expected))
    })
  })

  describe("equivalence", () => {
    it.each([
      [make("linux", "arm64"), make("linux", "arm64", "v9")],
      [make("linux", "amd64"), make("windows", "amd64")],
      [make("linux", "amd64"), make("linux", "386")],
      [make("linux", "amd64"), { ...make("linux", "amd64"), "os.version": "1" }],
      [make("linux", "amd64"), { ...make("linux", "amd64"), "os.features": ["a"] }],
      [{ ...make("linux", "amd64"), "os.features": ["a"] }, { ...make("linux", "amd64"), "os.features": ["b"] }]
    ])("%j is not %j", (self, that) => {
      assert.isFalse(Platform.equivalence(self, that))
      assert.isFalse(Platform.equivalence(that, self))
    })
  })

  describe("parse", () => {
    it.each<[string, Platform.Platform, string]>([
      ["linux/amd64", make("linux", "amd64"), "linux/amd64"],
      ["Linux/x86_64", make("linux", "amd64"), "linux/amd64"],
      ["linux/amd64/v1", make("linux", "amd64"), "linux/amd64"],
      ["linux/amd64/v3", make("linux", "amd64", "v3"), "linux/amd64/v3"],
      ["linux/arm64", make("linux", "arm64"), "linux/arm64"],
      ["linux/arm64/v8", make("linux", "arm64", "v8"), "linux/arm64/v8"],
      ["linux/arm64/8", make("linux", "arm64", "v8"), "linux/arm64/v8"],
      ["linux/arm64/v9", make("linux", "arm64", "v9"), "linux/arm64/v9"],
      ["linux/arm", make("linux", "arm"), "linux/arm"],
      ["linux/armhf", make("linux", "arm"), "linux/arm"],
      ["linux/armel", make("linux", "arm", "v6"), "linux/arm/v6"],
      ["linux/arm/v7", make("linux", "arm", "v7"), "linux/arm/v7"],
      ["linux/arm/6", make("linux", "arm", "v6"), "linux/arm/v6"],
      ["linux/i386", make("linux", "386"), "linux/386"],
      ["macOS/arm64", make("darwin", "arm64"), "darwin/arm64"],
      ["linux/riscv64", make("linux", "riscv64"), "linux/riscv64"],
      ["beos/vax/780", make("beos", "vax", "780"), "beos/vax/780"],
      ["windows()/amd64", make("windows", "amd64"), "windows/amd64"],
      [
        "windows(10.0.17763)/amd64",
        { ...make("windows", "amd64"), "os.version": "10.0.17763" },
        "windows(10.0.17763)/amd64"
      ],
      [
        "windows(10.0.17763+win32k)/amd64",
        { ...make("windows", "amd64"), "os.version": "10.0.17763", "os.features": ["win32k"] },
        "windows(10.0.17763+win32k)/amd64"
      ],
      [
        "linux(+unsorted+erofs+unsorted)/amd64",
        { ...make("linux", "amd64"), "os.features": ["unsorted", "erofs", "unsorted"] },
        "linux(+erofs+unsorted)/amd64"
      ],
      [
        "windows(50%25%28a%29%2Fb+c%2Bd)/amd64/v2",
        { ...make("windows", "amd64", "v2"), "os.version": "50%(a)/b", "os.features": ["c+d"] },
        "windows(50%25%28a%29%2Fb+c%2Bd)/amd64/v2"
      ]
    ])("%s", (text, expected, formatted) => {
      assert.deepStrictEqual(Platform.parse(text), Result.succeed(expected))
      assert.strictEqual(Platform.formatAll(expected), formatted)
    })

    it.each([
      ["", "os"],
      ["/linux/arm", "os"],
      ["*/arm64", "os"],
      ["linux /arm", "os"],
      ["linux\n/arm", "os"],
      ["win(dows/amd64", "os"],
      ["windows(1.0)x/amd64", "os"],
      ["windows(1++2)/amd64", "os"],
      ["linux", "incomplete"],
      ["arm64", "incomplete"],
      ["linux/", "architecture"],
      ["linux/&arm", "architecture"],
      ["linux/*", "architecture"],
      ["linux/amd64\n", "architecture"],
      ["linux/arm/", "variant"],
      ["linux/arm/v 7", "variant"],
      ["linux/arm/foo/bar", "too-many-parts"],
      ["linux/arm/v7/", "too-many-parts"],
      ["windows(1%zz)/amd64", "os-options"],
      ["windows(1%)/amd64", "os-options"],
      ["windows(+%ff)/amd64", "os-options"]
    ])("refuses %j: %s", (text, reason) => {
      assert.strictEqual(fault(text).reason, reason)
    })

    it("says what is missing and what to write", () => {
      assert.strictEqual(
        fault("linux").message,
        "invalid platform \"linux\": expected an operating system and an architecture, found one of them only; " +
          "write os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7"
      )
    })

    it("takes time in proportion to the text", () => {
      // A grammar that backtracks would take minutes.
      assert.strictEqual(fault(`linux(${"+".repeat(1_000_000)})/amd64`).reason, "os")
      assert.strictEqual(fault(`linux(${"+a".repeat(500_000)}!)/amd64`).reason, "os")
      assert.strictEqual(fault(`linux/a/b${"/c".repeat(1_000_000)}`).reason, "too-many-parts")
      assert.strictEqual(read(`linux(${"+a".repeat(500_000)})/amd64`)["os.features"]?.length, 500_000)
    })
  })

  describe("format", () => {
    it.each([
      [make("linux", "arm", "v7"), "linux/arm/v7", "linux/arm/v7"],
      [make("linux", ""), "linux", "linux"],
      [make("", "amd64"), "unknown", "unknown"],
      [{ ...make("windows", "amd64"), "os.version": "10.0" }, "windows/amd64", "windows(10.0)/amd64"],
      [{ ...make("linux", "amd64"), "os.features": ["", "gpu", "", "gpu"] }, "linux/amd64", "linux(+gpu)/amd64"],
      [{ ...make("linux", "amd64"), "os.version": "", "os.features": [""] }, "linux/amd64", "linux/amd64"]
    ])("%j is %s and %s", (platform, short, long) => {
      assert.strictEqual(Platform.format(platform), short)
      assert.strictEqual(Platform.formatAll(platform), long)
    })
  })

  const name = Schema.String.check(Schema.isPattern(/^[a-z][a-z0-9_-]{0,8}$/))
  const option = Schema.String.check(Schema.isPattern(/^[a-z0-9.%+()/ -]{1,8}$/)).check(
    Schema.makeFilter((text) => !text.includes(" "))
  )

  it.prop(
    "is read back from its long form",
    [Arbitrary.schema(
      Schema.Struct({
        architecture: name,
        os: name,
        "os.version": Schema.optionalKey(option),
        "os.features": Schema.optionalKey(Schema.Array(option)),
        variant: Schema.optionalKey(name)
      })
    )],
    ([platform]) => {
      const normal = Platform.normalize(platform)
      assert.deepStrictEqual(Platform.normalize(read(Platform.formatAll(normal))), normal)
      assert.isTrue(Platform.equivalence(platform, normal))
    }
  )

  describe("choose", () => {
    const choose = (wanted: string, offers: ReadonlyArray<string>) =>
      Option.getOrUndefined(Platform.choose(read(wanted), offers, read))

    // What runs on what, the best first.
    it.each([
      ["linux/amd64", ["linux/amd64", "linux/386"]],
      ["linux/amd64/v3", ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]],
      ["linux/386", ["linux/386"]],
      ["linux/arm", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]],
      ["linux/arm/v8", ["linux/arm/v8", "linux/arm", "linux/arm/v6", "linux/arm/v5"]],
      ["linux/arm/v5", ["linux/arm/v5"]],
      ["linux/arm/v4", ["linux/arm/v4"]],
      ["linux/arm64", ["linux/arm64", "linux/arm/v8", "linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]],
      ["linux/arm64/v8.1", ["linux/arm64/v8.1", "linux/arm64/v8", "linux/arm/v8"]],
      ["linux/arm64/v9", ["linux/arm64/v9", "linux/arm64/v8.5", "linux/arm64/v8.1", "linux/arm64", "linux/arm/v7"]],
      ["linux/arm64/v9.6", ["linux/arm64/v9.6", "linux/arm64/v9.5", "linux/arm64/v9", "linux/arm64/v8.9"]],
      ["linux/arm64/v42", ["linux/arm64/v42"]],
      ["linux/s390x", ["linux/s390x"]]
    ])("%s runs %j", (wanted, offers) => {
      const others = [
        "windows/amd64",
        "windows/arm",
        "freebsd/arm64",
        "linux/arm/v3",
        "linux/riscv64",
        "linux/arm64/v8.10"
      ]
      offers.forEach((offer, i) => {
        const remaining = [...others, ...offers.slice(i).toReversed()]
        assert.strictEqual(choose(wanted, remaining), offer)
      })
      assert.isUndefined(choose(wanted, others))
    })

    it.each([
      ["linux/amd64", "linux/amd64/v2"],
      ["linux/amd64/v2", "linux/amd64/v3"],
      ["linux/arm/v6", "linux/arm"],
      ["linux/arm/v7", "linux/arm64"],
      ["linux/arm64", "linux/arm64/v8.1"],
      ["linux/arm64/v9", "linux/arm64/v8.6"],
      ["linux/amd64", "darwin/amd64"],
      ["linux/amd64", "unknown/unknown"],
      ["linux/amd64", "linux(+gpu)/amd64"]
    ])("%s does not run %s", (wanted, offered) => {
      assert.isFalse(Platform.matches(read(wanted), read(offered)))
    })

    it("counts down no further than variants go", () => {
      assert.isTrue(Platform.matches(make("linux", "amd64", "v999999999"), make("linux", "386")))
      assert.isFalse(Platform.matches(make("linux", "arm", "v999999999"), make("linux", "arm", "v5")))
    })

    it("prefers the offer with more of the wanted features, then the first", () => {
      assert.strictEqual(
        choose("linux(+a+b)/amd64", ["linux/amd64", "linux(+b)/amd64", "linux(+a)/amd64", "linux(+a+c)/amd64"]),
        "linux(+b)/amd64"
      )
      assert.strictEqual(choose("linux(+a)/amd64", ["linux(+a)/386", "linux/amd64"]), "linux/amd64")
    })

    it("passes over offers without a platform", () => {
      const chosen = Platform.choose(
        make("linux", "amd64"),
        [1, 2],
        (n) => n === 2 ? make("linux", "amd64") : undefined
      )
      assert.deepStrictEqual(chosen, Option.some(2))
    })

    // Microsoft's table of Windows container version compatibility, as containerd has it.
    it.each([
      ["windows/amd64", "windows(10.0.17763)/amd64", true],
      ["windows(10.0.17763)/amd64", "windows/amd64", true],
      ["windows(10.0.17763.1)/amd64", "windows(10.0.17763.9+win32k)/amd64", true],
      ["windows(10.0.17763)/amd64", "windows(10.0.14393)/amd64", false],
      ["windows(10.0.20348)/amd64", "windows(10.0.20348)/amd64", true],
      ["windows(10.0.20348)/amd64", "windows(10.0.17763)/amd64", false],
      ["windows(10.0.26100)/amd64", "windows(10.0.20348)/amd64", true],
      ["windows(10.0.26100)/amd64", "windows(10.0.26101)/amd64", false],
      ["windows(10.0.27000)/amd64", "windows(10.0.20348)/amd64", false],
      ["windows(10.0.27000)/amd64", "windows(10.0.26100)/amd64", true],
      ["windows(10.0.20348)/amd64", "windows(11.0.20348)/amd64", false],
      ["windows(10.0.20348)/amd64", "windows(ltsc)/amd64", false],
      ["windows(ltsc)/amd64", "windows(10.0.20348)/amd64", true]
    ])("%s runs %s: %s", (wanted, offered, expected) => {
      assert.strictEqual(Platform.matches(read(wanted), read(offered)), expected)
    })
  })

  describe("schema", () => {
    const decode = Schema.decodeUnknownResult(Platform.Platform)

    it("reads null as absent", () => {
      assert.deepStrictEqual(
        decode({ architecture: "amd64", os: "linux", "os.version": null, "os.features": null, variant: null }),
        Result.succeed(make("linux", "amd64"))
      )
    })

    it("asks for an operating system and an architecture", () => {
      assert.isTrue(Result.isFailure(decode({ os: "linux" })))
      assert.isTrue(Result.isFailure(decode({ architecture: "amd64" })))
    })

    it("encodes in Go's order, without what is empty", () => {
      const platform = { variant: "v2", "os.features": ["a"], "os.version": "1", os: "linux", architecture: "amd64" }
      assert.strictEqual(
        Json.stringify(Platform.toEncodable(platform)),
        "{\"architecture\":\"amd64\",\"os\":\"linux\",\"os.version\":\"1\",\"os.features\":[\"a\"],\"variant\":\"v2\"}"
      )
      assert.strictEqual(
        Json.stringify(Platform.toEncodable({ ...make("", "", ""), "os.version": "", "os.features": [] })),
        "{\"architecture\":\"\",\"os\":\"\"}"
      )
    })
  })
})
