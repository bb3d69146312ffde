import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test } from "vitest";
import { encodeWrite } from "../../src/buffer/entry-codec.ts";
import { contentId } from "../../src/reused-id.ts";
import type { Site } from "../../src/site/site.ts";
import { writeOf } from "../support/drain.ts";
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
  write,
} from "../support/sites.ts";
import { createDatabase, type TestDatabase } from "../support/test-database.ts";

let database: TestDatabase;
let toMain: Link;
let toReplica: Link;
let addresses: SiteAddresses;
let running: RunningSite;
let site: Site;

beforeEach(async () => {
  database = await createDatabase();
  await database.onPrimary("create table log (n int primary key, v text)");
  await database.caughtUp();
  toMain = new Link();
  toReplica = new Link();
  addresses = {
    site: database.site,
    mainUrl: await through(toMain, database.primaryUrl),
    localUrl: await through(toReplica, database.standbyUrl),
    redisUrl: database.redisUrl,
  };
  running = await openSite("secondary", addresses, {
    MAIN_TIMEOUT_MS: "1000",
    LOCAL_TIMEOUT_MS: "1000",
    BUFFER_RETENTION: "0",
  });
  site = running.site;
});

afterEach(async () => {
  await running[Symbol.asyncDispose]();
  await toMain[Symbol.asyncDispose]();
  await toReplica[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function through(link: Link, url: string): Promise<string> {
  const changed = new URL(url);
  const { host, port } = await link.forward({ host: changed.hostname, port: Number(changed.port) });
  changed.host = `${host}:${port}`;
  return changed.href;
}

const set = (v: string) => request(mutation("upsert", "log", { set: { n: "1", v } }));
const insert = (n: number) => ({
  table: "public.log",
  operation: "insert" as const,
  key: [`${n}`],
  columns: ["n", "v"],
  values: [`${n}`, "before"],
});
const motive = { operator: "anna", reason: "both are right" };
const rejected = async () => (await site.operator.listRejected(allOfThem)).writes;
const allOfThem = { site: undefined, includeResolved: false, limit: 10, after: undefined };
const rows = async () => (await read(site, { table: "log" })).rows;

test("G6: a write that is sent again after it has left the buffer, while the replica is away, does not cover what came later", async () => {
  const first = set("first");
  await home(site, await write(site, first));
  const deleted = await write(site, request(mutation("delete", "log", { key: { n: "1" } })));
  await home(site, deleted);
  await eventually(
    () => site.status.value,
    ({ buffer, processor }) =>
      buffer?.retainedWrites === 0 && processor?.replicatedPosition === deleted.status.position,
    { what: "that both writes have left the buffer" },
  );
  toMain.cut();
  toReplica.cut();
  await eventually(
    () => site.status.value.local.connection.state,
    (state) => state === "RETRYING",
    { what: "that the replica is known to be away" },
  );
  const again = await write(site, first);
  expect(again.status.state).toBe("ACCEPTED");
  toReplica.heal();
  await eventually(rows, (found) => found.length === 0, { what: "that the row is still deleted" });
  // Nothing is known of the row from that write: an insert is not refused for it.
  const insert = await write(site, request(mutation("insert", "log", { set: { n: "1", v: "new" } })));
  expect(await rows()).toEqual([["1", "new"]]);
  toMain.heal();
  await home(site, insert);
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "new" }]);
  expect(await rows()).toEqual([["1", "new"]]);
});

test("G2: other content under an id that has left the buffer, acknowledged while nobody could be asked, is rejected in the open and can be retried", async () => {
  const first = set("first");
  const ack = await write(site, first);
  await home(site, ack);
  await eventually(
    () => site.readStatus(),
    ({ buffer }) => buffer?.retainedWrites === 0,
    { what: "that the write has left the buffer" },
  );
  toMain.cut();
  toReplica.cut();
  await eventually(
    () => site.status.value.local.connection.state,
    (state) => state === "RETRYING",
    { what: "that the replica is known to be away" },
  );
  const other = { ...set("other"), writeId: first.writeId };
  const signal = AbortSignal.timeout(20_000);
  const told = site
    .watchWrites({ after: ack.status.position, report: "REPLICATED", rejectedOnly: true, signal })
    [Symbol.asyncIterator]();
  const next = told.next();
  const { position } = (await write(site, other)).status;
  toReplica.heal();
  toMain.heal();
  expect((await next).value).toMatchObject({ writeId: first.writeId, position, state: "REJECTED" });
  await told.return?.();
  const rejectedAs = contentId(other);
  const expected = {
    status: {
      writeId: rejectedAs,
      position,
      state: "REJECTED",
      rejection: { reason: "WRITE_ID_REUSED", message: expect.stringContaining(first.writeId) },
    },
    mutations: [{ table: "public.log", values: ["1", "other"] }],
  };
  expect(await rejected()).toMatchObject([expected]);
  expect(await site.getWrite(rejectedAs)).toMatchObject(expected.status);
  await expect(site.operator.retryWrite(first.writeId, motive)).rejects.toMatchObject({
    reason: "NOT_REJECTED",
    metadata: { rejected_as: rejectedAs },
  });
  await eventually(
    () => site.readStatus(),
    ({ buffer }) => buffer?.retainedWrites === 0,
    { what: "that the rejected write has left the buffer" },
  );
  // From the ledger alone it is the same.
  expect(await rejected()).toMatchObject([expected]);
  expect(await site.getWrite(rejectedAs)).toMatchObject(expected.status);
  expect(await site.getWrite(first.writeId)).toMatchObject({ state: "REPLICATED" });
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "first" }]);

  const retried = await site.operator.retryWrite(rejectedAs, motive);
  for await (const { state } of site.followWrite(retried.status.writeId, AbortSignal.timeout(20_000)))
    expect(state).not.toBe("REJECTED");
  expect(await database.onPrimary("select v from log")).toEqual([{ v: "other" }]);
  expect(await rejected()).toEqual([]);
});

