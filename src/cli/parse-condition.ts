import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AggregateFunction,
  type AggregateSchema,
  ComparisonOperator,
  type ComparisonSchema,
  type Condition,
  ConditionSchema,
  NullsOrder,
  type OrderTermSchema,
} from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { textValue } from "./column-value.ts";
import { UsageError } from "./command.ts";

/** Longer ones first, so that none is taken for the beginning of another. */
const symbols: readonly [symbol: string, operator: ComparisonOperator][] = [
  ["-|-", ComparisonOperator.ADJACENT],
  ["<>", ComparisonOperator.NOT_EQUAL],
  ["!=", ComparisonOperator.NOT_EQUAL],
  ["<=", ComparisonOperator.LESS_OR_EQUAL],
  [">=", ComparisonOperator.GREATER_OR_EQUAL],
  ["<<", ComparisonOperator.STRICTLY_LEFT],
  [">>", ComparisonOperator.STRICTLY_RIGHT],
  ["<@", ComparisonOperator.CONTAINED_BY],
  ["@>", ComparisonOperator.CONTAINS],
  ["@?", ComparisonOperator.JSON_PATH_EXISTS],
  ["@@", ComparisonOperator.MATCHES],
  ["&&", ComparisonOperator.OVERLAPS],
  ["?|", ComparisonOperator.HAS_ANY_KEY],
  ["?&", ComparisonOperator.HAS_ALL_KEYS],
  ["~*", ComparisonOperator.REGEX_IGNORE_CASE],
  ["=", ComparisonOperator.EQUAL],
  ["<", ComparisonOperator.LESS],
  [">", ComparisonOperator.GREATER],
  ["~", ComparisonOperator.REGEX],
  ["?", ComparisonOperator.HAS_KEY],
];

const words: readonly [word: RegExp, operator: ComparisonOperator][] = [
  [/^is\s+not\s+distinct\s+from\s/i, ComparisonOperator.IS_NOT_DISTINCT_FROM],
  [/^ilike\s/i, ComparisonOperator.ILIKE],
  [/^like\s/i, ComparisonOperator.LIKE],
];

/** Reads "COLUMN OPERATOR VALUE", with SQL's words. A dot leads into a json column: "tuning.line = CO 7-6". */
export function parseCondition(text: string): Condition {
  const [, name = "", rest = ""] =
    /^\s*((?:"(?:[^"]|"")+"|[\p{L}_][\p{L}\p{N}_$]*)(?:\.[^\s.<>=!~@&?]+)*)\s*(.*?)\s*$/su.exec(text) ?? [];
  const wrong = (why: string): UsageError =>
    new UsageError(
      `--where ${JSON.stringify(text)}: ${why}, as in "pwv_mm < 0.5", "name like 'Orion%'", "tau is not null"`,
    );
  if (name === "") throw wrong("a condition is COLUMN OPERATOR VALUE");
  const [column = "", ...path] = name.startsWith('"') ? [name.slice(1, -1).replaceAll('""', '"')] : name.split(".");

  const tested = /^is\s+(not\s+)?null$/i.exec(rest);
  if (tested) return negated(tested[1], condition({ case: "isNull", value: { column } }));

  const [, not, word, arguments_ = ""] = /^(not\s+)?(in|between|like|ilike)\b\s*(.*)$/is.exec(rest) ?? [];
  switch (word?.toLowerCase()) {
    case "in":
      return negated(not, condition({ case: "in", value: { column, values: list(arguments_).map(textValue) } }));
    case "between": {
      const [low, high, ...others] = arguments_.split(/\s+and\s+/i).map(unquoted);
      if (!low || !high || others.length > 0) throw wrong("BETWEEN needs two values with AND between them");
      return negated(
        not,
        condition({ case: "between", value: { column, low: textValue(low), high: textValue(high) } }),
      );
    }
    case "like":
    case "ilike":
      if (not !== undefined) return negated(not, parseCondition(`${name} ${word} ${arguments_}`));
  }

  const compare = (operator: ComparisonOperator, value: string): Condition => {
    if (value === "") throw wrong("the value is missing");
    if (/^null$/i.test(value)) throw wrong("nothing is equal to NULL; say is null or is not null");
    const comparison: MessageInitShape<typeof ComparisonSchema> = {
      column,
      path,
      operator,
      value: comparedValue(value, path),
    };
    return condition({ case: "comparison", value: comparison });
  };
  for (const [pattern, operator] of words) {
    const [found] = pattern.exec(rest) ?? [];
    if (found !== undefined) return compare(operator, rest.slice(found.length).trim());
  }
  const [symbol, operator] = symbols.find(([each]) => rest.startsWith(each)) ?? [];
  if (symbol === undefined || operator === undefined) throw wrong("there is no such operator");
  return compare(operator, rest.slice(symbol.length).trim());
}

