import { afterAll, beforeAll, expect, test } from "vitest";
import { insert, remove, update } from "../../demo/mutations.ts";
import { integer, show, text } from "../../demo/values.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { refusal, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { typedValues } from "./typed-values.ts";

let sites: TwoSite;
let site: SiteCaller;

beforeAll(async () => {
  sites = await startTwoSite();
  await sql(
    sites.urls.main,
    `create schema every;
     create extension citext;
     create type every."Mood" as enum ('sad', 'very happy', 'it''s "q"', '');
     create domain every.percent as numeric(5,2) check (value between 0 and 100);
     create domain every.yes as boolean;
     create domain every.short as varchar(3) check (value <> 'bad');
     create domain every.padded as char(4);
     create domain every.few as int[] check (coalesce(array_length(value, 1), 0) < 4);
     create type every."Pair" as (a numeric, "B b" text);
     create type every.nested as (pair every."Pair", list int[], yes every.yes);
     create type every.spans as range (subtype = text, collation = "C");
     ${typedValues.map((type, i) => `create table every.t${i} (id int primary key, v ${type.sql})`).join(";")}`,
  );
  site = new SiteCaller(sites.secondary);
  await known("every.t0");
});

/** Resolves when the secondary site's catalog has the table. */
async function known(table: string): Promise<void> {
  await sites.standby.caughtUp();
  await eventually(() => site.catalog.describeTable({ table }), Boolean, { what: `that ${table} is known` });
}

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

/** By id, the value that the service reads; and, for comparing, the value under the id that PostgreSQL itself was given. */
async function values(table: string, consistency: Consistency): Promise<Map<number, string>> {
  const { rows } = await site.query(table, { consistency });
  return new Map(rows.map(({ id, v }) => [Number(id?.kind.value), show(v)]));
}

/** What the service wrote stands below 1,000; the same given to PostgreSQL directly, above. */
const REFERENCE = 1_000;
const AGAIN = 2_000;

test("every type: what is written comes back equal while it is pending, from the replica, and on main", async () => {
  const written = typedValues.map(({ texts, sent = [] }) => [
    ...texts.map((each): [Value, string | null] => [text(each), each]),
    ...sent,
  ]);
  for (const [t, values] of written.entries())
    await sql(
      sites.urls.main,
      `insert into every.t${t} values ${values.map((_, i) => `(${REFERENCE + i}, $${i + 1})`).join(", ")}`,
      values.map(([, meant]) => meant),
    );
  await sites.standby.caughtUp();

  sites.link.cut();
  for (const [t, values] of written.entries())
    await site
      .write(values.map(([v], i) => insert(`every.t${t}`, { id: integer(i), v })))
      .catch((cause: unknown) => expect.fail(`${typedValues[t]?.sql}: ${String(cause)}`));
  const differences = (rows: Map<number, string>, t: number, when: string): string[] =>
    (written[t] ?? []).flatMap((_, i) => {
      const [ours, theirs] = [rows.get(i), rows.get(REFERENCE + i)];
      return ours === theirs && ours !== undefined ? [] : [`${typedValues[t]?.sql} ${when}: ${ours} for ${theirs}`];
    });
  const wrong: string[] = [];
  for (const t of written.keys()) {
    const { rows } = await site.query(`every.t${t}`, { consistency: Consistency.MERGED });
    wrong.push(...differences(new Map(rows.map(({ id, v }) => [Number(id?.kind.value), show(v)])), t, "merged"));
    // What was read can be written, and is the same again.
    const read = rows.flatMap(({ id, v }) => (Number(id?.kind.value) < REFERENCE && v ? [{ id, v }] : []));
    await site.write(
      read.map(({ id, v }) => insert(`every.t${t}`, { id: integer(AGAIN + Number(id?.kind.value)), v })),
    );
  }
  sites.link.heal();
  const { status } = await site.write([insert("every.t0", { id: integer(999), v: text("t") })]);
  await site.home(status?.writeId);
  for (const t of written.keys()) {
    wrong.push(...differences(await values(`every.t${t}`, Consistency.LOCAL), t, "local"));
    wrong.push(...differences(await values(`every.t${t}`, Consistency.MAIN), t, "main"));
    const stored = await sql<{ id: number; v: string }>(sites.urls.main, `select id, concat(v) v from every.t${t}`);
    const byId = new Map(stored.map(({ id, v }) => [id, v]));
    for (const i of (written[t] ?? []).keys())
      for (const id of [i, AGAIN + i])
        if (byId.get(id) !== byId.get(REFERENCE + i))
          wrong.push(`${typedValues[t]?.sql} stored: ${byId.get(id)} for ${byId.get(REFERENCE + i)}`);
  }
  expect(wrong.map((each) => each.slice(0, 300))).toEqual([]);
}, 120_000);

