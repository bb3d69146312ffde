import { type Catalog, type Column, keyColumns, type Table } from "../catalog/catalog.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { type ResultRow, textAt } from "../postgres/row-bytes.ts";
import type { TextValue } from "../value.ts";
import { conditionSql, type OrderColumn, orderBySql, totalOrder } from "./condition-sql.ts";
import { compileMatch, pinnedKey, type Verdict } from "./in-memory-match.ts";
import { memoryFor, mergedSource, type Over, overlaidRows } from "./merged-source.ts";
import { baseKeyText, cell, type OverlaidRow, type OverlaidTable, type Replaced } from "./overlaid-table.ts";
import type { Batch, FrozenOverlay, Overlaid, PlannedQuery, RunStatement, TableStatement } from "./plan-query.ts";
import { planRelated, type RelatedPlan } from "./related-rows.ts";
import { outputColumns, resultColumn } from "./result-column.ts";
import { afterInMemory, afterSql, decodeResumePoint, encodeResumePoint, type ResumePoint } from "./resume-point.ts";
import { rowsThatMatter } from "./rows-that-matter.ts";
import type { TableQuery } from "./table-query.ts";

/** How many rows more than the limit are asked for at first where some of the base may not count. */
const SPARE_ROWS = 64;
/** Overlaid rows in one statement where they need not all be in one. */
const ROWS_AT_A_TIME = 5_000;

/** A query for rows of one table. */
export function planRows(catalog: Catalog, table: Table, query: TableQuery): PlannedQuery {
  return new RowQuery(catalog, table, query);
}

/** What is put over the table, as it was at one moment. */
interface OverBase {
  /** The overlaid rows that can be in the result. */
  rows?: readonly (readonly TextValue[])[];
  /** Keys of the base's rows that do not count. */
  replaced?: Replaced;
  /** Instead of both, where others inherit from the table: all that is put over them and it. */
  family?: Over;
}

type Merged = Required<Pick<OverBase, "rows" | "replaced">>;

function isMerged(over: OverBase): over is Merged {
  return over.rows !== undefined && over.replaced !== undefined;
}

interface Statement {
  statement: TableStatement;
  /** Where the order's columns are in its rows. */
  orderAt: number[];
  /** Whether a row counts. Undefined: all do. */
  keep: ((row: ResultRow) => boolean) | undefined;
}

class RowQuery implements PlannedQuery {
  readonly columns;
  readonly related;
  readonly tables: Table[];
  readonly #table: Table;
  readonly #query: TableQuery;
  readonly #output: readonly Column[];
  readonly #order: OrderColumn[];
  readonly #related: RelatedPlan[];
  readonly #resume: ResumePoint | undefined;
  /** Of the only row that can be in the result, as the overlay knows it. */
  readonly #key: string | undefined;
  /** Rows that are still wanted. */
  readonly #limit: number | undefined;

