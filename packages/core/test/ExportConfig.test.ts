import * as Compatibility from "@effect-oci/core/Compatibility"
import * as ExportConfig from "@effect-oci/core/ExportConfig"
import * as Json from "@effect-oci/schema/Json"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { bytesOf, digestOf, failureOf, frozen, shown, textOf, timeOf } from "./values.ts"

const { buildkit2026, effectOci1, moby2019, moby2010 } = Compatibility

const patch = (config: string, changes: Partial<ExportConfig.Patch> = {}) =>
  Result.map(
    ExportConfig.patch(bytesOf(config), frozen({ diffIds: [], history: [], rules: buildkit2026, ...changes })),
    textOf
  )

const patched = (config: string, changes: Partial<ExportConfig.Patch> = {}): string =>
  Result.getOrThrow(patch(config, changes))

/** A config of which only the platform is there, and what matters. */
const withMembers = (members: string): string => `{"architecture":"arm64","os":"linux",${members}}`

/** The text of one member of a patched config. */
const memberOf = (config: string, name: string): string | undefined =>
  Json.member(Result.getOrThrow(Json.parse(bytesOf(config), { document: "config" })), name)

describe("empty", () => {
  const path = `"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"`
  const rest = `"rootfs":{"type":"layers","diff_ids":null}}`

  it.each([
    ["amd64", { os: "linux", architecture: "amd64" }, `{"architecture":"amd64","os":"linux",`, path],
    [
      "a variant",
      { os: "linux", architecture: "arm", variant: "v6" },
      `{"architecture":"arm","os":"linux",` +
      `"variant":"v6",`,
      path
    ],
    ["names of others", { os: "Linux", architecture: "aarch64" }, `{"architecture":"arm64","os":"linux",`, path],
    [
      "Windows, without a PATH",
      { os: "windows", architecture: "amd64", "os.version": "10.0.20348", "os.features": ["win32k", "a", "a"] },
      `{"architecture":"amd64","os":"windows","os.version":"10.0.20348","os.features":["a","win32k"],`,
      undefined
    ],
    [
      "members that are empty",
      { os: "linux", architecture: "amd64", "os.version": "", "os.features": [], variant: "" },
      `{"architecture":"amd64","os":"linux",`,
      path
    ]
  ])("is of the platform: %s", (_, platform, head, env) => {
    assert.strictEqual(
      textOf(ExportConfig.empty(frozen(platform), buildkit2026)),
      `${head}"config":{${env === undefined ? "" : `"Env":[${env}],`}"WorkingDir":"/"},${rest}`
    )
  })

  it("knew the operating system and the architecture only, in 2019", () => {
    assert.strictEqual(
      textOf(ExportConfig.empty({ os: "windows", architecture: "arm", variant: "v6", "os.version": "10" }, moby2019)),
      `{"architecture":"arm","os":"windows","config":{"Env":[${path}],"WorkingDir":"/"},${rest}`
    )
  })
})

