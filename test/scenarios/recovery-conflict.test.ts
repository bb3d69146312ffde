import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { Consistency, type QueryResponse } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { refusal, resultOf, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, sample } from "./noted-samples.ts";
import { vacuumedAway } from "./vacuumed-away.ts";

vi.setConfig({ testTimeout: 120_000 });

const rowCount = 60_000;

let sites: TwoSite;
let site: SiteCaller;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { CATALOG_REFRESH_MS: "200", SQL_QUERIES: "on" } } });
  for (const setting of ["hot_standby_feedback = off", "max_standby_streaming_delay = '20ms'"])
    await sql(sites.standby.url, `alter system set ${setting}`);
  await sql(sites.standby.url, "select pg_reload_conf()");
  site = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

const conflicts = [
  {
    name: "its rows are deleted and vacuumed",
    table: "vacuumed",
    provoke: ["delete from vacuumed where n % 2 = 0"],
    vacuum: true,
  },
  { name: "its table is rewritten", table: "rewritten", provoke: ["alter table rewritten alter column n type bigint"] },
  { name: "its table is dropped", table: "dropped", provoke: ["drop table dropped"] },
];

test.each(conflicts)(
  "a recovery conflict in the middle of a streaming query, $name: retryable or complete, never a silent half",
  async ({ table, provoke, vacuum = false }) => {
    const requests = [
      { table, consistency: Consistency.MERGED },
      { table, consistency: Consistency.LOCAL },
      { sql: `select * from ${table}` },
    ];
    for (const query of requests) {
      await sql(sites.urls.main, `drop table if exists ${table}`);
      await sql(
        sites.urls.main,
        `create table ${table} as select n, repeat('x', 400) as pad from generate_series(1, ${rowCount}) n`,
      );
      await sql(sites.urls.main, `alter table ${table} add primary key (n)`);
      await sites.standby.caughtUp();
      const pending = await site.write([sample(table, 1)]);
      const stream = site.queries.query(query)[Symbol.asyncIterator]();
      const parts: QueryResponse[] = [];
      const first = await stream.next();
      if (!first.done) parts.push(first.value);
      // The reader rests, so that the replica holds the snapshot.
      for (const statement of provoke) await sql(sites.urls.main, statement);
      if (vacuum) await vacuumedAway(sites, table);
      else await sites.standby.caughtUp();
      const error = await rest(stream, parts).then(
        () => undefined,
        (cause: unknown) => ConnectError.from(cause),
      );
      if (error) {
        expect(await refusal(Promise.reject(error))).toMatchObject({
          code: "Unavailable",
          reason: "LOCAL_UNAVAILABLE",
        });
        expect(error.findDetails(RetryInfoSchema)).toHaveLength(1);
      } else expect(resultOf(parts).rows).toHaveLength(rowCount);
      // The conflict was there: what the reader had not got yet could not have come from memory.
      expect(error).toBeDefined();
      await site.home(pending.status?.writeId);
    }
    // The server goes on as before.
    expect(sites.secondary.running).toBe(true);
    await eventually(() => site.query("sources"));
    await drained(site);
  },
);

test("a connection that the replica takes away between reads is not noticed by the next reader", async () => {
  await eventually(() => site.query("sources"));
  await sql(
    sites.standby.url,
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'opsdb-%'",
  );
  expect((await eventually(() => site.query("sources"))).rows.length).toBeGreaterThan(0);
  expect(sites.secondary.running).toBe(true);
});

async function rest(stream: AsyncIterator<QueryResponse>, parts: QueryResponse[]): Promise<void> {
  for (;;) {
    const next = await stream.next();
    if (next.done) return;
    parts.push(next.value);
  }
}
