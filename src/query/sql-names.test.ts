import { expect, test } from "vitest";
import type { OpsDbError } from "../errors.ts";
import { namesOf } from "./sql-names.ts";
import { parseSql } from "./sql-parse.ts";

async function relations(sql: string): Promise<string[]> {
  const parsed = await parseSql(sql);
  return namesOf(parsed).relations.map(({ start, end }) => parsed.text.slice(start, end));
}

test.each([
  ["select json_object('a': f(x) returning jsonb), json_array(1, 2 null on null), json_array(select 1 from t)", ["t"]],
  ["select json_objectagg(a: b), json_arrayagg(x order by y) over (partition by z), x is json object from t", ["t"]],
  [
    "select json_value(j, '$.a' returning int default 1 on empty), json_query(j, '$' passing 1 as x), json_exists(j, '$')",
    [],
  ],
  ["select json(j), json_scalar(1), json_serialize(j returning text)", []],
  ["select * from json_table('{}', '$' columns (a int path '$.a', nested path '$.b' columns (c text))) j, t", ["t"]],
  [
    "select * from xmltable(xmlnamespaces('u' as x), '/r' passing d columns a int path '@a' default 1, o for ordinality) x, t",
    ["t"],
  ],
  [
    "select xmlelement(name a, xmlattributes(1 as b), xmlforest(c)), xmlserialize(content d as text), e is document",
    [],
  ],
  ['select * from rows from (f(1) as (a int, b text collate "C"), g(2)) with ordinality as q (x, y, z, n)', []],
  [
    "with recursive r (n) as (select 1 from s union all select n from r) search depth first by n set o cycle n set c using p select * from r, t",
    ["s", "t"],
  ],
  [
    "with recursive r (n) as (select 1 from s union all select n from r) cycle n set c to 1 default 0 using p select * from r",
    ["s"],
  ],
  [
    "select sum(a) over w, grouping(a) from t group by grouping sets ((a), rollup (b), cube (c, d)) window w as (order by a groups between unbounded preceding and 1 following exclude ties)",
    ["t"],
  ],
  [
    "select * from (a join b using (x) as j) as k join lateral (select * from c) d on true natural left join e",
    ["a", "b", "c", "e"],
  ],
  [
    "select extract(year from a), a at time zone 'x', overlay(b placing c from 1 for 2), position(d in e), trim(both f from g), collation for (h), substring(i from 1 for 2), normalize(j, nfc), k is nfc normalized",
    [],
  ],
  [
    "select a between symmetric 1 and 2, b similar to 'x' escape 'y', c ilike any (array['x']), (d, e) overlaps (f, g), row(1, 2) = (select 1, 2 from t)",
    ["t"],
  ],
  [
    "select array(select 1 from t), a[1][2:3], (b).c.d[1], (e).*, interval '1' day, current_timestamp(3), cast(f as numeric(3,2)[]), nullif(g, h), greatest(i, j), k isnull",
    ["t"],
  ],
  ["select 1 from t order by 1 fetch first 3 rows with ties", ["t"]],
  [
    "select count(*) filter (where a), percentile_cont(0.5) within group (order by b), f(variadic c), g(x => 1, y := 2) from t",
    ["t"],
  ],
  ["table t", ["table t"]],
  ['select * from t *, "a""b"."c d" x, ÄB', ["t *", '"a""b"."c d"', "ÄB"]],
])("every kind of SELECT is known: %s", async (sql, expected) => {
  expect(await relations(sql)).toEqual(expected);
});

test("a kind of node that is not known is refused", async () => {
  const parsed = await parseSql("select 1 from t");
  const select = { ...parsed.select, targetList: [{ SomethingNew: { arg: { A_Const: {} } } }] };
  expect(() => namesOf({ ...parsed, select })).toThrow(
    expect.objectContaining({ reason: "SQL_REFUSED" } satisfies Partial<OpsDbError>),
  );
  expect(() => namesOf({ ...parsed, select: { ...parsed.select, something: { new: 1 } } })).toThrow("something");
});

test("parameters are counted by the highest", async () => {
  expect(namesOf(await parseSql("select $2, $7 from t limit $1")).parameters).toBe(7);
  expect(namesOf(await parseSql("select '$9' /* $8 */")).parameters).toBe(0);
});

test("names are cut at 63 bytes, as PostgreSQL does", async () => {
  const long = `${"ä".repeat(31)}xyz`;
  expect(await relations(`select * from ${long}`)).toEqual([long]);
  expect(namesOf(await parseSql(`select * from ${long}`)).relations[0]?.name).toBe(`${"ä".repeat(31)}x`);
});
