import type { Column, Table } from "../catalog/catalog.ts";
import { OpsDbError } from "../errors.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { clampLimit, conditionSql, findColumn, orderBySql } from "./condition-sql.ts";
import { compileMatch } from "./in-memory-match.ts";
import { memoryFor, mergedSource, type Over } from "./merged-source.ts";
import { builtIn, comparable } from "./operators.ts";
import { cell, type OverlaidRow, type OverlaidTable } from "./overlaid-table.ts";
import type { Batch, Overlaid, PlannedQuery, RunStatement } from "./plan-query.ts";
import { resultColumn } from "./result-column.ts";
import { rowsThatMatter } from "./rows-that-matter.ts";
import type { Aggregate, ResultColumn, TableQuery } from "./table-query.ts";

/** A query for groups of rows of one table, and what aggregates say of each. */
export function planGroups(table: Table, query: TableQuery): PlannedQuery {
  return new GroupQuery(table, query);
}

interface GroupColumn {
  result: ResultColumn;
  sql: string;
}

class GroupQuery implements PlannedQuery {
  readonly columns;
  readonly related = [];
  readonly tables: Table[];
  readonly #table: Table;
  readonly #query: TableQuery;
  readonly #groups: GroupColumn[];
  readonly #output: GroupColumn[];
  readonly #order: { descending: boolean; nullsFirst: boolean; at: number }[];

