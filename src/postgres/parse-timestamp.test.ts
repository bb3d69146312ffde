import { expect, test } from "vitest";
import { parseTimestamp } from "./parse-timestamp.ts";

test.each([
  ["1970-01-01 00:00:00+00", 0, 0],
  ["2026-11-23 04:00:00.123456+00", Date.UTC(2026, 10, 23, 4) / 1000, 123_456_000],
  ["2026-11-23 04:00:00.1+00", Date.UTC(2026, 10, 23, 4) / 1000, 100_000_000],
  ["2026-11-23 04:00:00.000001+00", Date.UTC(2026, 10, 23, 4) / 1000, 1000],
  ["2026-11-23 04:00:00", Date.UTC(2026, 10, 23, 4) / 1000, 0],
  ["2024-02-29 23:59:59+00", Date.UTC(2024, 1, 29, 23, 59, 59) / 1000, 0],
  ["2000-03-01 00:00:00+00", Date.UTC(2000, 2, 1) / 1000, 0],
  ["1900-02-28 00:00:00+00", Date.UTC(1900, 1, 28) / 1000, 0],
  ["1969-12-31 23:59:59.5+00", -1, 500_000_000],
  ["0001-01-01 00:00:00+00", -62135596800, 0],
  ["9999-12-31 23:59:59.999999+00", 253402300799, 999_999_000],
  ["2026-11-23 09:30:00+05:30", Date.UTC(2026, 10, 23, 4) / 1000, 0],
  ["2026-11-23 00:00:00-04", Date.UTC(2026, 10, 23, 4) / 1000, 0],
  ["1880-01-01 00:19:32+00:19:32", Date.UTC(1880, 0, 1) / 1000, 0],
])("%s is exact", (text, seconds, nanos) => {
  expect(parseTimestamp(text)).toEqual({ seconds, nanos });
});

test("every day of four centuries agrees with Date", () => {
  for (let day = 0; day < 146_097; day += 1) {
    const date = new Date(Date.UTC(1800, 0, 1 + day));
    const text = date.toISOString().slice(0, 10);
    const instant = parseTimestamp(`${text} 00:00:00+00`);
    if (instant?.seconds !== date.getTime() / 1000) expect.fail(`${text} is read as ${instant?.seconds}`);
  }
});

test.each([
  "infinity",
  "-infinity",
  "0044-03-15 12:00:00+00 BC",
  "10000-01-01 00:00:00+00",
  "294276-12-31 23:59:59.999999+00",
  "0001-01-01 00:00:00+01",
  "9999-12-31 23:59:59-01",
])("%s does not fit a Timestamp", (text) => {
  expect(parseTimestamp(text)).toBeUndefined();
});
