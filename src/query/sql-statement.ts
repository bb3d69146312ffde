import type { Table } from "../catalog/catalog.ts";
import { quoteIdentifier as quote } from "../postgres/quote.ts";
import { type Fragment, memoryFor, mergedSource, type Over } from "./merged-source.ts";
import type { OverlaidTable } from "./overlaid-table.ts";
import type { TableStatement } from "./plan-query.ts";
import type { SqlSpot } from "./sql-errors.ts";
import type { SqlPiece } from "./sql-merge.ts";
import type { SqlText } from "./sql-text.ts";

/** The statement as PostgreSQL gets it. */
export class SqlStatement {
  readonly text: string;
  /** Of the parameters after the client's own. */
  readonly values: unknown[] = [];
  readonly memoryKb: number | undefined;
  readonly #source: SqlText;
  readonly #parts: { text: string; from: number; own: boolean }[] = [];

  /** `parameters` is how many the client's statement has. A table that comes twice has its rows once among the values. */
  constructor(
    source: SqlText,
    pieces: readonly SqlPiece[],
    over: (table: Table) => OverlaidTable | undefined,
    parameters: number,
  ) {
    this.#source = source;
    const sources = new Map<string, string>();
    const overlays: (Over | undefined)[] = [];
    for (const piece of pieces) {
      if (piece.kind === "text") {
        this.#parts.push(piece);
        continue;
      }
      const { table, from } = piece;
      let sql = sources.get(table.id);
      if (sql === undefined) {
        const overlaid = over(table)?.freeze();
        const fragment = selectAll(table, overlaid, parameters + this.values.length);
        this.values.push(...fragment.values);
        overlays.push(overlaid);
        sql = fragment.sql;
        sources.set(table.id, sql);
      }
      this.#parts.push({ text: sql, from, own: false });
    }
    this.memoryKb = memoryFor(...overlays);
    this.text = this.#parts.map(({ text }) => text).join("");
  }

  /** With the values of the client's parameters. */
  run(parameters: readonly unknown[]): TableStatement {
    return {
      text: this.text,
      values: [...parameters, ...this.values],
      ...(this.memoryKb === undefined ? {} : { memoryKb: this.memoryKb }),
    };
  }

  /** Where in the client's statement that is what PostgreSQL names as the nth character, from 1. */
  spot(position: number): SqlSpot | undefined {
    let before = position - 1;
    for (const { text, from, own } of this.#parts) {
      const characters = [...text];
      if (before <= characters.length) {
        const inside = own ? Buffer.byteLength(characters.slice(0, before).join("")) : 0;
        return { text: this.#source, byte: from + inside };
      }
      before -= characters.length;
    }
    return undefined;
  }
}

/**
 * What stands for a table, `select ...`. It is one also where nothing is put over the table: what a statement may do
 * must not depend on that. PostgreSQL takes it for the table itself.
 */
function selectAll(table: Table, overlaid: Over | undefined, parameters: number): Fragment {
  const columns = table.columns.map(({ name }) => quote(name)).join(", ");
  const { sql, values } = mergedSource(table, overlaid, parameters);
  // Taken out of its own brackets where it has some: the statement puts it in brackets.
  return overlaid ? { sql: sql.slice(1, -1), values } : { sql: `select ${columns} from ${sql} t`, values };
}
