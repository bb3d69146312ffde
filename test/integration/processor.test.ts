import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { armFailpoints, type Failpoint } from "../../src/lib/failpoint.ts";
import { formatPosition } from "../../src/position.ts";
import { Lease } from "../../src/processor/lease.ts";
import { contentId } from "../../src/reused-id.ts";
import type { Write } from "../../src/write.ts";
import { addressOf, type Drain, openDrain, readCatalog, writeOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { startRedisServer } from "../support/services.ts";
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

async function drained({ processor, buffer } = drain): Promise<void> {
  await eventually(
    () => processor.cursor,
    (cursor) => cursor >= buffer.writes.last,
    { timeoutMs: 20_000, what: "that the buffer is drained" },
  );
}

/** The steps that the processor passes from now on. */
function passed(): Failpoint[] {
  const names: Failpoint[] = [];
  armFailpoints((name) => names.push(name));
  onTestFinished(() => armFailpoints(undefined));
  return names;
}
const transactions = (steps: readonly Failpoint[]) => steps.filter((name) => name === "batch-taken").length;

const rejections = () =>
  database.onPrimary(
    "select error ->> 'reason' as reason, error ->> 'sqlstate' as sqlstate, (error ->> 'mutation')::int as mutation from opsdb.ledger where outcome = 'REJECTED' order by position",
  );

/** Makes inserts of these numbers into the log fail as the body says. */
const logTrigger = (body: string) =>
  database.onPrimary(
    `create function on_log() returns trigger language plpgsql as $$ begin ${body}; return new; end $$;
     create trigger on_log before insert on log for each row execute function on_log()`,
  );

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

test("G2: a second content of a write id is rejected by an id of its own, once, with what it wanted, wherever the first one is", async () => {
  const first = writeOf(insert(1));
  const second = { ...writeOf(insert(2)), writeId: first.writeId };
  const elsewhere = writeOf(insert(3));
  await database.onPrimary(
    "insert into opsdb.ledger (write_id, site, payload_hash, outcome) values ($1, 'elsewhere', '\\x00', 'APPLIED')",
    [elsewhere.writeId],
  );
  /** A repetition of what the ledger has, behind the other content. */
  const repeated = { ...writeOf(insert(6)), writeId: elsewhere.writeId, payloadHash: Buffer.from([0]) };
  await append([first, writeOf(insert(4)), second, elsewhere, second, first, elsewhere, repeated, writeOf(insert(5))]);
  drain.start();
  await drained();
  expect(await database.onPrimary("select n from log order by n")).toEqual([{ n: 1 }, { n: 4 }, { n: 5 }]);
  const rejected = await database.onPrimary(
    "select write_id, position, payload_hash as hash, error, payload from opsdb.ledger where outcome = 'REJECTED' order by position",
  );
  const entries = drain.buffer.writes.after(0n);
  expect(rejected).toEqual(
    [second, elsewhere].map((write, i) => ({
      write_id: contentId(write),
      position: formatPosition(entries[i + 2]?.position ?? 0n),
      hash: Buffer.from(write.payloadHash),
      error: {
        reason: "WRITE_ID_REUSED",
        message: `write id ${write.writeId} was used before with other content; this content is rejected as write ${contentId(write)}; whoever sent it may know that already`,
        writeId: write.writeId,
      },
      payload: write.mutations,
    })),
  );
  // In memory it is what is in the ledger.
  expect(entries.map(({ state }) => state)).toEqual([
    ...["APPLIED", "APPLIED", "REJECTED", "REJECTED"],
    ...["REJECTED", "APPLIED", "REJECTED", "APPLIED", "APPLIED"],
  ]);
  expect(entries[2]?.rejection).toEqual(rejected[0]?.error);
  expect(entries[3]?.rejection).toEqual(rejected[1]?.error);
  expect(drain.buffer.writes.byId(first.writeId)?.position).toBe(entries[0]?.position);
  expect(drain.buffer.writes.byId(contentId(second))?.position).toBe(entries[2]?.position);
  expect(drain.processor.status.rejectedWrites).toBe(2);

  // Decided anew after a failover, it is the same.
  await database.onPrimary("delete from log where n <> 1");
  await database.onPrimary("delete from opsdb.ledger where write_id <> all($1)", [[first.writeId, elsewhere.writeId]]);
  await database.onPrimary("update opsdb.cursor set position = $1", [formatPosition(entries[0]?.position ?? 0n)]);
  await database.onPrimary(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'opsdb-processor%' and datname = current_database()",
  );
  await eventually(
    () => database.onPrimary("select n from log order by n"),
    (rows) => rows.length === 3,
    { timeoutMs: 10_000, what: "that the lost writes are applied again" },
  );
  expect(
    await database.onPrimary("select write_id from opsdb.ledger where outcome = 'REJECTED' order by position"),
  ).toEqual(rejected.map(({ write_id }) => ({ write_id })));
});

test("G2 G3 G9: of a thousand writes every second is refused, and they take few transactions", async () => {
  const { site, redisUrl, primaryUrl } = database;
  await using other = await openDrain({
    site: `${site}-other`,
    redisUrl,
    primaryUrl,
    main: addressOf(primaryUrl),
    processor: { batchWrites: 100, inFlight: 1 },
  });
  const steps = passed();
  const bad = (n: number) => (n % 2 === 0 ? insert(-1 - n, "public.other") : update(-n, "none"));
  const writes = Array.from({ length: 500 }, (_, n) => [writeOf(insert(n)), writeOf(bad(n))]).flat();
  for (const write of writes) await other.buffer.append(write);
  other.start();
  await drained(other);
  // One that fails as a whole, then fifty writes in each, also past the writes of the first.
  expect(transactions(steps)).toBeLessThan(25);
  const rows = await ledger();
  expect(rows.map(({ write_id }) => write_id)).toEqual(writes.map(({ writeId }) => writeId));
  expect(rows.map(({ reason }) => reason)).toEqual(
    writes.map((_, i) => [null, "CHECK_VIOLATION", null, "ROW_NOT_FOUND"][i % 4]),
  );
  const order = await database.onPrimary("select n from log order by at");
  expect(order.map(({ n }) => n)).toEqual(Array.from({ length: 500 }, (_, n) => n));
  expect(other.processor.status).toMatchObject({ appliedWrites: 500, rejectedWrites: 500 });
  const states = writes.map(({ writeId }) => other.buffer.writes.byId(writeId)?.state);
  expect(states).toEqual(writes.map((_, i) => (i % 2 === 0 ? "APPLIED" : "REJECTED")));
});

test("G9: where the tables of many writes are gone, main's catalog is read for all of them at once", async () => {
  const { site, redisUrl, primaryUrl } = database;
  let reads = 0;
  const catalogOfMain = async () => {
    reads += 1;
    return await readCatalog(primaryUrl);
  };
  await using other = await openDrain({
    site: `${site}-other`,
    redisUrl,
    primaryUrl,
    main: addressOf(primaryUrl),
    processor: { catalogOfMain },
  });
  const steps = passed();
  for (let n = 0; n < 300; n++)
    await other.buffer.append(writeOf(insert(n, n % 10 === 0 ? "public.log" : "public.gone")));
  other.start();
  await drained(other);
  expect(reads).toBe(1);
  expect(transactions(steps)).toBeLessThan(10);
  expect(await database.onPrimary("select count(*)::int as n from log")).toEqual([{ n: 30 }]);
  expect((await rejections()).length).toBe(270);
});

test("G2: a table renamed at main while writes to it are buffered costs those writes alone", async () => {
  await append([writeOf(insert(1, "public.other")), writeOf(insert(1)), writeOf(insert(2, "public.other"))]);
  await database.onPrimary("alter table log rename to log_2026");
  drain.start();
  await drained();
  expect(await rejections()).toEqual([{ reason: "TABLE_NOT_FOUND", sqlstate: null, mutation: 0 }]);
  expect(await database.onPrimary("select n from other order by n")).toEqual([{ n: 1 }, { n: 2 }]);
});

test("G2: what the schema defers to the commit is decided with its own write, and nothing else is deferred", async () => {
  await database.onPrimary(`create table child (n int primary key, v text,
    later int references other deferrable initially deferred, now int references other deferrable)`);
  const { site, redisUrl, primaryUrl } = database;
  await using other = await openDrain({ site: `${site}-other`, redisUrl, primaryUrl, main: addressOf(primaryUrl) });
  const child = (n: number, column: "later" | "now", parent: number) => ({
    table: "public.child",
    operation: "insert" as const,
    key: [`${n}`],
    columns: ["n", column],
    values: [`${n}`, `${parent}`],
  });
  const writes = [
    writeOf(child(1, "later", 99)),
    writeOf(insert(2, "public.other")),
    writeOf(child(2, "later", 3), insert(3, "public.other")),
    writeOf(child(3, "now", 4), insert(4, "public.other")),
    writeOf(insert(5, "public.other"), child(4, "now", 5)),
    writeOf(child(5, "later", 6), insert(6, "public.other")),
  ];
  for (const write of writes) await other.buffer.append(write);
  other.start();
  await drained(other);
  expect(await rejections()).toEqual([
    { reason: "FOREIGN_KEY_VIOLATION", sqlstate: "23503", mutation: null },
    { reason: "FOREIGN_KEY_VIOLATION", sqlstate: "23503", mutation: 0 },
  ]);
  expect(await database.onPrimary("select n from child order by n")).toEqual([{ n: 2 }, { n: 4 }, { n: 5 }]);
});

test.each(["40001", "40P01", "55P03", "57014", "42501", "53200"])(
  "G2: an error that is not the write's fault (%s) rejects nothing, also while main decides write by write",
  async (sqlstate) => {
    await database.onPrimary("create sequence tries"); // is not rolled back
    await logTrigger(
      `if current_query() ~ 'decide_entry' and nextval('tries') = 1 then raise exception using errcode = '${sqlstate}'; end if`,
    );
    await append([writeOf(insert(-1, "public.other")), writeOf(insert(1)), writeOf(insert(2))]);
    drain.start();
    await drained();
    expect(await database.onPrimary("select is_called from tries")).toEqual([{ is_called: true }]);
    expect((await ledger()).map(({ reason }) => reason)).toEqual(["CHECK_VIOLATION", null, null]);
    expect(await database.onPrimary("select n from log order by n")).toEqual([{ n: 1 }, { n: 2 }]);
  },
);

test("G2: what a trigger refuses is rejected, with a code of its own and with ASSERT as well", async () => {
  await logTrigger("if new.n = 1 then raise exception using errcode = 'CC001'; end if; assert new.n <> 2");
  await append([writeOf(insert(0), insert(1)), writeOf(insert(2)), writeOf(insert(3))]);
  drain.start();
  await drained();
  expect(await rejections()).toEqual([
    { reason: "DATABASE_REFUSED", sqlstate: "CC001", mutation: 0 },
    { reason: "DATABASE_REFUSED", sqlstate: "P0004", mutation: 0 },
  ]);
  expect(await database.onPrimary("select n from log")).toEqual([{ n: 3 }]);
});

test("G9: a value that main cannot even read is rejected, and the writes around it arrive", async () => {
  const poison = writeOf({ ...insert(2), values: ["2", "a\0b"] });
  const writes = [writeOf(insert(1)), poison, writeOf(insert(3)), writeOf(insert(-1, "public.other"))];
  await append(writes);
  drain.start();
  await drained();
  expect((await rejections()).map(({ reason }) => reason)).toEqual(["INVALID_VALUE", "CHECK_VIOLATION"]);
  expect(await database.onPrimary("select n from log order by n")).toEqual([{ n: 1 }, { n: 3 }]);
});

test("G9: a main database that lacks the function which decides holds the drain up, and nothing is rejected", async () => {
  await database.onPrimary("alter function opsdb.decide_entry rename to gone");
  await append([writeOf(insert(-1, "public.other")), writeOf(insert(1))]);
  drain.start();
  await eventually(
    () => drain.processor.status.state,
    ({ state, reason }) => state === "RETRYING" && reason.includes("decide_entry"),
    { timeoutMs: 10_000, what: "that the reason is named" },
  );
  expect(await ledger()).toEqual([]);
  await database.onPrimary("alter function opsdb.gone rename to decide_entry");
  await drained();
  expect((await ledger()).map(({ reason }) => reason)).toEqual(["CHECK_VIOLATION", null]);
});

test("G2: what a rejected write wanted to do is in its ledger row, and every value arrives as it was", async () => {
  const odd = `it's "$1" \\ {a,b} $2::text[]`;
  const quoted = { ...insert(1), table: 'public."od""d$1"', columns: ["n", `v'$2`], values: ["1", odd] };
  await database.onPrimary(`create table "od""d$1" (n int primary key, "v'$2" text)`);
  const poison = writeOf(insert(-1, "public.other"));
  await append([
    poison,
    writeOf(quoted),
    writeOf({ ...quoted, operation: "update", columns: [`v'$2`], values: [null] }),
  ]);
  await append([writeOf({ ...quoted, operation: "upsert", setColumns: [`v'$2`] })]);
  drain.start();
  await drained();
  expect(await database.onPrimary(`select "v'$2" as v from "od""d$1"`)).toEqual([{ v: odd }]);
  expect(await database.onPrimary("select payload from opsdb.ledger where outcome = 'REJECTED'")).toEqual([
    { payload: poison.mutations },
  ]);
});

test("G9: a drain passes every step of which tests may make an end", async () => {
  const steps = passed();
  await append([writeOf(insert(-1, "public.other")), writeOf(insert(1))]);
  drain.start();
  await drained();
  const whole: Failpoint[] = ["batch-taken", "batch-applying"];
  expect(steps.filter((name) => name !== "append-stored")).toEqual([
    ...whole,
    ...whole,
    "batch-committed",
    "rejection-stored",
  ]);
});

test("G9: Redis without memory for the lease does not keep the buffer from being drained", async () => {
  const { site, primaryUrl } = database;
  await using redis = await startRedisServer();
  await using full = await openDrain({ site, redisUrl: redis.url, primaryUrl, main: addressOf(primaryUrl) });
  await full.buffer.append(writeOf(insert(1)));
  using control = new Control(redis.url);
  await control.withoutMemory();
  await expect(full.buffer.append(writeOf(insert(2)))).rejects.toMatchObject({ reason: "BUFFER_FULL" });
  full.start();
  await drained(full);
  expect(await database.onPrimary("select n from log")).toEqual([{ n: 1 }]);
});

test("a lease is renewed, and kept from others, while Redis has no memory", async () => {
  await using redis = await startRedisServer();
  using control = new Control(redis.url);
  const [held, other] = [1, 2].map(() => new Lease({ redis: control.redis, key: "lease", leaseMs: 60_000 }));
  expect(await held?.take()).toBe(true);
  await control.withoutMemory();
  await control.redis.pexpire("lease", 30_000);
  expect(await held?.take()).toBe(true);
  expect(await control.redis.pttl("lease")).toBeGreaterThan(30_000);
  expect(await other?.take()).toBe(false);
});

/** An operator's connection to a Redis of the test's own. */
class Control implements Disposable {
  readonly redis: Redis;

  constructor(url: string) {
    this.redis = new Redis(url);
  }

  async withoutMemory(): Promise<void> {
    await this.redis.config("SET", "maxmemory", "1");
  }

  [Symbol.dispose](): void {
    this.redis.disconnect();
  }
}