test("every type: what is none of its values is refused with the field", async () => {
  const accepted: string[] = [];
  for (const [t, { sql: type, refused = [] }] of typedValues.entries())
    for (const value of refused) {
      const write = site.write([
        insert(`every.t${t}`, { id: integer(500), v: typeof value === "string" ? text(value) : value }),
      ]);
      const error = await refusal(write).catch((cause: unknown) => ({
        reason: String(cause).slice(0, 200),
        field: "",
      }));
      if (error.reason !== "INVALID_VALUE" || !error.field?.startsWith('mutations[0].insert.values["v"]'))
        accepted.push(`${type} ${JSON.stringify(value)?.slice(0, 60)}: ${error.reason} ${error.field}`);
    }
  expect(accepted).toEqual([]);
});

test("G6: tables of every shape are the same while writes are pending, on the replica and on main", async () => {
  await sql(
    sites.urls.main,
    `create schema "Other";
     create table "Other"."Odd ""Na.me" (
       "Key" int, "q""q" jsonb, "select" text collate "C" default 'it''', "v.c0" numeric(6,2),
       "twice" numeric(9,3) generated always as ("v.c0" * 2) stored,
       "short" varchar(3) generated always as ("select") stored,
       no bigint generated always as identity, primary key ("q""q", "Key"));
     create table every.same (id int primary key, v text);
     create table "Other".same (id int primary key, v int);
     create table every.parts (at date, id int, v text, primary key (at, id)) partition by range (at);
     create table every.parts_2026 partition of every.parts for values from ('2026-01-01') to ('2027-01-01');
     create table every.parts_rest partition of every.parts default;
     create table every.device (id int primary key, name text);
     create table every.camera (pixels int, primary key (id)) inherits (every.device);
     create table every.spell (length interval primary key, v text);
     insert into every.spell values ('1 day', 'stored');
     insert into every.device values (1, 'plain');
     insert into every.camera values (2, 'seen', 10)`,
  );
  await known("every.spell");
  const tables = [
    'Other."Odd ""Na.me"',
    "every.same",
    "Other.same",
    "every.parts",
    "every.device",
    "every.camera",
    "every.spell",
  ];
  const answers = async (consistency: Consistency): Promise<string[][]> =>
    await Promise.all(
      tables.map(async (table) => {
        const { rows } = await site.query(table, { consistency });
        // What only main gives is not known before.
        return rows
          .map(({ no, ...row }) => JSON.stringify(Object.entries(row).map(([name, v]) => [name, show(v)])))
          .sort();
      }),
    );
  const odd = tables[0] ?? "";
  sites.link.cut();
  await site.write([
    insert(odd, { Key: integer(1), 'q"q': text("1.0"), "v.c0": text("1.005") }),
    insert("every.same", { id: integer(1), v: text("x") }),
    insert("Other.same", { id: integer(1), v: integer(7) }),
    insert("every.parts", { at: text("2026-06-01"), id: integer(1), v: text("in") }),
    insert("every.parts", { at: text("1999-06-01"), id: integer(1), v: text("rest") }),
  ]);
  await site.write([update(odd, { Key: integer(1), 'q"q': text("1.00") }, { select: text("abc"), "v.c0": text("2") })]);
  // Too long for the generated column: main refuses it, so it is not shown.
  const long = await site.write([update(odd, { Key: integer(1), 'q"q': text("1") }, { select: text("abcd") })]);
  await site.write([update("every.parts", { at: text("2026-06-01"), id: integer(1) }, { v: text("moved") })]);
  await site.write([remove("every.parts", { at: text("1999-06-01"), id: integer(1) })]);
  await site.write([
    update("every.camera", { id: integer(2) }, { name: text("changed"), pixels: integer(20) }),
    insert("every.camera", { id: integer(3), name: text("new"), pixels: integer(30) }),
    update("every.device", { id: integer(1) }, { name: text("still plain") }),
  ]);
  // Another text of the key: the row is gone, so it can be inserted, and is.
  await site.write([remove("every.spell", { length: text("24:00:00") })]);
  const spell = await site.write([insert("every.spell", { length: text("1 day"), v: text("again") })]);
  const merged = await answers(Consistency.MERGED);
  sites.link.heal();
  await site.home(spell.status?.writeId);
  expect(await site.follow(long.status?.writeId)).toEqual([WriteState.REJECTED]);
  expect(merged.map((rows) => rows.length)).toEqual([1, 1, 1, 1, 3, 2, 1]);
  expect(await answers(Consistency.LOCAL)).toEqual(merged);
  expect(await answers(Consistency.MAIN)).toEqual(merged);
  expect(await answers(Consistency.MERGED)).toEqual(merged);
});

test("the heirs of a table are not what its keys name", async () => {
  await site.home((await site.write([insert("every.camera", { id: integer(9), name: text("heir") })])).status?.writeId);
  expect(await refusal(site.write([update("every.device", { id: integer(9) }, { name: text("x") })]))).toMatchObject({
    reason: "ROW_NOT_FOUND",
  });
});