describe("parseHistory", () => {
  const parse = (config: string) => ExportConfig.parseHistory(bytesOf(config))

  it.each([
    [`{}`, null],
    [`null`, null],
    [`{"history":null}`, null],
    [`{"history":[]}`, []],
    [`{"history":[null]}`, ["|"]],
    [`{"history":[{"created":null,"created_by":null,"empty_layer":null}]}`, ["|"]],
    [
      `{"history":[{"created":"2020-01-01T02:00:00.100+02:00","created_by":"base","unknown_hist":1}]}`,
      ["base|2020-01-01T02:00:00.1+02:00"]
    ],
    [
      `{"history":[{"created":"2019-07-22T02:12:25.1234567891Z","empty_layer":true}]}`,
      ["|2019-07-22T02:12:25.123456789Z|E"]
    ]
  ])("reads %s", (config, expected) => {
    assert.deepStrictEqual(shown(Result.getOrThrow(parse(config))), expected)
  })

  it("checks nothing else of the config", () => {
    assert.deepStrictEqual(Result.getOrThrow(parse(`{"os":1,"created":"yesterday","history":[{}]}`)), [{}])
  })

  it("reads what has been read already", () => {
    const document = Result.getOrThrow(ExportConfig.read(bytesOf(`{"history":[{"author":"me"}]}`)))
    assert.deepStrictEqual(Result.getOrThrow(ExportConfig.parseHistory(document)), [{ author: "me" }])
  })

  it.each([
    [``, "InvalidJson", "line 1, column 1"],
    [`{"history":[`, "InvalidJson", "line 1, column 13 in /history"],
    [`{"history":[],"History":[]}`, "InvalidJson", "I-JSON (RFC 7493)"],
    [`{"history":[{"comment":"","comment":""}]}`, "InvalidJson", "/history/0"],
    [`[]`, "UnexpectedJson", "expected an object"],
    [`{"history":{}}`, "UnexpectedJson", "/history"],
    [`{"history":[{},{"empty_layer":"yes"}]}`, "UnexpectedJson", "/history/1/empty_layer"],
    [`{"history":[{"created":"2020-01-01"}]}`, "UnexpectedJson", "/history/0/created"],
    [`{"history":[${"[".repeat(10_000)}`, "InvalidJson", "levels"]
  ])("refuses %.40s in the seed's words, and tells where", (config, tag, detail) => {
    const error = failureOf(parse(config))
    assert.strictEqual(error.message, "failed to unmarshal history from config")
    assert.strictEqual(error.cause._tag, tag)
    assert.include(error.cause.message, detail)
  })

  it("reads 10,000 levels and refuses 10,001, reads 4 MiB and refuses one byte more", () => {
    const nested = (levels: number) => `{"x":${"[".repeat(levels - 1)}${"]".repeat(levels - 1)}}`
    assert.isTrue(Result.isSuccess(parse(nested(10_000))))
    assert.strictEqual(failureOf(parse(nested(10_001))).cause._tag, "InvalidJson")
    const sized = (size: number) => `{"x":"${"a".repeat(size - 8)}"}`
    assert.isTrue(Result.isSuccess(parse(sized(4 * 1024 * 1024))))
    const { cause } = failureOf(parse(sized(4 * 1024 * 1024 + 1)))
    assert.strictEqual(cause._tag, "LimitExceeded")
    assert.include(cause.message, "4194305")
  })
})

describe("parseBase", () => {
  it.each([[``, []], [`null`, []], [`{}`, []], [`{"history":null}`, []], [`{"history":[{"comment":"x"}]}`, ["|"]]])(
    "reads %j",
    (config, expected) => {
      assert.deepStrictEqual(shown(Result.getOrThrow(ExportConfig.parseBase(bytesOf(config)))), expected)
    }
  )

  it.each([
    [`{`, "InvalidJson"],
    [`[]`, "UnexpectedJson"],
    [`{"os":1}`, "UnexpectedJson"],
    [`{"config":{"OnBuild":"x"}}`, "UnexpectedJson"],
    [`{"config":{"Healthcheck":{"Interval":1.5}}}`, "UnexpectedJson"]
  ])("refuses %s, Docker's members included", (config, tag) => {
    const error = failureOf(ExportConfig.parseBase(bytesOf(config)))
    assert.strictEqual(error.message, "failed to unmarshal base image config")
    assert.strictEqual(error.cause._tag, tag)
  })
})

