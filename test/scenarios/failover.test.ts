import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { text } from "../../demo/values.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { parsePosition } from "../../src/position.ts";
import { equals, refusal, SiteCaller } from "../e2e/site-caller.ts";
import { eventually } from "../support/eventually.ts";
import { Link } from "../support/link.ts";
import type { PostgresServer, StandbyServer } from "../support/postgres-pair.ts";
import { sql } from "../support/sql.ts";
import { databaseName, startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, SampleLoad, SampleReader, sample } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

let sites: TwoSite;
let site: SiteCaller;
/** What the WAL stream to the spare goes through. */
let spareLink: Link;

async function start(env: Record<string, string> = {}): Promise<void> {
  spareLink = new Link();
  sites = await startTwoSite({
    separateLinks: true,
    servers: false,
    env: { secondary: { MAIN_TIMEOUT_MS: "2000", ...env } },
  });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
}

async function serve(): Promise<void> {
  await sites.secondary.start();
  await sites.secondary.ready();
  site = new SiteCaller(sites.secondary);
}

afterEach(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
  await spareLink?.[Symbol.asyncDispose]();
});

/** A further standby at main's side. */
async function spare(): Promise<StandbyServer> {
  return await anotherStandby("spare", sites.primary, spareLink);
}

/** A standby of the server that main has become, in place of the site's local one. */
async function rebuilt(main: PostgresServer): Promise<StandbyServer> {
  return await anotherStandby("rebuilt", main, sites.walLink);
}

async function anotherStandby(name: string, from: PostgresServer, link: Link): Promise<StandbyServer> {
  if (!sites.anotherStandby) throw new Error("the servers are containers: set TEST_POSTGRES_BIN");
  return await sites.anotherStandby({ name, from, via: (source) => link.forward(source) });
}

async function stateOf(writeId: string | undefined): Promise<WriteState | undefined> {
  return (await site.writes.getWrite({ writeId: writeId ?? "" })).status?.state;
}

const observatory = (server: PostgresServer): string => server.urlOf(databaseName);

test("G2 G3 G5 failover: writes that main had applied and its standby had not got are applied again, once, in order, and no reader misses one", async () => {
  await start();
  await serve();
  await using load = new SampleLoad(() => site, "failover");
  await using reader = new SampleReader(() => site, load);
  await load.more(100);
  sites.walLink.cut({ mode: "blackhole" });
  await load.more(100);
  const held = load.acknowledged.at(-1);
  await site.statusUntil(
    ({ processor }) => parsePosition(processor?.appliedPosition || "0-0") >= (held?.position ?? 0n),
  );
  expect(await stateOf(held?.writeId)).toBe(WriteState.APPLIED);
  const where = equals("station", text("failover"));
  const old = await site.query("weather_samples", { consistency: Consistency.MAIN, where });

  // The standby becomes main; the site's local database is a new standby of it.
  await sites.primary.kill();
  await sites.standby.promote();
  sites.walLink.heal();
  sites.localIs(await rebuilt(sites.standby));
  sites.mainIs(sites.standby);
  await load.more(100);
  await load.stop();
  await drained(site, { load, timeoutMs: 30_000 });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(observatory(sites.standby), "failover"));
  for (const { writeId } of load.acknowledged) expect(await stateOf(writeId)).toBe(WriteState.REPLICATED);
  // What was read at main before may be on no timeline any more: the caller is told, not left waiting.
  expect(await refusal(site.query("weather_samples", { token: old.header.token }))).toMatchObject({
    code: "FailedPrecondition",
    reason: "TOKEN_TIMELINE",
  });
  // A write's own token is of a position, and positions outlive main.
  const [first] = load.acknowledged;
  const again = await site.write(
    [sample("failover", first?.n ?? 0), sample("failover", -(first?.client ?? 0), first?.n)],
    {
      writeId: first?.writeId ?? "",
    },
  );
  expect(again.duplicate).toBe(true);
  expect((await site.query("weather_samples", { where, token: again.token })).rows.length).toBeGreaterThan(300);
});

test.each(["", " also with the API server started again in between"])(
  "G2 G5 G8 failover: writes that the replica had proven are open again where the new main lacks them, and are applied again%s",
  async (restarted) => {
    await start();
    const promoted = await spare();
    await serve();
    await using load = new SampleLoad(() => site, "proven");
    await using reader = new SampleReader(() => site, load);
    await load.more(100);
    spareLink.cut({ mode: "blackhole" });
    await load.more(100);
    const held = load.acknowledged.at(-1);
    await site.home(held?.writeId);

    await sites.primary.kill();
    await promoted.promote();
    if (restarted) {
      await sites.secondary.restart();
      await sites.secondary.ready();
    }
    // The replica is rebuilt from the new main while the link is away: it is older than it was.
    sites.link.cut();
    sites.mainIs(promoted);
    await sites.standby.stop();
    sites.localIs(await rebuilt(promoted));
    await eventually(
      () => stateOf(held?.writeId),
      (state) => state === WriteState.APPLIED,
      { what: "that the proof is taken back" },
    );
    await load.more(100);
    sites.link.heal();
    await load.more(100);
    await load.stop();
    await drained(site, { load, timeoutMs: 30_000 });
    await reader.expectNothingWrong(20);
    load.expectEachOnceInOrder(await effectsOf(observatory(promoted), "proven"));
    for (const { writeId } of load.acknowledged) expect(await stateOf(writeId)).toBe(WriteState.REPLICATED);
  },
);

