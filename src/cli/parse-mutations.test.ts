import { expect, test } from "vitest";
import { UsageError } from "./command.ts";
import { parseMutations } from "./parse-mutations.ts";
import { readWrite } from "./read-writes.ts";

const none = new Map();

test("words are one or several mutations with their conditions", () => {
  expect(
    parseMutations(
      "insert a x=1 y:=[1,2] z= and update b id=1 v=a=b if exists v=2 w:=null and delete c id=3 if missing".split(" "),
    ),
  ).toMatchObject([
    {
      operation: "insert",
      table: "a",
      values: new Map<string, unknown>([
        ["x", { text: "1" }],
        ["y", { json: [{ rawJSON: "1" }, { rawJSON: "2" }] }],
        ["z", { text: "" }],
      ]),
      ifEqual: none,
    },
    {
      operation: "update",
      table: "b",
      values: new Map([
        ["id", { text: "1" }],
        ["v", { text: "a=b" }],
      ]),
      ifEqual: new Map<string, unknown>([
        ["v", { text: "2" }],
        ["w", { json: null }],
      ]),
      ifExists: true,
    },
    { operation: "delete", table: "c", ifExists: false },
  ]);
});

test.each([
  ["put a x=1", "a mutation begins with insert"],
  ["insert x=1", "name the table"],
  ["insert a x", "a value is COLUMN=VALUE"],
  ["insert a x=1 x=2", "column x is given twice"],
  ["insert a x:=nope", 'what stands after x:= is JSON, and "nope" is none'],
  ["insert a x=1 if", "say after if what must hold"],
  ["insert a x=1 if exists missing", "not both"],
  ["insert a x=1 and", "a mutation begins with insert"],
])("the words %j are refused", (words, why) => {
  expect(() => parseMutations(words.split(" "))).toThrow(why);
});

test("JSON is a mutation, a list of them, a write with its id, or a row", () => {
  const read = (text: string, rows?: { operation: "upsert"; table: string }) => readWrite({ text, line: 3 }, rows);
  expect(read('{"update": "a", "key": {"id": 1}, "values": {"v": null}, "if": {"v": 2}, "if_exists": true}')).toEqual({
    mutations: [
      {
        operation: "update",
        table: "a",
        values: new Map<string, unknown>([
          ["id", { json: { rawJSON: "1" } }],
          ["v", { json: null }],
        ]),
        ifEqual: new Map([["v", { json: { rawJSON: "2" } }]]),
        ifExists: true,
      },
    ],
  });
  expect(read('[{"insert": "a"}, {"delete": "b"}]').mutations).toHaveLength(2);
  expect(read('{"write_id": "x", "mutations": {"insert": "a"}}')).toMatchObject({ writeId: "x" });
  expect(read('{"v": 1}', { operation: "upsert", table: "t" }).mutations).toMatchObject([
    { operation: "upsert", table: "t" },
  ]);
});

test.each([
  ["nonsense", '"nonsense" is not JSON'],
  ['{"insert": "a", "delete": "b"}', "a mutation has one of insert"],
  ['{"insert": 3}', '"insert" names no table'],
  ['{"insert": "a", "value": {}}', '"value" is not known here'],
  ['{"insert": "a", "values": []}', '"values" is a JSON object'],
  ['{"insert": "a", "if_exists": 1}', '"if_exists" is true or false'],
  ["[]", "the list is empty"],
])("the JSON %s is refused with its line", (text, why) => {
  const read = (): unknown => readWrite({ text, line: 3 }, undefined);
  expect(read).toThrow(UsageError);
  expect(read).toThrow(`line 3 of standard input: ${why}`);
});
