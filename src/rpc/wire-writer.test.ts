import { expect, test } from "vitest";
import { WireWriter } from "./wire-writer.ts";

test("what is written does not depend on where the buffer had to grow", () => {
  for (const content of [0, 1, 8, 126, 127, 128, 200]) {
    const expected = nested(new WireWriter(), content);
    for (let capacity = 1; capacity < 2 * content + 40; capacity += 1)
      expect(nested(new WireWriter(capacity), content), `${content} bytes, capacity ${capacity}`).toBe(expected);
  }
});

/** A length around a length around some bytes, each guessed too short and too long, as hexadecimal. */
function nested(wire: WireWriter, content: number): string {
  for (const [outerRoom, innerRoom] of [
    [1, 1],
    [3, 2],
  ] as const) {
    const outer = wire.open(outerRoom);
    const inner = wire.open(innerRoom);
    for (let i = 0; i < content; i += 1) wire.byte(i + 1);
    wire.close(inner);
    wire.close(outer);
  }
  return Buffer.from(wire.take()).toString("hex");
}
