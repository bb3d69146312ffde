import type { ColumnType } from "../catalog/catalog.ts";
import { encodeValue } from "../catalog/encode-value.ts";
import { kinds } from "../catalog/load-catalog.ts";
import type { Value } from "../value.ts";
import type { ComparisonOperator } from "./table-query.ts";

/** What to write for an operator between a column and a value. */
export interface Operation {
  /** PostgreSQL's symbol. */
  symbol: string;
  /** The type of the value. */
  right: ColumnType;
  /** The value where it has to be written otherwise. */
  value?: Value;
}

const textBases = new Set(["text", "varchar", "bpchar", "name", "public.citext"]);
const patterns = new Set<ComparisonOperator>(["LIKE", "ILIKE", "~", "~*"]);
const equalities = new Set<ComparisonOperator>(["=", "<>", "IS NOT DISTINCT FROM"]);
const comparisons = new Set<ComparisonOperator>([...equalities, "<", "<=", ">", ">="]);
const withoutComparison = new Set(["json", "xml", "point", "polygon", "box", "circle", "path", "lseg", "line"]);
const sets: ComparisonOperator[] = ["@>", "<@", "&&"];
const builtInBases = /^[a-z0-9_]+$/;

/**
 * How the operator applies to a column of the type (https://www.postgresql.org/docs/current/functions.html). Undefined
 * where the type lacks it. What an extension's type has, PostgreSQL itself says when the query runs. `field` is the
 * value's, for errors.
 */
export function operationOf(
  type: ColumnType,
  operator: ComparisonOperator,
  value: Value,
  field: string,
): Operation | undefined {
  const same = { symbol: operator, right: type };
  if (type.array) {
    if (sets.includes(operator)) return same;
    return comparisons.has(operator) && comparable(type) ? same : undefined;
  }
  if (patterns.has(operator)) return textBases.has(type.base) ? { symbol: operator, right: text } : undefined;
  if (rangeLike(type)) return rangeOperation(type, operator, value, field);
  switch (type.base) {
    case "jsonb":
      return jsonOperation(type, operator);
    case "inet":
    case "cidr":
      return inetOperation(type, operator);
    case "tsvector":
      if (operator === "@@") return { symbol: "@@", right: builtIn("tsquery") };
      break;
    case "point":
      return pointOperation(type, operator, value);
    case "polygon":
    case "box":
    case "circle":
      if (equalities.has(operator)) return { ...same, symbol: operator === "=" ? "~=" : operator };
      return sets.includes(operator) || operator === "<<" || operator === ">>" ? same : undefined;
  }
  if (!builtInBases.test(type.base)) return same;
  return comparisons.has(operator) && comparable(type) ? same : undefined;
}

/** Whether values of the type are equal or not, and come in an order. */
export function comparable(type: ColumnType): boolean {
  return !withoutComparison.has(type.base);
}

/** Whether the type is json or jsonb, so that a path leads into its values. */
export function isJson(type: ColumnType): boolean {
  return !type.array && (type.base === "json" || type.base === "jsonb");
}

function jsonOperation(type: ColumnType, operator: ComparisonOperator): Operation | undefined {
  switch (operator) {
    case "?":
      return { symbol: operator, right: text };
    case "?|":
    case "?&":
      return { symbol: operator, right: { ...text, display: "text[]", cast: "text[]", array: true } };
    case "@?":
    case "@@":
      return { symbol: operator, right: builtIn("jsonpath") };
    case "@>":
    case "<@":
      return { symbol: operator, right: type };
    default:
      return comparisons.has(operator) ? { symbol: operator, right: type } : undefined;
  }
}

function inetOperation(type: ColumnType, operator: ComparisonOperator): Operation | undefined {
  const right = { ...type, ...builtIn("inet") };
  switch (operator) {
    case "<@":
      return { symbol: "<<=", right };
    case "@>":
      return { symbol: ">>=", right };
    case "&&":
    case "<<":
    case ">>":
      return { symbol: operator, right };
    default:
      return comparisons.has(operator) ? { symbol: operator, right } : undefined;
  }
}

function rangeLike({ typtype, base }: ColumnType): boolean {
  return typtype === "r" || typtype === "m" || /range$/.test(base);
}

/** A single value is contained in a range just where the range of it alone is. */
function rangeOperation(
  type: ColumnType,
  operator: ComparisonOperator,
  value: Value,
  field: string,
): Operation | undefined {
  const known = sets.includes(operator) || operator === "<<" || operator === ">>" || operator === "-|-";
  if (!known) return comparisons.has(operator) ? { symbol: operator, right: type } : undefined;
  const single = singleText(value, field);
  if (operator !== "@>" || single === undefined) return { symbol: operator, right: type };
  const quoted = `"${single.replaceAll(/["\\]/g, String.raw`\$&`)}"`;
  const range = `[${quoted},${quoted}]`;
  const multirange = type.typtype === "m" || type.base.endsWith("multirange");
  return { symbol: operator, right: type, value: { kind: "string", value: multirange ? `{${range}}` : range } };
}

/** The text of a value that is an element of a range, not a range. */
function singleText(value: Value, field: string): string | undefined {
  switch (value.kind) {
    case "int64":
      return value.value.toString();
    case "numeric":
      return value.value;
    case "timestamp":
      return encodeValue(builtIn("timestamptz"), value, field) ?? undefined;
    case "string":
      return /^\s*(?:[[({]|empty\s*$)/i.test(value.value) ? undefined : value.value;
    default:
      return undefined;
  }
}

/** What a point lies in is told by its text: "<(0,0),1>" is a circle, "((0,0),...)" a polygon, "(0,0),(1,1)" a box. */
function pointOperation(type: ColumnType, operator: ComparisonOperator, value: Value): Operation | undefined {
  if (operator === "=") return { symbol: "~=", right: type };
  if (operator === "<<" || operator === ">>") return { symbol: operator, right: type };
  if (operator !== "<@" || value.kind !== "string") return undefined;
  const shape = value.value.replaceAll(/\s/g, "");
  const right = shape.startsWith("<") ? "circle" : shape.startsWith("((") ? "polygon" : "box";
  return { symbol: "<@", right: builtIn(right) };
}

/** One of PostgreSQL's own types, for the right side of an operator. */
export function builtIn(base: string): ColumnType {
  return {
    display: base,
    castWithModifier: `pg_catalog.${base}`,
    cast: `pg_catalog.${base}`,
    base,
    typtype: "b",
    kind: kinds[base] ?? "text",
    array: false,
    domain: false,
    delimiter: ",",
    modifier: -1,
    enumValues: [],
  };
}

export const text: ColumnType = builtIn("text");