/** Reads "A, B desc, C asc nulls first". */
export function parseOrder(text: string | undefined): MessageInitShape<typeof OrderTermSchema>[] {
  if (text === undefined) return [];
  return text.split(",").map((term) => {
    const [, column, direction, nulls] =
      /^\s*(\S+)(?:\s+(asc|desc))?(?:\s+nulls\s+(first|last))?\s*$/i.exec(term) ?? [];
    if (column === undefined)
      throw new UsageError(`--order is a list such as "sampled_at desc, station", not ${JSON.stringify(text)}`);
    return {
      column,
      descending: direction?.toLowerCase() === "desc",
      ...(nulls !== undefined && { nulls: nulls.toLowerCase() === "first" ? NullsOrder.FIRST : NullsOrder.LAST }),
    };
  });
}

/** Reads "avg(pwv_mm)", also with "as NAME"; "count" alone counts rows. */
export function parseAggregate(text: string): MessageInitShape<typeof AggregateSchema> {
  const [, name = "", column = "", as = ""] =
    /^\s*([a-z_]+)\s*(?:\(\s*([^()]*?)\s*\))?(?:\s+as\s+(\S+))?\s*$/i.exec(text) ?? [];
  const function_ = aggregates[name.toLowerCase()];
  if (function_ === undefined)
    throw new UsageError(
      `--aggregate is one of ${Object.keys(aggregates).join(", ")} with a column, as in "avg(pwv_mm)", not ${JSON.stringify(text)}`,
    );
  return { function: function_, column: column === "*" ? "" : column, name: as };
}

const aggregates: Record<string, AggregateFunction> = {
  count: AggregateFunction.COUNT,
  count_distinct: AggregateFunction.COUNT_DISTINCT,
  sum: AggregateFunction.SUM,
  avg: AggregateFunction.AVG,
  min: AggregateFunction.MIN,
  max: AggregateFunction.MAX,
};

function condition(value: MessageInitShape<typeof ConditionSchema>["condition"] & object): Condition {
  return create(ConditionSchema, { condition: value });
}

function negated(not: string | undefined, positive: Condition): Condition {
  return not === undefined ? positive : condition({ case: "not", value: positive });
}

/** Inside json a number or a truth value is compared as such, and all else as text. */
function comparedValue(text: string, path: readonly string[]): Value {
  const json = path.length > 0 && /^(true|false|-?\d+(\.\d+)?([eE][+-]?\d+)?)$/.test(text);
  return json ? { $typeName: "opsdb.v1.Value", kind: { case: "jsonValue", value: text } } : textValue(unquoted(text));
}

/** "a, 'b, c'" in parentheses or without. */
function list(text: string): string[] {
  const inner = /^\((.*)\)$/s.exec(text)?.[1] ?? text;
  return (inner.match(/\s*(?:'(?:[^']|'')*'|[^,]+)\s*/g) ?? []).map((item) => unquoted(item.trim()));
}

function unquoted(text: string): string {
  const trimmed = text.trim();
  return /^'.*'$/s.test(trimmed) ? trimmed.slice(1, -1).replaceAll("''", "'") : trimmed;
}
