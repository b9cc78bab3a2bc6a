import { assert, describe, it } from "@effect/vitest"
import * as Table from "../src/Table.ts"

describe("Table", () => {
  it("aligns columns, and leaves no space at the end of a line", () => {
    assert.strictEqual(
      Table.format([["NAME", "SIZE", "TEXT"], ["a", "1 B", ""], ["longer", "12.5 KiB", "x y"]], [1]),
      "NAME        SIZE  TEXT\na            1 B  -\nlonger  12.5 KiB  x y"
    )
  })

  it("makes one line of each row, and lets no cell steer the terminal", () => {
    assert.strictEqual(Table.format([[" RUN a && \\\n\t b ", "\x1b[31mred"]]), "RUN a && \\ b  \\x1b[31mred")
  })

  it.each([[0, "0 B"], [1023, "1023 B"], [1536, "1.5 KiB"], [123_456_789, "117.7 MiB"]] as const)(
    "writes %d bytes as %s",
    (bytes, expected) => assert.strictEqual(Table.size(bytes), expected)
  )

  it("writes sizes exactly, too", () => {
    assert.strictEqual(Table.exactSize(88), "88 bytes")
    assert.strictEqual(Table.exactSize(23_230), "22.7 KiB (23230 bytes)")
  })
})
