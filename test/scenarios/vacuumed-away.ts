import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import type { TwoSite } from "../support/two-site.ts";

/**
 * Vacuums what was deleted from a table, until the replica has cancelled somebody who still reads it. At once it may find
 * nothing to do: any transaction on main that was open a moment ago still sees the rows.
 */
export async function vacuumedAway(sites: TwoSite, table: string): Promise<void> {
  const before = await conflicts(sites);
  await eventually(
    async () => {
      await sql(sites.urls.main, `vacuum ${table}`);
      await sites.standby.caughtUp();
      return await conflicts(sites);
    },
    (count) => count > before,
    { everyMs: 100, what: `that a reader of ${table} is in conflict with recovery` },
  );
}

async function conflicts(sites: TwoSite): Promise<number> {
  const [row] = await sql<{ count: number }>(
    sites.urls.secondary,
    "select confl_snapshot::int as count from pg_stat_database_conflicts where datname = current_database()",
  );
  return row?.count ?? 0;
}
