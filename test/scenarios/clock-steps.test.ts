import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { text } from "../../demo/values.ts";
import type { ReplicationStatus } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { WriteState } from "../../gen/ts/opsdb/v1/write_pb.ts";
import { equals, SiteCaller } from "../e2e/site-caller.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { drained, effectsOf, noteEffects, SampleLoad, SampleReader, sample } from "./noted-samples.ts";

vi.setConfig({ testTimeout: 120_000 });

const hour = 3_600_000;

let sites: TwoSite;
let site: SiteCaller;
let setClock: (offsetMs: number) => void;

beforeEach(async () => {
  sites = await startTwoSite({ servers: false });
  await noteEffects(sites.urls.main);
  await sites.standby.caughtUp();
  const file = join(sites.logs, "clock");
  setClock = (offsetMs) => writeFileSync(file, String(offsetMs));
  setClock(0);
  const server = sites.anotherServer("secondary", "stepped", {
    NODE_OPTIONS: `--import ${join(import.meta.dirname, "..", "support", "stepped-clock.ts")}`,
    TEST_CLOCK_FILE: file,
    BUFFER_RETENTION: "600",
  });
  await server.start();
  await server.ready();
  site = new SiteCaller(server);
});

afterEach(async () => {
  site?.[Symbol.dispose]();
  await sites?.[Symbol.asyncDispose]();
});

/** The clock of the API server, as it says itself. */
async function shownTime(): Promise<number> {
  const { at } = await site.statusUntil(() => true);
  return Number(at?.seconds ?? 0n) * 1_000;
}

function expectNoNegativeAge({ buffer, local }: ReplicationStatus): void {
  for (const age of [buffer?.oldestAge, local?.replayAge])
    if (age) expect(Number(age.seconds) + age.nanos / 1e9).toBeGreaterThanOrEqual(0);
}

test("G2 G3 G5: the API host's clock is set an hour forth and back under load: each write once, in order, none forgotten before its time", async () => {
  await using load = new SampleLoad(() => site, "stepped");
  await using reader = new SampleReader(() => site, load);
  const before = await shownTime();
  for (const offset of [hour, 0, -hour, hour]) {
    await load.more(50);
    setClock(offset);
    await load.more(50);
    expectNoNegativeAge(await site.statusUntil(() => true));
  }
  expect((await shownTime()) - before).toBeGreaterThan(hour / 2);
  await load.stop();
  await drained(site, { load });
  await reader.expectNothingWrong(20);
  load.expectEachOnceInOrder(await effectsOf(sites.urls.main, "stepped"));
  // An hour has not passed: what was proven is kept for a failover as long as it was to be.
  const looked = await site.statusUntil(({ main }) => main?.connection?.since !== undefined);
  await site.statusUntil(({ at }) => (at?.seconds ?? 0n) >= (looked.at?.seconds ?? 0n) + 3n);
  const { buffer } = await site.statusUntil(() => true);
  expect(Number(buffer?.retainedWrites)).toBe(load.acknowledged.length);
});

test("G2 G3 G5: positions an hour ahead, as after a clock that was wrong, stay in order with those that follow, and no age is negative", async () => {
  const station = "ahead";
  const redis = new Redis(sites.redis.url);
  try {
    const first = await site.write([sample(station, 1)]);
    await site.home(first.status?.writeId);
    sites.link.cut();
    // What another server of the site would have written by that clock: the same row once more.
    const [[, fields] = []] = await redis.xrevrange("opsdb:{ccat}:writes", "+", "-", "COUNT", 1);
    const ahead = randomUUID();
    const payload = fields?.[3] ?? "";
    await redis.xadd("opsdb:{ccat}:writes", `${Date.now() + hour}-0`, "i", ahead, "w", payload);
    const last = await site.write([sample(station, 2)]);
    expect((await site.query("weather_samples", { where: equals("station", text(station)) })).rows).toHaveLength(2);
    const waiting = await site.statusUntil(({ buffer }) => buffer?.pendingWrites === 2n);
    expect(waiting.buffer?.oldestAge).toBeDefined();
    expectNoNegativeAge(waiting);
    sites.link.heal();
    await site.home(last.status?.writeId);
    expect((await site.writes.getWrite({ writeId: ahead })).status?.state).toBe(WriteState.REPLICATED);
    await drained(site);
    expect((await effectsOf(sites.urls.main, station)).map(({ n }) => n)).toEqual([1, 1, 2]);
  } finally {
    redis.disconnect();
  }
});
