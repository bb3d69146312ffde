import { type Comparable, comparableReader } from "./comparable.ts";
import type { OrderColumn } from "./condition-sql.ts";
import { cell, type OverlaidRow } from "./overlaid-table.ts";

/** Overlaid rows along one column, so that a page of many of them need not look at all. */
export class OrderedRows {
  /** With a known place, along the column. */
  readonly #rows: OverlaidRow[] = [];
  readonly #places: number[] = [];
  /** Whose place is not known. */
  readonly #unplaced: OverlaidRow[] = [];
  /** That changed since. */
  readonly #recent = new Set<OverlaidRow>();

  constructor(rows: readonly OverlaidRow[], order: OrderColumn) {
    const place = placeOn(order);
    const placed: { row: OverlaidRow; at: number }[] = [];
    for (const row of rows) {
      const at = place(row);
      if (Number.isNaN(at)) this.#unplaced.push(row);
      else placed.push({ row, at });
    }
    placed.sort((a, b) => a.at - b.at || 0); // infinities have no difference
    for (const { row, at } of placed) {
      this.#rows.push(row);
      this.#places.push(at);
    }
  }

  /** Whether so much has changed that it is better made again. */
  get isStale(): boolean {
    return this.#recent.size > 1_000 + this.#rows.length / 8;
  }

  changed(row: OverlaidRow): void {
    this.#recent.add(row);
  }

  /** Rows whose place has to be found out, which may be anywhere. */
  *elsewhere(): Generator<OverlaidRow> {
    yield* this.#recent;
    for (const row of this.#unplaced) if (!this.#recent.has(row)) yield row;
  }

  /** The others along the column, each with its place. */
  *along(): Generator<[OverlaidRow, number]> {
    for (const [i, row] of this.#rows.entries()) if (!this.#recent.has(row)) yield [row, this.#places[i] ?? 0];
  }
}

/**
 * Where a row stands in an order by the column, as a number that grows along it, if not strictly. NaN where that is not
 * known.
 */
export function placeOn(order: OrderColumn): (row: OverlaidRow) => number {
  const reader = comparableReader(order.column);
  if (!reader?.ordered) return () => Number.NaN;
  return (row) => place(cell(row, order.index, reader), order);
}

function place(value: Comparable | null, { descending, nullsFirst }: OrderColumn): number {
  if (value === undefined) return Number.NaN;
  if (value === null) return nullsFirst ? -Infinity : Infinity;
  const number = typeof value === "number" ? value : uuidPrefix(value);
  return descending ? -number : number;
}

/** The first 52 bits of a uuid, the only type whose comparables are ordered strings. */
function uuidPrefix(uuid: string): number {
  return Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13) + uuid.slice(14, 15), 16);
}