test.each(["", " also with the API server started again in between"])(
  "G2 G9 failover: a proof by a replica of the old main does not stand for the new one: what is applied again is followed to the end%s",
  async (restarted) => {
    await start();
    const promoted = await spare();
    await serve();
    await using load = new SampleLoad(() => site, "old proof");
    await using reader = new SampleReader(() => site, load);
    await load.more(100);
    spareLink.cut({ mode: "blackhole" });
    await load.more(100);
    const held = load.acknowledged.at(-1);
    await site.home(held?.writeId);

    // The replica of the old main goes on answering while the writes are applied to the new one.
    await sites.primary.kill();
    await promoted.promote();
    sites.mainIs(promoted);
    if (restarted) {
      await sites.secondary.restart();
      await sites.secondary.ready();
    }
    await eventually(
      async () => (await effectsOf(observatory(promoted), "old proof")).some(({ n }) => n === held?.n),
      Boolean,
      { timeoutMs: 20_000, what: "that the proven write is applied to the new main" },
    );
    // A process that starts when main has the write again knows nothing of the old main, and the old replica shows it.
    if (!restarted) expect(await stateOf(held?.writeId)).toBe(WriteState.APPLIED);
    await sites.standby.stop();
    sites.localIs(await rebuilt(promoted));
    expect((await site.follow(held?.writeId)).at(-1)).toBe(WriteState.REPLICATED);
    await load.more(100);
    await load.stop();
    await drained(site, { load, timeoutMs: 30_000 });
    await reader.expectNothingWrong(20);
    load.expectEachOnceInOrder(await effectsOf(observatory(promoted), "old proof"));
    for (const { writeId } of load.acknowledged) expect(await stateOf(writeId)).toBe(WriteState.REPLICATED);
  },
);

test.each(["", " also with the API server started again in between"])(
  "G9 failover: writes that had left the buffer are gone with main: they are a loss that an operator acknowledges, and writing, draining and reading go on%s",
  async (restarted) => {
    await start({ BUFFER_RETENTION: "0" });
    const promoted = await spare();
    await serve();
    const before = await site.write([sample("trimmed", 1)]);
    await site.home(before.status?.writeId);
    await eventually(
      () => effectsOf(observatory(promoted), "trimmed"),
      (rows) => rows.length === 1,
    );
    spareLink.cut({ mode: "blackhole" });
    const lost = await site.write([sample("trimmed", 2)]);
    await site.home(lost.status?.writeId);
    await site.statusUntil(({ buffer }) => buffer?.retainedWrites === 0n);

    await sites.primary.kill();
    await promoted.promote();
    if (restarted) await sites.secondary.stop();
    sites.mainIs(promoted);
    await sites.standby.stop();
    sites.localIs(await rebuilt(promoted));
    if (restarted) {
      await sites.secondary.start();
      await sites.secondary.ready();
    }
    const where = equals("station", text("trimmed"));
    // Nothing new is written: reads come back by themselves.
    await eventually(
      async () => (await site.query("weather_samples", { where })).rows.length,
      (rows) => rows === 1,
      { timeoutMs: 20_000, what: "that merged reads are answered" },
    );
    const { buffer } = await site.statusUntil((status) => status.buffer?.loss !== undefined);
    expect(buffer?.loss?.message).toContain(
      `no write after position ${before.status?.position}, and those up to ${lost.status?.position} had left the buffer`,
    );
    expect(readFileSync(join(sites.logs, "secondary.log"), "utf8")).toContain(buffer?.loss?.message);
    const metrics = async () => await (await fetch(`${sites.secondary.baseUrl}/metrics`)).text();
    expect(await metrics()).toMatch(/^opsdb_buffer_loss 1$/m);
    const { holdups } = await site.admin.showDrain({});
    expect(holdups.find(({ part }) => part === "buffer")?.reason).toBe(buffer?.loss?.message);
    const anna = { operator: "anna", reason: "entered again from the night log" };
    expect((await site.admin.acknowledgeLoss(anna)).loss?.message).toBe(buffer?.loss?.message);
    expect(await metrics()).toMatch(/^opsdb_buffer_loss 0$/m);
    await eventually(
      () => refusal(site.writes.getWrite({ writeId: lost.status?.writeId ?? "" })),
      ({ reason }) => reason === "WRITE_NOT_FOUND",
      { what: "that main is asked and does not know it" },
    );
    const after = await site.write([sample("trimmed", 3)]);
    await site.home(after.status?.writeId);
    // The client that still has the lost write can repeat it.
    const again = await site.write([sample("trimmed", 2)], { writeId: lost.status?.writeId ?? "" });
    await site.home(again.status?.writeId);
    await drained(site);
    expect((await effectsOf(observatory(promoted), "trimmed")).map(({ n }) => n)).toEqual([1, 3, 2]);
    expect((await site.query("weather_samples", { where })).rows).toHaveLength(3);
  },
);

