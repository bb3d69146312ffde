import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { PartState } from "../../gen/ts/opsdb/v1/replication_pb.ts";
import { eventually } from "../support/eventually.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite } from "./own-site.ts";
import { nothingWrong, PairWriters, writePair } from "./pair-writers.ts";

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 90_000 });

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createPairs(sites);
});

afterEach(() => {
  sites.link.heal();
  sites.link.setRoundTrip(0);
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("G5: a write through one API server is at once in a merged read through every other", async () => {
  await using site = await OwnSite.start(sites, "visible", { servers: 3 });
  sites.link.cut();
  const written: number[] = [];
  for (let n = 0; n < 60; n++) {
    await writePair(site, n, site.callers[n % 3]);
    written.push(n);
    const reader = site.callers[(n + 1 + (n % 2)) % 3];
    expect(await site.merged(reader)).toEqual(written);
  }
});

test("G2 G3: the API server that drains is killed again and again; another goes on, and every write arrives once and in order", async () => {
  await using site = await OwnSite.start(sites, "lease-killed", { servers: 2 });
  sites.link.setRoundTrip(50);
  await using writers = new PairWriters(site);
  for (let i = 0; i < 3; i++) {
    await writers.more(100);
    const draining = await drainingServer(site);
    await site.servers[draining]?.kill();
    await writers.more(100);
    // The other one drains, and what was written meanwhile comes home through it.
    const other = site.callers[1 - draining];
    await other?.statusUntil(({ processor }) => drains(processor?.state?.state));
    const next = writers.attempts.findLast((each) => each.acknowledged);
    await other?.home(next?.writeId);
    await site.servers[draining]?.start();
    await site.ready();
  }
  await writers.finish();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
});

test("G2 G3: the API server that drains is frozen for longer than its lease and then woken: two at once, and every write arrives once and in order", async () => {
  await using site = await OwnSite.start(sites, "lease-frozen", { servers: 2, env: { PROCESSOR_BATCH_WRITES: "10" } });
  sites.link.setRoundTrip(100);
  await using writers = new PairWriters(site);
  for (let i = 0; i < 3; i++) {
    await writers.more(150);
    const draining = await drainingServer(site);
    const other = site.callers[1 - draining];
    site.servers[draining]?.freeze();
    // Half of the writers hang at the frozen server, and so does what it has under way.
    await other?.statusUntil(({ processor }) => drains(processor?.state?.state));
    await writers.more(50);
    site.servers[draining]?.thaw();
    await writers.more(150);
  }
  await writers.finish();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
});

test("G2 G3: every API server is frozen for longer than its lease, all wake at once, and one of them drains", async () => {
  await using site = await OwnSite.start(sites, "all-frozen", { servers: 3, env: { PROCESSOR_BATCH_WRITES: "10" } });
  sites.link.setRoundTrip(100);
  await using writers = new PairWriters(site);
  await writers.more(150);
  for (const server of site.servers) server.freeze();
  await eventually(
    () => site.redisCommand((redis) => redis.exists(`opsdb:{${site.name}}:processor`)),
    (there) => there === 0,
    { what: "that the lease has ended" },
  );
  for (const server of site.servers) server.thaw();
  await writers.more(150);
  await writers.finish();
  await site.drained();
  await drainingServer(site);
  expect(await writers.wrongs()).toEqual(nothingWrong);
});

/** Index of the one server that drains. */
async function drainingServer(site: OwnSite): Promise<number> {
  return await eventually(
    async () => {
      const states = await Promise.all(
        site.callers.map(async (caller) => (await caller.statusUntil(() => true)).processor?.state?.state),
      );
      const draining = states.flatMap((state, i) => (drains(state) ? [i] : []));
      const [only] = draining;
      if (only === undefined || draining.length > 1) throw new Error(`states: ${states.join(", ")}`);
      return only;
    },
    () => true,
    { what: "that one server drains" },
  );
}

function drains(state: PartState | undefined): boolean {
  return state === PartState.RUNNING || state === PartState.IDLE;
}
