import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Failpoint } from "../../src/lib/failpoint.ts";
import { eventually } from "../support/eventually.ts";
import { removeRedisFiles } from "../support/redis-server.ts";
import { startTwoSite, type TwoSite } from "../support/two-site.ts";
import { createPairs, OwnSite } from "./own-site.ts";
import { type Attempt, findWrongs, nothingWrong, PairWriters } from "./pair-writers.ts";

const kills = process.env.TEST_NIGHTLY === "1" ? 100 : 5;
const env = { BUFFER_RETENTION: "0", PROCESSOR_LEASE_MS: "300", PROCESSOR_BATCH_WRITES: "20" };
const timeout = 60_000 + kills * 10_000;

/** At which pass of the step the n-th kill happens: never always the first, and the same in every run. */
const passes: Record<Exclude<Failpoint, "restore-middle">, (kill: number) => number> = {
  "append-stored": (kill) => 1 + ((kill * 7) % 23),
  "batch-taken": (kill) => 1 + ((kill * 3) % 8),
  "batch-applying": (kill) => 1 + ((kill * 3) % 8),
  "batch-committed": (kill) => 1 + ((kill * 3) % 8),
  "rejection-stored": (kill) => 1 + (kill % 4),
  "proof-seen": (kill) => 1 + ((kill * 3) % 8),
  "trim-begin": (kill) => 1 + (kill % 2),
  "trim-middle": (kill) => 1 + (kill % 2),
};

let sites: TwoSite;

beforeAll(async () => {
  sites = await startTwoSite({ servers: false });
  await createPairs(sites);
  // So that at every moment some writes are acknowledged, some under way and some on their way back.
  sites.link.setRoundTrip(60);
});

afterEach(() => {
  sites.link.heal();
});

afterAll(async () => {
  await sites?.[Symbol.asyncDispose]();
});

test.each(Object.entries(passes))(
  `G1 G2 G3 G4: the API server is killed ${kills} times at "%s": no acknowledged write is lost, doubled, reordered or torn`,
  { timeout },
  async (step, pass) => {
    await using site = await OwnSite.start(sites, step, { env });
    await using writers = new PairWriters(site, { writers: 6, poisonEvery: 9 });
    await writers.more(20);
    await site.server.kill();
    let killed = 0;
    for (; killed < kills; killed++) {
      await startArmed(site, step, pass(killed));
      await endedByKill(site, step);
    }
    await site.server.start();
    await writers.more(20);
    await writers.finish();
    await site.drained();
    expect(killed).toBe(kills);
    expect(await writers.wrongs()).toEqual(nothingWrong);
    expect(await site.merged()).toEqual(wellOf(writers.attempts));
    // All of it is proven, and the stream is trimmed to its end.
    await eventually(
      () => site.redisCommand((redis) => redis.xlen(site.stream)),
      (length) => length === 0,
      { what: "that the stream is trimmed" },
    );
  },
);

test(`G1 G2 G3 G4: one of two API servers is killed ${kills} times at "restore-middle": the other writes the rest again, and no acknowledged write is lost, doubled, reordered or torn`, {
  timeout,
}, async () => {
  const step: Failpoint = "restore-middle";
  await using site = await OwnSite.start(sites, step, { env, servers: 2 });
  const [, other] = site.servers;
  const attempts: Attempt[] = [];
  // More than are written again at once, and none of them on main.
  sites.link.cut();
  attempts.push(...(await written(site, 600, 0)));
  await site.server.kill();
  let killed = 0;
  for (; killed < kills; killed++) {
    await startArmed(site, step, 1);
    await site.ready();
    attempts.push(...(await written(site, 20, attempts.length)));
    // A merged read brings what each server remembers up to date.
    for (const caller of site.callers) expect(await site.merged(caller)).toEqual(wellOf(attempts));
    other?.freeze();
    await site.redis.kill();
    removeRedisFiles(site.redis.directory ?? "");
    await site.redis.start();
    await endedByKill(site, step);
    const again = await site.redisCommand((redis) => redis.xlen(site.stream));
    expect([again > 0, again < attempts.length]).toEqual([true, true]);
    other?.thaw();
    await other?.ready();
  }
  sites.link.heal();
  await site.server.start();
  await site.ready();
  await site.drained();
  expect(killed).toBe(kills);
  expect(await findWrongs(site, attempts)).toEqual(nothingWrong);
  for (const caller of site.callers) expect(await site.merged(caller)).toEqual(wellOf(attempts));
});

/** So many writes and a few more, all acknowledged. */
async function written(site: OwnSite, count: number, firstNumber: number): Promise<Attempt[]> {
  await using writers = new PairWriters(site, { writers: 12, firstNumber });
  await writers.more(count);
  await writers.finish();
  return writers.attempts;
}

/** Starts the server so that it is killed when it passes the step for the n-th time, which may be before it listens. */
async function startArmed(site: OwnSite, step: string, pass: number): Promise<void> {
  await site.server
    .start({ imports: ["./test/support/armed-failpoint.ts"], env: { TEST_FAILPOINT: `${step}:${pass}:SIGKILL` } })
    .catch(() => {});
}

/** Resolves when the server has killed itself; nobody else sends it that signal here. */
async function endedByKill({ server }: OwnSite, step: string): Promise<void> {
  await eventually(
    () => server.running,
    (running) => !running,
    { timeoutMs: 20_000, what: `that the server is killed at ${step}` },
  );
  expect(await server.ended).toBe("SIGKILL");
}

function wellOf(attempts: readonly Attempt[]): number[] {
  return attempts.flatMap(({ n, poison }) => (poison ? [] : [n]));
}