  constructor(table: Table, query: TableQuery) {
    refuseRowFields(query);
    this.#table = table;
    this.#query = query;
    this.#groups = query.groupBy.map((name, i) => groupColumn(findColumn(table, name, `group_by[${i}]`), i));
    this.#output = [
      ...this.#groups,
      ...query.aggregates.map((aggregate, i) => aggregateColumn(table, aggregate, `aggregates[${i}]`)),
    ];
    this.#order = this.#orderOf(query);
    conditionSql(table, "t", query.where, []);
    this.columns = this.#output.map(({ result }) => result);
    this.tables = [table];
  }

  async *run(overlaid: Overlaid, runStatement: RunStatement, batchSize: number): AsyncGenerator<Batch> {
    const values: unknown[] = [];
    const where = conditionSql(this.#table, "t", this.#query.where, values);
    const over = this.#over(overlaid(this.#table));
    const source = mergedSource(this.#table, over, values.length);
    values.push(...source.values);
    const select = this.#output.map(({ sql }, i) => `${sql} as c${i}`).join(", ");
    const groups = this.#groups.length === 0 ? "" : ` group by ${this.#groups.map((_, i) => i + 1).join(", ")}`;
    const names = this.#order.map(({ at }) => String(at + 1));
    const top = this.#query.limit === undefined ? "" : ` limit ${clampLimit(this.#query.limit)}`;
    const memoryKb = memoryFor(over);
    const isOneRow = this.#groups.length === 0 && this.#query.limit === undefined;
    const statement = {
      alone: over === undefined,
      ...(isOneRow && { atMost: 1 }),
      text: `select ${select} from ${source.sql} t where ${where}${groups}${orderBySql(this.#order, names)}${top}`,
      values,
      ...(memoryKb === undefined ? {} : { memoryKb }),
    };
    for await (const batch of runStatement(statement, batchSize)) if (batch.length > 0) yield { rows: batch };
  }

  #over(overlaid: OverlaidTable | undefined): Over | undefined {
    if (overlaid && overlaid.heirs.length > 0) return overlaid.freeze();
    const matches = compileMatch<OverlaidRow>(this.#table, this.#query.where, cell);
    return overlaid && { keys: overlaid.replacedKeys, rows: rowsThatMatter(overlaid, matches, [], undefined) };
  }

  /** By columns of the result; then by the groups, so that it is total. */
  #orderOf({ orderBy }: TableQuery) {
    if (orderBy.length === 0) return [];
    const order = orderBy.map(({ column, descending, nullsFirst = descending }, i) => {
      const at = this.#output.findIndex(({ result }) => result.name === column);
      if (at < 0)
        throw new OpsDbError("COLUMN_NOT_FOUND", `the result has no column ${JSON.stringify(column)}`, {
          field: `order_by[${i}].column`,
          metadata: { table: this.#table.name, column },
        });
      return { at, descending, nullsFirst };
    });
    const rest = this.#groups.map((_, at) => at).filter((at) => !order.some((term) => term.at === at));
    return [...order, ...rest.map((at) => ({ at, descending: false, nullsFirst: false }))];
  }
}

function refuseRowFields({ columns, related, resumeAfter }: TableQuery): void {
  const field =
    columns.length > 0
      ? "columns"
      : related.length > 0
        ? "related"
        : resumeAfter.length > 0
          ? "resume_after"
          : undefined;
  if (field !== undefined)
    throw new OpsDbError("INVALID_FIELD", `${field} is for rows; the query has aggregates or group_by`, { field });
}

function groupColumn(column: Column, i: number): GroupColumn {
  if (!comparable(column.type))
    throw new OpsDbError("INVALID_OPERATOR", `${column.type.display} values do not compare; column ${column.name}`, {
      field: `group_by[${i}]`,
    });
  return { result: resultColumn(column), sql: `t.${quote(column.name)}` };
}

const integers = new Set(["int2", "int4"]);
const numbers = new Set(["int2", "int4", "int8", "float4", "float8", "numeric", "interval", "money"]);
const withExtremes = new Set([
  ...numbers,
  ..."oid text varchar bpchar name date time timetz timestamp timestamptz inet cidr pg_lsn".split(" "),
]);
/** Types whose extremes are of another type, which their values are read as. */
const readAs: Partial<Record<string, string>> = { varchar: "text", name: "text", cidr: "inet" };

function aggregateColumn(table: Table, aggregate: Aggregate, field: string): GroupColumn {
  const { function: name, column: columnName } = aggregate;
  if (columnName === undefined) return { result: typed(aggregate, "int8"), sql: "count(*)" };
  const column = findColumn(table, columnName, `${field}.column`);
  const value = `t.${quote(column.name)}`;
  const { type } = column;
  const refuse = (): OpsDbError =>
    new OpsDbError("INVALID_OPERATOR", `${type.display} has no ${name}; column ${column.name}`, {
      field: `${field}.function`,
    });
  switch (name) {
    case "count":
      // count(x) counts a composite value whose fields are all NULL as well.
      return { result: typed(aggregate, "int8"), sql: `count(${value})` };
    case "count_distinct":
      if (!comparable(type)) throw refuse();
      return { result: typed(aggregate, "int8"), sql: `count(distinct ${value})` };
    case "sum":
    case "avg":
      if (type.array || !numbers.has(type.base) || (name === "avg" && type.base === "money")) throw refuse();
      return { result: typed(aggregate, (name === "sum" ? sumType : avgType)(type.base)), sql: `${name}(${value})` };
    case "min":
    case "max": {
      if (type.array || (type.enumValues.length === 0 && !withExtremes.has(type.base))) throw refuse();
      const base = readAs[type.base];
      return {
        result: base === undefined ? { ...resultColumn(column), name: aggregate.name } : typed(aggregate, base),
        sql: `${name}(${value})`,
      };
    }
  }
}

function sumType(base: string): string {
  if (integers.has(base)) return "int8";
  return base === "int8" ? "numeric" : base;
}

function avgType(base: string): string {
  if (base === "float4") return "float8";
  return integers.has(base) || base === "int8" ? "numeric" : base;
}

const displays: Partial<Record<string, string>> = { int8: "bigint", float4: "real", float8: "double precision" };

function typed({ name }: Aggregate, base: string): ResultColumn {
  return resultColumn({ name, type: { ...builtIn(base), display: displays[base] ?? base } });
}