  constructor(catalog: Catalog, table: Table, query: TableQuery) {
    this.#table = table;
    this.#query = query;
    this.#output = outputColumns(table, query.columns, "columns");
    this.#order = totalOrder(table, query.orderBy, "order_by");
    this.#related = query.related.map((related) => planRelated(catalog, table, related));
    conditionSql(table, "t", query.where, []);
    this.#key = pinnedKey(table, query.where);
    if (query.resumeAfter.length > 0) this.#resume = decodeResumePoint(query.identity, query.resumeAfter, this.#order);
    if (query.limit !== undefined && query.limit <= BigInt(Number.MAX_SAFE_INTEGER))
      this.#limit = Math.max(0, Number(query.limit) - (this.#resume?.rowCount ?? 0));
    this.columns = this.#output.map(resultColumn);
    this.related = this.#related.map(({ table: { name }, columns }) => ({ table: name, columns }));
    this.tables = [table, ...this.#related.map((related) => related.table)];
  }

  /**
   * Rows of the base that the overlay replaces are dropped here, by their keys: so PostgreSQL keeps to its index where
   * the order has one, and is sent only the overlaid rows that can be in the result (facts.md, merged reads).
   */
  async *run(overlaid: Overlaid, runStatement: RunStatement, batchSize: number): AsyncGenerator<Batch> {
    if (this.#limit === 0) return;
    // All of it at one moment: the overlay goes on growing while the result is read.
    const overRelated = new Map(this.#related.map(({ table }) => [table, overlaid(table)?.freeze()]));
    const related: FrozenOverlay = (table) => overRelated.get(table);
    const over = this.#over(overlaid(this.#table));
    if (isMerged(over) && this.#order.length === 0) yield* this.#runInParts(over, related, runStatement, batchSize);
    else yield* this.#runWhole(over, related, runStatement, batchSize);
  }

  #over(overlaid: OverlaidTable | undefined): OverBase {
    if (!overlaid) return {};
    if (overlaid.heirs.length > 0) return { family: overlaid.freeze() };
    return { rows: this.#rowsThatMatter(overlaid), replaced: overlaid.replacedNow() };
  }

  /** Where there is no order, the overlaid rows come after the base, some at a time: the first rows wait for none of them. */
  async *#runInParts(
    { rows, replaced }: Merged,
    related: FrozenOverlay,
    runStatement: RunStatement,
    batchSize: number,
  ) {
    let left = this.#limit ?? Infinity;
    const parts = function* (this: RowQuery): Generator<Statement> {
      yield this.#statement({ replaced }, related, replaced.size);
      for (let from = 0; from < rows.length; from += ROWS_AT_A_TIME)
        yield this.#statement({ rows: rows.slice(from, from + ROWS_AT_A_TIME) }, related, 0);
    };
    for (const { statement, keep } of parts.call(this))
      for await (const batch of runStatement(statement, batchSize)) {
        const kept = keep ? batch.filter(keep) : batch;
        const taken = kept.length > left ? kept.slice(0, left) : kept;
        left -= taken.length;
        if (taken.length > 0) yield { rows: taken };
        if (left === 0) return;
      }
  }

  /** In one statement, which is asked for more rows where too many of the base turn out to be replaced. */
  async *#runWhole(over: OverBase, related: FrozenOverlay, runStatement: RunStatement, batchSize: number) {
    const most = over.replaced?.size ?? 0;
    let spare = Math.min(most, SPARE_ROWS);
    let emitted = 0;
    for (;;) {
      const { statement, keep, orderAt } = this.#statement(over, related, spare);
      let read = 0;
      let known = emitted; // in the same snapshot a wider look begins with the same rows
      for await (const batch of runStatement(statement, batchSize)) {
        read += batch.length;
        let rows = keep ? batch.filter(keep) : batch;
        if (known > 0) {
          const again = Math.min(known, rows.length);
          known -= again;
          rows = rows.slice(again);
        }
        if (this.#limit !== undefined && emitted + rows.length > this.#limit)
          rows = rows.slice(0, this.#limit - emitted);
        emitted += rows.length;
        if (rows.length > 0) yield { rows, ...this.#resumePoint(rows, orderAt, emitted) };
        if (emitted === this.#limit) return;
      }
      if (this.#limit === undefined || spare >= most || read < this.#limit + spare) return;
      spare = Math.min(most, spare * 8);
    }
  }

  #resumePoint(rows: ResultRow[], orderAt: number[], emitted: number): { resumePoint?: Uint8Array } {
    const last = rows.at(-1);
    if (!last || this.#order.length === 0) return {};
    const values = orderAt.map((at) => textAt(last, at));
    const rowCount = emitted + (this.#resume?.rowCount ?? 0);
    return { resumePoint: encodeResumePoint(this.#query.identity, { values, rowCount }) };
  }

  /**
   * Over the base, less what is replaced; over the overlaid rows; or over both. Where others inherit from the table, the
   * base is all of them with what is put over each.
   */
  #statement({ rows, replaced, family }: OverBase, related: FrozenOverlay, spare: number): Statement {
    const values: unknown[] = [];
    const table = this.#table;
    const filters = [conditionSql(table, "t", this.#query.where, values)];
    if (this.#resume) filters.push(afterSql(this.#order, this.#resume, values));
    const where = filters.join(" and ");
    const top = this.#limit === undefined ? "" : ` limit ${this.#limit + spare}`;

    const selected = new Selected(this.#output);
    for (const { column } of this.#order) selected.add(column);
    for (const { joined } of this.#related) for (const column of joined) selected.add(column);
    const replaces = replaced !== undefined && replaced.size > 0;
    const keys = keyColumns(table);
    if (replaces) for (const column of keys) selected.add(column);

    const orderBy = (alias: string): string =>
      orderBySql(
        this.#order,
        this.#order.map(({ column }) => `${alias}.${selected.name(column)}`),
      );
    const columns = selected.columns.map((column, i) => `t.${quote(column.name)} as c${i}`).join(", ");
    const inTable = this.#order.map(({ column }) => `t.${quote(column.name)}`);
    const marks = replaces && rows ? [", null::text as m", ", '' as m"] : ["", ""];
    const base = (): string => {
      const source = mergedSource(table, family, values.length);
      values.push(...source.values);
      return `select ${columns}${marks[0]} from ${source.sql} t where ${where}${orderBySql(this.#order, inTable)}${top}`;
    };
    const overlay = (given: readonly (readonly TextValue[])[]): string => {
      const source = overlaidRows(table, given, values.length);
      values.push(...source.values);
      return `select ${columns}${marks[1]} from ${source.sql} t where ${where}`;
    };
    let text: string;
    if (!rows) text = base();
    else if (!replaced) text = overlay(rows) + top;
    // Order and limit inside the base's arm keep its index scan.
    else text = `select * from ((${base()}) union all (${overlay(rows)})) u${orderBy("u")}${top}`;
    if (this.#related.length > 0) {
      const fragments = this.#related.map((one, i) => {
        const fragment = one.sql("x", (column) => selected.name(column), related, values);
        return `${fragment} as r${i}`;
      });
      const names = selected.columns.map((_, i) => `x.c${i}`);
      const shown = names.slice(0, this.#output.length);
      const hidden = names.slice(this.#output.length);
      const parts = [...shown, ...fragments, ...hidden, ...(marks[0] === "" ? [] : ["x.m"])];
      text = `select ${parts.join(", ")} from (${text}) x${orderBy("x")}`;
    }
    const positions = (column: Column): number => selected.position(column, this.#related.length);
    const statement: TableStatement = { text, values, alone: !rows && !replaced && !family };
    if (this.#limit !== undefined) statement.atMost = this.#limit + spare;
    if (this.#key !== undefined) statement.atMost = 1;
    const memoryKb = memoryFor(family, ...this.#related.map((one) => related(one.table)));
    if (memoryKb !== undefined) statement.memoryKb = memoryKb;
    return {
      statement,
      orderAt: this.#order.map(({ column }) => positions(column)),
      keep: replaces
        ? keeper(replaced, keys.map(positions), selected.columns.length + this.#related.length)
        : undefined,
    };
  }

  #rowsThatMatter(over: OverlaidTable): readonly (readonly TextValue[])[] {
    if (this.#key !== undefined) {
      const pinned = over.find(this.#key);
      return pinned?.changed && pinned.row ? [pinned.row] : [];
    }
    const matches = compileMatch<OverlaidRow>(this.#table, this.#query.where, cell);
    const after = this.#resume && afterInMemory(this.#order, this.#resume);
    const both = after
      ? (row: OverlaidRow): Verdict => {
          const one = after(row);
          return one === true ? matches(row) : one === undefined && matches(row) !== false ? undefined : false;
        }
      : matches;
    return rowsThatMatter(over, both, this.#order, this.#limit);
  }
}

/** Whether a row counts: it is an overlaid one, or one of the base that none replaces. */
function keeper(replaced: Replaced, keyAt: readonly number[], markAt: number): (row: ResultRow) => boolean {
  return (row) => !replaced.has(baseKeyText(row, keyAt)) || textAt(row, markAt) !== null;
}

/** The columns of a select list: those of the result, then those that are needed besides. */
class Selected {
  readonly columns: Column[];
  readonly #shown: number;
  readonly #at = new Map<Column, number>();

  constructor(output: readonly Column[]) {
    this.columns = [...output];
    this.#shown = output.length;
    output.forEach((column, i) => {
      if (!this.#at.has(column)) this.#at.set(column, i);
    });
  }

  add(column: Column): void {
    if (this.#at.has(column)) return;
    this.#at.set(column, this.columns.length);
    this.columns.push(column);
  }

  name(column: Column): string {
    return `c${this.#at.get(column) ?? 0}`;
  }

  /** Where its value is in a row that has so many more values after the result's columns. */
  position(column: Column, more: number): number {
    const at = this.#at.get(column) ?? 0;
    return at < this.#shown ? at : at + more;
  }
}
