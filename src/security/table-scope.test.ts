import { expect, test } from "vitest";
import { tableScope } from "./table-scope.ts";

test.each([
  [["files"], ["files", "public.files"], ["file", "files2", "other.files", "xfiles", 'public."files"']],
  [["public.*"], ["files", "public.files"], ["other.files", "opsdb.operator_action", "publicx.files", "public.a.b"]],
  [["raw.weather_*"], ["raw.weather_samples"], ["weather_samples", "raw.weather", "raw.xweather_", "raw.weather_a.b"]],
  [["*.files"], ["files", "raw.files"], ["raw.other"]],
  [
    ["a", "b.c"],
    ["a", "b.c"],
    ["c", "b.a"],
  ],
  [['"a.b"'], ['"a.b"', 'public."a.b"'], ["a.b"]],
  [["a+"], ["a+"], ["aa"]],
  [["*a*b*"], ["ab", "xaxbx", "aabb", "abab"], ["ba", "a", "raw.ab", "a.b"]],
  [["*.*_log"], ["raw.a_log", "raw.a_log_log", "night_log"], ["raw.a_logs", "raw._lo", "raw.x.a_log", "log"]],
  [["r*w.*_*x"], ["raw.a_x", "rw._x", "rww.__xx"], ["raw.x", "raw.a_", "r.w.a_x"]],
  [["**"], ["a", "public.a"], ["raw.a"]],
])("%j lets in %j and not %j", (patterns, inside, outside) => {
  const scope = tableScope(patterns);
  expect(scope.all).toBe(false);
  expect(inside.filter((name) => !scope.includes(name))).toEqual([]);
  expect(outside.filter((name) => scope.includes(name))).toEqual([]);
});

test("without a pattern it is all tables", () => {
  expect(tableScope([])).toMatchObject({ all: true });
  expect(tableScope([]).includes("anything.at_all")).toBe(true);
});

test("a name longer than any table's is in no token's tables", () => {
  const [longest, longer] = [300, 301].map((length) => "weather_".padEnd(length - "public.".length, "x"));
  const scope = tableScope(["weather_*"]);
  expect(scope.includes(`public.${longest}`)).toBe(true);
  expect(scope.includes(`public.${longer}`)).toBe(false);
});
