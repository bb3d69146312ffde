import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { eventually } from "../support/eventually.ts";
import { copyRedisFiles, removeRedisFiles } from "../support/redis-server.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite, temporaryDirectory } from "./own-site.ts";
import { nothingWrong, PairWriters, type Wrongs } from "./pair-writers.ts";

// Several restarts of real servers each, on machines that are busy.
vi.setConfig({ testTimeout: 90_000 });

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createPairs(sites);
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test("G1 G2: Redis is killed again and again under load; every acknowledged write arrives once, and writing goes on by itself", async () => {
  await using site = await OwnSite.start(sites, "redis-killed");
  await using writers = new PairWriters(site);
  for (let i = 0; i < 4; i++) {
    await writers.more(100);
    await site.redis.kill();
    await writers.refused(16);
    await site.redis.start();
  }
  await writers.more(100);
  await writers.finish();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
  expect(new Set(writers.refusals.keys())).toEqual(new Set(["BUFFER_UNAVAILABLE"]));
});

/** How Redis comes back with less than it had, and what that is called. */
const losses = [
  { what: "comes back as an older copy", back: (site: OwnSite, copy: string) => copyRedisFiles(copy, filesOf(site)) },
  { what: "comes back empty", back: (site: OwnSite) => removeRedisFiles(filesOf(site)) },
];

describe.each(losses)("Redis $what", ({ what, back }) => {
  const name = what.replaceAll(" ", "-");

  test.each([1, 2])(
    "G1: with %i API server(s) that stayed up what they remember is written again; nothing acknowledged is lost, nothing doubled, no position given twice",
    async (servers) => {
      await using site = await OwnSite.start(sites, `${name}-${servers}`, { servers });
      await using writers = new PairWriters(site);
      const copy = temporaryDirectory();
      await writers.more(100);
      await using _cut = cutLink();
      await writers.more(50);
      copyRedisFiles(filesOf(site), copy);
      await writers.more(200);
      await site.redis.kill();
      await writers.refused(16);
      back(site, copy);
      await site.redis.start();
      await writers.more(100);
      await writers.finish();
      for (const caller of site.callers) expect(await site.merged(caller)).toEqual(numbersOf(writers));

      // What was written again is in Redis, not in the memory of these processes alone.
      await Promise.all(site.servers.map((server) => server.restart()));
      await site.ready();
      for (const caller of site.callers) expect(await site.merged(caller)).toEqual(numbersOf(writers));
      sites.link.heal();
      await site.drained();
      const wrongs = await writers.wrongs();
      // What only one of several servers had read may be written again behind later writes.
      expect(servers === 1 ? wrongs : withoutOrder(wrongs)).toEqual(
        servers === 1 ? nothingWrong : withoutOrder(nothingWrong),
      );
      expect((await site.logged("error")).join()).toMatch(/came back without \d+ writes/);
    },
  );

  test.each([1, 2])(
    "with %i API server(s) that ended as well, what was applied stays applied once, no position is given twice, and the loss is told until it is acknowledged",
    async (servers) => {
      await using site = await OwnSite.start(sites, `${name}-all-ended-${servers}`, { servers });
      await using writers = new PairWriters(site);
      const copy = temporaryDirectory();
      await writers.more(100);
      copyRedisFiles(filesOf(site), copy);
      await writers.more(100);
      await writers.finish();
      await site.drained();
      const applied = writers.attempts.length;
      await using _cut = cutLink();
      await using late = new PairWriters(site, { firstNumber: applied });
      await late.more(50);
      await late.finish();
      const before = [...writers.attempts, ...late.attempts];
      await Promise.all([...site.servers.map((server) => server.kill()), site.redis.kill()]);
      back(site, copy);
      await site.redis.start();
      await Promise.all(site.servers.map((server) => server.start()));
      await site.ready();

      await expectLossTold(site);
      expect(await site.merged()).toEqual(numbersOf(writers));
      await using after = new PairWriters(site, { firstNumber: before.length });
      await after.more(50);
      await after.finish();
      sites.link.heal();
      await site.drained();
      const { lost, ...rest } = await after.wrongsWith(before);
      expect<Partial<Wrongs>>(rest).toEqual(withoutLost(nothingWrong));
      expect(lost).toEqual(late.attempts.map(({ n }) => n));
      await expectLossTold(site);

      // A restart forgets no loss; an operator's word ends it, for all servers and over their restarts.
      await Promise.all(site.servers.map((server) => server.restart()));
      await site.ready();
      await expectLossTold(site);
      expect(await acknowledgeLoss(site)).toMatchObject({ loss: { message: expect.stringMatching(/.+/) } });
      await expectNoLossTold(site);
      await Promise.all(site.servers.map((server) => server.restart()));
      await site.ready();
      await expectNoLossTold(site);
    },
  );
});

