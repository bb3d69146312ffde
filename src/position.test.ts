import { expect, test } from "vitest";
import { formatPosition, parsePosition } from "./position.ts";

test("positions compare as Redis orders its stream ids", () => {
  const inOrder = ["0-1", "9-18446744073709551615", "10-0", "10-2", "10-10", "1763862000000-0"];
  const shuffled = inOrder.toReversed().map(parsePosition);
  expect(shuffled.sort((a, b) => (a < b ? -1 : 1)).map(formatPosition)).toEqual(inOrder);
});

test.each(["", "1", "1-", "-1", "1-2-3", "a-b", "1 -2"])("%j is not a position", (text) => {
  expect(() => parsePosition(text)).toThrow(RangeError);
});