describe("patch keeps what it does not own", () => {
  it("leaves a config that BuildKit wrote as it is, byte for byte", () => {
    // As a Docker engine 20.10 wrote it, for ENV on scratch
    const config = `{"architecture":"amd64","config":{"Env":["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:` +
      `/sbin:/bin","a=b"],"WorkingDir":"/","OnBuild":null},"created":null,"history":[{"created_by":"ENV a=b",` +
      `"comment":"buildkit.dockerfile.v0","empty_layer":true}],"os":"linux",` +
      `"rootfs":{"type":"layers","diff_ids":null}}`
    for (const rules of Compatibility.presets) {
      const history = Result.getOrThrow(ExportConfig.parseHistory(bytesOf(config)))
      assert.strictEqual(patched(config, { history, rules }), config)
    }
  })

  it("leaves the bytes of a config alone that is only read", () => {
    const config = `{ "os" : "linux",\t"x-vendor": 1.50 ,\n"history":[{"created":"2020-01-01T00:00:00.000Z"}]}\n`
    const bytes = bytesOf(config)
    const document = Result.getOrThrow(ExportConfig.read(bytes))
    Result.getOrThrow(ExportConfig.parseHistory(document))
    assert.strictEqual(digestOf(document.text), digestOf(config))
    assert.strictEqual(textOf(bytes), config)
  })

  it.each([
    ["numbers", `[1.50,1e3,-0,12345678901234567890,0.1E-7]`, `[1.50,1e3,-0,12345678901234567890,0.1E-7]`],
    ["the order of members", `{"b":1,"10":2,"9":3,"a":{"z":1,"y":2}}`, `{"b":1,"10":2,"9":3,"a":{"z":1,"y":2}}`],
    ["escapes", String.raw`"\u00e9\/\u003C\n"`, String.raw`"\u00e9\/\u003C\n"`],
    ["no white space", `{ "a" : [ 1 , "b  c" ] }`, `{"a":[1,"b  c"]}`],
    ["HTML, as Go escapes it", `"<b>&\u2028\u2029"`, String.raw`"\u003cb\u003e\u0026\u2028\u2029"`],
    ["other characters", `"\u007f\u0085é😀"`, `"\u007f\u0085é😀"`],
    ["null", `null`, `null`]
  ])("a vendor's member: %s", (_, written, expected) => {
    assert.strictEqual(memberOf(patched(withMembers(`"x-vendor":${written}`)), "x-vendor"), expected)
    assert.strictEqual(memberOf(patched(withMembers(`"config":{"x":${written}}`)), "config"), `{"x":${expected}}`)
  })

  it("sorts the outermost members as UTF-8, not as UTF-16 and not as numbers", () => {
    const names = ["😀", "\uff5e", "é", "z", "Z", "_", "9", "10", "<"]
    const config = `{${names.map((name) => `"${name}":0`).join()},"os":"linux","architecture":"amd64"}`
    assert.strictEqual(
      patched(config),
      String
        .raw`{"10":0,"9":0,"\u003c":0,"Z":0,"_":0,"architecture":"amd64","created":null,"history":[],"os":"linux",` +
        `"rootfs":{"type":"layers","diff_ids":null},"z":0,"é":0,"\uff5e":0,"😀":0}`
    )
  })

  it("gives the same from bytes and from what has been read", () => {
    const bytes = bytesOf(withMembers(`"history":[{"comment":"x"}],"z":1.0`))
    const document = Result.getOrThrow(ExportConfig.read(bytes))
    const changes = { diffIds: [digestOf("a")], history: [{ comment: "y" }], rules: buildkit2026 }
    assert.deepStrictEqual(ExportConfig.patch(document, changes), ExportConfig.patch(bytes, changes))
  })
})

