import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatPosition } from "../../src/position.ts";
import type { Site } from "../../src/site/site.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import {
  home,
  mutation,
  openSite,
  type RunningSite,
  read,
  request,
  type SiteAddresses,
  values,
  write,
} from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";
import { wholeTable } from "../support/whole-table.ts";

let database: TestDatabase;
let running: RunningSite;
let site: Site;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary(
    "create table log (n int primary key, v text, w numeric(6,2) default 1.5, x timestamptz default now())",
  );
  await database.caughtUp();
  running = await openSite("secondary", addresses());
  site = running.site;
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

function addresses(): SiteAddresses {
  return {
    site: database.site,
    mainUrl: database.primaryUrl,
    localUrl: database.standbyUrl,
    redisUrl: database.redisUrl,
  };
}

const insert = (n: number, v = `value ${n}`) => request(mutation("insert", "log", { set: { n: `${n}`, v } }));
const update = (n: number, v: string) => request(mutation("update", "log", { key: { n: `${n}` }, set: { v } }));
const remove = (n: number) => request(mutation("delete", "log", { key: { n: `${n}` } }));
const rows = async () =>
  (await read(site, { table: "log", columns: ["n", "v"], orderBy: [{ column: "n", descending: false }] })).rows;

test("G5: a write is in a merged read at once, with its defaults, while the replica does not have it", async () => {
  await database.pauseReplay();
  const ack = await write(site, insert(1));
  const { header, rows } = await read(site, { table: "log" });
  expect(header.pendingWrites).toBe(1);
  expect(rows).toEqual([ack.rows[0]?.values]);
  expect(rows[0]?.slice(0, 3)).toEqual(["1", "value 1", "1.50"]);
  await database.resumeReplay();
  await home(site, ack);
  expect((await read(site, { table: "log" })).rows).toEqual(rows);
  expect((await read(site, { table: "log", consistency: "main" })).rows).toEqual(rows);
});

test("G6: updates, deletes and re-inserts over rows of the replica, in order", async () => {
  for (const n of [1, 2, 3]) await home(site, await write(site, insert(n)));
  await database.pauseReplay();
  await write(site, update(1, "changed"));
  await write(site, remove(2));
  await write(site, remove(3));
  await write(site, insert(3, "again"));
  await write(site, insert(4));
  expect(await rows()).toEqual([
    ["1", "changed"],
    ["3", "again"],
    ["4", "value 4"],
  ]);
  const { rows: page } = await read(site, {
    table: "log",
    columns: ["v"],
    orderBy: [{ column: "v", descending: true }],
    limit: 2n,
    where: {
      kind: "not",
      condition: {
        kind: "comparison",
        column: "v",
        operator: "LIKE",
        value: { kind: "string", value: "ag%" },
        field: "where",
      },
    },
  });
  expect(page).toEqual([["value 4"], ["changed"]]);
});

test("a write waits for APPLIED and REPLICATED as asked, and answers with its LSN", async () => {
  await database.pauseReplay();
  const applied = await write(site, insert(1), { waitFor: "APPLIED" });
  expect(applied).toMatchObject({ waitTimedOut: false, status: { state: "APPLIED" } });
  expect(applied.status.lsn).toBeTypeOf("bigint");
  await database.resumeReplay();
  const replicated = await write(site, insert(2), { waitFor: "REPLICATED" });
  expect(replicated.status.state).toBe("REPLICATED");
  await database.pauseReplay();
  const late = await write(site, insert(3), { waitFor: "REPLICATED", waitMs: 300 });
  expect(late.waitTimedOut).toBe(true);
  expect(late.status.state).toBe("APPLIED");
});

test("G2: the same id again answers with the same write; with other content it is refused", async () => {
  const requested = insert(1);
  const first = await write(site, requested);
  const again = await write(site, requested);
  expect(again).toMatchObject({ duplicate: true, rows: first.rows });
  await expect(write(site, { ...update(1, "x"), writeId: requested.writeId })).rejects.toMatchObject({
    reason: "WRITE_ID_REUSED",
  });
  await home(site, first);
  expect(await write(site, requested)).toMatchObject({ duplicate: true, status: { state: "REPLICATED" } });
  expect(await database.onPrimary("select count(*)::int as n from log")).toEqual([{ n: 1 }]);
});

