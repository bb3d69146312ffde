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

/** Those that match or may; no more where so many surely do. */
function matching(rows: Iterable<OverlaidRow>, match: (row: OverlaidRow) => Verdict, enough: number): Rows {
  const found: (readonly TextValue[])[] = [];
  let sure = 0;
  for (const one of rows) {
    const verdict = one.row === null ? false : match(one);
    if (one.row === null || verdict === false || verdict === null) continue;
    found.push(one.row);
    if (verdict === true) sure += 1;
    if (sure >= enough) break;
  }
  return found;
}

/** The same along a column, with all that have the same place there as the last. */
function firstAlong(
  overlaid: OverlaidTable,
  match: (row: OverlaidRow) => Verdict,
  order: OrderColumn,
  limit: number,
): Rows {
  const ordered = overlaid.along(order);
  const found: (readonly TextValue[])[] = [];
  let sure = 0;
  let bound = Infinity;
  for (const [one, at] of ordered.along()) {
    if (at > bound) break;
    const verdict = one.row === null ? false : match(one);
    if (one.row === null || verdict === false || verdict === null) continue;
    found.push(one.row);
    if (verdict === true) sure += 1;
    if (sure === limit) bound = at;
  }
  const place = placeOn(order);
  const near = Iterator.from(ordered.elsewhere()).filter((row) => !(place(row) > bound));
  return found.concat(matching(near, match, Infinity));
}

function isPlaced({ column }: OrderColumn): boolean {
  return comparableReader(column)?.ordered ?? false;
}
