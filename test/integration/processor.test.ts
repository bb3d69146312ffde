import { randomUUID } from "node:crypto";
import { afterEach, beforeEach, expect, test } from "vitest";
import { formatPosition } from "../../src/position.ts";
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
    rejection: { sqlstate: "23505", mutation: 0 },
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

test("G9: a value that main's index cannot hold is rejected, and does not hold up what comes behind it", async () => {
  await database.onPrimary("create index on log (v)");
  // Of random characters, so that compression does not make it fit.
  const long = Array.from({ length: 900 }, () => randomUUID()).join("");
  const poison = writeOf({ ...insert(1), values: ["1", long] });
  await append([poison, writeOf(insert(2))]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select n from log")).toEqual([{ n: 2 }]);
  expect(drain.buffer.writes.byId(poison.writeId)).toMatchObject({
    state: "REJECTED",
    rejection: { sqlstate: "54000" },
  });
});

test("G2: a write to a table that the local catalog does not know yet is applied, not rejected", async () => {
  await database.onPrimary("create table newer (n int primary key, v text)");
  drain.start();
  await append([writeOf(insert(1, "public.newer")), writeOf(insert(2, "public.gone"))]);
  await drained();
  expect(await database.onPrimary("select n from newer")).toEqual([{ n: 1 }]);
  expect((await ledger()).map(({ reason }) => reason)).toEqual([null, "TABLE_NOT_FOUND"]);
});

test("G2 G9: an idle processor notices that main has lost what it had committed, and applies it again", async () => {
  drain.start();
  await append([writeOf(insert(1)), writeOf(insert(2))]);
  await drained();
  // What a failover to a standby that missed the last commit leaves behind.
  const [first] = drain.buffer.writes.after(0n);
  await database.onPrimary("delete from log where n = 2");
  await database.onPrimary("delete from opsdb.ledger where write_id <> $1", [first?.writeId]);
  await database.onPrimary("update opsdb.cursor set position = $1", [formatPosition(first?.position ?? 0n)]);
  await database.onPrimary(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'opsdb-processor%' and datname = current_database()",
  );
  await eventually(
    () => database.onPrimary("select n from log order by n"),
    (rows) => rows.length === 2,
    { timeoutMs: 10_000, what: "that the lost write is applied again" },
  );
  expect(await ledger()).toHaveLength(2);
});

test("G2: an id that the ledger has with other content, or rejected, is not reported as applied", async () => {
  const reused = writeOf(insert(1));
  const rejected = writeOf(insert(2));
  await database.onPrimary(
    `insert into opsdb.ledger (write_id, site, payload_hash, outcome, error) values
      ($1, 'elsewhere', '\\x00', 'APPLIED', null), ($2, 'elsewhere', $3, 'REJECTED', '{"reason": "CHECK_VIOLATION", "message": "no"}')`,
    [reused.writeId, rejected.writeId, Buffer.from(rejected.payloadHash)],
  );
  await append([reused, rejected, writeOf(insert(3))]);
  drain.start();
  await drained();
  const reasons = [reused, rejected].map(({ writeId }) => drain.buffer.writes.byId(writeId)?.rejection?.reason);
  expect(reasons).toEqual(["WRITE_ID_REUSED", "CHECK_VIOLATION"]);
  expect(await database.onPrimary("select n from log")).toEqual([{ n: 3 }]);
});
