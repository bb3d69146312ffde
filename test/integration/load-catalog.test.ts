import pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { deserializeCatalog, serializeCatalog } from "../../src/catalog/create-catalog.ts";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let client: pg.Client;

beforeEach(async () => {
  database = await createDatabase();
  client = new pg.Client({ connectionString: database.primaryUrl });
  await client.connect();
});

afterEach(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
});

const oddSchema = `
  create schema odd;
  create domain odd.positive as numeric(6,2) not null default 3 check (value > 0);
  create type odd."My Enum" as enum ('a', 'b b');
  create table odd."T.1" (
    id serial primary key, "c Q" char(3), bits bit(4), at timestamp(3) with time zone, positive odd.positive,
    enums odd."My Enum"[], doubled int generated always as (1 + 1) stored, no int generated always as identity,
    check ("c Q" <> ''));
  create table parted (id int primary key, v text) partition by range (id);
  create table parted_1 partition of parted for values from (0) to (10);
  create unlogged table scratch (id int primary key);
  create table child (a uuid, b int, t int references odd."T.1", primary key (b, a));
  comment on table child is 'A child.';`;

function columnOf(catalog: Catalog, table: string, column: string) {
  const found = catalog.table(table, "f").byName.get(column);
  if (!found) throw new Error(`no column ${column}`);
  return found;
}

test("a column's sequence is known where its default is the next value and nothing else, and no value comes again", async () => {
  await client.query(`
    create sequence "Odd One"; create sequence rings cycle;
    create table numbered (
      id smallserial, no bigint generated always as identity, big int default nextval('"Odd One"'),
      half int default (nextval('"Odd One"') / 2), ring int default nextval('rings'), late bigint default nextval('rings'::text),
      decimal numeric default nextval('"Odd One"'), plain int default 7, sum int generated always as (1 + 1) stored)`);
  const { columns } = (await loadCatalog(client)).table("numbered", "f");
  expect(columns.flatMap(({ name, sequence }) => (sequence ? [[name, sequence.name]] : []))).toEqual([
    ["id", "public.numbered_id_seq"],
    ["no", "public.numbered_no_seq"],
    ["big", 'public."Odd One"'],
  ]);
  // Another one once it was restarted: what was taken ahead of the old one is nothing any more.
  await client.query("alter sequence numbered_id_seq restart");
  const [before] = columns;
  expect(columnOf(await loadCatalog(client), "numbered", "id").sequence?.id).not.toBe(before?.sequence?.id);
});

test("the observatory's tables are there, and of the service's own the record of operators' actions alone", async () => {
  const catalog = await loadCatalog(client);
  expect(catalog.tables.map((t) => t.name)).toContain("executed_obs_units");
  expect(catalog.tables.map((t) => t.id).filter((id) => /^(opsdb\.|pg_)/.test(id))).toEqual(["opsdb.operator_action"]);
  const table = catalog.table("physical_copies", "f");
  expect(table).toMatchObject({
    id: "public.physical_copies",
    sql: '"public"."physical_copies"',
    primaryKey: ["raw_data_file_id", "data_location_id"],
    comment: "Where a copy of a file is.",
  });
  expect(table.foreignKeys).toContainEqual({
    name: "physical_copies_data_location_id_fkey",
    columns: ["data_location_id"],
    referencedTable: "public.data_locations",
    referencedColumns: ["id"],
  });
  expect(columnOf(catalog, "executed_obs_units", "status")).toMatchObject({
    nullable: false,
    defaultExpression: "'RUNNING'::public.observation_status",
    type: { display: "observation_status", cast: "public.observation_status", typtype: "e", kind: "text" },
  });
  expect(columnOf(catalog, "executed_obs_units", "mean_pwv_mm").type).toMatchObject({
    castWithModifier: "numeric(6,3)",
    cast: "numeric",
    kind: "numeric",
  });
  expect(columnOf(catalog, "data_transfers", "id").identity).toBe("by_default");
  expect(catalog.table("executed_obs_units", "f").checks).toContainEqual({
    name: "executed_obs_units_ends_after_start",
    expression: "((end_time IS NULL) OR (end_time >= start_time))",
    columns: ["start_time", "end_time"],
  });
});

test("odd names and types come out as SQL that means the same on any search path", async () => {
  await client.query(oddSchema);
  const catalog = await loadCatalog(client);
  const table = catalog.table('odd."T.1"', "f");
  expect(table.sql).toBe('"odd"."T.1"');
  const type = (name: string) => columnOf(catalog, table.name, name).type;
  expect(type("c Q")).toMatchObject({ castWithModifier: "character(3)", cast: "bpchar", modifier: 7 });
  expect(type("bits")).toMatchObject({ castWithModifier: "bit(4)", cast: '"bit"' });
  expect(type("at")).toMatchObject({ castWithModifier: "timestamp(3) with time zone", modifier: 3, kind: "timestamp" });
  expect(type("enums")).toMatchObject({
    cast: 'odd."My Enum"[]',
    base: "odd.My Enum",
    array: true,
    enumValues: ["a", "b b"],
  });
  expect(type("positive")).toMatchObject({ cast: "odd.positive", base: "numeric", domain: true, kind: "numeric" });
  expect(columnOf(catalog, table.name, "positive")).toMatchObject({ nullable: false, defaultExpression: "3" });
  expect(columnOf(catalog, table.name, "doubled")).toMatchObject({
    generatedExpression: "(1 + 1)",
    defaultExpression: undefined,
  });
  expect(columnOf(catalog, table.name, "no").identity).toBe("always");
  expect(columnOf(catalog, table.name, "id").identity).toBe("by_default");
  expect(catalog.table("child", "f")).toMatchObject({ primaryKey: ["b", "a"], comment: "A child." });
  expect(catalog.table("child", "f").foreignKeys[0]?.referencedTable).toBe(table.id);
  expect(catalog.tables.map((t) => t.name)).toContain("parted");
  expect(catalog.tables.map((t) => t.name)).not.toContain("parted_1");
  expect(catalog.tables.map((t) => t.name)).not.toContain("scratch");
  for (const { type: each } of table.columns) await client.query(`select null::${each.cast} where false`);
  for (const { type: each } of table.columns) await client.query(`select null::${each.castWithModifier} where false`);
});

test("the fingerprint changes with the schema and with nothing else", async () => {
  const first = await loadCatalog(client);
  await client.query("insert into weather_samples (station, sampled_at) values ('summit', now())");
  expect((await loadCatalog(client)).fingerprint).toBe(first.fingerprint);
  await client.query("alter table weather_samples add column dew_point_c numeric(5,2)");
  expect((await loadCatalog(client)).fingerprint).not.toBe(first.fingerprint);
});

test("the replica gives the same catalog as the main database", async () => {
  const standby = new pg.Client({ connectionString: database.standbyUrl });
  await standby.connect();
  try {
    expect((await loadCatalog(standby)).fingerprint).toBe((await loadCatalog(client)).fingerprint);
  } finally {
    await standby.end();
  }
});

test("a catalog survives being written down", async () => {
  await client.query(oddSchema);
  const catalog = await loadCatalog(client);
  const copy = deserializeCatalog(serializeCatalog(catalog));
  expect(copy.fingerprint).toBe(catalog.fingerprint);
  expect(copy.tables).toEqual(catalog.tables);
  expect(() => deserializeCatalog("{}")).toThrow(SyntaxError);
});

test("the session keeps its search path", async () => {
  await client.query("set search_path = odd");
  await loadCatalog(client);
  expect((await client.query<{ search_path: string }>("show search_path")).rows[0]?.search_path).toBe("odd");
});
