import type pg from "pg";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { BufferedWrites } from "../../src/buffer/buffered-writes.ts";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import type { Catalog } from "../../src/catalog/catalog.ts";
import { createPool } from "../../src/postgres/connection.ts";
import { textsOf } from "../../src/postgres/row-bytes.ts";
import { type ReadBuffer, TableReader } from "../../src/query/read-table.ts";
import { Snapshot } from "../../src/query/snapshot.ts";
import type { QueryPart } from "../../src/query/table-query.ts";
import { addressOf, readCatalog, writeOf } from "../support/drain.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";
import { wholeTable } from "../support/whole-table.ts";

let database: TestDatabase;
let catalog: Catalog;
let pool: pg.Pool;
let pending: BufferedWrites;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary("create table log (n int primary key)");
  catalog = await readCatalog(database.primaryUrl);
  pool = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 1);
  pending = new BufferedWrites();
  const write = writeOf({ table: "public.log", operation: "insert", key: ["1"], columns: ["n"], values: ["1"] });
  pending.add(1n, write.writeId, encodeWrite(write));
});

afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

/** Does something between the moment of a read's snapshot and that at which its facts arrive. */
function onSnapshot(act: () => void): void {
  pool.on("connect", (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown;
    let taken = false;
    client.query = ((statement: { handleReadyForQuery?: (...args: unknown[]) => void }, ...more: unknown[]) => {
      const ready = statement.handleReadyForQuery?.bind(statement);
      if (ready && !taken) {
        taken = true; // the first message that the reader sends takes the snapshot
        statement.handleReadyForQuery = (...args) => {
          act();
          ready(...args);
        };
      }
      return query(statement, ...more);
    }) as never;
  });
}

async function readLog(buffer?: ReadBuffer): Promise<QueryPart[]> {
  return await Array.fromAsync(
    new TableReader({ site: database.site, pending }).read(catalog, wholeTable({ table: "log" }), {
      pool,
      unavailable: "LOCAL_UNAVAILABLE",
      timeoutMs: 10_000,
      signal: new AbortController().signal,
      ...(buffer && { buffer }),
      header: () => ({ kind: "trailer", rowCount: -1 }),
    }),
  );
}

function rowsIn(parts: QueryPart[]): unknown[] {
  return parts.flatMap((part) => (part.kind === "batch" ? part.rows.map(textsOf) : []));
}

test("G5: a write that is proven right after the snapshot was taken is still merged into it", async () => {
  // The snapshot does not have the write; by the time that its facts arrive, the tracker has seen a later one that has.
  onSnapshot(() => pending.prove(1n));
  const parts = await readLog();
  expect(pending.unproven).toBe(0);
  expect(rowsIn(parts)).toEqual([["1"]]);
});

test("G5: a read is refused rather than answered without a write that Redis has lost and that is about to be read again", async () => {
  onSnapshot(() => pending.truncate(0n));
  await expect(readLog()).rejects.toMatchObject({ reason: "BUFFER_UNAVAILABLE" });
});

test("G5: a read is refused where a write has left the buffer that its snapshot does not show", async () => {
  onSnapshot(() => {
    pending.prove(1n);
    pending.forget(1n);
  });
  await expect(readLog()).rejects.toMatchObject({ reason: "LOCAL_UNAVAILABLE" });
});

test("G5: a read is refused where a write had left the buffer, unread, that its snapshot does not show", async () => {
  pending.leftStream(2n);
  await expect(readLog()).rejects.toMatchObject({ reason: "LOCAL_UNAVAILABLE" });
});

test("a table without pending writes is read while the buffer is", async () => {
  pending = new BufferedWrites();
  const snapshot = Promise.withResolvers<void>();
  onSnapshot(snapshot.resolve);
  // One after the other, neither would begin.
  const parts = await readLog({ isLoaded: () => true, toTail: () => snapshot.promise, keptMs: 60_000 });
  expect(rowsIn(parts)).toEqual([]);
});

test("G5: a write that the buffer turns out to have while its table is read is merged in", async () => {
  const known = pending;
  pending = new BufferedWrites();
  const toTail = async (): Promise<void> => {
    await Promise.resolve();
    if (pending.last > 0n) return;
    for (const { position, writeId, payload } of known.payloadsAfter(0n)) pending.add(position, writeId, payload);
  };
  const parts = await readLog({ isLoaded: () => true, toTail, keptMs: 60_000 });
  expect(rowsIn(parts)).toEqual([["1"]]);
});

test("G5: a table is read again, after the buffer, where a write may have come home and left the buffer meanwhile", async () => {
  pending = new BufferedWrites();
  let taken = false;
  onSnapshot(() => {
    taken = true;
  });
  let reads = 0;
  const toTail = async (): Promise<void> => {
    reads += 1;
    if (reads > 1) return;
    await vi.waitUntil(() => taken);
    // The snapshot does not have it, and the buffer has it no more.
    await database.onPrimary("insert into log values (1)");
  };
  const parts = await readLog({ isLoaded: () => true, toTail, keptMs: 0 });
  expect(reads).toBe(2);
  expect(rowsIn(parts)).toEqual([["1"]]);
});

test("a read whose first rows take long is done once", async () => {
  pending = new BufferedWrites();
  let reads = 0;
  const toTail = async (): Promise<void> => {
    reads += 1;
    await Promise.resolve();
  };
  onSnapshot(() => {
    // As if they had come later than a write could have come home and left the buffer; it was read to its tail before.
    const now = performance.now.bind(performance);
    vi.spyOn(performance, "now").mockImplementation(() => now() + 60_000);
  });
  await readLog({ isLoaded: () => true, toTail, keptMs: 2_000 }).finally(() => vi.restoreAllMocks());
  expect(reads).toBe(1);
});

test("G5: a read is refused where the database shows less than was proven, also while the buffer keeps it", async () => {
  pending.prove(1n);
  await expect(readLog()).rejects.toMatchObject({ reason: "LOCAL_UNAVAILABLE" });
});

test("a read whose connection ends before its cursor is closed fails at once", async () => {
  await database.onPrimary("insert into log select generate_series(2, 5000)");
  const ended = Promise.withResolvers<void>();
  pool.on("connect", (client) => client.once("end", ended.resolve));
  using snapshot = await Snapshot.open(pool, database.site, 10_000, AbortSignal.timeout(10_000));
  const batches = snapshot.run({ text: "select n from log", values: [], limit: 100 }, 100)[Symbol.asyncIterator]();
  expect((await batches.next()).value).toHaveLength(100);
  await database.onPrimary(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'test' and datname = current_database()",
  );
  await ended.promise;
  await expect(batches.next()).rejects.toThrow("Connection terminated unexpectedly");
});
