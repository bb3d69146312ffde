import type pg from "pg";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OpsDbError } from "../../src/errors.ts";
import { createPool } from "../../src/postgres/connection.ts";
import type { Site } from "../../src/site/site.ts";
import { askSql, texts } from "../support/ask-sql.ts";
import { addressOf } from "../support/drain.ts";
import { random } from "../support/random.ts";
import { mutation, openSite, type RunningSite, request, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

const schema = `
  create type state as enum ('new', 'done', 'lost');
  create domain short as varchar(12) check (length(value) > 0);
  create table programs (id int primary key, title text not null, hours numeric(7,2), tags text[] not null default '{}');
  create table runs (
    id int primary key, program int references programs, state state not null default 'new', at timestamptz,
    seeing double precision, info jsonb, span int4range, length interval, label short, twice int generated always as (id * 2) stored);
  create table files (run int, part int, name text not null, size bigint, body bytea, primary key (run, part));
  create table "Mixed ""Case" ("Id" int primary key, "Ünï çødé" text);
  create schema other;
  create table other.runs (id int primary key, remark text);
  create table notes (line text);
  create table notes_kept (id int primary key);
  create view run_view as select r.id, p.title, r.state from runs r join programs p on p.id = r.program;
  create view done_view (n, heading) as select id, title from run_view where state = 'done';
  create view barrier with (security_barrier) as select * from runs where id > 2;
  create view numbers (a, b) as values (1, 'x'), (2, 'y');
  create view run_names as with programs (id) as (select id from runs) select id from programs;
  create recursive view chain (id, depth) as
    select id, 0 from runs where id = 1 union all select r.id, c.depth + 1 from runs r join chain c on r.id = c.id + 1;
  create view by_program as select p.id, p.title, count(r.id) from programs p left join runs r on r.program = p.id group by p.id;
  create view catalogued as select r.id, c.relname from runs r join pg_class c on c.relname = 'notes';
  create view writers as select nextval('counter') from (select) s;
  create materialized view kept as select count(*) as runs from runs;
  create table days (day date not null, n int not null, v text, primary key (day, n)) partition by range (day);
  create table days_26 partition of days for values from ('2026-01-01') to ('2027-01-01');
  create table days_rest partition of days default;
  create table parent (id int primary key, v text);
  create table child (id int primary key, w text) inherits (parent);
  create table guarded (id int primary key, v text);
  alter table guarded enable row level security;
  create function reads() returns bigint stable language sql as 'select count(*) from runs';
  create function does() returns int volatile language sql as 'select 1';
  create function doubles(int) returns int immutable language sql as 'select $1 * 2';
  create function text_of(runs) returns text stable language sql as 'select $1.id::text';
  create function step(bigint, int) returns bigint stable language sql as 'select $1 + (select count(*) from runs)';
  create aggregate sneaky (int) (sfunc = step, stype = bigint, initcond = '0');
  create function sneak(int, int) returns bigint stable language sql as 'select count(*) from runs';
  create operator ### (function = sneak, leftarg = int, rightarg = int);
  create function valid(text) returns boolean stable language sql as 'select exists (select from runs)';
  create domain checked as text check (valid(value));
`;

const base = `
  insert into programs values (1, 'Dust', 12.5, '{a,b}'), (2, 'Gas', null, '{}'), (3, 'Öfen', 0.10, '{"x y"}');
  insert into runs (id, program, state, at, seeing, info, span, length, label) values
    (1, 1, 'new', '2026-01-01 00:00:00+00', 0.5, '{"a": 1}', '[1,5)', '1 day 02:00', 'one'),
    (2, 1, 'done', '2026-01-02 00:00:00.123456+00', 'NaN', '[1, 2]', 'empty', '-00:00:01', 'two'),
    (3, 2, 'done', null, 'Infinity', null, null, null, null),
    (4, 3, 'lost', 'infinity', -1.5e-10, '"s"', '[,7)', '1 mon', 'four');
  insert into files select r, p, 'f' || r || '-' || p, r * 1000 + p, convert_to('b' || p, 'UTF8') from generate_series(1, 4) r, generate_series(1, 3) p;
  insert into "Mixed ""Case" values (1, 'eins'), (2, 'zwei');
  insert into other.runs values (1, 'other one'), (9, 'other nine');
  insert into notes values ('stored');
  insert into days values ('2026-05-05', 1, 'a'), ('2027-05-05', 1, 'b');
  insert into parent values (1, 'p'); insert into child values (2, 'c', 'w');
`;

const set = (table: string, values: Record<string, string | null>) => mutation("upsert", table, { set: values });
const pending = [
  request(
    set("programs", { id: "4", title: "Neu 😀", hours: "3.25", tags: "{n}" }),
    set("runs", {
      id: "5",
      program: "4",
      state: "done",
      at: "2026-02-01T00:00:00Z",
      seeing: "0.25",
      info: '{"b": [1]}',
      span: "[2,9)",
      length: "00:30:00",
      label: "five",
    }),
  ),
  request(mutation("update", "runs", { key: { id: "1" }, set: { state: "done", program: "2" } })),
  request(mutation("delete", "runs", { key: { id: "2" } })),
  request(
    mutation("update", "runs", { key: { id: "4" }, set: { state: "new" } }),
    mutation("update", "runs", { key: { id: "4" }, set: { seeing: null } }),
  ),
  request(
    mutation("insert", "files", {
      set: { run: "5", part: "1", name: "neu", size: "9007199254740993", body: "\\x00ff" },
    }),
  ),
  request(mutation("delete", "files", { key: { run: "1", part: "2" } })),
  request(
    mutation("update", 'public."Mixed ""Case"', {
      key: { Id: "1" },
      set: { "Ünï çødé": "geändert" },
    }),
  ),
  request(mutation("insert", "other.runs", { set: { id: "2", remark: "buffered" } })),
  request(
    mutation("update", "days", { key: { day: "2026-05-05", n: "1" }, set: { v: "moved" } }),
    mutation("insert", "days", { set: { day: "2028-01-01", n: "7", v: "new" } }),
  ),
  request(mutation("insert", "guarded", { set: { id: "1", v: "secret" } })),
];

let database: TestDatabase;
let running: RunningSite;
let site: Site;
/** The main database, on which the pending writes have been executed. */
let main: pg.Pool;

beforeAll(async () => {
  database = await createDatabase();
  await database.onPrimary("drop schema public cascade");
  await database.onPrimary("create schema public");
  await database.onPrimary("create sequence counter");
  await database.onPrimary(schema);
  await database.onPrimary(base);
  await database.onPrimary("refresh materialized view kept");
  await database.caughtUp();
  const addresses = {
    site: database.site,
    mainUrl: database.primaryUrl,
    localUrl: database.standbyUrl,
    redisUrl: database.redisUrl,
  };
  running = await openSite("secondary", addresses, { SQL_QUERIES: "on" });
  site = running.site;
  main = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 2);
  await database.pauseReplay();
  for (const [i, one] of pending.entries())
    await write(site, one, i === pending.length - 1 ? { waitFor: "APPLIED" } : {});
});

