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