test("G5 G9: a write that the replica shows before main itself does is no sign that main has lost it", async () => {
  await start();
  await serve();
  await site.home((await site.write([sample("early", 1)])).status?.writeId);
  // Main shows no commit before a standby that does not exist has confirmed it; the replica shows it at once.
  await sql(sites.primary.url, "alter system set synchronous_standby_names = 'nobody'");
  await sql(sites.primary.url, "select pg_reload_conf()");
  await eventually(
    () => sql<{ name: string }>(sites.primary.url, "select current_setting('synchronous_standby_names') as name"),
    ([setting]) => setting?.name === "nobody",
  );
  const early = await site.write([sample("early", 2)]);
  await site.home(early.status?.writeId);
  expect((await effectsOf(sites.urls.main, "early")).map(({ n }) => n)).toEqual([1]);
  const { main } = await site.statusUntil(() => true);
  const lookedAt = ({ seconds = 0n, nanos = 0 } = {}): number => Number(seconds) * 1e3 + nanos / 1e6;
  await site.statusUntil((status) => lookedAt(status.main?.lsnAt) > lookedAt(main?.lsnAt) + 100);
  expect(await stateOf(early.status?.writeId)).toBe(WriteState.REPLICATED);

  await sql(sites.primary.url, "alter system reset synchronous_standby_names");
  await sql(sites.primary.url, "select pg_reload_conf()");
  const after = await site.write([sample("early", 3)]);
  await site.home(after.status?.writeId);
  await drained(site);
  expect((await effectsOf(sites.urls.main, "early")).map(({ n }) => n)).toEqual([1, 2, 3]);
  expect(readFileSync(join(sites.logs, "secondary.log"), "utf8")).not.toContain("main has lost writes");
});

test("G5 failover: what was merged with the old replica is not shown with the new one, although its snapshot has the same name", async () => {
  await start();
  const promoted = await spare();
  await serve();
  const where = equals("station", text("named"));
  await site.home((await site.write([sample("named", 1)])).status?.writeId);
  await sites.standby.caughtUp();
  await eventually(
    () => effectsOf(observatory(promoted), "named"),
    (rows) => rows.length === 1,
  );
  spareLink.cut({ mode: "blackhole" });
  await site.home((await site.write([sample("named", 2)])).status?.writeId);
  await pass(sites.primary, 100);
  await sites.standby.caughtUp();
  sites.link.cut();
  await site.write([sample("named", 3)]);
  expect((await site.query("weather_samples", { where })).rows).toHaveLength(3);
  const name = await snapshotOf(sites.standby);

  await sites.primary.kill();
  await promoted.promote();
  await sql(promoted.url, "alter system set autovacuum = off"); // its transactions are not counted here
  await sites.standby.stop();
  const replica = await rebuilt(promoted);
  // Transactions of others, until the new replica is where the old one was.
  await pass(promoted, nextTransaction(name) - nextTransaction(await snapshotOf(replica)));
  await eventually(
    () => snapshotOf(replica),
    (reached) => reached === name,
    { what: `the snapshot ${name}` },
  );
  sites.localIs(replica);
  const { rows } = await eventually(() => site.query("weather_samples", { where }));
  expect(rows).toHaveLength(3);
  sites.mainIs(promoted);
  sites.link.heal();
  await drained(site);
  expect((await effectsOf(observatory(promoted), "named")).map(({ n }) => n)).toEqual([1, 2, 3]);
});

async function snapshotOf(server: PostgresServer): Promise<string> {
  return (await sql<{ name: string }>(server.url, "select pg_current_snapshot()::text as name"))[0]?.name ?? "";
}

/** Transactions that do nothing. */
async function pass(server: PostgresServer, count: number): Promise<void> {
  expect(count).toBeGreaterThan(0);
  await sql(server.url, `do $$ begin for i in 1..${count} loop perform pg_current_xact_id(); commit; end loop; end $$`);
}

/** The second of a snapshot's bounds. */
function nextTransaction(snapshot: string): number {
  return Number(snapshot.split(":")[1]);
}
