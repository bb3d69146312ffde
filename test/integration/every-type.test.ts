import { afterAll, beforeAll, expect, test } from "vitest";
import { insert } from "../../demo/mutations.ts";
import { integer, show, text } from "../../demo/values.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import type { Value } from "../../gen/ts/opsdb/v1/value_pb.ts";
import { refusal, SiteCaller } from "../e2e/site-caller.ts";
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
  await sites.standby.caughtUp();
  site = new SiteCaller(sites.secondary);
});

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
    for (const [i, [, meant]] of values.entries())
      await sql(sites.urls.main, `set timezone = 'UTC'`).then(() =>
        sql(sites.urls.main, `insert into every.t${t} values ($1, $2)`, [REFERENCE + i, meant]),
      );
  await sites.standby.caughtUp();

  sites.link.cut();
  for (const [t, values] of written.entries())
    for (const [i, [value]] of values.entries())
      await site.write([insert(`every.t${t}`, { id: integer(i), v: value })]).catch((error: unknown) => {
        throw new Error(`${typedValues[t]?.sql}: ${show(value).slice(0, 100)}`, { cause: error });
      });
  const differences = (rows: Map<number, string>, t: number, when: string): string[] =>
    (written[t] ?? []).flatMap((_, i) => {
      const [ours, theirs] = [rows.get(i), rows.get(REFERENCE + i)];
      return ours === theirs && ours !== undefined ? [] : [`${typedValues[t]?.sql} ${when}: ${ours} for ${theirs}`];
    });
  const wrong: string[] = [];
  const read: Value[][] = [];
  for (const t of written.keys()) {
    const { rows } = await site.query(`every.t${t}`, { consistency: Consistency.MERGED });
    wrong.push(...differences(new Map(rows.map(({ id, v }) => [Number(id?.kind.value), show(v)])), t, "merged"));
    read.push(
      rows.flatMap(({ id, v }) => {
        const n = Number(id?.kind.value);
        return n < REFERENCE && v ? [v] : [];
      }),
    );
    // What was read can be written, and is the same again.
    for (const { id, v } of rows)
      if (Number(id?.kind.value) < REFERENCE && v)
        await site.write([insert(`every.t${t}`, { id: integer(AGAIN + Number(id?.kind.value)), v })]);
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