afterAll(async () => {
  await database?.resumeReplay();
  await running?.[Symbol.asyncDispose]();
  await main?.end();
  await database?.[Symbol.asyncDispose]();
});

/** What the main database says, where the pending writes were really executed. */
async function onMain(sql: string, values: (string | null)[] = []): Promise<(string | null)[][]> {
  return (await main.query<(string | null)[]>({ text: sql, values, rowMode: "array" })).rows;
}

async function same(sql: string, values: (string | null)[] = [], merges = true): Promise<void> {
  const expected = await onMain(sql, values);
  const { header, rows } = await askSql(site, sql, { parameters: texts(...values) });
  const ordered = /order by[^)]*$/i.test(sql);
  const comparable = (list: unknown[]) => (ordered ? list : list.map((row) => JSON.stringify(row)).sort());
  expect(comparable(rows), sql).toEqual(comparable(expected));
  if (merges) expect(header.pendingWrites, sql).toBeGreaterThan(0);
}

async function refusal(sql: string, query: Parameters<typeof askSql>[2] = {}): Promise<OpsDbError> {
  const error = await askSql(site, sql, query).then(
    ({ rows }) => new Error(`not refused: ${JSON.stringify(rows)}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof OpsDbError)) throw error;
  return error;
}

test("the replica does not have the pending writes, and main has them all", async () => {
  expect(await database.onStandby("select id from runs order by id")).toEqual([
    { id: 1 },
    { id: 2 },
    { id: 3 },
    { id: 4 },
  ]);
  expect(await onMain("select id from runs order by id")).toEqual([["1"], ["3"], ["4"], ["5"]]);
});

test.each([
  // whole tables and joins
  "select * from runs order by id",
  "select p.title, r.id, f.name from programs p join runs r on r.program = p.id left join files f on f.run = r.id order by 1, 2, 3",
  "select * from programs natural join (select id, state from runs) q order by 1",
  "select * from runs full join other.runs o using (id) order by id",
  "select r.id, o.id from runs r, other.runs o where r.id = o.id order by 1",
  "select a.id, b.id from runs a join runs b on a.id < b.id order by 1, 2",
  "select q.* from runs r cross join lateral (select f.name from files f where f.run = r.id order by part desc limit 1) q order by 1",
  // aggregates and windows
  "select count(*), sum(size), avg(seeing), array_agg(name order by name) from files f left join runs r on r.id = f.run",
  "select state, count(*) filter (where seeing > 0), max(at) from runs group by state having count(*) > 0 order by state",
  "select program, id, row_number() over w, lag(id) over w, sum(id) over (order by id rows between 1 preceding and current row) from runs window w as (partition by program order by id desc) order by id",
  "select state, program, count(*) from runs group by grouping sets ((state), (program), ()) order by 1, 2, 3",
  "select percentile_cont(0.5) within group (order by id), mode() within group (order by state) from runs",
  "select distinct on (program) program, id from runs order by program, id desc",
  "select count(distinct program) from runs",
  // CTEs, which hide tables of their name
  "with runs as (select id from runs where state = 'done') select * from runs order by id",
  "with a as (select * from runs), b as (select id from a union select id from other.runs) select * from b order by id",
  "with recursive t (id) as (select 1 union all select r.id from runs r join t on r.id > t.id) select distinct id from t order by id",
  "select * from (with runs as (select 7 as id) select * from runs) x, runs y order by y.id",
  "with x as (select 1) select * from x, public.runs order by id",
  "with a as (with b as (select id from runs) select * from b), b as (select 1 as id) select a.id, b.id from a, b order by 1",
  "with runs as not materialized (table runs) select id from runs order by id",
  // subqueries in every clause
  "select (select count(*) from files f where f.run = r.id), exists (select from files where run = r.id) from runs r order by r.id",
  "select id from runs where id in (select run from files where part = 1) and id = any (array(select id from other.runs) || 5) order by id",
  "select id from runs order by (select count(*) from files where run = id), id",
  "select id from runs group by id having id > all (select id from other.runs where id < 2) order by id limit (select count(*) from programs)",
  "select case when id in (select id from other.runs) then 'both' else (select title from programs limit 0) end from runs order by id",
  "select x from unnest(array(select id from runs order by id)) with ordinality u (x, n) order by x",
  "select * from generate_series(1, (select max(id) from runs)) g order by g",
  // set operations, VALUES, TABLE
  "select id from runs union select id from other.runs except select 9 order by id",
  "(select id from runs order by id limit 1) union all (select id from runs order by id desc limit 1) order by id",
  "table runs order by id",
  "table runs order by (select max(id) from programs), id limit (select count(*) from runs) - 1",
  "table runs union all table runs order by id",
  "(table public.runs)",
  "select (table notes limit 1), id from (TABLE\n\t runs) x order by 2",
  "select id from runs intersect all (values (1), (4), (5), (5)) order by id",
  "values ((select max(id) from runs), 'x')",
  // names
  'select "Id", "Ünï çødé" from "Mixed ""Case" order by 1',
  'select * from public."Mixed ""Case" as "m x" order by "m x"."Id"',
  'select RUNS.id from PUBLIC . Runs order by "runs".id',
  "select /* ü 😀 from runs */ r.id -- from files\n from /* x */ public /* y */ . /* z */ runs /* ä */ as r order by id -- end",
  "select '😀 from runs', $$ from runs $$, E'\\'' from runs order by id",
  "select a, b from runs as r (a, b) order by a",
  "select id from runs * order by id",
  "select count(*) from runs",
  // types, expressions and whole rows
  "select info ->> 'a', info @> '{\"a\": 1}', span && int4range(2, 3), length * 2, tags[1], label || '!', twice from runs left join programs p on p.id = program order by runs.id",
  "select id, at at time zone 'America/Santiago', extract(year from at), date_trunc('day', at) from runs where id <> 4 order by id",
  "select to_jsonb(r) - 'seeing' from runs r order by id",
  "select r from programs r order by id",
  "select (r).title, (r).tags[1], r is null from programs r order by 1",
  "select json_agg(p order by id), string_agg(title, ',' order by id) from programs p",
  "select id from runs where (id, state) in (select id, state from runs) and at between '2026-01-01' and 'infinity' order by id",
  "select doubles(id), 'x'::short, cast(id as text), numeric '1.5', array[id]::bigint[]::text from runs order by 1",
  "select encode(body, 'hex'), body from files order by run, part",
  "select id from runs tablesample_none order by id",
  "select * from days order by day, n",
  "select v from days where day >= '2026-01-01' and day < '2027-01-01'",
  // views
  "select * from run_view order by id",
  "select * from done_view order by n",
  "select d.heading, b.id from done_view d join barrier b on b.id = d.n order by 2",
  "select x from done_view as v (x) order by x",
  "select * from run_names order by id",
  "select * from chain order by depth",
  "with programs as (select 1), runs as (select 2), run_view as (select * from run_view) select * from run_view order by id",
  "with pg_class as (select 'mine' as relname), notes as (select 1) select * from catalogued order by id",
  "select n.a, r.id from numbers n join runs r on r.id = n.a order by 1",
  "select runs from kept where runs <> (select count(*) from runs) or true limit 0",
])("G6: main says the same once the writes are there: %s", async (sql) => {
  await same(sql);
});

test.each([
  "with runs as (select 1 as id) select * from runs order by id",
  "with recursive files as (select 1 as run union all select run + 1 from files where run < 3) select run from files order by run",
  "select * from numbers order by a",
  "select line from notes",
  "select relname from pg_class where relname = 'runs' and relkind = 'r' order by 1",
  "select column_name from information_schema.columns where table_name = 'runs' order by ordinal_position",
])("what no pending write can change is read as it is: %s", async (sql) => {
  await same(sql, [], false);
  expect((await askSql(site, sql)).header.pendingWrites).toBe(0);
});

test.each<[string, ...(string | null)[]]>([
  ["select id from runs where id = $1", "5"],
  ["select id from runs where at > $1 and state = $2 order by id", "2026-01-01 00:00:00+00", "done"],
  [
    "select $1::int, $2::text, $3::numeric, $4::state, id from runs where program = any ($5) order by id",
    "1",
    "ü 😀",
    "1.50",
    "lost",
    "{1,2}",
  ],
  ["select id from runs where span @> $1::int or info @> $2 order by id", "3", '{"a":1}'],
  ["select name from files where body = $1", "\\x00ff"],
  ["select id from runs where length > $1 and label = $2 order by id", "00:10:00", "five"],
  ["select id from runs where seeing = $1 or program is not distinct from $2 order by id", "Infinity", null],
  ["with x as (select $2::text as t) select t, $1 || t from x, runs order by id", "a", "b"],
])("parameters take their types from where they stand: %s", async (sql, ...values) => {
  await same(sql, values);
});

test("columns have the names and types that PostgreSQL gives them", async () => {
  const { header, rows } = await askSql(
    site,
    "select id, id, 1 + 1, hours, tags, '{}'::jsonb, now() is null, row(1, 'a'), null, array[1, 2], 'done'::state from programs where id = 4",
  );
  expect(header.columns.map(({ name, type, kind, array }) => [name, type, kind, array])).toEqual([
    ["id", "integer", "int64", false],
    ["id", "integer", "int64", false],
    ["?column?", "integer", "int64", false],
    ["hours", "numeric(7,2)", "numeric", false],
    ["tags", "text[]", "text", true],
    ["jsonb", "jsonb", "json", false],
    ["?column?", "boolean", "bool", false],
    ["row", "record", "text", false],
    ["?column?", "text", "text", false],
    ["array", "integer[]", "int64", true],
    ["state", "state", "text", false],
  ]);
  expect(rows).toEqual([["4", "4", "2", "3.25", "{n}", "{}", "f", "(1,a)", null, "{1,2}", "done"]]);
});

test.each<[string, string, Partial<{ construct: string; field: string }>]>([
  // more than one statement, or another than SELECT
  ["select 1; select 2", "SQL_REFUSED", { construct: "second statement" }],
  ["select 1; drop table runs", "SQL_REFUSED", { construct: "second statement" }],
  ["delete from runs", "SQL_REFUSED", { construct: "Delete" }],
  ["insert into runs values (9)", "SQL_REFUSED", { construct: "Insert" }],
  ["update runs set id = 9", "SQL_REFUSED", { construct: "Update" }],
  ["merge into runs using files on true when matched then delete", "SQL_REFUSED", { construct: "Merge" }],
  ["truncate runs", "SQL_REFUSED", { construct: "Truncate" }],
  ["copy runs to '/tmp/x'", "SQL_REFUSED", { construct: "Copy" }],
  ["explain analyze select 1", "SQL_REFUSED", { construct: "Explain" }],
  ["set role postgres", "SQL_REFUSED", { construct: "VariableSet" }],
  ["reset role", "SQL_REFUSED", { construct: "VariableSet" }],
  ["commit", "SQL_REFUSED", { construct: "Transaction" }],
  ["prepare x as select 1", "SQL_REFUSED", { construct: "Prepare" }],
  ["do $$ begin end $$", "SQL_REFUSED", { construct: "Do" }],
  ["call does()", "SQL_REFUSED", { construct: "Call" }],
  ["declare c cursor for select 1", "SQL_REFUSED", { construct: "DeclareCursor" }],
  ["with x as (delete from runs returning *) select * from x", "SQL_REFUSED", { construct: "data-modifying CTE" }],
  ["with x as (select 1) insert into notes select * from x", "SQL_REFUSED", { construct: "Insert" }],
  ["select * into copied from runs", "SQL_REFUSED", { construct: "SELECT INTO" }],
  ["create table copied as select 1", "SQL_REFUSED", { construct: "CreateTableAs" }],
  ["select * from runs for update", "SQL_REFUSED", { construct: "FOR UPDATE" }],
  ["select * from (select * from runs for share) x", "SQL_REFUSED", { construct: "FOR UPDATE" }],
  // past the merged view
  ["select reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select public.reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ['select "reads"() from runs', "SQL_REFUSED", { construct: "function public.reads" }],
  ["select * from reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select * from rows from (reads(), generate_series(1, 2))", "SQL_REFUSED", { construct: "function public.reads" }],
  ["values (reads())", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select 1 limit reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select format('%s', variadic array[reads()::text])", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select distinct on (reads()) id from runs", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select * from runs join files on reads() > 0", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select * from runs, lateral (select reads()) x", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select id from runs group by rollup (id, reads())", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select count(*) filter (where reads() > 0) from runs", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select case when true then coalesce(null, reads()) end", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select (array[1])[reads()]", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select * from notes tablesample bernoulli (reads())", "SQL_REFUSED", { construct: "function public.reads" }],
  ["with x as (select reads()) select 1", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select xmlelement(name a, xmlattributes(reads() as b))", "SQL_REFUSED", { construct: "function public.reads" }],
  [
    "select * from xmltable('/a' passing (reads()::text::xml) columns a int)",
    "SQL_REFUSED",
    { construct: "function public.reads" },
  ],
  ["table runs order by reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["table runs limit reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["values (1) order by reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["(select 1) union (select 2) limit (select reads())", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select id from runs order by reads()", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select sum(reads()) over () from runs", "SQL_REFUSED", { construct: "function public.reads" }],
  ["select (r).text_of from runs r", "SQL_REFUSED", { construct: "function public.text_of" }],
  ["select r.text_of from runs r", "SQL_REFUSED", { construct: "function public.text_of" }],
  ["select sneaky(id) from runs", "SQL_REFUSED", { construct: "function public.step" }],
  ["select 1 ### 2", "SQL_REFUSED", { construct: "function public.sneak" }],
  ["select 1 operator(public.###) 2", "SQL_REFUSED", { construct: "function public.sneak" }],
  ["select 1 ### any (array[1])", "SQL_REFUSED", { construct: "function public.sneak" }],
  ["select 'x'::checked", "SQL_REFUSED", { construct: "function public.valid" }],
  ["select cast(array['x'] as checked[])", "SQL_REFUSED", { construct: "function public.valid" }],
  ["select table_to_xml('runs', true, false, '')", "SQL_REFUSED", { construct: "function pg_catalog.table_to_xml" }],
  [
    "select query_to_xml('select 1', true, false, '')",
    "SQL_REFUSED",
    { construct: "function pg_catalog.query_to_xml" },
  ],
  ["select database_to_xml(true, false, '')", "SQL_REFUSED", { construct: "function pg_catalog.database_to_xml" }],
  ["select * from ts_stat('select 1')", "SQL_REFUSED", { construct: "function pg_catalog.ts_stat" }],
  ["select ts_rewrite('a'::tsquery, 'select 1')", "SQL_REFUSED", { construct: "function pg_catalog.ts_rewrite" }],
  ["select lo_get(1)", "SQL_REFUSED", { construct: "function pg_catalog.lo_get" }],
  ["select ('runs'::regclass).pg_relation_size", "SQL_REFUSED", { construct: "function pg_catalog.pg_relation_size" }],
  ["select * from only runs", "SQL_REFUSED", { construct: "ONLY" }],
  ["table only (runs)", "SQL_REFUSED", { construct: "ONLY" }],
  ["table only runs", "SQL_REFUSED", { construct: "ONLY" }],
  ["select * from runs tablesample bernoulli (100)", "SQL_REFUSED", { construct: "TABLESAMPLE" }],
  ["select * from days_26", "SQL_REFUSED", { construct: "partition" }],
  ["select public.runs.id from public.runs", "SQL_REFUSED", { construct: "column with schema" }],
  ["select * from guarded", "SQL_REFUSED", { construct: "row security" }],
  ["select * from writers", "SQL_REFUSED", { construct: "function pg_catalog.nextval" }],
  ["select setval('counter', 5)", "SQL_REFUSED", { construct: "function pg_catalog.setval" }],
  ["select * from writers, runs", "SQL_REFUSED", { construct: "function pg_catalog.nextval" }],
  ["select last_value from counter", "SQL_REFUSED", { construct: "sequence" }],
  ["table /* x */ runs", "SQL_REFUSED", { construct: "unusual name" }],
  ["select * from public./* /* */ */runs", "SQL_REFUSED", { construct: "unusual name" }],
  ['select * from U&"run\\0073"', "SQL_REFUSED", { construct: "unusual name" }],
  [`select * from nowhere.public.runs`, "SQL_REFUSED", { construct: "database name" }],
  // harm
  ["select nextval('counter')", "SQL_REFUSED", { construct: "function pg_catalog.nextval" }],
  ["select ('counter'::regclass).nextval", "SQL_REFUSED", { construct: "function pg_catalog.nextval" }],
  ["select does()", "SQL_REFUSED", { construct: "function public.does" }],
  ["select pg_sleep(10)", "SQL_REFUSED", { construct: "function pg_catalog.pg_sleep" }],
  ["select pg_catalog.pg_sleep(10)", "SQL_REFUSED", { construct: "function pg_catalog.pg_sleep" }],
  ["select pg_advisory_lock(1)", "SQL_REFUSED", { construct: "function pg_catalog.pg_advisory_lock" }],
  ["select pg_terminate_backend(1)", "SQL_REFUSED", { construct: "function pg_catalog.pg_terminate_backend" }],
  ["select set_config('role', 'postgres', false)", "SQL_REFUSED", { construct: "function pg_catalog.set_config" }],
  ["select current_setting('primary_conninfo')", "SQL_REFUSED", { construct: "function pg_catalog.current_setting" }],
  ["select pg_read_file('/etc/passwd')", "SQL_REFUSED", { construct: "function pg_catalog.pg_read_file" }],
  ["select * from pg_ls_dir('/')", "SQL_REFUSED", { construct: "function pg_catalog.pg_ls_dir" }],
  ["select setseed(0.5)", "SQL_REFUSED", { construct: "function pg_catalog.setseed" }],
  ["select txid_current()", "SQL_REFUSED", { construct: "function pg_catalog.txid_current" }],
  ["select pg_notify('a', 'b')", "SQL_REFUSED", { construct: "function pg_catalog.pg_notify" }],
  ["select pg_promote()", "SQL_REFUSED", { construct: "function pg_catalog.pg_promote" }],
  ["select * from pg_authid", "SQL_REFUSED", { construct: "system table" }],
  ["select * from pg_stat_activity", "SQL_REFUSED", { construct: "system table" }],
  ["select * from pg_catalog.pg_statistic", "SQL_REFUSED", { construct: "system table" }],
  ["select * from pg_toast.x", "SQL_INVALID", {}],
  ["select * from opsdb.ledger", "SQL_REFUSED", { construct: "table of the service" }],
  ["select * from opsdb.cursor", "SQL_REFUSED", { construct: "table of the service" }],
  // not SQL, or not right
  ["", "SQL_INVALID", {}],
  [" ; ", "SQL_INVALID", {}],
  ["-- nothing", "SQL_INVALID", {}],
  ["selec 1", "SQL_INVALID", {}],
  ["select 1\0; drop table runs", "SQL_INVALID", {}],
  ["select * from nowhere", "SQL_INVALID", {}],
  ["select nothing from runs", "SQL_INVALID", {}],
  ["select ctid from runs", "SQL_INVALID", {}],
  ["select nope(1)", "SQL_INVALID", {}],
  ["select 1 / 0", "SQL_INVALID", {}],
  ["select 'x'::int", "SQL_INVALID", {}],
  ["select (select id from runs)", "SQL_INVALID", {}],
  ["select p.id, p.title from programs p group by p.id", "SQL_INVALID", {}],
  ["select * from by_program", "SQL_INVALID", {}],
  [`select ${"1+".repeat(20_000)}1`, "SQL_REFUSED", { construct: "nesting" }],
  [`select ${"(".repeat(20_000)}1${")".repeat(20_000)}`, "SQL_INVALID", {}],
  [`select '${"x".repeat(70_000)}'`, "SQL_REFUSED", { construct: "length" }],
])("is refused: %s", async (sql, reason, { construct }) => {
  const error = await refusal(sql);
  expect([error.reason, error.status, error.field]).toEqual([reason, "INVALID_ARGUMENT", "sql"]);
  expect(error.metadata.construct).toBe(construct);
});

test("G6: what is pending for a table that inherits from another is in both", async () => {
  await write(site, request(mutation("update", "child", { key: { id: "2" }, set: { v: "changed" } })));
  await write(site, request(mutation("insert", "parent", { set: { id: "3", v: "new" } })), { waitFor: "APPLIED" });
  for (const sql of [
    "select * from parent order by id",
    "select * from child order by id",
    "select v, count(*) from parent p join child c using (v) group by v",
  ])
    await same(sql);
});

test.each([
  "select r.id from runs r where 'ü😀' = r.nope",
  "select * from runs,\n  nowhere",
  "select 'ü', nope from runs",
  "select * from done_view d join runs on d.nope = 1",
  "selec 1",
  "select 'ü' frm from runs runs runs",
  "select * from runs where id = 'x'",
])("an error says where it is, in the client's own statement: %s", async (sql) => {
  const expected: unknown = await main.query(sql).catch((error: unknown) => error);
  const error = await refusal(sql);
  expect(error.metadata.position).toBe((expected as pg.DatabaseError).position);
  expect(error.metadata.sqlstate).toBe((expected as pg.DatabaseError).code);
  expect(error.message).toContain((expected as pg.DatabaseError).message);
});

test("an error below a view names the view's place, and says what to do", async () => {
  const error = await refusal("select *\nfrom by_program");
  expect(error.message).toContain("GROUP BY has to name every such column");
  expect(error.message).toContain("(line 2, column 6)");
});

test("wrong parameters are named", async () => {
  expect(await refusal("select $1::int", { parameters: texts("x") })).toMatchObject({
    reason: "INVALID_VALUE",
    field: "parameters[0]",
  });
  expect(await refusal("select $1::int, $2::int4range", { parameters: texts("1", "[x") })).toMatchObject({
    reason: "INVALID_VALUE",
    field: "parameters[1]",
  });
  expect(await refusal("select id from runs where state = $1", { parameters: texts("nope") })).toMatchObject({
    reason: "INVALID_VALUE",
    field: "parameters[0]",
  });
  expect(await refusal("select $1::int, $2::int", { parameters: texts("1") })).toMatchObject({
    reason: "INVALID_FIELD",
    field: "parameters",
  });
  expect(await refusal("select 1", { parameters: texts("1") })).toMatchObject({
    reason: "INVALID_FIELD",
    field: "parameters",
  });
  expect(await refusal("select $2::int", { parameters: texts("1", "2") })).toMatchObject({
    reason: "SQL_INVALID",
    field: "sql",
  });
  expect((await askSql(site, "select $1::bigint + 1", { parameters: [{ kind: "int64", value: 41n }] })).rows).toEqual([
    ["42"],
  ]);
});

test("limit ends a result that would go on, and batches have the size asked for", async () => {
  const endless =
    "with recursive n (i) as (select 1 union all select i + 1 from n) select i, id from n, runs where id = 5";
  expect((await askSql(site, endless, { limit: 3n, batchSize: 2 })).rows).toEqual([
    ["1", "5"],
    ["2", "5"],
    ["3", "5"],
  ]);
  expect((await askSql(site, "select id from runs", { limit: 0n })).rows).toEqual([]);
  expect((await askSql(site, "select id from runs order by id", { limit: 9n, batchSize: 1 })).rows).toHaveLength(4);
});

test("a statement that is slower than its deadline ends with it", async () => {
  const error = await refusal("select count(*) from generate_series(1, 1000000000)", { timeoutMs: 200 });
  expect(error).toMatchObject({ reason: "QUERY_TIMED_OUT", status: "DEADLINE_EXCEEDED" });
});

test("local shows the replica, main the main database, and a token is waited for", async () => {
  const ids = "select id from runs order by id";
  expect((await askSql(site, ids, { consistency: "local" })).rows).toEqual([["1"], ["2"], ["3"], ["4"]]);
  const { rows, header } = await askSql(site, ids, { consistency: "main" });
  expect(rows).toEqual([["1"], ["3"], ["4"], ["5"]]);
  expect(header).toMatchObject({ consistency: "main", pendingWrites: 0 });
  // What cannot be merged can be read as it is stored.
  for (const sql of [
    "select count(*) from only runs",
    "table only (runs)",
    "select * from guarded",
    "select count(*) from days_26",
  ])
    await askSql(site, sql, { consistency: "local" });
  const late = await refusal(ids, { consistency: "local", token: header.token, timeoutMs: 300 });
  expect(late.reason).toBe("NOT_FRESH_IN_TIME");
  expect((await askSql(site, ids, { token: (await askSql(site, ids)).header.token })).rows).toEqual(rows);
});

test.each([1, 2, 3])("G6: random statements over random writes say what main says, seed %i", async (seed) => {
  const next = random(seed);
  let last = request();
  for (let i = 0; i < 20; i++) {
    last = request(randomWrite(next));
    if (i < 19) await write(site, last).catch(() => undefined); // some update rows that are not there
  }
  await write(site, request(set("notes_kept", { id: String(seed) })), { waitFor: "APPLIED" });
  for (let i = 0; i < 60; i++) await same(randomStatement(next));
});

function randomWrite(next: (below: number) => number) {
  const id = String(next(12) + 1);
  switch (next(5)) {
    case 0:
      return set("programs", {
        id,
        title: `title ${next(4)}`,
        hours: next(3) === 0 ? null : `${next(100)}.5`,
        tags: "{}",
      });
    case 1:
      return mutation("delete", "files", { key: { run: id, part: String(next(4)) } });
    case 2:
      return set("files", { run: id, part: String(next(4)), name: `name ${next(4)}`, size: String(next(1000)) });
    case 3:
      return mutation("update", "runs", { key: { id }, set: { program: next(3) === 0 ? null : String(next(5) + 1) } });
    default:
      return set("runs", {
        id,
        program: String(next(6) + 1),
        state: next(2) === 0 ? "new" : "done",
        seeing: `${next(9)}.25`,
      });
  }
}

const sources: { from: string; numbers: string[]; texts: string[] }[] = [
  { from: "programs", numbers: ["id"], texts: ["title"] },
  { from: "public.runs", numbers: ["id", "program", "twice"], texts: ["state"] },
  { from: "files", numbers: ["run", "part"], texts: ["name"] },
  { from: "other.runs", numbers: ["id"], texts: ["remark"] },
  { from: "run_view", numbers: ["id"], texts: ["title", "state"] },
  { from: "(select n, v from days)", numbers: ["n"], texts: ["v"] },
  { from: "(table runs)", numbers: ["id", "program"], texts: ["label"] },
];

/** Joins, conditions with subqueries, groups, windows and set operations over tables, views and CTEs. */
function randomStatement(next: (below: number) => number): string {
  const pick = <T>(list: readonly T[]): T => list[next(list.length)] as T;
  const body = (): { sql: string; columns: number } => {
    const joined = Array.from({ length: next(3) + 1 }, (_, i) => ({ ...pick(sources), alias: `t${i}` }));
    const number = (of = joined) => {
      const { alias, numbers } = pick(of);
      return `${alias}.${pick(numbers)}`;
    };
    const text = () => {
      const { alias, texts: names } = pick(joined);
      return `${alias}.${pick(names)}`;
    };
    const from = joined
      .map(({ from: source, alias }, i) =>
        i === 0
          ? `${source} ${alias}`
          : `${pick(["join", "left join", "full join"])} ${source} as ${alias} on ${number(joined.slice(0, i))} = ${number(joined.slice(i, i + 1))}`,
      )
      .join(" ");
    const condition = (): string => {
      const other = pick(sources);
      switch (next(5)) {
        case 0:
          return `${number()} ${pick(["<", ">=", "<>"])} ${next(8)}`;
        case 1:
          return `${number()} in (select ${pick(other.numbers)} from ${other.from} s)`;
        case 2:
          return `not exists (select from ${other.from} s where s.${pick(other.numbers)} = ${number()} + 1)`;
        case 3:
          return `${text()} is not null`;
        default:
          return `(${condition()} or ${condition()})`;
      }
    };
    const where = next(3) === 0 ? "" : ` where ${condition()}`;
    switch (next(3)) {
      case 0:
        return { sql: `select ${number()}, ${text()}::text from ${from}${where}`, columns: 2 };
      case 1:
        return {
          sql: `select ${number()} as k, count(*)::text from ${from}${where} group by 1 having count(*) > ${next(2)}`,
          columns: 2,
        };
      default:
        return {
          sql: `select ${number()}, (sum(${number()}) over (order by ${number()}))::text from ${from}${where}`,
          columns: 2,
        };
    }
  };
  const combined =
    next(3) === 0
      ? `(${body().sql}) ${pick(["union", "union all", "except", "intersect"])} (${body().sql})`
      : body().sql;
  return `with unused as (select 1), q (a, b) as (${combined}) select a, b from q order by a, b`;
}
