import type { TextValue } from "../value.ts";
import { type Comparable, comparableReader } from "./comparable.ts";
import type { OrderColumn } from "./condition-sql.ts";
import type { Verdict } from "./in-memory-match.ts";
import { cell, type OverlaidRow, type OverlaidTable } from "./overlaid-table.ts";

/**
 * The overlaid rows that can be in a result: what surely fails the condition is left out, and so is what comes, in the
 * order's first column, surely after as many matching rows as the result may have. PostgreSQL decides over the rest.
 */
export function rowsThatMatter(
  overlaid: OverlaidTable,
  match: (row: OverlaidRow) => Verdict,
  order: readonly OrderColumn[],
  limit: number | undefined,
): (readonly TextValue[])[] {
  const candidates: OverlaidRow[] = [];
  const sure: boolean[] = [];
  for (const row of overlaid.changed) {
    if (row.row === null) continue;
    const verdict = match(row);
    if (verdict === false || verdict === null) continue;
    candidates.push(row);
    sure.push(verdict === true);
  }
  const [first] = order;
  const reader = first && comparableReader(first.column);
  const rows = (some: readonly OverlaidRow[]): (readonly TextValue[])[] =>
    some.flatMap(({ row }) => (row ? [row] : []));
  if (limit === undefined || candidates.length <= limit) return rows(candidates);
  if (!first) return sure.every(Boolean) ? rows(candidates.slice(0, limit)) : rows(candidates);
  if (!reader?.ordered) return rows(candidates);

  const places = Float64Array.from(candidates, (row) => place(cell(row, first.index, reader), first));
  const certain = places.filter((at, i) => sure[i] === true && !Number.isNaN(at));
  if (certain.length < limit) return rows(candidates);
  const bound = nthSmallest(certain, limit - 1);
  return rows(candidates.filter((_, i) => !((places[i] ?? 0) > bound)));
}

/**
 * A number that grows along the order, if not strictly: those that come out equal are all kept. NaN where the place is
 * not known.
 */
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

/** The n-th smallest, from 0, of numbers without NaN. Hoare's quickselect; moves them around. */
function nthSmallest(numbers: Float64Array, n: number): number {
  let low = 0;
  let high = numbers.length - 1;
  while (low < high) {
    const pivot = numbers[(low + high) >>> 1] ?? 0;
    let i = low;
    let j = high;
    while (i <= j) {
      while ((numbers[i] ?? 0) < pivot) i += 1;
      while ((numbers[j] ?? 0) > pivot) j -= 1;
      if (i > j) break;
      const swapped = numbers[i] ?? 0;
      numbers[i] = numbers[j] ?? 0;
      numbers[j] = swapped;
      i += 1;
      j -= 1;
    }
    if (n <= j) high = j;
    else if (n >= i) low = i;
    else break;
  }
  return numbers[n] ?? 0;
}
