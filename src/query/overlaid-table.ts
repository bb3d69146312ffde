import { keyColumns, type Table } from "../catalog/catalog.ts";
import { type ResultRow, textAt } from "../postgres/row-bytes.ts";
import type { TextValue } from "../value.ts";
import type { Comparable, ComparableReader } from "./comparable.ts";
import type { OrderColumn } from "./condition-sql.ts";
import type { Over } from "./merged-source.ts";
import { OrderedRows } from "./ordered-rows.ts";

/** A row of the database as text, one value for each column in the table's order; null where there is no such row. */
export type RowText = readonly TextValue[] | null;

/** A row that pending writes name. */
export interface OverlaidRow {
  readonly key: readonly TextValue[];
  /** As the pending writes leave it. */
  readonly row: RowText;
  /** Its key as the snapshot prints it; undefined where the snapshot has no such row. */
  readonly baseKey: string | undefined;
  /** Whether a pending write changes it; otherwise the snapshot's row stands. */
  readonly changed: boolean;
  /** Comparables of its columns, as far as they were asked for. */
  readonly cells: (Comparable | null)[] | undefined;
}

/** Rows of the snapshot that do not count any more, by their keys as `baseKeyText` makes them. */
export interface Replaced {
  size: number;
  has(baseKey: string): boolean;
}

type Mutable<T> = { -readonly [P in keyof T]: T[P] };

/** Columns along which the rows of one table are kept. */
const MOST_ORDERED = 4;

/** The rows of one table that pending writes name, over one snapshot. */
export class OverlaidTable {
  readonly table: Table;
  /** Where other tables inherit from the table: all of those, each with what is put over its own rows. */
  readonly heirs: readonly { table: Table; overlaid: OverlaidTable | undefined }[];
  readonly #keyIndexes: number[];
  /** By the key's text. Several texts may be the same key; null for one that is no key of the table. */
  readonly #rows = new Map<string, OverlaidRow | null>();
  readonly #named: OverlaidRow[] = [];
  readonly #changed: OverlaidRow[] = [];
  /** Which of the changes, counted from 1, was the first to each replaced row of the snapshot. */
  readonly #replaced = new Map<string, number>();

  readonly #ordered = new Map<string, OrderedRows>();

  constructor(table: Table, heirs: OverlaidTable["heirs"] = []) {
    this.table = table;
    this.heirs = heirs;
    this.#keyIndexes = keyColumns(table).map((column) => table.columns.indexOf(column));
  }

  /** Whether the snapshot's rows stand as they are. */
  get isEmpty(): boolean {
    return this.#changed.length === 0;
  }

  /** The rows that pending writes change. */
  get changed(): readonly OverlaidRow[] {
    return this.#changed;
  }

  /** The rows of the snapshot that do not count any more, as of now. */
  replacedNow(): Replaced {
    const until = this.#replaced.size;
    return { size: until, has: (baseKey) => (this.#replaced.get(baseKey) ?? Infinity) <= until };
  }

  /** Their keys. */
  get replacedKeys(): (readonly TextValue[])[] {
    return this.#changed.flatMap(({ key, baseKey }) => (baseKey === undefined ? [] : [key]));
  }

  /** What to put over the table, as of now. */
  freeze(): Over {
    const keys = this.replacedKeys;
    const rows = this.#changed.flatMap(({ row }) => (row ? [row] : []));
    if (this.heirs.length === 0) return { keys, rows };
    return { keys, rows, heirs: this.heirs.map(({ table, overlaid }) => ({ table, over: overlaid?.freeze() })) };
  }

  /** The changed rows along a column. Kept while few of them change. */
  along(order: OrderColumn): OrderedRows {
    const name = [order.index, order.descending, order.nullsFirst].join();
    const kept = this.#ordered.get(name);
    if (kept && !kept.isStale) return kept;
    const made = new OrderedRows(this.#changed, order);
    if (this.#ordered.size >= MOST_ORDERED) this.#ordered.clear();
    this.#ordered.set(name, made);
    return made;
  }

  /** The rows that pending writes name. */
  get named(): readonly OverlaidRow[] {
    return this.#named;
  }

  /** The row of a key; null where the text is no key of the table, undefined where nothing is known of it. */
  find(keyText: string): OverlaidRow | null | undefined {
    return this.#rows.get(keyText);
  }

  /** Takes in what the snapshot says of a key. */
  add(key: readonly TextValue[], row: RowText): OverlaidRow {
    const baseKey = row ? baseKeyText(row, this.#keyIndexes) : undefined;
    const added = { key, row, baseKey, changed: false, cells: undefined };
    this.#named.push(added);
    return added;
  }

  /** From now on this text is the key of the row. */
  name(keyText: string, row: OverlaidRow | null): void {
    this.#rows.set(keyText, row);
  }

  /** A pending write leaves this row like that. */
  change(target: Mutable<OverlaidRow>, row: RowText): void {
    target.row = row;
    target.cells = undefined;
    for (const ordered of this.#ordered.values()) ordered.changed(target);
    if (target.changed) return;
    target.changed = true;
    this.#changed.push(target);
    if (target.baseKey !== undefined) this.#replaced.set(target.baseKey, this.#replaced.size + 1);
  }
}

/** The text of a key from a row that the database printed; it has no NUL in it. */
export function baseKeyText(row: ResultRow, keyIndexes: readonly number[]): string {
  const [first, ...rest] = keyIndexes;
  let text = textAt(row, first ?? 0) ?? "";
  for (const index of rest) text += `\0${textAt(row, index) ?? ""}`;
  return text;
}

/** A column of an overlaid row as a comparable, kept with the row; null for NULL. */
export function cell(row: Mutable<OverlaidRow>, column: number, reader: ComparableReader): Comparable | null {
  const text = row.row?.[column] ?? null;
  if (text === null) return null;
  row.cells ??= [];
  const known = row.cells[column];
  if (known !== undefined) return known;
  const read = reader.read(text);
  row.cells[column] = read;
  return read;
}
