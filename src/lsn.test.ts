import { expect, test } from "vitest";
import { formatLsn, parseLsn } from "./lsn.ts";

test("LSNs compare as positions in the WAL, which their text does not", () => {
  expect("F/0" > "10/0").toBe(true);
  expect(parseLsn("F/0")).toBeLessThan(parseLsn("10/0"));
  expect(parseLsn("0/FFFFFFFF")).toBeLessThan(parseLsn("1/0"));
});

test.each(["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"])("%s is written as it was read", (text) => {
  expect(formatLsn(parseLsn(text))).toBe(text);
});

test.each(["", "0", "0/", "G/0", "123456789/0", "0/0/0", " 0/0"])("%j is not an LSN", (text) => {
  expect(() => parseLsn(text)).toThrow(RangeError);
});
