import { type Column, keyColumns, type Table } from "../catalog/catalog.ts";
import type { Statement } from "../postgres/connection.ts";
import { parseLedgerRow, readLedger } from "../postgres/ledger.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import type { TextValue } from "../value.ts";
import { typed, withGenerated } from "./merged-source.ts";
import type { RowText } from "./overlaid-table.ts";
import { rowsByKeySql } from "./rows-by-key.ts";

export type Key = readonly TextValue[];

/** Statements in a snapshot, answered by rows of text. */
export interface SnapshotSource {
  query(statement: Statement): Promise<TextValue[][]>;
  /** The same; undefined, with the snapshot as it was, where PostgreSQL refuses a value, as main would. */
  attempt(statement: Statement): Promise<TextValue[][] | undefined>;
}

/** What PostgreSQL says, in the snapshot that an overlay is for, of rows, keys and values. */
export class OverlayBase {
  readonly #source: SnapshotSource;

  constructor(source: SnapshotSource) {
    this.#source = source;
  }

  /** The snapshot's rows with these keys, in the order of the keys. */
  async readRows(table: Table, keys: readonly Key[]): Promise<RowText[]> {
    const rows = await this.#source.query(rowsByKeySql(table, keys));
    const found = new Map(rows.map(([n, ...row]) => [Number(n), row]));
    return keys.map((_, i) => found.get(i + 1) ?? null);
  }

  /** Which of the write ids have a ledger row in the snapshot. */
  async readKnown(writeIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#source.query(readLedger(writeIds));
    return new Set(rows.map((row) => parseLedgerRow(row).writeId));
  }

  /** For each key the index of the first one that is equal; undefined for one that the key's type refuses. */
  async sameKeys(table: Table, keys: readonly Key[]): Promise<(number | undefined)[]> {
    if (keys.length === 0) return [];
    const firsts = await this.#source.attempt(firstKeysSql(table, keys));
    if (firsts) return firsts.map(([n]) => Number(n) - 1);
    if (keys.length === 1) return [undefined];
    // Which of them is wrong the statement does not say: halves are tried, and then all that are right.
    const middle = keys.length >> 1;
    const halves = [
      ...(await this.sameKeys(table, keys.slice(0, middle))),
      ...(await this.sameKeys(table, keys.slice(middle))),
    ];
    const right = keys.flatMap((_, i) => (halves[i] === undefined ? [] : [i]));
    const same = await this.sameKeys(
      table,
      right.map((i) => keys[i] ?? []),
    );
    const indexes = new Map(right.map((i, at) => [i, right[same[at] ?? -1]]));
    return keys.map((_, i) => indexes.get(i));
  }

  /** The rows as the database would store them, generated columns too; undefined for one that it would refuse. */
  async storedRows(
    table: Table,
    rows: readonly (readonly TextValue[])[],
  ): Promise<(readonly TextValue[] | undefined)[]> {
    if (rows.length === 0) return [];
    const stored = await this.#source.attempt(storedRowsSql(table, rows));
    if (stored) return stored;
    if (rows.length === 1) return [undefined];
    const middle = rows.length >> 1;
    return [
      ...(await this.storedRows(table, rows.slice(0, middle))),
      ...(await this.storedRows(table, rows.slice(middle))),
    ];
  }

  /** Whether two texts are the same value of a column ("1.0" and "1.00" of numeric); false where one is no value at all. */
  async sameValue(column: Column, left: string, right: string): Promise<boolean> {
    // These have no equality operator; main compares their texts.
    if (["json", "xml"].includes(column.type.base)) return left === right;
    const rows = await this.#source.attempt({
      text: `select ${typed(column, "$1::text")} is not distinct from ${typed(column, "$2::text")}`,
      values: [left, right],
    });
    return rows?.[0]?.[0] === "t";
  }
}

/** For each key, in their order, the number of the first that is equal. */
function firstKeysSql(table: Table, keys: readonly Key[]): Statement {
  const columns = keyColumns(table);
  const names = columns.map((_, i) => `c${i}`);
  const values = columns.map((column, i) => typed(column, `v.c${i}`)).join(", ");
  return {
    text: `select first_value(v.n) over (partition by ${values} order by v.n) from ${numbered(names, "n")} order by v.n`,
    values: columns.map((_, i) => keys.map((key) => key[i] ?? null)),
  };
}

function storedRowsSql(table: Table, rows: readonly (readonly TextValue[])[]): Statement {
  const written = table.columns.filter(({ generatedExpression }) => generatedExpression === undefined);
  let number = "n";
  while (table.byName.has(number)) number += "_"; // generated columns say names of columns alone
  const names = written.map((_, i) => `c${i}`);
  const casts = written.map((column, i) => `${typed(column, `v.c${i}`)} as ${quote(column.name)}`);
  const source = numbered(names, number);
  const columns = table.columns.map(({ name }) => `t.${quote(name)}`).join(", ");
  const inner = `select ${[...casts, `v.${number}`].join(", ")} from ${source}`;
  return {
    text: `select ${columns} from ${withGenerated(table, inner)} t order by t.${number}`,
    values: written.map((column) => {
      const index = table.columns.indexOf(column);
      return rows.map((row) => row[index] ?? null);
    }),
  };
}

/** `unnest(...) with ordinality v(c0, ..., n)`: one text array for each column. */
function numbered(names: readonly string[], number: string): string {
  const parameters = names.map((_, i) => `$${i + 1}::text[]`).join(", ");
  return `unnest(${parameters}) with ordinality v(${[...names, number].join(", ")})`;
}
