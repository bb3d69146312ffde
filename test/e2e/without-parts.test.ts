import { randomUUID } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { upsert } from "../../demo/mutations.ts";
import type { MutationInit } from "../../demo/site-client.ts";
import { double, text, time } from "../../demo/values.ts";
import { RetryInfoSchema } from "../../gen/ts/google/rpc/error_details_pb.ts";
import { HealthCheckResponse_ServingStatus as Serving } from "../../gen/ts/grpc/health/v1/health_pb.ts";
import { Consistency } from "../../gen/ts/opsdb/v1/query_pb.ts";
import { AlarmLevel, PartState, type PartStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { eventually } from "../support/eventually.ts";
import { sql } from "../support/sql.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { equals, type Refusal, refusal, SiteCaller } from "./site-caller.ts";

const [writing, reading] = ["opsdb.v1.WriteService", "opsdb.v1.QueryService"];

let sites: TwoSite;
let site: SiteCaller;

beforeAll(async () => {
  // The lease of a processor that was killed is not waited for longer than this.
  sites = await startTwoSite({ env: { secondary: { PROCESSOR_LEASE_MS: "1000", MAIN_TIMEOUT_MS: "2000" } } });
  // Whatever takes effect on a sample is noted, so that something applied twice cannot hide.
  await sql(
    sites.urls.main,
    `create table effects (n bigint generated always as identity primary key, station text, sampled_at timestamptz);
     create function note_effect() returns trigger language plpgsql as $$
       begin insert into effects (station, sampled_at) values (new.station, new.sampled_at); return new; end $$;
     create trigger note_effect after insert or update on weather_samples for each row execute function note_effect()`,
  );
  await sites.standby.caughtUp();
  site = new SiteCaller(sites.secondary);
});

beforeEach(async () => {
  await sites.secondary.ready();
});

afterAll(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

test("G7: a write is acknowledged with main and the replica both stopped, also after a restart of the API server", async () => {
  await using standby = await stopped(sites.standby);
  await using primary = await stopped(sites.primary);
  const first = await site.write([sample("G7", 1)]);
  expect(first.status).toMatchObject({ state: WriteState.ACCEPTED, site: "ccat" });

  await sites.secondary.restart();
  await eventually(
    () => site.healthOf(writing),
    (health) => health === Serving.SERVING,
    { what: "that writes are served from the kept catalog" },
  );
  const second = await site.write([sample("G7", 2)]);
  expect(second.status?.state).toBe(WriteState.ACCEPTED);
  expect((await site.writes.getWrite({ writeId: first.status?.writeId ?? "" })).status?.state).toBe(
    WriteState.ACCEPTED,
  );
  const wet = upsert("weather_samples", { station: text("G7"), pwv_mm: text("wet") });
  expect(await refusal(site.write([wet]))).toMatchObject({ reason: "INVALID_VALUE" });

  await Promise.all([primary.over(), standby.over()]);
  await site.home(second.status?.writeId);
  expect(await site.follow(first.status?.writeId)).toEqual([WriteState.REPLICATED]);
  expect(await effects("G7")).toEqual([1, 2]);
});

test("without Redis a write is refused with UNAVAILABLE within a second, and accepted again by itself", async () => {
  await site.home((await site.write([sample("no Redis", 1)])).status?.writeId);
  await using redis = await stopped(sites.redis);
  for (const { ms, ...refused } of await again(5, () => site.write([sample("no Redis", 2)]))) {
    expect(refused).toMatchObject({ code: "Unavailable", reason: "BUFFER_UNAVAILABLE" });
    expect(ms).toBeLessThan(1_000);
  }
  await redis.over();
  const { status } = await eventually(() => site.write([sample("no Redis", 3)]));
  await site.home(status?.writeId);
  expect(await effects("no Redis")).toEqual([1, 3]);
});

test("with a Redis that is frozen a write is refused with UNAVAILABLE within a second, and its retry is one write", async () => {
  await site.home((await site.write([sample("frozen", 1)])).status?.writeId);
  await using redis = await frozen(sites.redis);
  const writeId = randomUUID();
  const others = [3, 4, 5, 6].map((n) => [sample("frozen", n)]);
  const all = await Promise.all([
    timed(refusal(site.write([sample("frozen", 2)], { writeId }))),
    ...others.map((mutations) => timed(refusal(site.write(mutations)))),
  ]);
  expect(all[0].metadata).toEqual({ write_id: writeId });
  for (const { ms, ...refused } of [
    ...all,
    ...(await again(5, () => site.write([sample("frozen", 2)], { writeId }))),
  ]) {
    expect(refused).toMatchObject({ code: "Unavailable", reason: "BUFFER_UNAVAILABLE" });
    expect(ms).toBeLessThan(1_000);
  }
  await redis.over();
  const { status } = await eventually(() => site.write([sample("frozen", 2)], { writeId }));
  await site.home(status?.writeId);
  const arrived = await effects("frozen");
  expect(arrived.filter((n) => n <= 2)).toEqual([1, 2]);
  expect(arrived).toEqual([...new Set(arrived)]); // the others were not retried: they may have arrived, and then once
});

test("G1 G2: with the API server and Redis killed under load, every acknowledged write arrives once", async () => {
  await using cut = outage(async () => sites.link.heal());
  sites.link.cut();
  const acknowledged: number[] = [];
  let next = 0;
  const callers = Array.from({ length: 8 }, async () => {
    for (;;) {
      const n = next++;
      try {
        await site.write([sample("killed", n)]);
      } catch {
        return;
      }
      acknowledged.push(n);
    }
  });
  await eventually(
    () => acknowledged.length,
    (length) => length >= 200,
    { what: "200 acknowledgements" },
  );
  await Promise.all([sites.secondary.kill(), sites.redis.kill()]);
  await Promise.all(callers);

  await sites.redis.start();
  await sites.secondary.start();
  await cut.over();
  await sites.secondary.ready();
  const last = await site.write([sample("killed", next)]);
  await site.home(last.status?.writeId);
  const arrived = await effects("killed");
  expect(acknowledged.filter((n) => !arrived.includes(n))).toEqual([]);
  expect(arrived).toEqual([...new Set(arrived)]);
  // What was not acknowledged may have arrived or not, and that at most for the calls that were under way.
  expect(arrived.length - 1 - acknowledged.length).toBeLessThanOrEqual(callers.length);
});

test("G9: without the replica merged reads are refused with a reason, main still answers, writing goes on", async () => {
  await using watched = watchHealth(reading);
  await watched.next(Serving.SERVING);
  await using standby = await stopped(sites.standby);
  const where = equals("station", text("none"));
  expect(await refusal(site.query("weather_samples", { where }))).toMatchObject({
    code: "Unavailable",
    reason: "LOCAL_UNAVAILABLE",
  });
  const main = await site.query("weather_samples", { where, consistency: Consistency.MAIN });
  expect(main.header.consistency).toBe(Consistency.MAIN);
  expect(main.rows).toEqual([]);

  await watched.next(Serving.NOT_SERVING);
  expect(await site.healthOf(writing)).toBe(Serving.SERVING);
  const { status } = await site.write([sample("none", 1)]);
  const state = await site.statusUntil(({ local, processor }) => !runs(local?.connection) && runs(processor?.state));
  expectReason(state.local?.connection);

  await standby.over();
  await watched.next(Serving.SERVING);
  await site.home(status?.writeId);
  expect((await site.query("weather_samples", { where })).rows).toHaveLength(1);
});

test("G9: without Redis merged reads go on from memory and say so, and health names writing alone", async () => {
  await using watched = watchHealth(writing);
  await watched.next(Serving.SERVING);
  await using replay = await paused(sites.standby);
  const ack = await site.write([sample("memory", 1)]);
  await using redis = await stopped(sites.redis);
  await watched.next(Serving.NOT_SERVING);
  expect(await site.healthOf(reading)).toBe(Serving.SERVING);
  const where = equals("station", text("memory"));
  const merged = await site.query("weather_samples", { where });
  expect(merged.header.bufferUnreachable).toBe(true);
  expect(merged.rows).toEqual([ack.rows[0]?.values]);
  const { buffer } = await site.statusUntil((status) => !runs(status.buffer?.connection));
  expectReason(buffer?.connection);

  await redis.over();
  await watched.next(Serving.SERVING);
  expect((await site.query("weather_samples", { where })).header.bufferUnreachable).toBe(false);
  await replay.over();
  await site.home(ack.status?.writeId);
});

test("G9: without main WatchReplication names the reason, the next attempt and the age of what waits", async () => {
  await using primary = await stopped(sites.primary);
  const ack = await site.write([sample("no main", 1)]);
  const { main, processor, buffer } = await site.statusUntil(
    (status) =>
      !runs(status.main?.connection) &&
      status.processor?.state?.state === PartState.RETRYING &&
      (status.buffer?.oldestAge?.seconds ?? 0n) >= 1n,
  );
  expectReason(main?.connection);
  expectReason(processor?.state);
  expect(await refusal(site.query("sources", { consistency: Consistency.MAIN }))).toMatchObject({
    code: "Unavailable",
    reason: "MAIN_UNAVAILABLE",
  });
  expect(processor?.state?.nextAttempt ?? main?.connection?.nextAttempt).toBeDefined();
  expect(buffer?.pendingWrites).toBe(1n);
  expect(await site.healthOf(writing)).toBe(Serving.SERVING);
  expect(await site.healthOf(reading)).toBe(Serving.SERVING);

  await primary.over();
  await site.home(ack.status?.writeId);
  const well = await site.statusUntil((status) => runs(status.main?.connection) && status.buffer?.overlayWrites === 0n);
  expect(well.buffer?.oldestAge).toBeUndefined();
  expect(await effects("no main")).toEqual([1]);
});

test("without its database the main site refuses with UNAVAILABLE, says so, and goes on by itself", async () => {
  using main = new SiteCaller(sites.main);
  const writeId = randomUUID();
  await using primary = await stopped(sites.primary);
  expect(await refusal(main.write([sample("cologne", 1)], { writeId }))).toMatchObject({
    code: "Unavailable",
    reason: "MAIN_UNAVAILABLE",
  });
  expect(await refusal(main.query("sources"))).toMatchObject({ code: "Unavailable", reason: "LOCAL_UNAVAILABLE" });
  expectReason((await main.statusUntil((status) => !runs(status.main?.connection))).main?.connection);
  for (const service of [writing, reading])
    await eventually(
      () => main.healthOf(service),
      (health) => health === Serving.NOT_SERVING,
      { what: `that ${service} is not served` },
    );
  await primary.over();
  await sites.main.ready();
  await main.write([sample("cologne", 1)], { writeId });
  expect((await main.write([sample("cologne", 1)], { writeId })).duplicate).toBe(true);
  expect(await effects("cologne")).toEqual([1]);
});

test("G1: a full buffer refuses writes, drops none, and takes writes again by itself once there is room", async () => {
  const small = { BUFFER_MAX_WRITES: "50", BUFFER_RETENTION: "0" };
  await using server = sites.anotherServer("secondary", "small", small);
  await server.start();
  await server.ready();
  using caller = new SiteCaller(server);
  await using cut = outage(async () => sites.link.heal());
  sites.link.cut();
  const acknowledged: number[] = [];
  let refused: (Refusal & { retryable: boolean }) | undefined;
  for (let n = 0; n < 60 && !refused; n++)
    await caller.write([sample("full", n)]).then(
      () => acknowledged.push(n),
      async (error: unknown) => {
        const retryable = ConnectError.from(error).findDetails(RetryInfoSchema).length === 1;
        refused = { ...(await refusal(Promise.reject(error))), retryable };
      },
    );
  expect(refused).toMatchObject({ code: "ResourceExhausted", reason: "BUFFER_FULL", retryable: true });
  expect(acknowledged.length).toBeGreaterThan(0);
  const { buffer } = await caller.statusUntil((status) => status.buffer?.alarm === AlarmLevel.FULL);
  expect(buffer?.pendingWrites).toBe(BigInt(acknowledged.length));
  await eventually(
    () => caller.healthOf(writing),
    (health) => health === Serving.NOT_SERVING,
    { what: "that writes are not served" },
  );
  await cut.over();
  await server.ready();
  const { status } = await caller.write([sample("full", 100)]);
  await caller.home(status?.writeId);
  expect(await effects("full")).toEqual([...acknowledged, 100]);
});

function sample(station: string, n: number): MutationInit {
  return upsert("weather_samples", {
    station: text(station),
    sampled_at: time(new Date(n * 1_000)),
    pwv_mm: double(n),
  });
}

/** Numbers of the samples in the order in which they took effect on main. */
async function effects(station: string): Promise<number[]> {
  const rows = await sql<{ n: number }>(
    sites.urls.main,
    "select extract(epoch from sampled_at)::int as n from effects where station = $1 order by effects.n",
    [station],
  );
  return rows.map(({ n }) => n);
}

async function timed<T>(call: Promise<T>): Promise<T & { ms: number }> {
  const begin = performance.now();
  const answer = await call;
  return { ...answer, ms: performance.now() - begin };
}

/** Refusals of one call after the other. */
async function again(times: number, call: () => Promise<unknown>): Promise<(Refusal & { ms: number })[]> {
  const refused = [];
  for (let n = 0; n < times; n++) refused.push(await timed(refusal(call())));
  return refused;
}

function runs(part: PartStatus | undefined): boolean {
  return part?.state === PartState.RUNNING || part?.state === PartState.IDLE;
}

function expectReason(part: PartStatus | undefined): void {
  expect(part?.state).toBe(PartState.RETRYING);
  expect(part?.reason).not.toBe("");
  expect(part?.since).toBeDefined();
}

interface Outage extends AsyncDisposable {
  /** Ends it; at the latest the end of the test does. */
  over(): Promise<void>;
}

async function stopped(part: { stop(): Promise<void>; start(): Promise<void> }): Promise<Outage> {
  await part.stop();
  return outage(() => part.start());
}

async function frozen(part: { freeze(): Promise<void>; thaw(): Promise<void> }): Promise<Outage> {
  await part.freeze();
  return outage(() => part.thaw());
}

async function paused(part: { pauseReplay(): Promise<void>; resumeReplay(): Promise<void> }): Promise<Outage> {
  await part.pauseReplay();
  return outage(() => part.resumeReplay());
}

function outage(end: () => Promise<void>): Outage {
  let ended: Promise<void> | undefined;
  const over = (): Promise<void> => {
    ended ??= end();
    return ended;
  };
  return { over, [Symbol.asyncDispose]: over };
}

/** Follows the health of a service over grpc.health.v1. */
function watchHealth(service: string): AsyncDisposable & { next(expected: Serving): Promise<void> } {
  const done = new AbortController();
  const answers = site.health.watch({ service }, { signal: done.signal })[Symbol.asyncIterator]();
  return {
    async next(expected) {
      const { value } = await answers.next();
      expect(value?.status).toBe(expected);
    },
    async [Symbol.asyncDispose]() {
      done.abort();
      await answers.next().catch(() => {});
    },
  };
}
