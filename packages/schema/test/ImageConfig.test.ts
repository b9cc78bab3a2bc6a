import * as ImageConfig from "@effect-oci/schema/ImageConfig"
import * as Json from "@effect-oci/schema/Json"
import * as Timestamp from "@effect-oci/schema/Timestamp"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { configs } from "./fixtures/checks.ts"
import { checks, message, value } from "./fixtures/suites.ts"

const document = (text: string) => Result.getOrThrow(ImageConfig.document(Json.toBytes(text)))

const full = `{
  "created": "2019-07-22T02:12:25.123456789+02:00",
  "author": "A", "architecture": "arm", "os": "linux", "os.version": "1", "os.features": ["f", null], "variant": "v7",
  "config": {
    "User": "u", "ExposedPorts": {"80/tcp": {}, "81/udp": null}, "Env": ["A=1", null], "Entrypoint": ["e"], "Cmd": ["c"],
    "Volumes": {"/v": {}}, "WorkingDir": "/", "Labels": {"a": null, "__proto__": "p"}, "StopSignal": "9", "ArgsEscaped": true,
    "Healthcheck": {
      "Test": ["CMD", null], "Interval": 1, "Timeout": 2, "StartPeriod": 3, "StartInterval": 4, "Retries": 5
    },
    "OnBuild": ["RUN x"], "Shell": ["/bin/sh", "-c"], "Hostname": 1
  },
  "rootfs": {"type": "layers", "diff_ids": ["", null, "sha256:x"]},
  "history": [null, {"created": "2019-07-22T02:12:25Z", "empty_layer": true, "x": 1}],
  "moby.buildkit.cache.v0": "x", "container_config": {"Env": 1.50}
}`

const created = Result.getOrThrow(Timestamp.parse("2019-07-22T02:12:25.123456789+02:00"))
const oci: ImageConfig.OciConfig = {
  created,
  author: "A",
  architecture: "arm",
  os: "linux",
  "os.version": "1",
  "os.features": ["f", ""],
  variant: "v7",
  config: {
    User: "u",
    ExposedPorts: { "80/tcp": {}, "81/udp": {} },
    Env: ["A=1", ""],
    Entrypoint: ["e"],
    Cmd: ["c"],
    Volumes: { "/v": {} },
    WorkingDir: "/",
    Labels: Object.fromEntries([["a", ""], ["__proto__", "p"]]),
    StopSignal: "9",
    ArgsEscaped: true
  },
  rootfs: { type: "layers", diff_ids: ["", "", "sha256:x"] },
  history: [{}, { created: { seconds: 1_563_761_545, nanoseconds: 0, offset: "Z" }, empty_layer: true }]
}
const docker: ImageConfig.ImageConfig = {
  ...oci,
  config: {
    ...oci.config,
    Healthcheck: { Test: ["CMD", ""], Interval: 1, Timeout: 2, StartPeriod: 3, StartInterval: 4, Retries: 5 },
    OnBuild: ["RUN x"],
    Shell: ["/bin/sh", "-c"]
  }
}

