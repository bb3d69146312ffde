import { afterEach, beforeEach, expect, test } from "vitest";
import type { Write } from "../../src/write.ts";
import { addressOf, type Drain, openDrain, writeOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let drain: Drain;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary("create table log (n int primary key, v text, at bigint generated always as identity)");
  await database.onPrimary("create table other (n int primary key check (n >= 0), v text)");
  const { site, redisUrl, primaryUrl } = database;
  drain = await openDrain({ site, redisUrl, primaryUrl, main: addressOf(primaryUrl) });
});

afterEach(async () => {
  await drain[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const insert = (n: number, table = "public.log") => ({
  table,
  operation: "insert" as const,
  key: [`${n}`],
  columns: ["n", "v"],
  values: [`${n}`, `value ${n}`],
});
const update = (n: number, v: string) => ({
  table: "public.log",
  operation: "update" as const,
  key: [`${n}`],
  columns: ["v"],
  values: [v],
});

async function append(writes: Write[]): Promise<void> {
  for (const write of writes) await drain.buffer.append(write);
}

async function drained(): Promise<void> {
  await eventually(
    () => drain.processor.cursor,
    (cursor) => cursor >= drain.buffer.writes.last,
    { timeoutMs: 20_000, what: "that the buffer is drained" },
  );
}

const ledger = () =>
  database.onPrimary("select write_id, outcome, error ->> 'reason' as reason from opsdb.ledger order by position");

test("G2 G3: a thousand writes arrive once each, in the order in which they were acknowledged", async () => {
  const writes = Array.from({ length: 1_000 }, (_, n) => writeOf(insert(n)));
  await Promise.all(writes.map((write) => drain.buffer.append(write)));
  drain.start();
  await drained();
  const inOrder = drain.buffer.writes.after(0n).map(({ write }) => Number(write.mutations[0]?.key[0]));
  const rows = await database.onPrimary("select n from log order by at");
  expect(rows.map(({ n }) => n)).toEqual(inOrder);
  expect(await ledger()).toHaveLength(1_000);
});

test("G3: later writes to the same row win, whatever batch they are in", async () => {
  await append([writeOf(insert(1)), ...Array.from({ length: 50 }, (_, i) => writeOf(update(1, `${i}`)))]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "49" }]);
});

test("G2: a write that main refuses is rejected with its reason, and all others arrive", async () => {
  const writes = Array.from({ length: 300 }, (_, n) => writeOf(insert(n)));
  const poison = writeOf(insert(7), insert(1_000));
  const missing = writeOf(update(5_000, "nothing"));
  writes.splice(120, 0, poison);
  writes.splice(200, 0, missing);
  await append(writes);
  drain.start();
  await drained();
  const rows = await ledger();
  expect(rows.filter(({ outcome }) => outcome === "REJECTED").map((row) => [row.write_id, row.reason])).toEqual([
    [poison.writeId, "ROW_EXISTS"],
    [missing.writeId, "ROW_NOT_FOUND"],
  ]);
  expect(await database.onPrimary("select count(*)::int as n from log")).toEqual([{ n: 300 }]);
  expect(drain.buffer.writes.byId(poison.writeId)).toMatchObject({
    state: "REJECTED",
    rejection: { sqlstate: "23505" },
  });
});

test("G4: a write whose second mutation fails leaves nothing of its first", async () => {
  await append([writeOf(insert(1), insert(-1, "public.other"))]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select n from log")).toEqual([]);
  expect((await ledger()).map(({ reason }) => reason)).toEqual(["CHECK_VIOLATION"]);
});

test("G2: the same write appended twice is applied once", async () => {
  const write = writeOf(insert(1));
  const last = writeOf(insert(2));
  await append([write, write, last, write]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select n from log order by n")).toEqual([{ n: 1 }, { n: 2 }]);
  expect((await ledger()).map(({ write_id }) => write_id)).toEqual([write.writeId, last.writeId]);
});

test("G2: a write that is in the ledger under an earlier position is passed over", async () => {
  const write = writeOf(insert(1));
  await database.onPrimary(
    "insert into opsdb.ledger (write_id, site, position, payload_hash, outcome) values ($1, 'elsewhere', '1-1', $2, 'APPLIED')",
    [write.writeId, Buffer.from(write.payloadHash)],
  );
  await append([write, writeOf(insert(2))]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select n from log")).toEqual([{ n: 2 }]);
});

test("preconditions are evaluated when the write is applied", async () => {
  const changed = (n: number, expected: string, v: string) =>
    writeOf({ ...update(n, v), preconditions: [{ kind: "columns_equal", columns: ["v"], values: [expected] }] });
  await append([writeOf(insert(1)), changed(1, "value 1", "a"), changed(1, "value 1", "b"), changed(1, "a", "c")]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "c" }]);
  expect((await ledger()).map(({ reason }) => reason)).toEqual([null, null, "PRECONDITION_FAILED", null]);
});

test("G2: a second processor stops the first, and what the first has under way fails by its guard", async () => {
  const { site, redisUrl, primaryUrl } = database;
  drain.start();
  await append([writeOf(insert(1))]);
  await drained();
  // Another process that does not see the lease, as after a long pause of this one.
  await database.onPrimary("update opsdb.cursor set fencing_token = fencing_token + 1 where site = $1", [site]);
  await append(Array.from({ length: 20 }, (_, i) => writeOf(insert(i + 2))));
  await using other = await openDrain({ site, redisUrl, primaryUrl, main: addressOf(primaryUrl) });
  expect(other.buffer.writes.size).toBe(21);
  await drained();
  expect(await database.onPrimary("select count(*)::int as n from log")).toEqual([{ n: 21 }]);
  expect(await ledger()).toHaveLength(21);
});
