import { type Column, columnOf, type Table } from "../catalog/catalog.ts";
import type { TextValue } from "../value.ts";
import { type Comparable, type ComparableReader, comparableReader } from "./comparable.ts";
import { encodeOperand } from "./condition-sql.ts";
import type { Condition } from "./table-query.ts";

/** What a condition is of one row: true, false, SQL's unknown (null), or for PostgreSQL to say (undefined). */
export type Verdict = boolean | null | undefined;

/** Gives the comparable of a row's column; null for NULL. Rows keep them between queries. */
export type Cells<Row> = (row: Row, column: number, reader: ComparableReader) => Comparable | null;

/**
 * The condition as something that is quick to say of a row in memory, where that can be said exactly. It serves to send
 * PostgreSQL only the rows that it has to look at; the condition was checked before (conditionSql).
 */
export function compileMatch<Row>(
  table: Table,
  condition: Condition | undefined,
  cells: Cells<Row>,
): (row: Row) => Verdict {
  if (!condition) return () => true;
  switch (condition.kind) {
    case "and":
      return all(condition.conditions, table, cells);
    case "or": {
      const none = all(
        condition.conditions.map((inner): Condition => ({ kind: "not", condition: inner })),
        table,
        cells,
      );
      return (row) => negated(none(row));
    }
    case "not": {
      const inner = compileMatch(table, condition.condition, cells);
      return (row) => negated(inner(row));
    }
    case "is_null": {
      const at = indexOf(table, condition.column);
      if (table.columns[at]?.generatedExpression !== undefined) return unknown;
      return (row) => cells(row, at, present) === null;
    }
    case "in": {
      const column = table.columns[indexOf(table, condition.column)];
      const reader = column && comparableReader(column);
      if (!column || !reader) return unknown;
      const texts = condition.values.map((value) => encodeOperand(column.type, value, condition.field));
      return among(table, column, reader, texts, cells);
    }
    case "between":
      return all(
        [
          { ...condition, kind: "comparison", operator: ">=", value: condition.low },
          { ...condition, kind: "comparison", operator: "<=", value: condition.high },
        ],
        table,
        cells,
      );
    case "comparison":
      return comparison(table, condition, cells);
  }
}

const unknown = (): Verdict => undefined;
/** Tells only whether there is a value. */
const present: ComparableReader = { read: () => undefined, ordered: false };

function all<Row>(conditions: readonly Condition[], table: Table, cells: Cells<Row>): (row: Row) => Verdict {
  const parts = conditions.map((condition) => compileMatch(table, condition, cells));
  return (row) => {
    let verdict: Verdict = true;
    for (const part of parts) {
      const one = part(row);
      if (one === false) return false;
      if (one === undefined) verdict = undefined;
      else if (one === null && verdict === true) verdict = null;
    }
    return verdict;
  };
}

function negated(verdict: Verdict): Verdict {
  return typeof verdict === "boolean" ? !verdict : verdict;
}

function among<Row>(
  table: Table,
  column: Column,
  reader: ComparableReader,
  texts: readonly TextValue[],
  cells: Cells<Row>,
): (row: Row) => Verdict {
  const values = new Set<Comparable>();
  for (const text of texts) if (text !== null) values.add(reader.read(text));
  const absent: Verdict =
    texts.length === 0 ? false : values.has(undefined) ? undefined : texts.includes(null) ? null : false;
  const at = table.columns.indexOf(column);
  return (row) => {
    if (texts.length === 0) return false;
    const cell = cells(row, at, reader);
    if (cell === null || cell === undefined) return cell;
    return values.has(cell) ? true : absent;
  };
}

function comparison<Row>(
  table: Table,
  condition: Extract<Condition, { kind: "comparison" }>,
  cells: Cells<Row>,
): (row: Row) => Verdict {
  const at = indexOf(table, condition.column);
  const column = table.columns[at];
  const reader = column && comparableReader(column);
  const compare = comparers[condition.operator];
  if (!column || !reader || !compare || (condition.path?.length ?? 0) > 0) return unknown;
  if (!reader.ordered && condition.operator !== "=" && condition.operator !== "<>") return unknown;
  const text = encodeOperand(column.type, condition.value, condition.field);
  if (text === null) return () => null;
  const value = reader.read(text);
  if (value === undefined) return unknown;
  return (row) => {
    const cell = cells(row, at, reader);
    return cell === null || cell === undefined ? cell : compare(cell, value);
  };
}

const comparers: Partial<Record<string, (left: number | string, right: number | string) => boolean>> = {
  "=": (left, right) => left === right,
  "<>": (left, right) => left !== right,
  "<": (left, right) => left < right,
  "<=": (left, right) => left <= right,
  ">": (left, right) => left > right,
  ">=": (left, right) => left >= right,
};

function indexOf(table: Table, name: string): number {
  return table.columns.findIndex((column) => column.name === name);
}

/**
 * The key of the only row that can fulfil the condition, as the overlay knows it; undefined where the condition does not
 * say its whole key, or says it in a type of which one value has several texts.
 */
export function pinnedKey(table: Table, condition: Condition | undefined): string | undefined {
  const texts = new Map<string, TextValue>();
  for (const part of condition?.kind === "and" ? condition.conditions : [condition]) {
    if (part?.kind !== "comparison" || part.operator !== "=" || (part.path?.length ?? 0) > 0) continue;
    const column = columnOf(table, part.column);
    if (comparableReader(column)?.exact) texts.set(column.name, encodeOperand(column.type, part.value, part.field));
  }
  const key = table.primaryKey.map((name) => texts.get(name));
  return key.length > 0 && !key.includes(undefined) ? JSON.stringify(key) : undefined;
}
