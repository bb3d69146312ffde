import { expect, test } from "vitest";
import { rolesSql } from "../../src/postgres/migrate.ts";
import { resultOf, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { databaseName, startTwoSite, type TwoSite } from "../support/two-site.ts";

const text = (value: string) => ({ kind: { case: "stringValue" as const, value } });
let second = 0;

function sample(station: string) {
  second += 1;
  const values = {
    station: text(station),
    sampled_at: text(new Date(second * 1000).toISOString()),
    pwv_mm: text("0.42"),
  };
  return { table: "weather_samples", operation: { case: "insert" as const, value: { values } } };
}

/** The database as one of the roles. */
function as(role: string, url: string): string {
  const changed = new URL(url);
  changed.username = role;
  changed.password = "x";
  return changed.href;
}

async function stationsOf(caller: SiteCaller, table = "weather_samples"): Promise<number> {
  return (await caller.query(table, { columns: ["station"] })).rows.length;
}

/** Both sites, with nothing but the rights that the printed roles have. */
async function start(): Promise<TwoSite> {
  const user = (prefix: string, name: string) => ({ [`${prefix}_DB_USER`]: name, [`${prefix}_DB_PASSWORD`]: "x" });
  const sqlQueries = { SQL_QUERIES: "on", SQL_ROLE: "opsdb_sql" };
  const sites = await startTwoSite({
    servers: false,
    env: {
      main: { ...user("MAIN", "opsdb_api"), ...user("LOCAL", "opsdb_api"), ...sqlQueries },
      secondary: { ...user("MAIN", "opsdb_api"), ...user("LOCAL", "opsdb_reader"), ...sqlQueries },
    },
  });
  await sql(sites.urls.main, rolesSql());
  await sql(sites.urls.main, rolesSql()); // again does no harm
  for (const role of ["opsdb_api", "opsdb_reader"]) await sql(sites.urls.main, `alter role ${role} password 'x'`);
  await sites.standby.caughtUp();
  await Promise.all([sites.main, sites.secondary].map((server) => server.start().then(() => server.ready())));
  return sites;
}

test("both sites do their work with the printed roles, which can do no more", { timeout: 90_000 }, async () => {
  await using sites = await start();
  using main = new SiteCaller(sites.main);
  using secondary = new SiteCaller(sites.secondary);

  // Writes, direct and buffered; one that is rejected, its retry, and the record of it; a drain that is paused.
  await main.write([sample("main")]);
  const { status } = await secondary.write([sample("secondary")]);
  await secondary.home(status?.writeId);
  const id = "99999999-2222-4333-8444-555555555555";
  const values = { name: text("night.tar"), executed_obs_unit_id: text(id) };
  const rejected = await secondary.write([
    { table: "raw_data_packages", operation: { case: "insert", value: { values } } },
  ]);
  expect(await secondary.follow(rejected.status?.writeId)).toContain(4);
  await secondary.admin.discardWrite({ writeId: rejected.status?.writeId ?? "", operator: "a", reason: "b" });
  await secondary.admin.pauseDrain({ operator: "a", reason: "b" });
  await secondary.write([sample("while paused")]);
  expect(await stationsOf(secondary)).toBe(3);
  await secondary.admin.resumeDrain({ operator: "a", reason: "b" });
  await eventually(
    () => stationsOf(main),
    (rows) => rows === 3,
  );
  await eventually(
    () => secondary.query("opsdb.operator_action").then(({ rows }) => rows.length),
    (actions) => actions === 3,
  );
  // Following shows receivers and standbys, and SQL reads.
  await secondary.statusUntil(({ local }) => local?.receiverState === "streaming");
  await main.statusUntil((status) => (status.main?.standbys.length ?? 0) > 0);
  for (const caller of [main, secondary]) {
    const ask = (statement: string) => Array.fromAsync(caller.queries.query({ sql: statement })).then(resultOf);
    expect((await ask("select count(*) from weather_samples")).rows).toHaveLength(1);
    await expect(ask("select hash from opsdb.access_token")).rejects.toThrow();
  }
  // A table that the owner adds later is there as well.
  await sql(sites.urls.main, "create table later (id int primary key)");
  await sites.standby.caughtUp();
  const later = { table: "later", operation: { case: "insert" as const, value: { values: { id: text("1") } } } };
  const added = await eventually(() => secondary.write([later]));
  await secondary.home(added.status?.writeId);

  const refusedOnMain = async (role: string, statement: string): Promise<string | undefined> =>
    sql(as(role, sites.urls.main), statement).then(
      () => "done",
      (error: { code?: string }) => error.code,
    );
  for (const statement of [
    "create table t (i int)",
    "create schema s",
    "create temporary table t (i int)",
    "alter table weather_samples add column i int",
    "drop table weather_samples",
    "create function f() returns int language sql as 'select 1'",
    "truncate weather_samples",
    "delete from opsdb.ledger",
    "update opsdb.ledger set outcome = 'REJECTED'",
    "delete from opsdb.operator_action",
    "update opsdb.access_token set roles = '{admin}'",
    "delete from opsdb.cursor",
    `create database ${databaseName}2`,
    "create role r",
  ])
    expect(await refusedOnMain("opsdb_api", statement), statement).toMatch(/^42501$/);
  for (const role of ["opsdb_api", "opsdb_reader"])
    expect(await refusedOnMain(role, "select id from opsdb.access_token"), role).toBe("done");
  for (const statement of ["delete from weather_samples", "update opsdb.cursor set position = '0-0'"])
    for (const writing of [statement, `set transaction read write; ${statement}`])
      expect(await refusedOnMain("opsdb_reader", writing), writing).toMatch(/^(42501|25006)$/);
  for (const statement of [
    "select 1 from opsdb.access_token",
    "select 1 from opsdb.ledger",
    "delete from weather_samples",
    "insert into weather_samples default values",
    "create table t (i int)",
    "select pg_read_file('/etc/passwd')",
  ])
    expect(await refusedOnMain("opsdb_api", `set role opsdb_sql; ${statement}`), statement).toBe("42501");
});
