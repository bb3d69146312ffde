import type pg from "pg";
import { afterEach, beforeEach, expect, test } from "vitest";
import { BufferedWrites } from "../../src/buffer/buffered-writes.ts";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import { createLogger } from "../../src/lib/logger.ts";
import { formatPosition, type Position } from "../../src/position.ts";
import { createPool } from "../../src/postgres/connection.ts";
import { LsnTracker } from "../../src/replication/lsn-tracker.ts";
import type { Write } from "../../src/write.ts";
import { addressOf, writeOf } from "../support/drain.ts";
import { eventually } from "../support/eventually.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let pool: pg.Pool;
let writes: BufferedWrites;
let tracker: LsnTracker;
let entries: Write[];
let stop: AbortController;
let running: Promise<void>;

// A database that takes writes stands for the local one, so that it can be given back what it showed before.
beforeEach(async () => {
  database = await createDatabase();
  pool = createPool(addressOf(database.primaryUrl), { applicationName: "test" }, 2);
  writes = new BufferedWrites();
  entries = [1, 2, 3].map((n) =>
    writeOf({ table: "public.log", operation: "insert", key: [`${n}`], columns: ["n"], values: [`${n}`] }),
  );
  for (const [i, entry] of entries.entries()) writes.add(BigInt(i + 1), entry.writeId, encodeWrite(entry));
  await database.onPrimary("insert into opsdb.cursor (site) values ($1)", [database.site]);
  tracker = new LsnTracker({
    local: pool,
    site: database.site,
    writes,
    pollMs: 5,
    idlePollMs: 20,
    timeoutMs: 5_000,
    logger: createLogger({ level: "silent" }),
    changed: () => {},
  });
  stop = new AbortController();
  running = tracker.run(stop.signal);
});

afterEach(async () => {
  stop.abort();
  await running;
  await pool.end();
  await database[Symbol.asyncDispose]();
});

async function setCursor(position: Position): Promise<void> {
  await database.onPrimary("update opsdb.cursor set position = $2 where site = $1", [
    database.site,
    formatPosition(position),
  ]);
}

async function note({ writeId, payloadHash }: Write, rejected = false): Promise<void> {
  await database.onPrimary(
    "insert into opsdb.ledger (write_id, site, payload_hash, outcome, error) values ($1, $2, $3, $4, $5)",
    [
      writeId,
      database.site,
      payloadHash,
      rejected ? "REJECTED" : "APPLIED",
      rejected ? JSON.stringify({ reason: "ROW_EXISTS", message: "main has it" }) : null,
    ],
  );
}

const states = () => writes.after(0n).map(({ state }) => state);

async function proven(position: Position): Promise<void> {
  await eventually(
    () => tracker.proven,
    (to) => to === position,
    { what: `that proofs go up to ${position}` },
  );
}

test("G2: a replica that is made again from an older base takes back proofs, and neither what main has applied nor what it has rejected", async () => {
  const [first, second, third] = entries;
  for (const entry of [first, second]) if (entry) await note(entry);
  if (third) await note(third, true);
  await setCursor(3n);
  await proven(3n);
  expect(states()).toEqual(["REPLICATED", "REPLICATED", "REJECTED"]);

  await database.onPrimary("delete from opsdb.ledger where write_id in ($1, $2)", [second?.writeId, third?.writeId]);
  await setCursor(1n);
  await proven(1n);
  expect(states()).toEqual(["REPLICATED", "APPLIED", "REJECTED"]);
  expect(tracker.decided).toBe(3n);

  // It is main itself that has lost them.
  tracker.mainIsAt(1n, tracker.decided);
  expect(states()).toEqual(["REPLICATED", "ACCEPTED", "ACCEPTED"]);
  expect(tracker.decided).toBe(1n);
});

test("G9: what another process has trimmed with proof and main has lost since holds up no proof of what comes after it", async () => {
  const [, , third] = entries;
  if (third) await note(third);
  await setCursor(3n);
  await eventually(
    () => tracker.part.status.reason,
    (reason) => reason.includes("no ledger row"),
    { what: "that proofs are held up" },
  );
  expect(tracker.proven).toBe(0n);
  writes.leftStream(2n);
  await proven(3n);
  expect(states().at(-1)).toBe("REPLICATED");
  expect(tracker.part.status.state).toBe("RUNNING");
});
