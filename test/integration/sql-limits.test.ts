import { afterEach, beforeEach, expect, test } from "vitest";
import { OpsDbError } from "../../src/errors.ts";
import { askSql } from "../support/ask-sql.ts";
import { eventually } from "../support/eventually.ts";
import { mutation, openSite, request, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
/** A role of the test's own; roles belong to the whole server. */
let role: string;

beforeEach(async () => {
  database = await createDatabase();
  role = `${database.name}_reader`;
  await database.onPrimary(
    "create table log (n int primary key, v text); create table secret (n int primary key); create view seen as select n from log; create view hidden as select n from secret",
  );
  await database.onPrimary("insert into log select n, 'value ' || n from generate_series(1, 1000) n");
  await database.onPrimary(`create role ${role}`);
  await database.onPrimary(`grant select on log, seen, hidden to ${role}`);
  await database.caughtUp();
});

afterEach(async () => {
  await database.onPrimary(`drop owned by ${role}`);
  await database.onPrimary(`drop role ${role}`);
  await database[Symbol.asyncDispose]();
});

const open = (settings: Record<string, string>, type: "main" | "secondary" = "secondary") =>
  openSite(
    type,
    {
      site: database.site,
      mainUrl: database.primaryUrl,
      localUrl: type === "main" ? database.primaryUrl : database.standbyUrl,
      redisUrl: database.redisUrl,
    },
    settings,
  );

async function refusal(asked: Promise<unknown>): Promise<OpsDbError> {
  const error = await asked.then(
    (result) => new Error(`not refused: ${JSON.stringify(result)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof OpsDbError)) throw error;
  return error;
}

test.each(["main", "secondary"] as const)("SQL is off unless it was allowed, at a %s site", async (type) => {
  await using running = await open({}, type);
  const error = await refusal(askSql(running.site, "select 1"));
  expect(error).toMatchObject({ reason: "SQL_DISABLED", status: "FAILED_PRECONDITION", field: "sql" });
});

test("the main site answers SQL from the main database", async () => {
  await using running = await open({ SQL_QUERIES: "on" }, "main");
  await write(running.site, request(mutation("insert", "log", { set: { n: "0", v: "new" } })));
  const { header, rows } = await askSql(running.site, "select n, v from log order by n limit 1");
  expect(rows).toEqual([["0", "new"]]);
  expect(header.pendingWrites).toBe(0);
  const error = await refusal(askSql(running.site, "select nextval('sources_id_seq')"));
  expect(error.metadata.construct).toBe("function pg_catalog.nextval");
});

test("a statement has the rights of SQL_ROLE and no more, merged too", async () => {
  await using running = await open({ SQL_QUERIES: "on", SQL_ROLE: role });
  const { site } = running;
  await database.pauseReplay();
  await write(site, request(mutation("insert", "log", { set: { n: "0", v: "pending" } })));
  await write(site, request(mutation("insert", "secret", { set: { n: "7" } })));
  expect((await askSql(site, "select v, current_user::text from log where n = 0")).rows).toEqual([["pending", role]]);
  expect((await askSql(site, "select count(*) from seen")).rows).toEqual([["1001"]]);
  for (const sql of [
    "select * from secret",
    "select * from hidden",
    "select n from log where exists (select from secret)",
  ]) {
    const error = await refusal(askSql(site, sql));
    expect(error, sql).toMatchObject({ reason: "DATABASE_REFUSED", status: "FAILED_PRECONDITION", field: "sql" });
    expect(error.metadata.sqlstate).toBe("42501");
  }
  // The next user of the same connection has all rights again.
  expect((await askSql(site, "select count(*) from log", { consistency: "local" })).rows).toEqual([["1000"]]);
});

test("a role that cannot be taken is the operator's to mend", async () => {
  await using running = await open({ SQL_QUERIES: "on", SQL_ROLE: "nobody_knows" });
  const error = await refusal(askSql(running.site, "select 1"));
  expect(error).toMatchObject({ reason: "DATABASE_REFUSED", status: "FAILED_PRECONDITION" });
  expect(error.message).toContain("SQL_ROLE nobody_knows");
});

test("a result that is too large is an error, and never cut", async () => {
  await using running = await open({ SQL_QUERIES: "on", SQL_MAX_ROWS: "1000", SQL_MAX_BYTES: "20000" });
  const { site } = running;
  expect((await askSql(site, "select n from log")).rows).toHaveLength(1000);
  const rows = await refusal(askSql(site, "select n from log union all select 0", { batchSize: 100 }));
  expect(rows).toMatchObject({
    reason: "QUERY_TOO_LARGE",
    status: "RESOURCE_EXHAUSTED",
    metadata: { limit: "SQL_MAX_ROWS" },
  });
  const bytes = await refusal(askSql(site, "select repeat('x', 21000)"));
  expect(bytes).toMatchObject({ reason: "QUERY_TOO_LARGE", metadata: { limit: "SQL_MAX_BYTES" } });
});

test("a statement that writes too many temporary files is an error", async () => {
  await using running = await open({ SQL_QUERIES: "on", SQL_MAX_TEMP_BYTES: "1048576" });
  const error = await refusal(
    askSql(running.site, "select count(*) from (select i from generate_series(1, 3000000) i order by -i) s"),
  );
  expect(error).toMatchObject({ reason: "QUERY_TOO_LARGE", status: "RESOURCE_EXHAUSTED", field: "sql" });
  expect(error.metadata.sqlstate).toBe("53400");
});

test("what a session or a role has set does not make the two parsers read different statements", async () => {
  await database.onPrimary(`alter database ${database.name} set standard_conforming_strings to off`);
  await database.caughtUp();
  await using running = await open({ SQL_QUERIES: "on" });
  expect((await askSql(running.site, "select '\\' as a, 'b' as c")).rows).toEqual([["\\", "b"]]);
});

test("G5: a write that was acknowledged before is in the very next statement, and stays while it travels home", async () => {
  await using running = await open({ SQL_QUERIES: "on" });
  const { site } = running;
  for (let n = 2000; n < 2040; n++) {
    await write(site, request(mutation("insert", "log", { set: { n: String(n), v: "x" } })));
    const { rows } = await askSql(site, "select count(*) from log l join log m using (n) where n >= 2000");
    expect(rows).toEqual([[String(n - 1999)]]);
  }
});

test.each([
  "select repeat('x', 100000000)",
  "select repeat('x', 1000000) from generate_series(1, 1000)",
  "select string_agg(repeat('x', 1000000), '') from generate_series(1, 700)",
])("a result that would not fit into memory is an error, and the server lives: %s", async (sql) => {
  await using running = await open({ SQL_QUERIES: "on" });
  const before = process.memoryUsage().rss;
  const error = await refusal(askSql(running.site, sql));
  expect(error).toMatchObject({ reason: "QUERY_TOO_LARGE", status: "RESOURCE_EXHAUSTED" });
  expect(process.memoryUsage().rss - before).toBeLessThan(500e6);
  expect(
    (await askSql(running.site, "select repeat('x', 1000000) from generate_series(1, 100)", { batchSize: 10 })).rows,
  ).toHaveLength(100);
});

test("a statement whose caller goes away ends in the database too", async () => {
  await using running = await open({ SQL_QUERIES: "on" });
  const leaving = new AbortController();
  const sql = "select count(*) from generate_series(1, 100000) a cross join generate_series(1, 1000000) as endless";
  const asked = Array.fromAsync(
    running.site.query(
      { sql, parameters: [], limit: undefined, consistency: "merged", token: new Uint8Array(), batchSize: 1_000 },
      { timeoutMs: 600_000, signal: leaving.signal },
    ),
  );
  asked.catch(() => {});
  const computing = () =>
    database.onStandby(
      "select pid from pg_stat_activity where datname = current_database() and query like '%as endless%' and pid <> pg_backend_pid()",
    );
  await eventually(computing, (rows) => rows.length === 1, { timeoutMs: 5_000, what: "that it runs" });
  leaving.abort(new Error("gone"));
  await expect(asked).rejects.toThrow("gone");
  await eventually(computing, (rows) => rows.length === 0, {
    timeoutMs: 5_000,
    what: "that nobody computes it any more",
  });
});

test("rows without columns are counted", async () => {
  await using running = await open({ SQL_QUERIES: "on" });
  const { header, rows } = await askSql(running.site, "select from log where n <= 3");
  expect([header.columns, rows]).toEqual([[], [[], [], []]]);
});

test("a table is known as soon as the replica has it, and a changed one is as it is", async () => {
  await using running = await open({ SQL_QUERIES: "on", CATALOG_REFRESH_MS: "3600000" });
  await database.onPrimary("create table fresh (n int primary key); insert into fresh values (1)");
  await database.caughtUp();
  expect((await askSql(running.site, "select * from fresh")).rows).toEqual([["1"]]);
  await database.onPrimary("alter table fresh add column v text default 'new'");
  await database.caughtUp();
  expect((await askSql(running.site, "select * from fresh")).rows).toEqual([["1", "new"]]);
});
