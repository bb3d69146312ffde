import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { insert, update, upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, integer, text } from "../../demo/values.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { parsePosition, START } from "../../src/position.ts";
import { SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, sample } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
let site: SiteCaller;
/** Of all writes that were accepted. */
let last = START;

beforeAll(async () => {
  sites = await startTwoSite({ env: { secondary: { MAIN_TIMEOUT_MS: "2000", CATALOG_REFRESH_MS: "200" } } });
  await noteEffects(sites.urls.main);
  site = new SiteCaller(sites.secondary);
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

// Row 1 is there; then the link is cut, so that the site goes on with the schema as it was.
beforeEach(async () => {
  await onMain("drop table if exists log, diary");
  await onMain("create table log (n int primary key, v text, w int default 7, x text)");
  await onMain("create table diary (n int primary key, v text)");
  await onMain("insert into log (n, v) values (1, 'one')");
  await sites.standby.caughtUp();
  await eventually(
    async () =>
      (await site.catalog.describeTable({ table: "log" })).table?.columns.map(({ name, type }) => `${name} ${type}`),
    (columns) => columns?.join() === "n integer,v text,w integer,x text",
    { what: "that the site knows the schema" },
  );
  await accepted([upsert("diary", { n: integer(0) })]);
  await home();
  sites.link.cut();
});

afterEach(() => sites.link.heal());

async function onMain(text: string): Promise<Record<string, unknown>[]> {
  return await sql(sites.urls.main, text);
}

/** Answers the id of a write that is acknowledged. */
async function accepted(mutations: MutationInit[]): Promise<string> {
  const { status } = await site.write(mutations);
  const position = parsePosition(status?.position ?? "");
  if (position > last) last = position;
  return status?.writeId ?? "";
}

/** Resolves when everything that was accepted is decided and on the replica. */
async function home(timeoutMs = 20_000): Promise<void> {
  await drained(site, { last, timeoutMs });
}

const row = (n: number, v: string): MutationInit => insert("log", { n: integer(n), v: text(v) });
const change = (n: number, values: Parameters<typeof update>[2]): MutationInit =>
  update("log", { n: integer(n) }, values);
const entry = (n: number): MutationInit => insert("diary", { n: integer(n), v: text(`entry ${n}`) });

async function outcome(writeId: string): Promise<{ state: WriteState | undefined; reason: string | undefined }> {
  const { status } = await site.writes.getWrite({ writeId });
  return { state: status?.state, reason: status?.rejection?.reason };
}

const replicated = { state: WriteState.REPLICATED, reason: undefined };

/** Refused for this reason, and kept in the ledger with its reason and what it wanted to do. */
async function expectRejected(writeId: string, reason: string, table: string): Promise<void> {
  expect(await outcome(writeId)).toEqual({ state: WriteState.REJECTED, reason });
  expect(
    await sql(
      sites.urls.main,
      "select outcome, error->>'reason' as reason, payload->0->>'table' as table from opsdb.ledger where write_id = $1",
      [writeId],
    ),
  ).toEqual([{ outcome: "REJECTED", reason, table }]);
}

async function healed(): Promise<void> {
  sites.link.heal();
  await home();
}

test("G2 G9: columns added at main while writes wait: they arrive and get main's defaults", async () => {
  const first = await accepted([row(2, "two")]);
  await onMain("alter table log add column a text, add column b int not null default 5");
  const second = await accepted([change(1, { v: text("changed") })]);
  await healed();
  expect([await outcome(first), await outcome(second)]).toEqual([replicated, replicated]);
  expect(await onMain("select n, v, w, a, b from log order by n")).toEqual([
    { n: 1, v: "changed", w: 7, a: null, b: 5 },
    { n: 2, v: "two", w: 7, a: null, b: 5 },
  ]);
});

test("G2 G9: a column dropped at main while writes wait: those that name it are rejected, the others arrive", async () => {
  const naming = await accepted([change(1, { x: text("gone") })]);
  const other = await accepted([change(1, { v: text("changed") })]);
  const both = await accepted([entry(1), change(1, { x: text("gone") })]);
  const diary = await accepted([entry(2)]);
  await onMain("alter table log drop column x");
  await healed();
  await expectRejected(naming, "COLUMN_NOT_FOUND", "public.log");
  await expectRejected(both, "COLUMN_NOT_FOUND", "public.diary");
  expect([await outcome(other), await outcome(diary)]).toEqual([replicated, replicated]);
  expect(await onMain("select n, v from log")).toEqual([{ n: 1, v: "changed" }]);
  expect(await onMain("select n from diary where n > 0")).toEqual([{ n: 2 }]);
});

test("G2: an insert that left a column to itself arrives where main has dropped that column meanwhile", async () => {
  const left = await accepted([row(2, "two")]);
  const named = await accepted([insert("log", { n: integer(3), w: integer(4) })]);
  await onMain("alter table log drop column x, drop column w");
  await healed();
  expect(await outcome(left)).toEqual(replicated);
  await expectRejected(named, "COLUMN_NOT_FOUND", "public.log");
  expect(await onMain("select n, v from log order by n")).toEqual([
    { n: 1, v: "one" },
    { n: 2, v: "two" },
  ]);
});

test("G2 G9: a table renamed at main while writes wait: its writes are rejected, the others arrive", async () => {
  const lost = await accepted([row(2, "two")]);
  const diary = await accepted([entry(1)]);
  await onMain("drop table if exists journal");
  await onMain("alter table log rename to journal");
  await healed();
  await expectRejected(lost, "TABLE_NOT_FOUND", "public.log");
  expect(await outcome(diary)).toEqual(replicated);
  await onMain("alter table journal rename to log");
});

test("G2: a table renamed and renamed back before the link heals: its writes arrive", async () => {
  const first = await accepted([row(2, "two")]);
  await onMain("alter table log rename to journal2");
  const second = await accepted([row(3, "three")]);
  await onMain("alter table journal2 rename to log");
  await healed();
  expect([await outcome(first), await outcome(second)]).toEqual([replicated, replicated]);
  expect(await onMain("select n from log order by n")).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
});

test("G2 G9: a column's type changed at main while writes wait: what fits arrives, what does not is rejected with its reason", async () => {
  const number = await accepted([change(1, { w: integer(8) })]);
  const fits = await accepted([row(2, "22")]);
  const unfit = await accepted([row(3, "three")]);
  const diary = await accepted([entry(1)]);
  await onMain("update log set v = '1'");
  await onMain("alter table log alter column w type text, alter column v type int using v::int");
  await healed();
  expect([await outcome(number), await outcome(diary)]).toEqual([replicated, replicated]);
  expect(await outcome(fits)).toEqual(replicated);
  await expectRejected(unfit, "INVALID_VALUE", "public.log");
  expect(await onMain("select n, v, w from log order by n")).toEqual([
    { n: 1, v: 1, w: "8" },
    { n: 2, v: 22, w: "7" },
  ]);
});

test("G2 G9: hundreds of writes to a dropped table are rejected, each with its reason, and do not hold up what is between them", async () => {
  const lost: string[] = [];
  const kept: string[] = [];
  for (let n = 1; n <= 300; n++) {
    lost.push(await accepted([row(n + 1, "lost")]));
    if (n % 10 === 0) kept.push(await accepted([entry(n)]));
  }
  await onMain("drop table log");
  sites.link.heal();
  await home(60_000);
  for (const writeId of kept) expect(await outcome(writeId)).toEqual(replicated);
  for (const writeId of lost) expect((await outcome(writeId)).reason).toBe("TABLE_NOT_FOUND");
  expect(await onMain("select count(*)::int as n from diary where n > 0")).toEqual([{ n: 30 }]);
});

test("G2 G3 G9: a poison write in the middle of a thousand: the others arrive in order, it is rejected with reason and payload", async () => {
  const ids: { n: number; writeId: string }[] = [];
  let poison = "";
  let next = 1;
  const callers = Array.from({ length: 8 }, async () => {
    for (let n = next++; n <= 1_000; n = next++) {
      // Only main knows that the name is taken.
      const mutations = n === 500 ? [sample("poison", n), insert("observatories", poisoned)] : [sample("poison", n)];
      const writeId = await accepted(mutations);
      if (n === 500) poison = writeId;
      else ids.push({ n, writeId });
    }
  });
  await Promise.all(callers);
  await healed();
  await expectRejected(poison, "UNIQUE_VIOLATION", "public.weather_samples");
  const positions = await sql<{ id: string }>(
    sites.urls.main,
    `select write_id as id from opsdb.ledger where write_id = any($1::uuid[])
      order by split_part(position, '-', 1)::bigint, split_part(position, '-', 2)::bigint`,
    [ids.map(({ writeId }) => writeId)],
  );
  const numbers = new Map(ids.map(({ n, writeId }) => [writeId, n]));
  const order = positions.map(({ id }) => numbers.get(id));
  expect((await effectsOf(sites.urls.main, "poison")).map(({ n }) => n)).toEqual(order);
  expect(order).toHaveLength(999);
});

const poisoned = {
  name: text("CCAT Observatory"),
  country: text("CL"),
  altitude_m: integer(5612),
  latitude: double(0),
  longitude: double(0),
};
