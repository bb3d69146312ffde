import { expect, test } from "vitest";
import { jsonDocuments } from "./json-documents.ts";

async function documents(...chunks: string[]): Promise<[number, string][]> {
  const given = (async function* () {
    yield* chunks;
  })();
  return (await Array.fromAsync(jsonDocuments(given))).map(({ line, text }) => [line, text]);
}

test("lines, and documents over several lines, come one by one with the line where they begin", async () => {
  const text = '{"a":1}\n\n[{"b":"}\\"]"},\n {"c":[]}]\n  {\n"d":2\n} {"e":3}\n';
  const expected = [
    [1, '{"a":1}'],
    [3, '[{"b":"}\\"]"},\n {"c":[]}]'],
    [5, '{\n"d":2\n}'],
    [7, '{"e":3}'],
  ];
  expect(await documents(text)).toEqual(expected);
  expect(await documents(...text)).toEqual(expected); // wherever it is cut
});

test("what is no object or list, or is cut off, comes as it is", async () => {
  expect(await documents("{}\nnonsense\n{}")).toEqual([
    [1, "{}"],
    [2, "nonsense"],
    [3, "{}"],
  ]);
  expect(await documents('{}\n{"a": [1,\n')).toEqual([
    [1, "{}"],
    [2, '{"a": [1,'],
  ]);
  expect(await documents("a { }\nb")).toEqual([
    [1, "a { }"],
    [2, "b"],
  ]);
  expect(await documents(" \n\n")).toEqual([]);
});
