import { afterEach, beforeEach, expect, test } from "vitest";
import { OpsDbError } from "../../src/errors.ts";
import type { TableQuery } from "../../src/query/table-query.ts";
import type { Site, WriteAck } from "../../src/site/site.ts";
import type { RequestedMutation } from "../../src/write.ts";
import { Link } from "../support/link.ts";
import { random } from "../support/random.ts";
import { mutation, openSite, type RunningSite, read, request, values, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let link: Link;
let running: RunningSite;
let site: Site;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary(`create table thing (
    "Key" int, part text, num numeric(8,2), dbl double precision, at timestamptz, tags text[], doc jsonb,
    label varchar(12) default 'new', twice numeric generated always as (num * 2) stored, primary key (part, "Key"))`);
  await database.onPrimary(`create table other (id int primary key, v text collate "C")`);
  await database.onPrimary(
    `insert into thing select i, chr(97 + i % 3), i * 1.25, i / 3.0, '2026-01-01'::timestamptz + i * interval '1 hour', array['t' || i, null], jsonb_build_object('i', i) from generate_series(1, 40) i`,
  );
  await database.onPrimary("insert into other select i, 'v' || i from generate_series(1, 20) i");
  await database.caughtUp();
  link = new Link();
  const mainUrl = await link.forwardUrl(database.primaryUrl);
  running = await openSite("secondary", {
    site: database.site,
    mainUrl,
    localUrl: database.standbyUrl,
    redisUrl: database.redisUrl,
  });
  site = running.site;
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

function randomMutation(pick: (below: number) => number): RequestedMutation {
  if (pick(4) === 0) {
    const key = { id: `${pick(30)}` };
    const set = { v: pick(5) === 0 ? null : `v${pick(50)}` };
    return [
      mutation("insert", "other", { set: { ...key, ...set } }),
      mutation("update", "other", { key, set }),
      mutation("upsert", "other", { set: { ...key, ...set } }),
      mutation("delete", "other", { key }),
    ][pick(4)] as RequestedMutation;
  }
  const key = { Key: `${pick(50)}`, part: "abc"[pick(3)] ?? "a" };
  const all: Record<string, string | null> = {
    num: ["7", "-1.005", "99999.99", "NaN", null][pick(5)] ?? null,
    dbl: ["0.1", "-1e300", "Infinity", null][pick(4)] ?? null,
    at: ["2026-11-23T01:02:03.000001Z", "infinity", "2025-06-01 00:00:00+02", null][pick(4)] ?? null,
    tags: ['{"a b",NULL,"\\"q\\""}', "{}", null][pick(3)] ?? null,
    doc: ['{"b": 1, "a": [1.0, 2]}', "null", null][pick(3)] ?? null,
    label: ["x", "é", ""][pick(3)] ?? "",
  };
  const chosen = Object.fromEntries(Object.entries(all).filter(() => pick(2) === 0));
  const set = Object.keys(chosen).length === 0 ? { label: "only" } : chosen;
  const made = [
    mutation("insert", "thing", { set: { ...key, ...set } }),
    mutation("update", "thing", { key, set }),
    mutation("upsert", "thing", { set: { ...key, ...set } }),
    mutation("delete", "thing", { key }),
  ][pick(4)] as RequestedMutation;
  if (pick(6) === 0)
    made.preconditions.push(
      pick(2) === 0
        ? { kind: "row_exists", exists: pick(2) === 0 }
        : { kind: "columns_equal", values: values({ num: "7.0", doc: '{"a": [1.0, 2], "b": 1}' }) },
    );
  return made;
}

const everything = (column: string, more: string) => [
  { column, descending: false },
  { column: more, descending: true },
];
const queries: (Partial<TableQuery> & { table: string })[] = [
  { table: "thing", orderBy: everything("part", "Key") },
  { table: "thing", columns: ["label", "twice"], orderBy: everything("num", "label"), limit: 7n },
  { table: "thing", columns: ["at", "Key"], orderBy: everything("at", "dbl"), limit: 15n },
  {
    table: "thing",
    columns: ["Key", "doc", "tags"],
    orderBy: everything("Key", "part"),
    where: {
      kind: "or",
      conditions: [
        { kind: "comparison", column: "num", operator: ">=", value: { kind: "numeric", value: "7" }, field: "where" },
        { kind: "not", condition: { kind: "is_null", column: "dbl", field: "where" } },
        { kind: "in", column: "label", values: [{ kind: "string", value: "é" }], field: "where" },
      ],
    },
  },
  { table: "other", orderBy: everything("v", "id"), limit: 12n },
];

/** What the merged view shows to be wrong is refused at once; the rest is acknowledged, and may still be rejected. */
async function acknowledged(mutations: RequestedMutation[]): Promise<WriteAck | undefined> {
  try {
    return await write(site, request(...mutations));
  } catch (error) {
    if (error instanceof OpsDbError && ["ROW_EXISTS", "ROW_NOT_FOUND"].includes(error.reason)) return undefined;
    throw error;
  }
}

const answers = async (consistency: "merged" | "main", token: Uint8Array = new Uint8Array()) =>
  await Promise.all(queries.map(async (query) => (await read(site, { ...query, consistency, token })).rows));

test.each([1, 2, 3, 4, 5, 6])(
  "G6: a merged read is what main answers once the pending writes have been applied (seed %i)",
  async (seed) => {
    const pick = random(seed);
    let last: WriteAck | undefined;
    for (let round = 0; round < 3; round++) {
      link.cut();
      // Rows that main changes while the link is cut reach the replica, and decide which pending writes can still apply.
      await database.onPrimary(`delete from thing where "Key" % 17 = ${round}`);
      await database.onPrimary(`insert into other values (${21 + round}, 'main') on conflict do nothing`);
      await database.caughtUp();
      for (let i = 0; i < 60; i++) {
        const mutations = Array.from({ length: 1 + pick(3) }, () => randomMutation(pick));
        last = (await acknowledged(mutations)) ?? last;
      }
      await database.onPrimary(`update thing set label = 'main' where "Key" % 13 = ${round}`);
      await database.onPrimary(`delete from other where id % 11 = ${round}`);
      await database.caughtUp();
      const merged = await answers("merged");
      link.heal();
      if (last) for await (const _ of site.followWrite(last.status.writeId, AbortSignal.timeout(20_000)));
      // A standby may show a commit a moment before main itself does: the token waits for main.
      expect(merged).toEqual(await answers("main", last?.token));
      expect(await answers("merged")).toEqual(merged);
    }
  },
);
