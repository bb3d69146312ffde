import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { armFailpoints } from "../../src/lib/failpoint.ts";
import type { Site } from "../../src/site/site.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import { home, mutation, openSite, type RunningSite, read, request, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let link: Link;
let running: RunningSite;
let site: Site;

beforeEach(async () => {
  database = await createDatabase();
  // The order on main: a column that is filled in there alone, because its default is more than the next value.
  await database.onPrimary(
    "create sequence applied; create table log (n int primary key, v text, at bigint default (nextval('applied') + 0))",
  );
  await database.caughtUp();
  link = new Link();
  const mainUrl = await link.forwardUrl(database.primaryUrl);
  running = await openSite(
    "secondary",
    { site: database.site, mainUrl, localUrl: database.standbyUrl, redisUrl: database.redisUrl },
    { MAIN_TIMEOUT_MS: "1000" },
  );
  site = running.site;
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await link[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const insert = (n: number, v = `value ${n}`) => request(mutation("insert", "log", { set: { n: `${n}`, v } }));
const update = (n: number, v: string) => request(mutation("update", "log", { key: { n: `${n}` }, set: { v } }));
const rows = async () =>
  (await read(site, { table: "log", columns: ["n", "v"], orderBy: [{ column: "n", descending: false }] })).rows;

test("G1 G2 G3: a thousand writes made during a cut arrive once each, in order, after it heals, over 220 ms", async () => {
  link.cut();
  const acks = [];
  for (let n = 0; n < 1_000; n++) acks.push(await write(site, insert(n)));
  expect(await rows()).toHaveLength(1_000);
  expect(await database.onPrimary("select n from log")).toEqual([]);
  await eventually(
    () => site.status.value,
    ({ processor, main }) => processor?.state.state === "RETRYING" && main.connection.state === "RETRYING",
    { timeoutMs: 10_000, what: "that the cut is named" },
  );
  link.setRoundTrip(220);
  link.heal();
  const last = acks.at(-1);
  if (last) await home(site, last);
  expect((await database.onPrimary("select n from log order by at")).map(({ n }) => n)).toEqual(acks.map((_, n) => n));
  expect(await database.onPrimary("select count(*)::int as n from opsdb.ledger")).toEqual([{ n: 1_000 }]);
});

test("G2 G3 G9: of six hundred writes made during a cut main refuses every second, over 100 ms: the others arrive once each, in order, and no refusal costs a round trip", async () => {
  await database.onPrimary("create unique index on log (v); insert into log (n, v) values (-1, 'taken')");
  await database.caughtUp();
  link.cut();
  const acks = [];
  for (let n = 0; n < 600; n++) acks.push(await write(site, insert(n, n % 2 === 0 ? `value ${n}` : "taken")));
  let transactions = 0;
  armFailpoints((name) => {
    if (name === "batch-taken") transactions += 1;
  });
  onTestFinished(() => armFailpoints(undefined));
  link.setRoundTrip(100);
  link.heal();
  const after = await write(site, insert(600));
  await home(site, after);
  expect((await database.onPrimary("select n from log where n >= 0 order by at")).map(({ n }) => n)).toEqual(
    Array.from({ length: 301 }, (_, i) => 2 * i),
  );
  const refused = acks.filter((_, n) => n % 2 === 1).map(({ status }) => status.writeId);
  const { writes } = await site.operator.listRejected({
    site: undefined,
    includeResolved: false,
    limit: 500,
    after: undefined,
  });
  expect(writes.map(({ status }) => status.writeId)).toEqual(refused);
  for (const { status, mutations } of writes) {
    expect(status.rejection).toMatchObject({ reason: "UNIQUE_VIOLATION", sqlstate: "23505", mutation: 0 });
    expect(mutations).toMatchObject([{ table: "public.log", values: [expect.any(String), "taken"] }]);
  }
  // The replica may show the last ones before main's answer is here.
  await eventually(
    () => site.readStatus().processor,
    (processor) => processor?.rejectedWrites === 300 && processor.appliedWrites === 301,
    { what: "that each write is counted" },
  );
  // Some dozens: small ones after the cut, those that failed by their guard behind the first refusal, then fifty in each.
  expect(transactions).toBeLessThan(300);
  expect((await rows()).length).toBe(302);
});

test("G2: the answer to a COMMIT is lost, and the batch is not applied again", async () => {
  const dropped = link.dropNextCommitAnswer();
  const ack = await write(site, insert(1));
  await dropped;
  const after = await write(site, update(1, "once"));
  await home(site, after);
  expect((await site.getWrite(ack.status.writeId)).state).toBe("REPLICATED");
  expect(await database.onPrimary("select n, v from log")).toEqual([{ n: 1, v: "once" }]);
});

test("G9: packets that vanish without a reset are found by a timeout, and the drain goes on when they come again", async () => {
  await home(site, await write(site, insert(1)));
  link.cut({ mode: "blackhole", direction: "from-main" });
  const ack = await write(site, insert(2));
  await eventually(
    () => site.status.value.processor?.state,
    (state) => state?.state === "RETRYING",
    { timeoutMs: 10_000, what: "that the silence is noticed" },
  );
  link.heal();
  await home(site, ack);
  expect(await database.onPrimary("select n from log order by n")).toEqual([{ n: 1 }, { n: 2 }]);
});

test("G6: where main has the key meanwhile, main's row is shown and the pending insert is rejected", async () => {
  link.cut();
  const ack = await write(site, insert(1, "far"));
  await write(site, insert(2, "far"));
  expect(await rows()).toEqual([
    ["1", "far"],
    ["2", "far"],
  ]);
  await database.onPrimary("insert into log (n, v) values (1, 'main')");
  await database.caughtUp();
  expect(await rows()).toEqual([
    ["1", "main"],
    ["2", "far"],
  ]);
  link.heal();
  const states = [];
  for await (const status of site.followWrite(ack.status.writeId, AbortSignal.timeout(10_000))) states.push(status);
  expect(states.at(-1)).toMatchObject({ state: "REJECTED", rejection: { reason: "ROW_EXISTS" } });
  expect(await rows()).toEqual([
    ["1", "main"],
    ["2", "far"],
  ]);
});

test("G6: an applied value does not cover what main wrote later", async () => {
  const first = await write(site, insert(1, "far"), { waitFor: "APPLIED" });
  await home(site, first);
  await database.onPrimary("update log set v = 'main' where n = 1");
  await database.caughtUp();
  expect(await rows()).toEqual([["1", "main"]]);
  link.cut();
  await write(site, request(mutation("update", "log", { key: { n: "1" }, set: { v: "far again" } })));
  expect(await rows()).toEqual([["1", "far again"]]);
});

test("G5: a reader in a tight loop never sees a row vanish, come back or change back on its way home", async () => {
  link.setRoundTrip(20);
  const seen = new Map<number, number>();
  const problems: string[] = [];
  let acknowledged = 0;
  let writing = true;
  const reader = (async () => {
    while (writing) {
      const expected = acknowledged;
      const found = new Map((await rows()).map(([n, v]) => [Number(n), Number(v)]));
      for (let n = 0; n < expected; n++) if (!found.has(n)) problems.push(`row ${n} is not there`);
      for (const [n, version] of found) {
        if (version < (seen.get(n) ?? 0)) problems.push(`row ${n} went back from ${seen.get(n)} to ${version}`);
        seen.set(n, version);
      }
    }
  })();
  // Main changes the same rows: it only ever adds 1000, so that versions grow wherever they are made.
  const changing = (async () => {
    while (writing) {
      await database.onPrimary("update log set v = (v::int + 1000)::text where n % 3 = 0");
      await database.caughtUp();
    }
  })();
  let last: Awaited<ReturnType<typeof write>> | undefined;
  for (let n = 0; n < 150; n++) {
    last = await write(site, insert(n, "1"));
    acknowledged = n + 1;
    if (n % 3 === 1) last = await write(site, update(n, "2"));
    if (n % 30 === 0) {
      link.cut();
      link.heal();
    }
  }
  if (last) await home(site, last);
  writing = false;
  await Promise.all([reader, changing]);
  expect(problems).toEqual([]);
  expect(seen.size).toBe(150);
});
