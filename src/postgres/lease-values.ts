import type pg from "pg";
import { named } from "./statement.ts";
import { rowsOf } from "./use-client.ts";

/** What main gave of a sequence. */
export interface Lease {
  /** The sequence as main knows it now: its oid and its file. */
  id: string;
  /** How many values a site may have in stock: the block, or less where few are left to the sequence. */
  target: number;
  /** In the sequence's order; `step` is its increment. */
  ranges: { from: bigint; count: number; step: bigint }[];
}

/**
 * Takes so many values of a sequence that `stock` of them grows to the block, in one statement, and never more than a tenth
 * of what is left to the sequence, so that main does not run out of values that lie unused elsewhere. `least`: the stock
 * is to be that large; `most`: so many values at most, now. Values come from nextval alone, so nobody else is ever given them.
 */
export async function leaseValues(
  client: pg.ClientBase,
  { oid, block, stock, least, most }: { oid: string; block: number; stock: number; least: number; most: number },
): Promise<Lease | undefined> {
  const rows = await rowsOf(client, named(LEASE_SQL, [oid, block, stock, least, most]));
  const [first] = rows;
  if (!first) return undefined;
  const [id, target] = first;
  return {
    id: id ?? "",
    target: Number(target),
    ranges: rows.flatMap(([, , from, count, step]) =>
      from == null ? [] : [{ from: BigInt(from), count: Number(count), step: BigInt(step ?? 1) }],
    ),
  };
}

// Whatever the role's default is, the values are on main's disk before they are known here: after a crash it would give them
// again. row_number over the values numbers each run of neighbours: what differs by more begins a new range.
const LEASE_SQL = `
with setting as materialized (
  select set_config('synchronous_commit', 'on', true)
), found as materialized (
  select c.oid, c.oid || '/' || c.relfilenode as id, s.seqincrement as step,
    greatest(0, case when s.seqincrement > 0
      then s.seqmax::numeric - coalesce(pg_sequence_last_value(c.oid), s.seqstart - s.seqincrement)
      else coalesce(pg_sequence_last_value(c.oid), s.seqstart - s.seqincrement) - s.seqmin::numeric
    end / abs(s.seqincrement)) as remaining
  from pg_class c join pg_sequence s on s.seqrelid = c.oid where c.oid = $1::oid
), wanted as materialized (
  select *, least($2::numeric, ceil(remaining / 10)) as target from found
), given as materialized (
  select nextval(w.oid) as value
  from setting, wanted w, generate_series(1, 
    greatest(least(greatest(w.target, $4::numeric) - $3::numeric, floor(w.remaining), $5::numeric), 0)::bigint)
), ranges as (
  select min(value) as low, max(value) as high, count(*) as count
  from (select value, value - abs(w.step)::numeric * row_number() over (order by value) as run from given, wanted w) numbered
  group by run
)
select w.id, w.target::text, (case when w.step > 0 then r.low else r.high end)::text, r.count::text, w.step::text
from wanted w left join ranges r on true
order by case when w.step > 0 then r.low else -r.high end`;
