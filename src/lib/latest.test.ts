import { expect, test } from "vitest";
import { Latest } from "./latest.ts";

test("a slow reader gets the newest value only", async () => {
  const latest = new Latest(0);
  const seen: number[] = [];
  const version = latest.version;
  for (const value of [1, 2, 3]) latest.set(value);
  await latest.changed(version, new AbortController().signal);
  seen.push(latest.value);
  expect(seen).toEqual([3]);
});

test("a waiting reader is woken by the next change, and by its signal", async () => {
  const latest = new Latest("a");
  const woken = latest.until((value) => value === "c", new AbortController().signal);
  latest.set("b");
  latest.set("c");
  expect(await woken).toBe("c");
  const stop = new AbortController();
  const waiting = latest.until((value) => value === "never", stop.signal);
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});
