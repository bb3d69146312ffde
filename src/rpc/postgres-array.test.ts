import { expect, test } from "vitest";
import { parseArray } from "./postgres-array.ts";

type Nested = string | null | Nested[];

function parse(text: string, delimiter = ","): Nested {
  return parseArray<Nested>(text, { delimiter, element: (item) => item, nest: (items) => items });
}

test.each<[string, Nested]>([
  ["{}", []],
  ["{1,2,3}", ["1", "2", "3"]],
  ['{NULL,null,"NULL"}', [null, null, "NULL"]],
  ['{""}', [""]],
  ['{"a b","c,d","{e}"}', ["a b", "c,d", "{e}"]],
  ['{"say \\"hi\\"","back\\\\slash"}', ['say "hi"', "back\\slash"]],
  ['{"\\\\"}', ["\\"]],
  ["{a\\,b,\\NULL}", ["a,b", "NULL"]],
  [
    "{{1,2},{3,NULL}}",
    [
      ["1", "2"],
      ["3", null],
    ],
  ],
  ["{{{a}},{{b}}}", [[["a"]], [["b"]]]],
  ["[0:1]={7,8}", ["7", "8"]],
  [
    "[-1:0][2:3]={{1,2},{3,4}}",
    [
      ["1", "2"],
      ["3", "4"],
    ],
  ],
  ['{"über","日本","🔭"}', ["über", "日本", "🔭"]],
  ['{"line\nbreak"}', ["line\nbreak"]],
])("%s is read as PostgreSQL means it", (text, expected) => {
  expect(parse(text)).toEqual(expected);
});

test("the delimiter is the element type's", () => {
  expect(parse("{(1,1),(0,0);(2,2),(1,1)}", ";")).toEqual(["(1,1),(0,0)", "(2,2),(1,1)"]);
});

test.each(["", "1,2", "{1,2", "{1,,2}", "{1,}", '{"open}', "{1}x", "{{1}", "{1;2"])("%j is refused", (text) => {
  expect(() => parse(text)).toThrow(RangeError);
});
