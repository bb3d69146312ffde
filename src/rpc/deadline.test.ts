import { expect, test } from "vitest";
import { waitBudgetMs } from "./deadline.ts";

test.each([
  [undefined, 60_000],
  [60_000, 59_000],
  [5_000, 4_500],
  [100, 80],
  [10, 0],
  [-5, 0],
])("of a deadline in %s ms, %s ms may be waited", (timeoutMs, expected) => {
  expect(waitBudgetMs(timeoutMs, 60_000)).toBe(expected);
});