test("G2: a write that is sent again behind other content under its id is the same write still", async () => {
  await running[Symbol.asyncDispose]();
  running = await openSite("secondary", addresses, { MAIN_TIMEOUT_MS: "1000", LOCAL_TIMEOUT_MS: "1000" });
  site = running.site;
  const [first, other] = [set("first"), set("other")];
  other.writeId = first.writeId;
  await database.onPrimary(
    "insert into opsdb.ledger (write_id, site, payload_hash, outcome) values ($1, 'elsewhere', $2, 'APPLIED')",
    [first.writeId, Buffer.from(first.payloadHash)],
  );
  await database.caughtUp();
  for (const requested of [other, first]) {
    toMain.cut();
    toReplica.cut();
    await eventually(
      () => site.readStatus().local.connection.state,
      (state) => state === "RETRYING",
      { what: "that the replica is known to be away" },
    );
    const { status } = await write(site, requested);
    expect(status.state).toBe("ACCEPTED");
    toReplica.heal();
    toMain.heal();
    const { position = 0n } = status;
    await eventually(
      () => site.readStatus().processor?.replicatedPosition ?? 0n,
      (replicated) => replicated >= position,
      { timeoutMs: 10_000, what: "that the write is decided and seen here" },
    );
  }
  expect((await rejected()).map(({ status }) => status.writeId)).toEqual([contentId(other)]);
  expect(await database.onPrimary("select outcome from opsdb.ledger order by outcome")).toEqual([
    { outcome: "APPLIED" },
    { outcome: "REJECTED" },
  ]);
  expect(await database.onPrimary("select n from log")).toEqual([]);
});

test("G2: other content under an id that is in a buffer still being read is accepted, and rejected once its turn comes", async () => {
  await running[Symbol.asyncDispose]();
  await using toRedis = new Link();
  const stored = Array.from({ length: 8_000 }, (_, n) => writeOf(insert(n)));
  const first = stored.at(-1) ?? writeOf();
  const redis = new Redis(database.redisUrl, { enableAutoPipelining: true });
  await Promise.all(
    stored.map((entry) =>
      redis.xadd(`opsdb:{${database.site}}:writes`, "*", "i", entry.writeId, "w", encodeWrite(entry)),
    ),
  );
  redis.disconnect();
  toRedis.setRoundTrip(200); // a page of the stream for each: longer than a write waits for its id
  running = await openSite(
    "secondary",
    {
      site: database.site,
      mainUrl: database.primaryUrl,
      localUrl: database.standbyUrl,
      redisUrl: await through(toRedis, database.redisUrl),
    },
    {},
    false,
  );
  site = running.site;
  await site.health.until(({ write: writing }) => writing.serving, AbortSignal.timeout(10_000));
  const other = { ...set("other"), writeId: first.writeId };
  const [acknowledged, waited] = await Promise.all([
    write(site, other),
    write(site, other, { waitFor: "APPLIED", waitMs: 30_000 }),
  ]);
  expect(acknowledged).toMatchObject({ duplicate: false, status: { state: "ACCEPTED" } });
  const rejection = { reason: "WRITE_ID_REUSED" };
  expect(waited).toMatchObject({ waitTimedOut: false, status: { state: "REJECTED", rejection } });
  expect(await site.getWrite(contentId(other))).toMatchObject({ state: "REJECTED", rejection });
  expect(await site.getWrite(first.writeId)).toMatchObject({ state: expect.stringMatching(/^(APPLIED|REPLICATED)$/) });
  expect(await rejected()).toMatchObject([{ status: { writeId: contentId(other) } }]);
  expect(await database.onPrimary("select n, v from log where n in (1, 7999) order by n")).toEqual([
    { n: 1, v: "before" },
    { n: 7_999, v: "before" },
  ]);
});