describe("patch writes what it owns", () => {
  it("layers: null for none", () => {
    assert.strictEqual(
      memberOf(patched(withMembers(`"rootfs":{"type":"x","diff_ids":["y"],"z":1}`)), "rootfs"),
      `{"type":"layers","diff_ids":null}`
    )
    const [one, two] = [digestOf("one"), digestOf("two")]
    assert.strictEqual(
      memberOf(patched(`{"os":"linux","architecture":"arm64"}`, { diffIds: [two, one, two] }), "rootfs"),
      `{"type":"layers","diff_ids":["${two}","${one}","${two}"]}`
    )
  })

  it("the history: null and [] differ, items have Go's members in Go's order", () => {
    const historyOf = (history: ExportConfig.Patch["history"]) =>
      memberOf(patched(withMembers(`"history":[{"comment":"old"}]`), { history }), "history")
    assert.strictEqual(historyOf(null), "null")
    assert.strictEqual(historyOf([]), "[]")
    assert.strictEqual(
      historyOf([
        {
          empty_layer: true,
          comment: "c",
          author: "a",
          created_by: `RUN echo "x <&> y"`,
          created: timeOf("2019-07-22T02:12:25.120+05:45")
        },
        { empty_layer: false, comment: "", author: "", created_by: "" }
      ]),
      String.raw`[{"created":"2019-07-22T02:12:25.12+05:45","created_by":"RUN echo \"x \u003c\u0026\u003e y\"",` +
        `"author":"a","comment":"c","empty_layer":true},{}]`
    )
  })

  it.each<readonly [string, Uint8Array | null | undefined, string | undefined]>([
    ["none leaves the config's own", undefined, `"own"`],
    ["null", null, `null`],
    ["no bytes", bytesOf(""), `""`],
    ["bytes", Uint8Array.of(0xfb, 0xff, 0xfe), `"+//+"`]
  ])("the inline cache: %s", (_, inlineCache, expected) => {
    const config = withMembers(`"moby.buildkit.cache.v0":"own"`)
    const changes = inlineCache === undefined ? {} : { inlineCache }
    assert.strictEqual(memberOf(patched(config, changes), "moby.buildkit.cache.v0"), expected)
  })

  it("the inline cache: between history and os", () => {
    assert.match(patched(withMembers(`"z":0`), { inlineCache: null }), /"history":\[\],"moby[^,]*:null,"os"/)
    assert.notInclude(patched(withMembers(`"z":0`)), "moby")
  })
})

const at = (text: string) => ({ created: timeOf(text) })

describe("created", () => {
  const history = [at("2021-01-01T00:00:00Z"), at("2020-01-01T02:00:00.100+02:00"), { comment: "no time" }]
  const epoch = timeOf("2020-06-01T00:00:00Z")

  it.each<readonly [string, string, Partial<ExportConfig.Patch>, string]>([
    ["is kept as it was written", `"created":"2019-01-01T00:00:00.100Z"`, { history }, `"2019-01-01T00:00:00.100Z"`],
    ["is kept with its offset", `"created":"2019-01-01T00:00:00+00:00"`, { history }, `"2019-01-01T00:00:00+00:00"`],
    [
      "is kept in UTC's preset too",
      `"created":"2019-01-01T02:00:00+02:00"`,
      { history, rules: effectOci1 },
      `"2019-01-01T02:00:00+02:00"`
    ],
    ["is null where it was null", `"created":null`, { history }, `null`],
    ["is null where it was null, under an epoch", `"created":null`, { history, epoch }, `null`],
    ["is the last of the history, not the latest", `"x":0`, { history }, `"2020-01-01T02:00:00.1+02:00"`],
    ["is the last of the history, in UTC", `"x":0`, { history, rules: effectOci1 }, `"2020-01-01T00:00:00.1Z"`],
    ["is null where there is no time", `"x":0`, { history: [{ comment: "no time" }] }, `null`],
    ["is null where there is no history", `"x":0`, { history: null, epoch }, `null`],
    ["is clamped by the epoch", `"created":"2020-06-01T00:00:00.000000001Z"`, { epoch }, `"2020-06-01T00:00:00Z"`],
    ["is clamped by its instant", `"created":"2020-05-31T23:00:00-02:00"`, { epoch }, `"2020-06-01T00:00:00Z"`],
    [
      "is left alone where it is no later",
      `"created":"2020-06-01T02:00:00.000+02:00"`,
      { epoch },
      `"2020-06-01T02:00:00.000+02:00"`
    ],
    [
      "is clamped under the seed's rules",
      `"created":"2021-01-01T00:00:00Z"`,
      { epoch, rules: moby2010 },
      `"2020-06-01T00:00:00Z"`
    ],
    ["is left alone where it is no time, under the seed's rules", `"created":[1]`, { epoch, rules: moby2019 }, `[1]`]
  ])("%s", (_, members, changes, expected) => {
    assert.strictEqual(memberOf(patched(withMembers(members), changes), "created"), expected)
  })
})

describe("epoch", () => {
  const epoch = timeOf("2020-06-01T00:00:00Z")
  const [old, late] = [at("2020-01-01T00:00:00Z"), at("2021-01-01T00:00:00Z")]
  const clamped = "|2020-06-01T00:00:00Z"

  it.each<readonly [string, ReadonlyArray<object>, ReadonlyArray<object> | undefined, ReadonlyArray<string>]>([
    ["no time is later", [old, late, {}], undefined, ["|2020-01-01T00:00:00Z", clamped, clamped]],
    ["its own instant in another offset stays", [at("2020-06-01T02:00:00+02:00")], [], ["|2020-06-01T02:00:00+02:00"]],
    ["the base image's items stay", [late, {}, late], [late, {}], ["|2021-01-01T00:00:00Z", "|", clamped]],
    ["the base image is longer", [late], [late, late], ["|2021-01-01T00:00:00Z"]],
    ["none after the first difference", [late, old, late], [late, late, late], [
      "|2021-01-01T00:00:00Z",
      "|2020-01-01T00:00:00Z",
      clamped
    ]],
    ["an offset is a difference", [at("2021-01-01T01:00:00+01:00")], [late], [clamped]],
    ["Z and +00:00 differ", [at("2021-01-01T00:00:00+00:00")], [late], [clamped]],
    ["a time where there was none is a difference", [late], [{}], [clamped]],
    ["another member is a difference", [{ ...late, author: "me" }], [late], [clamped]],
    ["an empty member is an absent one", [{ ...late, author: "", empty_layer: false }], [late], [
      "|2021-01-01T00:00:00Z"
    ]]
  ])("%s", (_, history, base, expected) => {
    const config = patched(withMembers(`"created":null`), { history, epoch, ...(base === undefined ? {} : { base }) })
    assert.deepStrictEqual(shown(Result.getOrThrow(ExportConfig.parseHistory(bytesOf(config)))), expected)
  })

  it("is nothing to a history that is not there", () => {
    assert.strictEqual(memberOf(patched(withMembers(`"x":0`), { history: null, epoch }), "history"), "null")
  })

  it("clamps a derived time only where the rules say so", () => {
    const changes = { history: [late], base: [late], epoch }
    const created = (rules: Compatibility.Compatibility) =>
      memberOf(patched(withMembers(`"x":0`), { ...changes, rules }), "created")
    assert.strictEqual(created(buildkit2026), `"2021-01-01T00:00:00Z"`)
    assert.strictEqual(created(effectOci1), `"${Timestamp.format(epoch)}"`)
  })
})

describe("patch refuses", () => {
  it.each<readonly [string, string, string]>([
    [``, "InvalidJson", "line 1, column 1"],
    [`{"os":"linux"}}`, "InvalidJson", "column 15"],
    [`{"os":"linux","OS":"linux"}`, "InvalidJson", "I-JSON"],
    [`null`, "NullConfig", "invalid null image config for export"],
    [`[]`, "UnexpectedJson", "expected an object"],
    [`"linux"`, "UnexpectedJson", "expected an object"],
    [`{"architecture":"amd64"}`, "MissingPlatform", "invalid image config for export: missing os"],
    [`{"architecture":"amd64","os":""}`, "MissingPlatform", "missing os"],
    [`{"architecture":"amd64","os":null}`, "MissingPlatform", "missing os"],
    [`{"os":"linux"}`, "MissingPlatform", "invalid image config for export: missing architecture"],
    [`{"os":"linux","architecture":""}`, "MissingPlatform", "missing architecture"],
    [`{"os":"linux","architecture":null}`, "MissingPlatform", "missing architecture"],
    [withMembers(`"created":"2020-13-01T00:00:00Z"`), "UnexpectedJson", "/created"],
    [withMembers(`"config":{"Env":["A=1",2]}`), "UnexpectedJson", "/config/Env/1"],
    [withMembers(`"config":{"Labels":{"a":1}}`), "UnexpectedJson", "/config/Labels/a"],
    [withMembers(`"rootfs":{"diff_ids":{}}`), "UnexpectedJson", "/rootfs/diff_ids"]
  ])("%j", (config, tag, detail) => {
    const error = failureOf(patch(config))
    assert.strictEqual(error.message, "failed to parse image config for patch")
    assert.strictEqual(error.cause._tag, tag)
    assert.include(error.cause.message, detail)
  })

  it("less under the seed's rules, but null", () => {
    const seed = { rules: moby2019 }
    assert.strictEqual(
      patched(`{"os":1}`, seed),
      `{"created":null,"history":[],"os":1,"rootfs":{"type":"layers","diff_ids":null}}`
    )
    assert.strictEqual(failureOf(patch(`null`, seed)).cause._tag, "NullConfig")
  })
})