test("G1: Redis is emptied while it runs and nobody writes; the loss is noticed without a new connection, and what is remembered is written again", async () => {
  await using site = await OwnSite.start(sites, "flushed-idle", { servers: 2 });
  await using writers = new PairWriters(site);
  await using _cut = cutLink();
  await writers.more(100);
  await writers.finish();
  const stored = await site.redisCommand((redis) => redis.xlen(site.stream));
  expect(stored).toBeGreaterThanOrEqual(writers.attempts.length);
  await site.redisCommand((redis) => redis.flushall());
  await eventually(
    () => site.redisCommand((redis) => redis.xlen(site.stream)),
    (length) => length >= writers.attempts.length,
    { timeoutMs: 5_000, what: "that the writes are in Redis again" },
  );
  expect((await site.logged("error")).join()).toMatch(/came back without \d+ writes/);
  await site.ready();
  await Promise.all(site.servers.map((server) => server.restart()));
  await site.ready();
  for (const caller of site.callers) expect(await site.merged(caller)).toEqual(numbersOf(writers));
  sites.link.heal();
  await site.drained();
  expect(await writers.wrongs()).toEqual(nothingWrong);
});

test.each([1, 2])(
  "G1 G2 G4: Redis is emptied while it runs, under load, with %i API server(s): nothing acknowledged is lost, doubled or torn",
  async (servers) => {
    await using site = await OwnSite.start(sites, `flushed-load-${servers}`, { servers });
    const { lost, doubled, torn, reused, strange, misjudged } = await emptiedUnderLoad(site);
    expect([lost, doubled, torn, reused, strange, misjudged]).toEqual([[], [], [], [], [], []]);
  },
);

test("G3: Redis is emptied while it runs, under load, with one API server: writes keep the order and the positions they were acknowledged with", async () => {
  await using site = await OwnSite.start(sites, "flushed-order", { servers: 1 });
  const { moved, reordered, overtaken } = await emptiedUnderLoad(site);
  expect({ moved: moved.length, reordered, overtaken }).toEqual({ moved: 0, reordered: [], overtaken: [] });
});

async function emptiedUnderLoad(site: OwnSite): Promise<Wrongs> {
  await using writers = new PairWriters(site);
  await using _cut = cutLink();
  for (let i = 0; i < 3; i++) {
    await writers.more(100);
    await site.redisCommand((redis) => redis.flushall());
  }
  await writers.more(100);
  await writers.finish();
  // Until a loss is noticed only the server that took a write may know of it.
  await eventually(
    () => site.redisCommand((redis) => redis.xlen(site.stream)),
    (length) => length >= writers.attempts.length,
    { timeoutMs: 5_000, what: "that the writes are in Redis again" },
  );
  for (const caller of site.callers)
    await eventually(
      async () => without(numbersOf(writers), await site.merged(caller)),
      (missing) => missing.length === 0,
      { timeoutMs: 5_000, what: "that a merged read lacks no write" },
    );
  await site.ready();
  await Promise.all(site.servers.map((server) => server.restart()));
  await site.ready();
  sites.link.heal();
  await site.drained();
  return await writers.wrongs();
}

async function expectLossTold(site: OwnSite): Promise<void> {
  for (const [i, caller] of site.callers.entries()) {
    const told = await eventually(
      () => site.status(() => true, caller),
      ({ buffer }) => buffer.loss !== undefined,
      { timeoutMs: 5_000, what: "that the status tells the loss" },
    );
    expect(told.buffer.loss).toEqual({ at: expect.any(String), message: expect.stringMatching(/.+/) });
    expect(await site.metric("opsdb_buffer_loss", site.servers[i])).toBe(1);
  }
  expect((await site.logged("error")).join()).toMatch(/lost/);
}

async function expectNoLossTold(site: OwnSite): Promise<void> {
  for (const [i, caller] of site.callers.entries()) {
    await eventually(
      () => site.status(() => true, caller),
      ({ buffer }) => buffer.loss === undefined,
      { timeoutMs: 5_000, what: "that no loss is open" },
    );
    expect(await site.metric("opsdb_buffer_loss", site.servers[i])).toBe(0);
  }
}

async function acknowledgeLoss({ server }: OwnSite): Promise<unknown> {
  const response = await fetch(`${server.baseUrl}/opsdb.v1.AdminService/AcknowledgeLoss`, {
    method: "POST",
    headers: { "content-type": "application/json", connection: "close" },
    body: JSON.stringify({ operator: "ana", reason: "the night's log was typed in again" }),
  });
  return await response.json();
}

function filesOf({ redis }: OwnSite): string {
  if (redis.directory === undefined) throw new Error("the files of a Redis in a container cannot be reached");
  return redis.directory;
}

function numbersOf({ attempts }: PairWriters): number[] {
  return attempts.map(({ n }) => n);
}

function without(all: readonly number[], some: readonly number[]): number[] {
  const there = new Set(some);
  return all.filter((n) => !there.has(n));
}

function withoutOrder({ moved: _, reordered: __, overtaken: ___, ...rest }: Wrongs): Partial<Wrongs> {
  return rest;
}

function withoutLost({ lost: _, ...rest }: Wrongs): Omit<Wrongs, "lost"> {
  return rest;
}

function cutLink(): AsyncDisposable {
  sites.link.cut();
  return {
    async [Symbol.asyncDispose]() {
      sites.link.heal();
      await Promise.resolve();
    },
  };
}
