import type { TextValue } from "../value.ts";
import { comparableReader } from "./comparable.ts";
import type { OrderColumn } from "./condition-sql.ts";
import type { Verdict } from "./in-memory-match.ts";
import { placeOn } from "./ordered-rows.ts";
import type { OverlaidRow, OverlaidTable } from "./overlaid-table.ts";

type Rows = readonly (readonly TextValue[])[];

/**
 * The overlaid rows that can be in a result: what surely fails the condition is left out, and so is what comes, in the
 * order's first column, surely after as many matching rows as the result may have. PostgreSQL decides over the rest.
 */
export function rowsThatMatter(
  overlaid: OverlaidTable,
  match: (row: OverlaidRow) => Verdict,
  order: readonly OrderColumn[],
  limit: number | undefined,
): Rows {
  const [first] = order;
  if (limit === undefined || overlaid.changed.length <= limit || (first && !isPlaced(first)))
    return matching(overlaid.changed, match, Infinity);
  return first ? firstAlong(overlaid, match, first, limit) : matching(overlaid.changed, match, limit);
}

/** Gathers rows that match or may, and counts those that surely do. */
class Candidates {
  readonly rows: (readonly TextValue[])[] = [];
  sure = 0;
  readonly #match: (row: OverlaidRow) => Verdict;

  constructor(match: (row: OverlaidRow) => Verdict) {
    this.#match = match;
  }

  consider(one: OverlaidRow): void {
    if (one.row === null) return;
    const verdict = this.#match(one);
    if (verdict === false || verdict === null) return;
    this.rows.push(one.row);
    if (verdict === true) this.sure += 1;
  }
}

/** Those that match or may; no more where so many surely do. */
function matching(rows: Iterable<OverlaidRow>, match: (row: OverlaidRow) => Verdict, enough: number): Rows {
  const found = new Candidates(match);
  for (const one of rows) {
    found.consider(one);
    if (found.sure >= enough) break;
  }
  return found.rows;
}

/** The same along a column, with all that have the same place there as the last. */
function firstAlong(
  overlaid: OverlaidTable,
  match: (row: OverlaidRow) => Verdict,
  order: OrderColumn,
  limit: number,
): Rows {
  const ordered = overlaid.along(order);
  const found = new Candidates(match);
  let bound = Infinity;
  for (const [one, at] of ordered.along()) {
    if (at > bound) break;
    found.consider(one);
    if (found.sure >= limit) bound = at;
  }
  const place = placeOn(order);
  for (const one of ordered.elsewhere()) if (!(place(one) > bound)) found.consider(one);
  return found.rows;
}

function isPlaced({ column }: OrderColumn): boolean {
  return comparableReader(column)?.ordered ?? false;
}