describe("ImageConfig", () => {
  checks(ImageConfig.check, configs, "config", "vnd.oci.image.config")

  it("reads all members that it knows, and keeps the others in the document", () => {
    assert.deepStrictEqual(value(ImageConfig.parse, full), docker)
    assert.strictEqual(Json.member(document(full), "container_config"), `{"Env": 1.50}`)
    assert.deepStrictEqual(Result.getOrThrow(ImageConfig.decode(document(full))), docker)
    assert.deepStrictEqual(Result.getOrThrow(ImageConfig.decodeOci(document(full))), oci)
  })

  it("gives what its schema gives", () => {
    const decode = Schema.decodeUnknownResult(ImageConfig.ImageConfig)
    assert.deepStrictEqual(Result.getOrThrow(decode(JSON.parse(full))), value(ImageConfig.parse, full))
  })

  it.each([
    ["{}", {}],
    [`{"created":null,"os":null,"os.features":null,"config":null,"rootfs":null,"history":null}`, {}],
    [`{"config":{"Env":null,"Labels":null,"Healthcheck":null,"Shell":null,"Volumes":null}}`, { config: {} }],
    [`{"rootfs":{"diff_ids":null},"history":[]}`, { rootfs: {}, history: [] }],
    [`{"config":{"Healthcheck":{"Interval":9223372036854775807}}}`, { config: { Healthcheck: { Interval: 2 ** 63 } } }]
  ])("reads %s", (text, expected) => {
    assert.deepStrictEqual(value(ImageConfig.parse, text), expected)
  })

  it.each([
    ["null", "the document (line 1, column 1): expected an object, found null"],
    [
      `{"created":"2019-13-01T00:00:00Z"}`,
      "/created (line 1, column 12): expected an RFC 3339 time such as 2006-01-02T15:04:05.999999999Z, found \"2019-13-01T00:00:00Z\""
    ],
    [`{"created":1}`, "/created (line 1, column 12): expected a string, found 1"],
    [`{\n\t"os": 1\n}`, "/os (line 2, column 8): expected a string, found 1"],
    [`{"config":{"Env":{"A":"1"}}}`, "/config/Env (line 1, column 18): expected a list, found an object"],
    [`{"config":{"Env":["A=1",\n1.50]}}`, "/config/Env/1 (line 2, column 1): expected a string, found 1.50"],
    [`{"config":{"Labels":{"a":true}}}`, "/config/Labels/a (line 1, column 26): expected a string, found true"],
    [`{"config":{"Volumes":{"/v":[]}}}`, "/config/Volumes/~1v (line 1, column 28): expected an object, found a list"],
    [
      `{"config":{"ArgsEscaped":"no"}}`,
      "/config/ArgsEscaped (line 1, column 26): expected true or false, found \"no\""
    ],
    [
      `{"config":{"Healthcheck":{"Retries":1e1}}}`,
      "/config/Healthcheck/Retries (line 1, column 37): expected an integer of 64 bits without fraction or exponent, found 1e1"
    ],
    [`{"rootfs":{"diff_ids":[1]}}`, "/rootfs/diff_ids/0 (line 1, column 24): expected a string, found 1"],
    [`{"history":[{"comment":1}],"os":"x"}`, "/history/0/comment (line 1, column 24): expected a string, found 1"],
    [`{"history":1.0}`, "/history (line 1, column 12): expected a list, found 1.0"]
  ])("says of %s what is wrong", (text, expected) => {
    assert.strictEqual(message(ImageConfig.parse, text), `the image config is not valid: ${expected}`)
  })

  it.each([
    ["9223372036854775807", true],
    ["-9223372036854775808", true],
    ["-0", true],
    ["9223372036854775808", false],
    ["-9223372036854775809", false],
    ["123456789012345678901234567890", false],
    ["1.0", false],
    ["1E2", false]
  ])("%s nanoseconds: %j", (number, expected) => {
    const parsed = ImageConfig.parse(Json.toBytes(`{"config":{"Healthcheck":{"Interval":${number}}}}`))
    assert.strictEqual(Result.isSuccess(parsed), expected)
  })

  it("tells times from other values", () => {
    const reason = (text: string) =>
      Result.match(ImageConfig.parse(Json.toBytes(text)), {
        onSuccess: () => undefined,
        onFailure: (problem) => problem._tag === "LimitExceeded" ? problem._tag : problem.reason
      })
    assert.strictEqual(reason(`{"created":"now"}`), "time")
    assert.strictEqual(reason(`{"history":[{"created":"now"}]}`), "time")
    assert.strictEqual(reason(`{"created":1}`), "type")
    assert.strictEqual(reason(`{"config":{"Healthcheck":{"Interval":1.0}}}`), "value")
  })

  it("finds places behind strings with quotes and brackets", () => {
    const text = String.raw`{"a":"\"]}\\","\"}":{"b":["[",{}]},"os":1}`
    assert.include(
      message(ImageConfig.parse, text),
      `/os (line 1, column ${text.length - 1}): expected a string, found 1`
    )
  })

  it("leaves Docker's members alone where only image-spec's count", () => {
    const text = `{"config":{"Healthcheck":1,"OnBuild":1,"Shell":1}}`
    assert.deepStrictEqual(Result.getOrThrow(ImageConfig.decodeOci(document(text))), { config: {} })
    assert.isTrue(Result.isFailure(ImageConfig.decode(document(text))))
    assert.deepStrictEqual(ImageConfig.check(Json.toBytes(text)).map((it) => "pointer" in it ? it.pointer : ""), [
      "/architecture",
      "/os",
      "/rootfs"
    ])
  })

  const settings = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell"
  ]

  it.each([
    ...[
      "created",
      "author",
      "architecture",
      "os",
      "os.version",
      "os.features",
      "variant",
      "config",
      "rootfs",
      "history"
    ]
      .map((name) => [name, (other: string) => `{"${other}":1}`] as const),
    ...settings.map((name) => [name, (other: string) => `{"config":{"${other}":1}}`] as const),
    ...["type", "diff_ids"].map((name) => [name, (other: string) => `{"rootfs":{"${other}":1}}`] as const),
    ...["created", "created_by", "author", "comment", "empty_layer"]
      .map((name) => [name, (other: string) => `{"history":[{},{"${other}":1}]}`] as const)
  ])("refuses every other case of %s", (name, text) => {
    const others = [name.toLowerCase(), name.toUpperCase(), name.replace(/s/i, "\u017f"), name.replace(/k/i, "\u212a")]
    for (const other of others.filter((it) => it !== name)) {
      const problem = Result.getOrThrow(Result.flip(ImageConfig.document(Json.toBytes(text(other)))))
      assert.deepInclude(problem, { reason: "case-collision", expected: `"${name}"`, found: `"${other}"` })
    }
  })

  it.each([
    `{"config":{"Healthcheck":{"test":1,"TEST":2}}}`,
    `{"config":{"Labels":{"user":"x","USER":"y"},"Volumes":{"env":{}}}}`,
    `{"container_config":{"user":1,"USER":2}}`,
    `{"x":{"OS":1,"History":[]},"Size":1,"Id":2}`,
    `{"rootfs":[{"Type":1}],"history":{"Created":1}}`,
    `{"o\u015b":1,"ø\u017f":2}`
  ])("reads any case where no name is known: %s", (text) => {
    assert.isTrue(Result.isSuccess(ImageConfig.document(Json.toBytes(text))))
  })

  it("expects an object", () => {
    assert.isTrue(Result.isSuccess(ImageConfig.expectObject(document("{}"))))
    for (const text of ["null", "[]", "1", "\"x\""]) {
      const { message } = Result.getOrThrow(Result.flip(ImageConfig.expectObject(document(text))))
      assert.include(message, "the image config is not valid: the document (line 1, column 1): expected an object")
    }
  })

  it("tells a thousand problems of a million, and the place of each", () => {
    const text = `{"os":"a","architecture":"b","rootfs":{"type":"layers","diff_ids":[]},"config":{"Env":[\n` +
      `${"1,".repeat(1_000_000)}1]}}`
    const problems = ImageConfig.check(Json.toBytes(text))
    assert.strictEqual(problems.length, 1000)
    assert.deepInclude(problems[999], { pointer: "/config/Env/999", line: 2, column: 1999, found: "1" })
  })

  it("reads names with escapes, whatever names V8 has met before", () => {
    JSON.parse(`{"a":1,"\\\\u006":2}`)
    assert.deepStrictEqual(value(ImageConfig.parse, `{"a":1,"\\u006fs":"linux"}`), { os: "linux" })
  })
})