test("what the merged view shows to be wrong is refused at once, and nothing is stored", async () => {
  await database.pauseReplay();
  await write(site, insert(1));
  await expect(write(site, insert(1))).rejects.toMatchObject({
    reason: "ROW_EXISTS",
    field: "mutations[0].insert.values",
  });
  await expect(write(site, update(9, "x"))).rejects.toMatchObject({
    reason: "ROW_NOT_FOUND",
    field: "mutations[0].update.key",
  });
  await write(site, remove(1));
  await expect(write(site, update(1, "x"))).rejects.toMatchObject({ reason: "ROW_NOT_FOUND" });
  expect(site.status.value.buffer?.retainedWrites ?? 0).toBeLessThanOrEqual(2);
});

test("direct mode is refused while the local database is a replica", async () => {
  await expect(write(site, insert(1), { mode: "direct" })).rejects.toMatchObject({ reason: "LOCAL_READ_ONLY" });
});

test("G10: a read with the token of a write waits for it, or says that it did not come in time", async () => {
  const ack = await write(site, insert(1));
  expect((await read(site, { table: "log", columns: ["n"], consistency: "local", token: ack.token })).rows).toEqual([
    ["1"],
  ]);
  expect((await read(site, { table: "log", columns: ["n"], consistency: "main", token: ack.token })).rows).toEqual([
    ["1"],
  ]);
  await database.pauseReplay();
  const late = await write(site, insert(2));
  expect((await read(site, { table: "log", token: late.token })).rows).toHaveLength(2);
  const parts = site.query(wholeTable({ table: "log", consistency: "local", token: late.token }), {
    timeoutMs: 200,
    signal: new AbortController().signal,
  });
  await expect(Array.fromAsync(parts)).rejects.toMatchObject({ reason: "NOT_FRESH_IN_TIME" });
  await expect(read(site, { table: "log", token: Buffer.from("nonsense") })).rejects.toMatchObject({
    reason: "INVALID_TOKEN",
  });
});

test("followWrite tells each state until the write is home", async () => {
  await database.pauseReplay();
  const { status } = await write(site, insert(1), { waitFor: "APPLIED" });
  const states: string[] = [];
  for await (const { state } of site.followWrite(status.writeId, AbortSignal.timeout(10_000))) {
    states.push(state);
    if (state === "APPLIED") await database.resumeReplay();
  }
  expect(states).toEqual(["APPLIED", "REPLICATED"]);
  await expect(site.getWrite(randomUUID())).rejects.toMatchObject({ reason: "WRITE_NOT_FOUND" });
});

test("a pending write with a precondition is no fact: what depends on it is accepted, and main decides", async () => {
  await home(site, await write(site, insert(1)));
  await database.pauseReplay();
  const conditional = remove(1);
  conditional.mutations[0]?.preconditions.push({ kind: "columns_equal", values: values({ v: "another" }) });
  const refused = await write(site, conditional);
  expect(await rows()).toEqual([["1", "value 1"]]);
  const changed = await write(site, update(1, "still there"));
  await database.resumeReplay();
  await home(site, changed);
  expect(await site.getWrite(refused.status.writeId)).toMatchObject({
    state: "REJECTED",
    rejection: { reason: "PRECONDITION_FAILED" },
  });
  expect(await rows()).toEqual([["1", "still there"]]);
});

test("G6: spellings of one numeric key are one row", async () => {
  await database.onPrimary("create table measure (k numeric primary key, v text)");
  await database.caughtUp();
  await database.pauseReplay();
  const upsert = (k: string, v: string) => request(mutation("upsert", "measure", { set: { k, v } }));
  await write(site, upsert("1.0", "a"));
  await write(site, upsert("1.00", "b"));
  await write(site, upsert("10", "c"));
  await write(site, request(mutation("update", "measure", { key: { k: "1" }, set: { v: "d" } })));
  const query = { table: "measure", columns: ["v"], orderBy: [{ column: "k", descending: false }] };
  expect((await read(site, query)).rows).toEqual([["d"], ["c"]]);
  await expect(write(site, request(mutation("insert", "measure", { set: { k: "10.000" } })))).rejects.toMatchObject({
    reason: "ROW_EXISTS",
  });
});

