import { randomUUID } from "node:crypto";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import { writeOf } from "../support/drain.ts";
import { mutation, openSite, type RunningSite, read, request, type SiteAddresses, write } from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

/** So many that they are not read before the first calls are answered. */
const COUNT = 20_000;

let database: TestDatabase;
let addresses: SiteAddresses;
let redis: Redis;
let running: RunningSite | undefined;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary("create table log (n int primary key, v text)");
  await database.caughtUp();
  // Nothing listens there: what is in the buffer stays.
  const away = new URL(database.primaryUrl);
  away.port = "1";
  addresses = { site: database.site, mainUrl: away.href, localUrl: database.standbyUrl, redisUrl: database.redisUrl };
  redis = new Redis(database.redisUrl, { enableAutoPipelining: true });
  const entries = Array.from({ length: COUNT }, (_, n) => writeOf(insert(n)));
  await Promise.all(
    entries.map((entry) =>
      redis.xadd(`opsdb:{${database.site}}:writes`, "*", "i", entry.writeId, "w", encodeWrite(entry)),
    ),
  );
});

afterEach(async () => {
  await running?.[Symbol.asyncDispose]();
  running = undefined;
  redis.disconnect();
  await database[Symbol.asyncDispose]();
});

const insert = (n: number) => ({
  table: "public.log",
  operation: "insert" as const,
  key: [`${n}`],
  columns: ["n", "v"],
  values: [`${n}`, "before"],
});
const row = (n: number, v: string) => ({ set: { n: `${n}`, v } });

/** Opened, accepting, and still reading what is in the stream. */
async function openLoading(): Promise<RunningSite> {
  const opened = await openSite("secondary", addresses, {}, false);
  running = opened;
  await opened.site.health.until(({ write: writing }) => writing.serving, AbortSignal.timeout(10_000));
  expect(opened.site.health.value.query).toMatchObject({ serving: false });
  return opened;
}

test("G5 G7: a restarted process acknowledges before it has read its buffer, and its first merged read has everything", async () => {
  const { site } = await openLoading();
  const ack = await write(site, request(mutation("insert", "log", row(COUNT, "after"))));
  expect(ack.status.state).toBe("ACCEPTED");
  // Of a row whose insert has not been read yet nothing can be said, so nothing is refused.
  await write(site, request(mutation("update", "log", { key: { n: `${COUNT - 1}` }, set: { v: "changed" } })));
  const { rows, header } = await read(site, { table: "log", orderBy: [{ column: "n", descending: true }], limit: 3n });
  expect(rows).toEqual([
    [`${COUNT}`, "after"],
    [`${COUNT - 1}`, "changed"],
    [`${COUNT - 2}`, "before"],
  ]);
  expect(header.pendingWrites).toBe(COUNT + 2);
  expect(await site.getWrite(ack.status.writeId)).toMatchObject({ state: "ACCEPTED", position: ack.status.position });
});

test("G2: a write id that is repeated while the buffer is being read stays one write", async () => {
  const first = request(mutation("insert", "log", row(COUNT, "once")));
  const payload = writeOf({ ...insert(COUNT), values: [`${COUNT}`, "once"] });
  payload.writeId = first.writeId;
  payload.payloadHash = first.payloadHash;
  await redis.xadd(`opsdb:{${database.site}}:writes`, "*", "i", payload.writeId, "w", encodeWrite(payload));
  const { site } = await openLoading();
  const acks = await Promise.all([write(site, first), write(site, first), write(site, first)]);
  expect(acks.map(({ status }) => status.writeId)).toEqual(acks.map(() => first.writeId));
  const { header } = await read(site, { table: "log", limit: 1n });
  expect(header.pendingWrites).toBe(COUNT + 1);
  expect((await write(site, first)).duplicate).toBe(true);
});

test("a wait for more than ACCEPTED goes on while the buffer is being read, and ends with its deadline", async () => {
  const { site } = await openLoading();
  const requested = { ...request(mutation("insert", "log", row(COUNT, "after"))), writeId: randomUUID(), fresh: true };
  const ack = await write(site, requested, { waitFor: "APPLIED", waitMs: 200 });
  expect(ack).toMatchObject({ waitTimedOut: true, status: { state: "ACCEPTED" } });
});
