import { toJson } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ConditionSchema } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { parseAggregate, parseCondition, parseOrder } from "./parse-condition.ts";

function parsed(text: string): unknown {
  return toJson(ConditionSchema, parseCondition(text));
}

function comparison(column: string, operator: string, value: object, path?: string[]): unknown {
  return { comparison: { column, operator: `COMPARISON_OPERATOR_${operator}`, value, ...(path && { path }) } };
}

test.each([
  ["pwv_mm < 0.5", comparison("pwv_mm", "LESS", { stringValue: "0.5" })],
  ["pwv_mm<=0.5", comparison("pwv_mm", "LESS_OR_EQUAL", { stringValue: "0.5" })],
  ["name != 'it''s'", comparison("name", "NOT_EQUAL", { stringValue: "it's" })],
  ["name = M 42", comparison("name", "EQUAL", { stringValue: "M 42" })],
  ["name ILIKE 'orion%'", comparison("name", "ILIKE", { stringValue: "orion%" })],
  ["name ~* ^m", comparison("name", "REGEX_IGNORE_CASE", { stringValue: "^m" })],
  ["tags @> {a,b}", comparison("tags", "CONTAINS", { stringValue: "{a,b}" })],
  ["a is not distinct from 3", comparison("a", "IS_NOT_DISTINCT_FROM", { stringValue: "3" })],
  ["tuning.line = CO 7-6", comparison("tuning", "EQUAL", { stringValue: "CO 7-6" }, ["line"])],
  ["tuning.frequency_ghz > 500", comparison("tuning", "GREATER", { jsonValue: "500" }, ["frequency_ghz"])],
  ["tuning.a.b = '500'", comparison("tuning", "EQUAL", { stringValue: "500" }, ["a", "b"])],
  ['"odd name" = 1', comparison("odd name", "EQUAL", { stringValue: "1" })],
  ["tau is null", { isNull: { column: "tau" } }],
  ["tau IS NOT NULL", { not: { isNull: { column: "tau" } } }],
  ["id in (1, 'a, b')", { in: { column: "id", values: [{ stringValue: "1" }, { stringValue: "a, b" }] } }],
  ["id not in 1,2", { not: { in: { column: "id", values: [{ stringValue: "1" }, { stringValue: "2" }] } } }],
  ["a between 1 and 2", { between: { column: "a", low: { stringValue: "1" }, high: { stringValue: "2" } } }],
  ["a not like 'b'", { not: comparison("a", "LIKE", { stringValue: "b" }) }],
])("the condition %s is understood", (text, expected) => {
  expect(parsed(text)).toEqual(expected);
});

test.each(["", "pwv_mm", "pwv_mm <", "< 3", "a = null", "a between 1", "a ## 3"])(
  "the condition %j is refused with an example",
  (text) => {
    expect(() => parseCondition(text)).toThrow(/--where .*: .* as in "pwv_mm < 0.5"/);
  },
);

test("an order has directions and places for NULLs", () => {
  expect(parseOrder("a, b desc, c ASC nulls first")).toEqual([
    { column: "a", descending: false },
    { column: "b", descending: true },
    { column: "c", descending: false, nulls: 1 },
  ]);
  expect(() => parseOrder("a sideways")).toThrow("--order is a list");
});

test("an aggregate is a function of a column", () => {
  expect(parseAggregate("avg(pwv_mm) as pwv")).toEqual({ function: 4, column: "pwv_mm", name: "pwv" });
  expect(parseAggregate("count(*)")).toEqual({ function: 1, column: "", name: "" });
  expect(() => parseAggregate("median(a)")).toThrow("--aggregate is one of count,");
});