test("G5: a process that has not read the buffer yet does not answer merged reads as if it were empty", async () => {
  await database.pauseReplay();
  const ack = await write(site, insert(1));
  const addresses = { site: database.site, mainUrl: database.primaryUrl, localUrl: database.standbyUrl };
  await using other = await openSite("secondary", { ...addresses, redisUrl: "redis://127.0.0.1:1" }, {}, false);
  await eventually(
    () => other.site.status.value.local.connection.state,
    (state) => state === "RUNNING",
    { timeoutMs: 5_000, what: "that the replica answers" },
  );
  await eventually(
    () => catalogOf(other.site),
    (known) => known,
    { timeoutMs: 5_000, what: "the catalog" },
  );
  await expect(read(other.site, { table: "log" })).rejects.toMatchObject({ reason: "BUFFER_UNAVAILABLE" });
  await expect(other.site.getWrite(ack.status.writeId)).rejects.toMatchObject({ reason: "BUFFER_UNAVAILABLE" });
  expect(other.site.health.value.query.serving).toBe(false);
  expect((await read(other.site, { table: "log", consistency: "local" })).rows).toEqual([]);
});

function catalogOf(of: Site): boolean {
  try {
    return of.catalog().tables.length > 0;
  } catch {
    return false;
  }
}

test("a caller that goes away in the middle of a read or a wait leaves nothing behind", async () => {
  await database.pauseReplay();
  const { token } = await write(site, insert(1), { waitFor: "APPLIED" });
  for (let i = 0; i < 60; i++) {
    const gone = new AbortController();
    const consistency = i % 2 === 0 ? "merged" : "local";
    const reading = Array.fromAsync(
      site.query(
        wholeTable({ table: "log", consistency, batchSize: 1, token: i % 3 === 0 ? token : new Uint8Array() }),
        { timeoutMs: 5_000, signal: gone.signal },
      ),
    );
    // At another moment each time: before the buffer was read, while replay is waited for, within the snapshot.
    for (let turn = 0; turn < i; turn++) await setImmediate();
    gone.abort(new Error("the caller is gone"));
    await reading.catch((error: unknown) => expect(error).toMatchObject({ message: "the caller is gone" }));
  }
  expect((await read(site, { table: "log", columns: ["n"] })).rows).toEqual([["1"]]);
});

test("G5: what another process of the site has just acknowledged counts, also where this process has not heard of it yet: no row is missing that is there, none is in the way that is gone", async () => {
  await using slowly = new Link({ roundTripMs: 60 });
  const { hostname, port } = new URL(database.redisUrl);
  const { host, port: slowPort } = await slowly.forward({ host: hostname, port: Number(port) });
  await using late = await openSite("secondary", { ...addresses(), redisUrl: `redis://${host}:${slowPort}` });
  await database.pauseReplay();
  for (let n = 0; n < 5; n++) {
    await write(site, insert(n));
    await write(late.site, update(n, "by the other"));
    await write(site, remove(n));
    await write(late.site, insert(n, "again"));
  }
  expect(await rows()).toEqual([0, 1, 2, 3, 4].map((n) => [`${n}`, "again"]));
  // What is wrong is refused all the same.
  await expect(write(late.site, insert(1))).rejects.toMatchObject({ reason: "ROW_EXISTS" });
  await expect(write(late.site, update(9, "x"))).rejects.toMatchObject({ reason: "ROW_NOT_FOUND" });
});

test("G8: what main has lost since its proof is not trimmed: main is asked before", async () => {
  await running[Symbol.asyncDispose]();
  // Nothing else looks at main for as long as the test takes.
  running = await openSite("secondary", addresses(), { BUFFER_RETENTION: "2", STATUS_POLL_MS: "60000" });
  site = running.site;
  // Proven at once, so that they are due at once.
  await database.pauseReplay();
  const kept = await write(site, insert(1), { waitFor: "APPLIED" });
  const lost = await write(site, insert(2), { waitFor: "APPLIED" });
  await database.resumeReplay();
  await home(site, lost);
  await database.onPrimary("update opsdb.cursor set position = $2 where site = $1", [
    database.site,
    formatPosition(kept.status.position ?? 0n),
  ]);
  await eventually(
    () => site.readStatus().buffer?.retainedWrites,
    (retained) => retained === 1,
    { what: "that what main still has is trimmed" },
  );
  expect((await site.getWrite(lost.status.writeId)).writeId).toBe(lost.status.writeId);
});
